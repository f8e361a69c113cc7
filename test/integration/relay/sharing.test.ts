import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Delivery, Relay } from '../../../src/smtp/relay/port.js';
import type { FakeUpstream, Peer } from '../../support/relay/fake-upstream.js';
import { bodyOf, ENVELOPE, MESSAGE, pair, yes } from '../../support/relay/helpers.js';

const HOG = 'hog@example.com';
const TO = { address: 'to@example.net' };

async function send(relay: Relay, sender: string): Promise<Delivery> {
  const transaction = relay.begin({ ...ENVELOPE, returnPath: sender }, sender);
  await transaction.offer(TO);
  return transaction.transmit(await bodyOf(MESSAGE), yes);
}

const sendersOf = ({ messages }: FakeUpstream): string[] =>
  messages.map(({ from }) => /<(.*)>/.exec(from)![1]!);

/** An upstream that keeps one sender waiting after the final dot, until it is told to go on. */
function slowFor(sender: string): { script: FakeUpstream['script']; goOn: () => void } {
  const slow = new Set<Peer>();
  const waiting: Peer[] = [];
  let isSlow = true;
  return {
    script: {
      DATA(_line, peer) {
        if (peer.from!.includes(sender)) slow.add(peer);
        else slow.delete(peer);
        return undefined;
      },
      '.'(_line, peer) {
        if (!isSlow || !slow.has(peer)) return undefined;
        waiting.push(peer);
        return '';
      },
    },
    goOn() {
      isSlow = false;
      for (const peer of waiting) peer.say('250 2.0.0 queued at last');
    },
  };
}

describe('relay: what senders share', () => {
  it('one with many slow messages has half of the sessions, and others find one at once', async (t) => {
    const { script, goOn } = slowFor(HOG);
    const { upstream, relay } = await pair(t, { script }, { maxSessions: 8 });
    const slow = Array.from({ length: 20 }, () => send(relay, HOG));
    await upstream.until(() => upstream.messages.length === 4);
    for (let n = 0; n < 10; n++) {
      const { reply } = await send(relay, `colleague${n}@example.com`);
      assert.equal(reply.code, 250);
    }
    assert.equal(sendersOf(upstream).filter((sender) => sender === HOG).length, 4);
    goOn();
    for (const { reply } of await Promise.all(slow)) assert.equal(reply.code, 250);
  });

  it('two with many slow messages have a third each', async (t) => {
    const { script, goOn } = slowFor('hog');
    const { upstream, relay } = await pair(t, { script }, { maxSessions: 9 });
    const slow = Array.from({ length: 40 }, (_, n) => send(relay, `hog${n % 2}@example.com`));
    await upstream.until(() => upstream.messages.length === 6);
    assert.equal((await send(relay, 'colleague@example.com')).reply.code, 250);
    assert.equal(upstream.messages.length, 7);
    goOn();
    await Promise.all(slow);
  });

  it('if all sessions are in use, those who wait take turns by sender', async (t) => {
    const { script, goOn } = slowFor(HOG);
    const { upstream, relay } = await pair(t, { script }, { maxSessions: 1 });
    const all = [send(relay, HOG)];
    await upstream.until(() => upstream.messages.length === 1);
    for (let n = 0; n < 5; n++) all.push(send(relay, HOG));
    all.push(send(relay, 'one@example.com'), send(relay, 'two@example.com'));
    goOn();
    await Promise.all(all);
    const order = sendersOf(upstream);
    assert.ok(order.indexOf('one@example.com') <= 3, order.join(' '));
    assert.ok(order.indexOf('two@example.com') <= 4, order.join(' '));
  });

  it('no sender fills the room for those who wait', async (t) => {
    const { upstream, relay } = await pair(
      t,
      { script: { RCPT: () => '' } },
      { maxSessions: 1, maxWaiting: 8, waitTimeout: 60_000 },
    );
    const stuck = [send(relay, 'first@example.com')];
    await upstream.until(() => upstream.commands.some((line) => line.startsWith('RCPT')));
    for (let n = 0; n < 4; n++) stuck.push(send(relay, HOG));
    await assert.rejects(send(relay, HOG), /too many commands of this sender wait/);
    stuck.push(send(relay, 'colleague@example.com'));
    const ended = Promise.allSettled(stuck);
    await upstream.stop();
    await relay.close();
    await ended;
  });
});
