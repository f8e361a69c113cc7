import type { EffectiveBlocksState, SeenIdsState } from '../../projections/blocks/effective-blocks.js';
import { EffectiveBlocks, SeenIds } from '../../projections/blocks/effective-blocks.js';
import { BLOCK_CATEGORY, isBlockEvent } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { isOverrideEvent, OVERRIDE_CATEGORY } from '../overrides/events.js';
import { RULES_CATEGORY } from '../rules/model.js';
import { isShadowEvent } from '../rules/shadow.js';
import { PROFILE_CATEGORY } from '../sending/day-summary.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from '../sending/events.js';
import type { EventStore, Subscription } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';

/** What tells that an event in a store is the one that was folded. */
export type Anchor = Pick<RecordedEvent, 'stream' | 'revision' | 'id' | 'position'>;

/** What {@link Projector.dump} gives: plain data that can be cloned. Never to be written to. */
export interface ProjectorState {
  readonly position: number;
  readonly lastEventAt: Instant;
  /** The last event, and the last of those that are kept for ever. */
  readonly anchors: readonly (Anchor | undefined)[];
  readonly seen: SeenIdsState;
  readonly blocks: EffectiveBlocksState;
}

/**
 * Hands one event after the other to whoever folds them: in order, each once, from the beginning or from where a snapshot
 * ends. Block events are handed over as {@link EffectiveBlocks} reads them.
 */
export class Projector {
  readonly #fold: (event: RecordedEvent, isDecision: boolean) => void;
  readonly #seen: SeenIds;
  readonly #blocks = new EffectiveBlocks();
  readonly #isSound: boolean;
  #subscription: Subscription | undefined;
  #position = 0;
  #lastEventAt = 0;
  /** The last event, and the last of those that are kept for ever. */
  #last: Anchor | undefined;
  #lastKept: Anchor | undefined;
  #live = false;
  #taken = 0;
  #waiting: {
    readonly position: number;
    readonly resolve: () => void;
    readonly reject: (error: Error) => void;
  }[] = [];

  /**
   * @param fold told of each event, and whether it is a decision or tells what happened
   * @param idsKept ids that are remembered, to tell an event that was delivered before; as many as a store may need
   *   unless given; 0 where the events are those of a single writer that repeats none
   */
  constructor(fold: (event: RecordedEvent, isDecision: boolean) => void, idsKept?: number) {
    this.#fold = fold;
    this.#seen = new SeenIds(idsKept);
    this.#isSound = idsKept === 0;
  }

  /** Position of the last event handed over. */
  get position(): number {
    return this.#position;
  }

  /** Position up to which the feed has come, counting what it passed over for its category. */
  get feedPosition(): number {
    return this.#subscription?.position ?? 0;
  }

  /** Events that the feed has handed over. */
  get taken(): number {
    return this.#taken;
  }

  /** How old what was handed over may be: see {@link Subscription.lag}. 0 before it follows. */
  get lag(): Milliseconds {
    return this.#subscription?.lag ?? 0;
  }

  /** Whether all that was written by that moment, by `performance.now()`, is known to have been handed over. */
  isFreshSince(moment: number): boolean {
    return performance.now() - this.lag >= moment;
  }

  /** When the store wrote the last event handed over; 0 before the first. */
  get lastEventAt(): Instant {
    return this.#lastEventAt;
  }

  /** True once everything that stood in the store at the start has been handed over. */
  get ready(): boolean {
    return this.#live;
  }

  /** The opposite of {@link restore}. */
  dump(): ProjectorState {
    return {
      position: this.#position,
      lastEventAt: this.#lastEventAt,
      anchors: [this.#last, this.#lastKept].map((event) => event && anchorOf(event)),
      seen: this.#seen.dump(),
      blocks: this.#blocks.dump(),
    };
  }

  /** Goes on from where {@link dump} was. Must come before {@link follow}. */
  restore({ position, lastEventAt, anchors, seen, blocks }: ProjectorState): void {
    this.#seen.restore(seen);
    this.#blocks.restore(blocks);
    this.#position = position;
    this.#lastEventAt = lastEventAt;
    [this.#last, this.#lastKept] = anchors;
  }

  /**
   * Catches up, from where it stands, and follows.
   *
   * @param afterEach called after each event that came, whatever became of it; the next waits for a promise that it returns
   * @returns when caught up; `ended` rejects later should the feed break
   */
  async follow(
    store: Pick<EventStore, 'subscribe'>,
    categories: readonly string[],
    afterEach: () => void | Promise<void> = () => undefined,
  ): Promise<{ ended: Promise<void> }> {
    const subscription = store.subscribe({ after: this.#position, categories }, (event) => {
      this.take(event);
      return afterEach();
    });
    this.#subscription = subscription;
    await Promise.race([subscription.caughtUp, subscription.ended]);
    this.#live = true;
    return { ended: subscription.ended };
  }

  async stop(): Promise<void> {
    await this.#subscription?.stop();
    for (const { reject } of this.#waiting.splice(0))
      reject(new StoreUnavailable('the log is no longer followed'));
  }

  /** Resolves once the event at this position has been handed over. @throws StoreUnavailable where that will not be */
  async reached(position: number): Promise<void> {
    if (position <= this.#position) return;
    return new Promise((resolve, reject) => this.#waiting.push({ position, resolve, reject }));
  }

  /** Hands one event over. Delivered again, it is passed over. */
  take(event: RecordedEvent): void {
    if (event.position <= this.#position) return;
    this.#taken++;
    this.#position = event.position;
    this.#lastEventAt = event.recordedAt;
    this.#last = event;
    // Nearly all events are none, and are spared every further question of that kind.
    const isDecision = !isActivityEvent(event);
    if (isDecision && isKept(event)) this.#lastKept = event;
    if (this.#seen.isNew(event.id)) this.#hand(event, isDecision);
    if (this.#waiting.length > 0) this.#wake();
  }

  #hand(event: RecordedEvent, isDecision: boolean): void {
    if (!isDecision || this.#isSound || !isBlockEvent(event)) this.#fold(event, isDecision);
    else for (const effect of this.#blocks.take(event)) this.#fold(effect, isDecision);
  }

  #wake(): void {
    const due = this.#waiting.filter((waiter) => waiter.position <= this.#position);
    this.#waiting = this.#waiting.filter((waiter) => waiter.position > this.#position);
    for (const { resolve } of due) resolve();
  }
}

function anchorOf({ stream, revision, id, position }: Anchor): Anchor {
  return { stream, revision, id, position };
}

/** What a node folds that neither detects nor shows senders. */
export const DECISIONS_ONLY = [BLOCK_CATEGORY, RULES_CATEGORY, OVERRIDE_CATEGORY];

/** What tells what senders usually do: the summaries of their days, and what says which of them teach and what. */
export const BASELINES_ONLY = [BLOCK_CATEGORY, RULES_CATEGORY, PROFILE_CATEGORY];

/** Everything that a node folds. */
export const FOLDED_CATEGORIES = [...DECISIONS_ONLY, SEND_CATEGORY, AUTH_CATEGORY, PROFILE_CATEGORY];

/** What happens rather than is decided; these are known by their type, the others show by their data that they are ours. */
const ACTIVITY_EVENTS = new Set([
  'MessageAccepted',
  'RecipientsRefused',
  'MessageRefused',
  'BounceReceived',
  'AuthenticationFailed',
  'SenderDaySummarised',
]);

/** Whether it tells what happened: nearly all events do, so this is asked before anything else. */
function isActivityEvent({ type }: Pick<RecordedEvent, 'type'>): boolean {
  return ACTIVITY_EVENTS.has(type);
}

/** Whether it is kept for ever: what was decided, rather than what happened. */
export function isKept(event: RecordedEvent): boolean {
  return (
    event.type === 'RulesChanged' || isBlockEvent(event) || isShadowEvent(event) || isOverrideEvent(event)
  );
}
