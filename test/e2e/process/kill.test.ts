import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { BlockImposed, BlockReleased } from '../../../src/blocks/events.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { ROUNDS, SEED } from '../../support/chaos/extent.js';
import { readMaildir } from '../../support/relay/adapters.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { Gate } from '../../support/gate.js';
import { seeded } from '../../support/smtp/random.js';
import { Served, workDir } from '../../support/smtp/served.js';

const DEMO = 'demo@example.com';
const KILLS = 2 * ROUNDS;
const CONNECTIONS = 6;
/** Acknowledged sends after which the process is killed at the latest. */
const MOST = 80;

interface Acknowledged {
  /** Recipient domains, each of one message only. */
  readonly sends: string[];
  /** Ids of blocks that were imposed, and of those that were released. */
  readonly blocks: string[];
  readonly releases: string[];
}

/** Loads one process until enough was acknowledged, and kills it in mid-load. */
async function loadAndKill(
  served: Served,
  round: number,
  secrets: { password: string; token: string },
  enough: number,
): Promise<Acknowledged> {
  const acknowledged: Acknowledged = { sends: [], blocks: [], releases: [] };
  const reached = new Gate();
  const port = served.port('submission');
  const sender = async (connection: number): Promise<void> => {
    const session = await Dialogue.hello(port);
    assert.match(await session.login(DEMO, secrets.password), /^235 /);
    for (let n = 0; ; n++) {
      const domain = `m${n}.c${connection}.r${round}.test`;
      const reply = await session.send(DEMO, [`user@${domain}`]);
      assert.match(reply, /^250 /);
      acknowledged.sends.push(domain);
      if (acknowledged.sends.length >= enough) reached.open();
    }
  };
  const administrator = async (): Promise<void> => {
    const { token } = secrets;
    for (let n = 0; ; n++) {
      const value = `b${n}-r${round}@blocked.test`;
      const wish = {
        subject: { type: 'address', value },
        direction: 'all',
        description: 'load',
        duration: '1h',
      };
      const created = await served.api('POST', '/api/v1/blocks', token, wish);
      assert.equal(created.status, 201);
      const { id } = (await created.json()) as { id: string };
      acknowledged.blocks.push(id);
      if (n % 2 === 0) continue;
      const released = await served.api('POST', `/api/v1/blocks/${id}/release`, token, { note: 'load' });
      assert.equal(released.status, 200);
      await released.json();
      acknowledged.releases.push(id);
    }
  };
  const load = [administrator(), ...Array.from({ length: CONNECTIONS }, (_, index) => sender(index))];
  // A failure before the kill is a fault of the test's subject; afterwards all of them must fail.
  await Promise.race([reached.opened, Promise.all(load)]);
  const killed = served.kill();
  const outcomes = await Promise.allSettled(load);
  await killed;
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected' && outcome.reason instanceof assert.AssertionError)
      throw outcome.reason;
  }
  return acknowledged;
}

test(`${KILLS} times kill -9 in mid-load (seed ${SEED}): whatever was acknowledged is found again`, async (t) => {
  const random = seeded(SEED);
  const dir = await workDir(t);
  await writeFile(path.join(dir, 'rules.yaml'), 'version: 1\nrules: []\n');
  const env = { STOPGAP_RULES: './rules.yaml', STOPGAP_LOG_LEVEL: 'warn' };
  const all: Acknowledged = { sends: [], blocks: [], releases: [] };
  let secrets: { password: string; token: string } | undefined;
  for (let round = 0; round < KILLS; round++) {
    const served = await Served.start(t, dir, env);
    secrets ??= { password: served.told('password'), token: served.told('API token') };
    const acknowledged = await loadAndKill(served, round, secrets, 1 + Math.floor(random() * MOST));
    all.sends.push(...acknowledged.sends);
    all.blocks.push(...acknowledged.blocks);
    all.releases.push(...acknowledged.releases);
  }
  const { sends, blocks, releases } = all;
  assert.ok(sends.length > 10 * KILLS, `only ${sends.length} sends were acknowledged`);
  assert.ok(releases.length > KILLS, `only ${releases.length} releases were acknowledged`);

  const last = await Served.start(t, dir, env);
  await t.test('by the next process', async () => {
    for (const id of blocks.slice(-20)) {
      const answer = await last.api('GET', `/api/v1/blocks/${id}`, secrets!.token);
      const { state } = (await answer.json()) as { state: string };
      // A release that was carried out, but whose answer the kill cut off, may show too.
      if (releases.includes(id)) assert.equal(state, 'released', id);
      else assert.match(state, /^(active|released)$/, id);
    }
    assert.equal((await last.terminate()).code, 0);
  });

  const store = await openSqliteStore({ file: path.join(dir, 'data/events.db'), clock: systemClock });
  t.after(() => store.close());
  const stored = new Map<string, MessageAccepted>();
  const changed = { BlockImposed: new Set<string>(), BlockReleased: new Set<string>() };
  for await (const event of store.readAll()) {
    if (event.type === 'MessageAccepted') {
      const data = event.data as MessageAccepted;
      stored.set(data.recipientDomains[0]!, data);
    } else if (event.type === 'BlockImposed' || event.type === 'BlockReleased') {
      changed[event.type].add((event.data as BlockImposed | BlockReleased).block);
    }
  }
  const mails = await readMaildir(path.join(dir, 'data/mail'));
  const delivered = new Map(
    mails.map((mail) => [mail.recipients[0]!.split('@')[1]!, mail.content.toString()]),
  );

  await t.test(`all ${sends.length} sends, in the store and in the Maildir, under one transaction`, () => {
    for (const domain of sends) {
      const event = stored.get(domain);
      assert.ok(event !== undefined, `the send to ${domain} was acknowledged and is not in the store`);
      assert.ok(
        delivered.get(domain)?.includes(` id ${event.transaction};`),
        `${domain} is not in the Maildir`,
      );
    }
  });

  await t.test('no send without its message', () => {
    for (const domain of stored.keys()) assert.ok(delivered.has(domain), domain);
  });

  await t.test(`all ${blocks.length} blocks and ${releases.length} releases`, () => {
    for (const id of blocks) assert.ok(changed.BlockImposed.has(id), `block ${id} is lost`);
    for (const id of releases) assert.ok(changed.BlockReleased.has(id), `the release of ${id} is lost`);
  });
});
