import type { HeldWish } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import { keyOf } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import type { Subject } from '../../src/sending/subjects.js';
import { subjectOfKey } from '../../src/sending/subjects.js';

/** What somebody, or a file of theirs, has decided. */
export interface Change {
  readonly position: number;
  readonly at: Instant;
  readonly by: string;
  /** The type of its event. */
  readonly type: string;
  readonly correlation: string | undefined;
  /** The block that it is about, by any of its ids. */
  readonly block: string | undefined;
  readonly subject: Subject | undefined;
  readonly why: string | undefined;
  /** What is to become of held mail. */
  readonly held?: HeldWish;
}

/** How many are kept, the newest: the store has all. */
export const CHANGES_KEPT = 10_000;

/** Older versions signed these with the name of the person who decided next. */
const ENDED_BY_TIME: ReadonlySet<string> = new Set(['BlockExpired', 'ProposalLapsed']);

/** The newest decisions that no rule and no clock has made. */
export class Changes {
  /** Oldest first. */
  #kept: Change[] = [];

  apply({ position, at, by, type, correlation, stream, data }: RecordedEvent): void {
    if (by.startsWith('rule:') || by.startsWith('system:') || ENDED_BY_TIME.has(type)) return;
    const fields = data as Readonly<Record<string, unknown>>;
    const { block, subject, note, reason, description } = fields;
    const why = [note, reason, description].find((text) => typeof text === 'string' && text !== '');
    const held = fields[type === 'HeldMailDecided' ? 'action' : 'held'];
    this.#kept.push({
      position,
      at,
      by,
      type,
      correlation,
      block: block as string | undefined,
      subject: (subject as Subject | undefined) ?? subjectOfKey(keyOf(stream)),
      why: why as string | undefined,
      ...(held === undefined ? {} : { held: held as HeldWish }),
    });
    // Not each time: to move ten thousand of them takes longer than to add one.
    if (this.#kept.length >= 2 * CHANGES_KEPT) this.#kept = this.#kept.slice(-CHANGES_KEPT);
  }

  /** Newest first. */
  newest(): readonly Change[] {
    return this.#kept.slice(-CHANGES_KEPT).reverse();
  }

  /** The opposite of {@link restore}. */
  dump(): readonly Change[] {
    return this.#kept.slice(-CHANGES_KEPT);
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore(kept: readonly Change[]): void {
    this.#kept = [...kept];
  }
}
