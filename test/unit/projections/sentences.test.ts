import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { overriddenLimit } from '../../../projections/volume/limits.js';
import { MINUTE } from '../../../src/kernel/time.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { Watching } from '../../support/watching.js';

/* What a verdict says is what it went by: what was seen, and the limit that was in force. */

const KNOWN = 'version: 1\nlearning: { days: 1, age: 1m, installation: 1m }\nrules:\n';
const BURST =
  '  - { id: burst, per: account, count: messages, window: 10m, limit: 5, then: block, for: 1h }\n';
const TOGETHER =
  '  - { id: all, per: domain, count: accounts, window: 30m, limit: 2, turned: { count: messages, window: 30m, limit: { baseline: 2x, floor: 2 }, alarm: 1h, after: 1m }, then: propose, for: 1h }\n';

const inWords = (amount: number): string => amount.toLocaleString('en-US');
const sentence = ([verdict]: readonly Verdict[]): string => verdict?.evidence.sentence ?? assert.fail();

describe('a sentence in the hour of grace', () => {
  test('says which limit is tripled, and that a release or a dismissal is why', () => {
    // Given an account that tripped a rule, and a person who let go of it
    const released = new Watching(KNOWN + BURST);
    const [block] = released.send({}, 6);
    released.release(released.impose(block!));
    const dismissed = new Watching(KNOWN + BURST.replace('then: block', 'then: propose'));
    const [proposal] = dismissed.send({}, 6);
    const { evidence, subject } = proposal!;
    const terms = { direction: 'outbound', description: '', refusal: 'soft', renewWhileTrying: false };
    const waits = { duration: MINUTE, lapsesAt: dismissed.now + MINUTE, rule: 'burst', evidence };
    dismissed.fold('BlockProposed', { block: 'p1', subject, ...terms, ...waits });
    dismissed.fold('ProposalDismissed', { block: 'p1', subject, evidence });
    // When it goes on, then it is told what was in force, and why
    assert.match(
      sentence(released.pass(1000).send({}, 16)),
      /: 16 messages within 10m; rule "burst" allows 15, its 5 tripled for the hour after a release\.$/,
    );
    assert.match(
      sentence(dismissed.pass(1000).send({}, 16)),
      /: 16 messages within 10m; rule "burst" allows 15, its 5 tripled for the hour after a dismissal\.$/,
    );
  });

  test('says what a bought limit comes to', () => {
    const watching = new Watching(KNOWN + BURST);
    watching.override({ type: 'domain', value: 'example.com' }, { plan: 'pro', limits: { burst: 7 } });
    const verdicts = watching.send({}, 8);
    watching.release(watching.impose(verdicts[0]!));
    const [verdict] = watching.pass(1000).send({}, 22);
    assert.equal(verdict?.evidence.limit, 21);
    assert.match(
      verdict.evidence.sentence,
      /22 messages within 10m; rule "burst" allows 21: 7 instead of 5, by the override of domain example\.com \(plan "pro"\), tripled for the hour after a release\.$/,
    );
  });

  test('of an account that turned with others says what it was allowed, which is tripled', () => {
    const watching = new Watching(KNOWN + TOGETHER);
    const turn = (user: number, messages: number): readonly Verdict[] =>
      watching.pass(1000).send({ account: `u${user}@example.com` }, messages);
    watching.pass(MINUTE);
    // Given one that a person has let go of
    watching.release(watching.block({ type: 'account', value: 'u1@example.com' }));
    // When it turns among others for which nobody has done that
    const verdicts = [...turn(1, 7), ...turn(2, 3), ...turn(3, 3)];
    // Then each is told of by its own limit
    const [one, two] = verdicts.map(({ evidence }) => evidence.sentence);
    assert.match(
      one!,
      /u1@example\.com: 7 messages within 30m, more than the 6 that are its own \(2, tripled for the hour after a release\); /,
    );
    assert.match(two!, /u2@example\.com: 3 messages within 30m, more than the 2 that are its own; /);
  });

  test('of an account that is taken in an alarm says how many that are, and how many had begun it', () => {
    const watching = new Watching(KNOWN + TOGETHER);
    const turn = (user: number): readonly Verdict[] =>
      watching.pass(1000).send({ account: `u${user}@example.com` }, 3);
    watching.pass(MINUTE);
    for (const user of [1, 2, 3]) turn(user);
    assert.match(
      sentence(turn(4)),
      /; 1 account that turned abnormal while example\.com is on alarm, since rule "all" had found 3 such accounts within 30m\.$/,
    );
  });
});

describe('a sentence about different ones', () => {
  test('says how many are told apart where more were bought', () => {
    const watching = new Watching(
      KNOWN + '  - { id: nets, per: account, count: networks, window: 1h, limit: 2, then: block, for: 1h }\n',
    );
    watching.override({ type: 'account', value: 'alice@example.com' }, { limits: { nets: 40 } });
    const verdicts = Array.from({ length: 16 }, (_, last) => watching.send({ ip: `192.0.2.${last}` })).flat();
    assert.equal(verdicts[0]?.evidence.limit, 15);
    assert.match(
      sentence(verdicts),
      /16 different networks within 1h; rule "nets" allows 15, since more are not told apart: 40 instead of 2, by the override of account/,
    );
  });
});

describe('a sentence about accounts that turn together', () => {
  test('says how many are remembered where more were bought, and they trip the rule', () => {
    const watching = new Watching(KNOWN + TOGETHER);
    watching.override({ type: 'domain', value: 'example.com' }, { total: { limits: { all: 5000 } } });
    watching.pass(MINUTE);
    const verdicts = Array.from({ length: 1000 }, (_, user) =>
      watching.pass(100).send({ account: `u${user}@example.com` }, 3, 100),
    ).flat();
    assert.equal(verdicts.length, 1000);
    assert.equal(verdicts[0]?.evidence.limit, 999);
    const { overrides, sendVolume } = watching.models;
    const [rule] = sendVolume.rules.rules;
    const found = overriddenLimit(overrides, rule!, 'domain', 'example.com', 2, watching.now);
    assert.equal(
      found?.sentence,
      '999, since more are not remembered: 5,000 instead of 2, by the override of domain example.com',
    );
  });
});

describe('every sentence', () => {
  const RULES = `${KNOWN}${BURST}${TOGETHER}
  - { id: hour, per: account, count: recipients, leaveOut: 1, window: 1h, limit: { baseline: 2x, floor: 8, start: 9, ceiling: 1200 }, then: observe }
  - { id: nets, per: account, count: networks, window: 10m, limit: 1, then: observe }
  - { id: site, per: domain, count: messages, window: 1h, limit: 12, then: observe }`;
  const step = fc.record({
    pause: fc.oneof(fc.nat(MINUTE), fc.nat(50 * MINUTE)),
    user: fc.nat(3),
    sends: fc.integer({ min: 1, max: 20 }),
    recipients: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 900 })),
    networks: fc.boolean(),
    released: fc.boolean(),
    bought: fc.option(
      fc.record({ burst: fc.integer({ min: 1, max: 8 }), nets: fc.integer({ min: 2, max: 20 }) }),
    ),
  });

  test('holds what was seen and the limit that was in force, and says of a tripled one why', () => {
    const shown = { tripled: 0, alarmed: 0, bought: 0, others: 0 };
    fc.assert(
      fc.property(fc.array(step, { minLength: 3, maxLength: 12 }), (steps) => {
        const watching = new Watching(RULES);
        for (const { pause, user, sends, recipients, networks, released, bought } of steps) {
          const subject = { type: 'account', value: `u${user}@example.com` } as const;
          watching.pass(pause);
          if (bought !== null) watching.override(subject, { limits: bought });
          if (released) watching.release(watching.block(subject));
          for (let index = 0; index < sends; index++) {
            const ip = `192.0.2.${networks ? index : 0}`;
            for (const { evidence } of watching.pass(500).send({ account: subject.value, recipients, ip })) {
              const { observed, limit, sentence: text } = evidence;
              const numbers: readonly string[] = text.match(/\d+(?:,\d{3})*/g) ?? [];
              assert.ok(numbers.includes(inWords(observed)), `${observed}: ${text}`);
              assert.ok(numbers.includes(inWords(limit)), `${limit}: ${text}`);
              const tripled = text.includes('tripled for the hour after a release');
              shown[tripled ? 'tripled' : 'others']++;
              shown.alarmed += Number(text.includes('on alarm'));
              shown.bought += Number(text.includes('override'));
            }
          }
        }
      }),
      { numRuns: 60 },
    );
    for (const [what, count] of Object.entries(shown)) assert.ok(count > 5, `only ${count} ${what}`);
  });
});
