import {
  BACKWARDS,
  END,
  FORWARDS,
  START,
  StreamDeletedError,
  StreamNotFoundError,
  UnavailableError,
  type KurrentDBClient,
} from '@kurrent/kurrentdb-client';
import { setTimeout as pause } from 'node:timers/promises';
import type { RecordedEvent } from '../../kernel/events.js';
import type { Milliseconds } from '../../kernel/time.js';
import { Backoff } from '../backoff.js';
import type { ReadAllOptions, ReadStreamOptions } from '../port.js';
import type { Connection } from './connection.js';
import { fromResolved, reaches, safeNumber, type Resolved } from './envelope.js';
import { NoAnswer, portError, within } from './errors.js';
import type { Retention } from './retention.js';
import { Selection } from './selection.js';

/** Events asked for at once. The client has no way to take back a read: what is left of one is read for nothing. */
const PAGE = 512;

/** An event can be read some milliseconds after it was written. */
const UNTIL_READABLE = { first: 2, most: 50 } as const;
const READABLE_WITHIN: Milliseconds = 1000;

/** Reads at the leader, so that what was acknowledged is seen. */
const LEADER = { requiresLeader: true } as const;

export class Reader {
  constructor(
    private readonly connection: Connection,
    private readonly retention: Retention,
    /** How long each step may wait for the server. */
    private readonly timeout: Milliseconds,
    private readonly checkOpen: () => void,
  ) {}

  async *stream(name: string, options: ReadStreamOptions): AsyncGenerator<RecordedEvent, void> {
    const { from, limit = Number.MAX_SAFE_INTEGER } = options;
    const forwards = options.direction !== 'backwards';
    let next = from;
    let left = limit;
    while (left > 0 && (next === undefined || next >= 0)) {
      const maxCount = Math.min(left, PAGE);
      const fromRevision = next === undefined ? (forwards ? START : END) : BigInt(next);
      let got = 0;
      const page = this.page(`reading ${name}`, (client) =>
        client.readStream(name, {
          direction: forwards ? FORWARDS : BACKWARDS,
          fromRevision,
          maxCount,
          ...LEADER,
        }),
      );
      for await (const resolved of page) {
        got++;
        next = safeNumber(resolved.event!.revision) + (forwards ? 1 : -1);
        const event = fromResolved(resolved);
        if (!event || this.retention.outlived(event)) continue;
        left--;
        yield event;
        this.checkOpen();
      }
      if (got < maxCount && !page.cut) return;
    }
  }

  async *all(options: ReadAllOptions): AsyncGenerator<RecordedEvent, void> {
    const { after = 0, until = Number.MAX_SAFE_INTEGER, limit = Number.MAX_SAFE_INTEGER } = options;
    const selection = new Selection(options.categories);
    // What comes in meanwhile is not part of this read, or a busy store would never let it end.
    const end = Math.min(until, await this.head());
    let at = after;
    let left = selection.empty ? 0 : limit;
    while (left > 0 && at < end) {
      // The event at the position itself comes again.
      const maxCount = Math.min(left, PAGE) + 1;
      const fromPosition = at === 0 ? START : { commit: BigInt(at), prepare: BigInt(at) };
      let got = 0;
      const page = this.page('reading all', (client) =>
        client.readAll({
          direction: FORWARDS,
          fromPosition,
          maxCount,
          filter: selection.filter(),
          ...LEADER,
        }),
      );
      for await (const resolved of page) {
        got++;
        const position = safeNumber(resolved.event!.position.commit);
        if (position > end) return;
        if (position <= at) continue;
        at = position;
        const event = fromResolved(resolved);
        if (!event || !selection.wants(event) || this.retention.outlived(event)) continue;
        yield event;
        this.checkOpen();
        if (--left === 0) return;
      }
      if (got < maxCount && !page.cut) return;
    }
  }

  /** Position of the last event that is not the server's own; 0 where there is none. */
  async head(): Promise<number> {
    const page = this.page('asking for the head', (client) =>
      client.readAll({
        direction: BACKWARDS,
        fromPosition: END,
        maxCount: 1,
        filter: new Selection(undefined).filter(),
        ...LEADER,
      }),
    );
    let position = 0;
    for await (const { event } of page) position = safeNumber(event!.position.commit);
    return position;
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
    let last: Resolved | undefined;
    const page = this.page(`reading ${stream}`, (client) =>
      client.readStream(stream, { direction: BACKWARDS, fromRevision: END, maxCount: 1, ...LEADER }),
    );
    for await (const resolved of page) last = resolved;
    return last;
  }

  private page<T extends Resolved>(
    what: string,
    open: (client: KurrentDBClient) => AsyncIterableIterator<T>,
  ): Page<T> {
    this.checkOpen();
    return new Page(this.connection, what, this.timeout, open);
  }
}

/** One request's events, each step with its own time-out; errors come out as the port has them. */
class Page<T> implements AsyncIterable<T> {
  /** It broke off after it had begun: there may be more behind what it gave. */
  cut = false;

  constructor(
    private readonly connection: Connection,
    private readonly what: string,
    private readonly timeout: Milliseconds,
    private readonly open: (client: KurrentDBClient) => AsyncIterableIterator<T>,
  ) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    // Reads have a connection of their own below the client. It may notice only by failing that it was lost, and then
    // connects anew.
    for (let attempt = 1; ; attempt++) {
      let begun = false;
      const { client } = this.connection;
      try {
        const events = this.open(client);
        for (;;) {
          const step = await within(this.timeout, events.next());
          if (step.done) return;
          begun = true;
          yield step.value;
        }
      } catch (error) {
        if (error instanceof StreamNotFoundError || error instanceof StreamDeletedError) return;
        if (begun) {
          this.cut = true;
          return;
        }
        if (attempt < 2 && !(error instanceof NoAnswer)) continue;
        // It is dead for good where its first attempt found nobody.
        if (error instanceof UnavailableError) this.connection.renew(client);
        throw portError(error, this.what);
      }
    }
  }
}
