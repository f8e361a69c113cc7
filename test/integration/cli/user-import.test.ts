import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'node:test';
import { PasswordChecker } from '../../../src/accounts/passwords.js';
import { readUsers } from '../../../src/accounts/users.js';
import type { CliIo } from '../../../src/cli/io.js';
import { run } from '../../../src/cli/program.js';
import { userVerb } from '../../../src/cli/user.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

interface Given {
  readonly cwd: string;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

async function stopgap({ cwd, input = '', env = {} }: Given, ...args: string[]) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const [out, err]: [string[], string[]] = [[], []];
  stdout.on('data', (chunk: Buffer) => out.push(chunk.toString()));
  stderr.on('data', (chunk: Buffer) => err.push(chunk.toString()));
  stdin.end(input);
  const io = {
    stdin: stdin as unknown as CliIo['stdin'],
    stdout,
    stderr,
    cwd,
    // Nobody listens there: a server that happens to run on this machine is none of these.
    env: { STOPGAP_API_LISTEN: '127.0.0.1:1', ...env },
    clock: { now: () => Date.parse('2026-01-02T03:04:05Z') },
  };
  const code = await run(args, io, [userVerb]);
  stdout.end();
  stderr.end();
  await Promise.all([once(stdout, 'end'), once(stderr, 'end')]);
  return { code, out: out.join(''), err: err.join('') };
}

async function isRight(file: string, name: string, password: string): Promise<boolean> {
  return new PasswordChecker().verify((await readUsers(file)).get(name)?.password, password);
}

const inData = (cwd: string, name: string): string => path.join(cwd, 'data', name);

/** Of the password sesame. */
const SESAME = {
  bcrypt: '$2b$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW',
  ssha: '{SSHA256}CWRONBBCCAwyecjgu0Xe0XlSRwNchJ4j/XtVfMANIgBzYWx0c2FsdA==',
};

test('the users of a passwd-file are added with their hashes, those that are there stay as they are', async (context) => {
  const cwd = temporaryDirectory(context);
  const file = inData(cwd, 'users.yaml');
  await stopgap({ cwd, input: 'of her own' }, 'user', 'add', 'anna@example.com', '--password-stdin');
  writeFileSync(
    path.join(cwd, 'users'),
    [
      '# of the old server',
      '',
      `Anna@example.com:${SESAME.ssha}:1000:1000::/home/anna::`,
      `bob@example.com:${SESAME.ssha}:1000:1000:Bob:/home/bob:/bin/false:userdb_quota_rule=*:storage=1G`,
      `carl:${SESAME.bcrypt}`,
    ].join('\r\n'),
  );
  const result = await stopgap({ cwd }, 'user', 'import', 'users');
  assert.deepEqual(result, { code: 0, out: '', err: `added 2 to ${file}; 1 were there already\n` });
  assert.ok(await isRight(file, 'anna@example.com', 'of her own'));
  assert.ok(await isRight(file, 'bob@example.com', 'sesame'));
  assert.ok(await isRight(file, 'carl', 'sesame'));
  assert.ok(!(await isRight(file, 'carl', 'sesam')));
  const before = readFileSync(file, 'utf8');
  assert.match(
    (await stopgap({ cwd }, 'user', 'import', 'users')).err,
    /^added 0 to .*; 3 were there already/,
  );
  assert.equal(readFileSync(file, 'utf8'), before);
  await stopgap({ cwd, input: 'another' }, 'user', 'passwd', 'bob@example.com', '--password-stdin');
  assert.ok(await isRight(file, 'bob@example.com', 'another'), 'imported users are users like any other');
});

test('an import leaves out each user whose login Dovecot refuses, lets in or gives to another by an extra field', async (context) => {
  const cwd = temporaryDirectory(context);
  for (const field of [
    'allow_nets=192.0.2.0/24',
    'allow_real_nets=192.0.2.0/24',
    'check_client_fp=ab',
    'deny=yes',
    'fail=yes',
    'fail',
    'fail:default=yes',
    'nologin',
    'nologin=yes',
    'delay_until=9999999999',
    'password={SSHA}AAAA',
    'password_noscheme=AAAA',
    'nopassword',
    'noauthenticate',
    'reason=gone',
    'user=bob',
    'username=bob',
    'domain=example.org',
    'login_user=bob',
    'passdb_import=fail',
    'proxy',
    'proxy_maybe=y',
    'host=192.0.2.1',
    'userdb_user=bob',
    'userdb_username:default=bob',
    'userdb_domain=example.org',
    'userdb_tempfail=yes',
    'userdb_userdb_import=tempfail',
  ]) {
    const line = `ida:${SESAME.ssha}::::::userdb_x=1  ${field} nodelay\n`;
    writeFileSync(path.join(cwd, 'users'), line);
    const { code, err } = await stopgap({ cwd }, 'user', 'import', 'users');
    assert.equal(code, 1, field);
    assert.ok(err.includes(`users:1: ida: has ${field.split('=')[0]!}, which Stopgap does not heed`), err);
    assert.doesNotMatch(err, /AAAA|9999/, 'its value may be a hash');
  }
  assert.equal(existsSync(inData(cwd, 'users.yaml')), false);
});

test('an import shows nothing of an extra field that is not known, since it may be a piece of a hash or a password', async (context) => {
  const cwd = temporaryDirectory(context);
  for (const odd of [
    '{SSHA}AAAA==',
    '$2y$10$AAAA',
    `${'A'.repeat(86)}`,
    '=AAAA',
    'caf\u00e9=AAAA',
    'AAAAsecret',
    'AAAAsecret=',
    'AAAA_2031=yes',
    'mailAAAA=x',
    'failAAAA',
  ]) {
    writeFileSync(path.join(cwd, 'users'), `ida:${SESAME.ssha}::::::userdb_x=1  ${odd}\n`);
    const { code, err } = await stopgap({ cwd }, 'user', 'import', 'users');
    assert.equal(code, 1);
    assert.match(err, /users:1: ida: has an extra field that is not known \(number 2\), which Stopgap does/);
    assert.ok(!err.includes('AAAA'), err);
  }
});

test('an import takes users whose extra fields change nothing of the login', async (context) => {
  const cwd = temporaryDirectory(context);
  const harmless = [
    'userdb_quota_rule=*:storage=1G',
    'userdb_mail=mdbox:~/mail',
    'userdb_quota/Mail_quota/size=1G',
    'userdb_user_x=1',
    'quota_rule=*:storage=1G',
    'mail=maildir:~/Maildir',
    'home=/srv/x',
    'uid=1000',
    'gid=1000',
    'nodelay',
    'nodelay=y',
    'event_tenant=7',
    'forward_tenant=7',
  ];
  writeFileSync(path.join(cwd, 'users'), `ida:${SESAME.ssha}::::::${harmless.join(' ')} \n`);
  const { code, err } = await stopgap({ cwd }, 'user', 'import', 'users');
  assert.equal(code, 0, err);
  assert.match(err, /^added 1 to /);
});

test('an import goes by the first line of a user, as Dovecot does, also where that line is left out', async (context) => {
  const cwd = temporaryDirectory(context);
  const lines = [`ida:${SESAME.ssha}::::::fail`, `ida:${SESAME.ssha}`, `Ida:${SESAME.bcrypt}`, 'jan:*'];
  writeFileSync(path.join(cwd, 'users'), `${lines.join('\n')}\njan:${SESAME.bcrypt}\n`);
  const { code, err } = await stopgap({ cwd }, 'user', 'import', 'users', '--skip');
  assert.equal(code, 0);
  assert.match(err, /users:1: ida: has fail/);
  for (const told of ['2: ida', '5: jan'])
    assert.ok(err.includes(`users:${told} is in an earlier line too`), err);
  assert.ok(err.includes('users:3: ida is in line 1, in lower case'), err);
  assert.match(err, /added 0 to .*; 5 left out/);
});

test('an import takes the line of a user in lower case, wherever it is, since Dovecot looks that name up', async (context) => {
  const cwd = temporaryDirectory(context);
  const other = '{SSHA256}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaBzYWx0c2FsdA==';
  const lines = [`Bob:${other}`, 'BOB:*', `bob:${SESAME.ssha}`, `Carl:${SESAME.ssha}`, `Carl:${other}`];
  writeFileSync(path.join(cwd, 'users'), lines.join('\n'));
  const { code, err } = await stopgap({ cwd }, 'user', 'import', 'users', '--skip');
  assert.equal(code, 0, err);
  for (const told of [
    '1: bob is in line 3, in lower case',
    '2: bob is in line 3',
    '5: carl is in an earlier line',
  ])
    assert.ok(err.includes(`users:${told}`), err);
  assert.match(err, /added 2 to .*; 3 left out/);
  const file = inData(cwd, 'users.yaml');
  assert.ok(await isRight(file, 'bob', 'sesame'));
  assert.ok(await isRight(file, 'carl', 'sesame'));
});

test('an import shows nothing of a hash whose line was broken', async (context) => {
  const cwd = temporaryDirectory(context);
  const broken = ['ida:{SSHA256}aaaa', 'restofhash==:1000:1000::/home/ida', 'lonerest', 'lonerest'];
  writeFileSync(path.join(cwd, 'users'), broken.join('\n'));
  const { err } = await stopgap({ cwd }, 'user', 'import', 'users', '--skip');
  assert.match(err, /users:2: this user: .*users:4: has no password/s);
  assert.doesNotMatch(err, /rest/);
});

test('an import takes no line of a user who is there in several spellings of which none is in lower case', async (context) => {
  const cwd = temporaryDirectory(context);
  const lines = [`Bob:${SESAME.ssha}`, `BOB:${SESAME.bcrypt}`, `Bob:${SESAME.bcrypt}`, `ida:${SESAME.ssha}`];
  writeFileSync(path.join(cwd, 'users'), lines.join('\n'));
  const { code, err } = await stopgap({ cwd }, 'user', 'import', 'users', '--skip');
  assert.equal(code, 0, err);
  for (const line of [1, 2, 3])
    assert.ok(err.includes(`users:${line}: bob is there in several spellings, and none in lower case`), err);
  assert.match(err, /added 1 to .*; 3 left out/);
});

test('an import names no scheme that Dovecot has not, since a password may be in braces', async (context) => {
  const cwd = temporaryDirectory(context);
  writeFileSync(path.join(cwd, 'users'), 'ida:{hunter2}\n');
  const { err } = await stopgap({ cwd }, 'user', 'import', 'users');
  assert.match(err, /users:1: ida: its scheme cannot be verified here; there are BLF-CRYPT/);
  assert.doesNotMatch(err, /hunter2/i);
});

test('an import that has a line which cannot be taken over adds nothing, and names each', async (context) => {
  const cwd = temporaryDirectory(context);
  const file = inData(cwd, 'users.yaml');
  const lines = [
    `bob:${SESAME.ssha}`,
    'carl:{PLAIN}sesame',
    'dora',
    'emil:',
    `bob:${SESAME.bcrypt}`,
    `two words:${SESAME.ssha}`,
    `fred:${SESAME.ssha}::::::allow_nets=192.0.2.0/24`,
    `gina:${SESAME.ssha}::::::nologin`,
    `hugo:{BLF-CRYPT}$2y$31$${'a'.repeat(53)}`,
  ];
  const odd = Buffer.concat([Buffer.from(`${lines.join('\n')}\nj\u00fcrg:`), Buffer.from([0xe9, 0x0a])]);
  writeFileSync(path.join(cwd, 'users'), odd);
  const refused = await stopgap({ cwd }, 'user', 'import', 'users');
  assert.equal(refused.code, 1);
  assert.equal(existsSync(file), false);
  assert.match(refused.err, /nothing was added; --skip adds the other users/);
  for (const told of [
    /users:2: carl: the scheme \{PLAIN\} cannot be verified here; there are BLF-CRYPT/,
    /users:3: has no password; the form is user:\{SCHEME\}hash/,
    /users:4: this user: has an empty password/,
    /users:5: bob is in an earlier line too/,
    /users:6: the user name must hold no spaces/,
    /users:7: fred: has allow_nets, which Stopgap does not heed/,
    /users:8: gina: has nologin/,
    /users:9: hugo: has cost 31; 4 to 15 is taken/,
    /users:10: is not UTF-8/,
  ])
    assert.match(refused.err, told);
  assert.doesNotMatch(refused.err, /sesame|aaaa|dora/, 'a lone word may be the rest of a hash');
  const skipped = await stopgap({ cwd }, 'user', 'import', 'users', '--skip');
  assert.equal(skipped.code, 0);
  assert.match(skipped.err, /added 1 to .*; 9 left out\n$/);
  assert.match(skipped.err, /warning: users:2: carl/);
  assert.ok(await isRight(file, 'bob', 'sesame'));
  assert.match(
    (await stopgap({ cwd }, 'user', 'import', 'nothing')).err,
    /nothing does not exist; name a file of users/,
  );
});

test('who changes the users is told that nobody asks for them, where another back end checks logins', async (context) => {
  const cwd = temporaryDirectory(context);
  const env = { STOPGAP_SMTP_AUTH_BACKEND: 'dovecot', STOPGAP_SMTP_RELAY_URL: 'smtp://127.0.0.1:9' };
  const added = await stopgap(
    { cwd, env, input: 'correct horse' },
    'user',
    'add',
    'anna',
    '--password-stdin',
  );
  assert.equal(added.code, 0);
  assert.match(added.err, /^warning: smtp\.auth\.backend is dovecot: nobody asks .*users\.yaml\n/);
});
