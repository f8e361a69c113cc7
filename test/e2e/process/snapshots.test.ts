import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Served, workDir } from '../../support/smtp/served.js';

test('a clean end, kill -9, snapshots deleted: the next process knows the same blocks', async (t) => {
  const dir = await workDir(t);
  const folder = path.join(dir, 'data/snapshots');
  await writeFile(path.join(dir, 'rules.yaml'), 'version: 1\nrules: []\n');
  let token: string | undefined;
  const start = async (): Promise<Served> => {
    const served = await Served.start(t, dir, { STOPGAP_RULES: './rules.yaml' });
    token ??= served.told('API token');
    return served;
  };
  const block = async (served: Served, value: string): Promise<string> => {
    const subject = { type: 'address', value };
    const wish = { subject, direction: 'all', description: 'test', duration: '1h' };
    const answer = await served.api('POST', '/api/v1/blocks', token!, wish);
    assert.equal(answer.status, 201);
    return ((await answer.json()) as { id: string }).id;
  };
  const list = async (served: Served): Promise<unknown> => {
    const answer = await served.api('GET', '/api/v1/blocks?limit=100', token!);
    assert.equal(answer.status, 200);
    return ((await answer.json()) as { items: unknown[] }).items;
  };
  const fromSnapshot = ({ stdout, stderr }: Served): boolean => /start from a snapshot/.test(stdout + stderr);

  const first = await start();
  const early = await block(first, 'early@example.org');
  assert.equal((await first.terminate()).code, 0);
  assert.equal((await readdir(folder)).length, 1);

  const second = await start();
  assert.ok(fromSnapshot(second));
  const released = await second.api('POST', `/api/v1/blocks/${early}/release`, token!, { note: 'test' });
  assert.equal(released.status, 200);
  await block(second, 'late@example.org');
  const before = await list(second);
  await second.kill();

  const third = await start();
  assert.ok(fromSnapshot(third));
  assert.deepEqual(await list(third), before);
  await third.kill();

  await rm(folder, { recursive: true });
  const fourth = await start();
  assert.ok(!fromSnapshot(fourth));
  assert.deepEqual(await list(fourth), before);
  assert.equal((await fourth.terminate()).code, 0);
});

test('a start is refused if the store is missing beside a snapshot, unless a new one is asked for', async (t) => {
  const dir = await workDir(t);
  const file = path.join(dir, 'data/events.db');
  const folder = path.join(dir, 'data/snapshots');
  assert.equal((await (await Served.start(t, dir)).terminate()).code, 0);
  const kept = await readdir(folder);
  assert.equal(kept.length, 1);
  await rm(file);
  const { code, stderr } = await Served.run(dir);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /events\.db is missing, but .*\.snapshot of 2\S+Z was made from the events of one: .*restore it from a backup.*--new-store/,
  );
  assert.deepEqual(await readdir(folder), kept, 'what proves it stays');
  assert.ok(!existsSync(file), 'nothing is put in its place');
  const anew = await Served.start(t, dir, {}, { args: ['--new-store'] });
  assert.equal((await anew.terminate()).code, 0);
  const again = await Served.start(t, dir, {}, { args: ['--new-store'] });
  assert.match(again.stderr, /start from a snapshot/, 'a store that has events is left as it is');
  assert.equal((await again.terminate()).code, 0);
});
