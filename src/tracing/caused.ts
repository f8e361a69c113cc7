/** Blocks that are remembered at a time; the oldest go first, and with them only a span of their first refusal. */
const REMEMBERED = 10_000;

/**
 * Which blocks came out of a trace, for as long as the first refusal that they cause has not been seen here: that one
 * belongs to the same trace.
 */
export class CausedBlocks {
  /** By block; null once it has refused somebody. */
  readonly #traces = new Map<string, string | null>();

  /** A block is in force. Said again, as its event comes after it was anticipated, it changes nothing. */
  imposed(block: string, traceparent: string): void {
    if (this.#traces.has(block)) return;
    this.#traces.set(block, traceparent);
    if (this.#traces.size <= REMEMBERED) return;
    for (const oldest of this.#traces.keys()) return void this.#traces.delete(oldest);
  }

  /** The trace of a block that refuses for the first time here; undefined for every later refusal. */
  refuses(block: string): string | undefined {
    const traceparent = this.#traces.get(block);
    if (traceparent === undefined || traceparent === null) return undefined;
    this.#traces.set(block, null);
    return traceparent;
  }
}
