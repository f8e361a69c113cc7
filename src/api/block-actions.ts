import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { BlockCommand } from '../blocks/commands.js';
import { HELD_WISHES } from '../blocks/events.js';
import { StopgapError } from '../kernel/errors.js';
import type { BlockJson } from './block-view.js';
import { amongOthers, blockShape } from './block-view.js';
import { decidedAlready } from './words.js';
import { actOn, BLOCKS, findEntry } from './blocks.js';
import type { ApiDependencies } from './dependencies.js';
import { problemOf } from './http/problem.js';
import { heldOf } from './held.js';
import type { ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { noteInput, once, oneOf, oneSpan, optionalSpanOf, spanInputs } from './shapes.js';

const noted = z.strictObject({ note: noteInput.optional() });
const approval = noted.extend(spanInputs);
const decision = noted.extend({
  falsePositive: z.boolean('must be true or false').default(false).meta({
    description:
      'The rule was wrong: what was sent is learnt as usual, and the block does not count when later ones grow.',
  }),
});

const letting = decision.extend({
  held: oneOf(HELD_WISHES).optional().meta({
    description:
      'What becomes of the mail that is held for the block; keep withdraws what was decided. Unless given, release for a false positive, else what was decided before.',
  }),
});
const settling = noted.extend({ action: oneOf(HELD_WISHES) });

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

/**
 * What is held for a block of a domain or an address may be mail of accounts elsewhere, which the administrator of a domain
 * does not see: it is not theirs to send or to delete.
 *
 * @throws StopgapError `forbidden`; StoreUnavailable
 */
async function refuseForeignMail(
  { store }: ApiDependencies,
  { caller, concerns }: ApiRequest<unknown, unknown>,
  entry: BlockEntry,
  command: BlockCommand,
): Promise<void> {
  const acts = command.kind === 'held' || (command.kind === 'release' && command.held !== undefined);
  if (!acts || !(await heldOf(store, entry, concerns)).hasOthers) return;
  const message = 'some of the mail that is held is of accounts of other domains: ask an operator';
  throw new StopgapError('forbidden', message, { needed: 'operator', role: caller.role });
}

/** What an operator does to a proposal or a block. */
export function blockActionRoutes(deps: ApiDependencies): readonly Route[] {
  const action = <Body>(
    kind: BlockCommand['kind'],
    summary: string,
    schema: z.ZodType<Body>,
    make: (block: string, body: Body) => BlockCommand,
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
        const command = make(entry.id, request.body);
        await refuseForeignMail(deps, request, entry, command);
        return actOn(request, entry, command, deps);
      },
    });

  return [
    action(
      'approve',
      'Put a proposed block in force, for as long as was proposed or as is said',
      approval.check(oneSpan(0)),
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
      'Say what becomes of the mail that is held for a block by now: the hook is called for it. keep withdraws what was decided and is not done',
      settling,
      (block, body) => ({ kind: 'held', block, ...body }),
    ),
  ];
}

/** Blocks that one request acts on. */
const MOST_AT_ONCE = 500;
/** Rows that are worked on side by side. */
const SIDE_BY_SIDE = 10;

const ids = z
  .array(once.max(64), 'must be a list of ids')
  .min(1, 'holds no id')
  .max(MOST_AT_ONCE, `at most ${MOST_AT_ONCE} ids at once`)
  .refine((given) => new Set(given).size === given.length, 'has an id twice');
const bulk = z.discriminatedUnion(
  'action',
  [
    approval.extend({ action: z.literal('approve'), ids }).check(oneSpan(0)),
    decision.extend({ action: z.literal('dismiss'), ids }),
    letting.extend({ action: z.literal('release'), ids }),
  ],
  'must be approve, dismiss or release',
);
type Bulk = z.infer<typeof bulk>;

const rowShape = z.object({
  id: z.string().meta({ description: 'As it was sent.' }),
  status: z.int().meta({
    description:
      'What the request for this one alone would have been answered with; 200 too for what was decided before.',
  }),
  already: z
    .string()
    .nullable()
    .meta({
      description: 'How it was decided before, and by whom: nothing was done. Else null.',
      examples: ['released already, by alice'],
    }),
  block: blockShape.nullable().meta({ description: 'The block as it is now; null where it is a problem.' }),
  problem: z
    .object({ code: z.string().nullable(), detail: z.string() })
    .nullable()
    .meta({ description: 'Why nothing was done.' }),
});
type RowJson = z.infer<typeof rowShape>;

/** Does one thing to many blocks or proposals. Each is decided on alone, so that one at fault holds no other up. */
export function bulkActionsRoute(deps: ApiDependencies): Route {
  return route<unknown, Bulk>({
    method: 'post',
    path: `${BLOCKS}/actions`,
    summary: 'Approve, dismiss or release many; the result has a row for each, in the order of the ids',
    role: 'operator',
    scope: 'own',
    body: { schema: bulk },
    responses: {
      200: { description: 'What became of each', schema: z.object({ items: z.array(rowShape) }) },
    },
    async handle(request) {
      const { ids: wanted, ...body } = request.body;
      const items: RowJson[] = [];
      for (let first = 0; first < wanted.length; first += SIDE_BY_SIDE) {
        const some = wanted.slice(first, first + SIDE_BY_SIDE);
        items.push(...(await Promise.all(some.map((id) => rowOf(deps, request, id, body)))));
        // What is refused waits for nothing: five hundred ids would hold the event loop.
        await setImmediate();
      }
      return { ...ok({ items }), isUnfinished: items.some(({ status }) => status >= 500) };
    },
  });
}

function commandOf(block: string, body: Omit<Bulk, 'ids'>): BlockCommand {
  const { action, ...rest } = body as Bulk;
  if (action === 'approve') {
    const { note, duration, until, indefinite } = rest as z.infer<typeof approval>;
    const span = optionalSpanOf({ duration, until, indefinite });
    return { kind: 'approve', block, span, ...(note === undefined ? {} : { note }) };
  }
  if (action === 'dismiss') return { kind: 'dismiss', block, ...(rest as z.infer<typeof decision>) };
  return { kind: 'release', block, ...(rest as z.infer<typeof letting>) };
}

async function rowOf(
  deps: ApiDependencies,
  request: ApiRequest<unknown, Bulk>,
  id: string,
  body: Omit<Bulk, 'ids'>,
): Promise<RowJson> {
  const seed = request.seed === undefined ? undefined : `${request.seed}/${id}`;
  try {
    const entry = await findEntry(deps, id, request.concerns);
    refuseTeaching(request);
    const command = commandOf(entry.id, body);
    await refuseForeignMail(deps, request, entry, command);
    const answer = await actOn({ ...request, seed }, entry, command, deps);
    return {
      id,
      status: answer.status,
      already: null,
      block: amongOthers(answer.body as BlockJson),
      problem: null,
    };
  } catch (thrown) {
    const problem = problemOf(thrown);
    if (problem === undefined) throw thrown;
    const { status, message: detail, code = null, members } = problem;
    const block = code === 'conflict' ? (members['current'] as BlockJson) : undefined;
    const already = block === undefined ? undefined : decidedAlready(block);
    if (block !== undefined && already !== undefined)
      return { id, status: 200, already, block, problem: null };
    return { id, status, already: null, block: null, problem: { code, detail } };
  }
}
