import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';
import type * as Persons from '../../forgetting/person.js';
import { messageOf } from '../../kernel/errors.js';
import type { AppendResult } from './ledger.js';
import { compact, dropStreams, forgetSlice, giveBack, renameStreams } from './rewriting.js';
import { Ledger } from './ledger.js';
import { damageOf } from './opening.js';
import { SCHEMA_VERSION } from './schema.js';
import type { AppendMessage, CallAnswer, FromWriter, ToWriter, WriterOptions } from './appends.js';
import { EVENT_FIELDS, WriteOutcome } from './appends.js';

/**
 * The writer's thread: takes all queued appends, writes them in one transaction, and answers after the commit. With
 * `synchronous = FULL` the log is then on disk.
 */

/** Bound on the appends of one transaction, so that the first of them does not wait for thousands. */
const BATCH_LIMIT = 4096;

const { file, maxPages } = workerData as WriterOptions;
const port = parentPort!;
const db = new Database(file, { timeout: 1000 });
db.pragma('synchronous = FULL');
// 16 MiB keep the inner pages of the indices in memory; more than that made no append cheaper, since the system has the
// others in memory. A log of 16 MiB before each checkpoint writes a page that many appends touched once.
db.pragma('cache_size = -16384');
db.pragma('wal_autocheckpoint = 4000');
if (maxPages !== undefined) db.pragma(`max_page_count = ${maxPages}`);
const ledger = new Ledger(db);

/** Set once by an error that leaves unknown whether a commit is on disk. */
let doubt: string | undefined;

interface Append {
  stream: string;
  expected: number;
  count: number;
  flat: AppendMessage['flat'];
  at: number;
  recordedAt: number;
}

function post(message: FromWriter): void {
  port.postMessage(message);
}

function unpack(message: AppendMessage, into: Append[]): void {
  const { flat, recordedAt } = message;
  for (let i = 0; i < flat.length;) {
    const count = flat[i + 2] as number;
    into.push({
      stream: flat[i] as string,
      expected: flat[i + 1] as number,
      count,
      flat,
      at: i + 3,
      recordedAt,
    });
    i += 3 + count * EVENT_FIELDS;
  }
}

function write(appends: readonly Append[]): AppendResult[] {
  try {
    db.exec('BEGIN IMMEDIATE');
    const results = appends.map((a) =>
      ledger.append(a.stream, a.expected, a.count, a.flat, a.at, a.recordedAt),
    );
    db.exec('COMMIT');
    return results;
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    ledger.forget();
    // What the disk refuses it refuses to all; anything else is the fault of one append, which fails alone.
    if (appends.length > 1 && !isFault(error)) return appends.flatMap((append) => write([append]));
    const damage = damageOf(file, error);
    const reason = damage ?? messageOf(error);
    if (isDoubtful(error)) doubt = reason;
    const outcome = damage === undefined ? WriteOutcome.failed : WriteOutcome.damaged;
    return appends.map(() => ({ outcome, revision: -1, position: 0, reason }));
  }
}

function isFault(error: unknown): boolean {
  return (
    error instanceof Database.SqliteError &&
    /^SQLITE_(FULL|IOERR|BUSY|CORRUPT|READONLY|CANTOPEN)/.test(error.code)
  );
}

/** Errors after which this connection no longer knows what is on disk. */
function isDoubtful(error: unknown): boolean {
  return error instanceof Database.SqliteError && /^SQLITE_(IOERR|CORRUPT)/.test(error.code);
}

function answer(results: readonly AppendResult[]): void {
  const outcomes = new Float64Array(results.length * 3);
  const reasons = new Map<number, string>();
  const passedOver = new Map<number, readonly number[]>();
  results.forEach(({ outcome, revision, position, reason, passedOver: indexes }, i) => {
    outcomes[i * 3] = outcome;
    outcomes[i * 3 + 1] = revision;
    outcomes[i * 3 + 2] = position;
    if (reason !== undefined) reasons.set(i, reason);
    if (indexes !== undefined) passedOver.set(i, indexes);
  });
  const message: FromWriter = { kind: 'appended', outcomes, reasons, passedOver };
  port.postMessage(message, [outcomes.buffer]);
}

function attempt(call: number, work: () => CallAnswer): void {
  try {
    post({ kind: 'answer', call, value: work() });
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    ledger.forget();
    failed(call, error);
  }
}

function failed(call: number, error: unknown, spoilt = false): void {
  const damage = damageOf(file, error);
  post({
    kind: 'answer',
    call,
    value: 0,
    error: damage ?? messageOf(error),
    damaged: damage !== undefined,
    spoilt,
  });
}

function retain(category: string, maxAge: number | null): number {
  // A start must not need room on the disk for what is as it was.
  const known = db.prepare<[string], { age: number | null }>(
    'SELECT max_age AS age FROM categories WHERE name = ?',
  );
  if (known.get(category)?.age === maxAge) return 0;
  db.transaction(() => {
    db.prepare<[number | null, number]>('UPDATE categories SET max_age = ? WHERE id = ?').run(
      maxAge,
      ledger.categoryId(category),
    );
  }).immediate();
  return 0;
}

/** Writes one page as it was: little enough to be done every few seconds for years. */
function touch(): number {
  db.pragma(`user_version = ${SCHEMA_VERSION}`);
  return 0;
}

/** What is overwritten or deleted from now on leaves no bytes in its page. */
function leaveNoBytes(): void {
  db.pragma('secure_delete = ON');
}

function remove(positions: readonly number[]): number {
  leaveNoBytes();
  return ledger.remove(positions);
}

let forgetting: Promise<void> = Promise.resolve();

/** Loads what forgets when somebody is to be forgotten: it reads the text of rules, and that takes as long to load as all else here. */
function forgets(call: number, work: (parts: typeof Persons) => CallAnswer): void {
  forgetting = forgetting
    .then(() => import('../../forgetting/person.js'))
    .then(
      (parts) => attempt(call, () => work(parts)),
      // No file can be opened, or an upgrade is replacing them: what else this thread has to do must go on.
      (error: unknown) => failed(call, error, true),
    );
}

function forget(
  { ownStreams, Rewriter }: typeof Persons,
  person: Persons.Person,
  after: number,
): readonly number[] {
  leaveNoBytes();
  const { through, erase, rewritten } = forgetSlice(db, new Rewriter(person), ownStreams(person), after);
  if (erase.length > 0) ledger.remove(erase);
  return [through, erase.length, rewritten];
}

/** Allocates pages and gives them back in one transaction: fails if an append would. */
function makeRoom(): number {
  db.exec(
    'BEGIN IMMEDIATE; CREATE TABLE probe (room); INSERT INTO probe VALUES (zeroblob(65536)); DROP TABLE probe; COMMIT',
  );
  return 0;
}

port.on('message', (first: ToWriter) => {
  let appends: Append[] = [];
  const flush = () => {
    if (appends.length === 0) return;
    answer(write(appends));
    appends = [];
    // Ends the thread. The next one opens the file afresh, and so learns what the failed commit has written.
    if (doubt !== undefined) throw new Error(doubt);
  };
  for (let message: ToWriter | undefined = first; message; message = next()) {
    if (message.kind === 'append') {
      unpack(message, appends);
      if (appends.length >= BATCH_LIMIT) flush();
      continue;
    }
    // The order of arrival is kept between appends and everything else, but for a forgetting, which appends may overtake.
    flush();
    if (message.kind === 'close') return void forgetting.then(close);
    const { call } = message;
    if (message.kind === 'retain') {
      const { category, maxAge } = message;
      attempt(call, () => retain(category, maxAge));
    } else if (message.kind === 'probe') {
      attempt(call, message.room ? makeRoom : touch);
    } else if (message.kind === 'remove') {
      const { positions } = message;
      attempt(call, () => remove(positions));
    } else if (message.kind === 'forget') {
      const { person, after } = message;
      forgets(call, (parts) => forget(parts, person, after));
    } else if (message.kind === 'rename') {
      const { person } = message;
      forgets(call, ({ ownStreams }) => {
        const renamed = renameStreams(db, ownStreams(person));
        ledger.forget();
        return renamed;
      });
    } else if (message.kind === 'give-back') {
      const { pages } = message;
      attempt(call, () => giveBack(db, pages));
    } else if (message.kind === 'compact') {
      const { most } = message;
      attempt(call, () => compact(db, most));
    } else if (message.kind === 'drop-streams') {
      const { after, categories } = message;
      attempt(call, () => {
        const { through, dropped } = dropStreams(db, after, categories);
        if (dropped > 0) ledger.forget();
        return [through, dropped];
      });
    } else {
      const { now, limit } = message;
      attempt(call, () => ledger.sweep(now, limit));
    }
  }
  flush();
});

function next(): ToWriter | undefined {
  return receiveMessageOnPort(port)?.message as ToWriter | undefined;
}

/** The last connection to close folds the log into the file. */
function close(): void {
  db.close();
  port.close();
}

post({ kind: 'ready', head: ledger.head });
