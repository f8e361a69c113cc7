import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { processIo } from '../../../src/cli/io.js';
import { allVerbs, buildProgram, VERBS } from '../../../src/cli/program.js';

/** What runs until it is ended, or prints what is not data. */
const WITHOUT_JSON = new Set([
  'serve',
  'sasl-proxy',
  'follow postfix-log',
  'follow journal',
  'bounce',
  'completion',
]);

function leaves(command: Command, path: readonly string[] = []): readonly (readonly [string, Command])[] {
  const below = command.commands.filter((one) => one.name() !== 'help');
  if (below.length === 0) return [[path.join(' '), command]];
  return below.flatMap((one) => leaves(one, [...path, one.name()]));
}

test('every verb of the command line has --json, but those that run on or print no data', async () => {
  const all = leaves(buildProgram(processIo, await allVerbs()));
  const without = all.filter(([, { options }]) => !options.some(({ long }) => long === '--json'));
  assert.deepEqual(without.map(([name]) => name).sort(), [...WITHOUT_JSON].sort());
});

test('every verb and every option of the command line says what it is', async () => {
  for (const [name, command] of leaves(buildProgram(processIo, await allVerbs()))) {
    assert.notEqual(command.description(), '', name);
    for (const { long, description, argChoices } of command.options)
      assert.ok(description !== '' || argChoices !== undefined, `${name} ${long}`);
  }
});

test('every verb of the command line is loaded by the word that it adds', async () => {
  for (const [word, load] of VERBS) {
    const added = buildProgram(processIo, [await load()]).commands.map((command) => command.name());
    assert.deepEqual(added, [word]);
  }
});
