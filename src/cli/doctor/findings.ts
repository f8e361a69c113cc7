import { inOneLine } from '../io.js';

/** Everything that is looked at, in the order in which it is told. */
export const CHECKS = [
  'node',
  'configuration',
  'accounts',
  'rules',
  'overrides',
  'geoip',
  'permissions',
  'disk',
  'clock',
  'server',
  'ports',
  'tls',
  'store',
  'outbox',
  'redis',
  'upstream',
  'tracing',
] as const;
export type CheckName = (typeof CHECKS)[number];

/** `warning`: it works, and probably not as it is meant to. `not tried`: the detail says why. */
export type Outcome = 'ok' | 'warning' | 'problem' | 'not tried';

/** One thing that was looked at. */
export interface Finding {
  readonly check: CheckName;
  readonly outcome: Outcome;
  readonly detail: string;
  /** What to do about it. */
  readonly remedy?: string;
}

/** Says what one check found. */
export class Findings {
  readonly list: Finding[] = [];

  constructor(readonly check: CheckName) {}

  ok(detail: string): void {
    this.#add('ok', detail);
  }

  warning(detail: string, remedy?: string): void {
    this.#add('warning', detail, remedy);
  }

  problem(detail: string, remedy?: string): void {
    this.#add('problem', detail, remedy);
  }

  notTried(why: string): void {
    this.#add('not tried', why);
  }

  #add(outcome: Outcome, detail: string, remedy?: string): void {
    this.list.push({ check: this.check, outcome, detail, ...(remedy === undefined ? {} : { remedy }) });
  }
}

/** One line. */
export function findingText({ check, outcome, detail, remedy }: Finding): string {
  const text = remedy === undefined ? detail : `${detail}; ${remedy}`;
  return `${outcome.padEnd(9)}  ${check.padEnd(13)}  ${inOneLine(text)}`;
}
