import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
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
