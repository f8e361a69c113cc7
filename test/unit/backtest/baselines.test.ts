import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runBacktest } from '../../../src/backtest/run.js';
import type { CandidateReport } from '../../../src/backtest/report.js';
import { Trace } from '../../../src/backtest/trace/trace.js';
import { DAY, HOUR, MINUTE, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Line } from '../../support/backtest/traces.js';
import { line, series, traceFile } from '../../support/backtest/traces.js';

/** A Monday. */
const START = Date.UTC(2027, 0, 4, 8);
const RULES = `version: 1
learning: { days: 2, age: 3d, installation: 5d }
rules:
  - { id: hour, per: account, count: messages, window: 1h, limit: { baseline: 2x, floor: 5, start: 10 }, then: block, for: 1h }
`;

async function backtest(lines: readonly Line[], rules = RULES): Promise<CandidateReport> {
  const source = new Trace(traceFile([...lines].sort((a, b) => a.at - b.at).map(line)));
  const report = await runBacktest({
    source,
    candidates: [{ name: 'rules.yaml', rules: parseRules(rules) }],
  });
  return report.candidates[0]!;
}

const brief = ({ cases }: CandidateReport): readonly unknown[] =>
  cases.map(({ action, evidence }) => [action, evidence.limit, evidence.observed]);
const day = (number: number): { at: number } => ({ at: START + number * DAY });

describe('a back-test', () => {
  test('learns what is usual from day to day, as a running server does', async () => {
    const lines = [
      ...[0, 1, 2, 3, 4].flatMap((number) => series(day(number), 8, MINUTE)),
      ...series(day(7), 16, MINUTE),
      ...series(day(8), 40, MINUTE),
    ];
    assert.deepEqual(brief(await backtest(lines)), [['block', 32, 33]]);
  });

  test('proposes while the installation is young, and learns of what nobody objected to', async () => {
    const lines = [
      ...series(day(0), 20, SECOND),
      ...series(day(5), 20, SECOND),
      ...series(day(6), 45, SECOND),
    ];
    assert.deepEqual(brief(await backtest(lines)), [
      ['propose', 10, 11],
      ['block', 40, 41],
    ]);
  });

  for (const [condition, usual, strange, what] of [
    ['newCountry', { country: 'FR' }, { country: 'SE' }, 'country SE never seen before'],
    ['newAsn', { asn: 64_500 }, { asn: 64_501 }, 'autonomous system 64501 never seen before'],
  ] as const) {
    test(`knows where senders usually are: ${condition}`, async () => {
      const rules = `version: 1
learning: { days: 2, age: 3d, installation: 5d }
rules:
  - { id: abroad, per: account, count: messages, window: 1h, limit: 5, when: { ${condition}: true }, then: block, for: 1h }
`;
      const known = [0, 1, 2, 3, 4].flatMap((number) => series({ ...day(number), ...usual }, 8, MINUTE));
      const of = async (place: object): Promise<CandidateReport> =>
        backtest([...known, ...series({ ...day(8), ...place }, 8, SECOND)], rules);
      const { cases } = await of(strange);
      assert.deepEqual(
        cases.map(({ rule, blockedAt }) => [rule, blockedAt]),
        [['abroad', formatInstant(day(8).at + 5 * SECOND)]],
      );
      assert.match(cases[0]!.evidence.sentence, new RegExp(what));
      assert.deepEqual((await of(usual)).cases, []);
      assert.deepEqual((await of({})).cases, [], 'of whom it is not known where nothing is new');
    });
  }

  test('does not learn of what it blocks', async () => {
    const lines = [
      ...[0, 1, 2, 3].flatMap((number) => series(day(number), 2, HOUR)),
      ...series(day(8), 30, SECOND),
      ...series(day(9), 30, SECOND),
    ];
    assert.deepEqual(brief(await backtest(lines)), [
      ['block', 5, 6],
      ['block', 5, 6],
    ]);
  });

  test('summarises days at their time in any case, even if nothing does for weeks', async () => {
    const lines = [
      ...[0, 1, 2, 3].flatMap((number) => series(day(number), 8, MINUTE)),
      // An hour after midnight yesterday is known, and not before.
      ...series({ at: Date.UTC(2027, 0, 31, 23) }, 16, MINUTE),
      ...series({ at: Date.UTC(2027, 1, 1, 0, 30) }, 6, SECOND),
      ...series({ at: Date.UTC(2027, 1, 1, 1, 30) }, 32, MINUTE),
      ...series({ at: Date.UTC(2027, 1, 1, 3) }, 33, MINUTE),
    ];
    const rules = RULES.replace('baseline: 2x', 'baseline: 2x, record: 2x');
    assert.deepEqual(brief(await backtest(lines, rules)), [['block', 32, 33]]);
  });
});
