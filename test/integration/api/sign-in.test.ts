import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Secret, TOTP } from 'otpauth';
import type { AdminTable } from '../../../src/accounts/admins.js';
import {
  addAdmin,
  NO_ADMINS,
  readAdmins,
  removeAdmin,
  setAdminPassword,
  startSecondFactor,
} from '../../../src/accounts/admins.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ApiServer, startOn } from '../../support/api/server.js';
import { browse, OWN_PAGE } from '../../support/api/browser.js';
import type { BrowserAnswer, BrowserAsking } from '../../support/api/browser.js';
import { eventually } from '../../support/smtp/eventually.js';
import { inEarnest } from '../../support/auth/checked-once.js';
import { changed } from '../../support/store/changed.js';

const PASSWORD = 'correct horse battery staple';
const folder = mkdtempSync(path.join(os.tmpdir(), 'stopgap-sign-in-'));
const file = path.join(folder, 'admins.yaml');
let admins: AdminTable = NO_ADMINS;
let server: ApiServer;

const ask = (
  method: string,
  target: string,
  { url = server.url, ...asking }: BrowserAsking & { readonly url?: string } = {},
): Promise<BrowserAnswer> => browse(url, method, target, asking);

type Answer = BrowserAnswer;

const signIn = (name: string, more: Readonly<Record<string, unknown>> = {}): Promise<Answer> =>
  ask('POST', '/api/v1/sign-in', { body: { name, password: PASSWORD, ...more } });

const who = (cookie: string): Promise<Answer> => ask('GET', '/api/v1/session', { cookie });

const idOf = ({ body }: Answer): string => (body['session'] as { id: string }).id;

async function add(name: string, role: string, domains: readonly string[] = []): Promise<void> {
  await addAdmin({ file, name, role, domains, password: PASSWORD, now: server.clock.now() });
  admins = await readAdmins(file);
}

/** What the store holds of a person. */
async function recorded(name: string): Promise<string> {
  const events: unknown[] = [];
  for await (const event of server.deps.store.readStream(`session-${name}`)) events.push(event);
  return JSON.stringify(events);
}

before(async () => {
  server = await ApiServer.start((deps) => ({ ...deps, admins: () => admins }));
  await add('alice', 'operator');
  await add('root', 'admin');
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

describe('a person who signs in', () => {
  test('gets a cookie that no script and no other site can use, and is named in what they do', async () => {
    const reply = await signIn(' Alice ');
    assert.equal(reply.status, 200);
    const set = reply.headers.get('set-cookie')!;
    assert.match(
      set,
      /^__Host-stopgap=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=604800$/,
    );
    assert.equal(reply.headers.get('cache-control'), 'no-store');
    const { body } = await who(reply.cookie);
    assert.deepEqual([body['name'], body['role'], body['domains']], ['alice', 'operator', []]);
    const block = { subject: { type: 'account', value: 'a@example.com' }, duration: '1h' };
    const done = await ask('POST', '/api/v1/blocks', { cookie: reply.cookie, body: block });
    assert.equal((done.body['history'] as { by: string }[])[0]!.by, 'admin:alice');
    const rules = await ask('PUT', '/api/v1/rules', { cookie: reply.cookie, body: { source: '' } });
    assert.equal(rules.status, 403);
    assert.match(String(rules.body['detail']), /the person alice has the role operator/);
  });

  test('leaves neither password nor token in the store or the log', async () => {
    const { cookie } = await signIn('alice');
    await signIn('alice', { password: 'secret-guess' });
    const kept = (await recorded('alice')) + server.logged.join('');
    assert.match(kept, /SignedIn/);
    for (const secret of [cookie.split('=')[1]!, PASSWORD, 'secret-guess'])
      assert.ok(!kept.includes(secret), secret.slice(0, 8));
  });

  test('hears the same with a wrong password and with a name that there is not, after the same work', async () => {
    const texts = new Set<string>();
    const times = new Map<string, number>();
    for (const name of ['alice', 'nobody', 'alice', 'nobody']) {
      const begun = performance.now();
      const { status, body } = await inEarnest(() => signIn(name, { password: `wrong-${name}-${begun}` }));
      times.set(name, Math.min(times.get(name) ?? Infinity, performance.now() - begun));
      texts.add(JSON.stringify({ status, ...body, instance: '' }));
    }
    assert.equal(texts.size, 1, [...texts].join('\n'));
    const [known, unknown] = [times.get('alice')!, times.get('nobody')!];
    assert.ok(known < 4 * unknown && unknown < 4 * known, `${known} ms and ${unknown} ms`);
  });

  test('gets a new session each time, also with the same Idempotency-Key, and the one before in that browser ends', async () => {
    const headers = { ...OWN_PAGE, 'idempotency-key': 'same' };
    const body = { name: 'alice', password: PASSWORD };
    const first = await ask('POST', '/api/v1/sign-in', { body, headers });
    const second = await ask('POST', '/api/v1/sign-in', { body, headers, cookie: first.cookie });
    assert.notEqual(first.cookie, second.cookie);
    assert.equal((await who(first.cookie)).status, 401);
    assert.equal((await who(second.cookie)).status, 200);
    assert.equal((await who(`${second.cookie}; ${first.cookie}`)).status, 401, 'two cookies are none');
  });

  test('of the role domain sees what concerns their domains alone', async () => {
    await add('agency', 'domain', ['own.example']);
    await server.block('x@foreign.example');
    const { id } = await server.block('x@own.example');
    const { cookie } = await signIn('agency');
    const list = await ask('GET', '/api/v1/blocks', { cookie });
    assert.deepEqual(
      (list.body['items'] as { id: string }[]).map((one) => one.id),
      [id],
    );
    const made = { subject: { type: 'account', value: 'x@own.example' }, duration: '1h' };
    assert.equal((await ask('POST', '/api/v1/blocks', { cookie, body: made })).status, 403);
  });
});

describe('the ways of signing in', () => {
  test('are told to everybody, without a token', async () => {
    const { status, body } = await ask('GET', '/api/v1/sign-in');
    assert.equal(status, 200);
    assert.deepEqual(body, { evaluation: false, first: false, openId: null, passkeys: false });
  });

  test('are told with how a caller came in', async () => {
    const { body } = await who((await signIn('alice')).cookie);
    assert.deepEqual([body['by'], body['secondFactor']], ['password', false]);
    assert.equal((await server.get('/api/v1/session')).json.by, 'token');
  });
});

describe('a page of another site', () => {
  test('can neither sign anybody in nor change anything with the cookie of a session', async () => {
    const { cookie } = await signIn('alice');
    const { id } = await server.block('b@example.com');
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site', origin: new URL(server.url).origin },
    ] as Record<string, string>[]) {
      const what = JSON.stringify(headers);
      const release = await ask('POST', `/api/v1/blocks/${id}/release`, { cookie, headers });
      assert.equal(release.status, 403, what);
      const body = { name: 'alice', password: PASSWORD };
      const entered = await ask('POST', '/api/v1/sign-in', { body, headers });
      assert.deepEqual([entered.status, entered.cookie], [403, ''], what);
    }
    assert.equal((await server.get(`/api/v1/blocks/${id}`)).json.state, 'active');
    const origin = new URL(server.url).origin;
    const own = await ask('POST', `/api/v1/blocks/${id}/release`, { cookie, headers: { origin } });
    assert.equal(own.status, 200, 'the own page of an old browser');
    const token = await server.post(
      '/api/v1/rules/validate',
      { source: '' },
      { headers: { origin: 'null' } },
    );
    assert.equal(token.status, 200, 'no browser adds a token by itself');
  });

  test('cannot post a form', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
    ]) {
      const response = await fetch(new URL('/api/v1/sign-in', server.url), {
        method: 'POST',
        headers: { 'content-type': type },
        body: JSON.stringify({ name: 'alice', password: PASSWORD }),
      });
      assert.equal(response.status, 415, type);
      await response.text();
    }
  });
});

describe('a session', () => {
  test('is begun at most sixty times a minute by the same password from the same network, and again a minute later', async () => {
    server.clock.advance(MINUTE);
    const first = await signIn('alice');
    const written = async () => (await server.eventsOf('session-alice')).length;
    const before = await written();
    const answers: Answer[] = [];
    for (let count = 0; count < 70; count++) answers.push(await signIn('alice'));
    const refused = answers.filter(({ status }) => status === 429);
    assert.equal(refused.length, 11);
    assert.match(JSON.stringify(refused[0]!.body), /has signed in too often .* use a token for a program/);
    assert.equal((await written()) - before, 59);
    assert.equal((await who(first.cookie)).status, 401, 'the oldest of fifty gave way');
    server.clock.advance(MINUTE);
    assert.equal((await who((await signIn('alice')).cookie)).status, 200);
  });

  test('outlasts a restart, ends after twelve hours without use, and after seven days in any case', async () => {
    const rests = await signIn('alice');
    const used = await signIn('alice');
    await server.restart((deps) => ({ ...deps, admins: () => admins }));
    assert.equal((await who(rests.cookie)).status, 200);
    const begun = server.clock.now();
    while (server.clock.now() + 11 * HOUR < begun + 7 * DAY) {
      server.clock.advance(11 * HOUR);
      assert.equal((await who(used.cookie)).status, 200, `after ${(server.clock.now() - begun) / HOUR} h`);
    }
    assert.equal((await who(rests.cookie)).status, 401);
    server.clock.advance(11 * HOUR);
    assert.equal((await who(used.cookie)).status, 401);
  });

  test('that has ended does not come back where the clock is set back, also not after a restart', async () => {
    const idle = await signIn('alice');
    server.clock.advance(12 * HOUR);
    assert.equal((await who(idle.cookie)).status, 401);
    server.clock.jump(-2 * HOUR);
    assert.equal((await who(idle.cookie)).status, 401, 'idle for too long');
    const over = await signIn('alice');
    server.clock.skip(7 * DAY);
    assert.equal((await who(over.cookie)).status, 401);
    server.clock.jump(-7 * DAY);
    assert.equal((await who(over.cookie)).status, 401, 'past its end');
    await eventually('the ends are recorded', async () => {
      const events = await server.eventsOf('session-alice');
      return events.filter(({ data }) => (data as { reason?: string }).reason === 'expired').length >= 2;
    });
    await server.restart((deps) => ({ ...deps, admins: () => admins }));
    for (const { cookie } of [idle, over]) assert.equal((await who(cookie)).status, 401);
  });

  test('that was used within the last hours is not idle for a process that was restarted', async () => {
    const { cookie } = await signIn('alice');
    server.clock.advance(11 * HOUR);
    assert.equal((await who(cookie)).status, 200);
    await server.deps.models.reached(await newest('alice', 'SessionUsed'));
    await server.restart((deps) => ({ ...deps, admins: () => admins }));
    server.clock.advance(11 * HOUR);
    assert.equal((await who(cookie)).status, 200);
  });

  test('ends by signing out, and when an admin revokes it; others see only their own', async () => {
    const [alice, root] = [await signIn('alice'), await signIn('root')];
    const names = async (cookie: string): Promise<Set<string>> => {
      const { body } = await ask('GET', '/api/v1/sessions', { cookie });
      return new Set((body['items'] as { name: string }[]).map(({ name }) => name));
    };
    assert.deepEqual([...(await names(alice.cookie))], ['alice']);
    assert.ok((await names(root.cookie)).has('alice'));
    const foreign = await ask('DELETE', `/api/v1/sessions/${idOf(root)}`, { cookie: alice.cookie });
    const unknown = await ask('DELETE', '/api/v1/sessions/none', { cookie: alice.cookie });
    assert.deepEqual([foreign.status, unknown.status], [404, 404]);
    assert.equal(
      (await ask('DELETE', `/api/v1/sessions/${idOf(alice)}`, { cookie: root.cookie })).status,
      204,
    );
    assert.equal((await who(alice.cookie)).status, 401);
    const out = await ask('DELETE', '/api/v1/session', { cookie: root.cookie });
    assert.equal(out.status, 204);
    assert.match(out.headers.get('set-cookie')!, /^__Host-stopgap=;.*Max-Age=0$/);
    assert.equal((await who(root.cookie)).status, 401);
    assert.match(
      await recorded('alice'),
      /"by":"admin:root",[^{}]*"data":\{"session":"[^"]*","reason":"revoked"\}/,
    );
  });

  test('takes its event feed with it when it ends', async () => {
    const alice = await signIn('alice');
    const request = http.get(new URL('/api/v1/events', server.url), {
      headers: { cookie: alice.cookie },
      agent: false,
    });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 200);
    response.resume();
    const ended = once(response, 'end');
    await ask('DELETE', '/api/v1/session', { cookie: alice.cookie });
    await ended; // the clock has not moved: no heartbeat has told it
  });

  test('ends when its person gets another password or other rights, or is gone', async () => {
    await add('eve', 'viewer');
    let { cookie } = await signIn('eve');
    await setAdminPassword({ file, name: 'eve', password: PASSWORD });
    admins = await readAdmins(file);
    assert.equal((await who(cookie)).status, 401, 'another password');
    ({ cookie } = await signIn('eve'));
    const eve = admins.get('eve')!;
    await removeAdmin({ file, name: 'eve' });
    admins = await readAdmins(file);
    assert.equal((await who(cookie)).status, 401, 'gone');
    assert.equal((await signIn('eve')).status, 401);
    await add('eve', 'admin');
    assert.notEqual(admins.get('eve')!.stamp, eve.stamp);
    assert.equal((await who(cookie)).status, 401, 'another role');
  });
});

describe('too many failures', () => {
  test('from one network put off the right password too, for a minute', async () => {
    server.clock.advance(10 * MINUTE);
    const statuses: number[] = [];
    for (let guess = 0; guess < 11; guess++)
      statuses.push((await signIn(`someone-${guess}`, { password: `guess ${guess}` })).status);
    assert.deepEqual(statuses, [...Array<number>(10).fill(401), 429]);
    const late = await signIn('alice');
    assert.deepEqual([late.status, late.headers.get('retry-after')], [429, '60']);
    server.clock.advance(MINUTE);
    assert.equal((await signIn('alice')).status, 200);
  });

  /** As a reverse proxy hands it on. What the client itself has said stands first. */
  const from = (client: string) => ({ ...OWN_PAGE, 'x-forwarded-for': `192.0.2.1, ${client}` });
  const enter = (name: string, client: string, password = PASSWORD) =>
    ask('POST', '/api/v1/sign-in', { body: { name, password }, headers: from(client) });

  test('behind a reverse proxy put off nobody but the client that it names last', async () => {
    await server.restart((deps) => ({ ...deps, admins: () => admins, trustedProxies: ['127.0.0.1'] }));
    for (let guess = 0; guess < 10; guess++) await enter(`someone-${guess}`, '203.0.113.9', `${guess}`);
    assert.equal((await enter('alice', '203.0.113.9')).status, 429);
    const { status, body } = await enter('alice', '198.51.100.7');
    assert.deepEqual([status, (body['session'] as { network: string }).network], [200, '198.51.100.7']);
    await server.restart((deps) => ({ ...deps, admins: () => admins, trustedProxies: ['10.0.0.1'] }));
    for (let guess = 0; guess < 10; guess++)
      await enter(`someone-${guess}`, `203.0.113.${guess}`, `${guess}`);
    assert.equal((await enter('alice', '198.51.100.8')).status, 429, 'nobody believes a client itself');
    await server.restart((deps) => ({ ...deps, admins: () => admins }));
  });

  test('of a name from many networks do not keep its person out where they have a session', async () => {
    await add('erin', 'operator');
    await server.restart((deps) => ({ ...deps, admins: () => admins, trustedProxies: ['127.0.0.1'] }));
    assert.equal((await enter('erin', '198.51.100.9')).status, 200);
    for (let guess = 0; guess < 21; guess++) await enter('erin', `203.0.113.${guess}`, `guess ${guess}`);
    await enter(' 198.51.100.9 erin', '203.0.113.99', 'guess');
    assert.equal((await enter('erin', '198.51.100.10')).status, 429);
    assert.equal((await enter('erin', '198.51.100.9')).status, 200);
    await server.restart((deps) => ({ ...deps, admins: () => admins }));
  });
});

describe('behind a proxy that is known', () => {
  test('one client that fails too often puts off itself alone, and the session says from where it was begun', async () => {
    await server.restart((deps) => ({ ...deps, admins: () => admins, trustedProxies: ['127.0.0.0/8'] }));
    const from = (client: string, password: string) =>
      ask('POST', '/api/v1/sign-in', {
        body: { name: 'alice', password },
        headers: { ...OWN_PAGE, 'x-forwarded-for': `192.0.2.99, ${client}` },
      });
    for (let guess = 0; guess < 10; guess++)
      assert.equal((await from('203.0.113.9', `guess ${guess}`)).status, 401);
    assert.equal((await from('203.0.113.9', PASSWORD)).status, 429);
    const other = await from('203.0.113.10', PASSWORD);
    assert.equal(other.status, 200);
    assert.equal((other.body['session'] as { network: string }).network, '203.0.113.10');
    server.clock.advance(10 * MINUTE);
  });
});

describe('the second factor', () => {
  const codeAt = (secret: string, at: number): string =>
    new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: at });

  test('is asked for after the password; each time-based code and each recovery code works once', async () => {
    await add('carol', 'admin');
    const { secret, recovery } = await startSecondFactor({ file, name: 'carol' });
    admins = await readAdmins(file);
    server.clock.advance(10 * MINUTE);
    const asked = await signIn('carol');
    assert.deepEqual([asked.status, asked.body['needs'], asked.cookie], [401, 'code', '']);
    const unknown = await signIn('carol', { password: 'x', code: '000000' });
    assert.equal(unknown.body['needs'], undefined, 'who has no password learns nothing of it');
    const now = server.clock.now();
    const code = codeAt(secret, now);
    const both = await Promise.all([signIn('carol', { code }), signIn('carol', { code })]);
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401], 'one of two at once');
    await server.restart((deps) => ({ ...deps, admins: () => admins }));
    assert.equal((await signIn('carol', { code })).status, 401, 'again');
    assert.equal(
      (await signIn('carol', { code: codeAt(secret, now - 30 * SECOND) })).status,
      401,
      'an earlier one',
    );
    server.clock.advance(30 * SECOND);
    const next = codeAt(secret, server.clock.now());
    assert.equal((await signIn('carol', { code: `${next.slice(0, 3)} ${next.slice(3)}` })).status, 200);
    const spare = recovery[3]!.toUpperCase().replaceAll('-', '');
    assert.equal((await signIn('carol', { code: spare })).status, 200);
    await server.restart((deps) => ({ ...deps, admins: () => admins }));
    assert.equal((await signIn('carol', { code: spare })).status, 401, 'used up');
    const kept = (await recorded('carol')) + server.logged.join('');
    for (const word of [secret, spare, recovery[3]!]) assert.ok(!kept.includes(word));
  });

  test('cannot be guessed by a thief of the password: ten wrong codes an hour are let through, and recovery codes besides', async () => {
    await add('frank', 'admin');
    const { secret, recovery } = await startSecondFactor({ file, name: 'frank' });
    admins = await readAdmins(file);
    const right = (): string => codeAt(secret, server.clock.now());
    const statuses: number[] = [];
    for (let guess = 0; guess < 12; guess++) {
      server.clock.advance(15 * SECOND);
      const code = String((Number(right()) + 7919 + guess) % 1_000_000).padStart(6, '0');
      statuses.push((await signIn('frank', { code })).status);
    }
    assert.deepEqual(statuses, [...Array<number>(10).fill(401), 429, 429]);
    const late = await signIn('frank', { code: right() });
    assert.deepEqual([late.status, late.headers.get('retry-after')], [429, '360']);
    assert.equal((await signIn('frank', { code: recovery[0]! })).status, 200);
    server.clock.advance(6 * MINUTE);
    assert.equal((await signIn('frank', { code: right() })).status, 200);
  });
});

describe('two processes with one store', () => {
  test('know the same sessions, and let a code in at one of them alone', async () => {
    const clock = server.clock;
    const store = await openSqliteStore({ file: path.join(folder, 'events.db'), clock });
    const change = (deps: ApiDependencies): ApiDependencies => ({ ...deps, admins: () => admins });
    await add('dave', 'operator');
    const { secret } = await startSecondFactor({ file, name: 'dave' });
    admins = await readAdmins(file);
    const first = await startOn(store, '', clock, [], change);
    const shared = changed(store, { close: () => Promise.resolve() });
    const second = await startOn(shared, '', clock, [], change);
    const known = async (): Promise<void> => {
      const head = await store.head();
      await Promise.all([first, second].map(({ deps }) => deps.models.reached(head)));
    };
    try {
      const code = new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: clock.now() });
      const body = { name: 'dave', password: PASSWORD, code };
      const both = await Promise.all(
        [first, second].map(({ url }) => ask('POST', '/api/v1/sign-in', { url, body })),
      );
      assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401]);
      const { cookie } = both.find(({ status }) => status === 200)!;
      await known();
      for (const { url } of [first, second])
        assert.equal((await ask('GET', '/api/v1/session', { url, cookie })).status, 200);
      assert.equal((await ask('DELETE', '/api/v1/session', { url: second.url, cookie })).status, 204);
      await known();
      assert.equal((await ask('GET', '/api/v1/session', { url: first.url, cookie })).status, 401);
    } finally {
      await second.stop();
      await first.stop();
    }
  });
});

/** The position of the newest event of a type, once it is there. */
async function newest(name: string, type: string): Promise<number> {
  for (;;) {
    const stream = server.deps.store.readStream(`session-${name}`, { direction: 'backwards', limit: 1 });
    for await (const event of stream) if (event.type === type) return event.position;
  }
}
