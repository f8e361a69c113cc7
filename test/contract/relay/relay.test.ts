import assert from 'node:assert/strict';
import { readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { InvalidInput } from '../../../src/kernel/errors.js';
import { collectBody, SpoolFailed } from '../../../src/smtp/relay/body.js';
import { RelayUnreachable } from '../../../src/smtp/relay/port.js';
import type { Adapter } from '../../support/relay/adapters.js';
import { ADAPTERS } from '../../support/relay/adapters.js';
import { bodyOf, ENVELOPE, MESSAGE, temporaryDir, yes } from '../../support/relay/helpers.js';

const ONE = { address: 'one@example.net' };
const TWO = { address: 'two@example.net' };

/** The contract of every relay, for any destination. */
function contract({ name, plug }: Adapter): void {
  describe(`relay: ${name}`, () => {
    it('hands a message over, byte for byte, to the recipients that were taken', async (t) => {
      const { relay, arrived } = await plug(t);
      const transaction = relay.begin(ENVELOPE);
      assert.equal((await transaction.offer(ONE)).code, 250);
      assert.equal((await transaction.offer(TWO)).code, 250);
      const delivery = await transaction.transmit(await bodyOf(MESSAGE, 'Received: here\r\n'), yes);

      assert.equal(delivery.reply.code, 250);
      assert.equal(delivery.withdrawn, false);
      assert.deepEqual(delivery.accepted, [ONE, TWO]);
      assert.deepEqual(
        delivery.results.map(({ recipient, reply }) => [recipient, reply.code]),
        [
          [ONE, 250],
          [TWO, 250],
        ],
      );
      assert.deepEqual(await arrived(), [
        {
          returnPath: 'sender@example.com',
          recipients: [ONE.address, TWO.address],
          content: Buffer.from(`Received: here\r\n${MESSAGE}`),
        },
      ]);
    });

    it('asks for confirmation once, before anything has arrived', async (t) => {
      const { relay, arrived } = await plug(t);
      const transaction = relay.begin(ENVELOPE);
      await transaction.offer(ONE);
      let before: Promise<unknown[]> | undefined;
      let asked = 0;
      await transaction.transmit(await bodyOf(MESSAGE), () => {
        asked++;
        before = arrived().then((messages) => [...messages]);
        return true;
      });
      assert.equal(asked, 1);
      // A Maildir is read after the rename has begun: there, the test of withdrawal below has to do.
      if (name !== 'Maildir') assert.deepEqual(await before, []);
      assert.equal((await arrived()).length, 1);
    });

    it('hands nothing over where confirmation is denied, and goes on working', async (t) => {
      const { relay, arrived } = await plug(t);
      const denied = relay.begin(ENVELOPE);
      await denied.offer(ONE);
      const delivery = await denied.transmit(await bodyOf(MESSAGE), () => false);
      assert.equal(delivery.withdrawn, true);
      assert.deepEqual(delivery.accepted, []);
      assert.ok(delivery.reply.code >= 400);
      assert.ok(delivery.results.every(({ reply }) => reply.code >= 400));

      const next = relay.begin({ ...ENVELOPE, returnPath: 'next@example.com' });
      await next.offer(TWO);
      assert.equal((await next.transmit(await bodyOf(MESSAGE), yes)).reply.code, 250);
      assert.deepEqual(
        (await arrived()).map((message) => message.returnPath),
        ['next@example.com'],
      );
    });

    it('hands nothing over where confirmation throws, and passes the error on', async (t) => {
      const { relay, arrived } = await plug(t);
      const transaction = relay.begin(ENVELOPE);
      await transaction.offer(ONE);
      const transmission = transaction.transmit(await bodyOf(MESSAGE), () => {
        throw new Error('the verdict broke');
      });
      await assert.rejects(transmission, /the verdict broke/);
      assert.deepEqual(await arrived(), []);
      assert.deepEqual(relay.sessions, { open: 0, busy: 0, unanswered: 0 });
    });

    it('hands nothing over if the spool cannot be read any more, and says that it was the spool', async (t) => {
      const { relay, arrived } = await plug(t);
      const spoolDir = await temporaryDir(t);
      const body = await collectBody(Readable.from([Buffer.from(MESSAGE)]), { spoolDir, memoryLimit: 0 });
      await truncate(join(spoolDir, (await readdir(spoolDir))[0]!), 5);
      const transaction = relay.begin(ENVELOPE);
      await transaction.offer(ONE);
      await assert.rejects(transaction.transmit(body, yes), SpoolFailed);
      await body.dispose();
      assert.deepEqual(await arrived(), []);
    });

    it('hands nothing over without a recipient', async (t) => {
      const { relay, arrived } = await plug(t);
      const delivery = await relay.begin(ENVELOPE).transmit(await bodyOf(MESSAGE), yes);
      assert.equal(delivery.reply.code, 554);
      assert.deepEqual(delivery.accepted, []);
      assert.deepEqual(await arrived(), []);
    });

    it('lets go of a transaction that is given up, however often', async (t) => {
      const { relay, arrived } = await plug(t);
      const given = relay.begin(ENVELOPE);
      await given.offer(ONE);
      given.end();
      given.end();
      relay.begin(ENVELOPE).end();
      const next = relay.begin({ ...ENVELOPE, returnPath: 'next@example.com' });
      await next.offer(TWO);
      await next.transmit(await bodyOf(MESSAGE), yes);
      next.end();
      const messages = await arrived();
      assert.deepEqual(
        messages.map(({ returnPath, recipients }) => [returnPath, recipients]),
        [['next@example.com', [TWO.address]]],
      );
    });

    it('keeps transactions apart that go on at the same time', async (t) => {
      const { relay, arrived } = await plug(t);
      const names = ['a', 'b', 'c', 'd'];
      const transactions = names.map((who) => relay.begin({ ...ENVELOPE, returnPath: `${who}@example.com` }));
      await Promise.all(
        transactions.map((transaction, i) => transaction.offer({ address: `${names[i]}1@example.net` })),
      );
      await Promise.all(
        transactions.map((transaction, i) => transaction.offer({ address: `${names[i]}2@example.net` })),
      );
      await Promise.all(
        transactions.map(async (transaction, i) =>
          transaction.transmit(await bodyOf(`X: ${names[i]}\r\n\r\n`), yes),
        ),
      );
      const messages = (await arrived()).map(({ returnPath, recipients, content }) => [
        returnPath,
        recipients,
        content.toString(),
      ]);
      assert.deepEqual(
        messages.sort(),
        names.map((who) => [
          `${who}@example.com`,
          [`${who}1@example.net`, `${who}2@example.net`],
          `X: ${who}\r\n\r\n`,
        ]),
      );
    });

    it('names a recipient once that is offered twice', async (t) => {
      const { relay, arrived } = await plug(t);
      const transaction = relay.begin(ENVELOPE);
      assert.equal((await transaction.offer(ONE)).code, 250);
      assert.equal((await transaction.offer({ ...ONE })).code, 250);
      assert.deepEqual((await transaction.transmit(await bodyOf(MESSAGE), yes)).accepted, [ONE]);
      assert.deepEqual((await arrived())[0]!.recipients, [ONE.address]);
    });

    it('takes the null return path and an empty message', async (t) => {
      const { relay, arrived } = await plug(t);
      const transaction = relay.begin({ ...ENVELOPE, returnPath: '' });
      await transaction.offer(ONE);
      assert.equal((await transaction.transmit(await bodyOf([]), yes)).reply.code, 250);
      const [message] = await arrived();
      assert.equal(message!.returnPath, '');
      assert.equal(message!.content.length, 0);
    });

    it('carries a long message through the spool', async (t) => {
      const { relay, arrived } = await plug(t);
      const line = Buffer.from(`${'.'.repeat(3)}${'x'.repeat(70)}\r\n`);
      const content = Buffer.concat(Array.from({ length: 20_000 }, () => line));
      const body = await collectBody(Readable.from([content]), { spoolDir: await temporaryDir(t) });
      assert.equal(body.spooled, true);
      const transaction = relay.begin(ENVELOPE);
      await transaction.offer(ONE);
      assert.equal((await transaction.transmit(body, yes)).reply.code, 250);
      await body.dispose();
      const [message] = await arrived();
      assert.ok(message!.content.equals(content), 'the message arrived as it was sent');
    });

    for (const trick of [
      '\n.\n',
      '\n.\r\n',
      '\r.\r\n',
      '\r\n.\r',
      '\r\n.\n',
      '\r.\r',
      '\r\n.\r\n',
      '\n.\r',
      '\0\r\n.\r\n',
    ]) {
      it(`is not made to smuggle a second message by ${JSON.stringify(trick)}`, async (t) => {
        const { relay, arrived } = await plug(t);
        const smuggled =
          'MAIL FROM:<admin@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nx\r\n.\r\n';
        const transaction = relay.begin(ENVELOPE);
        await transaction.offer(ONE);
        await transaction.transmit(await bodyOf(`A: b\r\n\r\ntext${trick}${smuggled}`), yes);
        const after = relay.begin(ENVELOPE);
        await after.offer(TWO);
        await after.transmit(await bodyOf(MESSAGE), yes);

        const messages = await arrived();
        assert.deepEqual(messages.map(({ recipients }) => recipients).sort(), [[ONE.address], [TWO.address]]);
        const first = messages.find(({ recipients }) => recipients[0] === ONE.address)!;
        assert.ok(first.content.includes('RCPT TO:<victim@example.net>'), 'the trick is plain content');
        // Nothing but CRLF is left that anyone could take for the end of a line.
        assert.doesNotMatch(first.content.toString('latin1'), /(?<!\r)\n|\r(?!\n)/);
      });
    }

    for (const address of [
      'a@b\r\nRSET',
      'a@b>\r\nX',
      'a@b> NOTIFY=NEVER',
      '<a@b',
      'a\n@b',
      'a b@c',
      'a\0@b',
      'a@b\u2028c',
    ]) {
      it(`lets no ${JSON.stringify(address)} into a command`, async (t) => {
        const { relay, arrived } = await plug(t);
        assert.throws(() => relay.begin({ ...ENVELOPE, returnPath: address }), InvalidInput);
        const transaction = relay.begin(ENVELOPE);
        await assert.rejects(transaction.offer({ address }), InvalidInput);
        assert.throws(() => relay.begin({ ...ENVELOPE, envid: 'a\r\nb' }), InvalidInput);
        await assert.rejects(transaction.offer({ ...ONE, orcpt: 'rfc822;a\r\nb' }), InvalidInput);
        await assert.rejects(transaction.offer({ ...ONE, notify: ['NEVER\r\nRSET'] }), InvalidInput);
        assert.equal((await transaction.transmit(await bodyOf(MESSAGE), yes)).reply.code, 554);
        assert.deepEqual(await arrived(), []);
      });
    }

    it('says that it can be reached', async (t) => {
      const { relay } = await plug(t);
      const { ok, detail } = await relay.probe();
      assert.equal(ok, true, detail);
    });

    it('has no session left once it is closed, and delivers no more', async (t) => {
      const { relay } = await plug(t);
      const transaction = relay.begin(ENVELOPE);
      await transaction.offer(ONE);
      await transaction.transmit(await bodyOf(MESSAGE), yes);
      await relay.close();
      assert.deepEqual(relay.sessions, { open: 0, busy: 0, unanswered: 0 });
      await assert.rejects(relay.begin(ENVELOPE).offer(ONE), RelayUnreachable);
    });
  });
}

for (const adapter of ADAPTERS) contract(adapter);
