import assert from 'node:assert/strict';
import { chownSync, readdirSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { makePrivateDirectory, writePrivateFile } from '../../../src/accounts/private-file.js';
import { withFileLock } from '../../../src/accounts/record-file.js';
import { openLogKey } from '../../../src/log/pseudonyms.js';
import { LogFile, Losses } from '../../../src/log/sinks.js';
import { SpoolFile } from '../../../src/smtp/relay/body.js';
import type { MessageBody } from '../../../src/smtp/relay/port.js';
import { MaildirRelay } from '../../../src/smtp/relay/maildir.js';
import { SnapshotFolder } from '../../../src/snapshots/snapshot-file.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';

const SERVICE = 12_345;
const skip = process.getuid?.() === 0 ? false : 'only root gives files away';

/** A directory of a service's, and a file of root's beside it that the service would like to have. */
async function given(t: TestContext): Promise<{ directory: string; victim: string }> {
  const base = await mkdtemp(path.join(tmpdir(), 'stopgap-swapped-'));
  t.after(() => rm(base, { recursive: true, force: true }));
  const directory = path.join(base, 'data');
  makePrivateDirectory(directory);
  chownSync(directory, SERVICE, SERVICE);
  const victim = path.join(base, 'victim');
  writeFileSync(victim, 'of root', { mode: 0o600 });
  return { directory, victim };
}

/** The service replaces each new file by a link to the victim, as fast as it can, while root works. */
async function swapping(directory: string, victim: string, work: () => Promise<unknown>): Promise<void> {
  let busy = true;
  const swapped = (async () => {
    let count = 0;
    for (; busy; await setImmediate()) {
      for (const name of readdirSync(directory).filter((each) => each.endsWith('.tmp'))) {
        const file = path.join(directory, name);
        // It may have gone already.
        try {
          unlinkSync(file);
          symlinkSync(victim, file);
          count++;
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT');
        }
      }
    }
    return count;
  })();
  for (let round = 0; round < 30; round++) await work();
  busy = false;
  assert.ok((await swapped) > 0, 'the service was fast enough at least once');
}

describe('what root makes in the directory of a service', { skip }, () => {
  test('is given to the service by its descriptor: a file put in its place stays root’s', async (t) => {
    const { directory, victim } = await given(t);
    const file = path.join(directory, 'users.yaml');
    await swapping(directory, victim, async () => {
      rmSync(file, { force: true });
      await writePrivateFile(file, 'users: []\n').catch(() => undefined);
    });
    assert.equal(statSync(victim).uid, 0);
  });

  test('is given to it likewise if it is the key of the log', async (t) => {
    const { directory, victim } = await given(t);
    const file = path.join(directory, 'log.key');
    await swapping(directory, victim, async () => {
      rmSync(file, { force: true });
      await openLogKey(file).catch(() => undefined);
    });
    assert.equal(statSync(victim).uid, 0);
  });

  test('is the service’s if nobody interferes', async (t) => {
    const { directory } = await given(t);
    const file = path.join(directory, 'users.yaml');
    await writePrivateFile(file, 'users: []\n');
    await openLogKey(path.join(directory, 'log.key'));
    for (const name of ['users.yaml', 'log.key']) {
      const { uid, gid, mode } = statSync(path.join(directory, name));
      assert.deepEqual([uid, gid, mode & 0o777], [SERVICE, SERVICE, 0o600]);
    }
  });

  test('is the service’s whatever it is: a store, a log, a snapshot, mail, the lock of a file', async (t) => {
    const { directory } = await given(t);
    const at = (name: string): string => path.join(directory, name);
    const store = await openSqliteStore({ file: at('deep/down/events.db'), clock: { now: () => 0 } });
    const log = new LogFile(
      at('log/stopgap.log'),
      20,
      new Losses({ lost: assert.fail, back: () => undefined }),
      assert.fail,
    );
    for (const line of ['the first line\n', 'the second line\n']) log.write(line);
    const provenance = { fingerprint: 'f', categories: [] };
    await new SnapshotFolder(at('snapshots'), provenance).write(1, {}, new AbortController().signal);
    const spooled = await SpoolFile.create(at('spool'));
    const maildir = new MaildirRelay(at('mail'), { hostname: 'mx' });
    await maildir.deliver(
      Buffer.from('Subject: a\n\n'),
      { buffers: [Buffer.from('text\n')] } as unknown as MessageBody,
      () => true,
    );
    await withFileLock(at('users.yaml'), () => {
      const made = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
      assert.ok(made.length >= 20, made.join(' '));
      for (const name of [
        'deep/down/events.db.lock',
        'deep/down/events.db.reserve',
        'deep/down/events.db-wal',
      ])
        assert.ok(made.includes(name), made.join(' '));
      const strange = made.filter((name) => {
        const { uid, gid, mode } = statSync(at(name));
        return uid !== SERVICE || gid !== SERVICE || (mode & 0o077) !== 0;
      });
      assert.deepEqual(strange, []);
      return Promise.resolve();
    });
    log.close();
    await spooled.remove();
    await maildir.close();
    await store.close();
  });

  test('and leaves what a link of the service’s points to as it was', async (t) => {
    const { directory, victim } = await given(t);
    const file = path.join(directory, 'events.db');
    symlinkSync(victim, `${file}.reserve`);
    const store = await openSqliteStore({ file, clock: { now: () => 0 } });
    await store.close();
    assert.deepEqual([statSync(victim).size, statSync(victim).uid], ['of root'.length, 0]);
  });
});

test('a private file for which the disk has no room is named, and stays as it was', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'stopgap-full-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'users.yaml');
  await writePrivateFile(file, 'before\n');
  const handle = await open(file);
  t.mock.method(Object.getPrototypeOf(handle) as typeof handle, 'writeFile', () =>
    Promise.reject(Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })),
  );
  await handle.close();
  await assert.rejects(writePrivateFile(file, 'after\n'), {
    message: `${file} finds no room on its disk; it is as before: free some`,
  });
  assert.equal(await readFile(file, 'utf8'), 'before\n');
  assert.deepEqual(await readdir(folder), ['users.yaml']);
});

test('what a killed write has left beside a private file is removed by a later one, and nothing else is', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'stopgap-left-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'users.yaml');
  const old = ['users.yaml.0123456789ab.tmp', 'users.yaml.tmp', 'tokens.yaml.0123456789ab.tmp'];
  for (const name of [...old, 'users.yaml.ba9876543210.tmp']) await writeFile(path.join(folder, name), 'x');
  for (const name of old) await utimes(path.join(folder, name), 1000, 1000);
  await writePrivateFile(file, 'users: []\n');
  assert.deepEqual((await readdir(folder)).sort(), [
    'tokens.yaml.0123456789ab.tmp',
    'users.yaml',
    'users.yaml.ba9876543210.tmp',
    'users.yaml.tmp',
  ]);
});
