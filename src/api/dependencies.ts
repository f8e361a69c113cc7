import type { Logger } from 'pino';
import type { Unstopped } from '../../projections/blocks/unstopped.js';
import type { AdminTable, TokenNames } from '../accounts/admins.js';
import type { Rights, Role } from '../accounts/roles.js';
import type { BacktestJobs } from '../backtest/jobs.js';
import type { BlockCommandHandler } from '../commands/block-commands.js';
import type { Config } from '../config/schema.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Logs } from '../log/logs.js';
import type { ReadModels } from '../detector/read-models.js';
import type { ForgettingHandler } from '../commands/forgetting.js';
import type { RulesCommandHandler } from '../commands/rules-commands.js';
import type { NoticeCommands } from '../notices/commands.js';
import type { MailServers } from '../recording/reports.js';
import type { GeoData } from '../rules/explain.js';
import type { SourcedRules } from '../rules/model.js';
import type { MailDirection } from '../sending/subjects.js';
import type { FailedLogins } from '../accounts/users.js';
import type { PutOffs } from '../recording/put-offs.js';
import type { RefusedBehind } from '../recording/refused-behind.js';
import type { OutboxedStore } from '../store/outboxed.js';
import type { Via } from '../sessions/events.js';
import type { EventStore } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';
import type { FirstLink } from './first-link.js';

/** The holder of a token, or a person who has signed in. */
export interface Caller extends Rights {
  readonly name: string;
  /** The id of a person's session; undefined for a token. */
  readonly session?: string;
  /** Who vouches for a person with a session that is in no file of ours. */
  readonly via?: Via;
  /** Whether a reverse proxy says who it is. */
  readonly viaProxy?: true;
}

/** How messages name a caller: a person and a token of one name are two. */
export function titleOf(caller: Caller): string {
  return `the ${isPerson(caller) ? 'person' : 'token'} ${caller.name}`;
}

export function isPerson({ session, viaProxy }: Caller): boolean {
  return session !== undefined || viaProxy === true;
}

/** A reverse proxy that signs people in, and names them in headers. */
export interface ProxyAuth {
  /** Where it asks from, addresses and networks; from anywhere else its headers count for nothing. Empty: there is none. */
  readonly from: readonly string[];
  readonly userHeader: string;
  readonly groupsHeader: string;
  /** The role of each group. */
  readonly roles: Readonly<Record<string, Role>>;
}

/** An OpenID provider that signs people in. */
export interface OpenIdSettings {
  readonly issuer: string;
  readonly clientId: string;
  /** Its first line; undefined: the client is public. */
  readonly clientSecretFile?: string | undefined;
  /** What the page calls the provider. */
  readonly label: string;
  readonly scopes: string;
  readonly groupsClaim: string;
  /** The role of each group. */
  readonly roles: Readonly<Record<string, Role>>;
  /** Of the role `domain`: the claim that names the domains. */
  readonly domainsClaim?: string | undefined;
}

/** Must compare in constant time: `TokenTable.find` does. */
export interface Authenticator extends TokenNames {
  authenticate(token: string): Caller | undefined;
}

/** How the process is. Never holds an address: /healthz shows it to anybody. */
export interface HealthReport {
  /**
   * `starting`: it catches up with the store; `rebuilding`: it catches up again, because the store is back with another
   * log.
   */
  readonly status: 'starting' | 'rebuilding' | 'ok' | 'degraded';
  readonly store: 'ok' | 'failing';
  /** `unanswered`: what takes mail answers, but not the last messages that it was sent. */
  readonly relay: 'ok' | 'unanswered' | 'failing' | 'unknown';
  /** Of a process that keeps its timed work in Redis alone. */
  readonly redis?: 'ok' | 'failing';
  /** `behind`: for too long nothing has shown that they are up to date. */
  readonly readModels: 'catching-up' | 'ready' | 'behind';
  /** `crowded`: the policy service or the HTTP port cuts connections to make room for others. */
  readonly listeners: 'starting' | 'up' | 'crowded' | 'draining';
  /** Position of the last event folded. */
  readonly position: number;
  /** Other details: numbers and short words. */
  readonly [detail: string]: unknown;
}

/** How far a process is that is not ready. Its texts are of a fixed list: /readyz shows them to anybody. */
export interface Progress {
  /** What it does now. */
  readonly reason: string;
  /** Events folded since it began. */
  readonly events: number;
  /** Position of the last event folded, or passed over. */
  readonly position: number;
  /** Position of the last event in the store when it began to fold; null while that is not known. */
  readonly head: number | null;
  /** How much of the way to the head is done; null while the head is not known. */
  readonly percent: number | null;
}

/** What health, readiness and metrics need. A process has it from its first moment. */
export interface OperationDependencies {
  /** Also drives time-outs and heartbeats. */
  readonly clock: AlarmClock;
  readonly metrics: Metrics;
  readonly log: Logger;
  health(): HealthReport;
  /** How many senders a rule has tripped on that no detector has acted on. Dearer than the rest of the health: only /healthz tells it. */
  unanswered(): number;
  /** Knows the tokens that metrics ask for; undefined if they ask for none. */
  readonly metricsTokens?: Authenticator | undefined;
  /** Undefined if it is ready. */
  progress(): Progress | undefined;
}

export const ACCOUNT_STATES = ['active', 'disabled', 'unknown'] as const;
/** What the users file says of an account. */
export type AccountState = (typeof ACCOUNT_STATES)[number];

export interface ApiDependencies extends OperationDependencies {
  readonly models: ReadModels;
  readonly blockCommands: BlockCommandHandler;
  /** Whether a hook is called for held mail, by this process or another one of the same configuration. */
  readonly callsHook?: boolean;
  readonly rulesCommands: RulesCommandHandler;
  /** The rules file, as this process has read it last; undefined if it reads none. */
  readonly rulesFile?: (() => SourcedRules | undefined) | undefined;
  readonly forgetting: ForgettingHandler;
  /** How long sends are kept, and what is kept as long. */
  readonly retention: { readonly sends: Milliseconds };
  readonly backtests: BacktestJobs;
  readonly store: EventStore;
  /** Undefined if none is kept: only SMTP nodes with a store that all share have one. */
  readonly outbox?: Pick<OutboxedStore, 'retry' | 'quarantined'> | undefined;
  /** Whether what takes mail of a direction answers this process; undefined if it takes no mail. */
  readonly upstreamState?: ((direction: MailDirection) => HealthReport['relay']) | undefined;
  /** Whether SMTP nodes, this process or others, take mail while the store is away. */
  readonly hasOutboxes?: boolean;
  /** Judges and records for mail servers; undefined if this process sees no sends. */
  readonly mailServers?: MailServers | undefined;
  /** Undefined if the configuration names no channel of notices. */
  readonly notices?: NoticeCommands | undefined;
  /** Undefined if nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** What the whole process logs, and how much. */
  readonly logs: Logs;
  readonly tokens: Authenticator;
  /** The reverse proxy that names people; undefined: there is none. */
  readonly proxyAuth?: ProxyAuth | undefined;
  /** Addresses and networks of proxies whose X-Forwarded-For says where a client is. */
  readonly trustedProxies?: readonly string[] | undefined;
  /** The OpenID provider that signs people in; undefined: there is none. It needs {@link publicUrl}. */
  readonly openId?: OpenIdSettings | undefined;
  /** The people who may sign in; undefined: nobody can. */
  readonly admins?: (() => AdminTable) | undefined;
  /** Where they are kept, and how a change there is taken over at once; undefined: they are changed elsewhere. */
  readonly adminsFile?: { readonly path: string; readAgain(): Promise<unknown> } | undefined;
  /** The link by which the first administrator is made; undefined: there is none. */
  readonly first?: FirstLink | undefined;
  /** Who else vouches for people, each with a stamp: their sessions end when it becomes another. */
  readonly vouchers?: Readonly<Partial<Record<Via, string>>> | undefined;
  /** Undefined if this process has no users file: then any account may exist. */
  readonly accountState?: ((account: string) => AccountState) | undefined;
  /** Whether the back end of logins gives no answer now; undefined if this process takes none. */
  readonly cannotCheck?: (() => boolean) | undefined;
  /** Whether mail servers ask this process, and no process of this store takes mail. */
  readonly isAsked?: boolean;
  /** Whether Stopgap has a port for arriving mail, in this process or another one of the same configuration. */
  readonly takesArriving?: boolean;
  /** Whether logins of blocked accounts fail for reading mail too, where Dovecot asks (`dovecot.protocols`). */
  readonly failsReading?: boolean;
  /** How mail servers that ask refuse, where others take mail besides them, or may do so. */
  readonly asksBesides?: Config['policy']['refuse'] | undefined;
  /** Whether one has asked the policy service about mail since the start; undefined if there is none here. */
  readonly wasAsked?: (() => boolean) | undefined;
  /** Whether Dovecot or the SASL proxy asks about logins for sending; undefined if it is not known here, or not yet. */
  readonly dovecotAsks?: (() => boolean | undefined) | undefined;
  readonly startedAt: Instant;
  /** The senders that a rule has tripped on or that are blocked, and that nothing stops. */
  readonly unstopped?: (() => readonly Unstopped[]) | undefined;
  /** Logins of an account that failed lately with a wrong password; undefined if none are known here. */
  readonly failedLogins?: ((account: string) => FailedLogins | undefined) | undefined;
  /** When the last one was that is forgotten, since too many others failed. */
  readonly failuresForgottenAt?: (() => Instant) | undefined;
  /** The account that a login counts for, both in normal form; undefined if it has not been right since the start. */
  readonly accountOf?: ((login: string) => string | undefined) | undefined;
  /** Whether those who check logins, in any process, may give another name to the account than the client types. */
  readonly mayRename?: boolean;
  /** The last troubles for which clients were put off; undefined if this process takes no mail. */
  readonly putOffs?: (() => readonly PutOffs[]) | undefined;
  /** What the mail server behind refused of an account in the day before an instant, and no rule counts. */
  readonly refusedBehind?: ((account: string, upTo: Instant) => readonly RefusedBehind[]) | undefined;
  /** Whether `smtp.senders` lets an account use a return path; undefined if this process takes no mail. */
  readonly maySend?: ((account: string, returnPath: string) => boolean) | undefined;
  /** Whether there is data on where clients are; undefined if nothing depends on it. */
  readonly places?: GeoData | undefined;
  /** The contact that an honest refusal names: `smtp.softFail.contact`. */
  readonly contact?: string | undefined;
  /** The URL of the API as clients reach it: Location headers begin with it. */
  readonly publicUrl?: string | undefined;
}
