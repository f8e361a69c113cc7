import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { stateAt } from '../../projections/blocks/block-entry.js';
import type { BlockCommand } from '../blocks/commands.js';
import type { Executed } from '../commands/block-commands.js';
import { BLOCK_CATEGORY, blockStream, isBlockEvent, REFUSALS } from '../blocks/events.js';
import { StopgapError } from '../kernel/errors.js';
import { newId } from '../runtime/ids.js';
import type { Subject } from '../sending/subjects.js';
import { DIRECTIONS } from '../sending/subjects.js';
import { StoreUnavailable } from '../store/port.js';
import { blockShape, blockView, entryOf } from './block-view.js';
import { carryOutOn, etagOf, isKnown, NOT_SHOWN, isSeenBy, replayed, shown } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import type { Answer, ApiRequest, Concerns, Route } from './http/route.js';
import { refuseOtherName } from './login-names.js';
import { route } from './http/route.js';
import {
  isObject,
  noteInput,
  oneOf,
  oneSpan,
  optionalSpanOf,
  spanInputs,
  spanOf,
  subjectInput,
} from './shapes.js';

export const BLOCKS = '/api/v1/blocks';

const description = z.string('must be a text').max(500, 'at most 500 characters');

const creationOf = (deps: ApiDependencies) =>
  z
    .strictObject({
      subject: subjectInput(isSeenBy(deps)),
      direction: oneOf(DIRECTIONS).default('outbound'),
      description: description.optional(),
      refusal: oneOf(REFUSALS)
        .optional()
        .meta({ description: 'soft unless given; a block in force keeps its own.' }),
      ...spanInputs,
    })
    .check(oneSpan(1))
    .refine(
      ({
        subject,
        direction,
      }: {
        readonly subject?: { readonly type?: unknown };
        readonly direction: unknown;
      }) => subject?.type !== 'account' || direction !== 'inbound',
      {
        path: ['direction'],
        message:
          'must be outbound for an account: inbound mail has none; block an address, a domain or an ip',
        when: ({ value }) => isObject(value),
      },
    );
const change = z
  .strictObject({
    ...spanInputs,
    description: description.optional(),
    refusal: oneOf(REFUSALS).optional(),
    note: noteInput.optional(),
  })
  .check(oneSpan(0))
  .refine(({ note: _, ...changes }) => Object.keys(changes).length > 0, {
    path: ['duration'],
    message: 'nothing to change: give duration, until, indefinite: true, description or refusal',
  });

/** Blocks and proposals: create, read, change when they end. */
export function blockRoutes(deps: ApiDependencies): readonly Route[] {
  return [
    route<unknown, z.infer<ReturnType<typeof creationOf>>>({
      method: 'post',
      path: BLOCKS,
      summary: 'Block a subject',
      role: 'operator',
      scope: 'none',
      body: { schema: creationOf(deps) },
      responses: {
        201: { description: 'The block that is in force now', schema: blockShape },
        200: {
          description: 'The block that was in force already, with all that was asked for',
          schema: blockShape,
        },
      },
      async handle(request) {
        const { subject, direction, description, refusal, ...span } = request.body;
        refuseOtherName(deps, subject);
        const command = {
          kind: 'impose' as const,
          subject,
          direction,
          description,
          refusal,
          ...spanOf(span),
          newId: newId(),
        };
        const { facts, standing, repeated } = await carryOutShowing(deps, request, subject, command);
        const imposed = facts.find((fact) => fact.type === 'BlockImposed');
        // Without one a block was in force before. It is stronger now, or was strong enough.
        const entry = deps.models.ledger.get(imposed?.data.block ?? standing.block!.id);
        // The store has it. If the read models do not show it, the store is back with another log, and they still
        // follow the positions of the one before.
        if (entry === undefined) throw new StoreUnavailable(NOT_SHOWN);
        return blockAnswer(entry, deps, request.concerns, imposed === undefined ? 200 : 201, repeated);
      },
    }),
    route({
      method: 'get',
      path: `${BLOCKS}/{id}`,
      summary: 'Read a block with its evidence and history',
      role: 'viewer',
      scope: 'own',
      responses: {
        200: { description: 'The block', schema: blockShape },
        304: { description: 'It is still at the version that If-None-Match names' },
      },
      async handle({ params, request, concerns }) {
        const entry = await findEntry(deps, params['id']!, concerns);
        // The clock alone can change a state. So a block is "not modified" only while its recorded state still holds.
        if (isKnown(request, entry.version) && stateAt(entry, deps.clock.now()) === entry.state) {
          return { status: 304, headers: { ETag: etagOf(entry.version) } };
        }
        return blockAnswer(entry, deps, concerns, 200, false);
      },
    }),
    route<unknown, z.infer<typeof change>>({
      method: 'patch',
      path: `${BLOCKS}/{id}`,
      summary: 'Change an active block: its end, description, refusal; a duration counts from now',
      role: 'operator',
      scope: 'none',
      body: { schema: change },
      responses: { 200: { description: 'The block as it is now', schema: blockShape } },
      async handle(request) {
        const entry = await findEntry(deps, request.params['id']!, request.concerns);
        const { description, refusal, note, ...span } = request.body;
        const command = {
          kind: 'change' as const,
          block: entry.id,
          span: optionalSpanOf(span),
          description,
          refusal,
          note,
        };
        return actOn(request, entry, command, deps);
      },
    }),
  ];
}

/** How many block events the store may have that the read models do not show yet. */
const MOST_BEHIND = 1000;

/**
 * If the read models do not have the block, another process may just have made it: the store knows. One that does not
 * concern the caller takes the way of one that there is not, so that time tells nothing of it either.
 *
 * @throws StopgapError `not-found`; StoreUnavailable
 */
export async function findEntry(deps: ApiDependencies, id: string, concerns: Concerns): Promise<BlockEntry> {
  const { ledger } = deps.models;
  const row = ledger.rows.find(ledger.nameOf(id));
  if (row === undefined || !concerns(ledger.rows.at(row).subject)) {
    const madeAt = await notShownYet(deps, id);
    if (madeAt !== undefined) await shown(deps, madeAt);
  }
  return entryOf(deps, id, concerns);
}

/** The position of an event of this block that the read models do not show yet. */
async function notShownYet({ models, store }: ApiDependencies, id: string): Promise<number | undefined> {
  const behind = { after: models.position, categories: [BLOCK_CATEGORY], limit: MOST_BEHIND };
  let looked = 0;
  for await (const event of store.readAll(behind)) {
    if (isBlockEvent(event) && 'block' in event.data && event.data.block === id) return event.position;
    if (++looked === MOST_BEHIND) throw new StoreUnavailable('the read models are far behind the store');
  }
  return undefined;
}

/** Carries out a command on a block and answers with the present block, even after a conflict. */
export async function actOn(
  request: ApiRequest<unknown, unknown>,
  entry: BlockEntry,
  command: BlockCommand,
  deps: ApiDependencies,
): Promise<Answer> {
  const withheld = deps.models.sendVolume.withheldBy(entry.id);
  const known: BlockCommand = command.kind === 'release' ? { ...command, withheld } : command;
  const { repeated } = await carryOutShowing(deps, request, entry.subject, known, entry.id);
  const { concerns } = request;
  return blockAnswer(await entryOf(deps, entry.id, concerns), deps, concerns, 200, repeated);
}

/** As {@link carryOutOn}. A conflict with a block shows the block as it is. */
async function carryOutShowing(
  deps: ApiDependencies,
  request: ApiRequest<unknown, unknown>,
  subject: Subject,
  command: BlockCommand,
  block?: string,
): Promise<Executed> {
  try {
    return await carryOutOn(deps, request, subject, command, block);
  } catch (thrown) {
    if (!(thrown instanceof StopgapError) || thrown.code !== 'conflict') throw thrown;
    // The answer must show the state that the decision saw.
    await shown(deps, await lastPosition(deps, subject));
    const entry = await entryOf(deps, String(thrown.details['block']), request.concerns);
    const current = blockView(entry, deps.clock.now(), request.concerns);
    throw new StopgapError('conflict', thrown.message, { ...thrown.details, current });
  }
}

async function lastPosition({ store }: ApiDependencies, subject: Subject): Promise<number> {
  const newest = store.readStream(blockStream(subject), { direction: 'backwards', limit: 1 });
  for await (const { position } of newest) return position;
  return 0;
}

function blockAnswer(
  entry: BlockEntry,
  { clock, publicUrl = '' }: ApiDependencies,
  concerns: Concerns,
  status: number,
  repeated: boolean,
): Answer {
  const headers = {
    ETag: etagOf(entry.version),
    'Cache-Control': 'private, no-cache',
    ...(status === 201 ? { Location: `${publicUrl}${BLOCKS}/${entry.id}` } : {}),
    ...replayed(repeated),
  };
  return { status, body: blockView(entry, clock.now(), concerns), headers };
}
