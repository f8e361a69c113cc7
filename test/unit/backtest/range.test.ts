import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BacktestReport } from '../../../src/backtest/report.js';
import type { BacktestOptions } from '../../../src/backtest/run.js';
import { runBacktest } from '../../../src/backtest/run.js';
import { Trace } from '../../../src/backtest/trace/trace.js';
import { DAY, HOUR, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import { line, series, traceFile } from '../../support/backtest/traces.js';

const START = Date.UTC(2027, 0, 4, 8);
const END = START + 2 * DAY;
const RULES = parseRules(`version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h }
`);
/** Alice's eight messages at the beginning trip the rule; Bert and Carol write one each, a day later and two. */
const LINES = [
  ...series({ at: START }, 8, SECOND),
  { at: START + DAY, account: 'bert@example.com' },
  { at: END, account: 'carol@example.com' },
].map(line);

function backtest(range: Pick<BacktestOptions, 'from' | 'to'>): Promise<BacktestReport> {
  const candidates = [{ name: 'rules.yaml', rules: RULES }];
  return runBacktest({ source: new Trace(traceFile(LINES)), candidates, ...range });
}

describe('the range of a back-test', () => {
  const whole = { begins: formatInstant(START), ends: formatInstant(END) };
  const nothing = { from: null, to: null, messages: 0, senders: 0, senderDays: 0, blocks: 0 };
  const everything = {
    from: whole.begins,
    to: whole.ends,
    messages: 10,
    senders: 3,
    senderDays: 3,
    blocks: 1,
  };
  const bert = formatInstant(START + DAY);
  const single = { from: bert, to: bert, messages: 1, senders: 1, senderDays: 1, blocks: 0 };

  for (const [what, range, expected] of [
    ['none', {}, everything],
    ['begins before everything', { from: START - DAY }, everything],
    ['begins with the first', { from: START }, everything],
    ['ends after everything', { to: END + 1 }, everything],
    ['holds everything', { from: START - DAY, to: END + DAY }, everything],
    [
      'begins within',
      { from: START + DAY },
      { ...single, to: whole.ends, messages: 2, senders: 2, senderDays: 2 },
    ],
    [
      'ends within',
      { to: START + DAY },
      { ...everything, to: formatInstant(START + 7 * SECOND), messages: 8, senders: 1, senderDays: 1 },
    ],
    ['lies within', { from: START + HOUR, to: END }, single],
    ['lies between two messages', { from: START + DAY + 1, to: END }, nothing],
    ['begins after everything', { from: END + 1 }, nothing],
    ['ends before everything', { to: START - DAY }, nothing],
    ['ends with the first', { to: START }, nothing],
    ['lies before everything', { from: START - 2 * DAY, to: START - DAY }, nothing],
    ['lies after everything', { from: END + DAY, to: END + 2 * DAY }, nothing],
  ] as const) {
    test(`that ${what}: the report is of what lies in it, and says how far the source goes`, async () => {
      const { begins, ends, from, to, sends, senders, senderDays, candidates } = await backtest(range);
      const { accepted, refused, blocks, cases } = candidates[0]!;
      assert.deepEqual({ begins, ends }, whole);
      assert.deepEqual({ from, to, messages: sends.messages, senders, senderDays, blocks }, expected);
      assert.equal(accepted.messages + refused.messages, sends.messages);
      assert.equal(cases.length, blocks);
    });
  }

  test('does not stop the progress, which goes through all of it', async () => {
    const at: (number | undefined)[] = [];
    const candidates = [{ name: 'rules.yaml', rules: RULES }];
    await runBacktest({
      source: new Trace(traceFile(LINES)),
      candidates,
      from: END + DAY,
      onProgress: (so) => void at.push(so.at),
    });
    assert.equal(at.at(-1), END);
  });
});
