import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { decidedThrough, settledThrough } from '../../projections/blocks/block-entry.js';
import { Rewriter } from '../forgetting/person.js';
import { StopgapError } from '../kernel/errors.js';
import { HELD_CATEGORY, isHeldEvent, isMovedEvent, isQueueId } from '../sending/events.js';
import { HELD_KEPT } from '../sending/most-held.js';
import { entriesOf } from '../detector/ledger-entries.js';
import type { ApiDependencies } from './dependencies.js';

/** A message that is listed as held, by its revision in the list. */
interface Listed {
  readonly revision: number;
  readonly position: number;
  /** Whether a hook is asked for it. */
  readonly isKnown: boolean;
}

/** How many of their messages are on hold for one block. */
interface OnHold {
  readonly block: string;
  /** On which nobody has decided. */
  readonly undecided: number;
  /** With which the hook has not done yet what was decided. */
  readonly undone: number;
  /** For which no hook is asked. */
  readonly byHand: number;
}

type Deps = Pick<ApiDependencies, 'store' | 'models' | 'clock' | 'callsHook'>;

/** Blocks that an answer names. */
const MOST_NAMED = 10;

/**
 * Forgetting somebody erases their mail from the lists of what is held: what is on hold would stay so for ever, and no decision
 * would reach it.
 *
 * @returns what is left to people, since no hook is asked for it: sentences
 * @throws StopgapError `conflict` while mail of theirs is on hold on which nobody has decided, or with which the hook has not done
 *   yet what was decided; StoreUnavailable
 */
export async function refuseHeld(deps: Deps, name: string): Promise<readonly string[]> {
  const lists = await listedOf(deps, name);
  const { ledger } = deps.models;
  const rows = [...lists.keys()].map((block) => ledger.rows.find(ledger.nameOf(block)));
  const known = rows.filter((row) => row !== undefined);
  const entries = new Map((await entriesOf(deps, known)).map((entry) => [entry.id, entry]));
  const held = [...lists].flatMap(([block, listed]) => {
    const entry = entries.get(ledger.nameOf(block));
    return entry === undefined ? [] : [onHold(entry, listed, deps.callsHook === true)];
  });
  const undecided = counted(held, 'undecided');
  const undone = counted(held, 'undone');
  const sentences = [
    undecided.length > 0 &&
      `nobody has decided on mail of theirs that is on hold (${said(undecided)}), and nothing would list it any more: release or delete it first (stopgap block held ID --release or --delete)`,
    undone.length > 0 &&
      `the hook has not done yet what was decided on held mail of theirs (${said(undone)}): try again when it has (stopgap block show ID tells)`,
  ].filter((sentence) => sentence !== false);
  if (sentences.length > 0) {
    const named = [...undecided, ...undone].slice(0, MOST_NAMED);
    throw new StopgapError('conflict', sentences.join('; '), { block: named[0]!.block, held: named });
  }
  const byHand = counted(held, 'byHand');
  if (byHand.length === 0) return [];
  return [
    `What was decided on held mail of theirs is to be done by hand (${said(byHand)}): nothing lists it any more.`,
  ];
}

/** Their mail that lists name, by block. What was moved is in the list of the other block. */
async function listedOf(
  { store, clock }: Deps,
  name: string,
): Promise<ReadonlyMap<string, ReadonlyMap<number, Listed>>> {
  const rewriter = new Rewriter({ name, pseudonym: '' });
  const kept = clock.now() - HELD_KEPT;
  const lists = new Map<string, Map<number, Listed>>();
  for await (const event of store.readAll({ categories: [HELD_CATEGORY] })) {
    if (isMovedEvent(event)) {
      const { block, revision } = event.data;
      if (revision !== undefined) lists.get(block)?.delete(revision);
    } else if (event.at >= kept && isHeldEvent(event) && rewriter.erases(event.type, event.data)) {
      const { block, transaction } = event.data;
      const list = lists.get(block) ?? new Map<number, Listed>();
      const { revision, position } = event;
      lists.set(block, list.set(revision, { revision, position, isKnown: isQueueId(transaction) }));
    }
  }
  return lists;
}

function onHold(entry: BlockEntry, listed: ReadonlyMap<number, Listed>, callsHook: boolean): OnHold {
  const [settled, decided] = [settledThrough(entry), decidedThrough(entry)];
  let [undecided, undone, byHand] = [0, 0, 0];
  for (const { revision, position, isKnown } of listed.values()) {
    if (revision <= settled) continue;
    if (position > decided) undecided++;
    else if (callsHook && isKnown) undone++;
    else byHand++;
  }
  return { block: entry.id, undecided, undone, byHand };
}

interface Counted {
  readonly block: string;
  readonly count: number;
}

function counted(held: readonly OnHold[], what: Exclude<keyof OnHold, 'block'>): readonly Counted[] {
  return held.flatMap(({ block, [what]: count }) => (count === 0 ? [] : [{ block, count }]));
}

function said(counts: readonly Counted[]): string {
  const named = counts.slice(0, MOST_NAMED).map(({ block, count }) => `${count} for the block ${block}`);
  const more = counts.length - named.length;
  return [...named, ...(more === 0 ? [] : [`and for ${more} more`])].join(', ');
}
