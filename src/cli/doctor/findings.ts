import path from 'node:path';
import { existsSync } from 'node:fs';
import type { LoadedConfig } from '../../config.js';
import type { Clock, Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import { systemClock, within } from '../../runtime/clock.js';
import type { StoreInspection } from '../../store/sqlite/inspect.js';
import type { AnswerOf, Schemas } from '../client.js';
import { inOneLine } from '../io.js';

/** Everything that is looked at, in the order in which it is told. */
export const CHECKS = [
  'node',
  'configuration',
  'accounts',
  'rules',
  'overrides',
  'geoip',
  'hooks',
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
  'logins',
  'policy',
  'dovecot',
  'reports',
  'notices',
  'openid',
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
export function findingText(finding: Finding): string {
  return `${finding.outcome.padEnd(9)}  ${finding.check.padEnd(13)}  ${inOneLine(adviceOf(finding))}`;
}

/** What was found, and what to do about it. */
export function adviceOf({ detail, remedy }: Finding): string {
  return remedy === undefined ? detail : `${detail}; ${remedy}`;
}

/** How long anybody is waited for. */
export const PATIENCE: Milliseconds = 5 * SECOND;

/** What a running server says of itself. */
export interface ServerState {
  readonly origin: string;
  /** `/healthz`. */
  readonly health: Readonly<Record<string, unknown>>;
  /** `/readyz`. */
  readonly ready: boolean;
  /** Why it is not. */
  readonly reason: string;
}

/** What every check may look at. */
export interface World {
  readonly loaded: LoadedConfig;
  readonly clock: Clock;
  /** Where a server was asked for; undefined if none was. */
  readonly asked: URL | undefined;
  /** Undefined if none answers. */
  readonly server: ServerState | undefined;
  /** Why it does not tell what follows, where it does not. */
  readonly untold: string;
  /** Those in force; undefined if it is not told. */
  readonly rules: Schemas['Rules'] | undefined;
  /** Who sends past a block, and what is held for none in force; undefined if it is not told. */
  readonly overview: AnswerOf<'/api/v1/overview'> | undefined;
  /** Channels and their notices; undefined if they are not told. */
  readonly notices: AnswerOf<'/api/v1/notices'> | undefined;
  /** The store in its SQLite file; undefined if events are kept elsewhere. */
  readonly store: StoreInspection | undefined;
}

/** Resolves as `work` does, or rejects after {@link PATIENCE}. */
export function patiently<T>(work: Promise<T>, what: string): Promise<T> {
  return within(systemClock, PATIENCE, work, () => {
    throw new Error(`${what} within ${PATIENCE / SECOND} s`);
  });
}

/** The place itself, or the nearest folder above it that exists. */
export function nearestThere(place: string): string {
  return existsSync(place) || path.dirname(place) === place ? place : nearestThere(path.dirname(place));
}
