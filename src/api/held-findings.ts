import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { decidedThrough, settledThrough } from '../../projections/blocks/block-entry.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { HeldEvent } from '../sending/events.js';
import { isQueueId, QUEUE_HOLDER } from '../sending/events.js';

/** Messages that are listed as held though they may have left the queue. */
export interface Undone {
  /** A person has decided on them, and the hook is to do it if there is one. */
  readonly byHook: number;
  /** They are left to people, or were sent already. */
  readonly byHand: number;
}

/** What events say of the mail that was held for one block. */
export class HeldFindings {
  /** Revisions of what is held for other blocks since, in the stream of what was held for this one. */
  readonly #moved: ReadonlySet<number>;
  readonly #settled: number;
  readonly #decided: number;
  /** Queue ids of what is held for other blocks now. */
  readonly #away = new Set<string>();
  /** Queue ids of what was sent since the block began, and was held for any. */
  readonly #sentOn = new Set<string>();
  readonly #sums = { messages: 0, recipients: 0, queued: 0, sentOn: 0 };
  readonly #undone = { byHook: 0, byHand: 0 };

  constructor(entry: BlockEntry, moved: ReadonlySet<number>) {
    this.#moved = moved;
    this.#settled = settledThrough(entry);
    this.#decided = decidedThrough(entry);
  }

  /** A mail server has reported it since the block began. */
  sentOn(transaction: string): void {
    this.#sentOn.add(transaction);
  }

  /** In the order of their revisions, after all that was sent. */
  held({ revision, position, by, data: { transaction, recipients } }: RecordedEvent & HeldEvent): void {
    // What was found in the queue was taken before, and may have been reported since.
    const isQueued = by === QUEUE_HOLDER;
    // The other block may have moved it back: it is the same mail.
    if (!this.#away.has(transaction)) {
      this.#sums.messages++;
      this.#sums.recipients += recipients;
      if (isQueued) this.#sums.queued++;
    }
    if (this.#moved.has(revision)) {
      this.#away.add(transaction);
      return;
    }
    this.#away.delete(transaction);
    const isSent = !isQueued && this.#sentOn.has(transaction);
    if (isSent) this.#sums.sentOn++;
    if (revision <= this.#settled) return;
    if (isSent) this.#undone.byHand++;
    else if (position <= this.#decided) this.#undone[isQueueId(transaction) ? 'byHook' : 'byHand']++;
  }

  sums(): { messages: number; recipients: number; queued: number; moved: number; sentOn: number } {
    return { ...this.#sums, moved: this.#away.size };
  }

  undone(callsHook: boolean): Undone {
    const { byHook, byHand } = this.#undone;
    return callsHook ? { byHook, byHand } : { byHook: 0, byHand: byHook + byHand };
  }
}
