import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { SERVING } from './support/kurrentdb/forms.js';
import { closingLine } from './support/skips.js';

/*
 * Runs the tests: all of them, or those whose path contains one of the arguments. Its last line tells what was skipped,
 * and which KurrentDB served. Of all tests together it also demands that they see each answer that the API describes.
 *
 *   npm test
 *   npm test -- unit contract/store
 */
const here = path.dirname(fileURLToPath(import.meta.url));
const sources = path.resolve(here, '../../test');
const wanted = process.argv.slice(2);

const files = readdirSync(here, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  // tsc leaves the output of sources that are gone.
  .filter((file) => existsSync(path.join(sources, file.replace(/\.js$/, '.ts'))))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();

if (files.length === 0) {
  process.stderr.write(`no test matches ${wanted.join(' ')}\n`);
  process.exit(2);
}
const dir = mkdtempSync(path.join(tmpdir(), 'stopgap-tests-'));
const skips = path.join(dir, 'skips');
const seen = path.join(dir, 'seen');

/**
 * What each process of the runner loads. A short test costs less than to start a process and to load what it tests, so a
 * folder of `unit` or `integration` has one. The others (a browser is one of them) start processes themselves and wait for
 * them: they come first.
 */
function loaded(): readonly string[] {
  const alone: string[] = [];
  const folders = new Map<string, string[]>();
  for (const file of files) {
    if (!/^(?:unit|integration)\b(?!.page\b)/.test(file)) alone.push(path.join(here, file));
    else folders.set(path.dirname(file), [...(folders.get(path.dirname(file)) ?? []), file]);
  }
  const together = [...folders].map(([folder, ofFolder]) => {
    const all = path.join(dir, `${folder.replaceAll(path.sep, '-')}.mjs`);
    const imports = ofFolder.map((file) => `import '${pathToFileURL(path.join(here, file)).href}';\n`);
    writeFileSync(all, imports.join(''));
    return all;
  });
  return [...alone, ...together];
}

/** Answers that the OpenAPI document describes, and that no test has had. */
function unseen(): readonly string[] {
  const lines = existsSync(seen) ? readFileSync(seen, 'utf8').split('\n') : [];
  const of = (kind: string): readonly string[] =>
    lines.filter((line) => line.startsWith(kind)).map((line) => line.slice(kind.length));
  const had = new Set(of('seen '));
  return [...new Set(of('described '))].filter((answer) => !had.has(answer)).sort();
}

const reporters = [
  ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
  ...[`--test-reporter=${new URL('./support/skips.js', import.meta.url).href}`],
  ...[`--test-reporter-destination=${skips}`],
];
const args = ['--test', ...reporters, '--test-concurrency=5', '--enable-source-maps'];
const env = { ...process.env, TEST_ANSWERS_SEEN: seen };
const child = spawn(process.execPath, [...args, ...loaded()], { stdio: 'inherit', env });
child.on('exit', (code, signal) => {
  const missed = wanted.length === 0 ? unseen() : [];
  const reasons = existsSync(skips) ? readFileSync(skips, 'utf8').split('\n').slice(0, -1) : [];
  rmSync(dir, { recursive: true });
  process.stdout.write(`${closingLine(reasons, SERVING)}\n`);
  for (const answer of missed) process.stdout.write(`no test saw this answer of the API: ${answer}\n`);
  process.exitCode = code === 0 && missed.length > 0 ? 1 : (code ?? (signal === null ? 1 : 128));
});
