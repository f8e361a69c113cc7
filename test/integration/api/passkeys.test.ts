import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { removeAdmin, removePasskeys, setAdminPassword } from '../../../src/accounts/admins.js';
import { DAY, HOUR, MINUTE, formatInstant } from '../../../src/kernel/time.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { Authenticator } from '../../support/api/authenticator.js';
import { browse } from '../../support/api/browser.js';
import type { BrowserAnswer, BrowserAsking } from '../../support/api/browser.js';
import { PASSWORD, PeopleServer } from '../../support/api/people.js';
import { startOn, TOKENS } from '../../support/api/server.js';
import { changed } from '../../support/store/changed.js';

const PAGE = 'https://mail.example.com/stopgap';
const PARTY = { rpId: 'mail.example.com', origin: 'https://mail.example.com' };
const OWN = 'session/passkeys';
const SIGN_IN = 'sign-in/passkey';
let people: PeopleServer;

before(async () => {
  people = await PeopleServer.start((deps) => ({
    ...deps,
    publicUrl: PAGE,
    vouchers: { evaluation: 'evaluation' },
    proxyAuth: {
      from: ['127.0.0.1'],
      userHeader: 'Remote-User',
      groupsHeader: 'Remote-Groups',
      roles: { a: 'admin' },
    },
  }));
});
after(() => people.stop());

type Options = { readonly challenge: string; readonly user: { readonly id: string } };
const optionsOf = ({ body }: BrowserAnswer): Options => body as unknown as Options;
const itemsOf = ({ body }: BrowserAnswer) => body['items'] as Record<string, unknown>[];

/** Adds a passkey. @returns the answer, with the cookie of the session that is left */
async function add(
  device: Authenticator,
  cookie: string,
  { name = 'laptop', ...more }: Record<string, unknown> = {},
): Promise<BrowserAnswer> {
  const begun = await people.ask('POST', `${OWN}/begin`, { cookie, body: { name, password: PASSWORD } });
  assert.equal(begun.status, 200, JSON.stringify(begun.body));
  const { challenge } = optionsOf(begun);
  const credential = device.create({ challenge, ...PARTY, ...more });
  return people.ask('POST', OWN, { cookie: `${cookie}; ${begun.cookie}`, body: { name, credential } });
}

/** A person with a passkey. */
async function withPasskey(
  name: string,
  role = 'viewer',
): Promise<{ device: Authenticator; cookie: string }> {
  await people.add(name, role);
  const device = new Authenticator();
  const added = await add(device, (await people.signIn(name)).cookie);
  assert.equal(added.status, 201, JSON.stringify(added.body));
  return { device, cookie: added.cookie };
}

async function signIn(device: Authenticator, more: Record<string, unknown> = {}): Promise<BrowserAnswer> {
  const begun = await people.ask('POST', `${SIGN_IN}/begin`);
  const credential = device.get({ challenge: optionsOf(begun).challenge, ...PARTY, ...more });
  return people.ask('POST', SIGN_IN, { cookie: begun.cookie, body: { credential } });
}

describe('a passkey', () => {
  test('is added with the password, named, listed, and signs in without password and code', async () => {
    await people.add('alice', 'operator');
    const device = new Authenticator();
    const [{ cookie }, other] = [await people.signIn('alice'), await people.signIn('alice')];
    const wrong = await people.ask('POST', `${OWN}/begin`, {
      cookie,
      body: { name: 'x', password: 'wrong' },
    });
    assert.deepEqual(wrong.body['errors'], [{ field: 'password', message: 'is wrong' }]);
    assert.equal(wrong.cookie, '');
    const added = await add(device, cookie, { name: ' Büro 1: #2 "x" ' });
    assert.equal(added.status, 201, JSON.stringify(added.body));
    const addedAt = formatInstant(people.server.clock.now());
    const view = { id: device.id, name: 'Büro 1: #2 "x"', addedAt, lastUsedAt: null };
    assert.deepEqual(added.body, view);
    const left = [cookie, other.cookie, added.cookie].map((one) => people.status(one));
    assert.deepEqual(await Promise.all(left), [401, 401, 200], 'as with another password');
    people.server.clock.advance(MINUTE);

    const entered = await signIn(device);
    assert.deepEqual(
      [entered.status, entered.body['name'], entered.body['role'], entered.body['by']],
      [200, 'alice', 'operator', 'passkey'],
    );
    assert.match(entered.headers.get('set-cookie')!, /__Host-stopgap-passkey=;.*Max-Age=0/);
    const lastUsedAt = formatInstant(people.server.clock.now());
    const listed = await people.ask('GET', OWN, { cookie: entered.cookie });
    assert.deepEqual(itemsOf(listed), [{ ...view, lastUsedAt }]);
    const again = await people.ask('POST', `${OWN}/begin`, {
      cookie: entered.cookie,
      body: { name: 'x', password: PASSWORD },
    });
    const excluded = (again.body as unknown as { excludeCredentials: unknown }).excludeCredentials;
    assert.deepEqual(excluded, [{ id: device.id, type: 'public-key', transports: ['internal'] }]);
    const kept = await people.recorded('alice');
    assert.match(kept, /"what":"passkey","description":"alice: the passkey Büro 1/);
    assert.match(readFileSync(people.file, 'utf8'), new RegExp(device.id));
  });

  test('is one of several, and is removed with the password: its sessions end too', async () => {
    const { device, cookie } = await withPasskey('bob');
    const phone = new Authenticator();
    const second = await add(phone, cookie, { name: 'phone' });
    const byPhone = await signIn(phone);
    assert.equal(byPhone.status, 200);
    const remove = (password: string, id: string, by: string) =>
      people.ask('DELETE', `${OWN}/${id}`, { cookie: by, body: { password } });
    assert.equal((await remove('wrong', phone.id, second.cookie)).status, 400);
    assert.equal((await remove(PASSWORD, 'nobody', second.cookie)).status, 404);
    const removed = await remove(PASSWORD, phone.id, second.cookie);
    assert.equal(removed.status, 204, JSON.stringify(removed.body));
    assert.deepEqual([await people.status(byPhone.cookie), await people.status(removed.cookie)], [401, 200]);
    assert.equal((await signIn(phone)).status, 401);
    assert.equal((await signIn(device)).status, 200);
    const names = itemsOf(await people.ask('GET', OWN, { cookie: removed.cookie })).map(({ name }) => name);
    assert.deepEqual(names, ['laptop']);
  });

  test('is of one person alone, and nobody has more than twenty', async () => {
    const { device } = await withPasskey('carl');
    await people.add('cleo', 'viewer');
    let { cookie } = await people.signIn('cleo');
    assert.equal((await add(device, cookie)).status, 409);
    for (let count = 0; count < 20; count++) {
      const added = await add(new Authenticator(), cookie);
      assert.equal(added.status, 201);
      cookie = added.cookie;
    }
    assert.equal((await add(new Authenticator(), cookie)).status, 409);
  });

  test('is not added to an answer that proves nothing, in time, for this session and this place', async () => {
    await people.add('dora', 'viewer');
    const { cookie } = await people.signIn('dora');
    const device = new Authenticator();
    for (const [what, more] of [
      ['another site', { origin: 'https://evil.example.com' }],
      ['another name', { rpId: 'example.com' }],
      ['nobody verified', { isVerified: false }],
      ['another challenge', { challenge: 'c29tZXRoaW5nIGVsc2U' }],
    ] as const) {
      const reply = await add(device, cookie, more);
      assert.equal(reply.status, 400, what);
      assert.match(JSON.stringify(reply.body['errors']), /"credential"/, what);
    }
    const renamed = await people.ask('POST', `${OWN}/begin`, {
      cookie,
      body: { name: 'x', password: PASSWORD },
    });
    const made = device.create({ challenge: optionsOf(renamed).challenge, ...PARTY });
    const { id } = new Authenticator();
    const body = { name: 'x', credential: { ...made, id, rawId: id } };
    const reply = await people.ask('POST', OWN, { cookie: `${cookie}; ${renamed.cookie}`, body });
    assert.equal(reply.status, 400, 'the name of another key beside it');
    const begin = (by: string) =>
      people.ask('POST', `${OWN}/begin`, { cookie: by, body: { name: 'x', password: PASSWORD } });
    const begun = await begin(cookie);
    const credential = device.create({ challenge: optionsOf(begun).challenge, ...PARTY });
    const finish = (by: string, name: unknown = 'x') =>
      people.ask('POST', OWN, { cookie: by, body: { name, credential } });
    const other = await people.signIn('dora');
    assert.equal((await finish(`${other.cookie}; ${begun.cookie}`)).status, 400, 'another session');
    const start = await people.ask('POST', `${SIGN_IN}/begin`);
    const signed = device.create({ challenge: optionsOf(start).challenge, ...PARTY });
    const without = await people.ask('POST', OWN, {
      cookie: `${cookie}; ${start.cookie}`,
      body: { name: 'x', credential: signed },
    });
    assert.equal(without.status, 400, 'a challenge that needed no password');
    assert.equal((await finish(cookie)).status, 409, 'no challenge');
    assert.equal((await finish(`${cookie}; ${begun.cookie}`, 'y')).status, 400, 'another name');
    for (const name of ['', ' ', 'x'.repeat(61), 'a\nb', 'a\u202eb', 7]) {
      const early = await people.ask('POST', `${OWN}/begin`, { cookie, body: { name, password: PASSWORD } });
      for (const reply of [early, await finish(`${cookie}; ${begun.cookie}`, name)])
        assert.match(JSON.stringify(reply.body['errors']), /"name"/, JSON.stringify(name));
    }
    people.server.clock.advance(5 * MINUTE + 1);
    assert.equal((await finish(`${cookie}; ${begun.cookie}`)).status, 409, 'too late');
    assert.deepEqual(people.admins.get('dora')!.passkeys, []);
  });

  test('lets nobody in who proves nothing, and everybody hears the same', async () => {
    const { device } = await withPasskey('emil');
    people.server.clock.advance(10 * MINUTE);
    const answers: BrowserAnswer[] = [];
    for (const [who, more] of [
      [device, { origin: 'https://evil.example.com' }],
      [device, { rpId: 'example.com' }],
      [device, { isVerified: false }],
      [device, { challenge: 'c29tZXRoaW5nIGVsc2U' }],
      [device, { userHandle: 'c29tZWJvZHk' }],
      [new Authenticator(), {}],
    ] as const)
      answers.push(await signIn(who, more));
    const forged = new Authenticator();
    Object.assign(forged, { id: device.id });
    answers.push(await signIn(forged));
    for (const { status, body } of answers) {
      assert.equal(status, 401);
      assert.equal(body['detail'], answers[0]!.body['detail']);
    }
    const late = await people.ask('POST', SIGN_IN, {
      body: { credential: device.get({ challenge: 'c29tZXRoaW5nIGVsc2U', ...PARTY }) },
    });
    assert.match(String(late.body['detail']), /too long/);
    assert.equal((await signIn(device)).status, 200);
  });

  test('has its attempts limited as passwords have', async () => {
    people.server.clock.advance(10 * MINUTE);
    const statuses: number[] = [];
    for (let count = 0; count < 11; count++) statuses.push((await signIn(new Authenticator())).status);
    assert.deepEqual(statuses, [...Array<number>(10).fill(401), 429]);
    people.server.clock.advance(10 * MINUTE);
  });

  test('signs in no more than sixty times an hour, also after a restart: each is recorded for good', async () => {
    const [{ device }, { device: other }] = [await withPasskey('often'), await withPasskey('seldom')];
    for (let count = 0; count < 60; count++) assert.equal((await signIn(device)).status, 200);
    const put = await signIn(device);
    assert.deepEqual([put.status, put.headers.get('retry-after')], [429, '3600']);
    assert.equal((await signIn(other)).status, 200);
    await people.restart();
    assert.equal((await signIn(device)).status, 429);
    people.server.clock.advance(HOUR);
    assert.equal((await signIn(device)).status, 200);
  });

  test('signs a challenge once, within five minutes, which nobody can choose', async () => {
    const { device } = await withPasskey('fay');
    const begun = await people.ask('POST', `${SIGN_IN}/begin`);
    const credential = device.get({ challenge: optionsOf(begun).challenge, ...PARTY });
    const send = (cookie = begun.cookie) => people.ask('POST', SIGN_IN, { cookie, body: { credential } });
    const both = await Promise.all([send(), send()]);
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401]);
    assert.equal((await send()).status, 401);
    await people.restart();
    assert.equal((await send()).status, 401, 'also after a restart');

    const later = await people.ask('POST', `${SIGN_IN}/begin`);
    const slow = device.get({ challenge: optionsOf(later).challenge, ...PARTY });
    const finish = (cookie: string) => people.ask('POST', SIGN_IN, { cookie, body: { credential: slow } });
    people.server.clock.advance(5 * MINUTE + 1);
    assert.equal((await finish(later.cookie)).status, 401);
    const now = people.server.clock.now().toString(36);
    assert.equal((await finish(later.cookie.replace(/=[^.]+/, `=${now}`))).status, 401, 'made younger');
  });

  test('that counts is not taken with a count of before', async () => {
    const { device } = await withPasskey('gil');
    assert.equal((await signIn(device, { counter: 5 })).status, 200);
    for (const counter of [5, 4, 0]) assert.equal((await signIn(device, { counter })).status, 401);
    await people.restart();
    assert.equal((await signIn(device, { counter: 5 })).status, 401);
    assert.equal((await signIn(device, { counter: 6 })).status, 200);
  });

  test('lets nobody in who is disabled or removed, and has sessions that end when the account is changed', async () => {
    await people.add('root', 'admin');
    const { device } = await withPasskey('hans', 'operator');
    const root = (await people.signIn('root')).cookie;
    const edit = (body: object) => people.ask('PATCH', 'people/hans', { cookie: root, body });
    const entered = await signIn(device);
    assert.equal((await edit({ disabled: true })).body['passkeys'], 1);
    assert.deepEqual([await people.status(entered.cookie), (await signIn(device)).status], [401, 401]);
    await edit({ disabled: false });
    assert.equal(await people.status(entered.cookie), 401, 'it stays ended');
    const second = await signIn(device);
    assert.equal(second.status, 200);
    await setAdminPassword({ file: people.file, name: 'hans', password: 'another horse and battery' });
    await people.read();
    assert.equal(await people.status(second.cookie), 401);
    assert.equal((await signIn(device)).status, 200, 'a passkey is not a password');
    await removeAdmin({ file: people.file, name: 'hans' });
    await people.read();
    assert.equal((await signIn(device)).status, 401);
    people.server.clock.advance(10 * MINUTE);
  });

  test('is none of a token, of somebody that a proxy signs in, and of an evaluation', async () => {
    const demo = await people.ask('POST', 'sign-in/evaluation', {
      headers: { 'sec-fetch-site': 'same-origin' },
    });
    const own = { 'sec-fetch-site': 'same-origin' };
    const body = { password: PASSWORD };
    const credential = new Authenticator().create({ challenge: 'eA', ...PARTY });
    const askers: readonly BrowserAsking[] = [
      { headers: { authorization: `Bearer ${TOKENS.admin}` } },
      { headers: { ...own, 'Remote-User': 'alice', 'Remote-Groups': 'a' } },
      { cookie: demo.cookie },
    ];
    for (const asking of askers) {
      const status = async (method: string, target: string, sent?: object): Promise<number> =>
        (await people.ask(method, target, { ...asking, ...(sent === undefined ? {} : { body: sent }) }))
          .status;
      assert.equal(await status('GET', OWN), 409);
      assert.equal(await status('POST', `${OWN}/begin`, { name: 'x', ...body }), 409);
      assert.equal(await status('POST', OWN, { name: 'x', credential }), 409);
      assert.equal(await status('DELETE', `${OWN}/x`, body), 409);
    }
  });

  test('is asked for by the own page alone, and by what has the form of one', async () => {
    const headers = { 'sec-fetch-site': 'cross-site' };
    const { device } = await withPasskey('ida');
    const credential = device.get({ challenge: 'eA', ...PARTY });
    assert.equal((await people.ask('POST', `${SIGN_IN}/begin`, { headers })).status, 403);
    assert.equal((await people.ask('POST', SIGN_IN, { headers, body: { credential } })).status, 403);
    for (const wrong of [
      {},
      { credential: {} },
      { credential: { ...credential, id: 'a b' } },
      { credential: 1 },
    ])
      assert.equal((await people.ask('POST', SIGN_IN, { body: wrong })).status, 400);
    const long = { ...credential, response: { clientDataJSON: 'x'.repeat(20_000) } };
    assert.equal((await people.ask('POST', SIGN_IN, { body: { credential: long } })).status, 413);
    const broken = { clientDataJSON: 'eA', authenticatorData: 'eA', signature: 'eA' };
    const begun = await people.ask('POST', `${SIGN_IN}/begin`);
    const body = { credential: { ...credential, response: broken } };
    assert.equal((await people.ask('POST', SIGN_IN, { cookie: begun.cookie, body })).status, 401);
  });
});

describe('where there can be passkeys', () => {
  test('the ways to sign in say so: by an HTTPS name in api.publicUrl, else as localhost', async () => {
    const ways = async (publicUrl: string | undefined, host: string): Promise<unknown> => {
      await people.restart((deps) => ({ ...deps, publicUrl }));
      const url = people.server.url.replace('127.0.0.1', host);
      const there = (await browse(url, 'GET', '/api/v1/sign-in')).body['passkeys'];
      const begun = await browse(url, 'POST', `/api/v1/${SIGN_IN}/begin`);
      assert.equal(begun.status, there === true ? 200 : 409);
      return begun.body['rpId'];
    };
    assert.equal(await ways(PAGE, '127.0.0.1'), 'mail.example.com');
    assert.equal(await ways('http://mail.example.com', '127.0.0.1'), undefined, 'browsers have none there');
    assert.equal(await ways('https://192.0.2.1', 'localhost'), undefined);
    assert.equal(await ways('https://[2001:db8::1]', 'localhost'), undefined);
    assert.equal(await ways(undefined, 'localhost'), 'localhost');
    assert.equal(await ways(undefined, '127.0.0.1'), undefined);
    await people.restart((deps) => ({ ...deps, publicUrl: PAGE }));
  });
});

describe('an administrator takes the passkeys of another person', () => {
  test('who had them in a lost phone: they sign in no more, the sessions end, and the password goes on', async () => {
    await people.add('chief', 'admin');
    const { device: phone, cookie } = await withPasskey('lena', 'operator');
    const laptop = new Authenticator();
    assert.equal((await add(laptop, cookie, { name: 'laptop 2' })).status, 201);
    const byPhone = await signIn(phone);
    assert.equal(byPhone.status, 200);
    const chief = (await people.signIn('chief')).cookie;
    const take = (by = chief) => people.ask('DELETE', 'people/lena/passkeys', { cookie: by });

    const taken = await take();

    assert.equal(taken.status, 204, JSON.stringify(taken.body));
    assert.equal(await people.status(byPhone.cookie), 401, 'the session of the thief');
    for (const device of [phone, laptop]) assert.equal((await signIn(device)).status, 401);
    const [person] = itemsOf(await people.ask('GET', 'people', { cookie: chief })).filter(
      ({ name }) => name === 'lena',
    );
    assert.deepEqual([person!['passkeys'], person!['sessions']], [0, 0]);
    const changes = await people.ask('GET', 'changes?type=PersonChanged', { cookie: chief });
    const { by, why } = itemsOf(changes)[0]!;
    assert.deepEqual([by, why], ['admin:chief', 'lena: no passkeys any more']);
    assert.equal((await people.signIn('lena')).status, 200, 'by the password');
    people.server.clock.advance(10 * MINUTE);
  });

  test('who has none: the sessions end all the same, and a passkey that was being added is not', async () => {
    await people.add('major', 'admin');
    await people.add('tess', 'operator');
    const major = (await people.signIn('major')).cookie;
    const { cookie } = await people.signIn('tess');
    const begun = await people.ask('POST', `${OWN}/begin`, {
      cookie,
      body: { name: 'x', password: PASSWORD },
    });
    const credential = new Authenticator().create({ challenge: optionsOf(begun).challenge, ...PARTY });

    const taken = await people.ask('DELETE', 'people/tess/passkeys', { cookie: major });

    assert.equal(taken.status, 204, JSON.stringify(taken.body));
    assert.equal(await people.status(cookie), 401);
    const both = `${cookie}; ${begun.cookie}`;
    const added = await people.ask('POST', OWN, { cookie: both, body: { name: 'x', credential } });
    assert.equal(added.status, 401, JSON.stringify(added.body));
    assert.deepEqual(people.admins.get('tess')!.passkeys, []);
    const changes = await people.ask('GET', 'changes?type=PersonChanged', { cookie: major });
    const { by, why } = itemsOf(changes)[0]!;
    assert.deepEqual([by, why], ['admin:major', 'tess: no passkeys; the sessions ended']);
    assert.equal((await people.signIn('tess')).status, 200, 'by the password');
    people.server.clock.advance(10 * MINUTE);
  });

  test('which a process that has not heard of it yet lets nobody undo', async () => {
    const { device, cookie } = await withPasskey('olga', 'operator');
    const begun = await people.ask('POST', `${OWN}/begin`, {
      cookie,
      body: { name: 'x', password: PASSWORD },
    });
    const credential = new Authenticator().create({ challenge: optionsOf(begun).challenge, ...PARTY });

    await removePasskeys({ file: people.file, name: 'olga' });

    const newPassword = 'a password of the thief';
    const both = `${cookie}; ${begun.cookie}`;
    for (const [method, target, by, body] of [
      ['POST', OWN, both, { name: 'x', credential }],
      ['DELETE', `${OWN}/${device.id}`, cookie, { password: PASSWORD }],
      ['PUT', 'session/password', cookie, { password: PASSWORD, newPassword }],
    ] as const) {
      const reply = await people.ask(method, target, { cookie: by, body });
      assert.equal(reply.status, 409, `${method} ${target}: ${JSON.stringify(reply.body)}`);
      assert.match(String(reply.body['detail']), /was changed meanwhile/);
    }
    await people.read();
    assert.deepEqual([people.admins.get('olga')!.passkeys, await people.status(cookie)], [[], 401]);
    assert.equal((await people.signIn('olga')).status, 200, 'by the password of before');
  });

  test('and nobody else does, nor of a person who is not there', async () => {
    await people.add('mayor', 'admin');
    const { device, cookie } = await withPasskey('nora', 'operator');
    const refused = await people.ask('DELETE', 'people/mayor/passkeys', { cookie });
    assert.equal(refused.status, 403);
    assert.equal((await people.ask('DELETE', 'people/nora/passkeys')).status, 401);
    const mayor = (await people.signIn('mayor')).cookie;
    assert.equal((await people.ask('DELETE', 'people/nobody/passkeys', { cookie: mayor })).status, 404);
    assert.equal((await signIn(device)).status, 200);
    people.server.clock.advance(10 * MINUTE);
  });
});

describe('two processes with one store', () => {
  test('one ends what the other began, and of both at once only one lets an answer in', async () => {
    const { device } = await withPasskey('jan');
    const { clock } = people.server;
    const store = await openSqliteStore({ file: path.join(path.dirname(people.file), 'events.db'), clock });
    const given = { admins: () => people.admins, publicUrl: PAGE };
    const first = await startOn(store, '', clock, [], (deps) => ({ ...deps, ...given }));
    const shared = changed(store, { close: () => Promise.resolve() });
    const second = await startOn(shared, '', clock, [], (deps) => ({ ...deps, ...given }));
    try {
      const begun = await browse(first.url, 'POST', `/api/v1/${SIGN_IN}/begin`);
      const credential = device.get({ challenge: optionsOf(begun).challenge, ...PARTY });
      const both = await Promise.all(
        [first, second, second].map(({ url }) =>
          browse(url, 'POST', `/api/v1/${SIGN_IN}`, { cookie: begun.cookie, body: { credential } }),
        ),
      );
      assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401, 401]);
    } finally {
      await second.stop();
      await first.stop();
    }
  });
});

describe('a session that has ended', () => {
  test('does not begin again when its person becomes what they were', async () => {
    await people.add('boss', 'admin');
    await people.add('kim', 'operator');
    people.server.clock.advance(DAY);
    const boss = (await people.signIn('boss')).cookie;
    const edit = (body: object) => people.ask('PATCH', 'people/kim', { cookie: boss, body });
    for (const [there, back] of [
      [{ role: 'viewer' }, { role: 'operator' }],
      [{ disabled: true }, { disabled: false }],
    ] as const) {
      const { cookie } = await people.signIn('kim');
      assert.equal((await edit(there)).status, 200);
      assert.equal(await people.status(cookie), 401);
      assert.equal((await edit(back)).status, 200);
      assert.equal(await people.status(cookie), 401, JSON.stringify(back));
    }
    const [one, other] = [await people.signIn('kim'), await people.signIn('kim')];
    const device = new Authenticator();
    const added = await add(device, one.cookie);
    const body = { password: PASSWORD };
    assert.equal(
      (await people.ask('DELETE', `${OWN}/${device.id}`, { cookie: added.cookie, body })).status,
      204,
    );
    assert.equal(await people.status(other.cookie), 401, 'a passkey that is gone again');
    const same = await people.signIn('kim');
    assert.equal((await edit({ role: 'operator' })).status, 200);
    assert.equal(await people.status(same.cookie), 200, 'nothing was changed');
    people.server.clock.advance(HOUR);
  });
});
