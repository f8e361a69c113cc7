import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { DECISIONS_ONLY } from '../../../src/detector/projector.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { SnapshotFolder, SnapshotRefused } from '../../../src/snapshots/snapshot-file.js';
import { logOf } from '../../support/history.js';
import { ManualClock } from '../../support/manual-clock.js';
import { node, rewrite, snapshotsIn } from '../../support/snapshots.js';

const PROVENANCE = { fingerprint: 'f', categories: ['b', 'a'] };
const SIGNAL = new AbortController().signal;
const STATE = { list: Array.from({ length: 5000 }, (_, n) => `text ${n}`), bytes: [new Uint8Array(300_000)] };

async function folderOf(t: TestContext): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-snapshots-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return path.join(dir, 'snapshots');
}

async function refused(folder: SnapshotFolder, file: string, head: number, reason: RegExp): Promise<void> {
  await assert.rejects(folder.read(file, head), (error) => {
    assert.ok(error instanceof SnapshotRefused, String(error));
    assert.match(error.message, reason);
    return true;
  });
}

describe('a snapshot file', () => {
  test('gives back what was written, and only its owner can read it', async (t) => {
    const dir = await folderOf(t);
    const folder = new SnapshotFolder(dir, PROVENANCE);
    assert.deepEqual(await folder.list(), []);
    const bytes = await folder.write(7, STATE, SIGNAL);
    const [file] = await folder.list();
    assert.deepEqual(await folder.read(file!, 7), STATE);
    const { mode, size } = await stat(file!);
    assert.equal(mode & 0o777, 0o600);
    assert.equal(size, bytes);
    assert.equal((await stat(dir)).mode & 0o777, 0o700);
  });

  test('is kept with the one before it, at any positions; no other set of categories is touched', async (t) => {
    const dir = await folderOf(t);
    const folder = new SnapshotFolder(dir, PROVENANCE);
    const others = new SnapshotFolder(dir, { ...PROVENANCE, categories: ['a'] });
    await others.write(1, 'theirs', SIGNAL);
    // The third comes from an older store that was put back.
    for (const position of [100, 200, 50, 60]) await folder.write(position, position, SIGNAL);
    const contents = await Promise.all((await folder.list()).map((file) => folder.read(file, 1000)));
    assert.deepEqual(contents, [60, 50]);
    assert.equal((await others.list()).length, 1);
  });

  test('is refused if it is truncated at any place', async (t) => {
    const folder = new SnapshotFolder(await folderOf(t), PROVENANCE);
    // Negative ones are of the end: one write of the same may have a frame more than another.
    for (const length of [-1, -300_000, 150_000, 100, 59, 30, 5, 0]) {
      await folder.write(7, STATE, SIGNAL);
      const [file] = await folder.list();
      await rewrite(file!, (bytes) => bytes.subarray(0, length));
      await refused(folder, file!, 7, /truncated/);
    }
    const [file] = await folder.list();
    await rewrite(file!, () => Buffer.alloc(0));
    await folder.write(8, STATE, SIGNAL);
    const [last] = await folder.list();
    await rewrite(last!, (bytes) => Buffer.concat([bytes, Buffer.from('x')]));
    await refused(folder, last!, 8, /truncated/);
  });

  test('is refused if any bit has flipped', async (t) => {
    const folder = new SnapshotFolder(await folderOf(t), PROVENANCE);
    const size = await folder.write(7, STATE, SIGNAL);
    const [file] = await folder.list();
    const places = [0, 18, 19, 50, 51, 58, 59, 62, 63, 100, 1000, size >> 1, size - 1];
    for (const place of places) {
      const flip = (bytes: Buffer): Buffer => {
        bytes[place]! ^= 4;
        return bytes;
      };
      await rewrite(file!, flip);
      await refused(folder, file!, 7, /format|truncated|checksum/);
      await rewrite(file!, flip);
    }
    assert.deepEqual(await folder.read(file!, 7), STATE, 'all that was wrong were the bits');
  });

  test('is refused if its format, version or categories differ, or if it is ahead of the store', async (t) => {
    const dir = await folderOf(t);
    const folder = new SnapshotFolder(dir, PROVENANCE);
    await folder.write(7, STATE, SIGNAL);
    const [file] = await folder.list();
    await refused(folder, file!, 6, /ahead of the store: 7, not 6/);
    await refused(new SnapshotFolder(dir, { ...PROVENANCE, fingerprint: 'g' }), file!, 7, /another version/);
    await refused(
      new SnapshotFolder(dir, { ...PROVENANCE, categories: ['a'] }),
      file!,
      7,
      /other categories/,
    );
    assert.deepEqual(
      await new SnapshotFolder(dir, { ...PROVENANCE, categories: ['a', 'b'] }).read(file!, 7),
      STATE,
      'the order of categories says nothing',
    );
    await rewrite(file!, (bytes) => Buffer.concat([Buffer.from('stopgap snapshot 2\n'), bytes.subarray(19)]));
    await refused(folder, file!, 7, /another format/);
  });

  test('is refused without a wait if it is no file', async (t) => {
    const folder = new SnapshotFolder(await folderOf(t), PROVENANCE);
    await folder.write(7, STATE, SIGNAL);
    const [file] = await folder.list();
    await rm(file!);
    execFileSync('mkfifo', [file!]);
    await refused(folder, file!, 7, /no file/);
  });

  test('leaves no draft when it is given up; drafts of a killed process are deleted when they are old', async (t) => {
    const dir = await folderOf(t);
    const folder = new SnapshotFolder(dir, PROVENANCE);
    await assert.rejects(
      folder.write(7, STATE, AbortSignal.abort(new Error('no more time'))),
      /no more time/,
    );
    assert.deepEqual(await readdir(dir), []);
    await folder.write(7, STATE, SIGNAL);
    const [file] = await folder.list();
    const [old, young] = [`${file}.1.tmp`, `${file}.2.tmp`];
    for (const draft of [old, young]) await writeFile(draft, 'half');
    const before = new Date((await stat(file!)).mtimeMs - 2 * HOUR);
    await utimes(old, before, before);
    await folder.write(8, STATE, SIGNAL);
    assert.deepEqual(
      (await readdir(dir)).filter((name) => name.endsWith('.tmp')),
      [path.basename(young)],
    );
  });
});

/** A store that does not change. */
function storeOf(log: readonly RecordedEvent[], head = log.at(-1)!.position) {
  return {
    head: () => Promise.resolve(head),
    async *readStream(stream: string, { from = 0, limit = Infinity } = {}) {
      await Promise.resolve();
      yield* log.filter((event) => event.stream === stream && event.revision >= from).slice(0, limit);
    },
  };
}

const LOG = logOf(
  Array.from({ length: 40 }, (_, n) => [MINUTE, { kind: 'send', user: n % 4, recipients: 3, skew: 0 }]),
);

const LAST = LOG.slice(0, 38).findLastIndex(({ stream }) => stream === 'send-test') + 1;

/** Read models that have written two snapshots: after 20 events, and after the last, which is a send. */
async function withTwo(t: TestContext): Promise<{ dir: string; clock: ManualClock }> {
  const dir = await folderOf(t);
  const clock = new ManualClock();
  // A replay, as this is one, waits eight times as long.
  const { models, snapshots } = await node(dir, clock, { every: 20 / 8 });
  for (const event of LOG.slice(0, LAST)) {
    models.apply(event);
    snapshots.folded();
    await snapshots.idle();
  }
  await snapshots.close();
  return { dir, clock };
}

describe('a start', () => {
  test('uses the newest snapshot, says so, and hands out the verdicts without answer', async (t) => {
    const dir = await folderOf(t);
    const clock = new ManualClock();
    const first = await node(dir, clock, { unanswered: () => first.verdicts });
    for (const event of LOG) {
      first.models.apply(event);
      first.snapshots.folded();
    }
    assert.ok(first.verdicts.length > 0);
    await first.snapshots.close();
    const second = await node(dir, clock);
    assert.deepEqual(await second.snapshots.restore(storeOf(LOG)), first.verdicts);
    assert.deepEqual(second.models.dump(), first.models.dump());
    assert.match(second.logs.join(''), /start from a snapshot/);
  });

  test('passes over a damaged snapshot, says so in the log, and takes the one before', async (t) => {
    const { dir, clock } = await withTwo(t);
    const files = await snapshotsIn(dir);
    assert.equal(files.length, 2);
    await rewrite(files[1]!, (bytes) => bytes.subarray(0, 1000));
    const { models, snapshots, logs } = await node(dir, clock);
    await snapshots.restore(storeOf(LOG));
    assert.equal(models.position, 20);
    assert.equal(logs.filter((line) => line.includes('truncated') && line.includes('"level":40')).length, 1);

    await rewrite(files[0]!, () => Buffer.from('nonsense'));
    const third = await node(dir, clock);
    assert.deepEqual(await third.snapshots.restore(storeOf(LOG)), []);
    assert.equal(third.models.position, 0);
    assert.deepEqual(third.models.dump(), (await node(dir, clock)).models.dump(), 'nothing is left of it');
  });

  test('takes no snapshot if the store is older, or has become another', async (t) => {
    const { dir, clock } = await withTwo(t);
    const older = await node(dir, clock);
    await older.snapshots.restore(storeOf(LOG.slice(0, 25)));
    assert.equal(older.models.position, 20, 'the newer one is ahead of it');
    const other = await node(dir, clock);
    const changed = LOG.map((event) =>
      event.position >= 15 ? { ...event, id: `other-${event.position}` } : event,
    );
    await other.snapshots.restore(storeOf(changed));
    assert.equal(other.models.position, 0);
    assert.match(other.logs.join(''), /made from another store/);
  });

  test('takes a snapshot whose last send is deleted by its age, but none whose last decision is', async (t) => {
    const { dir } = await withTwo(t);
    const clock = new ManualClock(LOG[LAST - 1]!.recordedAt);
    const withoutSends = storeOf(
      LOG.filter(({ stream }) => stream !== 'send-test'),
      LAST,
    );
    const tooYoung = await node(dir, clock);
    await tooYoung.snapshots.restore(withoutSends);
    assert.ok(tooYoung.models.position < LAST, 'a send that is not old enough to be gone was never there');
    clock.advance(36 * DAY);
    const sendsGone = await node(dir, clock);
    await sendsGone.snapshots.restore(withoutSends);
    assert.equal(sendsGone.models.position, LAST);
    const decisionsGone = await node(dir, clock);
    await decisionsGone.snapshots.restore(storeOf(LOG.filter(({ stream }) => stream === 'send-test')));
    assert.equal(decisionsGone.models.position, 0);
  });

  test('waits for a store that is away, and does not fold everything', async (t) => {
    const { dir, clock } = await withTwo(t);
    const { models, snapshots } = await node(dir, clock);
    const away = { ...storeOf(LOG), head: () => Promise.reject(new StoreUnavailable('it is away')) };
    await assert.rejects(snapshots.restore(away), StoreUnavailable);
    await snapshots.restore(storeOf(LOG));
    assert.equal(models.position, LAST);
  });

  test('of other roles finds no snapshot', async (t) => {
    const { dir, clock } = await withTwo(t);
    const { models, snapshots } = await node(dir, clock, { categories: DECISIONS_ONLY });
    await snapshots.restore(storeOf(LOG));
    assert.equal(models.position, 0);
  });

  test('goes on if the folder cannot be read, or no snapshot can be written', async (t) => {
    const dir = await folderOf(t);
    await mkdir(path.dirname(dir), { recursive: true });
    await writeFile(dir, 'a file, not a folder');
    const { models, snapshots, logs } = await node(dir, new ManualClock(), { every: 5 });
    assert.deepEqual(await snapshots.restore(storeOf(LOG)), []);
    for (const event of LOG) {
      models.apply(event);
      snapshots.folded();
    }
    await snapshots.close();
    assert.match(logs.join(''), /cannot be looked for/);
    assert.match(logs.join(''), /could not be written/);
    assert.equal(models.position, LOG.at(-1)!.position);
  });
});
