import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { describe, it } from 'node:test';
import { collectBody } from '../../../src/smtp/relay/body.js';
import type { Relay, RelayTimeouts } from '../../../src/smtp/relay/port.js';
import { RelayUnreachable } from '../../../src/smtp/relay/port.js';
import type { FakeOptions, Peer, Script, Verb } from '../../support/relay/fake-upstream.js';
import { bodyOf, ENVELOPE, MESSAGE, pair, relayTo, temporaryDir, yes } from '../../support/relay/helpers.js';

const ONE = { address: 'one@example.net' };

async function send(relay: Relay): Promise<number> {
  const transaction = relay.begin(ENVELOPE);
  await transaction.offer(ONE);
  return (await transaction.transmit(await bodyOf(MESSAGE), yes)).reply.code;
}

const unreachable = (ambiguous: boolean, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RelayUnreachable, String(error));
  assert.equal(error.ambiguous, ambiguous);
  assert.match(error.message, text);
  return true;
};

const PHASES: readonly Verb[] = ['connect', 'EHLO', 'MAIL', 'RCPT', 'DATA', '.'];
/** Which of them ends the phase. */
const TIMEOUTS: Partial<Record<Verb, keyof RelayTimeouts>> = {
  connect: 'greeting',
  EHLO: 'command',
  MAIL: 'command',
  RCPT: 'command',
  DATA: 'data',
  '.': 'dot',
};
const silent = (phase: Verb): Script => ({ [phase]: () => '' });
const killing = (phase: Verb): Script => ({
  [phase](_line: string, peer: Peer) {
    peer.kill();
    return '';
  },
});
const garbling = (phase: Verb): Script => ({ [phase]: () => 'what shall I say?' });

describe('relay: the upstream fails', () => {
  for (const lmtp of [false, true]) {
    for (const phase of PHASES) {
      const verb: Verb = lmtp && phase === 'EHLO' ? 'LHLO' : phase;
      const kind = lmtp ? 'LMTP' : 'SMTP';
      // Only what happens after the final dot leaves open whether the message was taken.
      const ambiguous = phase === '.';
      const fake = (script: Script): FakeOptions => ({ lmtp, script });

      it(`${kind}: is killed at ${phase}`, async (t) => {
        const { upstream, relay } = await pair(t, fake(killing(verb)));
        await assert.rejects(send(relay), unreachable(ambiguous, /closed|ECONNRESET|EPIPE/));
        assert.deepEqual(relay.sessions, { open: 0, busy: 0, unanswered: 0 });
        assert.ok(upstream.messages.length <= (ambiguous ? 1 : 0));
      });

      it(`${kind}: says nothing at ${phase}`, async (t) => {
        const { relay } = await pair(t, fake(silent(verb)), { timeouts: { [TIMEOUTS[phase]!]: 20 } });
        await assert.rejects(send(relay), unreachable(ambiguous, /within 20 ms/));
        assert.deepEqual(relay.sessions, { open: 0, busy: 0, unanswered: 0 });
      });

      it(`${kind}: talks nonsense at ${phase}`, async (t) => {
        const { relay } = await pair(t, fake(garbling(verb)));
        await assert.rejects(
          send(relay),
          unreachable(ambiguous, /nonsense.*"what shall I say\?" is no reply/),
        );
      });

      it(`${kind}: serves again after trouble at ${phase}`, async (t) => {
        const { upstream, relay } = await pair(t, fake(killing(verb)), { backoff: { first: 0, most: 0 } });
        await assert.rejects(send(relay), RelayUnreachable);
        upstream.script = {};
        assert.equal(await send(relay), 250);
      });
    }
  }

  it('is killed in the middle of the body', async (t) => {
    const { upstream, relay } = await pair(t, { offers: [], script: { body: (peer) => peer.kill() } });
    const transaction = relay.begin(ENVELOPE);
    await transaction.offer(ONE);
    const body = await collectBody(createReadStream('/dev/zero', { end: 20_000_000 }), {
      spoolDir: await temporaryDir(t),
    });
    let asked = 0;
    const transmission = transaction.transmit(body, () => ++asked > 0);
    await assert.rejects(transmission, unreachable(false, /closed|ECONNRESET|EPIPE/));
    assert.equal(asked, 0, 'confirmation is asked for at the dot only, which was never reached');
    assert.deepEqual(upstream.messages, []);
    await body.dispose();
  });

  it('does not take the body in time', async (t) => {
    const { relay } = await pair(
      t,
      { offers: [], script: { body: (peer) => peer.socket.pause() } },
      { timeouts: { block: 30 } },
    );
    const transaction = relay.begin(ENVELOPE);
    await transaction.offer(ONE);
    const body = await collectBody(createReadStream('/dev/zero', { end: 30_000_000 }), {
      spoolDir: await temporaryDir(t),
    });
    await assert.rejects(transaction.transmit(body, yes), unreachable(false, /the message within 30 ms/));
    await body.dispose();
  });

  it('answers out of place', async (t) => {
    for (const script of [
      { RCPT: () => '354 go ahead' },
      { DATA: () => '250 ok, got it' },
      { MAIL: () => '250 ok\r\n250 ok\r\n250 and one too many' },
    ] satisfies Script[]) {
      const { relay } = await pair(t, { script });
      await assert.rejects(
        send(relay),
        unreachable(false, /out of place|answered DATA with 250|without being asked/),
      );
    }
  });

  it('sends replies without end', async (t) => {
    const { relay } = await pair(t, { script: { EHLO: () => '250-x\r\n'.repeat(10_000) } });
    await assert.rejects(send(relay), unreachable(false, /a reply without end/));
    const long = await pair(t, { script: { EHLO: () => `250 ${'x'.repeat(100_000)}` } });
    await assert.rejects(send(long.relay), unreachable(false, /a reply without end/));
  });

  it('is not there', async (t) => {
    const { upstream, relay } = await pair(t);
    await upstream.stopListening();
    await assert.rejects(send(relay), unreachable(false, /ECONNREFUSED/));
    const { ok, detail } = await relay.probe();
    assert.equal(ok, false);
    assert.match(detail, /ECONNREFUSED/);
  });

  it('does not answer the probe', async (t) => {
    const { relay } = await pair(t, { script: silent('connect') }, { waitTimeout: 20 });
    const { ok, detail } = await relay.probe();
    assert.equal(ok, false);
    assert.match(detail, /does not answer within 20 ms/);
  });

  it('hangs while connecting: those who wait fail after their time, the next at once', async (t) => {
    const { upstream, relay } = await pair(
      t,
      { script: silent('connect') },
      { waitTimeout: 20, backoff: { first: 60_000, most: 60_000 } },
    );
    await assert.rejects(send(relay), unreachable(false, /within 20 ms/));
    await assert.rejects(send(relay), unreachable(false, /out of reach: it does not answer/));
    assert.equal(upstream.peers.length, 1);
  });

  it('hangs on: the connect that was tried after the pause is given up with the one who waited for it', async (t) => {
    const options = { waitTimeout: 20, backoff: { first: 0, most: 0 } };
    const { upstream, relay } = await pair(t, { script: silent('connect') }, options);
    await assert.rejects(send(relay), unreachable(false, /within 20 ms/));
    await assert.rejects(send(relay), unreachable(false, /within 20 ms|does not answer|closed/));
    await upstream.until(() => upstream.peers[1]?.closed === true);
    upstream.script = {};
    assert.equal(await send(relay), 250);
  });

  it('breaks off what the relay is doing when the relay is closed', async (t) => {
    const { upstream, relay } = await pair(t, { script: silent('RCPT') }, { closeTimeout: 20 });
    const sending = send(relay);
    const failed = assert.rejects(sending, unreachable(false, /closed/));
    await upstream.until(() => upstream.commands.includes(`RCPT TO:<${ONE.address}>`));
    await relay.close();
    await failed;
    assert.deepEqual(relay.sessions, { open: 0, busy: 0, unanswered: 0 });
  });

  it('waits for what the relay is doing when the relay is closed', async (t) => {
    const { upstream, relay } = await pair(t, { script: silent('RCPT') }, { closeTimeout: 60_000 });
    const offer = relay.begin(ENVELOPE).offer(ONE);
    await upstream.until(() => upstream.commands.includes(`RCPT TO:<${ONE.address}>`));
    const closed = relay.close();
    upstream.peers[0]!.say('250 2.1.5 ok');
    assert.equal((await offer).code, 250);
    await closed;
    assert.ok(upstream.commands.includes('QUIT'));
  });

  it('never sees the final dot of a message that was withdrawn', async (t) => {
    const { upstream, relay } = await pair(t);
    for (const size of [10, 1_000_000]) {
      const transaction = relay.begin(ENVELOPE);
      await transaction.offer(ONE);
      const spoolDir = await temporaryDir(t);
      const body = await collectBody(createReadStream('/dev/zero', { end: size }), { spoolDir });
      assert.equal((await transaction.transmit(body, () => false)).withdrawn, true);
      await body.dispose();
      await upstream.until(() => upstream.peers.every((peer) => peer.closed));
    }
    assert.equal(upstream.commands.filter((command) => command === 'DATA').length, 2);
    assert.ok(!upstream.commands.includes('.'));
    assert.deepEqual(upstream.messages, []);
  });

  it('cannot be named wrongly', (t) => {
    assert.throws(() => relayTo(t, 'ftp://example.com'), /unknown scheme "ftp"/);
  });
});
