import type { RedisOptions } from 'ioredis';
import { Cluster, Redis } from 'ioredis';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { RedisAddress } from './address.js';
import { pauseAfter } from '../runtime/backoff.js';

export type RedisClient = Redis | Cluster;

/**
 * `producer`: a command fails at once where Redis is away, and in time where it does not answer.
 * `worker`: commands wait for Redis to come back, which is what BullMQ's workers ask for.
 */
export type Purpose = 'producer' | 'worker';

export interface RedisConnection {
  readonly client: RedisClient;
  /** Ends it, also while Redis is away; copies that were made of it stop reconnecting. */
  close(): void;
}

/** A restarted Redis is found again this soon: an expiry may be late by a minute, not by more. */
const LONGEST_PAUSE: Milliseconds = 2 * SECOND;
/** Who has not answered by then does not. */
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
    // After a failover the former master answers so until it is left.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
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
      // The certificate is for the name: what a lookup answers must not stand in for it.
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
