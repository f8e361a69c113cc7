import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import type { RulesChanged } from '../../../src/rules/model.js';
import { parseRules } from '../../../src/rules/parse.js';
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
});
