import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { InTheAir } from '../../../src/recording/in-the-air.js';
import { RelayUnreachable } from '../../../src/smtp/relay/port.js';
import { isSettled } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';

const ALICE = 'alice@example.com';

test('messages of one account go at once as long as they have at most 200 recipients together', async () => {
  const clock = new ManualClock();
  const air = new InTheAir(clock);
  const singles = await Promise.all(Array.from({ length: 100 }, () => air.begin(ALICE, 1)));
  const hundred = await air.begin(ALICE, 100);
  const next = air.begin(ALICE, 1);
  assert.equal(await isSettled(next), false);
  assert.equal(await isSettled(air.begin('bob@example.com', 100)), true, 'a colleague does not wait');
  singles[0]!();
  (await next)();
  hundred();
  assert.equal(clock.waiting, 0, 'no alarm is left');
});

test('those that wait go in turn: a small message does not overtake a large one', async () => {
  const air = new InTheAir(new ManualClock());
  const first = await air.begin(ALICE, 150);
  const order: string[] = [];
  const large = air.begin(ALICE, 100).then((counted) => (order.push('large'), counted));
  const small = air.begin(ALICE, 1).then((counted) => (order.push('small'), counted));
  assert.equal(await isSettled(small), false);
  first();
  await Promise.all([large, small]);
  assert.deepEqual(order, ['large', 'small']);
});

test('a message with more recipients than may be in the air goes alone', async () => {
  const air = new InTheAir(new ManualClock());
  const alone = await air.begin(ALICE, 1000);
  const next = air.begin(ALICE, 1);
  assert.equal(await isSettled(next), false);
  alone();
  const small = await next;
  const again = air.begin(ALICE, 1000);
  assert.equal(await isSettled(again), false);
  small();
  await again;
});

test('a message that waits for a minute is put off, and later ones take its place', async () => {
  const clock = new ManualClock();
  const air = new InTheAir(clock);
  await air.begin(ALICE, 150);
  const large = air.begin(ALICE, 100);
  large.catch(() => undefined);
  clock.advance(MINUTE / 2);
  const small = air.begin(ALICE, 50);
  assert.equal(await isSettled(small), false);
  clock.advance(MINUTE / 2);
  await assert.rejects(large, RelayUnreachable);
  await small;
});

test('a message that is given up while it waits makes room at once, and one whose turn has come goes on', async () => {
  const clock = new ManualClock();
  const air = new InTheAir(clock);
  const first = await air.begin(ALICE, 150);
  const giveUps: (() => void)[] = [];
  const large = air.begin(ALICE, 100, (giveUp) => giveUps.push(giveUp));
  const small = air.begin(ALICE, 50, (giveUp) => giveUps.push(giveUp));
  assert.equal(await isSettled(small), false);
  giveUps[0]!();
  await assert.rejects(large, RelayUnreachable);
  giveUps[1]!();
  (await small)();
  first();
  assert.equal(clock.waiting, 0, 'no alarm is left');
});

test('who cannot wait may enter as far as the limits allow, which are asked ten times a second at most', () => {
  const clock = new ManualClock();
  const air = new InTheAir(clock);
  let asked = 0;
  const room = { messages: 3, recipients: 1000 };
  const roomOf = (): typeof room => (asked++, room);
  const enter = (recipients: number): boolean => {
    const may = air.mayEnter(ALICE, recipients, roomOf);
    if (may) air.enter(ALICE, recipients);
    return may;
  };
  assert.ok(enter(150));
  assert.equal(asked, 0, 'few are in the air');
  assert.ok(enter(800));
  assert.equal(enter(51), false, 'too many recipients');
  assert.ok(enter(50));
  assert.equal(enter(0), false, 'too many messages');
  assert.equal(asked, 1);
  air.leave(ALICE, 800);
  assert.equal(enter(1), false, 'what was counted is room no more');
  assert.equal(asked, 1);
  clock.advance(SECOND / 10);
  room.recipients = 201;
  assert.ok(enter(1));
  assert.equal(asked, 2);
  air.leave(ALICE, 1);
  air.leave(ALICE, 150);
  air.leave(ALICE, 50);
  assert.ok(enter(5000), 'one alone always may');
});

test('who cannot wait may enter where nothing has been counted for two seconds', () => {
  const clock = new ManualClock();
  const air = new InTheAir(clock);
  const may = (): boolean => air.mayEnter(ALICE, 200, () => ({ messages: 0, recipients: 0 }));
  for (let times = 0; times < 2; times++) air.enter(ALICE, 200);
  clock.advance(2 * SECOND - 1);
  assert.equal(may(), false);
  air.leave(ALICE, 200);
  clock.advance(2 * SECOND - 1);
  assert.equal(may(), false, 'one was counted meanwhile');
  clock.advance(1);
  assert.ok(may());
  air.leave(ALICE, 200);
  air.leave(ALICE, 200);
  assert.ok(may());
});
