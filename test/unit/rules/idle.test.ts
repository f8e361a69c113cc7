import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_RULES, EVALUATION_RULES } from '../../../src/rules/defaults.js';
import { idle } from '../../../src/rules/explain.js';
import { parseRules } from '../../../src/rules/parse.js';

const NOW = Date.UTC(2026, 5, 1);
const told = (rule: string, exempt = ''): readonly string[] =>
  idle(
    parseRules(`version: 1\nrules:\n  - { id: r, per: account, window: 1h, limit: 9, ${rule} }\n${exempt}`),
    NOW,
  );

describe('what stands in rules and never does anything', () => {
  test('is told of a rule that renews by bytes, which attempts do not have', () => {
    for (const [count, says] of [
      ['bytes', /^rule "r": renewWhileTrying does nothing at a count of bytes: /],
      ['recipients', undefined],
    ] as const) {
      const found = told(`count: ${count}, then: block, for: 1h, renewWhileTrying: true`);
      assert.equal(found.length, says === undefined ? 0 : 1);
      if (says !== undefined) assert.match(found[0]!, says);
    }
  });

  test('is told of a rule that escalates, and never makes a block longer', () => {
    const escalating = (span: string, how: string): readonly string[] =>
      told(`count: messages, then: block, for: ${span}, escalate: { ${how} }`);
    for (const [span, how, says] of [
      ['2h', 'factor: 2, max: 7d, forget: 2h', /is forgotten \(2h\) before .* longer than for \(2h\)$/],
      ['60d', 'factor: 2, max: 180d', /is forgotten \(30d\)/],
      ['indefinite', 'factor: 2, max: 7d', /does nothing with for: indefinite/],
      ['2h', 'factor: 1, max: 7d', /a factor above 1/],
      ['2h', 'factor: 2, max: 2h', /a max that is longer/],
    ] as const) {
      const [first, ...more] = escalating(span, how);
      assert.match(first ?? '', says, how);
      assert.deepEqual(more, []);
    }
    assert.deepEqual(escalating('2h', 'factor: 2, max: 7d, forget: 3h'), []);
  });

  test('is told of an exemption that has ended', () => {
    const exempt = (until: string): string =>
      `exempt:\n  - { subject: { type: ip, value: 192.0.2.1 }, until: ${until}, reason: x }\n`;
    const rule = 'count: messages, then: observe';
    assert.deepEqual(told(rule, exempt('2026-05-31')), [
      'the exemption of ip 192.0.2.1 ended at 2026-05-31T00:00:00.000Z: take it out, or give it a later until',
    ]);
    assert.equal(told(rule, exempt('2026-06-01')).length, 1);
    assert.deepEqual(told(rule, exempt('2026-06-02')), []);
  });

  test('is nothing of the built-in rules', () => {
    for (const rules of [DEFAULT_RULES, EVALUATION_RULES]) assert.deepEqual(idle(parseRules(rules), NOW), []);
  });
});
