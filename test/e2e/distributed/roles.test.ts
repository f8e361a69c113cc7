import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jsonEvent } from '@kurrent/kurrentdb-client';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import type { Node } from '../../support/distributed/node.js';
import { floodAt, sendOne } from '../../support/distributed/sends.js';
import { direct } from '../../support/kurrentdb/direct.js';
import { skipWithoutRedisServer } from '../../support/redis.js';

const skip = await skipWithoutRedisServer();
if (skip !== false) process.stdout.write(`the split into roles is not tested: ${skip}\n`);

const NAMES = ['api', 'rule', 'ruled', 'exempt', 'poison', 'timed', 'flushed', 'lasting', 'window', 'past'];

let cluster: Cluster;
let detector: Node;
let worker: Node;
let apis: Node[];
let doors: Node[];

before(async () => {
  if (skip !== false) return;
  cluster = await Cluster.start({ accounts: NAMES.map((name) => account(name)) });
  // As little as there can be in each process.
  const started = await Promise.all([
    ...['detector', 'worker'].map((role) => cluster.node(role, role)),
    ...['api-1', 'api-2'].map((name) => cluster.node(name, 'api')),
    ...['smtp-1', 'smtp-2'].map((name) => cluster.node(name, 'smtp')),
  ]);
  [detector, worker] = [started[0]!, started[1]!];
  [apis, doors] = [started.slice(2, 4), started.slice(4)];
});
after(() => cluster?.stop());

const refusedAtAll = async (from: string): Promise<void> => {
  for (const door of doors) await awaited(`${door.name} refuses ${from}`, () => door.refuses(from));
};
const takenAtAll = async (from: string): Promise<void> => {
  for (const door of doors)
    await awaited(`${door.name} takes ${from}`, async () => !(await door.refuses(from)));
};

test('every process tells how it is, with any roles', { skip }, async () => {
  for (const node of cluster.nodes) {
    const base = `http://127.0.0.1:${node.http}`;
    assert.equal((await node.health())['store'], 'ok', node.name);
    assert.equal((await fetch(`${base}/readyz`)).status, 200, node.name);
    assert.equal(await node.metric('stopgap_outbox_events'), 0, node.name);
    assert.equal(await node.metric('stopgap_store_up'), 1, node.name);
    assert.equal(await node.metric('stopgap_role_info'), 1, node.name);
    const blocks = await node.api('GET', '/api/v1/blocks');
    assert.equal(blocks.status === 200, apis.includes(node), node.name);
  }
  assert.equal(await worker.metric('stopgap_redis_up'), 1);
  assert.equal(await worker.metric('stopgap_expiry_unsent_jobs'), 0);
});

test('a block made at one API, and its release at another, hold at every SMTP node', { skip }, async () => {
  const from = account('api');
  const session = await doors[1]!.session(from);
  assert.match(await session.say(`MAIL FROM:<${from}>`), /^250 /);
  const id = await apis[0]!.block(from);
  await refusedAtAll(from);
  assert.match(await session.say('RCPT TO:<a@b.test>'), /^4\d\d /, 'in a session that was open already too');
  await apis[1]!.release(id);
  await takenAtAll(from);
  assert.match(await session.say('RCPT TO:<a@b.test>'), /^250 /, 'at the very next command');
  session.vanish();
});

test('a block made by a rule refuses at the node that has seen nothing of the flood', { skip }, async () => {
  const from = account('rule');
  assert.ok((await floodAt(doors[0]!, from, [])).refused);
  assert.ok(await doors[1]!.refuses(from));
  assert.equal((await apis[0]!.blocksOf(from)).length, 1);
});

test(
  'who is forgotten at one API is unknown everywhere, and is blocked again if they send as before',
  { skip },
  async () => {
    const [from, other] = [account('past'), account('api')];
    const kept = await apis[1]!.block(other);
    assert.ok((await floodAt(doors[0]!, from, [])).refused);
    const [block] = await apis[0]!.blocksOf(from);
    await apis[1]!.release(block!.id);
    await takenAtAll(from);
    const subject = { type: 'account', value: from };
    const { remains } = await apis[0]!.json<{ remains: string[] }>('POST', '/api/v1/forget', { subject });
    assert.match(remains.join(), /scavenge.* outboxes of their own/);
    for (const api of apis) {
      await awaited(`${api.name} knows the block under a pseudonym alone`, async () => {
        const blocks = await api.blocks();
        return blocks.some(({ id }) => id === block!.id) && blocks.every((one) => one.subject.value !== from);
      });
    }
    assert.ok(!JSON.stringify(await cluster.events(['send', 'block', 'profile'])).includes(from));
    await refusedAtAll(other);
    await apis[0]!.release(kept);
    assert.ok((await floodAt(doors[1]!, from, [])).refused);
    assert.equal((await apis[1]!.blocksOf(from)).length, 1);
    await refusedAtAll(from);
  },
);

test('rules and exemptions changed at one API are in force everywhere', { skip }, async () => {
  const [from, spared] = [account('ruled'), account('exempt')];
  const source = (await apis[0]!.json<{ source: string }>('GET', '/api/v1/rules')).source;
  const strict = source.replace('limit: 100\n', 'limit: 10\n');
  assert.notEqual(strict, source);
  await apis[0]!.json('PUT', '/api/v1/rules', { source: strict });
  await awaited('the other API has them', async () => {
    return (await apis[1]!.json<{ source: string }>('GET', '/api/v1/rules')).source === strict;
  });
  await apis[1]!.json('POST', '/api/v1/exemptions', {
    subject: { type: 'account', value: spared },
    duration: '1h',
    reason: 'a test',
  });
  const got: string[] = [];
  assert.ok((await floodAt(doors[0]!, from, got, { most: 19 })).refused, 'by the new limit');
  assert.ok(!(await floodAt(doors[1]!, spared, [], { sessions: 1, most: 10 })).refused, 'it is exempt');
  assert.deepEqual(await apis[0]!.blocksOf(spared), []);
  await apis[1]!.json('PUT', '/api/v1/rules', { source });
});

test('an event that nobody can read is skipped and counted, and everything goes on', { skip }, async () => {
  const from = account('poison');
  const poison = [
    ['rules', 'RulesChanged', { version: 'x' }],
    ['rules', 'Foreign', {}],
    [`block-account:${from}`, 'BlockImposed', {}],
    [`block-account:${from}`, 'BlockImposed', { block: 'x', subject: { type: 'account' }, until: 'soon' }],
    [`block-account:${from}`, 'BlockExtended', 'text'],
    [`send-${from}`, 'MessageAccepted', { recipients: [] }],
    [`send-${from}`, 'MessageAccepted', null],
  ] as const;
  const before = await Promise.all(cluster.nodes.map((node) => node.metric('stopgap_skipped_events_total')));
  await direct(cluster.store.url, async (client) => {
    for (const [stream, type, data] of poison) {
      const metadata = { at: Date.now(), by: 'system:poison' };
      await client.appendToStream(stream, jsonEvent({ type, data: data as never, metadata }));
    }
  });
  for (const [index, node] of cluster.nodes.entries()) {
    await awaited(
      `${node.name} counts what it skipped`,
      async () => (await node.metric('stopgap_skipped_events_total')) >= before[index]! + 5,
    );
  }
  // Its own stream, the windows and the rules are as usable as before.
  assert.ok((await floodAt(doors[0]!, from, [])).refused);
  const [block] = await apis[0]!.blocksOf(from);
  await apis[1]!.release(block!.id);
  await takenAtAll(from);
  const { source } = await apis[1]!.json<{ source: string }>('GET', '/api/v1/rules');
  await apis[0]!.json('PUT', '/api/v1/rules', { source: `${source}# changed\n` });
});

test('Redis killed and emptied: blocks end on time, are recorded on its return, once', { skip }, async () => {
  const [timed, flushed] = [account('timed'), account('flushed')];
  // Planned in Redis, and lost with it: nothing is kept on its disk.
  await apis[0]!.block(flushed, '2s');
  await cluster.redis!.kill();
  const id = await apis[0]!.block(timed, '2s');
  await refusedAtAll(timed);
  await takenAtAll(timed);
  await takenAtAll(flushed);
  const ends = async (from: string): Promise<number> => {
    const mine = await cluster.events(['block']);
    const ids = new Set((await apis[0]!.blocksOf(from)).map((block) => block.id));
    return mine.filter(
      ({ type, data }) => type === 'BlockExpired' && ids.has((data as { block: string }).block),
    ).length;
  };
  assert.equal(await ends(timed), 0, 'until alone has ended it so far');
  await cluster.redis!.restart();
  for (const from of [timed, flushed])
    await awaited(`the end of ${from} is recorded`, async () => (await ends(from)) === 1, 60);
  assert.equal((await apis[0]!.json<{ state: string }>('GET', `/api/v1/blocks/${id}`)).state, 'expired');
  assert.deepEqual([await ends(timed), await ends(flushed)], [1, 1]);
});

test('every process but one killed: each does without the others', { skip }, async () => {
  const from = account('window');
  await Promise.all([...apis, worker, detector].map((node) => node.kill()));
  const got: string[] = [];
  const session = await doors[0]!.session(from);
  // Ninety of the hundred recipients that the rule allows: the windows must hold them after all that follows.
  for (let n = 0; n < 18; n++) assert.match(await sendOne(session, from, got, 5), /^250 /);
  session.vanish();
  await Promise.all([...apis, worker, detector].map((node) => node.start()));
});

test('the whole cluster killed and started again: the same blocks and windows', { skip }, async () => {
  const [lasting, from] = [account('lasting'), account('window')];
  await apis[0]!.block(lasting);
  // What each refused is recorded every ten seconds, also while this looks.
  const view = async (node: Node) =>
    (await node.blocks()).map((block) => ({ ...block, refused: undefined, lastRefusedAt: undefined }));
  const sender = (node: Node) => node.json('GET', `/api/v1/senders/account/${encodeURIComponent(from)}`);
  const before = { blocks: await view(apis[0]!), state: (await sender(apis[0]!)) as { windows: unknown } };
  await Promise.all([
    ...cluster.nodes.map((node) => node.kill()),
    cluster.killStore(),
    cluster.redis!.kill(),
  ]);
  await Promise.all([cluster.storeBack(), cluster.redis!.restart()]);
  await Promise.all(cluster.nodes.map((node) => node.start()));
  for (const api of apis) {
    assert.deepEqual(await view(api), before.blocks);
    assert.deepEqual(((await sender(api)) as { windows: unknown }).windows, before.state.windows);
  }
  await refusedAtAll(lasting);
  // Ninety recipients are in the window still. Without them twenty messages of five would all go.
  const got: string[] = [];
  const { refused } = await floodAt(doors[1]!, from, got, { sessions: 1, most: 20 });
  assert.ok(refused && got.length >= 3, `${got.length} messages got through`);
});
