import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { LOAD_CHILD } from '../../support/store/child.js';
import { temporaryDirectory } from '../../support/store/files.js';

const STRACE = '/usr/bin/strace';
const COUNT = 40;

describe('durability', () => {
  const skip = existsSync(STRACE) ? false : `there is no ${STRACE}: npm run test:install installs it`;

  it('acknowledges no append before the sync of the log that holds it has returned', { skip }, async () => {
    const directory = await temporaryDirectory();
    try {
      const trace = path.join(directory, 'trace');
      await promisify(execFile)(STRACE, [
        '-f',
        '-y',
        '-s',
        '20000',
        '-o',
        trace,
        '-e',
        'trace=pwrite64,fsync,fdatasync,write,writev',
        process.execPath,
        LOAD_CHILD,
        path.join(directory, 'events.db'),
        'sequential',
        String(COUNT),
      ]);
      const acknowledgements = judge((await fs.readFile(trace, 'utf8')).split('\n'));
      assert.equal(acknowledgements, COUNT);
    } finally {
      await fs.rm(directory, { recursive: true });
    }
  });

  it('would notice an acknowledgement that comes too early', () => {
    const write = '7 pwrite64(20</d/events.db-wal>, "..mark:0a-1..", 4096, 56) = 4096';
    const sync = '7 fdatasync(20</d/events.db-wal>) = 0';
    const begun = '7 fdatasync(20</d/events.db-wal> <unfinished ...>';
    const done = '7 <... fdatasync resumed>) = 0';
    const ack = '6 write(1</dev/pts/0>, "ack load-0 0a-1\\n", 16) = 16';
    assert.equal(judge([write, sync, ack]), 1);
    assert.equal(judge([write, begun, done, ack]), 1);
    assert.throws(() => judge([write, ack, sync]), /0a-1/);
    assert.throws(() => judge([sync, write, ack]), /0a-1/);
    assert.throws(() => judge([write, begun, ack, done]), /0a-1/);
    assert.throws(() => judge([ack]), /0a-1/);
  });
});

/**
 * Walks a trace in its order: an id is written with a page of the log, durable once a sync of the log that began
 * afterwards has returned, and may be acknowledged only then.
 *
 * @returns how many appends were acknowledged
 */
function judge(trace: readonly string[]): number {
  const written = new Set<string>();
  const durable = new Set<string>();
  const syncing = new Map<string, Set<string>>();
  let acknowledgements = 0;
  for (const line of trace) {
    const thread = line.slice(0, line.indexOf(' '));
    if (/ pwrite64\(\d+<[^>]*-wal>/.test(line)) {
      for (const [, id] of line.matchAll(/mark:([0-9a-f-]+)/g)) written.add(id!);
    } else if (/ f(data)?sync\(\d+<[^>]*-wal>/.test(line)) {
      const covered = new Set(written);
      if (line.includes('<unfinished')) syncing.set(thread, covered);
      else if (line.endsWith('= 0')) covered.forEach((id) => durable.add(id));
    } else if (/<\.\.\. f(data)?sync resumed>.*= 0$/.test(line)) {
      syncing.get(thread)?.forEach((id) => durable.add(id));
      syncing.delete(thread);
    }
    if (!/ writev?\(1</.test(line)) continue;
    for (const [, ids] of line.matchAll(/ack \S+ ([0-9a-f -]+)/g)) {
      acknowledgements++;
      for (const id of ids!.trim().split(' '))
        assert.ok(durable.has(id), `${id} was acknowledged before it was durable`);
    }
  }
  return acknowledgements;
}
