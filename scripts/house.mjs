// Prints how large the house is, beside what it aims at: files, lines and words, files that could live in their only
// importer, the longest chain of imports, and cycles. Ends with 1 if files import each other in a circle.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** A file of fewer lines with one importer usually belongs into it. */
const SMALL = 100;

const root = path.resolve(import.meta.dirname, '..');
const under = (folder, end) =>
  readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(end))
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)));
const textOf = (file) => readFileSync(path.join(root, file), 'utf8');
const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

// Not what is generated.
const files = [...under('src', '.ts'), ...under('src', '.tsx'), ...under('projections', '.ts')].filter(
  (file) => !file.endsWith('.d.ts'),
);
const lines = new Map(files.map((file) => [file, textOf(file).split('\n').length - 1]));
const imports = new Map(files.map((file) => [file, importsOf(file)]));

/** Files that a file imports values or types from. */
function importsOf(file) {
  const found = textOf(file).matchAll(
    /^(?:import|export)\b[^;]*?from '(\.[^']+)';|^import '(\.[^']+)';|\bimport\('(\.[^']+)'\)/gm,
  );
  const names = [...found].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic);
  return new Set(
    names
      .map((name) => path.join(path.dirname(file), name).replace(/\.js$/, '.ts'))
      .map((name) => (lines.has(name) ? name : `${name}x`))
      .filter((name) => lines.has(name)),
  );
}

const importers = new Map(files.map((file) => [file, []]));
for (const [file, names] of imports) for (const name of names) importers.get(name).push(file);
const single = files.filter((file) => lines.get(file) < SMALL && importers.get(file).length === 1);

/** Circles as they are come upon, and of each file the longest chain of imports that begins with it. */
const cycles = [];
const chains = new Map();
function chainOf(file, above) {
  const at = above.indexOf(file);
  if (at >= 0) {
    cycles.push([...above.slice(at), file].join(' -> '));
    return [];
  }
  if (!chains.has(file)) {
    let longest = [];
    for (const name of imports.get(file)) {
      const chain = chainOf(name, [...above, file]);
      if (chain.length > longest.length) longest = chain;
    }
    chains.set(file, [file, ...longest]);
  }
  return chains.get(file);
}
for (const file of files) chainOf(file, []);
const longest = [...chains.values()].reduce((a, b) => (b.length > a.length ? b : a), []);

const words = (names) =>
  sum(
    names.map(
      (file) =>
        textOf(file)
          .split(/\s+/)
          .filter((word) => word !== '').length,
    ),
  );
const pages = under('docs', '.md');
const isRunbook = (file) => file.endsWith('/incidents.md');
const sizes = [...lines.values()].sort((a, b) => a - b);

const rows = [
  ['files in src and projections', files.length, 260],
  ['lines', sum(sizes), 38_000],
  ['median lines of a file', sizes[sizes.length >> 1]],
  [`files under ${SMALL} lines with one importer`, single.length],
  [
    'words in README and docs, incidents apart',
    words(['README.md', ...pages.filter((file) => !isRunbook(file))]),
    32_000,
  ],
  ['words in incidents', words(pages.filter(isRunbook))],
  ['longest chain of imports', longest.length],
  ['circles of imports', cycles.length, 0],
];
const text = (number) => number.toLocaleString('en');
for (const [what, now, aim] of rows) {
  const mark = aim === undefined ? '' : `  at most ${text(aim)}${now <= aim ? '' : ': more than that'}`;
  process.stdout.write(`${what.padEnd(44)}${text(now).padStart(8)}${mark}\n`);
}
if (process.argv.includes('--names')) {
  process.stdout.write(`\nfiles under ${SMALL} lines with one importer:\n`);
  for (const file of single)
    process.stdout.write(`  ${file} (${lines.get(file)}) <- ${importers.get(file)[0]}\n`);
  process.stdout.write(`\nlongest chain of imports:\n  ${longest.join('\n  ')}\n`);
}
for (const cycle of cycles) process.stdout.write(`circle: ${cycle}\n`);
process.exitCode = cycles.length > 0 ? 1 : 0;
