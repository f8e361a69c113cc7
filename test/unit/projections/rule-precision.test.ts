import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AutomaticBlocks, RulePrecision, precisionOf } from '../../../projections/blocks/rule-precision.js';
import type { BlockFact } from '../../../src/blocks/events.js';
import { DAY, MINUTE } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import { T0, evidence, recorded } from '../../support/given.js';
import {
  approved,
  dismissed,
  expired,
  extended,
  imposed,
  imposedByRule,
  lapsed,
  proposed,
  released,
} from '../blocks/facts.js';

function folded(...facts: readonly BlockFact[]): RulePrecision {
  const precision = new RulePrecision();
  for (const fact of recorded(facts)) precision.apply(fact);
  return precision;
}

/** What is not zero of how the rule `burst` has fared. */
function judged(...facts: readonly BlockFact[]): Readonly<Record<string, number>> {
  const [burst] = folded(...facts).all();
  const { rule: _rule, inForce: _inForce, ...counts } = burst!;
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

/** What is not zero of how each rule has fared. */
function fared(...facts: readonly BlockFact[]): Readonly<Record<string, object>> {
  const all = folded(...facts).all();
  return Object.fromEntries(
    all.map(({ rule, inForce: _inForce, ...counts }) => [
      rule,
      Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)),
    ]),
  );
}

const became = (block = 'p1'): BlockFact => imposedByRule({ block });
const releasedCase = (block: string, falsePositive: boolean): BlockFact => ({
  type: 'BlockReleased',
  data: { block, falsePositive },
});

describe('how a rule has fared', () => {
  for (const [name, facts, expected] of [
    ['a block in force has no judgement', [imposedByRule()], { imposed: 1, open: 1 }],
    ['one that ran out is confirmed', [imposedByRule(), expired(T0)], { imposed: 1, confirmed: 1 }],
    [
      'so is one that was released without a complaint',
      [imposedByRule(), released()],
      { imposed: 1, confirmed: 1 },
    ],
    ['a false positive is one', [imposedByRule(), released(true)], { imposed: 1, falsePositives: 1 }],
    ['a proposal that waits has no judgement', [proposed()], { proposed: 1, open: 1 }],
    ['one approved is confirmed, once', [proposed(), approved, became()], { proposed: 1, confirmed: 1 }],
    [
      'also after its block ran out',
      [proposed(), approved, became(), expired(T0, 'p1')],
      { proposed: 1, confirmed: 1 },
    ],
    [
      'unless it turns out to be wrong',
      [proposed(), approved, became(), releasedCase('p1', true)],
      { proposed: 1, falsePositives: 1 },
    ],
    ['one dismissed is told apart', [proposed(), dismissed], { proposed: 1, dismissed: 1 }],
    ['one lapsed says nothing', [proposed(), lapsed(T0)], { proposed: 1, lapsed: 1 }],
    [
      'one that grew is one',
      [proposed(), proposed({ duration: null }), dismissed],
      { proposed: 1, dismissed: 1 },
    ],
    [
      'one that a rule made a block of is one case',
      [proposed(), became(), expired(T0, 'p1')],
      { proposed: 1, imposed: 1, confirmed: 1 },
    ],
    [
      'one that a person blocked by hand is confirmed',
      [proposed(), imposed({ block: 'p1' })],
      { proposed: 1, confirmed: 1 },
    ],
  ] as const satisfies readonly (readonly [string, readonly BlockFact[], object])[]) {
    test(name, () => assert.deepEqual(judged(...facts), expected));
  }

  const overtaken = [proposed({ rule: 'day' }), became()];
  const grown = [proposed({ rule: 'day' }), proposed({ rule: 'burst', duration: null })];
  const alike = (counts: Readonly<Record<string, number>>, imposedToo = false): object => ({
    day: { proposed: 1, ...counts },
    burst: { ...(imposedToo ? { imposed: 1 } : { proposed: 1 }), ...counts },
  });
  for (const [name, facts, expected] of [
    ['waits with it', overtaken, alike({ open: 1 }, true)],
    ['is confirmed with its block', [...overtaken, expired(T0, 'p1')], alike({ confirmed: 1 }, true)],
    [
      'also where that was released without a complaint',
      [...overtaken, releasedCase('p1', false)],
      alike({ confirmed: 1 }, true),
    ],
    [
      'is a false positive with it',
      [...overtaken, releasedCase('p1', true)],
      alike({ falsePositives: 1 }, true),
    ],
    ['shares a proposal that it began', grown, alike({ open: 1 })],
    ['is dismissed with the one that made it longer', [...grown, dismissed], alike({ dismissed: 1 })],
    ['lapses with it', [...grown, lapsed(T0)], alike({ lapsed: 1 })],
    ['is approved with it', [...grown, approved, became()], alike({ confirmed: 1 })],
    [
      'is wrong with it, where what was approved turns out to be',
      [...grown, approved, became(), releasedCase('p1', true)],
      alike({ falsePositives: 1 }),
    ],
    ['is confirmed with it by hand', [...grown, imposed({ block: 'p1' })], alike({ confirmed: 1 })],
    [
      'has no part in a block that it would only have made longer',
      [became(), extended(null, { block: 'p1', evidence: evidence({ rule: 'day' }) }), expired(T0, 'p1')],
      { burst: { imposed: 1, confirmed: 1 } },
    ],
  ] as const satisfies readonly (readonly [string, readonly BlockFact[], object])[]) {
    test(`a rule that another one overtakes ${name}`, () => assert.deepEqual(fared(...facts), expected));
  }

  test('a case of several rules is theirs after a restart, too', () => {
    const restored = new RulePrecision();
    restored.restore(structuredClone(folded(...overtaken).dump()));
    for (const fact of recorded([expired(T0, 'p1')], 100)) restored.apply(fact);
    assert.deepEqual(
      restored.all().map(({ rule, confirmed, open }) => [rule, confirmed, open]),
      [
        ['burst', 1, 0],
        ['day', 1, 0],
      ],
    );
  });

  test('what people block by hand, and ends that nobody knows a beginning of, are no rule’s', () => {
    assert.deepEqual(folded(imposed(), released(true), expired(T0, 'zz'), dismissed, approved).all(), []);
  });

  test('precision is the share of right ones among the judged, and none if nothing is judged', () => {
    const counts = { imposed: 9, proposed: 9, confirmed: 6, falsePositives: 1, dismissed: 1, lapsed: 5 };
    assert.equal(precisionOf(counts), 0.75);
    assert.equal(precisionOf({ ...counts, confirmed: 0, falsePositives: 0, dismissed: 0 }), undefined);
  });
});

describe('the list of rules', () => {
  const rules = (...ids: readonly string[]) =>
    parseRules(
      `version: 1\nrules:\n${ids.map((id) => `  - { id: ${id}, per: ip, count: messages, window: 1h, limit: 9, then: observe }`).join('\n')}`,
    ).rules;

  test('has those in force first, also if nothing is known of them', () => {
    const precision = folded(imposedByRule(), imposedByRule({ block: 'b2', rule: 'abuse' }));
    precision.useRules(rules('day', 'burst'));
    assert.deepEqual(
      precision.all().map(({ rule, inForce, imposed: count }) => [rule, inForce, count]),
      [
        ['burst', true, 1],
        ['day', true, 0],
        ['abuse', false, 1],
      ],
    );
  });

  test('forgets rules that are gone beyond the 200 last heard of, and keeps those in force', () => {
    const precision = new RulePrecision();
    precision.useRules(rules('burst'));
    const block = (index: number, rule: string): BlockFact => imposedByRule({ block: `b${index}`, rule });
    const facts = [
      block(0, 'burst'),
      ...Array.from({ length: 300 }, (_, index) => block(index + 1, `gone${index}`)),
    ];
    for (const fact of recorded(facts)) precision.apply(fact);
    const ids = precision.all().map(({ rule }) => rule);
    assert.equal(ids.length, 201);
    assert.ok(
      ids.includes('burst') && ids.includes('gone299') && ids.includes('gone100') && !ids.includes('gone99'),
    );
    // The case of a rule that is forgotten ends: it begins at nothing, and below it never goes.
    for (const fact of recorded([releasedCase('b1', true)], 10_000)) precision.apply(fact);
    assert.equal(precision.all().find(({ rule }) => rule === 'gone0')?.falsePositives, 1);
    precision.useRules(rules('other'));
    assert.equal(precision.all().length, 201, 'what has gone from force is among the 200');
  });
});

describe('what a circuit breaker counts', () => {
  const BREAKER = { max: 3, window: 10 * MINUTE };
  const AHEAD = T0 + 730 * DAY;
  const apply = (blocks: AutomaticBlocks, ...times: readonly number[]): void => {
    const [block] = recorded([imposedByRule()]);
    for (const at of times) blocks.apply(Object.assign({}, block, { at, by: 'rule:burst' }));
  };
  const seen = (blocks: AutomaticBlocks, now: number): readonly unknown[] => {
    const [name] = blocks.breakers;
    return [blocks.within(name!, BREAKER.window, now), blocks.open(name!, BREAKER, now)];
  };

  test('is nothing that a clock which was ahead has dated into the future', () => {
    const blocks = new AutomaticBlocks();
    apply(blocks, AHEAD, AHEAD + 1, AHEAD + 2);
    assert.deepEqual(seen(blocks, AHEAD + 3), [3, { since: AHEAD + 2, until: AHEAD + BREAKER.window }]);
    assert.deepEqual(seen(blocks, T0), [0, undefined]);
  });

  test('is all of the present after such a clock was put right, also after a restart', () => {
    const blocks = new AutomaticBlocks();
    apply(blocks, T0 - 1, AHEAD, AHEAD + 1, T0, T0 + MINUTE);
    const restored = new AutomaticBlocks();
    restored.restore(structuredClone(blocks.dump()));
    for (const each of [blocks, restored]) {
      assert.deepEqual(seen(each, T0 + MINUTE), [3, { since: T0 + MINUTE, until: T0 - 1 + BREAKER.window }]);
      assert.equal(each.within(each.breakers[0]!, BREAKER.window, T0 + MINUTE, 2), 2);
    }
  });

  test('is also what a clock that is ahead by less than is tolerated has dated', () => {
    const blocks = new AutomaticBlocks();
    apply(blocks, T0 + 4 * MINUTE, T0, T0 + 5 * MINUTE);
    assert.deepEqual(seen(blocks, T0), [3, { since: T0 + 5 * MINUTE, until: T0 + BREAKER.window }]);
  });

  test('does not grow by what a clock that was ahead has left', () => {
    const blocks = new AutomaticBlocks();
    const many = (begin: number): readonly number[] =>
      Array.from({ length: 3000 }, (_, index) => begin + index);
    apply(blocks, ...many(AHEAD), ...many(T0));
    assert.ok(blocks.dump().times[0]![1].length <= 3000 + 512, String(blocks.dump().times[0]![1].length));
    assert.equal(seen(blocks, T0 + 3000)[0], 3000);
  });

  test('is a finding of accounts together that a clock which was ahead did not find before', () => {
    const blocks = new AutomaticBlocks();
    const together = (...times: readonly number[]): void => {
      const [block] = recorded([imposedByRule({ evidence: evidence({ count: 'accounts' }) })]);
      for (const at of times) blocks.apply(Object.assign({}, block, { at, by: 'rule:burst' }));
    };
    together(AHEAD, T0, T0 + MINUTE);
    assert.equal(seen(blocks, T0 + MINUTE)[0], 1);
  });
});
