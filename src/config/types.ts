import type { SenderPolicy } from '../accounts/senders.js';
import type { Milliseconds } from '../kernel/time.js';
import type { RelayTarget } from '../smtp/relay/url.js';
import { StopgapError } from '../kernel/errors.js';

/** Where a server listens. Without a host on all interfaces. Port 0 takes any free port. */
export interface ListenAddress {
  readonly host: string | undefined;
  readonly port: number;
}

export const TLS_MODES = ['none', 'starttls', 'implicit'] as const;
export type TlsMode = (typeof TLS_MODES)[number];

/** Absolute paths of PEM files: both or none; without them a self-signed certificate is made. */
export interface TlsSettings {
  readonly mode: TlsMode;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

export interface SubmissionListener {
  readonly listen: ListenAddress;
  readonly tls: TlsSettings;
  /** True where AUTH may be given without TLS: the default on loopback only. */
  readonly allowInsecureAuth: boolean;
}

export interface InboundListener {
  readonly listen: ListenAddress;
  readonly tls: TlsSettings;
  /** The local domains that mail is taken for, in normal form; never empty. */
  readonly domains: readonly string[];
  /** Where it goes. */
  readonly relay: RelaySettings;
}

/** How many may connect, and how long they may take. */
export interface ConnectionLimits {
  /** At a time, a listener. */
  readonly maxConnections: number;
  /** For each client network: an IPv4 address, an IPv6 /64. */
  readonly perNetwork: {
    readonly connections: number;
    readonly newPerMinute: number;
    /** Networks without limits of their own, in normal form; `private` stands for loopback, private and link-local ones. */
    readonly except: readonly string[];
  };
  readonly timeouts: {
    /** From the connection to the login, or to the first sender of mail that arrives. */
    readonly login: Milliseconds;
    /** From our answer to the next command. */
    readonly command: Milliseconds;
  };
}

/** Where accepted mail goes. */
export interface RelaySettings {
  /** With absolute paths. May hold a password: not enumerable, so that no dump of the configuration shows it. */
  readonly url: string;
  readonly target: RelayTarget;
}

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['json', 'text'] as const;
export const LOG_ADDRESSES = ['plain', 'hashed'] as const;

/** What is logged, how, and where to besides standard error. */
export interface LogSettings {
  readonly level: LogLevel;
  readonly format: (typeof LOG_FORMATS)[number];
  readonly addresses: (typeof LOG_ADDRESSES)[number];
  /** The secret that hashes of addresses are made with. */
  readonly key: string;
  readonly file: string | undefined;
  /** Bytes. */
  readonly maxFileSize: number;
}

/** Where traces go, and how many. */
export interface TracingSettings {
  /** OTLP over HTTP, with its path. */
  readonly endpoint: string;
  /** The share of SMTP transactions that are traced, from 0 to 1. */
  readonly sample: number;
  /** What the process is called: `service.name`. */
  readonly service: string;
  /** Sent with each batch. May hold a secret: not enumerable, so that no dump of the configuration shows it. */
  readonly headers: Readonly<Record<string, string>>;
}

export const ROLES = ['smtp', 'detector', 'api', 'worker'] as const;
/**
 * What a process does. `smtp`: takes mail. `detector`: folds sends and acts on rules. `api`: HTTP. `worker`: timed
 * work. With SQLite one process does it all.
 */
export type Role = (typeof ROLES)[number];

/** Where events are kept. The URL may hold a password: not enumerable, so that no dump shows it. */
export type StoreSettings =
  { readonly kind: 'sqlite'; readonly file: string } | { readonly kind: 'kurrentdb'; readonly url: string };

/** What an SMTP node does while the store is away: sends wait on its disk. */
export interface OutboxSettings {
  readonly file: string;
  /** Sends that may wait. */
  readonly maxEvents: number;
  /** When it is full. `accept`: mail goes on, unrecorded. `defer`: clients are told to try again later. */
  readonly whenFull: 'accept' | 'defer';
}

export interface GeoipSettings {
  readonly country: string | undefined;
  readonly asn: string | undefined;
}

/** The validated configuration. All paths are absolute. */
export interface Config {
  /** The data directory. */
  readonly data: string;
  readonly roles: readonly Role[];
  readonly store: StoreSettings;
  readonly outbox: OutboxSettings;
  /** Where timed work waits; undefined: in the process. The URL may hold a password: not enumerable. */
  readonly redis: { readonly url: string } | undefined;
  readonly smtp: ConnectionLimits & {
    /** The name in the greeting and in Received headers. */
    readonly hostname: string;
    readonly submission: readonly SubmissionListener[];
    readonly inbound: readonly InboundListener[];
    readonly auth: {
      readonly backend: 'file';
      readonly users: string;
      /** Failed logins a minute that one client network may have. */
      readonly attemptsPerMinute: number;
    };
    readonly relay: RelaySettings;
    /** Bytes. */
    readonly maxMessageSize: number;
    /** Recipients a message. */
    readonly maxRecipients: number;
    readonly senders: SenderPolicy;
    readonly softFail: {
      /** What an honest refusal tells the sender to do; undefined: no contact is named. */
      readonly contact: string | undefined;
    };
  };
  readonly api: {
    readonly listen: ListenAddress;
    readonly tokens: string;
    /** Whether `/metrics` asks for a token. They tell wrong passwords from blocked accounts. */
    readonly metrics: 'open' | 'token';
    /** Under which URL the API is reached from outside, without a slash at its end. */
    readonly publicUrl: string | undefined;
  };
  /** The rules file; undefined: the built-in rules. */
  readonly rules: string | undefined;
  /** The overrides file. */
  readonly overrides: string | undefined;
  /** Databases in MaxMind's format that tell where a client is. */
  readonly geoip: GeoipSettings;
  readonly retention: { readonly sends: Milliseconds };
  readonly log: LogSettings;
  /** Undefined: nothing is traced. */
  readonly tracing: TracingSettings | undefined;
}

export interface LoadedConfig {
  readonly config: Config;
  /** True with no configuration file and no relay of one's own: loopback, demo account, mail into a Maildir. */
  readonly evaluation: boolean;
  /** Absolute path of the file that was read. */
  readonly file: string | undefined;
  /** What works but is probably not meant; one line each. */
  readonly warnings: readonly string[];
}

/** `127.0.0.1:2587`, `[::1]:2587`, `*:2587`. */
export function formatListen(address: ListenAddress): string {
  const { host = '*', port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Why a listener could not be opened: the setting that names it, and what to do about it. */
export function listenFault(thrown: unknown, setting: string, address: ListenAddress): unknown {
  const { code } = thrown as NodeJS.ErrnoException;
  const why = LISTEN_FAULTS[code ?? ''];
  if (why === undefined) return thrown;
  return new StopgapError('invalid-input', `${setting}: ${formatListen(address)} ${why}`);
}

const LISTEN_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken by another process (is Stopgap running already?): stop that, or name another port',
  EADDRNOTAVAIL: 'is no address of this machine: name one of its own, or a port alone',
  ENOTFOUND: 'is a name that nobody knows: name an address of this machine, or a port alone',
  EAI_AGAIN: 'is a name that no name server answers for: name an address of this machine, or a port alone',
  EACCES: 'is not for this user: ports below 1024 need CAP_NET_BIND_SERVICE; give it, or name another port',
};
