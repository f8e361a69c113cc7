import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { PassingSenders } from '../../../src/detector/passing-senders.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { ProcessHealth } from '../../../src/detector/process-health.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { ALICE, evidence } from '../../support/given.js';
import { ManualClock } from '../../support/manual-clock.js';

const [RULE] = parseRules(`version: 1
rules: [{ id: burst, per: account, count: recipients, window: 10m, limit: 100, then: block, for: 1h }]
`).rules;

/** Senders over a limit; `counted`: how often verdicts and observations were looked at. */
function scene() {
  const clock = new ManualClock();
  const counted = { verdicts: 0, observations: 0 };
  const nothing = (): void => undefined;
  const models = new ReadModels({
    onVerdict: nothing,
    onBlockEvent: nothing,
    onRulesChanged: nothing,
    onSkipped: nothing,
  });
  const ledger = new BlockLedger();
  const newest = ledger.observed.newest.bind(ledger.observed);
  ledger.observed.newest = () => {
    counted.observations++;
    return newest();
  };
  const verdict: Verdict = {
    kind: 'act',
    rule: RULE!,
    mode: 'enforce',
    subject: ALICE,
    at: clock.now(),
    evidence: evidence(),
  };
  const verdicts = [verdict];
  const responder = {
    unanswered: () => {
      counted.verdicts++;
      return verdicts;
    },
  };
  const { activeBlocks, exemptions, automaticBlocks, sendVolume, pastBlocks } = models;
  const known = { ledger, activeBlocks, exemptions, automaticBlocks, sendVolume, pastBlocks };
  return { clock, counted, models, verdicts, passing: new PassingSenders(known, responder, clock) };
}

describe('senders that nothing stops', () => {
  test('are worked out once a second at most, and anew after a decision', () => {
    const { clock, counted, passing, verdicts } = scene();
    clock.advance(MINUTE);
    for (let n = 0; n < 100; n++) assert.equal(passing.all.length, 1);
    assert.deepEqual(counted, { verdicts: 1, observations: 1 });
    verdicts.pop();
    assert.equal(passing.all.length, 1);
    passing.changed();
    assert.equal(passing.all.length, 0);
    clock.advance(SECOND);
    assert.equal(passing.all.length, 0);
    assert.deepEqual(counted, { verdicts: 3, observations: 3 });
  });

  test('are counted for /healthz by unanswered verdicts alone, and not at all for /readyz', () => {
    const { clock, counted, models, passing } = scene();
    clock.advance(MINUTE);
    const health = new ProcessHealth();
    assert.equal(health.unanswered, 0);
    health.opened({
      store: { healthy: true },
      outbox: undefined,
      follower: { models, passing, state: 'following', work: undefined, replacements: 0 },
    } as unknown as Parameters<ProcessHealth['opened']>[0]);
    for (let n = 0; n < 100; n++) health.report();
    assert.ok(!('pastBlocks' in health.report()), 'a thief would learn there that he is blocked');
    assert.deepEqual(counted, { verdicts: 0, observations: 0 });
    for (let n = 0; n < 100; n++) assert.equal(health.unanswered, 1);
    assert.deepEqual(counted, { verdicts: 1, observations: 0 });
  });
});
