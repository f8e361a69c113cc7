import { Registry } from 'prom-client';
import { z } from 'zod';
import { wantsOpenMetrics } from '../metrics/registry.js';
import type { OperationDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';

const health = z.looseObject({
  status: z.enum(['starting', 'rebuilding', 'ok', 'degraded']),
  store: z.string(),
  relay: z.string(),
  redis: z.string().optional(),
  readModels: z.string(),
  listeners: z.string(),
  position: z.int(),
});
const readiness = z.object({
  ready: z.boolean(),
  readModels: z.string(),
  listeners: z.string(),
  reason: z.string().optional(),
  events: z.int().optional(),
  position: z.int().optional(),
  head: z.int().nullable().optional(),
  percent: z.int().nullable().optional(),
});

/** For those who run the process: no token, but for metrics where others can reach them; and never an address. */
export function operationRoutes(deps: OperationDependencies): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/healthz',
      summary: 'How the process is; 200 as long as it answers, from its first moment',
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
        // One that is behind serves: taken out, it would serve nobody, and where the store is away all are behind.
        const ready = readModels !== 'catching-up' && listeners === 'up';
        return { status: ready ? 200 : 503, body: { ready, readModels, listeners, ...deps.progress() } };
      },
    }),
    route({
      method: 'get',
      path: '/metrics',
      summary: 'Metrics in the Prometheus text format, or in OpenMetrics where Accept prefers it',
      ...(deps.metricsTokens === undefined
        ? {}
        : { role: 'viewer', needsModels: false, authenticator: deps.metricsTokens }),
      responses: {
        200: {
          description: 'Metrics',
          schema: z.string(),
          type: ['text/plain', 'application/openmetrics-text'],
        },
      },
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
