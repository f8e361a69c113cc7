import type { Position } from '@kurrent/kurrentdb-client';
import type { Milliseconds } from '../../kernel/time.js';
import { Course } from '../course.js';
import { StoreRefused, type EventHandler, type SubscribeOptions, type Subscription } from '../port.js';
import { Backoff, type BackoffOptions } from '../backoff.js';
import type { Connection } from './connection.js';
import { fromResolved, safeNumber } from './envelope.js';
import { Silence, spoilsClient } from './errors.js';
import { Feed, type FeedItem } from './feed.js';
import type { Retention } from './retention.js';
import { Selection } from './selection.js';
import { Share } from '../turn.js';

export interface SubscriptionTools {
  readonly connection: Connection;
  readonly retention: Retention;
  readonly backoff: BackoffOptions;
  /** How long the server may take to confirm. */
  readonly timeout: Milliseconds;
  /** After so long without a sign from the server it is looked whether the log went on. */
  readonly silence: Milliseconds;
  /** Position of the last event, asked for anew. */
  readonly head: () => Promise<number>;
  readonly report: (problem: string, error: unknown) => void;
}

/** Follows $all from a position on, over as many feeds as it takes. */
export class ResumingSubscription implements Subscription {
  private readonly course = new Course();
  readonly caughtUp = this.course.caughtUp;
  readonly ended = this.course.ended;
  /** Settles once it is known where an `end` is; at once for a position. */
  readonly placed: Promise<void>;

  private at: number | undefined;
  /** The same as the server gave it. */
  private exact: Position | undefined;
  private feed: Feed | undefined;
  private stopping = false;
  private readonly selection: Selection;
  private readonly backoff: Backoff;
  private readonly share = new Share();
  /** Signs from the server so far. */
  private signs = 0;
  private handling = false;
  /** By `performance.now()`; undefined while the server says that everything has been given. */
  private behindSince: number | undefined = performance.now();
  private wakePause: (() => void) | undefined;

  constructor(
    private readonly tools: SubscriptionTools,
    options: SubscribeOptions,
    private readonly handler: EventHandler,
  ) {
    this.selection = new Selection(options.categories);
    this.backoff = new Backoff(tools.backoff);
    if (options.after !== 'end') this.at = options.after;
    // Where this fails it is tried again, and reported, like any other loss.
    this.placed = this.place().catch(() => undefined);
    void this.run();
  }

  get position(): number {
    return this.at ?? 0;
  }

  get lag(): Milliseconds {
    return this.behindSince === undefined ? 0 : performance.now() - this.behindSince;
  }

  stop(): Promise<void> {
    this.stopping = true;
    this.feed?.close();
    this.wakePause?.();
    return this.course.settled;
  }

  /** Ends it because the store does: `ended` rejects with the reason given. */
  abort(reason: Error): void {
    this.course.end(reason);
    this.feed?.close();
    this.wakePause?.();
  }

  private get done(): boolean {
    return this.stopping || this.course.over;
  }

  private async place(): Promise<void> {
    if (this.at === undefined) this.moveTo(await this.tools.head());
  }

  private async run(): Promise<void> {
    // Nothing is handed over inside the call that subscribes.
    await this.share.turn();
    await this.placed;
    while (!this.done) {
      const { connection, report } = this.tools;
      const { client } = connection;
      try {
        await this.place();
        if (this.done) break;
        this.feed = new Feed(client, this.from(), this.selection, this.tools.timeout);
        await this.follow(this.feed);
        if (this.done) break;
        throw this.feed.lost ?? new Error('lost');
      } catch (error) {
        if (this.done) break;
        if (error instanceof HandlerFailed || error instanceof StoreRefused) {
          this.course.end(error instanceof HandlerFailed ? error.reason : error);
          break;
        }
        if (spoilsClient(error)) connection.renew(client);
        // Where little is written this may only mean that nothing concerned this subscription.
        if (!(error instanceof Silence)) report('a subscription was lost and is taken up again', error);
      } finally {
        this.behindSince ??= performance.now();
        this.feed?.close();
        this.feed = undefined;
      }
      await this.pause(this.backoff.next());
    }
    this.course.end();
  }

  private from(): Position | undefined {
    if (this.exact) return this.exact;
    const at = BigInt(this.at!);
    return at === 0n ? undefined : { commit: at, prepare: at };
  }

  /** Handles what the feed gives until it is lost or this ends. */
  private async follow(feed: Feed): Promise<void> {
    this.share.renew();
    const watch = this.watch(feed);
    try {
      while (!this.done) {
        const item = feed.take();
        if (!item) {
          if (feed.lost) return;
          await feed.more();
          this.share.renew();
          continue;
        }
        const pending = this.handle(item);
        if (pending) {
          this.handling = true;
          await pending;
          this.handling = false;
        }
        if (this.share.spent()) await this.share.turn();
      }
    } finally {
      this.handling = false;
      clearInterval(watch);
    }
  }

  /** A server has been seen to forget a subscription without ending it. */
  private watch(feed: Feed): NodeJS.Timeout {
    const { silence, head, report } = this.tools;
    let seen = -1;
    return setInterval(() => {
      const quiet = this.signs === seen && !this.handling;
      seen = this.signs;
      if (!quiet) return;
      head().then(
        (position) => {
          if (position > this.at! && this.signs === seen && !this.handling) feed.lose(new Silence(silence));
        },
        (error: unknown) => report('the head could not be asked for', error),
      );
    }, silence).unref();
  }

  private handle(item: FeedItem): Promise<void> | undefined {
    this.backoff.reset();
    this.signs++;
    if (!('event' in item)) {
      if (item.position) this.moveTo(safeNumber(item.position.commit), item.position);
      if (item.caughtUp) {
        this.behindSince = undefined;
        this.course.reach();
      }
      return undefined;
    }
    const exact = item.event.event?.position;
    if (!exact) return undefined;
    const position = safeNumber(exact.commit);
    // A server that begins anew may give again what was handled.
    if (position <= this.at!) return undefined;
    const event = fromResolved(item.event);
    if (!event || !this.selection.wants(event) || this.tools.retention.outlived(event)) {
      this.moveTo(position, exact);
      return undefined;
    }
    try {
      const pending = this.handler(event);
      if (pending) return this.finishHandling(pending, position, exact);
    } catch (error) {
      throw new HandlerFailed(error);
    }
    this.moveTo(position, exact);
    return undefined;
  }

  private async finishHandling(pending: Promise<void>, position: number, exact: Position): Promise<void> {
    try {
      await pending;
    } catch (error) {
      throw new HandlerFailed(error);
    }
    this.moveTo(position, exact);
  }

  private moveTo(position: number, exact?: Position): void {
    if (this.at !== undefined && position <= this.at) return;
    this.at = position;
    this.exact = exact;
  }

  private async pause(time: Milliseconds): Promise<void> {
    if (this.done) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, time);
      this.wakePause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wakePause = undefined;
  }
}

/** Tells the handler's error, which ends the subscription, from the server's, which do not. */
class HandlerFailed extends Error {
  constructor(readonly reason: unknown) {
    super('the handler failed');
  }
}
