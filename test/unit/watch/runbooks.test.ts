import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import Database from 'better-sqlite3';
import { run } from '../../../src/cli/program.js';
import { processIo } from '../../../src/cli/io.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { assertAsksForWhatIs, watchedSeries } from '../../support/watch/exposed.js';
import { queriesIn, REPOSITORY, shippedRules } from '../../support/watch/rules.js';
import { commandsIn, runbooks, stopgapCallsOf } from '../../support/watch/runbooks.js';

const series = watchedSeries();
const alerts = new Set(shippedRules().alerts.map(({ alert }) => alert));

/** What the command line says of one of its commands. */
async function help(verbs: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' });
  assert.equal(await run([...verbs, '--help'], { ...processIo, stdout, stderr: stdout }), 0);
  return String(stdout.read());
}

/** The values that an option may have, where its help lists them. */
function choicesOf(option: string, said: string): readonly string[] | undefined {
  const [, rest] = new RegExp(`^ +${option}\\b([\\s\\S]*?)(?=^ +-|$(?![\\s\\S]))`, 'm').exec(said) ?? [];
  const [, list] = /\(choices: ([^)]*?)(?:, default: [^)]*)?\)/.exec(rest?.replace(/\s+/g, ' ') ?? '') ?? [];
  return list?.split(', ').map((value) => value.replaceAll('"', ''));
}

/** The pages for those who run Stopgap, by name. */
const pages = readdirSync(path.join(REPOSITORY, 'docs/run')).map((name) => {
  const text = readFileSync(path.join(REPOSITORY, 'docs/run', name), 'utf8');
  return { name, text, commands: commandsIn(text) };
});

describe('what the page of incidents says of an alert', () => {
  for (const { name, text } of runbooks())
    test(`${name} asks for series, and names alerts, that exist`, () => {
      for (const query of queriesIn(text)) assertAsksForWhatIs(query, series, query);
      for (const [name] of text.matchAll(/(?<!:)\bstopgap_[a-z0-9_]+/g))
        assert.ok(series.has(name) || name === 'stopgap_base_url', `there is no ${name}`);
      for (const [name] of text.matchAll(/\bStopgap[A-Z]\w+/g)) assert.ok(alerts.has(name), name);
    });

  test('the patterns for `logs` find lines that docs/reference/logging.md lists', () => {
    const lines = documentedLines();
    const patterns = runbooks().flatMap(({ name, commands }) =>
      commands
        .filter(([first, pattern]) => first === 'logs' && pattern !== undefined)
        .map(([, pattern]) => ({ name, pattern: pattern! })),
    );
    assert.ok(patterns.length > 20);
    for (const { name, pattern } of patterns)
      for (const part of pattern.includes('(') ? [pattern] : pattern.split('|'))
        assert.ok(
          lines.some((line) => new RegExp(part).test(line)),
          `${name}: no line has ${part}`,
        );
  });
});

describe('a page of docs/run', () => {
  for (const { name, commands } of pages)
    test(`${name} gives commands and options of stopgap that exist`, async () => {
      for (const words of stopgapCallsOf(commands)) {
        const command = words.join(' ');
        const end = words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word));
        const verbs = end === -1 ? words : words.slice(0, end);
        // `stopgap` alone is the name of a process.
        if (verbs.length === 0) continue;
        const said = await help(verbs);
        assert.match(said, new RegExp(`^Usage: stopgap ${verbs[0]}\\b`), command);
        for (const [index, option] of words.entries()) {
          if (!option.startsWith('--')) continue;
          assert.ok(new RegExp(`^ +${option}\\b`, 'm').test(said), `${command}: there is no ${option}`);
          const choices = choicesOf(option, said);
          const value = words[index + 1]!;
          if (choices !== undefined && !/^[A-Z]+$/.test(value))
            assert.ok(choices.includes(value), `${command}: ${option} is one of ${choices.join(', ')}`);
        }
      }
    });

  test('an SQLite store answers what the pages ask it', async (t) => {
    const dir = mkdtempSync(path.join(tmpdir(), 'stopgap-runbooks-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const file = path.join(dir, 'events.db');
    await (await openSqliteStore({ file, clock: systemClock })).close();
    const database = new Database(file, { readonly: true });
    t.after(() => database.close());
    const asked = pages.flatMap(({ commands }) => commands.filter((words) => words.includes('-readonly')));
    const questions = asked.filter(([first, ...words]) => first === 'sqlite3' && words.length > 2);
    assert.ok(questions.length > 5);
    for (const words of questions)
      assert.doesNotThrow(
        () => database.prepare(words.at(-1)!.replace('POSITION', '1')).all(),
        words.join(' '),
      );
  });
});

/** What a line of the log may hold: each row of docs/reference/logging.md, an outcome of a rule, last words. */
function documentedLines(): readonly string[] {
  const rows = readFileSync(path.join(REPOSITORY, 'docs/reference/logging.md'), 'utf8').split('\n');
  const others = ['ExemptionApplied', 'stopgap: stopped by a fault', 'Main process exited'];
  return [...rows.filter((row) => row.startsWith('|')), ...others];
}
