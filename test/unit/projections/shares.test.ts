import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MINUTE } from '../../../src/kernel/time.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { ALICE } from '../../support/given.js';
import { Watching } from '../../support/watching.js';

/* Shares of what was tried: the message that trips the rule is included. */

const rules = (count: string, limit: number, share: string): string =>
  `  - { id: list, per: account, count: ${count}, window: 1h, limit: ${limit}, when: { share: { ${share} } }, then: observe }\n`;
const bounce = (watching: Watching): readonly Verdict[] =>
  watching.fold('BounceReceived', { address: ALICE.value });
const refuse = (watching: Watching, count: number): readonly Verdict[] =>
  watching.fold('RecipientsRefused', {
    account: ALICE.value,
    direction: 'outbound',
    transaction: 't',
    entitled: true,
    count,
    code: 550,
  });
const sentences = (verdicts: readonly Verdict[]): string =>
  verdicts.map(({ evidence }) => evidence.sentence).join('\n');

/** The shares that sentences name. */
function shares(verdicts: readonly Verdict[]): readonly (readonly [failed: number, tried: number])[] {
  const numbers = /; (\d+) of (\d+) recipients (?:bounced|were refused);/;
  return verdicts.map(({ evidence }) => {
    const [, failed, tried] = numbers.exec(evidence.sentence) ?? assert.fail(evidence.sentence);
    return [Number(failed), Number(tried)];
  });
}

describe('a share', () => {
  test('counts the message that trips the rule among what was tried, whichever window trips', () => {
    // Given five messages of two recipients each, six of which bounced
    for (const [count, limit] of [
      ['messages', 5],
      ['recipients', 11],
    ] as const) {
      const watching = new Watching(rules(count, limit, 'of: bounces, above: 0.4, least: 3'));
      watching.send({ recipients: 2 }, 5);
      for (let index = 0; index < 6; index++) bounce(watching);
      // When a sixth trips the rule
      const verdicts = watching.send({ recipients: 2 });
      // Then its own two recipients are of the twelve
      assert.match(sentences(verdicts), /; 6 of 12 recipients bounced; /, count);
    }
  });

  test('is not above what it may be before all of the present message is counted', () => {
    // Given a share that is just half once the sixth message has its two recipients
    const watching = new Watching(rules('messages', 5, 'of: bounces, above: 0.5, least: 3'));
    watching.send({ recipients: 2 }, 5);
    for (let index = 0; index < 6; index++) bounce(watching);
    assert.deepEqual(watching.send({ recipients: 2 }), []);
  });

  test('is none if nothing was tried: bounces of what others sent in its name', () => {
    // Given an account that sent nothing within the hour
    const watching = new Watching(rules('bounces', 2, 'of: bounces, above: 0, least: 1'));
    watching.send({ recipients: 9 });
    watching.pass(90 * MINUTE);
    // When bounces come in, then there is nothing that they could be a share of
    for (let index = 0; index < 9; index++) assert.deepEqual(bounce(watching), []);
  });

  test('is none where more bounced than was tried: that is of something else', () => {
    const watching = new Watching(rules('bounces', 2, 'of: bounces, above: 0.1, least: 1'));
    watching.send({ recipients: 3 });
    bounce(watching);
    bounce(watching);
    assert.match(sentences(bounce(watching)), /3 of 3 recipients bounced/);
    for (let index = 0; index < 9; index++) assert.deepEqual(bounce(watching), []);
  });

  test('of refused recipients alone is all of them', () => {
    const watching = new Watching(
      rules('refusedRecipients', 4, 'of: refusedRecipients, above: 0.9, least: 5'),
    );
    assert.match(sentences(refuse(watching, 5)), /5 of 5 recipients were refused/);
  });

  test('is never more than all, and that of what was sent by then', () => {
    let told = 0;
    const step = fc.oneof(
      fc.record({ kind: fc.constant('send' as const), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ kind: fc.constant('refuse' as const), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ kind: fc.constant('bounce' as const), count: fc.constant(1) }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom('bounces', 'refusedRecipients'),
        fc.constantFrom('messages', 'recipients', 'bytes', 'bounces', 'refusedRecipients'),
        fc.array(step, { minLength: 1, maxLength: 40 }),
        (of, count, steps) => {
          const watching = new Watching(rules(count, 1, `of: ${of}, above: 0, least: 1`));
          const sums = { send: 0, refuse: 0, bounce: 0 };
          for (const { kind, count: amount } of steps) {
            watching.pass(MINUTE);
            sums[kind] += amount;
            const verdicts =
              kind === 'send'
                ? watching.send({ recipients: amount })
                : kind === 'refuse'
                  ? refuse(watching, amount)
                  : bounce(watching);
            const failed = of === 'bounces' ? sums.bounce : sums.refuse;
            const tried = of === 'bounces' ? sums.send : sums.send + sums.refuse;
            for (const each of shares(verdicts)) assert.deepEqual(each, [failed, tried]);
            if (failed > tried || tried === 0) assert.deepEqual(verdicts, []);
            told += verdicts.length;
          }
        },
      ),
      { numRuns: 250 },
    );
    assert.ok(told > 100, `only ${told} were told of`);
  });
});
