import { z } from 'zod';
import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { Exemption } from '../../projections/blocks/exemptions.js';
import { coverageOf } from '../../projections/blocks/exemptions.js';
import type { BlockFact } from '../blocks/events.js';
import { exemptionAt, isOver } from '../blocks/state.js';
import { StopgapError } from '../kernel/errors.js';
import type { NewEvent } from '../kernel/events.js';
import { NEVER_BLOCK } from '../rules/model.js';
import { newId } from '../runtime/ids.js';
import { TimeSlice } from '../runtime/clock.js';
import type { Subject } from '../sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES } from '../sending/subjects.js';
import { BLOCKS } from './blocks.js';
import { carryOutOn, isSeenBy, replayed } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import type { Concerns, Route } from './http/route.js';
import { refuseOtherName } from './login-names.js';
import { ok, route } from './http/route.js';
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
  oneOf,
  oneSpan,
  spanInputs,
  spanOf,
  subjectInput,
  subjectShape,
  subjectView,
  wholeNumber,
} from './shapes.js';

export const exemptionShape = z
  .object({
    id: z.string(),
    subject: subjectShape,
    reason: z.string(),
    until: instantShape.nullable().meta({ description: 'Null is for ever.' }),
    origin: z.enum(['rules', 'admin']),
    by: z.string().nullable(),
    at: instantShape.nullable(),
    saved: z.int().meta({ description: 'How often it kept a rule from acting.' }),
    savedAt: instantShape.nullable(),
  })
  .meta({ id: 'Exemption' });

/** How many blocks an answer names. */
const EXEMPT_BLOCKS_NAMED = 100;
const grantedExemptionShape = exemptionShape
  .extend({
    replaced: z
      .object({
        reason: z.string(),
        until: instantShape.nullable().meta({ description: 'Null is for ever.' }),
      })
      .nullable()
      .meta({ description: 'The exemption of the same subject that it took the place of.' }),
    dismissed: z
      .string()
      .nullable()
      .meta({ description: 'The proposal of the same subject that it dismissed, if one waited.' }),
    blocks: z
      .array(
        z.object({
          id: z.string(),
          subject: subjectShape,
          direction: z.enum(DIRECTIONS),
          until: instantShape.nullable().meta({ description: 'Null is for ever.' }),
          release: z.string().meta({ description: 'POST there to end it.' }),
        }),
      )
      .meta({
        description: `Blocks in force that it covers, ${EXEMPT_BLOCKS_NAMED} at most: an exemption ends no block, so they go on refusing.`,
      }),
  })
  .meta({ id: 'GrantedExemption' });

export const coverShape = z
  .object({ id: z.string(), reason: z.string(), subject: subjectShape })
  .meta({ id: 'Cover' });

type ExemptionJson = z.infer<typeof exemptionShape>;
type GrantedExemptionJson = z.infer<typeof grantedExemptionShape>;

function exemptionView(exemption: Exemption): ExemptionJson {
  const { id, subject, reason, until, origin, by, at, saved, savedAt } = exemption;
  return {
    id,
    subject: subjectView(subject),
    reason,
    until: instantView(until),
    origin,
    by: by ?? null,
    at: instantView(at),
    saved,
    savedAt: instantView(savedAt),
  };
}

const EXEMPTIONS = '/api/v1/exemptions';

const listQuery = z.strictObject({
  type: anyOf(SUBJECT_TYPES),
  origin: oneOf(['rules', 'admin']).optional(),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(1000).optional(),
});
const creationOf = (deps: ApiDependencies) =>
  z
    .strictObject({
      subject: subjectInput(isSeenBy(deps)),
      reason: z.string('must say why').trim().min(1, 'must say why').max(500, 'at most 500 characters'),
      ...spanInputs,
    })
    .check(oneSpan(1));
const removal = z.strictObject({ note: noteInput.optional() });

/** Subjects that rules must not act on. */
export function exemptionRoutes(deps: ApiDependencies, reads: LongReads): readonly Route[] {
  const { models, clock } = deps;

  const inForce = (id: string, concerns: Concerns): Exemption => {
    const exemption = models.exemptions.get(id);
    if (exemption !== undefined && !isOver(exemption.until, clock.now()) && concerns(exemption.subject))
      return exemption;
    throw new StopgapError('not-found', `there is no exemption ${id.slice(0, 400)} in force`);
  };

  return [
    route<z.infer<typeof listQuery>>({
      method: 'get',
      path: EXEMPTIONS,
      summary: 'List the exemptions in force, those of the rules file too',
      role: 'viewer',
      scope: 'own',
      query: listQuery,
      responses: { 200: { description: 'One page', schema: listOf(exemptionShape) } },
      handle: (request) =>
        reads.run(request, async () => {
          const { query, concerns } = request;
          const { type, origin, limit, cursor } = query;
          const after = cursor === undefined ? '' : keyOfCursor(cursor);
          // Sorted by id: first those of administrators, by time, then those of the rules file.
          const found = models.exemptions
            .list(clock.now())
            .filter((one) => one.id > after && concerns(one.subject))
            .filter((one) => type?.has(one.subject.type) !== false && (origin ?? one.origin) === one.origin)
            .sort((a, b) => (a.id < b.id ? -1 : 1));
          const items = found.slice(0, limit);
          return ok({
            items: items.map(exemptionView),
            next: found.length > limit ? cursorOf(items.at(-1)!.id) : null,
          });
        }),
    }),
    route<unknown, z.infer<ReturnType<typeof creationOf>>>({
      method: 'post',
      path: EXEMPTIONS,
      summary:
        'Exempt a subject from proposals and blocks by rules; it replaces an earlier one of the same subject',
      role: 'operator',
      scope: 'none',
      body: { schema: creationOf(deps) },
      responses: {
        201: { description: 'The exemption', schema: grantedExemptionShape },
        200: { description: 'The very same exemption was in force already', schema: grantedExemptionShape },
      },
      async handle(request) {
        const { subject, reason, ...span } = request.body;
        refuseOtherName(deps, subject);
        const command = { kind: 'grant', subject, ...spanOf(span), reason, newId: newId() } as const;
        const { facts, standing, repeated } = await carryOutOn(deps, request, subject, command);
        const granted = facts.find((fact) => fact.type === 'ExemptionGranted');
        const id = granted?.data.exemption ?? standing.exemption!.id;
        // A repeated request may have granted an exemption that is revoked by now.
        const exemption = models.exemptions.get(id) ?? asGranted(granted!);
        const isNew = granted !== undefined;
        const headers = {
          ...(isNew ? { Location: `${deps.publicUrl ?? ''}${EXEMPTIONS}/${encodeURIComponent(id)}` } : {}),
          ...replayed(repeated),
        };
        const blocks = exemptBlocksView(await blocksOfExempt([subject], deps), BLOCKS);
        const before = isNew ? exemptionAt(standing, exemption.at ?? deps.clock.now()) : undefined;
        const replaced =
          before === undefined ? null : { reason: before.reason, until: instantView(before.until) };
        const dismissed = facts.find((fact) => fact.type === 'ProposalDismissed')?.data.block ?? null;
        const body = { ...exemptionView(exemption), replaced, dismissed, blocks };
        return { status: isNew ? 201 : 200, body, headers };
      },
    }),
    route({
      method: 'get',
      path: `${EXEMPTIONS}/{id}`,
      summary: 'Read an exemption',
      role: 'viewer',
      scope: 'own',
      responses: { 200: { description: 'The exemption', schema: exemptionShape } },
      handle: ({ params, concerns }) => ok(exemptionView(inForce(params['id']!, concerns))),
    }),
    route<unknown, z.infer<typeof removal>>({
      method: 'delete',
      path: `${EXEMPTIONS}/{id}`,
      summary: 'Revoke an exemption',
      role: 'operator',
      scope: 'none',
      body: { schema: removal, optional: true },
      responses: { 204: { description: 'It is revoked' } },
      async handle(request) {
        const id = request.params['id']!;
        if (id === NEVER_BLOCK)
          throw new StopgapError('conflict', 'the built-in never-block list cannot be revoked');
        if (models.exemptions.get(id)?.origin === 'rules') {
          const current = exemptionView(inForce(id, request.concerns));
          const message =
            'this exemption is in the rules: edit the rules file, or PUT /api/v1/rules without it';
          throw new StopgapError('conflict', message, { current });
        }
        // Also for an exemption that is revoked: the same request may have revoked it before.
        const subject = models.exemptions.subjectOf(id) ?? inForce(id, request.concerns).subject;
        await carryOutOn(deps, request, subject, { kind: 'revoke', exemption: id, ...request.body });
        return { status: 204 };
      },
    }),
  ];
}

type Granted = Extract<BlockFact, { readonly type: 'ExemptionGranted' }> & NewEvent;

function asGranted({ data: { exemption: id, ...terms }, by, at }: Granted): Exemption {
  return { id, ...terms, origin: 'admin', by, at, saved: 0 };
}

/** Blocks in force whose subjects are exempt now: they go on refusing. */
export async function blocksOfExempt(
  exempt: readonly Subject[],
  { models, clock }: Pick<ApiDependencies, 'models' | 'clock'>,
): Promise<readonly ActiveBlock[]> {
  if (exempt.length === 0) return [];
  const [covers, now, share] = [coverageOf(exempt), clock.now(), new TimeSlice()];
  const found: ActiveBlock[] = [];
  for (const block of models.activeBlocks.all()) {
    if (!isOver(block.until, now) && covers(block)) found.push(block);
    if (found.length === EXEMPT_BLOCKS_NAMED) break;
    if (share.spent()) await share.turn();
  }
  return found;
}

function exemptBlocksView(
  blocks: readonly ActiveBlock[],
  blocksPath: string,
): GrantedExemptionJson['blocks'] {
  return blocks.map((block) => ({
    id: block.id,
    subject: subjectView(block),
    direction: block.direction,
    until: instantView(block.until),
    release: `${blocksPath}/${block.id}/release`,
  }));
}
