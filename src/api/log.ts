import { z } from 'zod';
import type { LogLevel } from '../config/schema.js';
import { LOG_LEVELS } from '../config/values.js';
import type { Component } from '../log/levels.js';
import { COMPONENTS } from '../log/levels.js';
import type { ApiDependencies } from './dependencies.js';
import { oneOf, wholeNumber } from './inputs.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';

const LEVEL = '/api/v1/log-level';
const LOG = '/api/v1/log';

const SEVERITIES = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

const levelsShape = z.object({
  level: z.enum(LOG_LEVELS).describe('of all components without one of their own'),
  configured: z.enum(LOG_LEVELS).describe('as the process was started with'),
  components: z.partialRecord(z.enum(COMPONENTS), z.enum(LOG_LEVELS)).describe('those that differ'),
});
export type LogLevelsJson = z.infer<typeof levelsShape>;

const lineShape = z.looseObject({ time: z.string(), level: z.string(), msg: z.string().optional() });
const linesShape = z.object({ items: z.array(lineShape).describe('oldest first') });
export type LogLinesJson = z.infer<typeof linesShape>;

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
      needsModels: false,
      responses: { 200: { description: 'The levels', schema: levelsShape } },
      handle: () => ok(levelsView()),
    }),
    route<unknown, LevelInput>({
      method: 'put',
      path: LEVEL,
      summary: 'Change how much this process logs, as a whole or in one component, until it ends',
      role: 'admin',
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

/** The newest that are at least as severe as asked for. */
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
