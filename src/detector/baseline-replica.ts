import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Baselines } from '../../projections/baselines/sender-profiles.js';
import { BaselineProjector } from './read-models.js';
import type { BaselineListeners } from './read-models.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { HOUR } from '../kernel/time.js';
import { BASELINES_ONLY } from './projector.js';
import type { Metrics } from '../metrics/metrics.js';
import { SUMMARIES_KEPT } from '../sending/day-summary.js';
import { Snapshots } from '../snapshots/snapshots.js';
import { insist } from '../store/health.js';
import type { EventStore } from '../store/port.js';
import { LogReplaced } from '../store/port.js';

/**
 * Between two summaries there are only a few decisions, which are not worth a snapshot of a hundred thousand senders.
 */
const SNAPSHOTS_WITHIN: Milliseconds = 6 * HOUR;
/**
 * While it catches up, it rests for as long as it took to fold this many events: it uses half a core, and less if there
 * is mail.
 */
const AT_ONCE = 64;
const REST: Milliseconds = 4;

export interface BaselineReplicaOptions extends BaselineListeners {
  readonly store: EventStore;
  /** The data directory of the process. */
  readonly data: string;
  readonly clock: AlarmClock;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** The feed broke. */
  readonly onFatal: (error: unknown) => void;
}

/** Keeps the senders' baselines for a node that takes mail and folds no sends. */
export class BaselineReplica {
  readonly #options: BaselineReplicaOptions;
  readonly #feed: BaselineProjector;
  #snapshots: Snapshots | undefined;
  /** Aborted when the catching up and following under way is over; undefined before the first. */
  #run: AbortController | undefined;
  /** The last run has caught up, or is over. */
  #begun: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: BaselineReplicaOptions) {
    this.#options = options;
    this.#feed = new BaselineProjector(options);
  }

  /** Undefined until it has caught up: with half a history a known sender looks new. */
  get baselines(): Baselines | undefined {
    return this.#feed.ready ? this.#feed.baselines : undefined;
  }

  get ready(): boolean {
    return this.#feed.ready;
  }

  /** Begins to catch up, unless it has begun. Nobody waits for it: the node takes mail meanwhile. */
  start(): void {
    if (this.#run === undefined && !this.#closed) this.#begin(Promise.resolve(), true);
  }

  /**
   * Somebody was forgotten: baselines are not known until all is folded anew, and not from a snapshot, which may hold
   * them. Resolves when that is under way.
   */
  beginAnew(): Promise<void> {
    return this.#beginAnew(false);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#run?.abort();
    await this.#feed.stop();
    await this.#begun.catch(() => undefined);
    await this.#snapshots?.close();
  }

  /** Each run begins when nothing of the one before is left: with two feeds, what one hands over looks old to the other. */
  #beginAnew(fromSnapshot: boolean): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#run?.abort();
    const cleared = this.#clear(this.#begun);
    this.#begin(cleared, fromSnapshot);
    return cleared;
  }

  async #clear(before: Promise<void>): Promise<void> {
    await this.#feed.stop();
    await before.catch(() => undefined);
    await this.#snapshots?.abandon();
    await this.#feed.startAnew();
  }

  #begin(cleared: Promise<void>, fromSnapshot: boolean): void {
    const { signal } = (this.#run = new AbortController());
    this.#begun = cleared.then(() => this.#follow(signal, fromSnapshot));
    this.#begun.catch((error: unknown) => this.#ended(error, signal));
  }

  async #follow(signal: AbortSignal, fromSnapshot: boolean): Promise<void> {
    const { store, data, clock, metrics, log } = this.#options;
    const snapshots = await Snapshots.open({
      folder: path.join(data, 'snapshots'),
      categories: BASELINES_ONLY,
      models: this.#feed,
      clock,
      log,
      within: SNAPSHOTS_WITHIN,
      kept: SUMMARIES_KEPT,
      onFailed: () => metrics.store.snapshotFailures.inc(),
    });
    if (signal.aborted) return;
    this.#snapshots = snapshots;
    const onAway = (error: Error): void =>
      log.debug({ error: messageOf(error) }, 'the store does not answer yet');
    if (fromSnapshot) await insist(() => snapshots.restore(store), { signal, onAway, patient: true });
    if (signal.aborted) return;
    let folded = 0;
    const { ended } = await this.#feed.follow(store, BASELINES_ONLY, () => {
      snapshots.folded();
      return this.ready || ++folded % AT_ONCE > 0 ? undefined : setTimeout(REST);
    });
    ended.catch((error: unknown) => this.#ended(error, signal));
    if (signal.aborted) return;
    const { baselines, position } = this.#feed;
    log.info({ senders: baselines.size, position }, 'it is known what senders usually do');
  }

  #ended(error: unknown, { aborted }: AbortSignal): void {
    if (aborted) return;
    if (!(error instanceof LogReplaced)) this.#options.onFatal(error);
    // Only senders in the present log are known. If it fails, the new run tells of it.
    else this.#beginAnew(true).catch(() => undefined);
  }
}
