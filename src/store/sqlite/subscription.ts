import type { RecordedEvent } from '../../kernel/events.js';
import { categoryOf } from '../../kernel/events.js';
import type { Milliseconds } from '../../kernel/time.js';
import { TimeSlice } from '../../runtime/clock.js';
import type { EventHandler, SubscribeOptions, Subscription } from '../port.js';
import { LogReplaced } from '../port.js';
import { SubscriptionLifecycle } from '../subscription-lifecycle.js';
import type { Reader } from './reader.js';
import { SliceSize } from './reader.js';

/** Events that may wait in memory for a slow handler; beyond them it goes back to reading the file. */
const BUFFER = 2048;

/**
 * Reads the file up to the feed's head and joins the feed in the same turn of the event loop, so that there
 * is neither gap nor overlap. While live and idle, an event is handled inside the call that offers it.
 */
export class FeedSubscription implements Subscription, Follower {
  readonly #feed: LiveFeed;
  readonly #reader: Reader;
  readonly #options: SubscribeOptions;
  readonly #handler: EventHandler;
  readonly #lifecycle = new SubscriptionLifecycle();
  readonly caughtUp = this.#lifecycle.caughtUp;
  readonly ended = this.#lifecycle.ended;
  live = false;

  #at: number;
  readonly #target: number;
  readonly #categories: ReadonlySet<string> | undefined;
  readonly #buffer: RecordedEvent[] = [];
  #first = 0;
  /** Position of an event passed over for its category while others were waiting before it. */
  #passed = 0;
  #working = false;
  /** When all that had been written was last known to be handled; and how far that was at a later time. */
  #freshAt = performance.now();
  #nextFresh: number;
  #nextFreshAt = performance.now();
  #stopping = false;
  readonly #size = new SliceSize();
  readonly #timeSlice = new TimeSlice();

  constructor(feed: LiveFeed, reader: Reader, options: SubscribeOptions, handler: EventHandler) {
    this.#feed = feed;
    this.#reader = reader;
    this.#options = options;
    this.#handler = handler;
    this.#categories = options.categories && new Set(options.categories);
    this.#target = feed.head;
    this.#nextFresh = feed.head;
    this.#at = options.after === 'end' ? feed.head : options.after;
    feed.join(this);
    if (this.#at > feed.head) {
      this.#finish(
        new LogReplaced(`the log ends at ${feed.head}, before position ${this.#at}: it is another one`),
      );
    } else if (options.after === 'end') {
      this.live = true;
      this.#lifecycle.reach();
    } else {
      this.#working = true;
      void this.#work();
    }
  }

  get position(): number {
    return this.#at;
  }

  get lag(): Milliseconds {
    return this.#at >= this.#feed.head ? 0 : performance.now() - this.#freshAt;
  }

  stop(): Promise<void> {
    this.#stopping = true;
    if (!this.#working) this.#finish();
    return this.#lifecycle.settled;
  }

  /** Ends it because the store does: `ended` rejects with the reason given. */
  abort(reason: Error): void {
    this.#finish(reason);
  }

  offer(event: RecordedEvent): void {
    if (!this.live || this.#stopping || event.position <= this.#at) return;
    const wanted = !this.#categories || this.#categories.has(categoryOf(event.stream));
    if (this.#working) {
      if (!wanted) this.#passed = event.position;
      else if (this.#buffer.length - this.#first < BUFFER) this.#buffer.push(event);
      else this.missed();
      return;
    }
    if (!wanted) {
      this.#moveTo(event.position);
      return;
    }
    try {
      // Marked while the handler runs, so that `stop` from within it, or an event it causes, has to wait.
      this.#working = true;
      const pending = this.#handler(event);
      if (pending) {
        void this.#work(pending, event.position);
        return;
      }
      this.#working = false;
      this.#moveTo(event.position);
      if (this.#stopping) this.#finish();
    } catch (error) {
      this.#finish(error);
    }
  }

  missed(): void {
    this.live = false;
    this.#buffer.length = 0;
    this.#first = 0;
    if (this.#working || this.#lifecycle.over) return;
    this.#working = true;
    void this.#work();
  }

  async #work(pending?: PromiseLike<void>, position = 0): Promise<void> {
    try {
      if (pending) {
        await pending;
        this.#moveTo(position);
      } else {
        // Nothing is handed over inside the call that subscribes.
        await this.#timeSlice.turn();
      }
      this.#timeSlice.renew();
      while (!this.#stopping && !this.#lifecycle.over) {
        if (!this.live) await this.#handleSlice();
        else if (this.#first < this.#buffer.length) await this.#handleBuffered();
        else {
          // Idle from here on, with nothing awaited since that was found out.
          this.#buffer.length = 0;
          this.#first = 0;
          this.#moveTo(this.#passed);
          this.#working = false;
          return;
        }
      }
      this.#finish();
    } catch (error) {
      this.#finish(error);
    }
  }

  /** Handles what has queued up in memory. */
  async #handleBuffered(): Promise<void> {
    while (this.live && this.#first < this.#buffer.length) {
      const event = this.#buffer[this.#first++]!;
      const pending = this.#handler(event);
      if (pending) await pending;
      this.#moveTo(event.position);
      if (this.#stopping || this.#lifecycle.over) return;
      if (this.#first >= BUFFER) this.#first -= this.#buffer.splice(0, this.#first).length;
      if (this.#timeSlice.spent()) await this.#timeSlice.turn();
    }
  }

  /** Handles one slice of the file, and joins the feed if that was the last. */
  async #handleSlice(): Promise<void> {
    const until = this.#feed.head;
    if (this.#at < until) {
      const { categories } = this.#options;
      const { events, more } = this.#reader.all(
        this.#at,
        until,
        categories,
        Number.MAX_SAFE_INTEGER,
        this.#size,
      );
      for (const event of events) {
        const pending = this.#handler(event);
        if (pending) await pending;
        this.#moveTo(event.position);
        if (this.#stopping || this.#lifecycle.over) return;
        if (this.#timeSlice.spent()) await this.#timeSlice.turn();
      }
      if (!more) this.#moveTo(until);
      if (this.#at < this.#feed.head) {
        await this.#timeSlice.turn();
        return;
      }
    }
    // Nothing is awaited since the comparison with the feed's head: no event can slip through.
    this.live = true;
    this.#passed = 0;
    this.#moveTo(this.#at);
  }

  #moveTo(position: number): void {
    if (position > this.#at) this.#at = position;
    if (this.#at >= this.#nextFresh) {
      this.#freshAt = this.#nextFreshAt;
      this.#nextFresh = this.#feed.head;
      this.#nextFreshAt = performance.now();
    }
    if (this.#at >= this.#target) this.#lifecycle.reach();
  }

  #finish(error?: unknown): void {
    if (this.#lifecycle.over) return;
    this.live = false;
    this.#buffer.length = 0;
    this.#feed.leave(this);
    this.#lifecycle.end(error);
  }
}

/** Follows live. It is told of each event in the order of positions. */
interface Follower {
  /** True while it wants events from memory; false while it reads the file. */
  readonly live: boolean;
  offer(event: RecordedEvent): void;
  /** Events were written that will not be offered: they must be read from the file. */
  missed(): void;
}

/** Hands committed events to the followers, and knows the position of the last event. */
export class LiveFeed {
  readonly #followers = new Set<Follower>();

  #position = 0;

  /** Position of the last event known to be written; 0 before the first. */
  get head(): number {
    return this.#position;
  }

  join(follower: Follower): void {
    this.#followers.add(follower);
  }

  leave(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /** @param make builds the events; called only if there is a live follower */
  committed(head: number, make: () => readonly RecordedEvent[]): void {
    this.#position = head;
    let events: readonly RecordedEvent[] | undefined;
    for (const follower of this.#followers) {
      if (!follower.live) continue;
      events ??= make();
      for (const event of events) follower.offer(event);
    }
  }

  /** A new writer found the store at `head`: the events before it were written but not announced. */
  resume(head: number): void {
    if (head <= this.#position) return;
    this.#position = head;
    for (const follower of this.#followers) follower.missed();
  }
}
