import { setImmediate } from 'node:timers/promises';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { evolveEntry, isEnded } from '../../projections/blocks/block-entry.js';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import type { BlockRow } from '../../projections/blocks/block-rows.js';
import { blockStream, isBlockEvent } from '../blocks/events.js';
import { effectsOf, fold, NOTHING_YET } from '../blocks/state.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
import type { ReadModels } from './read-models.js';

interface Sources {
  readonly models: Pick<ReadModels, 'ledger'>;
  readonly store: Pick<EventStore, 'readStream'>;
}

/** Entries that are read from the store side by side. */
const AT_ONCE = 50;

/**
 * A block or proposal by any of its ids, also one that ended long ago; undefined if there never was one.
 *
 * @throws StoreUnavailable
 */
export async function entryNamed(sources: Sources, id: string): Promise<BlockEntry | undefined> {
  const { ledger } = sources.models;
  const row = ledger.rows.find(ledger.nameOf(id));
  return row === undefined ? undefined : (await entriesOf(sources, [row]))[0];
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

/** Folds the events of a block that has ended, with the ids that were known when each event was new. */
async function readEnded(
  store: Pick<EventStore, 'readStream'>,
  ledger: BlockLedger,
  { id, subject, begin, revision, events, follows }: BlockRow,
): Promise<BlockEntry> {
  // Blocks that began before this one had ended when it began. Later ones were not known.
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
    const { block, proposal, ended: endedHere, aliases: learnt } = standing;
    const aliases = { get: (alias: string) => learnt.get(alias) ?? earlierName(alias) };
    const ended = { has: (other: string) => endedHere.has(other) || isEarlier(other) };
    for (const effect of effectsOf({ block, proposal, ended, aliases }, event)) {
      standing = fold(standing, effect);
      if ('block' in effect.data && effect.data.block === id) entry = evolveEntry(entry, effect, follows);
    }
  }
  if (entry === undefined || !isEnded(entry))
    throw new StoreUnavailable('the store does not hold what it held: it is being followed anew');
  return entry;
}
