import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RelayClient } from '../../../src/smtp/relay/port.js';
import { RelayUnreachable } from '../../../src/smtp/relay/port.js';
import { bodyOf, ENVELOPE, MESSAGE, pair, yes } from '../../support/relay/helpers.js';

const TO = { address: 'one@example.net' };
const XFORWARD = 'XFORWARD ADDR HELO';
const XCLIENT = 'XCLIENT ADDR LOGIN';

function client(name: string): RelayClient {
  const last = name.length;
  return {
    ip: `192.0.2.${last}`,
    port: 4711,
    protocol: 'ESMTP',
    helo: `${name}.example.com`,
    login: `${name}@example.com`,
    ident: 'abc.1',
  };
}

/** Sends one message in the name of a client. */
async function send(relay: Awaited<ReturnType<typeof pair>>['relay'], name: string): Promise<number> {
  const transaction = relay.begin({ ...ENVELOPE, client: client(name) });
  await transaction.offer(TO);
  return (await transaction.transmit(await bodyOf(MESSAGE), yes)).reply.code;
}

describe('a relay that tells the upstream of the client', () => {
  for (const offers of [['PIPELINING', XFORWARD], [XFORWARD]])
    it(`says XFORWARD before each message of a pooled session (offered: ${offers.join(', ')})`, async (t) => {
      const { upstream, relay } = await pair(t, { offers, script: { XFORWARD: () => '250 2.0.0 ok' } });
      for (const name of ['al', 'bob']) assert.equal(await send(relay, name), 250);
      const abandoned = relay.begin({ ...ENVELOPE, client: client('al') });
      await abandoned.offer(TO);
      abandoned.end();
      assert.equal(await send(relay, 'bob'), 250);
      assert.equal(upstream.peers.length, 1);
      const [al, bob] = ['al', 'bob'].map(
        (name) => `XFORWARD ADDR=192.0.2.${name.length} HELO=${name}.example.com`,
      );
      const said = upstream.commands.filter((line) => /^(?:XFORWARD|RSET|MAIL)/.test(line));
      const MAIL = 'MAIL FROM:<sender@example.com>';
      assert.deepEqual(said, [al, MAIL, bob, MAIL, al, MAIL, 'RSET', bob, MAIL]);
    });

  for (const offers of [['PIPELINING', XFORWARD], [XFORWARD]])
    it(`sends mail on if XFORWARD is refused, and says it no more there (offered: ${offers.join(', ')})`, async (t) => {
      const { upstream, relay } = await pair(t, { offers, script: { XFORWARD: () => '550 5.7.0 not you' } });
      for (const name of ['al', 'bob']) assert.equal(await send(relay, name), 250);
      assert.equal(upstream.commands.filter((line) => line.startsWith('XFORWARD')).length, 1);
    });

  it('opens a session for each client with XCLIENT, and shares it among the messages of that client', async (t) => {
    const { upstream, relay } = await pair(
      t,
      { offers: ['PIPELINING', XCLIENT], script: { XCLIENT: () => '220 fake.test ESMTP' } },
      { xclient: true, maxSessions: 2 },
    );
    for (const name of ['al', 'al', 'bob', 'al', 'carol', 'carol']) {
      assert.equal(await send(relay, name), 250);
      const { peer } = upstream.messages.at(-1)!;
      assert.deepEqual(peer.commands.slice(0, 3), [
        'EHLO relay.test',
        `XCLIENT ADDR=192.0.2.${name.length} LOGIN=${name}@example.com`,
        `EHLO ${name}.example.com`,
      ]);
      assert.equal(peer.commands.filter((line) => line.startsWith('XCLIENT')).length, 1);
    }
    const clients = upstream.messages.map(({ peer }) => peer.id);
    assert.equal(clients[0], clients[1]);
    assert.equal(clients[4], clients[5]);
    assert.ok(relay.sessions.open <= 2);
  });

  it('never sends a message in the name of another client, however few sessions many clients share', async (t) => {
    const { upstream, relay } = await pair(
      t,
      { offers: ['PIPELINING', XCLIENT], script: { XCLIENT: () => '220 fake.test ESMTP' } },
      { xclient: true, maxSessions: 2, stealAfter: 1 },
    );
    const names = Array.from({ length: 24 }, (_, index) => 'abcdefgh'.slice(0, 1 + (index % 6)));
    const codes = await Promise.all(
      names.map(async (name) => {
        const transaction = relay.begin({
          ...ENVELOPE,
          returnPath: `${name}@example.com`,
          client: client(name),
        });
        // Others take the session meanwhile: the transaction runs again on another.
        for (const to of ['one', 'two']) {
          await transaction.offer({ address: `${to}@example.net` });
          await new Promise(setImmediate);
        }
        return (await transaction.transmit(await bodyOf(MESSAGE), yes)).reply.code;
      }),
    );
    assert.deepEqual(
      codes,
      names.map(() => 250),
    );
    for (const { peer, from } of upstream.messages)
      assert.ok(
        peer.commands.some(
          (line) => line.startsWith('XCLIENT') && line.endsWith(`LOGIN=${/<(.*)>/.exec(from)![1]}`),
        ),
      );
    for (const peer of upstream.peers)
      assert.ok(peer.commands.filter((line) => line.startsWith('XCLIENT')).length <= 1);
    assert.equal(upstream.messages.length, names.length);
  });

  it('takes no message for an upstream that refuses XCLIENT or does not offer it', async (t) => {
    const refusing = await pair(
      t,
      { offers: [XCLIENT], script: { XCLIENT: () => '550 5.7.0 not you' } },
      { xclient: true },
    );
    await assert.rejects(send(refusing.relay, 'al'), RelayUnreachable);
    const without = await pair(t, { offers: [] }, { xclient: true });
    await assert.rejects(send(without.relay, 'al'), RelayUnreachable);
    const { detail } = await without.relay.probe();
    assert.match(detail, /does not offer XCLIENT, which smtp\.relay\.xclient asks for/);
    assert.deepEqual([...refusing.upstream.messages, ...without.upstream.messages], []);
  });
});
