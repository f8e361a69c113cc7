import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { BlockProposed } from '../../../src/blocks/events.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Figures } from '../../support/metrics.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h }
  - { id: hint, per: account, count: messages, window: 1h, limit: 2, then: propose, for: 2h }
`;
const TO = 'one@elsewhere.test';
const account = (value: string): Subject => ({ type: 'account', value });

/** As a scraper reads them. */
async function scrape(stopgap: Stopgap): Promise<Figures> {
  return new Figures(await (await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/metrics`)).text());
}

async function refused(session: Dialogue, from: string, times: number): Promise<void> {
  for (let each = 0; each < times; each++) {
    await session.sayAll(['RSET', `MAIL FROM:<${from}>`]);
    assert.match(await session.say(`RCPT TO:<${TO}>`), /^451 /);
  }
}

test('after an attack the figures are what happened', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock, rules: RULES });
  const alice = await stopgap.loggedIn(ALICE);
  const bob = await stopgap.loggedIn(BOB);

  await t.test('a rule blocks: nothing gets through after the send that tripped it', async () => {
    // Three trip `hint`, which proposes; six recipients trip `burst`, which blocks and takes the proposal over.
    for (let each = 0; each < 6; each++) assert.match(await alice.send(ALICE, [TO]), /^250 /);
    assert.equal(stopgap.app.models.activeBlocks.size, 1);
    clock.advance(10 * SECOND);
    const figures = await scrape(stopgap);
    assert.deepEqual(figures.nonzero('stopgap_verdicts_total'), { 'hint propose': 1, 'burst block': 1 });
    assert.deepEqual(figures.nonzero('stopgap_block_transitions_total'), {
      'account rule proposed': 1,
      'account rule active': 1,
    });
    assert.deepEqual(figures.nonzero('stopgap_proposal_outcomes_total'), { 'hint overtaken': 1 });
    assert.deepEqual(figures.nonzero('stopgap_active_blocks'), { 'account rule': 1 });
    const byRule = { decided_by: 'rule' };
    assert.equal(figures.of('stopgap_containment_seconds_count', byRule), 1);
    assert.equal(figures.of('stopgap_containment_seconds_sum', byRule), 0, 'the clock stood still');
    assert.equal(figures.of('stopgap_containment_sends_count', byRule), 1);
    assert.equal(figures.of('stopgap_containment_sends_sum', byRule), 0);
    assert.equal(figures.of('stopgap_sends_total', { direction: 'outbound' }), 6);
  });

  await t.test('what is refused then is counted at the door, and as recorded', async () => {
    await refused(alice, ALICE, 3);
    const login = await stopgap.hello();
    assert.match(await login.login(ALICE, PASSWORDS[ALICE]!), /^535 /);
    // The first is an event of its own, the others become one.
    clock.advance(10 * SECOND);
    await stopgap.settled();
    const figures = await scrape(stopgap);
    assert.equal(figures.of('stopgap_refusals_total', { stage: 'rcpt', reason: 'soft' }), 3);
    assert.equal(figures.of('stopgap_refusals_total', { stage: 'auth', reason: 'soft' }), 1);
    assert.equal(figures.of('stopgap_auth_total', { outcome: 'feigned' }), 1);
    assert.deepEqual(figures.nonzero('stopgap_refused_attempts_total'), { 'rcpt burst': 3, 'auth burst': 1 });
    await login.quit();
  });

  await t.test('a person releases it as a false positive', async () => {
    const standing = await stopgap.app.blockCommands.standing(account(ALICE));
    const release = { kind: 'release', block: standing.block!.id, falsePositive: true } as const;
    await stopgap.app.blockCommands.execute(account(ALICE), release, { by: 'admin:test' });
    const figures = await scrape(stopgap);
    assert.deepEqual(figures.nonzero('stopgap_block_outcomes_total'), { 'burst false_positive': 1 });
  });

  await t.test('a person approves a proposal: what got through while it waited shows', async () => {
    for (let each = 0; each < 3; each++) await bob.send(BOB, [TO]);
    const proposals = await stopgap.all<BlockProposed>('BlockProposed');
    const { block } = proposals.find(({ data }) => data.subject.value === BOB)!.data;
    await bob.send(BOB, [TO, 'two@elsewhere.test']);
    clock.advance(4 * MINUTE);
    const waiting = await scrape(stopgap);
    assert.equal(waiting.of('stopgap_pending_proposals'), 1);
    assert.equal(waiting.of('stopgap_oldest_proposal_age_seconds'), 240);
    assert.equal(waiting.of('stopgap_pending_proposals_by_age', { age: 'under_15m' }), 1);
    await stopgap.app.blockCommands.execute(account(BOB), { kind: 'approve', block }, { by: 'admin:test' });
    clock.advance(10 * SECOND);
    const figures = await scrape(stopgap);
    const byAdmin = { decided_by: 'admin' };
    assert.equal(figures.of('stopgap_containment_seconds_sum', byAdmin), 240);
    assert.equal(figures.of('stopgap_containment_seconds_bucket', { ...byAdmin, le: '60' }), 0);
    assert.equal(figures.of('stopgap_containment_seconds_bucket', { ...byAdmin, le: '600' }), 1);
    assert.equal(figures.of('stopgap_containment_sends_sum', byAdmin), 1);
    assert.equal(figures.of('stopgap_containment_recipients_sum', byAdmin), 2);
    assert.equal(figures.of('stopgap_pending_proposals'), 0);
    assert.deepEqual(figures.nonzero('stopgap_proposal_outcomes_total'), {
      'hint overtaken': 1,
      'hint approved': 1,
    });
  });

  await t.test('the block runs out: the rule was right', async () => {
    clock.advance(2 * HOUR);
    await eventually('the expiry is counted', async () => {
      clock.advance(SECOND); // rings what was set late
      const figures = await scrape(stopgap);
      return figures.of('stopgap_block_outcomes_total', { rule: 'hint', outcome: 'expired' }) === 1;
    });
    const figures = await scrape(stopgap);
    assert.equal(figures.of('stopgap_expiry_lateness_seconds_count'), 1);
    assert.equal(figures.of('stopgap_expiry_overdue_seconds'), 0);
    assert.deepEqual(figures.nonzero('stopgap_active_blocks'), {});
  });
  await Promise.all([alice.quit(), bob.quit()]);
});

test('a message that was in the air when its sender was blocked got through, and is counted', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock, rules: RULES });
  const { upstream } = stopgap;
  const [early, late] = await Promise.all([stopgap.loggedIn(), stopgap.loggedIn()]);
  // The upstream has the whole of the first message, but says nothing yet.
  upstream.script = { '.': () => '' };
  const answer = early.send(ALICE, [TO, 'two@elsewhere.test']);
  await upstream.until(() => upstream.messages.length === 1);
  const [held] = upstream.messages;
  upstream.script = {};
  assert.match(
    await late.send(
      ALICE,
      Array.from({ length: 6 }, (_, index) => `r${index}@elsewhere.test`),
    ),
    /^250 /,
  );
  assert.equal(stopgap.app.models.activeBlocks.size, 1);
  held!.peer.say('250 2.0.0 taken');
  assert.match(await answer, /^250 /);
  await stopgap.settled();
  clock.advance(10 * SECOND);
  const figures = await scrape(stopgap);
  const byRule = { decided_by: 'rule' };
  assert.equal(figures.of('stopgap_containment_sends_sum', byRule), 1);
  assert.equal(figures.of('stopgap_containment_recipients_sum', byRule), 2);
  await Promise.all([early.quit(), late.quit()]);
});

test('each stage tells how often it was asked, how it answered and how long that took', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: { maxConnections: 3 } });
  const { upstream } = stopgap;
  const session = await stopgap.loggedIn();
  assert.match(await session.send(ALICE, [TO]), /^250 /);
  upstream.script.RCPT = () => '550 5.1.1 unknown';
  assert.match(await session.send(ALICE, [TO]), /^550 /);
  await session.say('RSET');
  upstream.script.RCPT = () => '450 4.2.0 later';
  assert.match(await session.send(ALICE, [TO]), /^450 /);
  await session.say('RSET');
  upstream.script = { '.': () => '554 5.6.0 not this' };
  assert.match(await session.send(ALICE, [TO]), /^554 /);
  assert.match(await session.say(`MAIL FROM:<${BOB}>`), /^553 /);
  const [second, third] = await Promise.all([stopgap.hello(), stopgap.hello()]);
  await assert.rejects(stopgap.hello(), /closed/, 'too many at once');
  (await Dialogue.connect(stopgap.port('inbound'))).vanish();
  const gone = { direction: 'inbound', stage: 'connect', outcome: 'gone' };
  await eventually(
    'a client that leaves before the greeting is counted',
    async () => (await scrape(stopgap)).of('stopgap_smtp_commands_total', gone) === 1,
  );
  const figures = await scrape(stopgap);
  assert.deepEqual(figures.nonzero('stopgap_smtp_commands_total'), {
    'outbound connect accepted': 3,
    'outbound connect deferred': 1,
    'inbound connect gone': 1,
    'outbound auth accepted': 1,
    'outbound mail accepted': 4,
    'outbound mail refused': 1,
    'outbound rcpt accepted': 2,
    'outbound rcpt refused': 1,
    'outbound rcpt deferred': 1,
    'outbound data accepted': 1,
    'outbound data refused': 1,
  });
  for (const [stage, count] of Object.entries({ connect: 3, auth: 1, mail: 5, rcpt: 4, data: 2 }))
    assert.equal(
      figures.of('stopgap_smtp_command_seconds_count', { direction: 'outbound', stage }),
      count,
      stage,
    );
  // The library lets nobody speak before 100 ms are over, and timers of Node.js may be a millisecond early.
  const connect = { direction: 'outbound', stage: 'connect' };
  assert.ok(figures.of('stopgap_smtp_command_seconds_sum', connect) >= 0.297);
  assert.equal(figures.of('stopgap_relay_transmit_seconds_count'), 2);
  assert.equal(figures.of('stopgap_refusals_total', { stage: 'data', reason: 'upstream' }), 1);
  assert.equal(figures.of('stopgap_smtp_sessions', { direction: 'outbound' }), 3);
  await Promise.all([session, second, third].map((one) => one.quit()));
});

test('a start goes on from a snapshot, and the metrics show its age and what runs', async (t) => {
  const stopgap = await Stopgap.start(t);
  const before = await scrape(stopgap);
  assert.ok(Number.isNaN(before.of('stopgap_snapshot_timestamp_seconds')), 'there is none yet');
  const session = await stopgap.loggedIn();
  await session.send(ALICE, [TO]);
  await session.quit();
  const began = Math.floor(Date.now() / SECOND);
  await stopgap.restart();
  const figures = await scrape(stopgap);
  const at = figures.of('stopgap_snapshot_timestamp_seconds');
  assert.ok(at >= began && at <= Date.now() / SECOND, String(at));
  assert.equal(figures.of('stopgap_snapshot_failures_total'), 0);
  assert.equal(figures.of('stopgap_read_models_ready'), 1);
  assert.equal(figures.of('stopgap_projection_lag_events'), 0);
  assert.equal(figures.of('stopgap_store_up'), 1);
  assert.ok(figures.of('stopgap_rules_in_force') > 0);
  assert.equal(figures.of('stopgap_role_info', { role: 'detector' }), 1);
  assert.deepEqual(Object.values(figures.nonzero('stopgap_build_info')), [1]);
});

test('a message that cannot be spooled meets a fault of ours', async (t) => {
  const stopgap = await Stopgap.start(t);
  await writeFile(path.join(stopgap.dir, 'data/spool'), 'in the way');
  const session = await stopgap.loggedIn();
  assert.match(
    await session.send(ALICE, [TO], `Subject: long\r\n\r\n${'x'.repeat(300 * 1024)}\r\n`),
    /^451 /,
  );
  const figures = await scrape(stopgap);
  const data = { direction: 'outbound', stage: 'data' };
  assert.equal(figures.of('stopgap_smtp_commands_total', { ...data, outcome: 'failed' }), 1);
  assert.equal(figures.of('stopgap_smtp_commands_total', { ...data, outcome: 'deferred' }), 0);
  assert.ok(stopgap.logs.some((line) => line.includes('a message could not be spooled')));
  await session.quit();
});
