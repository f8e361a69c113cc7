import type Database from 'better-sqlite3';
import type { OwnStream, Rewriter } from '../../forgetting/person.js';
import { beginOf } from './schema.js';

/** Rows looked at in one transaction: a few milliseconds for which appends wait. */
const SLICE = 500;

interface Row {
  readonly position: number;
  readonly streamId: number;
  readonly type: string;
  readonly by: string;
  readonly data: string;
}

/** Of one slice: the position that it came to (0: it was the last), the events to erase, and those that were rewritten. */
export interface ForgottenSlice {
  readonly through: number;
  readonly erase: readonly number[];
  readonly rewritten: number;
}

/**
 * Writes a person out of the next events. Those that must go are named only: they are removed as all are that go.
 */
export function forgetSlice(
  db: Database.Database,
  rewriter: Rewriter,
  own: readonly OwnStream[],
  after: number,
): ForgottenSlice {
  const goes = new Set(
    own
      .filter(({ renamed, isShared }) => renamed === undefined && isShared !== true)
      .map(({ stream }) => idOf(db, stream))
      .filter((id) => id !== undefined),
  );
  const rows = db
    .prepare<[number, number], Row>(
      `SELECT position, stream_id AS streamId, type, "by", data FROM events WHERE position > ? ORDER BY position LIMIT ?`,
    )
    .all(after, SLICE);
  const erase: number[] = [];
  let rewritten = 0;
  const update = db.prepare<[string, string, number]>(
    'UPDATE events SET "by" = ?, data = ? WHERE position = ?',
  );
  db.transaction(() => {
    for (const row of rows) {
      const fate = goes.has(row.streamId) ? 'erase' : rewriter.rewrite(row);
      if (fate === 'erase') erase.push(row.position);
      else if (fate !== undefined) {
        update.run(fate.by, fate.data, row.position);
        rewritten++;
      }
    }
  }).immediate();
  return { through: rows.length < SLICE ? 0 : rows.at(-1)!.position, erase, rewritten };
}

/**
 * Gives the person's streams other names, all at once. Those that hold nothing any more keep their row: neither an id
 * nor a revision is given twice. Their names stand nowhere else.
 */
export function renameStreams(db: Database.Database, own: readonly OwnStream[]): number {
  const rename = db.prepare<[string, number]>('UPDATE streams SET name = ? WHERE id = ?');
  let renamed = 0;
  db.transaction(() => {
    for (const { stream, renamed: name } of own) {
      const id = idOf(db, stream);
      if (id === undefined) continue;
      // What has come since the scan is found by the next one.
      const holds = db.prepare<[number], number>('SELECT 1 FROM events WHERE stream_id = ?').pluck().get(id);
      if (name === undefined && holds !== undefined) continue;
      const category = stream.slice(0, stream.indexOf('-'));
      const wanted = name ?? `${category}-erased:${id}`;
      rename.run(idOf(db, wanted) === undefined ? wanted : `${wanted}~${id}`, id);
      renamed++;
    }
  }).immediate();
  return renamed;
}

interface EmptyStream {
  readonly id: number;
  readonly name: string;
  readonly category: string;
  readonly swept: number;
}

/** Of one slice: the stream that it came to (0: it was the last), and how many names went. */
export interface DroppedSlice {
  readonly through: number;
  readonly dropped: number;
}

/**
 * Takes out the names of those of the next streams that hold no event, if they are of one of these categories; of any
 * unless some are given. What stays of them is how far their revisions went, as one number for each category.
 *
 * The newest stream stays, under a name that says nothing: so no id is given twice, since a reader may remember which
 * name an id had.
 */
export function dropStreams(
  db: Database.Database,
  after: number,
  categories?: readonly string[],
): DroppedSlice {
  const last = db
    .prepare<[number, number], number | null>(
      'SELECT max(id) FROM (SELECT id FROM streams WHERE id > ? ORDER BY id LIMIT ?)',
    )
    .pluck()
    .get(after, SLICE);
  if (last === undefined || last === null) return { through: 0, dropped: 0 };
  const newest = db.prepare<[], number>('SELECT max(id) FROM streams').pluck().get()!;
  const empty = db
    .prepare<[number, number], EmptyStream>(
      `SELECT s.id, s.name, c.name AS category, s.swept FROM streams s JOIN categories c ON c.id = s.category_id
        WHERE s.id > ? AND s.id <= ? AND NOT EXISTS (SELECT 1 FROM events WHERE stream_id = s.id)`,
    )
    .all(after, last);
  const nameless = ({ category, id }: EmptyStream): string => `${category}-erased:${id}`;
  const going = empty.filter(
    (stream) =>
      (categories === undefined || categories.includes(stream.category)) &&
      !(stream.id === newest && stream.name === nameless(stream)),
  );
  if (going.length > 0) {
    const note = db.prepare<[string, number]>(
      `INSERT INTO counters (name, value) VALUES (?, ?)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > value`,
    );
    const drop = db.prepare<[number]>('DELETE FROM streams WHERE id = ?');
    // Somebody may be called like that. Then the name goes with the next sweep after a new stream.
    const rename = db.prepare<[string, number]>('UPDATE OR IGNORE streams SET name = ? WHERE id = ?');
    db.transaction(() => {
      for (const stream of going) {
        note.run(beginOf(stream.category), stream.swept);
        if (stream.id === newest) rename.run(nameless(stream), stream.id);
        else drop.run(stream.id);
      }
    }).immediate();
  }
  return { through: last === newest ? 0 : last, dropped: going.length };
}

function idOf(db: Database.Database, stream: string): number | undefined {
  return db.prepare<[string], number>('SELECT id FROM streams WHERE name = ?').pluck().get(stream);
}

/**
 * Writes the whole file anew, so that it holds nothing that was deleted, and gives the rest of the disk back. Nothing is
 * appended meanwhile: a file that holds more bytes than `most`, free space aside, is left alone.
 *
 * @returns 1 if it was done, 0 if the file is too large, or its log is being read
 */
export function compact(db: Database.Database, most: number): number {
  const size = (what: string): number => db.pragma(what, { simple: true }) as number;
  if ((size('page_count') - size('freelist_count')) * size('page_size') > most) return 0;
  // From then on free pages can be given back one by one.
  db.pragma('auto_vacuum = INCREMENTAL');
  db.exec('VACUUM');
  return db.pragma('wal_checkpoint(TRUNCATE)', { simple: true }) === 0 ? 1 : 0;
}

/** A tenth of the file may be free: it is used again soon. */
const MAY_BE_FREE = 0.1;

/**
 * Gives free pages back to the disk, if there are many: they are cut off the file's end.
 *
 * @returns how many
 */
export function giveBack(db: Database.Database, most: number): number {
  const count = (what: string): number => db.pragma(what, { simple: true }) as number;
  const [free, pages] = [count('freelist_count'), count('page_count')];
  // A file of an earlier version gives nothing back before it is written anew.
  if (count('auto_vacuum') !== 2 || free <= Math.max(most, pages * MAY_BE_FREE)) return 0;
  db.pragma(`incremental_vacuum(${most})`);
  return free - count('freelist_count');
}
