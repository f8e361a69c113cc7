import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import Database from 'better-sqlite3';
import { systemClock } from '../../../src/runtime/clock.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { newEvents } from '../../support/store/events.js';
import { RedisServer, skipWithoutRedisServer } from '../../support/redis.js';
import { Served, workDir } from '../../support/smtp/served.js';

/** The last line of a start that failed. */
async function fault(cwd: string, env: Readonly<Record<string, string>>): Promise<string> {
  const { code, stderr } = await Served.run(cwd, env);
  assert.equal(code, 1, stderr);
  assert.ok(!stderr.includes('    at '), `without a stack trace: ${stderr}`);
  return stderr.trimEnd().split('\n').at(-1)!;
}

const skip = await skipWithoutRedisServer();

describe('a start that cannot be', () => {
  test('names the setting of a port that is taken', async (t) => {
    const cwd = await workDir(t);
    const other = net.createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    t.after(() => other.close());
    const taken = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    for (const [setting, variable] of [
      ['smtp.submission.listen', 'STOPGAP_SMTP_SUBMISSION_LISTEN'],
      ['api.listen', 'STOPGAP_API_LISTEN'],
    ] as const) {
      const line = await fault(cwd, { [variable]: taken });
      assert.ok(line.startsWith(`stopgap: ${setting}: ${taken} is taken by another process`), line);
    }
    const foreign = await fault(cwd, { STOPGAP_API_LISTEN: '192.0.2.1:8025' });
    assert.match(foreign, /^stopgap: api\.listen: 192\.0\.2\.1:8025 is no address of this machine/);
  });

  test('names the data directory that is a file, or that the system does not let be made', async (t) => {
    const cwd = await workDir(t);
    writeFileSync(path.join(cwd, 'file'), '');
    for (const data of ['file', 'file/below']) {
      const line = await fault(cwd, { STOPGAP_DATA: data });
      assert.match(line, /^stopgap: data: the directory \S+ is a file, or lies in one: name a directory$/);
    }
    const line = await fault(cwd, { STOPGAP_DATA: '/proc/stopgap/data' });
    assert.match(line, /^stopgap: data: the directory \/proc\/stopgap\/data cannot be made/);
    const log = await fault(cwd, { STOPGAP_LOG_FILE: '/proc/stopgap/log' });
    assert.match(log, /^stopgap: log\.file: .*name a file that can be written to$/);
    const folder = await fault(cwd, { STOPGAP_LOG_FILE: cwd });
    assert.match(folder, /^stopgap: log\.file: \/\S+ is a folder; name a file that can be written to$/);
  });

  test('names a store of which a page is damaged, wherever that page is, and does not wait for it', async (t) => {
    // Given a store that was closed well
    const made = path.join(await workDir(t), 'events.db');
    const store = await openSqliteStore({ file: made, clock: systemClock });
    for (let n = 0; n < 40; n++) await store.append(`send-${n}`, newEvents(20), 'any');
    await store.close();
    const whole = readFileSync(made);
    const db = new Database(made, { readonly: true });
    // What the start writes to, reads, and looks up as it appends
    const tables = "'categories', 'events', 'events_by_stream'";
    const pages = db
      .prepare<[], number>(`SELECT rootpage FROM sqlite_schema WHERE name IN (${tables})`)
      .pluck()
      .all();
    assert.equal(pages.length, 3);
    db.close();
    for (const page of pages) {
      // When one page of it is overwritten
      const cwd = await workDir(t);
      const file = path.join(cwd, 'data', 'events.db');
      mkdirSync(path.dirname(file));
      writeFileSync(file, Buffer.from(whole).fill(0xa5, (page - 1) * 4096, page * 4096));
      // Then the start ends, and its last line has the file and the remedy
      assert.equal(
        await fault(cwd, {}),
        `stopgap: ${file} is damaged (database disk image is malformed): restore it from a backup, or move it away to start with an empty store`,
        `page ${page}`,
      );
    }
  });

  test(
    'a password that Redis refuses is told with its setting, and not called a fault',
    { skip },
    async (t) => {
      const redis = await RedisServer.start({ args: ['--requirepass', 'tr0ub4dor'] });
      t.after(() => redis.kill());
      const { code, stderr } = await Served.run(await workDir(t), {
        STOPGAP_REDIS: `redis://:wr0ng@${new URL(redis.url).host}`,
      });
      assert.equal(code, 1, stderr);
      assert.match(
        stderr,
        /^stopgap: Redis at \S+ refuses us: WRONGPASS .*; correct user and password in redis \(STOPGAP_REDIS\)$/m,
      );
      assert.doesNotMatch(stderr, /this is a fault/);
    },
  );

  test('it starts while the upstream mail server is away, and the banner says so', async (t) => {
    const served = await Served.start(t, await workDir(t), {
      STOPGAP_SMTP_RELAY_URL: 'smtp://127.0.0.1:9',
    });
    assert.match(served.stdout, /^The mail server behind does not answer/m);
    assert.equal((await served.terminate()).code, 0);
  });
});
