import { z } from 'zod';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { OverrideCommandHandler } from '../commands/override-commands.js';
import type { OverrideContext, OverrideHandled } from '../commands/override-commands.js';
import type { OverrideCommand } from '../overrides/decide.js';
import type { OverrideSubject } from '../overrides/model.js';
import { OVERRIDE_TYPES } from '../overrides/model.js';
import type { OverrideBody } from '../overrides/parse.js';
import { TOTAL_OF_ACCOUNT, overrideBody } from '../overrides/parse.js';
import { parseSubject, subjectKey, subjectOfKey } from '../sending/subjects.js';
import { cursorOf, keyOfCursor } from './cursor.js';
import { contextOf, replayed, shown } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import { etagOf, ifMatch, preconditionFailed } from './http/etag.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { anyOf, noteInput, once, wholeNumber } from './inputs.js';
import { bulkRoute } from './overrides-bulk.js';
import {
  effectiveView,
  historyView,
  overrideDetailShape,
  overrideShape,
  overrideView,
} from './override-views.js';
import { listOf } from './shapes.js';

const OVERRIDES = '/api/v1/overrides';
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

/** What single accounts and domains may instead of what the rules say. */
export function overrideRoutes(deps: ApiDependencies): readonly Route[] {
  const { models, clock, log, store } = deps;
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

  const carryOut = async (
    ask: ApiRequest<unknown, unknown>,
    command: OverrideCommand,
  ): Promise<OverrideHandled> => {
    const matches = ifMatch(ask.request);
    const { subject } = command;
    const context: OverrideContext = {
      ...contextOf(ask),
      inspect(version) {
        if (matches?.(version) === false)
          throw preconditionFailed(`the override of ${subject.type} ${subject.value}`, version);
      },
    };
    const done = await overrideCommands.execute(command, context);
    const [fact] = done.facts;
    if (fact !== undefined && !done.repeated) {
      const { by, correlation } = context;
      log.info({ correlation, by, subject, outcome: fact.type }, 'an administrator changed an override');
    }
    return done;
  };

  return [
    route<z.infer<typeof listQuery>>({
      method: 'get',
      path: OVERRIDES,
      summary: 'List the accounts and domains that have overrides',
      role: 'viewer',
      query: listQuery,
      responses: { 200: { description: 'One page, accounts before domains', schema: listOf(overrideShape) } },
      handle({ query: { type, prefix, limit, cursor } }) {
        const after = cursor === undefined ? undefined : subjectOfKey(keyOfCursor(cursor));
        const found = OVERRIDE_TYPES.flatMap((each) => {
          if (type?.has(each) === false || (after?.type === 'domain' && each === 'account')) return [];
          return models.overrides.page(each, prefix, after?.type === each ? after.value : '', limit + 1);
        });
        const items = found.slice(0, limit);
        const next = found.length > limit ? cursorOf(subjectKey(items.at(-1)!.subject)) : null;
        const now = clock.now();
        return ok({ items: items.map((one) => overrideView(one.subject, one, rules(), now)), next });
      },
    }),
    bulkRoute(OVERRIDES, deps, overrideCommands),
    route({
      method: 'get',
      path: ONE,
      summary: 'What is set for one account or domain, what holds for it now, and its history',
      role: 'viewer',
      responses: { 200: { description: 'The overrides; none is no error', schema: overrideDetailShape } },
      handle: ({ params }) => detail(subjectOf(params), 200),
    }),
    route<unknown, OverrideBody>({
      method: 'put',
      path: ONE,
      summary: 'Set the override of an account or domain, in place of what the API had set before',
      role: 'operator',
      body: { schema: overrideBody },
      responses: {
        201: { description: 'It had none of the API', schema: overrideDetailShape },
        200: { description: 'It is replaced, or was so already', schema: overrideDetailShape },
      },
      async handle(ask) {
        const subject = subjectOf(ask.params);
        if (subject.type === 'account' && ask.body.terms.total !== undefined) {
          throw new InvalidInput('total', TOTAL_OF_ACCOUNT);
        }
        const { facts, before, repeated } = await carryOut(ask, {
          kind: 'set',
          origin: 'api',
          subject,
          ...ask.body,
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
      body: { schema: removal, optional: true },
      responses: { 204: { description: 'It is removed' } },
      async handle(ask) {
        const subject = subjectOf(ask.params);
        const { note } = ask.body;
        const why = note === undefined || note === '' ? {} : { note };
        const done = await carryOut(ask, { kind: 'remove', origin: 'api', subject, ...why });
        await shown(deps, done.position);
        if (done.facts.length > 0) return { status: 204 };
        const name = `${subject.type} ${subject.value}`;
        if (done.before.file === undefined) throw new StopgapError('not-found', `${name} has no override`);
        throw new StopgapError(
          'conflict',
          `the override of ${name} stands in the overrides file: edit the file`,
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
