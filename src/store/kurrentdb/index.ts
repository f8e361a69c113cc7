import { SECOND, type Clock, type Milliseconds } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';
import type { BackoffOptions } from '../../runtime/backoff.js';
import { Nodes, redacted } from './nodes.js';
import { KurrentEventStore } from './store.js';

export type { KurrentEventStore } from './store.js';

export interface KurrentStoreOptions {
  /**
   * `kurrentdb://[user:password@]host[:port][,host…][?tls=…]`, `kurrentdb+discover://name` for a cluster behind one
   * DNS name, or either with `esdb`. The port is 2113 unless given, and TLS is on unless `tls=false`, where user
   * and password are ignored. `tlsCaFile`, `tlsVerifyCert`, `userCertFile`, `userKeyFile`, `nodePreference`,
   * `keepAliveInterval` and the like as in KurrentDB's documents.
   */
  readonly url: string;
  /** Tells what has outlived its retention. `recordedAt` is by the server's clock. */
  readonly clock: Clock;
  /** How long an append may wait for its answer, and each step of a read; 5 s unless given. */
  readonly appendTimeout?: Milliseconds;
  /** Pauses between attempts to reach the server; from 100 ms to 10 s unless given. */
  readonly retry?: BackoffOptions;
  /** How often the leader is asked how far the log goes, to see that subscriptions follow it; 3 s unless given. */
  readonly silence?: Milliseconds;
  /** Told of what the store puts right by itself, for a log: a lost subscription, a retention that could not be set. */
  readonly report?: (problem: string, error: unknown) => void;
}

/**
 * Opens a store in KurrentDB (23.10 or later). A server that is away is no error: the store opens after
 * `appendTimeout`, is not healthy, and becomes so by itself.
 *
 * What differs from an embedded store:
 * - Idempotence is the server's. An append with an expected revision (`none` or a number) that is made again is
 *   recognised by what stands in the stream. With `any` the server goes by a cache in memory: after its restart the
 *   same events are written once more, under the same ids, so whoever folds them must fold an id once. So is an id that
 *   it knows, in an append whose first id it does not. An id is not looked for in other streams.
 * - An append under `any` of which the stream holds a part is written in several appends: where one of them fails,
 *   those before it have been written.
 * - `duplicate` is told where this process could know: by positions that it had seen when the append was sent.
 * - `setRetention` lasts for this process. It puts `$maxAge` on each stream of the category at its first append, and
 *   passes over what is older in `readAll` and subscriptions. Deleting is the server's scavenge, which runs on each
 *   node: `sweep` deletes nothing and resolves with 0.
 * - At most 1 MiB an append, as the server is set by default; ids must be UUIDs; streams must not begin with `$`.
 *
 * @throws StoreRefused where the URL cannot be used, or the server refuses user or password
 */
export async function openKurrentStore(options: KurrentStoreOptions): Promise<KurrentEventStore> {
  const nodes = new Nodes(options.url);
  const store = new KurrentEventStore(nodes, await nodes.answering(), {
    appendTimeout: 5 * SECOND,
    retry: { first: 100, most: 10 * SECOND },
    silence: 3 * SECOND,
    report: () => undefined,
    ...withoutGaps(options),
  });
  try {
    await store.connect();
  } catch (error) {
    if (error instanceof StoreRefused) {
      await store.close();
      throw new StoreRefused(`KurrentDB at ${redacted(options.url)} refuses the user or password`);
    }
    options.report?.('KurrentDB is away; the store opens without it', error);
  }
  return store;
}

/** An option that is given as undefined is not given. */
function withoutGaps<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
