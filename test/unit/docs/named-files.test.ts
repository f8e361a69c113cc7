import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

test('docs/inside/architecture.md lists at most 20 files on the way of one message, and each exists', () => {
  const page = readFileSync('docs/inside/architecture.md', 'utf8');
  const [, section] = /^## The files on the way of one message\n([^]*)/m.exec(page)!;
  const files = [...section!.matchAll(/^\d+\. `([^`]+)`$/gm)].map(([, file]) => file!);
  assert.ok(files.length > 10 && files.length <= 20, `${files.length} files`);
  assert.deepEqual(
    files.filter((file) => !existsSync(file)),
    [],
  );
});

for (const page of ['HACKING.md', ...readdirSync('docs/inside').map((name) => `docs/inside/${name}`)])
  test(`${page} names files and folders that exist`, () => {
    const named = readFileSync(page, 'utf8').matchAll(
      /`((?:src|projections|test|grafana|bench)\/[\w./-]+)`/g,
    );
    const missing = [...named].map(([, name]) => name!).filter((name) => !existsSync(name));
    assert.deepEqual(missing, []);
  });

test('docs/reference/failures.md names tests that exist', () => {
  const rows = readFileSync('docs/reference/failures.md', 'utf8').matchAll(/\| ([^|\n]*) \|$/gm);
  const named = [...rows].flatMap(([, cell]) => [...cell!.matchAll(/`([\w-]+)`/g)].map(([, name]) => name!));
  const files = new Set(
    readdirSync('test', { recursive: true, encoding: 'utf8' }).map((file) => path.basename(file, '.test.ts')),
  );
  assert.ok(named.length > 30, `${named.length} names`);
  assert.deepEqual(
    named.filter((name) => !files.has(name)),
    [],
  );
});
