import {
  AccessDeniedError,
  BACKWARDS,
  END,
  FORWARDS,
  NotLeaderError,
  START,
  StreamDeletedError,
  StreamNotFoundError,
  type Credentials,
  type KurrentDBClient,
  type ReadStreamOptions as ClientReadOptions,
} from '@kurrent/kurrentdb-client';
import { setTimeout as pause } from 'node:timers/promises';
import type { RecordedEvent } from '../../kernel/events.js';
import type { Milliseconds } from '../../kernel/time.js';
import { Cursor, type Slice } from '../cursor.js';
import { Backoff } from '../../runtime/clock.js';
import { StoreUnavailable, type ReadAllOptions, type ReadStreamOptions } from '../port.js';
import type { Connection } from './connection.js';
import type { Resolved } from './envelope.js';
import { fromResolved, reaches, safeNumber, Selection } from './envelope.js';
import { isAnswer, NoAnswer, portError, answered } from './errors.js';
import type { Retention } from './retention.js';

/** Events of one request at most. Its first event comes up to 40 ms late, as long as thousands of others take. */
const PAGE = 65_536;

/** Events that are held for a reader that is slower than the server, which then waits too. */
const HELD = 4096;

/** How often nodes that do not lead may send a client on. During an election they may not agree on the leader. */
const REDIRECTIONS = 4;

export interface ReaderTools {
  readonly connection: Connection;
  /** Set if the URL has them: the connection for reads would take them from it undecoded. */
  readonly credentials: Credentials | undefined;
  readonly retention: Retention;
  /** How long each step may wait for the server. */
  readonly timeout: Milliseconds;
  /** @throws StoreUnavailable once the store is closed */
  readonly checkOpen: () => void;
}

/** Told of each event of a page as it comes; the next one is asked for when what it returns has resolved. */
type Take = (resolved: Resolved) => Promise<void> | undefined | void;

/** Hands over the events of one request; resolves with whether there may be more. */
type ReadPage = (give: (event: RecordedEvent) => Promise<void> | undefined) => Promise<boolean>;

/** An event can be read some milliseconds after it was written. */
const UNTIL_READABLE = { first: 2, most: 50 } as const;
const READABLE_WITHIN: Milliseconds = 1000;

/** Reads at the leader, so that what was acknowledged is seen. */
export class Reader {
  readonly #tools: ReaderTools;
  readonly #common;

  constructor(tools: ReaderTools) {
    this.#tools = tools;
    const { credentials } = tools;
    this.#common = { requiresLeader: true, ...(credentials && { credentials }) };
  }

  stream(name: string, options: ReadStreamOptions): Cursor {
    const { limit = Number.MAX_SAFE_INTEGER } = options;
    const { retention, checkOpen } = this.#tools;
    const forwards = options.direction !== 'backwards';
    const direction = forwards ? FORWARDS : BACKWARDS;
    let next = options.from;
    let left = limit;
    const pages = new Pages(checkOpen, async (give) => {
      if (left <= 0 || (next !== undefined && next < 0)) return false;
      const fromRevision = next === undefined ? (forwards ? START : END) : BigInt(next);
      const more = await this.#page(
        `reading ${name}`,
        Math.min(left, PAGE),
        (client, maxCount) => client.readStream(name, { direction, fromRevision, maxCount, ...this.#common }),
        (resolved) => {
          next = safeNumber(resolved.event!.revision) + (forwards ? 1 : -1);
          const event = fromResolved(resolved);
          if (!event || retention.outlived(event)) return;
          left--;
          return give(event);
        },
      );
      return more && left > 0;
    });
    return pages.cursor();
  }

  all(options: ReadAllOptions): Cursor {
    const { from, until = Number.MAX_SAFE_INTEGER, limit = Number.MAX_SAFE_INTEGER } = options;
    const { after = from ?? 0 } = options;
    const { retention, checkOpen } = this.#tools;
    const selection = new Selection(options.categories);
    const filter = selection.filter();
    let at = after;
    let isTaken = options.after !== undefined || from === undefined;
    let left = selection.empty ? 0 : limit;
    let end: number | undefined;
    const pages = new Pages(checkOpen, async (give) => {
      // What is appended meanwhile is not part of this read. Otherwise a read of a busy store would never end.
      if (left > 0 && end === undefined) {
        end = Math.min(until, await this.head());
        await retention.refresh();
      }
      if (end === undefined || (isTaken ? at >= end : at > end)) return false;
      const last = end;
      const fromPosition = at === 0 ? START : { commit: BigInt(at), prepare: BigInt(at) };
      // The event at the position itself comes again.
      const more = await this.#page(
        'reading all',
        Math.min(left, PAGE) + 1,
        (client, maxCount) =>
          client.readAll({ direction: FORWARDS, fromPosition, maxCount, filter, ...this.#common }),
        (resolved) => {
          const position = safeNumber(resolved.event!.position!.commit);
          if (isTaken ? position <= at : position < at) return;
          isTaken = true;
          at = position;
          if (position > last || left === 0) return;
          const event = fromResolved(resolved);
          if (!event || !selection.wants(event) || retention.outlived(event)) return;
          left--;
          return give(event);
        },
      );
      return more && left > 0;
    });
    return pages.cursor();
  }

  /** Position of the last event that is not the server's own; 0 if there is none. */
  async head(timeout = this.#tools.timeout): Promise<number> {
    return (await this.#lastOfAll(new Selection(undefined), timeout)) ?? 0;
  }

  /** Position at which the log ends, for any last event. */
  async tail(): Promise<number> {
    return (await this.#lastOfAll(undefined, this.#tools.timeout)) ?? 0;
  }

  /**
   * Whether the log holds an event of a selection after one position and up to another, which the log has reached.
   *
   * @throws StoreUnavailable also if the node that answers lags, and has not come so far
   */
  async holds(selection: Selection, after: number, until: number): Promise<boolean> {
    const fromPosition = after === 0 ? START : { commit: BigInt(after), prepare: BigInt(after) };
    const filter = selection.filter();
    const { client } = this.#tools.connection;
    let found = false;
    await this.#page(
      'looking for missed events',
      2,
      (reading, maxCount) =>
        reading.readAll({ direction: FORWARDS, fromPosition, maxCount, filter, ...this.#common }),
      ({ event }) => {
        const position = safeNumber(event!.position!.commit);
        if (position > after && position <= until) found = true;
      },
    );
    if (found || (await this.tail()) >= until) return found;
    this.#tools.connection.renew(client);
    throw new StoreUnavailable(`the node that answers has not come to position ${until}`);
  }

  /** The event with this revision in a stream, if it is there. */
  async eventAt(stream: string, revision: number): Promise<RecordedEvent | undefined> {
    const resolved = await this.#one(stream, { direction: FORWARDS, fromRevision: BigInt(revision) });
    const event = resolved && fromResolved(resolved);
    return event?.revision === revision ? event : undefined;
  }

  /**
   * The last event of a stream, of any type, or of its metadata. The server may refuse an append because of events that
   * cannot be read yet: if a refusal has named a revision, waits until that one can be read, for at most a second.
   */
  async last(stream: string, named?: number): Promise<Resolved | undefined> {
    const backoff = new Backoff(UNTIL_READABLE);
    const began = performance.now();
    for (;;) {
      const last = await this.#one(stream, { direction: BACKWARDS, fromRevision: END });
      if (named === undefined || reaches(last, named) || performance.now() - began > READABLE_WITHIN)
        return last;
      await pause(backoff.next());
    }
  }

  async #one(
    stream: string,
    options: Pick<ClientReadOptions, 'direction' | 'fromRevision'>,
  ): Promise<Resolved | undefined> {
    let found: Resolved | undefined;
    await this.#page(
      `reading ${stream}`,
      1,
      (client, maxCount) => client.readStream(stream, { ...options, maxCount, ...this.#common }),
      (resolved) => void (found = resolved),
    );
    return found;
  }

  async #lastOfAll(selection: Selection | undefined, timeout: Milliseconds): Promise<number | undefined> {
    const filter = selection && { filter: selection.filter() };
    let position: number | undefined;
    await this.#page(
      'asking for the head',
      1,
      (client, maxCount) =>
        client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount, ...filter, ...this.#common }),
      ({ event }) => void (position = safeNumber(event!.position!.commit)),
      timeout,
    );
    return position;
  }

  /**
   * Hands over one request's events, as far as they come. A request that fails or is not answered before it has given any
   * is made once more, on a fresh connection: the one that reads have below the client may have been lost, or wait for a
   * leader that does not answer.
   *
   * @returns whether there may be more: it gave as many as were asked for, or broke off after it had begun
   * @throws StoreUnavailable and what else the port has
   */
  async #page(
    what: string,
    most: number,
    open: (client: KurrentDBClient, most: number) => AsyncIterableIterator<Resolved>,
    take: Take,
    timeout = this.#tools.timeout,
  ): Promise<boolean> {
    const { connection, checkOpen } = this.#tools;
    let taken = 0;
    const count: Take = (resolved) => {
      taken++;
      return take(resolved);
    };
    for (let failures = 0, redirections = 0; ;) {
      checkOpen();
      const { client } = connection;
      try {
        await gather(open(client, most), count, timeout, connection);
        return taken >= most;
      } catch (error) {
        if (error instanceof StreamNotFoundError || error instanceof StreamDeletedError) return false;
        if (isAnswer(error) || error instanceof AccessDeniedError) throw portError(error, what);
        if (taken > 0) return true;
        // A client that is sent on to the leader goes there with its next request.
        if (error instanceof NotLeaderError && ++redirections < REDIRECTIONS) continue;
        connection.renew(client);
        if (++failures === 2) throw portError(error, what);
        await connection.settled();
      }
    }
  }
}

/**
 * Takes what comes, until it ends, or nothing has come for so long, or none had before its connection was given up. A
 * slow reader lets the time pass too: then the rest is requested again.
 */
async function gather(
  source: AsyncIterableIterator<Resolved>,
  take: Take,
  timeout: Milliseconds,
  connection: Connection,
): Promise<void> {
  let taken = 0;
  let givenUp = false;
  const drain = async (): Promise<void> => {
    for (let step = await source.next(); !step.done && !givenUp; step = await source.next()) {
      taken++;
      const ready = take(step.value);
      if (ready !== undefined) await ready;
    }
  };
  const began = performance.now();
  const drained = new Promise<void>((resolve, reject) => {
    const forget = connection.onReplaced(() => {
      if (taken === 0) reject(new NoAnswer(performance.now() - began));
    });
    drain().finally(forget).then(resolve, reject);
  });
  for (let seen = 0; ; seen = taken) {
    try {
      await answered(timeout, drained);
      return;
    } catch (error) {
      if (error instanceof NoAnswer && taken > seen) continue;
      givenUp = true;
      void source.return?.();
      throw error;
    }
  }
}

/** The reader has stopped before the end. */
class Stopped extends Error {}

/** Hands over what requests give, as it comes, and no faster than it is taken. */
class Pages {
  #ready: RecordedEvent[] = [];
  #more = true;
  #reading = false;
  #stopped = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #takeOn: (() => void) | undefined;
  readonly #checkOpen: () => void;
  readonly #page: ReadPage;

  /** @param checkOpen throws once the store is closed, also where events are left that were read before */
  constructor(checkOpen: () => void, page: ReadPage) {
    this.#checkOpen = checkOpen;
    this.#page = page;
  }

  cursor(): Cursor {
    return new Cursor(
      () => this.#next(),
      () => this.#stop(),
    );
  }

  async #next(): Promise<Slice> {
    try {
      this.#checkOpen();
    } catch (error) {
      this.#stop();
      throw error;
    }
    while (this.#ready.length === 0) {
      if (this.#failure) throw this.#failure.error;
      if (!this.#reading) {
        if (!this.#more) return { events: [], more: false };
        this.#reading = true;
        void this.#read();
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const events = this.#ready;
    this.#ready = [];
    this.#takeOn?.();
    return { events, more: true };
  }

  /** Ends the request under way. */
  #stop(): void {
    this.#stopped = true;
    this.#takeOn?.();
  }

  async #read(): Promise<void> {
    try {
      this.#more = await this.#page((event) => {
        if (this.#stopped) throw new Stopped();
        this.#ready.push(event);
        this.#wake?.();
        return this.#ready.length < HELD ? undefined : this.#room();
      });
    } catch (error) {
      this.#failure = { error };
    }
    this.#reading = false;
    this.#wake?.();
  }

  async #room(): Promise<void> {
    await new Promise<void>((resolve) => (this.#takeOn = resolve));
    this.#takeOn = undefined;
    if (this.#stopped) throw new Stopped();
  }
}
