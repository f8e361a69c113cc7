import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { ALICE, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const GUESSING = `version: 1
rules:
  - { id: guessing, per: ip, count: authFailures, window: 15m, limit: 4, then: block, for: 1h }
exempt:
  - { subject: { type: ip, value: '2a01:4f8:1:2::5' }, reason: webmail }
`;

test('a message that a proxy passes on is recorded, traced and blocked by the address of its client', async (t) => {
  const stopgap = await Stopgap.start(t, {
    smtp: {
      submission: { listen: '127.0.0.1:0', proxy: ['127.0.0.0/8'] },
      inbound: { listen: '127.0.0.1:0', domains: ['example.com'], proxy: ['127.0.0.9'] },
    },
  });
  const through = async (what: 'submission' | 'inbound', from: string): Promise<Dialogue> => {
    const session = await Dialogue.connect(stopgap.port(what), { from });
    session.write('PROXY TCP6 2001:db8::7 2001:db8::1 4711 587\r\n');
    assert.match(await session.reply(), /^220 /);
    assert.match(await session.say('EHLO pc.example.com'), /^250-/);
    await session.startTls();
    assert.match(await session.say('EHLO pc.example.com'), /^250-/);
    return session;
  };
  const user = await through('submission', '127.0.0.8');
  assert.match(await user.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
  assert.match(await user.send(ALICE, ['one@elsewhere.test']), /^250 /);
  await user.quit();
  const stranger = await through('inbound', '127.0.0.9');
  assert.match(await stranger.send('x@elsewhere.test', ['one@example.com']), /^250 /);
  const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
  assert.deepEqual(
    sent.map(({ data }) => data.ip),
    ['2001:db8::7', '2001:db8::7'],
  );
  assert.match(stopgap.upstream.messages[0]!.content.toString(), /\(\[IPv6:2001:db8::7\]\)/);

  await stopgap.block('ip', '2001:db8::/64', { refusal: 'defer' });
  assert.match(await stranger.say('MAIL FROM:<x@elsewhere.test>'), /^250 /);
  assert.match(await stranger.say('RCPT TO:<one@example.com>'), /^451 /);
  await stranger.quit();

  const metrics = await stopgap.app.metrics.registry.metrics();
  for (const direction of ['outbound', 'inbound'])
    assert.match(
      metrics,
      new RegExp(
        `stopgap_smtp_commands_total\\{direction="${direction}",stage="connect",outcome="accepted"\\} 1\\n`,
      ),
    );
  assert.doesNotMatch(metrics, /stage="connect",outcome="gone"\} [1-9]/);
});

test('a client behind a proxy on loopback may log in only with TLS, which either of the two may end', async (t) => {
  const stopgap = await Stopgap.start(t, {
    smtp: { submission: { listen: '127.0.0.1:0', proxy: ['127.0.0.0/8'] } },
  });
  const through = async (header: string | Buffer): Promise<readonly [session: Dialogue, offers: string]> => {
    const session = await Dialogue.connect(stopgap.port('submission'));
    session.write(header);
    assert.match(await session.reply(), /^220 /);
    return [session, await session.say('EHLO pc.example.com')];
  };
  /** Version 2, of 203.0.113.9, with these TLVs. */
  const binary = (tlvs: string): Buffer => {
    const length = (12 + tlvs.length / 2).toString(16).padStart(4, '0');
    return Buffer.from(`0d0a0d0a000d0a515549540a2111${length}cb007109c63364011267024b${tlvs}`, 'hex');
  };
  const clear = ['PROXY TCP4 203.0.113.9 198.51.100.1 4711 587\r\n', binary(''), binary('2000050000000000')];
  for (const header of clear) {
    const [session, offers] = await through(header);
    assert.match(offers, /STARTTLS/);
    assert.doesNotMatch(offers, /AUTH/);
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^5\d\d /);
    assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^530 /);
    await session.startTls();
    assert.match(await session.say('EHLO pc.example.com'), /AUTH PLAIN LOGIN/);
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    await session.quit();
  }
  const [session, offers] = await through(binary('2000050100000000'));
  assert.match(offers, /AUTH PLAIN LOGIN/);
  assert.doesNotMatch(offers, /STARTTLS/);
  assert.match(await session.say('STARTTLS'), /^5\d\d /);
  assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
  assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
  await session.quit();
  assert.match(stopgap.upstream.messages[0]!.content.toString(), /with ESMTPSA id/);
});

test('wrong passwords at a webmail whose one IPv6 address is exempt block nobody in its /64', async (t) => {
  const stopgap = await Stopgap.start(t, {
    rules: GUESSING,
    smtp: { submission: { listen: '127.0.0.1:0', proxy: ['127.0.0.0/8'] } },
  });
  const login = async (ip: string, password: string): Promise<string> => {
    const session = await Dialogue.connect(stopgap.port('submission'));
    session.write(`PROXY TCP6 ${ip} 2001:db8::1 4711 587\r\n`);
    assert.match(await session.reply(), /^220 /);
    await session.say('EHLO webmail.example.com');
    await session.startTls();
    await session.say('EHLO webmail.example.com');
    const reply = await session.login(ALICE, password);
    await session.quit();
    return reply;
  };
  // What a flood of them has brought is written when it ends.
  for (const ip of ['2a01:4f8:1:2::5', '2a01:4f8:1:3::5'])
    for (let index = 0; index < 6; index++) assert.match(await login(ip, WRONG + index), /^535 /);
  await stopgap.restart();
  await stopgap.event(({ type, stream }) => type === 'BlockImposed' && stream.includes('2a01:4f8:1:3::'));
  assert.match(await login('2a01:4f8:1:3::5', PASSWORDS[ALICE]!), /^535 /);
  assert.match(await login('2a01:4f8:1:2::5', PASSWORDS[ALICE]!), /^235 /);

  await stopgap.event(({ type }) => type === 'ExemptionApplied');
  const applied = await stopgap.all<{ readonly exemption: string }>('ExemptionApplied');
  assert.deepEqual(
    applied.map(({ stream, data }) => [stream, data.exemption]),
    [['block-ip:2a01:4f8:1:2::/64', 'rules:ip:2a01:4f8:1:2::5']],
  );
  const { exemptions } = stopgap.app.models;
  assert.equal(exemptions.get('rules:ip:2a01:4f8:1:2::5')!.saved, 1);
});
