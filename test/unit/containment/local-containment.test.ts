import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import type { BlockFact } from '../../../src/blocks/events.js';
import { LocalContainment } from '../../../src/detector/containment.js';
import type { NewEvent } from '../../../src/kernel/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { senderIdentity } from '../../../src/sending/subjects.js';
import { ManualClock } from '../../support/manual-clock.js';
import { account, overrideSet } from '../../support/overrides.js';
import { blockEvent, failed, rulesChanged, sent } from '../../support/sends.js';

const RULES = `  - { id: burst, per: account, count: recipients, window: 10m, limit: 10, then: block, for: 1h }
  - { id: much, per: domain, count: recipients, window: 10m, limit: 5, then: propose, for: 1h }
  - { id: guessing, per: ip, count: authFailures, window: 10m, limit: 3, then: block, for: 1h }`;
const ALICE = 'alice@example.com';
const NETWORK = '203.0.113.9';

let clock: ManualClock;
let models: ReadModels;
let containment: LocalContainment;
let away: boolean;
let position: number;

beforeEach(() => {
  clock = new ManualClock();
  away = true;
  position = 0;
  models = new ReadModels({
    onVerdict: () => undefined,
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: ({ type }, reason) => assert.fail(`${type}: ${reason}`),
    onFolded: (event) => containment.follow(event),
  });
  containment = new LocalContainment({
    models,
    clock,
    log: pino({ level: 'silent' }),
    away: () => away,
    baselines: () => undefined,
  });
  use(RULES);
});

function use(rules: string): void {
  models.apply(rulesChanged(rules, clock.now(), ++position, position));
}

/** As this node has taken it itself. */
function send(recipients: number, account = ALICE): void {
  containment.saw(`send-${account}`, [sent(clock.now(), 0, { recipients, account })]);
}

function record(fact: BlockFact): void {
  models.apply(blockEvent(fact, clock.now(), ++position));
}

const refused = (account = ALICE): boolean =>
  models.activeBlocks.find(senderIdentity({ account, direction: 'outbound' }), clock.now()) !== undefined;

const ofAlice = senderIdentity({ account: ALICE, direction: 'outbound' });

const imposed = (until: number): BlockFact => ({
  type: 'BlockImposed',
  data: {
    block: 'b1',
    subject: { type: 'account', value: ALICE },
    direction: 'outbound',
    until,
    description: '',
    refusal: 'soft',
    origin: 'rule',
    renewWhileTrying: false,
  },
});

describe('what a node does for itself', () => {
  test('while the store is there: it counts, and leaves acting to the detectors', () => {
    away = false;
    send(11);
    assert.equal(refused(), false);
    assert.equal(containment.held, 0);
  });

  test('while it is away: who trips a blocking rule is refused at once', () => {
    send(10);
    assert.equal(refused(), false);
    send(1);
    assert.equal(refused(), true);
    assert.equal(refused('bob@example.com'), false);
  });

  test('under the id of the block that refuses the sender already, since that one is extended later', () => {
    record(imposed(clock.now() + MINUTE));
    send(11);
    const { id, until } = models.activeBlocks.find(ofAlice, clock.now())!;
    assert.deepEqual([id, until], ['b1', clock.now() + HOUR]);
    clock.advance(2 * MINUTE);
    assert.equal(models.activeBlocks.find(ofAlice, clock.now())!.id, 'b1');
  });

  test('under the limits that the sender has instead of the rules, also after a start from a snapshot', () => {
    models.apply(overrideSet(account(ALICE), { limits: { burst: 20 } }, clock.now(), ++position));
    send(11);
    assert.equal(refused(), false);
    const snapshot = models.dump();
    models.restore(snapshot);
    containment.adopt();
    send(20);
    assert.equal(refused(), false);
    send(1);
    assert.equal(refused(), true);
  });

  test('what it had counted before the store went counts', () => {
    away = false;
    send(9);
    away = true;
    send(2);
    assert.equal(refused(), true);
  });

  test('what happened longer ago than the window does not', () => {
    send(9);
    clock.advance(11 * MINUTE);
    send(9);
    assert.equal(refused(), false);
  });

  test('an hour of sends that waits is an hour of sends', () => {
    for (let n = 0; n < 12; n++) {
      send(5);
      clock.advance(5 * MINUTE);
    }
    assert.equal(refused(), false);
  });

  test('not only volume: wrong passwords that it sees itself', () => {
    for (let n = 0; n < 4; n++) {
      containment.saw(`auth-${NETWORK}`, [failed(clock.now(), 0, { network: NETWORK })]);
    }
    const sender = senderIdentity({ ip: NETWORK, direction: 'outbound' });
    assert.ok(models.activeBlocks.find(sender, clock.now()) !== undefined);
  });

  test('no longer than the rule says', () => {
    send(11);
    clock.advance(HOUR);
    assert.equal(refused(), false);
  });

  test('nothing to an exempt sender, by the last rules it knew', () => {
    use(
      `version: 1\nrules:\n${RULES}\nexempt: [{ subject: { type: account, value: alice@example.com }, reason: a newsletter }]`,
    );
    send(50);
    assert.equal(refused(), false);
  });

  test('nothing if the rules only observe', () => {
    use(`version: 1\nrules:\n${RULES}\nmode: observe`);
    send(50);
    assert.equal(refused(), false);
  });

  test('never more at once than the circuit breaker allows', () => {
    for (let n = 0; n < 30; n++) send(11, `user-${n}@d${n}.example`);
    assert.equal(containment.held, models.sendVolume.rules.maxAutomaticBlocks.max);
    assert.equal(refused('user-29@d29.example'), false);
  });

  test('one that goes on to five times its limit all the same, if the circuit breaker allows no more', () => {
    for (let n = 0; n < 20; n++) send(11, `user-${n}@d${n}.example`);
    send(11);
    for (let n = 0; n < 38; n++) send(1);
    assert.equal(refused(), false);
    send(1);
    assert.equal(refused(), true);
    assert.equal(containment.held, 21);
  });

  test('even of those no more than five times as many as the circuit breaker allows', () => {
    for (let n = 0; n < 120; n++) send(50, `user-${n}@d${n}.example`);
    assert.equal(containment.held, 100);
    assert.equal(refused('user-119@d119.example'), false);
  });

  test('networks that guess leave the room for accounts', () => {
    for (let n = 0; n < 30; n++)
      containment.saw('auth-x', [failed(clock.now(), 0, { network: `198.51.100.${n}`, count: 4 })]);
    send(11);
    assert.equal(refused(), true);
  });

  test('an event that cannot be counted does no harm', () => {
    containment.saw('send-x', [{ ...(sent(clock.now(), 0) as NewEvent), data: null }]);
    send(11);
    assert.equal(refused(), true);
  });
});

describe('when the store is back', () => {
  test('it lets go', () => {
    send(11);
    containment.letGo();
    assert.deepEqual([refused(), containment.held], [false, 0]);
  });

  test('a block that a detector has imposed meanwhile stays', () => {
    send(11);
    record(imposed(clock.now() + HOUR));
    containment.letGo();
    assert.equal(refused(), true);
  });

  test('a release works here as everywhere, also before it lets go', () => {
    send(11);
    record(imposed(clock.now() + HOUR));
    record({ type: 'BlockReleased', data: { block: 'b1', falsePositive: false } });
    assert.equal(refused(), false);
  });

  test('an exemption too', () => {
    send(11);
    const subject = { type: 'account', value: ALICE } as const;
    record({ type: 'ExemptionGranted', data: { exemption: 'e1', subject, until: null, reason: 'known' } });
    assert.equal(refused(), false);
  });
});
