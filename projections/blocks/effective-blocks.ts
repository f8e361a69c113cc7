import type { BlockEvent } from '../../src/blocks/events.js';
import type { Standing } from '../../src/blocks/state.js';
import { effectsOf, fold, NOTHING_YET } from '../../src/blocks/state.js';
import { subjectKey } from '../../src/sending/subjects.js';

/** The block or proposal that a subject has now. */
type Live = Pick<Standing, 'block' | 'proposal'>;

export interface EffectiveBlocksState {
  /** By subject key. */
  readonly live: readonly (readonly [subject: string, live: Live])[];
  readonly ended: readonly string[];
  readonly aliases: readonly (readonly [alias: string, id: string])[];
}

/**
 * Reads the block events of all subjects as {@link effectsOf} reads those of one, so that all folds agree on the events
 * of two writers that did not see each other.
 */
export class EffectiveBlocks {
  /** By subject key, only subjects that have a block or a proposal. */
  readonly #live = new Map<string, Live>();
  /** The subject keys of blocks and proposals, by id. */
  readonly #subjects = new Map<string, string>();
  readonly #ended = new Set<string>();
  readonly #aliases = new Map<string, string>();

  /** What the event means; nothing if it concerns something that has ended or never began. */
  take<Event extends BlockEvent>(event: Event): readonly Event[] {
    if (!('block' in event.data)) return [event];
    const { block } = event.data;
    const key =
      'subject' in event.data && event.data.subject !== undefined
        ? subjectKey(event.data.subject)
        : this.#subjects.get(this.#aliases.get(block) ?? block);
    // Nothing is known of one that has ended but that it has: still its held mail may be decided on.
    const live = key === undefined ? undefined : this.#live.get(key);
    const before: Standing = { ...NOTHING_YET, ...live };
    const events = effectsOf({ ...before, ended: this.#ended, aliases: this.#aliases }, event);
    if (events.length > 0 && key !== undefined) this.#keep(key, events.reduce(fold, before));
    return events as readonly Event[];
  }

  /** The opposite of {@link restore}. */
  dump(): EffectiveBlocksState {
    return { live: [...this.#live], ended: [...this.#ended], aliases: [...this.#aliases] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ live, ended, aliases }: EffectiveBlocksState): void {
    for (const held of [this.#live, this.#subjects, this.#ended, this.#aliases]) held.clear();
    for (const [key, { block, proposal }] of live) this.#keep(key, { ...NOTHING_YET, block, proposal });
    for (const id of ended) this.#ended.add(id);
    for (const [alias, id] of aliases) this.#aliases.set(alias, id);
  }

  #keep(key: string, { block, proposal, ended, aliases }: Standing): void {
    for (const id of ended.keys()) {
      this.#ended.add(id);
      this.#subjects.delete(id);
    }
    for (const [alias, id] of aliases) this.#aliases.set(alias, id);
    const id = (block ?? proposal)?.id;
    if (id === undefined) this.#live.delete(key);
    else {
      this.#live.set(key, { block, proposal });
      this.#subjects.set(id, key);
    }
  }
}

/** Plain data, in pieces of a quarter of a megabyte. */
export interface SeenIdsState {
  readonly young: readonly Float64Array[];
  readonly old: readonly Float64Array[];
}

/**
 * Recognises an event that was delivered before, by its id: a store may give a retried append a second position. It
 * remembers only the newest ids, since a retry comes soon, and of each id at most 53 bits: of ten thousand million new
 * events, about one is taken for a repeat.
 */
export class SeenIds {
  #young = new Numbers();
  #old = new Numbers();
  readonly #half: number;

  /**
   * @param kept at least half as many ids are remembered, at most all of them, in 16 to 32 bytes each; 0 if no id is
   *   repeated
   */
  constructor(kept = 1_000_000) {
    this.#half = Math.ceil(kept / 2);
  }

  /** Whether this id is new; it is remembered from now on. */
  isNew(id: string): boolean {
    if (this.#half === 0) return true;
    const number = numberOf(id);
    if (this.#old.has(number)) return false;
    if (this.#young.size >= this.#half) {
      if (this.#young.has(number)) return false;
      this.#old = this.#young;
      this.#young = new Numbers();
    }
    return this.#young.add(number);
  }

  /** The opposite of {@link restore}. */
  dump(): SeenIdsState {
    return { young: this.#young.dump(), old: this.#old.dump() };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ young, old }: SeenIdsState): void {
    this.#young = Numbers.of(young);
    this.#old = Numbers.of(old);
  }

  /** How many ids are remembered. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }
}

/** How many numbers a piece of a dump holds. */
const PIECE = 32_768;

/** A set of numbers other than 0: a hash table with open addressing by a number's last bits. */
class Numbers {
  #slots = new Float64Array(16);
  size = 0;

  static of(pieces: readonly Float64Array[]): Numbers {
    const numbers = new Numbers();
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (length === 0) return numbers;
    // Place by place: the same ids in another order would be another state.
    numbers.#slots = new Float64Array(length);
    let from = 0;
    for (const piece of pieces) {
      numbers.#slots.set(piece, from);
      from += piece.length;
    }
    for (const number of numbers.#slots) if (number !== 0) numbers.size++;
    return numbers;
  }

  has(number: number): boolean {
    return this.#slots[this.#placeOf(number)] === number;
  }

  /** @returns whether it was not in it */
  add(number: number): boolean {
    const place = this.#placeOf(number);
    if (this.#slots[place] === number) return false;
    this.#slots[place] = number;
    if (2 * ++this.size > this.#slots.length) this.#grow();
    return true;
  }

  dump(): readonly Float64Array[] {
    const pieces: Float64Array[] = [];
    for (let from = 0; from < this.#slots.length; from += PIECE)
      pieces.push(this.#slots.slice(from, from + PIECE));
    return pieces;
  }

  /** The slot that it is in, or would be put in. */
  #placeOf(number: number): number {
    const last = this.#slots.length - 1;
    let place = number & last;
    while (this.#slots[place] !== 0 && this.#slots[place] !== number) place = (place + 1) & last;
    return place;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Float64Array(2 * before.length);
    for (const number of before) if (number !== 0) this.#slots[this.#placeOf(number)] = number;
  }
}

/** A number of 53 bits, not 0, from a text: two multiplicative hashes of 32 bits, mixed. */
function numberOf(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 2 ** 32 * (b & 0x1fffff) + (a >>> 0) + 1;
}
