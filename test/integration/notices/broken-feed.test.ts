import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { NOTICES_CATEGORY } from '../../../src/notices/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { settle } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';
import { KEY } from '../../support/notices/channels.js';
import { Receiver } from '../../support/notices/receiver.js';
import { tokenOf } from '../../support/policy/token.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';
import { changed } from '../../support/store/changed.js';

describe('notices', () => {
  test('follow the events anew after a break, though a round fell due before', async (t) => {
    const receiver = await Receiver.start(t);
    const clock = new ManualClock();
    const channel = {
      name: 'ops',
      type: 'webhook',
      url: receiver.url(),
      secret: KEY,
      events: 'imposed',
      digest: '10s, 10s, 4h',
    };
    let breaks = false;
    let feeds = 0;
    const stopgap = await Stopgap.start(t, {
      clock,
      settings: { notices: { channels: [channel] } },
      throughStore: (store) =>
        changed(store, {
          subscribe(options, handler) {
            if (options.categories?.includes(NOTICES_CATEGORY) !== true)
              return store.subscribe(options, handler);
            feeds++;
            return store.subscribe(options, (event) => {
              if (breaks) throw new Error('disk I/O error');
              return handler(event);
            });
          },
        }),
    });
    const isKnown = (): boolean => stopgap.app.channelState('ops') !== undefined;
    await eventually('the events are followed', isKnown);
    await stopgap.block('account', ALICE);
    await eventually('it gathers', () => (stopgap.app.channelState('ops')?.gathered ?? 0) === 1);
    await settle();
    breaks = true;
    await stopgap.block('account', BOB);
    await eventually('the feed has broken', () =>
      stopgap.logs.some((line) => line.includes('the events for notices broke off')),
    );
    breaks = false;
    assert.equal(isKnown(), false, 'what it knows is not shown as if it were all');
    // The round that had fallen due by now must not take the place of what follows anew.
    clock.advance(20 * SECOND);
    // Whatever it would write is written by then.
    await stopgap.settled();
    await settle();
    assert.equal(feeds, 1);
    clock.advance(10 * SECOND);
    await eventually('the events are followed again', () => feeds === 2 && isKnown());
    await eventually('both blocks are told', () => {
      if (!stopgap.app.channelState('ops')!.deliveries.some(({ state }) => state === 'sending'))
        clock.advance(SECOND);
      const told = receiver.received.map(({ body }) => body).join();
      return told.includes(ALICE) && told.includes(BOB);
    });
    assert.equal(feeds, 2);
  });

  test('go on after somebody was forgotten, though the store was away for one question', async (t) => {
    const receiver = await Receiver.start(t);
    const clock = new ManualClock();
    const channel = { name: 'ops', type: 'webhook', url: receiver.url(), secret: KEY, events: 'imposed' };
    let isAway = false;
    const stopgap = await Stopgap.start(t, {
      clock,
      settings: { notices: { channels: [channel] } },
      throughStore: (store) =>
        changed(store, {
          async setRetention(...args: Parameters<EventStore['setRetention']>) {
            if (isAway && args[0] === NOTICES_CATEGORY) {
              isAway = false;
              throw new StoreUnavailable('the store is away');
            }
            return store.setRetention(...args);
          },
        }),
    });
    const token = await tokenOf(stopgap, 'me', 'admin');
    const dialogue = await stopgap.loggedIn(BOB);
    await dialogue.send(BOB, ['friend@example.org']);
    await dialogue.quit();
    await stopgap.settled();
    isAway = true;
    const answer = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/forget`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ subject: { type: 'account', value: BOB } }),
    });
    assert.equal(answer.status, 200);
    await eventually('all is folded anew', () =>
      stopgap.logs.some((line) => line.includes('all that is known was folded anew without them')),
    );
    assert.equal(isAway, false);
    await eventually('notices go on', () => stopgap.app.channelState('ops') !== undefined);
    await stopgap.block('account', ALICE);
    await eventually('the block is told', () => {
      if (!stopgap.app.channelState('ops')!.deliveries.some(({ state }) => state === 'sending'))
        clock.advance(SECOND);
      return receiver.received.some(({ body }) => body.includes(ALICE));
    });
  });
});
