import { Registry } from 'prom-client';
import { z } from 'zod';
import type { LogLevel } from '../config/schema.js';
import { LOG_LEVELS } from '../config/values.js';
import { StopgapError } from '../kernel/errors.js';
import type { Component } from '../log/levels.js';
import { COMPONENTS } from '../log/levels.js';
import { wantsOpenMetrics } from '../metrics/registry.js';
import type { ApiDependencies, OperationDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { oneOf, wholeNumber } from './shapes.js';

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

/** For those who run the process. They need no token, except for metrics that others can reach, and show no address. */
export function operationRoutes(deps: OperationDependencies): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/healthz',
      scope: 'all',
      summary: 'How the process is; 200 as long as it answers, from its first moment',
      responses: { 200: { description: 'The details', schema: health } },
      handle: () => ok({ ...deps.health(), unanswered: deps.unanswered() }),
    }),
    route({
      method: 'get',
      path: '/readyz',
      scope: 'all',
      summary: 'Whether it can do its work: read models caught up, listeners up',
      responses: {
        200: { description: 'Ready', schema: readiness },
        503: { description: 'Not ready', schema: readiness },
      },
      handle() {
        const { readModels, listeners } = deps.health();
        // A process that is behind still serves. While the store is away all of them are behind.
        const ready = readModels !== 'catching-up' && (listeners === 'up' || listeners === 'crowded');
        return { status: ready ? 200 : 503, body: { ready, readModels, listeners, ...deps.progress() } };
      },
    }),
    route({
      method: 'get',
      path: '/metrics',
      scope: 'none',
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

const LEVEL = '/api/v1/log-level';
const LOG = '/api/v1/log';

const SEVERITIES = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

const levelsShape = z.object({
  level: z.enum(LOG_LEVELS).describe('of all components without one of their own'),
  configured: z.enum(LOG_LEVELS).describe('as the process was started with'),
  components: z.partialRecord(z.enum(COMPONENTS), z.enum(LOG_LEVELS)).describe('those that differ'),
});

type LogLevelsJson = z.infer<typeof levelsShape>;

const lineShape = z.looseObject({ time: z.string(), level: z.string(), msg: z.string().optional() });
const linesShape = z.object({ items: z.array(lineShape).describe('oldest first') });
type LogLinesJson = z.infer<typeof linesShape>;

interface LevelInput {
  readonly level: LogLevel;
  readonly component?: Component | undefined;
}

interface LinesQuery {
  readonly limit: number;
  readonly level: (typeof SEVERITIES)[number];
  readonly component?: Component | undefined;
}

/** What this process logs: how much, and the last of it. */
export function logRoutes({ logs }: ApiDependencies): readonly Route[] {
  const { levels, recent } = logs;
  const levelsView = (): LogLevelsJson => {
    const { level, configured, exceptions } = levels;
    return { level, configured, components: exceptions };
  };
  return [
    route({
      method: 'get',
      path: LEVEL,
      summary: 'How much this process logs',
      role: 'viewer',
      scope: 'none',
      needsModels: false,
      responses: { 200: { description: 'The levels', schema: levelsShape } },
      handle: () => ok(levelsView()),
    }),
    route<unknown, LevelInput>({
      method: 'put',
      path: LEVEL,
      summary: 'Change how much this process logs, as a whole or in one component, until it ends',
      role: 'admin',
      scope: 'none',
      needsModels: false,
      body: { schema: z.strictObject({ level: oneOf(LOG_LEVELS), component: oneOf(COMPONENTS).optional() }) },
      responses: { 200: { description: 'The levels as they are now', schema: levelsShape } },
      handle({ body, caller, requestId }) {
        levels.set(body.level, `admin:${caller.name}`, body.component, `request:${requestId}`);
        return ok(levelsView());
      },
    }),
    route<LinesQuery>({
      method: 'get',
      path: LOG,
      summary: 'The last lines that this process logged, oldest first',
      role: 'admin',
      scope: 'none',
      needsModels: false,
      query: z.strictObject({
        limit: wholeNumber(1, recent.maxLines, 200),
        level: oneOf(SEVERITIES).default('trace'),
        component: oneOf(COMPONENTS).optional(),
      }),
      responses: { 200: { description: 'The lines', schema: linesShape } },
      handle: ({ query }) => ok({ items: chosen(recent.lines, query) }),
    }),
  ];
}

/** The newest lines that are at least as severe as the query says. */
function chosen(lines: readonly string[], { limit, level, component }: LinesQuery): LogLinesJson['items'] {
  const least = SEVERITIES.indexOf(level);
  const found: LogLinesJson['items'] = [];
  for (let index = lines.length - 1; index >= 0 && found.length < limit; index--) {
    const line = JSON.parse(lines[index]!) as LogLinesJson['items'][number];
    const severity = SEVERITIES.findIndex((name) => name === line.level);
    if (severity <= least && (component === undefined || line['component'] === component)) found.push(line);
  }
  return found.reverse();
}

const input = z.strictObject({
  ids: z
    .array(z.string())
    .optional()
    .meta({ description: 'Ids of events in quarantine; all of them where it is left out.' }),
});
const retryShape = z.object({
  retried: z.int().meta({ description: 'So many events wait for the store again.' }),
  quarantine: z.int().meta({ description: 'So many are still in quarantine.' }),
});

type RetryInput = z.infer<typeof input>;
type RetryJson = z.infer<typeof retryShape>;

/** What this process keeps on its own disk for the store that all share. */
export function outboxRoutes({ outbox }: Pick<ApiDependencies, 'outbox'>): readonly Route[] {
  return [
    route<unknown, RetryInput>({
      method: 'post',
      path: '/api/v1/outbox/retry',
      summary: 'Try events once more that the store has refused and this process keeps in quarantine',
      role: 'operator',
      scope: 'none',
      needsModels: false,
      body: { schema: input, optional: true },
      responses: { 200: { description: 'They wait for the store', schema: retryShape } },
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
