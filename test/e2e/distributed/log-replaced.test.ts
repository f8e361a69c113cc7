import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import type { Node } from '../../support/distributed/node.js';
import { floodAt, sendOne } from '../../support/distributed/sends.js';
import { skipOnRealServer as skip } from '../../support/kurrentdb/forms.js';

const NAMES = ['early', 'late', 'new', 'newer', 'timed', 'flood', 'again', 'kept', 'lost', 'after', 'other'];

let cluster: Cluster;
let api: Node;
let smtp: Node;

before(async () => {
  cluster = await Cluster.start({ accounts: NAMES.map((name) => account(name)), redis: false });
  const roles = ['detector', 'worker', 'api', 'smtp'];
  const nodes = await Promise.all(roles.map((role) => cluster.node(role, role)));
  [api, smtp] = [nodes[2]!, nodes[3]!];
});
after(() => cluster.stop());

const replaced = (node: Node): Promise<number> => node.metric('stopgap_log_replaced_total');

/** Resolves once each process has noticed a further log, said so, and caught up with it. */
async function rebuilt(times: number): Promise<void> {
  for (const node of cluster.nodes) {
    await awaited(
      `${node.name} knows that the log is another one`,
      async () => (await replaced(node)) >= times,
      60,
    );
    await awaited(`${node.name} is ready again`, async () => (await node.readiness()).status === 200, 60);
    await awaited(`${node.name} is well`, async () => (await node.health())['status'] === 'ok');
    assert.equal((await node.health())['logReplaced'], await replaced(node));
    assert.match(node.served.stderr, /"level":"?(error|50)"?.*the store holds another log than before/);
  }
}

/** Blocks as soon as that is possible. What is not possible yet is told as such, and never as anything else. */
async function blockSoon(name: string): Promise<string> {
  const subject = { type: 'account', value: account(name) };
  const wish = { subject, direction: 'all', description: 'by a test', duration: '1h' };
  const answers: string[] = [];
  let id = '';
  await awaited(`${name} can be blocked`, async () => {
    const answer = await api.api('POST', '/api/v1/blocks', wish);
    const text = await answer.text();
    if (!answer.ok) {
      answers.push(`${answer.status} ${text}`);
      return false;
    }
    ({ id } = JSON.parse(text) as { id: string });
    return true;
  });
  assert.deepEqual(
    answers.filter((answer) => !answer.startsWith('503 ')),
    [],
  );
  return id;
}

const refused = (name: string): Promise<void> =>
  awaited(`${name} is refused`, () => smtp.refuses(account(name)));
const taken = (name: string): Promise<void> =>
  awaited(`${name} is taken`, async () => !(await smtp.refuses(account(name))));

test('a store that comes back empty: every process begins again, and new blocks hold', async () => {
  for (const name of ['early', 'late']) {
    await api.block(account(name));
    await refused(name);
  }
  const session = await smtp.session(account('other'));
  for (let n = 0; n < 20; n++) assert.match(await sendOne(session, account('other'), []), /^250 /);
  session.vanish();

  await cluster.store.empty();
  const [first] = await Promise.all([blockSoon('new'), rebuilt(1)]);
  await refused('new');
  await taken('early');
  await taken('late');
  assert.deepEqual(
    (await api.blocks()).map(({ id }) => id),
    [first],
  );
  assert.match((await api.json<{ source: string }>('GET', '/api/v1/rules')).source, /limit: 100/);

  const timed = await api.block(account('timed'), '1s');
  await awaited('its end is recorded', async () => {
    const { state } = await api.json<{ state: string }>('GET', `/api/v1/blocks/${timed}`);
    return (
      state === 'expired' && (await cluster.events(['block'])).some(({ type }) => type === 'BlockExpired')
    );
  });
  assert.ok((await floodAt(smtp, account('flood'), [])).refused, 'rules trip by what stands in the new log');
  await awaited('the flood is recorded', async () => (await api.blocksOf(account('flood'))).length === 1);
});

test(
  'a refused sender stays refused until the process has caught up with the other log',
  { skip },
  async () => {
    await refused('new');
    await cluster.store.empty();
    await cluster.store.tell({ do: 'faults', stalled: ['subscribe'] });
    for (const node of [api, smtp]) {
      await awaited(`${node.name} builds anew`, async () => (await replaced(node)) === 2, 60);
      await awaited(`${node.name} folds`, async () => {
        const { reason } = await node.readiness();
        return reason === 'events are folded';
      });
      const { status, readModels, head } = await node.readiness();
      assert.equal(status, 503);
      assert.equal(readModels, 'catching-up');
      assert.equal(typeof head, 'number');
      assert.equal((await node.health())['status'], 'rebuilding');
      assert.equal(await node.metric('stopgap_read_models_ready'), 0);
    }
    const answer = await api.api('GET', '/api/v1/blocks');
    assert.equal(answer.status, 503);
    assert.match(((await answer.json()) as { detail: string }).detail, /^Stopgap is rebuilding: /);
    assert.ok(await smtp.refuses(account('new')), 'by what was known');
    const session = await smtp.session(account('other'));
    assert.match(await sendOne(session, account('other'), []), /^250 /, 'mail is taken meanwhile');
    session.vanish();
    await cluster.store.tell({ do: 'heal' });
    await rebuilt(2);
    await taken('new');
    await blockSoon('again');
    await refused('again');
  },
);

test('a store that was restored from an older backup: what is in that holds, and what comes then', async () => {
  const before = await replaced(api);
  const kept = await blockSoon('kept');
  await refused('kept');
  await cluster.store.save();
  await blockSoon('lost');
  await refused('lost');
  const { position } = (await cluster.events(['block'])).at(-1)!;
  for (const node of cluster.nodes) {
    const folded = async (): Promise<boolean> => Number((await node.health())['position']) >= position;
    await awaited(`${node.name} has folded what the backup lacks`, folded);
  }

  await cluster.store.restore();
  const [id] = await Promise.all([blockSoon('after'), rebuilt(before + 1)]);
  await refused('after');
  await refused('kept');
  await taken('lost');
  const known = (await api.blocks()).map((block) => block.id);
  assert.ok(known.includes(kept) && known.includes(id));
  assert.deepEqual(await api.blocksOf(account('lost')), []);
});

test('a start uses no snapshot of another log', async () => {
  await blockSoon('newer');
  await Promise.all(cluster.nodes.map((node) => node.served.terminate()));
  await cluster.store.empty();
  await Promise.all(cluster.nodes.map((node) => node.start()));
  for (const node of cluster.nodes) assert.match(node.served.stderr, /a snapshot is not used/, node.name);
  await taken('newer');
  await api.block(account('early'));
  await refused('early');
});
