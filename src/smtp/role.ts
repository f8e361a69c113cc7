import path from 'node:path';
import { PasswordChecker } from '../accounts/passwords.js';
import { maySend } from '../accounts/senders.js';
import type { UserTable } from '../accounts/users.js';
import type { WatchedFile } from '../accounts/watched-file.js';
import type { Config } from '../config/schema.js';
import { Geoip } from '../geoip/geoip.js';
import type { AlarmClock } from '../kernel/time.js';
import type { LogLevels } from '../log/levels.js';
import { Trouble } from '../log/trouble.js';
import type { Metrics } from '../metrics/metrics.js';
import type { ReadModels } from '../detector/read-models.js';
import type { EventStore } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';
import { watchSenders, watchUsers } from '../watched-files.js';
import { AttemptLimiter } from './auth/attempt-limiter.js';
import type { FailedLogins } from '../accounts/failed-logins.js';
import { FailedLoginsByAccount } from '../accounts/failed-logins.js';
import { fileBackend } from './auth/file-backend.js';
import { LoginVerifier } from './auth/login-verifier.js';
import type { SmtpContext } from './context.js';
import { Recorder } from './recorder.js';
import { sweepSpool } from './relay/body.js';
import type { Relay } from './relay/port.js';
import { startSmtp } from './start.js';
import { Upstreams } from './upstreams.js';

export interface SmtpRoleOptions {
  readonly config: Config;
  readonly clock: AlarmClock;
  readonly logs: LogLevels;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
  readonly models: ReadModels;
  readonly store: EventStore;
  readonly accepted: SmtpContext['accepted'];
  readonly watch: <T>(file: WatchedFile<T>) => WatchedFile<T>;
  /** Gets what closes what was opened. */
  readonly closers: (() => unknown)[];
}

export interface SmtpRole {
  readonly relay: Pick<Relay, 'sessions'>;
  readonly upstream: Pick<Upstreams, 'state' | 'stateFor'>;
  /** Password checks that run or wait. */
  readonly checks: { readonly pending: number };
  /** Who may log in, as the users file says now. */
  users(): UserTable;
  /** Logins of an account, in normal form, that failed lately; undefined where none did. */
  readonly failedLogins: (account: string) => FailedLogins | undefined;
  /** Whether an account may use a return path, both in normal form. */
  readonly maySend: (account: string, returnPath: string) => boolean;
  /** Opens the listeners. */
  listen(): Promise<{ what: string; address: string }[]>;
}

/** Everything that taking mail needs; it takes none before `listen`. */
export async function openSmtpRole(options: SmtpRoleOptions): Promise<SmtpRole> {
  const { config, clock, logs, metrics, tracing, models, store, accepted, watch, closers } = options;
  const log = logs.of('smtp');
  const { hostname, auth, senders, softFail, maxMessageSize } = config.smtp;
  const upstreams = new Upstreams({ config, clock, log: logs.of('relay'), metrics: metrics.smtp });
  closers.push(() => upstreams.close());
  const spoolDir = path.join(config.data, 'spool');
  await sweepSpool(spoolDir);
  const recorder = new Recorder({ store, clock, log, hostname });
  closers.push(() => recorder.close());
  const users = watch(await watchUsers(auth.users, logs.of('files'), metrics.rules));
  const senderMap =
    senders.kind === 'map'
      ? watch(await watchSenders(senders.file, logs.of('files'), metrics.rules))
      : undefined;
  const geoip = await Geoip.open({
    ...{ files: config.geoip, clock, log: logs.of('files'), metrics: metrics.rules },
  });
  geoip.start();
  closers.push(() => geoip.stop());
  const checker = new PasswordChecker();
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
    verifier: new LoginVerifier({
      backend: fileBackend(() => users.current),
      checker,
    }),
    limiter: new AttemptLimiter({ attemptsPerMinute: auth.attemptsPerMinute, clock }),
    failedLogins: new FailedLoginsByAccount((account) => users.current.has(account)),
    placeOf: geoip.placeOf,
    spoolDir,
    senders: () => senderMap?.current ?? senders,
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
    checks: checker,
    users: () => users.current,
    failedLogins: (account) => context.failedLogins.of(account, clock.now()),
    maySend: (account, returnPath) => maySend(context.senders(), account, returnPath),
    listen,
  };
}
