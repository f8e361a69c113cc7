import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { addToken } from '../../../src/accounts/tokens.js';
import { addUser } from '../../../src/accounts/users.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { freePort } from '../../support/ports.js';
import { PROGRAM } from '../../support/program.js';

const ALICE = 'alice@example.com';
/** A login that does not look like an address. */
const DESK = 'frontdesk';
const SECRETS = {
  password: 'correct-horse-battery-staple',
  wrong: 'not-the-pass-word-at-all',
  relay: 'relay-plugh-xyzzy',
  changed: 'a-new-pass-phrase-for-alice',
  forgedToken: 'sgp_this-is-nobodys-token-0123456789abcdefghi',
  key: 'idempotency-of-mine-42',
};
/** Names that a log with hashed names must not contain. */
const NAMES = [
  ALICE,
  DESK,
  'example.com',
  'win-7f3a',
  'thief.example',
  '192.0.2.77',
  'stranger@',
  'nobody-here',
];

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 2, then: block, for: 1h }
`;

interface Session {
  readonly served: Served;
  readonly cwd: string;
  /** Everything that anybody could read: both streams of the server, its file, its API, the command line. */
  readonly output: () => string;
  /** Lines of the log. */
  readonly lines: () => readonly Record<string, unknown>[];
  readonly secrets: readonly string[];
}

/** Everything that a day brings: mail, thieves, typing errors, administrators, and an upstream that goes away. */
async function session(t: TestContext, env: Readonly<Record<string, string>>): Promise<Session> {
  const cwd = await workDir(t);
  const now = systemClock.now();
  const users = path.join(cwd, 'data', 'users.yaml');
  for (const name of [ALICE, DESK]) await addUser({ file: users, name, password: SECRETS.password, now });
  const token = await addToken({
    file: path.join(cwd, 'data', 'tokens.yaml'),
    name: 'me',
    role: 'admin',
    now,
  });
  writeFileSync(path.join(cwd, 'rules.yaml'), RULES);
  const upstream = await FakeUpstream.start({ offers: ['PIPELINING', 'AUTH PLAIN'] });
  t.after(() => upstream.stop());
  upstream.script.RCPT = (line) =>
    line.includes('nobody-here') ? '550 5.1.1 <nobody-here@example.org> unknown' : undefined;
  const [submission, inbound, api] = [await freePort(), await freePort(), await freePort()];
  const config = {
    rules: './rules.yaml',
    log: { level: 'trace', file: './data/stopgap.log' },
    api: { listen: `127.0.0.1:${api}` },
    smtp: {
      hostname: 'mx.example.net',
      submission: { listen: `127.0.0.1:${submission}` },
      inbound: { listen: `127.0.0.1:${inbound}`, domains: ['example.com'] },
      relay: { url: upstream.url('', `relay-user:${SECRETS.relay}@`) },
    },
  };
  writeFileSync(path.join(cwd, 'stopgap.yaml'), JSON.stringify(config));
  const served = await Served.start(t, cwd, {
    STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${submission}`,
    STOPGAP_API_LISTEN: `127.0.0.1:${api}`,
    ...env,
  });
  const shown: string[] = [];
  const stopgap = async (
    args: readonly string[],
    more: Record<string, string> = {},
    input = '',
  ): Promise<void> => {
    const variables = { PATH: process.env['PATH'], STOPGAP_TOKEN: token, ...more };
    const child = spawn(process.execPath, [PROGRAM, ...args], { cwd, env: variables });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => shown.push(chunk.toString()));
    child.stdin.end(input);
    await once(child, 'close');
  };
  let asked = 0;
  const ask = async (...[method, resource, body]: [string, string, unknown?]): Promise<void> => {
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'idempotency-key': `${SECRETS.key}-${++asked}`,
    };
    const url = `http://127.0.0.1:${api}${resource}`;
    const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
    shown.push(await (await fetch(url, init)).text());
  };

  const door = (ehlo = 'win-7f3a'): Promise<Dialogue> => Dialogue.hello(submission, { ehlo });
  // Logins: right, wrong, by a stranger, malformed, in steps, for somebody else.
  const thief = await door();
  await thief.login(ALICE, SECRETS.wrong);
  await thief.login('stranger@thief.example', SECRETS.wrong);
  await thief.say(`AUTH PLAIN ${SECRETS.wrong}`);
  await thief.loginInSteps(ALICE, SECRETS.wrong);
  await thief.login(ALICE, SECRETS.password, 'admin');
  thief.vanish();
  // Mail until a rule trips, and after that.
  const alice = await door();
  assert.match(await alice.login(ALICE, SECRETS.password), /^235 /);
  await alice.send('somebody@thief.example', ['u0@example.org']);
  await alice.send(ALICE, ['nobody-here@example.org']);
  await alice.say('RSET');
  assert.match(await alice.send(ALICE, ['u1@example.org', 'u2@example.org', 'u3@example.org']), /^250 /);
  assert.match(await alice.send(ALICE, ['u4@example.org']), /^451 /);
  await alice.quit();
  const back = await door();
  assert.match(await back.login(ALICE, SECRETS.password), /^535 /, 'refused softly');
  back.vanish();
  const blockCommands = await door();
  assert.match(await blockCommands.login(DESK, SECRETS.password), /^235 /);
  await blockCommands.send('', ['u1@example.org']);
  await upstream.stopListening();
  await blockCommands.send('', ['u1@example.org']);
  await blockCommands.quit();
  const stranger = await Dialogue.hello(inbound, { ehlo: 'mail.thief.example' });
  await stranger.send('stranger@thief.example', ['bob@elsewhere.example']);
  await stranger.quit();
  // Administrators, by HTTP and by the command line, with tokens right and wrong.
  for (const [type, value] of [
    ['account', DESK],
    ['domain', 'thief.example'],
    ['ip', '192.0.2.77'],
  ])
    await ask('POST', '/api/v1/blocks', {
      subject: { type, value },
      duration: '1s',
      description: 'for a second',
    });
  await ask('GET', `/api/v1/check?account=${ALICE}`);
  await ask('GET', '/healthz');
  await ask('GET', '/metrics');
  await fetch(`http://127.0.0.1:${api}/api/v1/blocks`, {
    headers: { authorization: `Bearer ${SECRETS.forgedToken}` },
  });
  await ask('PUT', '/api/v1/rules', { source: RULES.replace('limit: 2', 'limit: 3') });
  const answered = shown.length;
  await stopgap(['user', 'passwd', ALICE, '--password-stdin'], {}, SECRETS.changed);
  await stopgap(['block', 'list', '--state', 'all'], { STOPGAP_TOKEN: SECRETS.forgedToken });
  await stopgap(['log', 'show', '--limit', '2000']);
  await stopgap(['doctor']);
  served.child.kill('SIGUSR2');
  await eventually('the level was changed', () => served.stderr.includes('signal:SIGUSR2'));
  await eventually('what was blocked for a second ran out', () => served.stderr.includes('BlockExpired'));
  // A mistake in a file; its message names the user.
  writeFileSync(users, `users: [{ name: ${DESK} }, { name: ${DESK} }]\n`);
  await eventually('the broken file was refused', () => served.stderr.includes('a file was refused'));
  await served.terminate();
  const file = (): string => readFileSync(path.join(cwd, 'data', 'stopgap.log'), 'utf8');
  return {
    served,
    cwd,
    output: () => [served.stdout, served.stderr, file(), ...shown].join('\n'),
    lines: () =>
      [
        ...served.stderr.split('\n').filter((line) => line.startsWith('{')),
        ...shown
          .slice(answered)
          .flatMap((text) => text.split('\n').filter((line) => line.startsWith('{"level"'))),
      ].map((line) => JSON.parse(line) as Record<string, unknown>),
    secrets: [...Object.values(SECRETS), token],
  };
}

/** As a protocol writes it, as a library does, and as base64 in each of its three phases. */
function forms(secret: string): readonly string[] {
  const phases = [0, 1, 2].map((skipped) =>
    Buffer.from(`${'\0'.repeat(skipped)}${secret}`)
      .toString('base64')
      .slice(4, -4),
  );
  return [secret, encodeURIComponent(secret), Buffer.from(secret).toString('hex'), ...phases];
}

test('a day at trace level', async (t) => {
  const one = await session(t, {});
  await t.test('no password, token or key is in anything that can be read', () => searchForSecrets(one));
  await t.test('each decision has one line, with what it goes back to', () => lookForDecisions(one));
});

function searchForSecrets({ output, secrets, lines }: Session): void {
  const all = output();
  assert.ok(all.includes(ALICE) && lines().length > 20, 'there is something to search');
  for (const secret of secrets)
    for (const form of forms(secret)) assert.ok(!all.includes(form), `${secret} stands there as ${form}`);
  assert.ok(!/scrypt\$|sha256:/.test(all), 'nor a hash of one');
}

function lookForDecisions({ lines }: Session): void {
  const of = (msg: string): readonly Record<string, unknown>[] =>
    lines().filter((line) => line['msg'] === msg);
  const [verdict, ...others] = of('a rule tripped');
  assert.equal(others.length, 0);
  assert.equal(verdict!['outcome'], 'BlockImposed');
  assert.match(String(verdict!['correlation']), /^event:\d+$/);
  assert.deepEqual(verdict!['subject'], { type: 'account', value: ALICE });
  const refused = of('a blocked sender was refused').map(({ stage, block }) => ({ stage, block }));
  assert.deepEqual(refused, [
    { stage: 'rcpt', block: verdict!['block'] },
    { stage: 'auth', block: verdict!['block'] },
  ]);
  assert.deepEqual(
    of('an administrator decided').map(({ outcome, by }) => [outcome, by]),
    Array(3).fill(['BlockImposed', 'admin:me']),
  );
  for (const { correlation } of of('an administrator decided'))
    assert.match(String(correlation), /^request:/);
  assert.equal(of('an administrator changed the rules').length, 1);
  assert.ok(of('a block or proposal ran out').length >= 1);
  for (const { correlation } of of('a block or proposal ran out'))
    assert.match(String(correlation), /^event:\d+$/);
  assert.ok(of('a login failed').length >= 1);
}

test('no name is in the log if addresses are hashed, from any source', async (t) => {
  const { served, cwd, lines } = await session(t, { STOPGAP_LOG_ADDRESSES: 'hashed' });
  const all = [served.stderr, readFileSync(path.join(cwd, 'data', 'stopgap.log'), 'utf8')].join('\n');
  for (const name of NAMES) {
    const line = all.split('\n').find((one) => one.toLowerCase().includes(name));
    assert.equal(line, undefined, `${name} is named`);
  }
  const verdict = lines().find((line) => line['msg'] === 'a rule tripped')!;
  const { value } = verdict['subject'] as { value: string };
  assert.match(value, /^h:[0-9a-f]{16}$/);
  assert.equal(verdict['sentence'], `Account ${value}: 3 recipients within 10m; rule "burst" allows 2.`);
  const refused = lines().find((line) => line['msg'] === 'a blocked sender was refused')!;
  assert.deepEqual([refused['account'], refused['returnPath']], [value, value], 'one name, one hash');
  const file = lines().find((line) => line['what'] === 'users' && 'faults' in line)!;
  assert.match(String(file['faults']), /^\S+users\.yaml:1:\d+(; \S+:1:\d+)*$/);
});
