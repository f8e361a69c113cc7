import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Labels } from '../../../src/backtest/labels.js';
import type { BacktestReport, CandidateReport } from '../../../src/backtest/report.js';
import type { BacktestOptions } from '../../../src/backtest/run.js';
import { runBacktest } from '../../../src/backtest/run.js';
import { Trace } from '../../../src/backtest/trace/trace.js';
import { DAY, HOUR, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Line } from '../../support/backtest/traces.js';
import { line, series, traceFile } from '../../support/backtest/traces.js';

const START = Date.UTC(2027, 0, 4, 8);
const BURST =
  '  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h }\n';

async function backtest(
  lines: readonly Line[],
  [rules]: readonly [string],
  more: Partial<BacktestOptions> = {},
): Promise<BacktestReport> {
  const source = new Trace(traceFile(lines.map(line)));
  const candidate = { name: 'rules.yaml', rules: parseRules(`version: 1\nrules:\n${rules}`) };
  return runBacktest({ source, candidates: [candidate], ...more });
}

async function alone(...args: Parameters<typeof backtest>): Promise<CandidateReport> {
  return (await backtest(...args)).candidates[0]!;
}

describe('labels', () => {
  const spam = series({ at: START, account: 'victim@example.com' }, 20, SECOND);
  const bulk = series({ at: START + 500, account: 'news@example.com' }, 10, SECOND);
  const clean = series({ at: START + 700 }, 3, SECOND);
  const own = { at: START + 3 * DAY, account: 'victim@example.com' };
  const lines = [...[...spam, ...bulk, ...clean].sort((a, b) => a.at - b.at), own];
  const labels = Labels.parse(
    JSON.stringify({
      attacks: [
        {
          id: 'a0',
          kind: 'burst',
          accounts: ['victim@example.com'],
          start: formatInstant(START),
          end: formatInstant(spam.at(-1)!.at),
          sent: spam.map(({ at }) => `victim@example.com ${formatInstant(at)}`),
        },
      ],
      bulk: ['news@example.com'],
    }),
    'labels.json',
  );

  test('judge every block, and give the figures', async () => {
    const { cases, score } = await alone(lines, [BURST], { labels });
    assert.deepEqual(
      cases.map(({ subject, judged }) => [subject.value, judged]),
      [
        ['victim@example.com', 'right'],
        ['news@example.com', 'wrong'],
      ],
    );
    const burst = {
      attacks: 1,
      absent: 0,
      contained: 1,
      leakedMedian: 6,
      leakedP95: 6,
      leakedShare: 0.3,
      leakedBefore: 6,
      leakedAfter: 0,
      caughtBy: { burst: 1 },
    };
    assert.deepEqual(score, {
      ...burst,
      byKind: { burst },
      senderDays: 3,
      blocks: 2,
      wrongBlocks: 1,
      wrongBlocksPer1000SenderDays: 333.333333,
      proposals: 0,
      proposalsPer1000SenderDays: 0,
      cleanMessages: 3,
      cleanStoppedShare: 0,
      ownersStoppedShare: 0,
      bulkStoppedShare: 0.4,
    });
  });

  test('credit each block that covers the attack, not only the one that refuses', async () => {
    const rules = `${BURST}  - { id: path, per: address, count: recipients, window: 10m, limit: 5, then: block, for: 2h }\n`;
    const { cases } = await alone(lines, [rules], { labels });
    assert.deepEqual(
      cases
        .filter(({ judged }) => judged === 'right')
        .map(({ subject, refused }) => [subject.type, refused.messages]),
      [
        ['account', 0],
        ['address', 14],
      ],
    );
  });

  test('call a proposal right if a message of the attack tripped it', async () => {
    const rules = BURST.replace('then: block', 'then: propose');
    const { cases, score } = await alone(lines, [rules], { labels });
    assert.deepEqual(
      cases.map(({ subject, judged }) => [subject.value, judged]),
      [
        ['victim@example.com', 'right'],
        ['news@example.com', 'wrong'],
      ],
    );
    assert.deepEqual([score!.proposals, score!.contained, score!.leakedShare], [2, 0, 1]);
  });

  test('judge a block also for the rule that had proposed it; in all it is one case', async () => {
    const early = BURST.replace('burst', 'early').replace('limit: 5', 'limit: 2').replace('block', 'propose');
    const { byRule, ...report } = await alone(lines, [early + BURST], { labels });
    assert.deepEqual(
      byRule.map(({ rule, blocks, proposals, right, wrong }) => [rule, blocks, proposals, right, wrong]),
      [
        ['early', 0, 3, 1, 2],
        ['burst', 2, 0, 1, 1],
      ],
    );
    assert.deepEqual([report.blocks, report.proposals, report.right, report.wrong], [2, 3, 1, 2]);
  });

  test('count a proposal that another rule made longer for both, and once in all', async () => {
    const proposing = BURST.replace('then: block', 'then: propose');
    const longer = proposing.replace('burst', 'longer').replace('limit: 5', 'limit: 7').replace('1h', '4h');
    const { byRule, ...report } = await alone(lines, [proposing + longer], { labels });
    assert.deepEqual(
      byRule.map(({ rule, proposals, right, wrong }) => [rule, proposals, right, wrong]),
      [
        ['burst', 2, 1, 1],
        ['longer', 2, 1, 1],
      ],
    );
    assert.deepEqual([report.proposals, report.right, report.wrong], [2, 1, 1]);
  });

  /** Those above, and a second attack whose messages are nowhere: so many. */
  function beside(absent: number): Labels {
    const sent = (from: Line, count: number): readonly string[] =>
      series(from, count, SECOND).map(({ at, account }) => `${account} ${formatInstant(at)}`);
    const span = { start: formatInstant(START), end: formatInstant(START + HOUR) };
    const [there, gone] = ['victim@example.com', 'gone@example.com'];
    const attacks = [
      { id: 'a0', kind: 'burst', accounts: [there], ...span, sent: sent({ at: START, account: there }, 20) },
      { id: 'a1', kind: 'slow', accounts: [gone], ...span, sent: sent({ at: START, account: gone }, absent) },
    ];
    return Labels.parse(JSON.stringify({ attacks, bulk: [] }), 'labels.json');
  }

  test('of messages that are not there count for nothing, and how many is told', async () => {
    const { labelled, candidates } = await backtest(lines, [BURST], { labels: beside(20) });
    assert.deepEqual(labelled, { messages: 40, missing: 20 });
    const { attacks, absent, contained, leakedMedian, byKind } = candidates[0]!.score!;
    assert.deepEqual([attacks, absent, contained, leakedMedian], [1, 1, 1, 6]);
    assert.deepEqual(byKind['slow'], {
      attacks: 0,
      absent: 1,
      contained: 0,
      leakedMedian: 0,
      leakedP95: 0,
      leakedShare: 0,
      leakedBefore: 0,
      leakedAfter: 0,
      caughtBy: {},
    });
    assert.equal((await backtest(lines, [BURST])).labelled, null);
  });

  test('say of each kind what leaked before the first stop and after it, and which rule stopped it first', async () => {
    const { at } = { at: START };
    const rules = `${BURST}  - { id: hour, per: account, count: messages, window: 1h, limit: 8, then: block, for: 1h }\n`;
    // The block by `burst` lasts an hour: this thief comes back after it, and gets six more through.
    const back = [at, at + 2 * HOUR].flatMap((begin) =>
      series({ at: begin, account: 'back@example.com' }, 20, SECOND),
    );
    const slow = series({ at: at + 500, account: 'slow@example.com' }, 20, 4 * 60 * SECOND);
    const unseen = series({ at: at + 700, account: 'unseen@example.com' }, 4, SECOND);
    const attack = (id: string, kind: string, sent: readonly Line[]): object => ({
      id,
      kind,
      accounts: [sent[0]!.account],
      start: formatInstant(sent[0]!.at),
      end: formatInstant(sent.at(-1)!.at),
      sent: sent.map((each) => `${each.account} ${formatInstant(each.at)}`),
    });
    const attacks = [attack('a', 'flood', back), attack('b', 'slow', slow), attack('c', 'slow', unseen)];
    const { score } = await alone(
      [...back, ...slow, ...unseen].sort((a, b) => a.at - b.at),
      [rules],
      { labels: Labels.parse(JSON.stringify({ attacks }), 'labels.json') },
    );
    const { flood, slow: few } = score!.byKind;
    assert.deepEqual(
      [flood!.leakedBefore, flood!.leakedAfter, flood!.caughtBy],
      [6, 6, { burst: 1 }],
      'the flood',
    );
    // Nine until `hour` blocks, four of the other that nothing stopped; an hour later nobody is blocked.
    assert.deepEqual([few!.leakedBefore, few!.leakedAfter, few!.caughtBy], [13, 0, { hour: 1 }], 'the slow');
    assert.deepEqual(
      [score!.leakedBefore, score!.leakedAfter, score!.caughtBy],
      [19, 6, { burst: 1, hour: 1 }],
    );
  });

  test('most of which are not there are those of another trace', async () => {
    await assert.rejects(backtest(lines, [BURST], { labels: beside(21) }), {
      name: 'StopgapError',
      code: 'invalid-input',
      message: 'labels.json: 21 of 41 labelled messages are not in this trace: are these its labels?',
    });
  });

  test('are of the whole trace, for any part of it that is gone through', async () => {
    for (const span of [{ from: START + HOUR }, { to: START }]) {
      const { labelled, candidates } = await backtest(lines, [BURST], { labels, ...span });
      assert.deepEqual(labelled, { messages: 20, missing: 0 });
      const { attacks, absent, contained } = candidates[0]!.score!;
      assert.deepEqual([attacks, absent, contained], [0, 1, 0], 'an attack outside of it was not contained');
    }
  });
});
