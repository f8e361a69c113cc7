import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { MINUTE } from '../../src/kernel/time.js';
import type { RuleSet } from '../../src/rules/model.js';
import { DEFAULT_RULES } from '../../src/rules/defaults.js';
import { InvalidRules, parseRules } from '../../src/rules/parse.js';
import { anyText, damaged, fuzz } from '../support/fuzz/cases.js';
import { oddYaml, ruleSetValue } from '../support/fuzz/rules.js';
import { warped } from '../support/fuzz/schema.js';
import { Steady } from '../support/fuzz/steady.js';
import { settle } from '../support/gate.js';
import { Watching } from '../support/watching.js';

/** What a person might have written, and what nobody would. */
const written = fc.oneof(
  { weight: 3, arbitrary: ruleSetValue.map((value) => stringify(value)) },
  { weight: 2, arbitrary: ruleSetValue.map((value) => JSON.stringify(value)) },
);
const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: written },
  {
    weight: 4,
    arbitrary: warped(ruleSetValue).map((value) => stringify(value, { aliasDuplicateObjects: false })),
  },
  { weight: 4, arbitrary: damaged(written) },
  { weight: 2, arbitrary: damaged(fc.constant(DEFAULT_RULES)) },
  { weight: 2, arbitrary: damaged(oddYaml) },
  { weight: 1, arbitrary: anyText },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.oneof(oddYaml, anyText), { maxLength: 5 })
      .map((all) => `version: 1\n${all.join('\n')}`),
  },
);

/** Refused with what is wrong and where, or else a rule set. */
function parsed(source: string): RuleSet | undefined {
  try {
    return parseRules(source, 'rules.yaml', 20_000);
  } catch (error) {
    if (!(error instanceof InvalidRules)) throw error;
    const lines = source.split('\n').length;
    assert.ok(error.faults.length > 0 && error.faults.length <= 100);
    for (const { line, message } of error.faults) {
      assert.ok(line !== undefined && line >= 1 && line <= lines, `line ${line} of ${lines}: ${message}`);
      assert.ok(message !== '');
    }
    return undefined;
  }
}

/** Some of everything that rules look at. */
function happens(watching: Watching): void {
  watching.send({}, 12);
  watching.send(
    { ip: '203.0.113.7', ehlo: 'other', returnPath: 'x@example.com', recipients: 30, country: 'FR' },
    3,
  );
  watching.send({ direction: 'inbound', account: undefined, returnPath: 'a@elsewhere.test' }, 2);
  watching.fold('BounceReceived', { address: 'alice@example.com' });
  const refused = { account: 'alice@example.com', returnPath: 'alice@example.com', direction: 'outbound' };
  watching.fold('RecipientsRefused', { ...refused, transaction: 't', count: 60, code: 550, entitled: true });
  watching.fold('AuthenticationFailed', {
    network: '192.0.2.7',
    kind: 'genuine',
    count: 3,
    since: watching.now,
  });
  watching.pass(26 * 60 * MINUTE);
  watching.send({}, 2);
}

describe('a rules file of any content', () => {
  let steady: Steady;
  /** Node writes them to standard error, with the text of the file. */
  const warnings: string[] = [];
  const warned = (warning: Error): void => void warnings.push(warning.message);
  before(async () => {
    for (const source of [DEFAULT_RULES, 'version: 1\nrules: x', '*a', '[[']) parsed(source);
    steady = await Steady.from();
    process.on('warning', warned);
  });
  after(() => process.off('warning', warned));

  fuzz(
    'it is a rule set, or refused with its lines',
    {
      arbitrary: text,
      runs: 350,
      kept: { 'a key that is a collection is told to nobody but who sent it': '? {"a\\e[2J": b}\n: c' },
    },
    async (source) => {
      const rules = parsed(source);
      await settle(1);
      assert.deepEqual(warnings.splice(0), []);
      if (rules === undefined) return;
      assert.deepEqual(JSON.parse(JSON.stringify(rules)), rules, 'an event can hold it');
    },
  );

  fuzz('a rule set that is taken can be in force', { arbitrary: written, runs: 80 }, (source) => {
    const rules = parsed(source);
    if (rules === undefined) return;
    const watching = new Watching('version: 1\nrules: []\n');
    watching.fold('RulesChanged', { version: 2, rules, source, origin: 'api' }, { stream: 'rules' });
    happens(watching);
    watching.fold('ShadowRulesChanged', { version: 3, rules, source }, { stream: 'rules' });
    happens(watching);
    for (const subject of [
      { type: 'account', value: 'alice@example.com' },
      { type: 'ip', value: '192.0.2.7' },
    ] as const)
      watching.limits(subject);
  });

  test('nothing is left of them', () => steady.still(16 * 1024 * 1024));
});
