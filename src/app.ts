import { hasAdmin } from './accounts/admins.js';
import type { WatchedFile } from './accounts/watched-file.js';
import { openStore } from './adapters.js';
import type { Api, ApiDependencies, OperationDependencies } from './api/index.js';
import { directoryFault, directoryId, makePrivateDirectory } from './accounts/private-file.js';
import { lastOf, stateOf } from './accounts/users.js';
import {
  createApi,
  createOperations,
  createStarting,
  DovecotPolicy,
  FirstLink,
  HttpPort,
  newLinkToken,
  pageRoutes,
} from './api/index.js';
import { BacktestJobs } from './backtest/jobs.js';
import type { BlockCommandHandler } from './commands/block-commands.js';
import { ForgettingHandler } from './commands/forgetting.js';
import { setUpEvaluation } from './config/evaluation.js';
import type { Evaluation } from './config/evaluation.js';
import type { LoadedConfig } from './config.js';
import { geoDataOf, seesSends } from './config/schema.js';
import { Geoip } from './geoip/geoip.js';
import { formatListen, listenFault } from './config/listening.js';
import { messageOf } from './kernel/errors.js';
import type { AlarmClock, Milliseconds } from './kernel/time.js';
import { HOUR, SECOND } from './kernel/time.js';
import { LogFollower } from './detector/log-follower.js';
import type { Logs } from './log/logs.js';
import { updateGauges } from './metrics/gauges.js';
import { Metrics } from './metrics/metrics.js';
import { ProcessHealth } from './detector/process-health.js';
import type { ReadModels } from './detector/read-models.js';
import type { RulesChanged } from './rules/model.js';
import { AUTH_CATEGORY, HELD_CATEGORY, SEND_CATEGORY } from './sending/events.js';
import { HELD_KEPT } from './sending/most-held.js';
import type { MailDirection } from './sending/subjects.js';
import { MAIL_DIRECTIONS } from './sending/subjects.js';
import { openMailServers } from './recording/reports.js';
import type { ChannelState } from './notices/channel-state.js';
import { NoticeCommands } from './notices/commands.js';
import { openPolicyRole } from './policy/role.js';
import { Recorder } from './recording/recorder.js';
import type { SmtpRoleOptions } from './smtp/role.js';
import { openSmtpRole } from './smtp/role.js';
import { metered } from './metrics/store.js';
import type { EventStore } from './store/port.js';
import { keepProbed, keepSwept, watchDescriptors } from './detector/housekeeping.js';
import { ownPackage } from './runtime/version.js';
import { openTracing } from './tracing/open.js';
import type { Tracing } from './tracing/tracing.js';
import { tracedStore } from './tracing/tracing.js';
import { watchAdmins, watchSenders, watchTokens } from './watched-files.js';
import { within } from './runtime/clock.js';

export interface AppOptions {
  readonly loaded: LoadedConfig;
  readonly clock: AlarmClock;
  readonly logs: Logs;
  /** The feed of the read models broke, or the store is gone for good: the process should end. */
  readonly onFatal: (error: unknown) => void;
  /** See {@link openStore}. */
  readonly newStore?: boolean | undefined;
  /** Made here unless given. */
  readonly metrics?: Metrics;
  /** A wrapper between the store and everything that uses it. */
  readonly throughStore?: (store: EventStore) => EventStore;
}

export interface RunningApp {
  /** What listens where: `submission 127.0.0.1:2587`. */
  readonly listening: readonly Listening[];
  readonly evaluation: Evaluation | undefined;
  /** Makes the first administrator, once. Only the person who starts the process may see it. */
  readonly firstLink: string | undefined;
  /** The rule set in force, and where it came from: the built-in defaults, the rules file or the API. */
  readonly rules: Pick<RulesChanged, 'version' | 'origin'>;
  readonly store: EventStore;
  readonly models: ReadModels;
  readonly blockCommands: BlockCommandHandler;
  readonly metrics: Metrics;
  /** What a channel of notices is at; undefined where this process sends none, or does not yet know. */
  channelState(channel: string): ChannelState | undefined;
  /** Takes over the watched files as they are, even if they have lost most of their entries. */
  reload(): Promise<void>;
  /** The directions whose mail server did not answer at first. */
  readonly unanswered: readonly MailDirection[];
  /** Finishes what is under way and closes everything; resolves within ten seconds. */
  stop(): Promise<void>;
}

interface Listening {
  readonly what: string;
  readonly address: string;
}

/** Opened last, closed first. */
type Closers = (() => unknown)[];

/** What a start that failed may take to close what it had opened. */
const CLOSED_WITHIN: Milliseconds = 3 * SECOND;

/**
 * The composition root: starts what the roles ask for in this process, over the adapters that `adapters.ts` opens.
 * The HTTP port opens first and tells how far it is; mail is taken last. When it resolves, everything is caught up and
 * listening. A store that is away is waited for.
 *
 * @throws StopgapError with what to do about it; what had been opened is closed again, as far as it can be in three seconds
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
    const log = options.logs.levels.of('app');
    log.error({ error: messageOf(error) }, 'the start failed');
    const closed = stop().catch((fault: unknown) =>
      log.warn({ error: messageOf(fault) }, 'not all was closed'),
    );
    await within(options.clock, CLOSED_WITHIN, closed, () => undefined);
    throw error;
  }
}

async function open(options: AppOptions, closers: Closers): Promise<Omit<RunningApp, 'stop'>> {
  const { loaded, clock, logs, onFatal } = options;
  const { levels } = logs;
  const { config } = loaded;
  const startedAt = clock.now();
  const roles = new Set(config.roles);
  const { metrics = new Metrics() } = options;

  // What answers from the first moment.
  try {
    makePrivateDirectory(config.data);
  } catch (thrown) {
    throw directoryFault(thrown, 'data', config.data);
  }
  const evaluation = loaded.evaluation ? await setUpEvaluation(config, clock.now()) : undefined;
  const { version } = ownPackage();
  metrics.process.runs(version, config.store.kind, config.roles);
  const health = new ProcessHealth(await directoryId(config.data));
  const files: Pick<WatchedFile<unknown>, 'reload'>[] = [];
  const watch = <T>(file: WatchedFile<T>): WatchedFile<T> => {
    file.start();
    files.push(file);
    closers.push(() => file.stop());
    return file;
  };
  const isApi = roles.has('api');
  const asksForToken = config.api.metrics === 'token';
  const tokens = watch(
    await watchTokens(config.api.tokens, levels.of('files'), metrics.rules, isApi || asksForToken),
  );
  const admins = isApi
    ? watch(await watchAdmins(config.api.admins, levels.of('files'), metrics.rules))
    : undefined;
  const mayBeFirst = admins !== undefined && !loaded.evaluation && config.api.proxyAuth.from.length === 0;
  const firstToken = mayBeFirst && !hasAdmin(admins.current) ? newLinkToken() : undefined;
  const first = firstToken === undefined ? undefined : new FirstLink(firstToken, () => admins!.current);
  const authenticator = {
    authenticate: (token: string) => tokens.current.find(token, clock.now()),
    hasName: (name: string) => tokens.current.hasName(name),
  };
  const operations: OperationDependencies = {
    clock,
    metrics,
    log: levels.of('api'),
    metricsTokens: asksForToken ? authenticator : undefined,
    health: () => health.report(),
    unanswered: () => health.unanswered,
    progress: () => health.progress(),
  };
  const starting = (more: Parameters<typeof createStarting>[1] = []): Api =>
    createStarting(operations, [...(isApi ? pageRoutes() : []), ...more]);
  const http = await HttpPort.open(starting(), config.api.listen, operations).catch((thrown: unknown) => {
    throw listenFault(thrown, 'api.listen', config.api.listen);
  });
  health.http = http;
  closers.push(() => http.close());
  const listening: Listening[] = [
    { what: 'HTTP', address: formatListen({ ...config.api.listen, port: http.number }) },
  ];
  levels.of('app').info({ listening: listening[0]!.address, version }, 'starting');

  // The parts that everything else uses.
  const traces =
    config.tracing === undefined
      ? undefined
      : await openTracing(config.tracing, { version, roles: config.roles }, levels.of('app'));
  if (traces !== undefined) closers.push(() => traces.close());
  const tracing = traces?.tracing;
  const { store: opened, outbox } = await openStore({
    config,
    clock,
    metrics,
    log: levels.of('store'),
    isNew: options.newStore,
  });
  const store = instrumented(opened, options, metrics, tracing);
  closers.push(() => store.close());
  closers.push(keepProbed(store, clock, levels.of('store')));
  closers.push(watchDescriptors(clock, levels.of('app'), () => metrics.smtp.connectionFailed('accept')));
  await store.setRetention(SEND_CATEGORY, config.retention.sends);
  await store.setRetention(AUTH_CATEGORY, config.retention.sends);
  await store.setRetention(HELD_CATEGORY, HELD_KEPT);

  // Everything that the configuration names is checked before the wait for the store.
  const turnTo = (api: Api): void => void http.turnTo(api).catch(onFatal);
  let createReady = (): Api => starting();
  let dovecot: DovecotPolicy | undefined;
  const follower = await LogFollower.open({
    loaded,
    clock,
    logs: levels,
    metrics,
    tracing,
    store,
    outbox,
    onFatal,
    onReplaced: () => turnTo(starting(dovecot?.routes)),
    // The log is followed once all of this is there.
    onForgotten: () => smtp?.forgetNames(),
    onRebuilt() {
      if (health.listeners === 'up') turnTo(createReady());
    },
  });
  closers.push(() => follower.stop());
  const { models, blockCommands, rulesCommands, baselines, responder, work } = follower;
  const known = { config, clock, logs: levels, metrics, tracing, models, store, watch, closers };
  const senders = seesSends(config) ? { ...known, ...(await openSenders(known)) } : undefined;
  const accepted: SmtpRoleOptions['accepted'] = ({ position }) => follower.settled(position);
  const smtp =
    senders !== undefined && roles.has('smtp') ? await openSmtpRole({ ...senders, accepted }) : undefined;
  const knows = (): boolean => follower.state !== 'starting';
  const recorder = new Recorder({
    store,
    clock,
    log: levels.of('policy'),
    by: `policy:${config.smtp.hostname}`,
  });
  closers.push(() => recorder.close());
  const mailServers = senders === undefined ? undefined : openMailServers({ ...senders, recorder, knows });
  const { listen: policyListen } = config.policy;
  const policy =
    senders !== undefined && roles.has('policy') && policyListen !== undefined
      ? await openPolicyRole({ ...senders, accepted, recorder, listen: policyListen, knows })
      : undefined;
  if (policy !== undefined) listening.unshift(policy.listening);
  if (isApi || roles.has('policy')) {
    const placeOf = senders?.placeOf ?? (() => ({}));
    const settings = { ...config.dovecot, refuse: config.policy.refuse };
    dovecot = new DovecotPolicy({
      settings,
      tokens: authenticator,
      clock,
      models,
      knows,
      recorder,
      metrics,
      tracing,
      placeOf,
    });
  }
  health.opened({ store, outbox, follower, smtp, policy, dovecot, mailServers });
  metrics.registry.beforeScrape = () =>
    updateGauges(metrics, {
      clock,
      models,
      store,
      smtp,
      outbox,
      baselines,
      timedWork: work,
      logs,
      breaker: responder.breaker,
    });

  // What it has to know before it may serve.
  const rules = await follower.start();

  const { store: where, retention } = config;
  const location = { store: where, retention: { sends: retention.sends } };
  createReady = (): Api => {
    const shared = { ...operations, outbox, models, mailServers, tokens: authenticator };
    if (!isApi) return createOperations(shared, dovecot?.routes);
    const { channels } = config.notices;
    const deps: ApiDependencies = {
      ...shared,
      blockCommands,
      rulesCommands,
      store,
      tracing,
      logs,
      rulesFile: () => follower.rulesFile,
      retention: { sends: retention.sends },
      forgetting: new ForgettingHandler({ store, models, clock, data: config.data }),
      backtests: new BacktestJobs({ location, clock, log: levels.of('api') }),
      places: geoDataOf(config),
      accountState: smtp?.users === undefined ? undefined : (account) => stateOf(smtp.users!(), account),
      // Right after a start nobody may have logged in yet.
      dovecotAsks:
        dovecot === undefined
          ? undefined
          : () => dovecot.asked.sending > 0 || (clock.now() - startedAt < HOUR ? undefined : false),
      startedAt,
      unstopped: () => follower.passing.all,
      failedLogins: (account) =>
        [smtp, dovecot, mailServers?.reports]
          .map((known) => known?.failedLogins(account))
          .filter((found) => found !== undefined)
          .sort((a, b) => lastOf(a) - lastOf(b))
          .at(-1),
      failuresForgottenAt: () =>
        Math.max(
          smtp?.failuresForgottenAt() ?? -Infinity,
          dovecot?.failuresForgottenAt ?? -Infinity,
          mailServers?.reports.failuresForgottenAt ?? -Infinity,
        ),
      accountOf: smtp?.accountOf,
      mayRename: policyListen !== undefined || ['http', 'dovecot'].includes(config.smtp.auth.backend),
      cannotCheck: smtp?.cannotCheck,
      putOffs: smtp?.putOffs,
      refusedBehind: smtp?.refusedBehind,
      wasAsked:
        policy === undefined
          ? undefined
          : () => policy.asked.rcpt + policy.asked.data + policy.asked.endOfMessage > 0,
      isAsked: policy !== undefined && smtp === undefined && where.kind === 'sqlite',
      maySend: smtp?.maySend,
      upstreamState: smtp === undefined ? undefined : (direction) => smtp.upstream.stateFor(direction),
      callsHook: config.hooks.run !== undefined,
      takesArriving: config.smtp.inbound.length > 0,
      failsReading: config.dovecot.protocols.some((protocol) => /imap|pop3/.test(protocol)),
      hasOutboxes: where.kind !== 'sqlite',
      // The nodes that mail servers ask have the same configuration, but for their roles.
      asksBesides:
        policyListen !== undefined &&
        (where.kind !== 'sqlite' || (policy !== undefined && smtp !== undefined))
          ? config.policy.refuse
          : undefined,
      contact: config.smtp.softFail.contact,
      notices:
        channels.length === 0
          ? undefined
          : new NoticeCommands({
              channels,
              store,
              models,
              clock,
              live: (channel) => follower.channelState(channel),
            }),
      publicUrl: config.api.publicUrl,
      admins: () => admins!.current,
      adminsFile: {
        path: config.api.admins,
        async readAgain() {
          // The look that is under way may have begun before the change.
          await admins!.check();
          await admins!.check();
        },
      },
      first,
      vouchers: loaded.evaluation ? { evaluation: 'evaluation' } : {},
      trustedProxies: config.api.trustedProxies,
      openId: config.api.openId,
      proxyAuth: config.api.proxyAuth.from.length === 0 ? undefined : config.api.proxyAuth,
    };
    return createApi(deps, dovecot?.routes);
  };
  // From here on it closes before what it asks.
  closers.push(() => http.close());
  if (smtp !== undefined) listening.unshift(...(await smtp.listen()));
  if (follower.state === 'following') await http.turnTo(createReady());
  health.listeners = 'up';
  closers.push(() => (health.listeners = 'draining'));
  if (roles.has('worker')) closers.push(keepSwept(store, clock, levels.of('store')));
  const reload = async (): Promise<void> => {
    await Promise.all([...files, follower].map((part) => part.reload()));
  };
  return {
    listening,
    evaluation,
    firstLink:
      firstToken === undefined ? undefined : `${reachedAt(config, http.number)}/#/first/${firstToken}`,
    rules,
    store,
    models,
    blockCommands,
    metrics,
    channelState: (channel) => follower.channelState(channel),
    reload,
    unanswered: MAIL_DIRECTIONS.filter((direction) => smtp?.upstream.stateFor(direction) === 'failing'),
  };
}

/** How a browser reaches the API, as far as is known: by the machine itself where it listens on all addresses. */
function reachedAt({ api: { publicUrl, listen } }: LoadedConfig['config'], port: number): string {
  const { host = 'localhost' } = listen;
  const isAll = host === '0.0.0.0' || host === '::';
  return publicUrl ?? `http://${formatListen({ host: isAll ? 'localhost' : host, port })}`;
}

/** The store, with its instruments. */
function instrumented(
  opened: EventStore,
  { throughStore = (same) => same }: AppOptions,
  metrics: Metrics,
  tracing: Tracing | undefined,
): EventStore {
  const through = throughStore(opened);
  const measured = metrics.measuresMessages ? metered(through, metrics.store) : through;
  return tracing === undefined ? measured : tracedStore(measured, tracing);
}

/** What is known of senders beside what they send: where they are, and which return paths they may use. */
async function openSenders({
  config,
  clock,
  logs,
  metrics,
  watch,
  closers,
}: Pick<SmtpRoleOptions, 'config' | 'clock' | 'logs' | 'metrics' | 'watch' | 'closers'>): Promise<
  Pick<SmtpRoleOptions, 'placeOf' | 'senders'>
> {
  const log = logs.of('files');
  const { senders } = config.smtp;
  const map =
    senders.kind === 'map' ? watch(await watchSenders(senders.file, log, metrics.rules)) : undefined;
  const geoip = await Geoip.open({ files: config.geoip, clock, log, metrics: metrics.rules });
  geoip.start();
  closers.push(() => geoip.stop());
  return { placeOf: geoip.placeOf, senders: () => map?.current ?? senders };
}
