import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { SECOND } from '../../src/kernel/time.js';
import type { DistinctCount, Rule } from '../../src/rules/model.js';
import { DISTINCT_COUNTS, DISTINCT_MAX } from '../../src/rules/model.js';
import type { MessageAccepted } from '../../src/sending/events.js';
import { clientNetwork, normalizeAddress, normalizeEhlo } from '../../src/sending/identity.js';
import type { SubjectType } from '../../src/sending/subjects.js';
import { hashOf } from '../blocks/filtered-map.js';
import { Page, PAGE_BITS, PAGE_ROWS } from './pages.js';

/** A rule on a distinct count. */
export interface DistinctWatch {
  readonly rule: Rule;
  readonly kind: DistinctCount;
  /** Index among all watches of the subject type. */
  readonly index: number;
}

export type DistinctCountsState = Partial<Readonly<Record<DistinctCount, DistinctCellsState>>>;

/**
 * How many different networks, EHLO names, return paths and recipient domains each row has, as far as rules need them.
 */
export class DistinctCounts {
  readonly watches: readonly DistinctWatch[];
  readonly #kinds: ReadonlyMap<DistinctCount, DistinctCells>;

  /** @param first the index of the first of its watches */
  constructor(type: SubjectType, rules: readonly Rule[], first: number) {
    const own = rules.filter((rule) => rule.per === type);
    this.watches = own
      .flatMap((rule) =>
        DISTINCT_COUNTS.filter((kind) => kind === rule.count).map((kind) => ({ rule, kind })),
      )
      .map((watch, place) => ({ ...watch, index: first + place }));
    const asked = new Set(own.flatMap(askedBy));
    this.#kinds = new Map([...asked].map((kind) => [kind, new DistinctCells()]));
  }

  get any(): boolean {
    return this.#kinds.size > 0;
  }

  note(row: number, message: MessageAccepted, at: Instant): void {
    for (const [kind, ones] of this.#kinds) {
      if (kind === 'recipientDomains') {
        for (const domain of message.recipientDomains) ones.note(row, nonzeroHash(domain), at);
      } else {
        const name = nameOf(kind, message);
        if (name !== undefined) ones.note(row, nonzeroHash(name), at);
      }
    }
  }

  /** Seen within the window that ends at `at`, and after `since`. */
  count(kind: DistinctCount, row: number, at: Instant, window: Milliseconds, since: Instant): number {
    return this.#kinds.get(kind)?.count(row, Math.max(at - window, since)) ?? 0;
  }

  clear(row: number): void {
    for (const ones of this.#kinds.values()) ones.clear(row);
  }

  copy(row: number, before: DistinctCounts, oldRow: number): void {
    for (const [kind, ones] of this.#kinds) {
      const old = before.#kinds.get(kind);
      if (old !== undefined) ones.copy(row, old, oldRow);
    }
  }

  /** The opposite of {@link restore}. */
  dump(): DistinctCountsState {
    return Object.fromEntries([...this.#kinds].map(([kind, ones]) => [kind, ones.dump()]));
  }

  /** Takes over what {@link dump} gave under the same rules. Must come before anything is noted. */
  restore(state: DistinctCountsState): void {
    for (const [kind, ones] of this.#kinds) ones.restore(state[kind] ?? []);
  }
}

function askedBy({ count, when, score }: Rule): readonly DistinctCount[] {
  const conditions = [when, ...(score?.signals ?? [])];
  return DISTINCT_COUNTS.filter(
    (kind) => kind === count || conditions.some((each) => each?.distinct?.[kind] !== undefined),
  );
}

/** What a message has one of; undefined if it has none. */
function nameOf(
  kind: Exclude<DistinctCount, 'recipientDomains'>,
  { ip, ehlo, returnPath }: MessageAccepted,
): string | undefined {
  switch (kind) {
    case 'networks':
      return ip === undefined || ip === '' ? undefined : clientNetwork(ip);
    case 'ehlos':
      return ehlo === undefined || ehlo === '' ? undefined : normalizeEhlo(ehlo);
    case 'returnPaths':
      return returnPath === undefined || returnPath === '' ? undefined : normalizeAddress(returnPath);
  }
}

function nonzeroHash(name: string): number {
  return hashOf(name) >>> 0 || 1;
}

/** A row: the hashes, then when each was last seen, in seconds. */
const CELLS = 2 * DISTINCT_MAX;

type DistinctCellsState = readonly Uint8Array[];

/**
 * How many different names each row has seen lately, of one kind: the newest {@link DISTINCT_MAX}, as hashes of 32
 * bits. So a count below that is exact, except for a hash collision (one in four billion).
 */
export class DistinctCells {
  readonly #pages: (Page | undefined)[] = [];

  /** @param hash of the name, not 0 */
  note(row: number, hash: number, at: Instant): void {
    const { u32 } = this.#writable(row);
    const first = cellOf(row);
    const second = Math.floor(at / SECOND);
    let oldest = 0;
    for (let slot = 0; slot < DISTINCT_MAX; slot++) {
      const seen = u32[first + DISTINCT_MAX + slot]!;
      if (u32[first + slot] === hash) {
        if (second > seen) u32[first + DISTINCT_MAX + slot] = second;
        return;
      }
      if (seen < u32[first + DISTINCT_MAX + oldest]!) oldest = slot;
      // Slots are filled in order: after the first free one there are no more.
      if (seen === 0) break;
    }
    if (second < u32[first + DISTINCT_MAX + oldest]!) return;
    u32[first + oldest] = hash;
    u32[first + DISTINCT_MAX + oldest] = second;
  }

  /** How many were seen after `since`. Changes nothing. */
  count(row: number, since: Instant): number {
    const page = this.#pages[row >> PAGE_BITS];
    if (page === undefined) return 0;
    const first = cellOf(row) + DISTINCT_MAX;
    let count = 0;
    for (let slot = 0; slot < DISTINCT_MAX; slot++) {
      const second = page.u32[first + slot]!;
      if (second === 0) break;
      if (second * SECOND > since) count++;
    }
    return count;
  }

  clear(row: number): void {
    if (this.#pages[row >> PAGE_BITS] === undefined) return;
    this.#writable(row).u32.fill(0, cellOf(row), cellOf(row) + CELLS);
  }

  /** Copies another's data of a row. */
  copy(row: number, other: DistinctCells, otherRow: number): void {
    const page = other.#pages[otherRow >> PAGE_BITS];
    if (page === undefined) return;
    const from = cellOf(otherRow);
    this.#writable(row).u32.set(page.u32.subarray(from, from + CELLS), cellOf(row));
  }

  /** A page is copied when it is next written to. The opposite of {@link restore}. */
  dump(): DistinctCellsState {
    return Array.from(this.#pages, (page) => page?.share() ?? NO_BYTES);
  }

  /** Takes over what {@link dump} gave. Must come before anything is noted. */
  restore(pages: DistinctCellsState): void {
    for (const bytes of pages) this.#pages.push(bytes.length === 0 ? undefined : Page.like(bytes));
  }

  #writable(row: number): Page {
    const index = row >> PAGE_BITS;
    const page = this.#pages[index];
    if (page === undefined) return (this.#pages[index] = Page.of(PAGE_ROWS * CELLS * 4));
    return page.shared ? (this.#pages[index] = Page.like(page.bytes)) : page;
  }
}

const NO_BYTES = new Uint8Array(0);

function cellOf(row: number): number {
  return (row & (PAGE_ROWS - 1)) * CELLS;
}
