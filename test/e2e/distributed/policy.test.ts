import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { addToken } from '../../../src/accounts/tokens.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import type { Node } from '../../support/distributed/node.js';
import { skipOnRealServer as skip } from '../../support/kurrentdb/forms.js';
import { Asking } from '../../support/policy/asking.js';
import { freePort } from '../../support/ports.js';

let cluster: Cluster;
let policy: Node;
let port: number;
let token: string;

before(async () => {
  cluster = await Cluster.start({ accounts: [], redis: false });
  port = await freePort();
  const file = `${cluster.dir}/tokens.yaml`;
  token = await addToken({ file, name: 'mx', role: 'server', now: Date.now() });
  await cluster.node('detector', 'detector,api,worker');
  policy = await cluster.node('policy', 'policy', { STOPGAP_POLICY_LISTEN: `127.0.0.1:${port}` });
});
after(() => cluster.stop());

/** Reports to the node as a mail server does. @returns what became of each item */
async function report(items: readonly object[]): Promise<readonly string[]> {
  const response = await policy.served.api('POST', '/api/v1/sends', token, items);
  const { results } = (await response.json()) as { readonly results: readonly { readonly result: string }[] };
  return results.map(({ result }) => result);
}

/** Sends messages to forty recipients each until one is refused. @returns how many went through */
async function flood(asking: Asking, from: string, most: number): Promise<number> {
  for (let message = 0; message < most; message++) {
    const asked = { sasl_username: from, sender: from, instance: `1.2.${message}.${from}` };
    if ((await asking.ask(asked)) !== 'DUNNO') return message;
    const end = { ...asked, protocol_state: 'END-OF-MESSAGE', recipient: '', recipient_count: '40' };
    if ((await asking.ask(end)) !== 'DUNNO') return message;
  }
  return most;
}

test(
  'a node that is asked refuses by what detectors decide, and by itself while the store is away',
  { skip },
  async (t) => {
    const asking = await Asking.open(t, port);
    const [known, other] = [account('known'), account('other')];
    const item = (queueId: string, recipients: number, more: object = {}): object => ({
      type: 'accepted',
      id: `${queueId}-${recipients}`,
      queueId,
      account: account('told'),
      recipients,
      at: new Date().toISOString(),
      ...more,
    });
    assert.deepEqual(await report([item('4A1', 1)]), ['recorded']);
    await flood(asking, known, 10);
    await awaited('the detector has blocked it', async () => (await flood(asking, known, 1)) === 0);

    await cluster.killStore();
    await awaited(
      'the store is known to be away',
      async () => (await policy.health())['store'] === 'failing',
      30,
    );
    assert.equal(await flood(asking, known, 1), 0, 'a block is not forgotten');
    const sent = await flood(asking, other, 20);
    assert.ok(sent < 20, 'the node contains what it sees itself');
    const midnight = new Date().toISOString().slice(0, 10);
    const told = [
      item('4A1', 3, { further: true }),
      item('4B1', 1, { at: `${midnight}T00:00:00Z` }),
      ...Array.from({ length: 80 }, (_, index) => item(`4C${index}`, 1)),
    ];
    const all = (result: string): readonly string[] => told.map(() => result);
    assert.deepEqual(await report(told), all('recorded'), 'what is reported waits too');
    assert.deepEqual(await report(told), all('known'));
    await awaited(
      'what was sent waits on disk',
      async () => (await policy.metric('stopgap_outbox_events')) >= sent + told.length,
    );

    await cluster.storeBack();
    await awaited('it is delivered', async () => (await policy.metric('stopgap_outbox_events')) === 0, 60);
    const recorded = (await cluster.events(['send'])).filter(
      ({ type, data }) => type === 'MessageAccepted' && (data as MessageAccepted).account === other,
    );
    assert.equal(new Set(recorded.map(({ id }) => id)).size, sent);
    assert.equal(await policy.metric('stopgap_policy_sends_lost_total{reason="store"}'), 0);
  },
);
