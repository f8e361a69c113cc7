import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { run } from '../../../src/cli/program.js';
import { processIo } from '../../../src/cli/io.js';
import { assertAsksForWhatIs, watchedSeries } from '../../support/watch/exposed.js';
import { queriesIn, shippedRules } from '../../support/watch/rules.js';
import { runbooks, stopgapCallsOf } from '../../support/watch/runbooks.js';

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

describe('a runbook', () => {
  for (const { name, text, commands } of runbooks()) {
    test(`${name} asks for series, and names alerts, that there are`, () => {
      for (const query of queriesIn(text)) assertAsksForWhatIs(query, series, query);
      for (const [name] of text.matchAll(/(?<!:)\bstopgap_[a-z0-9_]+/g))
        assert.ok(series.has(name) || name === 'stopgap_base_url', `there is no ${name}`);
      for (const [name] of text.matchAll(/\bStopgap[A-Z]\w+/g)) assert.ok(alerts.has(name), name);
    });

    test(`${name} names commands and options that there are`, async () => {
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
        assert.doesNotMatch(said, /^Usage: .*\[command\]/, command);
      }
    });
  }
});
