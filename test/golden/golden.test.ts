import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Replay } from './replay.js';

/*
 * Golden replays: every folder here holds a README (what it shows), rules, timed events, and what is expected to
 * come of them: verdicts, facts and refusals, one JSON value a line. To write the expected files anew after a
 * change that is meant, and then read the difference:
 *
 *   STOPGAP_WRITE_GOLDEN=1 npm test -- golden
 */
const cases = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../test/golden');
const write = process.env['STOPGAP_WRITE_GOLDEN'] === '1';

describe('golden replay', () => {
  const names = readdirSync(cases, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  assert.ok(names.length > 0, `no cases in ${cases}`);

  for (const name of names) {
    const folder = path.join(cases, name);
    test(name, () => {
      assert.ok(existsSync(path.join(folder, 'README')), 'a case says in one line what it shows');
      const outcomes = new Replay(folder).run();
      const again = new Replay(folder).run();
      assert.deepEqual(again, outcomes, 'the same events give the same outcome');
      const file = path.join(folder, 'expected.ndjson');
      if (write) writeFileSync(file, outcomes.map((outcome) => `${JSON.stringify(outcome)}\n`).join(''));
      const expected = readFileSync(file, 'utf8').split('\n').filter((line) => line !== '');
      assert.deepEqual(outcomes.map((outcome) => JSON.stringify(outcome)), expected);
    });
  }
});
