import type { Span } from '@opentelemetry/api';
import { SpanKind } from '@opentelemetry/api';
import { failed, sinceEpoch } from '../tracing/spans.js';
import type { Tracing } from '../tracing/tracing.js';
import { traceparentOf } from '../tracing/traceparent.js';
import type { MailDirection } from '../sending/subjects.js';
import { ReplyError } from './replies.js';

/** What is asked of the upstream, told of where the transaction is traced. */
export function relayed<T>(
  trace: TransactionTrace | undefined,
  name: string,
  answer: Promise<T>,
): Promise<T> {
  return trace === undefined ? answer : trace.relay(name, answer);
}

/** When a login began and ended, by `performance.now()`. */
export type LoginTimes = readonly [begun: number, ended: number];

/**
 * The trace of one mail transaction: a span for the whole, one for each command that waits for anything, and below
 * them what they wait for. A session says one command after the other, so there is always just one under way.
 */
export class TransactionTrace {
  readonly root: Span;
  readonly #tracing: Tracing;
  #command: Span | undefined;

  /** @param login the login before it, where this is the first transaction since */
  constructor(tracing: Tracing, id: string, direction: MailDirection, login: LoginTimes | undefined) {
    this.#tracing = tracing;
    const [begun, ended] = login === undefined ? [] : sinceEpoch(...login);
    this.root = tracing.start('smtp transaction', {
      kind: SpanKind.SERVER,
      attributes: { 'stopgap.correlation': id, 'stopgap.direction': direction },
      begun,
    });
    if (login !== undefined) tracing.start('AUTH', { parent: this.root, begun }).end(ended);
    this.root.addEvent('MAIL FROM');
  }

  /** What the events that come of it carry. */
  get traceparent(): string {
    return traceparentOf(this.#command ?? this.root);
  }

  /** The command under way, or the whole between two of them. */
  get current(): Span {
    return this.#command ?? this.root;
  }

  /** Carries out a command; what it is answered is told where it is no success. */
  async command<T>(name: string, work: () => Promise<T>): Promise<T> {
    const span = this.#tracing.start(name, { parent: this.root });
    this.#command = span;
    try {
      const result = await work();
      span.end();
      return result;
    } catch (error) {
      if (error instanceof ReplyError) span.setAttribute('stopgap.reply', error.responseCode).end();
      else failed(span, error);
      throw error;
    } finally {
      this.#command = undefined;
    }
  }

  /** What is asked of the upstream. */
  async relay<T>(name: string, answer: Promise<T>): Promise<T> {
    const span = this.#tracing.start(`relay ${name}`, { parent: this.current, kind: SpanKind.CLIENT });
    try {
      const result = await answer;
      span.end();
      return result;
    } catch (error) {
      failed(span, error);
      throw error;
    }
  }

  /** The upstream took the message for so many recipients. */
  accepted(recipients: number, bytes: number): void {
    this.root.setAttributes({ 'stopgap.recipients': recipients, 'stopgap.bytes': bytes });
  }

  end(): void {
    this.root.end();
  }
}
