import { z } from 'zod';
import { BLOCKS, actOn, entryOf } from './blocks.js';
import type { Commands } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { route } from './http/route.js';
import { noteInput } from './inputs.js';
import { blockShape } from './shapes.js';

const noted = z.strictObject({ note: noteInput.optional() });
const release = z.strictObject({
  note: noteInput.optional(),
  falsePositive: z
    .boolean('must be true or false')
    .default(false)
    .meta({ description: 'The rule was wrong: it does not count when later blocks grow.' }),
});

/** What an operator does to a proposal or a block. */
export function blockActionRoutes(deps: ApiDependencies, commands: Commands): readonly Route[] {
  const judge = (kind: 'approve' | 'dismiss', summary: string): Route =>
    route<unknown, z.infer<typeof noted>>({
      method: 'post',
      path: `${BLOCKS}/{id}/${kind}`,
      summary,
      role: 'operator',
      body: { schema: noted, optional: true },
      responses: { 200: { description: 'The block as it is now', schema: blockShape } },
      async handle(ask) {
        const entry = entryOf(deps, ask.params['id']!);
        return actOn(ask, entry, { kind, block: entry.id, ...ask.body }, deps, commands);
      },
    });

  return [
    judge('approve', 'Put a proposed block in force'),
    judge('dismiss', 'Dismiss a proposal: the sends behind it count no more'),
    route<unknown, z.infer<typeof release>>({
      method: 'post',
      path: `${BLOCKS}/{id}/release`,
      summary:
        'End an active block now: the sends behind it count no more, and limits are tripled for an hour',
      role: 'operator',
      body: { schema: release, optional: true },
      responses: { 200: { description: 'The block as it is now', schema: blockShape } },
      async handle(ask) {
        const entry = entryOf(deps, ask.params['id']!);
        const { falsePositive, note } = ask.body;
        const command = {
          kind: 'release',
          block: entry.id,
          falsePositive,
          ...(note === undefined ? {} : { note }),
        } as const;
        return actOn(ask, entry, command, deps, commands);
      },
    }),
  ];
}
