import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { after, before, test } from 'node:test';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import type { Node } from '../../support/distributed/node.js';
import type { Examined } from '../../integration/cli/examined.js';
import { doctor } from '../../integration/cli/examined.js';

let cluster: Cluster;
let detector: Node;
let api: Node;
let smtp: Node;

before(async () => {
  cluster = await Cluster.start({ accounts: [account('one')], redis: false });
  const roles = ['detector', 'api', 'smtp'];
  [detector, api, smtp] = (await Promise.all(roles.map((role) => cluster.node(role, role)))) as [
    ...[Node, Node, Node],
  ];
});
after(() => cluster.stop());

/** What the doctor finds who has the settings of that process, and a token for its API. */
function examined(t: TestContext, { settings, http, dir }: Node): Promise<Examined> {
  const env = { ...settings, STOPGAP_API_LISTEN: `127.0.0.1:${http}`, STOPGAP_TOKEN: cluster.token };
  return doctor(t, { env }, dir);
}

test('the doctor of an API process knows the rules in force, and those of other processes say whom to ask', async (t) => {
  // Given a rules file that lets rules act
  (await examined(t, detector)).has('rules', 'ok', /rules\.yaml: \d+ rules?, mode enforce/);
  // When others are put in force that only observe
  await api.json('PUT', '/api/v1/rules', { source: 'version: 1\nmode: observe\nrules: []\n' });
  // Then the process that knows them warns, and the one that reads the file does not claim to know
  const atApi = await examined(t, api);
  atApi.has('rules', 'ok', /^version \d+ in force, from api, mode observe/);
  atApi.has('rules', 'warning', /^mode is observe: no rule blocks or proposes/);
  (await examined(t, detector)).has(
    'rules',
    'not tried',
    /^which rules are in force is not known here: ask the doctor of a process with the role api/,
  );
  (await examined(t, smtp)).has('rules', 'not tried', /neither role detector nor api: ask the doctor/);
});

test('the doctor says nothing of Redis to a process that has no timed work', async (t) => {
  for (const node of [detector, api, smtp])
    (await examined(t, node)).has('redis', 'not tried', /^this process has no role worker/);
});

test('the doctor warns of a store that came back with another log', async (t) => {
  // Given a log that is as it was
  const isTold = ({ findings }: Examined): boolean =>
    findings.some(({ outcome, detail }) => outcome === 'warning' && detail.includes('another log'));
  assert.equal(isTold(await examined(t, api)), false);
  // When the store is emptied
  await cluster.store.empty();
  for (const node of [api, smtp])
    await awaited(
      `${node.name} has caught up with the other log`,
      async () => (await node.health())['logReplaced'] === 1 && (await node.readiness()).status === 200,
      60,
    );
  // Then each process says what that means
  for (const node of [api, smtp])
    (await examined(t, node)).has(
      'store',
      'warning',
      /found another log in the store, once: what that one does not hold is gone, blocks too; see why: StopgapLogReplaced/,
    );
});
