import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ActiveBlocks } from '../../../projections/blocks/active-blocks.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { HeldMail } from '../../../projections/blocks/held-mail.js';
import { RulePrecision } from '../../../projections/blocks/rule-precision.js';
import type { BlockFact, Until } from '../../../src/blocks/events.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { Instant } from '../../../src/kernel/time.js';
import type { Gauged } from '../../../src/metrics/gauges.js';
import { updateGauges } from '../../../src/metrics/gauges.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { evidence, recorded } from '../../support/given.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';
import { Figures } from '../../support/metrics.js';
import { event } from '../../support/sends.js';

const subject = (name: string) => ({ type: 'account' as const, value: `${name}@example.com` });
const shared = { direction: 'outbound', description: '', refusal: 'soft', renewWhileTrying: false } as const;

function proposed(name: string, at: Instant, lapsesAt = at + 100 * HOUR): BlockFact {
  const terms = { ...shared, subject: subject(name), block: name, duration: HOUR, rule: 'burst' };
  return { type: 'BlockProposed', at, data: { ...terms, lapsesAt, evidence: evidence() } };
}

function imposed(name: string, until: Until, origin: 'rule' | 'admin' = 'rule'): BlockFact {
  return { type: 'BlockImposed', data: { ...shared, subject: subject(name), block: name, until, origin } };
}

interface Given {
  /** Blocks for which a message is on hold. */
  readonly held?: readonly string[];
  readonly facts?: readonly BlockFact[];
  readonly store?: object;
  readonly more?: Partial<Gauged>;
}

/** Everything well, unless given otherwise: 3 of 5 events folded, one of which was written 7 seconds ago. */
function gauged(clock: ManualClock, { facts = [], held = [], store = {}, more = {} }: Given = {}): Gauged {
  const activeBlocks = new ActiveBlocks();
  const ledger = new BlockLedger();
  for (const fact of recorded(facts)) {
    activeBlocks.apply(fact);
    ledger.apply(fact);
  }
  const heldMail = new HeldMail();
  for (const block of held) {
    const data = { block, transaction: 'q1', recipients: 1, size: 1 };
    heldMail.held(event('MessageHeld', data, NOON, facts.length + 1), ledger);
  }
  const rules = { version: 4, rules: [{}, {}], mode: 'observe' };
  const well = {
    healthy: true,
    head: () => Promise.resolve(5),
    async *readAll({ after }: { after: number }) {
      yield event('X', {}, NOON, after + 1, { recordedAt: NOON - 7 * SECOND });
    },
  };
  return {
    clock,
    models: {
      activeBlocks,
      ledger,
      heldMail,
      ready: true,
      feedPosition: 3,
      sendVolume: { rules },
      rulePrecision: new RulePrecision(),
      shadow: {},
    },
    store: { ...well, ...store },
    breaker: { open: true, blocks: 6, max: 5 },
    smtp: undefined,
    outbox: undefined,
    timedWork: undefined,
    logs: { lost: () => ({ stderr: 2, file: 0 }) },
    ...more,
  } as unknown as Gauged;
}

async function figuresOf(given: Given = {}, metrics = new Metrics()): Promise<Figures> {
  const clock = new ManualClock();
  await updateGauges(metrics, gauged(clock, given));
  return new Figures(await metrics.registry.metrics());
}

describe('gauges', () => {
  test('tell blocks by type and origin, and the rules and the circuit breaker in their present state', async () => {
    const facts = [imposed('a', null), imposed('b', NOON + 1), imposed('c', null, 'admin')];
    const figures = await figuresOf({ facts });
    assert.equal(figures.of('stopgap_active_blocks', { type: 'account', origin: 'rule' }), 2);
    assert.equal(figures.of('stopgap_active_blocks', { type: 'account', origin: 'admin' }), 1);
    assert.equal(figures.of('stopgap_rules_version'), 4);
    assert.equal(figures.of('stopgap_rules_in_force'), 2);
    assert.equal(figures.of('stopgap_rules_observing'), 1);
    assert.equal(figures.of('stopgap_circuit_breaker_open'), 1);
    assert.equal(figures.of('stopgap_circuit_breaker_blocks'), 6);
    assert.equal(figures.of('stopgap_circuit_breaker_limit'), 5);
  });

  test('tell how long proposals wait; what has lapsed waits no more', async () => {
    const minutes = [0, 14, 15, 59, 60, 300, 2000];
    const facts = minutes.map((waited) => proposed(`p${waited}`, NOON - waited * MINUTE));
    const figures = await figuresOf({ facts: [...facts, proposed('lapsed', NOON - 90 * HOUR, NOON)] });
    assert.equal(figures.of('stopgap_pending_proposals'), 7);
    assert.equal(figures.of('stopgap_oldest_proposal_age_seconds'), 2000 * 60);
    assert.deepEqual(figures.nonzero('stopgap_pending_proposals_by_age'), {
      under_15m: 2,
      '15m_to_1h': 2,
      '1h_to_4h': 1,
      '4h_to_1d': 1,
      over_1d: 1,
    });
    const none = await figuresOf();
    assert.equal(none.of('stopgap_oldest_proposal_age_seconds'), 0);
    assert.equal(none.of('stopgap_pending_proposals_by_age', { age: 'over_1d' }), 0);
  });

  test('tell how many blocks have ended with mail on hold', async () => {
    const ended: BlockFact = { type: 'BlockReleased', data: { block: 'a', falsePositive: false } };
    const facts = [imposed('a', null), imposed('b', null), ended];
    const figures = await figuresOf({ facts, held: ['a', 'b'] });
    assert.equal(figures.of('stopgap_held_undecided_blocks'), 1);
  });

  test('tell how overdue the most overdue expiry is, of blocks and of proposals', async () => {
    const overdue = async (...facts: readonly BlockFact[]): Promise<number> =>
      (await figuresOf({ facts })).of('stopgap_expiry_overdue_seconds');
    assert.equal(await overdue(imposed('a', NOON + HOUR), imposed('b', null)), 0);
    assert.equal(await overdue(imposed('a', NOON - HOUR), imposed('b', NOON - MINUTE)), 3600);
    assert.equal(await overdue(proposed('p', NOON - HOUR, NOON - 30 * SECOND)), 30);
  });

  test('tell how far behind the store the read models are, in events and in time', async () => {
    const behind = await figuresOf();
    assert.equal(behind.of('stopgap_projection_lag_events'), 2);
    assert.equal(behind.of('stopgap_projection_lag_seconds'), 7);
    const level = await figuresOf({ store: { head: () => Promise.resolve(3) } });
    assert.equal(level.of('stopgap_projection_lag_events'), 0);
    assert.equal(level.of('stopgap_projection_lag_seconds'), 0);
  });

  test('tell whether a node knows what senders usually do, if it has to catch up with that by itself', async () => {
    const ready = async (baselines: Gauged['baselines']): Promise<number> =>
      (await figuresOf({ more: { baselines } })).of('stopgap_baselines_ready');
    assert.ok(Number.isNaN(await ready(undefined)));
    assert.deepEqual([await ready({ ready: false }), await ready({ ready: true })], [0, 1]);
  });

  test('say nothing of a lag while the store is away, rather than the last figure', async () => {
    const metrics = new Metrics();
    await figuresOf({}, metrics);
    for (const store of [
      { healthy: false },
      { head: () => Promise.reject(new StoreUnavailable('it is away')) },
    ]) {
      const figures = await figuresOf({ store }, metrics);
      assert.ok(Number.isNaN(figures.of('stopgap_projection_lag_events')));
      assert.ok(Number.isNaN(figures.of('stopgap_projection_lag_seconds')));
      assert.equal(figures.of('stopgap_store_up'), Number(!('healthy' in store)));
    }
    assert.equal((await figuresOf({}, metrics)).of('stopgap_projection_lag_events'), 2);
  });

  test('do not wait for what does not answer', async () => {
    const clock = new ManualClock();
    const metrics = new Metrics();
    const never = { head: () => new Promise<number>(() => undefined) };
    const updated = updateGauges(metrics, gauged(clock, { store: never }));
    clock.advance(2 * SECOND);
    await updated;
    assert.ok(
      Number.isNaN(new Figures(await metrics.registry.metrics()).of('stopgap_projection_lag_events')),
    );
    assert.equal(clock.waiting, 0, 'no alarm is left behind');
  });

  test('let a fault of ours be seen', async () => {
    await assert.rejects(
      figuresOf({ store: { head: () => Promise.reject(new TypeError('ours')) } }),
      TypeError,
    );
  });

  test('tell of the SMTP side, and nothing of an upstream that was not asked yet', async () => {
    const smtp = (state: 'ok' | 'failing' | 'unknown') => ({
      relay: { sessions: { open: 5, busy: 2, unanswered: 0 } },
      upstream: { state },
      checks: { pending: 9 },
    });
    const well = await figuresOf({ more: { smtp: smtp('ok') } });
    assert.equal(well.of('stopgap_relay_up'), 1);
    assert.equal(well.of('stopgap_relay_sessions', { state: 'busy' }), 2);
    assert.equal(well.of('stopgap_password_checks'), 9);
    assert.equal((await figuresOf({ more: { smtp: smtp('failing') } })).of('stopgap_relay_up'), 0);
    assert.ok(Number.isNaN((await figuresOf({ more: { smtp: smtp('unknown') } })).of('stopgap_relay_up')));
  });

  test('tell how full the outbox is and how old what waits in it; its store is away', async () => {
    const outbox = {
      waiting: 3,
      limit: 100,
      quarantined: 2,
      away: true,
      oldestAt: () => Promise.resolve(NOON - 90 * SECOND),
    };
    const figures = await figuresOf({ more: { outbox } });
    assert.equal(figures.of('stopgap_outbox_events'), 3);
    assert.equal(figures.of('stopgap_outbox_limit_events'), 100);
    assert.equal(figures.of('stopgap_outbox_quarantined_events'), 2);
    assert.equal(figures.of('stopgap_outbox_oldest_age_seconds'), 90);
    assert.equal(figures.of('stopgap_store_up'), 0);
    assert.equal((await figuresOf()).of('stopgap_outbox_oldest_age_seconds'), 0);
  });

  test('tell of timed work in the process, and in Redis if it is there', async () => {
    const inProcess = await figuresOf({ more: { timedWork: { size: 12 } } });
    assert.equal(inProcess.of('stopgap_expiry_jobs', { state: 'delayed' }), 12);
    assert.ok(Number.isNaN(inProcess.of('stopgap_redis_up')));

    const status = { fit: true, unsent: 1, reconciledAt: NOON };
    const counts = () => Promise.resolve({ waiting: 1, delayed: 2, active: 3, failed: 4 });
    const metrics = new Metrics();
    const there = await figuresOf({ more: { timedWork: { size: 0, status, counts } } }, metrics);
    assert.deepEqual(there.nonzero('stopgap_expiry_jobs'), { waiting: 1, delayed: 2, active: 3, failed: 4 });
    assert.equal(there.of('stopgap_redis_up'), 1);
    assert.equal(there.of('stopgap_expiry_unsent_jobs'), 1);
    assert.equal(there.of('stopgap_expiry_reconciled_timestamp_seconds'), NOON / SECOND);

    const away = {
      size: 0,
      status: { ...status, fit: false },
      counts: () => Promise.reject(new StoreUnavailable('away')),
    };
    const gone = await figuresOf({ more: { timedWork: away } }, metrics);
    assert.equal(gone.of('stopgap_redis_up'), 0);
    assert.deepEqual(gone.nonzero('stopgap_expiry_jobs'), {});
    assert.ok(Number.isNaN(gone.of('stopgap_expiry_jobs', { state: 'delayed' })));
  });
});
