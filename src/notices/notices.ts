import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { BLOCK_CATEGORY, isBlockEvent } from '../blocks/events.js';
import type { Channel } from '../config/schema.js';
import type { ReadModels } from '../detector/read-models.js';
import { messageOf } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import { categoryOf } from '../kernel/events.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { HOUR, MINUTE, SECOND } from '../kernel/time.js';
import type { NoticeMetrics } from '../metrics/notices.js';
import { Backoff, pauseAfter, pauseUnless } from '../runtime/clock.js';
import { envelope, idOf, newId } from '../runtime/ids.js';
import type { Appended, EventStore, ExpectedRevision, Subscription } from '../store/port.js';
import { LogReplaced, StoreUnavailable, WrongExpectedRevision } from '../store/port.js';
import type { Circumstances, OpenBreaker } from './channel-state.js';
import { ChannelState } from './channel-state.js';
import type { Delivery } from './deliveries.js';
import { isForRest, isUnderWay, MOST_READ } from './deliveries.js';
import type { ChannelFact, Item } from './events.js';
import {
  BY_NOTICES,
  decisionOf,
  isChannelEvent,
  itemOf,
  NOTICES_CATEGORY,
  noticesStream,
  shortSentence,
} from './events.js';
import type { Outcome, SenderOptions } from './send.js';
import { sendNotice } from './send.js';

export interface NoticesOptions extends SenderOptions {
  readonly channels: readonly Channel[];
  readonly store: EventStore;
  readonly models: Pick<ReadModels, 'ledger' | 'automaticBlocks' | 'sendVolume' | 'reached'>;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: NoticeMetrics;
  /** Whether no other process can hold this store. */
  readonly isAlone: boolean;
  readonly retention: Milliseconds;
}

/** After each failure; after the last one it is a dead letter. About three days in all. */
const PAUSES: readonly Milliseconds[] = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];
/** Of a channel, notices that wait for the rest of their addresses. */
const MOST_FOR_REST = 20;
/** Bytes that one append has at most, also where the store takes more: many owners may be told at the same moment. */
const MOST_BYTES = 1024 * 1024;
/** How long until a store that did not take an event is asked again. */
const STORE_PAUSES = { first: SECOND / 2, most: 30 * SECOND };

/** What a channel's stream says, without what happened to blocks since. */
export async function readChannel(
  store: Pick<EventStore, 'readStream'>,
  channel: Channel,
): Promise<ChannelState> {
  const events: RecordedEvent[] = [];
  let isDecided = false;
  for await (const event of store.readStream(noticesStream(channel.name), { direction: 'backwards' })) {
    const isDecision = isChannelEvent(event) && decisionOf(event) !== undefined;
    isDecided ||= isDecision;
    // What is decided is looked for further back too: without it the channel would begin anew, and lose what gathers.
    if (events.length < MOST_READ || isDecision) events.push(event);
    if (isDecided && events.length >= MOST_READ) break;
  }
  const state = new ChannelState(channel);
  for (const event of events.reverse()) applyTo(state, event);
  return state;
}

function applyTo(state: ChannelState, event: RecordedEvent): void {
  if (isChannelEvent(event)) state.apply(event);
  else state.skip(event.revision);
}

/** Circuit breakers that are open now. */
export function openBreakers(
  { automaticBlocks, sendVolume }: Pick<ReadModels, 'automaticBlocks' | 'sendVolume'>,
  now: Instant,
): readonly OpenBreaker[] {
  const { max, window } = sendVolume.rules.maxAutomaticBlocks;
  return [...automaticBlocks.breakers]
    .map((breaker) => ({ breaker, max, window, blocks: automaticBlocks.within(breaker, window, now) }))
    .filter(({ blocks }) => blocks >= max);
}

/**
 * Sends notices. What is to be sent follows from block events, and is recorded with the position up to which they are
 * decided upon, so a process that was killed goes on where it was. Several processes may run this: the revision of the
 * channel's stream lets one of them claim an attempt.
 */
export class Notices {
  readonly #options: NoticesOptions;
  #channels = new Map<string, { readonly channel: Channel; readonly state: ChannelState }>();
  #subscription: Subscription | undefined;
  /** Counts subscriptions: what one hands over that was replaced is not looked at. */
  #turn = 0;
  #live = false;
  /** Notices that this process sends now. */
  readonly #sending = new Map<string, Promise<void>>();
  #ticking: Promise<void> | undefined;
  #again = false;
  /** Takes back the alarm of the next round. */
  #cancel = (): void => undefined;
  /** Takes back that the events are followed anew. */
  #cancelAnew = (): void => undefined;
  #closing = new AbortController();

  constructor(options: NoticesOptions) {
    this.#options = options;
  }

  /** Begins, or begins anew with another log. @throws StoreUnavailable */
  async start(): Promise<void> {
    await this.close();
    this.#closing = new AbortController();
    // Each attempt that is under way listens to it.
    setMaxListeners(0, this.#closing.signal);
    const { channels, store, clock, isAlone, retention } = this.#options;
    await store.setRetention(NOTICES_CATEGORY, retention);
    this.#channels = new Map();
    for (const channel of channels) {
      let state = await readChannel(store, channel);
      if (state.through === undefined) {
        const through = await store.head();
        await this.#append(
          channel.name,
          [{ type: 'ChannelFollowed', data: { through } }],
          state.revision,
        ).catch((error: unknown) => {
          // Another process has begun it.
          if (!(error instanceof WrongExpectedRevision)) throw error;
        });
        state = await readChannel(store, channel);
      }
      if (isAlone) state.orphan(clock.now());
      this.#channels.set(channel.name, { channel, state });
    }
    this.#subscribe();
  }

  /** What is known of a channel, once that is everything. */
  stateOf(channel: string): ChannelState | undefined {
    return this.#live ? this.#channels.get(channel)?.state : undefined;
  }

  /** Ends. What was being sent is sent again at the next start, with the same id. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#cancel();
    this.#cancelAnew();
    this.#live = false;
    this.#turn += 1;
    await this.#subscription?.stop();
    await this.#ticking;
    await Promise.all(this.#sending.values());
  }

  /** Follows from where all that was seen before is decided upon, or gathers still. */
  #subscribe(): void {
    const { store, log } = this.#options;
    const turn = ++this.#turn;
    this.#cancelAnew();
    // Not waited for: it may be its own handler that asks for this.
    void this.#subscription?.stop();
    this.#live = false;
    const after = Math.min(...[...this.#channels.values()].map(({ state }) => state.handedOver ?? 0));
    const categories = [BLOCK_CATEGORY, NOTICES_CATEGORY];
    const subscription = store.subscribe({ after, categories }, (event) => this.#take(event, turn));
    this.#subscription = subscription;
    subscription.caughtUp.then(
      () => {
        if (turn !== this.#turn) return;
        this.#live = true;
        this.#tick();
      },
      () => undefined,
    );
    subscription.ended.catch((error: unknown) => {
      // Another log is followed soon; see LogFollower.
      if (turn !== this.#turn || error instanceof LogReplaced || this.#closing.signal.aborted) return;
      log.error({ error: messageOf(error) }, 'the events for notices broke off; they are followed anew');
      // Without its events a round would decide by what is old.
      this.#live = false;
      this.#cancel();
      this.#cancelAnew = this.#options.clock.after(30 * SECOND, () => this.#subscribe());
    });
  }

  async #take(event: RecordedEvent, turn: number): Promise<void> {
    if (turn !== this.#turn) return;
    const { models, clock } = this.#options;
    if (categoryOf(event.stream) === NOTICES_CATEGORY) {
      const there = this.#channels.get(event.stream.slice(NOTICES_CATEGORY.length + 1));
      if (there === undefined) return;
      applyTo(there.state, event);
      if (there.state.takeRewind()) return this.#subscribe();
    } else if (isBlockEvent(event)) {
      // What the event itself does not say, the ledger knows once it has folded it.
      await models.reached(event.position).catch(() => undefined);
      if (turn !== this.#turn) return;
      const known = 'block' in event.data ? models.ledger.get(event.data.block) : undefined;
      const item = itemOf(event, known);
      for (const { state } of this.#channels.values()) state.gather(event.position, item, clock.now());
    }
    if (this.#live) this.#tick();
  }

  /** Decides and sends what is due, one round at a time. */
  #tick(): void {
    this.#again = true;
    if (this.#closing.signal.aborted || !this.#live) return;
    this.#ticking ??= this.#rounds().finally(() => {
      this.#ticking = undefined;
      // Asked for after the last round had looked, and before this.
      if (this.#again) this.#tick();
    });
  }

  async #rounds(): Promise<void> {
    const { clock, log, metrics } = this.#options;
    while (this.#again && this.#live && !this.#closing.signal.aborted) {
      this.#again = false;
      const looked = clock.now();
      let failed = false;
      for (const { channel, state } of this.#channels.values()) {
        try {
          await this.#round(channel, state);
        } catch (error) {
          if (error instanceof WrongExpectedRevision) continue;
          failed = true;
          if (!(error instanceof StoreUnavailable))
            log.error(
              { channel: channel.name, error: messageOf(error) },
              'a notice could not be decided upon',
            );
        }
        const { deliveries, disabled, stuck } = state;
        const dead = deliveries.filter((one) => one.state === 'dead').length;
        const waiting = deliveries.filter(isUnderWay).length;
        metrics.is(channel.name, { waiting, stuck, dead, disabled });
      }
      this.#arm(failed ? 5 * SECOND : undefined, looked);
    }
  }

  /** Sets the alarm for what is due next after `looked`, when the round began. */
  #arm(pause: Milliseconds | undefined, looked: Instant): void {
    this.#cancel();
    if (this.#closing.signal.aborted) return;
    const { clock } = this.#options;
    const next = Math.min(...[...this.#channels.values()].map(({ state }) => state.nextAt(looked)));
    // Somebody may set the clock meanwhile.
    const left = Math.min(next - clock.now(), HOUR);
    // It fell due while the round went on.
    if (pause === undefined && left <= 0) this.#again = true;
    else this.#cancel = clock.after(pause ?? Math.max(SECOND / 10, left), () => this.#tick());
  }

  async #round(channel: Channel, state: ChannelState): Promise<void> {
    const { clock } = this.#options;
    const facts = state.decide(clock.now(), this.#circumstances());
    // What is recorded comes back by the subscription, and then is acted upon.
    if (facts.length > 0) return void (await this.#append(channel.name, facts, state.revision));
    for (const delivery of state.due(clock.now())) {
      const { id } = delivery.notice;
      if (this.#sending.has(id)) continue;
      const claim: ChannelFact = { type: 'NoticeAttempted', data: { notice: id } };
      await this.#append(channel.name, [claim], state.revision);
      const sent = this.#send(channel, state, delivery).finally(() => {
        this.#sending.delete(id);
        // Somebody may have had it resent in the moment before.
        this.#tick();
      });
      this.#sending.set(id, sent);
      // The claim has moved the revision on: the next one waits until that has come back.
      return;
    }
  }

  #circumstances(): Circumstances {
    const { models, clock, store } = this.#options;
    const now = clock.now();
    function* waiting(): Generator<Item> {
      for (const entry of models.ledger.pending()) {
        if (stateAt(entry, now) !== 'proposed') continue;
        const { id: block, subject, direction, version: position, evidence, description, rule } = entry;
        yield {
          event: 'proposed',
          position,
          at: entry.proposedAt!,
          by: `rule:${rule ?? ''}`,
          block,
          subject,
          direction,
          why: shortSentence(evidence?.sentence ?? description),
          until: entry.lapsesAt!,
        };
      }
    }
    const mostBytes = Math.min(MOST_BYTES, store.maxAppendBytes);
    const standingOf: Circumstances['standingOf'] = (block) => models.ledger.get(block);
    return { breakers: openBreakers(models, now), waiting, standingOf, newId, mostBytes };
  }

  async #send(channel: Channel, state: ChannelState, { notice, attempts, told }: Delivery): Promise<void> {
    const { log, metrics, clock } = this.#options;
    const { signal } = this.#closing;
    const attempt = attempts + 1;
    const outcome = await sendNotice(channel, notice, this.#options, signal, told);
    // The answer is not known: it is sent again with the same id.
    if (signal.aborted && outcome.error !== undefined && outcome.told === undefined) return;
    const fields = { channel: channel.name, notice: notice.id, attempt };
    const others = state.deliveries.filter((one) => isForRest(one) && one.notice.id !== notice.id).length;
    const isForOthers = told.length > 0 || outcome.told !== undefined;
    const mayWait = !isForOthers || others < MOST_FOR_REST;
    const fact = this.#factOf(
      notice.id,
      attempt,
      mayWait ? outcome : { ...outcome, refused: true },
      clock.now(),
    );
    if (fact.type === 'NoticeDelivered') {
      metrics.attempted(channel.name, 'delivered');
      log.info(fields, 'a notice was sent');
    } else if (fact.type === 'NoticeFailed' && fact.data.retryAt !== null) {
      metrics.attempted(channel.name, 'retried');
      log.warn({ ...fields, error: fact.data.error }, 'a notice was not sent; it is tried again');
    } else {
      metrics.attempted(channel.name, 'dead');
      log.error({ ...fields, error: outcome.error }, 'a notice was given up');
    }
    await this.#insist(channel.name, fact, idOf(`notice/${notice.id}/${attempt}/${clock.now()}`));
  }

  #factOf(
    notice: string,
    attempt: number,
    { error, gone, refused, retryAfter = 0, told }: Outcome,
    now: Instant,
  ): ChannelFact {
    if (error === undefined) return { type: 'NoticeDelivered', data: { notice } };
    if (gone) return { type: 'NoticeFailed', data: { notice, error, retryAt: null, gone } };
    const pause =
      refused === true || attempt > PAUSES.length
        ? undefined
        : Math.max(pauseAfter(attempt, PAUSES), retryAfter);
    const retryAt = pause === undefined ? null : Math.round(now + pause);
    return {
      type: 'NoticeFailed',
      data: { notice, error, retryAt, ...(told === undefined ? {} : { told }) },
    };
  }

  /** Records what came of an attempt, as soon as the store takes it. */
  async #insist(channel: string, fact: ChannelFact, id: string): Promise<void> {
    const backoff = new Backoff(STORE_PAUSES);
    const { signal } = this.#closing;
    for (;;) {
      try {
        await this.#append(channel, [fact], 'any', id);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof StoreUnavailable))
          return this.#options.log.error(
            { channel, error: messageOf(error) },
            'what came of a notice was not recorded',
          );
      }
      await pauseUnless(signal, this.#options.clock, backoff.next());
    }
  }

  #append(
    channel: string,
    facts: readonly ChannelFact[],
    expected: ExpectedRevision,
    id?: string,
  ): Promise<Appended> {
    const { store, clock } = this.#options;
    const context = { by: BY_NOTICES, ...(id === undefined ? {} : { idAt: () => id }) };
    return store.append(noticesStream(channel), envelope(facts, context, clock.now()), expected);
  }
}
