import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import type { RulesChanged } from '../../../src/rules/model.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { RulesStanding } from '../../../src/rules/decide.js';
import { NO_RULES_YET, decideRules, evolveRules } from '../../../src/rules/decide.js';
import { T0 } from '../../support/given.js';
import { event } from '../../support/sends.js';

const PLAIN = 'extends: defaults\nversion: 1\nrules: []\n';
const OBSERVING = `${PLAIN}mode: observe\n`;
const OTHER = `${PLAIN}exempt: []\n`;

/** The rules after these texts, each from the file, the API or the program itself. */
function after(...texts: readonly (readonly [RulesChanged['origin'], string])[]) {
  let standing = NO_RULES_YET;
  const versions: string[] = [];
  for (const [origin, source] of texts) {
    if (origin === 'shadow') assert.fail('a promotion is another command');
    const facts = decideRules({ kind: 'replace', origin, rules: parseRules(source), source }, standing);
    for (const { type, data } of facts) {
      standing = evolveRules(standing, event(type, data, T0, data.version));
      versions.push(`${data.version} ${'origin' in data ? data.origin : ''}`);
    }
  }
  return { inForce: standing.inForce?.source, versions };
}

describe('rules that replace others', () => {
  test('by an edit of the file count although the file held what the API had set', () => {
    const { inForce, versions } = after(
      ['file', PLAIN],
      ['api', OBSERVING],
      ['file', OBSERVING],
      ['file', PLAIN],
    );
    assert.equal(inForce, PLAIN);
    assert.deepEqual(versions, ['1 file', '2 api', '3 file', '4 file']);
  });

  test('are of the file as soon as it holds what is in force, from wherever', () => {
    assert.deepEqual(after(['api', PLAIN], ['file', PLAIN], ['file', OTHER], ['file', PLAIN]).versions, [
      '1 api',
      '2 file',
      '3 file',
      '4 file',
    ]);
    assert.deepEqual(after(['defaults', DEFAULT_RULES], ['file', DEFAULT_RULES]).versions, [
      '1 defaults',
      '2 file',
    ]);
  });

  test('by the API stay while nobody edits the file, however often it is read', () => {
    const { inForce, versions } = after(
      ['file', PLAIN],
      ['api', OBSERVING],
      ['file', PLAIN],
      ['file', PLAIN],
    );
    assert.equal(inForce, OBSERVING);
    assert.deepEqual(versions, ['1 file', '2 api']);
  });

  test('make no new version where nothing changes', () => {
    assert.deepEqual(after(['file', PLAIN], ['file', PLAIN], ['api', PLAIN]).versions, ['1 file']);
    assert.deepEqual(after(['defaults', PLAIN], ['defaults', PLAIN]).versions, ['1 defaults']);
    assert.deepEqual(after(['file', PLAIN], ['defaults', DEFAULT_RULES]).versions, ['1 file']);
  });

  describe('that extend the built-in ones of an earlier version', () => {
    const [first, ...others] = parseRules(PLAIN).rules;
    const earlier = { ...parseRules(PLAIN), rules: others };
    const renew = (source: string, inForce: RulesStanding['inForce']) =>
      decideRules({ kind: 'renew', rules: parseRules(PLAIN), source }, { ...NO_RULES_YET, inForce });

    for (const origin of ['file', 'api', 'shadow'] as const)
      test(`extend those of this one, and stay rules of the same origin (${origin})`, () => {
        const facts = renew(PLAIN, { version: 4, origin, rules: earlier, source: PLAIN });
        const { rules, ...rest } = facts[0]!.data as RulesChanged;
        assert.deepEqual(rest, { version: 5, origin, source: PLAIN });
        assert.deepEqual(rules.rules[0], first);
      });

    test('stay as they are where these are the same, or others are in force by now', () => {
      const same = parseRules(PLAIN);
      assert.deepEqual(renew(PLAIN, { version: 4, origin: 'api', rules: same, source: PLAIN }), []);
      assert.deepEqual(renew(PLAIN, { version: 4, origin: 'api', rules: earlier, source: OTHER }), []);
      assert.deepEqual(renew(PLAIN, undefined), []);
    });
  });

  describe('after somebody was forgotten whom the file names', () => {
    const naming = (name: string, reason = `newsletter of ${name}`): string =>
      `${PLAIN}exempt:\n  - { subject: { type: account, value: ${name} }, reason: ${reason} }\n`;
    const kept = { rules: parseRules(PLAIN), source: naming('forgotten-1a2b3c4d@invalid') };
    const standing = (origin: RulesChanged['origin']): RulesStanding => ({
      ...NO_RULES_YET,
      inForce: { version: 2, origin, ...(origin === 'file' ? kept : { ...kept, source: OBSERVING }) },
      file: kept,
    });
    const origins = (source: string, { of = standing('api'), isEdited = false } = {}): readonly unknown[] =>
      decideRules({ kind: 'replace', origin: 'file', rules: parseRules(PLAIN), source, isEdited }, of).map(
        ({ data }) => 'origin' in data && data.origin,
      );

    test('by the API stay while nobody edits the file', () => {
      assert.deepEqual(origins(naming('zed@example.com')), []);
      assert.deepEqual(origins(naming('Zed+news@example.com', 'newsletter of zed@example.com')), []);
      assert.deepEqual(origins(naming('zed@example.com'), { of: standing('shadow') }), []);
    });

    test('are replaced by an edit of the file', () => {
      for (const edited of [
        PLAIN,
        `${naming('zed@example.com')}\n`,
        `# Ours.\n${naming('zed@example.com')}`,
        naming('zed@example.com', 'of us'),
        naming('zed@example.com').replace('newsletter', 'letter'),
      ])
        assert.deepEqual(origins(edited), ['file'], edited);
    });

    test('are replaced by an edit of a name alone, which the process saw', () => {
      assert.deepEqual(origins(naming('yan@example.com'), { isEdited: true }), ['file']);
    });

    test('of the file itself are those of the file again at the next start', () => {
      assert.deepEqual(origins(naming('zed@example.com'), { of: standing('file') }), ['file']);
    });
  });
});
