import type { IncomingHttpHeaders } from 'node:http';
import http from 'node:http';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { anyText, damaged, nasty } from './cases.js';
import { oddYaml, ruleSetValue } from './rules.js';
import type { Schema } from './schema.js';
import { anyValue, named, ofSchema, warped } from './schema.js';

/** One operation of the OpenAPI document, as far as it matters for asking it. */
export interface Operation {
  readonly method: string;
  readonly path: string;
  /** Absent where no token is asked for. */
  readonly role: string | undefined;
  readonly scope: string | undefined;
  readonly query: readonly { readonly name: string; readonly schema: Schema }[];
  readonly body: Schema | undefined;
  readonly takesYaml: boolean;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}
interface Described {
  readonly 'x-role'?: string;
  readonly 'x-scope'?: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

export const ROLES = ['viewer', 'operator', 'admin', 'server', 'domain', 'none', 'wrong'] as const;
export type Who = (typeof ROLES)[number];

export interface Asked {
  readonly operation: Operation;
  readonly method: string;
  /** Path and query; `ID0` to `ID3` stand for ids that there are. */
  readonly target: string;
  readonly who: Who;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export function operationsOf(document: Document): readonly Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]): Operation => {
      const content = described.requestBody?.content ?? {};
      return {
        method: method.toUpperCase(),
        path,
        role: described['x-role'],
        scope: described['x-scope'],
        query: (described.parameters ?? []).filter((parameter) => parameter.in === 'query'),
        body: content['application/json']?.schema,
        takesYaml: content['application/yaml'] !== undefined,
      };
    }),
  );
}

const wellFormed = (text: string): string => Buffer.from(text, 'utf8').toString('utf8');
const encoded = (text: string): string => encodeURIComponent(wellFormed(text));

const oneOf = (words: string): fc.Arbitrary<string> => fc.constantFrom(...words.split(' '));

/** The values of a path parameter, by its name; and values that should not be there. */
const SEGMENTS: Readonly<Record<string, fc.Arbitrary<string>>> = {
  id: oneOf('ID0 ID0 ID1 ID1 ID2 ID3'),
  type: oneOf('account account domain ip ehlo address'),
  value: oneOf('fuzzed%40example.com fuzzed%40example.com example.com 192.0.2.7 192.0.2.0%2F24 plan'),
};
const oddSegment = fc.oneof(
  anyText.map(encoded),
  anyText.map((text) => encoded(encoded(text))),
  oneOf(
    '% %E0%A4%A %00 .. %2e%2e ..%2f..%2fetc%2fpasswd ID0%2F ID0;x %49D0 . %c0%ae ID0%00 ID0%20 __proto__ * :id',
  ),
  fc.constantFrom('(.*)', '%F0%9D%95%8F', 'x'.repeat(3000), ''),
);
const segment = (name: string): fc.Arbitrary<string> =>
  fc.oneof({ weight: 4, arbitrary: SEGMENTS[name] ?? oddSegment }, { weight: 1, arbitrary: oddSegment });

const header = fc
  .oneof(nasty, fc.string({ maxLength: 20 }), oneOf('"1" "1" W/"1" * "x","1" gzip chunked 0 key'))
  .map((text) => text.replace(/[^\t\x20-\x7e\x80-\xff]/g, '?'));
const HEADERS =
  'if-match if-none-match idempotency-key last-event-id x-request-id traceparent accept content-encoding ' +
  'x-forwarded-for x-http-method-override origin range cookie host';
const headers = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.dictionary(oneOf(HEADERS), header, { maxKeys: 3 }).map((all) => ({ ...all })) },
);

/** What one override says; the document tells of none of it. */
const terms = {
  limits: fc.dictionary(oneOf('burst minute hour x constructor'), fc.constantFrom<unknown>('off', 5, 5000), {
    maxKeys: 2,
  }),
  factor: fc.constantFrom(2, 0.1, 1, 100),
  plan: oneOf('gold silver'),
  until: fc.constant('2027-01-01'),
  reason: fc.constant('a newsletter'),
};
const override = fc.record(terms, { requiredKeys: ['factor'] });
const overrides = fc.array(
  fc.tuple(override, oneOf('a@example.com b@example.com example.com')).map(([entry, value]) => ({
    ...entry,
    subject: { type: value.includes('@') ? 'account' : 'domain', value },
  })),
  { minLength: 1, maxLength: 3 },
);

function valueOf(
  { path, body, takesYaml }: Operation,
  all: Readonly<Record<string, Schema>>,
): fc.Arbitrary<unknown> {
  const described = ofSchema(body!, all);
  if (takesYaml) return fc.oneof({ weight: 3, arbitrary: ruleSetValue }, { weight: 1, arbitrary: described });
  if (!path.includes('/overrides')) return described;
  return fc.oneof(path.endsWith('/overrides') ? overrides : override, described);
}

function bodyOf(operation: Operation, all: Readonly<Record<string, Schema>>): fc.Arbitrary<string> {
  const { takesYaml } = operation;
  const value = valueOf(operation, all);
  const json = (values: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
    values.map((each) => JSON.stringify(each) ?? '');
  const odd = fc.constantFrom(
    '',
    '{',
    '[',
    'null',
    '"\\ud800"',
    '{"a":1,"a":2}',
    '\ufeff{}',
    '{}{}',
    '[1e999]',
    '\0',
    '-',
    'nul',
    '['.repeat(5000),
    '{"a":'.repeat(2000),
    '{"__proto__":{"polluted":true}}',
    '{"__proto__":null}',
  );
  return fc.oneof(
    { weight: 9, arbitrary: json(value) },
    { weight: 5, arbitrary: json(warped(value)) },
    { weight: 1, arbitrary: json(anyValue) },
    { weight: 1, arbitrary: damaged(json(value)) },
    { weight: 1, arbitrary: odd },
    ...(takesYaml
      ? [
          {
            weight: 3,
            arbitrary: fc.oneof(
              oddYaml,
              ruleSetValue.map((each) => stringify(each)),
            ),
          },
        ]
      : []),
  );
}

function queryOf({ query }: Operation, all: Readonly<Record<string, Schema>>): fc.Arbitrary<string> {
  const odd = oneOf('__proto__=1 a[b]=c limit[]=1 = %=% limit constructor=x & %00=1');
  const known = query.map(({ name, schema }) =>
    named(name, schema, all).map((value) => `${name}=${encoded(String(value))}`),
  );
  const one =
    known.length === 0
      ? odd
      : fc.oneof({ weight: 20, arbitrary: fc.oneof(...known) }, { weight: 1, arbitrary: odd });
  const some = fc.array(one, { minLength: 1, maxLength: 4 }).map((parts) => `?${parts.join('&')}`);
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant('') },
    { weight: known.length === 0 ? 1 : 6, arbitrary: some },
  );
}

/** A request to one of the operations; now and then by a method that its path may not have. */
export function requestsOf(document: Document): fc.Arbitrary<Asked> {
  const { schemas } = document.components;
  const operations = operationsOf(document);
  const method = fc.oneof(
    { weight: 5, arbitrary: fc.constant('') },
    { weight: 1, arbitrary: oneOf('OPTIONS HEAD TRACE DELETE PUT PATCH POST PROPFIND') },
  );
  const type = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom('application/json', 'application/json;charset=UTF-8') },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'text/plain',
        'application/x-ndjson',
        'application/json; charset=utf-16',
        'x',
        ';',
        'multipart/form-data',
      ),
    },
  );
  return fc.constantFrom(...operations).chain((operation) => {
    const holes = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => segment(name!));
    return fc
      .record({
        other: method,
        parts: fc.tuple(...holes),
        query: queryOf(operation, schemas),
        who: fc.constantFrom<Who>('admin', 'admin', 'admin', ...ROLES),
        headers,
        body:
          operation.body === undefined
            ? fc.constantFrom(undefined, undefined, undefined, '{}')
            : bodyOf(operation, schemas),
        type,
      })
      .map(({ other, parts, query, who, headers: more, body, type: stated }): Asked => {
        const path = parts.reduce((whole, part) => whole.replace(/\{\w+\}/, () => part), operation.path);
        const contentType = isYaml(body) && operation.takesYaml ? 'application/yaml' : stated;
        return {
          operation,
          method: other === '' ? operation.method : other,
          who,
          body,
          target: `${path}${query}`,
          headers: body === undefined ? more : { 'content-type': contentType, ...more },
        };
      });
  });
}

/** Rules are sent as either; what begins like JSON is taken for that. */
function isYaml(body: string | undefined): boolean {
  return body !== undefined && !/^[[{"]/.test(body);
}

export interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Sends it unchanged: nothing normalises the path. Of an event stream it awaits only the beginning. */
export function send(
  port: number,
  { method, target, headers: given, body }: Pick<Asked, 'method' | 'target' | 'headers' | 'body'>,
  agent: http.Agent,
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, method, path: target, headers: given, agent },
      (response) => {
        let text = '';
        const done = (): void => resolve({ status: response.statusCode!, headers: response.headers, text });
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', done).on('error', reject);
        if (response.headers['content-type']?.startsWith('text/event-stream') === true) {
          response.on('error', () => undefined).destroy();
          done();
        }
      },
    );
    request.on('error', reject);
    // Node leaves it out where a method has no body as a rule.
    if (body !== undefined) request.setHeader('content-length', Buffer.byteLength(body));
    request.end(body);
  });
}
