import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { FOR_SHORT_LIVES } from '../../support/node.js';
import { ENVIRONMENT, workDir } from '../../support/smtp/served.js';
import { PROGRAM } from '../../support/program.js';

/** What Node.js and `bindings` say of a library that cannot be loaded, and what of it is told. */
const FAULTS: readonly (readonly [what: string, code: string, message: string, told: string])[] = [
  ['is missing', 'MODULE_NOT_FOUND', 'Cannot find module', 'Could not locate the bindings file.'],
  [
    'is broken',
    'ERR_DLOPEN_FAILED',
    '/x/better_sqlite3.node: invalid ELF header',
    '/x/better_sqlite3.node: invalid ELF header',
  ],
  [
    'is of another Node.js',
    'ERR_DLOPEN_FAILED',
    "The module '/x/better_sqlite3.node'\nwas compiled against a different Node.js version using\nNODE_MODULE_VERSION 1.",
    "The module '/x/better_sqlite3.node' was compiled against a different Node.js version using NODE_MODULE_VERSION 1.",
  ],
];

/** Has the library fail as it does where it cannot be loaded. */
function failing(code: string, message: string): string {
  const probe = `
    import Module from 'node:module';
    const load = Module._extensions['.node'];
    Module._extensions['.node'] = (module, file) => {
      if (!file.endsWith('better_sqlite3.node')) return load(module, file);
      throw Object.assign(new Error(${JSON.stringify(message)}), { code: ${JSON.stringify(code)} });
    };`;
  return `--import=data:text/javascript,${encodeURIComponent(probe)}`;
}

function run(cwd: string, options: string, ...args: readonly string[]) {
  return new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
    const env = { ...ENVIRONMENT, NODE_OPTIONS: options };
    execFile(process.execPath, [...FOR_SHORT_LIVES, PROGRAM, ...args], { cwd, env }, (error, out, err) =>
      resolve({ code: error?.code ?? 0, out, err }),
    );
  });
}

for (const [what, code, message, told] of FAULTS)
  test(`where SQLite's library ${what}, serve, import and doctor say it in one line, with the remedy`, async (t) => {
    const cwd = await workDir(t);
    const options = failing(code, message);
    const sentence = `SQLite cannot be loaded (${told}); install with npm ci for this Node.js and machine`;
    writeFileSync(path.join(cwd, 'mail.log'), '');
    const imported = await run(cwd, options, 'import', 'postfix-log', 'mail.log');
    assert.deepEqual([imported.code, imported.err], [1, `stopgap: ${sentence}\n`]);
    const served = await run(cwd, options, 'serve');
    assert.equal(served.code, 1);
    assert.equal(served.err.trimEnd().split('\n').at(-1), `stopgap: ${sentence}`);
    assert.equal(existsSync(path.join(cwd, 'data', 'events.db.lock')), false);
    writeFileSync(path.join(cwd, 'data', 'events.db'), '');
    writeFileSync(path.join(cwd, 'data', 'events.db.lock'), '');
    const doctor = await run(cwd, options, 'doctor');
    assert.ok(doctor.out.includes(sentence), doctor.out);
    assert.ok(!/Tried:|this as the service/.test(doctor.out), doctor.out);
  });
