import path from 'node:path';
import Database from 'better-sqlite3';
import { isThere } from '../../accounts/private-file.js';
import { messageOf } from '../../kernel/errors.js';
import type { RecordedEvent } from '../../kernel/events.js';
import type { Instant } from '../../kernel/time.js';
import type { Slice } from '../cursor.js';
import { Cursor } from '../cursor.js';
import type { EventStore, ReadAllOptions, StorageUse } from '../port.js';
import { StoreDamaged, StoreRefused, StoreUnavailable } from '../port.js';
import { refuseUnloadable } from './library.js';
import { damageOf } from './opening.js';
import { lastWrittenBy, storageOf } from './storage.js';
import type { EventRow } from './schema.js';
import { APPLICATION_ID, EVENT_COLUMNS, fromRow, readHead, SCHEMA_VERSION } from './schema.js';
import { recentlyUsed } from '../../runtime/recently-used.js';

/** Rows of one slice, at most: about 2 ms on the main thread with events of usual size. */
const SLICE_ROWS = 512;
const FIRST_SLICE_ROWS = 64;

/** Slices shrink so that one holds about so many characters of JSON: large events must not fill the memory. */
const SLICE_CHARACTERS = 2_000_000;

/** Bound on stream names kept in memory: about 10 MB. */
const REMEMBERED_NAMES = 50_000;

type Statement = Database.Statement<(number | string)[], EventRow>;

export interface StreamCount {
  readonly id: number;
  readonly stream: string;
  readonly events: number;
}

/** Reads of one run share this, so that each slice is sized by the one before. */
export class SliceSize {
  rows = FIRST_SLICE_ROWS;
  /** False before the first slice: its rows may be of any length. */
  isKnown = false;

  learn(events: number, characters: number): void {
    if (events === 0) return;
    this.isKnown = true;
    const fitting = Math.floor((SLICE_CHARACTERS * events) / Math.max(characters, 1));
    this.rows = Math.max(1, Math.min(SLICE_ROWS, fitting, this.rows * 4));
  }
}

/** The first rows, as many as a slice may have characters. */
function beginning(rows: Iterable<EventRow>): readonly EventRow[] {
  const first: EventRow[] = [];
  let characters = 0;
  for (const row of rows) {
    first.push(row);
    characters += row[10].length;
    if (characters >= SLICE_CHARACTERS) break;
  }
  return first;
}

/**
 * The reading connection, on the main thread. Every slice is one finished query: a statement left open would
 * keep the write-ahead log from being folded into the file.
 */
export class Reader {
  readonly #db: Database.Database;
  readonly #file: string;
  readonly #names = recentlyUsed<number, string>(REMEMBERED_NAMES);
  readonly #statements = new Map<string, Statement>();
  readonly #findName;
  readonly #findStream;
  readonly #findCategory;
  readonly #countCategories;
  readonly #inOneView: (read: () => Slice) => Slice;

  constructor(file: string) {
    this.#file = file;
    this.#db = new Database(file, { readonly: true, timeout: 1000 });
    this.#db.pragma('cache_size = -8192');
    this.#findName = this.#db.prepare<[number], string>('SELECT name FROM streams WHERE id = ?').pluck();
    this.#findStream = this.#db.prepare<[string], number>('SELECT id FROM streams WHERE name = ?').pluck();
    this.#inOneView = this.#db.transaction((read: () => Slice) => read());
    this.#countCategories = this.#db.prepare<[], number>('SELECT count(*) FROM categories').pluck();
    this.#findCategory = this.#db
      .prepare<[string], number>('SELECT id FROM categories WHERE name = ?')
      .pluck();
  }

  /**
   * Walks the total order, up to the end of the log at the start of the walk.
   *
   * @param look tells the log's end before each slice; throws if nothing may be read any more
   */
  walk(
    { from = 1, after = from - 1, until = Number.MAX_SAFE_INTEGER, categories, limit }: ReadAllOptions,
    look: () => number,
  ): Cursor {
    const size = new SliceSize();
    let left = limit ?? Number.MAX_SAFE_INTEGER;
    let end: number | undefined;
    return new Cursor((last) => {
      const head = look();
      // What is appended meanwhile is not part of this read. Otherwise a read of a busy store would never end.
      end ??= Math.min(until, head);
      const slice = this.all(last?.position ?? after, end, categories, left, size);
      left -= slice.events.length;
      return left > 0 ? slice : { ...slice, more: false };
    });
  }

  /** Events with `after < position <= until`, of the given categories or of all, up to `limit` or a slice. */
  all(
    after: number,
    until: number,
    categories: readonly string[] | undefined,
    limit: number,
    size: SliceSize,
  ): Slice {
    const rows = Math.min(size.rows, limit);
    return this.#guarded(() => {
      const ids =
        categories &&
        [...new Set(categories)].map((name) => this.#findCategory.get(name)).filter((id) => id !== undefined);
      if (ids?.length === 0) return { events: [], more: false };
      // A read of all categories that exist needs no merge, which costs a third of a replay.
      if (ids === undefined || ids.length === this.#countCategories.get()) {
        const statement = this.#statement('position > ? AND position <= ? ORDER BY position LIMIT ?');
        return this.#slice(statement, [after, until, rows], rows, size);
      }
      const parameters = ids.flatMap((id) => [id, after, until, rows]);
      return this.#slice(this.#byCategory(ids.length), [...parameters, rows], rows, size);
    });
  }

  /** Events of a stream from revision `from` on, in the given direction, up to `limit` or a slice. */
  stream(
    name: string,
    direction: 'forwards' | 'backwards',
    from: number,
    limit: number,
    size: SliceSize,
  ): Slice {
    const rows = Math.min(size.rows, limit);
    return this.#guarded(() => {
      const id = this.#findStream.get(name);
      if (id === undefined) return { events: [], more: false };
      const statement = this.#statement(
        direction === 'forwards'
          ? 'stream_id = ? AND revision >= ? ORDER BY revision LIMIT ?'
          : 'stream_id = ? AND revision <= ? ORDER BY revision DESC LIMIT ?',
      );
      return this.#slice(statement, [id, from, rows], rows, size);
    });
  }

  /** How many events each stream holds, for the next streams in the order in which they were first written to. */
  countByStream(after: number): StreamCount[] {
    return this.#guarded(() =>
      this.#db
        .prepare<[number, number], StreamCount>(
          `SELECT id, name AS stream, (SELECT count(*) FROM events WHERE stream_id = streams.id) AS events
             FROM streams WHERE id > ? ORDER BY id LIMIT ?`,
        )
        .all(after, SLICE_ROWS),
    );
  }

  #slice(statement: Statement, asked: readonly (number | string)[], most: number, size: SliceSize): Slice {
    // In one view of the file: the names of events that retention takes may go with them.
    return this.#inOneView(() => this.#read(statement, asked, most, size));
  }

  #read(statement: Statement, asked: readonly (number | string)[], most: number, size: SliceSize): Slice {
    const rows = size.isKnown ? statement.all(...asked) : beginning(statement.iterate(...asked));
    let characters = 0;
    const events = rows.map((row) => {
      characters += row[10].length;
      return fromRow(row, this.#nameOf(row[1]));
    });
    size.learn(events.length, characters);
    return { events, more: rows.length === most || characters >= SLICE_CHARACTERS };
  }

  #nameOf(streamId: number): string {
    let name = this.#names.get(streamId);
    if (name === undefined) {
      name = this.#findName.get(streamId) ?? `?${streamId}`;
      this.#names.set(streamId, name);
    }
    return name;
  }

  #statement(where: string): Statement {
    let statement = this.#statements.get(where);
    if (!statement) {
      statement = this.#db.prepare<(number | string)[], EventRow>(
        `SELECT ${EVENT_COLUMNS} FROM events WHERE ${where}`,
      );
      statement.raw();
      this.#statements.set(where, statement);
    }
    return statement;
  }

  /** Merges the categories' positions, each in order from the index, before any event is looked at. */
  #byCategory(count: number): Statement {
    if (count === 1)
      return this.#statement(
        'category_id = ? AND position > ? AND position <= ? ORDER BY position LIMIT min(?, ?)',
      );
    const one =
      'SELECT * FROM (SELECT position FROM events WHERE category_id = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?)';
    return this.#statement(
      `position IN (SELECT position FROM (${Array(count).fill(one).join(' UNION ALL ')}) ORDER BY position LIMIT ?) ORDER BY position`,
    );
  }

  /** @throws StoreUnavailable */
  async storage(): Promise<StorageUse> {
    try {
      return await storageOf(this.#db, this.#file);
    } catch (error) {
      throw this.#fault('measured', error);
    }
  }

  /** @throws StoreUnavailable */
  lastWrittenBy(at: Instant): Instant | undefined {
    return this.#guarded(() => lastWrittenBy(this.#db, at));
  }

  /** Streams have other names now. */
  forgetNames(): void {
    this.#names.clear();
  }

  #guarded<T>(read: () => T): T {
    if (!this.#db.open) throw new StoreUnavailable('the store is closed');
    try {
      return read();
    } catch (error) {
      throw this.#fault('read', error);
    }
  }

  #fault(what: 'read' | 'measured', cause: unknown): StoreUnavailable {
    const damage = damageOf(this.#file, cause);
    if (damage !== undefined) return new StoreDamaged(damage, { cause });
    return new StoreUnavailable(`the store cannot be ${what}: ${messageOf(cause)}`, { cause });
  }

  close(): void {
    this.#db.close();
  }
}

/**
 * Opens a store only to read it, also while another process, or another thread of this one, has it open. It takes no
 * lock and stops no writer. A read does not include what is appended after it began.
 *
 * @throws StoreRefused if there is no store at this path, or none that this version reads, or SQLite cannot be loaded
 */
export function openSqliteForReading(file: string): Pick<EventStore, 'readAll' | 'head' | 'close'> {
  const resolved = path.resolve(file);
  if (!isThere(resolved)) {
    throw new StoreRefused(`there is no store at ${resolved}: nothing has been recorded there yet`);
  }
  refuseUnloadable();
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
  readonly #db: Database.Database;
  readonly #reader: Reader;
  constructor(db: Database.Database, reader: Reader) {
    this.#db = db;
    this.#reader = reader;
  }

  async head(): Promise<number> {
    return readHead(this.#db);
  }

  readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    return this.#reader.walk(options, () => readHead(this.#db));
  }

  async close(): Promise<void> {
    this.#reader.close();
    this.#db.close();
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
