import type Database from 'better-sqlite3';
import { messageOf } from '../../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import { UNREADABLE } from '../../kernel/events.js';

/** `STOP` in ASCII: the mark in the file's header that makes it ours (`PRAGMA application_id`). */
export const APPLICATION_ID = 0x53544f50;

/** Version of the tables below (`PRAGMA user_version`). A file with a higher one was written by a newer Stopgap. */
export const SCHEMA_VERSION = 2;

/**
 * Times are integer milliseconds. Positions and revisions are counted by the writer; `counters.head` and
 * `streams.swept` keep what retention would otherwise make it forget, so that neither is ever given twice. Where names
 * of streams have gone, `counters` has how far their revisions went, by {@link beginOf}.
 * The index by category holds positions in order, so that a reader of few events need not walk all of them.
 */
const TABLES = `
  CREATE TABLE categories (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    max_age INTEGER
  ) STRICT;

  CREATE TABLE streams (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    category_id INTEGER NOT NULL REFERENCES categories (id),
    swept       INTEGER NOT NULL DEFAULT 0
  ) STRICT;

  CREATE TABLE events (
    position    INTEGER PRIMARY KEY,
    stream_id   INTEGER NOT NULL REFERENCES streams (id),
    category_id INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    id          TEXT NOT NULL,
    type        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    "by"        TEXT NOT NULL,
    correlation TEXT,
    data        TEXT NOT NULL,
    trace       TEXT
  ) STRICT;
  CREATE UNIQUE INDEX events_by_id ON events (id);
  CREATE UNIQUE INDEX events_by_stream ON events (stream_id, revision);
  CREATE INDEX events_by_category ON events (category_id);

  CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO counters (name, value) VALUES ('head', 0);
`;

/** For people: `by` and `correlation` say who and why, `trace` says where to look it up. */
const VIEW = `
  CREATE VIEW event_log AS
  SELECT e.position, s.name AS stream, e.revision, e.type, e.version,
         strftime('%Y-%m-%dT%H:%M:%fZ', e.at / 1000.0, 'unixepoch') AS at,
         strftime('%Y-%m-%dT%H:%M:%fZ', e.recorded_at / 1000.0, 'unixepoch') AS recorded_at,
         e."by", e.correlation, e.trace, e.id, e.data
    FROM events e JOIN streams s ON s.id = e.stream_id;
`;

/** The columns that a reader needs, in the order in which {@link EventRow} lists them. */
export const EVENT_COLUMNS =
  'position, stream_id, revision, id, type, version, at, recorded_at, "by", correlation, data, trace';

export type EventRow = [
  position: number,
  streamId: number,
  revision: number,
  id: string,
  type: string,
  version: number,
  at: number,
  recordedAt: number,
  by: string,
  correlation: string | null,
  data: string,
  trace: string | null,
];

/** Lays the tables into an empty file; all of them or, after a crash, none. */
export function createSchema(db: Database.Database): void {
  db.transaction(() => {
    db.exec(TABLES);
    db.exec(VIEW);
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma(`user_version = ${SCHEMA_VERSION}`);
  }).immediate();
}

/** Brings the tables of an older version up to this one; all at once or, after a crash, not at all. */
export function upgradeSchema(db: Database.Database, from: number): void {
  db.transaction(() => {
    if (from < 2) db.exec('ALTER TABLE events ADD COLUMN trace TEXT');
    db.exec('DROP VIEW IF EXISTS event_log');
    db.exec(VIEW);
    db.pragma(`user_version = ${SCHEMA_VERSION}`);
  }).immediate();
}

/** Position of the last event ever written, also where retention has taken it; 0 if there was none. */
export function readHead(db: Database.Database): number {
  const row = db
    .prepare<[], { head: number }>(
      `SELECT max(coalesce((SELECT max(position) FROM events), 0),
                  (SELECT value FROM counters WHERE name = 'head')) AS head`,
    )
    .get();
  return row?.head ?? 0;
}

/** The counter that says at which revision new streams of a category begin; without it they do at 0. */
export const beginOf = (category: string): string => `begin-${category}`;

/** What `data` of an event of type {@link UNREADABLE} holds. */
interface Unreadable {
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
