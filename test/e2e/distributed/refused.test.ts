import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import type { Node } from '../../support/distributed/node.js';
import { skipOnRealServer as skip } from '../../support/kurrentdb/forms.js';
import { PROGRAM } from '../../support/program.js';

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 1000000, then: block, for: 1h }
`;
/** Recipients of a message, each in a domain of its own. */
const RECIPIENTS = 20;

let cluster: Cluster;
let node: Node;

before(async () => {
  const names = ['many', 'large', 'split'].map((name) => account(name));
  cluster = await Cluster.start({ accounts: names, redis: false });
  const rules = path.join(cluster.dir, 'limitless.yaml');
  await writeFile(rules, RULES);
  await cluster.node('detector', 'detector,api,worker', { STOPGAP_RULES: rules });
  node = await cluster.node('one', 'smtp');
});
after(() => cluster.stop());

let serial = 0;

/** A recipient whose address is as long as an address may be, in a domain that no other has. */
function longRecipient(): string {
  const start = `d${++serial}`;
  const labels = Array.from({ length: 4 }, (_, label) => `${label}${'x'.repeat(58)}`).join('.');
  return `r@${start}.${labels}`.slice(0, 253);
}

async function sent(from: string): Promise<MessageAccepted[]> {
  const seen = new Set<string>();
  const all: MessageAccepted[] = [];
  for (const { id, type, data } of await cluster.events(['send'])) {
    const message = data as MessageAccepted;
    if (type !== 'MessageAccepted' || message.account !== from || seen.has(id)) continue;
    seen.add(id);
    all.push(message);
  }
  return all;
}

async function emptied(): Promise<void> {
  await awaited('the outbox is empty', async () => (await node.metric('stopgap_outbox_events')) === 0, 30);
}

/** `stopgap` on the machine of the SMTP node. */
async function cli(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const env = {
    PATH: process.env['PATH'],
    STOPGAP_TOKEN: cluster.token,
    STOPGAP_URL: `http://127.0.0.1:${node.served.port('HTTP')}`,
    ...node.settings,
  };
  return promisify(execFile)(process.execPath, [PROGRAM, ...args], { cwd: node.dir, env });
}

test('230 messages of 20 recipients with long domains, the store being away: all of them arrive', async () => {
  const from = account('many');
  await cluster.killStore();
  const session = await node.session(from);
  for (let n = 0; n < 230; n++) {
    const to = Array.from({ length: RECIPIENTS }, () => `RCPT TO:<${longRecipient()}>`);
    session.write([`MAIL FROM:<${from}>`, ...to, 'DATA', ''].join('\r\n'));
    const replies = await session.replies(to.length + 2);
    assert.ok(replies.every((reply) => /^[23]5[04] /.test(reply)));
    assert.match(await session.say('Subject: x\r\n\r\nx\r\n.'), /^250 /);
  }
  session.vanish();
  await cluster.storeBack();
  await emptied();
  assert.equal((await sent(from)).length, 230);
  assert.equal(await node.metric('stopgap_outbox_lost_events_total'), 0);
  assert.equal(await node.metric('stopgap_outbox_quarantined_events'), 0);
});

test(
  'an event that the store refuses is answered with 250 and kept, until it is told to be tried again',
  { skip },
  async (t) => {
    const from = account('large');
    // As an administrator may have set it; the node does not know of it yet.
    await cluster.store.tell({ do: 'faults', maxAppend: 4096 });
    const session = await node.session(from);
    const reply = await session.send(from, Array.from({ length: RECIPIENTS }, longRecipient));
    assert.match(reply, /^250 /, 'the upstream has it: sent again it would be there twice');
    session.vanish();
    await emptied();
    assert.equal((await node.health())['quarantine'], 1);
    assert.equal(await node.metric('stopgap_outbox_quarantined_events'), 1);
    assert.equal(await node.metric('stopgap_outbox_lost_events_total'), 0);
    await awaited('everything else goes on', async () => (await node.health())['status'] === 'ok');

    let id = '';
    await t.test('beside the running server it is shown, and found by the doctor', async () => {
      const { stdout } = await cli('outbox', 'show');
      const [head, line, ...others] = stdout.trimEnd().split('\n');
      assert.match(head!, /^REFUSED +ID +TYPE +STREAM +REASON$/);
      const expected =
        /^\S+Z +(\S+) +MessageAccepted +send-large-1@example.com +append .*more than the server takes/;
      assert.deepEqual(others, []);
      id = expected.exec(line!)![1]!;
      const entry = JSON.parse((await cli('outbox', 'show', '--json')).stdout) as { event: { id: string } };
      assert.equal(entry.event.id, id);
      const doctor = await cli('doctor').catch((error: { stdout: string; stderr: string }) => error);
      assert.match(doctor.stdout, /^warning +outbox +in quarantine, since the store refuses them: 1;/m);
    });

    await t.test('tried again while the store takes as little as before, it is back', async () => {
      assert.match(
        (await cli('outbox', 'retry')).stderr,
        /^1 event is to be delivered by the running server/,
      );
      await emptied();
      assert.match((await cli('outbox', 'show')).stdout, new RegExp(id));
      await assert.rejects(
        cli('outbox', 'retry', '0198f3a1-7c2e-7000-8000-000000000000'),
        /no event 0198f3a1-\S+ is in quarantine/,
      );
    });

    await t.test('of a server that does not run it is told to be tried at the next start', async () => {
      await cluster.store.tell({ do: 'faults', maxAppend: 1024 * 1024 });
      await node.served.terminate();
      assert.match((await cli('outbox', 'show')).stdout, new RegExp(id));
      assert.match(
        (await cli('outbox', 'retry', id)).stderr,
        /^1 event is to be delivered when the server starts/,
      );
      assert.match((await cli('outbox', 'show')).stderr, /^nothing is in quarantine/);
      await node.start();
      await emptied();
      assert.equal((await sent(from)).length, 1);
      assert.equal((await node.health())['quarantine'], 0);
    });
  },
);

test(
  'if the store takes little, the recipients of a message are cut short before the upstream has it',
  { skip },
  async () => {
    const from = account('split');
    await cluster.store.tell({ do: 'faults', maxAppend: 4096 });
    const session = await node.session(from);
    const recipients = Array.from({ length: RECIPIENTS }, longRecipient);
    assert.match(await session.send(from, recipients.slice()), /^250 /, 'it is not known yet');
    await emptied();
    let left = recipients;
    let transactions = 0;
    while (left.length > 0) {
      transactions++;
      assert.match(await session.say(`MAIL FROM:<${from}>`), /^250 /);
      const replies: string[] = [];
      for (const to of left) replies.push(await session.say(`RCPT TO:<${to}>`));
      const taken = left.filter((_, index) => replies[index]!.startsWith('250'));
      assert.ok(taken.length > 0);
      left = left.filter((to) => !taken.includes(to));
      for (const reply of replies) assert.match(reply, /^250 |^452 4\.5\.3 /);
      assert.match(await session.say('DATA'), /^354 /);
      assert.match(await session.say('Subject: x\r\n\r\nx\r\n.'), /^250 /);
    }
    session.vanish();
    assert.ok(transactions > 1);
    const events = await sent(from);
    assert.equal(events.length, transactions);
    assert.equal(
      events.reduce((sum, { recipients: count }) => sum + count, 0),
      RECIPIENTS,
    );
    assert.equal(await node.metric('stopgap_outbox_quarantined_events'), 1, 'the first, and none since');
  },
);
