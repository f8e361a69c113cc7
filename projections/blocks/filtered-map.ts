/**
 * The start value of a hash. Hashes run from the last character to the first, so the hashes of suffixes are
 * intermediate results.
 */
export const HASH_SEED = 0x811c9dc5;

/** Adds one character (FNV-1a). */
export function hashStep(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x01000193);
}

/** The hash of a text from `start` on. */
export function hashOf(text: string, start = 0): number {
  let hash = HASH_SEED;
  for (let index = text.length - 1; index >= start; index--) hash = hashStep(hash, text.charCodeAt(index));
  return hash;
}

/**
 * A filter that recognises nearly every hash that was never added: with sixteen bits for each entry, at most one in
 * sixteen is wrong. An attacker who forces a wrong answer costs only a look-up in the map.
 */
export class HashFilter {
  #bits = new Uint32Array(2);
  #added = 0;

  /** False when it holds as many as it is made for: then {@link reset} and fill it again. */
  get hasRoom(): boolean {
    return this.#added < this.#bits.length * 2;
  }

  has(hash: number): boolean {
    const mixed = mix(hash);
    return ((this.#bits[(mixed >>> 5) & (this.#bits.length - 1)]! >>> (mixed & 31)) & 1) === 1;
  }

  add(hash: number): void {
    const mixed = mix(hash);
    this.#bits[(mixed >>> 5) & (this.#bits.length - 1)]! |= 1 << (mixed & 31);
    this.#added++;
  }

  /** Empties it, with room for twice as many as are to be added now. */
  reset(entries: number): void {
    let words = 2;
    while (words < entries) words *= 2;
    this.#bits = new Uint32Array(words);
    this.#added = 0;
  }
}

function mix(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (once ^ (once >>> 13)) >>> 0;
}

/** A map for readers that mostly ask for missing keys, often for parts of a text that they have hashed. */
export class FilteredMap<Value> {
  readonly #map = new Map<string, Value>();
  readonly #filter = new HashFilter();

  get size(): number {
    return this.#map.size;
  }

  /** The values, in the order of insertion. */
  values(): IterableIterator<Value> {
    return this.#map.values();
  }

  /** False if no key has this hash (see {@link hashOf}); true if one may. */
  mayHave(hash: number): boolean {
    return this.#filter.has(hash);
  }

  get(key: string): Value | undefined {
    return this.#map.get(key);
  }

  set(key: string, value: Value): void {
    const fresh = !this.#map.has(key);
    this.#map.set(key, value);
    if (!fresh) return;
    if (this.#filter.hasRoom) return this.#filter.add(hashOf(key));
    // Deleted keys leave their bits in the filter, which are cleared here too.
    this.#filter.reset(this.#map.size);
    for (const each of this.#map.keys()) this.#filter.add(hashOf(each));
  }

  delete(key: string): void {
    this.#map.delete(key);
  }
}
