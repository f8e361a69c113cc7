import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ROOT, text } from './compose.js';

const run = promisify(execFile);

const PAGES = ['docs/run', 'docs/reference'].flatMap((folder) =>
  readdirSync(path.join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`),
);
/** Links lead to these as well. Docker Compose reads them, and runs in a clone alone. */
const OF_COMPOSE = /^deploy\/(?:prometheus|redis|secrets|stopgap)\//;

/** What a page has people copy: by a command, or from where a link leads. */
function copiedBy(page: string): readonly string[] {
  const written = text(page);
  const commands = [...written.matchAll(/^(?:install|cp) .*$/gm)].flatMap(([line]) =>
    [...line.matchAll(/(?<=^| |\/opt\/stopgap\/)(?:deploy|grafana)\/\S+/g)].map(([file]) => file),
  );
  const links = [...written.matchAll(/\]\(\.\.\/\.\.\/((?:deploy|grafana)\/[^)#\s]+)\)/g)].map(
    ([, file]) => file!,
  );
  return [...commands, ...links].filter((file) => !OF_COMPOSE.test(file));
}

function matches(pattern: string, file: string): boolean {
  const wanted = pattern.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*');
  return new RegExp(`^${wanted}(?:/|$)`).test(file);
}

test('the package has each file that the documents have people copy', async (t) => {
  let files: readonly string[];
  try {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT });
    const [packed] = JSON.parse(stdout) as readonly [{ files: readonly { path: string }[] }];
    files = packed.files.map((file) => file.path);
  } catch (thrown) {
    if ((thrown as { readonly code?: unknown }).code !== 'ENOENT') throw thrown;
    t.skip('there is no npm');
    return;
  }
  const copied = PAGES.flatMap(copiedBy);
  assert.ok(copied.length > 15, `${copied.length} files`);
  assert.deepEqual(
    copied.filter((pattern) => !files.some((file) => matches(pattern, file))),
    [],
  );
  assert.deepEqual(
    files.filter((file) => OF_COMPOSE.test(file)),
    [],
    'a secret may lie there',
  );
});
