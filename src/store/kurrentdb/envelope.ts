import {
  jsonEvent,
  type AllStreamRecordedEvent,
  type EventData,
  type RecordedEvent as Given,
} from '@kurrent/kurrentdb-client';
import { UNREADABLE, type NewEvent, type RecordedEvent } from '../../kernel/events.js';
import { SECOND, type Instant } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';

/** What stands in an event's metadata. `$correlationId` is the name that KurrentDB's own projections know. */
interface EnvelopeMetadata {
  readonly at: number;
  readonly by: string;
  readonly version?: number;
  readonly $correlationId?: string;
  readonly traceparent?: string;
  /** The data is text: what the client gives back for JSON that it cannot read looks the same. */
  readonly text?: true;
}

/** What `data` of an event of type {@link UNREADABLE} holds. */
export interface Unreadable {
  /** The type that the event was stored under. */
  readonly type: string;
  readonly error: string;
}

export type Resolved = { readonly event?: Given | AllStreamRecordedEvent };

export function toEventData(event: NewEvent): EventData {
  const { id, type, version, at, by, correlation, trace, data } = event;
  const metadata: EnvelopeMetadata = {
    at,
    by,
    ...(version !== undefined && { version }),
    ...(correlation !== undefined && { $correlationId: correlation }),
    ...(trace !== undefined && { traceparent: trace }),
    ...(typeof data === 'string' && { text: true }),
  };
  return jsonEvent({
    id,
    type,
    data: data as Record<string, unknown>,
    metadata: metadata as unknown as Record<string, unknown>,
  });
}

/** An event as it stands in KurrentDB; undefined for the server's own and for links. */
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
 * The client gives whole seconds where an event is read, and milliseconds where it comes by a subscription. An event
 * must look the same either way, or a replay would not give what the live traffic gave.
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
