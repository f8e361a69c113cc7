import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { KEY } from '../../support/notices/channels.js';
import { Receiver } from '../../support/notices/receiver.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { PROGRAM } from '../../support/program.js';

/** Runs a command against a server. */
async function stopgap(
  served: Served,
  token: string,
  ...args: readonly string[]
): Promise<{ code: number; text: string }> {
  const env = {
    STOPGAP_URL: `http://127.0.0.1:${served.port('HTTP')}`,
    STOPGAP_TOKEN: token,
  };
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...env, PATH: process.env['PATH'] } });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, text };
}

test('kill -9 in mid-delivery: the notice is sent again at the next start, with the same id and body', async (t) => {
  const receiver = await Receiver.start(t);
  const dir = await workDir(t);
  await writeFile(path.join(dir, 'key'), `${KEY}\n`);
  const env = {
    STOPGAP_NOTICES_CHANNELS_NAME: 'ops',
    STOPGAP_NOTICES_CHANNELS_TYPE: 'webhook',
    STOPGAP_NOTICES_CHANNELS_URL: receiver.url('/secret-path'),
    STOPGAP_NOTICES_CHANNELS_SECRET_FILE: 'key',
    STOPGAP_NOTICES_CHANNELS_DIGEST: '1s, 1s, 4h',
  };
  const first = await Served.start(t, dir, env);
  const token = first.told('API token');
  receiver.reply = 'silence';
  const subject = { type: 'account', value: 'somebody@localhost' };
  const blocked = await first.api('POST', '/api/v1/blocks', token, {
    subject,
    duration: '1h',
    description: 'too much',
  });
  assert.equal(blocked.status, 201);
  await receiver.got(1);
  await first.kill();
  receiver.reply = { status: 200 };
  const second = await Served.start(t, dir, env);
  await receiver.got(2);
  const [before, again] = receiver.received;
  assert.equal(again!.headers['webhook-id'], before!.headers['webhook-id']);
  assert.equal(again!.body, before!.body);
  await second.says(/"a notice was sent"|a notice was sent/);

  const tested = await stopgap(second, token, 'notify', 'test', 'ops');
  assert.deepEqual(
    [tested.code, tested.text],
    [0, 'sent: Stopgap (test): sender blocked: account somebody@localhost\n'],
  );
  assert.equal((JSON.parse(receiver.received[2]!.body) as { type: string }).type, 'stopgap.test');
  receiver.reply = { status: 410 };
  const gone = await stopgap(second, token, 'notify', 'test', 'ops');
  assert.deepEqual([gone.code, gone.text], [1, 'stopgap: not sent: HTTP 410\n']);
  const listed = await stopgap(second, token, 'notify', 'list');
  assert.match(listed.text, /^ops +webhook +disabled +0 +0 +1 +proposed,imposed,breaker$/m);
  assert.match(listed.text, /^\S{36} +ops +dead +1 .*\(HTTP 410\)$/m);
  receiver.reply = { status: 200 };
  const resent = await stopgap(second, token, 'notify', 'resend');
  assert.deepEqual([resent.code, resent.text], [0, '1 notice to be sent again\n']);
  await receiver.got(5);
  assert.equal(receiver.received[4]!.headers['webhook-id'], receiver.received[3]!.headers['webhook-id']);
  assert.match((await stopgap(second, token, 'notify', 'test', 'nobody')).text, /there is no channel nobody/);
  const { stdout, stderr } = await second.terminate();
  for (const text of [first.stderr, stdout, stderr])
    assert.ok(!text.includes('secret-path') && !text.includes(KEY));
});
