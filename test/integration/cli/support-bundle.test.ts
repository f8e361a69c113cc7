import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { parseTarGzip } from 'nanotar';
import { addToken } from '../../../src/accounts/tokens.js';
import { addUser } from '../../../src/accounts/users.js';
import { writeBundle } from '../../../src/cli/support-bundle/bundle.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { fillDisk } from '../../support/full-disk.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { Terminal } from '../cli-client/support.js';
import { freePort } from '../../support/ports.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

const PASSWORD = 'correct-horse-battery-staple';
const RELAY_PASSWORD = 'relay:p@ss/word';
const REDIS_PASSWORD = 'redis-plugh-pass';
const HEADER = 'collector-xyzzy-key';
const CONTACT = 'helpdesk@example.org';
const NOTICES_PASSWORD = 'notices-frob-pass';
/** Who is told: customers, at addresses of their own. */
const TOLD = [
  'postmaster@hoster.example',
  'noreply@hoster.example',
  'alice@home.example',
  'customer.example',
];
/** Names that must not stand in a bundle with hashed ones. */
const NAMES = [
  'alice@example.com',
  'mallory@example.net',
  'example.net',
  'win-7f3a',
  '192.0.2.77',
  CONTACT,
  'news@example.com',
  ...TOLD,
];

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 2, then: block, for: 1h, description: for alice@example.com }
exempt:
  - { subject: { type: account, value: news@example.com }, reason: weekly mail of news@example.com }
`;

interface Bundle {
  readonly file: string;
  readonly files: Readonly<Record<string, string>>;
  readonly text: string;
  readonly err: string;
}

async function terminalIn(t: TestContext, cwd: string, env: Record<string, string>): Promise<Terminal> {
  const terminal = await Terminal.open(systemClock, env);
  t.after(() => terminal.close());
  return terminal.in(cwd);
}

/** Runs the verb and unpacks what it has made. */
async function bundle(cwd: string, env: Record<string, string>, ...args: string[]): Promise<Bundle> {
  const terminal = await Terminal.open(systemClock, env);
  try {
    const { code, out, err } = await terminal.in(cwd).run('support-bundle', ...args);
    assert.equal(code, 0, err);
    const file = out.trim();
    const entries = await parseTarGzip(readFileSync(file));
    const files = Object.fromEntries(entries.map(({ name, text }) => [name.split('/').at(-1)!, text]));
    assert.equal(new Set(entries.map(({ name }) => name.split('/')[0])).size, 1, 'all in one folder');
    return { file, files, text: entries.map(({ text }) => text).join('\n'), err };
  } finally {
    await terminal.close();
  }
}

interface Installation {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly token: string;
  readonly served: Served;
}

/** A server with passwords in every possible place, a user who sent too much, and a stranger who was refused. */
async function busyInstallation(t: TestContext): Promise<Installation> {
  const cwd = await workDir(t);
  const now = systemClock.now();
  const users = path.join(cwd, 'data', 'users.yaml');
  const tokens = path.join(cwd, 'data', 'tokens.yaml');
  await addUser({ file: users, name: 'alice@example.com', password: PASSWORD, now });
  const token = await addToken({ file: tokens, name: 'me', role: 'admin', now });
  writeFileSync(path.join(cwd, 'rules.yaml'), RULES);
  const [submission, inbound, api] = [await freePort(), await freePort(), await freePort()];
  const config = {
    rules: './rules.yaml',
    api: { listen: `127.0.0.1:${api}` },
    smtp: {
      hostname: 'mx.example.com',
      submission: { listen: `127.0.0.1:${submission}` },
      inbound: { listen: `127.0.0.1:${inbound}`, domains: ['example.com', 'example.net'] },
      relay: { url: 'maildir:./mail' },
      softFail: { contact: CONTACT },
    },
    notices: {
      channels: [
        {
          name: 'mail',
          type: 'mail',
          to: TOLD[0],
          from: TOLD[1],
          domains: TOLD[3],
          owners: `alice@example.com=${TOLD[2]}, ${TOLD[3]}=mallory@example.net`,
          smtp: `smtps://notices:${NOTICES_PASSWORD}@127.0.0.1:${await freePort()}`,
        },
      ],
    },
    tracing: { endpoint: `http://127.0.0.1:${await freePort()}/v1/traces`, headers: `x-key=${HEADER}` },
  };
  writeFileSync(path.join(cwd, 'stopgap.yaml'), JSON.stringify(config, null, 1), { mode: 0o600 });
  const served = await Served.start(t, cwd, {
    STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${submission}`,
    STOPGAP_API_LISTEN: `127.0.0.1:${api}`,
    STOPGAP_LOG_LEVEL: 'trace',
  });
  const alice = await Dialogue.hello(submission, { ehlo: 'win-7f3a' });
  assert.match(await alice.login('alice@example.com', PASSWORD), /^235 /);
  await alice.say('MAIL FROM:<alice@example.com>');
  for (const n of [1, 2, 3]) await alice.say(`RCPT TO:<u${n}@example.org>`);
  await alice.say('DATA');
  assert.match(await alice.say('Subject: x\r\n\r\nx\r\n.'), /^250 /);
  await alice.say('MAIL FROM:<alice@example.com>');
  assert.match(await alice.say('RCPT TO:<u4@example.org>'), /^451 /, 'alice is blocked');
  await alice.quit();
  for (const [type, value] of [
    ['ip', '192.0.2.77'],
    ['account', 'mallory@example.net'],
  ]) {
    const body = { subject: { type, value }, duration: '1h', description: `seen: ${value}` };
    assert.equal((await served.api('POST', '/api/v1/blocks', token, body)).status, 201);
  }
  // What the server needs not to have, so that everything is found in one configuration.
  const env = {
    STOPGAP_TOKEN: token,
    STOPGAP_SMTP_RELAY_URL: `smtps://relay-user:${encodeURIComponent(RELAY_PASSWORD)}@127.0.0.1:${await freePort()}`,
    STOPGAP_REDIS: `redis://:${REDIS_PASSWORD}@127.0.0.1:${await freePort()}`,
  };
  return { cwd, env, token, served };
}

describe('stopgap support-bundle', () => {
  test('stopgap support-bundle holds what helps, and no secrets or names', async (t) => {
    const { cwd, env, token } = await busyInstallation(t);
    const made = await bundle(cwd, env);
    assert.deepEqual(Object.keys(made.files).sort(), [
      'README.txt',
      'configuration.json',
      'doctor.json',
      'log.ndjson',
      'metrics.txt',
      'rules.json',
      'store.json',
      'versions.json',
    ]);
    assert.match(path.basename(made.file), /^stopgap-support-\d{8}T\d{6}Z\.tar\.gz$/);
    assert.equal(statSync(made.file).mode & 0o777, 0o600);
    for (const secret of [
      PASSWORD,
      RELAY_PASSWORD,
      encodeURIComponent(RELAY_PASSWORD),
      REDIS_PASSWORD,
      NOTICES_PASSWORD,
      HEADER,
      token,
    ]) {
      assert.ok(!made.text.includes(secret), `${secret} stands in the bundle`);
    }
    assert.ok(!/scrypt|sha256:/.test(made.text), 'no hash of a password or a token either');
    for (const name of NAMES)
      assert.ok(!made.text.toLowerCase().includes(name), `${name} stands in the bundle`);

    const {
      'doctor.json': doctor,
      'log.ndjson': log,
      'metrics.txt': metrics,
      'store.json': store,
    } = made.files;
    const json = <T>(name: string): T => JSON.parse(made.files[name]!) as T;
    assert.match(metrics!, /^# TYPE stopgap_/m);
    assert.ok(doctor!.includes('"check": "upstream"'));
    assert.match(
      json<{ libraries: Record<string, string> }>('versions.json').libraries['pino']!,
      /^\d+\.\d+/,
    );
    const { counts } = JSON.parse(store!) as { counts: { types: Record<string, number> } };
    assert.equal(counts.types['BlockImposed'], 3);
    assert.equal(json<{ rules: { limit: number }[] }>('rules.json').rules[0]!.limit, 2);
    assert.equal(json<{ smtp: { maxRecipients: number } }>('configuration.json').smtp.maxRecipients, 100);

    // The verdict is there, and the holder of the key can find alice in it.
    const verdict = log!
      .split('\n')
      .filter((line) => line.includes('"a rule tripped"'))
      .map((line) => JSON.parse(line) as { subject: { value: string }; sentence: string })[0]!;
    const terminal = await terminalIn(t, cwd, env);
    const hash = (await terminal.run('log', 'hash', 'alice@example.com')).out.split('\n')[1]!.split(' ')[0]!;
    assert.equal(verdict.subject.value, hash);
    assert.equal(verdict.sentence, `Account ${hash}: 3 recipients within 10m; rule "burst" allows 2.`);
    assert.match(made.files['README.txt']!, /Look through it before you send it/);
    assert.match(made.err, /Look through it before you send it/);
  });

  test('stopgap support-bundle holds names if asked for, and still no secret', async (t) => {
    const { cwd, env, token } = await busyInstallation(t);
    const out = path.join(cwd, 'bundle.tgz');
    const made = await bundle(cwd, env, '--addresses', 'plain', '--out', out);
    assert.equal(made.file, out);
    for (const name of ['alice@example.com', 'news@example.com', CONTACT, ...TOLD])
      assert.ok(made.text.includes(name), name);
    for (const secret of [PASSWORD, RELAY_PASSWORD, REDIS_PASSWORD, NOTICES_PASSWORD, HEADER, token])
      assert.ok(!made.text.includes(secret));
    assert.match(made.files['README.txt']!, /stand in it as they are/);
    const terminal = await terminalIn(t, cwd, env);
    const again = await terminal.run('support-bundle', '--out', out);
    assert.equal(again.code, 1);
    assert.match(again.err, /bundle\.tgz exists already; name another file with --out/);
    const nowhere = await terminal.run('support-bundle', '--out', 'no/such/bundle.tgz');
    assert.match(
      nowhere.err,
      /^stopgap: \S+no\/such\/bundle\.tgz is in a folder that does not exist; name another file with --out$/m,
    );
  });

  test('stopgap support-bundle leaves no half of a file on a full disk, which would be in the way of the next try', async (t) => {
    const file = path.join(temporaryDirectory(t), 'bundle.tgz');
    await fillDisk(t);
    await assert.rejects(writeBundle(file, [], { addresses: 'hashed' }, 0), {
      message: `${file} finds no room on its disk; name another file with --out`,
    });
    assert.equal(existsSync(file), false);
  });

  test('stopgap support-bundle holds what is on the disk after the end of the server, and says why the rest is missing', async (t) => {
    const { cwd, env, served } = await busyInstallation(t);
    await served.terminate();
    const file = path.join(cwd, 'data', 'stopgap.log');
    const line = {
      level: 'error',
      component: 'smtp',
      account: 'alice@example.com',
      msg: 'an SMTP command failed',
    };
    writeFileSync(file, `${JSON.stringify(line)}\n{"cut off`);
    const made = await bundle(cwd, { ...env, STOPGAP_LOG_FILE: file });
    assert.equal(made.files['metrics.txt'], undefined);
    assert.match(made.files['README.txt']!, /metrics\.txt {9}not here: no Stopgap answers at/);
    assert.match(made.err, /metrics\.txt {9}not there: no Stopgap answers/);
    assert.match(
      made.files['log.ndjson']!,
      /^\{.*"account":"h:[0-9a-f]{16}","msg":"an SMTP command failed"\}\n$/,
    );
    const rules = JSON.parse(made.files['rules.json']!) as {
      from: string;
      exempt: { subject: { value: string } }[];
    };
    assert.match(rules.from, /rules\.yaml$/);
    assert.match(rules.exempt[0]!.subject.value, /^h:/);
    assert.match(made.files['store.json']!, /"BlockImposed": 3/);
  });

  test('stopgap support-bundle holds versions, configuration and findings before the first start', async (t) => {
    const cwd = await workDir(t);
    const env = {
      STOPGAP_SMTP_SUBMISSION_LISTEN: '127.0.0.1:0',
      STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}`,
    };
    const made = await bundle(cwd, env);
    assert.deepEqual(Object.keys(made.files).sort(), [
      'README.txt',
      'configuration.json',
      'doctor.json',
      'store.json',
      'versions.json',
    ]);
    assert.match(made.files['README.txt']!, /log\.ndjson {10}not here: no token: set STOPGAP_TOKEN/);
    assert.match(made.files['store.json']!, /not counted: there is none yet/);
    assert.ok(existsSync(path.join(cwd, 'data', 'log-key')), 'so that the hashes can be told afterwards');
  });
});
