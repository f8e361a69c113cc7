import type { BlockEvent } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import { isHeldEvent } from '../../src/sending/events.js';
import { HELD_KEPT } from '../../src/sending/most-held.js';
import type { Subject } from '../../src/sending/subjects.js';
import type { BlockEntry } from './block-entry.js';
import type { BlockLedger } from './block-ledger.js';
import {
  decidedThrough,
  decisionOn,
  evolveEntry,
  isEnded,
  onHeldMail,
  settledThrough,
} from './block-entry.js';

/** A block that has ended, and for which mail is on hold that waits for a decision. */
export interface Undecided {
  readonly block: string;
  readonly subject: Subject;
}

/** The newest mail that is held for a block. */
interface Newest {
  /** Of its record, in the stream of what is held for the block. */
  readonly revision: number;
  readonly position: number;
  readonly at: Instant;
  /** The block, as far as {@link onHeldMail} goes: what is decided on it counts also when it has left memory. */
  readonly entry: BlockEntry;
  /** Whether it has ended, and its mail waits for a decision. */
  readonly isUndecided: boolean;
}

export type HeldMailState = readonly (readonly [block: string, newest: Newest])[];

/** Blocks of which is known that they hold mail, those to which mail came last. */
const MOST_KNOWN = 10_000;

/**
 * Which blocks have ended while mail was on hold for them. Nothing ends a hold by itself, and the sender believes that the mail is
 * on its way: people must learn of it without looking at each block.
 */
export class HeldMail {
  readonly #blocks = new Map<string, Newest>();

  /** Blocks that wait for a decision on what they held: those first of which nothing has been heard for longest. */
  undecided(now: Instant): readonly Undecided[] {
    return [...this.#blocks].flatMap(
      ([
        block,
        {
          at,
          isUndecided,
          entry: { subject },
        },
      ]) => (!isUndecided || at + HELD_KEPT <= now ? [] : [{ block, subject }]),
    );
  }

  /** Blocks of which mail is on hold still, as far as it is known here: decided on or not. */
  *unsettled(): IterableIterator<BlockEntry> {
    for (const { entry } of this.#blocks.values()) yield entry;
  }

  /** What comes late for a block that is neither in memory nor known here changes nothing. */
  held(event: RecordedEvent, ledger: Pick<BlockLedger, 'get' | 'nameOf'>): void {
    if (!isHeldEvent(event)) return;
    const { revision, position, at } = event;
    const block = ledger.nameOf(event.data.block);
    const entry = ledger.get(block) ?? this.#blocks.get(block)?.entry;
    if (entry !== undefined) this.#put(entry, { revision, position, at });
  }

  /** @param entry as it is after the event, if it is in memory */
  apply(event: BlockEvent, entry: BlockEntry | undefined): void {
    const block = 'block' in event.data ? event.data.block : '';
    const newest = this.#blocks.get(block);
    if (newest === undefined) return;
    // It ended long ago, and only its mail is decided on.
    const known = entry ?? evolveEntry(newest.entry, event);
    if (known !== undefined) this.#put(known, newest);
  }

  #put(entry: BlockEntry, { revision, position, at }: Pick<Newest, 'revision' | 'position' | 'at'>): void {
    const { id: block } = entry;
    this.#blocks.delete(block);
    if (settledThrough(entry) >= revision) return;
    const isDecided = position <= decidedThrough(entry) && decisionOn(entry)?.last !== 'failed';
    const isUndecided = isEnded(entry) && !isDecided;
    this.#blocks.set(block, { revision, position, at, entry: onHeldMail(entry), isUndecided });
    if (this.#blocks.size <= MOST_KNOWN) return;
    for (const oldest of this.#blocks.keys()) return void this.#blocks.delete(oldest);
  }

  /** The opposite of {@link restore}. */
  dump(): HeldMailState {
    return [...this.#blocks];
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore(state: HeldMailState): void {
    for (const [block, newest] of state) this.#blocks.set(block, newest);
  }
}
