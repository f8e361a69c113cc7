import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockImposed } from '../../../src/blocks/events.js';
import { HOUR } from '../../../src/kernel/time.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';
import type { Seen } from '../../support/tracing/collector.js';
import { Collector, describe } from '../../support/tracing/collector.js';

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 3, then: block, for: 1h }
`;

/** Spans begin on whole milliseconds, and last as long as they last. */
const TICK = 1_000_000n;

const names = (spans: readonly Seen[]): string[] => spans.map(({ name }) => name);
const only = (spans: readonly Seen[], name: string): Seen => {
  const found = spans.filter((span) => span.name === name);
  assert.equal(found.length, 1, `one ${name}:\n${describe(spans)}`);
  return found[0]!;
};

test('one trace goes from an SMTP command through event, verdict, command and block to the first refusal, and on to its end', async (t) => {
  const collector = await Collector.start(t);
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, {
    clock,
    rules: RULES,
    settings: { tracing: { endpoint: collector.endpoint, sample: 1, headers: 'x-key=of-a-test' } },
  });
  const session = await stopgap.loggedIn(ALICE, { ehlo: 'laptop-of-alice.test' });
  const to = (count: number): string[] => Array.from({ length: count }, (_, n) => `r${n}@elsewhere.test`);
  assert.match(await session.send(ALICE, to(1)), /^250 /);
  assert.match(await session.send(ALICE, to(3)), /^250 /, 'trips the rule, and is the last');
  for (let n = 0; n < 3; n++) {
    assert.match(await session.send(ALICE, to(1)), /^451 /);
    await session.say('RSET');
  }
  await session.quit();
  assert.match(await (await stopgap.hello()).login(ALICE, PASSWORDS[ALICE]!), /^535 /);
  clock.advance(HOUR);
  await eventually('the block has expired', async () => (await stopgap.all('BlockExpired')).length === 1);
  const [imposed] = await stopgap.all<BlockImposed>('BlockImposed');
  const events = await stopgap.settled();
  await stopgap.app.stop();

  const { block } = imposed!.data;
  const refusal = only(collector.spans, 'refusal');
  const chain = collector.spans.filter(({ trace }) => trace === refusal.trace);

  await t.test('the chain of causes, from the transaction that tripped the rule', () => {
    const causes = names(collector.ancestry(refusal));
    assert.deepEqual(causes, ['smtp transaction', 'DATA', 'verdict', 'refusal'], describe(chain));
    const verdict = only(chain, 'verdict');
    assert.equal(verdict.attributes['stopgap.rule'], 'burst');
    assert.equal(verdict.attributes['stopgap.outcome'], 'BlockImposed');
    assert.equal(verdict.attributes['stopgap.observed'], 4);
    const inForce = only(chain, 'in force');
    assert.deepEqual(names(collector.ancestry(inForce)), [
      'smtp transaction',
      'DATA',
      'verdict',
      'command act',
      'in force',
    ]);
    const marks = [only(chain, 'command act'), inForce, refusal].map(
      (span) => span.attributes['stopgap.block'],
    );
    assert.deepEqual(marks, [block, block, block]);
  });

  await t.test('the waits of the transaction are below its commands', () => {
    const [root] = collector.ancestry(refusal);
    const below = (parent: Seen): string[] => names(chain.filter((span) => span.parent === parent.id)).sort();
    assert.deepEqual(below(root!), ['DATA', 'RCPT TO', 'RCPT TO', 'RCPT TO']);
    assert.deepEqual(root!.events, ['MAIL FROM']);
    assert.equal(root!.attributes['stopgap.recipients'], 3);
    assert.deepEqual(below(only(chain, 'DATA')), [
      'fold MessageAccepted',
      'relay DATA',
      'store append',
      'verdict',
    ]);
    for (const span of chain) assert.ok(span.begun <= span.ended, `${span.name} ends after it began`);
    const data = only(chain, 'DATA');
    for (const span of chain.filter(({ name }) => name === 'relay DATA'))
      assert.ok(data.begun <= span.begun && span.ended <= data.ended + TICK);
    const first = collector.spans.find(({ name }) => name === 'AUTH')!;
    const [before] = collector.ancestry(first);
    assert.equal(before!.name, 'smtp transaction', 'the login belongs to the first transaction after it');
    assert.ok(before!.begun <= first.begun && first.ended <= before!.ended);
    assert.notEqual(before!.trace, refusal.trace);
  });

  await t.test('only the first refusal, tied to the transaction that was refused', () => {
    assert.equal(refusal.attributes['stopgap.stage'], 'rcpt');
    assert.equal(refusal.attributes['stopgap.reply'], 451);
    const refused = collector.spans.filter(
      (span) => span.attributes['stopgap.reply'] === 451 && span !== refusal,
    );
    assert.equal(refused.length, 3, 'each refused command is seen');
    assert.deepEqual(refusal.links, [refused[0]!.id]);
    assert.deepEqual(refused[0]!.links, [refusal.id]);
    assert.notEqual(refused[0]!.trace, refusal.trace);
  });

  await t.test('its end, an hour later, belongs to the same trace', () => {
    const expiry = only(collector.spans, 'command expire');
    assert.equal(expiry.trace, refusal.trace);
    assert.equal(expiry.attributes['stopgap.outcome'], 'BlockExpired');
    only(chain, 'fold BlockExpired');
  });

  await t.test('the events say which trace they belong to', () => {
    const traces = (type: string): (string | undefined)[] =>
      events.filter((event) => event.type === type).map(({ trace }) => trace?.slice(3, 35));
    assert.equal(traces('MessageAccepted')[1], refusal.trace);
    for (const type of ['BlockImposed', 'BlockExpired', 'MessageRefused'])
      assert.equal(traces(type)[0], refusal.trace, type);
    for (const { trace } of events) if (trace !== undefined) assert.match(trace, /^00-\w{32}-\w{16}-01$/);
  });

  await t.test('the line of the decision names it', () => {
    const line = stopgap.logs.find((one) => one.includes('a rule tripped'));
    assert.equal((JSON.parse(line!) as { trace_id: string }).trace_id, refusal.trace);
  });

  await t.test('nobody is named, and nothing secret told', () => {
    const told = collector.bodies.join('\n');
    const secrets = [ALICE, BOB, 'elsewhere.test', 'example.com', 'laptop-of-alice', '127.0.0.1', '@'];
    for (const secret of [...secrets, ...Object.values(PASSWORDS), 'of-a-test'])
      assert.ok(!told.includes(secret), `${secret} was told`);
    assert.ok(collector.headers.every((headers) => headers['x-key'] === 'of-a-test'));
    assert.ok(!stopgap.logs.some((line) => line.includes('of-a-test')));
  });

  await t.test('the process says what it is', () => {
    const { resource } = refusal;
    assert.equal(resource['service.name'], 'stopgap');
    assert.deepEqual(resource['stopgap.roles'], ['smtp', 'policy', 'detector', 'api', 'worker']);
    assert.match(String(resource['service.version']), /^\d+\.\d+/);
  });
});

test('if no transaction is traced, what is decided is, from the verdict on', async (t) => {
  const collector = await Collector.start(t);
  const settings = { tracing: { endpoint: collector.endpoint, sample: 0 } };
  const stopgap = await Stopgap.start(t, { rules: RULES, settings });
  const session = await stopgap.loggedIn();
  const to = ['a@elsewhere.test', 'b@elsewhere.test', 'c@elsewhere.test', 'd@elsewhere.test'];
  assert.match(await session.send(ALICE, to), /^250 /);
  assert.match(await session.send(ALICE, to), /^451 /);
  await session.quit();
  const [accepted] = await stopgap.all('MessageAccepted');
  await stopgap.app.stop();
  assert.ok(!('trace' in accepted!));
  const refusal = only(collector.spans, 'refusal');
  const verdict = only(collector.spans, 'verdict');
  assert.deepEqual(names(collector.ancestry(refusal)), ['verdict', 'refusal']);
  assert.equal(verdict.parent, undefined);
  assert.equal(verdict.attributes['stopgap.correlation'], `event:${accepted!.position}`);
  assert.deepEqual(collector.named('smtp transaction'), []);
});
