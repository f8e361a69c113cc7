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
} from '@kurrent/kurrentdb-client';
import { setTimeout as pause } from 'node:timers/promises';
import type { RecordedEvent } from '../../kernel/events.js';
import type { Milliseconds } from '../../kernel/time.js';
import { Cursor, type Slice } from '../cursor.js';
import { Backoff } from '../backoff.js';
import type { ReadAllOptions, ReadStreamOptions } from '../port.js';
import type { Connection } from './connection.js';
import { fromResolved, reaches, safeNumber, type Resolved } from './envelope.js';
import { NoAnswer, portError, within } from './errors.js';
import type { Retention } from './retention.js';
import { Selection } from './selection.js';

/** Events asked for at once, to begin with and at most: two pages are held at a time. */
const FIRST_PAGE = 64;
const LARGEST_PAGE = 4096;

/** Pages grow while one comes within this time, so that large events do not fill the memory. */
const QUICK_PAGE: Milliseconds = 200;

/** How often a client may be sent on by nodes that do not lead: while they elect, they may not agree who does. */
const REDIRECTIONS = 4;

export interface ReaderTools {
  readonly connection: Connection;
  /** Where the URL has them: the connection of reads would take them from it as they are written there. */
  readonly credentials: Credentials | undefined;
  readonly retention: Retention;
  /** How long each step may wait for the server. */
  readonly timeout: Milliseconds;
  /** @throws StoreUnavailable once the store is closed */
  readonly checkOpen: () => void;
}

interface Page<T> {
  readonly events: readonly T[];
  /** There may be more: it is as long as was asked for, or broke off after it had begun. */
  readonly more: boolean;
}

/** An event can be read some milliseconds after it was written. */
const UNTIL_READABLE = { first: 2, most: 50 } as const;
const READABLE_WITHIN: Milliseconds = 1000;

/** Reads at the leader, so that what was acknowledged is seen. */
export class Reader {
  private readonly common;

  constructor(private readonly tools: ReaderTools) {
    const { credentials } = tools;
    this.common = { requiresLeader: true, ...(credentials && { credentials }) };
  }

  stream(name: string, options: ReadStreamOptions): Cursor {
    const { limit = Number.MAX_SAFE_INTEGER } = options;
    const forwards = options.direction !== 'backwards';
    const direction = forwards ? FORWARDS : BACKWARDS;
    let next = options.from;
    let left = limit;
    return paged(async (size) => {
      if (left <= 0 || (next !== undefined && next < 0)) return { events: [], more: false };
      const fromRevision = next === undefined ? (forwards ? START : END) : BigInt(next);
      const page = await this.page(`reading ${name}`, Math.min(left, size), (client, maxCount) =>
        client.readStream(name, { direction, fromRevision, maxCount, ...this.common }),
      );
      const last = page.events.at(-1);
      if (last) next = safeNumber(last.event!.revision) + (forwards ? 1 : -1);
      const events = page.events.map(fromResolved).filter((event) => event !== undefined);
      const there = events.filter((event) => !this.tools.retention.outlived(event));
      left -= there.length;
      return { events: there, more: page.more && left > 0 };
    });
  }

  all(options: ReadAllOptions): Cursor {
    const { after = 0, until = Number.MAX_SAFE_INTEGER, limit = Number.MAX_SAFE_INTEGER } = options;
    const { retention } = this.tools;
    const selection = new Selection(options.categories);
    const filter = selection.filter();
    let at = after;
    let left = selection.empty ? 0 : limit;
    let end: number | undefined;
    return paged(async (size) => {
      this.tools.checkOpen();
      if (left <= 0) return { events: [], more: false };
      // What comes in meanwhile is not part of this read, or a busy store would never let it end.
      end ??= Math.min(until, await this.head());
      if (at >= end) return { events: [], more: false };
      const fromPosition = at === 0 ? START : { commit: BigInt(at), prepare: BigInt(at) };
      // The event at the position itself comes again.
      const page = await this.page('reading all', Math.min(left, size) + 1, (client, maxCount) =>
        client.readAll({ direction: FORWARDS, fromPosition, maxCount, filter, ...this.common }),
      );
      const events = [];
      for (const resolved of page.events) {
        const position = safeNumber(resolved.event!.position.commit);
        if (position > end) return { events, more: false };
        if (position <= at) continue;
        at = position;
        const event = fromResolved(resolved);
        if (!event || !selection.wants(event) || retention.outlived(event)) continue;
        events.push(event);
        if (--left === 0) break;
      }
      return { events, more: page.more && left > 0 };
    });
  }

  /** Position of the last event that is not the server's own; 0 where there is none. */
  async head(timeout = this.tools.timeout): Promise<number> {
    return (await this.lastOfAll(new Selection(undefined), timeout)) ?? 0;
  }

  /** Position at which the log ends, whatever stands there. */
  async tail(): Promise<number> {
    return (await this.lastOfAll(undefined, this.tools.timeout)) ?? 0;
  }

  /** Whether an event of a selection stands after one position and up to another. */
  async holds(selection: Selection, after: number, until: number): Promise<boolean> {
    const fromPosition = after === 0 ? START : { commit: BigInt(after), prepare: BigInt(after) };
    const filter = selection.filter();
    const { events } = await this.page('looking for missed events', 2, (client, maxCount) =>
      client.readAll({ direction: FORWARDS, fromPosition, maxCount, filter, ...this.common }),
    );
    return events.some(({ event }) => {
      const position = safeNumber(event!.position.commit);
      return position > after && position <= until;
    });
  }

  /** The event with this revision in a stream, if it is there. */
  async eventAt(stream: string, revision: number): Promise<RecordedEvent | undefined> {
    const fromRevision = BigInt(revision);
    const { events } = await this.page(`reading ${stream}`, 1, (client, maxCount) =>
      client.readStream(stream, { direction: FORWARDS, fromRevision, maxCount, ...this.common }),
    );
    const event = events[0] && fromResolved(events[0]);
    return event?.revision === revision ? event : undefined;
  }

  /**
   * The last event of a stream, whatever it is, or of its metadata. The server refuses an append by events that cannot
   * be read yet: where a refusal has named a revision, waits until that one can be read, but a second at most.
   */
  async last(stream: string, named?: number): Promise<Resolved | undefined> {
    const backoff = new Backoff(UNTIL_READABLE);
    const began = performance.now();
    for (;;) {
      const last = await this.newest(stream);
      if (named === undefined || reaches(last, named) || performance.now() - began > READABLE_WITHIN)
        return last;
      await pause(backoff.next());
    }
  }

  private async newest(stream: string): Promise<Resolved | undefined> {
    const { events } = await this.page(`reading ${stream}`, 1, (client, maxCount) =>
      client.readStream(stream, { direction: BACKWARDS, fromRevision: END, maxCount, ...this.common }),
    );
    return events[0];
  }

  private async lastOfAll(
    selection: Selection | undefined,
    timeout: Milliseconds,
  ): Promise<number | undefined> {
    const filter = selection && { filter: selection.filter() };
    const { events } = await this.page(
      'asking for the head',
      1,
      (client, maxCount) =>
        client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount, ...filter, ...this.common }),
      timeout,
    );
    return events[0] && safeNumber(events[0].event!.position.commit);
  }

  /**
   * One request's events, as far as they come. A request that fails or is not answered before it has given any is made
   * once more, on a fresh connection: the one that reads have below the client may have been lost, or wait for a leader
   * that does not answer.
   *
   * @throws StoreUnavailable and what else the port has
   */
  private async page<T extends Resolved>(
    what: string,
    most: number,
    open: (client: KurrentDBClient, most: number) => AsyncIterableIterator<T>,
    timeout = this.tools.timeout,
  ): Promise<Page<T>> {
    const { connection, checkOpen } = this.tools;
    for (let failures = 0, redirections = 0; ;) {
      checkOpen();
      const { client } = connection;
      const events: T[] = [];
      try {
        await gather(open(client, most), events, timeout, connection);
        return { events, more: events.length >= most };
      } catch (error) {
        if (error instanceof StreamNotFoundError || error instanceof StreamDeletedError)
          return { events: [], more: false };
        if (events.length > 0) return { events, more: true };
        if (error instanceof AccessDeniedError) throw portError(error, what);
        // A client that is sent on to the leader goes there with its next request.
        if (error instanceof NotLeaderError && ++redirections < REDIRECTIONS) continue;
        connection.renew(client);
        if (++failures === 2) throw portError(error, what);
        await connection.settled();
      }
    }
  }
}

/** Collects what comes, until it ends, or nothing has come for so long, or none had before its connection was given up. */
async function gather<T>(
  source: AsyncIterator<T>,
  into: T[],
  timeout: Milliseconds,
  connection: Connection,
): Promise<void> {
  let givenUp = false;
  const drain = async (): Promise<void> => {
    for (let step = await source.next(); !step.done && !givenUp; step = await source.next())
      into.push(step.value);
  };
  const began = performance.now();
  const drained = new Promise<void>((resolve, reject) => {
    const forget = connection.onReplaced(() => {
      if (into.length === 0) reject(new NoAnswer(performance.now() - began));
    });
    drain().finally(forget).then(resolve, reject);
  });
  for (let seen = 0; ; seen = into.length) {
    try {
      await within(timeout, drained);
      return;
    } catch (error) {
      if (error instanceof NoAnswer && into.length > seen) continue;
      givenUp = true;
      throw error;
    }
  }
}

/** Walks pages, each larger than the last as long as they come quickly; from the second on the next comes meanwhile. */
function paged(read: (size: number) => Promise<Slice>): Cursor {
  let size = FIRST_PAGE;
  const fetch = async (): Promise<Slice> => {
    const began = performance.now();
    const slice = await read(size);
    const quick = performance.now() - began < QUICK_PAGE;
    size = quick ? Math.min(LARGEST_PAGE, size * 4) : Math.max(FIRST_PAGE, size / 4);
    return slice;
  };
  let coming: Promise<Slice> | undefined;
  let first = true;
  return new Cursor(async () => {
    const slice = await (coming ?? fetch());
    coming = first || !slice.more ? undefined : fetch();
    first = false;
    // Whoever asks for it gets its error.
    coming?.catch(() => undefined);
    return slice;
  });
}
