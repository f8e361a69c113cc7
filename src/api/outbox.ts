import { z } from 'zod';
import { StopgapError } from '../kernel/errors.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';

const input = z.strictObject({
  ids: z
    .array(z.string())
    .optional()
    .meta({ description: 'Ids of events in quarantine; all of them where it is left out.' }),
});
const outcome = z.object({
  retried: z.int().meta({ description: 'So many events wait for the store again.' }),
  quarantine: z.int().meta({ description: 'So many are still in quarantine.' }),
});

export type RetryInput = z.infer<typeof input>;
export type RetryJson = z.infer<typeof outcome>;

/** What this process keeps on its own disk for the store that all share. */
export function outboxRoutes({ outbox }: Pick<ApiDependencies, 'outbox'>): readonly Route[] {
  return [
    route<unknown, RetryInput>({
      method: 'post',
      path: '/api/v1/outbox/retry',
      summary: 'Try events once more that the store has refused and this process keeps in quarantine',
      role: 'operator',
      needsModels: false,
      body: { schema: input, optional: true },
      responses: { 200: { description: 'They wait for the store', schema: outcome } },
      async handle({ body: { ids } }) {
        if (outbox === undefined)
          throw new StopgapError(
            'not-found',
            'this process keeps no outbox: ask an SMTP node with KurrentDB',
          );
        const retried = await outbox.retry(ids);
        return ok({ retried, quarantine: outbox.quarantined } satisfies RetryJson);
      },
    }),
  ];
}
