import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { dovecotAuth } from '../../support/smtp/dovecot-auth.js';
import { postfixMissing, RealPostfix } from '../../support/smtp/real-postfix.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

/** Stopgap in front of a Postfix with these settings, and where mail ends. */
async function inFront(
  t: TestContext,
  settings: string,
  relay: Readonly<Record<string, unknown>> = {},
): Promise<{ stopgap: Stopgap; postfix: RealPostfix; outside: FakeUpstream }> {
  const outside = await FakeUpstream.start();
  t.after(() => outside.stop());
  const postfix = await RealPostfix.start(t, {
    listeners: ['127.0.0.1:2500 inet n - n - - smtpd'],
    outside: outside.port,
    inside: outside.port,
    settings,
  });
  const url = `smtp://127.0.0.1:${postfix.ports[0]}?tls=off`;
  const stopgap = await Stopgap.start(t, { smtp: { relay: { url, ...relay } } });
  return { stopgap, postfix, outside };
}

async function send(stopgap: Stopgap, from: string, ehlo: string): Promise<string> {
  const session = await Dialogue.hello(stopgap.port(), { from, ehlo });
  assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
  const answer = await session.send(ALICE, ['one@elsewhere.test']);
  await session.quit();
  return answer;
}

describe('a real Postfix that is told of the client', { skip: postfixMissing() }, () => {
  test('logs the client of each message where it lets Stopgap say XFORWARD', async (t) => {
    const { stopgap, postfix, outside } = await inFront(t, 'smtpd_authorized_xforward_hosts = 127.0.0.1\n');
    assert.match(await send(stopgap, '127.0.0.7', 'pc.example.com'), /^250 /);
    assert.match(await send(stopgap, '127.0.0.8', 'a+b=c;login=root'), /^250 /);
    await postfix.idle();
    assert.equal(outside.messages.length, 2);
    assert.match(postfix.log, /client=localhost\[127\.0\.0\.1\].*orig_client=\S*\[127\.0\.0\.7\]/);
    assert.match(postfix.log, /client=localhost\[127\.0\.0\.1\].*orig_client=\S*\[127\.0\.0\.8\]/);
    assert.match(postfix.log, /orig_queue_id=\S+\.[\da-f]{12},/, 'with the id of the message at Stopgap');
    assert.doesNotMatch(postfix.log, /warning: .*(?:non-SMTP|bad|malformed)/i);
  });

  test('takes a session for one of the client and its login where xclient is set', async (t) => {
    const { stopgap, postfix, outside } = await inFront(
      t,
      [
        'smtpd_sasl_auth_enable = yes',
        'smtpd_sasl_type = dovecot',
        `smtpd_sasl_path = inet:127.0.0.1:${await dovecotAuth(t, PASSWORDS)}`,
        'smtpd_authorized_xclient_hosts = 127.0.0.1',
        // Nobody but those who have logged in: Stopgap's own address is not enough.
        'smtpd_relay_restrictions = permit_sasl_authenticated, reject',
        '',
      ].join('\n'),
      { xclient: true },
    );
    for (const [from, ehlo] of [
      ['127.0.0.7', 'pc.example.com'],
      ['127.0.0.7', 'pc.example.com'],
      ['127.0.0.8', 'ADDR=1.2.3.4+LOGIN'],
    ] as const)
      assert.match(await send(stopgap, from, ehlo), /^250 /);
    await postfix.idle();
    assert.equal(outside.messages.length, 3);
    const logged = [
      ...postfix.log.matchAll(/client=\S*\[(127\.0\.0\.\d)\], sasl_method=XCLIENT, sasl_username=(\S+)/g),
    ];
    assert.deepEqual(
      logged.map(([, ip, login]) => [ip, login]),
      [
        ['127.0.0.7', ALICE],
        ['127.0.0.7', ALICE],
        ['127.0.0.8', ALICE],
      ],
    );
  });
});

describe('a real Postfix that has refused MAIL', { skip: postfixMissing() }, () => {
  test('takes the next message on the same session, whoever sends it', async (t) => {
    const { stopgap, postfix, outside } = await inFront(t, 'message_size_limit = 100000\n');
    const session = await Dialogue.hello(stopgap.port(), { from: '127.0.0.7' });
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    await session.say(`MAIL FROM:<${ALICE}> SIZE=200000`);
    assert.match(await session.say('RCPT TO:<one@elsewhere.test>'), /^552 5\.3\.4 /);
    await session.quit();
    const connections = (): number => postfix.log.match(/smtpd\[\d+\]: connect from/g)!.length;
    const before = connections();
    assert.match(await send(stopgap, '127.0.0.8', 'pc.example.com'), /^250 /);
    await postfix.idle();
    assert.equal(outside.messages.length, 1);
    assert.equal(connections(), before);
  });
});
