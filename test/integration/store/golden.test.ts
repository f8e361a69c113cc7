import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import type { Node } from '../../support/api/server.js';
import { call, startOn } from '../../support/api/server.js';
import { ManualClock } from '../../support/manual-clock.js';

/*
 * A store as an earlier version left it (golden/events.db), with events of every type, and what the API answered on it
 * (golden/answers.json). The store is never made again: what is on people's disks is not either. To write the answers
 * anew after a change that is meant, and then read the difference:
 *
 *   STOPGAP_WRITE_GOLDEN=1 npm test -- store/golden
 */
const folder = path.resolve(
  path.dirname(fileURLToPath(import.meta.url)),
  '../../../../test/integration/store/golden',
);
const write = process.env['STOPGAP_WRITE_GOLDEN'] === '1';

interface Answers {
  /** When they were given, in milliseconds since the epoch. */
  readonly now: number;
  /** Bodies by the path that was asked for. */
  readonly bodies: Readonly<Record<string, unknown>>;
}

describe('a store that an earlier version has written', () => {
  let directory: string;
  let node: Node;
  let golden: Answers;

  before(async () => {
    golden = JSON.parse(await readFile(path.join(folder, 'answers.json'), 'utf8')) as Answers;
    directory = await mkdtemp(path.join(os.tmpdir(), 'stopgap-golden-'));
    const file = path.join(directory, 'events.db');
    await copyFile(path.join(folder, 'events.db'), file);
    const clock = new ManualClock(golden.now);
    node = await startOn(await openSqliteStore({ file, clock }), file, clock);
  });
  after(async () => {
    await node.stop();
    await rm(directory, { recursive: true });
  });

  test('opens, folds and answers as it did before', async () => {
    const bodies: Record<string, unknown> = {};
    for (const target of Object.keys(golden.bodies)) {
      const { status, json, text } = await call(node.url, 'GET', target);
      assert.equal(status, 200, `${target}: ${text}`);
      bodies[target] = json;
    }
    if (write)
      await writeFile(
        path.join(folder, 'answers.json'),
        `${JSON.stringify({ now: golden.now, bodies }, null, 1)}\n`,
      );
    else assert.deepEqual(bodies, golden.bodies);
  });
});
