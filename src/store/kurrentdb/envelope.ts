import type {
  AllStreamRecordedEvent,
  AppendStreamState,
  AppendToStreamOptions,
  EventData,
  Filter,
  RecordedEvent as Given,
  Position,
} from '@kurrent/kurrentdb-client';
import { streamNameFilter } from '@kurrent/kurrentdb-client';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import { categoryOf, UNREADABLE } from '../../kernel/events.js';
import type { Instant, Milliseconds } from '../../kernel/time.js';
import { SECOND, WEEK } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';

/** The content of an event's metadata. `$correlationId` is the name that KurrentDB's own projections know. */
interface EnvelopeMetadata {
  readonly at: number;
  readonly by: string;
  readonly version?: number | undefined;
  readonly $correlationId?: string | undefined;
  readonly traceparent?: string | undefined;
  /** The data is text: what the client gives back for JSON that it cannot read looks the same. */
  readonly text?: true | undefined;
}

/** What `data` of an event of type {@link UNREADABLE} holds. */
export interface Unreadable {
  /** The type that the event was stored under. */
  readonly type: string;
  readonly error: string;
}

export type Resolved = { readonly event?: Given | AllStreamRecordedEvent };

/**
 * With every append. The client turns the deadline into an instant by this machine's clock, and the server compares it
 * with its own: so it is too far away for either clock to matter. How long an append may take is counted here.
 */
export const APPEND_DEADLINE: Milliseconds = 2 * WEEK;

/** Written out, since it is made with every append: a spread costs some microseconds. */
export function sending(streamState: AppendStreamState, deadline = APPEND_DEADLINE): AppendToStreamOptions {
  return { requiresLeader: true, deadline, streamState };
}

export function toEventData({ id, type, version, at, by, correlation, trace, data }: NewEvent): EventData {
  // What is undefined is left out.
  const metadata: EnvelopeMetadata = {
    at,
    by,
    version,
    $correlationId: correlation,
    traceparent: trace,
    text: typeof data === 'string' ? true : undefined,
  };
  return {
    id,
    type,
    contentType: 'application/json',
    data: data as Record<string, unknown>,
    metadata: bytesOf(JSON.stringify(metadata)),
  };
}

/**
 * Metadata goes as bytes, which the client takes as they are: as an object it costs a tenth of the whole append more. They lie
 * in the pool of Buffer, since memory of their own costs the garbage collector as much again.
 */
function bytesOf(text: string): Uint8Array {
  const { buffer, byteOffset, byteLength } = Buffer.from(text);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Whether an event has this revision, or a higher one. */
export function reaches(resolved: Resolved | undefined, revision: number): boolean {
  return resolved?.event !== undefined && safeNumber(resolved.event.revision) >= revision;
}

/** The event that KurrentDB holds; undefined for the server's own events and for links. */
export function fromResolved({ event }: Resolved): RecordedEvent | undefined {
  if (!event || event.type.startsWith('$') || event.streamId.startsWith('$')) return undefined;
  const { metadata } = event as { metadata: unknown };
  const stream = event.streamId;
  const revision = safeNumber(event.revision);
  const position = safeNumber(event.position!.commit);
  const { id } = event;
  const recordedAt = wholeSecond(event.created.getTime());
  const problem = event.isJson ? problemOf(event.data, metadata) : 'not JSON';
  if (problem !== undefined || !isEnvelope(metadata)) {
    const data: Unreadable = { type: event.type, error: problem ?? 'not written by Stopgap' };
    const by = 'system:store';
    return { stream, revision, position, id, recordedAt, type: UNREADABLE, at: recordedAt, by, data };
  }
  const { at, by, version = 1, $correlationId: correlation, traceparent: trace } = metadata;
  const { type, data } = event as { type: string; data: unknown };
  // Written out: a replay makes millions, and a spread costs as much as all the rest.
  const read: Writable<RecordedEvent> = {
    stream,
    revision,
    position,
    id,
    recordedAt,
    type,
    version,
    at,
    by,
    data,
  };
  if (correlation !== undefined) read.correlation = correlation;
  if (trace !== undefined) read.trace = trace;
  return read;
}

type Writable<T> = { -readonly [key in keyof T]: T[key] };

function problemOf(data: unknown, metadata: unknown): string | undefined {
  if (typeof data !== 'string') return undefined;
  return isEnvelope(metadata) && metadata.text ? undefined : 'its data is not valid JSON';
}

function isEnvelope(metadata: unknown): metadata is EnvelopeMetadata {
  if (typeof metadata !== 'object' || metadata === null) return false;
  const { at, by, version = 1, $correlationId = '', traceparent = '' } = metadata as Record<string, unknown>;
  return (
    Number.isSafeInteger(at) &&
    typeof by === 'string' &&
    Number.isSafeInteger(version) &&
    typeof $correlationId === 'string' &&
    typeof traceparent === 'string'
  );
}

/**
 * The client gives whole seconds if an event is read, and milliseconds if it comes by a subscription. An event must
 * look the same either way, or a replay would not give what the live traffic gave.
 */
function wholeSecond(instant: Instant): Instant {
  return Math.floor(instant / SECOND) * SECOND;
}

/** @throws StoreRefused beyond 2^53, some nine petabytes of log */
export function safeNumber(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new StoreRefused(`${value} is no position that Stopgap can hold`);
  return number;
}

/** Events that the server passes over before it tells how far it has come. */
const SEARCH_WINDOW = 256;

/** Which events are wanted: as the server filters them, and exactly. */
export class Selection {
  readonly #categories: ReadonlySet<string> | undefined;
  constructor(categories: readonly string[] | undefined) {
    this.#categories = categories && new Set(categories);
  }

  /** Nothing can match. */
  get empty(): boolean {
    return this.#categories?.size === 0;
  }

  /**
   * By prefix of the stream's name, which the server compares fastest. It lets through a little too much: a
   * category is a stream of its own name too, so the dash cannot be part of the prefix.
   */
  filter(checkpointReached?: (position: Position) => void): Filter {
    const options = {
      maxSearchWindow: SEARCH_WINDOW,
      checkpointInterval: 1,
      ...(checkpointReached && {
        checkpointReached: (_subscription: unknown, position: Position) => checkpointReached(position),
      }),
    };
    if (this.#categories && this.#categories.size > 0)
      return streamNameFilter({ prefixes: [...this.#categories], ...options });
    // Without system streams, of which a server may have more than of all others.
    return streamNameFilter({ regex: this.#categories ? '^$' : '^[^$]', ...options });
  }

  wants(event: RecordedEvent): boolean {
    return !this.#categories || this.#categories.has(categoryOf(event.stream));
  }
}
