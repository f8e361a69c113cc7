import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PostfixLogOptions } from '../../../src/import/postfix-log/index.js';
import { formatInstant } from '../../../src/kernel/time.js';
import { eventsOf, logFile } from '../../support/logs.js';

/*
 * Logs as Postfix writes them: every folder here holds a README (what it shows), logs, and what is expected to come of
 * them, one JSON value a line. To write the expected files anew after a change that is meant, and then read the difference:
 *
 *   STOPGAP_WRITE_GOLDEN=1 npm test -- integration/import
 */
const cases = path.resolve(
  path.dirname(fileURLToPath(import.meta.url)),
  '../../../../test/integration/import/cases',
);
const write = process.env['STOPGAP_WRITE_GOLDEN'] === '1';

async function outcomeOf(folder: string): Promise<readonly unknown[]> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  const files = names.map((name) => logFile(name, readFileSync(path.join(folder, name), 'utf8')));
  const given = path.join(folder, 'options.json');
  const options = existsSync(given)
    ? (JSON.parse(readFileSync(given, 'utf8')) as Partial<PostfixLogOptions>)
    : {};
  const { events, summary } = await eventsOf(files, options);
  const { lines, ignored, broken, reinjected, headless, brokenLines } = summary;
  return [
    ...events.map(({ at, event }) => ({ at: formatInstant(at), type: event.type, ...event.data })),
    { lines, ignored, broken, reinjected, headless },
    ...brokenLines,
  ];
}

describe('logs of Postfix', () => {
  const names = readdirSync(cases);
  assert.ok(names.length > 10, `no cases in ${cases}`);

  for (const name of names) {
    const folder = path.join(cases, name);
    test(name, async () => {
      assert.ok(existsSync(path.join(folder, 'README')), 'a case says in one line what it shows');
      const outcome = (await outcomeOf(folder)).map((each) => JSON.stringify(each));
      const file = path.join(folder, 'expected.ndjson');
      if (write) writeFileSync(file, outcome.map((line) => `${line}\n`).join(''));
      const expected = readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '');
      assert.deepEqual(outcome, expected);
    });
  }
});
