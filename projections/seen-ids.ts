export interface SeenIdsState {
  readonly young: readonly string[];
  readonly old: readonly string[];
}

/**
 * Tells an event that was delivered before, under the same id, from a new one: a store may give an append that
 * was retried a second position. Remembers the newest ids only, which is where a retry can be.
 */
export class SeenIds {
  #young = new Set<string>();
  #old = new Set<string>();
  readonly #half: number;

  /** @param kept at least half so many ids are remembered, at most all of them; 0 where none comes twice */
  constructor(kept = 100_000) {
    this.#half = Math.ceil(kept / 2);
  }

  /** Whether this id comes for the first time; it is remembered from here on. */
  isNew(id: string): boolean {
    if (this.#half === 0) return true;
    if (this.#old.has(id)) return false;
    if (this.#young.size >= this.#half) {
      if (this.#young.has(id)) return false;
      this.#old = this.#young;
      this.#young = new Set();
    }
    // Whether the set has grown says as much as asking it first, and costs one look-up less an event.
    const before = this.#young.size;
    return this.#young.add(id).size > before;
  }

  /** The opposite of {@link restore}. */
  dump(): SeenIdsState {
    return { young: [...this.#young], old: [...this.#old] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ young, old }: SeenIdsState): void {
    this.#young = new Set(young);
    this.#old = new Set(old);
  }

  /** How many ids are remembered. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }
}
