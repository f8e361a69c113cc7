import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { baselineOf } from '../../../projections/baselines/profile.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import type { Verdict } from '../../../src/rules/respond.js';
import type { SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { dayOf, holdsAtLeast } from '../../../src/sending/day-summary.js';
import { ALICE, evidence } from '../../support/given.js';
import { DAWN, Watching } from '../../support/watching.js';

/* The owner of a released account goes on with what it was doing. */

const told = (verdicts: readonly Verdict[]): readonly string[] =>
  verdicts.map(({ rule, evidence }) => `${rule.id}: ${evidence.sentence}`);
/** Of each window whose peaks are kept. */
const records = (watching: Watching): Readonly<Record<string, number>> => {
  const { profiles } = watching.models.sendVolume;
  const day = dayOf(watching.now);
  const profile = profiles.profile('account', ALICE.value, day);
  return Object.fromEntries(
    profiles.peaks.names.map((name, index) => [name, baselineOf(profile, index, day, -Infinity).record]),
  );
};

/** Somebody who writes a message on each of forty days, and then many in a row from somewhere else. */
function stopped(): { watching: Watching; verdict: Verdict } {
  const watching = new Watching(DEFAULT_RULES.slice(DEFAULT_RULES.indexOf('version:')));
  watching.habit(
    Array.from({ length: 40 }, (_, day) => day),
    { ip: '192.0.2.7' },
  );
  const found = watching.morning(41).send(ELSEWHERE, 9, 4 * SECOND);
  const verdict = found.find(({ rule }) => rule.id === 'minute') ?? assert.fail();
  return { watching, verdict };
}
/** What nine messages within a minute teach: their own window, and all that hold at least as much. */
const TWICE_NINE = {
  'messages/1m': 18,
  'messages/10m': 18,
  'messages/30m': 18,
  'messages/1h': 18,
  'messages/24h': 18,
};
const ELSEWHERE = { ip: '198.51.100.9', ehlo: 'laptop.example.com' };

describe('a false positive', () => {
  test('teaches the window that tripped, and all that held at least as much', () => {
    // Given nine messages within a minute that were blocked
    const { watching, verdict } = stopped();
    const block = watching.impose(verdict);
    const before = records(watching);
    assert.equal(before['messages/1m'], 1);
    // When the block is released as a false positive
    watching.release(block, true, verdict);
    // Then longer windows of messages know of twice nine as well, and others of nothing new
    assert.deepEqual(records(watching), { ...before, ...TWICE_NINE });
  });

  for (const how of ['marked as such', 'as version 0.2.0 recorded them'])
    test(`teaches what was sent, not what somebody tried in vain since (${how})`, () => {
      const { watching, verdict } = stopped();
      const block = watching.impose(verdict);
      const before = records(watching);
      const { attempts: _, ...unmarked } = verdict.evidence;
      const tried = {
        ...unmarked,
        observed: 3000,
        lastPosition: watching.log.length,
        lastAt: watching.now + HOUR,
        ...(how === 'marked as such'
          ? { attempts: true }
          : {
              sentence:
                'Account alice@example.com: 3,000 refused attempts within 1m; rule "minute" allows 8.',
            }),
      };
      const until = watching.now + 9 * HOUR;
      const extended = { block, until, direction: 'outbound', evidence: tried };
      watching.pass(HOUR).fold('BlockExtended', extended, { stream: 'block-test', by: 'rule:minute@1' });
      watching.release(block, true, { ...verdict, evidence: tried });
      assert.deepEqual(records(watching), { ...before, ...TWICE_NINE });
    });

  test('lets its owner go on with the job, at the same pace, in that hour and after it', () => {
    const { watching, verdict } = stopped();
    watching.release(watching.impose(verdict), true, verdict);
    assert.deepEqual(told(watching.pass(10 * SECOND).send(ELSEWHERE, 18, 5 * SECOND)), []);
    assert.deepEqual(told(watching.pass(65 * MINUTE).send(ELSEWHERE, 18, 5 * SECOND)), []);
  });

  test('for another reason than that teaches nothing', () => {
    const { watching, verdict } = stopped();
    const before = records(watching);
    watching.release(watching.impose(verdict), false, verdict);
    assert.deepEqual(records(watching), before);
    const later = watching.pass(65 * MINUTE).send(ELSEWHERE, 18, 5 * SECOND);
    assert.deepEqual([...new Set(later.map(({ rule }) => rule.id))].sort(), [
      'elsewhere',
      'hour',
      'minute',
      'strange',
    ]);
  });
});

describe('accounts that turn together', () => {
  const RULES =
    'version: 1\nlearning: { days: 1, age: 1m, installation: 1m }\nrules:\n' +
    '  - { id: all, per: domain, count: accounts, window: 30m, limit: 2, turned: { count: messages, window: 30m, limit: { baseline: 2x, floor: 2 }, alarm: 1h, after: 1m }, then: block, for: 1h }\n';
  const turn = (watching: Watching, user: number, messages = 9): readonly Verdict[] =>
    watching.pass(1000).send({ account: `u${user}@example.com` }, messages);
  const judge = (watching: Watching, user: number, falsePositive: boolean): void =>
    watching.release(watching.block({ type: 'account', value: `u${user}@example.com` }), falsePositive);

  test('are without one that was just released as a false positive, for its hour of grace', () => {
    const watching = new Watching(RULES);
    watching.pass(MINUTE);
    judge(watching, 1, true);
    // When it turns with two others, then they are two; a third makes them three
    assert.deepEqual([1, 2, 3].flatMap((user) => turn(watching, user)).length, 0);
    assert.deepEqual(
      turn(watching, 4).map(({ subject }) => subject.value),
      ['u2@example.com', 'u3@example.com', 'u4@example.com'],
    );
    // The present alarm does not act on it either, until its hour is over.
    assert.deepEqual(turn(watching, 1), []);
    watching.until(DAWN + 8 * HOUR + MINUTE + HOUR);
    assert.equal(turn(watching, 1, 3).length, 1);
  });

  for (const falsePositive of [true, false]) {
    const name = falsePositive
      ? 'without one whose proposal was dismissed as such'
      : 'with one that was dismissed';
    test(`are ${name}`, () => {
      const watching = new Watching(RULES);
      watching.pass(MINUTE);
      const rule = watching.models.sendVolume.rules.rules[0]!;
      const subject = { type: 'account', value: 'u1@example.com' } as const;
      const proposed = {
        kind: 'act',
        mode: 'enforce',
        at: watching.now,
        rule,
        subject,
        evidence: evidence(),
      } as const;
      watching.dismiss(watching.propose(proposed), falsePositive, proposed);
      // Nine are above the three times two that are its own in that hour
      assert.equal([1, 2, 3].flatMap((user) => turn(watching, user)).length, falsePositive ? 0 : 3);
    });
  }

  test('are with one that was released for another reason, above three times its own', () => {
    const watching = new Watching(RULES);
    watching.pass(MINUTE);
    judge(watching, 1, false);
    assert.deepEqual(turn(watching, 1, 6), []);
    turn(watching, 1, 1);
    turn(watching, 2, 3);
    assert.equal(turn(watching, 3, 3).length, 3);
  });
});

describe('a window that holds at least as much as another', () => {
  const NAMES = ['1m', '10m', '1h', '24h'].flatMap((window) =>
    ['', '-1', '-2'].map((leaveOut) => `recipients${leaveOut}/${window}`),
  );

  test('is one of the same count, no shorter, that leaves out no more', () => {
    for (const [one, other, expected] of [
      ['messages/1h', 'messages/1h', true],
      ['messages/1h', 'messages/10m', true],
      ['messages/10m', 'messages/1h', false],
      ['messages/35d', 'messages/24h', true],
      ['recipients/1h', 'messages/10m', false],
      ['recipients/10m', 'recipients-2/10m', true],
      ['recipients-1/10m', 'recipients-2/1m', true],
      ['recipients-2/24h', 'recipients-1/1m', false],
      ['recipients-2/24h', 'recipients/1m', false],
      ['', '', true],
      ['whatever', 'messages/1m', false],
      ['messages/1m', 'whatever', false],
      ['messages/x', 'messages/1m', false],
      ['messages/1m', 'messages/x', false],
    ] as const)
      assert.equal(holdsAtLeast(one, other), expected, `${one} ${other}`);
  });

  test('has peaks that are at least as high, for any mail', () => {
    const rules = NAMES.map((name, index) => {
      const [, leaveOut = '0', window] = /^recipients(?:-(\d))?\/(\w+)$/.exec(name)!;
      const left = leaveOut === '0' ? '' : `leaveOut: ${leaveOut}, `;
      return `  - { id: r${index}, per: account, count: recipients, ${left}window: ${window}, limit: 60000, then: observe }\n`;
    }).join('');
    const step = fc.tuple(
      fc.oneof(fc.nat(5 * SECOND), fc.nat(2 * MINUTE), fc.nat(30 * MINUTE)),
      fc.integer({ min: 1, max: 60 }),
    );
    let compared = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
        const watching = new Watching(rules, DAWN + HOUR);
        for (const [pause, recipients] of steps) watching.pass(pause).send({ recipients });
        watching.morning(1);
        const { peaks } = watching.log.at(-1)!.data as SenderDaySummarised;
        for (const one of NAMES) {
          for (const other of NAMES.filter((name) => holdsAtLeast(one, name))) {
            assert.ok((peaks[one] ?? 0) >= (peaks[other] ?? 0), `${one} ${other}`);
            compared++;
          }
        }
      }),
      { numRuns: 60 },
    );
    assert.ok(compared >= 60 * NAMES.length);
  });
});
