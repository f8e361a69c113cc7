import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { RulesChanged } from '../../../src/rules/model.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import type { Node } from '../../support/distributed/node.js';
import { floodAt, sendOne } from '../../support/distributed/sends.js';
import { skipOnRealServer as skip } from '../../support/kurrentdb/forms.js';

const AWAY = 'the store does not answer: it is waited for';
const READ = 'a file was read again';
/** The built-in rule: more than a hundred recipients within ten minutes. */
const LIMIT = 100;
const NAMES = ['blocked', 'steady', 'flood', 'killed', 'twice', 'fault', 'full', 'guessed'];

let cluster: Cluster;
let detector: Node;
let one: Node;
let two: Node;

before(async () => {
  cluster = await Cluster.start({ accounts: NAMES.map((name) => account(name)), redis: false });
  detector = await cluster.node('detector', 'detector,api,worker');
  [one, two] = await Promise.all([cluster.node('one', 'smtp'), cluster.node('two', 'smtp')]);
});
// What failed in one test must not fail the next.
afterEach(() => cluster.storeBack());
after(() => cluster.stop());

/** The domains of the mail that the store has as accepted from an account, in order, with each event id once. */
async function recorded(from: string): Promise<string[]> {
  const seen = new Set<string>();
  const domains: string[] = [];
  for (const { id, type, data } of await cluster.events(['send'])) {
    if (type !== 'MessageAccepted' || seen.has(id)) continue;
    const { account: by, recipientDomains } = data as MessageAccepted;
    seen.add(id);
    if (by === from) domains.push(...recipientDomains);
  }
  return domains;
}

async function delivered(node: Node): Promise<void> {
  await awaited(
    `the outbox of ${node.name} is empty`,
    async () => (await node.metric('stopgap_outbox_events')) === 0,
    30,
  );
}

test('with the store killed, SMTP decides by what it knew, and each node contains what it sees', async (t) => {
  const [blocked, steady, flood] = [account('blocked'), account('steady'), account('flood')];
  await detector.block(blocked);
  for (const node of [one, two]) await awaited(`${node.name} refuses`, () => node.refuses(blocked));
  const acknowledged: string[] = [];
  const session = await one.session(steady);
  assert.match(await sendOne(session, steady, acknowledged), /^250 /);

  await cluster.killStore();
  for (let n = 0; n < 5; n++) assert.match(await sendOne(session, steady, acknowledged), /^250 /);
  session.vanish();
  for (const node of [one, two]) assert.ok(await node.refuses(blocked), `${node.name} forgot a block`);
  const health = await one.health();
  assert.equal(health['status'], 'degraded');
  assert.equal(health['store'], 'failing');
  assert.ok((await one.metric('stopgap_outbox_events')) >= 5);

  const got: string[] = [];
  const { refused } = await floodAt(one, flood, got);
  assert.ok(refused, `a flood of ${got.length} messages was never refused`);
  assert.ok(got.length * 5 > LIMIT && got.length * 5 <= LIMIT + 4 * 5, `${got.length} messages got through`);
  assert.ok(await one.refuses(flood));
  assert.ok(!(await two.refuses(flood)), 'the other node cannot know');
  assert.deepEqual((await detector.blocksOf(flood)).length, 0, 'nothing could be recorded');

  await t.test('when it is back, what waited is in it, in order, and the detector has blocked', async () => {
    await cluster.storeBack();
    await delivered(one);
    assert.deepEqual(await recorded(steady), acknowledged, 'in the order in which it was sent');
    assert.deepEqual((await recorded(flood)).sort(), [...got].sort());
    await awaited('the flood is blocked everywhere', () => two.refuses(flood));
    const blocks = await detector.blocksOf(flood);
    assert.deepEqual(
      blocks.map(({ state }) => state),
      ['active'],
    );

    // The node's own refusal must not outlive what a person decides.
    await detector.release(blocks[0]!.id);
    for (const node of [two, one])
      await awaited(`${node.name} takes it again`, async () => !(await node.refuses(flood)), 2);
  });
});

test('what waited on the disk survives kill -9 of the SMTP node', async () => {
  const killed = account('killed');
  const acknowledged: string[] = [];
  await cluster.killStore();
  const session = await one.session(killed);
  for (let n = 0; n < 10; n++) assert.match(await sendOne(session, killed, acknowledged), /^250 /);
  await one.kill();
  session.vanish();
  await cluster.storeBack();
  await one.start();
  await delivered(one);
  assert.deepEqual(await recorded(killed), acknowledged);
});

test('a full outbox: `accept` takes mail and counts what is lost, `defer` answers 451', async () => {
  const full = account('full');
  const small = { STOPGAP_OUTBOX_MAX_EVENTS: '3' };
  const [accepting, deferring] = await Promise.all([
    cluster.node('three', 'smtp', { ...small, STOPGAP_ON_STORE_LOST: 'accept' }),
    cluster.node('four', 'smtp', small),
  ]);
  await cluster.killStore();
  const taken: string[] = [];
  const session = await accepting.session(full);
  for (let n = 0; n < 7; n++) assert.match(await sendOne(session, full, taken), /^250 /);
  session.vanish();
  const lost = await accepting.metric('stopgap_outbox_lost_events_total');
  assert.ok(lost >= 4, `only ${lost} counted as lost`);

  const put: string[] = [];
  const other = await deferring.session(full);
  for (let n = 0; n < 3; n++) assert.match(await sendOne(other, full, put), /^250 /);
  assert.match(await sendOne(other, full, put), /^451 /);
  assert.equal(await deferring.metric('stopgap_outbox_lost_events_total'), 0);

  await cluster.storeBack();
  await Promise.all([delivered(accepting), delivered(deferring)]);
  assert.match(await sendOne(other, full, put), /^250 /);
  other.vanish();
  await awaited('all that was promised is in the store', async () => {
    const found = await recorded(full);
    return put.every((domain) => found.includes(domain));
  });
  const found = await recorded(full);
  const missing = taken.filter((domain) => !found.includes(domain)).length;
  assert.ok(missing >= 4 && missing <= lost, `${missing} are missing, ${lost} were counted as lost`);
  await Promise.all([accepting.kill(), deferring.kill()]);
});

test('written but not answered, and its ids forgotten: what is sent on counts once', { skip }, async () => {
  const twice = account('twice');
  const acknowledged: string[] = [];
  await cluster.store.tell({ do: 'faults', mute: true });
  // 75 recipients: allowed once, a flood where they counted twice.
  const sending = Promise.all(
    Array.from({ length: 15 }, async () => {
      const session = await one.session(twice);
      assert.match(await sendOne(session, twice, acknowledged, 5), /^250 /);
      session.vanish();
    }),
  );
  const written = async (): Promise<string[]> =>
    (await cluster.events(['send']))
      .filter(({ data }) => (data as MessageAccepted).account === twice)
      .map(({ id }) => id);
  let isSent = false;
  void sending.then(() => (isSent = true));
  // On a busy machine the store counts as away before the last is sent, which then waits in the outbox.
  await awaited('all are written or wait', async () => (await written()).length === 15 || isSent, 60);
  assert.ok((await written()).length > 0);
  await cluster.store.tell({ do: 'forget' });
  await sending;
  await cluster.store.tell({ do: 'heal' });
  await delivered(one);
  const ids = await written();
  assert.equal(new Set(ids).size, acknowledged.length);
  // 30 more trip the rule for certain, and show that everything before them has been folded.
  const session = await two.session(twice);
  await sendOne(session, twice, acknowledged, 5);
  session.vanish();
  const marker = await detector.block(account('guessed'), '1m');
  await awaited('the marker is folded', () => two.refuses(account('guessed')));
  await awaited('the marker is released', async () => {
    // A busy store may answer too late, and have it.
    await detector.api('POST', `/api/v1/blocks/${marker}/release`, { note: 'by a test' });
    return !(await two.refuses(account('guessed')));
  });
  assert.deepEqual(await detector.blocksOf(twice), []);
});

const faults = {
  'appends are taken in and never answered': { do: 'faults', stalled: ['append'] },
  'it is not the leader, and the leader is not there': {
    do: 'faults',
    leader: { host: '127.0.0.1', port: 9 },
  },
  'it ends every subscription without a word': { do: 'end quietly' },
  'it cuts every connection': { do: 'drop' },
} as const;

for (const [what, fault] of Object.entries(faults)) {
  test(`the store fails otherwise: ${what}`, { skip }, async () => {
    const from = account('fault');
    const acknowledged: string[] = [];
    await cluster.store.tell(fault);
    await Promise.all(
      [one, two].map(async (node) => {
        const session = await node.session(from);
        assert.match(await sendOne(session, from, acknowledged), /^250 /);
        session.vanish();
      }),
    );
    await cluster.store.tell({ do: 'heal' });
    await Promise.all([delivered(one), delivered(two)]);
    await awaited('both are in the store', async () => {
      const found = await recorded(from);
      return acknowledged.every((domain) => found.includes(domain));
    });
    // Decisions go through again, and reach every node.
    const subject = account('guessed');
    let id = '';
    await awaited('the API blocks again', async () => {
      id = await detector.block(subject);
      return true;
    });
    for (const node of [one, two]) await awaited(`${node.name} refuses`, () => node.refuses(subject));
    await detector.release(id);
    for (const node of [one, two])
      await awaited(`${node.name} takes it again`, async () => !(await node.refuses(subject)));
  });
}

test('a rules file that changes while the store is away is in force once it is back', async () => {
  const file = path.join(cluster.dir, 'rules.yaml');
  const before = await readFile(file, 'utf8');
  await cluster.killStore();
  const said = detector.served.stderr.length;
  const changed = `${before}# changed\n`;
  await writeFile(file, changed);
  const since = (): string => detector.served.stderr.slice(said);
  await awaited('the detector would record it', () => since().includes(READ) && since().includes(AWAY));
  const after = `${before}# changed once more\n`;
  await writeFile(file, after);
  await awaited('the newest is read', () => since().split(READ).length > 2);
  await cluster.storeBack();
  await awaited('the newest is in force', async () => {
    const { source } = await detector.json<{ source: string }>('GET', '/api/v1/rules');
    return source === after;
  });
  const sources = (await cluster.events(['rules'])).map(({ data }) => (data as RulesChanged).source);
  assert.deepEqual(sources.slice(-1), [after]);
  assert.ok(!sources.includes(changed), 'what no longer holds is not recorded');
});
