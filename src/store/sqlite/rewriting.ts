import type Database from 'better-sqlite3';
import type { OwnStream, Rewriter } from '../../forgetting/person.js';

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

/**
 * Takes out the names of streams that hold no event. The newest stays, under a name that says nothing: so no id is given
 * twice, since a reader may remember which name an id had.
 *
 * @returns how many went; fewer than `most` means that no such name is left
 */
export function dropStreams(db: Database.Database, most: number): number {
  const isEmpty = 'NOT EXISTS (SELECT 1 FROM events WHERE stream_id = streams.id)';
  const newest = '(SELECT max(id) FROM streams)';
  return db
    .transaction(() => {
      const dropped = db
        .prepare<[number]>(
          `DELETE FROM streams WHERE id IN (SELECT id FROM streams WHERE id < ${newest} AND ${isEmpty} LIMIT ?)`,
        )
        .run(most);
      db.prepare(
        `UPDATE streams SET name = (SELECT name FROM categories WHERE id = category_id) || '-erased:' || id
          WHERE id = ${newest} AND ${isEmpty}`,
      ).run();
      return dropped.changes;
    })
    .immediate();
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
