import { useQueries, useQueryClient } from '@tanstack/react-query';
import type { UseQueryResult } from '@tanstack/react-query';
import { useCallback, useMemo, useRef, useState } from 'react';
import type { ListedBlock, QueryOf } from '../api.js';
import { answered, api } from '../api.js';
import { AT_ONCE } from '../parts/bulk.js';
import type { Target } from '../parts/bulk.js';
import { subjectName } from '../parts/blocks.js';
import type { Items } from '../parts/rows.js';

/** Rows of the first request: what a screen shows, and some more. */
const FIRST = 100;
/** Rows of each later one. */
const PAGE = 250;
/** How near the end of what is known the next page is fetched: of the first page, only when somebody scrolls. */
const aheadOf = (length: number): number => Math.min(120, length - FIRST / 2);
/** How long a page that is out of sight stays in memory, in milliseconds. */
const KEPT = 20_000;

type Query = QueryOf<'/api/v1/blocks'>;
export type BlockFilter = Omit<Query, 'limit' | 'cursor' | 'total' | 'format'>;

/** Rows that fly past are not fetched: what is in sight is looked at so often, in milliseconds. */
const GATHER = 60;

interface Page {
  readonly items: readonly ListedBlock[];
  readonly next: string | null;
  readonly total?: number;
}

const get = (query: Query, signal: AbortSignal): Promise<Page> =>
  answered(api.GET('/api/v1/blocks', { params: { query }, signal }));

/**
 * Where each page of a list begins, and which rows it has. Names and ids alone stay in memory: of 100,000 blocks that is
 * little, all of them would be a hundred times as much.
 */
class Book {
  readonly cursors: (string | undefined)[] = [undefined];
  readonly rows: (readonly Target[])[] = [];
  #starts: number[] = [0];
  total: number | undefined;
  /** The pages in use as they were last: a page that is fetched anew shows them until then. */
  readonly shown = new Map<number, Page>();
  readonly #seen: Map<string, Target>;

  /** @param seen keeps what was listed once */
  constructor(seen: Map<string, Target>) {
    this.#seen = seen;
  }

  took(page: number, { items, next, total }: Page): void {
    const rows = items.map(({ id, subject }) => ({ id, name: subjectName(subject) }));
    for (const row of rows) this.#seen.set(row.id, row);
    this.rows[page] = rows;
    if (page === 0) this.total = total;
    if (next === null) {
      this.cursors.length = page + 1;
      this.rows.length = page + 1;
    } else this.cursors[page + 1] = next;
    this.#starts = [0];
    for (const rows of this.rows) this.#starts.push(this.#starts.at(-1)! + rows.length);
  }

  get length(): number {
    return this.#starts.at(-1)!;
  }

  startOf(page: number): number {
    return this.#starts[page] ?? this.length;
  }

  pageOf(index: number): number {
    let page = Math.min(Math.floor(index / PAGE), this.rows.length - 1);
    while (page > 0 && this.#starts[page]! > index) page--;
    while (page < this.rows.length - 1 && this.#starts[page + 1]! <= index) page++;
    return Math.max(page, 0);
  }

  targetAt(index: number): Target {
    const page = this.pageOf(index);
    return this.rows[page]![index - this.startOf(page)]!;
  }
}

export interface BlockPages {
  readonly rows: Items<ListedBlock>;
  readonly total: number | undefined;
  readonly hasMore: boolean;
  readonly first: UseQueryResult<Page>;
  readonly failed: UseQueryResult<Page> | undefined;
  readonly onRange: (first: number, last: number) => void;
  /** Those that are named, or where nothing is named all that match. */
  readonly chunks: (
    ids: ReadonlySet<string> | undefined,
    signal: AbortSignal,
  ) => AsyncGenerator<readonly Target[]>;
}

/** A list of blocks of any length: the pages in sight are there and kept fresh, others are let go of. */
export function useBlockPages(filter: BlockFilter): BlockPages {
  const client = useQueryClient();
  const filterKey = JSON.stringify(filter);
  // A new filter is another list.
  const seen = useRef(new Map<string, Target>());
  const book = useMemo(() => new Book(seen.current), [filterKey]);
  const [range, setRange] = useState<{ of: Book; first: number; last: number }>();
  const [, render] = useState(0);
  const pages = useMemo(() => {
    const { first, last } = range?.of === book ? range : { first: 0, last: 0 };
    const wanted = new Set([0]);
    for (let page = book.pageOf(first); page <= book.pageOf(last); page++) wanted.add(page);
    if (last + aheadOf(book.length) >= book.length && book.cursors.length > book.rows.length)
      wanted.add(book.rows.length);
    return [...wanted].filter((page) => page < book.cursors.length);
  }, [book, range, book.length, book.cursors.length]);
  const keyOf = (page: number) => ['blocks', filterKey, page, book.cursors[page] ?? ''];
  const results = useQueries({
    queries: pages.map((page) => ({
      queryKey: keyOf(page),
      gcTime: KEPT,
      // Comparing pages costs more than drawing the rows in sight.
      structuralSharing: false as const,
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const cursor = book.cursors[page];
        const size = page === 0 ? { limit: String(FIRST), total: 'true' as const } : { limit: String(PAGE) };
        const found = await get({ ...filter, ...size, cursor }, signal);
        book.took(page, found);
        render((count) => count + 1);
        return found;
      },
    })),
  });
  const byPage = new Map(pages.map((page, index) => [page, results[index]!.data]));
  // What is in the cache from a visit before.
  for (const [page, data] of byPage)
    if (data !== undefined && book.rows[page] === undefined) book.took(page, data);
  for (const page of book.shown.keys()) if (!byPage.has(page)) book.shown.delete(page);
  for (const [page, data] of byPage) if (data !== undefined) book.shown.set(page, data);
  const rows: Items<ListedBlock> = {
    length: book.length,
    at: (index) => {
      const page = book.pageOf(index);
      const data = book.shown.get(page) ?? client.getQueryData<Page>(keyOf(page));
      return data?.items[index - book.startOf(page)];
    },
    idAt: (index) => book.targetAt(index).id,
  };
  const inSight = useRef<{ timer?: ReturnType<typeof setTimeout> | undefined; first: number; last: number }>(
    undefined,
  );
  inSight.current ??= { first: 0, last: 0 };
  const onRange = useCallback(
    (first: number, last: number) => {
      const now = inSight.current!;
      [now.first, now.last] = [first, last];
      now.timer ??= setTimeout(() => {
        now.timer = undefined;
        setRange({ of: book, first: now.first, last: now.last });
      }, GATHER);
    },
    [book],
  );
  async function* chunks(
    ids: ReadonlySet<string> | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<readonly Target[]> {
    if (ids !== undefined) {
      const targets = book.rows.flat().filter(({ id }) => ids.has(id));
      const known = new Set(targets.map(({ id }) => id));
      // Selected under another filter, or out of the list since.
      for (const id of ids) if (!known.has(id)) targets.push(seen.current.get(id) ?? { id, name: id });
      for (let first = 0; first < targets.length; first += AT_ONCE)
        yield targets.slice(first, first + AT_ONCE);
      return;
    }
    // By when they began: what is released leaves the list, and shifts no page.
    const query: Query = { ...filter, sort: 'newest', limit: String(AT_ONCE) };
    for (let cursor: string | null | undefined; cursor !== null && !signal.aborted;) {
      const page = await get({ ...query, cursor }, signal);
      yield page.items.map(({ id, subject }) => ({ id, name: subjectName(subject) }));
      cursor = page.next;
    }
  }
  return {
    rows,
    total: book.total,
    hasMore: book.cursors.length > book.rows.length,
    first: results[0]!,
    failed: results.find(({ isError }) => isError),
    onRange,
    chunks,
  };
}
