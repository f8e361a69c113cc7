import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { BlockFilter, BlockRows } from '../../projections/blocks/block-rows.js';
import type { BlockCommand } from '../blocks/commands.js';
import type { Executed } from '../commands/block-commands.js';
import { BLOCK_CATEGORY, blockStream, HELD_ACTIONS, isBlockEvent, REFUSALS } from '../blocks/events.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { newId } from '../runtime/ids.js';
import { normalizeAccount, normalizeDomain } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import { DIRECTIONS, parsePattern, parseSubject, SUBJECT_TYPES } from '../sending/subjects.js';
import { StoreUnavailable } from '../store/port.js';
import { BLOCK_STATES, blockShape, blockView, entriesOf, entryOf } from './block-view.js';
import { carryOutOn, etagOf, isKnown, NOT_SHOWN, replayed, shown } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import type { Answer, ApiRequest, Concerns, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import {
  anyOf,
  cursorOf,
  instantInput,
  numberOfCursor,
  listOf,
  noteInput,
  once,
  oneOf,
  optionalSpanOf,
  spanInputs,
  spanOf,
  subjectInput,
  wholeNumber,
} from './shapes.js';

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
      scope: 'own',
      query: blockListQuery,
      responses: { 200: { description: 'One page', schema: listOf(blockShape) } },
      async handle({ query, concerns }) {
        const now = clock.now();
        const { items, next } = await listBlocks(deps, query, now, concerns);
        return ok({ items: items.map((entry) => blockView(entry, now)), next });
      },
    }),
    route<unknown, z.infer<typeof creation>>({
      method: 'post',
      path: BLOCKS,
      summary: 'Block a subject',
      role: 'operator',
      scope: 'none',
      body: { schema: creation },
      responses: {
        201: { description: 'The block that is in force now', schema: blockShape },
        200: {
          description: 'The block that was in force already, with all that was asked for',
          schema: blockShape,
        },
      },
      async handle(request) {
        const { subject: raw, direction, description, refusal, ...span } = request.body;
        const subject = parsePattern(raw.type, raw.value);
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
        return blockAnswer(entry, deps, imposed === undefined ? 200 : 201, repeated);
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
      scope: 'none',
      body: { schema: change },
      responses: { 200: { description: 'The block as it is now', schema: blockShape } },
      async handle(request) {
        const entry = await findEntry(deps, request.params['id']!, request.concerns);
        const { note, ...span } = request.body;
        const command = {
          kind: 'change-until' as const,
          block: entry.id,
          ...spanOf(span),
          ...(note === undefined ? {} : { note }),
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
async function findEntry(deps: ApiDependencies, id: string, concerns: Concerns): Promise<BlockEntry> {
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
async function actOn(
  request: ApiRequest<unknown, unknown>,
  entry: BlockEntry,
  command: BlockCommand,
  deps: ApiDependencies,
): Promise<Answer> {
  const { repeated } = await carryOutShowing(deps, request, entry.subject, command, entry.id);
  return blockAnswer(await entryOf(deps, entry.id, request.concerns), deps, 200, repeated);
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
    const current = blockView(entry, deps.clock.now());
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

const noted = z.strictObject({ note: noteInput.optional() });
const approval = noted.extend(spanInputs);
const decision = noted.extend({
  falsePositive: z.boolean('must be true or false').default(false).meta({
    description:
      'The rule was wrong: what was sent is learnt as usual, and the block does not count when later ones grow.',
  }),
});

const letting = decision.extend({
  held: oneOf([...HELD_ACTIONS, 'keep'])
    .optional()
    .meta({
      description:
        'What becomes of the mail that is held for the block; unless given, release for a false positive, else keep.',
    }),
});
const settling = noted.extend({ action: oneOf(HELD_ACTIONS) });

/**
 * A false positive makes what was sent usual, which raises limits: no administrator of a domain does that to their own.
 *
 * @throws StopgapError `forbidden`
 */
function refuseTeaching({ caller, body }: ApiRequest<unknown, unknown>): void {
  if (caller.role !== 'domain' || (body as { falsePositive?: boolean }).falsePositive !== true) return;
  const message =
    'a false positive raises limits, which the role domain may not: leave falsePositive out, or ask an operator';
  throw new StopgapError('forbidden', message, { needed: 'operator', role: caller.role });
}

/** What an operator does to a proposal or a block. */
export function blockActionRoutes(deps: ApiDependencies): readonly Route[] {
  const action = <Body>(
    kind: BlockCommand['kind'],
    summary: string,
    schema: z.ZodType<Body>,
    commandOf: (block: string, body: Body) => BlockCommand,
  ): Route =>
    route<unknown, Body>({
      method: 'post',
      path: `${BLOCKS}/{id}/${kind}`,
      summary,
      role: 'operator',
      scope: 'own',
      body: { schema, optional: true },
      responses: { 200: { description: 'The block as it is now', schema: blockShape } },
      async handle(request) {
        const entry = await findEntry(deps, request.params['id']!, request.concerns);
        refuseTeaching(request);
        return actOn(request, entry, commandOf(entry.id, request.body), deps);
      },
    });

  return [
    action(
      'approve',
      'Put a proposed block in force, for as long as was proposed or as is said',
      approval,
      (block, { note, ...span }) => ({
        kind: 'approve',
        block,
        span: optionalSpanOf(span),
        ...(note === undefined ? {} : { note }),
      }),
    ),
    action(
      'dismiss',
      'Dismiss a proposal: the sends behind it count no more, and limits are tripled for an hour',
      decision,
      (block, body) => ({ kind: 'dismiss', block, ...body }),
    ),
    action(
      'release',
      'End an active block now: the sends behind it count no more, and limits are tripled for an hour',
      letting,
      (block, body) => ({ kind: 'release', block, ...body }),
    ),
    action(
      'held',
      'Say what becomes of the mail that is held for a block by now: the hook is called for it',
      settling,
      (block, body) => ({ kind: 'held', block, ...body }),
    ),
  ];
}

/** How long a search may hold the event loop. */
const SLICE: Milliseconds = 3;

export const blockListQuery = z.strictObject({
  state: anyOf(BLOCK_STATES),
  type: anyOf(SUBJECT_TYPES),
  value: once.max(320).optional().meta({ description: 'The subject, exactly; compared in normal form.' }),
  q: once
    .max(200)
    .optional()
    .meta({ description: 'Text within the subject or the description, in any case.' }),
  id: once.max(64).optional().meta({ description: 'How the id begins.' }),
  rule: once.max(64).optional(),
  origin: oneOf(['rule', 'admin']).optional(),
  direction: oneOf(DIRECTIONS).optional(),
  since: instantInput.optional().meta({ description: 'Proposed or in force since this instant or later.' }),
  until: instantInput.optional().meta({ description: 'Proposed or in force before this instant.' }),
  sort: oneOf(['newest', 'oldest'])
    .default('newest')
    .meta({ description: 'By when it was proposed or came into force.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});

type BlockListQuery = z.infer<typeof blockListQuery>;

interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}

/** One page of blocks. A block that begins while a client reads pages moves none of them. */
export async function listBlocks(
  sources: Pick<ApiDependencies, 'models' | 'store'>,
  query: BlockListQuery,
  now: Instant,
  concerns: Concerns,
): Promise<Page<BlockEntry>> {
  const { rows } = sources.models.ledger;
  const beyond = query.cursor === undefined ? undefined : numberOfCursor(query.cursor);
  const filter = { ...filterOf(query, now), concerns };
  const found =
    query.value === undefined
      ? await searched(rows, query, filter, beyond)
      : named(rows, query, query.value, filter, beyond);
  const page = found.slice(0, query.limit);
  const next = found.length > page.length ? cursorOf(String(rows.at(page.at(-1)!).begin)) : null;
  return { items: await entriesOf(sources, page), next };
}

/** The first rows that match: at least one more than a page has, if there are so many. */
async function searched(
  rows: BlockRows,
  query: BlockListQuery,
  filter: BlockFilter,
  beyond: number | undefined,
): Promise<readonly number[]> {
  const found: number[] = [];
  let begun = performance.now();
  for (const some of rows.search(filter, query.sort, beyond)) {
    found.push(...some);
    if (found.length > query.limit) break;
    if (performance.now() - begun < SLICE) continue;
    await setImmediate();
    begun = performance.now();
  }
  return found;
}

/** All rows that match, of the subjects that a text can mean. */
function named(
  rows: BlockRows,
  query: BlockListQuery,
  value: string,
  filter: BlockFilter,
  beyond: number | undefined,
): readonly number[] {
  const subjects = subjectsOf(value, query.type ?? new Set(SUBJECT_TYPES));
  const all = rows.filter(
    subjects.flatMap((subject) => [...rows.on(subject)]),
    filter,
  );
  const step = query.sort === 'newest' ? -1 : 1;
  return all
    .filter((row) => beyond === undefined || Math.sign(rows.at(row).begin - beyond) === step)
    .sort((a, b) => step * (a - b));
}

function filterOf(query: BlockListQuery, now: Instant): BlockFilter {
  const { state: states, type: types, direction, origin, rule, since, until, id, q } = query;
  const text = q?.normalize('NFC').toLowerCase();
  return { now, states, types, direction, origin, rule, since, until, id, text, kept: keptAs(text) };
}

/** Subjects have their domains as A-labels; people look for `müller.example`. */
function keptAs(text: string | undefined): string | undefined {
  if (text === undefined || /^[\0-\x7f]*$/.test(text)) return undefined;
  return text.includes('@') ? normalizeAccount(text) : normalizeDomain(text);
}

/** What a text can mean under each type. @throws InvalidInput if it fits none */
function subjectsOf(value: string, types: Iterable<string>): readonly Subject[] {
  const subjects: Subject[] = [];
  let fault: InvalidInput | undefined;
  for (const type of types) {
    try {
      subjects.push(parseSubject(type, value));
    } catch (thrown) {
      if (!(thrown instanceof InvalidInput)) throw thrown;
      fault = new InvalidInput('value', thrown.message);
    }
  }
  if (subjects.length === 0 && fault !== undefined) throw fault;
  return subjects;
}
