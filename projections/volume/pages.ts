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
export class Blocks<Cells extends Uint16Array | Float32Array = Uint16Array | Float32Array> {
  readonly #make: new (buffer: ArrayBuffer) => Cells;
  readonly #size: number;
  readonly #cellBytes: number;
  readonly #pages: Cells[] = [];
  /** By page: its memory is part of a dump too, and must not be written to. */
  readonly #shared: boolean[] = [];
  #free: number[] = [];
  #taken = 0;

  /** @param size cells in a block */
  constructor(
    make: (new (buffer: ArrayBuffer) => Cells) & { readonly BYTES_PER_ELEMENT: number },
    size: number,
  ) {
    this.#make = make;
    this.#size = size;
    this.#cellBytes = make.BYTES_PER_ELEMENT;
  }

  take(): number {
    const block = this.#free.pop() ?? ++this.#taken;
    if (block >> PAGE_BITS === this.#pages.length) {
      this.#add(new ArrayBuffer(PAGE_ROWS * this.#size * this.#cellBytes));
    }
    return block;
  }

  giveBack(block: number): void {
    const first = this.first(block);
    this.writable(block).fill(0, first, first + this.#size);
    this.#free.push(block);
  }

  /** The cells of the page that has the block; only to be read. */
  cells(block: number): Cells {
    return this.#pages[block >> PAGE_BITS]!;
  }

  /** The same, to be written to. */
  writable(block: number): Cells {
    const page = block >> PAGE_BITS;
    if (this.#shared[page]!) {
      this.#pages[page] = new this.#make(this.#pages[page]!.buffer.slice(0) as ArrayBuffer);
      this.#shared[page] = false;
    }
    return this.#pages[page]!;
  }

  /** Where the block begins within its page. */
  first(block: number): number {
    return (block & (PAGE_ROWS - 1)) * this.#size;
  }

  /** A page is copied at its next write. The opposite of {@link restore}. */
  dump(): BlocksState {
    this.#shared.fill(true);
    const pages = this.#pages.map(({ buffer }) => new Uint8Array(buffer));
    return { pages, free: this.#free.slice(), taken: this.#taken };
  }

  /** Takes over what {@link dump} gave. Must come before any is taken. */
  restore({ pages, free, taken }: BlocksState): void {
    for (const bytes of pages) this.#add(bytes.slice().buffer);
    this.#free = free.slice();
    this.#taken = taken;
  }

  #add(buffer: ArrayBuffer): void {
    this.#pages.push(new this.#make(buffer));
    this.#shared.push(false);
  }
}
