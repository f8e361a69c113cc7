import { jsonEvent, NO_STREAM } from '@kurrent/kurrentdb-client';
import { LRUCache } from 'lru-cache';
import { InvalidInput } from '../../kernel/errors.js';
import { categoryOf, type RecordedEvent } from '../../kernel/events.js';
import { SECOND, type Clock, type Milliseconds } from '../../kernel/time.js';
import type { Connection } from './connection.js';
import type { Resolved } from './envelope.js';
import { within } from './errors.js';

/** Bound on the streams that are known to carry the right `$maxAge`: a few MB. */
const REMEMBERED_STREAMS = 50_000;

/** Streams looked at side by side: appends go first. */
const AT_ONCE = 4;

/** Streams that may wait to be looked at; more are looked at when they are next appended to. */
const MOST_WAITING = 10_000;

export interface RetentionTools {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly timeout: Milliseconds;
  /** The last event of a stream. */
  readonly last: (stream: string) => Promise<Resolved | undefined>;
  readonly report: (problem: string, error: unknown) => void;
}

/**
 * Keeps `$maxAge` in the metadata of each stream as it is set for the stream's category. KurrentDB knows no
 * retention of categories, so each stream is looked at after its first append by this process, and written to only
 * where it differs. The server hides what is too old from reads of the stream at once, and from everything only at its
 * scavenge: until then it is passed over here.
 */
export class Retention {
  private readonly ages = new Map<string, Milliseconds | undefined>();
  private readonly done = new LRUCache<string, true>({ max: REMEMBERED_STREAMS });
  private readonly waiting: string[] = [];
  private running = 0;
  private stopped = false;
  private idle: (() => void)[] = [];

  constructor(private readonly tools: RetentionTools) {}

  /** @throws InvalidInput */
  set(category: string, maxAge: Milliseconds | undefined): void {
    if (maxAge !== undefined && !(Number.isSafeInteger(maxAge) && maxAge >= 0)) {
      throw new InvalidInput('maxAge', `a retention is a number of whole milliseconds, not ${maxAge}`);
    }
    if (this.ages.has(category) && this.ages.get(category) === maxAge) return;
    this.ages.set(category, maxAge);
    this.done.clear();
  }

  outlived(event: RecordedEvent): boolean {
    if (this.ages.size === 0) return false;
    const age = this.ages.get(categoryOf(event.stream));
    return age !== undefined && this.tools.clock.now() - event.recordedAt > age;
  }

  /** Whether the server may have taken an event that was there. Clocks differ: half the age is enough. */
  mayHaveTaken({ stream, recordedAt }: Pick<RecordedEvent, 'stream' | 'recordedAt'>): boolean {
    const age = this.ages.get(categoryOf(stream));
    return age !== undefined && this.tools.clock.now() - recordedAt > age / 2;
  }

  /** Whether events of this stream stay for ever. */
  keeps(stream: string): boolean {
    return this.ages.get(categoryOf(stream)) === undefined;
  }

  /** The log is another one: its streams have to be looked at anew. */
  forget(): void {
    this.done.clear();
  }

  /** A stream was appended to. */
  touch(stream: string): void {
    if (this.stopped || !this.ages.has(categoryOf(stream)) || this.done.has(stream)) return;
    if (this.waiting.length >= MOST_WAITING) return;
    this.done.set(stream, true);
    this.waiting.push(stream);
    if (this.running < AT_ONCE) void this.work();
  }

  /** Resolves once no stream is being looked at; those that wait are left for their next append. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.waiting.length = 0;
    await this.settled();
  }

  /** Resolves once every stream touched so far has been looked at. */
  async settled(): Promise<void> {
    while (this.running > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  private async work(): Promise<void> {
    this.running++;
    for (let stream = this.waiting.shift(); stream !== undefined; stream = this.waiting.shift()) {
      try {
        await this.look(stream);
      } catch (error) {
        this.done.delete(stream);
        this.tools.report(`the retention of ${stream} could not be set`, error);
      }
    }
    this.running--;
    for (const wake of this.idle.splice(0)) wake();
  }

  private async look(stream: string): Promise<void> {
    const { connection, timeout, last } = this.tools;
    const age = this.ages.get(categoryOf(stream));
    // Whole seconds from 1 on is what the server takes.
    const $maxAge = age === undefined ? undefined : Math.max(1, Math.ceil(age / SECOND));
    const metastream = `$$${stream}`;
    const found = (await last(metastream))?.event;
    const before = (found?.data ?? {}) as Record<string, unknown>;
    if (before.$maxAge === $maxAge) return;
    // Whatever else stands there (access rights, a bound on the count) stays.
    const event = jsonEvent({ type: '$metadata', data: { ...before, $maxAge } });
    const streamState = found ? found.revision : NO_STREAM;
    await within(timeout, connection.client.appendToStream(metastream, event, { streamState }));
  }
}
