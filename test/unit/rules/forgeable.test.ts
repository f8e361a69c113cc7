import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_RULES, EVALUATION_RULES } from '../../../src/rules/defaults.js';
import { forgeable } from '../../../src/rules/explain.js';
import { parseRules } from '../../../src/rules/parse.js';

const warnings = (rule: string): readonly string[] =>
  forgeable(parseRules(`version: 1\nrules:\n  - { id: r, window: 1h, limit: 9, for: 1h, ${rule} }\n`));

describe('rules by which a stranger can get somebody else refused', () => {
  test('are those that block a name that anybody can give', () => {
    for (const [rule, warning] of [
      ['per: ehlo, count: messages, then: block', /^rule "r" blocks an EHLO name, .* one account that takes/],
      [
        'per: ehlo, count: messages, then: block, direction: inbound',
        /a stranger who takes that of a customer/,
      ],
      ['per: ehlo, count: messages, then: block, direction: all', /a stranger who takes that of a customer/],
      ['per: domain, count: messages, then: block, direction: all', /blocks the domain of a return path/],
      [
        'per: address, count: messages, then: block, direction: inbound',
        /blocks a return path of mail that arrives/,
      ],
      ['per: account, count: bounces, then: block', /looks at bounces, .*: it proposes, and blocks nobody$/],
      [
        'per: account, count: messages, then: block, when: { share: { of: bounces, above: 0.5, least: 9 } }',
        /looks at bounces/,
      ],
    ] as const) {
      const [first, ...more] = warnings(rule);
      assert.match(first!, warning, rule);
      assert.deepEqual(more, [], rule);
    }
  });

  test('are none that block by what nobody can forge, or only propose', () => {
    for (const rule of [
      'per: account, count: messages, then: block',
      'per: ip, count: messages, then: block, direction: all',
      'per: ip, count: authFailures, then: block',
      'per: domain, count: messages, then: block',
      'per: address, count: messages, then: block',
      'per: ehlo, count: messages, then: propose, direction: all',
      'per: account, count: bounces, then: propose',
    ])
      assert.deepEqual(warnings(rule), [], rule);
    for (const rules of [DEFAULT_RULES, EVALUATION_RULES]) assert.deepEqual(forgeable(parseRules(rules)), []);
  });
});
