import { z } from 'zod';
import type { BacktestJob } from '../backtest/jobs.js';
import type { BacktestReport } from '../backtest/report.js';
import type { RequestedRules } from '../backtest/run.js';
import { DEFAULTS, IN_FORCE, rulesThatShip } from '../backtest/run.js';
import { StopgapError } from '../kernel/errors.js';
import { idOf, newId } from '../runtime/ids.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { readDraft } from './rules.js';
import { instantInput, instantShape, instantView, isObject, listOf, subjectShape } from './shapes.js';

/* What the API gives of back-tests. docs/run/backtest.md explains the report, which the command line gives too. */

const count = z.int();
const share = z.number().meta({ description: 'From 0 to 1.' });

const mail = z
  .object({ messages: count, recipients: count })
  .meta({ id: 'Mail', description: 'Messages, and how many recipients they had.' });

const judgement = z.enum(['right', 'wrong']).nullable();

const caseShape = z
  .object({
    subject: subjectShape,
    action: z.enum(['block', 'propose']),
    rule: z.string(),
    proposedAt: instantShape.nullable(),
    blockedAt: instantShape.nullable(),
    until: instantShape.nullable(),
    ended: z.enum(['expired', 'released', 'lapsed', 'dismissed']).nullable(),
    endedAt: instantShape.nullable(),
    evidence: z.object({
      count: z.string(),
      window: z.string(),
      limit: z.number(),
      observed: z.number(),
      sentence: z.string(),
    }),
    sentThatDay: mail.nullable(),
    refused: mail,
    judged: judgement,
    shared: z.boolean().nullable(),
  })
  .meta({ id: 'BacktestCase', description: 'One block or proposal.' });

const attackScore = {
  attacks: count,
  absent: count,
  contained: count,
  leakedMedian: z.number(),
  leakedP95: z.number(),
  leakedShare: share,
  leakedBefore: count.meta({
    description: 'Recipients that leaked before a block first stopped the attack.',
  }),
  leakedAfter: count,
  caughtBy: z
    .record(z.string(), count)
    .meta({ description: 'How many attacks each rule was the first to stop.' }),
};

const score = z.object({
  ...attackScore,
  byKind: z.record(z.string(), z.object(attackScore)),
  senderDays: count,
  blocks: count,
  wrongBlocks: count,
  wrongBlocksPer1000SenderDays: z.number(),
  proposals: count,
  proposalsPer1000SenderDays: z.number(),
  cleanMessages: count,
  cleanStoppedShare: share,
  ownersStoppedShare: share,
  bulkStoppedShare: share,
});

const candidate = z
  .object({
    rules: z.string(),
    mode: z.enum(['enforce', 'observe']),
    accepted: mail,
    refused: mail,
    attempts: z.object({ refused: count, letThrough: count }),
    blocks: count,
    proposals: count,
    right: count,
    wrong: count,
    byRule: z.array(
      z.object({
        rule: z.string(),
        blocks: count,
        proposals: count,
        observed: count,
        exempted: count,
        right: count,
        wrong: count,
        refused: mail,
      }),
    ),
    cases: z.array(caseShape),
    casesLeftOut: count,
    score: score.nullable(),
  })
  .meta({ id: 'BacktestCandidate', description: 'What one rule set would have done.' });

const sides = z.object({ shared: count, only: count });

export const reportShape = z
  .object({
    source: z.string(),
    begins: instantShape.nullable().meta({ description: 'When the first thing happened that is recorded.' }),
    ends: instantShape.nullable().meta({ description: 'When the last thing happened that is recorded.' }),
    from: instantShape.nullable(),
    to: instantShape.nullable(),
    sends: mail,
    senders: count,
    senderDays: count,
    imported: count,
    skipped: count,
    skippedFor: z.string().nullable(),
    labelled: z.object({ messages: count, missing: count }).nullable(),
    candidates: z.array(candidate),
    comparison: z
      .object({
        refused: z.object({ onlyFirst: mail, onlySecond: mail, both: mail }),
        blocks: z.object({ first: sides, second: sides }),
      })
      .nullable(),
  })
  .meta({ id: 'BacktestReport' }) satisfies z.ZodType<BacktestReport>;

export const backtestShape = z
  .object({
    id: z.string(),
    state: z.enum(['running', 'done', 'cancelled', 'failed']),
    by: z.string().meta({ examples: ['admin:alice'] }),
    from: instantShape.nullable(),
    to: instantShape.nullable(),
    startedAt: instantShape,
    endedAt: instantShape.nullable(),
    progress: z
      .object({
        share: share.meta({ description: 'How much of the history has been gone through, from 0 to 1.' }),
        at: instantShape.nullable().meta({
          description:
            'When the last event that was gone through was recorded, as from and to are meant: no time of the run.',
        }),
        messages: count,
        refused: count,
      })
      .nullable()
      .meta({ description: 'Null before the first.' }),
    error: z.string().nullable().meta({ description: 'Why it failed.' }),
    report: reportShape.nullable().meta({ description: 'Once it is done.' }),
  })
  .meta({ id: 'Backtest' });

export type BacktestJson = Omit<z.infer<typeof backtestShape>, 'report'> & {
  readonly report: BacktestReport | null;
};

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
const creation = z
  .strictObject({
    from: instantInput.optional(),
    to: instantInput.optional(),
    rules: rulesInput.optional(),
    against: rulesInput.optional(),
  })
  .refine(({ from, to }) => typeof from !== 'number' || typeof to !== 'number' || from < to, {
    path: ['from'],
    message: 'must lie before to',
    // Also where rules are at fault.
    when: ({ value }) => isObject(value),
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
      scope: 'none',
      responses: { 200: { description: 'All of them', schema: listOf(backtestShape) } },
      handle: () =>
        ok({ items: backtests.list().map((job) => ({ ...view(job), report: null })), next: null }),
    }),
    route<unknown, z.infer<typeof creation>>({
      method: 'post',
      path: BACKTESTS,
      summary: 'Try rules on what has been recorded; one back-test at a time',
      role: 'operator',
      scope: 'none',
      body: { schema: creation, limit: LARGEST, optional: true },
      responses: { 202: { description: 'It has begun', schema: backtestShape } },
      async handle({ body: { from, to, rules, against }, caller, seed }) {
        const id = seed === undefined ? newId() : idOf(seed);
        const request = {
          from,
          to,
          rules: rules === undefined ? IN_FORCE : await requested('rules', rules),
          against: against === undefined ? undefined : await requested('against', against),
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
      scope: 'none',
      responses: { 200: { description: 'The back-test', schema: backtestShape } },
      handle: ({ params: { id } }) => ok(view(found(backtests.get(id!), id!))),
    }),
    route({
      method: 'delete',
      path: `${BACKTESTS}/{id}`,
      summary: 'Cancel a back-test that runs, or forget one that has ended',
      role: 'operator',
      scope: 'none',
      responses: { 200: { description: 'The back-test as it then is, or last was', schema: backtestShape } },
      handle: async ({ params: { id } }) => ok(view(found(await backtests.remove(id!), id!))),
    }),
  ];
}

/** @throws InvalidRules */
async function requested(field: string, rules: z.infer<typeof rulesInput>): Promise<RequestedRules> {
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
    id,
    state,
    by,
    from: instantView(from ?? null),
    to: instantView(to ?? null),
    startedAt: instantView(startedAt)!,
    endedAt: instantView(endedAt ?? null),
    progress:
      progress === undefined
        ? null
        : {
            share: progress.total === undefined || progress.total === 0 ? 0 : progress.done / progress.total,
            at: instantView(progress.at ?? null),
            messages: progress.messages,
            refused: progress.refused,
          },
    error,
    report: report ?? null,
  };
}
