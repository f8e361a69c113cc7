import path from 'node:path';
import type { Logger } from 'pino';
import { PasswordChecker } from '../accounts/passwords.js';
import { maySend } from '../accounts/senders.js';
import type { FailedLogins, UserTable } from '../accounts/users.js';
import { FailedLoginsByAccount } from '../accounts/users.js';
import type { WatchedFile } from '../accounts/watched-file.js';
import type { Config, TlsSettings } from '../config/schema.js';
import { certificateFilesOf, relaysOf } from '../config/schema.js';
import type { RelaySettings } from '../config/values.js';
import type { ListenAddress } from '../config/listening.js';
import { formatListen, listenFault } from '../config/listening.js';
import type { ReadModels } from '../detector/read-models.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { LogLevels } from '../log/levels.js';
import { Trouble } from '../log/trouble.js';
import type { Metrics } from '../metrics/metrics.js';
import type { SmtpMetrics } from '../metrics/smtp.js';
import { systemClock, within } from '../runtime/clock.js';
import type { MailDirection } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';
import { watchUsers } from '../watched-files.js';
import { AttemptLimiter } from '../accounts/attempt-limiter.js';
import { fileBackend } from './auth/file.js';
import { LoginVerifier } from './auth/login-verifier.js';
import { openRemoteBackend } from './auth/open.js';
import type { SmtpContext } from './conversation.js';
import type { ListenerSettings } from './listener.js';
import { SmtpListener } from './listener.js';
import { InTheAir } from '../recording/in-the-air.js';
import { Recorder } from '../recording/recorder.js';
import { sweepSpool } from './relay/body.js';
import type { PutOffs } from '../recording/put-offs.js';
import { LastPutOffs } from '../recording/put-offs.js';
import type { RefusedBehind } from '../recording/refused-behind.js';
import { RefusalsBehind } from '../recording/refused-behind.js';
import { openRelay } from './relay/open.js';
import type { Relay, RelayState } from './relay/port.js';
import { ListenerCertificate, ensureSelfSigned } from './tls.js';

export interface SmtpRoleOptions {
  readonly config: Config;
  readonly clock: AlarmClock;
  readonly logs: LogLevels;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
  readonly models: ReadModels;
  readonly store: EventStore;
  readonly accepted: SmtpContext['accepted'];
  readonly placeOf: SmtpContext['placeOf'];
  readonly senders: SmtpContext['senders'];
  readonly watch: <T>(file: WatchedFile<T>) => WatchedFile<T>;
  /** Gets a function for each resource to close. */
  readonly closers: (() => unknown)[];
}

export interface SmtpRole {
  readonly relay: Pick<Relay, 'sessions'>;
  readonly upstream: Pick<Upstreams, 'state' | 'stateFor'>;
  /** Password checks that run or wait. */
  readonly checks: { readonly pending: number };
  /** Who may log in, as the users file says now; undefined if others know the accounts. */
  readonly users: (() => UserTable) | undefined;
  /** Whether logins cannot be checked now. */
  readonly cannotCheck: () => boolean;
  /** Logins of an account, in normal form, that failed lately; undefined if none did. */
  readonly failedLogins: (account: string) => FailedLogins | undefined;
  /** When the last one was that is forgotten, since too many others failed. */
  readonly failuresForgottenAt: () => Instant;
  /** The account that a login counts for, both in normal form; undefined if it has not been right since the start. */
  readonly accountOf: (login: string) => string | undefined;
  /** Somebody was forgotten: what accounts log in as, and what was refused of them, goes from memory. */
  forgetNames(): void;
  /** The last troubles for which clients were put off. */
  readonly putOffs: () => readonly PutOffs[];
  /** What the mail server behind refused of an account, in normal form, in the day before an instant, and no rule counts. */
  readonly refusedBehind: (account: string, upTo: Instant) => readonly RefusedBehind[];
  /** Whether an account may use a return path, both in normal form. */
  readonly maySend: (account: string, returnPath: string) => boolean;
  /** Opens the listeners. */
  listen(): Promise<{ what: string; address: string }[]>;
}

/** Builds everything that taking mail needs. It takes no mail before `listen`. */
export async function openSmtpRole(options: SmtpRoleOptions): Promise<SmtpRole> {
  const { config, clock, logs, metrics, tracing, models, store, accepted, watch, closers } = options;
  const { placeOf, senders } = options;
  const log = logs.of('smtp');
  const { hostname, auth, softFail, maxMessageSize } = config.smtp;
  const upstreams = new Upstreams({ config, clock, log: logs.of('relay'), metrics: metrics.smtp });
  closers.push(() => upstreams.close());
  const spoolDir = path.join(config.data, 'spool');
  await sweepSpool(spoolDir);
  const recorder = new Recorder({ store, clock, log, by: `smtp:${hostname}` });
  closers.push(() => recorder.close());
  const remote = openRemoteBackend(config, { clock, log });
  const file =
    remote === undefined ? watch(await watchUsers(auth.users, logs.of('files'), metrics.rules)) : undefined;
  const users = file === undefined ? undefined : (): UserTable => file.current;
  const backend = remote ?? fileBackend(() => file!.current, new PasswordChecker());
  closers.push(() => backend.close());
  const verifier = new LoginVerifier({ backend, clock });
  const context: SmtpContext = {
    hostname,
    clock,
    log,
    metrics,
    tracing,
    models,
    store,
    accepted,
    recorder,
    inTheAir: new InTheAir(clock),
    troubles: {
      store: new Trouble(clock, {
        began: (error) => log.error({ error }, 'messages are put off: they cannot be recorded'),
        over: (count, spanMs) => log.warn({ count, spanMs }, 'messages are recorded again'),
      }),
      spool: new Trouble(clock, {
        began: (error) => log.error({ error }, 'a message could not be spooled'),
        over: (count, spanMs) => log.warn({ count, spanMs }, 'messages are spooled again'),
      }),
      accept: new Trouble(clock, {
        began: (error) => log.error({ error }, 'an SMTP connection was not taken'),
        over: (count, spanMs) => log.warn({ count, spanMs }, 'SMTP connections are taken again'),
      }),
    },
    relay: upstreams.relayOf(config.smtp.relay),
    verifier,
    limiter: new AttemptLimiter({ attemptsPerMinute: auth.attemptsPerMinute, clock }),
    failedLogins: new FailedLoginsByAccount((account) =>
      users === undefined
        ? verifier.accountOf(account) !== undefined || undefined
        : users().get(account)?.disabled === false,
    ),
    putOffs: new LastPutOffs(),
    refusalsBehind: new RefusalsBehind(),
    placeOf,
    spoolDir,
    senders,
    contact: softFail.contact,
    maxMessageSize,
  };
  const listen: SmtpRole['listen'] = async () => {
    await upstreams.asked();
    return startSmtp(context, config, upstreams, closers);
  };
  return {
    relay: upstreams,
    upstream: upstreams,
    checks: backend,
    users,
    cannotCheck: () => backend.isAway === true,
    failedLogins: (account) => context.failedLogins.of(account, clock.now()),
    failuresForgottenAt: () => context.failedLogins.forgottenAt,
    accountOf: (login) => verifier.accountOf(login),
    forgetNames() {
      verifier.forgetNames();
      context.refusalsBehind.clear();
    },
    putOffs: () => context.putOffs.all,
    refusedBehind: (account, upTo) => context.refusalsBehind.of(account, upTo),
    maySend: (account, returnPath) => maySend(context.senders(), account, returnPath),
    listen,
  };
}

/**
 * Opens every SMTP listener of the configuration, each with its certificate.
 *
 * @param closers gets functions that close them
 */
async function startSmtp(
  context: SmtpContext,
  config: Config,
  upstreams: Upstreams,
  closers: (() => unknown)[],
): Promise<{ what: string; address: string }[]> {
  const { submission, inbound, maxRecipients } = config.smtp;
  const listening: { what: string; address: string }[] = [];
  const stops: (() => Promise<void>)[] = [];
  // All at the same time: a slow session at one listener must not hold up the others.
  closers.push(() => Promise.all(stops.map((stop) => stop())));
  const open = async (
    listen: ListenAddress,
    tls: TlsSettings,
    relay: RelaySettings,
    settings: Omit<ListenerSettings, 'secure' | 'contextFor'>,
  ): Promise<void> => {
    const name = formatListen(listen);
    const { metrics, log } = context;
    const tell = (): void =>
      metrics.smtp.certificate(name, Math.min(...certificates.map(({ expiresAt }) => expiresAt)));
    const certificates = await certificatesOf(tls, path.join(config.data, 'tls'), context, name, () => {
      listener.useCertificate(certificates[0]!.secure);
      log.info({ listener: name }, 'a new certificate is in force');
      tell();
    });
    const listener = new SmtpListener({ ...context, relay: upstreams.relayOf(relay) }, {
      ...settings,
      secure: certificates[0]!.secure,
      contextFor: (wanted: string) => certificates.find((one) => one.contextFor(wanted))?.contextFor(wanted),
    } as ListenerSettings);
    const port = await listener.listen().catch((thrown: unknown) => {
      throw listenFault(thrown, `smtp.${settings.kind}.listen`, listen);
    });
    tell();
    for (const certificate of certificates) certificate.start();
    stops.push(async () => {
      for (const certificate of certificates) certificate.stop();
      await listener.close();
    });
    listening.push({ what: settings.kind, address: formatListen({ ...listen, port }) });
  };
  for (const { listen, tls, proxy, allowInsecureAuth } of submission) {
    const common = { listen, tlsMode: tls.mode, limits: config.smtp, proxy, maxRecipients };
    await open(listen, tls, config.smtp.relay, { ...common, kind: 'submission', allowInsecureAuth } as Omit<
      ListenerSettings,
      'secure' | 'contextFor'
    >);
  }
  for (const { listen, tls, proxy, domains, relay } of inbound) {
    const common = { listen, tlsMode: tls.mode, limits: config.smtp, proxy, maxRecipients };
    await open(listen, tls, relay, { ...common, kind: 'inbound', domains: new Set(domains) } as Omit<
      ListenerSettings,
      'secure' | 'contextFor'
    >);
  }
  return listening;
}

async function certificatesOf(
  tls: TlsSettings,
  directory: string,
  { hostname, clock, log, metrics }: SmtpContext,
  listener: string,
  onChange: () => void,
): Promise<readonly ListenerCertificate[]> {
  const onRefused = (reason: string): void => {
    metrics.rules.fileRefused('certificate');
    log.error({ listener, reason }, 'a certificate was refused; the old one stays in force');
  };
  const onRestored = (): void => log.info({ listener }, 'a certificate that was refused can be used again');
  const common = { clock, onChange, onRefused, onRestored };
  const named = certificateFilesOf(tls);
  if (named.length > 0)
    return Promise.all(named.map((files) => new ListenerCertificate({ files, ...common }).load()));
  const files = await ensureSelfSigned(directory, hostname, clock);
  return [await new ListenerCertificate({ files, selfSigned: { directory, hostname }, ...common }).load()];
}

/** The sessions have ended when relays are closed. */
const CLOSE: Milliseconds = SECOND;
/**
 * How long listeners wait for the upstreams' capabilities. Until those are known, clients are offered nothing that
 * needs them.
 */
const FIRST_ANSWER: Milliseconds = SECOND;

interface UpstreamsOptions {
  readonly config: Config;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: Pick<SmtpMetrics, 'unanswered'>;
}

interface Upstream {
  readonly relay: Relay;
  readonly watch: RelayWatch;
}

/** Where mail goes: one relay for each URL that the configuration names, probed every half minute. */
export class Upstreams {
  readonly #byUrl = new Map<string, Upstream>();

  readonly #smtp: Config['smtp'];

  constructor({ config, clock, log, metrics }: UpstreamsOptions) {
    this.#smtp = config.smtp;
    for (const { relay: settings } of relaysOf(config)) {
      if (this.#byUrl.has(settings.url)) continue;
      const relay = openRelay(settings.url, {
        hostname: config.smtp.hostname,
        xclient: settings.xclient === true,
        clock,
        closeTimeout: CLOSE,
        onNotice: (notice) => log.warn({ notice }, 'news of the upstream'),
        onReached: () => watch.reached(),
        onUnanswered: () => metrics.unanswered(),
      });
      const watch = watchRelay(relay, clock);
      this.#byUrl.set(settings.url, { relay, watch });
    }
  }

  relayOf({ url }: RelaySettings): Relay {
    return this.#byUrl.get(url)!.relay;
  }

  /** The state of the one that is worst off. */
  get state(): RelayState {
    return worst([...this.#byUrl.values()]);
  }

  /** The same for the relays of one direction. */
  stateFor(direction: MailDirection): RelayState {
    const { relay, inbound } = this.#smtp;
    const relays = direction === 'outbound' ? [relay] : inbound.map((listener) => listener.relay);
    return worst(relays.map(({ url }) => this.#byUrl.get(url)!));
  }

  get sessions(): Relay['sessions'] {
    let [open, busy, unanswered] = [0, 0, 0];
    for (const { relay } of this.#byUrl.values()) {
      open += relay.sessions.open;
      busy += relay.sessions.busy;
      unanswered += relay.sessions.unanswered;
    }
    return { open, busy, unanswered };
  }

  /** Resolves when each has been probed, or has not answered for a while. */
  async asked(): Promise<void> {
    const first = Promise.all([...this.#byUrl.values()].map(({ watch }) => watch.asked));
    await within(systemClock, FIRST_ANSWER, first, () => undefined);
  }

  async close(): Promise<void> {
    for (const { watch } of this.#byUrl.values()) watch.stop();
    await Promise.all([...this.#byUrl.values()].map(({ relay }) => relay.close()));
  }
}

function worst(upstreams: readonly Upstream[]): RelayState {
  const states = new Set(upstreams.map(({ watch }) => watch.state));
  return (['failing', 'unanswered', 'unknown'] as const).find((state) => states.has(state)) ?? 'ok';
}

const INTERVAL: Milliseconds = 30 * SECOND;

interface RelayWatch {
  /** What the last probe said, or the messages since. */
  readonly state: RelayState;
  /** Resolves with the first probe. */
  readonly asked: Promise<void>;
  /** Mail has reached it: a probe that failed, or that is still under way, says nothing of it any more. */
  reached(): void;
  stop(): void;
}

/** Probes the upstream every half minute, so that health shows a failure before a client meets it. */
export function watchRelay(relay: Pick<Relay, 'probe' | 'healthy'>, clock: AlarmClock): RelayWatch {
  let state: RelayState = 'unknown';
  let stopped = false;
  let isReached = false;
  let cancel = (): void => undefined;
  const ask = async (): Promise<void> => {
    isReached = false;
    const { ok } = await relay.probe();
    state = ok || isReached ? 'ok' : 'failing';
    if (!stopped) cancel = clock.after(INTERVAL, () => void ask());
  };
  const asked = ask();
  return {
    asked,
    get state() {
      // A probe sends no message: that it succeeds does not show that messages are answered again.
      return state === 'ok' && !relay.healthy ? 'unanswered' : state;
    },
    reached() {
      isReached = true;
      state = 'ok';
    },
    stop() {
      stopped = true;
      cancel();
    },
  };
}
