import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockExpired } from '../../../src/blocks/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { ManualClock } from '../../support/manual-clock.js';
import { awaited } from '../../support/distributed/awaited.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';
import { Dialogue } from '../../support/smtp/dialogue.js';

/** The built-in rule: more than a hundred recipients within ten minutes. */
const LIMIT = 100;
const AT_ONCE = 10;

/** Messages of ten recipients until one is refused; gives how many recipients were taken. */
async function flood(stopgap: Stopgap, user: string, most = 30): Promise<number> {
  const session = await Dialogue.hello(stopgap.port());
  try {
    // How a block shows from the start.
    if (!(await session.login(user, PASSWORDS[user]!)).startsWith('235')) return 0;
    const to = Array.from({ length: AT_ONCE }, (_, index) => `r${index}@elsewhere.test`);
    for (let n = 0; n < most; n++) {
      if (!(await session.send(user, to)).startsWith('250')) return n * AT_ONCE;
    }
    return most * AT_ONCE;
  } finally {
    session.vanish();
  }
}

async function refused(stopgap: Stopgap, user: string): Promise<boolean> {
  return (await flood(stopgap, user, 1)) === 0;
}

for (const [what, jump] of [
  ['back', -HOUR],
  ['forward', HOUR],
] as const) {
  test(`the clock jumps ${what} by an hour in mid-flood: the flood is contained all the same`, async (t) => {
    const clock = new ManualClock();
    const stopgap = await Stopgap.start(t, { clock });
    assert.equal(await flood(stopgap, ALICE, 6), 60);
    clock.jump(jump);
    const more = await flood(stopgap, ALICE);
    assert.ok(more <= LIMIT + AT_ONCE, `${more} recipients more`);
    assert.ok(await refused(stopgap, ALICE));
    assert.ok(!(await refused(stopgap, BOB)));
  });
}

test('a block while the clock jumps: it ends by the clock there is, and its end is recorded once', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock });
  await flood(stopgap, ALICE);
  const [imposed] = await stopgap.all('BlockImposed');
  const until = (imposed!.data as { until: number }).until;
  assert.equal(until, clock.now() + HOUR);
  // Forward without a timer that rings: `until` itself governs.
  clock.jump(HOUR);
  assert.ok(!(await refused(stopgap, ALICE)));
  // And back before the end is recorded: the block lasts as long as intended.
  clock.jump(-HOUR + MINUTE);
  assert.ok(await refused(stopgap, ALICE));
  clock.advance(HOUR);
  await awaited('its end is recorded', async () => (await stopgap.all('BlockExpired')).length === 1);
  assert.equal(((await stopgap.all('BlockExpired'))[0]!.data as BlockExpired).dueAt, until);
  assert.ok(!(await refused(stopgap, ALICE)));
  assert.equal((await stopgap.all('BlockImposed')).length, 1);
});
