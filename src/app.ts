import { mkdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { WatchedFile } from './accounts/watched-file.js';
import { openStore, openTimedWork } from './adapters.js';
import type { HealthReport } from './api/index.js';
import { createApi, createOperations } from './api/index.js';
import { BacktestJobs } from './backtest/jobs.js';
import { BlockDesk } from './desks/block-desk.js';
import { setUpEvaluation } from './config/evaluation.js';
import type { Evaluation } from './config/evaluation.js';
import type { LoadedConfig } from './config/types.js';
import { knownPlaces } from './config/places.js';
import { formatListen } from './config/types.js';
import { LocalContainment } from './response/containment.js';
import { KnownHabits } from './response/known-habits.js';
import { messageOf } from './kernel/errors.js';
import { OverrideDesk } from './desks/override-desk.js';
import { OverridesFile } from './desks/overrides-file.js';
import type { AlarmClock } from './kernel/time.js';
import { SECOND } from './kernel/time.js';
import { DECISIONS_ONLY, FOLDED_CATEGORIES } from './known-events.js';
import type { Logs } from './log/logs.js';
import { tellRulesInForce } from './log/rules-in-force.js';
import { updateGauges } from './metrics/gauges.js';
import { Metrics } from './metrics/metrics.js';
import { ReadModels } from './read-models.js';
import type { ReadModelListeners } from './read-models.js';
import { Responder } from './response/responder.js';
import { RulesDesk } from './desks/rules-desk.js';
import { DEFAULT_RULES, EVALUATION_RULES } from './rules/defaults.js';
import type { RulesChanged } from './rules/model.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from './sending/events.js';
import type { SmtpContext } from './smtp/context.js';
import { openSmtpRole } from './smtp/role.js';
import { Snapshots } from './snapshots/snapshots.js';
import { metered } from './store/metered.js';
import type { EventStore } from './store/port.js';
import { DaySummaries } from './housekeeping/day-summaries.js';
import { keepProbed, keepSwept, letGoWhenBack, watchDescriptors } from './housekeeping/housekeeping.js';
import { ownPackage } from './cli/version.js';
import { openTracing } from './tracing/open.js';
import { tracedStore } from './tracing/traced-store.js';
import { planTimedWork, taskRunner, timedTasks } from './response/timed-work.js';
import { watchRules, watchTokens } from './watched-files.js';

export interface AppOptions {
  readonly loaded: LoadedConfig;
  readonly clock: AlarmClock;
  readonly logs: Logs;
  /** The feed of the read models broke, or the store is gone for good: the process should end. */
  readonly onFatal: (error: unknown) => void;
  /** Made here unless given. */
  readonly metrics?: Metrics;
  /** What is to stand between the store and everything that uses it. */
  readonly throughStore?: (store: EventStore) => EventStore;
}

export interface RunningApp {
  /** What listens where: `submission 127.0.0.1:2587`. */
  readonly listening: readonly { readonly what: string; readonly address: string }[];
  readonly evaluation: Evaluation | undefined;
  /** The rule set in force, and where it came from: the built-in defaults, the rules file or the API. */
  readonly rules: Pick<RulesChanged, 'version' | 'origin'>;
  readonly store: EventStore;
  readonly models: ReadModels;
  readonly desk: BlockDesk;
  readonly metrics: Metrics;
  /** Finishes what is under way and closes everything; resolves within ten seconds. */
  stop(): Promise<void>;
}

/** Opened last, closed first. */
type Closers = (() => unknown)[];

/** How long a message that was recorded may wait for the detector's feed, which may lag behind a distant store. */
const FOLDED_WITHIN = 2 * SECOND;

/**
 * The composition root: starts what the roles ask for in this process, over the adapters that `adapters.ts` opens;
 * when it resolves, everything is caught up and listening.
 *
 * @throws StopgapError with what to do about it; what had been opened is closed again
 */
export async function startApp(options: AppOptions): Promise<RunningApp> {
  const closers: Closers = [];
  const stop = async (): Promise<void> => {
    const faults: unknown[] = [];
    // One that fails must not keep the others open: the store is the last of them.
    for (const close of closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw new AggregateError(faults, faults.map(messageOf).join('; '));
  };
  try {
    return { ...(await open(options, closers)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function open(options: AppOptions, closers: Closers): Promise<Omit<RunningApp, 'stop'>> {
  const { loaded, clock, logs, onFatal, throughStore = (same) => same } = options;
  const { levels } = logs;
  const { config } = loaded;
  const roles = new Set(config.roles);
  await mkdir(config.data, { recursive: true, mode: 0o700 });
  const evaluation = loaded.evaluation ? await setUpEvaluation(config, clock.now()) : undefined;
  const watch = <T>(file: WatchedFile<T>): WatchedFile<T> => {
    file.start();
    closers.push(() => file.stop());
    return file;
  };
  const { metrics = new Metrics() } = options;
  const { version } = ownPackage();
  metrics.process.runs(version, config.store.kind, config.roles);
  const traces =
    config.tracing === undefined
      ? undefined
      : await openTracing(config.tracing, { version, roles: config.roles }, levels.of('app'));
  if (traces !== undefined) closers.push(() => traces.close());
  const tracing = traces?.tracing;
  const { store: opened, outbox } = await openStore({
    ...{ config, clock, metrics, log: levels.of('store') },
    onTaken: (stream, events) => containment?.saw(stream, events),
  });
  const through = throughStore(opened);
  const measured = metrics.measuresMessages ? metered(through, metrics.store) : through;
  const store = tracing === undefined ? measured : tracedStore(measured, tracing);
  closers.push(() => store.close());
  closers.push(keepProbed(store, clock, levels.of('store')));
  closers.push(watchDescriptors(clock, levels.of('app'), () => metrics.smtp.connectionFailed('accept')));
  await store.setRetention(SEND_CATEGORY, config.retention.sends);
  await store.setRetention(AUTH_CATEGORY, config.retention.sends);

  const desk = new BlockDesk(store, clock, (decision) => metrics.blocks.decided(decision), tracing);
  const rulesDesk = new RulesDesk(store, clock);
  const detects = roles.has('detector');
  const onSkipped: ReadModelListeners['onSkipped'] = ({ position, stream, type }, reason) => {
    metrics.store.skippedEvents.inc();
    levels.of('store').warn({ position, stream, type, reason }, 'an event was skipped');
  };
  const places = knownPlaces(config);
  const models: ReadModels = new ReadModels({
    onVerdict(verdict, live) {
      if (live) metrics.containment.tripped(verdict);
      responder.remember(verdict);
      if (live && detects) responder.take(verdict);
    },
    onBlockEvent(event, live) {
      if (live) metrics.containment.foldedBlock(event, models.ledger, clock.now());
      if ('evidence' in event.data && event.data.evidence !== undefined)
        responder.answered(event.data.evidence);
      if (work !== undefined) planTimedWork(work, models.ledger, event);
    },
    onRulesChanged() {
      const { rules } = models.sendVolume;
      metrics.blocks.useRules(rules.rules);
      if (models.ready) tellRulesInForce(rules, places, levels.of('rules'));
    },
    onSkipped,
    onFolded(event) {
      containment?.follow(event);
      if (models.ready) metrics.folded(event, models.ledger);
      if (event.trace !== undefined && models.ready) tracing?.folded(event, event.trace);
    },
  });
  const responder = new Responder({ desk, models, clock, metrics, tracing, log: levels.of('rules') });
  const categories = detects || roles.has('api') ? FOLDED_CATEGORIES : DECISIONS_ONLY;
  const habits =
    outbox === undefined || categories === FOLDED_CATEGORIES
      ? undefined
      : new KnownHabits({
          ...{ store, data: config.data, clock, metrics, log: levels.of('snapshots'), onFatal, onSkipped },
          onFolded: (event) => containment?.follow(event),
        });
  const containment =
    outbox &&
    new LocalContainment({
      ...{ models, clock, log: levels.of('rules'), away: () => outbox.away },
      habits: () => (habits ?? models.sendVolume.profiles).habits,
    });
  const work = roles.has('worker')
    ? await openTimedWork({ config, clock, metrics, models, log: levels.of('expiry'), onFatal })
    : undefined;

  if (detects) {
    const file =
      config.rules === undefined
        ? undefined
        : watch(await watchRules(config.rules, rulesDesk, levels.of('files'), metrics.rules));
    const builtIn = loaded.evaluation ? EVALUATION_RULES : DEFAULT_RULES;
    await rulesDesk.load(file?.current, config.rules ?? 'defaults', builtIn);
  }
  const overrides =
    detects && config.overrides !== undefined
      ? await OverridesFile.open({
          ...{ path: config.overrides, desk: new OverrideDesk(store, clock), models, clock },
          ...{ log: levels.of('files'), metrics: metrics.rules },
        })
      : undefined;
  const snapshots = await Snapshots.open({
    folder: path.join(config.data, 'snapshots'),
    categories,
    models,
    clock,
    log: levels.of('snapshots'),
    unanswered: () => responder.unanswered(),
    onSnapshot: (at) => metrics.store.snapshot(at),
    onFailed: () => metrics.store.snapshotFailures.inc(),
  });
  // What the events up to the snapshot have brought about elsewhere than in the models is made up for.
  for (const verdict of await snapshots.restore(store)) responder.remember(verdict);
  metrics.blocks.useRules(models.sendVolume.rules.rules);
  if (work !== undefined) for (const task of timedTasks(models.ledger)) work.plan(task);
  containment?.adopt();
  const feed = await models.follow(store, categories, () => snapshots.folded());
  feed.ended.catch(onFatal);
  habits?.start();
  tellRulesInForce(models.sendVolume.rules, places, levels.of('rules'));
  closers.push(async () => {
    await Promise.all([habits?.close(), models.stop().then(() => snapshots.close())]);
  });
  await overrides?.start();
  closers.push(() => overrides?.stop());
  if (detects) {
    await responder.finish();
    const summaries = await DaySummaries.start({ store, models, clock, log: levels.of('rules') });
    closers.push(() => summaries.stop());
  }
  closers.push(() => responder.stop());
  if (work !== undefined) {
    work.start(taskRunner(desk, models, levels.of('expiry')));
    closers.push(() => work.close());
  }

  const accepted: SmtpContext['accepted'] = ({ position }) => {
    if (!detects || position === 0) return undefined;
    const settled =
      position <= models.position
        ? responder.settled(position)
        : models.reached(position).then(() => responder.settled(position));
    if (settled === undefined || outbox === undefined) return settled;
    return Promise.race([settled, passed(clock, FOLDED_WITHIN)]);
  };
  const smtp = roles.has('smtp')
    ? await openSmtpRole({
        ...{ config, clock, logs: levels, metrics, tracing, models, store },
        ...{ accepted, watch, closers },
      })
    : undefined;
  metrics.registry.beforeScrape = () =>
    updateGauges(metrics, {
      ...{ clock, models, store, smtp, outbox, habits, logs },
      breaker: responder.breaker,
      timedWork: work,
    });

  let listeners: HealthReport['listeners'] = 'starting';
  const listening: { what: string; address: string }[] = [];
  const tokens = roles.has('api')
    ? watch(await watchTokens(config.api.tokens, levels.of('files'), metrics.rules))
    : undefined;
  const { store: where, retention } = config;
  const location = { store: where, retention: { sends: retention.sends } };
  const backtests = new BacktestJobs({ location, clock, log: levels.of('api') });
  closers.push(() => backtests.close());
  const api = (tokens === undefined ? createOperations : createApi)({
    models,
    desk,
    rulesDesk,
    backtests,
    store,
    clock,
    metrics,
    tracing,
    log: levels.of('api'),
    ...{ logs, places },
    tokens: { authenticate: (token) => tokens?.current.find(token) },
    contact: config.smtp.softFail.contact,
    publicUrl: config.api.publicUrl,
    health: (): HealthReport => ({
      status:
        store.healthy && outbox?.away !== true && smtp?.upstream.state !== 'failing' ? 'ok' : 'degraded',
      store: store.healthy && outbox?.away !== true ? 'ok' : 'failing',
      relay: smtp?.upstream.state ?? 'unknown',
      readModels: models.ready ? 'ready' : 'catching-up',
      listeners,
      position: models.position,
      relaySessions: smtp?.relay.sessions.open ?? 0,
      ...(outbox === undefined ? {} : { outbox: outbox.waiting }),
    }),
  });
  closers.push(() => api.close());
  const { port } = (await api.listen(config.api.listen)).address() as AddressInfo;
  listening.push({ what: 'HTTP', address: formatListen({ host: config.api.listen.host, port }) });
  if (smtp !== undefined) listening.unshift(...(await smtp.listen()));
  listeners = 'up';
  closers.push(() => (listeners = 'draining'));
  if (roles.has('worker')) closers.push(keepSwept(store.sweep.bind(store), clock, levels.of('store')));
  if (containment !== undefined) closers.push(letGoWhenBack(containment, outbox!, models, store, clock));
  const rules = (await rulesDesk.current()) ?? { version: 0, origin: 'defaults' as const };
  return { listening, evaluation, rules, store, models, desk, metrics };
}

function passed(clock: AlarmClock, span: number): Promise<void> {
  return new Promise((resolve) => clock.after(span, resolve));
}
