import type { Instant } from '../../src/kernel/time.js';

/** One message of a workload. */
export interface Message {
  at: Instant;
  readonly account: string;
  readonly returnPath: string;
  readonly ehlo: string;
  readonly ip: string;
  readonly recipients: number;
  readonly size: number;
  /** Place of the attack that it belongs to, among the attacks. */
  readonly attack?: number;
  /** Why it comes from elsewhere than its sender's mail did before. */
  readonly move?: Move;
}

/** The kinds of clean mail that moves. */
export const MOVES = ['telephone', 'office', 'webmail', 'to webmail'] as const;
export type Move = (typeof MOVES)[number];

/** One compromise. */
export interface Attack {
  readonly kind: string;
  readonly accounts: readonly string[];
}
