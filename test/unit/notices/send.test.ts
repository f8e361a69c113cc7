import assert from 'node:assert/strict';
import { once } from 'node:events';
import https from 'node:https';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { generate } from 'selfsigned';
import { Webhook } from 'standardwebhooks';
import type { Channel } from '../../../src/config/schema.js';
import { asRelay } from '../../../src/config/values.js';
import { DAY, HOUR, SECOND } from '../../../src/kernel/time.js';
import type { Notice } from '../../../src/notices/events.js';
import type { Outcome, SenderOptions } from '../../../src/notices/send.js';
import { DEADLINE, outcomeOf, sendNotice } from '../../../src/notices/send.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';
import { channelOf, KEY } from '../../support/notices/channels.js';
import { MailReceiver, Receiver } from '../../support/notices/receiver.js';

const NOTICE: Notice = {
  id: '018f0000-0000-7000-8000-000000000001',
  kind: 'events',
  at: NOON,
  items: [
    {
      event: 'imposed',
      position: 7,
      at: NOON,
      by: 'rule:burst@1',
      block: 'b1',
      subject: { type: 'account', value: 'alice@example.com' },
      why: '101 messages in 10m, of 100 allowed. <b>*[x](http://evil.example)*</b> & more',
      until: NOON + HOUR,
      rule: 'burst',
    },
  ],
  counts: { imposed: 3 },
};

const never = new AbortController().signal;

function sending(
  channel: Channel,
  more: Partial<SenderOptions> = {},
  notice = NOTICE,
  told?: readonly string[],
): Promise<Outcome> {
  const options: SenderOptions = {
    clock: systemClock,
    publicUrl: 'https://stopgap.example.com',
    hostname: 'mx.example.com',
    relay: asRelay('smtp://127.0.0.1:9', '/'),
    ...more,
  };
  return sendNotice(channel, notice, options, never, told);
}

/** A header as a reader sees it: encoded words are decoded, and white space between two of them is none (RFC 2047). */
function shown(header: string): string {
  return header
    .replace(/(\?=)\s+(?==\?)/g, '$1')
    .replace(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, (_word, kind: string, text: string) =>
      (kind.toLowerCase() === 'b'
        ? Buffer.from(text, 'base64')
        : Buffer.from(
            text
              .replaceAll('_', ' ')
              .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
            'latin1',
          )
      ).toString('utf8'),
    );
}

interface Scene {
  readonly receiver: Receiver;
  readonly channel: (settings?: Readonly<Record<string, unknown>>) => Channel;
}

async function scene(t: TestContext): Promise<Scene> {
  const receiver = await Receiver.start(t);
  return {
    receiver,
    channel: (settings = {}) => channelOf({ url: receiver.url('/secret-path'), ...settings }),
  };
}

describe('a webhook', () => {
  test('is signed so that the Standard Webhooks library verifies it, by both keys while one replaces the other', async (t) => {
    const { receiver, channel } = await scene(t);
    const next = `whsec_${Buffer.from('another-key-of-28-bytes-long').toString('base64')}`;
    assert.deepEqual(await sending(channel({ secret: `${KEY},${next}` })), {});
    const [{ headers, body }] = receiver.received as [Receiver['received'][number]];
    for (const key of [KEY, next]) assert.deepEqual(new Webhook(key).verify(body, headers), JSON.parse(body));
    assert.throws(() => new Webhook(KEY).verify(`${body} `, headers));
    assert.equal(headers['webhook-id'], NOTICE.id);
    const { type, data } = JSON.parse(body) as { type: string; data: Record<string, unknown> };
    assert.equal(type, 'stopgap.events');
    assert.deepEqual([data['more'], data['counts']], [2, { imposed: 3 }]);
    const [item] = data['items'] as Record<string, unknown>[];
    assert.deepEqual(
      [item!['subject'], item!['until'], item!['link']],
      [
        { type: 'account', value: 'alice@example.com' },
        '2026-03-01T13:00:00.000Z',
        'https://stopgap.example.com/#/blocks/b1',
      ],
    );
  });

  test('has arrived with 2xx alone: a redirect is not followed, and no error repeats the URL', async (t) => {
    const { receiver, channel } = await scene(t);
    for (const [status, headers, outcome] of [
      [500, {}, { error: 'HTTP 500' }],
      [404, {}, { error: 'HTTP 404' }],
      [410, {}, { error: 'HTTP 410', gone: true }],
      [429, { 'retry-after': '7' }, { error: 'HTTP 429', retryAfter: 7 * SECOND }],
      [
        302,
        { location: receiver.url('/elsewhere') },
        { error: 'HTTP 302, a redirect, which is not followed' },
      ],
    ] as const) {
      receiver.reply = { status, headers };
      assert.deepEqual(await sending(channel()), outcome);
    }
    assert.deepEqual([...new Set(receiver.received.map(({ path }) => path))], ['/secret-path']);
  });

  test('is given up after 15 s without an answer', async (t) => {
    const { receiver, channel } = await scene(t);
    receiver.reply = 'silence';
    const clock = new ManualClock();
    const outcome = sending(channel(), { clock });
    await receiver.got(1);
    clock.advance(DEADLINE);
    assert.deepEqual(await outcome, { error: 'no answer within 15 s' });
  });

  test('goes to no server whose certificate is not trusted', async (t) => {
    const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }]);
    const server = https.createServer({ key, cert }, (_request, response) => void response.end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const channel = channelOf({ url: `https://127.0.0.1:${port}/secret-path` });
    const { error } = await sending(channel);
    assert.match(error!, /^no answer: [A-Z_]*CERT[A-Z_]*$/);
  });

  test('goes to no link-local or metadata address, whatever name leads there', async (t) => {
    const { receiver, channel } = await scene(t);
    const url = `http://hooks.example.com:${receiver.port}/`;
    for (const address of [
      '169.254.169.254',
      'fe80::1',
      '::ffff:169.254.169.254',
      'fd00:ec2::254',
      '0.0.0.0',
    ]) {
      const lookup = ((_name: string, _options: unknown, callback: (...all: unknown[]) => void) =>
        callback(null, [{ address, family: address.includes(':') ? 6 : 4 }])) as unknown as NonNullable<
        SenderOptions['lookup']
      >;
      const { error } = await sending(channel({ url }), { lookup });
      assert.match(error!, /link-local or metadata address/, address);
    }
    const lookup = ((_name: string, _options: unknown, callback: (...all: unknown[]) => void) =>
      callback(null, [{ address: '127.0.0.1', family: 4 }])) as unknown as NonNullable<
      SenderOptions['lookup']
    >;
    assert.deepEqual(
      await sending(channel({ url }), { lookup }),
      {},
      'the name that leads elsewhere is taken',
    );
  });

  test('says only by a code what went wrong on the way', async () => {
    const channel = channelOf({ url: 'http://127.0.0.1:9/secret-path' });
    assert.deepEqual(await sending(channel), { error: 'no answer: ECONNREFUSED' });
  });
});

test('Retry-After is read in seconds and as a date, and never puts off for more than a day', () => {
  assert.deepEqual(outcomeOf(503, new Date(NOON + HOUR).toUTCString(), NOON), {
    error: 'HTTP 503',
    retryAfter: HOUR,
  });
  assert.deepEqual(outcomeOf(503, '999999999', NOON), { error: 'HTTP 503', retryAfter: DAY });
  for (const bad of ['', '-5', 'soon', undefined, new Date(NOON - HOUR).toUTCString()])
    assert.deepEqual(outcomeOf(503, bad, NOON), { error: 'HTTP 503' });
});

describe('a notice is written as the service reads it', () => {
  test('for Slack: nothing in it becomes a link', async (t) => {
    const { receiver, channel } = await scene(t);
    assert.deepEqual(await sending(channel({ type: 'slack' })), {});
    const { text } = JSON.parse(receiver.received[0]!.body) as { text: string };
    assert.match(text, /^Stopgap: 3 senders blocked\naccount alice@example\.com: sender blocked at /);
    assert.match(text, /&lt;b&gt;.*&amp; more\nIt ends at 2026-03-01T13:00:00\.000Z\./);
    assert.match(text, /… and 2 more\.\nhttps:\/\/stopgap\.example\.com\/#\/blocks$/);
  });

  test('for Teams: an adaptive card, whose Markdown is escaped', async (t) => {
    const { receiver, channel } = await scene(t);
    assert.deepEqual(await sending(channel({ type: 'teams' })), {});
    const { attachments } = JSON.parse(receiver.received[0]!.body) as {
      attachments: { content: { type: string; body: { text: string }[]; actions: { url: string }[] } }[];
    };
    const { content } = attachments[0]!;
    assert.equal(content.type, 'AdaptiveCard');
    assert.ok(content.body.some(({ text }) => text.includes('\\[x\\]\\(http://evil.example\\)')));
    assert.equal(content.actions[0]!.url, 'https://stopgap.example.com/#/blocks');
  });

  test('for ntfy: title, link and token in headers', async (t) => {
    const { receiver, channel } = await scene(t);
    assert.deepEqual(await sending(channel({ type: 'ntfy', secret: 'tk_token' })), {});
    const { headers, body, path } = receiver.received[0]!;
    assert.equal(path, '/secret-path');
    assert.equal(headers['title'], 'Stopgap: 3 senders blocked');
    assert.equal(headers['authorization'], 'Bearer tk_token');
    assert.match(body, /^account alice@example\.com: sender blocked/);
  });

  test('for Matrix: with the id of the notice as that of the transaction', async (t) => {
    const { receiver, channel } = await scene(t);
    const url = receiver.url('/_matrix/client/v3/rooms/!room:example.org');
    assert.deepEqual(await sending(channel({ type: 'matrix', url, secret: 'syt_token' })), {});
    const { method, path, headers, body } = receiver.received[0]!;
    assert.equal(method, 'PUT');
    assert.equal(path, `/_matrix/client/v3/rooms/!room:example.org/send/m.room.message/${NOTICE.id}`);
    assert.equal(headers['authorization'], 'Bearer syt_token');
    const { msgtype, 'm.mentions': mentions } = JSON.parse(body) as Readonly<Record<string, unknown>>;
    assert.deepEqual([msgtype, mentions], ['m.text', {}], 'a sender called @room calls nobody');
  });

  test('as mail: plain text and HTML, from the configured sender, with the id of the notice', async (t) => {
    const mail = await MailReceiver.start(t);
    const settings = {
      type: 'mail',
      url: undefined,
      secret: undefined,
      to: 'ops@example.com',
      smtp: mail.url,
    };
    assert.deepEqual(await sending(channelOf(settings)), {});
    const [{ from, to, text }] = (await mail.got(1)) as [MailReceiver['mails'][number]];
    assert.deepEqual([from, to], ['stopgap@mx.example.com', ['ops@example.com']]);
    assert.match(text, /^Subject: Stopgap: 3 senders blocked\r$/m);
    assert.match(text, new RegExp(`^Message-ID: <${NOTICE.id}@mx\\.example\\.com>\\r$`, 'm'));
    assert.match(text, /^Auto-Submitted: auto-generated\r$/m);
    assert.match(text, /multipart\/alternative/);
    assert.doesNotMatch(text.slice(text.indexOf('<!doctype')), /<b>/, 'HTML of others is text');
  });

  test('a name that looks like encoded words is shown as it is, in the subject of mail and in the title of ntfy', async (t) => {
    const [{ receiver, channel }, mail] = [await scene(t), await MailReceiver.start(t)];
    const receivers = [
      channel({ type: 'ntfy', secret: undefined }),
      channel({ type: 'mail', url: undefined, secret: undefined, to: 'ops@example.com', smtp: mail.url }),
    ];
    for (const value of [
      '=?utf-8?q?x=2e_All_is_well?=',
      `ä.=?utf-8?q?=e2=80=ae?=.${'ö'.repeat(60)}.example`,
    ]) {
      const subject = { type: 'ehlo', value } as const;
      const notice = { ...NOTICE, items: [{ ...NOTICE.items[0]!, subject }], counts: { imposed: 1 } };
      for (const one of receivers) assert.deepEqual(await sending(one, {}, notice), {});
      const title = `Stopgap: sender blocked: ehlo ${value}`;
      const { headers } = receiver.received.at(-1)!;
      const { text } = (await mail.got(1)).at(-1)!;
      const header = text
        .replaceAll('\r\n ', ' ')
        .split('\r\n')
        .find((line) => line.startsWith('Subject:'))!
        .slice('Subject:'.length)
        .trim();
      assert.deepEqual([shown(String(headers['title'])), shown(header)], [title, title]);
      for (const word of header.split(/\s+/)) assert.ok(word.length <= 75, word);
      mail.mails.length = 0;
    }
  });

  describe('as mail that the server refuses', () => {
    const TO = { to: 'ops@example.com, security@example.com' };
    const forGood = (code: number): Outcome => ({
      error: `the mail server refuses this receiver for good: ${code}`,
      refused: true,
    });
    const absent = (code: number): string => `${code} 5.1.1 no such user`;
    const forNow = (code: number): Outcome => ({ error: `the mail server refused it: ${code}` });

    async function refusing(
      t: TestContext,
    ): Promise<{ readonly mail: MailReceiver; readonly channel: Channel }> {
      const mail = await MailReceiver.start(t);
      const settings = { type: 'mail', url: undefined, secret: undefined, smtp: mail.url };
      const owners = 'alice@example.com=alice@home.example';
      return { mail, channel: channelOf({ ...settings, ...TO, owners }) };
    }

    for (const [said, outcome] of [
      ['550 5.1.1 <alice@home.example>: Recipient address rejected: User unknown', forGood(550)],
      ['550 5.1.2 no such domain', forGood(550)],
      ['550 5.1.10 Recipient not found', forGood(550)],
      ['550 5.2.1 mailbox disabled', forGood(550)],
      ['550 5.1.1 no such user; asked from [203.5.7.1]', forGood(550)],
      ['551 5.1.6 mailbox has moved', forGood(551)],
      ['553 5.1.3 bad destination mailbox address syntax', forGood(553)],
      ['550 User unknown', forNow(550)],
      ['550 relay not permitted', forNow(550)],
      ['550 Administrative prohibition', forNow(550)],
      ['550 Sender verify failed', forNow(550)],
      ['550 rejected because 203.5.1.1 is in a black list at dnsbl.example', forNow(550)],
      ['551 user not local', forNow(551)],
      ['553 mailbox name not allowed', forNow(553)],
      ['550 5.7.1 Service unavailable; client host blocked using a list', forNow(550)],
      ['550 #5.7.1 Your access has been rejected', forNow(550)],
      ['550 5.1.0 Sender address rejected: User unknown', forNow(550)],
      ['550 5.1.7 bad sender mailbox address syntax', forNow(550)],
      ['550 5.1.8 Access denied, bad outbound sender', forNow(550)],
      ['550 5.2.2 mailbox full', forNow(550)],
      ['550 5.4.1 Recipient address rejected: Access denied', forNow(550)],
      ['552 mailbox full', forNow(552)],
      ['552 5.2.2 mailbox full', forNow(552)],
      ["553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", forNow(553)],
      ['554 Service unavailable', forNow(554)],
      ['554 5.7.1 Relay access denied', forNow(554)],
      ['554 5.1.1 no such user', forNow(554)],
      ['555 parameters not recognized', forNow(555)],
      ['530 5.7.0 must issue STARTTLS first', forNow(530)],
      ['452 4.2.2 mailbox full', forNow(452)],
      ['450 4.1.1 unverified address', forNow(450)],
    ] as const)
      test(`${'refused' in outcome ? 'the mailbox is refused for good by' : 'it is tried again after'}: ${said}`, async (t) => {
        const { mail, channel } = await refusing(t);
        mail.refused.set('alice@home.example', said);
        const notice = { ...NOTICE, to: 'alice@home.example' };
        assert.deepEqual(await sending(channel, {}, notice), outcome);
      });

    for (const [said, outcome] of [
      ['450 4.7.1 greylisted', forNow(450)],
      [absent(550), forGood(550)],
    ] as const)
      test(`it tells which of several addresses took it, and goes to the others alone from then on, after: ${said}`, async (t) => {
        const { mail, channel } = await refusing(t);
        mail.refused.set('security@example.com', said);
        const told = ['ops@example.com'];
        const error = `of 2 addresses 1 did not take it: ${outcome.error}`;
        assert.deepEqual(await sending(channel), { ...outcome, error, told });
        assert.deepEqual(await sending(channel, {}, NOTICE, told), outcome);
        mail.refused.clear();
        assert.deepEqual(await sending(channel, {}, NOTICE, told), {});
        assert.deepEqual(
          mail.mails.map(({ to }) => to),
          [['ops@example.com'], ['security@example.com']],
        );
      });

    test('it knows an address again that is written in capitals and with a domain that is not ASCII', async (t) => {
      const { mail, channel } = await refusing(t);
      mail.refused.set('security@example.com', 450);
      const to = 'Ops@BÜCHER.example, ops@bücher.example, security@example.com';
      const several = {
        ...channel,
        to: channelOf({ type: 'mail', url: undefined, secret: undefined, to }).to,
      };
      const { told } = await sending(several);
      mail.refused.clear();
      assert.deepEqual(await sending(several, {}, NOTICE, told), {});
      assert.deepEqual(mail.mails.at(-1)!.to, ['security@example.com']);
    });

    test('it is sent to nobody where all addresses that are still named have it', async (t) => {
      const { mail, channel } = await refusing(t);
      assert.deepEqual(await sending(channel, {}, NOTICE, ['ops@example.com', 'security@example.com']), {});
      assert.deepEqual(mail.mails, []);
    });

    test('it is tried again unless the mailboxes of all are refused for good, in whichever order', async (t) => {
      const { mail, channel } = await refusing(t);
      const outcomes: Outcome[] = [];
      for (const [ops, security] of [
        [absent(550), 452],
        [absent(550), 550],
        [554, absent(550)],
        [absent(550), absent(551)],
      ] as const) {
        mail.refused.set('ops@example.com', ops).set('security@example.com', security);
        outcomes.push(await sending(channel));
      }
      assert.deepEqual(outcomes, [forNow(452), forNow(550), forNow(554), forGood(550)]);
    });
  });

  test('it is given up unsent where its receiver is no owner any more, or not of all that it names', async (t) => {
    const mail = await MailReceiver.start(t);
    const notice = { ...NOTICE, to: 'alice@home.example' };
    const settings = {
      type: 'mail',
      url: undefined,
      secret: undefined,
      to: 'ops@example.com',
      smtp: mail.url,
    };
    const outcomes: Outcome[] = [];
    for (const owners of [
      undefined,
      'alice@example.com=other@home.example',
      'bob@example.com=alice@home.example',
      'alice@example.com=other@home.example, example.com=alice@home.example',
      'example.com=alice@home.example',
    ])
      outcomes.push(await sending(channelOf({ ...settings, owners }), {}, notice));
    outcomes.push(await sending(channelOf(), {}, notice));
    const refused = { error: 'it is no owner any more whom this was to be sent to', refused: true };
    assert.deepEqual(outcomes, [refused, refused, refused, refused, {}, refused]);
    assert.deepEqual(
      mail.mails.map(({ to }) => to),
      [['alice@home.example']],
    );
  });

  test('over LMTP: a mailbox that is refused once the message is there did not get it', async (t) => {
    const answers = ['452 4.2.2 full', '550 5.1.1 not here', '250 2.0.0 taken'];
    const server = net.createServer((socket) => {
      let isData = false;
      socket.setEncoding('latin1').on('error', () => undefined);
      socket.write('220 lmtp.example\r\n');
      createInterface(socket).on('line', (line) => {
        if (isData && line !== '.') return;
        if (isData) socket.write(`${answers.shift()}\r\n`);
        else socket.write(line === 'DATA' ? '354 go on\r\n' : '250 fine\r\n');
        isData = line === 'DATA';
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const channel = channelOf({
      type: 'mail',
      url: undefined,
      secret: undefined,
      to: 'ops@example.com',
      smtp: `lmtp://127.0.0.1:${port}`,
    });
    const outcomes = [await sending(channel), await sending(channel), await sending(channel)];
    assert.deepEqual(outcomes, [
      { error: 'the mail server refused it: 452' },
      { error: 'the mail server refuses this receiver for good: 550', refused: true },
      {},
    ]);
  });

  test('as mail: a server that is away is named by a code alone', async () => {
    const settings = { type: 'mail', url: undefined, secret: undefined, to: 'ops@example.com' };
    assert.deepEqual(await sending(channelOf(settings)), { error: 'no answer: ESOCKET' });
  });
});
