import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { Keyed } from '../../projections/blocks/block-order.js';
import { firstRows } from '../../projections/blocks/block-order.js';
import type { BlockRows } from '../../projections/blocks/block-rows.js';
import type { BlockFilter, BlockSort } from '../../projections/blocks/block-segments.js';
import { BLOCK_SORTS } from '../../projections/blocks/block-segments.js';
import type { BlockState } from '../blocks/state.js';
import { InvalidInput } from '../kernel/errors.js';
import { LONGEST_NAME } from '../kernel/printable.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import { normalizeAccount, normalizeDomain } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import { askedSubject, DIRECTIONS, SUBJECT_TYPES } from '../sending/subjects.js';
import { entriesOf } from '../detector/ledger-entries.js';
import { amongOthers, blockShape, blockView, blockViewAt } from './block-view.js';
import { BLOCKS } from './blocks.js';
import type { ApiDependencies } from './dependencies.js';
import type { Columns } from './export.js';
import { EXPORT_TYPES, formatInput, pageOrExport } from './export.js';
import type { Concerns, Route } from './http/route.js';
import { route, seesMailOf } from './http/route.js';
import type { LongReads } from './long-reads.js';
import {
  anyOf,
  cursorOf,
  instantInput,
  instantShape,
  keyOfCursor,
  listOf,
  numberOfCursor,
  once,
  oneOf,
  wholeNumber,
} from './shapes.js';
import { BLOCK_STATES } from './words.js';

/** How long a search may hold the event loop. */
const SLICE: Milliseconds = 3;

export const blockListQuery = z.strictObject({
  state: anyOf(BLOCK_STATES),
  type: anyOf(SUBJECT_TYPES),
  value: once
    .max(LONGEST_NAME)
    .optional()
    .meta({ description: 'The subject, exactly; compared in normal form.' }),
  q: once
    .max(200)
    .optional()
    .meta({ description: 'Text within the subject or the description, in any case.' }),
  id: once.max(64).optional().meta({ description: 'How the id begins.' }),
  rule: once.max(64).optional(),
  origin: oneOf(['rule', 'admin']).optional(),
  direction: oneOf(DIRECTIONS).optional(),
  since: instantInput
    .optional()
    .meta({ description: 'Proposed, or came into force, at this instant or later.' }),
  until: instantInput.optional().meta({
    description:
      'Proposed, or came into force, before this instant. With since: one of the two lies between.',
  }),
  at: instantInput
    .optional()
    .meta({ description: 'A past instant: what was in force or proposed then, as it was then.' }),
  sort: oneOf(['newest', 'oldest', ...BLOCK_SORTS])
    .default('newest')
    .meta({
      description:
        'newest, oldest: by when it began; since: in force or proposed last; until: ends first; refused: refused most; subject: by name.',
    }),
  total: oneOf(['true']).optional().meta({ description: 'Also counts all that match.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
  format: formatInput,
});

type BlockListQuery = z.infer<typeof blockListQuery>;

const FILTERS = [
  'state',
  'type',
  'value',
  'q',
  'id',
  'rule',
  'origin',
  'direction',
  'since',
  'until',
  'at',
] as const;

const listedShape = blockShape
  .extend({
    refused: z.int().nullable().meta({
      description:
        'How many attempts it has refused. Null for the role domain, except of an account: they may be of others.',
    }),
    lastRefusedAt: instantShape.nullable().meta({ description: 'Null too where refused is.' }),
  })
  .meta({ id: 'ListedBlock' });
type ListedJson = z.infer<typeof listedShape>;

/** Blocks and proposals, filtered, searched and ordered. */
export function blockListRoute(deps: ApiDependencies, reads: LongReads): Route {
  return route<BlockListQuery>({
    method: 'get',
    path: BLOCKS,
    summary: 'List, filter and search blocks and proposals, newest first, now or at a past instant',
    role: 'viewer',
    scope: 'own',
    query: blockListQuery,
    responses: {
      200: {
        description: 'One page',
        schema: listOf(listedShape).extend({
          total: z.int().optional().meta({ description: 'All that match, where total=true asks for it.' }),
        }),
        text: EXPORT_TYPES,
      },
    },
    async handle(request) {
      const { query, caller } = request;
      // Undefined where everything is: then a total of all need not look at each.
      const concerns = caller.role === 'domain' ? request.concerns : undefined;
      const now = deps.clock.now();
      if (query.at !== undefined && query.at > now)
        throw new InvalidInput('at', `must not lie in the future (it is ${formatInstant(now)})`);
      if (query.at !== undefined && (query.sort === 'until' || query.sort === 'refused'))
        throw new InvalidInput('sort', 'by until or refused is by what is known now: it goes without at');
      return pageOrExport(request, reads, {
        format: query.format,
        columns: COLUMNS,
        all: (look) => allBlocks(deps, query, now, concerns, look),
        page: (look) => listBlocks(deps, query, now, concerns, look),
      });
    },
  });
}

const COLUMNS: Columns<ListedJson> = {
  id: ({ id }) => id,
  state: ({ state }) => state,
  type: ({ subject }) => subject.type,
  value: ({ subject }) => subject.value,
  direction: ({ direction }) => direction,
  origin: ({ origin }) => origin,
  rule: ({ rule }) => rule,
  refusal: ({ refusal }) => refusal,
  description: ({ description }) => description,
  evidence: ({ evidence }) => evidence?.sentence ?? null,
  proposedAt: ({ proposedAt }) => proposedAt,
  since: ({ since }) => since,
  until: ({ until }) => until,
  indefinite: ({ indefinite }) => indefinite,
  endedAt: ({ endedAt }) => endedAt,
  falsePositive: ({ falsePositive }) => falsePositive,
  refused: ({ refused }) => refused,
  lastRefusedAt: ({ lastRefusedAt }) => lastRefusedAt,
};

/** Blocks of an export that are in memory at once. */
const CHUNK = 100;

/** All that match. @throws InvalidInput for an order in which rows are not kept; StoreUnavailable */
async function* allBlocks(
  sources: Sources,
  query: BlockListQuery,
  now: Instant,
  concerns: Concerns | undefined,
  look: () => void,
): AsyncGenerator<readonly ListedJson[], void> {
  const { sort } = query;
  if (sort !== 'newest' && sort !== 'oldest')
    throw new InvalidInput('sort', 'must be newest or oldest for an export');
  for (const some of matchesOf(sources.models.ledger.rows, query, filterOf(query, now, concerns), sort)) {
    for (let first = 0; first < some.length; first += CHUNK) {
      const entries = await entriesOf(sources, some.slice(first, first + CHUNK));
      yield entries.map((entry) => listedView(sources, entry, now, query.at, concerns));
    }
    await setImmediate();
    look();
  }
}

interface Page {
  readonly items: readonly ListedJson[];
  readonly next: string | null;
  readonly total?: number;
}

/**
 * A block as a list shows it.
 *
 * @param at a past instant at which it is shown; undefined for now
 * @param whose whether the caller may see a block on a subject; undefined: all
 */
function listedView(
  { models: { ledger } }: Sources,
  entry: BlockEntry,
  now: Instant,
  at: Instant | undefined,
  whose: Concerns | undefined,
): ListedJson {
  const concerns = whose ?? ((): boolean => true);
  const row = ledger.rows.find(entry.id);
  const { refused, refusedAt } = row === undefined ? NEVER : ledger.rows.refusalsOf(row);
  const view = amongOthers(
    at === undefined ? blockView(entry, now, concerns) : blockViewAt(entry, at, concerns),
  );
  if (!seesMailOf(entry.subject, concerns)) return { ...view, refused: null, lastRefusedAt: null };
  return { ...view, refused, lastRefusedAt: refusedAt === 0 ? null : formatInstant(refusedAt) };
}

const NEVER = { refused: 0, refusedAt: 0 } as const;

type Sources = Pick<ApiDependencies, 'models' | 'store'>;

/**
 * One page of blocks. A block that begins while a client reads pages moves none of them.
 *
 * @param concerns whether the caller may see a block on this subject; undefined: all
 */
export async function listBlocks(
  sources: Sources,
  query: BlockListQuery,
  now: Instant,
  concerns: Concerns | undefined,
  look: () => void,
): Promise<Page> {
  const { rows } = sources.models.ledger;
  const filter = filterOf(query, now, concerns);
  const found = await pageOf(rows, query, filter, look);
  const page = found.slice(0, query.limit);
  const last = page.at(-1);
  const next = found.length > page.length ? cursorTo(rows, query.sort, last!, filter) : null;
  const entries = await entriesOf(sources, page);
  const items = entries.map((entry) => listedView(sources, entry, now, query.at, concerns));
  const total = query.total === undefined ? {} : { total: await totalOf(rows, query, filter, look) };
  return { items, next, ...total };
}

/** The first rows that match: at least one more than a page has, if there are so many. */
async function pageOf(
  rows: BlockRows,
  query: BlockListQuery,
  filter: BlockFilter,
  look: () => void,
): Promise<readonly number[]> {
  const { sort, limit, cursor } = query;
  if (sort !== 'newest' && sort !== 'oldest') {
    const beyond = cursor === undefined ? undefined : keyedOf(rows, sort, cursor, filter);
    const own = query.value === undefined ? undefined : rowsOf(rows, query, query.value);
    const first = firstRows(rows, filter, sort, limit + 1, { beyond, own });
    return (await inTurns(first, look))!.map(({ row }) => row);
  }
  const beyond = cursor === undefined ? undefined : numberOfCursor(cursor);
  const found: number[] = [];
  await inTurns(matchesOf(rows, query, filter, sort, beyond), look, (some) => {
    found.push(...some);
    return found.length <= limit;
  });
  return found;
}

async function totalOf(
  rows: BlockRows,
  query: BlockListQuery,
  filter: BlockFilter,
  look: () => void,
): Promise<number> {
  if (filter.concerns === undefined && FILTERS.every((name) => query[name] === undefined)) return rows.size;
  let total = 0;
  await inTurns(matchesOf(rows, query, filter, 'newest'), look, (some) => {
    total += some.length;
    return true;
  });
  return total;
}

/** All rows that match, a few at a time. @param beyond position of the first event of the block to start after */
function matchesOf(
  rows: BlockRows,
  query: BlockListQuery,
  filter: BlockFilter,
  order: 'newest' | 'oldest',
  beyond?: number,
): Generator<readonly number[], void> {
  const { value } = query;
  return value === undefined
    ? rows.search(filter, order, beyond)
    : named(rows, filter, rowsOf(rows, query, value), order, beyond);
}

/** The rows of the subjects that a text can mean. */
function rowsOf(rows: BlockRows, { type }: BlockListQuery, value: string): readonly number[] {
  return subjectsOf(value, type ?? new Set(SUBJECT_TYPES)).flatMap((subject) => [...rows.on(subject)]);
}

/** Those of some rows that match. */
function* named(
  rows: BlockRows,
  filter: BlockFilter,
  own: readonly number[],
  order: 'newest' | 'oldest',
  beyond: number | undefined,
): Generator<readonly number[], void> {
  const all = rows.filter(own, filter);
  const step = order === 'newest' ? -1 : 1;
  yield all
    .filter((row) => beyond === undefined || Math.sign(rows.at(row).begin - beyond) === step)
    .sort((a, b) => step * (a - b));
}

/**
 * Goes through a generator, and lets others have their turn.
 *
 * @param look throws when nobody waits any more
 * @param take told each item; the way ends where it gives false
 * @returns what the generator returns; undefined if the way ended before
 */
async function inTurns<Item, Result>(
  steps: Generator<Item, Result>,
  look: () => void,
  take: (item: Item) => boolean = () => true,
): Promise<Result | undefined> {
  let begun = performance.now();
  try {
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      if (!take(step.value)) return undefined;
      if (performance.now() - begun < SLICE) continue;
      await setImmediate();
      look();
      begun = performance.now();
    }
  } finally {
    steps.return(undefined as Result);
  }
}

/** Whether a cursor is to name no key: of the order by refusals it could tell, or ask, how much mail of others was refused. */
function isKeyless(sort: BlockSort, { concerns }: BlockFilter): boolean {
  return sort === 'subject' || (sort === 'refused' && concerns !== undefined);
}

/** Where the next page begins: what the last row is ordered by, and its first event. */
function cursorTo(rows: BlockRows, sort: BlockListQuery['sort'], row: number, filter: BlockFilter): string {
  const { begin } = rows.at(row);
  if (sort === 'newest' || sort === 'oldest') return cursorOf(String(begin));
  const key = isKeyless(sort, filter) ? '' : String(rows.keyOf(row, sort, filter));
  return cursorOf(`${sort}~${key}~${begin}`);
}

/** A cursor may be made up: it must not tell where the block of somebody else is in the order. */
function keyedOf(rows: BlockRows, sort: BlockSort, cursor: string, filter: BlockFilter): Keyed {
  const [name, key = '', begin = ''] = keyOfCursor(cursor).split('~');
  const row = name === sort ? rows.rowAt(Number(begin)) : undefined;
  if (row === undefined || filter.concerns?.(rows.at(row).subject) === false)
    throw new InvalidInput('cursor', 'is of another list');
  return { row, key: isKeyless(sort, filter) ? rows.keyOf(row, sort, filter) : Number(key) };
}

const IN_FORCE_OR_PROPOSED: ReadonlySet<BlockState> = new Set(['active', 'proposed']);

function filterOf(query: BlockListQuery, now: Instant, concerns: Concerns | undefined): BlockFilter {
  const { type: types, direction, origin, rule, since, until, id, q, at } = query;
  const states = query.state ?? (at === undefined ? undefined : IN_FORCE_OR_PROPOSED);
  const text = q?.normalize('NFC').toLowerCase();
  const kept = keptAs(text);
  const seesRefused = concerns && ((subject: Subject): boolean => seesMailOf(subject, concerns));
  return {
    now,
    at,
    states,
    types,
    direction,
    origin,
    rule,
    since,
    until,
    id,
    text,
    kept,
    concerns,
    seesRefused,
  };
}

/** Subjects have their domains as A-labels; people look for `müller.example`. */
function keptAs(text: string | undefined): string | undefined {
  if (text === undefined || /^[\0-\x7f]*$/.test(text)) return undefined;
  return text.includes('@') ? normalizeAccount(text) : normalizeDomain(text);
}

/** What a text can mean under each type. @throws InvalidInput if it fits none */
export function subjectsOf(value: string, types: Iterable<string>): readonly Subject[] {
  const subjects: Subject[] = [];
  let fault: InvalidInput | undefined;
  for (const type of types) {
    try {
      subjects.push(askedSubject(type, value));
    } catch (thrown) {
      if (!(thrown instanceof InvalidInput)) throw thrown;
      fault = new InvalidInput('value', thrown.message);
    }
  }
  if (subjects.length === 0 && fault !== undefined) throw fault;
  return subjects;
}
