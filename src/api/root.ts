import { z } from 'zod';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { openApi } from './openapi.js';

const DOCUMENT = '/api/v1/openapi.json';

/** What tells a newcomer where to go. @param routes everything else that there is */
export function rootRoutes(routes: readonly Route[]): readonly Route[] {
  const own: Route[] = [
    route({
      method: 'get',
      path: '/',
      summary: 'Where to go from here',
      responses: { 200: { description: 'Links', schema: z.record(z.string(), z.string()) } },
      handle: () =>
        ok({
          name: 'stopgap',
          api: '/api/v1',
          openapi: DOCUMENT,
          health: '/healthz',
          metrics: '/metrics',
          docs: 'docs/reference/api.md',
        }),
    }),
    route({
      method: 'get',
      path: '/api/v1',
      summary: 'The resources there are',
      role: 'viewer',
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
              }),
            ),
          }),
        },
      },
      handle: () =>
        ok({
          items: all.map(({ method, path, summary, role }) => ({
            method: method.toUpperCase(),
            path,
            summary,
            role: role ?? null,
          })),
        }),
    }),
    route({
      method: 'get',
      path: DOCUMENT,
      summary: 'This API as an OpenAPI 3.1 document',
      role: 'viewer',
      needsModels: false,
      responses: { 200: { description: 'The document', schema: z.looseObject({ openapi: z.string() }) } },
      handle: () => ok((document ??= openApi(all))),
    }),
  ];
  const all = [...own, ...routes];
  let document: unknown;
  return all;
}
