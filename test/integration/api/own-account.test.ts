import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Secret, TOTP } from 'otpauth';
import { DAY, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { TOKENS } from '../../support/api/server.js';
import { PASSWORD, PeopleServer } from '../../support/api/people.js';

const ANOTHER = 'another horse and battery';
let people: PeopleServer;

before(async () => {
  people = await PeopleServer.start((deps) => ({
    ...deps,
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

const codeOf = (secret: string): string =>
  new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: people.server.clock.now() });

const FACTOR = 'session/second-factor';

describe('the own password', () => {
  test('is changed with the one before: other sessions end, and the browser that asked gets another cookie', async () => {
    await people.add('alice', 'viewer');
    const [here, elsewhere] = [await people.signIn('alice'), await people.signIn('alice')];
    const change = (password: string, newPassword: string) =>
      people.ask('PUT', 'session/password', { cookie: here.cookie, body: { password, newPassword } });
    const wrong = await change('wrong', ANOTHER);
    assert.equal(wrong.status, 400);
    assert.deepEqual(wrong.body['errors'], [{ field: 'password', message: 'is wrong' }]);
    const weak = await change(PASSWORD, 'short');
    assert.deepEqual(
      (weak.body['errors'] as { field: string }[]).map(({ field }) => field),
      ['newPassword'],
    );
    assert.equal(await people.status(here.cookie), 200, 'a mistake ends nothing');
    const done = await change(PASSWORD, ANOTHER);
    assert.deepEqual([done.status, done.body['name']], [200, 'alice']);
    assert.deepEqual(
      [
        await people.status(here.cookie),
        await people.status(elsewhere.cookie),
        await people.status(done.cookie),
      ],
      [401, 401, 200],
    );
    assert.equal((await people.signIn('alice')).status, 401);
    assert.equal((await people.signIn('alice', { password: ANOTHER })).status, 200);
    const kept = (await people.recorded('alice')) + people.server.logged.join('');
    assert.match(kept, /PersonChanged.*"what":"password"/);
    for (const secret of [ANOTHER, PASSWORD, 'wrong"']) assert.ok(!kept.includes(secret));
  });

  test('is not guessed by who finds an open session', async () => {
    people.server.clock.advance(10 * MINUTE);
    await people.add('bob', 'viewer');
    const { cookie } = await people.signIn('bob');
    const statuses: number[] = [];
    for (let guess = 0; guess < 11; guess++) {
      const body = { password: `guess ${guess}`, newPassword: ANOTHER };
      statuses.push((await people.ask('PUT', 'session/password', { cookie, body })).status);
    }
    assert.deepEqual(statuses, [...Array<number>(10).fill(400), 429]);
    people.server.clock.advance(10 * MINUTE);
  });

  test('is none of a token, of somebody that a proxy signs in, and of an evaluation', async () => {
    const demo = await people.ask('POST', 'sign-in/evaluation');
    await people.add('demo', 'admin');
    const own = { 'sec-fetch-site': 'same-origin' };
    for (const [what, asking] of [
      ['token', { headers: { authorization: `Bearer ${TOKENS.admin}` } }],
      ['proxy', { headers: { ...own, 'Remote-User': 'alice', 'Remote-Groups': 'a' } }],
      ['evaluation', { cookie: demo.cookie }],
    ] as const) {
      const status = async (method: string, target: string, body?: object): Promise<number> =>
        (await people.ask(method, target, { ...asking, ...(body === undefined ? {} : { body }) })).status;
      const change = { password: PASSWORD, newPassword: ANOTHER };
      assert.equal(await status('PUT', 'session/password', change), 409, what);
      assert.equal(await status('POST', FACTOR, { password: PASSWORD }), 409, what);
      assert.equal(await status('PUT', FACTOR, { code: '000000' }), 409, what);
      assert.equal(await status('DELETE', FACTOR, { password: PASSWORD }), 409, what);
    }
    assert.equal((await people.signIn('demo')).status, 200);
  });

  test('is not changed where the file cannot be written, and the answer says what to do', async () => {
    await people.add('fay', 'viewer');
    const { cookie } = await people.signIn('fay');
    const before = people.file;
    await people.restart((deps) => ({
      ...deps,
      adminsFile: { path: `${people.file}/below/admins.yaml`, readAgain: () => Promise.resolve() },
    }));
    const body = { password: PASSWORD, newPassword: ANOTHER };
    const refused = await people.ask('PUT', 'session/password', { cookie, body });
    assert.equal(refused.status, 409, JSON.stringify(refused.body));
    assert.match(String(refused.body['detail']), /cannot be written by the server: use stopgap admin/);
    assert.equal(await people.status(cookie), 200);
    await people.restart((deps) => ({
      ...deps,
      adminsFile: { path: before, readAgain: () => people.read() },
    }));
  });
});

describe('the own second factor', () => {
  test('counts once it is confirmed by a code, and gives recovery codes', async () => {
    await people.add('carol', 'operator');
    const { cookie } = await people.signIn('carol');
    assert.equal((await people.ask('PUT', FACTOR, { cookie, body: { code: '000000' } })).status, 409);
    const begin = (cookie: string) => people.ask('POST', FACTOR, { cookie, body: { password: PASSWORD } });
    const begun = await begin(cookie);
    const [secret, uri] = [String(begun.body['secret']), String(begun.body['uri'])];
    assert.match(uri, new RegExp(`^otpauth://totp/Stopgap:carol\\?.*secret=${secret}`));
    assert.equal((await people.signIn('carol')).status, 200, 'it does not count yet');
    const wrong = await people.ask('PUT', FACTOR, { cookie, body: { code: '12345' } });
    assert.deepEqual(wrong.body['errors'], [{ field: 'code', message: 'is wrong' }]);
    const code = codeOf(secret);
    const done = await people.ask('PUT', FACTOR, { cookie, body: { code } });
    assert.equal(done.status, 200, JSON.stringify(done.body));
    const codes = done.body['recoveryCodes'] as string[];
    assert.equal(new Set(codes).size, 10);
    assert.deepEqual([await people.status(cookie), await people.status(done.cookie)], [401, 200]);
    const who = await people.ask('GET', 'session', { cookie: done.cookie });
    assert.equal(who.body['secondFactor'], true);
    assert.equal((await people.signIn('carol')).body['needs'], 'code');
    assert.equal((await people.signIn('carol', { code })).status, 401, 'the code is used up');
    people.server.clock.advance(30 * SECOND);
    assert.equal((await people.signIn('carol', { code: codeOf(secret) })).status, 200);
    assert.equal((await people.signIn('carol', { code: codes[0]! })).status, 200);
    assert.equal((await begin(done.cookie)).status, 409, 'there is one');
    const kept = (await people.recorded('carol')) + people.server.logged.join('');
    for (const word of [secret, ...codes]) assert.ok(!kept.includes(word));
  });

  test('is not begun by who finds an open session: it would keep the owner out', async () => {
    await people.add('erin', 'viewer');
    const { cookie } = await people.signIn('erin');
    const begin = (body: object) => people.ask('POST', FACTOR, { cookie, body });
    assert.deepEqual((await begin({ password: 'wrong' })).body['errors'], [
      { field: 'password', message: 'is wrong' },
    ]);
    assert.equal((await begin({})).status, 400);
    assert.equal((await people.ask('PUT', FACTOR, { cookie, body: { code: '000000' } })).status, 409);
    assert.equal((await people.signIn('erin')).status, 200);
  });

  test('is removed with the password', async () => {
    const before = people.admins.get('carol')!;
    people.server.clock.advance(MINUTE);
    const { cookie } = await people.signIn('carol', { code: codeOf(before.totp!) });
    const remove = (password: string) => people.ask('DELETE', FACTOR, { cookie, body: { password } });
    assert.equal((await remove('wrong')).status, 400);
    assert.notEqual(people.admins.get('carol')!.totp, undefined);
    const done = await remove(PASSWORD);
    assert.equal(done.status, 204);
    assert.deepEqual([await people.status(cookie), await people.status(done.cookie)], [401, 200]);
    assert.equal((await people.signIn('carol')).status, 200);
    const again = { cookie: done.cookie, body: { password: PASSWORD } };
    assert.equal((await people.ask('DELETE', FACTOR, again)).status, 409);
  });

  test('is begun anew after ten minutes, and a secret is of one session alone', async () => {
    people.server.clock.advance(DAY);
    await people.add('dora', 'viewer');
    const [one, two] = [await people.signIn('dora'), await people.signIn('dora')];
    const { body } = await people.ask('POST', FACTOR, { cookie: one.cookie });
    const confirm = async (cookie: string): Promise<number> =>
      (await people.ask('PUT', FACTOR, { cookie, body: { code: codeOf(String(body['secret'])) } })).status;
    assert.equal(await confirm(two.cookie), 409);
    people.server.clock.advance(11 * MINUTE);
    assert.equal(await confirm(one.cookie), 409);
  });
});
