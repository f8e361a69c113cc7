import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Act } from '../../../src/blocks/commands.js';
import type { Evidence } from '../../../src/blocks/events.js';
import { HOUR } from '../../../src/kernel/time.js';
import type { Rule } from '../../../src/rules/model.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Circumstances, Response, Verdict } from '../../../src/rules/respond.js';
import { respond } from '../../../src/rules/respond.js';
import { ALICE, T0, evidence } from '../../support/given.js';

const RULES = parseRules(`version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 100, then: block, for: 1h }
  - { id: networks, per: account, count: networks, window: 10m, limit: 2, then: block, for: 1h }
  - { id: together, per: domain, count: accounts, window: 30m, limit: 4, turned: { count: messages, window: 30m, limit: { baseline: 1x, floor: 2 } }, then: block, for: 1h }
  - { id: fleet, per: ip, count: accounts, window: 2h, limit: 5, then: block, for: 4h }
`).rules;
const rule = (id: string): Rule => RULES.find((each) => each.id === id)!;

/** A verdict on alice by {@link RULES}, whose limit is 100. */
function verdict(observed: number, more: Partial<Verdict> = {}, numbers: Partial<Evidence> = {}): Verdict {
  return {
    kind: 'act',
    rule: rule('burst'),
    mode: 'enforce',
    subject: ALICE,
    at: T0,
    evidence: evidence({ observed, ...numbers }),
    ...more,
  };
}

/** Given so many blocks within the window, of 20 that are allowed. */
function given(blocks: number, more: Partial<Circumstances> = {}): Circumstances {
  return {
    now: T0,
    breaker: { max: 20, window: HOUR },
    exemptedBy: () => undefined,
    automaticBlocks: () => blocks,
    newId: () => 'new',
    ...more,
  };
}

const acted = ({ command }: Response): Act => {
  if (command.kind !== 'act') assert.fail(command.kind);
  return command;
};
const WAITS = { pending: () => 'p1' };

describe('while the circuit breaker is open', () => {
  for (const [observed, blocks, action] of [
    [101, 19, 'block'],
    [101, 20, 'propose'],
    [499, 20, 'propose'],
    [500, 20, 'block'],
    [500, 99, 'block'],
    [500, 100, 'propose'],
    [1_000_000, 100, 'propose'],
  ] as const) {
    test(`with ${blocks} blocks of 20, ${observed} of 100 lead to: ${action}`, () => {
      assert.equal(acted(respond(verdict(observed), given(blocks))).action, action);
    });
  }

  test('each blocked place counts for the breaker, but of accounts that turned together only the first', () => {
    const place = { type: 'ip', value: '203.0.113.9' } as const;
    const found = verdict(6, { rule: rule('fleet'), subject: place }, { limit: 5, count: 'accounts' });
    assert.equal(respond(found, given(0)).counts, 'ip by sends');
    assert.equal(respond({ ...found, rule: rule('together'), subject: ALICE }, given(0)).counts, undefined);
    assert.equal(acted(respond(found, given(20))).action, 'propose');
  });

  test('a block far beyond the limit is in force at once, counts for the breaker and leaves it open', () => {
    const { anticipated, counts, asked } = respond(verdict(500), given(20, WAITS));
    assert.equal(anticipated?.id, 'p1');
    assert.equal(counts, 'account by sends');
    assert.deepEqual(asked, { breaker: 'account by sends', open: true });
  });

  test('its sentence and its description say so', () => {
    const said =
      'Account alice@example.com: 101 recipients within 10m; rule "burst" allows 100; blocked although the circuit breaker is open: 5 times the limit or more.';
    const { evidence: proof, terms } = acted(respond(verdict(500), given(20)));
    assert.deepEqual([proof.sentence, terms.description], [said, said]);
  });

  test('the sentence says nothing of the breaker while it is closed, nor if it only proposes', () => {
    const { sentence } = evidence();
    assert.equal(acted(respond(verdict(500), given(19))).evidence.sentence, sentence);
    assert.equal(acted(respond(verdict(499), given(20))).evidence.sentence, sentence);
  });

  test('a limit that was tripled is five times the tripled limit', () => {
    assert.equal(acted(respond(verdict(1499, {}, { limit: 300 }), given(20))).action, 'propose');
    assert.equal(acted(respond(verdict(1500, {}, { limit: 300 }), given(20))).action, 'block');
  });

  test('a limit of 0 is no reason to block for one message', () => {
    assert.equal(acted(respond(verdict(4, {}, { limit: 0 }), given(20))).action, 'propose');
    assert.equal(acted(respond(verdict(5, {}, { limit: 0 }), given(20))).action, 'block');
  });

  for (const id of ['networks', 'together'])
    test(`a count of ${rule(id).count}, which is no volume, is never far beyond its limit`, () => {
      const found = verdict(15, { rule: rule(id) }, { count: rule(id).count, limit: 2 });
      assert.equal(acted(respond(found, given(20))).action, 'propose');
    });

  test('an exempted sender stays exempt, however much it sends', () => {
    const exemptedBy = { id: 'e1', reason: 'a newsletter' };
    const { command, anticipated } = respond(
      verdict(5000, { kind: 'beyond' }),
      given(20, { exemptedBy: () => exemptedBy }),
    );
    assert.deepEqual((command as Act).exemptedBy, exemptedBy);
    assert.equal(anticipated, undefined);
  });

  test('a breaker that allows no blocks at all lets none through', () => {
    const none = given(0, { breaker: { max: 0, window: HOUR } });
    assert.equal(acted(respond(verdict(1_000_000), none)).action, 'propose');
  });
});

describe('a sender that has gone on far beyond its limit', () => {
  const beyond = verdict(500, { kind: 'beyond' });

  test('is blocked by the proposal that waits, and refused at once', () => {
    const { command, anticipated } = respond(beyond, given(20, WAITS));
    assert.equal((command as Act).onlyPending, true);
    assert.equal((command as Act).action, 'block');
    assert.equal(anticipated?.id, 'p1');
  });

  test('is not refused if no proposal waits', () => {
    for (const blocks of [0, 20]) {
      const { command, anticipated, counts } = respond(beyond, given(blocks));
      assert.deepEqual([(command as Act).onlyPending, anticipated, counts], [true, undefined, undefined]);
    }
  });

  test('is blocked by the proposal also if the breaker has closed meanwhile', () => {
    const { command, anticipated } = respond(beyond, given(3, WAITS));
    assert.deepEqual([(command as Act).action, anticipated?.id], ['block', 'p1']);
  });
});

describe('refused attempts that go on', () => {
  const renewal = (then: Rule['then'], more: Partial<Circumstances> = {}) =>
    respond(verdict(101, { kind: 'renew', rule: { ...rule('burst'), then } }), given(0, more)).command;

  test('keep a block of a rule up, unless an exemption keeps the rule back', () => {
    const exemptedBy = { id: 'x1', reason: 'a weekly list' };
    assert.equal(renewal('block').kind, 'renew');
    assert.deepEqual(renewal('block', { exemptedBy: () => exemptedBy }), {
      ...renewal('block'),
      exemptedBy,
    });
  });

  test('are only recorded once the rule is to observe', () => {
    assert.deepEqual(renewal('observe'), {
      kind: 'observe',
      subject: ALICE,
      action: 'observe',
      evidence: evidence({ observed: 101 }),
    });
  });
});
