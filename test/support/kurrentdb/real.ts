import type { KurrentDBClient } from '@kurrent/kurrentdb-client';
import type { EventStore } from '../../../src/store/port.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { underTest, type StoreHarness } from '../../contract/store/harness.js';
import { ManualClock } from '../manual-clock.js';
import { changed } from '../store/changed.js';
import { direct } from './direct.js';
import { KURRENTDB_LIMITS } from './limits.js';

/** Deletions under way at once. */
const AT_ONCE = 32;

/** The version that the server says it has. */
export function serverVersion(url: string): Promise<string> {
  return direct(url, async (client) => {
    // What the client found out by itself; not part of its types.
    const { capabilities } = client as unknown as { capabilities: Promise<{ serverVersion: string }> };
    return (await capabilities).serverVersion;
  });
}

/** Runs the contract on a server that others may be using: touches its own streams only, and deletes them. */
export function realHarness(url: string): StoreHarness {
  return {
    unsupported: {
      ...KURRENTDB_LIMITS,
      outage: 'a server that others may be using is not taken away',
      replacement: 'nor is its log',
    },
    async open() {
      const clock = new ManualClock();
      const streams = new Set<string>();
      const open = async () => noting(await openKurrentStore({ url, clock }), streams);
      return underTest(clock, open, () => direct(url, (client) => remove(client, [...streams])));
    },
  };
}

/** The same store; it notes which streams are written to. */
function noting(store: EventStore, streams: Set<string>): EventStore {
  return changed(store, {
    append: async (...call) => {
      const appended = await store.append(...call);
      streams.add(call[0]);
      return appended;
    },
  });
}

/** Deleted, not tombstoned: the next scavenge takes the events. */
async function remove(client: KurrentDBClient, streams: string[]): Promise<void> {
  const worker = async () => {
    for (let stream = streams.pop(); stream !== undefined; stream = streams.pop()) {
      await client.deleteStream(stream, { requiresLeader: true });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
