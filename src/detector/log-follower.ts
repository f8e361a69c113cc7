import path from 'node:path';
import type { Logger } from 'pino';
import type { WatchedFile } from '../accounts/watched-file.js';
import { openTimedWork } from '../adapters.js';
import type { Progress } from '../api/index.js';
import { geoDataOf } from '../config/schema.js';
import type { LoadedConfig } from '../config.js';
import { BlockCommandHandler } from '../commands/block-commands.js';
import { OverrideCommandHandler } from '../commands/override-commands.js';
import { OverridesFile } from '../commands/overrides-file.js';
import { RulesCommandHandler } from '../commands/rules-commands.js';
import { RulesLoader } from '../commands/rules-loader.js';
import { DaySummaryRecorder, planTimedWork, taskRunner, timedTasks } from './scheduled-jobs.js';
import { dismissExempt, letGoWhenBack } from './housekeeping.js';
import { QueueHooks } from '../hooks/queue-hooks.js';
import { Notices } from '../notices/notices.js';
import { prepareToSend } from '../notices/send.js';
import { isForgettingEvent } from '../forgetting/events.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { DECISIONS_ONLY, FOLDED_CATEGORIES } from './projector.js';
import type { LogLevels } from '../log/levels.js';
import { tellRulesInForce } from '../log/decisions.js';
import type { Metrics } from '../metrics/metrics.js';
import { ReadModels } from './read-models.js';
import type { ReadModelListeners } from './read-models.js';
import { PassingSenders } from './passing-senders.js';
import { LocalContainment } from './containment.js';
import { BaselineReplica } from './baseline-replica.js';
import { refold } from './refold.js';
import { Refolding } from './refolding.js';
import { Responder } from './responder.js';
import { DEFAULT_RULES, EVALUATION_RULES } from '../rules/defaults.js';
import type { RulesChanged, SourcedRules } from '../rules/model.js';
import { HELD_CATEGORY, isImported } from '../sending/events.js';
import { OldSnapshots } from '../snapshots/old-snapshots.js';
import { Snapshots } from '../snapshots/snapshots.js';
import { insist } from '../store/health.js';
import type { OutboxedStore } from '../store/outboxed.js';
import type { EventStore } from '../store/port.js';
import { LogReplaced } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';
import { watchRules } from '../watched-files.js';
import { within } from '../runtime/clock.js';

export interface LogFollowerOptions {
  readonly loaded: LoadedConfig;
  readonly clock: AlarmClock;
  readonly logs: LogLevels;
  readonly metrics: Metrics;
  /** Undefined if tracing is off. */
  readonly tracing: Tracing | undefined;
  readonly store: EventStore;
  /** Of a node that takes mail while the store is away. */
  readonly outbox: OutboxedStore | undefined;
  /** The feed broke for good, or Redis cannot be used. */
  readonly onFatal: (error: unknown) => void;
  /** The log was replaced: what was known is void. What the process reports from it must be reported again. */
  readonly onReplaced: () => void;
  /** Somebody was forgotten, now or long ago: what else is in memory of people must go. */
  readonly onForgotten: () => void;
  /** The process has caught up with the present log. */
  readonly onRebuilt: () => void;
}

/** How long a recorded message may wait for the detector's feed, which may lag with a distant store. */
const FOLDED_WITHIN = 2 * SECOND;

/** Fixed texts: anybody may read them. */
const ASKING = 'the store is asked';
const AWAY = 'the store does not answer: it is waited for';
const FOLDING = 'events are folded';
const ACTING = 'what was left undone is done';

/**
 * What this process knows from the store's log, and what it does with it: read models, verdicts, timed work. It catches
 * up at the start, and again if the store comes back with another log.
 */
export class LogFollower {
  readonly blockCommands: BlockCommandHandler;
  readonly rulesCommands: RulesCommandHandler;
  readonly models: ReadModels;
  readonly responder: Responder;
  readonly passing: PassingSenders;
  /** Set on a node that takes mail and folds no sends. */
  readonly baselines: BaselineReplica | undefined;
  /** Of a node that takes mail while the store is away. */
  readonly containment: LocalContainment | undefined;
  work: Awaited<ReturnType<typeof openTimedWork>> | undefined;
  /** How often the store was back with another log. */
  replacements = 0;

  readonly #options: LogFollowerOptions;
  readonly #log: Logger;
  readonly #detects: boolean;
  readonly #categories: readonly string[];
  readonly #rules: RulesLoader;
  #rulesFile: WatchedFile<SourcedRules> | undefined;
  #overrides: OverridesFile | undefined;
  #snapshots: Snapshots | undefined;
  readonly #oldSnapshots: OldSnapshots;
  #summaries: DaySummaryRecorder | undefined;
  #hooks: QueueHooks | undefined;
  #notices: Notices | undefined;
  #stopLettingGo = (): void => undefined;
  #exempting: Promise<void> = Promise.resolve();
  readonly #refolding: Refolding;

  #state: 'starting' | 'following' | 'rebuilding' = 'starting';
  #reason = ASKING;
  #head: number | undefined;
  /** The log was replaced, and catching up with the new one has not begun. */
  #replaced: LogReplaced | undefined;
  /** The last catching up, finished or under way. */
  #learning: Promise<void> = Promise.resolve();
  readonly #closing = new AbortController();

  private constructor(options: LogFollowerOptions) {
    const { loaded, store, clock, metrics, tracing, logs, outbox, onFatal } = options;
    const { config } = loaded;
    this.#options = options;
    this.#log = logs.of('store');
    this.#oldSnapshots = new OldSnapshots({ folder: this.#snapshotFolder, clock, log: logs.of('snapshots') });
    this.#detects = config.roles.includes('detector');
    const categories = this.#detects || config.roles.includes('api') ? FOLDED_CATEGORIES : DECISIONS_ONLY;
    const { run, authorization } = config.hooks;
    const callsHook = run !== undefined && config.roles.includes('worker');
    // Who takes reports has to know what was held and is let go.
    const needsHeld = callsHook || config.roles.includes('policy') || config.roles.includes('smtp');
    this.#categories =
      needsHeld && categories === DECISIONS_ONLY ? [...categories, HELD_CATEGORY] : categories;
    this.blockCommands = new BlockCommandHandler(
      store,
      clock,
      (decision) => metrics.blocks.decided(decision),
      tracing,
    );
    this.rulesCommands = new RulesCommandHandler(store, clock);
    this.#rules = new RulesLoader({
      rulesCommands: this.rulesCommands,
      file: () => this.#rulesFile?.current,
      builtIn: loaded.evaluation ? EVALUATION_RULES : DEFAULT_RULES,
      insist: (work) => this.#insist(ASKING, work),
      log: logs.of('rules'),
    });
    this.#refolding = new Refolding({ clock, log: this.#log, refold: (signal) => this.#refold(signal) });
    const listeners = this.#listeners();
    const models = (this.models = new ReadModels(listeners));
    const log = logs.of('rules');
    this.responder = new Responder({
      blockCommands: this.blockCommands,
      models,
      clock,
      metrics,
      tracing,
      log,
    });
    this.passing = new PassingSenders(models, this.responder, clock);
    if (callsHook) {
      const { blockCommands } = this;
      const parts = { store, models, blockCommands, clock, log: logs.of('hooks'), metrics: metrics.hooks };
      this.#hooks = new QueueHooks({ run, authorization, ...parts });
    }
    const { channels } = config.notices;
    if (channels.length > 0 && config.roles.includes('worker')) {
      this.#notices = new Notices({
        channels,
        store,
        models,
        clock,
        log: logs.of('notices'),
        metrics: metrics.notices,
        isAlone: config.store.kind === 'sqlite',
        retention: config.retention.sends,
        publicUrl: config.api.publicUrl,
        relay: config.smtp.relay,
        hostname: config.smtp.hostname,
      });
    }
    if (outbox === undefined) return;
    if (categories === DECISIONS_ONLY) {
      this.baselines = new BaselineReplica({
        store,
        data: config.data,
        clock,
        metrics,
        log: logs.of('snapshots'),
        onFatal,
        onSummarised: (event) => this.containment!.follow(event),
        onSkipped: (event, reason) => listeners.onSkipped(event, reason),
      });
    }
    const containment = new LocalContainment({
      models,
      clock,
      log,
      away: () => outbox.away,
      baselines: () => (this.baselines ?? models.sendVolume.profiles).baselines,
    });
    this.containment = containment;
    outbox.onTaken = (stream, events) => containment.saw(stream, events);
  }

  /**
   * Reads its files and connects to Redis; asks nothing of the store.
   *
   * @throws ConfigError, StopgapError with what to do about it; what was opened is closed again
   */
  static async open(options: LogFollowerOptions): Promise<LogFollower> {
    const follower = new LogFollower(options);
    try {
      await follower.#open();
      return follower;
    } catch (error) {
      await follower.stop();
      throw error;
    }
  }

  async #open(): Promise<void> {
    const { loaded, store, clock, metrics, logs, onFatal } = this.#options;
    const { models } = this;
    const { config } = loaded;
    if (this.#notices !== undefined) await prepareToSend(config.notices.channels);
    if (this.#detects && config.rules !== undefined) {
      this.#rulesFile = await watchRules(config.rules, this.#rules, logs.of('files'), metrics.rules);
    }
    if (this.#detects) {
      this.#overrides = await OverridesFile.open({
        path: config.overrides,
        overrideCommands: new OverrideCommandHandler(store, clock),
        models,
        clock,
        log: logs.of('files'),
        metrics: metrics.rules,
      });
    }
    if (config.roles.includes('worker'))
      this.work = await openTimedWork({ config, clock, metrics, models, log: logs.of('expiry'), onFatal });
  }

  /**
   * Resolves when the whole log is folded and unfinished work is under way. Waits for a store that is away.
   *
   * @returns the rule set in force
   * @throws AccessRefused, StoreRefused; never because of the log's content
   */
  async start(): Promise<Pick<RulesChanged, 'version' | 'origin'>> {
    const { outbox, store, clock, logs } = this.#options;
    this.#learning = this.#learn();
    await this.#learning;
    const rules = await this.#insist(ACTING, () => this.rulesCommands.current());
    this.baselines?.start();
    this.#rulesFile?.start();
    this.work?.start(taskRunner(this.blockCommands, this.models, logs.of('expiry')));
    if (this.containment !== undefined)
      this.#stopLettingGo = letGoWhenBack(this.containment, outbox!, this.models, store, clock);
    return rules ?? { version: 0, origin: 'defaults' };
  }

  /** What is known of a channel of notices; undefined in a process that sends none. */
  channelState(channel: string): ReturnType<Notices['stateOf']> {
    return this.#notices?.stateOf(channel);
  }

  /** As it was read last; undefined if this process reads none. */
  get rulesFile(): SourcedRules | undefined {
    return this.#rulesFile?.current;
  }

  get state(): 'starting' | 'following' | 'rebuilding' {
    return this.#state;
  }

  /** The progress, until it has caught up. */
  get progress(): Progress {
    const { taken, feedPosition } = this.models;
    const head = this.#head;
    return {
      reason: this.#options.store.healthy ? this.#reason : AWAY,
      events: taken,
      position: feedPosition,
      head: head ?? null,
      percent:
        head === undefined ? null : Math.min(100, Math.floor((100 * feedPosition) / Math.max(1, head))),
    };
  }

  /** Resolves when the blocks that the send at this position tripped are in force; undefined if they are already. */
  settled(position: number): Promise<void> | undefined {
    const { models, responder } = this;
    const { outbox, clock } = this.#options;
    if (!this.#detects || position === 0 || this.#state !== 'following') return undefined;
    const settled =
      position <= models.position
        ? responder.settled(position)
        : models.reached(position).then(
            () => responder.settled(position),
            // It will not be folded here, but it is recorded, and the upstream has the message.
            () => undefined,
          );
    if (settled === undefined || outbox === undefined) return settled;
    return within(clock, FOLDED_WITHIN, settled, () => undefined);
  }

  /** Takes over its files as they are, even if they have lost most of their entries. */
  async reload(): Promise<void> {
    await Promise.all([this.#rulesFile?.reload(), this.#overrides?.reload()]);
  }

  /** Finishes what is under way; writes a last snapshot. */
  async stop(): Promise<void> {
    this.#closing.abort();
    this.#stopLettingGo();
    this.#rulesFile?.stop();
    await this.#refolding.stop();
    await this.#oldSnapshots.stop();
    await Promise.all([this.work?.close(), this.#hooks?.close(), this.#notices?.close()]);
    await this.responder.stop();
    await this.#exempting;
    await this.#summaries?.stop();
    this.#overrides?.stop();
    await Promise.all([this.baselines?.close(), this.models.stop().then(() => this.#snapshots?.close())]);
    await Promise.allSettled([this.#learning]);
  }

  #listeners(): ReadModelListeners {
    const { clock, metrics, tracing, logs } = this.#options;
    return {
      onVerdict: (verdict, live) => {
        if (live) metrics.containment.tripped(verdict);
        this.responder.remember(verdict);
        if (live && this.#detects) this.responder.take(verdict);
      },
      onBlockEvent: (event, live) => {
        if (event.type === 'ExemptionGranted' && live) this.#dismissExempt(event.position);
        if ('evidence' in event.data && event.data.evidence !== undefined)
          this.responder.answered(event.stream, event.data.evidence);
        if (event.by.startsWith('admin:')) this.passing.changed();
        if (!live || isImported(event)) return;
        metrics.containment.foldedBlock(event, this.models.ledger, clock.now());
        if (this.work !== undefined) planTimedWork(this.work, this.models.ledger, event);
        if ('block' in event.data) this.#hooks?.look(event.data.block, event.type);
      },
      onRulesChanged: () => {
        if (!this.models.ready) return;
        this.#tellRules();
        this.#dismissExempt(this.models.position);
      },
      onSkipped({ position, stream, type }, reason) {
        metrics.store.skippedEvents.inc();
        logs.of('store').warn({ position, stream, type, reason }, 'an event was skipped');
      },
      onFolded: (event) => {
        this.containment?.follow(event);
        if (isForgettingEvent(event)) {
          this.#refolding.forgot(event.position);
          this.#options.outbox?.clean();
          this.#options.onForgotten();
          // Otherwise it begins as soon as the catching up has ended.
          if (this.#state === 'following') this.#refolding.ifDue();
        }
        if (!this.models.ready) return;
        this.#hooks?.held(event);
        metrics.folded(event, this.models.ledger);
        if (event.trace !== undefined) tracing?.folded(event, event.trace);
      },
    };
  }

  #tellRules(): void {
    const { metrics, logs, loaded } = this.#options;
    const { rules } = this.models.sendVolume;
    metrics.blocks.useRules(rules.rules);
    tellRulesInForce(rules, geoDataOf(loaded.config), logs.of('rules'));
  }

  /** Catches up with the log, and again if it is replaced meanwhile. */
  async #learn(): Promise<void> {
    do {
      if (this.#replaced !== undefined) await this.#forget(this.#replaced);
      this.#replaced = undefined;
      try {
        await this.#catchUp();
      } catch (error) {
        if (!(error instanceof LogReplaced)) throw error;
        this.#replaced = error;
      }
    } while (this.#replaced !== undefined);
    this.#state = 'following';
    this.#refolding.ifDue();
  }

  async #catchUp(): Promise<void> {
    const { store, clock, logs } = this.#options;
    const { models, responder } = this;
    this.#head = undefined;
    await this.#insist(ASKING, () => store.head());
    if (this.#detects) await this.#rules.load();
    const snapshots = (this.#snapshots = await this.#openSnapshots());
    // The events up to the snapshot also had effects outside the models: these are made up for.
    for (const verdict of await this.#insist(ASKING, () => snapshots.restore(store)))
      responder.remember(verdict);
    this.containment?.adopt();
    this.#head = await this.#insist(ASKING, () => store.head());
    this.#reason = FOLDING;
    // What a snapshot holds of those who were forgotten after it must go.
    const isFromBeginning = models.position === 0;
    this.#refolding.begin(isFromBeginning ? this.#head : models.position);
    const feed = await models.follow(store, this.#categories, () => this.#snapshots?.folded());
    feed.ended.catch((error: unknown) => this.#ended(error));
    this.#tellRules();
    this.work?.replan(timedTasks(models.ledger));
    this.#hooks?.adopt();
    await this.#insist(ACTING, async () => this.#overrides?.start());
    await this.#insist(ACTING, async () => this.#notices?.start());
    // A snapshot that was there and was not used may be of before.
    if (isFromBeginning && this.#refolding.hasForgotten) await this.#dropSnapshots();
    if (!this.#detects) return;
    await responder.finish();
    this.#dismissExempt();
    const summaries = { store, models, clock, log: logs.of('rules') };
    this.#summaries = await this.#insist(ACTING, () => DaySummaryRecorder.start(summaries));
  }

  /**
   * Only a detector does this, because it alone makes proposals. @param position of the event that made subjects exempt
   */
  #dismissExempt(position?: number): void {
    if (!this.#detects) return;
    const { models, blockCommands } = this;
    const { clock, logs } = this.#options;
    const log = logs.of('rules');
    const { signal } = this.#closing;
    const work = (): Promise<void> => dismissExempt({ blockCommands, models, clock, log }, position);
    this.#exempting = this.#exempting
      .then(() => insist(work, { signal, onAway: () => undefined, patient: true }))
      .catch((error: unknown) => {
        if (!signal.aborted) log.error({ error: messageOf(error) }, 'proposals of exempt subjects were kept');
      });
  }

  /** Folds all anew beside what serves. It counts only when all that follows from it is done as well. */
  async #refold(signal: AbortSignal): Promise<number> {
    const { store } = this.#options;
    const { models } = this;
    const began = performance.now();
    await this.#snapshots?.abandon();
    this.#snapshots = undefined;
    await this.#dropSnapshots();
    const soundUpTo = await refold(models, store, this.#categories, signal, (unanswered) => {
      this.responder.adopt(unanswered);
      this.passing.changed();
      this.containment?.adopt();
      this.blockCommands.forgetHistories();
      this.work?.replan(timedTasks(models.ledger));
    });
    this.#snapshots = await this.#openSnapshots();
    // They hold what they gathered of people, and ask the models that were put in their place above.
    await this.#insist(ACTING, async () => this.#notices?.start());
    const spanMs = Math.round(performance.now() - began);
    this.#log.info({ spanMs }, 'somebody was forgotten: all that is known was folded anew without them');
    return soundUpTo;
  }

  get #snapshotFolder(): string {
    return path.join(this.#options.loaded.config.data, 'snapshots');
  }

  /** Baselines begin anew first: they would write a snapshot, or begin from one that cannot be removed. */
  async #dropSnapshots(): Promise<void> {
    await this.baselines?.beginAnew();
    await this.#oldSnapshots.remove();
  }

  #openSnapshots(): Promise<Snapshots> {
    const { loaded, clock, logs, metrics } = this.#options;
    return Snapshots.open({
      folder: this.#snapshotFolder,
      categories: this.#categories,
      models: this.models,
      kept: loaded.config.retention.sends,
      clock,
      log: logs.of('snapshots'),
      unanswered: () => this.responder.unanswered(),
      onSnapshot: (at) => metrics.store.snapshot(at),
      onFailed: () => metrics.store.snapshotFailures.inc(),
    });
  }

  /**
   * Waits for a store that is away, and logs it. It waits for a store that refuses the user only if that store once
   * accepted it.
   */
  async #insist<T>(reason: string, work: () => Promise<T>): Promise<T> {
    this.#reason = reason;
    let isAway = false;
    const onAway = (error: Error): void => {
      this.#reason = AWAY;
      if (!isAway) this.#log.warn({ error: messageOf(error) }, 'the store does not answer: it is waited for');
      isAway = true;
    };
    const { signal } = this.#closing;
    const ask = (): Promise<T> => {
      if (this.#replaced !== undefined) throw this.#replaced;
      return work();
    };
    const result = await insist(ask, { signal, onAway, patient: this.#state !== 'starting' });
    if (isAway) this.#log.info('the store answers');
    this.#reason = reason;
    return result;
  }

  #ended(error: unknown): void {
    const { onFatal, onReplaced, onRebuilt } = this.#options;
    const { signal } = this.#closing;
    if (signal.aborted) return;
    if (!(error instanceof LogReplaced)) return onFatal(error);
    this.#replaced = error;
    // A caller that waits for an event of the former log gets an error.
    void this.models.stop();
    // Otherwise the catching up under way begins again.
    if (this.#state !== 'following') return;
    this.#state = 'rebuilding';
    onReplaced();
    this.#learning = this.#learn().then(() => {
      const { position } = this.models;
      this.#log.warn({ position }, 'the log that the store holds now is caught up with: all is as it says');
      onRebuilt();
    });
    this.#learning.catch((fault: unknown) => {
      if (!signal.aborted) onFatal(fault);
    });
  }

  /** Stops acting on the former log. Only refusals stay, until the other log is caught up with. */
  async #forget({ message }: LogReplaced): Promise<void> {
    const { metrics } = this.#options;
    this.#log.error(
      { reason: message, position: this.models.position },
      'the store holds another log than before: what was folded is thrown away, and built anew from what is there',
    );
    metrics.store.logReplaced.inc();
    this.replacements++;
    metrics.containment.startAnew();
    await this.#refolding.stop();
    await this.#summaries?.stop();
    await this.#notices?.close();
    await this.responder.startAnew();
    await this.#snapshots?.abandon();
    await this.models.startAnew();
  }
}
