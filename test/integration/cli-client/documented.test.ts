import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { systemClock } from '../../../src/runtime/clock.js';
import { inlineIn, pipelinesOf, shellIn } from '../../support/watch/shell.js';
import { Terminal } from './support.js';

const PAGES = readdirSync('docs', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);
/** Of these a text is easily written without how long, or why. */
const VERBS = ['block add', 'exempt add'];

/** The commands of a page that are whole: with what they are about, and with nothing left out. */
function commandsOf(page: string): readonly (readonly string[])[] {
  const text = readFileSync(page, 'utf8');
  return [...shellIn(text), ...inlineIn(text)]
    .filter((shell) => VERBS.some((verb) => shell.includes(`stopgap ${verb} `)))
    .flatMap((shell) => pipelinesOf(shell).flat())
    .filter(([program, ...args]) => program === 'stopgap' && VERBS.includes(args.slice(0, 2).join(' ')))
    .map(([, ...args]) => args)
    .filter((args) => args.length > 2 && !args.includes('…'));
}

test('the command line understands each block and each exemption that the documents have added', async (t) => {
  // Nothing listens there: what is understood fails to connect.
  const terminal = await Terminal.open(systemClock, {
    STOPGAP_URL: 'http://127.0.0.1:9',
    STOPGAP_TOKEN: 'none',
  });
  t.after(() => terminal.close());
  let count = 0;
  for (const page of PAGES)
    for (const args of commandsOf(page)) {
      count++;
      const { code, err } = await terminal.run(...args);
      assert.equal(code, 1, `${page}: stopgap ${args.join(' ')}\n${err}`);
    }
  assert.ok(count > 15, `only ${count} commands were found`);
});
