import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { HookCall } from '../../../src/hooks/call.js';
import { callHook, HookFailed } from '../../../src/hooks/call.js';
import { ManualClock } from '../../support/manual-clock.js';

const CALL: HookCall = {
  action: 'release',
  block: 'b1',
  subject: { type: 'account', value: 'a@example.com' },
  account: null,
  queueIds: ['4ABC'],
};

test('deploy/hooks/by-socket.mjs passes a call on, and fails unless the answer came to its end', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-hook-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const place = path.join(dir, 'hook');
  let answer = '';
  const heard: unknown[] = [];
  // As systemd starts a hook for a connection: its standard input ends when the caller has said all.
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => {
      heard.push(JSON.parse(text));
      socket.end(answer);
    });
  });
  server.listen(place);
  t.after(() => server.close());
  await once(server, 'listening');
  const called = (): Promise<string> =>
    callHook(
      {
        run: { command: [path.resolve('deploy/hooks/by-socket.mjs'), place] },
        authorization: undefined,
        clock: new ManualClock(),
      },
      CALL,
      new AbortController().signal,
    );
  answer = 'released 4ABC\nend\n';
  assert.match(await called(), /^released 4ABC\nend\n/);
  assert.deepEqual(heard, [CALL]);
  for (answer of ['', 'released 4ABC\n', 'the\nbitter end\n'])
    await assert.rejects(
      called(),
      (error) => error instanceof HookFailed && /^exit code 1/.test(error.message),
    );
  answer = 'Error: Command failed: postqueue -j\npostqueue: fatal: open main.cf: Permission denied\n';
  await assert.rejects(called(), /^Error: exit code 1: .*open main\.cf: Permission denied/s);
  server.close();
  await once(server, 'close');
  await assert.rejects(called(), /exit code 1: connect (ENOENT|ECONNREFUSED)/);
});
