import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { settledThrough } from '../../projections/blocks/block-entry.js';
import { recentlyUsed } from '../runtime/recently-used.js';
import { MOST_HELD } from '../sending/most-held.js';

/** Blocks of which it is remembered what they hold, those of the last held mail. */
const REMEMBERED = 10_000;

/** What is known of the mail that is held for one block. */
interface Tally {
  /** Highest revision known in the stream of what is held: other processes write there too. */
  revision: number;
  /** Revision of the last message that was let go of or deleted. */
  settled: number;
  /** The entry that this follows from. */
  version: number;
  /** Messages that the store has not answered for yet. */
  writing: number;
  /** Messages that wait in an outbox, or could not be recorded. The mail server holds them all the same. */
  adrift: number;
  /** Of the messages that this process has had held. */
  bytes: number;
  /** It is told once that it is full. */
  isTold: boolean;
}

const noneHeld = (): Tally => ({
  revision: -1,
  settled: -1,
  version: -1,
  writing: 0,
  adrift: 0,
  bytes: 0,
  isTold: false,
});

/** The sums that are too much. */
export type Full = Readonly<Record<'messages' | 'bytes', number>>;

/**
 * Says whether a block may have one more message held. How many are held follows from the revisions that the store gives, so it is
 * true across processes and starts from the first message on that is recorded. Bytes are those that this process has seen.
 */
export class HeldRoom {
  readonly #tallies = recentlyUsed<string, Tally>(REMEMBERED);
  readonly #entryOf: (block: string) => BlockEntry | undefined;
  readonly #onFull: (block: string, full: Full) => void;

  /** @param onFull told once of a block that holds too much, and again after what it held was decided on */
  constructor(
    entryOf: (block: string) => BlockEntry | undefined,
    onFull: (block: string, full: Full) => void,
  ) {
    this.#entryOf = entryOf;
    this.#onFull = onFull;
  }

  /** Whether a block holds as much as one may. What goes beyond is the last message alone, whose size the mail server bounds. */
  isFull(block: string): boolean {
    const tally = this.#tallies.get(block);
    if (tally === undefined) return false;
    this.#settle(block, tally);
    const { bytes } = tally;
    const messages = Math.max(0, tally.revision - tally.settled) + tally.writing + tally.adrift;
    if (messages < MOST_HELD.messages && bytes < MOST_HELD.bytes) return false;
    if (!tally.isTold) {
      tally.isTold = true;
      this.#onFull(block, { messages, bytes });
    }
    return true;
  }

  /**
   * One more message is held.
   *
   * @returns what is to be told the revision of its record: -1 if it waits elsewhere; undefined if there is none
   */
  enter(block: string, size: number): (revision: number | undefined) => void {
    const tally = this.#tallies.get(block) ?? noneHeld();
    this.#tallies.set(block, tally);
    tally.writing++;
    tally.bytes += size;
    return (revision = -1) => {
      tally.writing--;
      if (revision < 0) tally.adrift++;
      else {
        tally.revision = Math.max(tally.revision, revision);
        // What waited in an outbox came to the store before it, since a stream is kept in its order. What is lost counts no more.
        tally.adrift = 0;
      }
    };
  }

  /** Takes in what has been decided on since. */
  #settle(block: string, tally: Tally): void {
    const entry = this.#entryOf(block);
    if (entry === undefined || entry.version === tally.version) return;
    tally.version = entry.version;
    const settled = settledThrough(entry);
    if (settled <= tally.settled) return;
    tally.settled = settled;
    tally.bytes = tally.adrift = 0;
    tally.isTold = false;
  }
}
