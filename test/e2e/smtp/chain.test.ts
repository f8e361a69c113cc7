import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockExpired, BlockImposed } from '../../../src/blocks/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { ManualClock } from '../../support/manual-clock.js';
import type { Dialogue } from '../../support/smtp/dialogue.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const SUBJECT = { type: 'account', value: ALICE };
const SOFT = '451 4.3.2 Service temporarily unavailable, please try again later';

/** So many different recipients. */
function recipients(count: number, name = 'r'): string[] {
  return Array.from({ length: count }, (_, index) => `${name}${index}@elsewhere.test`);
}

/** Sends to so many recipients, one message for each fifty. */
async function sendTo(dialogue: Dialogue, count: number): Promise<string[]> {
  const replies: string[] = [];
  for (let left = count; left > 0; left -= 50) {
    replies.push(await dialogue.send(ALICE, recipients(Math.min(left, 50))));
  }
  return replies;
}

async function rcpt(dialogue: Dialogue, from = ALICE): Promise<string> {
  await dialogue.say('RSET');
  assert.match(await dialogue.say(`MAIL FROM:<${from}>`), /^250 /);
  return dialogue.say('RCPT TO:<one@elsewhere.test>');
}

test('one recipient too many: refused softly, explained, released, let in again', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock });
  const cutOff = await Stopgap.start(t);
  await cutOff.upstream.stop();
  let session = await stopgap.loggedIn();

  await t.test('the limit itself is allowed', async () => {
    for (const reply of await sendTo(session, 100)) assert.match(reply, /^250 /);
    assert.match(await rcpt(session), /^250 /);
    await session.say('RSET');
  });

  await t.test(
    'the message that goes beyond it is the last: it is taken, and the block is in force by then',
    async () => {
      assert.match(await session.send(ALICE, ['last@elsewhere.test']), /^250 /);
      assert.equal(stopgap.app.models.activeBlocks.size, 1);
      const [imposed] = await stopgap.all<BlockImposed>('BlockImposed');
      assert.deepEqual(imposed!.data.subject, SUBJECT);
      assert.equal(imposed!.by, 'rule:burst@1');
      assert.equal(imposed!.data.until, clock.now() + HOUR);
      assert.equal(imposed!.data.evidence!.observed, 101);
      assert.match(imposed!.data.evidence!.sentence, /101 .*recipients/);
    },
  );

  await t.test('in the same session RCPT fails with the bytes of an unreachable upstream', async () => {
    assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^250 /);
    const refused = await session.say('RCPT TO:<one@elsewhere.test>');
    const other = await cutOff.loggedIn();
    assert.equal(refused, await rcpt(other));
    assert.equal(refused, SOFT);
    await other.quit();
  });

  await t.test('a new session: EHLO as ever, AUTH as with a wrong password', async () => {
    const blocked = await stopgap.hello();
    const free = await stopgap.hello();
    assert.equal(await blocked.say('EHLO again.test'), await free.say('EHLO again.test'));
    assert.equal(await blocked.login(ALICE, PASSWORDS[ALICE]!), await free.login(BOB, WRONG));
    assert.match(await free.login(BOB, PASSWORDS[BOB]!), /^235 /);
    assert.match(await free.send(BOB, recipients(1)), /^250 /);
    await Promise.all([blocked.quit(), free.quit()]);
  });

  await t.test(
    'released: the very next RCPT of the old session works, AUTH works too, and its next message needs a new login',
    async () => {
      assert.equal(await rcpt(session), SOFT);
      await stopgap.release('account', ALICE);
      assert.match(await session.say('RCPT TO:<one@elsewhere.test>'), /^250 /);
      const next = await stopgap.loggedIn();
      await session.say('RSET');
      assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^421 4\.7\.0 Please log in again$/);
      session = next;
    },
  );

  await t.test('grace: for an hour the limits are tripled, and what was judged counts no more', async () => {
    for (const reply of await sendTo(session, 300)) assert.match(reply, /^250 /);
    assert.match(await rcpt(session), /^250 /);
    await session.say('RSET');
    assert.match(await session.send(ALICE, recipients(1)), /^250 /);
    assert.equal(await rcpt(session), SOFT);
    const imposed = await stopgap.all<BlockImposed>('BlockImposed');
    assert.equal(imposed.length, 2);
    assert.equal(imposed[1]!.data.evidence!.observed, 301);
  });

  await t.test('after the hour they are what they were', async () => {
    await stopgap.release('account', ALICE);
    clock.advance(HOUR + MINUTE);
    session = await stopgap.loggedIn();
    for (const reply of await sendTo(session, 100)) assert.match(reply, /^250 /);
    assert.match(await session.send(ALICE, recipients(1)), /^250 /);
    assert.equal(await rcpt(session), SOFT);
    assert.equal((await stopgap.all('BlockImposed')).length, 3);
  });
  await session.quit();
});

test('a block ends by the clock, before and without its expiry being recorded', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock });
  const session = await stopgap.loggedIn();
  const until = clock.now() + 10 * MINUTE;
  await stopgap.block('account', ALICE, { until });
  assert.equal(await rcpt(session), SOFT);

  clock.skip(10 * MINUTE - 1);
  assert.equal(await rcpt(session), SOFT);
  clock.skip(1);
  const again = await stopgap.loggedIn();
  assert.match(await rcpt(again), /^250 /, 'works although no timer has rung');
  assert.equal((await stopgap.all('BlockExpired')).length, 0);

  clock.skip(5 * MINUTE);
  clock.advance(0);
  const expired = await stopgap.event(({ type }) => type === 'BlockExpired');
  assert.equal((expired.data as BlockExpired).dueAt, until);
  assert.equal(expired.at, until, 'dated when it fell due, not when somebody noticed');
  assert.equal(expired.by, 'system:expiry');
  await again.quit();
});

test('a block that fell due while the process was down expires at the start, with the time at which it did', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock });
  const until = clock.now() + MINUTE;
  await stopgap.block('account', ALICE, { until });
  await stopgap.stop();
  clock.skip(HOUR);
  await stopgap.open();
  await (await stopgap.loggedIn()).quit();
  clock.advance(0);
  const expired = await stopgap.event(({ type }) => type === 'BlockExpired');
  assert.equal((expired.data as BlockExpired).dueAt, until);
});

test('a restart keeps the windows exactly: 98 before, 3 after', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock });
  const before = await stopgap.loggedIn();
  for (const reply of await sendTo(before, 98)) assert.match(reply, /^250 /);
  await before.quit();
  clock.advance(5 * MINUTE);
  await stopgap.restart();
  const after = await stopgap.loggedIn();
  assert.match(await after.send(ALICE, recipients(2)), /^250 /);
  assert.match(await rcpt(after), /^250 /, 'exactly a hundred are no reason');
  await after.say('RSET');
  assert.match(await after.send(ALICE, recipients(1)), /^250 /);
  assert.equal(await rcpt(after), SOFT);
  const [imposed] = await stopgap.all<BlockImposed>('BlockImposed');
  assert.equal(imposed!.data.evidence!.observed, 101);
  await after.quit();

  await t.test('and the block too', async () => {
    await stopgap.restart();
    const session = await stopgap.hello();
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^535 /);
    await session.quit();
  });
});
