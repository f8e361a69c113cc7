import { z } from 'zod';
import type { BlockCommand } from '../blocks/commands.js';
import { BLOCKS, actOn, findEntry } from './blocks.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { route } from './http/route.js';
import { noteInput, optionalSpanOf, spanInputs } from './inputs.js';
import { blockShape } from './shapes.js';

const noted = z.strictObject({ note: noteInput.optional() });
const approval = noted.extend(spanInputs);
const judged = noted.extend({
  falsePositive: z.boolean('must be true or false').default(false).meta({
    description:
      'The rule was wrong: what was sent is learnt as usual, and the block does not count when later ones grow.',
  }),
});

/** What an operator does to a proposal or a block. */
export function blockActionRoutes(deps: ApiDependencies): readonly Route[] {
  const action = <Body>(
    kind: BlockCommand['kind'],
    summary: string,
    schema: z.ZodType<Body>,
    commandOf: (block: string, body: Body) => BlockCommand,
  ): Route =>
    route<unknown, Body>({
      method: 'post',
      path: `${BLOCKS}/{id}/${kind}`,
      summary,
      role: 'operator',
      body: { schema, optional: true },
      responses: { 200: { description: 'The block as it is now', schema: blockShape } },
      async handle(ask) {
        const entry = await findEntry(deps, ask.params['id']!);
        return actOn(ask, entry, commandOf(entry.id, ask.body), deps);
      },
    });

  return [
    action(
      'approve',
      'Put a proposed block in force, for as long as was proposed or as is said',
      approval,
      (block, { note, ...span }) => ({
        ...{ kind: 'approve', block, span: optionalSpanOf(span) },
        ...(note === undefined ? {} : { note }),
      }),
    ),
    action(
      'dismiss',
      'Dismiss a proposal: the sends behind it count no more, and limits are tripled for an hour',
      judged,
      (block, body) => ({ kind: 'dismiss', block, ...body }),
    ),
    action(
      'release',
      'End an active block now: the sends behind it count no more, and limits are tripled for an hour',
      judged,
      (block, body) => ({ kind: 'release', block, ...body }),
    ),
  ];
}
