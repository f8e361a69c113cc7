import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { Tracing } from '../../../src/tracing/tracing.js';

/** Tracing whose spans stay in memory. */
export interface Recorded {
  readonly tracing: Tracing;
  /** Spans that have ended, the first that ended first. */
  readonly spans: () => readonly ReadableSpan[];
  /** The one of this name. */
  readonly one: (name: string) => ReadableSpan;
}

/** @param random what decides on each that could be traced */
export function recordedTracing(sample = 1, random?: () => number): Recorded {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const spans = (): readonly ReadableSpan[] => exporter.getFinishedSpans();
  return {
    tracing: new Tracing(provider.getTracer('test'), sample, random),
    spans,
    one(name) {
      const found = spans().filter((span) => span.name === name);
      if (found.length !== 1)
        throw new Error(
          `${found.length} spans ${name} among ${spans()
            .map((s) => s.name)
            .join()}`,
        );
      return found[0]!;
    },
  };
}
