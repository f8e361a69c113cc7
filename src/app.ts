import { mkdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Logger } from 'pino';
import { PasswordChecker } from './accounts/passwords.js';
import type { WatchedFile } from './accounts/watched-file.js';
import type { HealthReport } from './api/index.js';
import { createApi } from './api/index.js';
import { BlockDesk } from './block-desk.js';
import { setUpEvaluation } from './config/evaluation.js';
import type { Evaluation } from './config/evaluation.js';
import type { LoadedConfig } from './config/types.js';
import { formatListen } from './config/types.js';
import { Timers } from './expiry/timers.js';
import { messageOf } from './kernel/errors.js';
import type { AlarmClock } from './kernel/time.js';
import { HOUR, MINUTE, SECOND } from './kernel/time.js';
import { updateGauges } from './metrics/gauges.js';
import { Metrics } from './metrics/metrics.js';
import { ReadModels } from './read-models.js';
import { Responder } from './responder.js';
import { RulesDesk } from './rules-desk.js';
import type { RulesChanged } from './rules/model.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from './sending/events.js';
import { startSmtp } from './smtp/start.js';
import { AttemptLimiter } from './smtp/auth/attempt-limiter.js';
import { fileBackend } from './smtp/auth/file-backend.js';
import { LoginVerifier } from './smtp/auth/login-verifier.js';
import { Recorder } from './smtp/recorder.js';
import { sweepSpool } from './smtp/relay/body.js';
import { openRelay } from './smtp/relay/open.js';
import { watchRelay } from './smtp/relay/watch.js';
import { metered } from './store/metered.js';
import type { EventStore } from './store/port.js';
import { openSqliteStore } from './store/sqlite/index.js';
import { planTimedWork } from './timed-work.js';
import { watchRules, watchSenders, watchTokens, watchUsers } from './watched-files.js';

export interface AppOptions {
  readonly loaded: LoadedConfig;
  readonly clock: AlarmClock;
  readonly log: Logger;
  /** The feed of the read models broke, or the store is gone for good: the process should end. */
  readonly onFatal: (error: unknown) => void;
  /** What is to stand between the store and everything that uses it. */
  readonly throughStore?: (store: EventStore) => EventStore;
}

/** The sessions have been waited for already when the relay is closed. */
const RELAY_CLOSE = SECOND;

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

/**
 * The composition root: the one place that knows which adapter stands behind which port. Starts the whole of
 * Stopgap in this process; when it resolves, everything is caught up and listening.
 *
 * @throws StopgapError with what to do about it; what had been opened is closed again
 */
export async function startApp(options: AppOptions): Promise<RunningApp> {
  // Opened last, closed first.
  const closers: (() => unknown)[] = [];
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

async function open(
  { loaded, clock, log, onFatal, throughStore = (store) => store }: AppOptions,
  closers: (() => unknown)[],
): Promise<Omit<RunningApp, 'stop'>> {
  const { config } = loaded;
  await mkdir(config.data, { recursive: true, mode: 0o700 });
  const evaluation = loaded.evaluation ? await setUpEvaluation(config, clock.now()) : undefined;
  const watch = <T>(file: WatchedFile<T>): WatchedFile<T> => {
    file.start();
    closers.push(() => file.stop());
    return file;
  };

  const metrics = new Metrics();
  const store = metered(throughStore(await openSqliteStore({ file: config.store.file, clock })), metrics);
  closers.push(() => store.close());
  await store.setRetention(SEND_CATEGORY, config.retention.sends);
  await store.setRetention(AUTH_CATEGORY, config.retention.sends);

  const desk = new BlockDesk(store, clock);
  const rulesDesk = new RulesDesk(store, clock);
  const timers = new Timers({
    clock,
    onDone: (_task, lateness) => metrics.expiryLateness.observe(lateness / 1000),
    onFailed: (task, error) =>
      log.error({ task, error: messageOf(error) }, 'an expiry failed; it is tried again'),
  });
  const models: ReadModels = new ReadModels({
    onVerdict: (verdict, live) => (live ? responder.take(verdict) : responder.remember(verdict)),
    onBlockEvent: (event) => planTimedWork(timers, models.ledger, event),
    onRulesChanged: () => log.info({ version: models.sendVolume.rules.version }, 'rules are in force'),
    onSkipped: ({ position, stream, type }, reason) => {
      metrics.skippedEvents.inc();
      log.warn({ position, stream, type, reason }, 'an event was skipped');
    },
  });
  const responder = new Responder({ desk, models, clock, metrics, log });

  const rulesFile =
    config.rules === undefined ? undefined : watch(await watchRules(config.rules, rulesDesk, log));
  await rulesDesk.load(rulesFile?.current, config.rules ?? 'defaults');
  const feed = await models.follow(store);
  feed.ended.catch(onFatal);
  closers.push(() => models.stop());
  responder.finish();
  closers.push(() => responder.stop());
  timers.start(async (task) => {
    await desk.execute(task.subject, { kind: task.kind, block: task.block }, { by: 'system:expiry' });
  });
  closers.push(() => timers.close());

  const { hostname } = config.smtp;
  const relay = openRelay(config.smtp.relay.url, {
    hostname,
    closeTimeout: RELAY_CLOSE,
    onNotice: (text) => log.warn(text),
  });
  closers.push(() => relay.close());
  metrics.registry.beforeScrape = () => updateGauges(metrics, { models, relay, store, clock });
  const spoolDir = path.join(config.data, 'spool');
  await sweepSpool(spoolDir);
  const recorder = new Recorder({ store, clock, log, hostname });
  closers.push(() => recorder.close());

  const users = watch(await watchUsers(config.smtp.auth.users, log));
  const tokens = watch(await watchTokens(config.api.tokens, log));
  const { senders } = config.smtp;
  const senderMap = senders.kind === 'map' ? watch(await watchSenders(senders.file, log)) : undefined;
  const upstream = watchRelay(relay, clock);
  closers.push(() => upstream.stop());

  let listeners: HealthReport['listeners'] = 'starting';
  const api = createApi({
    models,
    desk,
    rulesDesk,
    store,
    clock,
    metrics,
    log,
    tokens: { authenticate: (token) => tokens.current.find(token) },
    contact: config.smtp.softFail.contact,
    publicUrl: config.api.publicUrl,
    health: (): HealthReport => ({
      status: store.healthy && upstream.state !== 'failing' ? 'ok' : 'degraded',
      store: store.healthy ? 'ok' : 'failing',
      relay: upstream.state,
      readModels: models.ready ? 'ready' : 'catching-up',
      listeners,
      position: models.position,
      relaySessions: relay.sessions.open,
    }),
  });
  closers.push(() => api.close());
  const { port: httpPort } = (await api.listen(config.api.listen)).address() as AddressInfo;

  const context = {
    hostname,
    clock,
    log,
    metrics,
    models,
    responder,
    store,
    recorder,
    relay,
    verifier: new LoginVerifier({
      backend: fileBackend(() => users.current),
      checker: new PasswordChecker(),
    }),
    limiter: new AttemptLimiter({ attemptsPerMinute: config.smtp.auth.attemptsPerMinute, clock }),
    spoolDir,
    senders: () => senderMap?.current ?? senders,
    contact: config.smtp.softFail.contact,
    maxMessageSize: config.smtp.maxMessageSize,
  };
  const smtp = await startSmtp(context, config, closers);
  listeners = 'up';
  closers.push(() => (listeners = 'draining'));
  closers.push(keepSwept(store.sweep.bind(store), clock, log));
  const http = { what: 'HTTP', address: formatListen({ host: config.api.listen.host, port: httpPort }) };
  const rules = (await rulesDesk.current())!;
  return { listening: [...smtp, http], evaluation, rules, store, models, desk, metrics };
}

/** Deletes what has outlived its retention: soon after the start, then every hour. */
function keepSwept(sweep: (now: number) => Promise<number>, clock: AlarmClock, log: Logger): () => void {
  let cancel = (): void => undefined;
  const plan = (after: number): void => {
    cancel = clock.wakeAt(clock.now() + after, () => {
      sweep(clock.now()).then(
        (gone) => gone > 0 && log.info({ events: gone }, 'events beyond their retention were deleted'),
        (error: unknown) =>
          log.error({ error: messageOf(error) }, 'the sweep failed; it is tried again in an hour'),
      );
      plan(HOUR);
    });
  };
  plan(MINUTE);
  return () => cancel();
}
