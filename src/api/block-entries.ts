import { setImmediate } from 'node:timers/promises';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { evolveEntry, isEnded, untilAt } from '../../projections/blocks/block-entry.js';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import type { BlockRow } from '../../projections/blocks/block-rows.js';
import { blockStream, isBlockEvent } from '../blocks/events.js';
import { NOTHING_YET, effectsOf, fold } from '../blocks/state.js';
import { StopgapError } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import type { SenderIdentity, Subject } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
import type { ApiDependencies } from './dependencies.js';

type Sources = Pick<ApiDependencies, 'models' | 'store'>;

/** Entries that are read from the store side by side. */
const AT_ONCE = 50;

/**
 * A block or proposal, by any of its ids. One that ended long ago is read from the store.
 *
 * @throws StopgapError `not-found`; StoreUnavailable
 */
export async function entryOf(sources: Sources, id: string): Promise<BlockEntry> {
  const { ledger } = sources.models;
  const row = ledger.rows.find(ledger.nameOf(id));
  if (row === undefined) throw new StopgapError('not-found', `there is no block ${id.slice(0, 100)}`);
  return (await entriesOf(sources, [row]))[0]!;
}

/** The entries of some rows, in their order. @throws StoreUnavailable */
export async function entriesOf(
  { models: { ledger }, store }: Sources,
  rows: readonly number[],
): Promise<readonly BlockEntry[]> {
  const entries: BlockEntry[] = [];
  for (let first = 0; first < rows.length; first += AT_ONCE) {
    if (first > 0) await setImmediate();
    const reads = rows.slice(first, first + AT_ONCE).map(async (number) => {
      const row = ledger.rows.at(number);
      return ledger.get(row.id) ?? (await readEnded(store, ledger, row));
    });
    entries.push(...(await Promise.all(reads)));
  }
  return entries;
}

/** The newest blocks and proposals of just this subject. @throws StoreUnavailable */
export async function latestOf(
  sources: Sources,
  subject: Subject,
  limit: number,
): Promise<readonly BlockEntry[]> {
  const rows: number[] = [];
  for (const row of sources.models.ledger.rows.on(subject)) {
    if (rows.length === limit) break;
    rows.push(row);
  }
  return entriesOf(sources, rows);
}

/**
 * The blocks that refused a sender at an instant: the one that was then to end last comes first. It is the one that
 * refused.
 *
 * @throws StoreUnavailable
 */
export async function entriesInForce(
  sources: Sources,
  sender: SenderIdentity,
  at: Instant,
): Promise<readonly BlockEntry[]> {
  const { rows } = sources.models.ledger;
  const entries = await entriesOf(
    sources,
    rows.inForce(sender, at).map((id) => rows.find(id)!),
  );
  // A release ends a block before its time: by when blocks did end, another one could come first.
  const ends = new Map(entries.map((entry) => [entry.id, untilAt(entry, at) ?? Infinity]));
  return [...entries].sort(({ id: a }, { id: b }) =>
    ends.get(a) === ends.get(b) ? 0 : ends.get(b)! - ends.get(a)!,
  );
}

/** The proposals that wait and cover a sender, the newest first. @throws StoreUnavailable */
export async function entriesWaiting(
  sources: Sources,
  sender: SenderIdentity,
  at: Instant,
): Promise<readonly BlockEntry[]> {
  const { rows } = sources.models.ledger;
  return entriesOf(
    sources,
    rows.waiting(sender, at).map((id) => rows.find(id)!),
  );
}

/** Folds the events of one that has ended, and reads them as they were read when they were new. */
async function readEnded(
  store: Pick<EventStore, 'readStream'>,
  ledger: BlockLedger,
  { id, subject, begin, revision, events, follows }: BlockRow,
): Promise<BlockEntry> {
  // What began before this had ended when it began; what began later was not known.
  const isEarlier = (other: string): boolean => {
    const row = ledger.rows.find(other);
    return row !== undefined && ledger.rows.at(row).begin < begin;
  };
  const earlierName = (alias: string): string | undefined => {
    const name = ledger.nameOf(alias);
    return isEarlier(name) ? name : undefined;
  };
  const seen = new Set<string>();
  let [standing, entry]: [typeof NOTHING_YET, BlockEntry | undefined] = [NOTHING_YET, undefined];
  for await (const event of store.readStream(blockStream(subject), { from: revision, limit: events })) {
    if (!isBlockEvent(event) || seen.has(event.id)) continue;
    seen.add(event.id);
    const { block, proposal, aliases: learnt } = standing;
    const aliases = { get: (alias: string) => learnt.get(alias) ?? earlierName(alias) };
    for (const effect of effectsOf({ block, proposal, ended: { has: isEarlier }, aliases }, event)) {
      standing = fold(standing, effect);
      if ('block' in effect.data && effect.data.block === id) entry = evolveEntry(entry, effect, follows);
    }
  }
  if (entry === undefined || !isEnded(entry))
    throw new StoreUnavailable('the store does not hold what it held: it is being followed anew');
  return entry;
}
