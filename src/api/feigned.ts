import { z } from 'zod';
import type { Milliseconds } from '../kernel/time.js';
import { formatInstant, MINUTE } from '../kernel/time.js';
import type { AuthenticationFailed } from '../sending/events.js';
import { authStream, CLOCK_TOLERANCE } from '../sending/events.js';
import { clientNetwork, normalizeIp } from '../sending/identity.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { durationInput, once } from './shapes.js';

/** Events that are read: of a network that tries without end, a few minutes. */
const MOST_READ = 1000;

interface Query {
  readonly ip: string;
  readonly within: Milliseconds;
}

const shape = z.object({
  network: z.string().meta({ description: 'An IPv4 address or an IPv6 /64: failures are counted by it.' }),
  since: z.string(),
  feigned: z.int().meta({ description: 'Logins that a block made fail.' }),
  genuine: z.int().meta({ description: 'Wrong passwords.' }),
});
type FeignedJson = z.infer<typeof shape>;

/** Whether failed logins from an address were failures at all: what bans addresses asks it first. */
export function feignedRoute({ store, clock }: Pick<ApiDependencies, 'store' | 'clock'>): Route {
  return route<Query>({
    method: 'get',
    path: '/api/v1/feigned',
    summary:
      'How many logins from an address failed lately, and how many of them because a block made them fail',
    role: 'server',
    scope: 'none',
    query: z.strictObject({
      ip: once.transform((text, context) => {
        const ip = normalizeIp(text);
        if (ip !== undefined) return ip;
        context.addIssue({ code: 'custom', message: 'must be an IP address' });
        return z.NEVER;
      }),
      within: durationInput.default(10 * MINUTE),
    }),
    responses: { 200: { description: 'The counts', schema: shape } },
    async handle({ query: { ip, within } }) {
      const since = clock.now() - within;
      const network = clientNetwork(ip);
      const counts = { feigned: 0, genuine: 0 };
      const newest = store.readStream(authStream(network), { direction: 'backwards', limit: MOST_READ });
      for await (const { type, at, recordedAt, data } of newest) {
        if (recordedAt < since - CLOCK_TOLERANCE) break;
        // A login that failed long ago may have been reported just now.
        if (at < since || type !== 'AuthenticationFailed') continue;
        const { kind, count } = data as AuthenticationFailed;
        counts[kind] += count;
      }
      return ok({ network, since: formatInstant(since), ...counts } satisfies FeignedJson);
    },
  });
}
