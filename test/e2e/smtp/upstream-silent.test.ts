import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { ManualClock } from '../../support/manual-clock.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import type { Script } from '../../support/relay/fake-upstream.js';
import { Figures } from '../../support/metrics.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

const LATER = '451 4.3.2 Service temporarily unavailable, please try again later';
const MESSAGE = 'the upstream gave no answer about recipients';

async function scene(t: Parameters<typeof Stopgap.start>[0]) {
  const upstream = await FakeUpstream.start();
  const name = `127.0.0.1:${upstream.port}`;
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { upstream, clock });
  const session = await stopgap.loggedIn();
  return {
    upstream,
    clock,
    stopgap,
    session,
    /** Offers so many recipients, in a transaction each. */
    offer: async (script: Script, times = 1): Promise<void> => {
      upstream.script = script;
      for (let n = 0; n < times; n++) {
        assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^250 /);
        assert.equal(await session.say(`RCPT TO:<r${n}@elsewhere.test>`), LATER);
        await session.say('RSET');
      }
      upstream.script = {};
    },
    /** What the log says of it since the last time, with `mx` for the upstream. */
    lines: () => {
      const found = stopgap.logs.splice(0).map((line) => JSON.parse(line) as Record<string, unknown>);
      return found
        .filter(({ msg }) => msg === MESSAGE)
        .map(({ level, error, count }) => [level, String(error).replace(name, 'mx'), count]);
    },
  };
}

const says = (text: string) => () => text;

test('an upstream that says 421 at RCPT is told of at once, and then with a count each ten seconds', async (t) => {
  const { clock, offer, lines, stopgap, session } = await scene(t);
  await offer({ RCPT: says('421 4.3.2 too busy') });
  const [line] = stopgap.logs.filter((text) => text.includes(MESSAGE));
  const { correlation, since } = JSON.parse(line!) as Record<string, unknown>;
  assert.equal(since, new Date(clock.now()).toISOString());
  assert.match(String(correlation), /^\w+\.[\da-f]{12}$/);
  assert.ok(!line!.includes('alice') && !line!.includes('r0@'), 'whose mail it was is not for this level');
  assert.deepEqual(lines(), [[40, 'mx says 421 4.3.2 too busy', 1]]);

  await offer({ RCPT: says('421 4.3.2 too busy') }, 5);
  assert.deepEqual(lines(), []);
  clock.advance(10 * SECOND);
  assert.deepEqual(lines(), [[40, 'mx says 421 4.3.2 too busy', 5]]);
  clock.advance(10 * SECOND);
  assert.deepEqual(lines(), [], 'it is over');
  await session.quit();
});

test('each cause has lines of its own; what the upstream says beside its code makes no other cause', async (t) => {
  const { clock, offer, lines, session } = await scene(t);
  await offer({ MAIL: says('421 4.7.0 too many for r1@elsewhere.test') });
  await offer({ RCPT: says('421 4.7.0 too many for r2@elsewhere.test') });
  await offer({
    RCPT(_line, peer) {
      peer.close();
      return '';
    },
  });
  await offer({ RCPT: says('what?') });
  await offer({ RCPT: says('who?') });
  assert.deepEqual(lines(), [
    [40, 'mx says 421 4.7.0 too many for r1@elsewhere.test', 1],
    [40, 'mx closed the connection', 1],
    [40, 'mx answered nonsense: "what?" is no reply', 1],
  ]);
  clock.advance(10 * SECOND);
  assert.deepEqual(lines(), [
    [40, 'mx says 421 4.7.0 too many for r2@elsewhere.test', 1],
    [40, 'mx answered nonsense: "who?" is no reply', 1],
  ]);
  await session.quit();
});

test('an upstream out of reach has a line already, and has no other for each recipient', async (t) => {
  const { clock, offer, lines, upstream, stopgap, session } = await scene(t);
  await upstream.stopListening();
  await offer({}, 3);
  const news = stopgap.logs.filter((line) => line.includes('the upstream is out of reach'));
  assert.equal(news.length, 1);
  assert.deepEqual(lines(), []);
  clock.advance(10 * SECOND);
  assert.deepEqual(lines(), []);
  await session.quit();
});

test('a session that the upstream has closed meanwhile is replaced without a word', async (t) => {
  const { clock, lines, upstream, session } = await scene(t);
  assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
  upstream.script = { MAIL: (_line, peer) => (peer.id === 0 ? '421 4.4.2 idle for too long' : undefined) };
  assert.match(await session.send(ALICE, ['two@elsewhere.test']), /^250 /);
  assert.equal(upstream.peers.length > 1, true);
  clock.advance(10 * SECOND);
  assert.deepEqual(lines(), []);
  await session.quit();
});

test('what has gathered is written at the end', async (t) => {
  const { offer, lines, stopgap, session } = await scene(t);
  await offer({ RCPT: says('421 4.3.2 too busy') }, 3);
  lines();
  session.vanish();
  await stopgap.stop();
  assert.deepEqual(lines(), [[40, 'mx says 421 4.3.2 too busy', 2]]);
});

test('an upstream that swallows messages shows in the health, keeps nothing on this disk, and holds up nobody later', async (t) => {
  const { upstream, stopgap } = await scene(t);
  const spool = path.join(stopgap.dir, 'data/spool');
  const http = stopgap.app.listening.find(({ what }) => what === 'HTTP')!.address;
  const health = async (): Promise<Record<string, unknown>> =>
    (await (await fetch(`http://${http}/healthz`)).json()) as Record<string, unknown>;
  await eventually('the upstream was asked', async () => (await health())['relay'] === 'ok');
  upstream.script['.'] = () => '';
  const sessions = await Promise.all(Array.from({ length: 4 }, () => stopgap.loggedIn()));
  for (const session of sessions) {
    await session.sayAll([`MAIL FROM:<${ALICE}>`, 'RCPT TO:<one@elsewhere.test>', 'DATA']);
    session.write(`Subject: long\r\n\r\n${`${'x'.repeat(98)}\r\n`.repeat(3000)}.\r\n`);
  }
  await upstream.until(() => upstream.messages.length === 4);
  assert.equal((await readdir(spool)).length, 4);
  for (const session of sessions) session.vanish();
  await eventually('the spool is empty', async () => (await readdir(spool)).length === 0);
  const { status, relay } = await health();
  assert.deepEqual({ status, relay }, { status: 'degraded', relay: 'unanswered' });
  const figures = async (): Promise<Figures> =>
    new Figures(await (await fetch(`http://${http}/metrics`)).text());
  assert.equal((await figures()).of('stopgap_relay_unanswered_total'), 4);
  assert.equal((await figures()).of('stopgap_relay_up'), 0, 'StopgapUpstreamDown needs it');
  assert.equal((await figures()).of('stopgap_relay_sessions', { state: 'unanswered' }), 4);

  upstream.script = {};
  const session = await stopgap.loggedIn();
  assert.match(await session.send(ALICE, ['two@elsewhere.test']), /^250 /);
  await session.quit();
  assert.equal((await health())['relay'], 'ok');
  // What it took all the same counts, and is not lost from sight.
  for (const { peer } of upstream.messages.slice(0, 4)) peer.say('250 2.0.0 late');
  await eventually('all five are recorded', async () => (await stopgap.all('MessageAccepted')).length === 5);
});
