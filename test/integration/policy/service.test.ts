import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MessageAccepted, MessageRefused } from '../../../src/sending/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { SECOND } from '../../../src/kernel/time.js';
import { FIXED_RULES } from '../../support/fixed-rules.js';
import { Gate } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Asking, requestText } from '../../support/policy/asking.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';
import { changed, heldBack } from '../../support/store/changed.js';

const SOFT = '451 4.3.2 Service temporarily unavailable, please try again later';
const LISTEN = { policy: { listen: '127.0.0.1:0' } };
const END = { protocol_state: 'END-OF-MESSAGE', recipient: '', size: '1000' };

/** The value of a metric with these labels. */
async function metric(stopgap: Stopgap, name: string): Promise<number> {
  const text = await stopgap.app.metrics.registry.metrics();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1) ?? NaN);
}

describe('the policy service in a running Stopgap', () => {
  test('trips a rule by what it records, refuses then, and lets go after the release', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const asking = await Asking.open(t, stopgap.port('policy'));
    for (let message = 0; message < 3; message++) {
      const instance = `1.2.${message}.0`;
      assert.equal(await asking.ask({ instance }), 'DUNNO');
      assert.equal(
        await asking.ask({ ...END, instance, recipient_count: '40', queue_id: `Q${message}` }),
        'DUNNO',
      );
    }
    await stopgap.event(({ type }) => type === 'BlockImposed');
    await stopgap.settled();
    assert.equal(await asking.ask(), SOFT);
    assert.equal(await asking.ask(), SOFT);
    assert.equal(await asking.ask({ sasl_username: BOB, sender: BOB }), 'DUNNO', 'nobody else is refused');
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ stream, by, correlation, data }) => [stream, by, correlation, data.recipients]),
      [0, 1, 2].map((message) => [`send-${ALICE}`, 'policy:mx.example.com', `Q${message}`, 40]),
    );
    const [refused] = await stopgap.all<MessageRefused>('MessageRefused');
    assert.equal(refused!.data.reply, SOFT);
    assert.equal(refused!.data.stage, 'rcpt');
    assert.equal(refused!.by, 'policy:mx.example.com');
    await stopgap.release('account', ALICE);
    assert.equal(await asking.ask(), 'DUNNO');
    assert.equal(await metric(stopgap, 'stopgap_sends_total{direction="outbound"}'), 3);
    assert.equal(await metric(stopgap, 'stopgap_refusals_total{stage="rcpt",reason="soft"}'), 2);
    assert.equal(await metric(stopgap, 'stopgap_policy_requests_total{stage="rcpt",action="refused"}'), 2);
    assert.equal(await metric(stopgap, 'stopgap_policy_connections'), 1);
  });

  test('a message that is asked about over several connections, and again after a restart, is recorded once', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const request = { ...END, instance: '1.2.3.0', recipient_count: '2' };
    const two = [await Asking.open(t, stopgap.port('policy')), await Asking.open(t, stopgap.port('policy'))];
    for (const asking of [...two, ...two]) assert.equal(await asking.ask(request), 'DUNNO');
    await stopgap.settled();
    await stopgap.restart();
    assert.equal(await (await Asking.open(t, stopgap.port('policy'))).ask(request), 'DUNNO');
    await stopgap.app.store.probe();
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
  });

  test('a flood of refusals is one event and its summary', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    await stopgap.block('account', ALICE);
    const asking = await Asking.open(t, stopgap.port('policy'));
    for (let times = 0; times < 50; times++) assert.equal(await asking.ask(), SOFT);
    const refused = await stopgap.all<MessageRefused>('MessageRefused');
    assert.deepEqual(
      refused.map(({ data }) => data.count),
      [1],
    );
    assert.equal(stopgap.logs.filter((line) => line.includes('a blocked sender was refused')).length, 1);
  });

  test('a hold is asked for where it is configured, and the mail is no send', async (t) => {
    const stopgap = await Stopgap.start(t, {
      settings: { policy: { listen: '127.0.0.1:0', refuse: 'hold' } },
    });
    await stopgap.block('account', ALICE);
    const asking = await Asking.open(t, stopgap.port('policy'));
    const instance = '1.2.3.0';
    assert.equal(await asking.ask({ instance }), 'HOLD');
    assert.equal(await asking.ask({ ...END, instance, queue_id: '4ABC' }), 'DUNNO');
    const [refused] = await stopgap.all<MessageRefused>('MessageRefused');
    assert.equal(refused!.data.reply, 'HOLD');
    assert.deepEqual(await stopgap.all('MessageAccepted'), []);
  });

  test('counts a return path as the address only of the account that may use it', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const asking = await Asking.open(t, stopgap.port('policy'));
    await asking.ask({ ...END, sender: BOB });
    await asking.ask(END);
    await asking.ask({ ...END, sasl_username: '', sender: BOB });
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ data }) => [data.direction, data.entitled]),
      [
        ['outbound', false],
        ['outbound', true],
        ['inbound', true],
      ],
    );
  });

  test('answers while the store hangs, loses what it cannot record, says so once, and goes on when it is back', async (t) => {
    const gate = new Gate();
    let mood: 'well' | 'hanging' | 'away' = 'well';
    const through = (store: EventStore): EventStore =>
      changed(store, {
        append: async (...args) => {
          if (mood === 'hanging' && args[0].startsWith('send-')) await gate.opened;
          if (mood === 'away') throw new StoreUnavailable('the disk is full');
          return store.append(...args);
        },
      });
    const stopgap = await Stopgap.start(t, { settings: LISTEN, throughStore: through });
    await stopgap.block('account', BOB);
    const asking = await Asking.open(t, stopgap.port('policy'));
    mood = 'hanging';
    // As many as may wait, and one more: of many servers, since each is asked to come slowly while so many wait.
    const servers = await Promise.all(
      Array.from({ length: 100 }, () => Asking.open(t, stopgap.port('policy'))),
    );
    for (const [number, server] of servers.entries()) {
      // Of many senders: of one alone so many in the air would be put off at first.
      const sender = { ...END, sasl_username: `s${number}@example.com` };
      for (let message = 0; message < 100; message++) server.send(requestText(sender));
    }
    for (const server of servers)
      for (let message = 0; message < 100; message++) assert.equal(await server.action(), 'DUNNO');
    assert.equal(await asking.ask(END), 'DUNNO');
    assert.equal(await metric(stopgap, 'stopgap_policy_sends_lost_total{reason="full"}'), 1);
    assert.equal(await asking.ask({ sasl_username: BOB }), SOFT, 'who is known to be blocked is refused');
    mood = 'well';
    gate.open();
    await eventually(
      'all that waited is written',
      async () => (await metric(stopgap, 'stopgap_sends_total{direction="outbound"}')) === 10_000,
      60_000,
    );
    mood = 'away';
    const other = { ...END, sasl_username: 'carol@example.com' };
    for (let message = 0; message < 3; message++) assert.equal(await asking.ask(other), 'DUNNO');
    await eventually(
      'it is counted',
      async () => (await metric(stopgap, 'stopgap_policy_sends_lost_total{reason="store"}')) === 3,
    );
    // Once for each trouble: on a slow machine the first is over before the second begins.
    const said = stopgap.logs.filter((line) => line.includes('sends are lost')).length;
    const over = stopgap.logs.filter((line) => line.includes('sends are recorded again')).length;
    assert.equal(said, 1 + over);
    mood = 'well';
    assert.equal(await asking.ask({ ...other, queue_id: 'BACK' }), 'DUNNO');
    await stopgap.event(({ correlation }) => correlation === 'BACK');
  });

  test('answers from the first moment, and judges nobody until it knows who is blocked', async (t) => {
    const gate = new Gate();
    let isHeld = false;
    const through = (store: EventStore): EventStore =>
      changed(store, {
        head: async () => {
          if (isHeld) await gate.opened;
          return store.head();
        },
      });
    const port = 24_517;
    const settings = { policy: { listen: `127.0.0.1:${port}` } };
    const stopgap = await Stopgap.start(t, { settings, throughStore: through });
    await stopgap.block('account', ALICE);
    await stopgap.stop();
    isHeld = true;
    const opening = stopgap.open();
    const asking = await reachable(t, port);
    assert.equal(await asking.ask(), 'DUNNO');
    gate.open();
    await opening;
    assert.equal(await asking.ask(), SOFT, 'the same connection is served on');
  });

  test('lets one of fifty messages that end at once go on, and has its sender blocked by it', async (t) => {
    const { gate, through } = heldBack(t, `send-${ALICE}`);
    const stopgap = await Stopgap.start(t, { settings: LISTEN, throughStore: through });
    const sessions = await Promise.all(
      Array.from({ length: 50 }, () => Asking.open(t, stopgap.port('policy'))),
    );
    const burst = { ...END, recipient_count: '1000' };
    const answers = await Promise.all(
      sessions.map((session, number) => session.ask({ ...burst, queue_id: `Q${number}` })),
    );
    assert.equal(answers.filter((answer) => answer === 'DUNNO').length, 1);
    assert.equal(answers.filter((answer) => answer === SOFT).length, 49);
    const [asking] = sessions;
    assert.equal(await asking!.ask({ ...burst, sasl_username: BOB, sender: BOB }), 'DUNNO');
    gate.open();
    await stopgap.event(({ type }) => type === 'BlockImposed');
    assert.equal(await asking!.ask({ ...burst, queue_id: 'AGAIN' }), SOFT);
    await stopgap.settled();
    const refused = await stopgap.all<MessageRefused>('MessageRefused');
    assert.deepEqual(
      refused.map(({ correlation }) => correlation),
      ['AGAIN'],
      'what was put off is no refusal by the block',
    );
    const name = 'stopgap_policy_requests_total{stage="end_of_message",action=';
    assert.equal(await metric(stopgap, `${name}"put_off"}`), 49);
    assert.equal(await metric(stopgap, `${name}"refused"}`), 1);
    const line = stopgap.logs.find((each) => each.includes('a message was put off'));
    assert.equal((JSON.parse(line!) as { account: string }).account, ALICE);
  });

  test('puts nothing off of a sender that is exempt', async (t) => {
    const { gate, through } = heldBack(t, `send-${ALICE}`);
    const stopgap = await Stopgap.start(t, {
      settings: LISTEN,
      throughStore: through,
      rules: `${FIXED_RULES}\nexempt:\n  - { subject: { type: account, value: ${ALICE} }, reason: our newsletter }\n`,
    });
    const asking = await Asking.open(t, stopgap.port('policy'));
    for (let message = 0; message < 5; message++)
      assert.equal(await asking.ask({ ...END, recipient_count: '1000' }), 'DUNNO');
    gate.open();
  });

  test('finishes the record of what it has answered when it stops', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const asking = await Asking.open(t, stopgap.port('policy'));
    for (let message = 0; message < 200; message++) {
      assert.equal(await asking.ask({ ...END, sasl_username: `s${message}@example.com` }), 'DUNNO');
    }
    await stopgap.restart();
    assert.equal((await stopgap.all('MessageAccepted')).length, 200);
  });

  test('takes who asks where others leave it no room, and says so', async (t) => {
    const clock = new ManualClock();
    const stopgap = await Stopgap.start(t, { settings: LISTEN, clock });
    await stopgap.block('account', ALICE);
    const port = stopgap.port('policy');
    for (let group = 0; group < 20; group++)
      await Promise.all(Array.from({ length: 100 }, () => Asking.open(t, port)));
    clock.advance(10 * SECOND);
    assert.equal(await (await Asking.open(t, port)).ask(), SOFT, 'the block refuses');
    const ask = async (path: string): Promise<Record<string, unknown>> => {
      const response = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}${path}`);
      return (await response.json()) as Record<string, unknown>;
    };
    const { status, listeners } = await ask('/healthz');
    assert.deepEqual([status, listeners], ['degraded', 'crowded']);
    assert.equal((await ask('/readyz'))['ready'], true);
    assert.equal(stopgap.logs.filter((line) => line.includes('no room for policy connections')).length, 1);
    clock.advance(20 * SECOND);
    assert.equal((await ask('/healthz'))['listeners'], 'up');
  });

  test('needs no SMTP listener, no users and no upstream', async (t) => {
    const settings = {
      ...LISTEN,
      roles: ['policy', 'detector', 'api', 'worker'],
      smtp: { hostname: 'mx.example.com' },
    };
    const stopgap = await Stopgap.start(t, { settings });
    assert.deepEqual(
      stopgap.app.listening.map(({ what }) => what),
      ['policy', 'HTTP'],
    );
    assert.equal(await (await Asking.open(t, stopgap.port('policy'))).ask(), 'DUNNO');
    const health = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/healthz`);
    const { policy } = (await health.json()) as { policy: unknown };
    assert.deepEqual(policy, { rcpt: 1, data: 0, endOfMessage: 0, withLogin: 1, unheld: 0, full: 0 });
  });
});

/** A connection to a port that opens at some time. */
async function reachable(t: Parameters<typeof Asking.open>[0], port: number): Promise<Asking> {
  let asking: Asking | undefined;
  await eventually('somebody listens', async () => {
    asking = await Asking.open(t, port).catch(() => undefined);
    return asking !== undefined;
  });
  return asking!;
}
