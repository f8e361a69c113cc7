import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { collectBody } from '../../../src/smtp/relay/body.js';
import { canonicalLines } from '../../../src/smtp/relay/wire.js';
import type { RelayEnvelope, RelayRecipient } from '../../../src/smtp/relay/port.js';
import type { FakeOptions } from '../../support/relay/fake-upstream.js';
import { bodyOf, ENVELOPE, MESSAGE, pair, temporaryDir, yes } from '../../support/relay/helpers.js';

const TO = (name: string): RelayRecipient => ({ address: `${name}@example.net` });

/** As Postfix: the size of a refused MAIL stays until RSET, or until a MAIL that names one. */
function keepsTheSize(): NonNullable<FakeOptions['script']> {
  let size = 0;
  return {
    MAIL(line) {
      size = Number(/ SIZE=(\d+)/.exec(line)?.[1] ?? size);
      return size > 10_000_000 ? '552 5.3.4 Message size exceeds fixed limit' : undefined;
    },
    RSET() {
      size = 0;
      return undefined;
    },
  };
}

describe('relay dialogue', () => {
  it('gives each recipient the answer that the upstream gave to it', async (t) => {
    const { upstream, relay } = await pair(t, {
      script: {
        RCPT(line) {
          if (line.includes('gone@')) return '550 5.1.1 no such user';
          if (line.includes('full@')) return '452-4.2.2 the mailbox\r\n452 4.2.2 is full';
          if (line.includes('away@')) return '251 forwarded';
          return undefined;
        },
      },
    });
    const transaction = relay.begin(ENVELOPE);
    assert.deepEqual(await transaction.offer(TO('gone')), { code: 550, text: '5.1.1 no such user' });
    assert.deepEqual(await transaction.offer(TO('one')), { code: 250, text: '2.1.5 ok one@example.net' });
    assert.deepEqual(await transaction.offer(TO('full')), { code: 452, text: '4.2.2 the mailbox is full' });
    assert.deepEqual(await transaction.offer(TO('away')), { code: 251, text: 'forwarded' });
    const delivery = await transaction.transmit(await bodyOf(MESSAGE), yes);
    assert.deepEqual(delivery.accepted, [TO('one'), TO('away')]);
    assert.deepEqual(upstream.messages[0]!.to, ['RCPT TO:<one@example.net>', 'RCPT TO:<away@example.net>']);
  });

  it('sends MAIL and the first RCPT in one write, then RCPT alone, then DATA alone, and the body in one', async (t) => {
    const { upstream, relay } = await pair(t);
    const transaction = relay.begin(ENVELOPE);
    await transaction.offer(TO('one'));
    await transaction.offer(TO('two'));
    await transaction.transmit(await bodyOf(MESSAGE), yes);
    assert.deepEqual(upstream.peers[0]!.reads, [
      'EHLO relay.test\r\n',
      'MAIL FROM:<sender@example.com>\r\nRCPT TO:<one@example.net>\r\n',
      'RCPT TO:<two@example.net>\r\n',
      'DATA\r\n',
    ]);
    // The same session serves the next one, and needs no RSET in between.
    const next = relay.begin(ENVELOPE);
    await next.offer(TO('three'));
    assert.equal(upstream.peers.length, 1);
    assert.equal(
      upstream.peers[0]!.reads.at(-1),
      'MAIL FROM:<sender@example.com>\r\nRCPT TO:<three@example.net>\r\n',
    );
  });

  it('waits for each answer if the upstream does no PIPELINING', async (t) => {
    const { upstream, relay } = await pair(t, { offers: [] });
    const transaction = relay.begin(ENVELOPE);
    await transaction.offer(TO('one'));
    assert.deepEqual(upstream.peers[0]!.reads.slice(1), [
      'MAIL FROM:<sender@example.com>\r\n',
      'RCPT TO:<one@example.net>\r\n',
    ]);
  });

  for (const offers of [['PIPELINING'], []]) {
    it(`passes on what MAIL was refused with, ${offers.length > 0 ? 'pipelined' : 'one by one'}`, async (t) => {
      const { upstream, relay } = await pair(t, { offers, script: { MAIL: () => '550 5.7.1 not from you' } });
      const transaction = relay.begin(ENVELOPE);
      const reply = await transaction.offer(TO('one'));
      assert.deepEqual(reply, { code: 550, text: '5.7.1 not from you', ofMessage: true });
      assert.equal((await transaction.transmit(await bodyOf(MESSAGE), yes)).reply.code, 554);
      assert.ok(!upstream.commands.includes('DATA'));
    });
  }

  it('resets a transaction that was given up only when the next one begins, in the same write', async (t) => {
    const { upstream, relay } = await pair(t);
    const given = relay.begin(ENVELOPE);
    await given.offer(TO('one'));
    given.end();
    await relay.begin(ENVELOPE).offer(TO('two'));
    assert.equal(
      upstream.peers[0]!.reads.at(-1),
      'RSET\r\nMAIL FROM:<sender@example.com>\r\nRCPT TO:<two@example.net>\r\n',
    );
  });

  for (const offers of [['PIPELINING', 'SIZE 10000000'], ['SIZE 10000000']]) {
    it(`takes nothing of a refused MAIL over to the next sender, ${offers.length > 1 ? 'pipelined' : 'one by one'}`, async (t) => {
      const { upstream, relay } = await pair(t, { offers, script: keepsTheSize() });
      const codes: number[] = [];
      for (const size of [12_000_000, undefined, 12_000_000, undefined]) {
        const transaction = relay.begin({ returnPath: ENVELOPE.returnPath, utf8: false, size });
        codes.push((await transaction.offer(TO('one'))).code);
        transaction.end();
      }
      assert.deepEqual(codes, [552, 250, 552, 250]);
      assert.equal(upstream.peers.length, 1);
    });
  }

  it('gives the answer to DATA or to the final dot as the answer for all', async (t) => {
    const { upstream, relay } = await pair(t, { script: { DATA: () => '451 4.3.2 not now' } });
    const first = relay.begin(ENVELOPE);
    await first.offer(TO('one'));
    const refused = await first.transmit(await bodyOf(MESSAGE), yes);
    assert.deepEqual(refused.reply, { code: 451, text: '4.3.2 not now' });
    assert.deepEqual(refused.accepted, []);

    upstream.script = { '.': () => '554 5.7.1 spam' };
    const second = relay.begin(ENVELOPE);
    await second.offer(TO('one'));
    const spam = await second.transmit(await bodyOf(MESSAGE), yes);
    assert.deepEqual(spam.reply, { code: 554, text: '5.7.1 spam' });
    assert.deepEqual(spam.results, [{ recipient: TO('one'), reply: { code: 554, text: '5.7.1 spam' } }]);
    assert.equal(upstream.peers.length, 1, 'a refusal costs no session');
  });

  it('brings over what it was given, for any lines and chunks, in memory and spooled', async (t) => {
    const { upstream, relay } = await pair(t);
    const spoolDir = await temporaryDir(t);
    const piece = fc.constantFrom('\r', '\n', '\r\n', '.', '..', 'x', '\r\n.\r\n', '\0', 'ü');
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 30 }),
        fc.constantFrom(0, 1_000_000),
        async (pieces, memoryLimit) => {
          const given = pieces.map((text) => Buffer.from(text));
          const body = await collectBody(Readable.from(given), { spoolDir, memoryLimit });
          const transaction = relay.begin(ENVELOPE);
          await transaction.offer(TO('one'));
          assert.equal((await transaction.transmit(body, yes)).reply.code, 250);
          await body.dispose();
          const { content } = upstream.messages.at(-1)!;
          assert.equal(content.toString('latin1'), canonicalLines(Buffer.concat(given)).toString('latin1'));
        },
      ),
      { numRuns: 300 },
    );
    assert.equal(upstream.peers.length, 1);
    assert.equal(upstream.commands.filter((command) => command === 'DATA').length, upstream.messages.length);
  });

  it('takes an answer that comes before the end of the message', async (t) => {
    const { upstream, relay } = await pair(t, {
      offers: ['PIPELINING'],
      script: { body: (peer) => peer.say('552 5.3.4 that is too much') },
    });
    const transaction = relay.begin(ENVELOPE);
    await transaction.offer(TO('one'));
    // Larger than what the sockets hold, so that the relay has to wait for the upstream.
    const long = Array.from({ length: 400 }, () => Buffer.alloc(64 * 1024, 'x'));
    const body = {
      ...(await bodyOf(MESSAGE)),
      size: 400 * 64 * 1024,
      buffers: undefined,
      open: () => chunks(long),
    };
    const delivery = await transaction.transmit(body, yes);
    assert.deepEqual(delivery.reply, { code: 552, text: '5.3.4 that is too much' });
    assert.deepEqual(upstream.messages, []);
  });
});

async function* chunks(list: Buffer[]): AsyncGenerator<Buffer> {
  yield* list;
}

/** The MAIL and RCPT lines that an upstream which offers `offers` gets to see. */
async function lines(
  t: Parameters<typeof pair>[0],
  offers: FakeOptions['offers'] | 'usual',
  envelope: Partial<RelayEnvelope>,
  recipient: RelayRecipient,
): Promise<{ mail: string; rcpt: string; code: number }> {
  const { upstream, relay } = await pair(t, offers === 'usual' ? {} : { offers: offers! });
  const { code } = await relay.begin({ ...ENVELOPE, ...envelope }).offer(recipient);
  const [mail = '', rcpt = ''] = upstream.peers[0]!.commands.slice(1);
  return { mail, rcpt, code };
}

describe('relay: what the upstream offers', () => {
  it('passes SIZE, BODY, RET, ENVID, NOTIFY and ORCPT on', async (t) => {
    const { mail, rcpt } = await lines(
      t,
      'usual',
      { size: 1234, body: '8BITMIME', ret: 'HDRS', envid: 'QQ+314=<x@y>' },
      { ...TO('one'), notify: ['SUCCESS', 'DELAY'], orcpt: 'rfc822;Bob+tag@example.org' },
    );
    assert.equal(
      mail,
      'MAIL FROM:<sender@example.com> SIZE=1234 BODY=8BITMIME RET=HDRS ENVID=QQ+2B314+3D+3Cx@y+3E',
    );
    assert.equal(rcpt, 'RCPT TO:<one@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Btag@example.org');
  });

  it('leaves away what is not offered', async (t) => {
    const { mail, rcpt } = await lines(
      t,
      ['PIPELINING'],
      { size: 1234, body: '8BITMIME', ret: 'FULL', envid: 'x', utf8: true },
      { ...TO('one'), notify: ['NEVER'], orcpt: 'rfc822;bob@example.org' },
    );
    assert.equal(mail, 'MAIL FROM:<sender@example.com>');
    assert.equal(rcpt, 'RCPT TO:<one@example.net>');
  });

  it('writes domains as A-labels, but for an address that needs SMTPUTF8 anyway', async (t) => {
    const plain = await lines(
      t,
      'usual',
      { returnPath: 'a@bücher.example' },
      { address: 'b@müller.example' },
    );
    assert.equal(plain.mail, 'MAIL FROM:<a@xn--bcher-kva.example>');
    assert.equal(plain.rcpt, 'RCPT TO:<b@xn--mller-kva.example>');
    const utf8 = await lines(
      t,
      'usual',
      { returnPath: 'a@bücher.example', utf8: true },
      { address: 'jürgen@müller.example', orcpt: 'utf-8;jürgen@müller.example' },
    );
    assert.equal(utf8.mail, 'MAIL FROM:<a@xn--bcher-kva.example> SMTPUTF8');
    assert.equal(utf8.rcpt, 'RCPT TO:<jürgen@müller.example> ORCPT=utf-8;jürgen@müller.example');
  });

  it('answers 550 5.6.7 if an address needs SMTPUTF8 and the upstream has none', async (t) => {
    const { upstream, relay } = await pair(t, { offers: ['PIPELINING', '8BITMIME'] });
    const transaction = relay.begin({ ...ENVELOPE, utf8: true });
    const refusal = await transaction.offer({ address: 'jürgen@example.net' });
    assert.equal(refusal.code, 550);
    assert.match(refusal.text, /^5\.6\.7 /);
    assert.equal((await transaction.offer(TO('one'))).code, 250);
    assert.equal((await transaction.transmit(await bodyOf(MESSAGE), yes)).reply.code, 250);
    assert.deepEqual(upstream.messages[0]!.to, ['RCPT TO:<one@example.net>']);

    const from = relay.begin({ returnPath: 'jürgen@example.com', utf8: true });
    assert.match((await from.offer(TO('one'))).text, /^5\.6\.7 /);
  });

  it('sends 8-bit content without 8BITMIME upstream only if it is 7-bit after all', async (t) => {
    const { upstream, relay } = await pair(t, { offers: ['PIPELINING'] });
    const declared = { ...ENVELOPE, body: '8BITMIME' as const };
    const plain = relay.begin(declared);
    await plain.offer(TO('one'));
    assert.equal((await plain.transmit(await bodyOf(MESSAGE), yes)).reply.code, 250);

    const eight = relay.begin(declared);
    assert.equal((await eight.offer(TO('one'))).code, 250);
    const delivery = await eight.transmit(await bodyOf('Subject: x\r\n\r\nBücher\r\n'), yes);
    assert.equal(delivery.reply.code, 554);
    assert.match(delivery.reply.text, /^5\.6\.3 /);
    assert.deepEqual(delivery.accepted, []);
    assert.equal(upstream.messages.length, 1);
  });

  it('answers 554 5.6.9 for UTF-8 headers if the upstream has no SMTPUTF8', async (t) => {
    const { relay } = await pair(t, { offers: ['PIPELINING', '8BITMIME'] });
    const transaction = relay.begin({ ...ENVELOPE, utf8: true });
    await transaction.offer(TO('one'));
    const delivery = await transaction.transmit(await bodyOf('Subject: Bücher\r\n\r\nx\r\n'), yes);
    assert.match(delivery.reply.text, /^5\.6\.9 /);
  });

  it('does not send a message that is larger than the SIZE stated', async (t) => {
    const { upstream, relay } = await pair(t, { offers: ['PIPELINING', 'SIZE 10'] });
    const transaction = relay.begin(ENVELOPE);
    await transaction.offer(TO('one'));
    const delivery = await transaction.transmit(await bodyOf(MESSAGE), yes);
    assert.equal(delivery.reply.code, 552);
    assert.ok(!upstream.commands.includes('DATA'));
  });

  it('says HELO to a server from before extensions', async (t) => {
    const { upstream, relay } = await pair(t, { script: { EHLO: () => '502 what?' } });
    assert.equal((await relay.begin(ENVELOPE).offer(TO('one'))).code, 250);
    assert.deepEqual(upstream.commands.slice(0, 2), ['EHLO relay.test', 'HELO relay.test']);
  });
});
