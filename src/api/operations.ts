import { Registry } from 'prom-client';
import { z } from 'zod';
import { wantsOpenMetrics } from '../metrics/registry.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';

const health = z.looseObject({
  status: z.enum(['ok', 'degraded']),
  store: z.string(),
  relay: z.string(),
  readModels: z.string(),
  listeners: z.string(),
  position: z.int(),
});
const readiness = z.object({ ready: z.boolean(), readModels: z.string(), listeners: z.string() });

/** For whoever runs the process: no token, and never an address. */
export function operationRoutes(deps: ApiDependencies): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/healthz',
      summary: 'How the process is; 200 as long as it answers',
      responses: { 200: { description: 'The details', schema: health } },
      handle: () => ok(deps.health()),
    }),
    route({
      method: 'get',
      path: '/readyz',
      summary: 'Whether it can do its work: read models caught up, listeners up',
      responses: {
        200: { description: 'Ready', schema: readiness },
        503: { description: 'Not ready', schema: readiness },
      },
      handle() {
        const { readModels, listeners } = deps.health();
        const ready = readModels === 'ready' && listeners === 'up';
        return { status: ready ? 200 : 503, body: { ready, readModels, listeners } };
      },
    }),
    route({
      method: 'get',
      path: '/metrics',
      summary: 'Metrics in the Prometheus text format, or in OpenMetrics where Accept prefers it',
      responses: { 200: { description: 'Metrics', schema: z.string(), type: 'text/plain' } },
      async handle({ request }) {
        const { registry } = deps.metrics;
        const headers = { Vary: 'Accept' };
        if (wantsOpenMetrics(request.get('accept'))) {
          const type = Registry.OPENMETRICS_CONTENT_TYPE;
          return { status: 200, headers, text: await registry.openMetrics(), type };
        }
        return { status: 200, headers, text: await registry.metrics(), type: registry.contentType };
      },
    }),
  ];
}
