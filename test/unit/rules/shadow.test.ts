import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StopgapError } from '../../../src/kernel/errors.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { RulesCommand } from '../../../src/rules/decide.js';
import { NO_RULES_YET, decideRules, evolveRules } from '../../../src/rules/decide.js';
import { T0 } from '../../support/given.js';
import { event, rulesChanged, shadowChanged } from '../../support/sends.js';

const source = (limit: number): string =>
  `version: 1\nrules:\n  - { id: burst, per: account, count: recipients, window: 10m, limit: ${limit}, then: block, for: 1h }\n`;
const load = (limit: number): RulesCommand => ({
  kind: 'load',
  rules: parseRules(source(limit)),
  source: source(limit),
});
const REMOVE: RulesCommand = { kind: 'remove' };
const PROMOTE: RulesCommand = { kind: 'promote' };

const inForce = (version: number) => rulesChanged(source(100), T0, version, version);
const loaded = (version: number, limit = 50) => shadowChanged(source(limit), T0, 10 + version, version);
const removed = (version: unknown) => event('ShadowRulesRemoved', { version }, T0, 20);
const promoted = (version: number) => event('ShadowRulesPromoted', { version }, T0, 20);

function given(...events: readonly RecordedEvent[]) {
  const standing = events.reduce(evolveRules, NO_RULES_YET);
  return (command: RulesCommand) => decideRules(command, standing);
}

const changed = (version: number, limit = 50) => ({
  type: 'ShadowRulesChanged',
  data: { version, rules: parseRules(source(limit)), source: source(limit) },
});

describe('shadow rules, decided', () => {
  test('are loaded, and numbered on from all that ever were', () => {
    assert.deepEqual(given()(load(50)), [changed(1)]);
    assert.deepEqual(given(inForce(7), loaded(1))(load(60)), [changed(2, 60)]);
    assert.deepEqual(given(inForce(7), loaded(1), removed(1))(load(50)), [changed(2)]);
    assert.deepEqual(given(loaded(1), promoted(1), inForce(2))(load(50)), [changed(2)]);
  });

  test('that run already are not loaded again', () => {
    assert.deepEqual(given(loaded(1))(load(50)), []);
  });

  test('are removed by their version', () => {
    const removal = { type: 'ShadowRulesRemoved', data: { version: 2 } };
    assert.deepEqual(given(loaded(1), loaded(2))(REMOVE), [removal]);
    assert.deepEqual(given(loaded(2), removed(1), removed('all'))(REMOVE), [removal]);
  });

  test('come into force under the version that is next', () => {
    const rules = parseRules(source(50));
    assert.deepEqual(given(inForce(7), loaded(3))(PROMOTE), [
      { type: 'ShadowRulesPromoted', data: { version: 3 } },
      { type: 'RulesChanged', data: { version: 8, rules, source: source(50), origin: 'shadow' } },
    ]);
  });

  for (const [name, events] of [
    ['never were any', []],
    ['were removed', [loaded(1), removed(1)]],
    ['were promoted', [loaded(1), promoted(1), inForce(2)]],
    ['cannot be read', [event('ShadowRulesChanged', { version: 1, source: 7 }, T0, 1)]],
  ] as const) {
    test(`that ${name} can be neither removed nor promoted`, () => {
      for (const command of [REMOVE, PROMOTE]) {
        assert.throws(
          () => given(...events)(command),
          (error) => error instanceof StopgapError && error.code === 'not-found',
        );
      }
    });
  }

  test('pass over rules in force that cannot be read', () => {
    const broken = event('RulesChanged', { version: 'x' }, T0, 9);
    const [, rules] = given(inForce(4), loaded(1), broken, event('RulesChanged', null, T0, 10))(PROMOTE);
    assert.equal((rules?.data as { version: number }).version, 5);
  });
});
