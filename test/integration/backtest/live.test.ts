import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RecordedHistory } from '../../../src/backtest/history.js';
import type { CaseReport, CandidateReport } from '../../../src/backtest/report.js';
import { runBacktest } from '../../../src/backtest/run.js';
import { LineReader, Trace } from '../../../src/backtest/trace/trace.js';
import type { Source } from '../../../src/backtest/world.js';
import type { Instant } from '../../../src/kernel/time.js';
import { DAY, MINUTE, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import { openSqliteForReading } from '../../../src/store/sqlite/reader.js';
import { Live } from '../../support/backtest/live.js';
import { line, lively, series, traceFile } from '../../support/backtest/traces.js';

const START = Date.UTC(2027, 0, 4, 8);
/** Of everything that may come of a verdict, something. */
const RULES = `version: 1
maxAutomaticBlocks: 2 in 20m
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 20, then: block, for: 30m, escalate: { factor: 2, max: 4h } }
  - { id: trying, per: account, count: messages, window: 1h, limit: 15, then: block, for: 5m, renewWhileTrying: true }
  - { id: day, per: account, count: recipients, window: 24h, limit: 100, then: propose, for: 12h, lapse: 90m }
  - { id: path, per: address, count: messages, window: 10m, limit: 8, then: block, for: 20m, refuse: honest }
  - { id: domain, per: domain, count: recipients, window: 1h, limit: 45, then: propose, for: 1h, lapse: 30m }
  - { id: network, per: ip, count: messages, window: 10m, limit: 5, then: observe }
  - { id: name, per: ehlo, count: messages, window: 10m, limit: 18, then: block, for: 10m }
exempt:
  - { subject: { type: account, value: user5@two.example.com }, reason: known }
`;

/** A low limit, so that many senders go on to five times it while the circuit breaker is open. */
const BEYOND = `version: 1
maxAutomaticBlocks: 2 in 4h
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 30m, lapse: 20m }
`;

/** What is usual for a sender limits it: baselines are learnt from the summaries of days, which live are a task of their own. */
const HABITS = `version: 1
maxAutomaticBlocks: 1000 in 10m
rules:
  - { id: habit, per: account, count: recipients, window: 1h, limit: { baseline: 2x, floor: 10, ceiling: 60 }, then: block, for: 20m }
  - { id: firm, per: domain, count: recipients, window: 1h, limit: { baseline: 2x, floor: 15, ceiling: 90 }, then: propose, for: 1h, lapse: 2h }
`;

/** A case, by what both ways of going through it must agree on. */
type Agreed = Pick<
  CaseReport,
  'subject' | 'rule' | 'proposedAt' | 'blockedAt' | 'until' | 'ended' | 'endedAt'
> & { readonly sentence: string };

function agreed({ cases }: CandidateReport): readonly Agreed[] {
  return sorted(
    cases.map(({ subject, rule, proposedAt, blockedAt, until, ended, endedAt, evidence: { sentence } }) => ({
      subject,
      rule,
      proposedAt,
      blockedAt,
      until,
      ended,
      endedAt,
      sentence,
    })),
  );
}

function recorded({ models }: Live): readonly Agreed[] {
  const text = (at: Instant | null | undefined): string | null =>
    at === null || at === undefined ? null : formatInstant(at);
  return sorted(
    [...models.ledger.kept()].map(({ subject, rule, proposedAt, since, until, state, endedAt, history }) => ({
      subject,
      rule: rule!,
      proposedAt: text(proposedAt),
      blockedAt: text(since),
      until: text(until),
      ended: state === 'active' || state === 'proposed' ? null : (state as Agreed['ended']),
      endedAt: text(endedAt),
      // What it came into force on, or was proposed on: the back-test tells of no later one.
      sentence: (history.find(({ type }) => type === 'BlockImposed') ?? history[0]!).evidence!.sentence,
    })),
  );
}

function sorted(cases: readonly Agreed[]): readonly Agreed[] {
  const key = ({ proposedAt, blockedAt, subject }: Agreed): string =>
    `${proposedAt ?? blockedAt} ${subject.type} ${subject.value}`;
  return [...cases].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

describe('a back-test decides as a running server does', () => {
  for (const [name, rules, seed, pauses] of [
    ['all that a verdict may lead to', RULES, 1, 1],
    ['the same with other messages', RULES, 2, 1],
    ['and others', RULES, 3, 1],
    ['baselines', HABITS, 4, 12],
    ['senders far beyond their limit', BEYOND, 5, 1],
  ] as const) {
    test(`over the same messages, and over what the server recorded of them: ${name}`, async () => {
      const lines = lively(seed, 400, START, pauses).map(line);
      const reader = new LineReader('trace');
      const messages = lines.map((text) => reader.read(text)!);
      const live = await Live.start(rules, messages[0]!.at);
      try {
        for (const message of messages) await live.message(message);
        const candidates = [{ name: 'rules.yaml', rules: parseRules(rules) }];
        const overTrace = await runBacktest({ source: new Trace(traceFile(lines)), candidates });
        const expected = recorded(live);
        assert.ok(expected.length > 10, `only ${expected.length} cases: the messages show too little`);
        assert.deepEqual(agreed(overTrace.candidates[0]!), expected);
        const despite = expected.filter(({ sentence }) => sentence.includes('the circuit breaker is open'));
        const both = despite.filter(({ proposedAt, blockedAt }) => proposedAt !== null && blockedAt !== null);
        assert.equal(both.length > 2, rules === BEYOND, `${both.length} proposals became such blocks`);

        const store = openSqliteForReading(live.file);
        try {
          const overHistory = await runBacktest({ source: new RecordedHistory(store), candidates });
          assert.deepEqual(agreed(overHistory.candidates[0]!), expected);
          assert.equal(overHistory.candidates[0]!.attempts.letThrough, 0);
          assert.deepEqual(
            overHistory.candidates[0]!.accepted,
            overTrace.candidates[0]!.accepted,
            'what was accepted is accepted again',
          );
        } finally {
          await store.close();
        }
      } finally {
        await live.stop();
      }
    });
  }

  test('over attempts of an owner from another network beside the few of a thief: they keep no block up', async () => {
    const rules = `version: 1
rules:
  - { id: hour, per: account, count: recipients, window: 1h, limit: 20, then: block, for: 2h, renewWhileTrying: true }
`;
    const laptop = { ehlo: 'laptop.example.com', ip: '203.0.113.9' };
    const usual = series({ at: START, ehlo: laptop.ehlo }, 35, DAY);
    const tripped = START + 40 * DAY;
    const burst = series({ at: tripped, ...laptop, recipients: 3 }, 7, SECOND);
    const own = series({ at: tripped + MINUTE, ...laptop }, 200, MINUTE);
    // In one flood with the owner's, fewer within an hour than the rule allows.
    const thiefs = series(
      { at: tripped + 5 * MINUTE + 4 * SECOND, ehlo: 'bot', ip: '198.51.100.9' },
      20,
      4 * MINUTE,
    );
    const owners = thiefs.flatMap(({ at }) => series({ at: at - 3 * SECOND, ...laptop }, 3, SECOND));
    const sorted = [...usual, ...burst, ...own, ...thiefs, ...owners].sort((a, b) => a.at - b.at);
    const lines = sorted.map(line);
    const reader = new LineReader('trace');
    const messages = lines.map((text) => reader.read(text)!);
    const candidates = [{ name: 'rules.yaml', rules: parseRules(rules) }];
    const over = async (source: Source): Promise<readonly Agreed[]> =>
      agreed((await runBacktest({ source, candidates })).candidates[0]!);
    const overHistoryOf = async (live: Live): Promise<readonly Agreed[]> => {
      const store = openSqliteForReading(live.file);
      try {
        return await over(new RecordedHistory(store));
      } finally {
        await store.close();
      }
    };
    const live = await Live.start(rules, START);
    const lax = await Live.start('version: 1\nrules: []\n', START);
    try {
      for (const message of messages) await live.message(message);
      for (const message of messages) await lax.message(message);
      const expected = recorded(live);
      assert.deepEqual(expected.map(({ blockedAt, ended }) => [blockedAt, ended]).slice(0, 1), [
        [formatInstant(tripped + 6 * SECOND), 'expired'],
      ]);
      assert.deepEqual(await over(new Trace(traceFile(lines))), expected);
      assert.deepEqual(await overHistoryOf(live), expected);
      assert.deepEqual(await overHistoryOf(lax), expected);
    } finally {
      await live.stop();
      await lax.stop();
    }
  });

  test('and the cases show all that may come of a rule', async () => {
    const seen = new Set<string>();
    for (const seed of [1, 2, 3]) {
      const source = new Trace(traceFile(lively(seed, 400, START).map(line)));
      const candidates = [{ name: 'rules.yaml', rules: parseRules(RULES) }];
      const [{ cases, byRule }] = (await runBacktest({ source, candidates })).candidates as [CandidateReport];
      for (const { action, ended, proposedAt, blockedAt, until } of cases) {
        seen.add(`${action} ${ended}`);
        if (proposedAt !== null && blockedAt !== null) seen.add('a proposal that became a block');
        if (blockedAt !== null && Date.parse(until!) - Date.parse(blockedAt) > 60 * 60_000)
          seen.add('a longer block for who was blocked before');
      }
      for (const { observed, exempted: spared, rule, proposals } of byRule) {
        if (observed > 0) seen.add('observed');
        if (spared > 0) seen.add('spared');
        if (rule === 'burst' && proposals > 0) seen.add('held back by the breaker');
      }
    }
    for (const what of [
      'block expired',
      'propose lapsed',
      'observed',
      'spared',
      'held back by the breaker',
      'a proposal that became a block',
    ]) {
      assert.ok(seen.has(what), `no case shows: ${what} (${[...seen].join(', ')})`);
    }
  });
});
