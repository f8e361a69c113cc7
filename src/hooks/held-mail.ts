import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { settledThrough } from '../../projections/blocks/block-entry.js';
import { entryNamed } from '../detector/ledger-entries.js';
import type { ReadModels } from '../detector/read-models.js';
import type { NewEvent, RecordedEvent } from '../kernel/events.js';
import type { Clock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import { envelope, idOf } from '../runtime/ids.js';
import type {
  HeldEvent,
  HeldMailMoved,
  MessageAccepted,
  MessageHeld,
  MovedEvent,
} from '../sending/events.js';
import {
  heldStream,
  isHeldEvent,
  isImported,
  isMovedEvent,
  movedStream,
  QUEUE_HOLDER,
  sendStream,
} from '../sending/events.js';
import { normalizeAccount, normalizeAddress } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import { senderIdentity } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';

/** A message, with what is known of it. */
export type Message = Omit<MessageHeld, 'block'>;
export type Held = RecordedEvent & HeldEvent;

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
/** With history that was imported, which may lie above these. */
const MOST_PASSED = 10 * MOST_READ;
/** Of another block, held events that are read: what was in the queue when it began comes first. */
const MOST_HELD = 10_000;

/**
 * The newest messages of the subject that a mail server took.
 *
 * @param letGo queue ids of what is listed as held still, and is not on hold any more
 */
export async function recentSends(
  sources: Sources,
  entry: BlockEntry,
  letGo: ReadonlySet<string>,
): Promise<readonly Message[]> {
  const { subject, since, direction } = entry;
  if (subject.type !== 'account' && subject.type !== 'address') return [];
  if (direction === 'inbound' || since === undefined) return [];
  const found = new Map<string, Message>();
  /** Of which further recipients were met, and the message itself not yet. */
  const incomplete = new Set<string>();
  const elsewhere = await listed(sources, entry, since - SENT_WITHIN);
  let read = 0;
  const newest = { direction: 'backwards', limit: MOST_PASSED } as const;
  for await (const event of sources.store.readStream(sendStream(subject.value), newest)) {
    // History was recorded late: it says nothing of how old the events below it are.
    if (isImported(event)) continue;
    if (event.recordedAt < since - SENT_WITHIN || found.size >= MOST_SENDS || ++read > MOST_READ) break;
    // What Stopgap itself has handed on has another id in the queue.
    if (event.type !== 'MessageAccepted' || event.by.startsWith('smtp:')) continue;
    const data = event.data as MessageAccepted;
    // A person has let it go, or the hook for one: it is not held once more.
    if (data.wasJudged === true) continue;
    if (!isOf(subject, direction, data)) continue;
    if (elsewhere.has(data.transaction) && !letGo.has(data.transaction)) continue;
    const { recipientDomains: _, entitled: __, further, ...message } = data;
    const { transaction } = message;
    const later = found.get(transaction);
    if (later !== undefined && !incomplete.has(transaction)) continue;
    found.set(transaction, { ...message, recipients: message.recipients + (later?.recipients ?? 0) });
    if (further === true) incomplete.add(transaction);
    else incomplete.delete(transaction);
  }
  return [...found.values()];
}

/**
 * What is on hold for other blocks of the same name, or for the blocks to which these have moved it: a decision on this one is none
 * on those. Mail that an earlier thief left would go out with the next false positive. What was moved to the block itself is
 * listed with it already.
 */
async function listed(
  sources: Sources,
  { id, subject: { value } }: BlockEntry,
  from: Instant,
): Promise<ReadonlySet<string>> {
  const { store, models } = sources;
  const held = new Set<string>();
  const seen = new Set<string>();
  const read = async (block: string): Promise<void> => {
    if (seen.has(block)) return;
    seen.add(block);
    const entry = await entryNamed(sources, block);
    const moved = await movedFrom(store, block);
    const first = entry === undefined ? 0 : settledThrough(entry) + 1;
    for await (const event of store.readStream(heldStream(block), { from: first, limit: MOST_HELD })) {
      if (!isHeldEvent(event) || moved.revisions.has(event.revision)) continue;
      const { transaction } = event.data;
      // What an earlier call for the block itself has held is asked for once more.
      if (event.id !== heldId(id, transaction)) held.add(transaction);
    }
    for (const other of moved.to) await read(other);
  };
  await read(id);
  for (const type of ['account', 'address'] as const) {
    for (const row of models.ledger.rows.on({ type, value })) {
      const { id: other } = models.ledger.rows.at(row);
      const entry = await entryNamed(sources, other);
      // The newest come first. What is long over holds nothing that is looked for.
      if (entry === undefined || (entry.since ?? entry.proposedAt ?? 0) < from) break;
      await read(other);
    }
  }
  return held;
}

/** Id of the event of a message that a call for a block has held: a call that is made again lists it once. */
export const heldId = (block: string, transaction: string): string => idOf(`held/${block}/${transaction}`);

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

/** What may move held mail to other blocks. */
interface Mover {
  readonly store: Pick<EventStore, 'append'>;
  readonly models: Pick<ReadModels, 'ledger' | 'refusing'>;
  readonly clock: Clock;
}

/**
 * What is to be released without the mail of senders whom another block refuses now: that stays on hold for it, and waits for
 * the decision on it.
 */
export async function withoutOthers(
  mover: Mover,
  entry: BlockEntry,
  held: readonly Held[],
): Promise<readonly Held[]> {
  const { own, others } = byBlock(mover, entry, held, ({ data }) => data);
  for (const [block, events] of others) {
    const moved = events.map(({ id, type, data, at, by, correlation }): NewEvent => {
      // Who recorded it first says whether it was counted as a send.
      const event = { id: idOf(`held/${block}/${id}`), type, data: { ...data, block }, at, by };
      return correlation === undefined ? event : { ...event, correlation };
    });
    await mover.store.append(heldStream(block), moved, 'any');
    await recordMoved(
      mover,
      entry,
      block,
      events.map(({ data: { transaction }, revision }) => ({ transaction, revision })),
    );
  }
  return own;
}

/** Records of a block that these are held for another one, which lists them already. */
export async function recordMoved(
  { store, clock }: Pick<Mover, 'store' | 'clock'>,
  { id: block }: BlockEntry,
  to: string,
  messages: readonly Omit<HeldMailMoved, 'block' | 'to'>[],
): Promise<void> {
  if (messages.length === 0) return;
  const facts = messages.map((message): MovedEvent => ({
    type: 'HeldMailMoved',
    data: { block, to, ...message },
  }));
  const idAt = (index: number): string => {
    const { transaction, revision = transaction } = messages[index]!;
    return idOf(`moved/${block}/${revision}`);
  };
  await store.append(movedStream(block), envelope(facts, { by: QUEUE_HOLDER, idAt }, clock.now()), 'any');
}

/**
 * Parts what only a block itself covers from what others do, by their ids.
 *
 * @throws StoreUnavailable if a block refuses already that is not recorded yet
 */
export function byBlock<Item>(
  { models, clock }: Pick<Mover, 'models' | 'clock'>,
  { id }: BlockEntry,
  items: readonly Item[],
  dataOf: (item: Item) => Message,
): { readonly own: readonly Item[]; readonly others: ReadonlyMap<string, Item[]> } {
  const own: Item[] = [];
  const others = new Map<string, Item[]>();
  const isOther = ({ id: other }: Pick<ActiveBlock, 'id'>): boolean => other !== id;
  for (const item of items) {
    const other = models.refusing.find(senderIdentity(dataOf(item)), clock.now(), isOther);
    const entry = other === undefined ? undefined : models.ledger.get(other.id);
    // A rule has tripped, and its block is not recorded yet: under that id nothing may ever be listed.
    if (other !== undefined && entry === undefined)
      throw new StoreUnavailable(`block ${other.id} refuses already and is not recorded yet`);
    const known = entry === undefined ? own : others.get(entry.id);
    if (known === undefined) others.set(entry!.id, [item]);
    else known.push(item);
  }
  return { own, others };
}
