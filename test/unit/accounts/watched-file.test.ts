import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import type { TestContext } from 'node:test';
import { WatchedFile } from '../../../src/accounts/watched-file.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import { temporaryDirectory } from '../config/helpers.js';

interface Watch {
  readonly file: string;
  readonly watched: WatchedFile<number>;
  readonly changes: number[];
  readonly refusals: string[];
  /** How often it was told that a refused file is what is in force again. */
  readonly restored: () => number;
}

/** A file that must hold a number. */
function watch(context: TestContext, options: { whenAbsent?: number; now?: () => number } = {}): Watch {
  const file = path.join(temporaryDirectory(context), 'number');
  const changes: number[] = [];
  const refusals: string[] = [];
  let restored = 0;
  const watched = new WatchedFile<number>({
    path: file,
    parse(text) {
      if (!/^\d+$/.test(text)) throw new StopgapError('invalid-input', `"${text}" is no number`);
      return Number(text);
    },
    onChange: (value) => changes.push(value),
    onRefused: (reason) => refusals.push(reason),
    onRestored: () => (restored += 1),
    ...options,
  });
  return { file, watched, changes, refusals, restored: () => restored };
}

test('a changed file is picked up, an unchanged one is not', async (context) => {
  const { file, watched, changes } = watch(context);
  writeFileSync(file, '1');
  await watched.load();
  assert.equal(watched.current, 1);
  assert.equal(await watched.check(), false);
  writeFileSync(file, '2');
  assert.equal(await watched.check(), true);
  assert.equal(await watched.check(), false);
  assert.equal(watched.current, 2);
  assert.deepEqual(changes, [2], 'the first load is no change');
});

test('a file that is replaced by renaming is picked up, with time and size alike', async (context) => {
  const { file, watched } = watch(context);
  writeFileSync(file, '1');
  utimesSync(file, 1000, 1000);
  await watched.load();
  writeFileSync(`${file}.new`, '2');
  utimesSync(`${file}.new`, 1000, 1000);
  renameSync(`${file}.new`, file);
  assert.equal(await watched.check(), true);
  assert.equal(watched.current, 2);
});

test('a second change that leaves time, size and inode as they were is picked up too', async (context) => {
  const clock = { now: 0 };
  const { file, watched } = watch(context, { now: () => clock.now });
  writeFileSync(file, '1');
  const handle = await open(file, 'r');
  const stat = await handle.stat({ bigint: true });
  await handle.close();
  // As on a file system whose clock ticks slowly: nothing seems to change.
  context.mock.method(Object.getPrototypeOf(handle) as { stat: () => Promise<unknown> }, 'stat', () =>
    Promise.resolve(stat),
  );
  clock.now = Number(stat.mtimeMs) + 1000;
  await watched.load();
  writeFileSync(file, '2');
  assert.equal(await watched.check(), true, 'a second after a change it is too early to trust them');
  clock.now += 1000;
  assert.equal(await watched.check(), false);
  writeFileSync(file, '3');
  assert.equal(await watched.check(), false, 'later the same signature means the same content');
});

test('a broken file is refused once, the old value stays, a good one is taken again', async (context) => {
  const { file, watched, changes, refusals } = watch(context);
  writeFileSync(file, '1');
  await watched.load();
  writeFileSync(file, 'oops');
  assert.equal(await watched.check(), false);
  assert.equal(await watched.check(), false);
  assert.equal(watched.current, 1);
  assert.deepEqual(refusals, ['"oops" is no number']);
  writeFileSync(file, '3');
  assert.equal(await watched.check(), true);
  writeFileSync(file, 'oops');
  await watched.check();
  assert.deepEqual(changes, [3]);
  assert.equal(refusals.length, 2, 'the same fault later is said again');
});

/** A file of lines that is read aside, where there may be no thread for it. */
function watchAside(context: TestContext) {
  const file = path.join(temporaryDirectory(context), 'lines');
  const aside: { fault: Error | undefined; times: number } = { fault: undefined, times: 0 };
  const told: string[] = [];
  const watched = new WatchedFile<string>({
    path: file,
    parseBytes(bytes) {
      aside.times++;
      return aside.fault === undefined
        ? Promise.resolve(bytes.toString().trimEnd())
        : Promise.reject(aside.fault);
    },
    entries: (text) => text.length,
    onChange: (text) => told.push(`in force: ${text}`),
    onRefused: (reason) => told.push(reason),
    onRestored: () => told.push('restored'),
  });
  /** Long ago, so that a look trusts time and size. */
  const write = (text: string): void => {
    writeFileSync(file, `${text}\n`);
    utimesSync(file, 1000, 1000);
  };
  return { watched, write, aside, told };
}

const NO_THREAD = new Error('Worker initialization failure: EMFILE');

test('a content that could not be read for a passing reason is read at the next look', async (context) => {
  const { watched, write, aside, told } = watchAside(context);
  write('one');
  await watched.load();
  write('two and more');
  aside.fault = NO_THREAD;
  assert.deepEqual([await watched.check(), await watched.check()], [false, false]);
  assert.equal(watched.current, 'one');
  assert.deepEqual(told, [NO_THREAD.message], 'it is told once');
  aside.fault = undefined;
  assert.equal(await watched.check(), true);
  assert.deepEqual(told.slice(1), ['in force: two and more']);
});

test('a shorter content that looked the same twice is taken over at once after a passing failure', async (context) => {
  const { watched, write, aside } = watchAside(context);
  write('12345');
  await watched.load();
  write('1234');
  aside.fault = NO_THREAD;
  assert.deepEqual([await watched.check(), await watched.check()], [false, false]);
  aside.fault = undefined;
  assert.equal(await watched.check(), true);
});

test('a file that is put back after a passing failure is told as restored, and not as a change', async (context) => {
  const { watched, write, aside, told } = watchAside(context);
  write('one');
  await watched.load();
  write('two and more');
  aside.fault = NO_THREAD;
  await watched.check();
  write('one');
  assert.equal(await watched.check(), false);
  assert.deepEqual(told.slice(1), ['restored']);
});

test('a content that is wrong is read once, however often it is looked at', async (context) => {
  const { watched, write, aside } = watchAside(context);
  write('one');
  await watched.load();
  write('two and more');
  aside.fault = new StopgapError('invalid-input', 'it is no one');
  for (let look = 0; look < 3; look++) assert.equal(await watched.check(), false);
  assert.equal(aside.times, 2);
});

test('a file that goes away is said once, the old value stays', async (context) => {
  const { file, watched, refusals } = watch(context);
  writeFileSync(file, '1');
  await watched.load();
  for (const round of [1, 2]) {
    rmSync(file);
    await watched.check();
    await watched.check();
    assert.equal(watched.current, 1);
    assert.equal(refusals.length, round);
    assert.match(refusals.at(-1)!, /number is gone$/);
    writeFileSync(file, '1');
    await watched.check();
  }
});

test('a file that was refused and is as before is told once, and not as a change', async (context) => {
  const { file, watched, changes, refusals, restored } = watch(context);
  writeFileSync(file, '1');
  await watched.load();
  rmSync(file);
  await watched.check();
  assert.deepEqual([refusals.length, restored()], [1, 0]);
  writeFileSync(file, '1');
  await watched.check();
  await watched.check();
  assert.deepEqual([restored(), changes], [1, []]);
  writeFileSync(file, 'none');
  await watched.check();
  writeFileSync(file, '1');
  await watched.check();
  assert.deepEqual([restored(), changes], [1, [1]], 'what was read anew is a change');
});

test('somebody who asks for a file to be read is told again why it is refused', async (context) => {
  const { file, watched, refusals } = watch(context);
  writeFileSync(file, '1');
  await watched.load();
  rmSync(file);
  await watched.check();
  await watched.check();
  assert.equal(refusals.length, 1);
  await watched.reload();
  assert.equal(refusals.length, 2);
  writeFileSync(file, 'none');
  await watched.check();
  await watched.reload();
  assert.deepEqual(refusals.slice(2), ['"none" is no number', '"none" is no number']);
});

test('a file that may be missing is picked up when it comes', async (context) => {
  const { file, watched, changes, refusals } = watch(context, { whenAbsent: 0 });
  await watched.load();
  assert.equal(watched.current, 0);
  await watched.check();
  assert.deepEqual(refusals, []);
  writeFileSync(file, '5');
  assert.equal(await watched.check(), true);
  assert.deepEqual(changes, [5]);
});

test('a file that must be there and is not, or is broken, cannot be loaded', async (context) => {
  const { file, watched } = watch(context);
  await assert.rejects(watched.load(), /does not exist/);
  writeFileSync(file, 'oops');
  await assert.rejects(watched.load(), /no number/);
  assert.throws(() => watched.current, /was not loaded/);
});

test(
  'a file that can no longer be read is refused',
  { skip: process.getuid?.() === 0 && 'root reads everything' },
  async (context) => {
    const { file, watched, refusals } = watch(context);
    writeFileSync(file, '1');
    await watched.load();
    chmodSync(file, 0);
    assert.equal(await watched.check(), false);
    assert.match(refusals[0]!, /cannot be read by this user/);
  },
);

test('it looks by itself at intervals until it is stopped', async (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const { file, watched } = watch(context);
  writeFileSync(file, '1');
  await watched.load();
  const checks = context.mock.method(watched, 'check');
  watched.start();
  watched.start();
  context.mock.timers.tick(2000);
  assert.equal(checks.mock.callCount(), 1);
  watched.stop();
  context.mock.timers.tick(10_000);
  assert.equal(checks.mock.callCount(), 1);
});

test('a file that cannot be used at first is refused, and picked up once it can be', async (context) => {
  const { file, watched, refusals } = watch(context);
  writeFileSync(file, 'x');
  await watched.loadOr(0);
  assert.deepEqual([watched.current, refusals], [0, ['"x" is no number']]);
  writeFileSync(file, '7');
  assert.equal(await watched.check(), true);
  assert.equal(watched.current, 7);
});

/** A file with a number on each line, whose entries are its lines. */
function watchLines(context: TestContext) {
  const file = path.join(temporaryDirectory(context), 'lines');
  const refusals: [reason: string, isDoubtful: boolean][] = [];
  const watched = new WatchedFile<readonly string[]>({
    path: file,
    parse: (text) => text.split('\n').filter((line) => line !== ''),
    entries: (lines) => lines.length,
    onRefused: (reason, isDoubtful) => refusals.push([reason, isDoubtful]),
  });
  const write = (count: number): void =>
    writeFileSync(file, Array.from({ length: count }, (_, n) => `${n}\n`).join(''));
  return { file, watched, refusals, write };
}

/** As often as a file that shrinks must look the same, and once more. */
async function settled({ watched }: { watched: WatchedFile<readonly string[]> }): Promise<number> {
  for (let n = 0; n < 3; n++) await watched.check();
  return watched.current.length;
}

for (const [before, after] of [
  [40, 0],
  [2, 0],
  [40, 19],
  [15, 5],
] as const)
  test(`a file that is cut from ${before} entries to ${after} is not taken over, and that is said once`, async (context) => {
    const lines = watchLines(context);
    lines.write(before);
    await lines.watched.load();
    lines.write(after);
    assert.equal(await settled(lines), before);
    assert.deepEqual(
      lines.refusals.map(([, isDoubtful]) => isDoubtful),
      [true],
    );
    assert.match(
      lines.refusals[0]![0],
      new RegExp(`lines has ${after} entries, and ${before} are in force: if that is meant, `),
    );
    lines.write(before + 1);
    assert.equal(await settled(lines), before + 1, 'a whole file is taken again');
  });

for (const [before, after] of [
  [40, 20],
  [14, 5],
  [1, 0],
  [0, 0],
] as const)
  test(`a file that goes from ${before} entries to ${after} is taken over`, async (context) => {
    const lines = watchLines(context);
    lines.write(before);
    await lines.watched.load();
    lines.write(after);
    assert.equal(await settled(lines), after);
    assert.deepEqual(lines.refusals, []);
  });

test('a file that was cut on purpose is taken over on the word of an administrator', async (context) => {
  const lines = watchLines(context);
  lines.write(40);
  await lines.watched.load();
  lines.write(3);
  assert.equal(await settled(lines), 40);
  assert.equal(await lines.watched.reload(), true);
  assert.equal(lines.watched.current.length, 3);
  assert.equal(await lines.watched.reload(), false, 'there is nothing new');
  lines.write(0);
  assert.equal(await lines.watched.reload(), true, 'and at once where it was not seen before');
  assert.equal(lines.watched.current.length, 0);
  lines.write(5);
  await settled(lines);
  lines.write(0);
  assert.equal(await settled(lines), 5, 'but the word holds for one time');
});

test('a file that was replaced is not half written: what is gone from it counts at once', async (context) => {
  const { file, watched, refusals, write } = watchLines(context);
  write(40);
  await watched.load();
  for (let left = 35; left >= 5; left -= 5) {
    writeFileSync(`${file}.new`, 'x\n'.repeat(left));
    renameSync(`${file}.new`, file);
    assert.equal(await watched.check(), true);
  }
  assert.equal(watched.current.length, 5, 'as by a script that removes one after the other');
  assert.deepEqual(refusals, []);
});

test('a file that is being written again is not taken over half written', async (context) => {
  const lines = watchLines(context);
  lines.write(10);
  await lines.watched.load();
  for (const count of [0, 7, 9]) {
    lines.write(count);
    assert.equal(await lines.watched.check(), false);
  }
  lines.write(11);
  assert.equal(await lines.watched.check(), true);
  assert.equal(lines.watched.current.length, 11);
  assert.deepEqual(lines.refusals, []);
});

for (const how of ['written over', 'replaced'] as const)
  test(`a longer file that is ${how} is not taken over half written`, async (context) => {
    const { file, watched } = watchLines(context);
    writeFileSync(file, 'anna\nberta\n');
    await watched.load();
    if (how === 'replaced') rmSync(file);
    for (const half of ['anna\nberta\nca', 'anna\nberta\ncarla\nd']) {
      writeFileSync(file, half);
      assert.equal(await watched.check(), false);
    }
    writeFileSync(file, 'anna\nberta\ncarla\ndora\n');
    assert.equal(await watched.check(), true);
    assert.deepEqual(watched.current, ['anna', 'berta', 'carla', 'dora']);
  });

test('a file without an end of its last line is taken over once it looks the same twice', async (context) => {
  const { file, watched, refusals } = watchLines(context);
  writeFileSync(file, 'anna');
  await watched.load();
  writeFileSync(file, 'anna\nberta');
  assert.deepEqual([await watched.check(), await watched.check()], [false, true]);
  writeFileSync(file, 'anna\nberta\ncarla');
  assert.equal(await watched.reload(), true, 'the word of an administrator counts at once');
  assert.deepEqual([watched.current, refusals], [['anna', 'berta', 'carla'], []]);
});

test('what is no file is refused without a wait, and a file in its place is picked up', async (context) => {
  const { file, watched, refusals } = watch(context);
  writeFileSync(file, '1');
  await watched.load();
  const makings = [
    (): unknown => execFileSync('mkfifo', [file]),
    (): void => mkdirSync(file),
    // It has no end.
    (): void => symlinkSync('/dev/zero', file),
  ];
  for (const [index, make] of makings.entries()) {
    rmSync(file, { recursive: true });
    make();
    assert.equal(await watched.check(), false);
    assert.equal(watched.current, index + 1);
    assert.equal(refusals.pop(), `${file} is no file`);
    assert.equal(await watched.reload(), false);
    assert.equal(refusals.pop(), `${file} is no file`);
    rmSync(file, { recursive: true });
    writeFileSync(file, String(index + 2));
    assert.equal(await watched.check(), true);
    assert.equal(watched.current, index + 2);
  }
});
