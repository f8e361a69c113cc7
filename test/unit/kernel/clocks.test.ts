import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { watchRelay } from '../../../src/smtp/role.js';
import { FloodCoalescer } from '../../../src/kernel/flood-coalescer.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { ManualClock } from '../../support/manual-clock.js';

describe("the machine's clock", () => {
  test('rings after a span although it is set back meanwhile', async (t) => {
    // Alarms do not keep a process up.
    const up = setInterval(() => undefined, MINUTE);
    t.after(() => clearInterval(up));
    const before = systemClock.monotonic();
    const real = Date.now;
    const rung = new Promise<void>((resolve) => void systemClock.after(20, resolve));
    t.mock.method(Date, 'now', () => real() - HOUR);
    await rung;
    assert.ok(systemClock.monotonic() - before >= 20);
  });

  test('takes an alarm back', async (t) => {
    const up = setInterval(() => undefined, MINUTE);
    t.after(() => clearInterval(up));
    const never = systemClock.after(1, assert.fail);
    never();
    await new Promise<void>((resolve) => void systemClock.after(5, resolve));
  });
});

test('an upstream that mail has reached is well before the next probe, and whatever a probe under way says', async () => {
  const clock = new ManualClock();
  const answers: ((ok: boolean) => void)[] = [];
  const probe = (): Promise<{ ok: boolean; detail: string }> =>
    new Promise((resolve) => answers.push((ok) => resolve({ ok, detail: '' })));
  const watch = watchRelay({ healthy: true, probe }, clock);
  answers[0]!(false);
  await settled();
  assert.equal(watch.state, 'failing');
  watch.reached();
  assert.deepEqual(watch.state, 'ok');
  clock.advance(30 * SECOND);
  watch.reached();
  answers[1]!(false);
  await settled();
  assert.equal(watch.state, 'ok');
  clock.advance(30 * SECOND);
  answers[2]!(false);
  await settled();
  assert.equal(watch.state, 'failing');
  watch.stop();
});

test('an upstream that greets and leaves messages unanswered is not called failing, until it greets no more', async () => {
  const clock = new ManualClock();
  const relay = { healthy: true, ok: true, probe: async () => ({ ok: relay.ok, detail: '' }) };
  const watch = watchRelay(relay, clock);
  await settled();
  relay.healthy = false;
  assert.equal(watch.state, 'unanswered');
  clock.advance(30 * SECOND);
  await settled();
  assert.equal(watch.state, 'unanswered', 'that it greets says nothing of messages');
  relay.ok = false;
  clock.advance(30 * SECOND);
  await settled();
  assert.equal(watch.state, 'failing');
  Object.assign(relay, { healthy: true, ok: true });
  clock.advance(30 * SECOND);
  await settled();
  assert.equal(watch.state, 'ok');
  watch.stop();
});

for (const [how, jump] of [
  ['back', -HOUR],
  ['forward', HOUR],
] as const) {
  describe(`when the clock is set ${how} by an hour`, () => {
    test('the upstream is asked again at the same pace', async () => {
      const clock = new ManualClock();
      let asked = 0;
      const watch = watchRelay(
        { healthy: true, probe: async () => ({ ok: ++asked > 1, detail: '' }) },
        clock,
      );
      await settled();
      assert.equal(watch.state, 'failing');
      clock.jump(jump);
      clock.advance(29 * SECOND);
      await settled();
      assert.equal(asked, 1);
      clock.advance(SECOND);
      await settled();
      assert.deepEqual(watch.state, 'ok');
      watch.stop();
    });

    test('a flood is summarised at the same pace', () => {
      const clock = new ManualClock();
      const written: number[] = [];
      const summary = new FloodCoalescer<string>(clock, (_item, count) => void written.push(count));
      for (let n = 0; n < 4; n++) summary.add('a', 'a');
      clock.jump(jump);
      clock.advance(9 * SECOND);
      assert.deepEqual(written, [1]);
      clock.advance(SECOND);
      assert.deepEqual(written, [1, 3]);
    });
  });
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
