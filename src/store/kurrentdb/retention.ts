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
import { StoreUnavailable } from '../port.js';
import { atLeader, answered, portError } from './errors.js';
import type { Erasures } from './forget.js';
import { recentlyUsed } from '../../runtime/recently-used.js';

/** Bound on the streams that are known to carry the right `$maxAge`: a few MB. */
const REMEMBERED_STREAMS = 50_000;

/** How often others may be faster to write a stream's metadata. */
const ATTEMPTS = 5;

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
 * of categories, so each stream is seen to with its first append by this process, and written to only if it differs. That
 * append is answered once both are written, so a stream that gets no second append has it too.
 * The server hides what is too old from reads of the stream at once, and from everything only at its scavenge: until
 * then it is passed over here.
 */
export class Retention {
  readonly #tools: RetentionTools;
  readonly #ages = new Map<string, Milliseconds | undefined>();
  /** Streams that carry it, or soon will. */
  readonly #done = recentlyUsed<string, true>(REMEMBERED_STREAMS);
  /** Streams that are being seen to. */
  readonly #underWay = new Map<string, Promise<void>>();

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
    this.forget();
  }

  /** Learns which streams were deleted: where one begins again, it has no retention yet. @throws StoreUnavailable */
  async refresh(): Promise<void> {
    if (await this.#tools.erased.refresh()) this.forget();
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

  /** Streams are checked again: the log was replaced, or they may have lost it. */
  forget(): void {
    this.#done.clear();
    this.#underWay.clear();
  }

  /**
   * Sees that a stream carries `$maxAge` as it should; undefined if it is known to. What is sent to the server for that
   * is sent within this call, so that an append that is sent next comes after it.
   *
   * @throws what makes a store unavailable: it is tried again with the append. A refusal is reported.
   */
  provide(stream: string): Promise<void> | undefined {
    if (this.#ages.size === 0 || !this.#ages.has(categoryOf(stream))) return undefined;
    const before = this.#underWay.get(stream);
    if (before !== undefined || this.#done.has(stream)) return before;
    this.#done.set(stream, true);
    const looking = this.#look(stream)
      .catch((error: unknown) => {
        this.#done.delete(stream);
        if (portError(error, 'setting a retention') instanceof StoreUnavailable) throw error;
        this.#tools.report(`the retention of ${stream} could not be set`, error);
      })
      .finally(() => {
        if (this.#underWay.get(stream) === looking) this.#underWay.delete(stream);
      });
    // Nobody waits for it where the append itself has failed.
    looking.catch(() => undefined);
    this.#underWay.set(stream, looking);
    return looking;
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

  async #look(stream: string): Promise<void> {
    const age = this.#ages.get(categoryOf(stream));
    // Whole seconds from 1 on is what the server takes.
    const $maxAge = age === undefined ? undefined : Math.max(1, Math.ceil(age / SECOND));
    const metastream = `$$${stream}`;
    // Most streams are new, and have none that would have to be read; of others the write is refused.
    let found = age === undefined ? (await this.#tools.last(metastream))?.event : undefined;
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
