import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { settledThrough } from '../../projections/blocks/block-entry.js';
import type { ReadModels } from '../detector/read-models.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { MessageAccepted, MessageHeld } from '../sending/events.js';
import {
  heldStream,
  isHeldEvent,
  isImported,
  isMovedEvent,
  movedStream,
  sendStream,
} from '../sending/events.js';
import { normalizeAccount, normalizeAddress } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';

/** A message, with what is known of it. */
export type Message = Omit<MessageHeld, 'block'>;

/** What was held for a block once, and is held for another one since. */
export interface Moved {
  /** Of its events in the stream of the first block. */
  readonly revisions: ReadonlySet<number>;
  /** Queue ids. */
  readonly transactions: ReadonlySet<string>;
  /** The other blocks. */
  readonly to: ReadonlySet<string>;
}

export async function movedFrom(store: Pick<EventStore, 'readStream'>, block: string): Promise<Moved> {
  const revisions = new Set<number>();
  const transactions = new Set<string>();
  const to = new Set<string>();
  for await (const event of store.readStream(movedStream(block))) {
    if (!isMovedEvent(event)) continue;
    const { revision, transaction, to: other } = event.data;
    to.add(other);
    transactions.add(transaction);
    if (revision !== undefined) revisions.add(revision);
  }
  return { revisions, transactions, to };
}

interface Sources {
  readonly store: Pick<EventStore, 'readStream'>;
  readonly models: Pick<ReadModels, 'ledger'>;
}

/** Sends of an account that may still wait in a queue, the newest; Postfix gives a message up after five days. */
const MOST_SENDS = 500;
const SENT_WITHIN: Milliseconds = 5 * DAY;
/** Events that are read to find them: mail that arrives under the name is among these, and anybody can send that. */
const MOST_READ = 20_000;
/** Of another block, held events that are read: what was in the queue when it began comes first. */
const MOST_HELD = 10_000;

/** The newest messages of the subject that a mail server took. */
export async function recentSends(sources: Sources, entry: BlockEntry): Promise<readonly Message[]> {
  const { subject, since, direction } = entry;
  if (subject.type !== 'account' && subject.type !== 'address') return [];
  if (direction === 'inbound' || since === undefined) return [];
  const found = new Map<string, Message>();
  /** Of which further recipients were met, and the message itself not yet. */
  const incomplete = new Set<string>();
  const elsewhere = await heldForOthers(sources, entry, since - SENT_WITHIN);
  const newest = { direction: 'backwards', limit: MOST_READ } as const;
  for await (const event of sources.store.readStream(sendStream(subject.value), newest)) {
    if (event.at < since - SENT_WITHIN || found.size >= MOST_SENDS) break;
    // What Stopgap itself has handed on has another id in the queue.
    if (event.type !== 'MessageAccepted' || isImported(event) || event.by.startsWith('smtp:')) continue;
    const data = event.data as MessageAccepted;
    if (!isOf(subject, direction, data)) continue;
    const { recipientDomains: _, entitled: __, further, ...message } = data;
    const { transaction } = message;
    const later = found.get(transaction);
    if (elsewhere.has(transaction) || (later !== undefined && !incomplete.has(transaction))) continue;
    found.set(transaction, { ...message, recipients: message.recipients + (later?.recipients ?? 0) });
    if (further === true) incomplete.add(transaction);
    else incomplete.delete(transaction);
  }
  return [...found.values()];
}

/**
 * What is on hold for other blocks of the same name: a decision on this one is none on that. Mail that an earlier thief left
 * would go out with the next false positive.
 */
async function heldForOthers(
  { store, models }: Sources,
  { id, subject: { value } }: BlockEntry,
  from: Instant,
): Promise<ReadonlySet<string>> {
  const held = new Set<string>();
  for (const type of ['account', 'address'] as const) {
    for (const row of models.ledger.rows.on({ type, value })) {
      const { id: other } = models.ledger.rows.at(row);
      const entry = models.ledger.get(other);
      // The newest come first. What is long over holds nothing that is looked for.
      if (entry === undefined || (entry.since ?? entry.proposedAt ?? 0) < from) break;
      if (other === id) continue;
      const stream = store.readStream(heldStream(other), {
        from: settledThrough(entry) + 1,
        limit: MOST_HELD,
      });
      for await (const event of stream) if (isHeldEvent(event)) held.add(event.data.transaction);
    }
  }
  return held;
}

/**
 * Whether a message is one that the block is about. The stream of a name holds mail that arrives without a login too, under that
 * return path: a thief could else have so much of it sent that none of the account's own is looked for.
 */
function isOf(
  { type, value }: Subject,
  direction: BlockEntry['direction'],
  { account = '', returnPath = '', direction: way }: MessageAccepted,
): boolean {
  if (type === 'account') return normalizeAccount(account) === value;
  return (direction === 'all' || way === direction) && normalizeAddress(returnPath) === value;
}
