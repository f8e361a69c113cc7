import { z } from 'zod';
import { overriddenLimit } from '../../projections/volume/limits.js';
import type { Overrides, SubjectOverrides } from '../../projections/volume/overrides.js';
import { isOver } from '../blocks/state.js';
import type { OverrideHandled } from '../commands/override-commands.js';
import { OverrideCommandHandler } from '../commands/override-commands.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import type { OverrideCommand } from '../overrides/decide.js';
import { termsOf } from '../overrides/decide.js';
import type { OverrideEvent } from '../overrides/events.js';
import type {
  Allowance,
  Override,
  OverrideEntry,
  OverrideSubject,
  Terms,
  Unused,
} from '../overrides/model.js';
import { OVERRIDE_ORIGINS, OVERRIDE_TYPES, unusedLimits } from '../overrides/model.js';
import type { OverrideBody } from '../overrides/parse.js';
import { TOTAL_OF_ACCOUNT, overrideBody } from '../overrides/parse.js';
import type { Rule } from '../rules/model.js';
import { parseSubject, subjectKey, subjectOfKey } from '../sending/subjects.js';
import { carryOut, contextOf, etagOf, replayed, shown } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { refuseOtherName } from './login-names.js';
import { ok, ownSubject, route } from './http/route.js';
import type { LongReads } from './long-reads.js';
import {
  anyOf,
  cursorOf,
  instantShape,
  instantView,
  keyOfCursor,
  listOf,
  noteInput,
  once,
  wholeNumber,
} from './shapes.js';

export const OVERRIDES = '/api/v1/overrides';
const ONE = `${OVERRIDES}/{type}/{value}`;

const listQuery = z.strictObject({
  type: anyOf(OVERRIDE_TYPES),
  prefix: once
    .max(320)
    .default('')
    .meta({ description: 'How the account or domain begins, in normal form.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(1000).optional(),
});
const removal = z.strictObject({ note: noteInput.optional() });

/** The limits of single accounts and domains that replace those of the rules. */
export function overrideRoutes(deps: ApiDependencies, reads: LongReads): readonly Route[] {
  const { log, models, clock, store } = deps;
  const overrideCommands = new OverrideCommandHandler(store, clock);
  const rules = () => models.sendVolume.rules.rules;

  const detail = async (
    subject: OverrideSubject,
    status: number,
    more: Answer['headers'] = {},
  ): Promise<Answer> => {
    const { events, position: version } = await overrideCommands.read(subject);
    await shown(deps, version);
    const now = clock.now();
    const body = {
      ...overrideView(subject, models.overrides.on(subject), rules(), now),
      version,
      effective: effectiveView(models.overrides, subject, rules(), now),
      history: historyView(events),
    };
    return {
      status,
      body,
      headers: { ETag: etagOf(version), 'Cache-Control': 'private, no-cache', ...more },
    };
  };

  const change = (
    request: ApiRequest<unknown, unknown>,
    command: OverrideCommand,
  ): Promise<OverrideHandled> => {
    const { subject } = command;
    const context = contextOf(request, `the override of ${subject.type} ${subject.value}`);
    const { by, correlation } = context;
    return carryOut(deps, {
      execute: () => overrideCommands.execute(command, context),
      log: ({ facts }) =>
        log.info(
          { correlation, by, subject, outcome: facts[0]!.type },
          'an administrator changed an override',
        ),
    });
  };

  return [
    route<z.infer<typeof listQuery>>({
      method: 'get',
      path: OVERRIDES,
      summary: 'List the accounts and domains that have overrides',
      role: 'viewer',
      scope: 'own',
      query: listQuery,
      responses: { 200: { description: 'One page, accounts before domains', schema: listOf(overrideShape) } },
      handle: (request) =>
        reads.run(request, async () => {
          const {
            query: { type, prefix, limit, cursor },
            concerns,
          } = request;
          const after = cursor === undefined ? undefined : subjectOfKey(keyOfCursor(cursor));
          const found = OVERRIDE_TYPES.flatMap((each) => {
            if (type?.has(each) === false || (after?.type === 'domain' && each === 'account')) return [];
            const from = after?.type === each ? after.value : '';
            return models.overrides.page(each, prefix, from, limit + 1, concerns);
          });
          const items = found.slice(0, limit);
          const next = found.length > limit ? cursorOf(subjectKey(items.at(-1)!.subject)) : null;
          const now = clock.now();
          return ok({ items: items.map((one) => overrideView(one.subject, one, rules(), now)), next });
        }),
    }),
    route({
      method: 'get',
      path: ONE,
      summary: 'What is set for one account or domain, what holds for it now, and its history',
      role: 'viewer',
      scope: 'own',
      responses: { 200: { description: 'The overrides; none is no error', schema: overrideDetailShape } },
      handle: ({ params, concerns }) => detail(ownSubject(subjectOf(params), concerns), 200),
    }),
    route<unknown, OverrideBody>({
      method: 'put',
      path: ONE,
      summary: 'Set the override of an account or domain, in place of what the API had set before',
      role: 'operator',
      scope: 'none',
      body: { schema: overrideBody },
      responses: {
        201: { description: 'It had none of the API', schema: overrideDetailShape },
        200: { description: 'It is replaced, or was so already', schema: overrideDetailShape },
      },
      async handle(request) {
        const subject = subjectOf(request.params);
        refuseOtherName(deps, subject, 'value');
        if (subject.type === 'account' && request.body.terms.total !== undefined) {
          throw new InvalidInput('total', TOTAL_OF_ACCOUNT);
        }
        const { facts, before, repeated } = await change(request, {
          kind: 'set',
          origin: 'api',
          subject,
          ...request.body,
        });
        const isNew = facts.length > 0 && before.api === undefined;
        return detail(subject, isNew ? 201 : 200, {
          ...(isNew ? { Location: locationOf(subject, deps) } : {}),
          ...replayed(repeated),
        });
      },
    }),
    route<unknown, z.infer<typeof removal>>({
      method: 'delete',
      path: ONE,
      summary: 'Remove what the API has set for an account or domain',
      role: 'operator',
      scope: 'none',
      body: { schema: removal, optional: true },
      responses: { 204: { description: 'It is removed' } },
      async handle(request) {
        const subject = subjectOf(request.params);
        const { note } = request.body;
        const why = note === undefined || note === '' ? {} : { note };
        const done = await change(request, { kind: 'remove', origin: 'api', subject, ...why });
        if (done.facts.length > 0) return { status: 204 };
        const name = `${subject.type} ${subject.value}`;
        if (done.before.file === undefined) throw new StopgapError('not-found', `${name} has no override`);
        throw new StopgapError(
          'conflict',
          `the override of ${name} is in the overrides file: edit the file`,
          {
            current: overrideView(subject, models.overrides.on(subject), rules(), clock.now()),
          },
        );
      },
    }),
  ];
}

function subjectOf(params: Readonly<Record<string, string>>): OverrideSubject {
  const type = OVERRIDE_TYPES.find((known) => known === params['type']);
  if (type === undefined) throw new InvalidInput('type', `must be one of ${OVERRIDE_TYPES.join(', ')}`);
  return { type, value: parseSubject(type, params['value']!, 'override').value };
}

function locationOf({ type, value }: OverrideSubject, { publicUrl = '' }: ApiDependencies): string {
  return `${publicUrl}${OVERRIDES}/${type}/${encodeURIComponent(value)}`;
}

const limitShape = z.union([z.int(), z.literal('off')]);
const limitsShape = z.record(z.string(), limitShape).meta({ description: 'By rule id.' });
const subjectShape = z.object({ type: z.enum(OVERRIDE_TYPES), value: z.string() });
const termsShape = {
  limits: limitsShape,
  factor: z.number().nullable(),
  total: z
    .object({ limits: limitsShape, factor: z.number().nullable() })
    .nullable()
    .meta({ description: 'Of a domain: for its rules per domain.' }),
  plan: z.string().nullable(),
  until: instantShape.nullable().meta({ description: 'Null is for ever.' }),
  reason: z.string().nullable(),
};
const layerShape = z
  .object({
    ...termsShape,
    by: z.string(),
    at: instantShape,
    inForce: z.boolean().meta({ description: 'False once its time is over.' }),
  })
  .meta({ id: 'OverrideLayer' });

export const unusedShape = z.object({
  field: z.string().meta({ examples: ['limits.burst'] }),
  message: z.string(),
});

export const overrideShape = z
  .object({
    subject: subjectShape,
    version: z.int().meta({ description: 'What ETag names: 0 where there never was one.' }),
    api: layerShape.nullable().meta({ description: "Lies over the file's, key by key." }),
    file: layerShape.nullable(),
    unused: z.array(unusedShape).meta({ description: 'Limits that no rule in force looks at.' }),
  })
  .meta({ id: 'Override' });

const effectiveShape = z.object({
  rule: z.string(),
  per: z.enum(OVERRIDE_TYPES).meta({ description: 'For a domain: each of its accounts, or all of it.' }),
  limit: limitShape,
  usual: z.number().meta({ description: "The rule's own." }),
  lowest: z.boolean().meta({
    description: "True where the limit follows the sender's baselines: then both are the lowest it can be.",
  }),
  sentence: z.string(),
});

export const overrideDetailShape = z
  .object({
    ...overrideShape.shape,
    effective: z
      .array(effectiveShape)
      .meta({ description: 'The limits that differ now, whatever their origin; inherited ones too.' }),
    history: z
      .array(
        z.object({
          type: z.enum(['OverrideSet', 'OverrideRemoved']),
          origin: z.enum(OVERRIDE_ORIGINS),
          at: instantShape,
          by: z.string(),
          position: z.int(),
          note: z.string().optional(),
          set: z.object(termsShape).optional(),
        }),
      )
      .meta({ description: 'Oldest first.' }),
  })
  .meta({ id: 'OverrideDetail' });

export type OverrideJson = z.infer<typeof overrideShape>;
export type OverrideDetailJson = z.infer<typeof overrideDetailShape>;
type TermsJson = Pick<OverrideJson['api'] & object, keyof typeof termsShape>;

/** @param set undefined if nothing is set for the subject */
function overrideView(
  subject: OverrideSubject,
  set: SubjectOverrides | undefined,
  rules: readonly Rule[],
  now: Instant,
): OverrideJson {
  const layers = [set?.api, set?.file].filter((layer) => layer !== undefined);
  const unused = layers.flatMap(({ terms }) => unusedLimits(terms, rules));
  return {
    subject: { type: subject.type, value: subject.value },
    version: set?.version ?? 0,
    api: layerView(set?.api, now),
    file: layerView(set?.file, now),
    unused: withoutTwins(unused),
  };
}

/** The limits of a subject that differ from the rules' own. A domain has those of each account, and of the whole. */
function effectiveView(
  overrides: Overrides,
  { type, value }: OverrideSubject,
  rules: readonly Rule[],
  now: Instant,
): OverrideDetailJson['effective'] {
  const counted = { account: type === 'account' ? value : `@${value}`, domain: value };
  return rules.flatMap((rule) => {
    const { id, per, limit: usual, baseline } = rule;
    if (per !== 'account' && (per !== 'domain' || type !== 'domain')) return [];
    const found = overriddenLimit(overrides, rule, per, counted[per], usual, now);
    if (found === undefined) return [];
    const lowest = baseline !== undefined && !found.isNamed;
    const sentence = lowest ? `at least ${found.sentence}` : found.sentence;
    return [{ rule: id, per, limit: found.limit ?? ('off' as const), usual, lowest, sentence }];
  });
}

function historyView(events: readonly (RecordedEvent & OverrideEvent)[]): OverrideDetailJson['history'] {
  return events.map((event) => {
    const { at, by, position } = event;
    const item = { type: event.type, origin: event.data.origin, at: instantView(at)!, by, position };
    if (event.type === 'OverrideSet')
      return { ...item, set: termsView({ ...event.data, terms: termsOf(event.data) }) };
    return event.data.note === undefined ? item : { ...item, note: event.data.note };
  });
}

function layerView(layer: Override | undefined, now: Instant): OverrideJson['api'] {
  if (layer === undefined) return null;
  const { by, at, until } = layer;
  return { ...termsView(layer), by, at: instantView(at)!, inForce: !isOver(until, now) };
}

function termsView({ terms, until, reason }: Omit<OverrideEntry, 'subject'>): TermsJson {
  return {
    ...allowanceView(terms),
    total: terms.total === undefined ? null : allowanceView(terms.total),
    plan: terms.plan ?? null,
    until: instantView(until),
    reason: reason ?? null,
  };
}

function allowanceView({ limits, factor }: Allowance): Pick<TermsJson, 'limits' | 'factor'> {
  return { limits: limits ?? {}, factor: factor ?? null };
}

/** A limit that both layers name is listed once. */
function withoutTwins(unused: readonly Unused[]): Unused[] {
  return [...new Map(unused.map((one) => [one.field, one])).values()];
}

/** As {@link unusedLimits}, for an answer that names several subjects. */
export function unusedOf(
  subject: OverrideSubject,
  terms: Terms,
  rules: readonly Rule[],
): readonly (Unused & { readonly subject: OverrideSubject })[] {
  return unusedLimits(terms, rules).map((one) => ({ subject, ...one }));
}
