import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { Change } from '../../projections/blocks/changes.js';
import { CHANGES_KEPT } from '../../projections/blocks/changes.js';
import { HELD_WISHES } from '../blocks/events.js';
import { grouped, LONGEST_NAME } from '../kernel/printable.js';
import { formatInstant } from '../kernel/time.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import { subjectsOf } from './block-list.js';
import type { ApiDependencies } from './dependencies.js';
import type { Columns } from './export.js';
import { EXPORT_TYPES, formatInput, pageOrExport } from './export.js';
import type { Route } from './http/route.js';
import { route } from './http/route.js';
import type { LongReads } from './long-reads.js';
import {
  anyOf,
  cursorOf,
  instantInput,
  instantShape,
  listOf,
  numberOfCursor,
  once,
  position,
  subjectShape,
  subjectView,
  wholeNumber,
} from './shapes.js';
import { CHANGE_TYPES, VIA } from './words.js';

const changesQuery = z.strictObject({
  by: once.max(100).optional().meta({ description: 'Who, with or without `admin:`.' }),
  type: anyOf(CHANGE_TYPES),
  value: once
    .max(LONGEST_NAME)
    .optional()
    .meta({ description: 'The subject, exactly; compared in normal form.' }),
  via: anyOf(VIA),
  since: instantInput.optional(),
  until: instantInput.optional().meta({ description: 'Before this instant.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
  format: formatInput,
});
type ChangesQuery = z.infer<typeof changesQuery>;

const changeShape = z
  .object({
    position,
    at: instantShape,
    by: z.string().meta({ examples: ['admin:alice'] }),
    type: z.string().meta({ examples: ['BlockReleased'] }),
    via: z.enum(VIA).meta({
      description:
        'By the page, the command line or another client of the API, as its X-Request-Id says; other: by a file.',
    }),
    requestId: z.string().nullable(),
    subject: subjectShape.nullable(),
    block: z.string().nullable().meta({ description: 'Id of the block or proposal.' }),
    why: z.string().nullable(),
    held: z
      .enum(HELD_WISHES)
      .nullable()
      .meta({ description: 'What was decided on held mail; null where nothing was.' }),
  })
  .meta({ id: 'Change' });
export type ChangeJson = z.infer<typeof changeShape>;

const COLUMNS: Columns<ChangeJson> = {
  at: ({ at }) => at,
  by: ({ by }) => by,
  type: ({ type }) => type,
  via: ({ via }) => via,
  subjectType: ({ subject }) => subject?.type ?? null,
  subject: ({ subject }) => subject?.value ?? null,
  block: ({ block }) => block,
  why: ({ why }) => why,
  requestId: ({ requestId }) => requestId,
  position: (change) => change.position,
  held: ({ held }) => held,
};

/** Who has changed what. */
export function changesRoute(deps: ApiDependencies, reads: LongReads): Route {
  return route<ChangesQuery>({
    method: 'get',
    path: '/api/v1/changes',
    summary: `Who decided what, when, why and through what: the newest ${grouped(CHANGES_KEPT)}, newest first`,
    role: 'viewer',
    scope: 'own',
    query: changesQuery,
    responses: { 200: { description: 'One page', schema: listOf(changeShape), text: EXPORT_TYPES } },
    handle: (request) => {
      const { query, caller, concerns } = request;
      // What is about no sender, such as the rules, is of nobody's domain.
      const isTheirs = ({ subject }: Change): boolean =>
        subject === undefined ? caller.role !== 'domain' : concerns(subject);
      const all = (): AsyncGenerator<readonly ChangeJson[], void> => found(deps, query, isTheirs);
      return pageOrExport(request, reads, {
        format: query.format,
        columns: COLUMNS,
        all,
        page: () => pageOf(all(), query),
      });
    },
  });
}

/** Changes that are looked at before the event loop turns. */
const CHUNK = 250;

/** Those that match, newest first, some at a time. */
async function* found(
  deps: ApiDependencies,
  query: ChangesQuery,
  isTheirs: (change: Change) => boolean,
): AsyncGenerator<readonly ChangeJson[], void> {
  const newest = deps.models.changes.newest();
  const { value } = query;
  const values =
    value === undefined
      ? undefined
      : new Set(subjectsOf(value, SUBJECT_TYPES).map((subject) => subject.value));
  for (let first = 0; first < newest.length; first += CHUNK) {
    yield newest
      .slice(first, first + CHUNK)
      .filter((change) => matches(change, query, values) && isTheirs(change))
      .map((change) => changeView(deps, change));
    await setImmediate();
  }
}

async function pageOf(
  matching: AsyncIterable<readonly ChangeJson[]>,
  { cursor, limit }: ChangesQuery,
): Promise<object> {
  const beyond = cursor === undefined ? Infinity : numberOfCursor(cursor);
  const rest: ChangeJson[] = [];
  for await (const some of matching) {
    rest.push(...some.filter((change) => change.position < beyond));
    if (rest.length > limit) break;
  }
  const items = rest.slice(0, limit);
  return { items, next: rest.length > limit ? cursorOf(String(items.at(-1)!.position)) : null };
}

function changeView({ models: { ledger } }: ApiDependencies, change: Change): ChangeJson {
  const { at, by, type, correlation, block, subject, why, held } = change;
  const id = block === undefined ? undefined : ledger.nameOf(block);
  const requestId = requestIdOf(correlation);
  return {
    position: change.position,
    at: formatInstant(at),
    by,
    type,
    via: viaOf(requestId),
    requestId,
    subject: subject === undefined ? null : subjectView(subject),
    block: id ?? null,
    why: why ?? null,
    held: held ?? null,
  };
}

function requestIdOf(correlation: string | undefined): string | null {
  return correlation?.startsWith('request:') === true ? correlation.slice(8) : null;
}

function viaOf(requestId: string | null): ChangeJson['via'] {
  if (requestId === null) return 'other';
  return requestId.startsWith('cli-') ? 'cli' : requestId.startsWith('page-') ? 'page' : 'api';
}

function matches(
  { at, subject, correlation, ...change }: Change,
  query: ChangesQuery,
  values: ReadonlySet<string> | undefined,
): boolean {
  const { by, type, via, since = -Infinity, until = Infinity } = query;
  return (
    (by === undefined || change.by === by || change.by === `admin:${by}`) &&
    type?.has(change.type) !== false &&
    via?.has(viaOf(requestIdOf(correlation))) !== false &&
    (values === undefined || (subject !== undefined && values.has(subject.value))) &&
    at >= since &&
    at < until
  );
}
