import assert from 'node:assert/strict';
import { test } from 'node:test';
import { categoryOf } from '../../../src/kernel/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Gate } from '../../support/gate.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';
import { changed } from '../../support/store/changed.js';

const SOFT = '451 4.3.2 Service temporarily unavailable, please try again later';
const TO = 'one@elsewhere.test';

/** A store that fails, hangs or works as the test wants it; ill from a failure until the test makes it well. */
class Moody {
  mood: 'well' | 'refusing' | 'hanging' = 'well';
  healthy = true;
  readonly hanging = new Gate();
  readonly asked = new Gate();

  through = (store: EventStore): EventStore => {
    const append: EventStore['append'] = async (...args) => {
      if (this.mood === 'well') return store.append(...args);
      this.asked.open();
      if (this.mood === 'hanging') await this.hanging.opened;
      this.healthy = false;
      throw new StoreUnavailable('the disk is full');
    };
    const isHealthy = (): boolean => this.healthy;
    return changed(store, {
      append,
      get healthy() {
        return isHealthy();
      },
    });
  };
}

test('a store that refuses: 451, and nothing is acknowledged without its event', async (t) => {
  const moody = new Moody();
  const stopgap = await Stopgap.start(t, { throughStore: moody.through });
  const { upstream } = stopgap;
  const session = await stopgap.loggedIn();

  await t.test('it fails when the message is with the upstream: the client is to send again', async () => {
    upstream.script['.'] = () => {
      moody.mood = 'refusing';
      return undefined;
    };
    assert.equal(await session.send(ALICE, [TO]), SOFT);
    upstream.script = {};
    assert.equal(upstream.messages.length, 1);
  });

  await t.test('it is known to be ill: the upstream does not even get DATA', async () => {
    const before = upstream.commands.filter((line) => line === 'DATA').length;
    assert.equal(await session.send(ALICE, [TO]), SOFT);
    assert.equal(upstream.commands.filter((line) => line === 'DATA').length, before);
  });

  await t.test('it falls ill between DATA and the final dot: there is no dot', async () => {
    moody.mood = 'well';
    moody.healthy = true;
    upstream.script.DATA = () => {
      moody.healthy = false;
      return undefined;
    };
    assert.equal(await session.send(ALICE, [TO]), SOFT);
    upstream.script = {};
    assert.equal(upstream.messages.length, 1);
  });

  await t.test('well again, the same client gets through', async () => {
    moody.healthy = true;
    assert.ok(!(await stopgap.events()).some(({ type }) => type === 'MessageAccepted'));
    assert.match(
      await session.send(ALICE, [TO]),
      /^250 /,
      'although no other event has shown that it is well',
    );
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
  });
  await session.quit();
});

test('a store that does not answer: the client waits for its 250, and gets 451 when the store gives up', async (t) => {
  const moody = new Moody();
  t.after(() => moody.hanging.open());
  const stopgap = await Stopgap.start(t, { throughStore: moody.through });
  const session = await stopgap.loggedIn();
  stopgap.upstream.script['.'] = () => {
    moody.mood = 'hanging';
    return undefined;
  };
  await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
  let answered = false;
  const reply = session.say('Subject: x\r\n\r\nx\r\n.').finally(() => (answered = true));
  await moody.asked.opened;
  const other = await stopgap.hello();
  assert.match(await other.say('NOOP'), /^250 /, 'the process is alive');
  assert.equal(answered, false, 'nothing was acknowledged ahead of the store');
  moody.hanging.open();
  assert.equal(await reply, SOFT);
  moody.mood = 'well';
  assert.equal((await stopgap.all('MessageAccepted')).length, 0);
  await Promise.all([session.quit(), other.quit()]);
});

test('a rule that trips while blocks cannot be written: the sender is refused all the same', async (t) => {
  const rules = JSON.stringify({
    version: 1,
    rules: [
      { id: 'two', per: 'account', count: 'recipients', window: '10m', limit: 1, then: 'block', for: '1h' },
    ],
  });
  const failing = new Gate();
  let ill = true;
  const stopgap = await Stopgap.start(t, {
    rules,
    upstream: await FakeUpstream.start(),
    throughStore: (store) =>
      changed(store, {
        append: async (...args) => {
          if (!ill || categoryOf(args[0]) !== 'block') return store.append(...args);
          failing.open();
          throw new StoreUnavailable('the disk is full');
        },
      }),
  });
  const session = await stopgap.loggedIn();
  assert.match(await session.send(ALICE, ['a@elsewhere.test', 'b@elsewhere.test']), /^250 /);
  await failing.opened;
  assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^250 /);
  assert.equal(await session.say(`RCPT TO:<${TO}>`), SOFT);
  ill = false;
  await stopgap.event(({ type }) => type === 'BlockImposed');
  assert.equal(await session.say(`RCPT TO:<${TO}>`), SOFT);
  await session.quit();
});

test('a feed that lags behind the store: 250 is not said before the send is counted', async (t) => {
  const rules = JSON.stringify({
    version: 1,
    rules: [
      { id: 'one', per: 'account', count: 'recipients', window: '10m', limit: 1, then: 'block', for: '1h' },
    ],
  });
  const lag = new Gate();
  const stored = new Gate();
  // Registered first, so that a failure does not leave the feed waiting when all is stopped.
  t.after(() => lag.open());
  const stopgap = await Stopgap.start(t, {
    rules,
    throughStore: (store) => {
      const subscribe = store.subscribe.bind(store);
      store.subscribe = (options, handler) =>
        subscribe(options, async (event) => {
          if (event.type === 'MessageAccepted') {
            stored.open();
            await lag.opened;
          }
          await handler(event);
        });
      return store;
    },
  });
  const session = await stopgap.loggedIn();
  await session.sayAll([`MAIL FROM:<${ALICE}>`, 'RCPT TO:<a@x.test>', 'RCPT TO:<b@x.test>', 'DATA']);
  let answered = false;
  const reply = session.say('Subject: x\r\n\r\nx\r\n.').finally(() => (answered = true));
  await stored.opened;
  // The event is durable, and every other client is answered; this one is not.
  const other = await stopgap.hello();
  assert.equal(answered, false);
  lag.open();
  assert.match(await reply, /^250 /);
  await session.say(`MAIL FROM:<${ALICE}>`);
  assert.equal(await session.say(`RCPT TO:<${TO}>`), SOFT, 'the block is in force by the time of the 250');
  await Promise.all([session.quit(), other.quit()]);
});
