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

test('docs/run/install.md keeps the certificate in each example of a listener of its own', () => {
  const page = readFileSync('docs/run/install.md', 'utf8');
  const listeners = [...page.matchAll(/^ .*tls: (\{ mode: (?:starttls|implicit).*?\})/gm)].map(
    ([, tls]) => tls!,
  );
  assert.equal(listeners.length, 4);
  assert.deepEqual(
    listeners.filter((tls) => !/ cert: \S+, key: \S+ \}/.test(tls)),
    [],
  );
});

test('docs/run/install.md links the package to the folder that all units and lines name', () => {
  const page = readFileSync('docs/run/install.md', 'utf8');
  const [, linked] = /^ln -s "\$\(npm root -g\)\/stopgap" (\S+)/m.exec(page)!;
  const units = readdirSync('deploy/systemd').map((name) => readFileSync(`deploy/systemd/${name}`, 'utf8'));
  const { files } = JSON.parse(readFileSync('package.json', 'utf8')) as { files: string[] };
  const named = [page, ...units].flatMap((text) => [...text.matchAll(/\/opt\/stopgap\/([\w./-]+)/g)]);
  assert.ok(named.length > 5, `${named.length} paths`);
  for (const [whole, inside] of named) {
    assert.ok(whole.startsWith(`${linked!}/`));
    const packed = files.some((each) => inside!.startsWith(each.split('/**')[0]!));
    assert.ok(packed, `${whole} is in the package`);
  }
});
