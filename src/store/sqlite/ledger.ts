import type Database from 'better-sqlite3';
import { categoryOf } from '../../kernel/events.js';
import type { Instant } from '../../kernel/time.js';
import { beginOf, readHead } from './schema.js';
import { ANY, EVENT_FIELDS, NONE, WriteOutcome } from './appends.js';
import { recentlyUsed } from '../../runtime/recently-used.js';

/** Bound on the streams whose next revision is kept in memory: about 10 MB. */
const REMEMBERED_STREAMS = 50_000;

interface StreamState {
  id: number;
  categoryId: number;
  next: number;
  /** It holds no event: it is new, or retention has deleted all. */
  empty: boolean;
}

export interface AppendResult {
  outcome: number;
  revision: number;
  position: number;
  reason?: string;
  /** Events of the append, by their index in it, that were written before: the others were written now. */
  passedOver?: readonly number[];
}

type Flat = readonly (string | number | null)[];
type EventParameters = (string | number | null)[];
interface Written {
  streamId: number;
  revision: number;
  position: number;
}

/**
 * Numbers and writes events inside the transaction that its caller holds open. What it remembers is true only
 * as long as those transactions commit: after a failed one it must `forget`.
 */
export class Ledger {
  readonly #db: Database.Database;
  readonly #streams = recentlyUsed<string, StreamState>(REMEMBERED_STREAMS);
  readonly #categories = new Map<string, number>();
  #position: number;

  readonly #findStream;
  readonly #addStream;
  readonly #findBegin;
  readonly #addCategory;
  readonly #findEvent;
  readonly #addEvent;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#position = readHead(db);
    this.#findStream = db.prepare<
      [string],
      { id: number; categoryId: number; swept: number; last: number | null }
    >(
      `SELECT id, category_id AS categoryId, swept,
              (SELECT max(revision) FROM events WHERE stream_id = streams.id) AS last
         FROM streams WHERE name = ?`,
    );
    this.#addStream = db.prepare<[string, number, number]>(
      'INSERT INTO streams (name, category_id, swept) VALUES (?, ?, ?)',
    );
    this.#findBegin = db.prepare<[string], number>('SELECT value FROM counters WHERE name = ?').pluck();
    this.#addCategory = db.prepare<[string], { id: number }>(
      'INSERT INTO categories (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id',
    );
    this.#findEvent = db.prepare<[string], Written>(
      'SELECT stream_id AS streamId, revision, position FROM events WHERE id = ?',
    );
    this.#addEvent = db.prepare<EventParameters>(
      `INSERT INTO events (position, stream_id, category_id, revision, recorded_at,
                           id, type, version, at, "by", correlation, data, trace)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    );
  }

  get head(): number {
    return this.#position;
  }

  /** Appends `count` events, which `flat` holds from index `at` on. Writes all of them or none. */
  append(
    stream: string,
    expected: number,
    count: number,
    flat: Flat,
    at: number,
    recordedAt: number,
  ): AppendResult {
    let state = this.#load(stream);
    const fitting = fits(expected, state);
    let passedOver: readonly number[] = [];
    // A single event finds out by its insertion whether it is new, which spares the look-up; several must
    // know beforehand, since the first ones would have to be taken back.
    if (!fitting || count > 1 || !state) {
      const before = this.#recall(state, expected, count, flat, at);
      if (before.result) return before.result;
      passedOver = before.indexes;
    }
    if (!fitting) {
      const revision = !state || state.empty ? -1 : state.next - 1;
      return { outcome: WriteOutcome.wrongRevision, revision, position: 0 };
    }
    state ??= this.#create(stream);
    for (let event = 0; event < count; event++) {
      if (passedOver.includes(event)) continue;
      const f = at + event * EVENT_FIELDS;
      const { changes } = this.#addEvent.run(
        this.#position + 1,
        state.id,
        state.categoryId,
        state.next,
        recordedAt,
        flat[f]!,
        flat[f + 1]!,
        flat[f + 2]!,
        flat[f + 3]!,
        flat[f + 4]!,
        flat[f + 5]!,
        flat[f + 6]!,
        flat[f + 7]!,
      );
      if (changes === 0) return this.#recall(state, expected, count, flat, at).result!;
      this.#position++;
      state.next++;
      state.empty = false;
    }
    const result = { outcome: WriteOutcome.written, revision: state.next - 1, position: this.#position };
    return passedOver.length === 0 ? result : { ...result, passedOver };
  }

  /** Which of the events were written before, and the result if that decides it already: then none of them may be written. */
  #recall(
    state: StreamState | undefined,
    expected: number,
    count: number,
    flat: Flat,
    at: number,
  ): { indexes: number[]; result?: AppendResult } {
    const indexes: number[] = [];
    let revision = -1;
    let position = 0;
    for (let event = 0; event < count; event++) {
      const id = flat[at + event * EVENT_FIELDS] as string;
      const written = this.#findEvent.get(id);
      if (!written) continue;
      if (written.streamId !== state?.id)
        return { indexes, result: conflict(`event ${id} was written to another stream`) };
      indexes.push(event);
      revision = Math.max(revision, written.revision);
      position = Math.max(position, written.position);
    }
    if (indexes.length === count)
      return { indexes, result: { outcome: WriteOutcome.duplicate, revision, position } };
    if (indexes.length > 0 && expected !== ANY) {
      const reason = `${indexes.length} of these ${count} events were written before, the others not`;
      return { indexes, result: conflict(reason) };
    }
    return { indexes };
  }

  #load(name: string): StreamState | undefined {
    const known = this.#streams.get(name);
    if (known) return known;
    const row = this.#findStream.get(name);
    if (!row) return undefined;
    const state = {
      id: row.id,
      categoryId: row.categoryId,
      next: Math.max(row.swept, (row.last ?? -1) + 1),
      empty: row.last === null,
    };
    this.#streams.set(name, state);
    return state;
  }

  #create(name: string): StreamState {
    const category = categoryOf(name);
    const categoryId = this.categoryId(category);
    const next = this.#findBegin.get(beginOf(category)) ?? 0;
    const { lastInsertRowid } = this.#addStream.run(name, categoryId, next);
    const state = { id: Number(lastInsertRowid), categoryId, next, empty: true };
    this.#streams.set(name, state);
    return state;
  }

  categoryId(name: string): number {
    let id = this.#categories.get(name);
    if (id === undefined) {
      id = this.#addCategory.get(name)!.id;
      this.#categories.set(name, id);
    }
    return id;
  }

  /** Deletes up to `limit` events that are too old; says how many. Fewer than `limit`: nothing is left to delete. */
  sweep(now: Instant, limit: number): number {
    return this.#deleted(sweepSlice(this.#db, now, limit));
  }

  /** Deletes these events; says how many of them there were. */
  remove(positions: readonly number[]): number {
    return this.#deleted(removeEvents(this.#db, positions));
  }

  #deleted(events: number): number {
    if (events > 0) this.forget();
    return events;
  }

  /** Takes what it knows from the file again: a transaction was rolled back, or retention deleted events. */
  forget(): void {
    this.#streams.clear();
    this.#categories.clear();
    this.#position = readHead(this.#db);
  }
}

function fits(expected: number, state: StreamState | undefined): boolean {
  if (expected === ANY) return true;
  if (expected === NONE) return !state || state.empty;
  return state !== undefined && state.next - 1 === expected;
}

function conflict(reason: string): AppendResult {
  return { outcome: WriteOutcome.conflict, revision: -1, position: 0, reason };
}

interface Retained {
  id: number;
  maxAge: number;
}
interface Candidate {
  position: number;
  recordedAt: number;
}

/**
 * Deletes up to `limit` events that are older than their category allows, in one transaction, and notes the
 * revisions and the position that must not be given again.
 *
 * Each category is walked in the order of writing and left at its first event that is young enough: what
 * goes is always the oldest part. Only an event that claims to come from the future (a clock was wrong) does
 * not end the walk: otherwise everything after it would stay until that time.
 *
 * @returns how many events went; fewer than `limit` means that nothing is left to delete
 */
function sweepSlice(db: Database.Database, now: Instant, limit: number): number {
  const categories = db
    .prepare<[], Retained>(
      'SELECT id, max_age AS maxAge FROM categories WHERE max_age IS NOT NULL ORDER BY id',
    )
    .all();
  const walk = db.prepare<[number, number, number], Candidate>(
    `SELECT position, recorded_at AS recordedAt
       FROM events WHERE category_id = ? AND position > ? ORDER BY position LIMIT ?`,
  );
  const expired: number[] = [];
  for (const { id, maxAge } of categories) {
    collect(expired, limit, now, maxAge, (after) => walk.all(id, after, limit));
    if (expired.length >= limit) break;
  }
  return expired.length === 0 ? 0 : removeEvents(db, expired);
}

function collect(
  into: number[],
  limit: number,
  now: Instant,
  maxAge: number,
  read: (after: number) => Candidate[],
): void {
  for (let after = 0; ;) {
    const slice = read(after);
    for (const candidate of slice) {
      if (into.length >= limit) return;
      after = candidate.position;
      if (candidate.recordedAt > now) continue;
      if (now - candidate.recordedAt <= maxAge) return;
      into.push(candidate.position);
    }
    if (slice.length < limit) return;
  }
}

/**
 * Deletes events in one transaction, and notes the revisions and the position that must not be given again.
 *
 * @returns how many of them there were
 */
function removeEvents(db: Database.Database, positions: readonly number[]): number {
  const take = db.prepare<[number], { streamId: number; revision: number }>(
    'DELETE FROM events WHERE position = ? RETURNING stream_id AS streamId, revision',
  );
  const note = db.prepare<[number, number]>('UPDATE streams SET swept = max(swept, ?) WHERE id = ?');
  const work = db.transaction(() => {
    // The last event may be among them: note how far positions went, while it is still there.
    db.exec(
      `UPDATE counters SET value = max(value, coalesce((SELECT max(position) FROM events), 0)) WHERE name = 'head'`,
    );
    const next = new Map<number, number>();
    let gone = 0;
    for (const position of positions) {
      const taken = take.get(position);
      if (taken === undefined) continue;
      gone++;
      next.set(taken.streamId, Math.max(next.get(taken.streamId) ?? 0, taken.revision + 1));
    }
    for (const [streamId, revision] of next) note.run(revision, streamId);
    return gone;
  });
  return work.immediate();
}
