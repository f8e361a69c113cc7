import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import { sendOne } from '../../support/distributed/sends.js';
import { skipOnRealServer as skip } from '../../support/kurrentdb/forms.js';

const [sender, blocked] = [account('sender'), account('blocked')];

let cluster: Cluster;
before(async () => {
  cluster = await Cluster.start({ accounts: [sender, blocked], redis: false });
});
after(() => cluster.stop());

test('if a store takes appends and tells nothing, health says so, and mail is taken', { skip }, async () => {
  const nodes = [await cluster.node('detector', 'detector,api,worker'), await cluster.node('smtp', 'smtp')];
  const [api, smtp] = [nodes[0]!, nodes[1]!];
  await api.block(blocked);
  await awaited('the block is in force', () => smtp.refuses(blocked));
  await cluster.store.tell({ do: 'faults', stalled: ['read', 'subscribe'] });
  await cluster.store.tell({ do: 'end quietly' });
  for (const node of nodes) {
    await awaited(`${node.name} says that it is behind`, async () => {
      const { status, store, readModels } = await node.health();
      return status === 'degraded' && store === 'ok' && readModels === 'behind';
    });
    assert.ok(Number((await node.health())['lagSeconds']) >= 10);
    assert.ok((await node.metric('stopgap_feed_lag_seconds')) > 10);
    assert.equal((await node.readiness()).status, 200, 'what is behind serves by what it knew');
  }
  const session = await smtp.session(sender);
  assert.match(await sendOne(session, sender, []), /^250 /);
  session.vanish();
  assert.ok(await smtp.refuses(blocked));

  await cluster.store.tell({ do: 'heal' });
  for (const node of nodes) {
    await awaited(`${node.name} is well again`, async () => {
      const { status, readModels } = await node.health();
      return status === 'ok' && readModels === 'ready';
    });
  }
});
