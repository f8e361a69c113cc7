import type { ActiveBlocks } from '../../projections/blocks/active-blocks.js';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { StopgapError } from '../kernel/errors.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR, MINUTE, SECOND } from '../kernel/time.js';
import type { Logs } from '../log/logs.js';
import type { ReadModels } from '../detector/read-models.js';
import type { Relay, RelayState } from '../smtp/relay/port.js';
import type { EventStore } from '../store/port.js';
import type { Metrics } from './metrics.js';
import { within } from '../runtime/clock.js';

/** What the gauges are read off; a process has as much of it as its roles need. */
export interface Gauged {
  readonly clock: AlarmClock;
  readonly models: ReadModels;
  readonly store: EventStore;
  readonly breaker: { readonly open: boolean; readonly blocks: number; readonly max: number };
  readonly smtp:
    | {
        readonly relay: Pick<Relay, 'sessions'>;
        readonly upstream: { readonly state: RelayState };
        readonly checks: { readonly pending: number };
      }
    | undefined;
  readonly outbox:
    | {
        readonly waiting: number;
        readonly limit: number;
        readonly quarantined: number;
        readonly away: boolean;
        oldestAt(): Promise<Instant | undefined>;
      }
    | undefined;
  readonly timedWork: TimedWork | undefined;
  readonly logs: Pick<Logs, 'lost'>;
  /** Of a node that takes mail and folds no sends. */
  readonly baselines: { readonly ready: boolean } | undefined;
}

/** The readable state of timed work: with Redis there is more. */
interface TimedWork {
  readonly size: number;
  readonly status?: {
    readonly fit: boolean;
    readonly unsent: number;
    readonly reconciledAt: Instant | undefined;
  };
  counts?(): Promise<Readonly<Record<'waiting' | 'delayed' | 'active' | 'failed', number>>>;
}

/** What does not answer by then is left out: a scraper waits ten seconds, and wants the rest most of all just then. */
const PATIENCE: Milliseconds = 2 * SECOND;

/** How long proposals may have waited, ascending. */
const AGES: readonly (readonly [age: string, below: Milliseconds])[] = [
  ['under_15m', 15 * MINUTE],
  ['15m_to_1h', HOUR],
  ['1h_to_4h', 4 * HOUR],
  ['4h_to_1d', DAY],
  ['over_1d', Infinity],
];

/** Brings the gauges up to date that are read off other things, just before a scrape. Never rejects for what is away. */
export async function updateGauges(metrics: Metrics, gauged: Gauged): Promise<void> {
  const { clock, models } = gauged;
  const now = clock.now();
  updateBlocks(metrics, models.activeBlocks);
  updateProposals(metrics, models.ledger, now);
  metrics.blocks.undecided.set(models.heldMail.undecided(now).length);
  updateRules(metrics, gauged);
  metrics.judgements.update(models);
  updateSmtp(metrics, gauged);
  metrics.process.logLinesLost(gauged.logs.lost());
  metrics.containment.settleThrough(now);
  metrics.timedWork.overdue.set(overdue(models, now) / SECOND);
  metrics.store.ready.set(Number(models.ready));
  if (gauged.baselines !== undefined) metrics.store.baselinesReady.set(Number(gauged.baselines.ready));
  await Promise.all([
    updateStore(metrics, gauged, now),
    updateOutbox(metrics, gauged, now),
    updateTimedWork(metrics, gauged),
  ]);
}

function updateBlocks({ blocks }: Metrics, active: ActiveBlocks): void {
  blocks.active.reset();
  for (const { type, byRule, count } of active.counts())
    blocks.active.set({ type, origin: byRule ? 'rule' : 'admin' }, count);
}

function updateProposals({ blocks }: Metrics, ledger: BlockLedger, now: Instant): void {
  const waited: Milliseconds[] = [];
  for (const entry of ledger.pending())
    if (stateAt(entry, now) === 'proposed') waited.push(Math.max(0, now - entry.proposedAt!));
  blocks.pending.set(waited.length);
  blocks.oldestProposal.set(waited.reduce((a, b) => Math.max(a, b), 0) / SECOND);
  let from = 0;
  for (const [age, below] of AGES) {
    blocks.pendingByAge.set({ age }, waited.filter((span) => span >= from && span < below).length);
    from = below;
  }
}

function updateRules({ rules: metrics }: Metrics, { models, breaker }: Gauged): void {
  const { version, rules, mode } = models.sendVolume.rules;
  metrics.version.set(version);
  metrics.inForce.set(rules.length);
  metrics.observing.set(Number(mode === 'observe'));
  metrics.breakerOpen.set(Number(breaker.open));
  metrics.breakerBlocks.set(breaker.blocks);
  metrics.breakerLimit.set(breaker.max);
}

function updateSmtp({ smtpGauges: metrics }: Metrics, { smtp }: Gauged): void {
  if (smtp === undefined) return;
  const { relay, upstream, checks } = smtp;
  metrics.relaySessions.set({ state: 'open' }, relay.sessions.open);
  metrics.relaySessions.set({ state: 'busy' }, relay.sessions.busy);
  metrics.relaySessions.set({ state: 'unanswered' }, relay.sessions.unanswered);
  if (upstream.state !== 'unknown') metrics.relayUp.set(Number(upstream.state === 'ok'));
  metrics.passwordChecks.set(checks.pending);
}

/** How long ago the most overdue expiry or lapse fell due that nobody has recorded. */
function overdue({ activeBlocks, ledger }: ReadModels, now: Instant): Milliseconds {
  let most = 0;
  for (const { until } of activeBlocks.all()) if (until !== null) most = Math.max(most, now - until);
  for (const { lapsesAt } of ledger.pending())
    if (lapsesAt !== undefined) most = Math.max(most, now - lapsesAt);
  return most;
}

async function updateStore({ store: metrics }: Metrics, gauged: Gauged, now: Instant): Promise<void> {
  const { store, models, outbox, clock } = gauged;
  metrics.lag.set(models.lag / SECOND);
  if (store.clockSkew !== undefined) metrics.clockSkew.set(store.clockSkew / SECOND);
  const isUp = store.healthy && outbox?.away !== true;
  metrics.up.set(Number(isUp));
  const lag = isUp ? await inTime(clock, lagOf(models, store, now)) : undefined;
  if (lag === undefined) {
    // The lag is unknown: the last figure would be wrong.
    metrics.lagEvents.remove();
    metrics.lagSeconds.remove();
    return;
  }
  metrics.lagEvents.set(lag.events);
  metrics.lagSeconds.set(lag.span / SECOND);
}

async function lagOf(
  models: ReadModels,
  store: EventStore,
  now: Instant,
): Promise<{ events: number; span: Milliseconds }> {
  const { feedPosition } = models;
  const events = Math.max(0, (await store.head()) - feedPosition);
  if (events === 0) return { events, span: 0 };
  for await (const { recordedAt } of store.readAll({ after: feedPosition, limit: 1 }))
    return { events, span: Math.max(0, now - recordedAt) };
  return { events, span: 0 };
}

async function updateOutbox({ store: metrics }: Metrics, gauged: Gauged, now: Instant): Promise<void> {
  const { outbox, clock } = gauged;
  metrics.outboxWaiting.set(outbox?.waiting ?? 0);
  metrics.outboxQuarantined.set(outbox?.quarantined ?? 0);
  metrics.outboxLimit.set(outbox?.limit ?? 0);
  const oldestAt = outbox === undefined ? undefined : await inTime(clock, outbox.oldestAt());
  metrics.outboxOldest.set(oldestAt === undefined ? 0 : Math.max(0, now - oldestAt) / SECOND);
}

async function updateTimedWork({ timedWork: metrics }: Metrics, gauged: Gauged): Promise<void> {
  const { timedWork, clock } = gauged;
  if (timedWork === undefined) return;
  const { status, size } = timedWork;
  if (status !== undefined) {
    metrics.redisUp.set(Number(status.fit));
    metrics.unsent.set(status.unsent);
    if (status.reconciledAt !== undefined) metrics.reconciledAt.set(status.reconciledAt / SECOND);
  }
  const jobs =
    timedWork.counts === undefined
      ? { waiting: 0, delayed: size, active: 0, failed: 0 }
      : await inTime(clock, timedWork.counts());
  metrics.jobs.reset();
  for (const [state, count] of Object.entries(jobs ?? {})) metrics.jobs.set({ state }, count);
}

/** What a promise gives; undefined if it takes too long or what it asks is away, which other metrics tell. */
async function inTime<T>(clock: AlarmClock, promise: Promise<T>): Promise<T | undefined> {
  try {
    return await within(clock, PATIENCE, promise, () => undefined);
  } catch (error) {
    if (error instanceof StopgapError && error.code === 'unavailable') return undefined;
    throw error;
  }
}
