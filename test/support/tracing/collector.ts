import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

type Value =
  | { readonly stringValue: string }
  | { readonly intValue: number | string }
  | { readonly doubleValue: number }
  | { readonly boolValue: boolean }
  | { readonly arrayValue: { readonly values: readonly Value[] } };

interface KeyValue {
  readonly key: string;
  readonly value: Value;
}

/** A span as OTLP has it in JSON (opentelemetry-proto, trace.proto), as far as tests look at it. */
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly KeyValue[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly events?: readonly { readonly name: string }[];
  readonly status?: { readonly code?: number };
}

interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

/** What came out of a process. */
export interface Seen {
  readonly trace: string;
  readonly id: string;
  readonly parent: string | undefined;
  readonly name: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Ids of the spans that it points to. */
  readonly links: readonly string[];
  readonly events: readonly string[];
  readonly failed: boolean;
  /** Nanoseconds since the epoch. */
  readonly begun: bigint;
  readonly ended: bigint;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** Takes what is exported by OTLP over HTTP in JSON, as a collector does. */
export class Collector {
  readonly spans: Seen[] = [];
  /** Every body, as it came. */
  readonly bodies: string[] = [];
  readonly headers: http.IncomingHttpHeaders[] = [];
  /** What it answers from now on; 0: nothing at all. */
  status = 200;
  readonly #server: http.Server;
  #look: () => void = () => undefined;

  private constructor(server: http.Server) {
    this.#server = server;
  }

  static async start(t: Pick<TestContext, 'after'>): Promise<Collector> {
    const server = http.createServer();
    const collector = new Collector(server);
    server.on('request', (request, response) => void collector.#take(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    return collector;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/traces`;
  }

  named(name: string): readonly Seen[] {
    return this.spans.filter((span) => span.name === name);
  }

  /** Resolves with what `find` finds, once it does; fails with what there is after ten seconds. */
  async found<T>(what: string, find: (collector: this) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no ${what} after ten seconds among\n${describe(this.spans)}`));
      }, 10_000);
      this.#look = () => {
        const found = find(this);
        if (found === undefined) return;
        clearTimeout(timer);
        this.#look = () => undefined;
        resolve(found);
      };
      this.#look();
    });
  }

  /** From the root down to this span. */
  ancestry(span: Seen): readonly Seen[] {
    const parent = this.spans.find(({ id, trace }) => id === span.parent && trace === span.trace);
    return parent === undefined ? [span] : [...this.ancestry(parent), span];
  }

  async #take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    this.headers.push(request.headers);
    if (this.status === 200) {
      this.bodies.push(body);
      this.spans.push(...spansOf(JSON.parse(body) as Exported));
    }
    if (this.status !== 0) response.writeHead(this.status, { 'content-type': 'application/json' }).end('{}');
    this.#look();
  }
}

/** A line each, for the message of a failed test. */
export function describe(spans: readonly Seen[]): string {
  return spans
    .map(({ trace, id, parent, name, attributes }) =>
      [
        trace.slice(0, 6),
        `${parent?.slice(0, 6)} > ${id.slice(0, 6)}`,
        name,
        JSON.stringify(attributes),
      ].join('  '),
    )
    .join('\n');
}

function spansOf({ resourceSpans }: Exported): Seen[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const about = plain(resource.attributes);
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => seen(span, about)));
  });
}

function seen(span: OtlpSpan, resource: Seen['resource']): Seen {
  const { traceId, spanId, parentSpanId, name, attributes, links = [], events = [], status } = span;
  return {
    trace: traceId,
    id: spanId,
    parent: parentSpanId === '' ? undefined : parentSpanId,
    name,
    attributes: plain(attributes),
    links: links.map((link) => link.spanId),
    events: events.map((event) => event.name),
    failed: status?.code === 2,
    begun: BigInt(span.startTimeUnixNano),
    ended: BigInt(span.endTimeUnixNano),
    resource,
  };
}

function plain(attributes: readonly KeyValue[]): Record<string, unknown> {
  const valueOf = (value: Value): unknown =>
    'arrayValue' in value ? value.arrayValue.values.map(valueOf) : Object.values(value)[0];
  return Object.fromEntries(attributes.map(({ key, value }) => [key, valueOf(value)]));
}
