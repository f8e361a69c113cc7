import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import { keepProbed } from '../../../src/detector/housekeeping.js';
import { HOUR, SECOND } from '../../../src/kernel/time.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { settle } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';

/** A store whose probes the test answers. */
class Probed {
  readonly open: { resolve: () => void; reject: (error: Error) => void }[] = [];
  count = 0;
  healthy = true;

  probe(): Promise<void> {
    this.count++;
    return new Promise((resolve, reject) => this.open.push({ resolve, reject }));
  }

  async answer(error?: Error): Promise<void> {
    const { resolve, reject } = this.open.shift()!;
    if (error === undefined) resolve();
    else reject(error);
    await settle();
  }
}

function watched() {
  const clock = new ManualClock();
  const store = new Probed();
  const lines: Record<string, unknown>[] = [];
  const log = pino({ base: undefined }, { write: (line) => lines.push(JSON.parse(line) as never) });
  return { clock, store, lines, stop: keepProbed(store, clock, log) };
}

describe('a store that is looked after', () => {
  test('is probed every three seconds', async () => {
    const { clock, store, stop } = watched();
    for (let n = 1; n <= 3; n++) {
      clock.advance(3 * SECOND - 1);
      assert.equal(store.count, n - 1);
      clock.advance(1);
      assert.equal(store.count, n);
      await store.answer();
    }
    stop();
  });

  test('is never probed twice at a time', async () => {
    const { clock, store, stop } = watched();
    clock.advance(HOUR);
    assert.equal(store.count, 1, 'the first is not answered');
    await store.answer();
    clock.advance(3 * SECOND);
    assert.equal(store.count, 2);
    stop();
  });

  test('is told of in the log if a probe finds out that it is away, and probed on', async () => {
    const { clock, store, lines, stop } = watched();
    clock.advance(3 * SECOND);
    await store.answer(new StoreUnavailable('a probe: no answer'));
    assert.deepEqual(
      lines.map(({ level, msg, error }) => [level, msg, error]),
      [[40, 'the store takes no events', 'a probe: no answer']],
    );
    clock.advance(3 * SECOND);
    assert.equal(store.count, 2);
    await store.answer();
    assert.equal(lines.length, 1);
    stop();
  });

  test('is told of once where appends fail, however long, and once when it takes events again', async () => {
    const { clock, store, lines, stop } = watched();
    store.healthy = false;
    for (let n = 0; n < 100; n++) {
      clock.advance(3 * SECOND);
      await store.answer();
    }
    assert.deepEqual(
      lines.map(({ msg, error }) => [msg, error]),
      [['the store takes no events', 'appends have failed']],
    );
    store.healthy = true;
    for (let n = 0; n < 10; n++) {
      clock.advance(3 * SECOND);
      await store.answer();
    }
    assert.deepEqual(lines.map(({ msg, spanMs }) => [msg, spanMs]).slice(1), [
      ['the store takes events again', 297 * SECOND],
    ]);
    stop();
  });

  test('is left alone once stopped, also if a probe was under way', async () => {
    const { clock, store, lines, stop } = watched();
    clock.advance(3 * SECOND);
    stop();
    await store.answer(new StoreUnavailable('closed'));
    clock.advance(HOUR);
    assert.equal(store.count, 1);
    assert.equal(clock.waiting, 0);
    assert.deepEqual(lines, []);
  });
});
