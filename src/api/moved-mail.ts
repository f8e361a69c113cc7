import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { decidedThrough } from '../../projections/blocks/block-entry.js';
import { movedFrom } from '../hooks/held-mail.js';
import type { RecordedEvent } from '../kernel/events.js';
import { givenUpOf } from '../kernel/given-up.js';
import type { HeldEvent } from '../sending/events.js';
import { heldStream, isHeldEvent, isQueueId, senderOfHeld } from '../sending/events.js';
import { entriesOf } from '../detector/ledger-entries.js';
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
  deps: Pick<ApiDependencies, 'store' | 'models' | 'callsHook'>,
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
        fates.set(transaction, fateOf(block, event, deps.callsHook === true));
    }
    if (left <= 0) break;
  }
  const sums = { released: 0, deleted: 0, waiting: 0, unknown: 0 };
  for (const fate of fates.values()) sums[fate]++;
  const { unknown: _, ...known } = sums;
  return known;
}

/** The hook says how many it acted on, and not on which. */
function fateOf(block: BlockEntry, held: RecordedEvent & HeldEvent, callsHook: boolean): Fate {
  const { history } = block;
  const isKnown = isQueueId(held.data.transaction);
  const run = history.find(
    ({ hook }) => hook?.outcome === 'done' && (hook.through ?? -1) >= held.revision,
  )?.hook;
  if (run === undefined) {
    const isLeft = !callsHook || !isKnown || givenUpOf(history).some(({ acted }) => acted > 0);
    return isLeft && held.position <= decidedThrough(block) ? 'unknown' : 'waiting';
  }
  if (run.acted < run.asked || !isKnown) return 'unknown';
  return run.action === 'delete' ? 'deleted' : 'released';
}

/** No more in all than so many. */
export function atMost(most: number, { released, deleted, waiting }: Elsewhere): Elsewhere {
  const sent = Math.min(released, most);
  const gone = Math.min(deleted, most - sent);
  return { released: sent, deleted: gone, waiting: Math.min(waiting, most - sent - gone) };
}
