import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Interned, Overrides } from '../../../projections/volume/overrides.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { OverrideEvent } from '../../../src/overrides/events.js';
import type { Allowance, OverrideOrigin, OverrideSubject, Terms } from '../../../src/overrides/model.js';
import { inWords, termsKey } from '../../../src/overrides/model.js';
import type { OverrideStanding } from '../../../src/overrides/decide.js';
import { evolve, NOTHING_SET } from '../../../src/overrides/decide.js';
import { subjectKey } from '../../../src/sending/subjects.js';
import type { SubjectType } from '../../../src/sending/subjects.js';
import { NOON } from '../../support/manual-clock.js';
import { account, domain, overrideEvent, overrideSet } from '../../support/overrides.js';
import { throughFrames } from '../../support/restored.js';

function holding(
  ...sets: readonly [OverrideSubject, Terms, Parameters<typeof overrideSet>[4]?][]
): Overrides {
  const overrides = new Overrides();
  sets.forEach(([subject, terms, more], index) => {
    overrides.apply(overrideSet(subject, terms, NOON, index + 1, more));
  });
  return overrides;
}

const ALICE = 'alice@example.com';

describe('overrides', () => {
  test('leave a limit as it is for senders and rules without an override', () => {
    const none = new Overrides();
    assert.equal(none.limit('burst', 'account', ALICE, 100, NOON), 100);
    const some = holding([account('bob@example.com'), { limits: { burst: 7 }, factor: 2 }]);
    assert.equal(some.limit('burst', 'account', ALICE, 100, NOON), 100);
    assert.equal(some.explain('burst', 'account', ALICE, 100, NOON), undefined);
    assert.equal(some.limit('burst', 'account', 'bob', 100, NOON), 100);
  });

  test('name a limit, switch a rule off, or multiply every limit that they do not name', () => {
    const overrides = holding([account(ALICE), { limits: { burst: 500, day: 'off' }, factor: 1.5 }]);
    assert.equal(overrides.limit('burst', 'account', ALICE, 100, NOON), 500);
    assert.equal(overrides.limit('day', 'account', ALICE, 1000, NOON), null);
    assert.equal(overrides.limit('bounces', 'account', ALICE, 25, NOON), 38);
    assert.equal(overrides.limit('constructor', 'account', ALICE, 10, NOON), 15, 'no property of an object');
  });

  test('never multiply a limit down to nothing, nor beyond what can be counted', () => {
    const overrides = holding(
      [account('low@example.com'), { factor: 0.1 }],
      [account('high@example.com'), { factor: 100 }],
    );
    assert.equal(overrides.limit('r', 'account', 'low@example.com', 1, NOON), 1);
    const most = Number.MAX_SAFE_INTEGER;
    assert.equal(overrides.limit('r', 'account', 'high@example.com', most, NOON), most);
  });

  test('of a domain hold for each account of it and of its subdomains; the nearest counts, key by key', () => {
    const overrides = holding(
      [domain('example.com'), { limits: { burst: 200, day: 3000 }, factor: 2 }],
      [domain('eu.example.com'), { limits: { burst: 300 } }],
      [account('a@x.eu.example.com'), { limits: { day: 50 } }],
    );
    const limit = (rule: string, name: string) => overrides.limit(rule, 'account', name, 10, NOON);
    assert.equal(limit('burst', ALICE), 200);
    assert.equal(limit('burst', 'b@x.eu.example.com'), 300);
    assert.equal(limit('day', 'b@x.eu.example.com'), 3000);
    assert.equal(limit('day', 'a@x.eu.example.com'), 50);
    assert.equal(limit('other', 'a@x.eu.example.com'), 20);
    assert.equal(limit('burst', 'a@myexample.com'), 10, 'no subdomain');
  });

  test('a nearer factor multiplies a farther limit; of several factors the nearest counts alone', () => {
    const overrides = holding(
      [domain('example.com'), { limits: { burst: 200, day: 'off' }, factor: 2 }],
      [account(ALICE), { factor: 3 }],
    );
    assert.equal(overrides.limit('burst', 'account', ALICE, 100, NOON), 600);
    assert.equal(overrides.limit('other', 'account', ALICE, 100, NOON), 300);
    assert.equal(overrides.limit('day', 'account', ALICE, 100, NOON), null);
    assert.equal(overrides.limit('burst', 'account', 'bob@example.com', 100, NOON), 200);
  });

  test("a domain's total is for its own rules, and nothing else is", () => {
    const overrides = holding(
      [
        domain('example.com'),
        { limits: { domain: 1 }, factor: 2, total: { limits: { domain: 9000 }, factor: 5 } },
      ],
      [account('example.com'), { limits: { domain: 2 } }],
    );
    assert.equal(overrides.limit('domain', 'domain', 'example.com', 2000, NOON), 9000);
    assert.equal(overrides.limit('hour', 'domain', 'mx.example.com', 10, NOON), 50);
    assert.equal(overrides.limit('domain', 'account', ALICE, 2000, NOON), 1);
    assert.equal(overrides.limit('burst', 'account', ALICE, 100, NOON), 200);
  });

  test('reach no return path, EHLO name or network', () => {
    const overrides = holding([domain('example.com'), { factor: 2, total: { factor: 3 } }]);
    for (const per of ['address', 'ehlo', 'ip'] as const satisfies SubjectType[]) {
      assert.equal(overrides.limit('r', per, ALICE, 100, NOON), 100, per);
    }
  });

  test('of the API lie over those of the file, key by key, and end by themselves', () => {
    const overrides = holding(
      [account(ALICE), { limits: { burst: 200, day: 400 } }, { origin: 'file' }],
      [account(ALICE), { limits: { burst: 900 } }, { until: NOON + HOUR }],
    );
    assert.equal(overrides.limit('burst', 'account', ALICE, 100, NOON), 900);
    assert.equal(overrides.limit('day', 'account', ALICE, 100, NOON), 400);
    assert.equal(overrides.limit('burst', 'account', ALICE, 100, NOON + HOUR - 1), 900);
    assert.equal(overrides.limit('burst', 'account', ALICE, 100, NOON + HOUR), 200);
    const { version, api, file } = overrides.on(account(ALICE))!;
    assert.deepEqual([version, api?.until, file?.by], [2, NOON + HOUR, 'system:overrides-file']);
    const subject = account(ALICE);
    overrides.apply(overrideEvent({ type: 'OverrideRemoved', data: { subject, origin: 'file' } }, NOON, 3));
    assert.equal(overrides.limit('day', 'account', ALICE, 100, NOON), 100);
    assert.equal(overrides.on(subject)?.version, 3);
    overrides.apply(overrideEvent({ type: 'OverrideRemoved', data: { subject, origin: 'api' } }, NOON, 4));
    assert.equal(overrides.on(subject), undefined);
    assert.equal(overrides.size, 0);
  });

  test('are explained by who set them', () => {
    const overrides = holding(
      [domain('example.com'), { limits: { burst: 2000, day: 'off' }, plan: 'pro' }],
      [account(ALICE), { factor: 1.5 }],
    );
    const both = overrides.explain('burst', 'account', ALICE, 100, NOON)!;
    assert.equal(both.limit, 3000);
    assert.deepEqual(both.named?.subject, domain('example.com'));
    assert.deepEqual(both.multiplied?.subject, account(ALICE));
    assert.equal(
      inWords(both),
      '3,000 instead of 100, by the override of domain example.com (plan "pro"), times 1.5 by the override of account alice@example.com',
    );
    const off = overrides.explain('day', 'account', ALICE, 1000, NOON)!;
    assert.deepEqual([off.limit, off.factor], [null, undefined]);
    assert.equal(
      inWords(off),
      'as much as it likes instead of 1,000, by the override of domain example.com (plan "pro")',
    );
    const times = overrides.explain('other', 'account', ALICE, 10, NOON)!;
    assert.equal(inWords(times), '15 instead of 10, times 1.5 by the override of account alice@example.com');
  });

  test('are paged by value, within what begins alike', () => {
    const overrides = new Overrides();
    const values = Array.from({ length: 50 }, (_, index) => `u${(index * 37) % 50}@example.com`);
    values.forEach((value, index) =>
      overrides.apply(overrideSet(account(value), { factor: 2 }, NOON, index + 1)),
    );
    overrides.apply(overrideSet(domain('example.com'), { factor: 2 }, NOON, 99));
    const seen: string[] = [];
    for (let after = ''; ;) {
      const page = overrides.page('account', 'u1', after, 3).map(({ subject }) => subject.value);
      if (page.length === 0) break;
      seen.push(...page);
      after = page.at(-1)!;
    }
    assert.deepEqual(seen, values.filter((value) => value.startsWith('u1')).sort());
    assert.equal(overrides.page('domain', '', '', 10).length, 1);
  });
});

const RULES = ['burst', 'day'] as const;
const SUBJECTS = [
  domain('example.com'),
  domain('b.example.com'),
  domain('a.b.example.com'),
  account('u@example.com'),
  account('u@a.b.example.com'),
];

const limits = fc.dictionary(
  fc.constantFrom(...RULES),
  fc.oneof(fc.integer({ min: 1, max: 50 }), fc.constant('off' as const)),
  { noNullPrototype: true },
);
const factor = fc.constantFrom(0.1, 0.5, 2, 100);
const allowance = fc.record({ limits, factor }, { requiredKeys: [], noNullPrototype: true });
const step = fc.record({
  subject: fc.constantFrom(...SUBJECTS),
  origin: fc.constantFrom<OverrideOrigin>('file', 'api'),
  terms: fc.option(
    fc.record(
      { limits, factor, total: allowance, plan: fc.constantFrom('a', 'b') },
      { requiredKeys: [], noNullPrototype: true },
    ) as fc.Arbitrary<Terms>,
  ),
  until: fc.option(fc.nat(60).map((minutes) => NOON + minutes * MINUTE)),
});
const histories = fc.array(step, { maxLength: 25 });

function eventsOf(
  steps: readonly (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[],
): OverrideEvent[] {
  return steps.map(({ subject, origin, terms, until }, index) =>
    terms === null
      ? overrideEvent({ type: 'OverrideRemoved', data: { subject, origin } }, NOON, index + 1)
      : overrideSet(subject, terms, NOON, index + 1, { origin, until }),
  );
}

describe('overrides after any sets and removals', () => {
  test('inherit from the farthest to the nearest, key by key', () => {
    const shown = { off: 0, named: 0, multiplied: 0, usual: 0 };
    fc.assert(
      fc.property(histories, fc.nat(60), (steps, minutes) => {
        const overrides = new Overrides();
        const standings = new Map<string, OverrideStanding>();
        for (const event of eventsOf(steps)) {
          overrides.apply(event);
          const key = subjectKey(event.data.subject);
          standings.set(key, evolve(standings.get(key) ?? NOTHING_SET, event));
        }
        const at = NOON + minutes * MINUTE;
        for (const [type, value] of [
          ['account', 'u@example.com'],
          ['account', 'u@a.b.example.com'],
          ['account', 'v@b.example.com'],
          ['domain', 'a.b.example.com'],
        ] as const) {
          for (const rule of RULES) {
            const expected = plainly(standings, rule, { type, value }, 7, at);
            assert.equal(overrides.limit(rule, type, value, 7, at), expected.limit);
            const why = overrides.explain(rule, type, value, 7, at);
            assert.equal(why?.limit ?? (why === undefined ? 7 : null), expected.limit);
            shown[expected.how]++;
          }
        }
      }),
      { numRuns: 500 },
    );
    for (const [what, count] of Object.entries(shown)) assert.ok(count > 50, `only ${count} ${what}`);
  });

  test('that were dumped and restored go on just as those that folded everything', () => {
    fc.assert(
      fc.property(histories, fc.nat(25), (steps, cut) => {
        const events = eventsOf(steps);
        const whole = new Overrides();
        for (const event of events.slice(0, cut)) whole.apply(event);
        const dump = whole.dump();
        const early = throughFrames(dump);
        const restored = new Overrides();
        restored.restore(early);
        for (const event of events.slice(cut)) whole.apply(event);
        assert.deepEqual(throughFrames(dump), early, 'a dump stands still');
        for (const event of events.slice(cut)) restored.apply(event);
        assert.deepEqual(restored.dump(), whole.dump());
        for (const subject of SUBJECTS) assert.deepEqual(restored.on(subject), whole.on(subject));
      }),
    );
  });
});

/** The definition, word for word: layer over layer, from the farthest to the nearest. */
function plainly(
  standings: ReadonlyMap<string, OverrideStanding>,
  rule: string,
  { type, value }: OverrideSubject,
  usual: number,
  at: number,
): { limit: number | null; how: 'off' | 'named' | 'multiplied' | 'usual' } {
  const of = value.slice(value.indexOf('@') + 1);
  const above = SUBJECTS.filter((one) => one.type === 'domain' && `.${of}`.endsWith(`.${one.value}`));
  const nearest = type === 'account' ? [account(value)] : [];
  let base: number | 'off' = usual;
  let multiplier: number | undefined;
  for (const subject of [...above.sort((a, b) => a.value.length - b.value.length), ...nearest]) {
    const { file, api } = standings.get(subjectKey(subject)) ?? NOTHING_SET;
    for (const held of [file, api]) {
      if (held === undefined || (held.until !== null && held.until <= at)) continue;
      const layer: Allowance = type === 'domain' ? (held.terms.total ?? {}) : held.terms;
      const named = layer.limits?.[rule];
      if (named !== undefined) [base, multiplier] = [named, undefined];
      else if (layer.factor !== undefined) multiplier = layer.factor;
    }
  }
  if (base === 'off') return { limit: null, how: 'off' };
  if (multiplier !== undefined)
    return { limit: Math.max(1, Math.round(base * multiplier)), how: 'multiplied' };
  return { limit: base, how: base === usual ? 'usual' : 'named' };
}

describe('shared values', () => {
  test('are kept once, and only while somebody uses them', () => {
    const shared = new Interned<Terms>(termsKey);
    const first = shared.take({ limits: { a: 1, b: 2 }, plan: 'x' });
    assert.equal(shared.take({ plan: 'x', limits: { b: 2, a: 1 } }), first, 'in any order of keys');
    assert.notEqual(shared.take({ total: { limits: { a: 1, b: 2 } }, plan: 'x' }), first);
    assert.equal(shared.size, 2);
    shared.release(first);
    assert.equal(shared.size, 2);
    shared.release(first);
    assert.equal(shared.size, 1);
  });
});
