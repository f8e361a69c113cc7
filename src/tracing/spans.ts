import type { Attributes, Span, SpanKind } from '@opentelemetry/api';
import { SpanStatusCode } from '@opentelemetry/api';

export interface SpanOptions {
  /** The span to go on from, or its traceparent; a new trace begins without one. */
  readonly parent?: Span | string | undefined;
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** What else has to do with it. */
  readonly links?: readonly (Span | string | undefined)[];
  /** When it began, in milliseconds since the epoch; now unless given. */
  readonly begun?: number | undefined;
}

/**
 * What `performance.now()` gave, in milliseconds since the epoch. Whatever belongs together is to be asked for together:
 * the clock that spans go by has whole milliseconds.
 */
export function sinceEpoch(...times: readonly number[]): readonly number[] {
  const offset = Date.now() - performance.now();
  return times.map((time) => time + offset);
}

/** Ends a span with what went wrong: the kind of error only, since a message may name anybody. */
export function failed(span: Span, error: unknown): void {
  span.setAttribute('error.type', error instanceof Error ? error.name : typeof error);
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}
