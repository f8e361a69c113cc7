import events from 'node:events';
import type { Response } from 'express';
import { StopgapError } from '../kernel/errors.js';
import { printableLines } from '../kernel/printable.js';
import type { Answer, ApiRequest } from './http/route.js';
import { ok } from './http/route.js';
import type { LongReads } from './long-reads.js';
import { lookOf } from './long-reads.js';
import { oneOf } from './shapes.js';

/** What lists can be had as besides pages of JSON. */
export const EXPORT_TYPES = ['text/csv', 'application/x-ndjson'] as const;

export const formatInput = oneOf(['json', 'csv', 'ndjson']).optional().meta({
  description:
    'csv or ndjson: all that match, newest first unless sort=oldest; limit and cursor do not count. Unless given, Accept says.',
});

/** The columns of a CSV file, by name. */
export type Columns<Item> = Readonly<Record<string, (item: Item) => string | number | boolean | null>>;

interface Asked<Item> {
  readonly format: 'json' | 'csv' | 'ndjson' | undefined;
  readonly columns: Columns<Item>;
  /** All that match, some at a time. @param look to be called at each step: throws when nobody waits any more */
  readonly all: (look: () => void) => AsyncGenerator<readonly Item[], void>;
  /** One page. */
  readonly page: (look: () => void) => Promise<object>;
}

/**
 * Answers with a page of JSON, or writes all items as they come, as CSV or NDJSON. An export waits for its turn at each piece, so
 * that a client that reads slowly keeps nobody waiting.
 */
export async function pageOrExport<Item>(
  request: ApiRequest<unknown, unknown>,
  reads: LongReads,
  { format, columns, all, page }: Asked<Item>,
): Promise<Answer | undefined> {
  const accepted = request.request.accepts(['application/json', ...EXPORT_TYPES]);
  const kind =
    format ?? (accepted === 'text/csv' ? 'csv' : accepted === 'application/x-ndjson' ? 'ndjson' : 'json');
  if (kind === 'json') return ok(await reads.run(request, page), { Vary: 'Accept' });
  const { response, isStillAllowed } = request;
  const textOf = (some: readonly Item[]): string =>
    kind === 'csv'
      ? some.map((item) => csvLine(Object.values(columns).map((cell) => cell(item)))).join('')
      : some.map((item) => `${JSON.stringify(item)}\n`).join('');
  const items = all(lookOf(response));
  const piece = (): Promise<string | undefined> =>
    reads.run(request, async () => {
      const next = await items.next();
      return next.done === true ? undefined : textOf(next.value);
    });
  // Where the store is away, this is a problem as ever.
  const first = await piece();
  response.status(200).set({
    'Content-Type': kind === 'csv' ? 'text/csv; charset=utf-8; header=present' : 'application/x-ndjson',
    'Cache-Control': 'no-store',
    Vary: 'Accept',
  });
  if (request.request.method === 'HEAD') {
    response.end();
    return undefined;
  }
  async function* text(): AsyncGenerator<string, void> {
    if (kind === 'csv') yield csvLine(Object.keys(columns));
    for (let some = first; some !== undefined; some = await piece()) {
      if (!isStillAllowed()) throw new StopgapError('unauthorized', 'the token is revoked');
      yield some;
    }
  }
  // A file that is cut off must not look whole, so a fault half-way ends the connection.
  writeAll(response, text()).catch(() => response.destroy());
  return undefined;
}

/** Writes as fast as the client reads. Rejects where either side breaks off. */
async function writeAll(response: Response, texts: AsyncIterable<string>): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  for await (const text of texts) {
    gone.signal.throwIfAborted();
    if (!response.write(text)) await events.once(response, 'drain', { signal: gone.signal });
  }
  response.end();
}

/**
 * A spreadsheet takes such a cell for a formula, or what comes after a semicolon or a line end where it parts cells by
 * these. Some take wide signs for the narrow ones.
 */
const FORMULA = /^(?=[=+\-@＝＋－＠\t\r])|([;\t\r\n])(?=[=+\-@＝＋－＠])/g;

/**
 * One line (RFC 4180). A text that a spreadsheet would run is made harmless by an apostrophe before it, and what a person who reads it
 * would not see, or see turned round, becomes U+FFFD: a CSV is for people. Programs have the exact text in NDJSON.
 */
export function csvLine(cells: readonly (string | number | boolean | null)[]): string {
  const written = cells.map((cell) => {
    if (typeof cell !== 'string') return cell === null ? '' : String(cell);
    const safe = printableLines(cell.replaceAll('\r\n', '\n')).replace(FORMULA, "$1'");
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  });
  return `${written.join(',')}\r\n`;
}
