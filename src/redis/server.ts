import type { Redis } from 'ioredis';
import { Cluster } from 'ioredis';
import { StopgapError } from '../kernel/errors.js';
import type { RedisClient } from './connection.js';

export interface ServerFacts {
  /** As the server says it: `7.2.4`. Of a cluster the oldest. */
  readonly version: string;
  /** What it does when its memory is full; undefined where it does not say. Of a cluster the first that is wrong. */
  readonly evictionPolicy: string | undefined;
}

const OLDEST = [6, 2] as const;
/** The only policy under which Redis never throws away what it was given to keep. */
export const SAFE_POLICY = 'noeviction';

/**
 * Asks the server, or every master of a cluster, what it is.
 *
 * @throws StopgapError `unavailable` where one is older than 6.2; whatever the connection throws
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
  };
}

/** Resolves when the server, or every master of a cluster, has answered. @throws whatever the connection throws */
export async function pingServer(client: RedisClient): Promise<void> {
  await Promise.all(mastersOf(client).map((server) => server.ping()));
}

function mastersOf(client: RedisClient): readonly Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

/** Reads the reply to INFO. A server that gives no version counts as the oldest there is. */
export function readInfo(info: string): ServerFacts {
  return {
    version: /^redis_version:(\S+)/m.exec(info)?.[1] ?? '0',
    evictionPolicy: /^maxmemory_policy:(\S+)/m.exec(info)?.[1],
  };
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map((part) => parseInt(part, 10) || 0));
  const difference = [0, 1, 2].map((i) => (a![i] ?? 0) - (b![i] ?? 0)).find((d) => d !== 0);
  return difference !== undefined && difference < 0;
}
