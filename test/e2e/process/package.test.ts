import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Served, workDir } from '../../support/smtp/served.js';

const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));
const run = promisify(execFile);

interface Lock {
  readonly packages: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** The lock of a folder that has the package and what it depends on, in the versions that were tested. */
async function lockFor(tarball: string): Promise<unknown> {
  const text = await readFile(path.join(REPOSITORY, 'package-lock.json'), 'utf8');
  const { '': own, ...rest } = (JSON.parse(text) as Lock).packages;
  const { devDependencies: _, ...product } = own!;
  const needed = Object.entries(rest).filter(([, { dev }]) => dev !== true);
  return {
    lockfileVersion: 3,
    packages: {
      '': { dependencies: { stopgap: `file:${tarball}` } },
      'node_modules/stopgap': { ...product, resolved: `file:${tarball}` },
      ...Object.fromEntries(needed),
    },
  };
}

/** Why npm could not install: from its cache alone, so that the test asks no other machine. */
function reasonOf(thrown: unknown): string | undefined {
  const { stderr = '', code } = thrown as { readonly stderr?: string; readonly code?: unknown };
  if (code === 'ENOENT') return 'there is no npm';
  return /ENOTCACHED|only-if-cached/.test(stderr) ? "npm's cache lacks packages: npm ci fills it" : undefined;
}

test('the package that npm pack makes runs in an empty folder, without what only development needs', async (t) => {
  const folder = await workDir(t);
  const npm = (...args: readonly string[]) =>
    run('npm', [...args, '--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: folder,
      env: { ...process.env, NODE_ENV: undefined },
    });
  // The program is compiled already: compiling it anew would take it away from tests that run beside this one.
  try {
    await npm('pack', REPOSITORY);
    const { version } = JSON.parse(await readFile(path.join(REPOSITORY, 'package.json'), 'utf8')) as {
      version: string;
    };
    const tarball = `stopgap-${version}.tgz`;
    await writeFile(
      path.join(folder, 'package.json'),
      JSON.stringify({ dependencies: { stopgap: `file:${tarball}` } }),
    );
    await writeFile(path.join(folder, 'package-lock.json'), JSON.stringify(await lockFor(tarball)));
    await npm('ci');
  } catch (thrown) {
    const reason = reasonOf(thrown);
    if (reason === undefined) throw thrown;
    t.skip(reason);
    return;
  }
  // Its own script would compile SQLite for a minute.
  const library = 'node_modules/better-sqlite3/build';
  await cp(path.join(REPOSITORY, library), path.join(folder, library), { recursive: true });

  const main = path.join(folder, 'node_modules/.bin/stopgap');
  const { stdout } = await run(main, ['--version'], { cwd: folder });
  assert.match(stdout, /^\d+\.\d+\.\d+ \((commit [0-9a-f]{12}(-dirty)?|unknown commit)\)\n$/);
  await assert.rejects(readFile(path.join(folder, 'node_modules/typescript/package.json')), {
    code: 'ENOENT',
  });
  await assert.rejects(readFile(path.join(folder, 'node_modules/stopgap/dist/test/run.js')), {
    code: 'ENOENT',
  });

  const home = path.join(folder, 'home');
  await mkdir(home);
  const served = await Served.start(t, home, {}, { main });
  assert.match(served.stdout, /an evaluation set-up/);
  const ready = await fetch(`http://127.0.0.1:${served.port('HTTP')}/readyz`);
  assert.equal(ready.status, 200, await ready.text());
  assert.equal((await served.terminate()).code, 0, served.stderr);
});
