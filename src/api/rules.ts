import { z } from 'zod';
import { idOf } from '../ids.js';
import { StopgapError } from '../kernel/errors.js';
import { SECOND } from '../kernel/time.js';
import type { RulesChanged } from '../rules/model.js';
import { RULES_STREAM } from '../rules/model.js';
import { InvalidRules, parseRules } from '../rules/parse.js';
import { WrongExpectedRevision } from '../store/port.js';
import type { BlockOrder } from './block-order.js';
import type { ApiDependencies } from './dependencies.js';
import { within } from './http/deadline.js';
import { etagOf, ifMatch, preconditionFailed } from './http/etag.js';
import type { Answer, Ask, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import type { RulesInput } from './rules-input.js';
import { rulesBody, withoutLines } from './rules-input.js';
import { activeByRule, rulesView, rulesWarningsOf } from './rules-view.js';
import { precisionShape } from './shadow-shapes.js';
import { precisionView } from './shadow-view.js';
import { faultShape, listOf, rulesShape, rulesWarnings } from './shapes.js';

const RULES = '/api/v1/rules';
const validation = z.object({
  ...{ valid: z.boolean(), faults: z.array(faultShape), warnings: rulesWarnings },
});

/** The rule set in force: read, try out, replace. */
export function rulesRoutes(deps: ApiDependencies, order: BlockOrder): readonly Route[] {
  const { models, clock, rulesDesk, log } = deps;

  const current = async (): Promise<RulesChanged> => {
    const rules = await rulesDesk.current();
    if (rules !== undefined) return rules;
    throw new StopgapError('not-found', 'no rules are in force yet');
  };

  const answer = async (rules: RulesChanged, repeated = false): Promise<Answer> => {
    const view = rulesView(rules, await activeByRule(order, clock.now()), deps);
    return ok(view, {
      ETag: etagOf(rules.version),
      'Cache-Control': 'private, no-cache',
      ...(repeated ? { 'Idempotency-Replayed': 'true' } : {}),
    });
  };

  const replace = async (ask: Ask<unknown, RulesInput>): Promise<Answer> => {
    const { caller, seed, body, trace } = ask;
    const { source } = body;
    const matches = ifMatch(ask.request);
    const before = await rulesDesk.current();
    if (seed !== undefined && (await wasCarriedOut(deps, seed))) return answer(await current(), true);
    // Where these very rules are in force, the change has been made: RFC 9110, 13.1.1 lets that count as success.
    if (before?.source === source) return answer(before);
    const version = before?.version ?? 0;
    if (matches !== undefined && !matches(version)) throw preconditionFailed('the rule set', version);
    const expected = matches === undefined ? undefined : version;
    try {
      const by = `admin:${caller.name}`;
      const { position, version } = await rulesDesk.replace(source, 'api', by, { expected, seed, trace });
      if (position !== undefined) {
        const correlation = `request:${ask.requestId}`;
        log.info({ correlation, by, version }, 'an administrator changed the rules');
        await within(
          clock,
          models.reached(position),
          5 * SECOND,
          'the rules are recorded, but are not in force yet',
        );
      }
    } catch (thrown) {
      if (!(thrown instanceof WrongExpectedRevision)) throw withoutLines(thrown, body);
      if (matches !== undefined) throw preconditionFailed('the rule set', (await current()).version);
      throw new StopgapError('conflict', 'somebody else has just changed the rules: read them again');
    }
    return answer(await current());
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
      body: rulesBody,
      responses: { 200: { description: 'Whether it is valid, and every fault', schema: validation } },
      handle({ body }) {
        try {
          const warnings = rulesWarningsOf(parseRules(body.source), deps.places);
          return ok({ valid: true, faults: [], warnings });
        } catch (thrown) {
          const refused = withoutLines(thrown, body);
          if (!(refused instanceof InvalidRules)) throw refused;
          const faults = refused.faults.map(({ line, path, message }) => ({
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

/** Whether the request with this seed has changed the rules before. */
async function wasCarriedOut({ store }: ApiDependencies, seed: string): Promise<boolean> {
  const id = idOf(`${seed}/0`);
  for await (const event of store.readStream(RULES_STREAM, { direction: 'backwards' }))
    if (event.id === id) return true;
  return false;
}
