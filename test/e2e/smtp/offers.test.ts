import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

const extensions = (reply: string): readonly string[] =>
  reply
    .split('\r\n')
    .slice(1)
    .map((line) => line.slice(4));

test('a client is offered what the upstream takes, and is told the truth about the rest', async (t) => {
  const upstream = await FakeUpstream.start({ offers: ['PIPELINING', '8BITMIME'] });
  const stopgap = await Stopgap.start(t, { upstream });
  const session = await stopgap.loggedIn();
  assert.deepEqual(extensions(await session.say('EHLO client.test')), [
    'PIPELINING',
    '8BITMIME',
    'STARTTLS',
    'SIZE 50000000',
  ]);
  for (const parameter of ['SMTPUTF8', 'RET=HDRS', 'ENVID=x'])
    assert.match(await session.say(`MAIL FROM:<${ALICE}> ${parameter}`), /^555 5\.5\.4 /, parameter);
  assert.match(
    await session.say('MAIL FROM:<ålice@example.com>'),
    /^553 5\.6\.7 .*SMTPUTF8 is not offered here$/,
  );
  assert.match(await session.say(`MAIL FROM:<${ALICE}> BODY=8BITMIME`), /^250 /);
  assert.match(await session.say('RCPT TO:<a@x.test> NOTIFY=NEVER'), /^555 5\.5\.4 /);
  await session.quit();
});

test('mail that arrives goes to an upstream of its own, with its own extensions', async (t) => {
  const inside = await FakeUpstream.start({ offers: ['DSN'] });
  t.after(() => inside.stop());
  const stopgap = await Stopgap.start(t, {
    smtp: {
      inbound: { listen: '127.0.0.1:0', domains: ['example.com'], relay: { url: inside.url() } },
    },
  });
  const stranger = await stopgap.stranger();
  assert.deepEqual(extensions(await stranger.say('EHLO mx.far.test')), [
    'PIPELINING',
    'DSN',
    'STARTTLS',
    'SIZE 50000000',
  ]);
  assert.match(await stranger.send('someone@far.test', [ALICE]), /^250 /);
  assert.equal(inside.messages.length, 1);
  assert.equal(stopgap.upstream.messages.length, 0);
  const session = await stopgap.loggedIn();
  assert.match(await session.send(ALICE, ['someone@far.test']), /^250 /);
  assert.equal(inside.messages.length, 1);
  assert.equal(stopgap.upstream.messages.length, 1);
  await Promise.all([session.quit(), stranger.quit()]);
});

test('as long as no upstream has answered nothing is offered that it would have to take', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: { relay: { url: 'smtp://127.0.0.1:1' } } });
  const session = await stopgap.hello();
  assert.deepEqual(extensions(await session.say('EHLO client.test')), [
    'PIPELINING',
    'AUTH PLAIN LOGIN',
    'STARTTLS',
    'SIZE 50000000',
  ]);
  await session.quit();
});
