/** Rows in a page: a table grows by pages, so growing never copies. */
export const PAGE_BITS = 8;
export const PAGE_ROWS = 1 << PAGE_BITS;

/** One block of memory, viewed as four kinds of cells: the data of a row is contiguous. */
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

  /** A copy of a page. */
  static like(bytes: Uint8Array): Page {
    const page = Page.of(bytes.length);
    page.bytes.set(bytes);
    return page;
  }

  /** True if its memory is part of a dump too: it must not be written to. */
  get shared(): boolean {
    return this.#shared;
  }

  share(): Uint8Array {
    this.#shared = true;
    return this.bytes;
  }
}

export interface BlocksState {
  readonly pages: readonly Uint8Array[];
  readonly free: readonly number[];
  /** How many have been taken, with those that were given back. */
  readonly taken: number;
}

export const NO_BLOCKS: BlocksState = { pages: [], free: [], taken: 0 };

/** Blocks of so many cells of one kind, numbered from 1: 0 stands for none. One that is taken is empty. */
export class Blocks<Kind extends 'u16' | 'f32' = 'u16' | 'f32'> {
  readonly #kind: Kind;
  readonly #size: number;
  readonly #pages: Page[] = [];
  #free: number[] = [];
  #taken = 0;

  /** @param size cells in a block */
  constructor(kind: Kind, size: number) {
    this.#kind = kind;
    this.#size = size;
  }

  take(): number {
    const block = this.#free.pop() ?? ++this.#taken;
    if (block >> PAGE_BITS === this.#pages.length) {
      this.#pages.push(Page.of(PAGE_ROWS * this.#size * (this.#kind === 'u16' ? 2 : 4)));
    }
    return block;
  }

  giveBack(block: number): void {
    const first = this.first(block);
    this.writable(block).fill(0, first, first + this.#size);
    this.#free.push(block);
  }

  /** The cells of the page that has the block; only to be read. */
  cells(block: number): Page[Kind] {
    return this.#pages[block >> PAGE_BITS]![this.#kind];
  }

  /** The same, to be written to. */
  writable(block: number): Page[Kind] {
    const page = this.#pages[block >> PAGE_BITS]!;
    return (page.shared ? (this.#pages[block >> PAGE_BITS] = Page.like(page.bytes)) : page)[this.#kind];
  }

  /** Where the block begins within its page. */
  first(block: number): number {
    return (block & (PAGE_ROWS - 1)) * this.#size;
  }

  /** A page is copied at its next write. The opposite of {@link restore}. */
  dump(): BlocksState {
    return { pages: this.#pages.map((page) => page.share()), free: this.#free.slice(), taken: this.#taken };
  }

  /** Takes over what {@link dump} gave. Must come before any is taken. */
  restore({ pages, free, taken }: BlocksState): void {
    for (const bytes of pages) this.#pages.push(Page.like(bytes));
    this.#free = free.slice();
    this.#taken = taken;
  }
}
