/** Buckets a window: its error is at most one of them, and always in the sender's favour. */
export const BUCKETS = 60;

/** Rows a page: a table grows by pages, so growing never copies. */
export const PAGE_BITS = 8;
export const PAGE_ROWS = 1 << PAGE_BITS;

/** One block of memory seen as four kinds of cells: what belongs to a row lies together. */
export class Page {
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly bytes: Uint8Array;
  #shared = false;

  private constructor(buffer: ArrayBuffer) {
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }

  static of(bytes: number): Page {
    return new Page(new ArrayBuffer(bytes));
  }

  /** A page of its own that holds the same. */
  static like(bytes: Uint8Array): Page {
    const page = Page.of(bytes.length);
    page.bytes.set(bytes);
    return page;
  }

  /** True where its memory stands in a dump too: it must not be written to any more. */
  get shared(): boolean {
    return this.#shared;
  }

  share(): Uint8Array {
    this.#shared = true;
    return this.bytes;
  }
}

/**
 * Empties what falls out of a window as it moves on to a newer bucket.
 *
 * @returns what those cells held
 */
export function empty(
  cells: Uint16Array | Float32Array,
  first: number,
  newest: number,
  bucket: number,
): number {
  let gone = 0;
  let place = Math.max(newest + 1, bucket - BUCKETS + 1) % BUCKETS;
  for (let left = Math.min(bucket - newest, BUCKETS); left > 0; left--) {
    gone += cells[first + place]!;
    cells[first + place] = 0;
    if (++place === BUCKETS) place = 0;
  }
  return gone;
}
