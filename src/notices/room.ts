import { eventBytes } from '../store/port.js';
import type { ChannelFact } from './events.js';
import { BY_NOTICES } from './events.js';

/** Beside the fact. All ids and times are as long as these. */
const ENVELOPE = { id: '00000000-0000-7000-8000-000000000000', at: 1_000_000_000_000, by: BY_NOTICES };

/** The bytes that one append may have, and what is left of them. What finds no room is recorded by the next append. */
export class Room {
  #left: number;
  #isUsed = false;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /**
   * Takes room for a fact. The first one is always recorded, or nothing ever would be: a notice that has all the room, and
   * too little, names fewer items.
   *
   * @returns what is to be recorded; undefined if there is no room for it
   */
  take<F extends ChannelFact>(fact: F): F | undefined {
    let fitting = fact;
    let bytes = bytesOf(fact);
    if (bytes > this.#left && this.#isUsed) return undefined;
    for (let fewer = shortened(fact); bytes > this.#left && fewer !== undefined; fewer = shortened(fewer)) {
      fitting = fewer;
      bytes = bytesOf(fewer);
    }
    this.#isUsed = true;
    this.#left -= bytes;
    return fitting;
  }
}

function bytesOf(fact: ChannelFact): number {
  return eventBytes({ ...fact, ...ENVELOPE });
}

/** The same with half as many items; undefined if it has none. */
function shortened<F extends ChannelFact>(fact: F): F | undefined {
  if (fact.type !== 'NoticeDue' && fact.type !== 'NoticeKept') return undefined;
  const { notice } = fact.data;
  if (notice.items.length === 0) return undefined;
  const items = notice.items.slice(0, notice.items.length >> 1);
  return { ...fact, data: { ...fact.data, notice: { ...notice, items } } };
}
