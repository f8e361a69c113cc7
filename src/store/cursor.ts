import type { RecordedEvent } from '../kernel/events.js';
import { TimeSlice } from '../runtime/clock.js';

export interface Slice {
  readonly events: readonly RecordedEvent[];
  /** False if no event is left after these within the bounds asked for. */
  readonly more: boolean;
}

/**
 * Walks slices as an async iterable. Written out instead of as a generator, which costs several more
 * promises an event; the loop gets its turn between slices and every few milliseconds.
 */
export class Cursor implements AsyncIterableIterator<RecordedEvent> {
  readonly #read: (last: RecordedEvent | undefined) => Slice | Promise<Slice>;
  readonly #left: (() => void) | undefined;
  #events: readonly RecordedEvent[] = [];
  #index = 0;
  #last: RecordedEvent | undefined;
  #more = true;
  readonly #timeSlice = new TimeSlice();

  /**
   * @param read the slice after the event given, or the first
   * @param left called when the reader stops early
   */
  constructor(read: (last: RecordedEvent | undefined) => Slice | Promise<Slice>, left?: () => void) {
    this.#read = read;
    this.#left = left;
  }

  next(): Promise<IteratorResult<RecordedEvent, undefined>> {
    if (this.#index < this.#events.length && !this.#timeSlice.spent()) {
      return Promise.resolve({ done: false, value: this.#events[this.#index++]! });
    }
    return this.#advance();
  }

  async #advance(): Promise<IteratorResult<RecordedEvent, undefined>> {
    while (this.#index >= this.#events.length) {
      if (!this.#more) return { done: true, value: undefined };
      const slice = await this.#read(this.#last);
      this.#events = slice.events;
      this.#last = slice.events.at(-1) ?? this.#last;
      this.#more = slice.more;
      this.#index = 0;
    }
    await this.#timeSlice.turn();
    const event = this.#events[this.#index++];
    return event ? { done: false, value: event } : { done: true, value: undefined };
  }

  return(): Promise<IteratorResult<RecordedEvent, undefined>> {
    this.#events = [];
    this.#index = 0;
    this.#more = false;
    this.#left?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
