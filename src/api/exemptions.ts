import { z } from 'zod';
import type { Exemption } from '../../projections/blocks/exemptions.js';
import type { BlockFact } from '../blocks/events.js';
import { newId } from '../runtime/ids.js';
import { StopgapError } from '../kernel/errors.js';
import type { NewEvent } from '../kernel/events.js';
import { NEVER_BLOCK } from '../rules/model.js';
import { SUBJECT_TYPES, parsePattern } from '../sending/subjects.js';
import { BLOCKS } from './blocks.js';
import { carryOut, replayed } from './commands.js';
import { cursorOf, keyOfCursor } from './cursor.js';
import type { ApiDependencies } from './dependencies.js';
import { blocksOfExempt, exemptBlocksView } from './exempt-blocks.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { anyOf, noteInput, oneOf, once, spanInputs, spanOf, subjectInput, wholeNumber } from './inputs.js';
import { exemptionShape, grantedExemptionShape, listOf } from './shapes.js';
import { exemptionView } from './views.js';

const EXEMPTIONS = '/api/v1/exemptions';

const listQuery = z.strictObject({
  type: anyOf(SUBJECT_TYPES),
  origin: oneOf(['rules', 'admin']).optional(),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(1000).optional(),
});
const creation = z.strictObject({
  subject: subjectInput,
  reason: z.string('must say why').trim().min(1, 'must say why').max(500, 'at most 500 characters'),
  ...spanInputs,
});
const removal = z.strictObject({ note: noteInput.optional() });

/** Subjects that rules must not act on. */
export function exemptionRoutes(deps: ApiDependencies): readonly Route[] {
  const { models, clock } = deps;

  const inForce = (id: string): Exemption => {
    const exemption = models.exemptions.get(id);
    if (exemption !== undefined && (exemption.until === null || exemption.until > clock.now()))
      return exemption;
    throw new StopgapError('not-found', `there is no exemption ${id.slice(0, 400)} in force`);
  };

  return [
    route<z.infer<typeof listQuery>>({
      method: 'get',
      path: EXEMPTIONS,
      summary: 'List the exemptions in force, those of the rules file too',
      role: 'viewer',
      query: listQuery,
      responses: { 200: { description: 'One page', schema: listOf(exemptionShape) } },
      handle({ query }) {
        const { type, origin, limit, cursor } = query;
        const after = cursor === undefined ? '' : keyOfCursor(cursor);
        // By id: ids of administrators' exemptions sort by time, those of the rules file come behind them.
        const found = models.exemptions
          .list(clock.now())
          .filter((one) => one.id > after)
          .filter((one) => type?.has(one.subject.type) !== false && (origin ?? one.origin) === one.origin)
          .sort((a, b) => (a.id < b.id ? -1 : 1));
        const items = found.slice(0, limit);
        return ok({
          items: items.map(exemptionView),
          next: found.length > limit ? cursorOf(items.at(-1)!.id) : null,
        });
      },
    }),
    route<unknown, z.infer<typeof creation>>({
      method: 'post',
      path: EXEMPTIONS,
      summary:
        'Exempt a subject from proposals and blocks by rules; it replaces an earlier one of the same subject',
      role: 'operator',
      body: { schema: creation },
      responses: {
        201: { description: 'The exemption', schema: grantedExemptionShape },
        200: { description: 'The very same exemption was in force already', schema: grantedExemptionShape },
      },
      async handle(ask) {
        const { subject: raw, reason, ...span } = ask.body;
        const subject = parsePattern(raw.type, raw.value);
        const command = { kind: 'grant', subject, ...spanOf(span), reason, newId: newId() } as const;
        const { facts, standing, repeated } = await carryOut(deps, ask, subject, command);
        const granted = facts.find((fact) => fact.type === 'ExemptionGranted');
        const id = granted?.data.exemption ?? standing.exemption!.id;
        // A request that is sent again may find what it granted revoked by now.
        const exemption = models.exemptions.get(id) ?? asGranted(granted!);
        const isNew = granted !== undefined;
        const headers = {
          ...(isNew ? { Location: `${deps.publicUrl ?? ''}${EXEMPTIONS}/${encodeURIComponent(id)}` } : {}),
          ...replayed(repeated),
        };
        const blocks = exemptBlocksView(await blocksOfExempt([subject], deps), BLOCKS);
        return { status: isNew ? 201 : 200, body: { ...exemptionView(exemption), blocks }, headers };
      },
    }),
    route({
      method: 'get',
      path: `${EXEMPTIONS}/{id}`,
      summary: 'Read an exemption',
      role: 'viewer',
      responses: { 200: { description: 'The exemption', schema: exemptionShape } },
      handle: ({ params }) => ok(exemptionView(inForce(params['id']!))),
    }),
    route<unknown, z.infer<typeof removal>>({
      method: 'delete',
      path: `${EXEMPTIONS}/{id}`,
      summary: 'Revoke an exemption',
      role: 'operator',
      body: { schema: removal, optional: true },
      responses: { 204: { description: 'It is revoked' } },
      async handle(ask) {
        const id = ask.params['id']!;
        if (id === NEVER_BLOCK)
          throw new StopgapError('conflict', 'the built-in never-block list cannot be revoked');
        if (models.exemptions.get(id)?.origin === 'rules') {
          const current = exemptionView(inForce(id));
          const message =
            'this exemption stands in the rules: edit the rules file, or PUT /api/v1/rules without it';
          throw new StopgapError('conflict', message, { current });
        }
        // Of one that is revoked too: the same request may have done that.
        const subject = models.exemptions.subjectOf(id) ?? inForce(id).subject;
        await carryOut(deps, ask, subject, { kind: 'revoke', exemption: id, ...ask.body });
        return { status: 204 };
      },
    }),
  ];
}

type Granted = Extract<BlockFact, { readonly type: 'ExemptionGranted' }> & NewEvent;

function asGranted({ data: { exemption: id, ...terms }, by, at }: Granted): Exemption {
  return { id, ...terms, origin: 'admin', by, at, saved: 0 };
}
