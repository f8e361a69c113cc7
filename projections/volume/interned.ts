/** Values of which many are alike, kept once each: thousands of customers buy the same few things. */
export class Interned<Value> {
  readonly #kept = new Map<string, { readonly value: Value; users: number }>();
  readonly #keyOf: (value: Value) => string;

  /** @param keyOf the same text for values that are alike, and for no others */
  constructor(keyOf: (value: Value) => string) {
    this.#keyOf = keyOf;
  }

  /** How many different values are in use. */
  get size(): number {
    return this.#kept.size;
  }

  /** The value that is kept for all that are like this one; each taking asks for one {@link release}. */
  take(value: Value): Value {
    const key = this.#keyOf(value);
    const known = this.#kept.get(key);
    if (known === undefined) this.#kept.set(key, { value, users: 1 });
    else known.users++;
    return known?.value ?? value;
  }

  release(value: Value): void {
    const key = this.#keyOf(value);
    const known = this.#kept.get(key);
    if (known !== undefined && --known.users === 0) this.#kept.delete(key);
  }
}
