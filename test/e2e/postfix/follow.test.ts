import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type {
  AuthenticationFailed,
  BounceReceived,
  MessageAccepted,
  RecipientsRefused,
} from '../../../src/sending/events.js';
import { Following } from '../../support/follow.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { dovecotAuth } from '../../support/smtp/dovecot-auth.js';
import { eventually } from '../../support/smtp/eventually.js';
import { followedPostfix } from '../../support/smtp/followed-postfix.js';
import { postfixMissing, RealPostfix } from '../../support/smtp/real-postfix.js';
import { workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const SHOWN = 60_000;

describe('a real Postfix whose log is followed', { skip: postfixMissing() }, () => {
  test('has each send counted once where the policy service is asked too, and what only the log knows', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: { policy: { listen: '127.0.0.1:0' } } });
    const outside = await FakeUpstream.start();
    t.after(() => outside.stop());
    const auth = await dovecotAuth(t, PASSWORDS);
    const asks = `check_policy_service { inet:127.0.0.1:${stopgap.port('policy')}, timeout=3s, default_action=DUNNO }`;
    const postfix = await RealPostfix.start(t, {
      // The second does not ask.
      listeners: [
        '127.0.0.1:2500 inet n - n - - smtpd',
        '127.0.0.1:2501 inet n - n - - smtpd\n  -o stopgap=',
      ],
      outside: outside.port,
      inside: outside.port,
      settings: [
        'smtpd_sasl_auth_enable = yes',
        'smtpd_sasl_type = dovecot',
        `smtpd_sasl_path = inet:127.0.0.1:${auth}`,
        `stopgap = ${asks}`,
        'smtpd_recipient_restrictions = $stopgap, permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination',
        'smtpd_end_of_data_restrictions = $stopgap',
        'smtpd_relay_restrictions =',
        '',
      ].join('\n'),
    });
    const state = path.join(await workDir(t), 'state.json');
    const follow = async (): Promise<Following> => {
      const args = ['postfix-log', postfix.logFile];
      const following = await Following.start(t, stopgap, { args, state });
      await eventually('its place is written down', () => existsSync(state), SHOWN);
      return following;
    };
    const send = async (user: string, to: string, index = 0): Promise<void> => {
      const session = await Dialogue.hello(postfix.ports[index]!);
      assert.match(await session.login(user, PASSWORDS[user]!), /^235 /);
      assert.match(await session.send(user, [to]), /^250 /);
      await session.quit();
    };
    const accepted = async (count: number): Promise<readonly MessageAccepted[]> => {
      await eventually(
        `${count} sends are recorded`,
        async () => (await stopgap.all('MessageAccepted')).length >= count,
        SHOWN,
      );
      return (await stopgap.all<MessageAccepted>('MessageAccepted')).map(({ data }) => data);
    };

    let following = await follow();
    for (let sent = 0; sent < 3; sent++) await send(ALICE, 'one@elsewhere.test');
    await send(BOB, 'two@elsewhere.test', 1);
    await accepted(4);
    await following.kill();
    await send(BOB, 'three@elsewhere.test', 1);
    await postfix.rotateLog();
    await send(BOB, 'four@elsewhere.test', 1);
    following = await follow();
    await postfix.submit('anybody@example.com', 'five@elsewhere.test');
    await postfix.speak('anybody@example.com', 'six@elsewhere.test');
    const session = await Dialogue.hello(postfix.ports[1]!);
    assert.match(await session.login(ALICE, WRONG), /^535 /);
    await session.quit();
    await postfix.idle();

    const all = await accepted(8);
    // A message of before the restart may be recorded after these two.
    const local = all.filter(({ account }) => account!.startsWith('uid-0@'));
    assert.equal(local.length, 2);
    const others = all.filter((one) => !local.includes(one)).map(({ account }) => account);
    assert.deepEqual(others.sort(), [ALICE, ALICE, ALICE, BOB, BOB, BOB]);
    assert.equal(new Set(all.map(({ transaction }) => transaction)).size, 8);
    for (const { transaction } of local) assert.ok(postfix.log.includes(`${transaction}: removed`));
    await eventually(
      'the failed login is recorded',
      async () => (await stopgap.all<AuthenticationFailed>('AuthenticationFailed')).length > 0,
      SHOWN,
    );
    const events = await stopgap.settled();
    const by = events.filter(({ type }) => type === 'MessageAccepted').map((event) => event.by.split(':')[0]);
    assert.deepEqual(by.sort(), [
      'policy',
      'policy',
      'policy',
      'server',
      'server',
      'server',
      'server',
      'server',
    ]);
    // What the policy service has recorded, the follower has reported as well.
    const metrics = await stopgap.app.metrics.registry.metrics();
    const known = /^stopgap_policy_reports_total\{type="accepted",result="known"\} (\d+)$/m.exec(metrics);
    assert.ok(Number(known?.[1]) >= 3, 'a restart may report some of it again');
    assert.equal(await following.stop(), 0);
    assert.ok(!following.stderr.includes('not understood'), following.stderr);
  });

  test('has refused recipients and bounces counted against their sender', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: { policy: { listen: '127.0.0.1:0' } } });
    const outside = await FakeUpstream.start({
      script: { RCPT: (line) => (line.includes('<nobody@') ? '550 5.1.1 there is no such user' : undefined) },
    });
    t.after(() => outside.stop());
    const { postfix } = await followedPostfix(t, stopgap, outside);
    const session = await Dialogue.hello(postfix.ports[0]!);
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^250 /);
    for (const to of ['gone@example.com', 'gone2@example.com'])
      assert.match(await session.say(`RCPT TO:<${to}>`), /^550 5\.1\.1 .*User unknown/);
    assert.match(await session.say('RSET'), /^250 /);
    assert.match(await session.send(ALICE, ['nobody@elsewhere.test']), /^250 /);
    await session.quit();
    await eventually(
      'the bounce is recorded',
      async () => (await stopgap.all('BounceReceived')).length > 0,
      SHOWN,
    );
    const [bounce] = await stopgap.all<BounceReceived>('BounceReceived');
    assert.equal(bounce!.data.address, ALICE);
    const refused = await stopgap.all<RecipientsRefused>('RecipientsRefused');
    assert.deepEqual(
      // Before 3.9 Postfix names no login there.
      refused.map(({ data }) => [data.account ?? data.returnPath, data.count, data.code]),
      [
        [ALICE, 1, 550],
        [ALICE, 1, 550],
      ],
    );
  });
});
