import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RuleFit } from '../../../src/backtest/rule-fit.js';
import { fitRules } from '../../../src/backtest/rule-fit.js';
import { categoryOf } from '../../../src/kernel/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { ReadableStore } from '../../../src/store/open-for-reading.js';
import { ALICE } from '../../support/given.js';
import { Watching } from '../../support/watching.js';

/* One sender is enough to fit a limit where a rate of one wrong verdict in twenty days is asked for. */
const RATE = 1 / 20;
const HOURLY = `version: 1
rules:
  - { id: hour, per: account, count: messages, window: 1h, limit: { record: 2x, floor: 10 }, then: block, for: 2h }
`;

/** The store that holds this log. */
function storeOf({ log }: Watching): ReadableStore {
  return {
    head: () => Promise.resolve(log.length),
    close: () => Promise.resolve(),
    async *readAll({ categories = [] } = {}) {
      for (const event of log) if (categories.includes(categoryOf(event.stream))) yield event;
    },
  };
}

async function fits(watching: Watching, rules: string, rate = RATE): Promise<readonly RuleFit[]> {
  return fitRules(storeOf(watching), parseRules(rules), rate);
}

async function only(watching: Watching, rules = HOURLY): Promise<RuleFit> {
  const [fit, ...others] = await fits(watching, rules);
  assert.deepEqual(others, []);
  return fit!;
}

const days = (first: number, last: number): readonly number[] =>
  Array.from({ length: last - first }, (_, day) => first + day);

/** Four messages in a row on each of seventy days; on day 50, forty at once, which are above the limit from the 11th on. */
function flooded(answer: (watching: Watching, verdict: ReturnType<Watching['send']>[0]) => void): Watching {
  const watching = new Watching(HOURLY);
  watching.habit(days(0, 50), {}, 4, MINUTE);
  const [verdict] = watching.morning(50).send({}, 11, MINUTE);
  answer(watching, verdict!);
  watching.habit(days(51, 70), {}, 4, MINUTE);
  watching.morning(71);
  return watching;
}

describe('the history for a fit', () => {
  test('is the days of senders that are known, without those of the first week', async () => {
    const watching = new Watching(HOURLY);
    watching.habit(days(0, 70), {}, 4, MINUTE);
    watching.morning(71);
    const { days: known, senders, aboveToday, fitted } = await only(watching);
    assert.deepEqual([known, senders, aboveToday], [63, 1, 0]);
    assert.deepEqual(fitted, { k: 2, plus: 1, above: 0 });
  });

  test('leaves out a day with a block', async () => {
    const watching = flooded((each, verdict) => void each.impose(verdict));
    const { days: known, aboveToday, fitted } = await only(watching);
    assert.deepEqual([known, aboveToday], [62, 0]);
    assert.deepEqual(fitted, { k: 2, plus: 1, above: 0 });
  });

  test('has a day whose block was taken back on it, as high as the false positive teaches', async () => {
    const watching = flooded((each, verdict) => each.release(each.impose(verdict), true, verdict));
    const { days: known, aboveToday, fitted } = await only(watching);
    assert.deepEqual([known, aboveToday], [63, 1]);
    // The record was 4, and 11 messages were cut short: 22.
    assert.equal(Math.floor(fitted!.k * 4) + fitted!.plus, 22);
  });

  test('has a day as high as its sent mail, if the false positive was of arriving mail', async () => {
    const watching = flooded((each, verdict) => {
      const rule = { ...verdict.rule, direction: 'inbound' } as const;
      const arrived = { ...verdict, rule, subject: { ...ALICE, type: 'address' } } as const;
      each.release(each.impose(arrived), true, arrived);
    });
    const { days: known, aboveToday, fitted } = await only(watching);
    assert.deepEqual([known, aboveToday], [63, 1]);
    assert.equal(Math.floor(fitted!.k * 4) + fitted!.plus, 11);
  });

  test('has a day whose block was taken back after the day was over', async () => {
    const watching = flooded((each, verdict) => {
      const block = each.impose(verdict);
      each.morning(51);
      each.release(block, true, verdict);
    });
    const { days: known, aboveToday, fitted } = await only(watching);
    assert.deepEqual([known, aboveToday], [63, 1]);
    assert.equal(Math.floor(fitted!.k * 4) + fitted!.plus, 22);
  });

  test('leaves out a day whose proposal was approved on the next morning', async () => {
    const watching = flooded((each, verdict) => {
      const proposal = each.propose(verdict);
      each.morning(51).impose(verdict, proposal);
    });
    const { days: known, aboveToday, fitted } = await only(watching);
    assert.deepEqual([known, aboveToday], [62, 0]);
    assert.deepEqual(fitted, { k: 2, plus: 1, above: 0 });
  });

  test('has such a day once, as high as it teaches, if the block was then taken back', async () => {
    const watching = flooded((each, verdict) => {
      const proposal = each.propose(verdict);
      each.morning(51).impose(verdict, proposal);
      each.release(proposal, true, verdict);
    });
    const { days: known, aboveToday, fitted } = await only(watching);
    assert.deepEqual([known, aboveToday], [63, 1]);
    assert.equal(Math.floor(fitted!.k * 4) + fitted!.plus, 22);
  });

  test('has a day whose proposal nobody approved', async () => {
    const watching = flooded((each, verdict) => void each.propose(verdict));
    const { days: known, aboveToday } = await only(watching);
    assert.deepEqual([known, aboveToday], [63, 1]);
  });

  test('leaves out who has an override of the rule, and who is exempt', async () => {
    const bought = new Watching(HOURLY);
    bought.override({ type: 'account', value: ALICE.value }, { limits: { hour: 500 } });
    bought.habit(days(0, 70), {}, 4, MINUTE);
    assert.equal((await only(bought.morning(71))).days, 0);
    const exempt = new Watching(
      `${HOURLY}exempt:\n  - { subject: { type: account, value: ${ALICE.value} }, reason: ours }\n`,
    );
    exempt.habit(days(0, 70), {}, 4, MINUTE);
    assert.equal((await only(exempt.morning(71))).days, 0);
  });

  test('counts a peak for a rule that asks for a new place on days with a new place alone', async () => {
    const rules = HOURLY.replace(
      'then: block, for: 2h }',
      `then: block, for: 2h, score: { threshold: 2, signals: [{ newIp: true, points: 1 }, { newEhlo: true, points: 1 }] } }`,
    );
    for (const [where, above] of [
      [{}, 0],
      [{ ip: '203.0.113.9' }, 0],
      [{ ip: '203.0.113.9', ehlo: 'laptop.example.net' }, 1],
    ] as const) {
      const watching = new Watching(HOURLY.replace('then: block, for: 2h', 'then: observe'));
      watching.habit(days(0, 50), {}, 4, MINUTE);
      watching.morning(50).send(where, 30, MINUTE);
      watching.habit(days(51, 70), {}, 4, MINUTE);
      const { days: known, aboveToday } = await only(watching.morning(71), rules);
      assert.deepEqual([known, aboveToday], [63, above], JSON.stringify(where));
    }
  });

  test('is of rules that follow a record and that known senders can trip', async () => {
    const rules = `${HOURLY}  - { id: fixed, per: account, count: messages, window: 1h, limit: 50, then: block, for: 2h }
  - { id: typical, per: account, count: messages, window: 1h, limit: { baseline: 2x, floor: 10 }, then: block, for: 2h }
  - { id: early, per: account, count: messages, window: 1h, limit: { record: 2x, floor: 10 }, when: { learning: true }, then: block, for: 2h }
`;
    const found = await fits(new Watching(rules), rules);
    assert.deepEqual(
      found.map(({ rule, days: known, fitted, needed }) => [rule.id, known, fitted, needed]),
      [['hour', 0, undefined, 47]],
    );
  });

  test('of a window that no rule had until now says nothing', async () => {
    const watching = new Watching(HOURLY);
    watching.habit(days(0, 70), {}, 4, MINUTE);
    const daily = HOURLY.replace('1h', '24h');
    watching.until(watching.now + HOUR);
    assert.equal((await only(watching.morning(71), daily)).days, 0);
  });
});
