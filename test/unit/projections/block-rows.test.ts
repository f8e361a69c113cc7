import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { BlockEntry } from '../../../projections/blocks/block-entry.js';
import { stateAt } from '../../../projections/blocks/block-entry.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import type { BlockRows } from '../../../projections/blocks/block-rows.js';
import type { Keyed } from '../../../projections/blocks/block-order.js';
import { firstRows } from '../../../projections/blocks/block-order.js';
import type { BlockFilter, BlockSort } from '../../../projections/blocks/block-segments.js';
import { BLOCK_SORTS } from '../../../projections/blocks/block-segments.js';
import type { BlockEvent, BlockFact } from '../../../src/blocks/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { SenderIdentity, SubjectType } from '../../../src/sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES } from '../../../src/sending/subjects.js';
import { T0, evidence } from '../../support/given.js';
import { blockEvent } from '../../support/sends.js';

const STATES = ['proposed', 'active', 'released', 'expired', 'dismissed', 'lapsed'] as const;
const RULES = ['burst', 'hour', 'day'] as const;
const DESCRIPTIONS = ['Too many recipients', 'by hand: STRASSE', ''] as const;
/** More than one segment holds. */
const MANY = 2500;

const seed = fc.record({
  how: fc.constantFrom('propose', 'impose', 'rule'),
  type: fc.constantFrom(...SUBJECT_TYPES),
  subject: fc.nat(3),
  direction: fc.constantFrom(...DIRECTIONS),
  description: fc.constantFrom(...DESCRIPTIONS),
  rule: fc.constantFrom(...RULES),
  length: fc.constantFrom(MINUTE, HOUR, null),
  end: fc.constantFrom(undefined, 'release', 'expire', 'dismiss', 'lapse', 'approve'),
});
type Seed = typeof seed extends fc.Arbitrary<infer T> ? T : never;

const valueOf = (type: SubjectType, n: number): string =>
  ({
    account: `a${n}@example.com`,
    address: `*@b${n}.org`,
    domain: `d${n}.net`,
    ehlo: `e${n}`,
    ip: `192.0.2.${n}`,
  })[type];

/** The facts of one block or proposal from its begin to its end. */
function factsOf(
  { how, type, subject: n, direction, description, rule, length, end }: Seed,
  block: string,
  at: number,
): readonly BlockFact[] {
  const terms = {
    block,
    subject: { type, value: valueOf(type, n) },
    direction,
    description,
    refusal: 'soft',
  } as const;
  const renewWhileTrying = false;
  if (how === 'propose') {
    const proof = { rule, evidence: evidence({ rule }), renewWhileTrying, duration: length };
    const proposed = { type: 'BlockProposed', data: { ...terms, ...proof, lapsesAt: at + HOUR } } as const;
    if (end === 'dismiss') return [proposed, { type: 'ProposalDismissed', data: { block } }];
    if (end === 'approve') {
      const until = length === null ? null : at + HOUR / 2 + length;
      const imposed = { ...terms, origin: 'rule', rule, until, renewWhileTrying } as const;
      return [proposed, { type: 'BlockImposed', data: imposed }];
    }
    return end === 'lapse' ? [proposed, { type: 'ProposalLapsed', data: { block } }] : [proposed];
  }
  const until = length === null ? null : at + length;
  const by = how === 'rule' ? ({ origin: 'rule', rule } as const) : ({ origin: 'admin' } as const);
  const imposed = { type: 'BlockImposed', data: { ...terms, ...by, until, renewWhileTrying } } as const;
  if (end === 'release') return [imposed, { type: 'BlockReleased', data: { block, falsePositive: false } }];
  if (end === 'expire' && until !== null)
    return [imposed, { type: 'BlockExpired', data: { block, dueAt: until } }];
  return [imposed];
}

/** Begins all of them, then ends them: each a minute after the one before. */
function ledgerOf(seeds: readonly Seed[]): BlockLedger {
  const ledger = new BlockLedger();
  const ends: (readonly [BlockFact, number])[] = [];
  let position = 0;
  const apply = (fact: BlockFact, at: number) => ledger.apply(blockEvent(fact, at, ++position) as BlockEvent);
  seeds.forEach((one, index) => {
    const at = T0 + index * MINUTE;
    const [begin, ...rest] = factsOf(one, `${index.toString(16).padStart(4, '0')}-block`, at);
    apply(begin!, at);
    // A proposal waits for a while before somebody approves it.
    const wait = one.end === 'approve' ? HOUR / 2 : MINUTE / 2;
    ends.push(...rest.map((fact) => [fact, at + wait] as const));
  });
  for (const [fact, at] of ends) apply(fact, at);
  return ledger;
}

const beginOf = (entry: BlockEntry): number => entry.history[0]!.position;
const beganAt = (entry: BlockEntry): number => entry.proposedAt ?? entry.since!;

/** The state at an instant after the begin. */
function stateThen(entry: BlockEntry, at: number): BlockEntry['state'] {
  const { since, until, endedAt, lapsesAt, state } = entry;
  const ends = endedAt ?? (state === 'proposed' ? lapsesAt : until) ?? Infinity;
  if (ends <= at) return stateAt(entry, at);
  return since !== undefined && since <= at ? 'active' : 'proposed';
}

function matches(entry: BlockEntry, filter: BlockFilter): boolean {
  const { now, at, states, types, direction, origin, rule, since, until, id, text } = filter;
  return (
    states?.has(at === undefined ? stateAt(entry, now) : stateThen(entry, at)) !== false &&
    (at === undefined || beganAt(entry) <= at) &&
    types?.has(entry.subject.type) !== false &&
    [entry.direction, undefined].includes(direction) &&
    [entry.origin, undefined].includes(origin) &&
    (rule === undefined || entry.rule === rule) &&
    [entry.proposedAt, entry.since].some(
      (time) =>
        time !== undefined &&
        time >= (since ?? -Infinity) &&
        time < (until ?? Infinity) &&
        time <= (at ?? Infinity),
    ) &&
    (id === undefined || entry.id.startsWith(id)) &&
    (text === undefined ||
      entry.subject.value.includes(text) ||
      entry.description.toLowerCase().includes(text))
  );
}

function found(rows: BlockRows, filter: BlockFilter, order: 'newest' | 'oldest', beyond?: number): number[] {
  return [...rows.search(filter, order, beyond)].flat().map((row) => rows.at(row).begin);
}

const option = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 3 });
const some = <T>(all: readonly T[]) =>
  option(fc.subarray([...all], { minLength: 1 }).map((few) => new Set(few)));
const instant = fc.integer({ min: -10, max: MANY + 100 }).map((minutes) => T0 + minutes * MINUTE);
const filters = fc.record({
  now: instant,
  at: option(instant),
  states: some(STATES),
  types: some(SUBJECT_TYPES),
  direction: option(fc.constantFrom(...DIRECTIONS)),
  origin: option(fc.constantFrom('rule' as const, 'admin' as const)),
  rule: option(fc.constantFrom(...RULES, 'no such rule')),
  since: option(instant),
  until: option(instant),
  id: option(fc.constantFrom('0', '00', '000a', '0123', '0123-block', 'f', 'b')),
  text: option(fc.constantFrom('a', 'a2', 'strasse', 'example', '@', 'recipients', 'nowhere', '\n')),
});

/** The key of an entry in an order: the least comes first, and the newest among equals. */
const KEYS: Readonly<Record<BlockSort, (entry: BlockEntry, refused: number) => number | string>> = {
  since: (entry) => -(entry.since ?? entry.proposedAt!),
  until: ({ endedAt, state, lapsesAt, until }) =>
    endedAt ?? (state === 'proposed' ? lapsesAt : until) ?? Infinity,
  refused: (_, refused) => -refused,
  subject: ({ subject }) => subject.value,
};

describe('the rows of the ledger', () => {
  test('find by the clock what is recorded as open, though nothing else is there', () => {
    const one = {
      type: 'account',
      subject: 0,
      direction: 'outbound',
      description: '',
      rule: 'burst',
    } as const;
    const open = { ...one, length: MINUTE, end: undefined };
    for (const [how, state] of [
      ['impose', 'expired'],
      ['propose', 'lapsed'],
    ] as const) {
      const { rows } = ledgerOf([{ ...open, how }]);
      const wanted = { states: new Set([state]) };
      assert.deepEqual(found(rows, { ...wanted, now: T0 + 2 * HOUR }, 'newest'), [1]);
      assert.deepEqual(found(rows, { ...wanted, now: T0 }, 'newest'), []);
    }
  });

  test('find a block in the hour of its proposal and in the hour of its approval, also after a restart', () => {
    const one = { how: 'propose', type: 'account', subject: 0, direction: 'outbound' } as const;
    const told = { description: '', rule: 'burst', length: HOUR, end: 'approve' } as const;
    const ledger = ledgerOf([{ ...one, ...told }]);
    const restored = new BlockLedger();
    restored.restore(structuredClone(ledger.dump()));
    const approvedAt = T0 + HOUR / 2;
    for (const { rows } of [ledger, restored]) {
      const within = (since: number, until: number, at?: number): number[] =>
        found(rows, { now: T0 + HOUR, since, until, at }, 'newest');
      assert.deepEqual(within(T0, T0 + MINUTE), [1]);
      assert.deepEqual(within(approvedAt, approvedAt + MINUTE), [1]);
      assert.deepEqual(within(T0 + MINUTE, approvedAt), []);
      assert.deepEqual(within(approvedAt + 1, T0 + HOUR), []);
      assert.deepEqual(within(T0 + MINUTE, T0 + HOUR, approvedAt - 1), [], 'nobody had approved it then');
    }
  });

  test('are given in every order, page by page, as sorting every entry would', () => {
    const few = fc.array(seed, { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(
        ...([
          few,
          fc.constantFrom(1, 70),
          filters,
          fc.constantFrom(...BLOCK_SORTS),
          fc.integer({ min: 1, max: 60 }),
        ] as const),
        (seeds, times, filter, sort, limit) => {
          const ledger = ledgerOf(Array.from({ length: times }, () => seeds).flat());
          const entries = [...ledger.kept()];
          const refused = new Map(entries.map(({ id }, n) => [id, n % 7]));
          for (const [block, count] of refused) if (count > 0) ledger.refuse({ block, count }, T0);
          const keyed = entries
            .filter((entry) => matches(entry, filter))
            .map((entry) => ({ key: KEYS[sort](entry, refused.get(entry.id)!), begin: beginOf(entry) }))
            .sort((a, b) => (a.key === b.key ? b.begin - a.begin : a.key < b.key ? -1 : 1));
          const seen: number[] = [];
          let beyond: Keyed | undefined;
          // Two pages show that the second begins where the first ends.
          for (let page = 0; page < 2; page++) {
            const steps = firstRows(ledger.rows, filter, sort, limit, { beyond });
            let step = steps.next();
            while (step.done !== true) step = steps.next();
            seen.push(...step.value.map(({ row }) => ledger.rows.at(row).begin));
            beyond = step.value.at(-1) ?? beyond;
          }
          assert.deepEqual(
            seen,
            keyed.slice(0, 2 * limit).map(({ begin }) => begin),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  test('find what a look at every entry would find, in order, from either end and from any place', () => {
    fc.assert(
      fc.property(
        fc.array(seed, { maxLength: 60 }).chain((few) =>
          fc.constantFrom(
            few,
            Array.from({ length: MANY }, (_, n) => few[n % few.length] ?? few[0]).filter(
              (one) => one !== undefined,
            ),
          ),
        ),
        fc.array(filters, { minLength: 20, maxLength: 20 }),
        fc.constantFrom('newest' as const, 'oldest' as const),
        option(fc.nat(MANY + 10)),
        (seeds, asked, order, beyond) => {
          const { rows, ...ledger } = keptOf(ledgerOf(seeds));
          for (const filter of asked) {
            const begins = ledger.entries.filter((entry) => matches(entry, filter)).map(beginOf);
            const inOrder = order === 'newest' ? begins.reverse() : begins;
            const rest = inOrder.filter((begin) =>
              beyond === undefined ? true : order === 'newest' ? begin < beyond : begin > beyond,
            );
            assert.deepEqual(found(rows, filter, order, beyond), rest);
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  test('find a description in either form of Unicode, and compose none while they are searched', (t) => {
    const ledger = new BlockLedger();
    const impose = (description: string, n: number): void =>
      ledger.apply(
        blockEvent(
          {
            type: 'BlockImposed',
            data: {
              block: `block-${n}`,
              subject: { type: 'account', value: `a${n}@example.com` },
              direction: 'outbound',
              description,
              refusal: 'soft',
              until: null,
              origin: 'admin',
              renewWhileTrying: false,
            },
          },
          T0,
          n,
        ) as BlockEvent,
      );
    ['Stra\u00dfe GRÜN', 'gru\u0308n', 'a\u0323\u0301', 'blau'].forEach((text, n) => impose(text, n + 1));
    const { rows } = ledger;
    const normalize = t.mock.method(String.prototype, 'normalize');
    const among = ['gr\u00fcn', 'straße', '\u1ea1\u0301', 'blau'].map((text) =>
      found(rows, { now: T0, text }, 'oldest'),
    );
    assert.equal(normalize.mock.callCount(), 0);
    assert.deepEqual(among, [[1, 2], [1], [3], [4]]);
  });

  test('count what each rule has in force', () => {
    fc.assert(
      fc.property(fc.array(seed, { maxLength: 100 }), instant, (seeds, now) => {
        const { rows, entries } = keptOf(ledgerOf(seeds));
        const counts = new Map<string, number>();
        for (const entry of entries)
          if (entry.rule !== undefined && stateAt(entry, now) === 'active')
            counts.set(entry.rule, (counts.get(entry.rule) ?? 0) + 1);
        assert.deepEqual(new Map([...rows.activeByRule(now)].sort()), new Map([...counts].sort()));
      }),
    );
  });

  test('count the blocks on a sender that have ended, as a look at every entry would', () => {
    const sender: SenderIdentity = {
      account: valueOf('account', 1),
      address: 'x@b1.org',
      direction: 'outbound',
      ehlo: valueOf('ehlo', 1),
      ip: valueOf('ip', 1),
    };
    fc.assert(
      fc.property(fc.array(seed, { maxLength: 100 }), instant, (seeds, now) => {
        const { rows, entries } = keptOf(ledgerOf(seeds));
        const ended = entries.filter(
          (entry) =>
            entry.subject.type !== 'domain' &&
            entry.subject.value === valueOf(entry.subject.type, 1) &&
            entry.direction !== 'inbound' &&
            ['released', 'expired'].includes(stateAt(entry, now)),
        );
        assert.equal(rows.ended(sender, now), ended.length);
      }),
    );
  });

  test('go on after a dump without changing it, and from a dump without changing it', () => {
    const seeds = fc.sample(seed, { numRuns: 3 * 1024, seed: 7 }).map((one) => ({ ...one, end: undefined }));
    const ledger = ledgerOf(seeds);
    const before = ledger.dump();
    const copy = structuredClone(before);
    const restored = new BlockLedger();
    restored.restore(before);
    let position = 10_000;
    for (const one of [ledger, restored]) {
      for (const entry of [...one.kept()]) {
        const data = { block: entry.id, falsePositive: true };
        if (entry.state === 'active')
          one.apply(blockEvent({ type: 'BlockReleased', data }, T0, ++position) as BlockEvent);
      }
    }
    assert.ok(position > 12_000);
    assert.deepEqual(before, copy);
    assert.notDeepEqual(ledger.dump().rows.columns.terms, copy.rows.columns.terms);
    assert.deepEqual(restored.dump().rows.columns.terms, ledger.dump().rows.columns.terms);
  });

  test('leave the memory to those that wait, are in force, or have ended last', () => {
    const ledger = new BlockLedger(2);
    const seeds = fc.sample(seed, { numRuns: 200, seed: 3 }).map((one, n) => ({
      ...one,
      ...({ how: 'rule', length: null, type: 'account', subject: n } as const),
      end: n === 5 ? undefined : ('release' as const),
    }));
    let position = 0;
    seeds.forEach((one, n) => {
      for (const fact of factsOf(one, `b${n}`, T0 + n * HOUR))
        ledger.apply(blockEvent(fact, T0 + n * HOUR, ++position) as BlockEvent);
    });
    assert.deepEqual(
      [...ledger.kept()].map(({ id }) => id),
      ['b5', 'b198', 'b199'],
    );
    assert.equal(ledger.size, 200);
    assert.equal(ledger.get('b7'), undefined);
    assert.equal(ledger.ruleOf('b7'), seeds[7]!.rule);
    assert.ok(ledger.dump().letGo.length <= 4, 'whom a person let go of is remembered for a while');
  });
});

function keptOf(ledger: BlockLedger): { rows: BlockRows; entries: readonly BlockEntry[] } {
  return { rows: ledger.rows, entries: [...ledger.kept()].sort((a, b) => beginOf(a) - beginOf(b)) };
}
