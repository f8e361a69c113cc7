import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'node:test';
import type { TestContext } from 'node:test';
import { directoryId } from '../../../src/accounts/private-file.js';
import { PasswordChecker } from '../../../src/accounts/passwords.js';
import { addPasskey, readAdmins } from '../../../src/accounts/admins.js';
import { readTokens } from '../../../src/accounts/tokens.js';
import { readUsers } from '../../../src/accounts/users.js';
import type { CliIo } from '../../../src/cli/io.js';
import type { Verb } from '../../../src/cli/program.js';
import { run } from '../../../src/cli/program.js';
import { adminVerb } from '../../../src/cli/admin.js';
import { tokenVerb } from '../../../src/cli/token.js';
import { userVerb } from '../../../src/cli/user.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';
import { PROGRAM } from '../../support/program.js';

/** Where no server listens: one that the developer runs must not be asked. */
const NOBODY = '127.0.0.1:1';

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Standard input that is a terminal, or a pipe; tells how the terminal was set while keys came. */
class FakeStdin extends PassThrough {
  isRaw = false;

  constructor(readonly isTTY: boolean) {
    super();
  }

  setRawMode(raw: boolean): this {
    this.isRaw = raw;
    return this;
  }
}

interface Given {
  readonly cwd: string;
  readonly input?: string | Buffer;
  /** Keys, typed one after the other each time a prompt ends in `: `. */
  readonly typed?: readonly string[];
  readonly env?: Record<string, string>;
  readonly verbs?: readonly Verb[];
}

async function stopgap(given: Given, ...args: string[]): Promise<Result> {
  const stdin = new FakeStdin(given.typed !== undefined);
  const typed = [...(given.typed ?? [])];
  const out: string[] = [];
  const err: string[] = [];
  let echoes = false;
  const stderr = new PassThrough().on('data', (chunk: Buffer) => {
    err.push(chunk.toString());
    if (!chunk.toString().endsWith(': ')) return;
    echoes ||= !stdin.isRaw;
    const keys = typed.shift();
    if (keys !== undefined) stdin.write(keys);
  });
  const stdout = new PassThrough().on('data', (chunk: Buffer) => out.push(chunk.toString()));
  if (given.typed === undefined) stdin.end(given.input ?? '');
  const io: CliIo = {
    stdin: stdin as unknown as CliIo['stdin'],
    stdout,
    stderr,
    // Nobody listens there: a server that happens to run on this machine is none of these.
    env: { STOPGAP_API_LISTEN: NOBODY, ...given.env },
    cwd: given.cwd,
    clock: { now: () => Date.parse('2026-01-02T03:04:05Z') },
  };
  const code = await run(args, io, given.verbs ?? [userVerb, tokenVerb, adminVerb]);
  assert.equal(echoes, false, 'no key is echoed');
  assert.equal(stdin.isRaw, false, 'the terminal is given back');
  stdout.end();
  stderr.end();
  await Promise.all([once(stdout, 'end'), once(stderr, 'end')]);
  return { code, out: out.join(''), err: err.join('') };
}

async function isRight(file: string, name: string, password: string): Promise<boolean> {
  return new PasswordChecker().verify((await readUsers(file)).get(name)?.password, password);
}

/** Nobody's id on this machine: what a service has. */
const SERVICE = 54_321;

const inData = (cwd: string, name: string): string => path.join(cwd, 'data', name);

test('a user is added, listed, changed and removed, without a configuration file', async (context) => {
  const cwd = temporaryDirectory(context);
  const file = inData(cwd, 'users.yaml');
  const added = await stopgap(
    { cwd, input: 'correct horse\n' },
    'user',
    'add',
    'Anna@Example.com',
    '--password-stdin',
  );
  assert.deepEqual(added, { code: 0, out: '', err: `added anna@example.com to ${file}\n` });
  assert.ok(await isRight(file, 'anna@example.com', 'correct horse'));
  const listed = await stopgap({ cwd }, 'user', 'list');
  assert.deepEqual(listed, {
    code: 0,
    out: 'NAME              STATE    ADDED\nanna@example.com  enabled  2026-01-02T03:04:05.000Z\n',
    err: '',
  });
  const json = await stopgap({ cwd }, 'user', 'list', '--json');
  assert.deepEqual(JSON.parse(json.out), [
    { name: 'anna@example.com', disabled: false, addedAt: '2026-01-02T03:04:05.000Z' },
  ]);
  await stopgap({ cwd, input: 'battery staple' }, 'user', 'passwd', 'anna@example.com', '--password-stdin');
  assert.ok(await isRight(file, 'anna@example.com', 'battery staple'));
  assert.equal((await stopgap({ cwd }, 'user', 'remove', 'anna@example.com')).code, 0);
  assert.equal((await readUsers(file)).size, 0);
});

test('a password is asked for twice, unseen, with keys that correct it', async (context) => {
  const cwd = temporaryDirectory(context);
  const file = inData(cwd, 'users.yaml');
  const typed = ['wrong\u0015correct horsx\u007fe\r', 'correct horse\n'];
  const result = await stopgap({ cwd, typed }, 'user', 'add', 'anna');
  assert.equal(result.code, 0);
  assert.equal(result.err, `Password: \nAgain: \nadded anna to ${file}\n`);
  assert.ok(await isRight(file, 'anna', 'correct horse'));
  const ahead = await stopgap({ cwd, typed: ['correct horse\rcorrect horse\r'] }, 'user', 'add', 'bob');
  assert.equal(ahead.code, 0, 'both may be pasted at once');
  const split = await stopgap({ cwd, typed: ['correct horse\r', 'correct horses\r'] }, 'user', 'add', 'carl');
  assert.equal(split.code, 1);
  assert.match(split.err, /\nstopgap: the two passwords differ\n$/);
  for (const key of ['\u0003', '\u0004']) {
    const given = await stopgap({ cwd, typed: [`corr${key}`] }, 'user', 'add', 'dora');
    assert.equal(given.code, 1);
    assert.match(given.err, /stopgap: no password was given\n$/);
  }
  assert.deepEqual([...(await readUsers(file)).keys()], ['anna', 'bob']);
});

const PASSWORD_FAULTS: Array<[name: string, input: string | Buffer, says: RegExp]> = [
  ['empty', '', /the password is empty/],
  ['of two lines', 'a\nb\n', /more than one line/],
  ['not UTF-8', Buffer.from([0xff, 0xfe]), /not UTF-8/],
  ['far too long', 'x'.repeat(100_000), /too long/],
  ['too long', 'x'.repeat(1025), /longer than 1024 bytes/],
];

for (const [name, input, says] of PASSWORD_FAULTS) {
  test(`a password that is ${name} is refused`, async (context) => {
    const cwd = temporaryDirectory(context);
    const result = await stopgap({ cwd, input }, 'user', 'add', 'anna', '--password-stdin');
    assert.equal(result.code, 1);
    assert.match(result.err, says);
    assert.equal(result.err.trim().split('\n').length, 1);
    assert.equal(existsSync(inData(cwd, 'users.yaml')), false);
  });
}

test('a password is never taken from the command line, nor asked for if there is no terminal', async (context) => {
  const cwd = temporaryDirectory(context);
  const argument = await stopgap({ cwd }, 'user', 'add', 'anna', '--password', 'x');
  assert.equal(argument.code, 2);
  const pipe = await stopgap({ cwd }, 'user', 'add', 'anna');
  assert.equal(pipe.code, 1);
  assert.match(pipe.err, /--password-stdin/);
});

test('a token is alone on standard output, and works until it is revoked', async (context) => {
  const cwd = temporaryDirectory(context);
  const file = inData(cwd, 'tokens.yaml');
  const added = await stopgap({ cwd }, 'token', 'add', '--name', 'ops', '--role', 'operator');
  assert.equal(added.code, 0);
  assert.match(added.out, /^sgp_[\w-]{43}\n$/);
  assert.ok(!added.err.includes(added.out.trim()));
  assert.equal((await readTokens(file)).find(added.out.trim(), Date.now())?.role, 'operator');
  assert.equal(
    (await stopgap({ cwd }, 'token', 'list')).out,
    'NAME  ROLE      ADDED                     ENDS  DOMAINS\nops   operator  2026-01-02T03:04:05.000Z  -     -\n',
  );
  const more = ['--role', 'domain', '--domain', 'b.example', '--domain', 'c.example', '--for', '30d'];
  assert.equal((await stopgap({ cwd }, 'token', 'add', '--name', 'agency', ...more)).code, 0);
  assert.match(
    (await stopgap({ cwd }, 'token', 'list')).out,
    /^agency {2}domain {4}2026\S+ {2}until 2026-02-01T03:04:05.000Z {2}b.example c.example$/m,
  );
  assert.equal((await stopgap({ cwd }, 'token', 'revoke', 'agency')).code, 0);
  const far = ['--role', 'viewer', '--for', '999999999w'];
  const refused = await stopgap({ cwd }, 'token', 'add', '--name', 'far', ...far);
  assert.deepEqual([refused.code, refused.out], [2, '']);
  assert.match(refused.err, /'--for <duration>' argument '999999999w' is invalid\. It must be at most 3650d/);
  const json = await stopgap({ cwd }, 'token', 'list', '--json');
  assert.deepEqual(JSON.parse(json.out), [
    { name: 'ops', role: 'operator', domains: [], addedAt: '2026-01-02T03:04:05.000Z', expiresAt: null },
  ]);
  const twice = await stopgap({ cwd }, 'token', 'add', '--name', 'ops', '--role', 'viewer');
  assert.deepEqual([twice.code, twice.out], [1, '']);
  assert.equal((await stopgap({ cwd }, 'token', 'revoke', 'ops')).code, 0);
  assert.equal((await readTokens(file)).records.length, 0);
});

test('a configuration file says which files are meant, though they are not there yet', async (context) => {
  const cwd = temporaryDirectory(context);
  mkdirSync(path.join(cwd, 'etc'));
  writeFileSync(
    path.join(cwd, 'etc/s.yaml'),
    'smtp: { relay: { url: smtp://a.example }, auth: { users: u.yaml } }\napi: { tokens: t.yaml }\n',
  );
  const option = ['--config', 'etc/s.yaml'];
  const env = { STOPGAP_CONFIG: 'etc/s.yaml' };
  const user = await stopgap(
    { cwd, input: 'correct horse' },
    'user',
    'add',
    'anna',
    '--password-stdin',
    ...option,
  );
  const token = await stopgap({ cwd, env }, 'token', 'add', '--name', 'a', '--role', 'admin');
  assert.deepEqual([user.code, token.code], [0, 0]);
  assert.ok(existsSync(path.join(cwd, 'etc/u.yaml')) && existsSync(path.join(cwd, 'etc/t.yaml')));
});

test('people are added, get a second factor and another password, and are removed', async (context) => {
  const cwd = temporaryDirectory(context);
  const file = inData(cwd, 'admins.yaml');
  const given = { cwd, input: 'correct horse' };
  const domain = ['--role', 'domain', '--domain', 'Own.example', '--password-stdin'];
  assert.equal((await stopgap(given, 'admin', 'add', 'Alice', ...domain)).code, 0);
  const before = (await readAdmins(file)).get('alice')!;
  assert.match(before.password!, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  assert.equal(await new PasswordChecker().verify(before.password, 'correct horse'), true);
  const factor = await stopgap({ cwd }, 'admin', 'totp', 'alice');
  const [uri, ...codes] = factor.out.trim().split('\n');
  assert.match(uri!, /^otpauth:\/\/totp\/Stopgap:alice\?.*secret=[A-Z2-7]{32}/);
  assert.equal(new Set(codes).size, 10);
  for (const code of codes) assert.ok(!readFileSync(file, 'utf8').includes(code));
  const lines = [
    'NAME   ROLE    SIGNS IN BY        ADDED                     DOMAINS',
    'alice  domain  password and code  2026-01-02T03:04:05.000Z  own.example',
  ];
  assert.equal((await stopgap({ cwd }, 'admin', 'list')).out, `${lines.join('\n')}\n`);
  await stopgap({ cwd, input: 'battery staple' }, 'admin', 'passwd', 'ALICE', '--password-stdin');
  const after = (await readAdmins(file)).get('alice')!;
  assert.equal(await new PasswordChecker().verify(after.password, 'battery staple'), true);
  assert.notEqual(after.stamp, before.stamp);
  const removed = await stopgap({ cwd }, 'admin', 'remove', 'alice', '--json');
  assert.deepEqual(JSON.parse(removed.out), { removed: 'alice', file });
  assert.equal((await readAdmins(file)).size, 0);
});

test('the last administrator goes only by --yes', async (context) => {
  const cwd = temporaryDirectory(context);
  const file = inData(cwd, 'admins.yaml');
  for (const [name, role] of [
    ['anna', 'admin'],
    ['vera', 'viewer'],
  ] as const)
    await stopgap({ cwd, input: 'correct horse' }, 'admin', 'add', name, '--role', role, '--password-stdin');
  const refused = await stopgap({ cwd }, 'admin', 'remove', 'anna');
  assert.equal(refused.code, 1);
  assert.match(
    refused.err,
    /anna is the last administrator who can sign in: add another first, or say --yes/,
  );
  assert.equal((await stopgap({ cwd }, 'admin', 'remove', 'vera')).code, 0);
  assert.equal((await stopgap({ cwd }, 'admin', 'remove', 'anna', '--yes')).code, 0);
  assert.equal((await readAdmins(file)).size, 0);
});

test('a new password or secret leaves passkeys, which is said, and they are listed and removed', async (context) => {
  const cwd = temporaryDirectory(context);
  const file = inData(cwd, 'admins.yaml');
  const given = { cwd, input: 'correct horse' };
  const remedy =
    /alice goes on signing in by (a|2) passkeys?, without password and code: stopgap admin passkeys alice --remove/;
  await stopgap(given, 'admin', 'add', 'Alice', '--role', 'admin', '--password-stdin');
  const without = await stopgap(given, 'admin', 'passwd', 'alice', '--password-stdin');
  assert.doesNotMatch(without.err, /passkey/);
  const none = await stopgap({ cwd }, 'admin', 'passkeys', 'alice');
  assert.deepEqual([none.code, none.out, none.err], [0, '', 'alice has no passkeys\n']);
  const passkey = { key: 'AQID', counter: 0, addedAt: '2026-01-02T03:04:05.000Z', transports: [] };
  await addPasskey({ file, name: 'alice', passkey: { ...passkey, id: 'b25l', name: 'old phone' } });
  const { err: withOne } = await stopgap({ cwd }, 'admin', 'totp', 'alice');
  assert.equal(remedy.exec(withOne)?.[1], 'a', withOne);
  await addPasskey({ file, name: 'alice', passkey: { ...passkey, id: 'dHdv', name: 'laptop' } });
  const changed = await stopgap(given, 'admin', 'passwd', 'alice', '--password-stdin');
  assert.equal(remedy.exec(changed.err)?.[1], '2', changed.err);
  const json = await stopgap(given, 'admin', 'passwd', 'alice', '--password-stdin', '--json');
  assert.deepEqual(JSON.parse(json.out), { changed: 'alice', passkeys: 2, file });
  const lines = [
    'PASSKEY    ADDED                     ID',
    'old phone  2026-01-02T03:04:05.000Z  b25l',
    'laptop     2026-01-02T03:04:05.000Z  dHdv',
  ];
  assert.equal((await stopgap({ cwd }, 'admin', 'passkeys', 'ALICE')).out, `${lines.join('\n')}\n`);
  const { stamp } = (await readAdmins(file)).get('alice')!;

  const removed = await stopgap({ cwd }, 'admin', 'passkeys', 'ALICE', '--remove');

  assert.deepEqual([removed.code, removed.out], [0, '']);
  assert.match(removed.err, /^removed 2 passkeys of alice from .*admins\.yaml\n$/);
  const after = (await readAdmins(file)).get('alice')!;
  assert.deepEqual([after.passkeys, after.stamp === stamp], [[], false]);
  const again = await stopgap({ cwd }, 'admin', 'passkeys', 'alice', '--remove');
  assert.deepEqual([again.code, again.err], [0, 'alice has no passkeys; the sessions end\n']);
  assert.notEqual((await readAdmins(file)).get('alice')!.stamp, after.stamp);
  const third = await stopgap({ cwd }, 'admin', 'passkeys', 'alice', '--remove', '--json');
  assert.deepEqual(JSON.parse(third.out), { changed: 'alice', removed: 0, file });
});

test('a person and a token cannot have one name, under which both would be recorded', async (context) => {
  const cwd = temporaryDirectory(context);
  const given = { cwd, input: 'correct horse' };
  const addPerson = (name: string) =>
    stopgap(given, 'admin', 'add', name, '--role', 'admin', '--password-stdin');
  const addToken = (name: string) => stopgap({ cwd }, 'token', 'add', '--name', name, '--role', 'operator');
  assert.equal((await addPerson('alice')).code, 0);
  assert.equal((await addToken('Robot')).code, 0);

  const token = await addToken('Alice');
  const person = await addPerson('robot');

  assert.deepEqual([token.code, token.out], [1, '']);
  assert.match(token.err, /^stopgap: there is a person alice already, and both are recorded under this name/);
  assert.equal(person.code, 1);
  assert.match(person.err, /^stopgap: there is a token robot already, .*stopgap token revoke/);
  assert.deepEqual([...(await readAdmins(inData(cwd, 'admins.yaml'))).keys()], ['alice']);
  await stopgap({ cwd }, 'token', 'revoke', 'Robot');
  assert.equal((await addPerson('robot')).code, 0);
});

test('a password of a person is no shorter than on the page, and that of a user may be', async (context) => {
  const cwd = temporaryDirectory(context);
  const given = { cwd, input: 'eleven char' };
  const refused = await stopgap(given, 'admin', 'add', 'alice', '--role', 'viewer', '--password-stdin');
  assert.deepEqual([refused.code, refused.out], [1, '']);
  assert.equal(refused.err, 'stopgap: the password must have at least 12 characters\n');
  assert.equal(existsSync(inData(cwd, 'admins.yaml')), false);
  const noted = await stopgap({ cwd, input: 'seven c' }, 'user', 'add', 'anna', '--password-stdin');
  assert.equal(noted.code, 0);
  assert.match(noted.err, /fewer than 8 characters is soon guessed/);
});

const FAULTS: Array<[args: string[], code: number, says: RegExp]> = [
  [[], 2, /^Usage: stopgap/],
  [['usr'], 2, /^stopgap: unknown command 'usr' \(Did you mean user\?\)\n$/],
  [['user'], 2, /^Usage: stopgap user/],
  [['user', 'add'], 2, /^stopgap: missing required argument 'name'\n$/],
  [['user', 'remove', 'a', 'b'], 2, /^stopgap: too many arguments/],
  [['user', 'list', '--jsn'], 2, /^stopgap: unknown option '--jsn' \(Did you mean --json\?\)\n$/],
  [['token', 'add', '--role', 'admin'], 2, /^stopgap: required option '--name <name>' not specified\n$/],
  [['token', 'add', '--name', 'a'], 2, /^stopgap: required option '--role <role>' not specified\n$/],
  [
    ['token', 'add', '--name', 'a', '--role', 'root'],
    2,
    /^stopgap: .*viewer, operator, admin, server, domain/,
  ],
  [['user', 'remove', 'nobody'], 1, /^stopgap: there is no user nobody\n$/],
  [['token', 'revoke', 'none'], 1, /^stopgap: there is no token none\n$/],
  [['admin', 'remove', 'none'], 1, /^stopgap: there is no administrator none\n$/],
  [['admin', 'passkeys', 'none'], 1, /^stopgap: there is no administrator none\n$/],
  [['admin', 'passkeys', 'none', '--remove'], 1, /^stopgap: there is no administrator none\n$/],
  [['admin', 'add', 'a', '--role', 'domain'], 1, /^stopgap: .* needs .*: --domain example\.com, /],
  [['token', 'add', '--name', 'a', '--role', 'domain'], 1, /^stopgap: .* needs .*: --domain example\.com, /],
  [['admin', 'add', 'a', '--role', 'server'], 2, /^stopgap: .*viewer, operator, admin, domain/],
  [
    ['user', 'list', '--config', 'nowhere.yaml'],
    1,
    /^stopgap: .*nowhere\.yaml: does not exist; name a YAML file$/m,
  ],
];

for (const [args, code, says] of FAULTS) {
  test(`stopgap ${args.join(' ')} ends with ${code}`, async (context) => {
    const result = await stopgap({ cwd: temporaryDirectory(context) }, ...args);
    assert.equal(result.code, code);
    assert.equal(result.out, '');
    assert.match(result.err, says);
  });
}

test('nothing is written if a running server has another data directory, unless a configuration is named', async (context) => {
  const cwd = temporaryDirectory(context);
  let dataDirectory: string | undefined = '0123456789abcdef';
  const server = createServer((_, response) => response.end(JSON.stringify({ dataDirectory })));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const listen = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const given = { cwd, input: 'correct horse\n', env: { STOPGAP_API_LISTEN: listen } };
  const add = ['user', 'add', 'anna', '--password-stdin'];
  for (const args of [add, ['token', 'add', '--name', 'me', '--role', 'viewer']]) {
    const refused = await stopgap(given, ...args);
    assert.equal(refused.code, 1);
    assert.match(
      refused.err,
      /the server at http:\/\/\S+ does not use \S+data: name its configuration with --config/,
    );
  }
  assert.equal(existsSync(path.join(cwd, 'data')), false);
  const file = path.join(cwd, 'named.yaml');
  writeFileSync(
    file,
    `smtp:\n  relay: { url: 'maildir:./mail' }\napi: { listen: '${listen}' }\ndata: ./data\n`,
  );
  assert.equal((await stopgap({ cwd, input: 'correct horse\n' }, ...add, '--config', file)).code, 0);
  dataDirectory = await directoryId(path.join(cwd, 'data'));
  const bob = ['user', 'add', 'bob', '--password-stdin'];
  assert.equal((await stopgap(given, ...bob)).code, 0);
});

test("root's additions stay readable for the service, and what it cannot read is said", async (context) => {
  if (process.getuid?.() !== 0) return context.skip('only root can give files to another user');
  const cwd = temporaryDirectory(context);
  const data = path.join(cwd, 'data');
  const file = inData(cwd, 'users.yaml');
  mkdirSync(data, { mode: 0o700 });
  for (const each of [cwd, data]) chownSync(each, SERVICE, SERVICE);
  const given = { cwd, input: 'correct horse\n' };
  await stopgap(given, 'user', 'add', 'anna', '--password-stdin');
  await stopgap({ cwd }, 'token', 'add', '--name', 'me', '--role', 'viewer');
  for (const each of [file, inData(cwd, 'tokens.yaml')]) {
    const { uid, gid, mode } = statSync(each);
    assert.deepEqual([uid, gid, mode & 0o777], [SERVICE, SERVICE, 0o600], each);
  }
  chmodSync(file, 0o640);
  await stopgap(given, 'user', 'passwd', 'anna', '--password-stdin');
  const { uid, gid, mode } = statSync(file);
  assert.deepEqual([uid, gid, mode & 0o777], [SERVICE, SERVICE, 0o640]);
  chownSync(file, 0, 0);
  chmodSync(file, 0o600);
  const child = spawn(process.execPath, [PROGRAM, 'user', 'list'], { cwd, uid: SERVICE, gid: SERVICE });
  let err = '';
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  await once(child, 'close');
  assert.match(
    err,
    /users\.yaml cannot be read by this user \(id 54321\): give it to the service's user with chown/,
  );
});

test('another user is told that the files are not his, never that there are none', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('only root can run a command as another user');
  const cwd = temporaryDirectory(context);
  const data = path.join(cwd, 'data');
  mkdirSync(data, { mode: 0o700 });
  chmodSync(cwd, 0o755);
  writeFileSync(path.join(data, 'events.db'), '');
  writeFileSync(path.join(data, 'log-key'), `${'07'.repeat(32)}\n`);
  const told = async (...args: string[]): Promise<string> => {
    const env = { STOPGAP_API_LISTEN: NOBODY };
    const child = spawn(process.execPath, [PROGRAM, ...args], { cwd, uid: SERVICE, gid: SERVICE, env });
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.stdin.end('correct horse\n');
    await once(child, 'close');
    return err;
  };
  for (const [args, file] of [
    [['backtest'], 'events.db'],
    [['log', 'hash', 'anna'], 'log-key'],
    [['user', 'add', 'anna', '--password-stdin'], 'users.yaml'],
    [['user', 'list'], 'users.yaml'],
    [['token', 'add', '--name', 'me', '--role', 'viewer'], 'admins.yaml'],
    [['admin', 'add', 'me', '--role', 'viewer', '--password-stdin'], 'tokens.yaml'],
    [['token', 'list'], 'tokens.yaml'],
  ] as const) {
    assert.match(
      await told(...args),
      new RegExp(
        `^stopgap: \\S+${file} cannot be \\w+ by this user \\(id 54321\\): give it to the service's user`,
        'm',
      ),
      args.join(' '),
    );
  }
});

test('a new directory belongs to the owner of the one around it', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('only root can give files to another user');
  const cwd = temporaryDirectory(context);
  chownSync(cwd, SERVICE, SERVICE);
  await stopgap({ cwd, input: 'correct horse\n' }, 'user', 'add', 'anna', '--password-stdin');
  assert.deepEqual(
    ['data', 'data/users.yaml'].map((name) => statSync(path.join(cwd, name)).uid),
    [SERVICE, SERVICE],
  );
});

test('each problem of a configuration is a line of its own', async (context) => {
  const env = { STOPGAP_NIX: 'x', STOPGAP_LOG_LEVEL: 'loud' };
  const { code, err } = await stopgap({ cwd: temporaryDirectory(context), env }, 'user', 'list');
  assert.equal(code, 1);
  assert.match(err, /^stopgap: STOPGAP_NIX: .*\nstopgap: STOPGAP_LOG_LEVEL: .*\n$/);
});

test('a fault of our own shows its stack only when asked', async (context) => {
  const cwd = temporaryDirectory(context);
  const broken: Verb = (program) => {
    program.command('break').action(() => {
      throw new TypeError('no such method');
    });
  };
  const plain = await stopgap({ cwd, verbs: [broken] }, 'break');
  assert.equal(plain.code, 1);
  assert.match(
    plain.err,
    /^stopgap: no such method\nstopgap: this is a fault; STOPGAP_DEBUG=1 shows where\n$/,
  );
  const debug = await stopgap({ cwd, verbs: [broken], env: { STOPGAP_DEBUG: '1' } }, 'break');
  assert.match(debug.err, /at .*accounts\.test\.[jt]s/);
});

test('help and version go to standard output', async (context) => {
  const cwd = temporaryDirectory(context);
  for (const [args, says] of [
    [['--version'], /^\d+\.\d+\.\d+ \((?:commit [0-9a-f]{12}(?:-dirty)?|unknown commit)\)\n$/],
    [['--help'], /^Usage: stopgap/],
    [['user', 'add', '--help'], /--password-stdin/],
  ] as const) {
    const result = await stopgap({ cwd }, ...args);
    assert.deepEqual([result.code, result.err], [0, '']);
    assert.match(result.out, says);
  }
});

async function spawned(context: TestContext, input: string, ...args: string[]): Promise<Result> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    cwd: temporaryDirectory(context),
    env: { STOPGAP_API_LISTEN: NOBODY },
  });
  const texts: [string, string] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (texts[0] += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (texts[1] += chunk.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, out: texts[0], err: texts[1] };
}

test('the program itself: a real process, its exit codes and its streams', async (context) => {
  const token = await spawned(context, '', 'token', 'add', '--name', 'a', '--role', 'admin');
  assert.equal(token.code, 0);
  assert.match(token.out, /^sgp_[\w-]{43}\n$/);
  const user = await spawned(context, 'correct horse\n', 'user', 'add', 'anna', '--password-stdin');
  assert.equal(user.code, 0);
  assert.equal((await spawned(context, '', 'user', 'remove', 'anna')).code, 1);
  assert.equal((await spawned(context, '', 'nonsense')).code, 2);
  assert.match(readFileSync(PROGRAM, 'utf8'), /^#!\/usr\/bin\/env node\n/);
});
