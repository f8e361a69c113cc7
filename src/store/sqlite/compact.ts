import path from 'node:path';
import Database from 'better-sqlite3';
import type { Clock } from '../../kernel/time.js';
import { isThere } from '../../accounts/private-file.js';
import { StoreRefused } from '../port.js';
import { prepareDirectory, prepareFile, takeLock } from './opening.js';
import { compact } from './rewriting.js';

/**
 * Writes the file of a store anew, so that it holds nothing that was deleted and gives free space back. No process may
 * have the store open.
 *
 * @throws StoreRefused
 */
export function compactStore(given: string, clock: Clock): void {
  if (!isThere(path.resolve(given))) throw new StoreRefused(`there is no store at ${given}`);
  const file = prepareDirectory(path.resolve(given));
  const lock = takeLock(file, clock);
  try {
    prepareFile(file);
    const db = new Database(file, { timeout: 1000 });
    try {
      compact(db, Infinity);
    } finally {
      db.close();
    }
  } finally {
    lock.release();
  }
}
