import type { Logger } from 'pino';
import type { Role } from '../accounts/tokens.js';
import type { BacktestJobs } from '../backtest/jobs.js';
import type { BlockDesk } from '../desks/block-desk.js';
import type { AlarmClock } from '../kernel/time.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Logs } from '../log/logs.js';
import type { ReadModels } from '../read-models.js';
import type { RulesDesk } from '../desks/rules-desk.js';
import type { KnownPlaces } from '../rules/places.js';
import type { OutboxedStore } from '../store/outboxed.js';
import type { EventStore } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';

/** Whoever holds a token. */
export interface Caller {
  readonly name: string;
  readonly role: Role;
}

/** Must compare in constant time: `TokenTable.find` does. */
export interface Authenticator {
  authenticate(token: string): Caller | undefined;
}

/** How the process is. Never holds an address: /healthz shows it to anybody. */
export interface HealthReport {
  readonly status: 'ok' | 'degraded';
  readonly store: 'ok' | 'failing';
  readonly relay: 'ok' | 'failing' | 'unknown';
  readonly readModels: 'catching-up' | 'ready' | 'failed';
  readonly listeners: 'starting' | 'up' | 'draining';
  /** Position of the last event folded. */
  readonly position: number;
  /** Whatever else is worth a look; numbers and short words. */
  readonly [detail: string]: unknown;
}

export interface ApiDependencies {
  readonly models: ReadModels;
  readonly desk: BlockDesk;
  readonly rulesDesk: RulesDesk;
  readonly backtests: BacktestJobs;
  readonly store: EventStore;
  /** Undefined where none is kept: only SMTP nodes with a store that all share have one. */
  readonly outbox?: Pick<OutboxedStore, 'retry' | 'quarantined'> | undefined;
  /** Also drives time-outs and heartbeats. */
  readonly clock: AlarmClock;
  readonly metrics: Metrics;
  /** Undefined where nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly log: Logger;
  /** What the whole process logs, and how much. */
  readonly logs: Logs;
  readonly tokens: Authenticator;
  /** Whether anybody tells where clients are; undefined where that is not to be asked. */
  readonly places?: KnownPlaces | undefined;
  health(): HealthReport;
  /** Whom an honest refusal names: `smtp.softFail.contact`. */
  readonly contact?: string | undefined;
  /** Under which URL the API is reached from outside: what Location headers begin with. */
  readonly publicUrl?: string | undefined;
}
