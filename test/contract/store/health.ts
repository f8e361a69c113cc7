import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, newEvents, uniqueCategory } from '../../support/store/events.js';
import type { StoreHarness, StoreUnderTest } from './harness.js';

export function healthContract(harness: StoreHarness): void {
  const apart = async (
    play: (subject: StoreUnderTest, store: EventStore) => Promise<void>,
  ): Promise<void> => {
    const subject = await harness.open();
    try {
      await play(subject, subject.store);
    } finally {
      await subject.destroy();
    }
  };

  describe('health without appends', () => {
    const skip = harness.unsupported?.outage ?? false;

    it('is checked by probes, which write no event', () =>
      apart(async (_, store) => {
        await store.append(`${uniqueCategory()}-a`, newEvents(2), 'none');
        const after = await store.head();
        for (let n = 0; n < 3; n++) await store.probe();
        assert.equal(store.healthy, true);
        // On a server that others use, there may be events of theirs.
        const since = await collect(store.readAll({ after }));
        assert.deepEqual(
          since.filter(({ stream }) => stream.includes('probe')),
          [],
        );
        await store.close();
        await assert.rejects(store.probe(), StoreUnavailable);
      }));

    it('is lost when a probe finds that the store takes nothing, and comes back by itself', { skip }, () =>
      apart(async ({ outage }, store) => {
        await outage!.begin();
        assert.equal(store.healthy, true, 'nobody has looked');
        await assert.rejects(store.probe(), StoreUnavailable);
        assert.equal(store.healthy, false);
        await assert.rejects(store.probe(), StoreUnavailable, 'what is known already is said again');
        assert.equal(store.healthy, false);
        await outage!.end();
        await eventually('it is healthy by itself', () => store.healthy);
        await store.append(`${uniqueCategory()}-a`, newEvents(1), 'none');
      }),
    );

    it('is not probed if an append has succeeded since the last probe', { skip }, () =>
      apart(async ({ outage }, store) => {
        await store.append(`${uniqueCategory()}-a`, newEvents(1), 'none');
        await outage!.begin();
        await store.probe();
        assert.equal(store.healthy, true, 'the append said enough');
        await assert.rejects(store.probe(), StoreUnavailable);
        assert.equal(store.healthy, false);
      }),
    );
  });
}
