import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Tracer } from '@opentelemetry/api';
import type { Logger } from 'pino';
import type { TracingSettings } from '../config/schema.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';

/** Spans that wait for the collector; what comes when so many do is dropped. About 2 MB. */
const MOST_WAITING = 2048;
const BATCH = 512;
/** How long a batch may take, with all that is tried again. The end of the process waits for no more than this. */
const PATIENCE: Milliseconds = 3 * SECOND;
const FLUSH_EVERY: Milliseconds = 2 * SECOND;

/** What makes spans and sends them. */
export interface TracingSdk {
  readonly tracer: Tracer;
  /** Sends what waits. */
  close(): Promise<void>;
}

/** The one part that loads the SDK: only if traces are sent at all. */
export function startSdk(
  { endpoint, headers, service }: TracingSettings,
  about: { readonly version: string; readonly roles: readonly string[] },
  log: Logger,
): TracingSdk {
  const exporter = new OTLPTraceExporter({ url: endpoint, headers, timeoutMillis: PATIENCE });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.version': about.version,
      'service.instance.id': randomUUID(),
      'host.name': hostname(),
      'stopgap.roles': [...about.roles],
    })
      .merge(detectResources({ detectors: [envDetector] }))
      // Last: OTEL_SERVICE_NAME is read with the settings, under our own.
      .merge(resourceFromAttributes({ 'service.name': service })),
    // Sampling is decided before a span is created; every part of a trace is sampled everywhere.
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new Reported(exporter, log),
        maxQueueSize: MOST_WAITING,
        maxExportBatchSize: BATCH,
        scheduledDelayMillis: FLUSH_EVERY,
        exportTimeoutMillis: 2 * PATIENCE,
      }),
    ],
  });
  return { tracer: provider.getTracer('stopgap', about.version), close: () => provider.shutdown() };
}

type Export = SpanExporter['export'];

/** Says once that the collector takes nothing, and once that it does again: a trace is never worth more than that. */
class Reported implements SpanExporter {
  readonly #inner: SpanExporter;
  readonly #log: Logger;
  #away = false;
  #lost = 0;

  constructor(inner: SpanExporter, log: Logger) {
    this.#inner = inner;
    this.#log = log;
  }

  export(spans: ReadableSpan[], done: Parameters<Export>[1]): void {
    this.#inner.export(spans, (result) => {
      if (result.code === ExportResultCode.SUCCESS) this.#delivered();
      else this.#failed(spans.length, result.error);
      done(result);
    });
  }

  async shutdown(): Promise<void> {
    await this.#inner.shutdown();
  }

  #delivered(): void {
    if (!this.#away) return;
    this.#away = false;
    this.#log.warn({ spansLost: this.#lost }, 'the collector takes traces again');
    this.#lost = 0;
  }

  #failed(spans: number, error: Error | undefined): void {
    this.#lost += spans;
    if (this.#away) return;
    this.#away = true;
    // Its message may repeat what the collector said; the kind of error says enough.
    const reason = (error as { code?: unknown } | undefined)?.code ?? error?.message ?? 'no reason given';
    this.#log.warn(
      { reason },
      'the collector takes no traces: they are dropped until it does; mail is not affected',
    );
  }
}
