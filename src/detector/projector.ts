import type { EffectiveBlocksState, SeenIdsState } from '../../projections/blocks/effective-blocks.js';
import { EffectiveBlocks, SeenIds } from '../../projections/blocks/effective-blocks.js';
import { BLOCK_CATEGORY, isBlockEvent } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { isOverrideEvent, OVERRIDE_CATEGORY } from '../overrides/events.js';
import { RULES_CATEGORY } from '../rules/model.js';
import { isShadowEvent } from '../rules/decide.js';
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
 * Folds one event after the other: in order, each once, from the beginning or from where a snapshot ends. What it folds
 * them into is up to the class that extends it; block events come as {@link EffectiveBlocks} reads them.
 */
export abstract class Projector {
  readonly #idsKept: number | undefined;
  readonly #isSound: boolean;
  #seen: SeenIds;
  #blocks = new EffectiveBlocks();
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
   * @param idsKept ids that are remembered, to tell an event that was delivered before; as many as a store may need
   *   unless given; 0 where the events are those of a single writer that repeats none
   */
  constructor(idsKept?: number) {
    this.#idsKept = idsKept;
    this.#isSound = idsKept === 0;
    this.#seen = new SeenIds(idsKept);
  }

  /** Folds an event that is a decision, or tells what happened. Must not throw. */
  protected abstract fold(event: RecordedEvent, isDecision: boolean): void;

  /** Position of the last event folded. */
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

  /** How old what is folded may be: see {@link Subscription.lag}. 0 before it follows. */
  get lag(): Milliseconds {
    return this.#subscription?.lag ?? 0;
  }

  /** Whether all that was written by that moment, by `performance.now()`, is known to be folded. */
  isFreshSince(moment: number): boolean {
    return performance.now() - this.lag >= moment;
  }

  /** When the store wrote the last event folded; 0 before the first. */
  get lastEventAt(): Instant {
    return this.#lastEventAt;
  }

  /** True once everything that was in the store at the start is folded. */
  get ready(): boolean {
    return this.#live;
  }

  /** All that is folded so far, whatever is folded afterwards. Takes milliseconds. The opposite of {@link restore}. */
  dump(): ProjectorState {
    return {
      position: this.#position,
      lastEventAt: this.#lastEventAt,
      anchors: [this.#last, this.#lastKept].map((event) => event && anchorOf(event)),
      seen: this.#seen.dump(),
      blocks: this.#blocks.dump(),
    };
  }

  /**
   * Goes on from what {@link dump} gave, as if everything up to its position had been folded here. Must come before
   * {@link follow}. If it throws, nothing has changed.
   */
  restore({ position, lastEventAt, anchors, seen, blocks }: ProjectorState): void {
    this.#seen.restore(seen);
    this.#blocks.restore(blocks);
    this.#position = position;
    this.#lastEventAt = lastEventAt;
    [this.#last, this.#lastKept] = anchors;
  }

  /**
   * Catches up, from its position on, and follows.
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
      this.apply(event);
      return afterEach();
    });
    this.#subscription = subscription;
    await Promise.race([subscription.caughtUp, subscription.ended]);
    if (subscription === this.#subscription) this.#live = true;
    return { ended: subscription.ended };
  }

  async stop(): Promise<void> {
    await this.#subscription?.stop();
    for (const { reject } of this.#waiting.splice(0))
      reject(new StoreUnavailable('the log is no longer followed'));
  }

  /** Forgets all that was folded, since another log is there: to be followed from its beginning, or from a snapshot of it. */
  async startAnew(): Promise<void> {
    await this.stop();
    this.#seen = new SeenIds(this.#idsKept);
    this.#blocks = new EffectiveBlocks();
    this.#subscription = this.#last = this.#lastKept = undefined;
    this.#position = this.#lastEventAt = this.#taken = 0;
    this.#live = false;
  }

  /** Resolves once the event at this position is folded. @throws StoreUnavailable if that will not be */
  async reached(position: number): Promise<void> {
    if (position <= this.#position) return;
    return new Promise((resolve, reject) => this.#waiting.push({ position, resolve, reject }));
  }

  /** Folds one event. Delivered again, it changes nothing. */
  apply(event: RecordedEvent): void {
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
    if (!isDecision || this.#isSound || !isBlockEvent(event)) this.fold(event, isDecision);
    else for (const effect of this.#blocks.take(event)) this.fold(effect, isDecision);
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
