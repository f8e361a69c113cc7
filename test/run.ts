import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FOR_SHORT_LIVES } from './support/node.js';
import { bundled } from './support/program.js';
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
 * So many processes share the tests below these folders, where the longest that fits counts; each other file has a process of
 * its own. A process that loads all of Stopgap spends a second of the processor on it, and none may take so long that a
 * busy machine ends it. In each list those come first that take longest: the last to end is short.
 */
const COMPUTING: Readonly<Record<string, number>> = {
  'integration/': 5,
  'integration/page/': 2,
  'contract/': 2,
  'unit/': 2,
  'integration/api/': 2,
  'e2e/smtp/': 2,
};
/** Those that mostly wait for other programs. They begin between the others, so that the processor is busy all the time. */
const WAITING: Readonly<Record<string, number>> = {
  'e2e/postfix/': 2,
  'e2e/process/': 4,
  'e2e/': 3,
  'e2e/distributed/': 3,
};
const SHARED_BY = { ...COMPUTING, ...WAITING };
const FOLDERS = Object.keys(SHARED_BY);

/** Numbers by which all processes of both lists begin, evenly mixed. */
const TURNS = new Map(
  [WAITING, COMPUTING].flatMap((list) => {
    const names = Object.entries(list).flatMap(([folder, count]) =>
      Array.from({ length: count }, (_, index) => `${folder}${index}`),
    );
    return names.map((name, index) => [name, Math.round((100 * index) / names.length)] as const);
  }),
);

function folderOf(file: string): string | undefined {
  return FOLDERS.filter((folder) => file.replaceAll(path.sep, '/').startsWith(folder))
    .sort((a, b) => a.length - b.length)
    .at(-1);
}

/** What each process of the runner loads. Many files share one, and one browser. */
function loaded(): readonly string[] {
  const together = new Map<string, string[]>();
  const taken = new Map<string, number>();
  for (const file of files) {
    const folder = folderOf(file);
    const index = taken.get(folder ?? file) ?? 0;
    taken.set(folder ?? file, index + 1);
    const group = folder === undefined ? file : `${folder}${index % SHARED_BY[folder]!}`;
    const name = `${String(TURNS.get(group) ?? 100).padStart(3, '0')}-${group}`;
    together.set(name, [...(together.get(name) ?? []), file]);
  }
  return [...together].map(([name, group]) => {
    // The runner of Node.js sorts by name.
    const all = path.join(dir, `${name.replaceAll(/[^\w.]/g, '-')}.mjs`);
    // No test of whole processes has properties, so that these need no fast-check.
    const seeded = name.includes('-e2e') ? [] : ['support/seeded.js'];
    const imports = [...seeded, ...group].map(
      (file) => `import '${pathToFileURL(path.join(here, file)).href}';\n`,
    );
    writeFileSync(all, imports.join(''));
    return all;
  });
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
  `--test-reporter=${new URL('./support/reporter.js', import.meta.url).href}`,
  '--test-reporter-destination=stdout',
  `--test-reporter=${new URL('./support/skips.js', import.meta.url).href}`,
  `--test-reporter-destination=${skips}`,
];
/** In megabytes: tests make much that is soon gone, and collecting it less often takes a tenth less of the processor. */
const YOUNG = 32;
/** Processes of tests at the same time: so many of them wait that seven keep two processors busy. */
const SIDE_BY_SIDE = 7;
/** A process of tests that goes on for so long, in milliseconds, hangs: it is ended, and the run fails. */
const HUNG = 480_000;
/** All of them, in milliseconds. What a test that hung has left behind may keep the runner waiting for its output. */
const ALL_HUNG = 1_500_000;
const args = [
  '--test',
  ...reporters,
  `--test-concurrency=${SIDE_BY_SIDE}`,
  `--test-timeout=${HUNG}`,
  `--max-semi-space-size=${YOUNG}`,
  ...FOR_SHORT_LIVES,
];

/** From so many files of tests on, starts of the program are many. */
const MANY = 30;

/** Where Linux has a file system in memory, and how much of it must be free, in bytes. */
const [MEMORY, ROOM] = ['/dev/shm', 2 * 1024 ** 3];

/**
 * A folder in memory for what tests write, if there is room, and a script in it can be run: containers often forbid it. A store
 * is made there in a tenth of the time and a quarter of the processor that it takes on a disk.
 */
function inMemory(): string | undefined {
  // Another Debian has memory of its own.
  if (process.env['TMPDIR'] !== undefined || process.env['STOPGAP_TEST_DEBIAN'] !== undefined)
    return undefined;
  let made: string | undefined;
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    if (bavail * bsize < ROOM) return undefined;
    // Short, because a socket's path has a hundred characters at most; open to the users that services become, as /tmp is.
    made = mkdtempSync(path.join(MEMORY, 't-'));
    chmodSync(made, 0o1777);
    const script = path.join(made, 'script');
    writeFileSync(script, '#!/bin/sh\nexit 7\n', { mode: 0o755 });
    if (spawnSync(script).status === 7) return made;
  } catch {
    // There is none, or not for this user.
  }
  if (made !== undefined) rmSync(made, { recursive: true });
  return undefined;
}

const memory = inMemory();
/** Beside the compiled tests, where libraries are found; of a few tests none is worth its making. */
const program = files.length < MANY ? undefined : path.join(here, `program-${process.pid}`);
const env = {
  ...process.env,
  TEST_ANSWERS_SEEN: seen,
  ...(program === undefined ? {} : { TEST_PROGRAM: await bundled(program) }),
  ...(memory === undefined ? {} : { TMPDIR: memory }),
};
// A group of its own, so that what a test has started ends with it.
const child = spawn(process.execPath, [...args, ...loaded()], { stdio: 'inherit', env, detached: true });
const end = (signal: NodeJS.Signals): void => {
  try {
    process.kill(-child.pid!, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
setTimeout(() => {
  process.stdout.write(`The tests did not end within ${ALL_HUNG / 60_000} minutes.\n`);
  end('SIGKILL');
}, ALL_HUNG).unref();
child.on('exit', (code, signal) => {
  end('SIGKILL');
  const missed = wanted.length === 0 ? unseen() : [];
  const reasons = existsSync(skips) ? readFileSync(skips, 'utf8').split('\n').slice(0, -1) : [];
  rmSync(dir, { recursive: true });
  if (program !== undefined) rmSync(program, { recursive: true });
  // What is left by a test that was ended would take memory until the machine starts again.
  if (memory !== undefined) rmSync(memory, { recursive: true, force: true, maxRetries: 3 });
  process.stdout.write(`${closingLine(reasons, SERVING)}\n`);
  for (const answer of missed) process.stdout.write(`no test saw this answer of the API: ${answer}\n`);
  process.exitCode = code === 0 && missed.length > 0 ? 1 : (code ?? (signal === null ? 1 : 128));
});
