import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Delivery, Relay } from '../../../src/smtp/relay/port.js';
import { RelayUnreachable } from '../../../src/smtp/relay/port.js';
import type { Script } from '../../support/relay/fake-upstream.js';
import { bodyOf, ENVELOPE, MESSAGE, pair, temporaryDir, yes } from '../../support/relay/helpers.js';

const address = (name: string) => `${name}@example.net`;

async function send(
  relay: Relay,
  names: readonly string[],
  content = MESSAGE,
  confirm = yes,
): Promise<Delivery> {
  const transaction = relay.begin(ENVELOPE);
  for (const name of names) assert.equal((await transaction.offer({ address: address(name) })).code, 250);
  // Our own header differs at each try: it must not make a message another one.
  return transaction.transmit(await bodyOf(content, `Received: try ${Math.random()}\r\n`), confirm);
}

/** Answers after the dot by the recipient's name: `a550` gets 550 and so on, others 250. */
const byName: Script = {
  '.': (rcpt) => {
    const code = /<[a-z](\d{3})@/.exec(rcpt)?.[1];
    return code === undefined ? undefined : `${code} ${code[0]}.2.0 said ${code}`;
  },
};

const who = (list: Delivery['accepted']) => list.map((recipient) => recipient.address.split('@')[0]);

describe('relay LMTP', () => {
  it('speaks over a Unix socket', async (t) => {
    const path = join(await temporaryDir(t), 'lmtp.sock');
    const { upstream, relay } = await pair(t, { lmtp: true, path });
    assert.equal((await send(relay, ['a', 'b'])).reply.code, 250);
    assert.deepEqual(upstream.commands[0], 'LHLO relay.test');
    assert.equal(upstream.messages.length, 1);
  });

  const cases: Array<[names: string[], code: number, accepted: string[]]> = [
    [['a', 'b'], 250, ['a', 'b']],
    [['a550', 'b452'], 452, []],
    [['a550', 'b554'], 550, []],
    [['a', 'b452', 'c550'], 451, ['a']],
    [['a', 'b550', 'c'], 554, ['a', 'c']],
  ];
  for (const [names, code, accepted] of cases) {
    it(`makes ${code} of the answers to ${names.join(', ')}`, async (t) => {
      const { relay } = await pair(t, { lmtp: true, script: byName });
      const delivery = await send(relay, names);
      assert.equal(delivery.reply.code, code);
      assert.deepEqual(who(delivery.accepted), accepted);
      assert.deepEqual(
        delivery.results.map(({ reply }) => reply.code),
        names.map((name) => Number(name.slice(1) || 250)),
      );
    });
  }

  it('says in its refusal who got the message and what the others said', async (t) => {
    const { relay } = await pair(t, { lmtp: true, script: byName });
    const few = await send(relay, ['a', 'b550']);
    assert.equal(
      few.reply.text,
      '5.3.0 delivered to 1 of 2 recipients; refused: b550@example.net: 550 5.2.0 said 550',
    );
    const names = ['a', ...Array.from('bcdefghijklmnopq', (letter) => `${letter}550`)];
    const many = await send(relay, names, 'Another: message\r\n\r\n');
    assert.equal(
      many.reply.text,
      '5.3.0 delivered to 1 of 17 recipients; refused: 16 with 550 5.2.0 said 550',
    );
    assert.ok(!many.reply.text.includes('@'));
    const partly = await send(relay, ['a', 'b452'], 'A third: message\r\n\r\n');
    assert.match(partly.reply.text, /^4\.3\.0 delivered to 1 of 2 recipients/);
  });

  it('delivers a message that is sent again only to those who have not got it', async (t) => {
    const { upstream, relay } = await pair(t, { lmtp: true, script: byName });
    assert.equal((await send(relay, ['a', 'b452', 'c'])).reply.code, 451);

    upstream.script = {};
    const again = await send(relay, ['a', 'b452', 'c']);
    assert.equal(again.reply.code, 250);
    assert.deepEqual(who(again.accepted), ['b452']);
    assert.deepEqual(
      again.results.map(({ reply }) => reply.text),
      ['2.0.0 delivered before', '2.0.0 queued', '2.0.0 delivered before'],
    );
    assert.deepEqual(
      upstream.messages.map(({ to }) => to),
      [['a', 'b452', 'c'].map((name) => `RCPT TO:<${address(name)}>`), [`RCPT TO:<${address('b452')}>`]],
    );
    // It has reached everyone: the same once more is a message of its own.
    await send(relay, ['a', 'c']);
    assert.equal(upstream.messages[2]!.to.length, 2);
  });

  it('answers at once where everyone has got it already, and asks for confirmation all the same', async (t) => {
    const { upstream, relay } = await pair(t, { lmtp: true, script: byName });
    await send(relay, ['a', 'b452']);
    assert.equal((await send(relay, ['a'], MESSAGE, () => false)).withdrawn, true);
    const again = await send(relay, ['a']);
    assert.equal(again.reply.code, 250);
    assert.deepEqual(who(again.accepted), []);
    assert.equal(upstream.messages.length, 1);
  });

  it('keeps the refusal if the rest is refused again, and counts up', async (t) => {
    const { upstream, relay } = await pair(t, { lmtp: true, script: byName });
    await send(relay, ['a', 'b452', 'c451']);
    const second = await send(relay, ['a', 'b452', 'c451']);
    assert.equal(second.reply.code, 452);
    assert.deepEqual(who(second.accepted), []);
    upstream.script = { '.': (rcpt) => (rcpt.includes('b452') ? '550 5.1.1 gone' : undefined) };
    const third = await send(relay, ['a', 'b452', 'c451']);
    assert.equal(third.reply.code, 554);
    assert.match(third.reply.text, /delivered to 2 of 3 recipients/);
  });

  it('takes another message, or one from another sender, for another', async (t) => {
    const { upstream, relay } = await pair(t, { lmtp: true, script: byName });
    await send(relay, ['a', 'b452']);
    await send(relay, ['a'], 'Another: message\r\n\r\n');
    const other = relay.begin({ ...ENVELOPE, returnPath: 'other@example.com' });
    await other.offer({ address: address('a') });
    await other.transmit(await bodyOf(MESSAGE), yes);
    assert.equal(upstream.messages.length, 3);
  });

  it('remembers who got it if the upstream goes away between its answers', async (t) => {
    const { upstream, relay } = await pair(t, {
      lmtp: true,
      script: {
        '.'(rcpt, peer) {
          if (!rcpt.includes('<b@')) return undefined;
          peer.close();
          return '';
        },
      },
    });
    await assert.rejects(
      send(relay, ['a', 'b']),
      (error) =>
        error instanceof RelayUnreachable &&
        error.ambiguous &&
        /1 of 2 recipients/.test(error.message) &&
        who(error.accepted).join() === 'a',
    );
    upstream.script = {};
    const again = await send(relay, ['a', 'b']);
    assert.equal(again.reply.code, 250);
    assert.deepEqual(who(again.accepted), ['b'], 'each is told of once');
    assert.deepEqual(upstream.messages[1]!.to, [`RCPT TO:<${address('b')}>`]);
  });
});
