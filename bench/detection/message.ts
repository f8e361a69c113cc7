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
}

/** One compromise. */
export interface Attack {
  readonly kind: string;
  readonly accounts: readonly string[];
}
