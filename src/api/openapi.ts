import { z } from 'zod';
import { SCOPES } from '../accounts/roles.js';
import type { ResponseSpec, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { problemShape } from './shapes.js';

type Json = Readonly<Record<string, unknown>>;

/** The OpenAPI 3.1 document, made from the route table and the schemas that the handlers themselves use. */
export function openApi(routes: readonly Route[]): Json {
  const schemas: Record<string, unknown> = {};
  const paths: Record<string, Record<string, unknown>> = {};
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): unknown => {
    const { $defs = {}, properties } = z.toJSONSchema(z.object({ it: schema }), {
      io,
      unrepresentable: 'any',
    });
    for (const [name, { id: _, ...definition }] of Object.entries($defs))
      schemas[name] = relocated(definition);
    return relocated(properties!['it']);
  };
  const problem = { 'application/problem+json': { schema: schemaOf(problemShape, 'output') } };

  const responseOf = (spec: ResponseSpec): Json => {
    const { description, schema, type = 'application/json', text = [] } = spec;
    if (schema === undefined) return { description };
    const media = { schema: schemaOf(schema, 'output') };
    const plain = { schema: { type: 'string' } };
    const content = [
      ...[type].flat().map((name) => [name, media] as const),
      ...[text].flat().map((name) => [name, plain] as const),
    ];
    return { description, content: Object.fromEntries(content) };
  };

  const operationOf = (route: Route): Json => {
    const { summary, role, scope, body, responses } = route;
    const parameters = [
      ...pathParameters(route),
      ...queryParameters(route, schemaOf),
      ...headerParameters(route),
    ];
    const content: Record<string, unknown> = {};
    if (body !== undefined) content['application/json'] = { schema: schemaOf(body.schema, 'input') };
    if (body?.ndjson !== undefined) content['application/x-ndjson'] = { schema: { type: 'string' } };
    if (body?.yaml === true) content['application/yaml'] = { schema: { type: 'string' } };
    return {
      operationId: operationId(route),
      summary,
      ...(role === undefined ? { security: [] } : { 'x-role': role, 'x-scope': scope }),
      ...(parameters.length === 0 ? {} : { parameters }),
      ...(body === undefined ? {} : { requestBody: { required: body.optional !== true, content } }),
      responses: {
        ...Object.fromEntries(Object.entries(responses).map(([status, spec]) => [status, responseOf(spec)])),
        default: { description: 'A problem (RFC 9457)', content: problem },
      },
    };
  };

  for (const route of routes) (paths[route.path] ??= {})[route.method] = operationOf(route);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Stopgap',
      version: '1',
      description: 'Contains mail abuse: blocks, rules, senders. See docs/reference/api.md.',
    },
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      schemas,
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        session: { type: 'apiKey', in: 'cookie', name: '__Host-stopgap' },
      },
    },
  };
}

function pathParameters({ path }: Route): readonly Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(
  { query }: Route,
  schemaOf: (schema: z.ZodType, io: 'input') => unknown,
): readonly Json[] {
  if (query === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(query, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema,
  }));
}

function headerParameters({ method, role, path, isSecret }: Route): readonly Json[] {
  const header = (name: string, description: string): Json => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  });
  if (role === undefined) return [];
  if (path.endsWith('/events')) return [header('Last-Event-ID', 'Position of the last event received.')];
  if (method === 'get' || isSecret === true) return [];
  const key = header('Idempotency-Key', 'The same key with the same request gives the first answer again.');
  const tagged =
    /\/(?:blocks|overrides)\/\{/.test(path) ||
    path.includes('/rules/shadow') ||
    (method === 'put' && path.endsWith('/rules'));
  return tagged ? [key, header('If-Match', 'Only while the thing is at this version.')] : [key];
}

/** `GET /api/v1/blocks/{id}` becomes `get_blocks_id`, `GET /api/v1` itself `get_api_v1`. */
function operationId({ method, path }: Route): string {
  const words = path.replace(/^\/api\/v1(?=\/)/, '').match(/\w+/g) ?? ['root'];
  return [method, ...words].join('_');
}

/** Named schemas move from the schema that uses them to the document's components. */
function relocated(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(relocated);
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [
      name,
      name === '$ref' && typeof value === 'string'
        ? value.replace('#/$defs/', '#/components/schemas/')
        : relocated(value),
    ]),
  );
}

const DOCUMENT = '/api/v1/openapi.json';

/** The routes that tell a newcomer where to go. @param routes all other routes */
export function rootRoutes(routes: readonly Route[]): readonly Route[] {
  const own: Route[] = [
    route({
      method: 'get',
      path: '/api/v1',
      summary: 'The resources there are',
      role: 'viewer',
      scope: 'all',
      needsModels: false,
      responses: {
        200: {
          description: 'One item a route',
          schema: z.object({
            items: z.array(
              z.object({
                method: z.string(),
                path: z.string(),
                summary: z.string(),
                role: z.string().nullable(),
                scope: z.enum(SCOPES).meta({
                  description:
                    'For the role domain. own: what concerns its domains; all: as for others; none: not let in.',
                }),
              }),
            ),
          }),
        },
      },
      handle: () =>
        ok({
          items: all.map(({ method, path, summary, role, scope }) => ({
            method: method.toUpperCase(),
            path,
            summary,
            role: role ?? null,
            scope,
          })),
        }),
    }),
    route({
      method: 'get',
      path: DOCUMENT,
      summary: 'This API as an OpenAPI 3.1 document',
      role: 'viewer',
      scope: 'all',
      needsModels: false,
      responses: { 200: { description: 'The document', schema: z.looseObject({ openapi: z.string() }) } },
      // Written once: to write it takes longer than all else that is asked for.
      handle: () => ({ status: 200, text: (document ??= JSON.stringify(openApi(all))) }),
    }),
  ];
  const all = [...own, ...routes];
  let document: string | undefined;
  return all;
}
