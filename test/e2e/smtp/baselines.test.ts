import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { BlockImposed } from '../../../src/blocks/events.js';
import { DAY, MINUTE } from '../../../src/kernel/time.js';
import type { SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import { ManualClock } from '../../support/manual-clock.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

const RULES = `version: 1
learning: { days: 1, age: 1m, installation: 1m }
rules:
  - { id: hour, per: account, count: messages, window: 1h, limit: { baseline: 2x, floor: 1 }, then: block, for: 1h }
`;

test('what a sender usually does is known the day after, and after any start', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock, rules: RULES });
  const send = async (messages: number): Promise<readonly string[]> => {
    const session = await stopgap.loggedIn();
    const replies: string[] = [];
    for (let count = 0; count < messages; count++) {
      replies.push((await session.send(ALICE, ['carol@elsewhere.test'])).slice(0, 3));
      clock.advance(MINUTE);
    }
    await session.quit();
    return replies;
  };
  const limit = (): number | undefined =>
    stopgap.app.models.sendVolume.readings({ type: 'account', value: ALICE }, clock.now())[0]?.limit;

  // Two in an hour, and some more than an hour later, are no more than a stranger may.
  assert.deepEqual(await send(1), ['250']);
  clock.advance(90 * MINUTE);
  assert.deepEqual(await send(1), ['250']);
  assert.equal(limit(), 1);
  clock.advance(DAY);
  const summary = await stopgap.event(({ type }) => type === 'SenderDaySummarised');
  await stopgap.app.models.reached(summary.position);
  const { messages, peaks, networks } = summary.data as SenderDaySummarised;
  assert.deepEqual([messages, peaks, networks], [2, { 'messages/1h': 1 }, ['127.0.0.1']]);
  assert.equal(limit(), 2);

  const known = stopgap.app.models.sendVolume.profiles.profile('account', ALICE, dayOf(clock.now()));
  for (const how of ['from a snapshot', 'from nothing']) {
    await stopgap.stop();
    if (how === 'from nothing') await rm(path.join(stopgap.dir, 'data/snapshots'), { recursive: true });
    await stopgap.open();
    const { profiles } = stopgap.app.models.sendVolume;
    assert.deepEqual(profiles.profile('account', ALICE, dayOf(clock.now())), known, how);
    assert.equal(limit(), 2, how);
  }

  assert.deepEqual(await send(4), ['250', '250', '250', '451']);
  const [imposed, ...others] = await stopgap.all<BlockImposed>('BlockImposed');
  assert.deepEqual(others, []);
  assert.deepEqual([imposed!.data.evidence!.observed, imposed!.data.evidence!.limit], [3, 2]);
  assert.deepEqual(
    (await stopgap.all('SenderDaySummarised')).length,
    1,
    'written once, whatever was started',
  );
});
