import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { movedFrom } from '../hooks/held-mail.js';
import type { MessageHeld } from '../sending/events.js';
import { heldStream, isHeldEvent, isQueueId, senderOfHeld } from '../sending/events.js';
import { entriesOf } from './block-view.js';
import type { ApiDependencies } from './dependencies.js';
import type { Concerns } from './http/route.js';

/** What became of mail that other blocks took over, in messages. What is not counted is not known. */
export interface Elsewhere {
  readonly released: number;
  readonly deleted: number;
  readonly waiting: number;
}

type Fate = keyof Elsewhere | 'unknown';

/** Each may move the mail on to the next. */
const MOST_BLOCKS = 50;
/** Held messages that are looked at, of all these blocks. */
const MOST_READ = 50_000;

/**
 * What became of the mail that stayed on hold for other blocks when this one let go of it: they decide on it, and may have moved it
 * on in their turn.
 *
 * @param concerns whose mail counts
 * @param look is called at each event
 * @throws StoreUnavailable
 */
export async function becameElsewhere(
  deps: Pick<ApiDependencies, 'store' | 'models'>,
  entry: BlockEntry,
  concerns: Concerns,
  look: () => void,
): Promise<Elsewhere> {
  const { store, models } = deps;
  const { rows } = models.ledger;
  /** By queue id. */
  const fates = new Map<string, Fate>();
  const ids = new Set([entry.id]);
  let left = MOST_READ;
  for (const id of ids) {
    const row = rows.find(id);
    const [block] = id === entry.id ? [entry] : await entriesOf(deps, row === undefined ? [] : [row]);
    if (block === undefined) continue;
    const { revisions, to } = await movedFrom(store, id);
    for (const other of to) if (ids.size < MOST_BLOCKS) ids.add(other);
    if (ids.size === 1) break;
    for await (const event of store.readStream(heldStream(id), { limit: left })) {
      look();
      left--;
      if (!isHeldEvent(event)) continue;
      const { transaction } = event.data;
      if (revisions.has(event.revision)) {
        if (id === entry.id && concerns(senderOfHeld(event.data))) fates.set(transaction, 'unknown');
      } else if (id === entry.id)
        // It came back, and is listed here.
        fates.delete(transaction);
      else if (fates.has(transaction) && fates.get(transaction) !== 'waiting')
        fates.set(transaction, fateOf(block, event.data, event.revision));
    }
    if (left <= 0) break;
  }
  const sums = { released: 0, deleted: 0, waiting: 0, unknown: 0 };
  for (const fate of fates.values()) sums[fate]++;
  const { unknown: _, ...known } = sums;
  return known;
}

/** The hook says how many it acted on, and not on which. */
function fateOf({ history }: BlockEntry, { transaction }: MessageHeld, revision: number): Fate {
  const run = history.find(({ hook }) => hook?.outcome === 'done' && (hook.through ?? -1) >= revision)?.hook;
  if (run === undefined) return 'waiting';
  if (run.acted < run.asked || !isQueueId(transaction)) return 'unknown';
  return run.action === 'delete' ? 'deleted' : 'released';
}

/** No more in all than so many. */
export function atMost(most: number, { released, deleted, waiting }: Elsewhere): Elsewhere {
  const sent = Math.min(released, most);
  const gone = Math.min(deleted, most - sent);
  return { released: sent, deleted: gone, waiting: Math.min(waiting, most - sent - gone) };
}
