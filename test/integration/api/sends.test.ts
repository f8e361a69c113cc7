import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { ApiDependencies } from '../../../src/api/index.js';
import { recentSends } from '../../../src/hooks/held-mail.js';
import { newId } from '../../../src/runtime/ids.js';
import { DAY, formatInstant, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { effectiveAt, sendStream } from '../../../src/sending/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { Call, Reply } from '../../support/api/server.js';
import { ApiServer, onStore } from '../../support/api/server.js';
import { sent } from '../../support/sends.js';
import { changed } from '../../support/store/changed.js';

const SENDS = '/api/v1/sends';
const SERVER: Call = { role: 'server' };
const ALICE = 'alice@example.com';

interface Outcome {
  readonly recorded: number;
  readonly known: number;
  readonly refused: number;
  readonly results: readonly {
    readonly id: string | null;
    readonly result: string;
    readonly errors?: readonly { readonly field: string; readonly message: string }[];
  }[];
}
const outcomeOf = ({ json }: Reply): Outcome => json as unknown as Outcome;
const resultsOf = (reply: Reply): readonly string[] => outcomeOf(reply).results.map(({ result }) => result);

const accepted = (id: string, more: Readonly<Record<string, unknown>> = {}) => ({
  type: 'accepted',
  id,
  account: ALICE,
  returnPath: ALICE,
  ip: '192.0.2.7',
  ...more,
});

describe('POST /api/v1/sends', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const report = (items: unknown, call: Call = {}): Promise<Reply> =>
    server.post(SENDS, items, { ...SERVER, ...call });

  test('counts no message that was on hold and is let go once more, and tells the hook of none', async () => {
    const account = 'letgo@moved.example';
    const { id } = (await server.block(account)) as unknown as { id: string };
    await server.held(id, account, 2);
    const { id: ofIts } = (await server.block('', {
      subject: { type: 'domain', value: 'moved.example' },
    })) as unknown as { id: string };
    // The account is let go, and its mail is held on for its domain.
    await server.post(`/api/v1/blocks/${id}/release`, { falsePositive: true });
    await server.held(ofIts, account, 1);
    const at = formatInstant(server.clock.now());
    const items = ['q1', 'q2', 'other'].map((queueId) =>
      accepted(queueId, { queueId, at, account, returnPath: account }),
    );
    assert.deepEqual(resultsOf(await report(items)), ['recorded', 'recorded', 'recorded']);
    // Of a block on a domain nobody has judged each of its senders.
    const { id: ofDomain } = (await server.block('', {
      subject: { type: 'domain', value: 'letgo.example' },
    })) as unknown as { id: string };
    await server.held(ofDomain, 'one@letgo.example', 3);
    const names = { account: 'one@letgo.example', returnPath: 'one@letgo.example' };
    await report([accepted('q3', { queueId: 'q3', at, ...names })]);
    const { store, models, clock } = server.deps;
    await models.reached(await store.head());
    const one = models.sendVolume.readings({ type: 'account', value: names.account }, clock.now());
    assert.equal(Math.max(...one.map(({ observed }) => observed)), 1);
    const events: MessageAccepted[] = [];
    for await (const { data } of store.readStream(sendStream(account))) events.push(data as MessageAccepted);
    assert.deepEqual(
      events.map(({ transaction, wasJudged }) => [transaction, wasJudged]),
      [
        ['q1', true],
        ['q2', true],
        ['other', undefined],
      ],
    );
    const readings = models.sendVolume.readings({ type: 'account', value: account }, clock.now());
    assert.equal(Math.max(...readings.map(({ observed }) => observed)), 1);
    const entry = models.ledger.get(id)!;
    const found = await recentSends({ store, models }, entry, new Set(['q1', 'q2']));
    assert.deepEqual(
      found.map(({ transaction }) => transaction),
      ['other'],
    );
  });

  test('knows of each token by which a follower reports when it was heard last, and of no other', async () => {
    const own = await ApiServer.start();
    const ask = (role: 'server' | 'admin', items: unknown): Promise<Reply> =>
      own.post(SENDS, items, { role });
    const { reports } = own.deps.mailServers!;
    const began = own.clock.now();
    await ask('admin', [accepted('f1')]);
    assert.deepEqual(reports.reported.followers, []);
    await ask('server', []);
    await ask('admin', []);
    own.clock.advance(MINUTE);
    await ask('admin', [accepted('f2')]);
    const { followers } = reports.reported;
    assert.deepEqual(followers, [
      { signs: 1, lastAt: began },
      { signs: 1, lastAt: began + MINUTE },
    ]);
    for (let other = 0; other < 300; other++) await reports.record([], `server:other-${other}`);
    assert.equal(reports.reported.followers.length, 100, 'they are bounded');
    assert.deepEqual(reports.reported.followers.slice(0, 2), followers);
    await own.stop();
  });

  test('records each kind of event as if Stopgap had seen it', async () => {
    const who = {
      account: 'kinds@example.com',
      returnPath: 'kinds@example.com',
      ehlo: 'pc',
      ip: '192.0.2.8',
    };
    const reply = await report([
      {
        type: 'accepted',
        id: 'k1',
        ...who,
        recipients: 3,
        size: 4711,
        recipientDomains: ['One.test', 'two.test', 'one.test'],
      },
      { type: 'recipients-refused', id: 'k2', ...who, count: 4, code: 551 },
      { type: 'bounce', id: 'k3', address: 'Kinds+x@example.com', ip: '192.0.2.9' },
      { type: 'login-failed', id: 'k4', ip: '2001:db8::7', account: 'who@example.com', count: 2 },
    ]);
    assert.equal(reply.status, 200);
    const results = ['k1', 'k2', 'k3', 'k4'].map((id) => ({ id, result: 'recorded' }));
    assert.deepEqual(reply.json, { recorded: 4, known: 0, refused: 0, results });
    const sender = { direction: 'outbound', ...who };
    const events = await server.eventsOf('send-kinds@example.com');
    assert.deepEqual(
      events.map(({ type, by, correlation, data }) => ({ type, by, correlation, data })),
      [
        {
          type: 'MessageAccepted',
          by: 'server:the-server',
          correlation: 'k1',
          data: {
            ...sender,
            transaction: 'k1',
            recipients: 3,
            size: 4711,
            recipientDomains: ['one.test', 'two.test'],
            entitled: true,
          },
        },
        {
          type: 'RecipientsRefused',
          by: 'server:the-server',
          correlation: 'k2',
          data: { ...sender, transaction: 'k2', count: 4, code: 551, entitled: true },
        },
        {
          type: 'BounceReceived',
          by: 'server:the-server',
          correlation: 'k3',
          data: { address: 'Kinds+x@example.com', ip: '192.0.2.9' },
        },
      ],
    );
    const [failure] = await server.eventsOf('auth-2001:db8::/64');
    assert.equal(failure!.type, 'AuthenticationFailed');
    assert.deepEqual(failure!.data, {
      network: '2001:db8::/64',
      kind: 'genuine',
      count: 2,
      since: server.clock.now(),
    });
  });

  test('is counted for the rules as what Stopgap sees itself', async () => {
    const account = 'flood@example.com';
    const items = [1, 2].map((index) => accepted(`flood-${index}`, { account, recipients: 40 }));
    assert.deepEqual(resultsOf(await report(items)), ['recorded', 'recorded']);
    const last = (await server.eventsOf(`send-${account}`)).at(-1)!;
    await server.deps.models.reached(last.position);
    const reading = server.deps.models.sendVolume.readings(
      { type: 'account', value: account },
      server.clock.now(),
    );
    assert.equal(reading.find(({ rule }) => rule === 'burst')?.observed, 80);
  });

  test('counts an id once: in a batch, in another, after a restart and days later', async () => {
    const account = 'once@example.com';
    const items = [accepted('o1', { account }), accepted('o2', { account }), accepted('o1', { account })];
    assert.deepEqual(resultsOf(await report(items)), ['recorded', 'recorded', 'known']);
    assert.deepEqual(resultsOf(await report(items)), ['known', 'known', 'known']);
    await server.restart();
    server.clock.advance(3 * DAY);
    assert.deepEqual(outcomeOf(await report(items)), {
      recorded: 0,
      known: 3,
      refused: 0,
      results: ['o1', 'o2', 'o1'].map((id) => ({ id, result: 'known' })),
    });
    assert.equal((await server.eventsOf(`send-${account}`)).length, 2);
  });

  test('counts a queue id once a day, under any id and from any reporter', async () => {
    const account = 'queue@example.com';
    const at = (hour: number): string => formatInstant(server.clock.now() - HOUR + hour * MINUTE);
    const item = (id: string, queueId: string, when: string) => accepted(id, { account, queueId, at: when });
    const items = [item('q1', '4ABC', at(0)), item('q2', '4ABC', at(1)), item('q3', '4ABD', at(1))];
    assert.deepEqual(resultsOf(await report(items)), ['recorded', 'known', 'recorded']);
    assert.deepEqual(resultsOf(await report(items, { role: 'admin' })), ['known', 'known', 'known']);
    server.clock.advance(DAY);
    assert.deepEqual(resultsOf(await report([item('q4', '4ABC', at(0))])), ['recorded']);
    const [fault] = outcomeOf(await report([accepted('q5', { queueId: '4ABE' })])).results;
    assert.equal(fault!.errors![0]!.field, 'at');
  });

  test('counts a queue id once that is told of on both sides of midnight', async () => {
    const account = 'midnight@example.com';
    const midnight = Math.ceil(server.clock.now() / DAY) * DAY;
    server.clock.jump(midnight + HOUR - server.clock.now());
    const item = (id: string, queueId: string, at: number) =>
      accepted(id, { account, queueId, at: formatInstant(at) });
    assert.deepEqual(
      resultsOf(
        await report([
          item('m1', '1ABC', midnight - SECOND),
          item('m2', '2ABC', midnight + SECOND),
          item('m3', '3ABC', midnight - HOUR),
        ]),
      ),
      ['recorded', 'recorded', 'recorded'],
    );
    const others = [
      item('m4', '1ABC', midnight + 2 * SECOND),
      item('m5', '2ABC', midnight - 2 * SECOND),
      // Used again.
      item('m6', '3ABC', midnight + 50 * MINUTE),
    ];
    assert.deepEqual(resultsOf(await report(others)), ['known', 'known', 'recorded']);
  });

  test('records recipients that the first reports of a message left out, once, from any reporter', async () => {
    const account = 'further@example.com';
    const at = formatInstant(server.clock.now());
    const item = (recipients: number, more: object = {}) => ({
      ...accepted(`f${recipients}`, { account, queueId: '5ABC', at, recipients, size: 100 }),
      ...more,
    });
    const further = (recipients: number, more: object = {}) => item(recipients, { further: true, ...more });
    // Deliveries may come a day after the message.
    const days = { at: formatInstant(server.clock.now() + 3 * DAY) };
    const recorded = async (): Promise<readonly unknown[]> =>
      (await server.eventsOf(`send-${account}`))
        .map(({ data }) => data as MessageAccepted)
        .map(({ transaction, recipients, size, further: more }) => [transaction, recipients, size, more]);
    const first = [item(1), further(1), further(120), further(120), further(200)];
    assert.deepEqual(resultsOf(await report(first)), ['recorded', 'known', 'recorded', 'known', 'recorded']);
    const all = [
      ['5ABC', 1, 100, undefined],
      ['5ABC', 119, 0, true],
      ['5ABC', 80, 0, true],
    ];
    assert.deepEqual(await recorded(), all);
    await server.restart();
    assert.deepEqual(
      resultsOf(await report([...first, further(150)], { role: 'admin' })),
      [...first, further(150)].map(() => 'known'),
    );
    server.clock.advance(3 * DAY);
    assert.deepEqual(resultsOf(await report([further(200, days), further(203, days)])), [
      'known',
      'recorded',
    ]);
    assert.deepEqual(await recorded(), [...all, ['5ABC', 3, 0, true]]);
    const [fault] = outcomeOf(await report([further(9, { ...days, queueId: undefined })])).results;
    assert.deepEqual(fault!.errors, [{ field: 'queueId', message: 'is missing: further names no message' }]);
  });

  test('records only the rest of a message after an import of older ones', async () => {
    const account = 'after-import@example.com';
    const at = formatInstant(server.clock.now());
    const item = (recipients: number, more: object = {}) =>
      accepted(`i${recipients}`, { account, queueId: '6ABC', at, recipients, ...more });
    assert.deepEqual(resultsOf(await report([item(100)])), ['recorded']);
    const { id: _, ...old } = sent(server.clock.now() - 30 * DAY, 0, { account, returnPath: account });
    const data = { ...(old.data as object), imported: 'postfix-log' };
    const event = { id: newId(), type: old.type, at: old.at, by: 'system:import', data };
    await server.deps.store.append(`send-${account}`, [event], 'any');
    await server.restart();
    assert.deepEqual(resultsOf(await report([item(101, { further: true })])), ['recorded']);
    const recorded = (await server.eventsOf(`send-${account}`)).map((one) => one.data as MessageAccepted);
    const own = recorded.filter(({ transaction }) => transaction === '6ABC');
    assert.deepEqual(
      own.map(({ recipients }) => recipients),
      [100, 1],
    );
  });

  test('records as many recipients of a message as the most that anyone tells of, though they tell at once', async () => {
    const account = 'at-once@example.com';
    const at = formatInstant(server.clock.now());
    const queueIds = Array.from({ length: 20 }, (_, index) => `7ABC${index}`);
    const item = (queueId: string, recipients: number, more: object = {}) =>
      accepted(`${queueId}-${recipients}`, { account, queueId, at, recipients, ...more });
    await report(queueIds.map((queueId) => item(queueId, 1)));
    const batches = Array.from({ length: 12 }, (_, index) =>
      report(queueIds.map((queueId) => item(queueId, 2 + index, { further: true }))),
    );
    for (const reply of await Promise.all(batches)) assert.equal(reply.status, 200);
    const counts = new Map<string, number>();
    for (const { data } of await server.eventsOf(`send-${account}`)) {
      const { transaction, recipients } = data as MessageAccepted;
      counts.set(transaction, (counts.get(transaction) ?? 0) + recipients);
    }
    assert.deepEqual(
      [...counts.values()],
      queueIds.map(() => 13),
    );
  });

  test('takes an empty list as a sign of life', async () => {
    const reply = await report([]);
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.json, { recorded: 0, known: 0, refused: 0, results: [] });
  });

  test('says of each item what is wrong, and records the others', async () => {
    const account = 'mixed@example.com';
    const faulty: readonly (readonly [unknown, readonly string[]])[] = [
      [{ type: 'sent', id: 'm' }, ['type']],
      [17, ['item']],
      [null, ['item']],
      [{ type: 'accepted', account }, ['id']],
      [{ type: 'accepted', id: 'm2' }, ['account']],
      [accepted('m3', { recipients: 0, size: -1, ip: 'here' }), ['ip', 'recipients', 'size']],
      [accepted('m4', { recipients: 1.5 }), ['recipients']],
      [accepted('m5', { at: 'now' }), ['at']],
      [accepted('m6', { at: formatInstant(server.clock.now() + HOUR) }), ['at']],
      [accepted('m7', { at: formatInstant(server.clock.now() - 2 * DAY) }), ['at']],
      [accepted('m8', { sender: 'x' }), ['sender']],
      [accepted('m9', { direction: 'all' }), ['direction']],
      [accepted('\u0000'), ['id']],
      [{ type: 'recipients-refused', id: 'm10', account, code: 451 }, ['code']],
      [{ type: 'bounce', id: 'm11' }, ['address']],
      [{ type: 'login-failed', id: 'm12', account }, ['ip']],
    ];
    const reply = await report([accepted('m0', { account }), ...faulty.map(([item]) => item)]);
    assert.equal(reply.status, 200);
    const { recorded, refused, results } = outcomeOf(reply);
    assert.deepEqual([recorded, refused], [1, faulty.length]);
    assert.deepEqual(
      results.map(({ errors = [] }) => errors.map(({ field }) => field)),
      [[], ...faulty.map(([, fields]) => fields)],
    );
    assert.equal((await server.eventsOf(`send-${account}`)).length, 1);
    const lines = server.logged.filter((line) => line.includes('a reported event was refused'));
    assert.ok(lines.length > 0 && lines.every((line) => line.includes('"by":"server:the-server"')));
  });

  test('takes a list or lines, and neither too many items nor too large a body', async () => {
    const account = 'many@example.com';
    const many = (count: number) =>
      Array.from({ length: count }, (_, index) => accepted(`many-${index}`, { account }));
    const lines = many(3)
      .map((item) => JSON.stringify(item))
      .join('\n');
    const ndjson = { headers: { 'content-type': 'application/x-ndjson' } };
    assert.deepEqual(outcomeOf(await report(lines, ndjson)).recorded, 3);
    const reply = await report(many(1000));
    assert.deepEqual([outcomeOf(reply).recorded, outcomeOf(reply).known], [997, 3]);
    for (const body of [many(1001), {}, 'x']) assert.equal((await report(body)).status, 400);
    assert.equal((await report([accepted('large', { ehlo: 'x'.repeat(1024 * 1024) })])).status, 413);
  });

  test('counts a late report when it happened, and not all at the moment it comes', async () => {
    const account = 'late@example.com';
    const then = server.clock.now() - 5 * HOUR;
    const items = [0, 1, 2].map((index) =>
      accepted(`late-${index}`, { account, at: formatInstant(then + index * HOUR) }),
    );
    await report(items);
    assert.deepEqual(
      (await server.eventsOf(`send-${account}`)).map((event) => effectiveAt(event)),
      [then, then + HOUR, then + 2 * HOUR],
    );
  });

  test('takes a failed login of a blocked account for one that was made to fail', async () => {
    const block = await server.block('caught@example.com');
    await report([
      { type: 'login-failed', id: 'f1', ip: '192.0.2.99', account: 'caught@example.com' },
      { type: 'login-failed', id: 'f2', ip: '192.0.2.99', account: 'other@example.com' },
      { type: 'login-failed', id: 'f3', ip: '192.0.2.99' },
    ]);
    assert.deepEqual(
      (await server.eventsOf('auth-192.0.2.99')).map(({ data }) => {
        const { kind, account, block: by } = data as Record<string, unknown>;
        return [kind, account, by];
      }),
      [
        ['feigned', 'caught@example.com', block.id],
        ['genuine', undefined, undefined],
        ['genuine', undefined, undefined],
      ],
    );
  });

  test('any order of batches, repeats and restarts records each event once', async () => {
    let run = 0;
    const batches = fc.array(fc.array(fc.nat(12), { minLength: 1, maxLength: 8 }), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(batches, fc.nat(5), async (given, restartAfter) => {
        run += 1;
        const account = `any${run}@example.com`;
        const item = (number: number) => {
          const id = `any-${run}-${number}`;
          return number % 3 === 0
            ? { type: 'recipients-refused', id, account, count: number + 1 }
            : accepted(id, { account, recipients: number + 1 });
        };
        const seen = new Set<number>();
        for (const [index, numbers] of given.entries()) {
          // Two send the same batch at the same time.
          const replies = await Promise.all([report(numbers.map(item)), report(numbers.map(item))]);
          assert.ok(replies.every(({ status }) => status === 200));
          const fresh = new Set(numbers.filter((number) => !seen.has(number))).size;
          assert.equal(outcomeOf(replies[0]).recorded + outcomeOf(replies[1]).recorded, fresh);
          for (const number of numbers) seen.add(number);
          if (index === restartAfter) await server.restart();
        }
        const events = await server.eventsOf(`send-${account}`);
        const counts = events.map(({ data }) => {
          const { recipients, count } = data as { recipients?: number; count?: number };
          return recipients ?? count!;
        });
        assert.deepEqual(
          [...counts].sort((a, b) => a - b),
          [...seen].map((one) => one + 1).sort((a, b) => a - b),
        );
      }),
      { numRuns: 12 },
    );
  });
});

describe('POST /api/v1/sends where the store fails', () => {
  /** A store that takes so many events, and then does what is said. */
  async function failing(
    then: () => Promise<never>,
    takes = 0,
  ): Promise<{ server: ApiServer; heal: () => void }> {
    let left = takes;
    const change = (deps: ApiDependencies): ApiDependencies => {
      const { store } = deps;
      const append: EventStore['append'] = (...args) => {
        if (!args[0].startsWith('send-') || left-- > 0) return store.append(...args);
        return then();
      };
      return onStore(deps, changed(store, { append }));
    };
    return { server: await ApiServer.start(change), heal: () => (left = Infinity) };
  }
  const items = Array.from({ length: 100 }, (_, index) => accepted(`away-${index}`));

  test('says what was recorded of the batch, and takes the rest when it is sent again', async () => {
    const { server, heal } = await failing(() => Promise.reject(new StoreUnavailable('away')), 10);
    try {
      const reply = await server.post(SENDS, items, SERVER);
      assert.equal(reply.status, 503);
      assert.equal(reply.headers.get('retry-after'), '5');
      assert.equal(reply.json.code, 'unavailable');
      assert.equal(outcomeOf(reply).recorded, 10);
      assert.deepEqual(resultsOf(reply), [
        ...new Array<string>(10).fill('recorded'),
        ...new Array<string>(90).fill('unavailable'),
      ]);
      heal();
      const again = await server.post(SENDS, items, SERVER);
      assert.deepEqual([outcomeOf(again).recorded, outcomeOf(again).known], [90, 10]);
      assert.equal((await server.eventsOf(`send-${ALICE}`)).length, 100);
    } finally {
      await server.stop();
    }
  });

  /** A store with an outbox: it takes appends, and it cannot be read. */
  async function unread(): Promise<{
    readonly server: ApiServer;
    readonly restart: () => Promise<void>;
    readonly lose: () => void;
    readonly reads: () => number;
  }> {
    let [isAway, reads] = [false, 0];
    const change = (deps: ApiDependencies): ApiDependencies => {
      const readStream: EventStore['readStream'] = (stream, options) => {
        if (!isAway) return deps.store.readStream(stream, options);
        reads++;
        throw new StoreUnavailable('away');
      };
      return onStore(deps, changed(deps.store, { readStream }));
    };
    const lose = (): void => void (isAway = true);
    const server = await ApiServer.start(change);
    return { server, restart: () => server.restart(change), lose, reads: () => reads };
  }

  test('records what can wait on this disk though the store cannot be read, near midnight too', async () => {
    const { server, lose } = await unread();
    try {
      const midnight = Math.ceil(server.clock.now() / DAY) * DAY;
      server.clock.jump(midnight + 6 * MINUTE - server.clock.now());
      lose();
      const near = accepted('near', { queueId: '1ABC', at: formatInstant(midnight + 5 * MINUTE) });
      assert.deepEqual(resultsOf(await server.post(SENDS, [near], SERVER)), ['recorded']);
    } finally {
      await server.stop();
    }
  });

  test('keeps nothing back for the rest of a message that it cannot look up, and knows that of its own messages', async () => {
    const { server, restart, lose, reads } = await unread();
    try {
      const at = formatInstant(server.clock.now());
      const item = (queueId: string, recipients: number, more: object = {}) =>
        accepted(`${queueId}-${recipients}`, { queueId, at, recipients, ...more });
      const further = (queueId: string, recipients: number): object =>
        item(queueId, recipients, { further: true });
      await server.post(SENDS, [item('OLD1', 1)], SERVER);
      await restart();
      await server.post(SENDS, [item('OWN1', 1)], SERVER);
      lose();
      const others = Array.from({ length: 80 }, (_, index) => item(`NEW${index}`, 40));
      const batch = [further('OLD1', 3), further('OWN1', 3), further('OWN1', 7), ...others];
      const reply = await server.post(SENDS, batch, SERVER);
      assert.equal(reply.status, 503);
      assert.deepEqual(resultsOf(reply), ['unavailable', ...new Array<string>(82).fill('recorded')]);
      assert.equal(reads(), 1, 'a store that is away is asked once');
      assert.deepEqual(
        resultsOf(await server.post(SENDS, [further('OWN1', 6), further('OWN1', 8)], SERVER)),
        ['known', 'recorded'],
      );
    } finally {
      await server.stop();
    }
  });

  test('does not wait longer than a client does for a store that hangs', async () => {
    let end = (): void => undefined;
    const hanging = new Promise<never>((_, reject) => (end = () => reject(new StoreUnavailable('over'))));
    const { server } = await failing(() => hanging);
    try {
      const reply = server.post(SENDS, items, SERVER);
      await reachedAlarm(server);
      server.clock.advance(11 * SECOND);
      assert.equal((await reply).status, 503);
      assert.equal(outcomeOf(await reply).recorded, 0);
    } finally {
      end();
      await server.stop();
    }
  });

  test('a fault of ours is told as one, and not as a store that is away', async () => {
    const { server } = await failing(() => Promise.reject(new Error(`a fault ${newId()}`)));
    try {
      assert.equal((await server.post(SENDS, items, SERVER)).status, 500);
    } finally {
      await server.stop();
    }
  });
});

/** Resolves when the request waits for the store: with an alarm of its own beside that for the whole request. */
async function reachedAlarm({ clock }: ApiServer): Promise<void> {
  const before = clock.waiting;
  while (clock.waiting <= before + 1) await new Promise((resolve) => setImmediate(resolve));
}
