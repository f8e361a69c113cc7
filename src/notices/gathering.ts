import type { NoticeEvent } from '../config/notices.js';
import type { Item } from './events.js';

/** Items of a notice that are named one by one; of the others it says how many there are. */
export const MOST_ITEMS = 50;
/** Blocks and proposals that are kept track of, and proposals that are looked at when they are named again. */
export const MOST_WAITING = 10_000;

type Counts = Partial<Record<NoticeEvent, number>>;

/** What gathers for one receiver until it is told. */
export class Gathering {
  readonly counts: Counts = {};
  /** How many of them are over already. */
  readonly over: Counts = {};
  /**
   * What may yet be named, by position, oldest first. Only proposals go away, so of all others the first ones are
   * enough.
   */
  readonly #items = new Map<number, Item>();
  #staying = 0;
  /** Proposals among what is counted: where each is, by its block. */
  readonly #proposed = new Map<string, number>();
  /** Blocks in force that are among what is counted: as what, and where. */
  readonly #blocked = new Map<
    string,
    { readonly event: 'imposed' | 'approved'; readonly position: number }
  >();

  get isEmpty(): boolean {
    return Object.keys(this.counts).length === 0;
  }

  /** The first ones of what is counted. */
  get items(): readonly Item[] {
    const items: Item[] = [];
    for (const item of this.#items.values()) {
      if (items.length === MOST_ITEMS) break;
      items.push(item);
    }
    return items;
  }

  /**
   * Takes what has become of a block, whether or not anybody is told of that: nobody is asked to decide what is decided,
   * or to release what is released. A proposal goes; that a sender was blocked is still told, as over.
   */
  heed({ event, block, at, by }: Item): void {
    if (block === undefined) return;
    const proposed = this.#proposed.get(block);
    if (proposed !== undefined) {
      this.#proposed.delete(block);
      this.#items.delete(proposed);
      const rest = this.counts.proposed! - 1;
      if (rest === 0) delete this.counts.proposed;
      else this.counts.proposed = rest;
    }
    const told = this.#blocked.get(block);
    if (told === undefined || (event !== 'released' && event !== 'expired')) return;
    this.#blocked.delete(block);
    this.over[told.event] = (this.over[told.event] ?? 0) + 1;
    const item = this.#items.get(told.position);
    if (item !== undefined) this.#items.set(told.position, { ...item, over: { event, at, by } });
  }

  /** One more to tell of. */
  add(item: Item): void {
    const { event, position, block = '' } = item;
    this.counts[event] = (this.counts[event] ?? 0) + 1;
    if (event === 'proposed') {
      if (this.#proposed.size === MOST_WAITING) return;
      this.#proposed.set(block, position);
      this.#items.set(position, item);
      return;
    }
    if ((event === 'imposed' || event === 'approved') && this.#blocked.size < MOST_WAITING)
      this.#blocked.set(block, { event, position });
    if (this.#staying === MOST_ITEMS) return;
    this.#staying += 1;
    this.#items.set(position, item);
  }
}
