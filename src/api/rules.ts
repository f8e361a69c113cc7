import { z } from 'zod';
import type { Observation } from '../../projections/blocks/block-ledger.js';
import { OBSERVATIONS_KEPT } from '../../projections/blocks/block-ledger.js';
import type { RulePrecisionRow } from '../../projections/blocks/rule-precision.js';
import { precisionOf } from '../../projections/blocks/rule-precision.js';
import type { RulesHandled } from '../commands/rules-commands.js';
import { StopgapError } from '../kernel/errors.js';
import { formatInstant } from '../kernel/time.js';
import { parseAside } from '../parsing/aside.js';
import type { RulesChanged, SourcedRules } from '../rules/model.js';
import { ACTIONS } from '../rules/model.js';
import { InvalidRules, MOST_BYTES } from '../rules/parse.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import { evidenceShape, evidenceView } from './block-view.js';
import { carryOut, contextOf, etagOf, replayed } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import type { Answer, ApiRequest, BodySpec, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import type { LongReads } from './long-reads.js';
import { faultShape, goingOn, rulesShape, rulesView, rulesWarnings, rulesWarningsOf } from './rule-set.js';
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

export const precisionShape = z
  .object({
    rule: z.string(),
    inForce: z.boolean(),
    imposed: z.int().meta({ description: 'Blocks that it imposed by itself.' }),
    proposed: z.int().meta({ description: 'Proposals that it made.' }),
    confirmed: z.int().meta({
      description: 'Blocks that ran out or were released without being called wrong; proposals approved.',
    }),
    falsePositives: z.int().meta({ description: 'Blocks released as false positives.' }),
    dismissed: z.int().meta({ description: 'Proposals that somebody declined.' }),
    lapsed: z.int().meta({ description: 'Proposals that nobody answered: they count for nothing.' }),
    open: z.int().meta({ description: 'Blocks and proposals that have no judgement yet.' }),
    precision: z.number().nullable().meta({
      description: 'confirmed / (confirmed + falsePositives + dismissed); null where nothing is judged.',
    }),
  })
  .meta({ id: 'RulePrecision' });

type PrecisionJson = z.infer<typeof precisionShape>;
export const observedShape = z
  .object({
    position,
    at: instantShape,
    subject: subjectShape,
    rule: z.string(),
    action: z.enum(ACTIONS).meta({
      description:
        'What the rule asks for: observe, or what mode: observe or a block of the other direction kept it from.',
    }),
    evidence: evidenceShape,
  })
  .meta({ id: 'Observed', description: 'A rule tripped, and did nothing but say so.' });

export type ObservedJson = z.infer<typeof observedShape>;

function precisionView(judged: RulePrecisionRow): PrecisionJson {
  const { rule, inForce, imposed, proposed, confirmed, falsePositives, dismissed, lapsed, open } = judged;
  const counts = { imposed, proposed, confirmed, falsePositives, dismissed, lapsed, open };
  return { rule, inForce, ...counts, precision: precisionOf(judged) ?? null };
}

const RULES = '/api/v1/rules';
const validation = z.object({ valid: z.boolean(), faults: z.array(faultShape), warnings: rulesWarnings });

/** The rule set in force: read, try out, replace. */
export function rulesRoutes(deps: ApiDependencies): readonly Route[] {
  const { log, models, rulesCommands } = deps;

  const current = async (): Promise<RulesChanged> => {
    const rules = await rulesCommands.current();
    if (rules !== undefined) return rules;
    throw new StopgapError('not-found', 'no rules are in force yet');
  };

  const answer = (rules: RulesChanged, repeated = false, more: readonly string[] = []): Answer => {
    const view = rulesView(rules, deps);
    return ok(
      { ...view, warnings: [...view.warnings, ...more] },
      { ETag: etagOf(rules.version), 'Cache-Control': 'private, no-cache', ...replayed(repeated) },
    );
  };

  const replace = async (request: ApiRequest<unknown, RulesInput>): Promise<Answer> => {
    const { rules, source } = await readRules(request.body);
    const context = contextOf(request, 'the rule set');
    const { by, correlation } = context;
    const { facts, before, repeated } = await carryOut(deps, {
      execute: () => rulesCommands.execute({ kind: 'replace', origin: 'api', rules, source }, context),
      log: (done) =>
        log.info(
          { correlation, by, version: changeIn(done.facts)?.version },
          'an administrator changed the rules',
        ),
    });
    // The caller's rules, also where somebody else has put others in force since.
    const inForce = changeIn(facts) ?? before.inForce!;
    return answer(inForce, repeated, await goingOn(inForce, deps));
  };

  return [
    route({
      method: 'get',
      path: RULES,
      summary: 'Read the rule set in force, as YAML and parsed',
      role: 'viewer',
      scope: 'none',
      responses: { 200: { description: 'The rules', schema: rulesShape } },
      handle: async () => answer(await current()),
    }),
    route<unknown, RulesInput>({
      method: 'put',
      path: RULES,
      summary: 'Replace the rule set; a faulty one is refused as a whole and the old one stays',
      role: 'admin',
      scope: 'none',
      body: rulesBody,
      responses: { 200: { description: 'The rules that are in force now', schema: rulesShape } },
      handle: replace,
    }),
    route({
      method: 'get',
      path: `${RULES}/precision`,
      summary: 'How often each rule was right, by what people and time have made of its blocks and proposals',
      role: 'viewer',
      scope: 'none',
      responses: {
        200: {
          description: 'Those in force, and the last 200 that are gone',
          schema: listOf(precisionShape),
        },
      },
      handle: () => ok({ items: models.rulePrecision.all().map(precisionView), next: null }),
    }),
    route<unknown, RulesInput>({
      method: 'post',
      path: `${RULES}/validate`,
      summary: 'Check a rule set without putting it in force',
      role: 'viewer',
      scope: 'none',
      needsModels: false,
      body: rulesDraft,
      responses: { 200: { description: 'Whether it is valid, and every fault', schema: validation } },
      async handle({ body }) {
        try {
          const { rules } = await readDraft(body);
          return ok({ valid: true, faults: [], warnings: rulesWarningsOf(rules, deps.places) });
        } catch (thrown) {
          if (!(thrown instanceof InvalidRules)) throw thrown;
          const faults = thrown.faults.map(({ line, path, message }) => ({
            line: line ?? null,
            path,
            message,
          }));
          return ok({ valid: false, faults, warnings: [] });
        }
      },
    }),
  ];
}

function changeIn(facts: RulesHandled['facts']): RulesChanged | undefined {
  return facts.find((fact) => fact.type === 'RulesChanged')?.data;
}

/**
 * YAML tokens of rules in a request. A thread parses one set after the other, about 3 µs a token. Rules that an
 * administrator puts in force may hold ten thousand exemptions; rules that others try, as many rules as are allowed.
 */
const MOST_TOKENS = 400_000;
const MOST_TOKENS_OF_DRAFT = 20_000;
/** Drafts that wait, with the one that is being read. */
const MOST_DRAFTS = 20;

/** Rules as YAML text, as `{source}`, or as a JSON object that is the rule set itself. */
const rulesInput = z
  .union(
    [
      z.strictObject({ source: z.string('must be a text') }),
      z.looseObject({ version: z.unknown() }).refine((value) => value['source'] === undefined),
    ],
    'must be YAML text, an object {source}, or a rule set as an object with version and rules',
  )
  .transform((value): RulesInput =>
    typeof value['source'] === 'string'
      ? { text: value['source'], isJson: false }
      : { text: JSON.stringify(value), isJson: true },
  );

export interface RulesInput {
  readonly text: string;
  /** Whether the client sent an object. Then lines mean nothing to the client, and the rules are kept as YAML. */
  readonly isJson: boolean;
}

/** A body that is a rule set. */
export const rulesBody: BodySpec<RulesInput> = { schema: rulesInput, limit: MOST_BYTES, yaml: true };

/** A body that is a rule set to try. */
const rulesDraft: BodySpec<RulesInput> = { schema: rulesInput, limit: MOST_BYTES / 4, yaml: true };

/**
 * Reads the rules of a request in another thread.
 *
 * @throws InvalidRules
 */
export async function readRules(
  { text, isJson }: RulesInput,
  { name = 'rules', tokens = MOST_TOKENS } = {},
): Promise<SourcedRules> {
  try {
    const [rules] = await parseAside('rules', text, name, { tokens, rewrite: isJson });
    return rules!;
  } catch (thrown) {
    if (!isJson || !(thrown instanceof InvalidRules)) throw thrown;
    const faults = thrown.faults.map((fault) => ({ ...fault, line: undefined }));
    throw new InvalidRules(faults, thrown.source);
  }
}

let drafts = 0;
let lastDraft: Promise<unknown> = Promise.resolve();

/**
 * Reads rules that are only tried, one set after the other. So rules to put in force wait for one at most. Files are read in
 * another thread.
 *
 * @throws InvalidRules; StopgapError `unavailable` where many wait already
 */
export async function readDraft(input: RulesInput, name?: string): Promise<SourcedRules> {
  if (drafts >= MOST_DRAFTS)
    throw new StopgapError('unavailable', `${MOST_DRAFTS} rule sets wait to be read already`);
  drafts += 1;
  const read = lastDraft
    .then(() => readRules(input, { ...(name === undefined ? {} : { name }), tokens: MOST_TOKENS_OF_DRAFT }))
    .finally(() => (drafts -= 1));
  lastDraft = read.catch(() => undefined); // the request that it is for tells of it
  return read;
}

const observedQuery = z.strictObject({
  rule: once.max(64).optional(),
  type: anyOf(SUBJECT_TYPES),
  since: instantInput.optional().meta({ description: 'Observed at this instant or later.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});
type ObservedQuery = z.infer<typeof observedQuery>;

/** Lists the senders on which rules tripped that only observe. */
export function observedRoute({ models }: ApiDependencies, reads: LongReads): Route {
  return route<ObservedQuery>({
    method: 'get',
    path: '/api/v1/rules/observed',
    summary: 'Where rules tripped that only observe, newest first',
    role: 'viewer',
    scope: 'own',
    query: observedQuery,
    responses: {
      200: { description: `Of the newest ${OBSERVATIONS_KEPT}`, schema: listOf(observedShape) },
    },
    handle: (request) =>
      reads.run(request, async () => {
        const { query, concerns } = request;
        const own = models.ledger.observed.newest().filter(({ subject }) => concerns(subject));
        return ok(observed(own, query));
      }),
  });
}

function observed(all: readonly Observation[], { rule, type, since, limit, cursor }: ObservedQuery) {
  const before = cursor === undefined ? Infinity : numberOfCursor(cursor);
  const found = all.filter(
    ({ position, at, subject, evidence }) =>
      position < before &&
      (rule === undefined || evidence.rule === rule) &&
      (type === undefined || type.has(subject.type)) &&
      (since === undefined || at >= since),
  );
  const page = found.slice(0, limit);
  const next = found.length > page.length ? cursorOf(String(page.at(-1)!.position)) : null;
  return { items: page.map(observedView), next };
}

function observedView({ position, at, subject, action, evidence }: Observation): ObservedJson {
  const { rule } = evidence;
  return {
    position,
    at: formatInstant(at),
    rule,
    action,
    subject: subjectView(subject),
    evidence: evidenceView(evidence),
  };
}
