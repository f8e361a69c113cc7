import { z } from 'zod';
import type { BlockCommand } from '../blocks/commands.js';
import { BLOCK_CATEGORY, REFUSALS, isBlockEvent } from '../blocks/events.js';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { newId } from '../runtime/ids.js';
import { StopgapError } from '../kernel/errors.js';
import { DIRECTIONS, parsePattern } from '../sending/subjects.js';
import { StoreUnavailable } from '../store/port.js';
import { carryOut, NOT_SHOWN, replayed, shown } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import { blockListQuery, listBlocks } from './block-list.js';
import type { BlockListQuery } from './block-list.js';
import { entryOf } from './block-entries.js';
import { etagOf, isKnown } from './http/etag.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { noteInput, oneOf, spanInputs, spanOf, subjectInput } from './inputs.js';
import { blockShape, listOf } from './shapes.js';
import { blockView } from './views.js';

export const BLOCKS = '/api/v1/blocks';

const creation = z.strictObject({
  subject: subjectInput,
  direction: oneOf(DIRECTIONS).default('outbound'),
  description: z.string('must be a text').max(500, 'at most 500 characters').optional(),
  refusal: oneOf(REFUSALS)
    .optional()
    .meta({ description: 'soft unless given; a block in force keeps its own.' }),
  ...spanInputs,
});
const change = z.strictObject({ ...spanInputs, note: noteInput.optional() });

/** Blocks and proposals: list, create, read, change when they end. */
export function blockRoutes(deps: ApiDependencies): readonly Route[] {
  const { clock } = deps;

  return [
    route<BlockListQuery>({
      method: 'get',
      path: BLOCKS,
      summary: 'List, filter and search blocks and proposals, newest first',
      role: 'viewer',
      query: blockListQuery,
      responses: { 200: { description: 'One page', schema: listOf(blockShape) } },
      async handle({ query }) {
        const now = clock.now();
        const { items, next } = await listBlocks(deps, query, now);
        return ok({ items: items.map((entry) => blockView(entry, now)), next });
      },
    }),
    route<unknown, z.infer<typeof creation>>({
      method: 'post',
      path: BLOCKS,
      summary: 'Block a subject',
      role: 'operator',
      body: { schema: creation },
      responses: {
        201: { description: 'The block that is in force now', schema: blockShape },
        200: {
          description: 'The block that was in force already, with all that was asked for',
          schema: blockShape,
        },
      },
      async handle(ask) {
        const { subject: raw, direction, description, refusal, ...span } = ask.body;
        const subject = parsePattern(raw.type, raw.value);
        const command = {
          ...({ kind: 'impose', subject, direction, description, refusal } as const),
          ...{ ...spanOf(span), newId: newId() },
        };
        const { facts, standing, repeated } = await showing(deps, () =>
          carryOut(deps, ask, subject, command),
        );
        const imposed = facts.find((fact) => fact.type === 'BlockImposed');
        // Without one there is a block in force, whether it became stronger or was strong enough.
        const entry = deps.models.ledger.get(imposed?.data.block ?? standing.block!.id);
        // It stands in the store: where it does not show, the store is back with another log, and is still followed by
        // the positions of the one before.
        if (entry === undefined) throw new StoreUnavailable(NOT_SHOWN);
        return blockAnswer(entry, deps, imposed === undefined ? 200 : 201, repeated);
      },
    }),
    route({
      method: 'get',
      path: `${BLOCKS}/{id}`,
      summary: 'Read a block with its evidence and history',
      role: 'viewer',
      responses: {
        200: { description: 'The block', schema: blockShape },
        304: { description: 'It is still at the version that If-None-Match names' },
      },
      async handle({ params, request }) {
        const entry = await findEntry(deps, params['id']!);
        // A state can change by the clock alone, so only what was recorded last and still holds is "not modified".
        if (isKnown(request, entry.version) && blockView(entry, clock.now()).state === entry.state) {
          return { status: 304, headers: { ETag: etagOf(entry.version) } };
        }
        return blockAnswer(entry, deps, 200, false);
      },
    }),
    route<unknown, z.infer<typeof change>>({
      method: 'patch',
      path: `${BLOCKS}/{id}`,
      summary: 'Change when an active block ends; a duration counts from now',
      role: 'operator',
      body: { schema: change },
      responses: { 200: { description: 'The block as it is now', schema: blockShape } },
      async handle(ask) {
        const entry = await findEntry(deps, ask.params['id']!);
        const { note, ...span } = ask.body;
        const command = {
          ...({ kind: 'change-until', block: entry.id } as const),
          ...{ ...spanOf(span), ...(note === undefined ? {} : { note }) },
        };
        return actOn(ask, entry, command, deps);
      },
    }),
  ];
}

/** So many block events may be in the store that do not show yet. */
const MOST_BEHIND = 1000;

/**
 * A block that does not show may be one that another process has just made: the store tells.
 *
 * @throws StopgapError `not-found`; StoreUnavailable
 */
export async function findEntry(deps: ApiDependencies, id: string): Promise<BlockEntry> {
  if (!deps.models.ledger.has(id)) {
    const madeAt = await notShownYet(deps, id);
    if (madeAt !== undefined) await shown(deps, madeAt);
  }
  return entryOf(deps, id);
}

/** The position of an event of this block among those that do not show yet. */
async function notShownYet({ models, store }: ApiDependencies, id: string): Promise<number | undefined> {
  const behind = { after: models.position, categories: [BLOCK_CATEGORY], limit: MOST_BEHIND };
  let looked = 0;
  for await (const event of store.readAll(behind)) {
    if (isBlockEvent(event) && 'block' in event.data && event.data.block === id) return event.position;
    if (++looked === MOST_BEHIND) throw new StoreUnavailable('the read models are far behind the store');
  }
  return undefined;
}

/** Carries out a command on a block and answers with the block; a conflict shows it as it is. */
export async function actOn(
  ask: ApiRequest<unknown, unknown>,
  entry: BlockEntry,
  command: BlockCommand,
  deps: ApiDependencies,
): Promise<Answer> {
  const { repeated } = await showing(deps, () => carryOut(deps, ask, entry.subject, command, entry.id));
  return blockAnswer(await entryOf(deps, entry.id), deps, 200, repeated);
}

/** A conflict with a block shows the block as it is. */
async function showing<T>(deps: ApiDependencies, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof StopgapError) || thrown.code !== 'conflict') throw thrown;
    const current = blockView(await entryOf(deps, String(thrown.details['block'])), deps.clock.now());
    throw new StopgapError('conflict', thrown.message, { ...thrown.details, current });
  }
}

function blockAnswer(
  entry: BlockEntry,
  { clock, publicUrl = '' }: ApiDependencies,
  status: number,
  repeated: boolean,
): Answer {
  const headers = {
    ETag: etagOf(entry.version),
    'Cache-Control': 'private, no-cache',
    ...(status === 201 ? { Location: `${publicUrl}${BLOCKS}/${entry.id}` } : {}),
    ...replayed(repeated),
  };
  return { status, body: blockView(entry, clock.now()), headers };
}
