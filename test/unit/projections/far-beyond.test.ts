import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { Verdict } from '../../../src/rules/respond.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { blockEvent, failed, rulesChanged, sent } from '../../support/sends.js';

const START = Date.UTC(2026, 0, 1);
const RULE = (more: string): string =>
  `  - { id: burst, per: account, count: messages, window: 1h, limit: 10, ${more} }`;
const BLOCKS = RULE('then: block, for: 1h');

/** What a flood trips, one message every two seconds: `kind observed` at each. */
function flood(rules: string, messages: number, pause = 2 * SECOND): readonly string[] {
  const volume = new SendVolume();
  volume.apply(rulesChanged(rules, START, 1));
  const all: string[] = [];
  for (let n = 0; n < messages; n++) all.push(...spoken(volume.apply(sent(START + n * pause, n + 2))));
  return all;
}
const spoken = (verdicts: readonly Verdict[]): readonly string[] =>
  verdicts.map(({ kind, evidence: { observed } }) => `${kind} ${observed}`);

describe('a sender that goes on after a rule has tripped', () => {
  test('gives a second verdict at five times the limit, although all of it is within one bucket of the window', () => {
    assert.deepEqual(flood(BLOCKS, 29), ['act 11']);
    const volume = new SendVolume();
    volume.apply(rulesChanged(BLOCKS, START, 1));
    const found = Array.from({ length: 99 }, (_, n) => volume.apply(sent(START + n * 500, n + 2))).flat();
    assert.deepEqual(spoken(found), ['act 11', 'beyond 50']);
    const { evidence, rule, subject } = found[1]!;
    assert.deepEqual([rule.id, subject.value], ['burst', 'alice@example.com']);
    assert.deepEqual([evidence.limit, evidence.lastPosition], [10, 51]);
    assert.equal(
      evidence.sentence,
      'Account alice@example.com: 50 messages within 1h; rule "burst" allows 10.',
    );
  });

  test('gives another one at each further five times, should the first have found too many blocked', () => {
    const kinds = flood(BLOCKS, 400, 100).filter((each) => each.startsWith('beyond'));
    assert.deepEqual(kinds.slice(0, 3), ['beyond 50', 'beyond 100', 'beyond 150']);
    assert.equal(new Set(kinds).size, kinds.length);
  });

  test('gives none if a rule only proposes, or the rules only observe', () => {
    for (const rules of [RULE('then: propose, for: 1h'), `version: 1\nmode: observe\nrules:\n${BLOCKS}`])
      assert.deepEqual(flood(rules, 99, 500), ['act 11']);
  });

  test('gives none while it stays below five times within the window, however long it goes on', () => {
    const kinds = flood(BLOCKS, 500, 90 * SECOND);
    assert.ok(kinds.length > 10);
    assert.deepEqual(
      kinds.filter((each) => each.startsWith('beyond')),
      [],
    );
  });

  test('leaves its largest messages out of that if the rule does', () => {
    const volume = new SendVolume();
    const rule =
      '  - { id: wide, per: account, count: recipients, leaveOut: 2, window: 10m, limit: 40, then: block, for: 1h }';
    volume.apply(rulesChanged(rule, START, 1));
    const found = [90, 90, 90, 90, 10, 10].flatMap((recipients, n) =>
      volume.apply(sent(START + n * SECOND, n + 2, { recipients })),
    );
    assert.deepEqual(spoken(found), ['act 90', 'beyond 200']);
  });

  test('is measured by the limit that was in force: tripled in the hour after a dismissal', () => {
    const volume = new SendVolume();
    volume.apply(rulesChanged(BLOCKS, START, 1));
    const subject: Subject = { type: 'account', value: 'alice@example.com' };
    volume.apply(
      blockEvent(
        {
          type: 'BlockProposed',
          data: {
            block: 'p1',
            subject,
            direction: 'outbound',
            description: '',
            refusal: 'soft',
            rule: 'burst',
            duration: HOUR,
            lapsesAt: START + HOUR,
            renewWhileTrying: false,
            evidence: {
              rule: 'burst',
              version: 1,
              count: 'messages',
              window: HOUR,
              limit: 10,
              observed: 11,
              firstPosition: 1,
              lastPosition: 1,
              lastAt: START,
              sentence: '',
            },
          },
        },
        START,
        2,
      ),
    );
    volume.apply(blockEvent({ type: 'ProposalDismissed', data: { block: 'p1' } }, START, 3));
    const found = Array.from({ length: 160 }, (_, n) => volume.apply(sent(START + n * 100, n + 4))).flat();
    assert.deepEqual(spoken(found), ['act 31', 'beyond 150']);
    assert.equal(found[1]!.evidence.limit, 30);
    assert.ok(found[1]!.evidence.firstPosition > 3, 'it rests on nothing that the person has judged');
  });

  test('may be a network that tries passwords', () => {
    const volume = new SendVolume();
    const rule =
      '  - { id: guessing, per: ip, count: authFailures, window: 10m, limit: 3, then: block, for: 1h }';
    volume.apply(rulesChanged(rule, START, 1));
    const found = Array.from({ length: 16 }, (_, n) => volume.apply(failed(START, n + 2))).flat();
    assert.deepEqual(spoken(found), ['act 4', 'beyond 15']);
  });
});

describe('verdicts far beyond a limit', () => {
  const RULES = `${BLOCKS}
  - { id: wide, per: account, count: recipients, leaveOut: 1, window: 10m, limit: 12, then: block, for: 1h }
  - { id: size, per: domain, count: bytes, window: 20m, limit: 9kB, then: block, for: 5m }`;
  const history = fc.array(
    fc.record({
      after: fc.oneof(fc.nat(3 * SECOND), fc.nat(2 * MINUTE)),
      user: fc.nat(1),
      recipients: fc.integer({ min: 1, max: 9 }),
      skew: fc.oneof(fc.constant(0), fc.integer({ min: -MINUTE, max: MINUTE })),
    }),
    { minLength: 80, maxLength: 160 },
  );

  test('are the same in a replay and after a start from a snapshot anywhere', () => {
    let seen = 0;
    fc.assert(
      fc.property(history, fc.nat(160), (steps, cut) => {
        let now = START;
        const events: RecordedEvent[] = [
          rulesChanged(RULES, START, 1),
          ...steps.map(({ after, user, recipients, skew }, n) => {
            now += after;
            return sent(
              now + skew,
              n + 2,
              { recipients, account: `u${user}@example.com` },
              { recordedAt: now },
            );
          }),
        ];
        const whole = new SendVolume();
        const expected = events.map((event) => whole.apply(event));
        let volume = new SendVolume();
        const again = events.map((event, index) => {
          if (index === cut) {
            const state = structuredClone(volume.dump());
            volume = new SendVolume();
            volume.restore(state);
          }
          return volume.apply(event);
        });
        assert.deepEqual(again, expected);
        seen += expected.flat().filter(({ kind }) => kind === 'beyond').length;
      }),
      { numRuns: 40 },
    );
    assert.ok(seen > 60, `only ${seen} verdicts far beyond a limit: the histories show too little`);
  });
});
