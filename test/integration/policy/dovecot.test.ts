import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Refusal } from '../../../src/blocks/events.js';
import type { AuthenticationFailed, MessageRefused } from '../../../src/sending/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { Scene } from '../../support/kurrentdb/scene.js';
import { askPolicy, attemptOf, check, FOR_DOVECOT, VIEWER_TOKEN } from '../../support/policy/dovecot.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';
import { changed } from '../../support/store/changed.js';

const DENIED = { status: 200, text: '{"status":-1}' };
const PASSES = { status: 200, text: '{"status":0}' };

const failures = (stopgap: Stopgap) => stopgap.all<AuthenticationFailed>('AuthenticationFailed');

/** The value of a metric with these labels. */
async function metric(stopgap: Stopgap, name: string): Promise<number> {
  const text = await stopgap.app.metrics.registry.metrics();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1) ?? NaN);
}

describe("Dovecot's auth policy", () => {
  test('fails the login of a blocked account for sending alone, until it is released', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf()), PASSES);
    const block = await stopgap.block('account', ALICE);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf()), DENIED);
    for (const protocol of ['submission', 'SMTP'])
      assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ protocol })), DENIED, protocol);
    for (const protocol of ['imap', 'pop3', 'sieve', 'doveadm', ''])
      assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ protocol })), PASSES, protocol);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ login: BOB })), PASSES);
    const [refused] = await stopgap.all<MessageRefused>('MessageRefused');
    assert.deepEqual(
      [refused!.stream, refused!.by, refused!.data.stage, refused!.data.block, refused!.data.account],
      [`send-${ALICE}`, 'policy:mx.example.com', 'auth', block, ALICE],
    );
    // The second time the credentials are known to fail; what follows is summarised.
    assert.deepEqual(
      (await failures(stopgap)).map(({ stream, data }) => [
        stream,
        data.kind,
        data.block,
        data.account,
        data.fresh,
      ]),
      [
        ['auth-192.0.2.7', 'feigned', block, ALICE, true],
        ['auth-192.0.2.7', 'feigned', block, ALICE, false],
      ],
    );
    assert.equal(await metric(stopgap, 'stopgap_auth_total{outcome="feigned"}'), 3);
    assert.equal(await metric(stopgap, 'stopgap_refusals_total{stage="auth",reason="soft"}'), 3);
    await stopgap.release('account', ALICE);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf()), PASSES);
  });

  test('fails logins of other protocols where that is configured', async (t) => {
    const { settings, files } = FOR_DOVECOT;
    const dovecot = { protocols: ['smtp', 'imap'] };
    const stopgap = await Stopgap.start(t, { files: files!, settings: { ...settings, dovecot } });
    await stopgap.block('account', ALICE);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ protocol: 'imap' })), DENIED);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ protocol: 'submission' })), PASSES);
  });

  test('lets a login pass that is blocked otherwise than softly, since Dovecot can only say that it failed', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    for (const refusal of ['defer', 'honest'] satisfies Refusal[]) {
      await stopgap.block('account', ALICE, { refusal });
      assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf()), PASSES, refusal);
      await stopgap.release('account', ALICE);
    }
    assert.deepEqual(await stopgap.all('MessageRefused'), []);
  });

  test('fails logins from a blocked network and of a blocked domain, and records no name that a stranger may have typed', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    await stopgap.block('ip', '198.51.100.0/24');
    await stopgap.block('domain', 'evil.test');
    const remote = '198.51.100.9';
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ login: 'typed', remote })), DENIED);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ login: 'typed@evil.test' })), DENIED);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf()), PASSES);
    const own = attemptOf({ login: 'typed', remote, session_id: 'stopgap-1' });
    assert.deepEqual(await askPolicy(stopgap, 'allow', own), PASSES, 'judged at the front door');
    const refused = await stopgap.all<MessageRefused>('MessageRefused');
    assert.deepEqual(refused.map(({ stream }) => stream).sort(), ['send-192.0.2.7', 'send-198.51.100.9']);
    const events = JSON.stringify(await stopgap.events());
    assert.ok(!events.includes('typed') && !stopgap.logs.some((line) => line.includes('typed')));
  });

  test('names the account that a blocked network refused where that exists, and no name that a stranger may have typed', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    await askPolicy(stopgap, 'report', attemptOf({ login: BOB, success: true }));
    await stopgap.block('ip', '198.51.100.0/24');
    const remote = '198.51.100.9';
    const fails = async (over: Readonly<Record<string, unknown>>): Promise<void> =>
      assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ remote, ...over })), DENIED);
    // It has logged in before; its password was right, as the SASL proxy says; neither.
    await fails({ login: 'Bob@Example.com' });
    await fails({ login: ALICE, success: true });
    await fails({ login: 'typed' });
    await fails({ login: 'typed', success: false });
    const refused = await stopgap.all<MessageRefused>('MessageRefused');
    assert.deepEqual(refused.map(({ stream }) => stream).sort(), [
      'send-198.51.100.9',
      `send-${ALICE}`,
      `send-${BOB}`,
    ]);
    const events = JSON.stringify(await stopgap.events());
    assert.ok(!events.includes('typed') && !stopgap.logs.some((line) => line.includes('typed')));
  });

  test('counts wrong and right passwords of a blocked account alike where Dovecot sends no hash of them: for nothing', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    await stopgap.block('account', ALICE);
    const pwhash = undefined;
    const remotes = { right: '198.51.100.1', wrong: '198.51.100.2', other: '198.51.100.3' };
    const counted = async (ip: string): Promise<number> => {
      return (await check(stopgap, `ip=${ip}`)).windows!.find(({ rule }) => rule === 'guessing')!.observed;
    };
    for (let round = 0; round < 3; round++) {
      await askPolicy(stopgap, 'allow', attemptOf({ pwhash, remote: remotes.right }));
      await askPolicy(stopgap, 'report', attemptOf({ pwhash, success: false, remote: remotes.wrong }));
    }
    await askPolicy(
      stopgap,
      'report',
      attemptOf({ login: BOB, pwhash, success: false, remote: remotes.other }),
    );
    // What a flood has brought is written when it ends.
    await stopgap.restart();
    await stopgap.settled();
    assert.deepEqual([await counted(remotes.right), await counted(remotes.wrong)], [0, 0]);
    assert.equal(await counted(remotes.other), 1, 'a wrong password of one that is not blocked');
  });

  test('counts each wrong answer to a challenge, of which Dovecot sends the same hash for all passwords', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    const counted = async (ip: string): Promise<number> =>
      (await check(stopgap, `ip=${ip}`)).windows!.find(({ rule }) => rule === 'guessing')!.observed;
    const mechs: Readonly<Record<string, number>> = {
      'CRAM-MD5': 3,
      'SCRAM-SHA-256': 3,
      'scram-sha-1': 3,
      'DIGEST-MD5': 3,
      APOP: 3,
      NTLM: 3,
      OTP: 3,
      // Dovecot has what the client sent, or there is no password to guess. The last one is none.
      PLAIN: 1,
      LOGIN: 1,
      XOAUTH2: 1,
      OAUTHBEARER: 1,
      EXTERNAL: 1,
      '': 1,
    };
    const ipOf = (index: number): string => `203.0.113.${index + 1}`;
    for (const [index, mech] of Object.keys(mechs).entries())
      for (let round = 0; round < 3; round++)
        await askPolicy(stopgap, 'report', attemptOf({ mech, success: false, remote: ipOf(index) }));
    // What a flood has brought is written when it ends.
    await stopgap.restart();
    await stopgap.settled();
    for (const [index, [mech, count]] of Object.entries(mechs).entries())
      assert.equal(await counted(ipOf(index)), count, mech);
  });

  test('counts right and wrong answers of a blocked account to a challenge alike: for nothing', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    await stopgap.block('account', ALICE);
    const [right, wrong] = ['198.51.100.1', '198.51.100.2'];
    for (let round = 0; round < 3; round++) {
      const mech = 'SCRAM-SHA-256';
      assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ mech, remote: right })), DENIED);
      await askPolicy(stopgap, 'report', attemptOf({ mech, success: false, remote: wrong }));
    }
    await stopgap.restart();
    await stopgap.settled();
    for (const ip of [right, wrong]) {
      const { windows } = await check(stopgap, `ip=${ip}`);
      assert.equal(windows!.find(({ rule }) => rule === 'guessing')!.observed, 0, ip);
    }
    const failed = await failures(stopgap);
    assert.deepEqual(
      new Set(failed.map(({ data: { kind, fresh } }) => `${kind} ${fresh}`)),
      new Set(['feigned undefined']),
    );
  });

  test('records failed logins that are reported, by client network, and the same credentials as no new failure', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    const failed = { success: false, policy_reject: false };
    const report = async (over: Readonly<Record<string, unknown>>): Promise<void> =>
      assert.deepEqual(await askPolicy(stopgap, 'report', attemptOf({ ...failed, ...over })), PASSES);
    await report({ protocol: 'imap' });
    await report({});
    await report({ pwhash: 'hash-of-another-password' });
    // As IPv6 customers have it; 2.4 says why.
    await report({ remote: '2001:db8:1:2:3::4', fail_type: 'credentials' });
    await report({ remote: '2001:db8:1:3::4', fail_type: 'account', tls: 'TLSv1.3', new_in_2_5: { a: [1] } });
    // Not for a guessed password.
    for (const fail_type of ['internal', 'expired', 'disabled', 'policy'])
      await report({ remote: '203.0.113.1', fail_type });
    await report({ remote: '203.0.113.2', policy_reject: true });
    // Our own front door asked Dovecot, and has recorded it.
    await report({ remote: '203.0.113.4', session_id: 'stopgap-1' });
    await report({ remote: '203.0.113.3', success: true });
    // Nobody knows from where.
    await report({ remote: '' });
    await report({ remote: 'x'.repeat(10_000) });
    const events = await failures(stopgap);
    assert.deepEqual(
      events.map(({ stream, data: { kind, fresh, account } }) => [stream, kind, fresh, account]),
      [
        ['auth-192.0.2.7', 'genuine', true, undefined],
        ['auth-192.0.2.7', 'genuine', false, undefined],
        ['auth-2001:db8:1:2::/64', 'genuine', true, undefined],
        ['auth-2001:db8:1:3::/64', 'genuine', true, undefined],
      ],
    );
    assert.equal(await metric(stopgap, 'stopgap_auth_total{outcome="failed"}'), 7);
    assert.equal(await metric(stopgap, 'stopgap_auth_total{outcome="succeeded"}'), 1);
    await stopgap.stop();
    for (const hash of ['hash-of-one-password', 'hash-of-another-password']) {
      const own = stopgap.logs.filter((line) => line.includes('"component":"policy"'));
      assert.ok(own.length > 0 && !own.some((line) => line.includes(hash)), 'a hash was logged');
      assert.ok(!events.some(({ data }) => JSON.stringify(data).includes(hash)), 'a hash was stored');
    }
  });

  test('summarises a flood of failures', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    const body = attemptOf({ success: false });
    for (let count = 0; count < 50; count++) await askPolicy(stopgap, 'report', body);
    assert.ok((await failures(stopgap)).length <= 2);
  });

  test('is for tokens with the role server, and bounds what comes', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    await stopgap.block('account', ALICE);
    const status = async (...args: [string, unknown, Record<string, string>?]): Promise<number> =>
      (await askPolicy(stopgap, ...args)).status;
    assert.equal(await status('allow', attemptOf(), { authorization: 'Bearer nobody' }), 401);
    assert.equal(await status('allow', attemptOf(), { authorization: `Bearer ${VIEWER_TOKEN}` }), 403);
    assert.equal(await status('other', attemptOf()), 400);
    assert.equal(await status('allow', '{'), 400);
    assert.equal(await status('allow', attemptOf({ login: 7 })), 400);
    assert.equal(await status('allow', attemptOf({ login: 'x'.repeat(70_000) })), 413);
    assert.deepEqual(
      await askPolicy(stopgap, 'allow', attemptOf({ login: `${'x'.repeat(300)}${ALICE}` })),
      PASSES,
    );
    assert.deepEqual(await askPolicy(stopgap, 'allow', '{}'), PASSES);
    assert.deepEqual(await askPolicy(stopgap, 'allow&more=1', attemptOf()), DENIED);
  });

  test('is served by a process with the role policy, without the role api', (t) =>
    Scene.play(async (scene) => {
      const { url } = await scene.server();
      const { settings, files } = FOR_DOVECOT;
      const own = { roles: ['policy'], store: url, policy: { listen: '127.0.0.1:0' } };
      const stopgap = await Stopgap.start(t, { files: files!, settings: { ...settings, ...own } });
      await stopgap.block('account', ALICE);
      assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf()), DENIED);
      assert.equal((await askPolicy(stopgap, 'allow', {}, { authorization: 'Bearer nobody' })).status, 401);
      await stopgap.stop();
    }));

  test('answers while the store is away', async (t) => {
    let isAway = false;
    const through = (store: EventStore): EventStore =>
      changed(store, {
        append: async (...args) => {
          if (isAway) throw new StoreUnavailable('the disk is full');
          return store.append(...args);
        },
      });
    const stopgap = await Stopgap.start(t, { ...FOR_DOVECOT, throughStore: through });
    await stopgap.block('account', ALICE);
    isAway = true;
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf()), DENIED);
    assert.deepEqual(await askPolicy(stopgap, 'allow', attemptOf({ login: BOB })), PASSES);
    assert.deepEqual(await askPolicy(stopgap, 'report', attemptOf({ success: false })), PASSES);
    isAway = false;
  });
});
