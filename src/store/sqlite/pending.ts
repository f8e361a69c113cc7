import type { NewEvent } from '../../kernel/events.js';
import type { Appended, ExpectedRevision } from '../port.js';

/** An append that has not been answered. */
export interface Pending {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  /** JSON text of each event's data. */
  readonly texts: readonly string[];
  readonly expected: ExpectedRevision;
  /** When it came, in milliseconds of `performance.now()`. */
  readonly since: number;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: Error) => void;
  /** When the store took it, by the store's clock; set as it is handed to the writer. */
  recordedAt: number;
  /** It was answered to its caller, if only by a time-out; the writer's answer is still to come. */
  settled: boolean;
}

/** First in, first out, without moving the rest at each step. */
export class Fifo<T> {
  private items: T[] = [];
  private first = 0;

  get length(): number {
    return this.items.length - this.first;
  }

  push(item: T): void {
    this.items.push(item);
  }

  peek(): T | undefined {
    return this.items[this.first];
  }

  shift(): T | undefined {
    if (this.first >= this.items.length) return undefined;
    const item = this.items[this.first]!;
    if (++this.first >= 4096) {
      this.items = this.items.slice(this.first);
      this.first = 0;
    }
    return item;
  }

  /** Empties it and gives what was in it, in order. */
  drain(): T[] {
    const rest = this.items.slice(this.first);
    this.items = [];
    this.first = 0;
    return rest;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = this.first; i < this.items.length; i++) yield this.items[i]!;
  }
}
