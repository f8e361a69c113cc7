import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { removeAdmin } from '../../../src/accounts/admins.js';
import { FirstLink } from '../../../src/api/index.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { PASSWORD, PeopleServer } from '../../support/api/people.js';

const TOKEN = 'a-token-of-the-first-link';
const body = { token: TOKEN, name: 'Alice', password: PASSWORD };
let people: PeopleServer;

before(async () => {
  people = await PeopleServer.start((deps) => ({
    ...deps,
    first: new FirstLink(TOKEN, () => people.admins),
  }));
});
after(() => people.stop());

const isOffered = async (): Promise<unknown> => (await people.ask('GET', 'sign-in')).body['first'];

describe('the link for the first administrator', () => {
  test('makes nobody with a wrong token, a weak password, a name that is none, or for a page of another site', async () => {
    assert.equal(await isOffered(), true);
    const status = async (more: object, headers?: Readonly<Record<string, string>>): Promise<number> => {
      const asking = { body: { ...body, ...more }, ...(headers === undefined ? {} : { headers }) };
      return (await people.ask('POST', 'sign-in/first', asking)).status;
    };
    assert.equal(await status({ token: 'another' }), 401);
    assert.equal(await status({ token: '' }), 401);
    assert.equal(await status({ password: 'eleven char' }), 400);
    assert.equal(await status({ password: 'ä'.repeat(513) }), 400);
    assert.equal(await status({ name: 'a b' }), 400);
    assert.equal(await status({}, { 'sec-fetch-site': 'cross-site' }), 403);
    assert.equal(people.admins.size, 0);
    assert.equal(await isOffered(), true, 'a mistake does not use it up');
  });

  test('is not guessed: too many wrong tokens from one network are put off', async () => {
    people.server.clock.advance(10 * MINUTE);
    const statuses: number[] = [];
    for (let guess = 0; guess < 11; guess++) {
      const wrong = { ...body, token: `guess-${guess}` };
      statuses.push((await people.ask('POST', 'sign-in/first', { body: wrong })).status);
    }
    assert.deepEqual(statuses, [...Array<number>(10).fill(401), 429]);
    people.server.clock.advance(10 * MINUTE);
  });

  test('makes nobody of the name of a token, and is not used up by that', async () => {
    const asked = { body: { ...body, name: 'the-admin' } };
    const refused = await people.ask('POST', 'sign-in/first', asked);
    assert.equal(refused.status, 409, JSON.stringify(refused.body));
    assert.match(String(refused.body['detail']), /there is a token the-admin already/);
    assert.equal(await isOffered(), true);
  });

  test('makes one administrator, once, who is signed in by it', async () => {
    const both = await Promise.all(
      ['alice', 'mallory'].map((name) => people.ask('POST', 'sign-in/first', { body: { ...body, name } })),
    );
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401]);
    const { cookie, body: who } = both.find(({ status }) => status === 200)!;
    assert.equal(who['role'], 'admin');
    assert.equal(await people.status(cookie), 200);
    assert.deepEqual([...people.admins.keys()], [who['name']]);
    assert.equal(await isOffered(), false);
    assert.equal((await people.ask('POST', 'sign-in/first', { body: { ...body, name: 'eve' } })).status, 401);
    assert.match(await people.recorded(String(who['name'])), /PersonChanged.*"what":"added"/);
    await removeAdmin({ file: people.file, name: String(who['name']) });
    await people.read();
    assert.equal(await isOffered(), false, 'used up is used up');
  });

  test('works no more once there is an administrator, and goes into no log', async () => {
    await people.restart((deps) => ({ ...deps, first: new FirstLink(TOKEN, () => people.admins) }));
    await people.add('watcher', 'viewer');
    assert.equal(await isOffered(), true, 'who may only read makes no others');
    await people.add('root', 'admin');
    assert.equal(await isOffered(), false);
    assert.equal((await people.ask('POST', 'sign-in/first', { body })).status, 401);
    const kept = people.server.logged.join('') + (await people.recorded('alice'));
    for (const secret of [TOKEN, PASSWORD]) assert.ok(!kept.includes(secret));
  });
});
