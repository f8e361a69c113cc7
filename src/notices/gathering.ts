import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { EXPIRY } from '../blocks/events.js';
import type { NoticeEvent } from '../config/notices.js';
import type { Instant } from '../kernel/time.js';
import type { SubjectType } from '../sending/subjects.js';
import { namedFirst, SUBJECT_TYPES } from '../sending/subjects.js';
import type { Item } from './events.js';

/** Items of a notice that are named one by one; of the others it says how many there are. */
export const MOST_ITEMS = 50;
/** Blocks, and proposals, that are kept track of, of each type of subject. */
export const MOST_WAITING = 10_000;

type Counts = Partial<Record<NoticeEvent, number>>;

/** How a block or a proposal stands. */
export type Standing = Pick<BlockEntry, 'state' | 'until' | 'lapsesAt' | 'endedAt'>;

export function sum(counts: Readonly<Counts>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

/** What has gathered on subjects of one type. Each type has its own, so that strangers' networks push out no account. */
class OfOneType {
  /**
   * What may yet be named, by position, oldest first. Only proposals go away, so of all others the first ones are
   * enough.
   */
  readonly items = new Map<number, Item>();
  staying = 0;
  /** Proposals among what is counted: where each is, by its block. */
  readonly proposed = new Map<string, number>();
  /** Blocks in force that are among what is counted: as what, and where. */
  readonly blocked = new Map<string, { readonly event: 'imposed' | 'approved'; readonly position: number }>();

  /** It ends, or lapses, at another time than was said. */
  move(position: number, until: Instant | null | undefined): void {
    const item = this.items.get(position);
    if (item === undefined || until === undefined || item.until === until) return;
    this.items.set(position, { ...item, until });
  }
}

/** What gathers for one receiver until it is told. */
export class Gathering {
  /** When the first of it happened. */
  since: Instant;
  /** The position before the first of it. */
  readonly after: number;
  /** What is handed over again is not counted again. */
  #seen: number;
  readonly counts: Counts = {};
  /** How many of them are over already. */
  readonly over: Counts = {};
  /** In the order in which they are named; what is on no subject last. */
  readonly #types: ReadonlyMap<SubjectType | undefined, OfOneType> = new Map(
    [...SUBJECT_TYPES.toSorted((a, b) => namedFirst({ type: a }, { type: b })), undefined].map((type) => [
      type,
      new OfOneType(),
    ]),
  );

  constructor(since: Instant, after: number) {
    this.since = since;
    this.after = after;
    this.#seen = after;
  }

  get isEmpty(): boolean {
    return Object.keys(this.counts).length === 0;
  }

  /** Those that are named: of accounts before all others, and of each type the first ones. */
  get items(): readonly Item[] {
    const items: Item[] = [];
    for (const { items: ofType } of this.#types.values())
      for (const item of ofType.values()) {
        if (items.length === MOST_ITEMS) return items;
        items.push(item);
      }
    return items;
  }

  /** Takes what has happened, each event once. @param tells whether this receiver is told of it */
  take(position: number, item: Item, tells: boolean): void {
    if (position <= this.#seen) return;
    this.#seen = position;
    this.#heed(item);
    if (tells) this.add(item);
  }

  /** One more to tell of. */
  add(item: Item): void {
    const { event, position, block = '', subject } = item;
    this.counts[event] = (this.counts[event] ?? 0) + 1;
    const ofType = this.#types.get(subject?.type)!;
    if (event === 'proposed') {
      if (ofType.proposed.size === MOST_WAITING) return;
      ofType.proposed.set(block, position);
      ofType.items.set(position, item);
      return;
    }
    if ((event === 'imposed' || event === 'approved') && ofType.blocked.size < MOST_WAITING)
      ofType.blocked.set(block, { event, position });
    if (ofType.staying === MOST_ITEMS) return;
    ofType.staying += 1;
    ofType.items.set(position, item);
  }

  /**
   * Takes what has become of a block, whether or not anybody is told of that: nobody is asked to decide what is decided,
   * or to release what is released. A proposal goes; that a sender was blocked is still told, as over.
   */
  #heed({ event, block, subject, at, by }: Item): void {
    if (block === undefined) return;
    const ofType = this.#types.get(subject?.type)!;
    this.#drop(ofType, block);
    if (event === 'released' || event === 'expired') this.#end(ofType, block, { event, at, by });
  }

  /**
   * Takes how all of it stands when it is told: with the end that it has by now, and without what has run out, even if nobody
   * has recorded that yet.
   */
  settle(now: Instant, standingOf: (block: string) => Standing | undefined): void {
    for (const ofType of this.#types.values()) {
      const { proposed, blocked } = ofType;
      for (const [block, position] of proposed) {
        const standing = standingOf(block);
        const state = standing && stateAt(standing, now);
        if (state === 'lapsed') this.#drop(ofType, block);
        else if (state === 'proposed') ofType.move(position, standing!.lapsesAt);
      }
      for (const [block, { position }] of blocked) {
        const standing = standingOf(block);
        const state = standing && stateAt(standing, now);
        if (state === 'active') ofType.move(position, standing!.until);
        if (state !== 'expired') continue;
        const at = standing!.endedAt ?? standing!.until!;
        this.#end(ofType, block, { event: 'expired', at, by: EXPIRY });
      }
    }
  }

  /** Nobody is asked for this proposal any more. */
  #drop({ proposed, items }: OfOneType, block: string): void {
    const where = proposed.get(block);
    if (where === undefined) return;
    proposed.delete(block);
    items.delete(where);
    const rest = this.counts.proposed! - 1;
    if (rest === 0) delete this.counts.proposed;
    else this.counts.proposed = rest;
  }

  #end({ blocked, items }: OfOneType, block: string, over: NonNullable<Item['over']>): void {
    const told = blocked.get(block);
    if (told === undefined) return;
    blocked.delete(block);
    this.over[told.event] = (this.over[told.event] ?? 0) + 1;
    const item = items.get(told.position);
    if (item !== undefined) items.set(told.position, { ...item, over });
  }
}
