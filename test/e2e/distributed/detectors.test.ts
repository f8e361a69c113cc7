import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import type { Node } from '../../support/distributed/node.js';
import { floodAt } from '../../support/distributed/sends.js';

/** So many that two detectors race often, and so few that the circuit breaker (20 in 10 minutes) stays shut. */
const RACED = Array.from({ length: 8 }, (_, index) => account('raced', index));
const KILLED = Array.from({ length: 4 }, (_, index) => account('killed', index));
const ALONE = account('alone');

let cluster: Cluster;
let first: Node;
let second: Node;
let smtp: Node;

before(async () => {
  cluster = await Cluster.start({ accounts: [...RACED, ...KILLED, ALONE], redis: false });
  // Both start on an empty store at once: both want to put the built-in rules in force.
  [first, second, smtp] = await Promise.all([
    cluster.node('first', 'detector'),
    cluster.node('second', 'detector,api,worker'),
    cluster.node('smtp', 'smtp'),
  ]);
});
after(() => cluster.stop());

/** How many blocks were imposed on each subject. */
async function imposed(): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (const { type, data } of await cluster.events(['block'])) {
    const { value } = (data as { subject?: { value: string } }).subject ?? { value: '' };
    if (type === 'BlockImposed') counts.set(value, (counts.get(value) ?? 0) + 1);
    else assert.fail(`${type} of ${value}: nothing else was asked for`);
  }
  return counts;
}

test('two detectors that start at once put the rules in force once', async () => {
  assert.equal((await cluster.events(['rules'])).length, 1);
});

test('two detectors at once: each account that floods is blocked, and once only', async () => {
  const floods = await Promise.all(RACED.map((from) => floodAt(smtp, from, [], { sessions: 2 })));
  assert.ok(floods.every(({ refused }) => refused));
  // A verdict of the slower detector could still be under way: what it wrote would be seen before this.
  const done = await Promise.all([first, second].map((node) => node.metric('stopgap_verdicts_total')));
  await awaited('both have judged all', async () => {
    done.splice(
      0,
      2,
      ...(await Promise.all([first, second].map((node) => node.metric('stopgap_verdicts_total')))),
    );
    return done.every((count) => count === RACED.length);
  });
  assert.deepEqual([...(await imposed())].sort(), RACED.map((from) => [from, 1]).sort());
});

test('kill -9 of one detector in mid-flood: the other has it all', async () => {
  const got: string[] = [];
  const floods = KILLED.map((from) => floodAt(smtp, from, got, { sessions: 2 }));
  await awaited('the floods are under way', () => got.length >= 20);
  await first.kill();
  assert.ok((await Promise.all(floods)).every(({ refused }) => refused));
  const counts = await imposed();
  assert.deepEqual(
    KILLED.map((from) => counts.get(from)),
    KILLED.map(() => 1),
  );
});

test('no detector at all during a flood: the next one to start acts on it', async () => {
  await second.kill();
  const got: string[] = [];
  const { refused } = await floodAt(smtp, ALONE, got, { sessions: 2, most: 15 });
  assert.ok(!refused, 'nobody is there to block');
  await first.start();
  await awaited('the flood is refused', () => smtp.refuses(ALONE));
  await second.start();
  const counts = await imposed();
  assert.equal(counts.get(ALONE), 1);
  assert.deepEqual(
    [...RACED, ...KILLED].map((from) => counts.get(from)),
    [...RACED, ...KILLED].map(() => 1),
    'starting again imposes nothing anew',
  );
});
