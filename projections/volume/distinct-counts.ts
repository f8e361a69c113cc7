import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DISTINCT_COUNTS } from '../../src/rules/model.js';
import type { DistinctCount, Rule } from '../../src/rules/model.js';
import type { MessageAccepted } from '../../src/sending/events.js';
import { clientNetwork, normalizeAddress, normalizeEhlo } from '../../src/sending/identity.js';
import type { SubjectType } from '../../src/sending/subjects.js';
import { DistinctCells } from './distinct-cells.js';
import type { DistinctCellsState } from './distinct-cells.js';
import { hashOf } from '../blocks/filtered-map.js';

/** A rule that counts different ones. */
export interface DistinctWatch {
  readonly rule: Rule;
  readonly kind: DistinctCount;
  /** Place among all watches of the subject type. */
  readonly index: number;
}

export type DistinctCountsState = Partial<Readonly<Record<DistinctCount, DistinctCellsState>>>;

/** How many different networks, EHLO names, return paths and recipient domains each row has, as far as rules ask. */
export class DistinctCounts {
  readonly watches: readonly DistinctWatch[];
  readonly #kinds: ReadonlyMap<DistinctCount, DistinctCells>;

  /** @param first the place of the first of its watches */
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

/** What a message has one of; undefined where it has none. */
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
