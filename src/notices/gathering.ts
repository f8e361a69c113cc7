import type { NoticeEvent } from '../config/notices.js';
import type { Item } from './events.js';

/** Items of a notice that are named one by one; of the others it says how many there are. */
export const MOST_ITEMS = 50;
/** Blocks and proposals that are kept track of, and proposals that are looked at when they are named again. */
export const MOST_WAITING = 10_000;

type Counts = Partial<Record<NoticeEvent, number>>;

/** What gathers for one receiver until it is told. */
export class Gathering {
  readonly items: Item[] = [];
  readonly counts: Counts = {};
  /** How many of them are over already. */
  readonly over: Counts = {};
  /** Blocks whose proposal is among what is counted. */
  readonly #proposed = new Set<string>();
  /** Blocks in force that are among what is counted, and as what. */
  readonly #blocked = new Map<string, 'imposed' | 'approved'>();

  get isEmpty(): boolean {
    return this.items.length === 0;
  }

  /**
   * Takes what has become of a block, whether or not anybody is told of that: nobody is asked to decide what is decided,
   * or to release what is released. A proposal goes; that a sender was blocked is still told, as over.
   */
  heed({ event, block, at, by }: Item): void {
    if (block === undefined) return;
    if (this.#proposed.delete(block)) {
      const rest = this.counts.proposed! - 1;
      if (rest === 0) delete this.counts.proposed;
      else this.counts.proposed = rest;
      const index = this.items.findIndex((one) => one.event === 'proposed' && one.block === block);
      if (index !== -1) this.items.splice(index, 1);
    }
    const told = this.#blocked.get(block);
    if (told === undefined || (event !== 'released' && event !== 'expired')) return;
    this.#blocked.delete(block);
    this.over[told] = (this.over[told] ?? 0) + 1;
    const index = this.items.findIndex((one) => one.event === told && one.block === block);
    if (index !== -1) this.items[index] = { ...this.items[index]!, over: { event, at, by } };
  }

  /** One more to tell of. */
  add(item: Item): void {
    const { event, block = '' } = item;
    if (event === 'proposed' && this.#proposed.size < MOST_WAITING) this.#proposed.add(block);
    if ((event === 'imposed' || event === 'approved') && this.#blocked.size < MOST_WAITING)
      this.#blocked.set(block, event);
    if (this.items.length < MOST_ITEMS) this.items.push(item);
    this.counts[event] = (this.counts[event] ?? 0) + 1;
  }
}
