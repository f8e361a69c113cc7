import path from 'node:path';
import Database from 'better-sqlite3';
import { isThere } from '../../accounts/private-file.js';
import { messageOf } from '../../kernel/errors.js';
import type { RecordedEvent } from '../../kernel/events.js';
import type { EventStore, ReadAllOptions } from '../port.js';
import { StoreRefused } from '../port.js';
import { Cursor } from '../cursor.js';
import { Reader, SliceSize } from './reader.js';
import { APPLICATION_ID, SCHEMA_VERSION, readHead } from './schema.js';

/**
 * Opens a store only to read what stands in it, also while another process, or another thread of this one, has it
 * open: it takes no lock and keeps nobody from writing. What is appended after a read began is not part of it.
 *
 * @throws StoreRefused where there is no store at this path, or none that this version reads
 */
export function openSqliteForReading(file: string): Pick<EventStore, 'readAll' | 'head' | 'close'> {
  const resolved = path.resolve(file);
  if (!isThere(resolved)) {
    throw new StoreRefused(`there is no store at ${resolved}: nothing has been recorded there yet`);
  }
  let head: Database.Database | undefined;
  let reader: Reader | undefined;
  try {
    head = new Database(resolved, { readonly: true, timeout: 1000 });
    check(head, resolved);
    reader = new Reader(resolved);
  } catch (error) {
    head?.close();
    if (error instanceof StoreRefused) throw error;
    throw new StoreRefused(`${resolved} cannot be read: ${messageOf(error)}`);
  }
  return new ReadableStore(head, reader);
}

class ReadableStore implements Pick<EventStore, 'readAll' | 'head' | 'close'> {
  constructor(
    private readonly db: Database.Database,
    private readonly reader: Reader,
  ) {}

  async head(): Promise<number> {
    return readHead(this.db);
  }

  readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    const { after = 0, until = Number.MAX_SAFE_INTEGER, categories, limit } = options;
    const size = new SliceSize();
    let left = limit ?? Number.MAX_SAFE_INTEGER;
    let end: number | undefined;
    return new Cursor((last) => {
      end ??= Math.min(until, readHead(this.db));
      const slice = this.reader.all(last?.position ?? after, end, categories, left, size);
      left -= slice.events.length;
      return left > 0 ? slice : { ...slice, more: false };
    });
  }

  async close(): Promise<void> {
    this.reader.close();
    this.db.close();
  }
}

function check(db: Database.Database, file: string): void {
  const version = db.pragma('user_version', { simple: true }) as number;
  if (db.pragma('application_id', { simple: true }) !== APPLICATION_ID || version < 1) {
    throw new StoreRefused(`${file} is no Stopgap store`);
  }
  if (version === SCHEMA_VERSION) return;
  const which = version > SCHEMA_VERSION ? 'a newer' : 'an older';
  const remedy = version > SCHEMA_VERSION ? 'upgrade' : 'let `stopgap serve` open it once, which converts it';
  throw new StoreRefused(`${file} was written by ${which} Stopgap (format ${version}): ${remedy}`);
}
