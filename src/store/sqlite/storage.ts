import { statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import type { Instant } from '../../kernel/time.js';
import type { CategoryUse, StorageUse } from '../port.js';

/** A category with more events is estimated: to count these takes some milliseconds. */
const COUNTED = 50_000;
/** Places at which a large category is looked at, and positions counted at each. */
const SAMPLES = 32;
const SAMPLED = 1000;

/** What the file holds, found without holding up anything: events are counted up to a bound, and estimated beyond. */
export async function storageOf(db: Database.Database, file: string): Promise<StorageUse> {
  const categories: CategoryUse[] = [];
  const all = db
    .prepare<[], { id: number; name: string }>('SELECT id, name FROM categories ORDER BY id')
    .all();
  for (const { id, name } of all) {
    const use = useOf(db, id);
    if (use !== undefined) categories.push({ category: name, ...use });
    await setImmediate();
  }
  const size = (name: string): number => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
  const pages = (what: string): number => db.pragma(what, { simple: true }) as number;
  const { bavail, bsize } = await statfs(path.dirname(file));
  return {
    categories,
    bytes: size(file) + size(`${file}-wal`),
    reclaimable: pages('freelist_count') * pages('page_size'),
    givesBack: pages('auto_vacuum') === 2,
    free: bavail * bsize,
  };
}

function useOf(db: Database.Database, id: number): Omit<CategoryUse, 'category'> | undefined {
  const ends = db
    .prepare<[number, number], { first: number | null; last: number | null }>(
      `SELECT (SELECT position FROM events WHERE category_id = ? ORDER BY position LIMIT 1) AS first,
              (SELECT position FROM events WHERE category_id = ? ORDER BY position DESC LIMIT 1) AS last`,
    )
    .get(id, id)!;
  if (ends.first === null || ends.last === null) return undefined;
  const { first, last } = ends;
  const oldestAt = db
    .prepare<[number], number>('SELECT recorded_at FROM events WHERE position = ?')
    .pluck()
    .get(first)!;
  const counted = db
    .prepare<[number, number], number>(
      'SELECT count(*) FROM (SELECT 1 FROM events WHERE category_id = ? LIMIT ?)',
    )
    .pluck()
    .get(id, COUNTED + 1)!;
  if (counted <= COUNTED) return { events: counted, isEstimate: false, oldestAt };
  const within = db
    .prepare<[number, number, number], number>(
      'SELECT count(*) FROM events WHERE category_id = ? AND position >= ? AND position < ?',
    )
    .pluck();
  const span = last - first + 1;
  let found = 0;
  for (let sample = 0; sample < SAMPLES; sample++) {
    const from = first + Math.floor((sample * Math.max(0, span - SAMPLED)) / (SAMPLES - 1));
    found += within.get(id, from, from + SAMPLED)!;
  }
  const events = Math.max(counted, Math.round((found / (SAMPLES * SAMPLED)) * span));
  return { events, isEstimate: true, oldestAt };
}

/**
 * When the last event was written that the log held at an instant. It looks at some of them only: no index orders them by
 * time, and they are in its order as long as nobody sets the clock back. What it finds was written by then all the same.
 */
export function lastWrittenBy(db: Database.Database, at: Instant): Instant | undefined {
  const next = db.prepare<[number], { readonly position: number; readonly recordedAt: Instant }>(
    'SELECT position, recorded_at AS recordedAt FROM events WHERE position >= ? ORDER BY position LIMIT 1',
  );
  let found: Instant | undefined;
  let from = next.get(0)?.position ?? 1;
  let to = db.prepare<[], number | null>('SELECT max(position) FROM events').pluck().get() ?? 0;
  while (from <= to) {
    const middle = from + Math.floor((to - from) / 2);
    const { position, recordedAt } = next.get(middle)!;
    if (recordedAt <= at) {
      found = recordedAt;
      from = position + 1;
    } else to = middle - 1;
  }
  return found;
}
