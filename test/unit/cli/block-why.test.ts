import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BlockJson } from '../../../src/api/block-view.js';
import { blockDetails, whyOf } from '../../../src/cli/client-format.js';
import { fitting } from '../../../src/cli/io.js';

const SUBJECT = { type: 'account', value: 'alice@example.com' } as const;

/** As the API gives it, with what matters here. */
function block(sentence: string | undefined, more: Partial<BlockJson> = {}): BlockJson {
  const evidence = sentence === undefined ? null : { rule: 'minute', sentence };
  return {
    subject: SUBJECT,
    origin: 'rule',
    rule: 'minute',
    evidence,
    follows: null,
    history: [],
    description: 'More messages within a minute than a person writes',
    ...more,
  } as unknown as BlockJson;
}

describe('why a block is there, in a row', () => {
  for (const [what, sentence, why] of [
    [
      'a fixed limit',
      'Account alice@example.com: 101 recipients within 10m; rule "minute" allows 100.',
      '101 recipients within 10m; allows 100',
    ],
    [
      'a habit',
      'Account alice@example.com: 9 messages within 1m; in a week usually 2 at most, never above 3 in 8 weeks; a new network; rule "minute" allows everybody 8.',
      '9 messages within 1m; allows everybody 8; usually 2 at most, never above 3 in 8 weeks; a new network',
    ],
    [
      'somebody who is being learnt',
      'Account alice@example.com: 9 messages within 1m; nothing is known of it yet, still being learnt; rule "minute" allows such a sender 8.',
      '9 messages within 1m; allows 8; nothing is known of it yet, still being learnt',
    ],
    [
      'many accounts together',
      'Account alice@example.com: 4 messages within 30m, more than the 2 that are its own; one of 5 accounts of example.com that turned abnormal together; rule "minute" allows 4 such accounts within 30m.',
      '4 messages within 30m, more than the 2 that are its own; allows 4 such accounts within 30m; one of 5 accounts of example.com that turned abnormal together',
    ],
    ['a sentence of another kind', 'Something of old.', 'Something of old'],
  ] as const)
    test(`by ${what}: the numbers first, with any description of the rule`, () =>
      assert.equal(whyOf(block(sentence)), why));

  test('is what the administrator said, who knew better than the proposal', () => {
    const sentence = 'Account alice@example.com: 101 recipients within 10m; rule "minute" allows 100.';
    const own = { origin: 'admin', description: 'phished' } as const;
    assert.equal(whyOf(block(sentence, own)), 'phished');
    assert.equal(whyOf(block(undefined, own)), 'phished');
    const history = [{ type: 'ProposalApproved', at: '', by: '', position: 1 }];
    assert.equal(whyOf(block(sentence, { ...own, history })), '101 recipients within 10m; allows 100');
    assert.equal(
      whyOf(block(sentence, { ...own, description: '' })),
      '101 recipients within 10m; allows 100',
      'nothing said',
    );
  });
});

test('a block right after a release says so, before what is left of the sentence', () => {
  const state = 'released' as const;
  const at = '2027-01-31T03:12:44.000Z';
  const follows = { block: 'b1', state, at, by: 'admin:carol', falsePositive: true };
  const sentence =
    'Account alice@example.com: 9 messages within 1m; in a week usually 2 at most, never above 3 in 8 weeks; rule "minute" allows everybody 8.';
  assert.equal(
    whyOf(block(sentence, { follows })),
    '9 messages within 1m; allows everybody 8; after one released at 03:12 UTC by carol as a false positive; usually 2 at most, never above 3 in 8 weeks',
  );
  const byHand = {
    origin: 'admin',
    description: 'phished',
    follows: { ...follows, falsePositive: false },
  } as const;
  assert.equal(whyOf(block(undefined, byHand)), 'phished; after one released at 03:12 UTC by carol');
  assert.equal(
    whyOf(block(undefined, { ...byHand, description: '' })),
    'after one released at 03:12 UTC by carol',
  );
});

describe('a text that must fit', () => {
  for (const [text, room, fits] of [
    ['9 messages within 1m', 20, '9 messages within 1m'],
    ['9 messages within 1m; allows 8', 24, '9 messages within 1m…'],
    ['9 messages within 1m; allows 8', 29, '9 messages within 1m; allows…'],
    ['donaudampfschifffahrt', 10, 'donaudamp…'],
  ] as const)
    test(`${room} characters: ${fits}`, () => {
      assert.equal(fitting(text, room), fits);
      assert.ok(fitting(text, room).length <= room);
    });
});

describe('the details of a block', () => {
  test('name the accounts of the evidence, whose passwords somebody else may have', () => {
    const details = (accounts?: string[]): string => {
      const place = block('Network 192.0.2.66: 3 accounts within 2h; rule "fleet" allows 2.', {
        id: '01a2257d',
        state: 'active',
        direction: 'outbound',
        refusal: 'soft',
        indefinite: true,
        proposedAt: null,
        endedAt: null,
        since: '2026-11-29T04:08:51.318Z',
        until: null,
      });
      return blockDetails({ ...place, evidence: { ...place.evidence!, accounts } }, 0);
    };
    assert.match(
      details(['a@one.example', 'b@two.example', 'c\u202e@three.example']),
      /\nevidence {3}Network .*\naccounts {3}a@one\.example, b@two\.example, c\ufffd@three\.example\n/,
    );
    assert.doesNotMatch(details(), /^accounts/m);
  });

  test('say of each time that a rule made it longer why', () => {
    const sentence = 'Account a@example.com: 40 refused attempts within 24h; rule "day" allows 32.';
    const until = '2026-11-30T04:08:51.318Z';
    const longer = { at: until, position: 9, type: 'BlockExtended', by: 'rule:day', until } as const;
    const made = block('Account a@example.com: 48 messages within 24h; rule "day" allows 32.', {
      history: [{ ...longer, evidence: { sentence } as BlockJson['evidence'] & object }],
      since: until,
      endedAt: null,
    });
    assert.ok(blockDetails(made, 0).endsWith(`BlockExtended  rule day  until ${until}  ${sentence}`));
  });
});
