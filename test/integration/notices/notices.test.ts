import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import type { Act } from '../../../src/blocks/commands.js';
import { formatInstant, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { MOST_READ } from '../../../src/notices/deliveries.js';
import type { ChannelFact } from '../../../src/notices/events.js';
import { BY_NOTICES } from '../../../src/notices/events.js';
import { MOST_UNDER_WAY } from '../../../src/notices/under-way.js';
import { envelope, newId } from '../../../src/runtime/ids.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { ManualClock } from '../../support/manual-clock.js';
import { KEY } from '../../support/notices/channels.js';
import type { Received } from '../../support/notices/receiver.js';
import { MailReceiver, Receiver } from '../../support/notices/receiver.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

const ALL = 'proposed,imposed,approved,dismissed,released,expired,lapsed,breaker';

interface Scene {
  readonly stopgap: Stopgap;
  readonly clock: ManualClock;
  readonly receiver: Receiver;
}

async function scene(
  t: TestContext,
  channel: Readonly<Record<string, unknown>> = {},
  rules?: string,
): Promise<Scene> {
  const receiver = await Receiver.start(t);
  const clock = new ManualClock();
  const base = { name: 'ops', type: 'webhook', url: receiver.url('/secret-path'), secret: KEY, events: ALL };
  const settings = { notices: { channels: [{ ...base, ...channel }] } };
  const stopgap = await Stopgap.start(t, { settings, clock, ...(rules === undefined ? {} : { rules }) });
  t.after(() => {
    for (const line of stopgap.logs) {
      assert.ok(!line.includes('secret-path'), 'the URL was logged');
      assert.ok(!line.includes(KEY.slice(10)), 'the key was logged');
    }
  });
  return { stopgap, clock, receiver };
}

/** Lets time pass in steps until it holds; while a notice is due or on its way no time passes, or its deadline would. */
async function passing(
  { stopgap, clock }: Pick<Scene, 'stopgap' | 'clock'>,
  step: number,
  what: string,
  holds: () => boolean,
): Promise<void> {
  await eventually(what, () => {
    if (holds()) return true;
    const state = stopgap.app.channelState('ops');
    if (state === undefined) return false;
    const now = clock.now();
    const isSending = state.deliveries.some((one) => one.state === 'sending');
    const isDue = (state.gatheredUntil(now) ?? Infinity) <= now || state.due(now).length > 0;
    // Nothing may happen between the look and the step.
    if (!isSending && !isDue) clock.advance(step);
    return false;
  });
}

interface Body {
  readonly type: string;
  readonly data: {
    readonly items: readonly Record<string, unknown>[];
    readonly counts: Record<string, number>;
  };
}
const bodyOf = ({ body }: Received): Body => JSON.parse(body) as Body;
const eventsOf = (received: Received): unknown[] => bodyOf(received).data.items.map(({ event }) => event);

async function states({ stopgap }: Pick<Scene, 'stopgap'>): Promise<readonly string[]> {
  const events = await stopgap.events();
  return events.filter(({ stream }) => stream.startsWith('notices-')).map(({ type }) => type);
}

describe('notices', () => {
  test('tell of a block, of its end and of who ended it, signed, each once', async (t) => {
    const there = await scene(t);
    const { stopgap, clock, receiver } = there;
    const block = await stopgap.block('account', ALICE, { until: clock.now() + HOUR });
    await passing({ stopgap, clock }, 10 * SECOND, 'the first arrives', () => receiver.received.length >= 1);
    const [first] = receiver.received as [Received];
    // The library compares the time with that of this machine.
    const signature = new Webhook(KEY).sign(
      first.headers['webhook-id']!,
      new Date(1000 * Number(first.headers['webhook-timestamp'])),
      first.body,
    );
    assert.equal(first.headers['webhook-signature'], signature);
    const [item] = bodyOf(first).data.items;
    assert.deepEqual(
      [item!['event'], item!['block'], item!['subject'], item!['by'], item!['why']],
      ['imposed', block, { type: 'account', value: ALICE }, 'admin:test', 'by a test'],
    );
    await stopgap.release('account', ALICE);
    await passing({ stopgap, clock }, 10 * SECOND, 'the second arrives', () => receiver.received.length >= 2);
    assert.deepEqual(eventsOf(receiver.received[1]!), ['released']);
    await eventually(
      'both are recorded',
      async () => (await states(there)).filter((type) => type === 'NoticeDelivered').length === 2,
    );
    await stopgap.restart();
    await stopgap.block('account', BOB);
    await passing({ stopgap, clock }, 10 * SECOND, 'the third arrives', () => receiver.received.length >= 3);
    assert.deepEqual(
      receiver.received.slice(2).map(eventsOf),
      [['imposed']],
      'nothing is told again after a start',
    );
  });

  test('are tried again by the schedule with the same id, then are dead letters that can be resent', async (t) => {
    const there = await scene(t);
    const { stopgap, clock, receiver } = there;
    receiver.reply = { status: 500 };
    await stopgap.block('account', ALICE);
    await passing({ stopgap, clock }, HOUR / 2, 'it is given up', () =>
      stopgap.logs.some((line) => line.includes('"a notice was given up"')),
    );
    assert.equal(receiver.received.length, 10);
    assert.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 1);
    assert.equal(new Set(receiver.received.map(({ body }) => body)).size, 1);
    assert.ok(new Set(receiver.received.map(({ headers }) => headers['webhook-timestamp'])).size > 5);
    receiver.reply = { status: 200 };
    const id = receiver.received[0]!.headers['webhook-id'];
    const url = `http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/notices`;
    assert.equal((await fetch(url)).status, 401);
    await eventually(
      'it is a dead letter',
      async () => (await states(there)).filter((type) => type === 'NoticeFailed').length === 10,
    );
    const fact = { id: '018f0000-0000-7000-8000-0000000000aa', at: clock.now(), by: 'admin:test' };
    await stopgap.app.store.append(
      'notices-ops',
      [{ ...fact, type: 'NoticeResent', data: { notice: id } }],
      'any',
    );
    await receiver.got(11);
    assert.equal(receiver.received[10]!.headers['webhook-id'], id);
  });

  test('wait as long as a receiver asks for', async (t) => {
    const there = await scene(t);
    const { stopgap, clock, receiver } = there;
    receiver.reply = { status: 429, headers: { 'retry-after': '3600' } };
    await stopgap.block('account', ALICE);
    await passing({ stopgap, clock }, SECOND, 'it was tried', () => receiver.received.length === 1);
    await eventually('that is recorded', async () => (await states(there)).includes('NoticeFailed'));
    const [failed] = (await stopgap.events()).filter(({ type }) => type === 'NoticeFailed');
    assert.equal((failed!.data as { retryAt: number }).retryAt, failed!.at + HOUR);
    receiver.reply = { status: 200 };
    await passing({ stopgap, clock }, MINUTE, 'it is sent', () => receiver.received.length === 2);
    assert.ok(clock.now() >= failed!.at + HOUR);
  });

  test('that were under way when the process ended are sent again at the next start, with the same id', async (t) => {
    const { stopgap, clock, receiver } = await scene(t);
    receiver.reply = 'silence';
    await stopgap.block('account', ALICE);
    await passing({ stopgap, clock }, SECOND, 'it is on its way', () => receiver.received.length === 1);
    receiver.reply = { status: 200 };
    await stopgap.restart();
    await receiver.got(2);
    assert.equal(receiver.received[1]!.headers['webhook-id'], receiver.received[0]!.headers['webhook-id']);
    assert.equal(receiver.received[1]!.body, receiver.received[0]!.body);
  });

  test('of what happened while nothing ran are sent at the next start', async (t) => {
    const { stopgap, clock, receiver } = await scene(t);
    await stopgap.block('account', ALICE, { until: clock.now() + HOUR });
    // The wait for others is not over when the process ends.
    await stopgap.restart();
    await passing({ stopgap, clock }, 10 * SECOND, 'it arrives', () => receiver.received.length === 1);
    assert.deepEqual(receiver.received.map(eventsOf), [['imposed']]);
  });

  test('of what has gathered tell of the end that it has by then', async (t) => {
    const there = await scene(t, { quietHours: '12:00-12:05' });
    const { stopgap, clock, receiver } = there;
    const end = clock.now() + 48 * HOUR;
    await stopgap.block('account', ALICE, { until: clock.now() + 40 * SECOND });
    await stopgap.block('account', ALICE, { until: end });
    await passing(there, 10 * SECOND, 'it arrives', () => receiver.received.length === 1);
    const [item] = bodyOf(receiver.received[0]!).data.items;
    assert.deepEqual([item!['event'], item!['until'], item!['over']], ['imposed', formatInstant(end), null]);
  });

  test('tell of what ran out while nothing ran as over, also before that is recorded', async (t) => {
    const there = await scene(t, { quietHours: '12:00-12:05', events: 'imposed' });
    const { stopgap, clock, receiver } = there;
    const end = clock.now() + 75 * SECOND;
    await stopgap.block('account', ALICE, { until: end });
    await stopgap.stop();
    clock.advance(6 * MINUTE);
    await stopgap.open();
    await passing(there, 10 * SECOND, 'it arrives', () => receiver.received.length === 1);
    const [{ event, over }] = bodyOf(receiver.received[0]!).data.items as [
      Record<string, Record<string, unknown>>,
    ];
    assert.deepEqual([event, over!['event']], ['imposed', 'expired']);
  });

  test('of what had gathered are sent after a start also where what was decided last is far back in the stream', async (t) => {
    const [receiver, clock] = [await Receiver.start(t), new ManualClock()];
    const stopgap = await Stopgap.start(t, { clock });
    const append = (facts: readonly ChannelFact[]): Promise<unknown> =>
      stopgap.app.store.append('notices-ops', envelope(facts, { by: BY_NOTICES }, clock.now()), 'any');
    await stopgap.block('account', BOB);
    await append([{ type: 'ChannelFollowed', data: { through: await stopgap.app.store.head() } }]);
    const tried: ChannelFact = { type: 'NoticeAttempted', data: { notice: newId() } };
    await append(Array.from({ length: MOST_READ + 1 }, () => tried));
    await stopgap.block('account', ALICE);
    await stopgap.stop();
    const file = path.join(stopgap.dir, 'stopgap.yaml');
    const config = JSON.parse(await readFile(file, 'utf8')) as object;
    const channel = { name: 'ops', type: 'webhook', url: receiver.url(), secret: KEY, events: ALL };
    await writeFile(file, JSON.stringify({ ...config, notices: { channels: [channel] } }));
    await stopgap.open();
    await passing({ stopgap, clock }, 10 * SECOND, 'it arrives', () => receiver.received.length > 0);
    assert.deepEqual(
      receiver.received.map((one) => bodyOf(one).data.items.map(({ subject }) => subject)),
      [[{ type: 'account', value: ALICE }]],
    );
  });

  test('reach an owner by mail at another address, and not the blocked account', async (t) => {
    const mail = await MailReceiver.start(t);
    const channel = {
      type: 'mail',
      url: undefined,
      secret: undefined,
      smtp: mail.url,
      to: 'ops@example.com',
    };
    const owners = `${ALICE}=alice@home.example`;
    const { stopgap, clock } = await scene(t, { ...channel, owners });
    await stopgap.block('account', ALICE);
    await stopgap.block('account', BOB);
    await passing({ stopgap, clock }, 5 * SECOND, 'both arrive', () => mail.mails.length >= 2);
    const of = (to: string): string => mail.mails.find((one) => one.to[0] === to)!.text;
    assert.match(of('ops@example.com'), /2 senders blocked/);
    assert.match(of('alice@home.example'), /Somebody else may have the password/);
    assert.doesNotMatch(of('alice@home.example'), /bob@/);
    assert.match(of('ops@example.com'), /by test\.[\s\S]*Why: by a test/);
    assert.doesNotMatch(of('alice@home.example'), /by test|by a test/, 'these are for the house');
    assert.deepEqual(mail.mails.flatMap(({ to }) => to).sort(), ['alice@home.example', 'ops@example.com']);
  });

  test('tell an owner of an address of nothing that is stolen where it is mail that arrives', async (t) => {
    const mail = await MailReceiver.start(t);
    const channel = { type: 'mail', url: undefined, secret: undefined, smtp: mail.url };
    const owners = 'o5.example=boss@home.example';
    const there = await scene(t, { ...channel, owners });
    await there.stopgap.block('ehlo', 'o5.example', { direction: 'inbound' });
    await there.stopgap.block('address', 'boss@o5.example', { direction: 'inbound' });
    await passing(there, 5 * SECOND, 'it arrives', () => mail.mails.length >= 1);
    const [{ to, text }] = mail.mails as [(typeof mail.mails)[number]];
    assert.deepEqual(to, ['boss@home.example']);
    assert.match(text, /sender blocked: address boss@o5\.example/);
    assert.doesNotMatch(text, /password|ehlo/);
  });

  test('reach the administrators and other owners however long one owner takes none, over a restart too, and then that owner', async (t) => {
    const mail = await MailReceiver.start(t);
    const channel = { type: 'mail', url: undefined, secret: undefined, smtp: mail.url };
    const owners = `${ALICE}=alice@home.example, ${BOB}=bob@home.example`;
    const there = await scene(t, { ...channel, to: 'ops@example.com', owners });
    const { stopgap, clock } = there;
    const got = (to: string): number => mail.mails.filter((one) => one.to[0] === to).length;
    const arrives = (to: string, count: number): Promise<void> =>
      passing({ stopgap, clock }, MINUTE, `${count} arrive at ${to}`, () => got(to) >= count);
    mail.refused.set('alice@home.example', 452);
    const at = clock.now();
    const due = Array.from({ length: MOST_UNDER_WAY }, (): ChannelFact => {
      const about = { kind: 'events', at, items: [], counts: { imposed: 1 } } as const;
      return { type: 'NoticeDue', data: { notice: { id: newId(), to: 'alice@home.example', ...about } } };
    });
    await stopgap.app.store.append('notices-ops', envelope(due, { by: 'system:notices' }, at), 'any');
    await eventually('each was tried', async () => {
      const tried = await states(there);
      return tried.filter((type) => type === 'NoticeFailed').length >= MOST_UNDER_WAY;
    });
    await stopgap.block('account', ALICE);
    await arrives('ops@example.com', 1);
    await stopgap.restart();
    await stopgap.block('account', BOB);
    await arrives('ops@example.com', 2);
    await arrives('bob@home.example', 1);
    assert.deepEqual([got('alice@home.example'), stopgap.app.channelState('ops')!.stuck], [0, 1]);
    mail.refused.clear();
    await arrives('alice@home.example', MOST_UNDER_WAY + 1);
    assert.ok(
      mail.mails.some(({ to, text }) => to[0] === 'alice@home.example' && text.includes(`account ${ALICE}`)),
    );
  });

  test('to a mailbox that is refused for good are dead letters at once, and can be resent', async (t) => {
    const mail = await MailReceiver.start(t);
    const channel = { type: 'mail', url: undefined, secret: undefined, smtp: mail.url };
    const there = await scene(t, { ...channel, owners: `${ALICE}=alice@home.example` });
    const { stopgap, clock } = there;
    mail.refused.set('alice@home.example', '550 5.1.1 no such user');
    await stopgap.block('account', ALICE);
    await passing({ stopgap, clock }, 10 * SECOND, 'it is given up', () =>
      stopgap.logs.some((line) => line.includes('"a notice was given up"')),
    );
    await eventually('that is recorded', async () => (await states(there)).includes('NoticeFailed'));
    const [failed] = (await stopgap.events()).filter(({ type }) => type === 'NoticeFailed');
    const { notice, error, retryAt } = failed!.data as Record<string, unknown>;
    assert.deepEqual([error, retryAt], ['the mail server refuses this receiver for good: 550', null]);
    mail.refused.clear();
    const fact = { id: '018f0000-0000-7000-8000-0000000000ab', at: clock.now(), by: 'admin:test' };
    await stopgap.app.store.append(
      'notices-ops',
      [{ ...fact, type: 'NoticeResent', data: { notice } }],
      'any',
    );
    assert.deepEqual((await mail.got(1))[0]!.to, ['alice@home.example']);
  });

  test('are tried again for those addresses of several that did not take them, over a restart too, and come to the others once', async (t) => {
    const mail = await MailReceiver.start(t);
    const channel = { type: 'mail', url: undefined, secret: undefined, smtp: mail.url };
    const there = await scene(t, { ...channel, to: 'ops@example.com, grey@example.com, gone@example.com' });
    const { stopgap, clock } = there;
    const failed = async (): Promise<number> =>
      (await states(there)).filter((type) => type === 'NoticeFailed').length;
    mail.refused
      .set('grey@example.com', '450 4.7.1 greylisted')
      .set('gone@example.com', '550 5.1.1 no such user');
    await stopgap.block('account', ALICE);
    await passing(there, 10 * SECOND, 'it arrives at one', () => mail.mails.length >= 1);
    await eventually('that is recorded', async () => (await failed()) === 1);
    const [first] = (await stopgap.events()).filter(({ type }) => type === 'NoticeFailed');
    const { error, retryAt } = first!.data as Record<string, unknown>;
    assert.equal(error, 'of 3 addresses 2 did not take it: the mail server refused it: 450');
    assert.ok(Number(retryAt) > clock.now());
    await stopgap.restart();
    mail.refused.delete('grey@example.com');
    await passing(there, MINUTE, 'it arrives at the other', () => mail.mails.length >= 2);
    await eventually('that is recorded', async () => (await failed()) === 2);
    assert.deepEqual(
      mail.mails.map(({ to }) => to),
      [['ops@example.com'], ['grey@example.com']],
    );
    await eventually('it is a dead letter', () => {
      const [one] = stopgap.app.channelState('ops')?.deliveries ?? [];
      return one?.state === 'dead' && one.error!.endsWith('refuses this receiver for good: 550');
    });
  });

  test('come to the addresses that take mail, however many wait for one that does not', async (t) => {
    const mail = await MailReceiver.start(t);
    const channel = { type: 'mail', url: undefined, secret: undefined, smtp: mail.url };
    const to = 'ops@example.com, full@example.com';
    const there = await scene(t, { ...channel, to, digest: '1s, 1s, 4h' });
    const { stopgap } = there;
    mail.refused.set('full@example.com', '452 4.2.2 mailbox full');
    for (let count = 1; count <= 23; count++) {
      await stopgap.block('account', `n${count}@example.com`);
      await passing(there, SECOND, `mail ${count}`, () => mail.mails.length >= count);
    }
    const states = (): readonly string[] =>
      stopgap.app.channelState('ops')!.deliveries.map(({ state }) => state);
    await eventually(
      'what is too many is given up',
      () => states().filter((one) => one === 'dead').length === 3,
    );
    assert.equal(states().filter((one) => one === 'waiting').length, 20);
    assert.equal(stopgap.app.channelState('ops')!.stuck, 0);
  });

  test('tell of an open circuit breaker in quiet hours too', async (t) => {
    const rules = 'version: 1\nmaxAutomaticBlocks: 2 in 1h\nrules: []\n';
    const { stopgap, clock, receiver } = await scene(t, { quietHours: '00:00-23:59' }, rules);
    for (const value of ['one@example.com', 'two@example.com']) {
      const subject = parseSubject('account', value);
      const evidence = {
        rule: 'many',
        version: 1,
        count: 'messages',
        window: 600_000,
        limit: 1,
        observed: 2,
        firstPosition: 1,
        lastPosition: await stopgap.app.store.head(),
        lastAt: clock.now(),
        sentence: 'too many',
      };
      const terms: Act['terms'] = {
        direction: 'outbound',
        description: 'd',
        refusal: 'soft',
        duration: HOUR,
        lapse: HOUR,
        escalate: undefined,
        renewWhileTrying: false,
      };
      const act: Act = { kind: 'act', action: 'block', subject, terms, evidence, newId: value };
      const { position } = await stopgap.app.blockCommands.execute(subject, act, { by: 'rule:many@1' });
      await stopgap.app.models.reached(position);
    }
    await receiver.got(1);
    clock.advance(MINUTE);
    assert.deepEqual(
      receiver.received.map((one) => bodyOf(one).type),
      ['stopgap.breaker'],
    );
    assert.match(
      String(bodyOf(receiver.received[0]!).data.items[0]!['why']),
      /^rules imposed 2 blocks \(account by sends\)/,
    );
  });
});
