import { z } from 'zod';
import type { Change } from '../../projections/blocks/changes.js';
import { CHANGES_KEPT } from '../../projections/blocks/changes.js';
import { formatInstant } from '../kernel/time.js';
import type { ApiDependencies } from './dependencies.js';
import type { Columns } from './export.js';
import { EXPORT_TYPES, formatInput, pageOrExport } from './export.js';
import type { Route } from './http/route.js';
import { route } from './http/route.js';
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

/** What events of changes are called. */
export const CHANGE_TYPES = [
  ...['BlockImposed', 'BlockExtended', 'BlockShortened', 'BlockReleased', 'HeldMailDecided'],
  ...['ProposalApproved', 'ProposalDismissed', 'ExemptionGranted', 'ExemptionRevoked'],
  ...['OverrideSet', 'OverrideRemoved', 'RulesChanged'],
  ...['ShadowRulesChanged', 'ShadowRulesRemoved', 'ShadowRulesPromoted', 'PersonChanged'],
];

/** Through what a request came, as its id begins; any other request is of a program. */
export const VIA = ['page', 'cli', 'api', 'other'] as const;

const changesQuery = z.strictObject({
  by: once.max(100).optional().meta({ description: 'Who, with or without `admin:`.' }),
  type: anyOf(CHANGE_TYPES),
  value: once.max(320).optional().meta({ description: 'The subject, exactly, in normal form.' }),
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
};

/** Who has changed what. */
export function changesRoute(deps: ApiDependencies): Route {
  return route<ChangesQuery>({
    method: 'get',
    path: '/api/v1/changes',
    summary: `Who decided what, when, why and through what: the newest ${CHANGES_KEPT.toLocaleString('en')}, newest first`,
    role: 'viewer',
    scope: 'own',
    query: changesQuery,
    responses: { 200: { description: 'One page', schema: listOf(changeShape), text: EXPORT_TYPES } },
    handle: (request) => {
      const { query, caller, concerns } = request;
      // What is about no sender, such as the rules, is of nobody's domain.
      const isTheirs = ({ subject }: ChangeJson): boolean =>
        subject === null ? caller.role !== 'domain' : concerns(subject);
      const found = (): readonly ChangeJson[] =>
        deps.models.changes
          .newest()
          .map((change) => changeView(deps, change))
          .filter((change) => isTheirs(change) && matches(change, query));
      return pageOrExport(request, {
        format: query.format,
        columns: COLUMNS,
        async *all() {
          yield await Promise.resolve(found());
        },
        page: () => Promise.resolve(pageOf(found(), query)),
      });
    },
  });
}

function pageOf(found: readonly ChangeJson[], { cursor, limit }: ChangesQuery): object {
  const beyond = cursor === undefined ? Infinity : numberOfCursor(cursor);
  const rest = found.filter((change) => change.position < beyond);
  const items = rest.slice(0, limit);
  return { items, next: rest.length > limit ? cursorOf(String(items.at(-1)!.position)) : null };
}

function changeView({ models: { ledger } }: ApiDependencies, change: Change): ChangeJson {
  const { at, by, type, correlation, block, subject, why } = change;
  const id = block === undefined ? undefined : ledger.nameOf(block);
  const requestId = correlation?.startsWith('request:') === true ? correlation.slice(8) : null;
  return {
    ...{ position: change.position, at: formatInstant(at), by, type, via: viaOf(requestId), requestId },
    subject: subject === undefined ? null : subjectView(subject),
    block: id ?? null,
    why: why ?? null,
  };
}

function viaOf(requestId: string | null): ChangeJson['via'] {
  if (requestId === null) return 'other';
  return requestId.startsWith('cli-') ? 'cli' : requestId.startsWith('page-') ? 'page' : 'api';
}

function matches(change: ChangeJson, query: ChangesQuery): boolean {
  const { by, type, value, via, since = -Infinity, until = Infinity } = query;
  const at = Date.parse(change.at);
  return (
    (by === undefined || change.by === by || change.by === `admin:${by}`) &&
    type?.has(change.type) !== false &&
    via?.has(change.via) !== false &&
    (value === undefined || change.subject?.value === value) &&
    at >= since &&
    at < until
  );
}
