import type { KurrentDBClient } from '@kurrent/kurrentdb-client';
import type { EventStore } from '../../../src/store/port.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import type { StoreHarness } from '../../contract/store/harness.js';
import { DrivenClock } from '../store/clock.js';
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
    unsupported: KURRENTDB_LIMITS,
    async open() {
      const clock = new DrivenClock();
      const streams = new Set<string>();
      const open = async () => noting(await openKurrentStore({ url, clock }), streams);
      const subject = {
        store: await open(),
        clock,
        async reopen() {
          await subject.store.close();
          subject.store = await open();
        },
        async destroy() {
          await subject.store.close();
          await direct(url, (client) => remove(client, [...streams]));
        },
      };
      return subject;
    },
  };
}

/** The same store; it notes which streams are written to. */
function noting(store: EventStore, streams: Set<string>): EventStore {
  return new Proxy(store, {
    get(target, name) {
      if (name === 'append') {
        return async (...call: Parameters<EventStore['append']>) => {
          const appended = await target.append(...call);
          streams.add(call[0]);
          return appended;
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
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
