import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import type { BounceReceived, MessageAccepted, MessageRefused } from '../../../src/sending/events.js';
import { ManualClock } from '../../support/manual-clock.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

const STRANGER = 'Someone+x@Far.test';

/** What a mail server tells the sender of a message, as RFC 3464 has it. */
const report = (action: string): string =>
  [
    'From: MAILER-DAEMON@far.test',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=delivery-status;',
    '\tboundary="=_far/1"',
    '',
    '--=_far/1',
    '',
    'Your message: Action: failed? See below.',
    '--=_far/1',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; mx.far.test',
    '',
    'Final-Recipient: rfc822; nobody@far.test',
    `Action: ${action}`,
    'Status: 5.1.1',
    '--=_far/1--',
    '',
  ].join('\r\n');

test('mail that arrives for our domains', async (t) => {
  const stopgap = await Stopgap.start(t);
  const session = await stopgap.stranger({ from: '127.0.0.30', ehlo: 'mx.far.test' });

  await t.test('nobody is relayed for', async () => {
    await session.say(`MAIL FROM:<${STRANGER}>`);
    for (const elsewhere of ['a@elsewhere.test', 'a@sub.example.com', 'a@example.com.elsewhere.test']) {
      assert.equal(await session.say(`RCPT TO:<${elsewhere}>`), '550 5.7.1 Relaying denied', elsewhere);
    }
    for (const routed of [
      'victim%elsewhere.test@example.com',
      'elsewhere.test!victim@example.com',
      '%@example.com',
      '"victim@elsewhere.test"@example.com',
      '"victim"@example.com',
      '"a\\%b"@example.com',
      '@elsewhere.test:alice@example.com',
      '@example.com,@elsewhere.test:alice@example.com',
      'postmaster%elsewhere.test@example.com',
      'victim%elsewhere.test@other.test',
    ])
      assert.match(
        await session.say(`RCPT TO:<${routed}>`),
        /^550 5\.1\.3 Mail is taken here for plain/,
        routed,
      );
    for (const wrong of [
      'victim@elsewhere.test@example.com',
      'a b@example.com',
      'elsewhere.test:a@example.com',
    ])
      assert.match(await session.say(`RCPT TO:<${wrong}>`), /^501 5\.1\.3 /, wrong);
    const asked = stopgap.upstream.peers.flatMap(({ commands }) => commands);
    assert.ok(!asked.some((command) => /^(MAIL|RCPT)/i.test(command)), 'the upstream is not even asked');
    assert.match(await session.say('AUTH PLAIN AAA='), /^50[02] /, 'no login here');
    assert.ok(!(await session.say('EHLO mx.far.test')).includes('AUTH'));
  });

  await t.test(
    'local recipients are taken, in any spelling, and the postmaster without a domain',
    async () => {
      const local = [ALICE, 'Bob@EXAMPLE.com', 'postmaster', 'Postmaster@example.com'];
      assert.match(await session.send(STRANGER, local), /^250 /);
      assert.deepEqual(
        stopgap.upstream.messages.at(-1)!.to.map((line) => /<(.*)>/.exec(line)![1]),
        local,
      );
      const [event] = await stopgap.all<MessageAccepted>('MessageAccepted');
      assert.equal(event!.stream, 'send-someone@far.test', 'by the return path, in normal form');
      const { direction, account, returnPath, ehlo, ip, recipients, entitled } = event!.data;
      assert.deepEqual(
        { direction, account, returnPath, ehlo, ip, recipients, entitled },
        {
          direction: 'inbound',
          account: undefined,
          returnPath: STRANGER,
          ehlo: 'mx.far.test',
          ip: '127.0.0.30',
          recipients: 4,
          entitled: true,
        },
      );
    },
  );

  await t.test('a blocked return path: each RCPT is refused for now', async () => {
    const block = await stopgap.block('domain', 'far.test', { direction: 'inbound' });
    await session.say('RSET');
    assert.match(await session.say(`MAIL FROM:<${STRANGER}>`), /^250 /);
    for (const to of [ALICE, BOB]) assert.match(await session.say(`RCPT TO:<${to}>`), /^451 4\.3\.2 /);
    const [refusal] = await stopgap.all<MessageRefused>('MessageRefused');
    assert.equal(refusal!.data.block, block);
    assert.equal(refusal!.data.direction, 'inbound');
    await session.say('RSET');
    assert.match(await session.send('other@near.test', [ALICE]), /^250 /, 'others go on');
    await stopgap.release('domain', 'far.test');
  });

  await t.test('bounces are counted for their addressee, and no other reports are', async () => {
    for (const action of ['delayed', 'delivered', 'relayed', 'expanded'])
      assert.match(await session.send('', [ALICE], report(action)), /^250 /);
    assert.match(await session.send('', [ALICE], 'Subject: I am away\r\n\r\nAction: failed\r\n'), /^250 /);
    assert.match(await session.send('', [ALICE, 'Bob+list@Example.com'], report('failed')), /^250 /);
    assert.match(await session.send('mailer-daemon@far.test', [BOB], report('failed')), /^250 /);
    const bounces = await stopgap.all<BounceReceived>('BounceReceived');
    assert.deepEqual(
      bounces.map(({ stream, data }) => [stream, data.address]),
      [
        [`send-${ALICE}`, ALICE],
        [`send-${BOB}`, 'Bob+list@Example.com'],
        [`send-${BOB}`, BOB],
      ],
    );
    const accepted = (await stopgap.all<MessageAccepted>('MessageAccepted')).at(-2)!;
    assert.equal(accepted.stream, 'send-127.0.0.30', 'the null sender is known by its network');
  });
  await session.quit();
});

test('a flood of refused recipients becomes a few events, whose counts add up', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock });
  await stopgap.block('address', 'spam@far.test');
  const session = await stopgap.stranger();
  await session.say('MAIL FROM:<spam@far.test>');
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 50; i++) assert.match(await session.say(`RCPT TO:<u${i}@example.com>`), /^451 /);
    clock.advance(10 * SECOND);
  }
  const refusals = await stopgap.all<MessageRefused>('MessageRefused');
  assert.equal(
    refusals.reduce((sum, { data }) => sum + data.count, 0),
    100,
  );
  assert.ok(refusals.length <= 3, `${refusals.length} events`);
  await session.quit();

  await t.test('and what still gathers is written at the end', async () => {
    const last = await stopgap.stranger();
    await last.say('MAIL FROM:<spam@far.test>');
    for (let i = 0; i < 7; i++) await last.say(`RCPT TO:<u${i}@example.com>`);
    await last.quit();
    await stopgap.restart();
    const after = await stopgap.all<MessageRefused>('MessageRefused');
    assert.equal(
      after.reduce((sum, { data }) => sum + data.count, 0),
      107,
    );
  });
});
