import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { readMaildir } from '../../support/relay/adapters.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { Served, workDir } from '../../support/smtp/served.js';

const DEMO = 'demo@example.com';

test('with nothing configured: an evaluation set-up, from the first start to the second', async (t) => {
  const dir = await workDir(t);
  const first = await Served.start(t, dir);
  const password = first.told('password');
  const token = first.told('API token');

  await t.test('the banner says what listens where, and what to try', () => {
    assert.match(first.stdout, /evaluation set-up: nothing leaves this machine/);
    assert.equal(first.told('account'), DEMO);
    assert.equal(first.told('data'), './data');
    assert.equal(first.told('mail to'), './data/mail');
    assert.match(first.stdout, /npx stopgap simulate/);
    assert.match(password, /^[\w-]{16}$/);
    assert.match(token, /^sgp_[\w-]{43}$/);
    assert.ok(!first.stderr.includes(password) && !first.stderr.includes(token), 'the log holds no secret');
  });

  await t.test('the demo account sends; the mail lies in the Maildir', async () => {
    const session = await Dialogue.hello(first.port('submission'));
    assert.match(await session.login(DEMO, password), /^235 /);
    assert.match(await session.send(DEMO, ['somebody@elsewhere.test']), /^250 /);
    await session.quit();
    const [mail] = await readMaildir(path.join(dir, 'data/mail'));
    assert.deepEqual(mail!.recipients, ['somebody@elsewhere.test']);
  });

  await t.test('everything in the data directory is its owner’s alone', async () => {
    const data = path.join(dir, 'data');
    const entries = await readdir(data, { recursive: true, withFileTypes: true });
    assert.ok(entries.length >= 5, entries.map(({ name }) => name).join(' '));
    for (const entry of entries) {
      const file = path.join(entry.parentPath, entry.name);
      const { mode } = await stat(file);
      assert.equal(mode & 0o077, 0, `${path.relative(dir, file)} is ${(mode & 0o777).toString(8)}`);
    }
    assert.equal((await stat(path.join(data, 'demo-credentials.txt'))).mode & 0o777, 0o600);
    assert.equal((await stat(data)).mode & 0o777, 0o700);
  });

  await t.test('the token opens the API', async () => {
    const response = await first.api('GET', '/api/v1/blocks', token);
    assert.equal(response.status, 200);
    assert.equal((await first.api('GET', '/api/v1/blocks', 'sgp_no')).status, 401);
    assert.equal((await first.api('GET', '/readyz', token)).status, 200);
  });

  await t.test('a second process on the same data is refused', async () => {
    const { code, stderr, stdout } = await Served.run(dir);
    assert.equal(code, 1);
    assert.match(stderr, /events\.db .*(in use|another process|locked)/);
    assert.ok(!stderr.includes('    at '), 'without a stack trace');
    assert.equal(stdout, '');
    assert.equal((await first.api('GET', '/healthz', token)).status, 200, 'the first does not mind');
  });

  await t.test('SIGTERM: what is under way is finished, and it ends with 0 within ten seconds', async () => {
    const session = await Dialogue.hello(first.port('submission'));
    await session.login(DEMO, password);
    await session.sayAll([`MAIL FROM:<${DEMO}>`, 'RCPT TO:<last@elsewhere.test>', 'DATA']);
    session.write('Subject: last\r\n\r\nhalf');
    const began = performance.now();
    const ended = first.terminate();
    session.write(' and half\r\n.\r\n');
    assert.match(await session.reply(), /^250 /);
    const { code, signal } = await ended;
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
    assert.ok(performance.now() - began < 10 * SECOND);
    assert.equal((await readMaildir(path.join(dir, 'data/mail'))).length, 2);
  });

  await t.test('the second start shows no secret, and the first one’s still hold', async () => {
    const second = await Served.start(t, dir);
    for (const secret of [password, token]) assert.ok(!`${second.stdout}${second.stderr}`.includes(secret));
    assert.match(second.stdout, /credentials are in \.\/data\/demo-credentials\.txt/);
    assert.ok((await readFile(path.join(dir, 'data/demo-credentials.txt'), 'utf8')).includes(password));
    const session = await Dialogue.hello(second.port('submission'));
    assert.match(await session.login(DEMO, password), /^235 /);
    await session.quit();
    const senders = await second.api('GET', `/api/v1/senders/account/${DEMO}`, token);
    assert.equal(senders.status, 200);
    assert.equal((await second.terminate()).code, 0);
  });
});

test('SIGTERM with clients that never say another word nor close their side', async (t) => {
  const served = await Served.start(t, await workDir(t));
  const { hostname, port } = new URL(`tcp://127.0.0.1:${served.port('submission')}`);
  const deaf = Array.from({ length: 3 }, () =>
    net.connect({ host: hostname, port: Number(port), allowHalfOpen: true }),
  );
  t.after(() => deaf.forEach((socket) => socket.destroy()));
  const [inData] = deaf;
  await Promise.all(deaf.map((socket) => once(socket, 'data')));
  const login = Buffer.from(`\0${DEMO}\0${served.told('password')}`).toString('base64');
  const commands = [
    'EHLO deaf.test',
    `AUTH PLAIN ${login}`,
    `MAIL FROM:<${DEMO}>`,
    'RCPT TO:<a@x.test>',
    'DATA',
  ];
  for (const command of commands) {
    inData!.write(`${command}\r\n`);
    await once(inData!, 'data');
  }
  const began = performance.now();
  const { code } = await served.terminate();
  const took = performance.now() - began;
  assert.equal(code, 0);
  assert.ok(took < 10 * SECOND, `${Math.round(took)} ms`);
});

test('a configuration that is wrong stops the start with file, line and remedy', async (t) => {
  const dir = await workDir(t);
  for (const [yaml, message] of [
    [
      'smtp:\n  submision:\n    listen: 127.0.0.1:0\n',
      /^.*stopgap\.yaml:2:3: smtp\.submision: unknown key.*submission/m,
    ],
    [
      'smtp:\n  relay: { url: smtp://127.0.0.1:25 }\n  maxRecipients: many\n',
      /stopgap\.yaml:3:18: smtp\.maxRecipients/,
    ],
    ['smtp: [\n', /stopgap\.yaml:2:1/],
    [
      'rules: ./none.yaml\nsmtp:\n  relay: { url: smtp://127.0.0.1:25 }\n',
      /stopgap\.yaml:1:8: rules: .*none\.yaml does not exist/,
    ],
  ] as const) {
    await t.test(JSON.stringify(yaml), async () => {
      await writeFile(path.join(dir, 'stopgap.yaml'), yaml);
      const { code, stderr, stdout } = await Served.run(dir);
      assert.equal(code, 1);
      assert.match(stderr, message);
      assert.ok(!stderr.includes('    at '), 'without a stack trace');
      assert.equal(stdout, '');
    });
  }
});
