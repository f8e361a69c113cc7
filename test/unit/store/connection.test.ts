import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { messageOf } from '../../../src/kernel/errors.js';
import { Connection, Nodes } from '../../../src/store/kurrentdb/connection.js';

const NODE = '127.0.0.1:1';

describe('the connection to KurrentDB', () => {
  it('keeps its client while a file of its certificates cannot be read, says so once, and takes another afterwards', async (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-connection-'));
    t.after(() => rm(directory, { recursive: true }));
    const file = path.join(directory, 'ca.pem');
    const moved = `${file}.moved`;
    await writeFile(file, '');
    const reports: string[] = [];
    const report = (problem: string, error: unknown): void =>
      void reports.push(`${problem}: ${messageOf(error)}`);
    const nodes = new Nodes(`kurrentdb://name:secret@${NODE}?tlsCaFile=${file}`);
    const connection = new Connection(nodes, NODE, false, report);
    t.after(() => connection.close());
    let replaced = 0;
    connection.onReplaced(() => replaced++);
    const renew = async (): Promise<void> => {
      now += 1000;
      connection.renew(connection.client);
      await connection.settled();
    };
    const first = connection.client;

    await rename(file, moved);
    await renew();
    await renew();
    assert.equal(connection.client, first);
    assert.equal(replaced, 0);
    assert.deepEqual(reports, [
      'the connection could not be made anew; it is tried again: Failed to load certificate file. File was not found.',
    ]);

    await rename(moved, file);
    connection.renew(first);
    await connection.settled();
    assert.equal(connection.client, first, 'no sooner than after a second');
    await renew();
    assert.notEqual(connection.client, first);
    assert.equal(replaced, 1);

    await rename(file, moved);
    await renew();
    assert.equal(reports.length, 2, 'a new loss is told again');
  });
});
