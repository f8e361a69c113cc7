import type Database from 'better-sqlite3';
import type { Instant } from '../../kernel/time.js';

interface Retained {
  id: number;
  maxAge: number;
}
interface Candidate {
  position: number;
  streamId: number;
  revision: number;
  recordedAt: number;
}

/**
 * Deletes up to `limit` events that are older than their category allows, in one transaction, and notes the
 * revisions and the position that must not be given again.
 *
 * Each category is walked in the order of writing and left at its first event that is young enough: what
 * goes is always the oldest part. Only an event that claims to come from the future (a clock was wrong) does
 * not end the walk, or it would keep everything behind it until its time has come.
 *
 * @returns how many events went; fewer than `limit` means that nothing is left to delete
 */
export function sweepSlice(db: Database.Database, now: Instant, limit: number): number {
  const categories = db
    .prepare<[], Retained>(
      'SELECT id, max_age AS maxAge FROM categories WHERE max_age IS NOT NULL ORDER BY id',
    )
    .all();
  const walk = db.prepare<[number, number, number], Candidate>(
    `SELECT position, stream_id AS streamId, revision, recorded_at AS recordedAt
       FROM events WHERE category_id = ? AND position > ? ORDER BY position LIMIT ?`,
  );
  const expired: Candidate[] = [];
  for (const { id, maxAge } of categories) {
    collect(expired, limit, now, maxAge, (after) => walk.all(id, after, limit));
    if (expired.length >= limit) break;
  }
  if (expired.length > 0) db.transaction(() => remove(db, expired)).immediate();
  return expired.length;
}

function collect(
  into: Candidate[],
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
      into.push(candidate);
    }
    if (slice.length < limit) return;
  }
}

function remove(db: Database.Database, expired: readonly Candidate[]): void {
  const next = new Map<number, number>();
  const forget = db.prepare<[number]>('DELETE FROM events WHERE position = ?');
  // The last event may be among them: note how far positions went, while it still stands.
  db.exec(
    `UPDATE counters SET value = max(value, coalesce((SELECT max(position) FROM events), 0)) WHERE name = 'head'`,
  );
  for (const { position, streamId, revision } of expired) {
    forget.run(position);
    next.set(streamId, Math.max(next.get(streamId) ?? 0, revision + 1));
  }
  const note = db.prepare<[number, number]>('UPDATE streams SET swept = max(swept, ?) WHERE id = ?');
  for (const [streamId, revision] of next) note.run(revision, streamId);
}
