import assert from 'node:assert/strict';
import { test } from 'node:test';
import { categoryOf } from '../../../src/kernel/events.js';
import { SECOND } from '../../../src/kernel/time.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { Gate } from '../../support/gate.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

const TO = 'one@elsewhere.test';
const DOWN = '421 4.3.2 Shutting down';

test('stopping: an idle client gets 421 at once, and a client in a message may finish it', async (t) => {
  const stopgap = await Stopgap.start(t);
  const { upstream } = stopgap;
  const resting = await stopgap.loggedIn();
  const inMail = await stopgap.loggedIn();
  await inMail.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`]);
  const inData = await stopgap.loggedIn();
  await inData.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
  inData.write('Subject: slow\r\n\r\nhalf ');
  const atDot = await stopgap.loggedIn();
  const answer = new Gate();
  upstream.script['.'] = (_line, peer) => {
    void answer.opened.then(() => peer.say('250 2.0.0 queued'));
    return '';
  };
  await atDot.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
  atDot.write('Subject: dot\r\n\r\nx\r\n.\r\n');
  await upstream.until(() => upstream.messages.length === 1);
  const fresh = await Dialogue.connect(stopgap.port());
  const port = stopgap.port();

  const began = performance.now();
  let stopped = false;
  const stop = stopgap.stop().then(() => (stopped = true));
  for (const [name, session] of Object.entries({ resting, inMail, fresh })) {
    assert.equal(await session.reply(), DOWN, name);
    await session.closed;
  }
  await assert.rejects(Dialogue.connect(port), /ECONNREFUSED/, 'no new session');
  assert.equal(stopped, false);

  await t.test('the message whose answer was due is acknowledged', async () => {
    answer.open();
    assert.match(await atDot.reply(), /^250 /);
    assert.equal(await atDot.reply(), DOWN, 'and then the session ends');
    await atDot.closed;
    upstream.script = {};
  });

  await t.test('the message that was half in is taken in full', async () => {
    inData.write('and half\r\n.\r\n');
    assert.match(await inData.reply(), /^250 /);
    assert.equal(await inData.reply(), DOWN);
    await inData.closed;
  });

  await stop;
  assert.ok(performance.now() - began < 5 * SECOND, 'and nothing is waited for beyond that');
  await t.test('both are in the store', async () => {
    await stopgap.open();
    assert.equal((await stopgap.all('MessageAccepted')).length, 2);
  });
});

test('a message that is refused while stopping: the client is told', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: { maxMessageSize: '10kB' } });
  const session = await stopgap.loggedIn();
  await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
  session.write('x'.repeat(20_000));
  const stop = stopgap.stop();
  session.write('\r\n.\r\n');
  assert.match(await session.reply(), /^552 /);
  assert.equal(await session.reply(), DOWN);
  await session.closed;
  await stop;
});

test('an upstream that never answers and a client that never ends: over within ten seconds', async (t) => {
  const stopgap = await Stopgap.start(t);
  stopgap.upstream.script['.'] = () => '';
  const waiting = await stopgap.loggedIn();
  await waiting.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
  waiting.write('Subject: x\r\n\r\nx\r\n.\r\n');
  const endless = await stopgap.loggedIn();
  await endless.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
  endless.write('Subject: x\r\n\r\n');
  await stopgap.upstream.until(() => stopgap.upstream.messages.length === 1);
  const began = performance.now();
  await stopgap.stop();
  const took = performance.now() - began;
  assert.ok(took < 9.5 * SECOND, `${Math.round(took)} ms`);
  for (const session of [waiting, endless]) {
    assert.match(await session.reply(), /^4[25]1 /, 'not acknowledged');
    await session.closed;
  }
  await t.test('and nothing was recorded that was not acknowledged', async () => {
    await stopgap.open();
    assert.equal((await stopgap.all('MessageAccepted')).length, 0);
  });
});

test('a verdict that cannot be recorded does not hold up the end', { timeout: 20 * SECOND }, async (t) => {
  const failed = new Gate();
  const stopgap = await Stopgap.start(t, {
    // Nobody moves it: the pause before the next try would never end.
    clock: new ManualClock(),
    rules: JSON.stringify({
      version: 1,
      rules: [
        { id: 'two', per: 'account', count: 'recipients', window: '10m', limit: 1, then: 'block', for: '1h' },
      ],
    }),
    throughStore: (store) => {
      const append = store.append.bind(store);
      store.append = async (...args) => {
        if (categoryOf(args[0]) !== 'block') return append(...args);
        failed.open();
        throw new StoreUnavailable('the disk is full');
      };
      return store;
    },
  });
  const session = await stopgap.loggedIn();
  assert.match(await session.send(ALICE, ['a@x.test', 'b@x.test']), /^250 /);
  await failed.opened;
  await session.quit();
  const began = performance.now();
  await stopgap.stop();
  assert.ok(performance.now() - began < 5 * SECOND);
});
