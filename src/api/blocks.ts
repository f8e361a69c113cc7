import { z } from 'zod';
import type { BlockCommand } from '../blocks/commands.js';
import { REFUSALS } from '../blocks/events.js';
import type { BlockEntry } from '../../projections/block-entry.js';
import { newId } from '../ids.js';
import { StopgapError } from '../kernel/errors.js';
import { DIRECTIONS, parsePattern } from '../sending/subjects.js';
import { StoreUnavailable } from '../store/port.js';
import { carryOut, NOT_SHOWN, replayed } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import { blockListQuery, listBlocks } from './block-list.js';
import type { BlockListQuery } from './block-list.js';
import { entryOf } from './block-entries.js';
import { etagOf, isKnown } from './http/etag.js';
import type { Answer, Ask, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { noteInput, oneOf, spanInputs, subjectInput, untilOf } from './inputs.js';
import { blockShape, listOf } from './shapes.js';
import { blockView } from './views.js';

export const BLOCKS = '/api/v1/blocks';

const creation = z.strictObject({
  subject: subjectInput,
  direction: oneOf(DIRECTIONS).default('outbound'),
  description: z.string('must be a text').max(500, 'at most 500 characters').default(''),
  refusal: oneOf(REFUSALS).default('soft'),
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
          description: 'The block that stood already, made stronger where this one is',
          schema: blockShape,
        },
      },
      async handle(ask) {
        const { subject: raw, direction, description, refusal, ...span } = ask.body;
        const subject = parsePattern(raw.type, raw.value);
        const until = untilOf(span, clock.now());
        const command = {
          kind: 'impose',
          subject,
          direction,
          description,
          refusal,
          until,
          newId: newId(),
        } as const;
        const { facts, standing, repeated } = await carryOut(deps, ask, subject, command);
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
        const entry = await entryOf(deps, params['id']!);
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
        const entry = await entryOf(deps, ask.params['id']!);
        const { note, ...span } = ask.body;
        const until = untilOf(span, clock.now());
        const command = {
          kind: 'change-until',
          block: entry.id,
          until,
          ...(note === undefined ? {} : { note }),
        } as const;
        return actOn(ask, entry, command, deps);
      },
    }),
  ];
}

/** Carries out a command on a block and answers with the block; a conflict shows it as it is. */
export async function actOn(
  ask: Ask<unknown, unknown>,
  entry: BlockEntry,
  command: BlockCommand,
  deps: ApiDependencies,
): Promise<Answer> {
  try {
    const { repeated } = await carryOut(deps, ask, entry.subject, command, entry.id);
    return blockAnswer(await entryOf(deps, entry.id), deps, 200, repeated);
  } catch (thrown) {
    if (!(thrown instanceof StopgapError) || thrown.code !== 'conflict') throw thrown;
    const current = blockView(await entryOf(deps, entry.id), deps.clock.now());
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
