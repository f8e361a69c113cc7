import type { EffectiveBlocksState, SeenIdsState } from '../../projections/blocks/effective-blocks.js';
import { EffectiveBlocks, SeenIds } from '../../projections/blocks/effective-blocks.js';
import { BLOCK_CATEGORY, isBlockEvent } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { FORGETTING_CATEGORY, isForgettingEvent } from '../forgetting/events.js';
import { isOverrideEvent, OVERRIDE_CATEGORY } from '../overrides/events.js';
import { isSessionEvent, SESSION_CATEGORY } from '../sessions/events.js';
import { RULES_CATEGORY } from '../rules/model.js';
import { isShadowEvent } from '../rules/decide.js';
import { PROFILE_CATEGORY } from '../sending/day-summary.js';
import { AUTH_CATEGORY, HELD_CATEGORY, SEND_CATEGORY } from '../sending/events.js';
import type { EventStore, Subscription } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';

/** Identifies an event that was folded, to compare it with the store's. */
export type Anchor = Pick<RecordedEvent, 'stream' | 'revision' | 'id' | 'position'>;

/** What {@link Projector.dump} gives: plain data that can be cloned. Never write to it. */
export interface ProjectorState {
  readonly position: number;
  readonly lastEventAt: Instant;
  /** The last event, and the last of those that are kept for ever. */
  readonly anchors: readonly (Anchor | undefined)[];
  readonly seen: SeenIdsState;
  readonly blocks: EffectiveBlocksState;
}

/**
 * Folds one event after the other: in order, each once, from the beginning or from the end of a snapshot. The subclass
 * decides what it folds them into. Block events come as {@link EffectiveBlocks} reads them.
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
  /** Nothing is followed any more, or not yet again. */
  #stopped = false;
  #taken = 0;
  /** In the order of their positions: as many may wait as are sent within the lag. */
  readonly #waiting: {
    readonly position: number;
    readonly resolve: () => void;
    readonly reject: (error: Error) => void;
  }[] = [];

  /**
   * @param idsKept how many ids are remembered, to recognise an event that was delivered before; by default as many as
   *   a store may need; 0 if the events are those of a single writer that repeats none
   */
  constructor(idsKept?: number) {
    this.#idsKept = idsKept;
    this.#isSound = idsKept === 0;
    this.#seen = new SeenIds(idsKept);
  }

  /** Folds an event: a decision, or something that happened. Must not throw. */
  protected abstract fold(event: RecordedEvent, isDecision: boolean): void;

  /** Position of the last event folded. */
  get position(): number {
    return this.#position;
  }

  /** Position up to which the feed has come, including the events that it skipped for their category. */
  get feedPosition(): number {
    return this.#subscription?.position ?? 0;
  }

  /** Events that the feed has handed over. */
  get taken(): number {
    return this.#taken;
  }

  /** How far the folded state may lag: see {@link Subscription.lag}. 0 before it follows. */
  get lag(): Milliseconds {
    return this.#subscription?.lag ?? 0;
  }

  /** Whether everything written by that moment (`performance.now()`) is known to be folded. */
  isFreshSince(moment: number): boolean {
    return performance.now() - this.lag >= moment;
  }

  /** When the store wrote the last event folded; 0 before the first. */
  get lastEventAt(): Instant {
    return this.#lastEventAt;
  }

  /** True when everything that was in the store at the start is folded. */
  get ready(): boolean {
    return this.#live;
  }

  /** The folded state so far; later events do not change it. Takes milliseconds. The opposite of {@link restore}. */
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
   * Continues from the result of {@link dump}, as if everything up to its position had been folded here. Call it before
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
   * @param afterEach called after each event, even one that was skipped; if it returns a promise, the next event waits
   *   for it
   * @returns when caught up; `ended` rejects later if the feed breaks
   */
  async follow(
    store: Pick<EventStore, 'subscribe'>,
    categories: readonly string[],
    afterEach: () => void | Promise<void> = () => undefined,
  ): Promise<{ ended: Promise<void> }> {
    this.#stopped = false;
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
    this.#stopped = true;
    await this.#subscription?.stop();
    for (const { reject } of this.#waiting.splice(0)) reject(notFollowed());
  }

  /**
   * Forgets everything folded, because the log was replaced. Follow the new one from its beginning, or from a snapshot
   * of it.
   */
  async startAnew(): Promise<void> {
    await this.stop();
    this.#seen = new SeenIds(this.#idsKept);
    this.#blocks = new EffectiveBlocks();
    this.#subscription = this.#last = this.#lastKept = undefined;
    this.#position = this.#lastEventAt = this.#taken = 0;
    this.#live = false;
  }

  /** Takes over what another has folded up to the very same position. */
  protected takeOver(other: Projector): void {
    this.#seen = other.#seen;
    this.#blocks = other.#blocks;
    this.#lastEventAt = other.#lastEventAt;
    [this.#last, this.#lastKept] = [other.#last, other.#lastKept];
  }

  /** Resolves once the event at this position is folded. @throws StoreUnavailable if that will not happen */
  async reached(position: number): Promise<void> {
    if (position <= this.#position) return;
    if (this.#stopped) throw notFollowed();
    return new Promise((resolve, reject) => {
      // Mostly the last: a store tells of positions nearly in order.
      let place = this.#waiting.length;
      while (place > 0 && this.#waiting[place - 1]!.position > position) place--;
      this.#waiting.splice(place, 0, { position, resolve, reject });
    });
  }

  /** Folds one event. A repeated event changes nothing. */
  apply(event: RecordedEvent): void {
    if (event.position <= this.#position) return;
    this.#taken++;
    this.#position = event.position;
    this.#lastEventAt = event.recordedAt;
    this.#last = event;
    // Nearly all events are no decisions, and skip every further check of that kind.
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
    let due = 0;
    while (due < this.#waiting.length && this.#waiting[due]!.position <= this.#position) due++;
    if (due > 0) for (const { resolve } of this.#waiting.splice(0, due)) resolve();
  }
}

function notFollowed(): StoreUnavailable {
  return new StoreUnavailable('the log is no longer followed');
}

function anchorOf({ stream, revision, id, position }: Anchor): Anchor {
  return { stream, revision, id, position };
}

/** The categories that a node folds if it neither detects nor shows senders. */
export const DECISIONS_ONLY = [
  BLOCK_CATEGORY,
  RULES_CATEGORY,
  OVERRIDE_CATEGORY,
  SESSION_CATEGORY,
  FORGETTING_CATEGORY,
];

/**
 * The categories that baselines need: the summaries of days, and the decisions that say which of them teach and what.
 */
export const BASELINES_ONLY = [BLOCK_CATEGORY, RULES_CATEGORY, PROFILE_CATEGORY];

/** Everything that a node folds. */
export const FOLDED_CATEGORIES = [
  ...DECISIONS_ONLY,
  SEND_CATEGORY,
  AUTH_CATEGORY,
  HELD_CATEGORY,
  PROFILE_CATEGORY,
];

/** Events that report what happened. They are known by their type; decisions are recognised as ours by their data. */
const ACTIVITY_EVENTS = new Set([
  'MessageAccepted',
  'RecipientsRefused',
  'MessageRefused',
  'MessageHeld',
  'HeldMailMoved',
  'HookCalled',
  'BounceReceived',
  'AuthenticationFailed',
  'SenderDaySummarised',
]);

/** Whether the event reports what happened. Nearly all do, so this is checked first. */
function isActivityEvent({ type }: Pick<RecordedEvent, 'type'>): boolean {
  return ACTIVITY_EVENTS.has(type);
}

/** Whether the event is kept for ever: decisions are, activity is not. */
export function isKept(event: RecordedEvent): boolean {
  return (
    event.type === 'RulesChanged' ||
    isBlockEvent(event) ||
    isShadowEvent(event) ||
    isOverrideEvent(event) ||
    isSessionEvent(event) ||
    isForgettingEvent(event)
  );
}
