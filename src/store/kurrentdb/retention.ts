import {
  jsonEvent,
  NO_STREAM,
  WrongExpectedVersionError,
  type AppendStreamState,
} from '@kurrent/kurrentdb-client';
import { InvalidInput } from '../../kernel/errors.js';
import { categoryOf, type RecordedEvent } from '../../kernel/events.js';
import { SECOND, type Clock, type Milliseconds } from '../../kernel/time.js';
import type { Connection } from './connection.js';
import { fromResolved, reaches, safeNumber, sending, type Resolved } from './envelope.js';
import { atLeader, answered } from './errors.js';
import type { Erasures } from './forget.js';
import { recentlyUsed } from '../../runtime/recently-used.js';

/** Bound on the streams that are known to carry the right `$maxAge`: a few MB. */
const REMEMBERED_STREAMS = 50_000;

/** Streams looked at side by side: appends go first. */
const AT_ONCE = 4;

/** How often others may be faster to write a stream's metadata. */
const ATTEMPTS = 5;

/** Streams that may wait to be looked at; more are looked at when they are next appended to. */
const MOST_WAITING = 10_000;

export interface RetentionTools {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly timeout: Milliseconds;
  /** The last event of a stream; waits a little if a refusal has `named` a revision that cannot be read yet. */
  readonly last: (stream: string, named?: number) => Promise<Resolved | undefined>;
  readonly report: (problem: string, error: unknown) => void;
  readonly erased: Erasures;
}

/**
 * Keeps `$maxAge` in the metadata of each stream as it is set for the stream's category. KurrentDB knows no retention
 * of categories, so each stream is looked at after its first append by this process, and written to only if it differs.
 * The server hides what is too old from reads of the stream at once, and from everything only at its scavenge: until
 * then it is passed over here.
 */
export class Retention {
  readonly #tools: RetentionTools;
  readonly #ages = new Map<string, Milliseconds | undefined>();
  readonly #done = recentlyUsed<string, true>(REMEMBERED_STREAMS);
  /** Streams to be looked at, each with whether it was new. */
  readonly #waiting = new Map<string, boolean>();
  #running = 0;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(tools: RetentionTools) {
    this.#tools = tools;
  }

  /** @throws InvalidInput */
  set(category: string, maxAge: Milliseconds | undefined): void {
    if (maxAge !== undefined && !(Number.isSafeInteger(maxAge) && maxAge >= 0)) {
      throw new InvalidInput('maxAge', `a retention is a number of whole milliseconds, not ${maxAge}`);
    }
    if (this.#ages.has(category) && this.#ages.get(category) === maxAge) return;
    this.#ages.set(category, maxAge);
    this.#done.clear();
  }

  /** Learns which streams were deleted: where one begins again, it has no retention yet. @throws StoreUnavailable */
  async refresh(): Promise<void> {
    if (await this.#tools.erased.refresh()) this.#done.clear();
  }

  /** Whether the server hides it, or will: by its age, or since its stream was deleted. */
  outlived(event: RecordedEvent): boolean {
    if (this.#tools.erased.has(event)) return true;
    if (this.#ages.size === 0) return false;
    const age = this.#ages.get(categoryOf(event.stream));
    return age !== undefined && this.#tools.clock.now() - event.recordedAt > age;
  }

  /** Whether the server may have taken an event that was there. Clocks differ: half the age is enough. */
  mayHaveTaken(event: Pick<RecordedEvent, 'stream' | 'recordedAt' | 'revision'>): boolean {
    const { stream, recordedAt } = event;
    if (this.#tools.erased.has(event)) return true;
    const age = this.#ages.get(categoryOf(stream));
    return age !== undefined && this.#tools.clock.now() - recordedAt > age / 2;
  }

  /** Whether events of this stream stay for ever. */
  keeps(stream: string): boolean {
    return this.#ages.get(categoryOf(stream)) === undefined;
  }

  /** The log was replaced: its streams are checked again. */
  forget(): void {
    this.#done.clear();
  }

  /** A stream was appended to; if it was `fresh`, it has no metadata that would have to be read. */
  touch(stream: string, fresh: boolean): void {
    if (
      this.#stopped ||
      this.#ages.size === 0 ||
      !this.#ages.has(categoryOf(stream)) ||
      this.#done.has(stream)
    )
      return;
    if (this.#waiting.size >= MOST_WAITING) return;
    this.#done.set(stream, true);
    this.#waiting.set(stream, fresh);
    if (this.#running < AT_ONCE) void this.#work();
  }

  /** Resolves once no stream is being looked at; those that wait are left for their next append. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    await this.settled();
  }

  /** Resolves once every stream touched so far has been looked at. */
  async settled(): Promise<void> {
    while (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /**
   * Whether everything that a stream holds, up to a revision that a refusal has named, has outlived its retention. That
   * a read finds nothing is no proof: the server refuses by events that cannot be read yet. So where the stream hides
   * what is too old, its metadata is written once more as it is: once that can be read, so can all that came before it.
   * Where it has not, resolves when the event of that revision can be read, or after a second.
   */
  async emptied(stream: string, revision: number): Promise<boolean> {
    let last = await this.#tools.last(stream);
    if (!reaches(last, revision)) {
      const hides = await this.#sayAgain(stream, revision);
      last = await this.#tools.last(stream, hides ? undefined : revision);
      if (!reaches(last, revision)) return hides;
    }
    const event = fromResolved(last!);
    return event !== undefined && this.outlived(event);
  }

  /** Writes the metadata of a stream that hides what is too old once more; true once that can be read. */
  async #sayAgain(stream: string, before: number): Promise<boolean> {
    const metastream = `$$${stream}`;
    const found = (await this.#tools.last(metastream))?.event;
    const metadata = (found?.data ?? {}) as Record<string, unknown>;
    const isTruncated = typeof metadata.$tb === 'number' && metadata.$tb > before;
    if (metadata.$maxAge === undefined && !isTruncated) return false;
    const { revision } = await this.#write(metastream, metadata, found!.revision);
    return reaches(await this.#tools.last(metastream, revision), revision);
  }

  /**
   * Where another was faster, `lost`, and the revision that it wrote. Not by the client's calls for metadata: what they read
   * names the position of the metadata in the log, not its revision.
   */
  async #write(
    metastream: string,
    data: Record<string, unknown>,
    after: bigint | undefined,
  ): Promise<{ revision: number; lost: boolean }> {
    const { connection, timeout } = this.#tools;
    const event = jsonEvent({ type: '$metadata', data });
    const streamState: AppendStreamState = after ?? NO_STREAM;
    try {
      const append = () => connection.client.appendToStream(metastream, event, sending(streamState));
      const written = await answered(timeout, atLeader(append));
      return { revision: safeNumber(written.nextExpectedRevision), lost: false };
    } catch (error) {
      if (!(error instanceof WrongExpectedVersionError) || typeof error.actualState !== 'bigint') throw error;
      return { revision: safeNumber(error.actualState), lost: true };
    }
  }

  async #work(): Promise<void> {
    this.#running++;
    for (let [next] = this.#waiting; next; [next] = this.#waiting) {
      const [stream, fresh] = next;
      this.#waiting.delete(stream);
      try {
        await this.#look(stream, fresh);
      } catch (error) {
        this.#done.delete(stream);
        this.#tools.report(`the retention of ${stream} could not be set`, error);
      }
    }
    this.#running--;
    for (const wake of this.#idle.splice(0)) wake();
  }

  async #look(stream: string, fresh: boolean): Promise<void> {
    const age = this.#ages.get(categoryOf(stream));
    // Whole seconds from 1 on is what the server takes.
    const $maxAge = age === undefined ? undefined : Math.max(1, Math.ceil(age / SECOND));
    const metastream = `$$${stream}`;
    let found = fresh ? undefined : (await this.#tools.last(metastream))?.event;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const before = (found?.data ?? {}) as Record<string, unknown>;
      if (before.$maxAge === $maxAge) return;
      // All other metadata (access rights, a bound on the count) stays as it is.
      const { revision, lost } = await this.#write(metastream, { ...before, $maxAge }, found?.revision);
      if (!lost) return;
      // Another process has most likely set the same.
      found = (await this.#tools.last(metastream, revision))?.event;
    }
    throw new Error('others keep changing its metadata');
  }
}
