import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { ManualClock } from '../../support/manual-clock.js';
import { rulesChanged, sent } from '../../support/sends.js';
import { eventually } from '../../support/smtp/eventually.js';
import { newEvent } from '../../support/store/events.js';
import { openScene } from './scene.js';

const RULES =
  '  - { id: burst, per: account, count: recipients, window: 10m, limit: 10, then: block, for: 1h }';

/** Verdicts on what waited in an outbox: so many recipients at a time, so far apart, for an hour. */
async function verdictsOn(
  t: Parameters<typeof openScene>[0],
  recipients: number,
  every: number,
): Promise<readonly Verdict[]> {
  const clock = new ManualClock();
  const { distant, outbox } = await openScene(t, clock);
  const verdicts: Verdict[] = [];
  const models = new ReadModels({
    onVerdict: (verdict) => verdicts.push(verdict),
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: ({ type }, reason) => assert.fail(`${type}: ${reason}`),
  });
  const { data } = rulesChanged(RULES, clock.now(), 0);
  await distant.append('rules', [newEvent(data, { type: 'RulesChanged', at: clock.now() })], 'none');
  await models.follow(distant);
  distant.away = true;
  const end = clock.now() + 60 * MINUTE;
  for (; clock.now() < end; clock.advance(every)) {
    const message = sent(clock.now(), 0, { recipients }).data;
    const event = newEvent(message, { type: 'MessageAccepted', at: clock.now() });
    await outbox.append('send-alice@example.com', [event], 'any');
  }
  distant.away = false;
  await eventually('all is delivered and folded', async () => {
    if (outbox.waiting > 0) clock.advance(10 * SECOND);
    return outbox.waiting === 0 && models.position === (await distant.head());
  });
  await models.stop();
  return verdicts;
}

test('an hour of sends that waited is delivered within a second, and is no burst', async (t) => {
  // 60 recipients in all, against a limit of 10 in ten minutes.
  assert.deepEqual(await verdictsOn(t, 5, 5 * MINUTE), []);
});

test('a burst that waited in the outbox is still a burst', async (t) => {
  const verdicts = await verdictsOn(t, 6, 2 * MINUTE);
  assert.equal(verdicts[0]?.rule.id, 'burst');
});
