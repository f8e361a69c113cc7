import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RelayRecipient } from '../../../src/smtp/relay/port.js';
import { RelayUnreachable } from '../../../src/smtp/relay/port.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { bodyOf, ENVELOPE, MESSAGE, pair, relayTo, yes } from '../../support/relay/helpers.js';

const TO = (name: string): RelayRecipient => ({ address: `${name}@example.net` });
const from = (name: string) => ({ ...ENVELOPE, returnPath: `${name}@example.com` });

describe('relay pool', () => {
  it('lets another transaction take a session over, and runs the first again afterwards', async (t) => {
    const { upstream, relay } = await pair(t, {}, { maxSessions: 1, stealAfter: 0 });
    const first = relay.begin(from('first'));
    const second = relay.begin(from('second'));
    await first.offer(TO('a'));
    await first.offer(TO('b'));
    await second.offer(TO('c'));
    await first.offer(TO('d'));
    assert.equal((await second.transmit(await bodyOf(MESSAGE), yes)).reply.code, 250);
    assert.equal((await first.transmit(await bodyOf(MESSAGE), yes)).reply.code, 250);

    assert.equal(upstream.peers.length, 1);
    assert.deepEqual(upstream.peers[0]!.reads.slice(1), [
      'MAIL FROM:<first@example.com>\r\nRCPT TO:<a@example.net>\r\n',
      'RCPT TO:<b@example.net>\r\n',
      'RSET\r\nMAIL FROM:<second@example.com>\r\nRCPT TO:<c@example.net>\r\n',
      'RSET\r\nMAIL FROM:<first@example.com>\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<d@example.net>\r\n',
      'RSET\r\nMAIL FROM:<second@example.com>\r\nRCPT TO:<c@example.net>\r\n',
      'DATA\r\n',
      'MAIL FROM:<first@example.com>\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<d@example.net>\r\n',
      'DATA\r\n',
    ]);
    assert.deepEqual(
      upstream.messages.map(({ to }) => to.length),
      [1, 3],
    );
  });

  it('leaves a session to its transaction for a moment before another may take it', async (t) => {
    const { upstream, relay } = await pair(t, {}, { maxSessions: 1, stealAfter: 60_000 });
    const first = relay.begin(from('first'));
    await first.offer(TO('a'));
    const second = relay.begin(from('second')).offer(TO('b'));
    assert.equal((await first.transmit(await bodyOf(MESSAGE), yes)).reply.code, 250);
    assert.equal((await second).code, 250);
    assert.ok(!upstream.commands.includes('RSET'));
  });

  it('hands nothing over if the upstream refuses a recipient the second time', async (t) => {
    const { upstream, relay } = await pair(t, {}, { maxSessions: 1, stealAfter: 0 });
    const first = relay.begin(from('first'));
    await first.offer(TO('a'));
    await first.offer(TO('b'));
    await relay.begin(from('second')).offer(TO('c'));
    upstream.script = { RCPT: (line) => (line.includes('<b@') ? '550 5.1.1 gone' : undefined) };
    const delivery = await first.transmit(await bodyOf(MESSAGE), yes);
    assert.equal(delivery.reply.code, 451);
    assert.match(delivery.reply.text, /1 of 2 recipients/);
    assert.deepEqual(delivery.accepted, []);
    assert.deepEqual(
      delivery.results.map(({ recipient, reply }) => [recipient.address, reply.code]),
      [
        ['a@example.net', 250],
        ['b@example.net', 550],
      ],
    );
    assert.deepEqual(upstream.messages, []);
    assert.ok(!upstream.commands.includes('DATA'));
  });

  it('prefers a session that holds no transaction, and opens no more than maxSessions', async (t) => {
    const { upstream, relay } = await pair(t, {}, { maxSessions: 2, stealAfter: 0 });
    const held = relay.begin(from('held'));
    await held.offer(TO('a'));
    const done = relay.begin(from('done'));
    await done.offer(TO('b'));
    await done.transmit(await bodyOf(MESSAGE), yes);
    assert.deepEqual(relay.sessions, { open: 2, busy: 0, unanswered: 0 });
    await relay.begin(from('next')).offer(TO('c'));
    assert.deepEqual(upstream.peers[0]!.commands.slice(1), [
      'MAIL FROM:<held@example.com>',
      'RCPT TO:<a@example.net>',
    ]);
    await Promise.all(Array.from({ length: 20 }, (_, i) => relay.begin(from(`n${i}`)).offer(TO('d'))));
    assert.equal(upstream.peers.length, 2);
  });

  it('lets only so many wait, and none for longer than it should', async (t) => {
    const { upstream, relay } = await pair(
      t,
      { script: { RCPT: () => '' } },
      { maxSessions: 1, maxWaiting: 1, waitTimeout: 30 },
    );
    const stuck = relay.begin(from('stuck')).offer(TO('a'));
    await upstream.until(() => upstream.commands.includes('RCPT TO:<a@example.net>'));
    const waited = assert.rejects(
      relay.begin(from('waiting')).offer(TO('b')),
      (error) => error instanceof RelayUnreachable && /within 30 ms/.test(error.message),
    );
    await assert.rejects(relay.begin(from('late')).offer(TO('c')), /1 commands wait/);
    await waited;
    upstream.peers[0]!.say('250 at last');
    assert.equal((await stuck).code, 250);
  });

  it('replaces a session that the upstream closed while nobody used it', async (t) => {
    const { upstream, relay } = await pair(t);
    await relay.begin(from('first')).offer(TO('a'));
    upstream.peers[0]!.close();
    await upstream.until(() => upstream.peers[0]!.closed);
    assert.equal((await relay.begin(from('second')).offer(TO('b'))).code, 250);
    assert.equal(upstream.peers.length, 2);
    assert.equal(relay.sessions.open, 1);
  });

  for (const [how, end] of [
    ['dies', (peer: { kill(): void }) => peer.kill()],
    ['says 421', (peer: { say(text: string): void }) => peer.say('421 4.3.2 closing')],
  ] as const) {
    for (const verb of ['MAIL', 'DATA'] as const) {
      it(`goes on with a fresh session if a used one ${how} at ${verb}`, async (t) => {
        const { upstream, relay } = await pair(t);
        const warm = relay.begin(from('warm'));
        await warm.offer(TO('a'));
        await warm.transmit(await bodyOf(MESSAGE), yes);
        upstream.script = {
          [verb]: (_line: string, peer: FakeUpstream['peers'][number]) => {
            if (peer.id > 0) return undefined;
            end(peer);
            return '';
          },
        };
        const transaction = relay.begin(from('next'));
        assert.equal((await transaction.offer(TO('b'))).code, 250);
        assert.equal((await transaction.offer(TO('c'))).code, 250);
        const delivery = await transaction.transmit(await bodyOf(MESSAGE), yes);
        assert.equal(delivery.reply.code, 250);
        assert.equal(upstream.peers.length, 2);
        assert.deepEqual(upstream.messages.at(-1)!.to, [
          'RCPT TO:<b@example.net>',
          'RCPT TO:<c@example.net>',
        ]);
        assert.equal(upstream.messages.length, 2);
      });
    }
  }

  it('gives up if the fresh session says 421 too', async (t) => {
    const { upstream, relay } = await pair(t, { script: { MAIL: () => '421 4.3.2 too busy' } });
    await assert.rejects(
      relay.begin(ENVELOPE).offer(TO('a')),
      (error) => error instanceof RelayUnreachable && /421 4\.3\.2 too busy/.test(error.message),
    );
    assert.equal(upstream.peers.length, 1, 'a session that was fresh already is not tried again');
  });

  it('resets a transaction that nobody goes on with, and closes a session that nobody uses', async (t) => {
    const { upstream, relay } = await pair(t, {}, { staleTransaction: 20, idleTimeout: 40 });
    const slow = relay.begin(ENVELOPE);
    await slow.offer(TO('a'));
    await upstream.until(() => upstream.commands.includes('RSET'));
    await upstream.until(() => upstream.commands.includes('QUIT') && upstream.peers[0]!.closed);
    assert.equal(relay.sessions.open, 0);
    assert.equal((await slow.transmit(await bodyOf(MESSAGE), yes)).reply.code, 250);
    assert.deepEqual(upstream.messages[0]!.to, ['RCPT TO:<a@example.net>']);
  });

  it('fails at once during an outage, tries one connect after the pause, and says when it is over', async (t) => {
    const upstream = await FakeUpstream.start();
    const { port } = upstream;
    t.after(() => upstream.stop());
    const notices: string[] = [];
    const relay = relayTo(t, upstream.url(), {
      backoff: { first: 60_000, most: 60_000 },
      onNotice: (text) => notices.push(text),
    });
    await upstream.stopListening();
    await assert.rejects(relay.begin(ENVELOPE).offer(TO('a')), /ECONNREFUSED/);
    await upstream.listen(port);
    // Up again, but the pause of half a minute is not over: nobody so much as knocks.
    await assert.rejects(relay.begin(ENVELOPE).offer(TO('a')), /out of reach.*ECONNREFUSED/);
    assert.equal(upstream.peers.length, 0);
    assert.equal(notices.length, 1);
  });

  it('lets one try after the pause while the others go on failing at once', async (t) => {
    let greet: () => void = () => assert.fail('nobody has connected');
    const upstream = await FakeUpstream.start();
    t.after(() => upstream.stop());
    const notices: string[] = [];
    const relay = relayTo(t, upstream.url(), {
      backoff: { first: 0, most: 0 },
      onNotice: (text) => notices.push(text),
    });
    upstream.script = { connect: () => '554 5.3.2 no service' };
    await assert.rejects(relay.begin(ENVELOPE).offer(TO('a')), /554 5\.3\.2 no service/);
    upstream.script = {
      connect(_line, peer) {
        greet = () => peer.say('220 back');
        return '';
      },
    };
    const probing = relay.begin(ENVELOPE).offer(TO('a'));
    await upstream.until(() => upstream.peers.length === 2);
    await assert.rejects(relay.begin(ENVELOPE).offer(TO('b')), /out of reach/);
    greet();
    assert.equal((await probing).code, 250);
    assert.equal(upstream.peers.length, 2);
    assert.deepEqual(notices, [
      `the upstream is out of reach: 127.0.0.1:${upstream.port} greets with 554 5.3.2 no service`,
      'the upstream is back',
    ]);
  });

  it('goes on with the sessions it has if the upstream grants no more', async (t) => {
    const { upstream, relay } = await pair(
      t,
      {
        script: { connect: (_line, peer) => (peer.id === 0 ? undefined : '421 4.7.0 too many connections') },
      },
      { maxSessions: 10, stealAfter: 0 },
    );
    const codes = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const transaction = relay.begin(from(`n${i}`));
        await transaction.offer(TO('a'));
        return (await transaction.transmit(await bodyOf(MESSAGE), yes)).reply.code;
      }),
    );
    assert.deepEqual(
      codes,
      Array.from({ length: 8 }, () => 250),
    );
    assert.ok(upstream.messages.every(({ peer }) => peer.id === 0));
  });
});
