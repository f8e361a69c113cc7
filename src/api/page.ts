import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Request } from 'express';
import { z } from 'zod';
import { StopgapError } from '../kernel/errors.js';
import type { Answer, ApiRequest, ResponseSpec, Route } from './http/route.js';
import { route } from './http/route.js';

/** Where the build puts the page. */
const BUILT = path.resolve(import.meta.dirname, '../../page');

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Nothing from other hosts, nothing inline, in nobody's frame. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

interface PageFile {
  readonly type: string;
  readonly etag: string;
  /** Its bytes by their encoding. */
  readonly bytes: Readonly<Record<Encoding, Buffer>>;
}

const ENCODINGS = ['br', 'gzip', 'identity'] as const;
type Encoding = (typeof ENCODINGS)[number];
const SUFFIX: Readonly<Record<Encoding, string>> = { br: '.br', gzip: '.gz', identity: '' };

/**
 * The administrators' page: a few files that the process holds in memory, compressed. It needs no token: it shows nothing
 * before someone has signed in.
 */
export function pageRoutes(folder = BUILT): readonly Route[] {
  const files = filesOf(folder);
  const responses = (
    description: string,
    type: string | readonly string[],
  ): Record<number, ResponseSpec> => ({
    200: { description, type, schema: z.string() },
    304: { description: 'It is the one that the client has' },
  });
  const anyQuery = z.looseObject({});
  return [
    route({
      method: 'get',
      path: '/',
      scope: 'all',
      summary: "The administrators' page",
      query: anyQuery,
      responses: responses('The page', 'text/html'),
      handle: (request) => fileAnswer(request, files.get('index.html'), 'no-cache'),
    }),
    route({
      method: 'get',
      path: '/assets/{file}',
      scope: 'all',
      summary: "The page's scripts and styles",
      responses: responses('The file', ['text/javascript', 'text/css', 'image/svg+xml']),
      // The name has a hash of the content.
      handle: (request) =>
        fileAnswer(
          request,
          files.get(`assets/${request.params['file']}`),
          'public, max-age=31536000, immutable',
        ),
    }),
  ];
}

function filesOf(folder: string): ReadonlyMap<string, PageFile> {
  if (!existsSync(folder)) return new Map();
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && path.extname(entry.name) in TYPES)
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
  return new Map(
    names.map((name) => {
      const read = (encoding: Encoding): Buffer => readFileSync(path.join(folder, name) + SUFFIX[encoding]);
      const bytes = { br: read('br'), gzip: read('gzip'), identity: read('identity') };
      const etag = `"${createHash('sha256').update(bytes.identity).digest('base64url').slice(0, 22)}"`;
      return [name, { type: TYPES[path.extname(name)]!, etag, bytes }];
    }),
  );
}

function fileAnswer(
  { request, response }: ApiRequest<unknown, unknown>,
  file: PageFile | undefined,
  caching: string,
): Answer | undefined {
  if (file === undefined) throw new StopgapError('not-found', 'the page has no such file');
  response.set({
    'Content-Security-Policy': POLICY,
    'Cache-Control': caching,
    ETag: file.etag,
    Vary: 'Accept-Encoding',
  });
  if (request.get('if-none-match') === file.etag) {
    response.status(304).end();
    return undefined;
  }
  const encoding = encodingFor(request);
  if (encoding !== 'identity') response.set('Content-Encoding', encoding);
  const bytes = file.bytes[encoding];
  response
    .status(200)
    .set({ 'Content-Type': file.type, 'Content-Length': `${bytes.length}` })
    .end(bytes);
  return undefined;
}

/** The smallest that the client can read. */
function encodingFor(request: Request): Encoding {
  return ENCODINGS.find((encoding) => request.acceptsEncodings(encoding) !== false) ?? 'identity';
}
