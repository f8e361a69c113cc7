import { z } from 'zod';
import type { BacktestJob } from '../backtest/jobs.js';
import type { RequestedRules } from '../backtest/run.js';
import { DEFAULTS, IN_FORCE, rulesThatShip } from '../backtest/run.js';
import { idOf, newId } from '../runtime/ids.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { BacktestJson } from './backtest-shapes.js';
import { backtestShape } from './backtest-shapes.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { instantInput } from './inputs.js';
import { readDraft } from './rules-input.js';
import { listOf } from './shapes.js';
import { instant } from './views.js';

const BACKTESTS = '/api/v1/backtests';
/** Bytes: two rule sets. */
const LARGEST = 2 * 1024 * 1024;

/** Rules by name, as YAML text, or as a JSON object that is the rule set itself. */
const rulesInput = z
  .union(
    [z.string(), z.looseObject({ version: z.unknown() })],
    `must be YAML text, a rule set as an object with version and rules, ${IN_FORCE} or ${DEFAULTS}`,
  )
  .meta({ description: `A rule set, as YAML text or as an object; or ${IN_FORCE}, or ${DEFAULTS}.` });
const creation = z.strictObject({
  from: instantInput.optional(),
  to: instantInput.optional(),
  rules: rulesInput.optional(),
  against: rulesInput.optional(),
});

/** Rule sets tried on what has been recorded, in a thread beside the server's own. */
export function backtestRoutes({ backtests, publicUrl = '' }: ApiDependencies): readonly Route[] {
  const found = (job: BacktestJob | undefined, id: string): BacktestJob => {
    if (job !== undefined) return job;
    const message = `there is no back-test ${id.slice(0, 100)}: the newest ten are remembered, until a restart`;
    throw new StopgapError('not-found', message);
  };
  return [
    route({
      method: 'get',
      path: BACKTESTS,
      summary: 'List the back-tests that are remembered, newest first, without their reports',
      role: 'viewer',
      responses: { 200: { description: 'All of them', schema: listOf(backtestShape) } },
      handle: () =>
        ok({ items: backtests.list().map((job) => ({ ...view(job), report: null })), next: null }),
    }),
    route<unknown, z.infer<typeof creation>>({
      method: 'post',
      path: BACKTESTS,
      summary: 'Try rules on what has been recorded; one back-test at a time',
      role: 'operator',
      body: { schema: creation, limit: LARGEST, optional: true },
      responses: { 202: { description: 'It has begun', schema: backtestShape } },
      async handle({ body: { from, to, rules, against }, caller, seed }) {
        if (from !== undefined && to !== undefined && from >= to) {
          throw new InvalidInput('from', 'must lie before to');
        }
        const id = seed === undefined ? newId() : idOf(seed);
        const request = {
          from,
          to,
          rules: rules === undefined ? IN_FORCE : await asked('rules', rules),
          against: against === undefined ? undefined : await asked('against', against),
        };
        const job = backtests.get(id) ?? backtests.start(id, request, `admin:${caller.name}`);
        return { status: 202, body: view(job), headers: { Location: `${publicUrl}${BACKTESTS}/${id}` } };
      },
    }),
    route({
      method: 'get',
      path: `${BACKTESTS}/{id}`,
      summary: 'Read one back-test: how far it has come, and its report once it is done',
      role: 'viewer',
      responses: { 200: { description: 'The back-test', schema: backtestShape } },
      handle: ({ params: { id } }) => ok(view(found(backtests.get(id!), id!))),
    }),
    route({
      method: 'delete',
      path: `${BACKTESTS}/{id}`,
      summary: 'Cancel a back-test that runs, or forget one that has ended',
      role: 'operator',
      responses: { 200: { description: 'The back-test as it then is, or last was', schema: backtestShape } },
      handle: async ({ params: { id } }) => ok(view(found(await backtests.remove(id!), id!))),
    }),
  ];
}

/** @throws InvalidRules */
async function asked(field: string, rules: z.infer<typeof rulesInput>): Promise<RequestedRules> {
  if (rules === IN_FORCE) return IN_FORCE;
  if (rules === DEFAULTS) return rulesThatShip();
  const isJson = typeof rules !== 'string';
  const text = isJson ? JSON.stringify(rules) : rules;
  const read = await readDraft({ text, isJson }, field);
  return { name: field, rules: read.rules };
}

function view({ progress, report, ...job }: BacktestJob): BacktestJson {
  const { id, state, by, from, to, startedAt, endedAt, error = null } = job;
  return {
    ...{ id, state, by, from: instant(from ?? null), to: instant(to ?? null) },
    ...{ startedAt: instant(startedAt)!, endedAt: instant(endedAt ?? null) },
    progress:
      progress === undefined
        ? null
        : {
            share: progress.total === undefined || progress.total === 0 ? 0 : progress.done / progress.total,
            at: instant(progress.at ?? null),
            messages: progress.messages,
            refused: progress.refused,
          },
    error,
    report: report ?? null,
  };
}
