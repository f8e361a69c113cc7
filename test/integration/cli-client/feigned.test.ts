import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOUR } from '../../../src/kernel/time.js';
import type { ApiServer } from '../../support/api/server.js';
import { TOKENS } from '../../support/api/server.js';
import { besideServer, Terminal } from './support.js';

describe('stopgap feigned', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));
  let reports = 0;

  /** So many failed logins from an address: of a blocked account, and with a wrong password. */
  async function failed(ip: string, feigned: number, genuine: number): Promise<void> {
    const item = { type: 'login-failed', ip };
    const items = [
      { ...item, id: `${++reports}`, account: 'caught@example.com', count: feigned },
      { ...item, id: `${++reports}`, account: 'other@example.com', count: genuine },
    ].filter(({ count }) => count > 0);
    await server.block('caught@example.com', { indefinite: true });
    assert.equal((await server.post('/api/v1/sends', items, { role: 'server' })).status, 200);
  }

  test('ends with 0 if a block made the logins fail, with a token of a mail server', async () => {
    await failed('192.0.2.1', 9, 0);
    const mine = await Terminal.open(server.clock, { STOPGAP_URL: server.url, STOPGAP_TOKEN: TOKENS.server });
    const { code, out, err } = await mine.run('feigned', '192.0.2.1');
    await mine.close();
    assert.deepEqual([code, err], [0, '']);
    assert.equal(out, '192.0.2.1: 9 feigned and 0 genuine failures within 10m: not to be banned\n');
  });

  test('ends with 1 if none was feigned, or the genuine ones alone are too many', async () => {
    assert.equal((await terminal.run('feigned', '192.0.2.2')).code, 1);
    await failed('192.0.2.3', 0, 2);
    assert.equal((await terminal.run('feigned', '192.0.2.3')).code, 1);
    await failed('192.0.2.4', 9, 5);
    const { code, out } = await terminal.run('feigned', '192.0.2.4');
    assert.equal(code, 1);
    assert.match(out, /: may be banned$/m);
  });

  test("goes by fail2ban's own findtime and maxretry", async () => {
    await failed('192.0.2.5', 3, 4);
    assert.equal((await terminal.run('feigned', '192.0.2.5')).code, 0);
    assert.equal((await terminal.run('feigned', '192.0.2.5', '--max-retry', '4')).code, 1);
    server.clock.advance(HOUR);
    assert.equal((await terminal.run('feigned', '192.0.2.5')).code, 1);
    assert.equal((await terminal.run('feigned', '192.0.2.5', '--find-time', '2h')).code, 0);
  });

  test('ends with 1 where it cannot know, and with 2 where it is not understood', async () => {
    const nowhere = await Terminal.open(server.clock, {
      STOPGAP_URL: 'http://127.0.0.1:1',
      STOPGAP_TOKEN: 'x',
    });
    assert.equal((await nowhere.run('feigned', '192.0.2.1')).code, 1);
    await nowhere.close();
    assert.equal((await terminal.run('feigned', 'somewhere')).code, 1);
    assert.equal((await terminal.run('feigned', '192.0.2.1', '--find-time', 'long')).code, 1);
    assert.equal((await terminal.run('feigned', '192.0.2.1', '--max-retry', 'x')).code, 2);
    assert.equal((await terminal.run('feigned')).code, 2);
  });
});
