import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import type { RulesHandled } from '../../../src/commands/rules-commands.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { parseRules } from '../../../src/rules/parse.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { watchRules } from '../../../src/watched-files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

const PLAIN = 'version: 1\nrules: []\n';
const exempt = (name: string): string =>
  `${PLAIN}exempt:\n  - { subject: { type: account, value: ${name} }, reason: newsletter }\n`;
const person = (name: string) => ({ name, pseudonym: 'forgotten-1a2b3c4d@invalid' });

/** A store with a rules file, which each start reads. */
async function installation(t: TestContext, text: string) {
  const folder = temporaryDirectory(t);
  const file = path.join(folder, 'rules.yaml');
  writeFileSync(file, text);
  const clock = new ManualClock();
  const store = await openSqliteStore({ file: path.join(folder, 'events.db'), clock });
  t.after(() => store.close());
  const refused: string[] = [];
  const log = pino({}, { write: (line: string) => void refused.push(line) });
  const start = async () => {
    const commands = new RulesCommandHandler(store, clock);
    let loaded: Promise<unknown> = Promise.resolve();
    const load = (): Promise<unknown> => (loaded = commands.load(watched.current));
    const watched = await watchRules(file, { reload: load }, log, { fileRefused: () => undefined });
    await load();
    return {
      commands,
      edit: async (changed: string): Promise<void> => {
        writeFileSync(file, changed);
        // A shorter text has to look the same twice.
        if (!(await watched.check())) await watched.check();
        await loaded;
      },
    };
  };
  const standing = async (): Promise<string> => {
    const { version, origin } = (await new RulesCommandHandler(store, clock).current())!;
    return `${version} ${origin}`;
  };
  return { store, start, standing, refused, file };
}

const byApi = (commands: RulesCommandHandler): Promise<RulesHandled> => {
  const source = `mode: observe\n${PLAIN}`;
  const command = { kind: 'replace', origin: 'api', rules: parseRules(source), source } as const;
  return commands.execute(command, { by: 'admin:me' });
};

describe('a rules file that names somebody who is forgotten', () => {
  for (const name of ['zed@example.com', 'zed'])
    test(`replaces nothing that the API has set while nobody edits it: ${name}`, async (t) => {
      const { store, start, standing } = await installation(t, exempt(name));
      await byApi((await start()).commands);
      assert.equal((await store.forget(person(name))).rewritten, 1);
      const { edit } = await start();
      assert.equal(await standing(), '2 api');
      // A name alone is an edit too, where a process sees it.
      await edit(exempt('yan@example.com'));
      assert.equal(await standing(), '3 file');
    });

  test('replaces what the API has set when the entry is taken out of it', async (t) => {
    const { store, start, standing } = await installation(t, exempt('zed@example.com'));
    await byApi((await start()).commands);
    await store.forget(person('zed@example.com'));
    await (await start()).edit(PLAIN);
    assert.equal(await standing(), '3 file');
  });
});

test('a rules file of more than a mebibyte is refused by its name with the bound, at the start and after a change', async (t) => {
  const large = `${PLAIN}# ${'x'.repeat(1024 * 1024)}\n`;
  const { start, standing, refused, file } = await installation(t, PLAIN);
  const { edit } = await start();
  await edit(large);
  assert.equal(await standing(), '1 file');
  const said = `${file}: has 1,048,600 bytes; rules may have 1,048,576 at most`;
  assert.ok(refused.join('').includes(said), refused.join(''));
  await assert.rejects(start(), { message: said });
  writeFileSync(file, `${PLAIN}# ${'x'.repeat(1024 * 1024 - PLAIN.length - 3)}\n`);
  await start();
  assert.equal(await standing(), '2 file', 'as much as the bound is taken');
});
