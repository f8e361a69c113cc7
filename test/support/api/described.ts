import { appendFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { Api } from '../../../src/api/index.js';
import { openApi } from '../../../src/api/openapi.js';

interface Described {
  readonly content?: Readonly<Record<string, unknown>>;
}
interface Operation {
  readonly security?: unknown;
  readonly responses: Readonly<Record<string, Described>>;
  readonly parameters?: readonly { readonly name: string }[];
}
export interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

/** Where the runner collects which answers were seen, if it does. */
const SEEN = process.env['TEST_ANSWERS_SEEN'];

/** A document, and what compares with its schemas. */
class Description {
  readonly document: Document;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #compiled = new Map<string, ValidateFunction>();
  /** To write a document and to compile its schemas takes longer than most tests: all APIs with the same routes share one. */
  static readonly #known = new Map<string, Description>();

  static of({ routes }: Api): Description {
    const key = routes.map(({ method, path }) => `${method} ${path}`).join();
    const known = Description.#known.get(key) ?? new Description(routes);
    Description.#known.set(key, known);
    return known;
  }

  private constructor(routes: Api['routes']) {
    this.document = JSON.parse(JSON.stringify(openApi(routes))) as Document;
    formats.default(this.#ajv);
    this.#ajv.addSchema(this.document, 'api');
  }

  /** @param schema its place in the document */
  fault(schema: readonly string[], body: string): string | undefined {
    const ref = `api#/${schema.map(escaped).join('/')}`;
    let validate = this.#compiled.get(ref);
    if (validate === undefined) {
      validate = this.#ajv.compile({ $ref: ref });
      this.#compiled.set(ref, validate);
    }
    if (validate(JSON.parse(body))) return undefined;
    return this.#ajv.errorsText(validate.errors);
  }
}

/** Compares every answer of an API with the OpenAPI document that the API serves. */
export class DescribedApi {
  /** The same API, whose answers are looked at on their way out. */
  readonly api: Api;
  /** The first answer of each kind that is not as described: a sentence each. */
  readonly deviations = new Map<string, string>();
  readonly #description: Description;
  readonly #seen = new Set<string>();

  constructor(api: Api) {
    this.#description = Description.of(api);
    const app = ((request: IncomingMessage, response: ServerResponse): void => {
      this.#watch(request, response);
      api.app(request, response);
    }) as Api['app'];
    this.api = { ...api, app };
  }

  /** Tells the runner which answers are described, and which of them were seen. */
  report(): void {
    if (SEEN === undefined) return;
    const described = Object.entries(this.#description.document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { responses, security }]) =>
        Object.keys(responses)
          // What asks for no token may have nothing to refuse.
          .filter((status) => status !== 'default' || security === undefined)
          .map((status) => `described ${method} ${path} ${status}\n`),
      ),
    );
    const seen = [...this.#seen].map((answer) => `seen ${answer}\n`);
    appendFileSync(SEEN, described.concat(seen).join(''));
  }

  #watch(request: IncomingMessage, response: ServerResponse): void {
    const { method, url } = request;
    const end = response.end.bind(response) as (...args: unknown[]) => ServerResponse;
    const write = response.write.bind(response) as (...args: unknown[]) => boolean;
    const chunks: unknown[] = [];
    response.write = (...args: unknown[]) => {
      chunks.push(args[0]);
      return write(...args);
    };
    response.end = (...args: unknown[]) => {
      if (args[0] !== undefined) chunks.push(args[0]);
      const route = (response as unknown as { locals?: { route?: string } }).locals?.route;
      const body = chunks.map((chunk) => String(chunk)).join('');
      const type = String(response.getHeader('content-type') ?? '');
      const fault = this.#compare(method!, route, response.statusCode, type, body);
      const described = this.#description.document.paths[route ?? '']?.[verb(method!)]?.responses ?? {};
      const status = Object.hasOwn(described, response.statusCode) ? response.statusCode : 'default';
      this.#seen.add(`${verb(method!)} ${route} ${status}`);
      const kind = `${method} ${route} ${response.statusCode} ${fault}`;
      if (fault !== undefined && !this.deviations.has(kind))
        this.deviations.set(
          kind,
          `${method} ${url} was answered ${response.statusCode}: ${fault}: ${body.slice(0, 400)}`,
        );
      return end(...args);
    };
  }

  #compare(
    method: string,
    route: string | undefined,
    status: number,
    contentType: string,
    body: string,
  ): string | undefined {
    if (method === 'OPTIONS' && status === 204) return undefined;
    const type = contentType.replace(/;.*/, '');
    const operation =
      route === undefined ? undefined : this.#description.document.paths[route]?.[verb(method)];
    // What no operation answers, an unknown path for one, can only be a problem.
    if (operation === undefined)
      return type === PROBLEM ? this.#description.fault(PROBLEM_SCHEMA, body) : 'it is no problem';
    const by = Object.hasOwn(operation.responses, status) ? String(status) : 'default';
    const described = operation.responses[by];
    if (described === undefined) return 'the status is not described';
    if (by === 'default' && status < 400) return 'a success has no status of its own';
    if (described.content === undefined)
      return body === '' ? undefined : 'it has a body, and none is described';
    if (!Object.hasOwn(described.content, type)) return `the type "${type}" is not described`;
    const texts =
      type === 'text/event-stream'
        ? [...body.matchAll(/^data: (.*)$/gm)].map(([, data]) => data!)
        : method === 'HEAD' || !type.endsWith('json') || type.endsWith('ndjson')
          ? []
          : [body];
    const schema = ['paths', route!, verb(method), 'responses', by, 'content', type, 'schema'];
    return texts.map((text) => this.#description.fault(schema, text)).find((fault) => fault !== undefined);
  }
}

const PROBLEM = 'application/problem+json';
const PROBLEM_SCHEMA = ['components', 'schemas', 'Problem'] as const;

function verb(method: string): string {
  return method === 'HEAD' ? 'get' : method.toLowerCase();
}

/** A key within a JSON pointer that is part of a URI. */
function escaped(key: string): string {
  return encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'));
}
