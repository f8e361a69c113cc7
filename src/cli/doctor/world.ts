import { existsSync } from 'node:fs';
import path from 'node:path';
import type { RulesJson } from '../../api/rule-set.js';
import type { Clock, Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import type { LoadedConfig } from '../../config.js';
import type { StoreInspection } from '../../store/sqlite/inspect.js';
import { within } from '../../runtime/deadline.js';
import { systemClock } from '../../runtime/system-clock.js';

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
  /** Undefined where none answers. */
  readonly server: ServerState | undefined;
  /** Those in force; undefined where no server answers, or none that we have a token for. */
  readonly rules: RulesJson | undefined;
  /** The store in its SQLite file; undefined where events are kept elsewhere. */
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
