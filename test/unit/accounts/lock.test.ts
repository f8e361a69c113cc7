import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { withFileLock } from '../../../src/accounts/record-file.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import { shortOfDescriptors } from '../../support/short-of-descriptors.js';
import { temporaryDirectory } from '../config/helpers.js';

const impatient = { patience: 200, pause: (): Promise<void> => Promise.resolve() };

test('work holds the lock, and gives it back when it fails too', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  const lock = `${file}.lock`;
  await withFileLock(file, async () => {
    assert.equal((JSON.parse(readFileSync(lock, 'utf8')) as { pid: number }).pid, process.pid);
    await assert.rejects(
      withFileLock(file, () => Promise.resolve(), impatient),
      (thrown) =>
        thrown instanceof StopgapError && thrown.code === 'unavailable' && thrown.message.includes(lock),
    );
    assert.ok(existsSync(lock), 'the loser leaves the lock of the holder alone');
  });
  await assert.rejects(
    withFileLock(file, () => Promise.reject(new Error('broken'))),
    /broken/,
  );
  assert.deepEqual(readdirSync(path.dirname(file)), []);
});

test('a waiting writer goes on as soon as the lock is free', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  const order: string[] = [];
  let release: () => void = () => undefined;
  const first = withFileLock(file, () => new Promise<void>((resolve) => (release = resolve)));
  let waited = 0;
  const pause = async (): Promise<void> => {
    waited += 1;
    if (waited === 3) {
      order.push('first');
      release();
      await first;
    }
  };
  while (!existsSync(`${file}.lock`)) await new Promise(setImmediate);
  await withFileLock(file, async () => void order.push('second'), { pause });
  assert.deepEqual(order, ['first', 'second']);
});

for (const [code, what] of [
  ['ENOSPC', 'finds no room on its disk; make room, or name another'],
  ['EROFS', 'is on a disk that is read-only; mount it writable, or name another'],
  ['EIO', 'cannot be written (EIO); try again, or name another'],
] as const)
  test(`a lock that cannot be written for ${code} names the file and what to do, and leaves nothing behind`, async (context) => {
    const file = path.join(temporaryDirectory(context), 'tokens.yaml');
    writeFileSync(file, 'tokens: []\n');
    const handle = await open(file);
    context.mock.method(Object.getPrototypeOf(handle) as typeof handle, 'writeFile', () =>
      Promise.reject(Object.assign(new Error(`${code}: raw, write`), { code })),
    );
    await handle.close();
    await assert.rejects(
      withFileLock(file, () => Promise.resolve(), impatient),
      {
        name: 'StopgapError',
        code: code === 'EROFS' ? 'forbidden' : 'unavailable',
        message: `${file} ${what}`,
      },
    );
    assert.deepEqual(readdirSync(path.dirname(file)), ['tokens.yaml']);
  });

const dead = spawnSync(process.execPath, ['-e', '']).pid;
const STALE: Array<[name: string, content: string, swept: boolean]> = [
  ['of a process that is gone', JSON.stringify({ pid: dead, host: hostname(), since: 0 }), true],
  ['of a process that lives', JSON.stringify({ pid: process.ppid, host: hostname(), since: 0 }), false],
  [
    'of a former process with our number, old',
    JSON.stringify({ pid: process.pid, host: hostname(), since: 0, nonce: 'strange' }),
    true,
  ],
  [
    'of another container whose process has our number, fresh',
    JSON.stringify({ pid: process.pid, host: hostname(), since: 99_000, nonce: 'strange' }),
    false,
  ],
  ['of another machine, old', JSON.stringify({ pid: 1, host: 'elsewhere', since: 0 }), true],
  ['of another machine, fresh', JSON.stringify({ pid: 1, host: 'elsewhere', since: 99_000 }), false],
  ['that says nothing', 'x', true],
];

for (const [name, content, swept] of STALE) {
  test(`a lock ${name} is ${swept ? 'swept away' : 'respected'}`, async (context) => {
    const file = path.join(temporaryDirectory(context), 'users.yaml');
    writeFileSync(`${file}.lock`, content);
    const done = withFileLock(file, () => Promise.resolve('done'), { ...impatient, now: () => 100_000 });
    if (swept) assert.equal(await done, 'done');
    else await assert.rejects(done, StopgapError);
  });
}

test('a lock is given back although no descriptor is left, and the work tells its own fault', async (context) => {
  const file = path.join(temporaryDirectory(context), 'admins.yaml');
  const module = new URL('../../../src/accounts/record-file.js', import.meta.url).href;
  const { printed, code, signal } = await shortOfDescriptors(`
    import { existsSync } from 'node:fs';
    import { withFileLock } from '${module}';
    const file = ${JSON.stringify(file)};
    const told = [];
    const tell = async (work) => {
      told.push(await withFileLock(file, work).catch((error) => [error.code, error.message]));
      told.push(existsSync(file + '.lock'));
    };
    await tell(async () => (leave(0), 'done'));
    leave(60);
    await tell(async () => { leave(0); throw new Error('its own'); });
    await tell(async () => 'never');
    leave(60);
    await tell(async () => 'done again');
    console.log(JSON.stringify(told));
  `);
  assert.deepEqual([code, signal], [0, null], printed);
  assert.deepEqual(JSON.parse(printed), [
    'done',
    false,
    [null, 'its own'],
    false,
    ['unavailable', `${file} cannot be written (EMFILE); try again, or name another`],
    false,
    'done again',
    false,
  ]);
});

test('what cannot be looked at stays where a lock was held for so long that another may have taken it', async (context) => {
  const file = path.join(temporaryDirectory(context), 'admins.yaml');
  const module = new URL('../../../src/accounts/record-file.js', import.meta.url).href;
  const { printed, code, signal } = await shortOfDescriptors(`
    import { writeFileSync } from 'node:fs';
    import { withFileLock } from '${module}';
    const file = ${JSON.stringify(file)};
    const work = async () => {
      writeFileSync(file + '.lock', 'of another');
      leave(0);
    };
    await withFileLock(file, work, { staleAfter: 0 });
  `);
  assert.deepEqual([code, signal], [0, null], printed);
  assert.equal(readFileSync(`${file}.lock`, 'utf8'), 'of another');
});

test('a lock that this process holds is respected however old it is', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  await withFileLock(file, async () => {
    const later = { ...impatient, now: () => Date.now() + 1_000_000 };
    await assert.rejects(
      withFileLock(file, () => Promise.resolve(), later),
      StopgapError,
    );
  });
});
