import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import type { Node } from '../../support/distributed/node.js';
import { skipOnRealServer as skip } from '../../support/kurrentdb/forms.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { sendOne } from '../../support/distributed/sends.js';

const [sender, blocked] = [account('sender'), account('blocked')];

let cluster: Cluster;

before(async () => {
  cluster = await Cluster.start({ accounts: [sender, blocked], redis: false });
});
afterEach(() => cluster.storeBack());
after(() => cluster.stop());

async function isReady(node: Node): Promise<void> {
  await awaited(`${node.name} is ready`, async () => (await node.readiness()).status === 200, 30);
}

/** What a process says to anybody while it is not ready. */
async function tellsThatItStarts(node: Node, reason: RegExp): Promise<void> {
  await awaited(`${node.name} says why it is not ready`, async () =>
    reason.test(String((await node.readiness())['reason'])),
  );
  const { status, ready, listeners } = await node.readiness();
  assert.deepEqual({ status, ready, listeners }, { status: 503, ready: false, listeners: 'starting' });
  const health = await fetch(`http://127.0.0.1:${node.http}/healthz`);
  assert.equal(health.status, 200, 'nobody must end it for that');
  assert.equal(((await health.json()) as { status: string }).status, 'starting');
  assert.equal(await node.metric('stopgap_read_models_ready'), 0);
  for (const resource of ['/api/v1/blocks', '/api/v1', '/nowhere']) {
    const answer = await node.api('GET', resource);
    assert.equal(answer.status, 503, resource);
    assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
    assert.equal(answer.headers.get('retry-after'), '5');
    assert.match(((await answer.json()) as { detail: string }).detail, /^Stopgap is starting: /);
  }
}

test('roles that are started while the store is away wait for it, and say so', async () => {
  await cluster.killStore();
  const nodes = await Promise.all(
    ['detector', 'smtp', 'api', 'worker'].map((role) => cluster.begun(role, role)),
  );
  for (const node of nodes) {
    await tellsThatItStarts(node, /does not answer/);
    const { position, head, percent } = await node.readiness();
    assert.deepEqual({ position, head, percent }, { position: 0, head: null, percent: null });
    assert.equal(await node.metric('stopgap_store_up'), 0);
    assert.doesNotMatch(node.served.stdout, /submission/, 'it takes no mail yet');
  }
  await cluster.storeBack();
  for (const node of nodes) await isReady(node);
  const [, smtp, api] = nodes;
  await smtp!.served.announced();
  await api!.block(blocked);
  await awaited('the block is in force', () => smtp!.refuses(blocked));
  const session = await smtp!.session(sender);
  assert.match(await sendOne(session, sender, []), /^250 /);
  session.vanish();
});

test('a replay that lasts shows how far it is', { skip }, async () => {
  await cluster.store.tell({ do: 'faults', stalled: ['subscribe'] });
  const node = await cluster.begun('late', 'api');
  await tellsThatItStarts(node, /^events are folded$/);
  const { events, position, head, percent } = await node.readiness();
  assert.ok((head as number) > 0);
  assert.deepEqual({ events, position, percent }, { events: 0, position: 0, percent: 0 });
  await cluster.store.tell({ do: 'heal' });
  await isReady(node);
  assert.equal((await node.blocksOf(blocked)).length, 1);
  await node.kill();
});

test('a signal ends a process that still waits for its store', async () => {
  await cluster.killStore();
  const node = await cluster.begun('waiting', 'smtp');
  await tellsThatItStarts(node, /does not answer/);
  const { code } = await node.served.terminate();
  assert.equal(code, 0);
});

test('a store that refuses the user ends a process that has waited for it', async (t) => {
  const store = await StandIn.start({ user: 'ops:secret' });
  await store.kill();
  const node = await cluster.begun('stranger', 'smtp', { STOPGAP_STORE: store.url });
  await tellsThatItStarts(node, /does not answer/);
  const again = await store.again();
  t.after(() => again.kill());
  const { code, stderr } = await node.served.ended;
  assert.equal(code, 1);
  assert.match(stderr, /^stopgap: .*refuses the user or password$/m);
});
