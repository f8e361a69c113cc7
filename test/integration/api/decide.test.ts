import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import type { MessageRefused } from '../../../src/sending/events.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { Call, Reply } from '../../support/api/server.js';
import { ApiServer, onStore } from '../../support/api/server.js';
import { changed } from '../../support/store/changed.js';

const SENDS = '/api/v1/sends';
const DECIDE = '/api/v1/decide';
const SERVER: Call = { role: 'server' };
const ALICE = 'alice@example.com';
const LATER = { code: 451, text: '4.3.2 Service temporarily unavailable, please try again later' };

const accepted = (id: string, more: Readonly<Record<string, unknown>> = {}) => ({
  type: 'accepted',
  id,
  account: ALICE,
  returnPath: ALICE,
  ip: '192.0.2.7',
  ...more,
});

describe('POST /api/v1/decide', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const decide = (body: Readonly<Record<string, unknown>>): Promise<Reply> =>
    server.post(DECIDE, body, SERVER);

  test('lets a sender go on whom no block covers', async () => {
    const reply = await decide({ account: 'free@example.com', ip: '192.0.2.7' });
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.json, { action: 'accept', code: null, text: null, block: null });
  });

  for (const [what, subject, names] of [
    ['account', { type: 'account', value: 'a1@example.com' }, { account: 'A1@Example.com' }],
    ['return path', { type: 'address', value: 'a2@example.com' }, { returnPath: 'a2+tag@example.com' }],
    ['domain', { type: 'domain', value: 'a3.example' }, { account: 'x', returnPath: 'x@sub.a3.example' }],
    ['EHLO name', { type: 'ehlo', value: 'a4.example' }, { account: 'x', ehlo: 'A4.example' }],
    ['address', { type: 'ip', value: '203.0.113.0/24' }, { ip: '::ffff:203.0.113.9' }],
  ] as const)
    test(`refuses by ${what}, at RCPT and DATA, and records it`, async () => {
      const { json: block } = await server.post('/api/v1/blocks', {
        subject,
        duration: '1h',
        direction: 'all',
      });
      const id = `decide-${what}`;
      for (const stage of ['rcpt', 'data'])
        assert.deepEqual((await decide({ ...names, stage, id })).json, {
          action: 'refuse',
          ...LATER,
          block: block.id,
        });
      await server.written();
      const refused: RecordedEvent[] = [];
      for await (const event of server.deps.store.readAll())
        if (event.correlation === id) refused.push(event);
      assert.deepEqual(
        refused.map(({ type, by, data }) => [type, by, (data as { stage: string }).stage]),
        [
          ['MessageRefused', 'policy:mx.example.com', 'rcpt'],
          ['MessageRefused', 'policy:mx.example.com', 'data'],
        ],
      );
    });

  test('lets a login fail like a wrong password, or for now, and records it as feigned; an honest block lets it pass', async () => {
    const told = [];
    for (const refusal of ['soft', 'defer', 'honest']) {
      const account = `${refusal}@example.com`;
      await server.block(account, { refusal });
      const { json } = await decide({ account, ip: '192.0.2.77', stage: 'auth' });
      told.push([json.code, (json as unknown as { action: string }).action]);
    }
    assert.deepEqual(told, [
      [535, 'refuse'],
      [454, 'refuse'],
      [null, 'accept'],
    ]);
    await server.written();
    const failures = await server.eventsOf('auth-192.0.2.77');
    assert.deepEqual(
      failures
        .map(({ data }) => data as { kind: string; account: string })
        .map(({ kind, account }) => [kind, account]),
      [
        ['feigned', 'soft@example.com'],
        ['feigned', 'defer@example.com'],
      ],
    );
  });

  test('tells an honest refusal in its own words', async () => {
    await server.block('told@example.com', { refusal: 'honest' });
    const { json } = await decide({ account: 'told@example.com' });
    assert.equal(json.code, 550);
    assert.match((json as unknown as { text: string }).text, /contact postmaster@example\.com$/);
  });

  test('tells a caller that cannot hold mail to refuse it in place of a hold, and records what it is told', async () => {
    const account = 'kept@example.com';
    const block = await server.block(account, { refusal: 'hold' });
    for (const stage of ['rcpt', 'data'])
      for (const holds of [undefined, false, true])
        assert.deepEqual(
          (await decide({ account, stage, holds, id: 'hold' })).json,
          holds === true
            ? { action: 'hold', code: null, text: null, block: block.id }
            : { action: 'refuse', ...LATER, block: block.id },
        );
    assert.equal((await decide({ account, stage: 'auth' })).json.code, null, 'its login passes');
    await server.written();
    const told: MessageRefused[] = [];
    for await (const { correlation, data } of server.deps.store.readAll())
      if (correlation === 'hold') told.push(data as MessageRefused);
    const later = `${LATER.code} ${LATER.text}`;
    assert.deepEqual(
      told.map(({ reply, unheld }) => [reply, unheld]),
      [
        [later, true],
        ['HOLD', undefined],
        [later, true],
        ['HOLD', undefined],
      ],
    );
  });

  test('takes mail with a login, or of an own network, for outbound, unless it is told the direction', async () => {
    await server.post('/api/v1/blocks', {
      subject: { type: 'domain', value: 'out.example' },
      duration: '1h',
      direction: 'outbound',
    });
    const returnPath = 'x@out.example';
    const actions = [];
    for (const names of [
      { returnPath, account: 'x' },
      { returnPath, ip: '198.51.100.7' },
      { returnPath, ip: '203.0.114.7' },
      { returnPath, ip: '203.0.114.7', direction: 'outbound' },
    ])
      actions.push((await decide(names)).json.code);
    assert.deepEqual(actions, [451, 451, null, 451]);
  });

  test('names every field at fault', async () => {
    const fields = async (body: unknown): Promise<readonly string[]> => {
      const reply = await server.post(DECIDE, body, SERVER);
      assert.equal(reply.status, 400);
      return reply.json.errors.map(({ field }) => field);
    };
    assert.deepEqual(await fields({}), ['account']);
    assert.deepEqual(await fields({ account: 'x', ip: '1.2.3', stage: 'mail', direction: 'all', who: 1 }), [
      'ip',
      'direction',
      'stage',
      'who',
    ]);
    assert.deepEqual(await fields([]), ['body']);
  });

  test('takes the names that strangers choose as they are, without control characters', async () => {
    for (const ehlo of ['', null, 'x'.repeat(20_000), '\u0000\u0007', '\ud800', '"; drop', '[IPv6:::1]'])
      assert.equal((await decide({ account: 'free@example.com', ehlo })).json.code, null);
  });

  test('is for mail servers and admins', async () => {
    for (const [role, status] of [
      ['server', 200],
      ['admin', 200],
      ['viewer', 403],
      ['operator', 403],
    ] as const) {
      assert.equal((await server.post(DECIDE, { account: 'free@example.com' }, { role })).status, status);
      assert.equal((await server.post(SENDS, [accepted(`role-${role}`)], { role })).status, status);
    }
  });
});

test('decide answers from memory while the store is away', async () => {
  let isAway = false;
  const server = await ApiServer.start((deps) =>
    onStore(
      deps,
      changed(deps.store, {
        append: (...args) =>
          isAway ? Promise.reject(new StoreUnavailable('away')) : deps.store.append(...args),
      }),
    ),
  );
  try {
    await server.block(ALICE);
    isAway = true;
    const { json } = await server.post(DECIDE, { account: ALICE }, SERVER);
    assert.equal(json.code, 451);
  } finally {
    isAway = false;
    await server.stop();
  }
});
