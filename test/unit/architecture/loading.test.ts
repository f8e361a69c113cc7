import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loads, sources } from './imports.js';

const all = new Map(sources('src', 'projections').map(({ file, text }) => [file, text]));

/** The packages that are loaded before the first line of this file runs. */
function packagesOf(entry: string): readonly string[] {
  const reached = new Set([entry]);
  const packages = new Set<string>();
  for (const file of reached) {
    for (const name of loads(file, all.get(file)!)) {
      if (all.has(name)) reached.add(name);
      else if (!name.startsWith('node:')) packages.add(name);
    }
  }
  return [...packages].sort();
}

/** Each file that a process loads takes it a millisecond: libraries that many can do without are loaded by those who use them. */
describe('at its start', () => {
  test('the command line loads what reads it, and no verb', () => {
    assert.deepEqual(packagesOf('src/main.ts'), ['commander', 'fast-string-width']);
  });

  test('a command that asks the server loads nothing that reads configurations or rules', () => {
    for (const verb of [
      'block',
      'changes',
      'check',
      'events',
      'exempt',
      'feigned',
      'forget',
      'notify',
      'sender',
    ])
      assert.deepEqual(
        packagesOf(`src/cli/${verb}.ts`).filter((name) => ['yaml', 'zod', 'pino'].includes(name)),
        [],
        verb,
      );
  });

  test('the server loads no library of what is seldom configured', () => {
    const packages = packagesOf('src/app.ts');
    assert.ok(packages.includes('express'), 'its libraries were found');
    const seldom =
      /^(?:@kurrent|@opentelemetry\/(?!api)|@simplewebauthn|bullmq|ioredis|nodemailer|openid|selfsigned)/;
    assert.deepEqual(
      packages.filter((name) => seldom.test(name)),
      [],
    );
  });
});
