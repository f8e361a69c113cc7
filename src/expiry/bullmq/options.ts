import type { StopgapError } from '../../kernel/errors.js';
import type { AlarmClock, Instant, Milliseconds } from '../../kernel/time.js';
import type { RedisAddress, RedisSettings } from '../../redis/address.js';
import type { TimedTask } from '../port.js';
import type { Healed } from '../reconcile.js';
import type { Retries } from './job-queue.js';
import type { History } from './runner.js';

export interface BullWorkOptions {
  readonly redis: string | RedisSettings | RedisAddress;
  readonly clock: AlarmClock;
  /** What every key in Redis begins with; `stopgap` unless said otherwise. */
  readonly prefix?: string;
  /** What must be planned, by the ledger: what reconciliation goes by. By default what was planned here. */
  readonly planned?: () => Iterable<TimedTask>;
  /**
   * False while the ledger is being rebuilt or is known to lag. What is planned then is left to the next
   * reconciliation, so that a start does not send again what Redis has; and no job counts as a stray.
   */
  readonly caughtUp?: () => boolean;
  /** Tasks that run at once in this process; 16 unless said otherwise. */
  readonly concurrency?: number;
  /** Between reconciliations: 30 seconds unless said otherwise. */
  readonly reconcileEvery?: Milliseconds;
  /** A worker that is silent for so long (10 seconds unless said otherwise) has lost its jobs to others. */
  readonly lock?: Milliseconds;
  readonly retries?: Retries;
  /** Finished jobs that Redis keeps: 1,000 of each kind for a day unless said otherwise. */
  readonly history?: History;
  /** A Redis that does not answer for so long is given up, and connected to anew: 5 seconds unless said otherwise. */
  readonly silence?: Milliseconds;
  /** How long opening waits for Redis before it goes on without: 5 seconds unless said otherwise. */
  readonly openTimeout?: Milliseconds;
  /** Told how late a task was carried out here, in milliseconds. */
  readonly onDone?: (task: TimedTask, lateness: Milliseconds) => void;
  /** Told of a task that failed here; it is tried again, after longer and longer pauses. */
  readonly onFailed?: (task: TimedTask, error: unknown) => void;
  /** Told in words what an operator should know: Redis away or back, a wrong `maxmemory-policy`, a stalled job. */
  readonly onNotice?: (text: string) => void;
  /** Told of a reconciliation that had something to heal. */
  readonly onHealed?: (healed: Healed) => void;
  /** Redis turned out to be too old, or to refuse us, only after opening: no timed work is done any more. */
  readonly onRefused?: (error: StopgapError) => void;
}

/** `away`: it was there, or has not come yet; `refused`: it is there, but cannot be used. */
export type ConnectionState = 'ready' | 'away' | 'refused' | 'closed';

export interface BullWorkStatus {
  readonly connection: ConnectionState;
  /** Tasks whose changes Redis has not acknowledged. */
  readonly unsent: number;
  /** When the last reconciliation ended well; undefined before the first, and where no runner was started. */
  readonly reconciledAt: Instant | undefined;
}
