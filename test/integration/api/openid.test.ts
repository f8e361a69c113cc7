import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import type { OpenIdSettings } from '../../../src/api/dependencies.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { BrowserAnswer } from '../../support/api/browser.js';
import { CLIENT, OpenIdProvider } from '../../support/api/openid-provider.js';
import { PeopleServer } from '../../support/api/people.js';

const PAGE = 'https://stopgap.example.com/abuse';
const ALICE = { sub: 'sub-1', preferred_username: 'Alice', groups: ['others', 'mail-admins', 'watchers'] };
let people: PeopleServer;
let provider: OpenIdProvider;
let settings: OpenIdSettings;

const withProvider = (deps: ApiDependencies): ApiDependencies => ({
  ...deps,
  publicUrl: PAGE,
  openId: settings,
});

before(async () => {
  provider = await OpenIdProvider.start();
  people = await PeopleServer.start();
  const clientSecretFile = `${people.file}.secret`;
  writeFileSync(clientSecretFile, `${CLIENT.secret}\n`);
  settings = {
    issuer: provider.issuer,
    clientId: CLIENT.id,
    clientSecretFile,
    label: 'Example',
    scopes: 'openid profile',
    groupsClaim: 'groups',
    domainsClaim: 'domains',
    roles: { 'mail-admins': 'admin', support: 'operator', watchers: 'viewer', agencies: 'domain' },
  };
  await people.restart(withProvider);
});
after(async () => {
  await people.stop();
  await provider.stop();
});
afterEach(() => {
  Object.assign(provider, { claims: ALICE, userInfo: undefined, fault: {}, algorithm: 'RS256' });
  people.server.clock.advance(10 * MINUTE);
});

/** What a browser does that is sent to the provider: its cookie, and where it is sent. */
async function begin(): Promise<{ readonly cookie: string; readonly location: string }> {
  const { status, headers, cookie } = await people.ask('GET', 'sign-in/openid', { headers: {} });
  assert.equal(status, 302);
  return { cookie, location: headers.get('location')! };
}

/** Comes back from the provider. @param url as the provider sends it */
function comeBack(url: string, cookie?: string): Promise<BrowserAnswer> {
  assert.ok(url.startsWith(`${PAGE}/api/v1/sign-in/openid/callback?`), url);
  return people.ask('GET', url.slice(`${PAGE}/api/v1/`.length), { cookie, headers: {} });
}

async function enter(claims: Readonly<Record<string, unknown>> = ALICE): Promise<BrowserAnswer> {
  provider.claims = claims;
  const { cookie, location } = await begin();
  return comeBack(provider.signIn(location), cookie);
}

const sessionOf = ({ headers }: BrowserAnswer): string | undefined =>
  headers
    .getSetCookie()
    .find((one) => one.startsWith('__Host-stopgap='))
    ?.split(';')[0];

function assertRefused(answer: BrowserAnswer, why: string): void {
  assert.equal(answer.status, 302);
  assert.equal(answer.headers.get('location'), `${PAGE}/#/sign-in?error=${why}`);
  assert.equal(sessionOf(answer), undefined);
}

describe('a person of an OpenID provider', () => {
  test('is sent there and comes back with a session, whose role is that of the group that may do most', async () => {
    assert.deepEqual((await people.ask('GET', 'sign-in')).body['openId'], { label: 'Example' });
    const begun = await begin();
    const asked = new URL(begun.location).searchParams;
    assert.equal(asked.get('redirect_uri'), `${PAGE}/api/v1/sign-in/openid/callback`);
    assert.equal(asked.get('scope'), 'openid profile');
    const { headers } = await people.ask('GET', 'sign-in/openid', { headers: {} });
    assert.match(
      headers.get('set-cookie')!,
      /^__Host-stopgap-openid=[\w.-]+; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/,
    );
    const entered = await enter();
    assert.deepEqual([entered.status, entered.headers.get('location')], [302, `${PAGE}/#/`]);
    const [set, gone] = entered.headers.getSetCookie();
    assert.match(set!, /^__Host-stopgap=[\w-]{43}; .*SameSite=Strict; Max-Age=604800$/);
    assert.match(gone!, /^__Host-stopgap-openid=;.*Max-Age=0$/);
    const cookie = sessionOf(entered)!;
    const { body } = await people.ask('GET', 'session', { cookie });
    assert.deepEqual(
      [body['name'], body['role'], body['by'], body['secondFactor']],
      ['alice', 'admin', 'openid', false],
    );
    const block = { subject: { type: 'account', value: 'a@example.com' }, duration: '1h' };
    const made = await people.ask('POST', 'blocks', { cookie, body: block });
    assert.equal((made.body['history'] as { by: string }[])[0]!.by, 'admin:alice');
    const change = { password: 'x', newPassword: 'correct horse battery' };
    assert.equal((await people.ask('PUT', 'session/password', { cookie, body: change })).status, 409);
  });

  test('of the role domain has the domains that the provider names', async () => {
    const claims = { sub: 'sub-2', email: 'agency@x.example', groups: 'agencies' };
    const cookie = sessionOf(await enter({ ...claims, domains: ['Own.example', 7] }))!;
    const { body } = await people.ask('GET', 'session', { cookie });
    assert.deepEqual(
      [body['name'], body['role'], body['domains']],
      ['agency@x.example', 'domain', ['own.example']],
    );
    assertRefused(await enter(claims), 'no-role');
    assertRefused(await enter({ ...claims, domains: ['..'] }), 'no-role');
  });

  test('has groups also where the provider tells of them only when it is asked', async () => {
    await people.restart(withProvider);
    provider.userInfo = { groups: ['support'], preferred_username: 'Bob' };
    const cookie = sessionOf(await enter({ sub: 'sub-3' }))!;
    const { body } = await people.ask('GET', 'session', { cookie });
    assert.deepEqual([body['name'], body['role']], ['bob', 'operator']);
    provider.userInfo = { sub: 'another', groups: ['mail-admins'] };
    assertRefused(await enter({ sub: 'sub-3' }), 'invalid');
    await people.restart(withProvider);
  });

  test('has domains also where the provider tells of them only when it is asked, and of groups and name in the token', async () => {
    await people.restart(withProvider);
    const claims = { sub: 'sub-4', preferred_username: 'carl', groups: 'agencies' };
    provider.userInfo = { sub: 'sub-4', domains: ['own.example'] };
    const cookie = sessionOf(await enter(claims))!;
    const { body } = await people.ask('GET', 'session', { cookie });
    assert.deepEqual([body['role'], body['domains']], ['domain', ['own.example']]);
    provider.userInfo = { sub: 'sub-4' };
    assertRefused(await enter(claims), 'no-role');
    await people.restart(withProvider);
  });

  test('keeps the older sessions of another browser that have the same rights, and no others', async () => {
    const base = { sub: 'sub-5', preferred_username: 'dora' };
    const statusOf = async (cookie: string): Promise<number> =>
      (await people.ask('GET', 'session', { cookie })).status;
    let former: string | undefined;
    for (const [claims, status] of [
      [{ groups: 'mail-admins' }, 0],
      [{ groups: ['others', 'mail-admins'] }, 200],
      [{ groups: 'support' }, 401],
      [{ groups: 'agencies', domains: ['a.example', 'b.example'] }, 401],
      [{ groups: 'agencies', domains: ['b.example', 'a.example'] }, 200],
      [{ groups: 'agencies', domains: 'a.example' }, 401],
      [{ groups: 'agencies', domains: 'a.example', preferred_username: 'dora-2' }, 401],
    ] as const) {
      const cookie = sessionOf(await enter({ ...base, ...claims }))!;
      if (former !== undefined) assert.equal(await statusOf(former), status, JSON.stringify(claims));
      former = cookie;
    }
    const other = sessionOf(await enter({ sub: 'sub-6', preferred_username: 'emil', groups: 'support' }))!;
    assertRefused(await enter(base), 'no-role');
    assert.deepEqual([await statusOf(former!), await statusOf(other)], [401, 200]);
  });

  test('is not let in without a group that has a role, with a name that is none, or with that of a person of the file or a token', async () => {
    for (const groups of [undefined, [], ['others', 'constructor', '__proto__'], { a: 'mail-admins' }, 7])
      assertRefused(await enter({ ...ALICE, groups }), 'no-role');
    assertRefused(await enter({ ...ALICE, preferred_username: 'a b' }), 'name');
    assertRefused(await enter({ ...ALICE, preferred_username: 'The-Operator' }), 'name-taken');
    assert.match(people.server.logged.join(''), /there is a token the-operator: revoke it/);
    await people.add('root', 'admin');
    assertRefused(await enter({ ...ALICE, preferred_username: 'ROOT' }), 'name-taken');
  });

  test('does not go by an address that the provider has not verified, in whatever claim and form it says so', async () => {
    const claims = { sub: 'sub-4', email: 'root', groups: ['watchers'] };
    const nameFor = async (more: object): Promise<unknown> => {
      const cookie = sessionOf(await enter({ ...claims, ...more }))!;
      return (await people.ask('GET', 'session', { cookie })).body['name'];
    };
    for (const isVerified of [false, 'false', 'False', 0, 1, null, 'no']) {
      assert.equal(await nameFor({ email_verified: isVerified }), 'sub-4');
      const named = { email: 'Eve@x.example', preferred_username: 'eve@X.example' };
      assert.equal(await nameFor({ ...named, email_verified: isVerified }), 'sub-4');
      const spaced = { email: 'eve@x.example ', preferred_username: ' eve@X.example' };
      assert.equal(await nameFor({ ...spaced, email_verified: isVerified }), 'sub-4');
      const own = { email: 'eve@x.example', preferred_username: 'eve' };
      assert.equal(await nameFor({ ...own, email_verified: isVerified }), 'eve');
    }
    for (const isVerified of [true, 'true', undefined])
      assert.equal(await nameFor({ email: 'eve@x.example', email_verified: isVerified }), 'eve@x.example');
  });

  test('is not let in while another one of the same name has a session, in whatever form the name is given', async () => {
    const carl = { sub: 'sub-5', preferred_username: 'carl', groups: ['support'] };
    const another = { sub: 'sub-6', preferred_username: ' ＣＡＲＬ ', groups: ['support'] };
    const first = sessionOf(await enter(carl))!;
    assertRefused(await enter(another), 'name-taken');
    assert.match(people.server.logged.join(''), /another person of the provider is signed in as carl/);
    const second = sessionOf(await enter(carl))!;
    assert.equal((await people.ask('DELETE', 'session', { cookie: first })).status, 204);
    assertRefused(await enter(another), 'name-taken');
    assert.equal((await people.ask('DELETE', 'session', { cookie: second })).status, 204);
    const theirs = sessionOf(await enter(another))!;
    assertRefused(await enter(carl), 'name-taken');
    people.server.clock.advance(13 * HOUR);
    assert.notEqual(sessionOf(await enter(carl)), undefined, 'theirs was idle for too long');
    assert.equal(await people.status(theirs), 401);
    assert.ok(
      !(await people.recorded('carl')).includes('sub-'),
      'what the provider knows them by is not kept',
    );
  });

  test('who may do more ends the sessions of another one who has taken their name', async () => {
    const chief = { preferred_username: 'chief' };
    const agency = { ...chief, sub: 'sub-9', groups: ['agencies'], domains: ['own.example'] };
    const viewer = { ...chief, sub: 'sub-10', groups: ['watchers'] };
    const admin = { ...chief, sub: 'sub-11', groups: ['mail-admins'] };
    const lowest = sessionOf(await enter(agency))!;
    const lower = [sessionOf(await enter(viewer))!, sessionOf(await enter(viewer))!];
    assert.equal(await people.status(lowest), 401);
    const highest = sessionOf(await enter(admin))!;
    assert.deepEqual(
      await Promise.all([...lower, highest].map((one) => people.status(one))),
      [401, 401, 200],
    );
    assertRefused(await enter(viewer), 'name-taken');
    assertRefused(await enter({ ...admin, sub: 'sub-12' }), 'name-taken');
    assert.equal(await people.status(highest), 200);
    assert.equal((await people.recorded('chief')).split('"reason":"displaced"').length - 1, 3);
    const told = people.server.logged.filter((line) => line.includes('another person of that name'));
    assert.deepEqual(
      told.map((line) => (JSON.parse(line) as { ended: number }).ended),
      [1, 2],
    );
  });

  for (const [what, had] of [
    ['two of the same name', []],
    ['two who may do more than a third one of their name', ['watchers']],
  ] as const) {
    test(`is one of ${what}, where both come back at once`, async () => {
      const dora = { preferred_username: `dora${had.length}`, groups: ['support'] };
      const third = had.length === 0 ? undefined : await enter({ ...dora, sub: 'sub-13', groups: had });
      const [one, other] = [await begin(), await begin()];
      provider.claims = { ...dora, sub: 'sub-7' };
      const oneBack = provider.signIn(one.location);
      provider.claims = { ...dora, sub: 'sub-8' };
      const otherBack = provider.signIn(other.location);
      const entered = await Promise.all([comeBack(oneBack, one.cookie), comeBack(otherBack, other.cookie)]);
      assert.equal(entered.filter((answer) => sessionOf(answer) !== undefined).length, 1);
      if (third !== undefined) assert.equal(await people.status(sessionOf(third)!), 401);
    });
  }

  test('has a session that outlasts a restart, and ends after its times, and when the rules of groups are others', async () => {
    const cookie = sessionOf(await enter())!;
    await people.restart(withProvider);
    assert.equal(await people.status(cookie), 200);
    const before = settings;
    settings = { ...settings, roles: { 'mail-admins': 'viewer' } };
    await people.restart(withProvider);
    assert.equal(await people.status(cookie), 401);
    settings = before;
    await people.restart(withProvider);
    people.server.clock.advance(13 * HOUR);
    assert.equal(await people.status(cookie), 401, 'it was idle');
    const used = sessionOf(await enter())!;
    const begun = people.server.clock.now();
    while (people.server.clock.now() + 11 * HOUR < begun + 7 * DAY) {
      people.server.clock.advance(11 * HOUR);
      assert.equal(await people.status(used), 200);
    }
    people.server.clock.advance(11 * HOUR);
    assert.equal(await people.status(used), 401);
    await people.restart((deps) => deps);
    assert.deepEqual((await people.ask('GET', 'sign-in')).body['openId'], null);
    await people.restart(withProvider);
  });
});

describe('a token of an OpenID provider', () => {
  const now = (): number => Math.floor(Date.now() / 1000);

  for (const [what, fault] of [
    ['another nonce', () => ({ nonce: 'another' })],
    ['no nonce', () => ({ nonce: undefined })],
    ['another audience', () => ({ aud: 'another' })],
    ['another issuer', () => ({ iss: 'https://evil.example' })],
    ['its time over', () => ({ iat: now() - 900, exp: now() - 600 })],
    ['no subject', () => ({ sub: undefined })],
  ] as const)
    test(`with ${what} lets nobody in`, async () => {
      provider.fault = fault();
      assertRefused(await enter(), 'invalid');
    });

  for (const algorithm of ['none', 'HS256', 'stranger'] as const)
    test(`that is signed by ${algorithm} lets nobody in`, async () => {
      provider.algorithm = algorithm;
      assertRefused(await enter(), 'invalid');
    });
});

describe('a browser that comes back from the provider', () => {
  test('needs the cookie that it began with, once, within ten minutes', async () => {
    const { cookie, location } = await begin();
    const back = provider.signIn(location);
    const { exchanged } = provider;
    assertRefused(await comeBack(back), 'expired');
    assertRefused(await comeBack(back, (await begin()).cookie), 'invalid');
    assertRefused(await comeBack(back, `${cookie}; ${cookie}`), 'expired');
    const [name, value] = cookie.split('=') as [string, string];
    assertRefused(await comeBack(back, `${name}=${value.replace(/^\w+/, '1')}`), 'expired');
    const later = (people.server.clock.now() + 1).toString(36);
    assertRefused(await comeBack(back, `${name}=${value.replace(/^\w+/, later)}`), 'expired');
    assert.equal(provider.exchanged, exchanged, 'the provider was not asked');
    const entered = await comeBack(back, cookie);
    assert.notEqual(sessionOf(entered), undefined);
    assertRefused(await comeBack(back, cookie), 'expired');
    const late = await begin();
    const lateBack = provider.signIn(late.location);
    people.server.clock.advance(10 * MINUTE + 1);
    assertRefused(await comeBack(lateBack, late.cookie), 'expired');
  });

  test('with a state or a code of somebody else gets no session', async () => {
    const [mine, other] = [await begin(), await begin()];
    const [myBack, otherBack] = [provider.signIn(mine.location), provider.signIn(other.location)];
    const stateOf = (url: string): string => new URL(url).searchParams.get('state')!;
    const swapped = otherBack.replace(stateOf(otherBack), stateOf(myBack));
    assertRefused(await comeBack(swapped, mine.cookie), 'provider');
    const again = await begin();
    const twice = `${provider.signIn(again.location)}&state=x`;
    assertRefused(await comeBack(twice, again.cookie), 'invalid');
  });

  test('with a refusal of the provider is told a word of ours, and not its text', async () => {
    const say = async (error: string): Promise<BrowserAnswer> => {
      const { cookie, location } = await begin();
      const url = new URL(provider.signIn(location));
      url.searchParams.delete('code');
      url.searchParams.set('error', error);
      url.searchParams.set('error_description', 'Call 555 now');
      return comeBack(url.href, cookie);
    };
    assertRefused(await say('access_denied'), 'denied');
    assertRefused(await say('server_error'), 'provider');
  });

  test('with codes that are guessed is put off: anybody can make up a cookie and a state for them', async () => {
    const guess = async (): Promise<BrowserAnswer> => {
      const { cookie, location } = await begin();
      return comeBack(provider.signIn(location).replace(/code=[^&]*/, `code=${randomUUID()}`), cookie);
    };
    const logged = people.server.logged.length;
    for (let tried = 0; tried < 10; tried++) assertRefused(await guess(), 'provider');
    assertRefused(await guess(), 'too-many');
    const lines = people.server.logged
      .slice(logged)
      .filter((line) => line.includes('an OpenID sign-in failed'));
    assert.ok(lines.length <= 2, 'one line of each reason: strangers fill no log');
    people.server.clock.advance(MINUTE);
    assert.notEqual(sessionOf(await enter()), undefined);
  });

  test('without a cookie fails as often as another site likes, and puts nobody off', async () => {
    for (let tried = 0; tried < 12; tried++)
      assertRefused(await comeBack(`${PAGE}/api/v1/sign-in/openid/callback?code=${tried}`), 'expired');
    assert.notEqual(sessionOf(await enter()), undefined);
  });

  test('leaves no code, token or secret in the log and the store', async () => {
    const { cookie, location } = await begin();
    const back = provider.signIn(location);
    await comeBack(back, cookie);
    const kept = people.server.logged.join('') + (await people.recorded('alice'));
    const code = new URL(back).searchParams.get('code')!;
    for (const secret of [code, cookie.split('=')[1]!, CLIENT.secret]) assert.ok(!kept.includes(secret));
  });
});

describe('a provider that is away', () => {
  test('keeps nobody from signing in with a password, and is asked again', async () => {
    const away = await OpenIdProvider.start();
    await away.stop();
    const before = settings;
    settings = { ...settings, issuer: away.issuer };
    await people.restart(withProvider);
    assertRefused(await people.ask('GET', 'sign-in/openid', { headers: {} }), 'unreachable');
    await people.add('carol', 'viewer');
    assert.equal((await people.signIn('carol')).status, 200);
    settings = before;
    await people.restart(withProvider);
    const { cookie, location } = await begin();
    const back = provider.signIn(location);
    await provider.stop();
    assertRefused(await comeBack(back, cookie), 'unreachable');
    assert.equal((await people.signIn('carol')).status, 200);
  });
});
