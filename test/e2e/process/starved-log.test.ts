import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { messageOf } from '../../../src/kernel/errors.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { Figures } from '../../support/metrics.js';

const run = promisify(execFile);
const DEMO = 'demo@example.com';

/** A small disk of its own, or why there is none. */
async function smallDisk(t: TestContext): Promise<string | { readonly skip: string }> {
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-disk-'));
  let mounted = false;
  t.after(async () => {
    // A process may still have it open.
    if (mounted) await run('umount', ['-l', dir]);
    await rmdir(dir);
  });
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'stopgap-test', dir]);
    mounted = true;
    return dir;
  } catch (error) {
    return { skip: `a small disk cannot be mounted here: ${messageOf(error).trim().split('\n').at(-1)}` };
  }
}

/** Takes all room that is left, to the last byte. */
function fill(disk: string): void {
  const file = openSync(path.join(disk, 'filler'), 'w');
  try {
    for (let size = 64 * 1024; size >= 1; size = Math.floor(size / 2)) {
      try {
        for (;;) if (writeSync(file, Buffer.alloc(size, 'x')) < size) break;
      } catch (error) {
        assert.match(String(error), /ENOSPC/);
      }
    }
  } finally {
    closeSync(file);
  }
}

const LOUD = { STOPGAP_LOG_LEVEL: 'debug' };

/** The password, which is in the first banner only. */
async function loggedIn(served: Served, password: string): Promise<Dialogue> {
  const session = await Dialogue.hello(served.port('submission'));
  assert.match(await session.login(DEMO, password), /^235 /);
  return session;
}

async function figures(served: Served): Promise<Figures> {
  return new Figures(await (await fetch(`http://127.0.0.1:${served.port('HTTP')}/metrics`)).text());
}

describe('a disk that is full, with standard error on it', () => {
  for (const [how, end] of [
    ['was killed', (served: Served) => served.kill()],
    ['was told to end', (served: Served) => served.terminate()],
  ] as const) {
    test(`costs lines and is answered with 451; a process that ${how} starts on it, and both heal by themselves`, async (t) => {
      const disk = await smallDisk(t);
      if (typeof disk !== 'string') return t.skip(disk.skip);
      const log = path.join(disk, 'stopgap.log');
      const start = async (): Promise<Served> => {
        const descriptor = openSync(log, 'a');
        t.after(() => closeSync(descriptor));
        return Served.start(t, disk, LOUD, { stderr: descriptor });
      };
      const taken = (session: Dialogue) => async (): Promise<boolean> =>
        (await session.send(DEMO, ['bob@elsewhere.test'])).startsWith('250');
      const deferred = (session: Dialogue) => async (): Promise<boolean> =>
        (await session.send(DEMO, ['bob@elsewhere.test'])).startsWith('451');

      const served = await start();
      const password = served.told('password');
      const session = await loggedIn(served, password);
      assert.ok(await taken(session)());
      fill(disk);
      // What SQLite and the file system have at hand already is used up first.
      await eventually('messages are put off', deferred(session));
      await eventually('lines are lost', async () => {
        await session.say('MAIL FROM:<somebody@elsewhere.test>');
        return (await figures(served)).of('stopgap_log_lines_lost_total', { place: 'stderr' }) > 0;
      });
      rmSync(path.join(disk, 'filler'));
      await eventually('messages are taken again', taken(session));
      const lines = readFileSync(log, 'utf8');
      assert.match(lines, /"place":"stderr","lost":\d+,"msg":"log lines are taken again"/);
      for (const line of lines.split('\n'))
        assert.ok(!/^.+\{"level"/.test(line), `no line is glued: ${line}`);

      fill(disk);
      await end(served);
      fill(disk);
      const again = await start();
      const next = await loggedIn(again, password);
      await eventually('messages are put off after the start', deferred(next));
      rmSync(path.join(disk, 'filler'));
      await eventually('messages are taken after the start', taken(next));
    });
  }

  test('keeps a store without any room from being opened until there is some', async (t) => {
    const disk = await smallDisk(t);
    if (typeof disk !== 'string') return t.skip(disk.skip);
    await (await Served.start(t, disk)).terminate();
    fill(disk);
    rmSync(path.join(disk, 'data', 'events.db.reserve'));
    fill(disk);
    const elsewhere = path.join(await workDir(t), 'log');
    const descriptor = openSync(elsewhere, 'a');
    t.after(() => closeSync(descriptor));
    const started = Served.start(t, disk, {}, { stderr: descriptor });
    await eventually('it says that it waits', () =>
      readFileSync(elsewhere, 'utf8').includes('the start waits for room on the disk'),
    );
    rmSync(path.join(disk, 'filler'));
    await started;
  });
});

describe('standard error that nobody reads', () => {
  test('holds up neither mail nor the end of the process', async (t) => {
    const dir = await workDir(t);
    const served = await Served.start(t, dir, LOUD);
    const session = await loggedIn(served, served.told('password'));
    served.child.stderr!.pause();
    // Far more than a pipe and the sockets of this test hold.
    for (let n = 0; n < 20; n++) {
      session.write(`MAIL FROM:<${'x'.repeat(60)}@${'y.'.repeat(90)}test>\r\n`.repeat(100));
      for (const reply of await session.replies(100)) assert.match(reply, /^5/);
    }
    assert.equal((await fetch(`http://127.0.0.1:${served.port('HTTP')}/healthz`)).status, 200);
    assert.match(await session.send(DEMO, ['bob@elsewhere.test']), /^250 /);
    session.vanish();
    served.child.kill('SIGTERM');
    const [code] = await new Promise<unknown[]>((resolve) =>
      served.child.once('exit', (...ended: unknown[]) => resolve(ended)),
    );
    assert.equal(code, 0);
    served.child.stderr!.resume();
  });
});
