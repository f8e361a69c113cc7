import { setTimeout as delay } from 'node:timers/promises';
import { NotLeaderError, type Position } from '@kurrent/kurrentdb-client';
import type { RecordedEvent } from '../../kernel/events.js';
import type { Milliseconds } from '../../kernel/time.js';
import type { BackoffOptions } from '../../runtime/clock.js';
import { Backoff, TimeSlice } from '../../runtime/clock.js';
import { SubscriptionLifecycle } from '../subscription-lifecycle.js';
import {
  LogReplaced,
  StoreRefused,
  type EventHandler,
  type SubscribeOptions,
  type Subscription,
} from '../port.js';
import type { Connection } from './connection.js';
import { fromResolved, safeNumber, Selection } from './envelope.js';
import { isInvalidPosition, Silence, spoilsClient } from './errors.js';
import type { FeedItem, Listener, Pulse } from './feed.js';
import { Feed } from './feed.js';
import type { Reader } from './reader.js';
import type { Retention } from './retention.js';

export interface SubscriptionTools {
  readonly connection: Connection;
  readonly reader: Pick<Reader, 'head' | 'tail' | 'holds' | 'eventAt'>;
  readonly retention: Retention;
  readonly pulse: Pulse;
  readonly backoff: BackoffOptions;
  /** How long the server may take to confirm. */
  readonly timeout: Milliseconds;
  /**
   * How long it must look as if the log were another one: a leader that has been deposed, and does not know it, answers
   * from a log of its own.
   */
  readonly doubt: Milliseconds;
  readonly report: (problem: string, error: unknown) => void;
}

/** What the leader has may be on its way to a subscriber for so long. */
const DELIVERY: Milliseconds = 1000;

/** Shows whether the log is still the same: the event must be where it was. */
type Anchor = Pick<RecordedEvent, 'stream' | 'revision' | 'id' | 'position' | 'recordedAt'>;

/** Follows $all from a position on, over as many feeds as it takes. */
export class ResumingSubscription implements Subscription, Listener {
  readonly #tools: SubscriptionTools;
  readonly #handler: EventHandler;
  readonly #lifecycle = new SubscriptionLifecycle();
  readonly caughtUp = this.#lifecycle.caughtUp;
  readonly ended = this.#lifecycle.ended;
  /** Settles once it is known where an `end` is; at once for a position. */
  readonly placed: Promise<void>;

  #at: number | undefined;
  /** The same as the server gave it. */
  #exact: Position | undefined;
  /** Position of an event that must be there, for it was: where it began, or the last that was handled. */
  #solid = 0;
  /** The last event handled, and the last of those that stay for ever. */
  #last: Anchor | undefined;
  #lastKept: Anchor | undefined;
  /** Since when the log looks like another one. */
  #doubtful: number | undefined;

  #feed: Feed | undefined;
  /** As it was at the last pulse. */
  #feedSeen: Feed | undefined;
  #stopping = false;
  readonly #selection: Selection;
  readonly #backoff: Backoff;
  readonly #timeSlice = new TimeSlice();
  /** Signs from the server: all so far, those by the last pulse, and those by when the leader was lost. */
  #signs = 0;
  #signsSeen = -1;
  #signsWhenLost = -1;
  #handling = false;
  #looking = false;
  #wakePause: (() => void) | undefined;
  /** When everything that had been written was last known to be handled, by `performance.now`. */
  #freshAt = performance.now();
  /** How far the log went at a time, until that far has been handled. */
  #mark: { readonly head: number; readonly asked: number } | undefined;

  constructor(tools: SubscriptionTools, options: SubscribeOptions, handler: EventHandler) {
    this.#tools = tools;
    this.#handler = handler;
    this.#selection = new Selection(options.categories);
    this.#backoff = new Backoff(tools.backoff);
    if (options.after !== 'end') this.#at = this.#solid = options.after;
    // If this fails it is tried again and reported, like any other loss.
    this.placed = this.#place().catch(() => undefined);
    tools.pulse.join(this);
    void this.#run().finally(() => tools.pulse.leave(this));
  }

  get position(): number {
    return this.#at ?? 0;
  }

  get lag(): Milliseconds {
    return performance.now() - this.#freshAt;
  }

  stop(): Promise<void> {
    this.#stopping = true;
    this.#feed?.close();
    this.#wakePause?.();
    // The rest of the work under way may wait for a server.
    if (!this.#handling) this.#lifecycle.end();
    return this.#lifecycle.settled;
  }

  /** Ends it because the store does: `ended` rejects with the reason given. */
  abort(reason: Error): void {
    this.#lifecycle.end(reason);
    this.#feed?.close();
    this.#wakePause?.();
  }

  reached(head: number, asked: number): void {
    const feed = this.#feed;
    // Until it is compared with the log that was followed, this may be another one, and shorter.
    if (feed?.confirmed) {
      this.#mark ??= { head, asked };
      this.#freshen();
    }
    const quiet = feed === this.#feedSeen && this.#signs === this.#signsSeen && !this.#handling;
    this.#feedSeen = feed;
    this.#signsSeen = this.#signs;
    if (quiet && feed?.confirmed && !this.#looking && head > this.#at!) void this.#look(feed, head);
  }

  lost(): void {
    this.#signsWhenLost = this.#signs;
  }

  back(): void {
    // It may follow a node that has nothing to say any more, or wait until it tries again.
    if (this.#signs === this.#signsWhenLost && !this.#handling) this.#feed?.lose(new Silence());
    this.#backoff.reset();
    this.#wakePause?.();
  }

  get #done(): boolean {
    return this.#stopping || this.#lifecycle.over;
  }

  async #place(): Promise<void> {
    if (this.#at !== undefined) return;
    this.#solid = await this.#tools.reader.head();
    this.#moveTo(this.#solid);
  }

  async #run(): Promise<void> {
    const { connection, reader, report, retention, timeout } = this.#tools;
    // Nothing is handed over inside the call that subscribes.
    await this.#timeSlice.turn();
    await this.placed;
    while (!this.#done) {
      await connection.settled();
      const { client } = connection;
      try {
        await this.#place();
        const asked = performance.now();
        const head = await reader.head();
        await retention.refresh();
        await this.#compare();
        if (this.#done) break;
        this.#feed = new Feed(client, this.#from(), this.#selection, timeout);
        await this.#follow(this.#feed, head, asked);
        if (this.#done) break;
        throw this.#feed.lost ?? new Error('lost');
      } catch (error) {
        if (this.#done) break;
        const end = this.#endOf(error);
        if (end !== undefined) {
          this.#lifecycle.end(end);
          break;
        }
        if (spoilsClient(error)) connection.renew(client);
        if (!(error instanceof NotLeaderError))
          report('a subscription was lost and is taken up again', error);
      } finally {
        this.#feed?.close();
        this.#feed = undefined;
      }
      await this.#pause(this.#backoff.next());
    }
    this.#lifecycle.end();
  }

  /** What ends it for good. */
  #endOf(error: unknown): unknown {
    if (error instanceof HandlerFailed) return error.reason;
    if (error instanceof StoreRefused) return error;
    const replaced = isInvalidPosition(error)
      ? new LogReplaced(`the log has no event at position ${this.#at!}: it is another one`)
      : error;
    if (!(replaced instanceof LogReplaced)) return undefined;
    this.#doubtful ??= performance.now();
    return performance.now() - this.#doubtful < this.#tools.doubt ? undefined : replaced;
  }

  /**
   * Sees that the log is the one that was followed so far.
   *
   * @throws LogReplaced, StoreUnavailable
   */
  async #compare(): Promise<void> {
    const { reader, retention } = this.#tools;
    const another = (reason: string) => new LogReplaced(`${reason}: the log is another one`);
    if (this.#solid > 0) {
      const tail = await reader.tail();
      if (tail < this.#solid) throw another(`the log ends at ${tail}, before position ${this.#solid}`);
    }
    for (const anchor of [this.#last, this.#lastKept]) {
      if (anchor === undefined) continue;
      const { stream, revision, id, position } = anchor;
      const found = await reader.eventAt(stream, revision);
      if (found?.id === id && found.position === position) break;
      if (found !== undefined) throw another(`${stream} has another event ${revision}`);
      if (!retention.mayHaveTaken(anchor)) throw another(`${stream} has no event ${revision}`);
    }
  }

  #from(): Position | undefined {
    if (this.#exact) return this.#exact;
    const at = BigInt(this.#at!);
    return at === 0n ? undefined : { commit: at, prepare: at };
  }

  /**
   * Handles what the feed gives until it is lost or this ends.
   *
   * @param head how far the log went before the feed began
   */
  async #follow(feed: Feed, head: number, asked: number): Promise<void> {
    this.#timeSlice.renew();
    try {
      while (!this.#done) {
        const item = feed.take();
        if (!item) {
          if (feed.lost) return;
          await feed.more();
          this.#timeSlice.renew();
          continue;
        }
        if ('caughtUp' in item && item.caughtUp) {
          // A node that lags also says that it has given everything: all that it has.
          if (await this.#misses(head)) {
            feed.lose(new Silence());
            return;
          }
          this.#mark ??= { head, asked };
          this.#moveTo(head);
        }
        const pending = this.#handle(item);
        if (pending) await pending;
        this.#handling = false;
        if (this.#timeSlice.spent()) await this.#timeSlice.turn();
      }
    } finally {
      this.#handling = false;
    }
  }

  /**
   * Little has come although the log went on. Either nothing of that concerns this subscription; or the server has
   * forgotten it, or gives what an isolated node has.
   */
  async #look(feed: Feed, head: number): Promise<void> {
    const { doubt, report } = this.#tools;
    const signs = this.#signs;
    this.#looking = true;
    try {
      const missed = await this.#misses(head);
      if (missed) await delay(Math.min(DELIVERY, doubt), undefined, { ref: false });
      if (this.#feed !== feed || this.#signs !== signs || this.#handling) return;
      if (missed) feed.lose(new Silence());
      else this.#moveTo(head);
    } catch (error) {
      report('it could not be looked whether events were missed', error);
    } finally {
      this.#looking = false;
    }
  }

  /** Whether the leader has something for this subscription up to its head that has not come. @throws StoreUnavailable */
  async #misses(head: number): Promise<boolean> {
    return head > this.#at! && this.#tools.reader.holds(this.#selection, this.#at!, head);
  }

  #handle(item: FeedItem): Promise<void> | undefined {
    this.#backoff.reset();
    this.#signs++;
    this.#doubtful = undefined;
    if (!('event' in item)) {
      if (item.position) this.#moveTo(safeNumber(item.position.commit), item.position);
      if (item.caughtUp) this.#lifecycle.reach();
      return undefined;
    }
    const exact = item.event.event?.position;
    if (!exact) return undefined;
    const position = safeNumber(exact.commit);
    // A server that begins again may give again what was handled.
    if (position <= this.#at!) return undefined;
    const event = fromResolved(item.event);
    if (!event || !this.#selection.wants(event) || this.#tools.retention.outlived(event)) {
      this.#moveTo(position, exact);
      return undefined;
    }
    this.#handling = true;
    try {
      const pending = this.#handler(event);
      if (pending) return this.#finishHandling(pending, event, exact);
    } catch (error) {
      throw new HandlerFailed(error);
    }
    this.#handled(event, exact);
    return undefined;
  }

  async #finishHandling(pending: Promise<void>, event: RecordedEvent, exact: Position): Promise<void> {
    try {
      await pending;
    } catch (error) {
      throw new HandlerFailed(error);
    }
    this.#handled(event, exact);
  }

  #handled(event: RecordedEvent, exact: Position): void {
    this.#last = event;
    if (this.#tools.retention.keeps(event.stream)) this.#lastKept = event;
    this.#solid = event.position;
    this.#moveTo(event.position, exact);
  }

  #moveTo(position: number, exact?: Position): void {
    if (this.#at !== undefined && position <= this.#at) return;
    this.#at = position;
    this.#exact = exact;
    this.#freshen();
  }

  #freshen(): void {
    if (this.#mark === undefined || this.#at === undefined || this.#mark.head > this.#at) return;
    this.#freshAt = this.#mark.asked;
    this.#mark = undefined;
  }

  async #pause(time: Milliseconds): Promise<void> {
    if (this.#done) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, time);
      this.#wakePause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wakePause = undefined;
  }
}

/** Tells the handler's error, which ends the subscription, from the server's, which do not. */
class HandlerFailed extends Error {
  constructor(readonly reason: unknown) {
    super('the handler failed');
  }
}
