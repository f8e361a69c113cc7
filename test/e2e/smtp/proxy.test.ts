import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

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
