// Bundles the administrators' page from src/web into dist/page, and compresses each file once. Does nothing while
// nothing that it is made from has changed: a build of the server alone stays quick.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const root = path.resolve(import.meta.dirname, '..');
const source = path.join(root, 'src/web');
const target = path.join(root, 'dist/page');
const record = path.join(root, 'dist/page.made-from');

// The page takes its words from the kernel.
const files = [source, path.join(root, 'src/kernel')]
  .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile())
  .map((entry) => path.join(entry.parentPath, entry.name))
  .concat(path.join(root, 'package-lock.json'), import.meta.filename)
  .sort();
const hash = createHash('sha256');
for (const file of files)
  hash
    .update(`${path.relative(root, file)}\0`)
    .update(readFileSync(file))
    .update('\0');
const madeFrom = hash.digest('hex');

if (!existsSync(record) || !existsSync(target) || readFileSync(record, 'utf8') !== madeFrom) {
  const { build } = await import('vite');
  await build({ configFile: path.join(source, 'vite.config.ts'), logLevel: 'warn' });
  for (const entry of readdirSync(target, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const bytes = readFileSync(file);
    writeFileSync(`${file}.br`, brotliCompressSync(bytes));
    writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
  }
  writeFileSync(record, madeFrom);
}
