import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Decision } from '../../../src/backtest/cases.js';
import type { BacktestReport, CandidateReport } from '../../../src/backtest/report.js';
import type { BacktestOptions } from '../../../src/backtest/run.js';
import { BacktestCancelled, runBacktest } from '../../../src/backtest/run.js';
import { Trace } from '../../../src/backtest/trace/trace.js';
import { DAY, HOUR, MINUTE, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Line } from '../../support/backtest/traces.js';
import { line, lively, series, traceFile } from '../../support/backtest/traces.js';

const START = Date.UTC(2027, 0, 4, 8);
const BURST =
  '  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h }\n';

function candidate(rules: string, name = 'rules.yaml'): BacktestOptions['candidates'][number] {
  return { name, rules: parseRules(`version: 1\nrules:\n${rules}`) };
}

async function backtest(
  lines: readonly Line[],
  rules: readonly string[],
  more: Partial<BacktestOptions> = {},
  chunk?: number,
): Promise<BacktestReport> {
  const source = new Trace(traceFile(lines.map(line), chunk));
  const candidates = rules.map((text, index) => candidate(text, `rules-${index}`));
  return runBacktest({ source, candidates, ...more });
}

async function alone(...args: Parameters<typeof backtest>): Promise<CandidateReport> {
  return (await backtest(...args)).candidates[0]!;
}

describe('a back-test', () => {
  test('lets blocks take effect: what is refused is no volume, and the sender is free once it is over', async () => {
    const lines = [
      ...series({ at: START }, 10, SECOND),
      { at: START + 5 * SECOND + HOUR - 1 },
      { at: START + 5 * SECOND + HOUR },
      { at: START + 6 * SECOND + HOUR },
    ];
    const { accepted, refused, cases } = await alone(lines, [BURST]);
    assert.deepEqual([accepted.messages, refused.messages], [8, 5]);
    assert.equal(cases.length, 1, 'the two after it do not trip the rule on the evidence of before');
    assert.deepEqual(cases[0], {
      subject: { type: 'account', value: 'alice@example.com' },
      action: 'block',
      rule: 'burst',
      proposedAt: null,
      blockedAt: formatInstant(START + 5 * SECOND),
      until: formatInstant(START + 5 * SECOND + HOUR),
      ended: 'expired',
      endedAt: formatInstant(START + 5 * SECOND + HOUR),
      evidence: {
        count: 'recipients',
        window: '10m',
        limit: 5,
        observed: 6,
        sentence: 'Account alice@example.com: 6 recipients within 10m; rule "burst" allows 5.',
      },
      sentThatDay: { messages: 6, recipients: 6 },
      refused: { messages: 5, recipients: 5 },
      judged: null,
      shared: null,
    });
  });

  test('sums up who sent what, and on how many days', async () => {
    const lines = [
      ...series({ at: START, recipients: 3 }, 2, MINUTE),
      { at: START + DAY, account: 'bert@example.com' },
      { at: START + DAY },
    ];
    const report = await backtest(lines, ['  []']);
    const { source, sends, senders, senderDays, from, to, skipped, comparison } = report;
    assert.deepEqual(
      { source, sends, senders, senderDays, from, to, skipped, comparison },
      {
        source: 'trace.ndjson',
        sends: { messages: 4, recipients: 8 },
        senders: 2,
        senderDays: 3,
        from: formatInstant(START),
        to: formatInstant(START + DAY),
        skipped: 0,
        comparison: null,
      },
    );
  });

  test('proposes, lapses, observes and spares as live traffic does', async () => {
    const rules = `  - { id: day, per: account, count: messages, window: 24h, limit: 3, then: propose, for: 1h, lapse: 30m }
  - { id: look, per: account, count: messages, window: 10m, limit: 2, then: observe }
  - { id: office, per: ip, count: messages, window: 10m, limit: 4, then: block, for: 1h }
exempt:
  - { subject: { type: ip, value: 192.0.2.0/24 }, reason: our own }
`;
    const { byRule, cases } = await alone(series({ at: START }, 6, SECOND), [rules]);
    assert.deepEqual(
      byRule.map(({ rule, blocks, proposals, observed, exempted: spared }) => [
        rule,
        blocks,
        proposals,
        observed,
        spared,
      ]),
      [
        ['look', 0, 0, 1, 0],
        ['day', 0, 1, 0, 0],
        ['office', 0, 0, 0, 1],
      ],
    );
    assert.deepEqual(
      cases.map(({ action, ended, proposedAt, until }) => [action, ended, proposedAt, until]),
      [['propose', null, formatInstant(START + 3 * SECOND), null]],
    );
    const later = await alone([...series({ at: START }, 6, SECOND), { at: START + HOUR }], [rules]);
    assert.deepEqual(later.cases[0]!.ended, 'lapsed');
  });

  test('does nothing in mode observe', async () => {
    const source = new Trace(traceFile(series({ at: START }, 10, SECOND).map(line)));
    const rules = parseRules(`version: 1\nmode: observe\nrules:\n${BURST}`);
    const report = await runBacktest({ source, candidates: [{ name: 'r', rules }] });
    const { mode, refused, byRule } = report.candidates[0]!;
    assert.deepEqual([mode, refused.messages, byRule[0]?.observed], ['observe', 0, 1]);
  });

  test('acts and tells only within the span, and counts what came before', async () => {
    const lines = series({ at: START }, 10, SECOND);
    const before = await backtest(lines, [BURST], { from: START + 2 * SECOND, to: START + 9 * SECOND });
    assert.equal(before.sends.messages, 7);
    assert.equal(before.from, formatInstant(START + 2 * SECOND));
    assert.equal(before.to, formatInstant(START + 8 * SECOND));
    assert.equal(before.candidates[0]!.cases[0]?.blockedAt, formatInstant(START + 5 * SECOND));
  });

  test('tells each decision once it is over, with the end that it came to have', async () => {
    const rules = `  - { id: trying, per: account, count: messages, window: 10m, limit: 2, then: block, for: 10m, renewWhileTrying: true }
`;
    const told: Decision[] = [];
    const lines = [...series({ at: START }, 40, 20 * SECOND), { at: START + DAY }];
    const { cases } = await alone(lines, [rules], { onDecision: (decision) => told.push(decision) });
    assert.ok(Date.parse(cases[0]!.until!) > START + 20 * MINUTE, 'it was renewed');
    assert.deepEqual(told, [
      {
        time: formatInstant(START + 40 * SECOND),
        action: 'block',
        type: 'account',
        value: 'alice@example.com',
        until: cases[0]!.until,
        rule: 'trying',
        sentence: 'Account alice@example.com: 3 messages within 10m; rule "trying" allows 2.',
      },
    ]);
  });

  test('lists no more cases than asked for, and counts them all', async () => {
    const lines = Array.from({ length: 5 }, (_, n) =>
      series({ at: START + n, account: `u${n}@example.com` }, 6, SECOND),
    );
    const sorted = lines.flat().sort((a, b) => a.at - b.at);
    const { cases, casesLeftOut, blocks } = await alone(sorted, [BURST], { most: 2 });
    assert.deepEqual([cases.length, casesLeftOut, blocks], [2, 3, 5]);
  });

  test('ends when it is called off', async () => {
    const cancel = new AbortController();
    const running = backtest(
      series({ at: START }, 100, SECOND),
      [BURST],
      {
        signal: cancel.signal,
        onProgress: () => cancel.abort(),
      },
      500,
    );
    await assert.rejects(running, BacktestCancelled);
  });

  test('waits for the receiver of its decisions', async () => {
    let waiting = false;
    await backtest(
      series({ at: START }, 20, SECOND),
      [BURST],
      {
        onDecision: () => assert.equal(waiting, false),
        onProgress: async () => {
          waiting = true;
          await Promise.resolve();
          waiting = false;
        },
      },
      300,
    );
  });

  test('of nothing is empty, not faulty', async () => {
    const source = { name: 'history', async *batches() {} };
    const report = await runBacktest({ source, candidates: [candidate(BURST)] });
    assert.deepEqual([report.from, report.sends.messages, report.candidates[0]!.blocks], [null, 0, 0]);
  });

  test('gives the same report for the same messages, in any chunks they come', async () => {
    const rules = `${BURST}  - { id: domain, per: domain, count: recipients, window: 1h, limit: 40, then: propose, for: 1h, lapse: 30m }
  - { id: trying, per: account, count: messages, window: 1h, limit: 15, then: block, for: 5m, renewWhileTrying: true }
`;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1e6 }),
        fc.integer({ min: 1, max: 5000 }),
        async (seed, chunk) => {
          const lines = lively(seed, 150, START);
          const whole = await backtest(lines, [rules]);
          assert.deepEqual(await backtest(lines, [rules], {}, chunk), whole);
        },
      ),
      { numRuns: 12 },
    );
  });
});

describe('two rule sets side by side', () => {
  test('show whose blocks and refusals are whose', async () => {
    const lines = [
      ...series({ at: START }, 20, SECOND),
      ...series({ at: START + HOUR, account: 'bert@example.com' }, 8, SECOND),
    ];
    const lax = BURST.replace('limit: 5', 'limit: 10').replace('burst', 'lax');
    const { candidates, comparison } = await backtest(lines, [BURST, lax]);
    assert.deepEqual(comparison, {
      refused: {
        onlyFirst: { messages: 7, recipients: 7 },
        onlySecond: { messages: 0, recipients: 0 },
        both: { messages: 9, recipients: 9 },
      },
      blocks: { first: { shared: 1, only: 1 }, second: { shared: 1, only: 0 } },
    });
    assert.deepEqual(
      candidates.map(({ cases }) => cases.map(({ subject, shared }) => [subject.value, shared])),
      [
        [
          ['alice@example.com', true],
          ['bert@example.com', false],
        ],
        [['alice@example.com', true]],
      ],
    );
  });

  test('say of a proposal, which stops nothing, not whether the other rules blocked too', async () => {
    const propose = BURST.replace('then: block', 'then: propose');
    const { candidates, comparison } = await backtest(series({ at: START }, 20, SECOND), [propose, propose]);
    assert.deepEqual(
      candidates.map(({ cases }) => cases.map(({ action, shared }) => [action, shared])),
      [[['propose', null]], [['propose', null]]],
    );
    const none = { shared: 0, only: 0 };
    assert.deepEqual(comparison!.blocks, { first: none, second: none });
  });

  test('are each what they are alone', async () => {
    const lines = lively(7, 300, START);
    const other = BURST.replace('limit: 5', 'limit: 12');
    const both = await backtest(lines, [BURST, other]);
    for (const [index, rules] of [BURST, other].entries()) {
      const single = await alone(lines, [rules]);
      const { cases, rules: name, ...figures } = both.candidates[index]!;
      assert.equal(name, `rules-${index}`);
      assert.deepEqual(
        { ...figures, rules: single.rules, cases: cases.map((one) => ({ ...one, shared: null })) },
        single,
      );
    }
  });
});
