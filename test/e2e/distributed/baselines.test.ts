import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { dayOf } from '../../../src/sending/day-summary.js';
import type { SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import { DAYS_KNOWN, HABIT_RULES, writeHabits } from '../../support/distributed/baselines.js';
import type { Node } from '../../support/distributed/node.js';
import { floodAt } from '../../support/distributed/sends.js';

const [NEWS, INVOICES, THIEF] = [account('news'), account('invoices'), account('thief')];
const [LATER, LATEST] = [account('thief', 2), account('thief', 3)];
/** Messages within an hour: what is usual of the newsletter, and what it may send; what anybody may who is not known. */
const [USUAL, ALLOWED, START] = [20, 40, 8];

const today = dayOf(Date.now());

let cluster: Cluster;
let node: Node;

before(async () => {
  cluster = await Cluster.start({ accounts: [NEWS, INVOICES, THIEF, LATER, LATEST], redis: false });
  const rules = path.join(cluster.dir, 'baselines.yaml');
  await writeFile(rules, HABIT_RULES);
  for (const known of [NEWS, INVOICES]) await writeHabits(cluster.store.url, systemClock, known, USUAL);
  await cluster.node('center', 'detector,api,worker', { STOPGAP_RULES: rules });
  node = await cluster.node('smtp', 'smtp');
});
afterEach(() => cluster.storeBack());
after(() => cluster.stop());

async function knowing(): Promise<void> {
  await awaited('the node knows baselines', async () => (await node.metric('stopgap_baselines_ready')) === 1);
}

/** Sends one after the other until it is refused, or has sent so many. */
async function send(from: string, most: number): Promise<number> {
  const got: string[] = [];
  await floodAt(node, from, got, { sessions: 1, recipients: 1, most });
  return got.length;
}

test('cut off from the store, a node takes what is usual of a known bulk sender, and refuses an unknown flood', async () => {
  await knowing();
  await cluster.killStore();
  assert.equal(await send(NEWS, ALLOWED), ALLOWED);
  assert.ok(!(await node.refuses(NEWS)), 'the newsletter is refused');
  assert.equal(await send(THIEF, ALLOWED), START + 1);
  assert.ok(await node.refuses(THIEF));
  assert.ok(!(await node.refuses(NEWS)));
  assert.ok((await node.metric('stopgap_outbox_events')) > ALLOWED, 'the store was away all the time');
  // It is counted all the same.
  assert.equal(await send(NEWS, ALLOWED), 1);
  assert.ok(await node.refuses(NEWS));
  const lines = node.served.stderr.split('\n').filter((line) => line.includes('refused by this node alone'));
  assert.equal(lines.length, 2);
  assert.match(lines[0]!, /nothing is known of it yet, still being learnt/);
  assert.match(lines[1]!, /in a week usually 20 at most/);
});

for (const [how, thief, end, snapshots] of [
  ['kill -9', LATER, (): Promise<unknown> => node.kill(), 0],
  ['a start from snapshots', LATEST, (): Promise<unknown> => node.served.terminate(), 2],
] as const) {
  test(`it knows as much after ${how}`, async () => {
    await awaited('its outbox is empty', async () => (await node.metric('stopgap_outbox_events')) === 0, 30);
    await end();
    await node.start();
    await knowing();
    assert.equal(node.served.stderr.match(/start from a snapshot/g)?.length ?? 0, snapshots);
    await cluster.killStore();
    assert.equal(await send(INVOICES, USUAL), USUAL);
    assert.equal(await send(thief, ALLOWED), START + 1);
    assert.deepEqual([await node.refuses(INVOICES), await node.refuses(thief)], [false, true]);
  });
}

test('it has written down nothing of what it knows', async () => {
  const days = (await cluster.events(['profile'])).map(({ data }) => (data as SenderDaySummarised).day);
  // Should midnight come in between, the detector writes down this very day.
  assert.equal(days.filter((day) => day < today).length, 2 * DAYS_KNOWN);
});
