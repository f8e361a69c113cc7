import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { formatInstant } from '../../../src/kernel/time.js';
import type { ApiServer } from '../../support/api/server.js';
import { TOKENS } from '../../support/api/server.js';
import { besideServer, Terminal } from './support.js';

const POSTFIX = readFileSync('test/unit/cli/returned/postfix.eml');

describe('stopgap bounce', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  test('tells the server what came back, with a token of a mail server, and says what became of it', async () => {
    const mine = await Terminal.open(server.clock, { STOPGAP_URL: server.url, STOPGAP_TOKEN: TOKENS.server });
    const said = async (): Promise<readonly unknown[]> => {
      const { code, out, err } = await mine.piped([POSTFIX], 'bounce');
      return [code, out, err];
    };
    assert.deepEqual(await said(), [0, 'it is of no message that is known to have been sent\n', '']);
    const at = formatInstant(server.clock.now());
    const send = { type: 'accepted', id: 's1', account: 'alice@example.com', queueId: '4fQxyz0AbB1zNp', at };
    assert.equal((await server.post('/api/v1/sends', [send], { role: 'server' })).status, 200);
    assert.deepEqual(await said(), [0, 'counted\n', '']);
    assert.deepEqual(await said(), [0, 'this message has been counted already\n', '']);
    await mine.close();
  });

  test('ends with 0 and says why where a message counts for nothing, and asks nobody', async () => {
    const nowhere = await Terminal.open(server.clock, {});
    for (const input of [['Subject: hello\n\nHi\n'], [], ['\0'], [Buffer.alloc(3, 255)]]) {
      const { code, out, err } = await nowhere.piped(input, 'bounce');
      assert.deepEqual([code, err], [0, '']);
      assert.match(out, /^counts for nothing: it is no delivery status and no feedback report\n$/);
    }
    await nowhere.close();
  });

  test('reads a message of any size to its end, and keeps the beginning of it', async () => {
    let read = 0;
    const pieces = function* (): Generator<Buffer> {
      yield POSTFIX;
      for (; read < 2000; read++) yield Buffer.alloc(64 * 1024, 'x');
    };
    const { code, out } = await terminal.piped(pieces(), 'bounce');
    assert.deepEqual([code, read], [0, 2000]);
    assert.doesNotMatch(out, /counts for nothing/);
  });

  test('ends with 75 where the server cannot be told, so that the mail server tries again', async () => {
    for (const env of [
      { STOPGAP_URL: 'http://127.0.0.1:1', STOPGAP_TOKEN: 'x' },
      { STOPGAP_URL: server.url, STOPGAP_TOKEN: 'wrong' },
      { STOPGAP_URL: server.url, STOPGAP_TOKEN: TOKENS.viewer },
    ]) {
      const mine = await Terminal.open(server.clock, env);
      const { code, out, err } = await mine.piped([POSTFIX], 'bounce');
      assert.deepEqual([code, out], [75, '']);
      assert.match(err, /^stopgap: /);
      await mine.close();
    }
    const without = await Terminal.open(server.clock, { STOPGAP_URL: server.url });
    assert.equal((await without.piped([POSTFIX], 'bounce', '--token-file', 'gone')).code, 75);
    await without.close();
  });
});
