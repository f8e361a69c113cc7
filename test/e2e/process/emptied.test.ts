import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { hashPassword } from '../../../src/accounts/passwords.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { Served, workDir } from '../../support/smtp/served.js';

const NAMES = ['alice@example.com', 'bob@example.com', 'carol@example.com'];
const PASSWORD = 'correct-horse-battery-staple';

test('a users file that was emptied refuses no login, until SIGHUP says that it is meant', async (t) => {
  const dir = await workDir(t);
  const file = path.join(dir, 'users.yaml');
  const password = await hashPassword(PASSWORD, { ln: 4, r: 1, p: 1 });
  await writeFile(file, JSON.stringify({ users: NAMES.map((name) => ({ name, password })) }));
  const served = await Served.start(t, dir, { STOPGAP_SMTP_AUTH_USERS: file });
  const logIn = async (): Promise<string> => {
    const session = await Dialogue.hello(served.port('submission'));
    await session.startTls();
    await session.say('EHLO client.test');
    const answer = await session.login(NAMES[0]!, PASSWORD);
    await session.quit();
    return answer;
  };
  assert.match(await logIn(), /^235 /);
  await writeFile(file, '');
  await served.says(/"level":"warn".*"what":"users".*"msg":"a file has lost most of its entries;/);
  assert.match(await logIn(), /^235 /);
  served.child.kill('SIGHUP');
  await served.says(/"what":"users","entries":0,"msg":"a file was read again"/);
  assert.match(await logIn(), /^535 /);
  assert.equal((await served.terminate()).code, 0);
});

test('SIGHUP while it starts does not end it: a restart and a reload may come together', async (t) => {
  const served = Served.begin(t, await workDir(t));
  await served.httpPort();
  served.child.kill('SIGHUP');
  await served.announced();
  await served.says(/"msg":"files are taken over as they are, on SIGHUP"/);
  assert.equal((await served.terminate()).code, 0);
});
