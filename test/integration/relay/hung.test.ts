import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { collectBody } from '../../../src/smtp/relay/body.js';
import type { Delivery, Relay, RelayOptions, RelayTransaction } from '../../../src/smtp/relay/port.js';
import { RelayUnreachable } from '../../../src/smtp/relay/port.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import type { Pair } from '../../support/relay/helpers.js';
import { bodyOf, ENVELOPE, MESSAGE, pair, relayTo, temporaryDir, yes } from '../../support/relay/helpers.js';

const TO = { address: 'to@example.net' };

interface Sent {
  readonly transaction: RelayTransaction;
  readonly delivery: Promise<Delivery>;
}

async function begin(relay: Relay, body = bodyOf(MESSAGE)): Promise<Sent> {
  const transaction = relay.begin(ENVELOPE);
  await transaction.offer(TO);
  const delivery = transaction.transmit(await body, yes);
  delivery.catch(() => undefined);
  return { transaction, delivery };
}

/** Each message is swallowed at its final dot until the script is changed. */
function swallowing(t: TestContext, options: Partial<RelayOptions>, lmtp = false): Promise<Pair> {
  return pair(t, { lmtp, script: { '.': () => '' } }, options);
}

async function swallowed(pair: Pair, body?: ReturnType<typeof bodyOf>): Promise<Sent> {
  const { upstream, relay } = pair;
  const before = upstream.messages.length;
  const sent = await begin(relay, body);
  await upstream.until(() => upstream.messages.length > before);
  return sent;
}

const ambiguous = (error: unknown): boolean => error instanceof RelayUnreachable && error.ambiguous;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await turn();
}

/** Timers of this span end only when the test lets it pass, however slow the machine is. */
function drivenSpan(t: TestContext, driven: number): () => void {
  let passed = 0;
  const held: (() => void)[] = [];
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + passed);
  const begin = globalThis.setTimeout;
  const set = (act: () => void, span: number): NodeJS.Timeout => {
    if (span !== driven) return begin(act, span);
    held.push(act);
    return begin(() => undefined, 2 ** 30).unref();
  };
  t.mock.method(globalThis, 'setTimeout', set as typeof setTimeout);
  return () => {
    passed += driven;
    for (const act of held.splice(0)) act();
  };
}

describe('relay: an upstream that swallows what it is sent', () => {
  it('after the final dot, and the client is gone: its session is in nobody’s way; its answer still counts', async (t) => {
    const notices: string[] = [];
    const unanswered: number[] = [];
    const both = await swallowing(t, {
      maxSessions: 1,
      timeouts: { clientGone: 10 },
      onNotice: (text) => notices.push(text),
      onUnanswered: () => unanswered.push(1),
    });
    const { upstream, relay } = both;
    const hung = await swallowed(both);
    assert.ok(relay.healthy);
    hung.transaction.clientGone();
    await until(() => !relay.healthy);
    assert.deepEqual(relay.sessions, { open: 1, busy: 0, unanswered: 1 });
    upstream.script = {};
    assert.equal((await (await begin(relay)).delivery).reply.code, 250);
    assert.ok(relay.healthy, 'it answers again');
    assert.equal(notices.length, 2, notices.join());
    assert.match(notices[0]!, /does not answer/);
    assert.match(notices[1]!, /answers messages again/);
    assert.equal(unanswered.length, 1);
    upstream.peers[0]!.say('250 2.0.0 late');
    const { accepted } = await hung.delivery;
    assert.equal(accepted.length, 1, 'the upstream has it: it is no less sent');
    await until(() => relay.sessions.open === 1);
    assert.deepEqual(relay.sessions, { open: 1, busy: 0, unanswered: 0 });
  });

  it('after the final dot, and the client waits: after a while its session is in nobody’s way', async (t) => {
    const both = await swallowing(t, { maxSessions: 1, timeouts: { slowAnswer: 10 } });
    const { upstream, relay } = both;
    const hung = await swallowed(both);
    await until(() => !relay.healthy);
    upstream.script = {};
    assert.equal((await (await begin(relay)).delivery).reply.code, 250);
    upstream.peers[0]!.say('250 2.0.0 late');
    assert.equal((await hung.delivery).reply.code, 250);
  });

  it('only as many sessions wait aside as there may be others: then one whose client is gone is closed', async (t) => {
    const both = await swallowing(t, { maxSessions: 2, timeouts: { clientGone: 10, slowAnswer: 20 } });
    const { upstream, relay } = both;
    const present = await swallowed(both);
    const gone = [await swallowed(both)];
    gone[0]!.transaction.clientGone();
    await until(() => relay.sessions.unanswered === 2);
    gone.push(await swallowed(both));
    gone[1]!.transaction.clientGone();
    await assert.rejects(gone[0]!.delivery, ambiguous);
    await until(() => relay.sessions.unanswered === 2);
    upstream.script = {};
    assert.equal((await (await begin(relay)).delivery).reply.code, 250);
    upstream.peers[0]!.say('250 2.0.0 late');
    assert.equal((await present.delivery).reply.code, 250);
    upstream.peers[2]!.say('250 2.0.0 late');
    assert.equal((await gone[1]!.delivery).reply.code, 250);
  });

  for (const lmtp of [false, true]) {
    it(`${lmtp ? 'LMTP' : 'SMTP'}: its spool file is gone before the answer comes`, async (t) => {
      const spoolDir = await temporaryDir(t);
      const body = collectBody(Readable.from([Buffer.from(`${MESSAGE}${'x'.repeat(2000)}\r\n`)]), {
        spoolDir,
        memoryLimit: 1000,
      });
      const both = await swallowing(t, { timeouts: { clientGone: 10 } }, lmtp);
      const hung = await swallowed(both, body);
      assert.equal((await readdir(spoolDir)).length, 1);
      hung.transaction.clientGone();
      await until(async () => (await readdir(spoolDir)).length === 0);
      both.upstream.peers[0]!.say('250 2.0.0 late');
      assert.equal((await hung.delivery).reply.code, 250);
    });
  }

  it('LMTP: who got it and who did not is remembered without its spool file', async (t) => {
    const spoolDir = await temporaryDir(t);
    const text = Buffer.from(`${MESSAGE}${'x'.repeat(2000)}\r\n`);
    const body = () => collectBody(Readable.from([text]), { spoolDir, memoryLimit: 1000 });
    const { upstream, relay } = await swallowing(t, { timeouts: { clientGone: 10 } }, true);
    const last = await body();
    t.after(() => last.dispose());
    const transaction = relay.begin(ENVELOPE);
    for (const name of ['a', 'b']) await transaction.offer({ address: `${name}@example.net` });
    const delivery = transaction.transmit(await body(), yes);
    await upstream.until(() => upstream.messages.length === 1);
    transaction.clientGone();
    await until(async () => (await readdir(spoolDir)).length === 1);
    upstream.peers[0]!.say('250 2.0.0 late');
    upstream.peers[0]!.say('451 4.2.0 not now');
    assert.equal((await delivery).reply.code, 451);
    upstream.script = {};
    const again = relay.begin(ENVELOPE);
    for (const name of ['a', 'b']) await again.offer({ address: `${name}@example.net` });
    assert.equal((await again.transmit(last, yes)).reply.code, 250);
    assert.deepEqual(upstream.messages[1]!.to, ['RCPT TO:<b@example.net>']);
  });

  for (const verb of ['MAIL', 'RCPT', 'DATA'] as const) {
    it(`at ${verb}, and the client is gone: its session is closed within seconds`, async (t) => {
      const { upstream, relay } = await pair(
        t,
        { script: { [verb]: () => '' }, offers: [] },
        { maxSessions: 1, timeouts: { clientGone: 10 } },
      );
      const transaction = relay.begin(ENVELOPE);
      const asked =
        verb === 'DATA'
          ? transaction.offer(TO).then(async () => transaction.transmit(await bodyOf(MESSAGE), yes))
          : transaction.offer(TO);
      await upstream.until(() => upstream.commands.some((line) => line.startsWith(verb)));
      if (verb === 'DATA') transaction.clientGone();
      else transaction.end();
      await assert.rejects(asked, (error) => error instanceof RelayUnreachable && !error.ambiguous);
      upstream.script = {};
      assert.equal((await (await begin(relay)).delivery).reply.code, 250);
    });
  }

  it('a client that has left while it waited for a session gets none', async (t) => {
    const { upstream, relay } = await pair(t, { script: { RCPT: () => '' } }, { maxSessions: 1 });
    const busy = relay.begin(ENVELOPE).offer(TO);
    await upstream.until(() => upstream.commands.some((line) => line.startsWith('RCPT')));
    const waiting = relay.begin({ ...ENVELOPE, returnPath: 'gone@example.com' });
    const asked = waiting.offer(TO);
    waiting.end();
    await assert.rejects(asked, (error) => error instanceof RelayUnreachable && error.fault === undefined);
    upstream.script = {};
    upstream.peers[0]!.say('250 2.1.5 ok');
    await busy;
    assert.ok(!upstream.commands.some((line) => line.includes('gone@')));
  });

  it('that greeted nobody for a while is back with the first connection that it greets', async (t) => {
    const upstream = await FakeUpstream.start({ script: { connect: () => '' } });
    t.after(() => upstream.stop());
    const waitTimeout = 10_000;
    const pass = drivenSpan(t, waitTimeout);
    const relay = relayTo(t, upstream.url(), {
      maxSessions: 3,
      waitTimeout,
      backoff: { first: 0, most: 0 },
    });
    const refused = Array.from({ length: 3 }, () => assert.rejects(relay.begin(ENVELOPE).offer(TO)));
    await upstream.until(() => upstream.peers.length >= 3);
    pass();
    await Promise.all(refused);
    assert.equal(upstream.peers.length, 3, 'as many connections hang as there may be sessions');
    upstream.script = {};
    assert.equal((await (await begin(relay)).delivery).reply.code, 250);
    assert.equal(upstream.peers.length, 4);
    await upstream.until(() => upstream.peers.filter(({ closed }) => closed).length === 3);
    assert.deepEqual(relay.sessions, { open: 1, busy: 0, unanswered: 0 });
  });
});
