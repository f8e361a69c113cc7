import { z } from 'zod';
import { BLOCK_CATEGORY } from '../blocks/events.js';
import { FORGETTING_CATEGORY } from '../forgetting/events.js';
import type { Milliseconds } from '../kernel/time.js';
import { formatDuration, formatInstant } from '../kernel/time.js';
import { NOTICES_CATEGORY } from '../notices/events.js';
import { OVERRIDE_CATEGORY } from '../overrides/events.js';
import { RULES_CATEGORY } from '../rules/model.js';
import { PROFILE_CATEGORY, SUMMARIES_KEPT } from '../sending/day-summary.js';
import { AUTH_CATEGORY, HELD_CATEGORY, SEND_CATEGORY } from '../sending/events.js';
import { HELD_KEPT } from '../sending/most-held.js';
import { SESSION_CATEGORY } from '../sessions/events.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { instantShape } from './shapes.js';

/** What people call each category, in the order in which they are shown. */
const NAMES = {
  sends: SEND_CATEGORY,
  held: HELD_CATEGORY,
  auth: AUTH_CATEGORY,
  notices: NOTICES_CATEGORY,
  days: PROFILE_CATEGORY,
  blocks: BLOCK_CATEGORY,
  overrides: OVERRIDE_CATEGORY,
  rules: RULES_CATEGORY,
  sessions: SESSION_CATEGORY,
  forgotten: FORGETTING_CATEGORY,
} as const;

const bytes = z.int().nullable();

const categoryShape = z
  .object({
    name: z.string().meta({ examples: ['sends'] }),
    category: z.string().meta({ description: 'How the names of its streams begin.', examples: ['send'] }),
    retention: z
      .string()
      .nullable()
      .meta({ description: 'Null: for ever.', examples: ['35d'] }),
    events: z.int().nullable().meta({ description: 'Null where the store does not tell.' }),
    isEstimate: z.boolean(),
    oldestAt: instantShape.nullable().meta({ description: 'When the oldest one was written.' }),
  })
  .meta({ id: 'StorageCategory' });

const storageShape = z
  .object({
    store: z.enum(['sqlite', 'kurrentdb']),
    categories: z.array(categoryShape),
    bytes: bytes.meta({ description: "Of the store's files; null where it is a server." }),
    reclaimable: bytes.meta({ description: 'Of these, what holds nothing. It is used again first.' }),
    givesBack: z.boolean().meta({
      description: 'Whether more than a tenth of free space is given back to the disk after each sweep.',
    }),
    free: bytes.meta({ description: 'What the disk has left.' }),
  })
  .meta({ id: 'Storage' });
export type StorageJson = z.infer<typeof storageShape>;

/** What is kept, for how long, and what it takes. */
export function storageRoute({ store, retention }: ApiDependencies): Route {
  const kept: Readonly<Record<string, Milliseconds>> = {
    [SEND_CATEGORY]: retention.sends,
    [HELD_CATEGORY]: HELD_KEPT,
    [AUTH_CATEGORY]: retention.sends,
    [NOTICES_CATEGORY]: retention.sends,
    [PROFILE_CATEGORY]: SUMMARIES_KEPT,
  };
  // It holds the event loop for some milliseconds: one reading serves all who wait for it.
  let reading: ReturnType<typeof store.storage> | undefined;
  const read = (): ReturnType<typeof store.storage> =>
    (reading ??= store.storage().finally(() => (reading = undefined)));
  return route({
    method: 'get',
    path: '/api/v1/storage',
    summary: 'What is kept, for how long, and what it takes on the disk',
    role: 'viewer',
    scope: 'none',
    needsModels: false,
    responses: { 200: { description: 'By category', schema: storageShape } },
    async handle() {
      const { categories, ...rest } = await read();
      return ok({
        store: rest.bytes === null ? 'kurrentdb' : 'sqlite',
        ...rest,
        categories: Object.entries(NAMES).map(([name, category]) => {
          const use = categories?.find((found) => found.category === category);
          const age = kept[category];
          return {
            name,
            category,
            retention: age === undefined ? null : formatDuration(age),
            events: use?.events ?? (categories === null ? null : 0),
            isEstimate: use?.isEstimate ?? false,
            oldestAt: use === undefined ? null : formatInstant(use.oldestAt),
          };
        }),
      } satisfies StorageJson);
    },
  });
}
