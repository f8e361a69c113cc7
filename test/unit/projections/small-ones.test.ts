import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AutomaticBlocks } from '../../../projections/blocks/rule-precision.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { Exemptions } from '../../../projections/blocks/exemptions.js';
import { SeenIds } from '../../../projections/blocks/effective-blocks.js';
import { Timeline } from '../../../projections/volume/send-volume.js';
import type { BlockEvent, BlockFact } from '../../../src/blocks/events.js';
import { isBlockEvent } from '../../../src/blocks/events.js';
import { UNREADABLE } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Direction, SubjectType } from '../../../src/sending/subjects.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { ALICE, T0, evidence, recorded } from '../../support/given.js';
import { event } from '../../support/sends.js';
import { imposed, proposed, released } from '../blocks/facts.js';

describe('ids seen before', () => {
  test('are known while they are among the newest, and memory is bounded', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40)), fc.integer({ min: 1, max: 20 }), (ids, kept) => {
        const seen = new SeenIds(kept);
        const history: number[] = [];
        for (const id of ids) {
          const recent = [...new Set(history)].slice(-Math.ceil(kept / 2));
          const isNew = seen.isNew(`e${id}`);
          if (recent.includes(id)) assert.equal(isNew, false, 'known');
          if (!history.includes(id)) assert.equal(isNew, true, 'never seen');
          if (isNew) {
            if (history.includes(id)) history.splice(history.indexOf(id), 1);
            history.push(id);
          }
          assert.ok(seen.size <= 2 * Math.ceil(kept / 2));
        }
      }),
    );
  });

  test('are not remembered if none comes twice', () => {
    const seen = new SeenIds(0);
    assert.deepEqual([seen.isNew(''), seen.isNew(''), seen.size], [true, true, 0]);
  });
});

describe('the timeline', () => {
  test('never names a position after the first event at or after an instant', () => {
    const step = fc.record({ pause: fc.nat(20_000), skew: fc.integer({ min: -300_000, max: 300_000 }) });
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1 }),
        fc.integer({ min: -400_000, max: 900_000 }),
        (steps, offset) => {
          const timeline = new Timeline(() => DAY);
          let clock = T0;
          const events = steps.map(({ pause, skew }, index) => ({
            at: (clock += pause) + skew,
            position: index + 1,
          }));
          for (const { at, position } of events) timeline.note(at, position);
          const first = events.find(({ at }) => at >= T0 + offset)?.position;
          const named = timeline.positionAt(T0 + offset);
          assert.ok(named >= 1 && named <= steps.length);
          if (first !== undefined) assert.ok(named <= first, `${named} is behind ${first}`);
        },
      ),
    );
  });

  test('forgets only what nobody can ask for', () => {
    const timeline = new Timeline(() => HOUR);
    for (let index = 0; index < 5000; index++) timeline.note(T0 + index * 10_000, index + 1);
    const last = T0 + 4999 * 10_000;
    assert.equal(timeline.positionAt(last - HOUR - 10 * MINUTE), 5000 - 420 - 1);
    assert.ok(timeline.positionAt(T0) > 1, 'the oldest entries are gone');
  });
});

const BREAKER = 'account by sends';

describe('automatic blocks', () => {
  test('count what rules imposed by themselves within a window, ends excluded', () => {
    const blocks = new AutomaticBlocks();
    const by = (who: string, at: number): void => {
      blocks.apply({ ...recorded([imposed()])[0]!, by: who, at });
    };
    by('rule:burst@1', T0);
    by('admin:carol', T0);
    by('rule:burst@1', T0 + 5);
    blocks.apply({ ...recorded([released()])[0]!, by: 'rule:burst@1', at: T0 + 6 });
    assert.equal(blocks.within(BREAKER, 10, T0 + 9), 2);
    assert.equal(blocks.within(BREAKER, 10, T0 + 10), 1);
    assert.equal(blocks.within(BREAKER, 10, T0 + 15), 0);
  });
});

describe('circuit breakers', () => {
  const blocked = (type: SubjectType, count: string, direction: Direction): BlockEvent => {
    const [one] = recorded([imposed()]);
    const subject = { type, value: 'x' };
    return {
      ...one!,
      by: 'rule:r@1',
      data: { ...one!.data, subject, direction, evidence: evidence({ count }) },
    } as BlockEvent;
  };
  test('are of a type of subject and a cause each: what needs no account fills none that guards accounts', () => {
    const blocks = new AutomaticBlocks();
    for (const [type, count, direction] of [
      ['ip', 'authFailures', 'all'],
      ['domain', 'messages', 'inbound'],
      ['ip', 'messages', 'outbound'],
    ] as const)
      for (let n = 0; n < 20; n++) blocks.apply(blocked(type, count, direction));
    blocks.apply(blocked('account', 'messages', 'all'));
    const counts = blocks.breakers.map((breaker) => [breaker, blocks.within(breaker, HOUR, T0)]);
    assert.deepEqual(Object.fromEntries(counts), {
      'ip by logins': 20,
      'domain by arrivals': 20,
      'ip by sends': 20,
      'account by sends': 1,
    });
  });
});

describe('blocks by a count of accounts', () => {
  test('are one finding a domain, and one a place', () => {
    const blocks = new AutomaticBlocks();
    const of = (type: SubjectType, value: string): void => {
      const [one] = recorded([imposed()]);
      const data = { ...one!.data, subject: { type, value }, evidence: evidence({ count: 'accounts' }) };
      blocks.apply({ ...one!, by: 'rule:r@1', data } as BlockEvent);
    };
    for (const account of ['a@example.com', 'b@example.com', 'c@example.net']) of('account', account);
    for (const network of ['203.0.113.9', '203.0.113.10', '2001:db8::/64']) of('ip', network);
    const counts = blocks.breakers.map((breaker) => [breaker, blocks.within(breaker, HOUR, T0)]);
    assert.deepEqual(Object.fromEntries(counts), { 'account by sends': 2, 'ip by sends': 3 });
  });
});

describe('many automatic blocks', () => {
  test('are all counted for a day, however many, and no longer kept than that', () => {
    const blocks = new AutomaticBlocks();
    const one = recorded([imposed()])[0]!;
    for (let index = 0; index < 20_000; index++) blocks.apply({ ...one, by: 'rule:r@1', at: T0 + index });
    assert.equal(blocks.within(BREAKER, DAY, T0 + 20_000), 20_000);
    for (let index = 0; index < 20_000; index++) {
      blocks.apply({ ...one, by: 'rule:r@1', at: T0 + 2 * DAY + index });
    }
    assert.equal(blocks.within(BREAKER, DAY, T0 + 2 * DAY + 20_000), 20_000);
    assert.ok(blocks.within(BREAKER, 9 * DAY, T0 + 2 * DAY + 20_000) < 21_025, 'the first day is forgotten');
  });
});

describe('exemptions', () => {
  const granted = (exemption: string, subject = ALICE, until: number | null = null): BlockFact => ({
    type: 'ExemptionGranted',
    data: { exemption, subject, until, reason: exemption },
  });
  const given = (facts: readonly BlockFact[], rules = ''): Exemptions => {
    const exemptions = new Exemptions();
    exemptions.useRules({ ...parseRules(`version: 1\nrules: []\n${rules}`), version: 1 });
    for (const fact of recorded(facts)) exemptions.apply(fact);
    return exemptions;
  };
  const network = parseSubject('ip', '198.51.100.0/24');

  test('cover their subject, a domain its accounts, a network its addresses', () => {
    const exemptions = given([
      granted('x'),
      granted('d', parseSubject('domain', 'b.example')),
      granted('n', network),
    ]);
    const covering = (type: string, value: string): string | undefined =>
      exemptions.covering(parseSubject(type, value), T0)?.id;
    assert.equal(covering('account', 'alice@example.com'), 'x');
    assert.equal(covering('account', 'bob@example.com'), undefined);
    assert.equal(covering('account', 'bob@sub.b.example'), 'd');
    assert.equal(covering('domain', 'sub.b.example'), 'd');
    assert.equal(covering('address', 'x@b.example'), 'd');
    assert.equal(covering('ip', '198.51.100.9'), 'n');
    assert.equal(covering('ip', '198.51.101.9'), undefined);
    assert.equal(covering('ehlo', 'b.example'), undefined);
  });
  test('of one address or network keep the wide network around it from being blocked', () => {
    const exemptions = given([granted('o', parseSubject('ip', '2001:db8:7:33::25'))]);
    const covering = (value: string): string | undefined =>
      exemptions.covering(parseSubject('ip', value), T0)?.id;
    assert.deepEqual(['2001:db8:7::/48', '2001:db8:7::/56'].map(covering), ['o', 'o']);
    assert.deepEqual(['2001:db8:8::/48', '2001:db8:7:100::/56', '2001:db8:7::/64'].map(covering), [
      undefined,
      undefined,
      undefined,
    ]);
  });
  test('end when they end, when revoked, and when replaced', () => {
    const ended = given([granted('x', ALICE, T0 + 5)]);
    assert.deepEqual([ended.covering(ALICE, T0 + 4)?.id, ended.covering(ALICE, T0 + 5)], ['x', undefined]);
    assert.deepEqual(ended.list(T0 + 5), []);
    const revoked = given([granted('x'), { type: 'ExemptionRevoked', data: { exemption: 'x' } }]);
    assert.equal(revoked.covering(ALICE, T0), undefined);
    const replaced = given([granted('x'), granted('y')]);
    assert.deepEqual(
      replaced.list(T0).map(({ id }) => id),
      ['y'],
    );
    assert.equal(
      given([granted('y'), { type: 'ExemptionRevoked', data: { exemption: 'x' } }]).covering(ALICE, T0)?.id,
      'y',
    );
  });
  test('of the rules file come and go with it; what they saved is counted', () => {
    const list = 'exempt: [{ subject: { type: account, value: Alice@Example.com }, reason: list }]';
    const exemptions = given([], list);
    const { id } = exemptions.covering(ALICE, T0)!;
    const applied: BlockFact = {
      type: 'ExemptionApplied',
      data: { exemption: id, reason: 'list', action: 'block', evidence: evidence() },
    };
    for (const fact of recorded([applied, applied])) exemptions.apply(fact);
    assert.deepEqual([exemptions.get(id)?.saved, exemptions.get(id)?.savedAt], [2, T0]);
    exemptions.useRules({ ...parseRules('version: 1\nrules: []'), version: 2 });
    assert.equal(exemptions.covering(ALICE, T0), undefined);
  });
  test('of recorded rules that exempt a subject twice last as long as the longer one', () => {
    const none = parseRules('version: 1\nrules: []');
    for (const ends of [
      [T0 + 9, T0 + 5],
      [T0 + 5, T0 + 9],
      [null, T0 + 5],
    ]) {
      const exempt = ends.map((until) => ({ subject: ALICE, until, reason: 'list' }));
      const exemptions = given([]);
      exemptions.useRules({ ...none, exempt, version: 2 });
      assert.deepEqual(
        exemptions.list(T0 + 6).map(({ subject }) => subject),
        [ALICE],
      );
      assert.notEqual(exemptions.covering(ALICE, T0 + 6), undefined);
      exemptions.useRules({ ...none, version: 3 });
      assert.equal(exemptions.covering(ALICE, T0 + 6), undefined);
    }
  });
  test('of the rules file keep what they saved while they are in it', () => {
    const of = (value: string, more = 'reason: list'): string =>
      `{ subject: { type: account, value: ${value} }, ${more} }`;
    const use = (version: number, ...list: readonly string[]): void =>
      exemptions.useRules({
        ...parseRules(`version: 1\nrules: []\nexempt: [${list.join(', ')}]`),
        version,
      });
    const exemptions = given([]);
    use(1, of('alice@example.com'), of('bob@example.com'));
    const { id } = exemptions.covering(ALICE, T0)!;
    const [applied] = recorded([
      {
        type: 'ExemptionApplied',
        data: { exemption: id, reason: 'list', action: 'block', evidence: evidence() },
      },
    ]);
    exemptions.apply(applied!);

    // Another reason and another end make no other exemption of it.
    use(2, of('carol@example.com'), of('Alice@example.com', 'reason: news, until: 2099-01-01'));
    const kept = exemptions.get(id)!;
    assert.deepEqual([kept.saved, kept.savedAt, kept.reason], [1, T0, 'news']);
    assert.deepEqual(
      exemptions.list(T0).map(({ subject, saved }) => [subject.value, saved]),
      [
        ['carol@example.com', 0],
        ['alice@example.com', 1],
      ],
    );
    const restored = new Exemptions();
    restored.restore(exemptions.dump());
    restored.apply(applied!);
    assert.equal(restored.get(id)!.saved, 2);

    use(3, of('carol@example.com'));
    use(4, of('alice@example.com'));
    assert.deepEqual([exemptions.get(id)!.saved, exemptions.get(id)!.savedAt], [0, undefined]);
  });
  test('of the built-in list are always there', () => {
    const exemptions = given([]);
    for (const [type, value] of [
      ['account', 'postmaster@example.com'],
      ['ip', '10.1.2.3'],
      ['ip', '::1'],
      ['ip', 'fe80::/64'],
      ['ehlo', 'localhost'],
      ['ehlo', '[192.0.2.1]'],
    ] as const) {
      assert.equal(exemptions.covering(parseSubject(type, value), T0)?.id, 'built-in', value);
    }
    assert.equal(exemptions.covering(parseSubject('ip', '198.51.100.1'), T0), undefined);
  });
});

describe('the ledger', () => {
  test('tells a proposal that became a block as one entry with its whole history', () => {
    const ledger = new BlockLedger();
    const facts: BlockFact[] = [
      proposed({ block: 'b1' }),
      { type: 'ProposalApproved', data: { block: 'b1', note: 'seen' } },
      imposed({ until: T0 + HOUR, origin: 'rule' }),
      { type: 'BlockExtended', data: { block: 'b1', until: null, direction: 'all' } },
      released(true),
    ];
    for (const fact of recorded(facts)) ledger.apply(fact);
    const entry = ledger.get('b1')!;
    assert.equal(ledger.size, 1);
    assert.deepEqual(
      entry.history.map(({ type }) => type),
      facts.map(({ type }) => type),
    );
    assert.deepEqual(
      [entry.state, entry.falsePositive, entry.direction, entry.version],
      ['released', true, 'all', 50],
    );
    assert.equal(entry.evidence?.rule, 'burst', 'the proposal’s evidence stays with the block');
    assert.deepEqual([...ledger.rows.on(ALICE)], [ledger.rows.find('b1')]);
  });
});

describe('block events', () => {
  test('are told from everything else, under any name', () => {
    for (const type of [UNREADABLE, 'MessageAccepted', 'toString', '__proto__', 'BlockImposed2', '']) {
      assert.equal(isBlockEvent(event(type, null, T0, 1)), false, type);
    }
    const known: BlockEvent = recorded([imposed()])[0]!;
    assert.equal(isBlockEvent(event(known.type, known.data, T0, 1)), true);
  });
});
