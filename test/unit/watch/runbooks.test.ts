import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { run } from '../../../src/cli/program.js';
import { processIo } from '../../../src/cli/io.js';
import { assertAsksForWhatIs, watchedSeries } from '../../support/watch/exposed.js';
import { queriesIn, REPOSITORY, shippedRules } from '../../support/watch/rules.js';

const RUNBOOKS = path.join(REPOSITORY, 'docs/runbooks');
const series = watchedSeries();
const alerts = new Set(shippedRules().alerts.map(({ alert }) => alert));

/** What the command line says of one of its commands. */
async function help(verbs: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' });
  assert.equal(await run([...verbs, '--help'], { ...processIo, stdout, stderr: stdout }), 0);
  return String(stdout.read());
}

/** Commands of ours in code, without what they are piped into. */
function commandsIn(text: string): readonly string[] {
  const code = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm), ...text.matchAll(/`(stopgap [^`]+)`/g)];
  return code.flatMap(([, lines]) =>
    lines!
      .replaceAll('\\\n', ' ')
      .split(/\n|\||&&|;/)
      .map((line) => line.replace(/\s#.*$/, '').trim())
      .map((line) => line.replace(/^xargs -n 1 |^[A-Z_]+=\S+ /, ''))
      .filter((line) => line.startsWith('stopgap ')),
  );
}

/** What headings are linked by. */
function anchorsOf(page: string): readonly string[] {
  return [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
}

describe('a runbook', () => {
  for (const file of readdirSync(RUNBOOKS)) {
    const text = readFileSync(path.join(RUNBOOKS, file), 'utf8');

    test(`${file} asks for series, and names alerts, that there are`, () => {
      for (const query of queriesIn(text)) assertAsksForWhatIs(query, series, query);
      for (const [name] of text.matchAll(/(?<!:)\bstopgap_[a-z0-9_]+/g))
        assert.ok(series.has(name) || name === 'stopgap_base_url', `there is no ${name}`);
      for (const [name] of text.matchAll(/\bStopgap[A-Z]\w+/g)) assert.ok(alerts.has(name), name);
    });

    test(`${file} names commands and options that there are`, async () => {
      for (const command of commandsIn(text)) {
        const words = command.split(/\s+/).slice(1);
        const end = words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word));
        const verbs = end === -1 ? words : words.slice(0, end);
        const said = await help(verbs);
        assert.match(said, new RegExp(`^Usage: stopgap ${verbs[0]}\\b`), command);
        assert.doesNotMatch(said, /^Usage: .*\[command\]/, command);
        for (const option of words.filter((word) => word.startsWith('--')))
          assert.ok(new RegExp(`^ +${option}\\b`, 'm').test(said), `${command}: there is no ${option}`);
      }
    });

    test(`${file} leads to pages and headings that there are`, async () => {
      for (const [, target, anchor] of text.matchAll(/\]\(([^)#]+)(?:#([^)]+))?\)/g)) {
        const file = path.join(RUNBOOKS, target!);
        if (anchor === undefined) await access(file);
        else
          assert.ok(anchorsOf(await readFile(file, 'utf8')).includes(anchor), `${target} has no #${anchor}`);
      }
    });
  }
});
