import { z } from 'zod';
import { StopgapError } from '../kernel/errors.js';
import type { RulesStanding } from '../rules/decide.js';
import type { RulesChanged } from '../rules/model.js';
import { InvalidRules } from '../rules/parse.js';
import { contextOf, replayed, shown } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import { etagOf, ifMatch, preconditionFailed } from './http/etag.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import type { RulesInput } from './rules-input.js';
import { readDraft, readRules, rulesBody, rulesDraft } from './rules-input.js';
import { goingOn, rulesView, rulesWarningsOf } from './rules-view.js';
import { precisionShape } from './shadow-shapes.js';
import { precisionView } from './shadow-view.js';
import { faultShape, listOf, rulesShape, rulesWarnings } from './shapes.js';

const RULES = '/api/v1/rules';
const validation = z.object({
  ...{ valid: z.boolean(), faults: z.array(faultShape), warnings: rulesWarnings },
});

/** The rule set in force: read, try out, replace. */
export function rulesRoutes(deps: ApiDependencies): readonly Route[] {
  const { models, rulesCommands, log } = deps;

  const current = async (): Promise<RulesChanged> => {
    const rules = await rulesCommands.current();
    if (rules !== undefined) return rules;
    throw new StopgapError('not-found', 'no rules are in force yet');
  };

  const answer = (rules: RulesChanged, repeated = false, more: readonly string[] = []): Answer => {
    const view = rulesView(rules, deps);
    return ok(
      { ...view, warnings: [...view.warnings, ...more] },
      {
        ETag: etagOf(rules.version),
        'Cache-Control': 'private, no-cache',
        ...replayed(repeated),
      },
    );
  };

  const replace = async (ask: ApiRequest<unknown, RulesInput>): Promise<Answer> => {
    const { rules, source } = await readRules(ask.body);
    const matches = ifMatch(ask.request);
    const inspect = ({ inForce }: RulesStanding): void => {
      // Where these very rules are in force, the change has been made: RFC 9110, 13.1.1 lets that count as success.
      if (inForce?.source === source) return;
      const version = inForce?.version ?? 0;
      if (matches?.(version) === false) throw preconditionFailed('the rule set', version);
    };
    const context = contextOf(ask);
    const command = { kind: 'replace', origin: 'api', rules, source } as const;
    const { facts, before, repeated, position } = await rulesCommands.execute(command, {
      ...context,
      inspect,
    });
    const change = facts.find((fact) => fact.type === 'RulesChanged')?.data;
    if (change !== undefined && !repeated) {
      const { by, correlation } = context;
      log.info({ correlation, by, version: change.version }, 'an administrator changed the rules');
    }
    await shown(deps, position);
    // Those of the caller, also where somebody else has put others in force meanwhile.
    const inForce = change ?? before.inForce!;
    return answer(inForce, repeated, await goingOn(inForce, deps));
  };

  return [
    route({
      method: 'get',
      path: RULES,
      summary: 'Read the rule set in force, as YAML and parsed',
      role: 'viewer',
      responses: { 200: { description: 'The rules', schema: rulesShape } },
      handle: async () => answer(await current()),
    }),
    route<unknown, RulesInput>({
      method: 'put',
      path: RULES,
      summary: 'Replace the rule set; a faulty one is refused as a whole and the old one stays',
      role: 'admin',
      body: rulesBody,
      responses: { 200: { description: 'The rules that are in force now', schema: rulesShape } },
      handle: replace,
    }),
    route({
      method: 'get',
      path: `${RULES}/precision`,
      summary: 'How often each rule was right, by what people and time have made of its blocks and proposals',
      role: 'viewer',
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
