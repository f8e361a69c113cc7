import type Database from 'better-sqlite3';
import type { Instant } from '../../kernel/time.js';

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
export function removeEvents(db: Database.Database, positions: readonly number[]): number {
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
