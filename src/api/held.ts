import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { decidedThrough, decisionOn, isEnded, settledThrough } from '../../projections/blocks/block-entry.js';
import { movedFrom } from '../hooks/held-mail.js';
import { formatInstant } from '../kernel/time.js';
import type { MessageHeld } from '../sending/events.js';
import { heldStream, isHeldEvent, senderOfHeld } from '../sending/events.js';
import { MOST_HELD, MOST_HELD_WORDS } from '../sending/most-held.js';
import { senderIdentity } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
import { entriesOf } from '../detector/ledger-entries.js';
import { entryOf } from './block-view.js';
import { BLOCKS } from './blocks.js';
import type { RefusalJson } from './check-findings.js';
import type { ApiDependencies } from './dependencies.js';
import type { Concerns, Route } from './http/route.js';
import { ok, route, seesMailOf } from './http/route.js';
import type { DecidedJson } from './shapes.js';
import {
  cursorOf,
  decidedShape,
  instantShape,
  numberOfCursor,
  once,
  OTHERS_WORDS,
  wholeNumber,
} from './shapes.js';

const heldQuery = z.strictObject({
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});

const heldShape = z
  .object({
    queueId: z.string(),
    account: z.string().nullable(),
    returnPath: z.string().nullable(),
    recipients: z.int(),
    size: z.int(),
    at: instantShape.meta({ description: 'When it came, or was found in the queue.' }),
  })
  .meta({ id: 'HeldMessage' });

const pageShape = z.object({
  count: z.int().meta({ description: 'Messages that are held.' }),
  decided: decidedShape,
  items: z.array(heldShape),
  next: z.string().nullable().meta({ description: 'Cursor of the next page; null at the end.' }),
  others: z.boolean().meta({ description: OTHERS_WORDS }),
  full: z.boolean().meta({
    description: `Whether the block is in force and holds as much as one may (${MOST_HELD_WORDS}): more mail is told to come again.`,
  }),
});

type HeldJson = z.infer<typeof pageShape>;

/** What mail servers hold for a block. */
export function heldRoutes(deps: ApiDependencies): readonly Route[] {
  return [
    route<z.infer<typeof heldQuery>>({
      method: 'get',
      path: `${BLOCKS}/{id}/held`,
      summary: 'List the mail that is held for a block, newest first',
      role: 'viewer',
      scope: 'own',
      query: heldQuery,
      responses: { 200: { description: 'One page', schema: pageShape } },
      async handle({ params, query: { limit, cursor }, concerns }) {
        const entry = await entryOf(deps, params['id']!, concerns);
        return ok(await heldPage(deps.store, entry, { limit, cursor, concerns }));
      },
    }),
  ];
}

interface HeldPage {
  readonly limit: number;
  readonly cursor: string | undefined;
  readonly concerns: Concerns;
}

async function heldPage(
  store: Pick<EventStore, 'readStream'>,
  entry: BlockEntry,
  { limit, cursor, concerns }: HeldPage,
): Promise<HeldJson> {
  const stream = heldStream(entry.id);
  const settled = settledThrough(entry);
  const { count, decided, hasOthers: others, moved } = await heldOf(store, entry, concerns);
  const items: HeldJson['items'] = [];
  const from = cursor === undefined ? {} : { from: numberOfCursor(cursor) };
  let next: string | null = null;
  const full = (count > 0 || others) && (await isFull(store, entry, moved));
  if (count === 0) return { count, decided, items, next, others, full };
  const newest = store.readStream(stream, { direction: 'backwards', limit: MOST_LOOKED_AT + 1, ...from });
  let looked = 0;
  for await (const event of newest) {
    if (event.revision <= settled) break;
    const isListed = !moved.has(event.revision) && isHeldEvent(event);
    // Empty pages would tell how much is held of others.
    const isTheirs = isListed && concerns(senderOfHeld(event.data));
    if ((isTheirs && items.length === limit) || looked++ === MOST_LOOKED_AT) {
      next = cursorOf(String(event.revision));
      break;
    }
    if (isTheirs) items.push(heldView(event.data, event.at));
  }
  return { count, decided, items, next, others, full };
}

async function isFull(
  store: Pick<EventStore, 'readStream'>,
  entry: BlockEntry,
  moved: ReadonlySet<number>,
): Promise<boolean> {
  if (isEnded(entry)) return false;
  let [messages, bytes] = [0, 0];
  const stream = store.readStream(heldStream(entry.id), {
    from: settledThrough(entry) + 1,
    limit: MOST_LOOKED_AT,
  });
  for await (const event of stream) {
    if (moved.has(event.revision) || !isHeldEvent(event)) continue;
    messages++;
    bytes += event.data.size;
  }
  return messages >= MOST_HELD.messages || bytes >= MOST_HELD.bytes;
}

/** Messages that are looked at one by one, to tell whose they are. */
const MOST_LOOKED_AT = 2000;

interface HeldCount {
  readonly count: number;
  readonly decided: DecidedJson;
  readonly hasOthers: boolean;
  /** Revisions of those that were moved to other blocks: they do not count. */
  readonly moved: ReadonlySet<number>;
}

/**
 * How many messages are held for a block that are the caller's to see, and whether there are others: mail of an account
 * elsewhere may bear an address, or the domain, that is blocked. Where there are too many to look at, there may be.
 *
 * @throws StoreUnavailable
 */
export async function heldOf(
  store: Pick<EventStore, 'readStream'>,
  entry: BlockEntry,
  concerns: Concerns,
): Promise<HeldCount> {
  const stream = heldStream(entry.id);
  const { revisions: moved } = await movedFrom(store, entry.id);
  const seesAll = seesMailOf(entry.subject, concerns);
  const through = decidedThrough(entry);
  let [looked, last, own, others, decided] = [0, settledThrough(entry), 0, 0, 0];
  // One by one: what was of somebody who is forgotten has left gaps.
  for await (const event of store.readStream(stream, { from: last + 1, limit: MOST_LOOKED_AT })) {
    looked++;
    last = event.revision;
    if (moved.has(last) || !isHeldEvent(event)) continue;
    if (seesAll || concerns(senderOfHeld(event.data))) {
      own++;
      if (event.position <= through) decided++;
    } else others++;
  }
  const beyond = looked < MOST_LOOKED_AT ? 0 : await heldAfter(store, stream, last, moved);
  const found = { decided: decidedJson(entry, decided), moved };
  if (seesAll) return { ...found, count: own + beyond, hasOthers: false };
  return { ...found, count: own, hasOthers: others + beyond > 0 };
}

function decidedJson(entry: BlockEntry, count: number): DecidedJson {
  const decision = decisionOn(entry);
  if (decision === undefined || count === 0) return null;
  const { action, last } = decision;
  return { action: action === 'delete' ? 'delete' : 'release', count, failed: last === 'failed' };
}

/** How many messages are held after a revision, as if there were no gaps. */
async function heldAfter(
  store: Pick<EventStore, 'readStream'>,
  stream: string,
  after: number,
  moved: ReadonlySet<number>,
): Promise<number> {
  for await (const { revision: last } of store.readStream(stream, { direction: 'backwards', limit: 1 })) {
    const elsewhere = [...moved].filter((revision) => revision > after && revision <= last).length;
    return Math.max(0, last - after - elsewhere);
  }
  return 0;
}

export const heldForShape = z
  .array(z.object({ block: z.string(), count: z.int().meta({ description: 'Messages.' }) }))
  .nullable()
  .meta({
    description:
      'The mail that is held for blocks of this account, or that its mail met, also for those that have ended; null where no account is named, of a past instant, or if the store cannot be read now.',
  });
type HeldFor = NonNullable<z.infer<typeof heldForShape>>;

/** Blocks of an account that are looked at, the newest. */
const BLOCKS_READ = 10;

/** What is held for an account: nobody else tells of it once the block has ended. */
export async function heldFor(
  deps: ApiDependencies,
  account: string,
  refusals: readonly RefusalJson[],
  concerns: Concerns,
): Promise<{ readonly held: HeldFor | null; readonly sentences: readonly string[] }> {
  const { rows } = deps.models.ledger;
  const own = [...rows.on({ type: 'account', value: account })].slice(0, BLOCKS_READ);
  // Mail that another block held may be held on for one that refuses otherwise.
  const met = new Set(refusals.map(({ block }) => block));
  const held: HeldFor = [];
  const sentences: string[] = [];
  try {
    // Nor need that one have met any of its mail.
    for (const entry of await entriesOf(deps, own)) await addMovedTo(deps, entry, met);
    const others = [...met].slice(0, BLOCKS_READ).map((id) => rows.find(id));
    const wanted = new Set([...own, ...others].filter((row) => row !== undefined));
    for (const entry of await entriesOf(deps, [...wanted])) {
      if (!concerns(entry.subject)) continue;
      const found = await heldOf(deps.store, entry, concerns);
      if (found.count === 0) continue;
      held.push({ block: entry.id, count: found.count });
      sentences.push(...heldSentences(entry, found));
    }
  } catch (thrown) {
    if (!(thrown instanceof StoreUnavailable)) throw thrown;
    return { held: null, sentences: [] };
  }
  return { held, sentences };
}

/** Where a hook is about to act on what a person has decided, it may be gone, or held for another block, in a moment. */
function heldSentences(entry: BlockEntry, { count, decided }: HeldCount): readonly string[] {
  const { id } = entry;
  const are = (number: number): string => (number === 1 ? '1 message is' : `${number} messages are`);
  // What the hook was given up for waits for people again.
  const going = decided === null || decided.failed ? 0 : decided.count;
  const left = count - going;
  return [
    ...(going === 0
      ? []
      : [
          `${are(going)} to be ${decided!.action}d that ${going === 1 ? 'was' : 'were'} held for the block ${id}: stopgap block show ${id} tells what came of it.`,
        ]),
    ...(left === 0
      ? []
      : [
          `${are(left)} ${isEnded(entry) ? 'still ' : ''}held for the block ${id}: stopgap block held ${id}.`,
        ]),
  ];
}

/** Adds the blocks for which mail is held that was to be released: to which it was moved, and that refuse its sender since. */
async function addMovedTo(
  { store, models, clock }: Pick<ApiDependencies, 'store' | 'models' | 'clock'>,
  { id, history }: BlockEntry,
  blocks: Set<string>,
): Promise<void> {
  const { to } = await movedFrom(store, id);
  for (const other of to) blocks.add(other);
  if (to.size === 0 && history.every(({ hook }) => hook?.moved === undefined)) return;
  for await (const event of store.readStream(heldStream(id), { limit: MOST_LOOKED_AT })) {
    if (!isHeldEvent(event)) continue;
    const other = models.activeBlocks.find(
      senderIdentity(event.data),
      clock.now(),
      (block) => block.id !== id,
    );
    if (other !== undefined) blocks.add(other.id);
  }
}

function heldView(
  { transaction, account, returnPath, recipients, size }: MessageHeld,
  at: number,
): HeldJson['items'][number] {
  return {
    queueId: transaction,
    account: account ?? null,
    returnPath: returnPath ?? null,
    recipients,
    size,
    at: formatInstant(at),
  };
}
