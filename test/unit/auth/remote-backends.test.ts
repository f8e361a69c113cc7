import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { StopgapError } from '../../../src/kernel/errors.js';
import { SECOND } from '../../../src/kernel/time.js';
import { DovecotBackend } from '../../../src/smtp/auth/dovecot.js';
import { HttpBackend } from '../../../src/smtp/auth/http.js';
import type { AuthBackend } from '../../../src/smtp/auth/port.js';
import { BackendAway } from '../../../src/smtp/auth/port.js';
import { SmtpBackend } from '../../../src/smtp/auth/smtp.js';
import { parseRelayUrl } from '../../../src/smtp/relay/url.js';
import type { Judge } from '../../support/auth/fakes.js';
import { FakeDovecot, FakeMailServer, FakeService } from '../../support/auth/fakes.js';
import { isSettled } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';

const client = { ip: '2001:db8::7', network: '2001:db8::/64', localIp: '192.0.2.1', secure: true };
const judge: Judge = ({ password }) => (password === 'sesame' ? 'right' : 'wrong');
const login = (name: string, password = 'sesame', network = client.network) => ({
  name,
  password,
  client: { ...client, network },
});

function remote() {
  const told: string[] = [];
  const tell = (_: object, line: string): void => void told.push(line);
  return { clock: new ManualClock(), log: { error: tell, warn: tell } as never, told };
}

async function dovecot(t: Pick<TestContext, 'after'>) {
  const server = new FakeDovecot(judge);
  await server.resume();
  const options = remote();
  const backend = new DovecotBackend({ ...options, address: { host: '127.0.0.1', port: server.port } });
  t.after(async () => {
    backend.close();
    await server.stop();
  });
  return { server, backend, ...options };
}

/** Drives the clock by little until it has settled, while what is under way on sockets comes in between. */
async function driven<T>(clock: ManualClock, answer: Promise<T>): Promise<T> {
  while (!(await isSettled(answer))) clock.advance(10);
  return answer;
}

test('Dovecot is told the service, both addresses and TLS, and asked for no penalty, with the password last', async (t) => {
  const { server, backend } = await dovecot(t);
  assert.equal(await backend.check(login('Alice@Example.com')), 'alice@example.com');
  await backend.check({ ...login('bob'), client: { ...client, secure: false } });
  const [version, cpid, ...asked] = server.lines;
  assert.equal(version, 'VERSION\t1\t1');
  assert.match(cpid!, /^CPID\t[1-9]\d*$/);
  const response = Buffer.from('\0Alice@Example.com\0sesame').toString('base64');
  assert.match(
    asked[0]!.replace(/session=stopgap-[\w-]{12}\t/, ''),
    /^AUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty\tlip=192\.0\.2\.1\trip=2001:db8::7\tsecured\tresp=/,
  );
  assert.ok(asked[0]!.endsWith(`\tresp=${response}`));
  assert.ok(!asked[1]!.includes('secured'));
});

test('questions to Dovecot share one connection, and each gets the answer of its id in any order', async (t) => {
  const { server, backend } = await dovecot(t);
  const ids: string[] = [];
  server.answer = (id) => {
    ids.push(id);
    if (ids.length < 20) return '';
    return ids
      .reverse()
      .map((one) => (Number(one) % 2 ? `OK\t${one}\tuser=u${one}` : `FAIL\t${one}`))
      .join('\n');
  };
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => backend.check(login(`user${index}`))),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 20 }, (_, index) => (index % 2 ? undefined : `u${index + 1}`)),
  );
  assert.equal(server.connections, 1);
});

test('what Dovecot calls the account is what it is, and a login is wrong of which it names what cannot be one', async (t) => {
  const { server, backend, told } = await dovecot(t);
  for (const [said, account] of [
    ['user=Alice@Example.com', 'alice@example.com'],
    ['original_user=x\tuser=alice', 'alice'],
    ['', 'typed'],
  ] as const) {
    server.answer = (id) => `OK\t${id}\t${said}`;
    assert.equal(await backend.check(login('typed')), account);
  }
  for (const said of [
    'user=',
    `user=${'a'.repeat(321)}`,
    'user=a\u00011b',
    'user=a\u0001tb',
    'user=a\u202eb',
  ]) {
    server.answer = (id) => `OK\t${id}\t${said}`;
    assert.equal(await backend.check(login('typed')), undefined, said);
  }
  assert.equal(backend.isAway, false);
  assert.deepEqual(told, ['a right password failed: its account is not known']);
});

test('an account that Dovecot lets nobody log in to is wrong', async (t) => {
  const { server, backend } = await dovecot(t);
  server.answer = (id) => `OK\t${id}\tuser=alice\tnologin\treason=gone`;
  assert.equal(await backend.check(login('alice')), undefined);
  server.answer = (id) => `OK\t${id}\tuser=alice\tproxy\thost=192.0.2.3\tnologin`;
  assert.equal(await backend.check(login('alice')), 'alice');
});

test('only a temporary failure of Dovecot is none: each other one is a wrong password', async (t) => {
  const { server, backend } = await dovecot(t);
  for (const said of [
    '',
    '\tuser=a\tcode=user_disabled',
    '\tcode=pass_expired\treason=x',
    '\treason=temp\tauthz',
  ]) {
    server.answer = (id) => `FAIL\t${id}${said}`;
    assert.equal(await backend.check(login('a')), undefined, said);
  }
  for (const said of ['FAIL\tID\tuser=a\ttemp', 'FAIL\tID\tcode=temp_fail', 'CONT\tID\tabc']) {
    server.answer = (id) => said.replace('ID', id);
    await assert.rejects(backend.check(login('a')), BackendAway, said);
  }
});

test('a question that a broken connection may have lost is asked again on the next, once', async (t) => {
  const { server, backend, clock } = await dovecot(t);
  await backend.check(login('first'));
  server.judge = () => 'nothing';
  const answer = backend.check(login('alice'));
  await eventually('it is asked', () => server.asked.length === 2);
  server.judge = judge;
  await server.stop();
  await server.resume();
  assert.equal(await driven(clock, answer), 'alice');
  assert.equal(server.asked.length, 3);
  server.judge = () => 'nothing';
  const lost = backend.check(login('bob'));
  for (const count of [4, 5]) {
    await eventually('it is asked', () => {
      clock.advance(10);
      return server.asked.length === count;
    });
    await server.stop();
    if (count === 4) await server.resume();
  }
  await assert.rejects(driven(clock, lost), BackendAway);
});

test('a Dovecot that speaks another protocol, offers no PLAIN or sends an endless line is away', async (t) => {
  for (const greeting of [
    ['VERSION\t2\t0', 'MECH\tPLAIN', 'DONE'],
    ['VERSION\t1\t2', 'MECH\tXOAUTH2', 'DONE'],
    ['VERSION\t1\t2', 'x'.repeat(100_000)],
    ['OK\t1\tuser=alice', 'OK\t2\tuser=alice', 'VERSION\t2\t0'],
  ]) {
    const { server, backend, clock } = await dovecot(t);
    server.greeting = greeting;
    await assert.rejects(driven(clock, backend.check(login('alice'))), BackendAway);
    assert.deepEqual(server.asked, []);
  }
});

test('a Dovecot that takes connections and says nothing is given up after ten seconds, with its connection', async (t) => {
  const { server, backend, clock, told } = await dovecot(t);
  server.greeting = [];
  const answer = backend.check(login('alice'));
  answer.catch(() => undefined);
  await eventually('it is connected', () => server.lines.length === 2);
  clock.advance(10 * SECOND - 1);
  assert.equal(await isSettled(answer), false);
  clock.advance(1);
  await assert.rejects(answer, { message: `Dovecot at 127.0.0.1:${server.port} did not answer within 10 s` });
  server.greeting = ['VERSION\t1\t2', 'MECH\tPLAIN', 'DONE'];
  assert.equal(await driven(clock, backend.check(login('alice'))), 'alice');
  assert.equal(server.connections, 2);
  assert.deepEqual(told, ['logins are put off: they cannot be checked']);
});

/** Each back end elsewhere, and how many questions it has at a time at most. */
const ALL: Readonly<
  Record<
    string,
    (t: Pick<TestContext, 'after'>) => Promise<{
      server: { judge: Judge; asked: readonly unknown[] };
      backend: AuthBackend;
      atOnce: number;
      clock: ManualClock;
    }>
  >
> = {
  dovecot: async (t) => ({ ...(await dovecot(t)), atOnce: 500 }),
  async smtp(t) {
    const server = await FakeMailServer.start(judge);
    t.after(() => server.stop());
    const upstream = parseRelayUrl(`smtp://127.0.0.1:${server.port}`);
    assert.ok(!('maildir' in upstream));
    const options = remote();
    return {
      server,
      backend: new SmtpBackend({ ...options, upstream, hostname: 'mx.example.com' }),
      atOnce: 20,
      clock: options.clock,
    };
  },
  async http(t) {
    const server = new FakeService(judge);
    await server.resume();
    t.after(() => server.stop());
    const options = remote();
    const url = `http://127.0.0.1:${server.port}/`;
    return {
      server,
      backend: new HttpBackend({ ...options, url, token: undefined }),
      atOnce: 50,
      clock: options.clock,
    };
  },
};

for (const [name, plug] of Object.entries(ALL))
  test(`a flood of logins is bounded at ${name}, at a time and in waiting, and others have their turn`, async (t) => {
    const { server, backend, atOnce, clock } = await plug(t);
    server.judge = () => 'nothing';
    const flood = Array.from({ length: 1200 }, (_, index) =>
      backend.check(login(`user${index}`, 'sesame', 'flood')),
    );
    const refused: unknown[] = [];
    for (const one of flood) one.catch((error: unknown) => refused.push(error));
    await eventually('as many are asked as may be', () => server.asked.length === atOnce);
    assert.equal(backend.pending, atOnce + 500);
    assert.equal(refused.length, 1200 - atOnce - 500);
    assert.ok(refused.every((one) => one instanceof StopgapError && !(one instanceof BackendAway)));
    clock.advance(5 * SECOND);
    const honest = backend.check(login('alice', 'sesame', 'office'));
    server.judge = judge;
    clock.advance(5 * SECOND);
    await Promise.allSettled(flood);
    assert.equal(await driven(clock, honest), 'alice');
    assert.equal(server.asked.length, atOnce + 1, 'what has waited for ten seconds is not asked');
    await eventually('nothing is left', () => backend.pending === 0);
    backend.close();
  });

for (const [name, plug] of Object.entries(ALL))
  test(`a login is asked about at ${name} in its turn, and not once a failure might come too late`, async (t) => {
    const { server, backend, atOnce, clock } = await plug(t);
    server.judge = () => 'nothing';
    const flood = Array.from({ length: atOnce }, (_, index) => backend.check(login(`user${index}`)));
    await eventually('as many are asked as may be', () => server.asked.length === atOnce);
    clock.advance(2 * SECOND);
    const asked: number[] = [];
    const check = (): Promise<string | undefined> =>
      backend.check(login('alice', 'sesame', 'office'), () => asked.push(clock.monotonic()));
    const late = check();
    late.catch(() => undefined);
    clock.advance(2 * SECOND);
    const inTime = check();
    clock.advance(5 * SECOND + 1);
    server.judge = judge;
    clock.advance(SECOND - 1);
    await Promise.allSettled(flood);
    await assert.rejects(late, (error) => error instanceof StopgapError && !(error instanceof BackendAway));
    assert.equal(await driven(clock, inTime), 'alice');
    assert.deepEqual(asked, [10 * SECOND]);
    backend.close();
  });

test('a web service is asked by POST with a bearer token, and its redirects are not followed', async (t) => {
  const server = new FakeService(judge);
  await server.resume();
  t.after(() => server.stop());
  const url = `http://127.0.0.1:${server.port}/login`;
  const backend = new HttpBackend({ ...remote(), url, token: 'of-the-service' });
  assert.equal(await backend.check(login('Alice')), 'alice');
  assert.equal(server.headers[0]!.authorization, 'Bearer of-the-service');
  assert.equal(server.headers[0]!['content-type'], 'application/json');
  for (const [status, body, account] of [
    [200, '{"ok":true}', 'alice'],
    [200, '{"ok":false}', undefined],
    [401, 'anything', undefined],
    [403, '', undefined],
    [200, '{"ok":true,"account":null}', 'alice'],
    [200, '{"ok":true,"account":" Alice@Example.COM. "}', 'alice@example.com'],
    [200, '{"ok":false,"account":"alice@example.com"}', undefined],
    [200, '{"ok":true,"account":""}', undefined],
    [200, '{"ok":true,"account":"ali\\u200bce@example.com"}', undefined],
    [200, `{"ok":true,"account":"${'x'.repeat(400)}"}`, undefined],
  ] as const) {
    server.answer = (response) => Boolean(response.writeHead(status).end(body));
    assert.equal(await backend.check(login('alice')), account, body);
  }
  for (const [status, body] of [
    [200, ''],
    [200, 'null'],
    [200, '{"ok":"true"}'],
    [200, `{"ok":true,"more":"${'x'.repeat(1_000_000)}"}`],
    [204, ''],
    [302, ''],
    [400, ''],
    [404, ''],
    [429, ''],
    [500, '{"ok":true}'],
  ] as const) {
    server.answer = (response) => Boolean(response.writeHead(status, { location: url }).end(body));
    await assert.rejects(backend.check(login('alice')), BackendAway, `${status} ${body.slice(0, 20)}`);
  }
});

test('a login beyond ASCII that a web service gives no name to is as wrong as one with a wrong password', async (t) => {
  const server = new FakeService(judge);
  await server.resume();
  t.after(() => server.stop());
  const { clock, log, told } = remote();
  const backend = new HttpBackend({ clock, log, url: `http://127.0.0.1:${server.port}/`, token: undefined });
  // Each is `alice@example.com` to a database that compares without accents, without width or without what is not seen.
  const SPELT = [
    'alic\u00e9@example.com',
    'alice@\u00e9xample.com',
    '\uff41lice@example.com',
    'al\u200bice@example.com',
  ];
  for (const name of SPELT) {
    server.answer = (response) => Boolean(response.end('{"ok":true}'));
    assert.equal(await backend.check(login(name)), undefined, name);
    assert.equal(backend.isAway, false, 'others can log in');
    server.answer = (response) => Boolean(response.end('{"ok":true,"account":"alice@example.com"}'));
    assert.equal(await backend.check(login(name)), 'alice@example.com', name);
    server.answer = (response) => Boolean(response.end('{"ok":false}'));
    assert.equal(await backend.check(login(name)), undefined, name);
  }
  assert.deepEqual(told, ['a right password failed: its account is not known']);
  clock.advance(10 * SECOND);
  assert.deepEqual(told.slice(1), ['right passwords failed: their accounts were not known']);
});

test('a mail server says wrong by 535 and 525, and by nothing else', async (t) => {
  const server = await FakeMailServer.start(judge);
  t.after(() => server.stop());
  const upstream = parseRelayUrl(`smtp://127.0.0.1:${server.port}`);
  assert.ok(!('maildir' in upstream));
  const backend = new SmtpBackend({ ...remote(), upstream, hostname: 'mx.example.com' });
  for (const [reply, account] of [
    ['235 2.7.0 welcome', 'alice'],
    ['535 5.7.8 no', undefined],
    ['525 5.7.13 disabled', undefined],
  ] as const) {
    server.upstream.script = { AUTH: () => reply };
    assert.equal(await backend.check(login('alice')), account, reply);
  }
  for (const reply of [
    '454 4.7.0 later',
    '421 4.3.2 bye',
    '530 5.7.0 TLS first',
    '504 5.5.4 no',
    '538 5.7.11 no',
    '334 more',
  ]) {
    server.upstream.script = { AUTH: () => reply };
    await assert.rejects(backend.check(login('alice')), BackendAway, reply);
  }
  await server.stop();
  await assert.rejects(backend.check(login('alice')), BackendAway);
});
