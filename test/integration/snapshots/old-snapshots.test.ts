import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { MINUTE } from '../../../src/kernel/time.js';
import { OldSnapshots } from '../../../src/snapshots/old-snapshots.js';
import { Tally } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';

/** A data directory in which nothing can be removed, root or not, until it is mended: a file lies in its place. */
async function broken(t: TestContext) {
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-old-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const data = path.join(dir, 'data');
  const folder = path.join(data, 'snapshots');
  await writeFile(data, '');
  const clock = new ManualClock();
  const lines: string[] = [];
  const told = new Tally();
  const write = (line: string): void => {
    lines.push((JSON.parse(line) as { msg: string }).msg);
    told.add();
  };
  const old = new OldSnapshots({ folder, clock, log: pino({}, { write }) });
  t.after(() => old.stop());
  const mend = async (): Promise<void> => {
    await rm(data);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'models-0-00000001.snapshot'), 'alice');
  };
  return { old, clock, folder, lines, told, mend };
}

const KEPT = 'old snapshots cannot be removed, and may hold somebody who was forgotten; it is tried again';

describe('old snapshots that cannot be removed', () => {
  test('are told of once, and are removed when they can be', async (t) => {
    const { old, clock, folder, lines, told, mend } = await broken(t);
    await old.remove();
    assert.deepEqual(lines, [KEPT]);
    await old.remove();
    assert.deepEqual([lines.length, clock.waiting], [1, 1], 'one further attempt at a time');
    await mend();
    clock.advance(MINUTE);
    await told.reached(2);
    assert.deepEqual(lines, [KEPT, 'the old snapshots are removed']);
    assert.deepEqual([await readdir(folder), clock.waiting], [[], 0]);
  });

  test('are left where they are once the process stops', async (t) => {
    const { old, clock } = await broken(t);
    const removing = old.remove();
    await old.stop();
    await removing;
    assert.equal(clock.waiting, 0);
  });
});

test('old snapshots that can be removed go without a word, and their folder, which may be a mount point, stays', async (t) => {
  const { old, clock, folder, lines, mend } = await broken(t);
  await mend();
  await old.remove();
  assert.deepEqual([await readdir(folder), lines, clock.waiting], [[], [], 0]);
});
