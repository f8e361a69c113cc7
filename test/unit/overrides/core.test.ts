import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { z } from 'zod';
import { HOUR } from '../../../src/kernel/time.js';
import type { OverrideCommand, OverrideStanding } from '../../../src/overrides/decide.js';
import { decide, evolve, NOTHING_SET } from '../../../src/overrides/decide.js';
import type { OverrideFact } from '../../../src/overrides/events.js';
import { isOverrideEvent, overrideStream } from '../../../src/overrides/events.js';
import type { Terms } from '../../../src/overrides/model.js';
import { unusedLimits } from '../../../src/overrides/model.js';
import { overrideBody, overrideEntry } from '../../../src/overrides/parse.js';
import { NOON } from '../../support/manual-clock.js';
import { account, domain, overrideEvent } from '../../support/overrides.js';
import { event } from '../../support/sends.js';

const ALICE = account('alice@example.com');

function set(terms: Terms, more: Partial<OverrideCommand & { kind: 'set' }> = {}): OverrideCommand {
  return { kind: 'set', subject: ALICE, origin: 'api', terms, until: null, ...more };
}

function after(...facts: readonly OverrideFact[]): OverrideStanding {
  return facts.reduce<OverrideStanding>(
    (state, fact, at) => evolve(state, overrideEvent(fact, NOON, at + 1)),
    NOTHING_SET,
  );
}

describe('an override that is decided', () => {
  test('is set once: the very same again changes nothing, in any order its keys come', () => {
    const first = decide(set({ limits: { a: 1, b: 2 }, plan: 'x' }, { reason: 'r' }), NOTHING_SET, NOON);
    const data = {
      subject: ALICE,
      origin: 'api',
      until: null,
      limits: { a: 1, b: 2 },
      plan: 'x',
      reason: 'r',
    };
    assert.deepEqual(first, [{ type: 'OverrideSet', data }]);
    const standing = after(...first);
    const same = set({ plan: 'x', limits: { b: 2, a: 1 } }, { reason: 'r' });
    assert.deepEqual(decide(same, standing, NOON), []);
    for (const other of [
      set({ limits: { a: 1 }, plan: 'x' }, { reason: 'r' }),
      set({ limits: { a: 1, b: 2 }, plan: 'y' }, { reason: 'r' }),
      set({ limits: { a: 1, b: 2 }, plan: 'x' }, { reason: 's' }),
      set({ limits: { a: 1, b: 2 }, plan: 'x' }, { reason: 'r', until: NOON + HOUR }),
      set({ limits: { a: 1, b: 2 }, plan: 'x', factor: 2 }, { reason: 'r' }),
      set({ limits: { a: 1, b: 2 }, plan: 'x' }, { reason: 'r', origin: 'file' }),
    ]) {
      assert.equal(decide(other, standing, NOON).length, 1);
    }
  });

  test('is removed once, and only that of the same origin', () => {
    const standing = after(
      ...decide(set({ factor: 2 }), NOTHING_SET, NOON),
      ...decide(set({ factor: 3 }, { origin: 'file' }), NOTHING_SET, NOON),
    );
    const remove = { kind: 'remove', subject: ALICE, origin: 'api', note: 'ended' } as const;
    const removed = decide(remove, standing, NOON);
    const data = { subject: ALICE, origin: 'api', note: 'ended' };
    assert.deepEqual(removed, [{ type: 'OverrideRemoved', data }]);
    const left = evolve(standing, overrideEvent(removed[0]!, NOON, 3));
    assert.deepEqual(left, { file: { terms: { factor: 3 }, until: null } });
    assert.deepEqual(decide(remove, left, NOON), []);
  });

  test('of the API must not be over already; one of the file that is over is as good as gone', () => {
    assert.throws(
      () => decide(set({ factor: 2 }, { until: NOON }), NOTHING_SET, NOON),
      /must lie in the future/,
    );
    const stale = set({ factor: 2 }, { until: NOON, origin: 'file' });
    assert.deepEqual(decide(stale, NOTHING_SET, NOON), []);
    const standing = after(...decide(stale, NOTHING_SET, NOON - 1));
    assert.deepEqual(
      decide(stale, standing, NOON).map(({ type }) => type),
      ['OverrideRemoved'],
    );
  });
});

describe('override events', () => {
  test('are in the stream of their subject, and are known by what they hold', () => {
    assert.equal(overrideStream(ALICE), 'override-account:alice@example.com');
    const good = { subject: domain('example.com'), origin: 'file', until: null, total: { limits: { d: 5 } } };
    const is = (data: unknown, type = 'OverrideSet') => isOverrideEvent(event(type, data, NOON, 1));
    assert.equal(is(good), true);
    assert.equal(is({ subject: ALICE, origin: 'api' }, 'OverrideRemoved'), true);
    for (const bad of [
      null,
      { ...good, subject: { type: 'ip', value: '192.0.2.1' } },
      { ...good, origin: 'rules' },
      { ...good, until: 'soon' },
      { ...good, limits: { a: 0 } },
      { ...good, limits: { a: 'on' } },
      { ...good, limits: 7 },
      { ...good, factor: 0 },
      { ...good, total: { factor: 101 } },
      { ...good, plan: 7 },
    ]) {
      assert.equal(is(bad), false, JSON.stringify(bad));
    }
    assert.equal(is(good, 'OverrideImagined'), false);
  });
});

describe('what people write', () => {
  const faults = (schema: z.ZodType, value: unknown): string[] =>
    (schema.safeParse(value).error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);

  test('is read into normal form, without what is empty', () => {
    const subject = { type: 'domain', value: '.EXAMPLE.com'.slice(1) };
    const entry = {
      subject,
      limits: {},
      factor: 2,
      total: { limits: { d: 'off' } },
      plan: ' Pro ',
      reason: '',
    };
    assert.deepEqual(overrideEntry.parse({ ...entry, until: '2027-01-31' }), {
      subject: domain('example.com'),
      terms: { factor: 2, total: { limits: { d: 'off' } }, plan: 'Pro' },
      until: Date.UTC(2027, 0, 31),
    });
    assert.deepEqual(overrideBody.parse({ limits: { burst: 5 }, until: null }), {
      terms: { limits: { burst: 5 } },
      until: null,
    });
  });

  test('is refused with each field and what would be right', () => {
    assert.deepEqual(
      faults(overrideBody, { limits: { burst: 0 }, factor: 0.01, until: 'soon', size: 1 }).sort(),
      [
        ': is not a known key; known are limits, factor, total, until, reason, plan',
        'factor: must be at least 0.1',
        'limits.burst: must be a whole number of at least 1, or off',
        'until: must be a date such as 2027-01-31 or an ISO 8601 time',
      ],
    );
    assert.deepEqual(faults(overrideBody, { limits: { 'no id': 5 } }), [
      'limits.no id: is no rule id: 1 to 64 letters, digits, dots, dashes or underscores',
    ]);
    assert.deepEqual(faults(overrideBody, { plan: 'pro', total: {} }), [
      ': changes nothing: give limits, factor, or a total of a domain',
    ]);
    assert.deepEqual(faults(overrideBody, []), [': must be an object with limits or factor']);
    const many = Object.fromEntries(Array.from({ length: 201 }, (_, index) => [`r${index}`, 1]));
    assert.deepEqual(faults(overrideBody, { limits: many }), ['limits: names 201 rules: at most 200']);
    assert.deepEqual(faults(overrideEntry, { subject: { type: 'ip', value: '192.0.2.1' }, factor: 2 }), [
      'subject.type: must be one of account, domain',
    ]);
    assert.match(
      faults(overrideEntry, { subject: { type: 'domain', value: 'com' }, factor: 2 })[0]!,
      /^subject\.value: "com" is no domain/,
    );
    assert.deepEqual(faults(overrideEntry, { subject: ALICE, factor: 2, total: { factor: 2 } }), [
      'total: is for a domain only: an account has no accounts below it',
    ]);
  });

  test('may name rules that are not in force: they are unused', () => {
    const rules = [
      { id: 'burst', per: 'account' },
      { id: 'domain', per: 'domain' },
      { id: 'guessing', per: 'ip' },
    ];
    const terms: Terms = {
      limits: { burst: 1, domain: 2, old: 3, guessing: 4 },
      total: { limits: { domain: 5, burst: 6 } },
    };
    assert.deepEqual(unusedLimits(terms, rules), [
      {
        field: 'limits.domain',
        message:
          'the rule counts per domain: its limit belongs under total.limits, in the override of a domain',
      },
      { field: 'limits.old', message: 'no rule in force has this id' },
      { field: 'limits.guessing', message: 'the rule counts per ip: no override reaches it' },
      { field: 'total.limits.burst', message: 'the rule counts per account: its limit belongs under limits' },
    ]);
    assert.deepEqual(unusedLimits({ factor: 2 }, rules), []);
  });
});
