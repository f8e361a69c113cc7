import { useQuery as useServerQuery } from '@tanstack/react-query';
import { useDeferredValue, useMemo } from 'react';
import { answered, api, urlOf } from '../api.js';
import { Field } from '../parts/forms.js';
import { Empty, Loaded } from '../parts/states.js';
import { useQuery } from '../route.js';

/** What of JSON Schema the document uses. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly additionalProperties?: Schema | boolean;
}
type Content = Readonly<Record<string, { readonly schema?: Schema }>>;
interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema?: Schema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses?: Readonly<
    Record<string, { readonly description?: string; readonly content?: Content }>
  >;
  readonly [extension: `x-${string}`]: unknown;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}
interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

/** The served description of the API, for people. */
export function ApiScreen() {
  const [query, change] = useQuery();
  const document = useServerQuery({
    queryKey: ['openapi'],
    queryFn: async () => (await answered(api.GET('/api/v1/openapi.json'))) as unknown as Document,
    staleTime: Infinity,
  });
  const words = useDeferredValue((query['q'] ?? '').toLowerCase());
  const groups = useMemo(() => groupsOf(document.data, words), [document.data, words]);
  return (
    <>
      <div className="head">
        <h1>API</h1>
        <a className="button" href={urlOf('/api/v1/openapi.json')} download="openapi.json">
          OpenAPI document
        </a>
      </div>
      <p className="quiet">
        Everything that this page does goes through these routes. Programs ask with a token: on the server,{' '}
        <code>stopgap token add --name NAME --role ROLE</code>
      </p>
      <div className="filters">
        <Field
          label="Find a route"
          name="q"
          type="search"
          value={query['q'] ?? ''}
          onChange={(event) => change({ q: event.target.value })}
        />
      </div>
      <Loaded query={document}>
        {({ components }) =>
          groups.length === 0 ? (
            <Empty title="No route matches" />
          ) : (
            groups.map(([name, routes]) => (
              <section key={name} aria-labelledby={`group-${name}`}>
                <h2 id={`group-${name}`}>{name}</h2>
                {routes.map((route) => (
                  <RouteDetails
                    key={`${route.method} ${route.path}`}
                    route={route}
                    schemas={components?.schemas ?? {}}
                  />
                ))}
              </section>
            ))
          )
        }
      </Loaded>
    </>
  );
}

/** Routes by the first word of their path. */
function groupsOf(
  document: Document | undefined,
  words: string,
): readonly (readonly [string, readonly Route[]])[] {
  const groups = new Map<string, Route[]>();
  for (const [path, operations] of Object.entries(document?.paths ?? {}))
    for (const [method, operation] of Object.entries(operations)) {
      const text = `${method} ${path} ${operation.summary ?? ''}`.toLowerCase();
      if (!words.split(/\s+/).every((word) => text.includes(word))) continue;
      const name = /^\/api\/v1\/([\w-]+)/.exec(path)?.[1] ?? 'operations';
      groups.set(name, [...(groups.get(name) ?? []), { method, path, operation }]);
    }
  return [...groups].sort(([a], [b]) => a.localeCompare(b));
}

type Schemas = Readonly<Record<string, Schema>>;

function RouteDetails({ route: { method, path, operation }, schemas }: { route: Route; schemas: Schemas }) {
  const role = operation['x-role'];
  const { summary, parameters = [], requestBody, responses = {} } = operation;
  const [bodyType, body] = Object.entries(requestBody?.content ?? {})[0] ?? [];
  return (
    <details className="route">
      <summary>
        <span className="tag mono">{method.toUpperCase()}</span> <span className="mono">{path}</span>{' '}
        <span className="quiet">
          {summary} {typeof role === 'string' && `(${role})`}
        </span>
      </summary>
      {parameters.length > 0 && (
        <>
          <h3>Parameters</h3>
          <dl className="facts">
            {parameters.map((one) => (
              <div key={`${one.in} ${one.name}`}>
                <dt className="mono">
                  {one.name}
                  {one.required === true && ' *'}
                </dt>
                <dd>
                  {one.schema !== undefined && <code>{shapeOf(one.schema, schemas, 0)}</code>}{' '}
                  <span className="quiet">
                    {one.in === 'query' ? '' : `in the ${one.in}; `}
                    {one.description}
                  </span>
                </dd>
              </div>
            ))}
          </dl>
        </>
      )}
      {body?.schema !== undefined && (
        <>
          <h3>Body</h3>
          <pre tabIndex={0} aria-label={`Body of ${method} ${path}`}>
            {shapeOf(body.schema, schemas, 0)}
          </pre>
        </>
      )}
      <h3>Answers</h3>
      {Object.entries(responses).map(([status, { description, content }]) => {
        const schema = Object.values(content ?? {})[0]?.schema;
        return (
          <div key={status}>
            <p>
              <strong>{status === 'default' ? 'otherwise' : status}</strong> {description}
            </p>
            {schema !== undefined && status !== 'default' && (
              <pre tabIndex={0} aria-label={`Answer ${status} of ${method} ${path}`}>
                {shapeOf(schema, schemas, 0)}
              </pre>
            )}
          </div>
        );
      })}
      <h3>With curl</h3>
      <pre tabIndex={0} aria-label={`curl for ${method} ${path}`}>
        {curlOf(method, path, bodyType)}
      </pre>
    </details>
  );
}

function curlOf(method: string, path: string, bodyType: string | undefined): string {
  return [
    `curl -sS${method === 'get' ? '' : ` -X ${method.toUpperCase()}`} '${urlOf(path)}'`,
    `-H "Authorization: Bearer $TOKEN"`,
    ...(bodyType === undefined ? [] : [`-H 'Content-Type: ${bodyType}'`, `-d '…'`]),
  ].join(' \\\n  ');
}

/** Beyond that many levels a shape is named only. */
const DEEPEST = 4;

/** A schema as one would write the type of it. */
function shapeOf(schema: Schema, schemas: Schemas, depth: number): string {
  const { $ref, anyOf, oneOf, allOf, properties, items, required = [], additionalProperties } = schema;
  const name = $ref?.split('/').at(-1);
  if (name !== undefined) {
    const known = schemas[name];
    // Its own members are shown once, on the first level.
    return known === undefined || depth > 0 ? name : shapeOf(known, schemas, depth);
  }
  const several = anyOf ?? oneOf;
  if (several !== undefined) return several.map((one) => shapeOf(one, schemas, depth)).join(' | ');
  if (allOf !== undefined) return allOf.map((one) => shapeOf(one, schemas, depth)).join(' & ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((one) => JSON.stringify(one)).join(' | ');
  if (items !== undefined) return `${shapeOf(items, schemas, depth + 1)}[]`;
  if (properties !== undefined) {
    if (depth >= DEEPEST) return '{…}';
    const indent = '  '.repeat(depth + 1);
    const lines = Object.entries(properties).map(([key, value]) => {
      const about = value.description === undefined ? '' : `  # ${value.description}`;
      return `${indent}${key}${required.includes(key) ? '' : '?'}: ${shapeOf(value, schemas, depth + 1)}${about}`;
    });
    return `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}`;
  }
  if (typeof additionalProperties === 'object')
    return `{ [name]: ${shapeOf(additionalProperties, schemas, depth + 1)} }`;
  return typeof schema.type === 'string' ? schema.type : (schema.type?.join(' | ') ?? 'anything');
}
