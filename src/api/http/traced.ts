import type { Span } from '@opentelemetry/api';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { Request, Response } from 'express';
import { isSampled, parseTraceparent, traceparentOf } from '../../tracing/spans.js';
import type { Tracing } from '../../tracing/tracing.js';

/** What only looks; all else decides something. */
const LOOKS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Traces a request until it is answered, where it is one of those that are traced: those that belong to the caller's
 * own trace (its traceparent says so); of all others those that decide something, and some.
 *
 * @param about what is known of it when it is answered
 * @returns the traceparent for what it brings about
 */
export function traceRequest(
  tracing: Tracing,
  request: Request,
  response: Response,
  about: () => { readonly route?: string; readonly requestId: string },
): string | undefined {
  const parent = request.get('traceparent');
  const caller = parent === undefined ? undefined : parseTraceparent(parent);
  const wanted = caller === undefined ? !LOOKS.has(request.method) || tracing.chosen() : isSampled(caller);
  if (!wanted) return undefined;
  const { method } = request;
  const attributes = { 'http.request.method': method };
  const span = tracing.start(method, { parent, kind: SpanKind.SERVER, attributes });
  response.once('close', () => answered(span, response, method, about()));
  return traceparentOf(span);
}

function answered(
  span: Span,
  response: Response,
  method: string,
  { route, requestId }: { readonly route?: string; readonly requestId: string },
): void {
  // Paths may name a sender: only the template is told.
  if (route !== undefined) span.updateName(`${method} ${route}`).setAttribute('http.route', route);
  span.setAttribute('stopgap.correlation', `request:${requestId}`);
  if (response.writableFinished) span.setAttribute('http.response.status_code', response.statusCode);
  if (response.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}
