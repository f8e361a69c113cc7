import { hash, randomBytes } from 'node:crypto';
import type { Fact, NewEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import type { SenderDaySummarised } from '../sending/day-summary.js';
import { dayOf } from '../sending/day-summary.js';

/*
 * Ids are made here as the library `uuid` makes them, which tests compare: it is twenty files that each process and each command
 * would load.
 */

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
  pool.writeUIntBE(Date.now(), used, 6);
  used += ID_BYTES;
  return formatted(pool.toString('hex', used - ID_BYTES, used), '7');
}

/**
 * The id of an SMTP transaction: its session's, and 48 random bits. It proves that a message came back, so none may follow from
 * another of the session, which its recipient knows.
 */
export function transactionId(session: string): string {
  return `${session}.${newId().slice(-12)}`;
}

const NAMESPACE = Buffer.from('6f1f3c4e0d0b4a7c9d535c0f7e2b8a61', 'hex');

/**
 * The same id for the same text, always: what makes a request that is sent again the same request. It is a UUID of version 5.
 */
export function idOf(text: string): string {
  return formatted(digitsOf(text), '5');
}

function digitsOf(text: string): string {
  const named = Buffer.allocUnsafe(ID_BYTES + Buffer.byteLength(text));
  named.set(NAMESPACE);
  named.write(text, ID_BYTES);
  return hash('sha1', named);
}

/** A UUID of this version from its digits, and of the variant of RFC 9562. */
function formatted(hex: string, version: '5' | '7' | '8'): string {
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) & 3]!;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${version}${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/**
 * The same id for the same text, always, that begins with what is told of its order (UUID version 8). A file keeps ids sorted,
 * and one that falls anywhere among a million costs it a page of its own: half of what a send costs.
 *
 * @param order twelve hexadecimal digits, which rise or come again
 */
function orderedId(order: string, text: string): string {
  return formatted(order + digitsOf(text).slice(order.length), '8');
}

/**
 * The id of the event of a message that a mail server has queued: the same for all who tell of it. Queue ids are used again,
 * hence the day.
 *
 * @param key of the sender's stream
 */
export function queuedMessageId(key: string, queueId: string, at: Instant): string {
  // Postfix's short ones end in the number of a file, of which few are in use. All others begin with the time.
  const file = /^[\dA-F]{5}([\dA-F]{1,12})$/.exec(queueId)?.[1]?.toLowerCase().padStart(12, '0');
  const order = file ?? Buffer.from(queueId.slice(0, 6), 'latin1').toString('hex').padEnd(12, '0');
  return orderedId(order, `message/${key}/${queueId}/${dayOf(at)}`);
}

/**
 * The id of the event of a message that a mail server has asked about, and that has no queue id.
 *
 * @param name of the message; Postfix's begins with process, time and number
 */
export function askedMessageId(name: string): string {
  const time = /^[\da-f]+\.([\da-f]{1,12})\./.exec(name)?.[1] ?? '';
  return orderedId(time.padStart(12, '0'), `policy/${name}`);
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

/** An event while it is made. */
type Draft = { -readonly [Key in keyof NewEvent]: NewEvent[Key] };

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
  const { correlation, trace, idAt = newId } = context;
  return facts.map((fact, index) => {
    const { type, data, at = now, by = context.by } = fact;
    // Field by field: this is done for every message, and a spread would cost forty times as much.
    const event: Draft = { type, data, id: idAt(index), at, by };
    if (correlation !== undefined) event.correlation = correlation;
    if (trace !== undefined) event.trace = trace;
    return event as F & NewEvent;
  });
}
