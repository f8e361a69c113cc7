import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Appender } from '../../../src/import/history.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import type { NewEvent } from '../../../src/kernel/events.js';
import type { Appended } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';

const event = (id: number): NewEvent => ({ id: `e${id}`, type: 'T', data: {}, at: 0, by: 'system:import' });

/** A store in memory; each append is answered once it is let go, as the test says. */
class Held {
  readonly ids: string[] = [];
  readonly waiting: (() => void)[] = [];
  faults: Error[] = [];
  held = false;

  async append(_stream: string, [event]: readonly NewEvent[]): Promise<Appended> {
    if (this.held) await new Promise<void>((resolve) => this.waiting.push(resolve));
    const fault = this.faults.shift();
    if (fault !== undefined) throw fault;
    const duplicate = this.ids.includes(event!.id);
    if (!duplicate) this.ids.push(event!.id);
    return { revision: 0, position: 1, duplicate };
  }
}

describe('many events, appended', () => {
  test('are counted by whether they stood in the store', async () => {
    const store = new Held();
    const appender = new Appender(store, { isKnown: (id) => id === 'e3' });
    for (const id of [1, 2, 1, 3]) appender.put('send-a', event(id));
    await appender.finish();
    assert.deepEqual([appender.added, appender.known, store.ids], [2, 2, ['e1', 'e2']]);
  });

  test('wait for room if the store does not keep up', async () => {
    const store = new Held();
    store.held = true;
    const appender = new Appender(store);
    let put = 0;
    while (appender.room() === undefined) appender.put('send-a', event(put++));
    assert.ok(put >= 100 && put <= 1000, `${put} are under way`);
    let hasRoom = false;
    const room = appender.room()!.then(() => (hasRoom = true));
    store.waiting.shift()!();
    await new Promise(setImmediate);
    assert.equal(hasRoom, false, 'one by one costs too many turns');
    for (const answer of store.waiting.splice(0)) answer();
    await room;
    await appender.finish();
    assert.equal(appender.added, put);
  });

  test('are tried again while the store is away, for a while', async () => {
    const store = new Held();
    const pauses: number[] = [];
    const pause = (span: number): Promise<void> => Promise.resolve(void pauses.push(span));
    store.faults = [new StoreUnavailable('away'), new StoreUnavailable('away')];
    const appender = new Appender(store, { pause });
    appender.put('send-a', event(1));
    await appender.finish();
    assert.deepEqual([appender.added, pauses], [1, [250, 500]]);

    store.faults = Array.from({ length: 100 }, () => new StoreUnavailable('away for good'));
    appender.put('send-a', event(2));
    await assert.rejects(appender.finish(), { name: 'StoreUnavailable', message: 'away for good' });
    await assert.rejects(appender.room()!, { message: 'away for good' });
    assert.ok(pauses.reduce((sum, span) => sum + span) > 30_000);
  });

  test('that are in another stream are known; any other fault ends it', async () => {
    const store = new Held();
    store.faults = [new StopgapError('conflict', 'event e1 was written to another stream')];
    const appender = new Appender(store);
    appender.put('send-a', event(1));
    await appender.finish();
    assert.deepEqual([appender.added, appender.known], [0, 1]);
    store.faults = [new Error('a fault')];
    appender.put('send-a', event(2));
    await assert.rejects(appender.finish(), { message: 'a fault' });
  });
});
