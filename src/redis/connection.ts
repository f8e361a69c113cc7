import type { RedisOptions } from 'ioredis';
import { Cluster, Redis } from 'ioredis';
import { StopgapError } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { pauseAfter, systemClock } from '../runtime/clock.js';
import type { RedisAddress } from './address.js';

export type RedisClient = Redis | Cluster;

/**
 * `producer`: a command fails at once where Redis is away, and in time if it does not answer. `worker`: commands wait
 * for Redis to come back, which is what BullMQ's workers ask for.
 */
export type Purpose = 'producer' | 'worker';

export interface RedisConnection {
  readonly client: RedisClient;
  /** Ends it, also while Redis is away; copies that were made of it stop reconnecting. */
  close(): void;
}

/** A restarted Redis is found again this soon: an expiry may be late by a minute, not by more. */
const LONGEST_PAUSE: Milliseconds = 2 * SECOND;
/** A server that has not answered by then is given up. */
export const PATIENCE: Milliseconds = 5 * SECOND;
const CONNECT_TIMEOUT: Milliseconds = 5 * SECOND;

/**
 * Connects, and goes on reconnecting until it is closed.
 *
 * @param onError told of every failed attempt and lost connection; the text holds no secret
 * @param patience a connection over which something was asked, and nothing came for so long, is given up for another:
 *   one that is half open would stay so for many minutes
 */
export function connectRedis(
  address: RedisAddress,
  purpose: Purpose,
  onError: (error: Error) => void,
  patience: Milliseconds = PATIENCE,
): RedisConnection {
  let closed = false;
  const pauseBefore = (attempt: number): number | null =>
    closed ? null : pauseAfter(attempt, { first: 100, most: LONGEST_PAUSE });
  const client = makeClient(address, purpose, patience, pauseBefore);
  client.on('error', onError);
  return {
    client,
    close: () => {
      closed = true;
      endClient(client);
    },
  };
}

/**
 * Ends a client for good. ioredis, told to disconnect between two attempts to connect, would leave the commands
 * that wait for the next one pending for ever: one last attempt makes it let go of them.
 */
export function endClient(client: Pick<RedisClient, 'status' | 'disconnect' | 'connect'>): void {
  client.disconnect();
  if (client.status !== 'reconnecting') return;
  const end = (): void => client.disconnect();
  client.connect().then(end, end);
}

function makeClient(
  address: RedisAddress,
  purpose: Purpose,
  patience: Milliseconds,
  pauseBefore: (attempt: number) => number | null,
): RedisClient {
  const { username, password, sentinelUsername, sentinelPassword, tls } = address.secrets();
  const encryption = address.encrypted ? { tls: { ...tls } } : {};
  const common: RedisOptions = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    connectTimeout: CONNECT_TIMEOUT,
    socketTimeout: patience,
    reconnectOnError: leavesReplica(systemClock),
    ...(purpose === 'worker'
      ? { maxRetriesPerRequest: null }
      : { maxRetriesPerRequest: 0, commandTimeout: patience, autoResendUnfulfilledCommands: false }),
  };
  const enableOfflineQueue = purpose === 'worker';
  if (address.topology === 'cluster') {
    return new Cluster([...address.hosts], {
      enableOfflineQueue,
      clusterRetryStrategy: pauseBefore,
      redisOptions: { ...common, ...encryption },
      // The certificate is for the name: a looked-up address must not replace it.
      ...(address.encrypted ? { dnsLookup: (name, done) => done(null, name) } : {}),
    });
  }
  const single: RedisOptions = {
    ...common,
    ...encryption,
    db: address.db,
    enableOfflineQueue,
    retryStrategy: pauseBefore,
  };
  if (address.topology === 'single') return new Redis({ ...single, ...address.hosts[0]! });
  return new Redis({
    ...single,
    sentinels: [...address.hosts],
    name: address.master!,
    sentinelRetryStrategy: pauseBefore,
    ...(address.encrypted ? { enableTLSForSentinelMode: true, sentinelTLS: { ...tls } } : {}),
    ...(sentinelUsername === undefined ? {} : { sentinelUsername }),
    ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
  });
}

/**
 * Whether to connect again after this error: after a failover the former master is READONLY until it is left. One that
 * stays so is left no more often than one that is away is tried: ioredis itself would come back at once, for ever.
 */
export function leavesReplica(clock: Pick<AlarmClock, 'monotonic'>): (error: Error) => boolean {
  let last = -Infinity;
  return (error) => {
    if (!error.message.startsWith('READONLY') || clock.monotonic() - last < LONGEST_PAUSE) return false;
    last = clock.monotonic();
    return true;
  };
}

/** Whether it is connected: of a cluster, whether one of its servers is. */
export function isReady(client: Pick<RedisClient, 'status'>): boolean {
  return client.status === 'ready' || (client instanceof Cluster && client.status === 'connect');
}

/** Whether Redis answered, and said no. */
export function isRefusal(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/** Whether Redis has no database of this number. ioredis goes on in database 0, which may be somebody else's. */
export function lacksDatabase(error: Error): boolean {
  return error.message.startsWith('ERR DB index is out of range');
}

interface ServerFacts {
  /** As the server says it: `7.2.4`. In a cluster the oldest one. */
  readonly version: string;
  /** What it does when its memory is full; undefined if it does not say. In a cluster the first one that is wrong. */
  readonly evictionPolicy: string | undefined;
  /** It takes writes from its primary alone. In a cluster: whether one does. */
  readonly isReplica: boolean;
  /** It has used all the memory that it may, in bytes; undefined while there is room. In a cluster: of the first that has. */
  readonly fullAt: number | undefined;
}

const OLDEST = [6, 2] as const;
/** The only policy under which Redis never throws away what it was given to keep. */
export const SAFE_POLICY = 'noeviction';

/**
 * Asks the server, or every master of a cluster, what it is.
 *
 * @throws StopgapError `unavailable` if one is older than 6.2; and what the connection throws
 */
export async function inspectServer(client: RedisClient): Promise<ServerFacts> {
  const facts = (await Promise.all(mastersOf(client).map((server) => server.info()))).map(readInfo);
  const oldest = facts.reduce((a, b) => (isOlder(b.version, a.version) ? b : a));
  if (isOlder(oldest.version, OLDEST.join('.'))) {
    const message = `Redis ${oldest.version} is too old: timed work needs ${OLDEST.join('.')} or newer`;
    throw new StopgapError('unavailable', message, { version: oldest.version });
  }
  const policies = facts.map(({ evictionPolicy }) => evictionPolicy);
  return {
    version: oldest.version,
    evictionPolicy: policies.find((name) => name !== SAFE_POLICY) ?? policies[0],
    isReplica: facts.some(({ isReplica }) => isReplica),
    fullAt: facts.find(({ fullAt }) => fullAt !== undefined)?.fullAt,
  };
}

/** Resolves when the server, or every master of a cluster, has answered. @throws and what the connection throws */
export async function pingServer(client: RedisClient): Promise<void> {
  await Promise.all(mastersOf(client).map((server) => server.ping()));
}

function mastersOf(client: RedisClient): readonly Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

/** Reads the reply to INFO. A server that gives no version counts as the oldest there is. */
export function readInfo(info: string): ServerFacts {
  const says = (name: string): string | undefined => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1];
  const bytes = (name: string): number => Number(says(name) ?? 0);
  const most = bytes('maxmemory');
  // As Redis itself reckons: buffers for replicas and for the appendonly file do not count.
  const used = bytes('used_memory') - bytes('mem_not_counted_for_evict');
  return {
    version: says('redis_version') ?? '0',
    evictionPolicy: says('maxmemory_policy'),
    isReplica: says('role') === 'slave' || says('role') === 'replica',
    fullAt: most > 0 && used > most ? most : undefined,
  };
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map((part) => parseInt(part, 10) || 0));
  const difference = [0, 1, 2].map((i) => (a![i] ?? 0) - (b![i] ?? 0)).find((d) => d !== 0);
  return difference !== undefined && difference < 0;
}
