import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startSecondFactor } from '../../../src/accounts/admins.js';
import { DAY, MINUTE } from '../../../src/kernel/time.js';
import type { BrowserAnswer } from '../../support/api/browser.js';
import { PASSWORD, PeopleServer } from '../../support/api/people.js';

let people: PeopleServer;
let root: string;

before(async () => {
  people = await PeopleServer.start();
  await people.add('root', 'admin');
  root = (await people.signIn('root')).cookie;
});
after(() => people.stop());

const ask = (method: string, target: string, body?: unknown, cookie = root): Promise<BrowserAnswer> =>
  people.ask(method, target, { cookie, ...(body === undefined ? {} : { body }) });

interface Person {
  readonly name: string;
  readonly [field: string]: unknown;
}

async function personOf(name: string): Promise<Person | undefined> {
  const { body } = await ask('GET', 'people');
  return (body['items'] as Person[]).find((one) => one.name === name);
}

const tokenOf = (link: unknown): string => /^#\/link\/([\w-]{43})$/.exec(String(link))![1]!;

const byLink = (token: string, more: object = {}): Promise<BrowserAnswer> =>
  people.ask('POST', 'sign-in/link', { body: { token, password: PASSWORD, ...more } });

describe('an administrator', () => {
  test('adds a person, who sets a password by a link that works once', async () => {
    const added = await ask('POST', 'people', { name: 'Agency', role: 'domain', domains: ['Own.Example'] });
    assert.equal(added.status, 201, JSON.stringify(added.body));
    const person = added.body['person'] as Person;
    assert.deepEqual(
      [person.name, person['role'], person['domains'], person['hasPassword']],
      ['agency', 'domain', ['own.example'], false],
    );
    assert.equal((await people.signIn('agency')).status, 401);
    const { link, until } = added.body['link'] as Record<string, string>;
    assert.equal(person['linkUntil'], until);
    const token = tokenOf(link);
    assert.ok(!readFileSync(people.file, 'utf8').includes(token));
    assert.equal((await byLink(token, { password: 'short' })).status, 400);
    const both = await Promise.all([byLink(token), byLink(token)]);
    assert.equal(both.filter(({ status }) => status === 200).length, 1, 'one of two at once');
    const entered = both.find(({ status }) => status === 200)!;
    assert.deepEqual([entered.body['name'], entered.body['role']], ['agency', 'domain']);
    assert.equal(await people.status(entered.cookie), 200);
    assert.equal((await byLink(token)).status, 401);
    assert.equal((await people.signIn('agency')).status, 200);
    const now = (await personOf('agency'))!;
    assert.deepEqual([now['hasPassword'], now['linkUntil'], now['sessions']], [true, null, 2]);
    assert.ok(!(await people.recorded('agency')).includes(token));
  });

  test('hears of each field that is wrong', async () => {
    const fields = async (body: object): Promise<readonly string[]> => {
      const reply = await ask('POST', 'people', body);
      assert.equal(reply.status, 400, JSON.stringify(reply.body));
      return (reply.body['errors'] as { field: string }[]).map(({ field }) => field);
    };
    assert.deepEqual(await fields({ name: 'a b', role: 'viewer' }), ['name']);
    assert.deepEqual(await fields({ name: 'x', role: 'server' }), ['role']);
    assert.deepEqual(await fields({ name: 'x', role: 'domain' }), ['domains']);
    assert.deepEqual(await fields({ name: 'x', role: 'viewer', domains: ['a.example'] }), ['domains']);
    assert.deepEqual(await fields({ name: 'x', role: 'viewer', password: PASSWORD }), ['password']);
    assert.equal((await ask('POST', 'people', { name: 'ROOT', role: 'viewer' })).status, 409);
    assert.equal(await personOf('x'), undefined);
  });

  test('cannot have the name of a token: both would be recorded under it', async () => {
    const refused = await ask('POST', 'people', { name: 'The-Operator', role: 'operator' });
    assert.equal(refused.status, 409, JSON.stringify(refused.body));
    assert.match(String(refused.body['detail']), /there is a token the-operator already/);
    assert.equal(await personOf('the-operator'), undefined);
  });

  test('gives other rights, disables and lets in again: sessions end by it, and stay ended', async () => {
    await people.add('bob', 'operator');
    const first = await people.signIn('bob');
    const edited = await ask('PATCH', 'people/bob', { role: 'viewer' });
    assert.deepEqual([edited.status, edited.body['role'], edited.body['sessions']], [200, 'viewer', 0]);
    assert.equal(await people.status(first.cookie), 401);
    const second = await people.signIn('bob');
    assert.equal((await ask('PATCH', 'people/bob', { disabled: true })).body['disabled'], true);
    assert.equal(await people.status(second.cookie), 401);
    assert.equal((await people.signIn('bob')).status, 401);
    assert.equal((await ask('POST', 'people/bob/link')).status, 409);
    assert.equal((await ask('PATCH', 'people/bob', { disabled: false })).body['disabled'], false);
    assert.equal(await people.status(second.cookie), 401, 'what has ended does not begin again');
    assert.equal((await people.signIn('bob')).status, 200);
    const domain = await ask('PATCH', 'people/bob', { role: 'domain', domains: ['b.example'] });
    assert.deepEqual(domain.body['domains'], ['b.example']);
    assert.equal((await ask('PATCH', 'people/bob', { domains: [] })).status, 400);
    assert.deepEqual((await ask('PATCH', 'people/bob', { role: 'viewer' })).body['domains'], []);
    assert.equal((await ask('PATCH', 'people/nobody', { disabled: true })).status, 404);
  });

  test('who is the last one is not removed, demoted or disabled, by two at once neither', async () => {
    for (const [method, body] of [
      ['DELETE', undefined],
      ['PATCH', { role: 'operator' }],
      ['PATCH', { disabled: true }],
    ] as const) {
      const reply = await ask(method, 'people/root', body);
      assert.equal(reply.status, 409, method);
      assert.match(String(reply.body['detail']), /root is the last administrator/);
    }
    assert.equal((await ask('POST', 'people', { name: 'later', role: 'admin' })).status, 201);
    assert.equal((await ask('DELETE', 'people/root')).status, 409, 'who has no password yet is none');
    await ask('DELETE', 'people/later');
    await people.add('other', 'admin');
    const other = (await people.signIn('other')).cookie;
    const both = await Promise.all([
      ask('PATCH', 'people/other', { role: 'viewer' }),
      ask('PATCH', 'people/root', { role: 'viewer' }, other),
    ]);
    const statuses = both.map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 200).length, 1, statuses.join());
    assert.equal([...people.admins.values()].filter(({ role }) => role === 'admin').length, 1);
    await ask('DELETE', 'people/other');
    if (people.admins.get('root')?.role !== 'admin') {
      await ask('PATCH', 'people/root', { role: 'admin' }, other);
      root = (await people.signIn('root')).cookie;
      await ask('DELETE', 'people/other');
    }
    assert.equal(people.admins.get('other'), undefined);
  });

  test('removes a person, whose sessions end, and finds in the changes who did it', async () => {
    await people.add('eve', 'operator');
    const { cookie } = await people.signIn('eve');
    assert.equal((await ask('DELETE', 'people/eve')).status, 204);
    assert.equal(await people.status(cookie), 401);
    assert.equal((await ask('DELETE', 'people/eve')).status, 404);
    const { body } = await ask('GET', 'changes?type=PersonChanged');
    const [newest] = body['items'] as { by: string; why: string; subject: unknown }[];
    assert.deepEqual([newest!.by, newest!.why, newest!.subject], ['admin:root', 'eve: removed', null]);
    assert.match(JSON.stringify(body), /"why":"agency: domain, own.example"/);
  });

  test('makes a link for who forgot the password: it asks for their second factor, and lasts three days', async () => {
    await people.add('carol', 'viewer');
    const { recovery } = await startSecondFactor({ file: people.file, name: 'carol' });
    await people.read();
    const made = await ask('POST', 'people/carol/link');
    assert.equal(made.status, 200);
    const old = tokenOf(made.body['link']);
    const token = tokenOf((await ask('POST', 'people/carol/link')).body['link']);
    assert.equal((await byLink(old)).status, 401, 'the one before works no more');
    const asked = await byLink(token, { password: 'battery horse staple' });
    assert.deepEqual([asked.status, asked.body['needs']], [401, 'code']);
    assert.equal((await people.signIn('carol')).body['needs'], 'code', 'the password is the one before');
    people.server.clock.advance(3 * DAY - MINUTE);
    const entered = await byLink(token, { password: 'battery horse staple', code: recovery[0]! });
    assert.equal(entered.status, 200, JSON.stringify(entered.body));
    root = (await people.signIn('root')).cookie;
    const late = tokenOf((await ask('POST', 'people/carol/link')).body['link']);
    people.server.clock.advance(3 * DAY);
    assert.equal((await byLink(late, { code: recovery[1]! })).status, 401);
    people.server.clock.jump(-2 * DAY);
    const revived = await byLink(late, { password: 'battery horse staple', code: recovery[1]! });
    assert.equal(revived.status, 401, 'once its time was over the clock does not bring it back');
    people.server.clock.jump(2 * DAY);
    root = (await people.signIn('root')).cookie;
  });

  test('sees that the file cannot be written, and no change is half made', async () => {
    const before = readFileSync(people.file, 'utf8');
    await people.restart((deps) => ({
      ...deps,
      adminsFile: { path: `${people.file}/below/admins.yaml`, readAgain: () => Promise.resolve() },
    }));
    assert.equal((await ask('GET', 'people')).body['changeable'], false);
    for (const [method, target, body] of [
      ['POST', 'people', { name: 'new', role: 'viewer' }],
      ['POST', 'people/carol/link', undefined],
      ['DELETE', 'people/carol/passkeys', undefined],
      ['PATCH', 'people/carol', { role: 'operator' }],
      ['DELETE', 'people/carol', undefined],
    ] as const) {
      const reply = await ask(method, target, body);
      assert.equal(reply.status, 409, `${method} ${target}: ${JSON.stringify(reply.body)}`);
      assert.match(String(reply.body['detail']), /use stopgap admin on its machine/);
    }
    assert.equal(readFileSync(people.file, 'utf8'), before);
  });
});
