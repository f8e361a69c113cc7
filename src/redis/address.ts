import { InvalidInput } from '../kernel/errors.js';

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

/** PEM texts, not paths. Everything may be left out: then the system's authorities are trusted. */
export interface RedisTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The name that the certificate must bear, if it is not the host's. */
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** Where Redis is, with secrets that may come from elsewhere than the URL (a file, the environment). */
export interface RedisSettings {
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /** Of the sentinels themselves, if they ask for one. */
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
  readonly tls?: RedisTls;
}

export interface RedisSecrets {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly sentinelUsername?: string | undefined;
  readonly sentinelPassword?: string | undefined;
  readonly tls?: RedisTls | undefined;
}

type Topology = 'single' | 'sentinel' | 'cluster';

/** A parsed address. Its secrets are private fields: no dump, log or JSON of it shows them. */
export class RedisAddress {
  readonly #secrets: RedisSecrets;

  constructor(
    readonly topology: Topology,
    readonly hosts: readonly RedisHost[],
    readonly encrypted: boolean,
    readonly db: number,
    /** The name of the sentinels' master group. */
    readonly master: string | undefined,
    secrets: RedisSecrets,
  ) {
    this.#secrets = secrets;
  }

  secrets(): RedisSecrets {
    return this.#secrets;
  }

  /** What the server says, without any secret: one that refuses a command may repeat it, and the login is a command. */
  conceal(text: string): string {
    const { password, sentinelPassword } = this.#secrets;
    return [password, sentinelPassword].reduce<string>(
      (rest, secret) => (secret ? rest.replaceAll(secret, '***') : rest),
      text,
    );
  }

  /** The address without any secret, for logs: `rediss+sentinel://a:26379,b:26379/mymaster/2`. */
  toString(): string {
    const scheme = this.encrypted ? 'rediss' : 'redis';
    const kind = this.topology === 'single' ? '' : `+${this.topology}`;
    const hosts = this.hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);
    const master = this.master === undefined ? '' : `/${encodeURIComponent(this.master)}`;
    return `${scheme}${kind}://${hosts.join(',')}${master}${this.db === 0 ? '' : `/${this.db}`}`;
  }
}

/** What {@link parseRedis} accepts, for error messages. */
const REDIS_FORMS =
  'redis://[user:password@]host[:port][/db], redis+sentinel://host[:port],…/<master>[/db] or ' +
  'redis+cluster://host[:port],… (with TLS: rediss…)';

const FORM =
  /^(redis|rediss)(?:[+-](sentinel|cluster))?:\/\/(?:([^/?#]*)@)?([^/?#@]*)((?:\/[^?#]*)?)(?:\?([^#]*))?$/i;

/**
 * Reads where Redis is: one server, sentinels that know it, or a cluster.
 *
 * @throws InvalidInput for `redis`; its message repeats nothing of the URL, which may hold a password
 */
export function parseRedis(given: string | RedisSettings): RedisAddress {
  const settings: RedisSettings = typeof given === 'string' ? { url: given } : given;
  const match = FORM.exec(settings.url.trim());
  if (match === null) throw new InvalidInput('redis', `is no address of Redis: use ${REDIS_FORMS}`);
  const topology = (match[2]?.toLowerCase() ?? 'single') as Topology;
  const colon = match[3]?.indexOf(':') ?? -1;
  const username = colon < 0 ? match[3] : match[3]!.slice(0, colon);
  const password = colon < 0 ? undefined : match[3]!.slice(colon + 1);
  const query = readQuery(match[6]);
  const hosts = match[4]!.split(',').map((text) => readHost(text, topology === 'sentinel' ? 26379 : 6379));
  if (topology === 'single' && hosts.length > 1)
    throw new InvalidInput('redis', 'names several hosts: use redis+sentinel:// or redis+cluster://');
  const path = match[5]!.split('/').filter((part) => part !== '');
  const master = topology === 'sentinel' ? path.shift() : undefined;
  if (topology === 'sentinel' && master === undefined)
    throw new InvalidInput(
      'redis',
      'lacks the name of the master group: redis+sentinel://host:port/<master>',
    );
  const db = path.length === 0 ? 0 : /^\d{1,5}$/.test(path[0]!) && path.length === 1 ? Number(path[0]) : NaN;
  if (Number.isNaN(db)) throw new InvalidInput('redis', 'must end in the number of a database, or in none');
  if (topology === 'cluster' && db !== 0)
    throw new InvalidInput('redis', 'names a database: a cluster has none but 0');
  return new RedisAddress(
    topology,
    hosts,
    match[1]!.toLowerCase() === 'rediss',
    db,
    master === undefined ? undefined : decode(master),
    {
      username:
        settings.username ?? (username === undefined || username === '' ? undefined : decode(username)),
      password: settings.password ?? (password === undefined ? undefined : decode(password)),
      sentinelUsername: settings.sentinelUsername ?? query.get('sentinelUsername') ?? undefined,
      sentinelPassword: settings.sentinelPassword ?? query.get('sentinelPassword') ?? undefined,
      tls: settings.tls,
    },
  );
}

function readQuery(text: string | undefined): URLSearchParams {
  const query = new URLSearchParams(text ?? '');
  for (const name of query.keys()) {
    if (name !== 'sentinelUsername' && name !== 'sentinelPassword')
      throw new InvalidInput('redis', `has a parameter that is not known: ${name}`);
  }
  return query;
}

function readHost(text: string, defaultPort: number): RedisHost {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/i.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port < 1 || port > 65535)
    throw new InvalidInput('redis', `has a host that cannot be read: use ${REDIS_FORMS}`);
  return { host, port };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new InvalidInput('redis', 'has a % that begins no escape: write %25 for the character itself');
  }
}
