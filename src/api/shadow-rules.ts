import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type {
  ComparedCase,
  ComparedVerdict,
  Tally,
  VerdictComparison,
} from '../../projections/blocks/shadow.js';
import { COMPARISONS, NOTHING, comparisonOf } from '../../projections/blocks/shadow.js';
import type { RulesHandled } from '../commands/rules-commands.js';
import { shadowVersion } from '../commands/rules-commands.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { formatInstant } from '../kernel/time.js';
import type { RulesCommand } from '../rules/decide.js';
import { amount } from '../rules/explain.js';
import { entriesOf } from '../detector/ledger-entries.js';
import { evidenceShape, evidenceView } from './block-view.js';
import { carryOut, contextOf, etagOf, replayed } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import {
  goingOn,
  ruleSetShape,
  ruleSetView,
  rulesShape,
  rulesView,
  rulesWarnings,
  rulesWarningsOf,
} from './rule-set.js';
import type { RulesInput } from './rules.js';
import { readRules, rulesBody } from './rules.js';
import { windowShape, windowView } from './senders.js';
import {
  anyOf,
  cursorOf,
  instantShape,
  keyOfCursor,
  listOf,
  once,
  subjectShape,
  subjectView,
  wholeNumber,
} from './shapes.js';
import { DIFFERENCES } from './words.js';

/** Settled cases by outcome. */
const comparedShape = z.object({
  both: z.int().meta({ description: 'Both rule sets asked for the same.' }),
  shadowOnly: z.int().meta({ description: 'Only the shadow rules would have acted.' }),
  liveOnly: z.int().meta({ description: 'Only the rules in force acted.' }),
  stronger: z.int().meta({ description: 'Proposed by the rules in force, blocked by the shadow rules.' }),
  weaker: z.int().meta({ description: 'Blocked by the rules in force, proposed by the shadow rules.' }),
});

const open = z.int().meta({
  description: 'Cases that are not settled, and not counted yet: what was asked for would still hold.',
});

export const shadowShape = z
  .object({
    version: z.int().meta({ description: 'Counts the rule sets that ran in the shadow.' }),
    since: instantShape,
    by: z.string().meta({ examples: ['admin:alice'] }),
    source: z.string().meta({ description: 'The YAML that it was read from.' }),
    ...ruleSetShape.shape,
    warnings: rulesWarnings,
    inForce: z
      .int()
      .meta({ description: 'Version of the rules in force, with which they are compared now.' }),
    open,
    compared: comparedShape,
    byRule: z.array(z.object({ rule: z.string(), ...comparedShape.shape, open })).meta({
      description: 'The same by rule: that of the shadow set, or the one in force where only it tripped.',
    }),
  })
  .meta({ id: 'ShadowRules' });

const verdictShape = z.object({
  action: z.enum(['propose', 'block']),
  at: instantShape,
  evidence: evidenceShape,
});

export const differenceShape = z
  .object({
    number: z.int().meta({ description: 'Counts the cases since the shadow rules were loaded.' }),
    kind: z.enum(DIFFERENCES),
    settled: z.boolean().meta({ description: 'False while the other rule set may still come to the same.' }),
    subject: subjectShape,
    sentence: z.string(),
    live: verdictShape.nullable().meta({ description: 'What the rules in force asked for.' }),
    shadow: verdictShape.nullable().meta({ description: 'What the shadow rules asked for.' }),
    nearest: windowShape.nullable().meta({
      description:
        'Where only one set tripped: the fullest window of the other, just then; null where that exempts the subject.',
    }),
    block: z.string().nullable().meta({ description: 'Id of the block or proposal that came of it.' }),
    falsePositive: z
      .boolean()
      .meta({ description: 'That block was released, or that proposal dismissed, as one.' }),
  })
  .meta({ id: 'ShadowDifference' });

type ShadowJson = z.infer<typeof shadowShape>;
type DifferenceJson = z.infer<typeof differenceShape>;

const SHADOW = '/api/v1/rules/shadow';

const differencesQuery = z.strictObject({
  kind: anyOf(DIFFERENCES),
  rule: once.max(64).optional().meta({ description: 'Id of the rule that tripped, of either set.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});
type DifferencesQuery = z.infer<typeof differencesQuery>;

/** Rules in the shadow: load, compare, promote, remove. */
export function shadowRoutes(deps: ApiDependencies): readonly Route[] {
  const { log, rulesCommands } = deps;

  const answer = (status: number, repeated: boolean): Answer => {
    const body = shadowView(deps);
    if (body === undefined) throw nothing();
    const headers = {
      ETag: etagOf(shadowVersion(body.version, body.inForce)),
      'Cache-Control': 'private, no-cache',
    };
    return { status, body, headers: { ...headers, ...replayed(repeated) } };
  };

  const change = (request: ApiRequest<unknown, unknown>, command: RulesCommand): Promise<RulesHandled> => {
    const context = contextOf(request, 'the shadow rule set, or the one that it is compared with,');
    const { by, correlation } = context;
    return carryOut(deps, {
      execute: () => rulesCommands.execute(command, context),
      log: ({ facts }) =>
        log.info(
          { correlation, by, change: command.kind, version: facts[0]!.data.version },
          'an administrator changed the shadow rules',
        ),
    });
  };

  return [
    route({
      method: 'get',
      path: SHADOW,
      summary: 'The rules in the shadow, and how they compare with those in force',
      role: 'viewer',
      scope: 'none',
      responses: { 200: { description: 'The shadow rules', schema: shadowShape } },
      handle: () => answer(200, false),
    }),
    route<unknown, RulesInput>({
      method: 'put',
      path: SHADOW,
      summary: 'Run a rule set beside the one in force, without acting; the one before it is gone',
      role: 'admin',
      scope: 'none',
      body: rulesBody,
      responses: {
        200: { description: 'What runs in the shadow now, instead of another', schema: shadowShape },
        201: { description: 'What runs in the shadow now', schema: shadowShape },
      },
      async handle(request) {
        const { rules, source } = await readRules(request.body);
        const { before, repeated } = await change(request, { kind: 'load', rules, source });
        return answer(before.shadow === undefined ? 201 : 200, repeated);
      },
    }),
    route({
      method: 'delete',
      path: SHADOW,
      summary: 'Stop running rules in the shadow',
      role: 'admin',
      scope: 'none',
      responses: { 204: { description: 'Nothing runs in the shadow' } },
      async handle(request) {
        const { repeated } = await change(request, { kind: 'remove' });
        return { status: 204, headers: replayed(repeated) };
      },
    }),
    route<DifferencesQuery>({
      method: 'get',
      path: `${SHADOW}/differences`,
      summary: 'What the shadow rules would have done otherwise, newest first',
      role: 'viewer',
      scope: 'none',
      query: differencesQuery,
      responses: {
        200: { description: 'The newest thousand, and those not settled', schema: listOf(differenceShape) },
      },
      handle: async ({ query }) => ok(await differences(deps, query)),
    }),
    route({
      method: 'post',
      path: `${SHADOW}/promote`,
      summary: 'Put the shadow rules in force, with the windows that they have counted',
      role: 'admin',
      scope: 'none',
      responses: { 200: { description: 'The rules that are in force now', schema: rulesShape } },
      async handle(request) {
        const { facts, repeated } = await change(request, { kind: 'promote' });
        const rules = facts.find((fact) => fact.type === 'RulesChanged')!.data;
        const view = rulesView(rules, deps);
        const warnings = [...view.warnings, ...(await goingOn(rules, deps))];
        return ok({ ...view, warnings }, { ETag: etagOf(rules.version), ...replayed(repeated) });
      },
    }),
  ];
}

async function differences(deps: ApiDependencies, query: DifferencesQuery) {
  const { shadow } = deps.models;
  if (shadow.set === undefined || shadow.comparison === undefined) throw nothing();
  const { version } = shadow.set;
  const { comparison } = shadow;
  const before = query.cursor === undefined ? Infinity : numberAt(query.cursor, version);
  const wanted = ({ live, shadow: other }: ComparedCase): boolean =>
    query.rule === undefined || [live, other].some((verdict) => verdict?.evidence.rule === query.rule);
  const found = comparison.differences().filter((each) => {
    const kind = comparisonOf(each);
    const isOfKind = query.kind === undefined || (kind !== 'both' && query.kind.has(kind));
    return each.number < before && isOfKind && wanted(each);
  });
  const page = found.slice(0, query.limit);
  const next = found.length > page.length ? cursorOf(`${version}.${page.at(-1)!.number}`) : null;
  return { items: await Promise.all(page.map((each) => differenceView(deps, each, comparison))), next };
}

/** The number that a page ended with. @throws InvalidInput if the list was of other shadow rules */
function numberAt(cursor: string, version: number): number {
  const parts = /^(\d{1,15})\.(\d{1,15})$/.exec(keyOfCursor(cursor));
  if (parts === null) throw new InvalidInput('cursor', 'is of another list');
  if (Number(parts[1]) !== version)
    throw new InvalidInput('cursor', 'is of shadow rules that are gone: begin anew');
  return Number(parts[2]);
}

function nothing(): StopgapError {
  return new StopgapError('not-found', 'no rules run in the shadow: PUT /api/v1/rules/shadow loads some');
}

/** The shadow rules and their comparison; undefined if no rules run in the shadow. */
function shadowView({
  models: { shadow, sendVolume },
  places,
}: Pick<ApiDependencies, 'models' | 'places'>): ShadowJson | undefined {
  const { set, rules, comparison } = shadow;
  if (set === undefined || rules === undefined || comparison === undefined) return undefined;
  const [tallies, open] = [comparison.tallies(), comparison.openByRule()];
  const byRule = [...new Set([...tallies.keys(), ...open.keys()])].map((rule) => ({
    rule,
    ...(tallies.get(rule) ?? NOTHING),
    open: open.get(rule) ?? 0,
  }));
  return {
    version: set.version,
    since: formatInstant(set.since),
    by: set.by,
    source: set.source,
    ...ruleSetView(rules),
    warnings: rulesWarningsOf(rules, places),
    inForce: sendVolume.rules.version,
    open: comparison.open,
    compared: total(byRule),
    byRule: byRule.sort((a, b) => (a.rule < b.rule ? -1 : 1)),
  };
}

function total(tallies: readonly Tally[]): Tally {
  const sums = COMPARISONS.map((kind) => [kind, tallies.reduce((sum, each) => sum + each[kind], 0)]);
  return Object.fromEntries(sums) as Tally;
}

/** @param difference a case on which the two sets do not agree */
async function differenceView(
  sources: Pick<ApiDependencies, 'models' | 'store'>,
  difference: ComparedCase,
  comparison: VerdictComparison,
): Promise<DifferenceJson> {
  const { number, subject, live, shadow, nearest } = difference;
  const block = live === undefined ? undefined : await blockOf(sources, difference, live);
  return {
    number,
    kind: comparisonOf(difference) as DifferenceJson['kind'],
    settled: !comparison.isOpen(difference),
    subject: subjectView(subject),
    sentence: sentenceOf(difference),
    live: verdictView(live),
    shadow: verdictView(shadow),
    nearest: nearest === undefined ? null : windowView(subject, nearest),
    block: block?.id ?? null,
    falsePositive: block?.falsePositive ?? false,
  };
}

/** The block or proposal of a verdict by the rules in force: the one that existed then, or the next that began. */
async function blockOf(
  sources: Pick<ApiDependencies, 'models' | 'store'>,
  { subject }: ComparedCase,
  { evidence: { rule, lastPosition } }: ComparedVerdict,
): Promise<BlockEntry | undefined> {
  const { rows } = sources.models.ledger;
  const candidates: number[] = [];
  for (const row of rows.on(subject)) {
    if (rows.at(row).begin > lastPosition) candidates.pop();
    candidates.push(row);
    if (rows.at(row).begin <= lastPosition) break;
  }
  const entries = await entriesOf(sources, candidates);
  return entries.find(({ history }) =>
    history.some((item) => item.evidence?.rule === rule && item.evidence.lastPosition === lastPosition),
  );
}

const DONE = { propose: 'proposed', block: 'blocked' } as const;

/** Says what the difference is, with its numbers. */
function sentenceOf({ live, shadow, nearest, exempt }: ComparedCase): string {
  const seen = (shadow ?? live!).evidence.sentence;
  if (live !== undefined && shadow !== undefined) {
    return `Would have been ${DONE[shadow.action]}, not ${DONE[live.action]}. ${seen}`;
  }
  const others = live === undefined ? 'in force' : 'in the shadow';
  const unlike =
    nearest === undefined
      ? `No rule ${others} looks at this.`
      : `The nearest rule ${others}, "${nearest.rule}", stood at ${amount(nearest.count, nearest.observed)}, of ${nearest.limit} that it allows.`;
  const far = exempt === undefined ? unlike : `The rules ${others} exempt it: ${exempt}.`;
  const what =
    live === undefined
      ? `Would have been ${DONE[shadow!.action]}.`
      : `Would not have been ${DONE[live.action]}.`;
  return `${what} ${seen} ${far}`;
}

function verdictView(verdict: ComparedVerdict | undefined): DifferenceJson['live'] {
  if (verdict === undefined) return null;
  const { action, at, evidence } = verdict;
  return { action, at: formatInstant(at), evidence: evidenceView(evidence) };
}
