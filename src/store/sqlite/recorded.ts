import { UNREADABLE, type NewEvent, type RecordedEvent } from '../../kernel/events.js';
import { messageOf } from '../../kernel/errors.js';
import type { EventRow } from './schema.js';

/** What `data` of an event of type {@link UNREADABLE} holds. */
export interface Unreadable {
  /** The type that the event was stored under. */
  readonly type: string;
  readonly error: string;
}

/** An event as a reader gets it from the file. JSON that cannot be parsed makes it {@link UNREADABLE}. */
export function fromRow(row: EventRow, stream: string): RecordedEvent {
  let type = row[4];
  let data: unknown;
  try {
    data = JSON.parse(row[10]);
  } catch (error) {
    data = { type, error: messageOf(error) } satisfies Unreadable;
    type = UNREADABLE;
  }
  return envelope(
    stream,
    row[2],
    row[0],
    row[3],
    type,
    row[5],
    row[6],
    row[7],
    row[8],
    row[9],
    data,
    row[11],
  );
}

/** The same event as a live subscriber gets it, straight from the append: equal to what a reader will see. */
export function fromAppend(
  event: NewEvent,
  text: string,
  stream: string,
  revision: number,
  position: number,
  recordedAt: number,
): RecordedEvent {
  const { id, type, version = 1, at, by, correlation = null, trace = null } = event;
  // Parsed from the text that was stored: what JSON drops or changes must not depend on how an event arrives.
  const data: unknown = JSON.parse(text);
  return envelope(
    stream,
    revision,
    position,
    id,
    type,
    version,
    at,
    recordedAt,
    by,
    correlation,
    data,
    trace,
  );
}

function envelope(
  stream: string,
  revision: number,
  position: number,
  id: string,
  type: string,
  version: number,
  at: number,
  recordedAt: number,
  by: string,
  correlation: string | null,
  data: unknown,
  trace: string | null,
): RecordedEvent {
  const event =
    correlation === null
      ? { stream, revision, position, id, type, version, at, recordedAt, by, data }
      : { stream, revision, position, id, type, version, at, recordedAt, by, correlation, data };
  return trace === null ? event : { ...event, trace };
}
