import { z } from 'zod';
import type { ComparedCase } from '../../projections/blocks/shadow.js';
import { comparisonOf } from '../../projections/blocks/shadow.js';
import type { RulesHandled } from '../commands/rules-commands.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { RulesCommand, RulesStanding } from '../rules/decide.js';
import { contextOf, replayed, shown } from './commands.js';
import { cursorOf, keyOfCursor } from './cursor.js';
import type { ApiDependencies } from './dependencies.js';
import { etagOf, ifMatch, preconditionFailed } from './http/etag.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { anyOf, once, wholeNumber } from './inputs.js';
import type { RulesInput } from './rules-input.js';
import { readRules, rulesBody } from './rules-input.js';
import { goingOn, rulesView } from './rules-view.js';
import { DIFFERENCES, differenceShape, shadowShape } from './shadow-shapes.js';
import { differenceView, shadowView } from './shadow-view.js';
import { listOf, rulesShape } from './shapes.js';

const SHADOW = '/api/v1/rules/shadow';

const differencesQuery = z.strictObject({
  kind: anyOf(DIFFERENCES),
  rule: once.max(64).optional().meta({ description: 'Id of the rule that tripped, of either set.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});
type DifferencesQuery = z.infer<typeof differencesQuery>;

/** Names both what runs in the shadow and what it is compared with: a change of either is a change. */
const tagOf = (shadow: number, live: number): string => `${shadow}.${live}`;

/** Rules in the shadow: load, compare, promote, remove. */
export function shadowRoutes(deps: ApiDependencies): readonly Route[] {
  const { models, rulesCommands, log } = deps;

  const answer = (status: number, repeated: boolean): Answer => {
    const body = shadowView(deps);
    if (body === undefined) throw nothing();
    const headers = { ETag: etagOf(tagOf(body.version, body.inForce)), 'Cache-Control': 'private, no-cache' };
    return { status, body, headers: { ...headers, ...replayed(repeated) } };
  };

  /** Resolves when the read models show what came of it. */
  const carryOut = async (
    ask: ApiRequest<unknown, unknown>,
    command: RulesCommand,
  ): Promise<RulesHandled> => {
    const matches = ifMatch(ask.request);
    const context = contextOf(ask);
    const inspect = matches && ((standing: RulesStanding) => check(matches, command, standing));
    const handled = await rulesCommands.execute(command, { ...context, inspect });
    await shown(deps, handled.position);
    const { by, correlation } = context;
    const fields = { correlation, by, change: command.kind, version: models.shadow.set?.version };
    if (handled.facts.length > 0 && !handled.repeated)
      log.info(fields, 'an administrator changed the shadow rules');
    return handled;
  };

  return [
    route({
      method: 'get',
      path: SHADOW,
      summary: 'The rules in the shadow, and how they compare with those in force',
      role: 'viewer',
      responses: { 200: { description: 'The shadow rules', schema: shadowShape } },
      handle: () => answer(200, false),
    }),
    route<unknown, RulesInput>({
      method: 'put',
      path: SHADOW,
      summary: 'Run a rule set beside the one in force, without acting; the one before it is gone',
      role: 'admin',
      body: rulesBody,
      responses: {
        200: { description: 'What runs in the shadow now, instead of another', schema: shadowShape },
        201: { description: 'What runs in the shadow now', schema: shadowShape },
      },
      async handle(ask) {
        const { rules, source } = await readRules(ask.body);
        const { before, repeated } = await carryOut(ask, { kind: 'load', rules, source });
        return answer(before.shadow === undefined ? 201 : 200, repeated);
      },
    }),
    route({
      method: 'delete',
      path: SHADOW,
      summary: 'Stop running rules in the shadow',
      role: 'admin',
      responses: { 204: { description: 'Nothing runs in the shadow' } },
      async handle(ask) {
        const { repeated } = await carryOut(ask, { kind: 'remove' });
        return { status: 204, headers: replayed(repeated) };
      },
    }),
    route<DifferencesQuery>({
      method: 'get',
      path: `${SHADOW}/differences`,
      summary: 'What the shadow rules would have done otherwise, newest first',
      role: 'viewer',
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
      responses: { 200: { description: 'The rules that are in force now', schema: rulesShape } },
      async handle(ask) {
        const { facts, repeated } = await carryOut(ask, { kind: 'promote' });
        const rules = facts.find((fact) => fact.type === 'RulesChanged')!.data;
        const view = rulesView(rules, deps);
        const warnings = [...view.warnings, ...(await goingOn(rules, deps))];
        return ok(
          { ...view, warnings },
          {
            ETag: etagOf(rules.version),
            ...replayed(repeated),
          },
        );
      },
    }),
  ];
}

async function differences(deps: ApiDependencies, query: DifferencesQuery) {
  const { shadow } = deps.models;
  if (shadow.set === undefined || shadow.comparison === undefined) throw nothing();
  const { version } = shadow.set;
  const { comparison } = shadow;
  const before = query.cursor === undefined ? Infinity : placeOf(query.cursor, version);
  const wanted = ({ live, shadow: other }: ComparedCase): boolean =>
    query.rule === undefined || [live, other].some((asked) => asked?.evidence.rule === query.rule);
  const found = comparison.differences().filter((each) => {
    const kind = comparisonOf(each);
    const isOfKind = query.kind === undefined || (kind !== 'both' && query.kind.has(kind));
    return each.number < before && isOfKind && wanted(each);
  });
  const page = found.slice(0, query.limit);
  const next = found.length > page.length ? cursorOf(`${version}.${page.at(-1)!.number}`) : null;
  return { items: await Promise.all(page.map((each) => differenceView(deps, each, comparison))), next };
}

/** The number that a page ended with. @throws InvalidInput where the list was of other shadow rules */
function placeOf(cursor: string, version: number): number {
  const parts = /^(\d{1,15})\.(\d{1,15})$/.exec(keyOfCursor(cursor));
  if (parts === null) throw new InvalidInput('cursor', 'is of another list');
  if (Number(parts[1]) !== version)
    throw new InvalidInput('cursor', 'is of shadow rules that are gone: begin anew');
  return Number(parts[2]);
}

/** @throws StopgapError `precondition-failed` */
function check(
  matches: (tag: string) => boolean,
  command: RulesCommand,
  { shadow, inForce }: RulesStanding,
): void {
  // Where these very rules run in the shadow, the change has been made: RFC 9110, 13.1.1 lets that count as success.
  if (command.kind === 'load' && shadow?.source === command.source) return;
  if (shadow === undefined) {
    const message = 'nothing runs in the shadow any more: it was promoted or removed since it was read';
    throw new StopgapError('precondition-failed', message, { version: null });
  }
  const tag = tagOf(shadow.version, inForce?.version ?? 0);
  if (!matches(tag)) throw preconditionFailed('what runs in the shadow, or what it is compared with,', tag);
}

function nothing(): StopgapError {
  return new StopgapError('not-found', 'no rules run in the shadow: PUT /api/v1/rules/shadow loads some');
}
