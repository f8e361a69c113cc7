import type { Attributes, Span, SpanContext, SpanKind } from '@opentelemetry/api';
import { isSpanContextValid, SpanStatusCode, TraceFlags } from '@opentelemetry/api';

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
 * Converts results of `performance.now()` to milliseconds since the epoch. Convert related times together: the clock of
 * spans has whole milliseconds.
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

/** W3C Trace Context level 1, section 3.2: version, trace, span, flags. Later versions may continue after a dash. */
const FORM = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The span that a traceparent names; undefined if it is none, or names nothing. */
export function parseTraceparent(text: string): SpanContext | undefined {
  const [, version, traceId, spanId, flags, more] = FORM.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || (version === '00' && more !== undefined))
    return undefined;
  const context = { traceId, spanId, traceFlags: parseInt(flags!, 16) & TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(context) ? context : undefined;
}

/** What events and requests carry so that later work continues this span's trace. */
export function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-0${(traceFlags & TraceFlags.SAMPLED).toString()}`;
}

export function isSampled({ traceFlags }: SpanContext): boolean {
  return (traceFlags & TraceFlags.SAMPLED) !== 0;
}

/** The trace that one of our own traceparents belongs to. */
export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35);
}
