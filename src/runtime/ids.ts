import { hash, randomBytes } from 'node:crypto';
import { parse, v7 } from 'uuid';
import type { Fact, NewEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import type { SenderDaySummarised } from '../sending/day-summary.js';
import { dayOf } from '../sending/day-summary.js';

const ID_BYTES = 16;
/** Random bytes are fetched for many ids at once: one by one they cost more than all the rest of an event. */
let pool = randomBytes(ID_BYTES * 256);
let used = 0;

/** A new id: UUID version 7, so that ids sort by when they were made. */
export function newId(): string {
  if (used === pool.length) {
    pool = randomBytes(pool.length);
    used = 0;
  }
  used += ID_BYTES;
  return v7({ random: pool.subarray(used - ID_BYTES, used) });
}

const NAMESPACE = parse('6f1f3c4e-0d0b-4a7c-9d53-5c0f7e2b8a61');

/**
 * The same id for the same text, always: what makes a request that is sent again the same request. It is a UUID of version 5;
 * the library makes them too, at four times the cost, and each request of a mail server needs one.
 */
export function idOf(text: string): string {
  const named = Buffer.allocUnsafe(ID_BYTES + Buffer.byteLength(text));
  named.set(NAMESPACE);
  named.write(text, ID_BYTES);
  const hex = hash('sha1', named);
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) & 3]!;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/**
 * The id of the event of a message that a mail server has queued: the same for all who tell of it. Queue ids are used again,
 * hence the day.
 *
 * @param key of the sender's stream
 */
export function queuedMessageId(key: string, queueId: string, at: Instant): string {
  return idOf(`message/${key}/${queueId}/${dayOf(at)}`);
}

/** Digits and dashes of a marked id that are the same for the same text. */
const MARK = 24;

/**
 * A new id that has the same mark as every other one made of this text (UUID version 8): two processes that carry out the
 * same request write different events, of which a store takes one, and each can tell that it is theirs.
 */
export function markedId(text: string): string {
  const id = idOf(text);
  return `${id.slice(0, 14)}8${id.slice(15, MARK)}${newId().slice(MARK)}`;
}

/** Whether two ids of {@link markedId} were made of the same text. */
export function haveSameMark(a: string, b: string): boolean {
  return a.slice(0, MARK) === b.slice(0, MARK);
}

/** The same id for the same sender and day: two detectors, or an import, write the summary once. */
export function summaryId({ subject, day }: Pick<SenderDaySummarised, 'subject' | 'day'>): string {
  return idOf(`day-summary/${subject.type}/${subject.value}/${day}`);
}

/** What ties an event to others, while it is made. */
interface Ties {
  correlation?: string;
  trace?: string;
}

/** Puts the envelope around what was decided. */
export function envelope<F extends Fact>(
  facts: readonly F[],
  context: {
    readonly by: string;
    readonly correlation?: string | undefined;
    readonly trace?: string | undefined;
    /** The id of each event by its index; a new one unless given. */
    readonly idAt?: (index: number) => string;
  },
  now: Instant,
): (F & NewEvent)[] {
  const { by, correlation, trace, idAt = newId } = context;
  return facts.map((fact, index) => {
    const event: F & NewEvent & Ties = { ...fact, id: idAt(index), at: fact.at ?? now, by };
    // Added rather than copied: this is done for every message.
    if (correlation !== undefined) event.correlation = correlation;
    if (trace !== undefined) event.trace = trace;
    return event;
  });
}
