import type { Span } from '@opentelemetry/api';
import type { BlockFact } from '../blocks/events.js';
import type { SpanOptions } from './spans.js';
import { failed, sinceEpoch } from './spans.js';
import { traceparentOf } from './traceparent.js';

/**
 * A command on a subject, from being taken up until it is decided and durable. It belongs to whoever gave it; where
 * nobody traced that, as where a time has run out, to what last happened to the subject. That is known only once the
 * subject's stream has been read, which is part of it already.
 */
export class CommandSpan {
  readonly #begun = performance.now();
  readonly #start: (options: SpanOptions) => Span;
  readonly #given: string | undefined;
  #span: Span | undefined;

  /** @param given the traceparent of whoever gave it */
  constructor(start: (options: SpanOptions) => Span, given: string | undefined) {
    this.#start = start;
    this.#given = given;
  }

  /**
   * @param before the traceparent of what last happened to the subject
   * @returns the traceparent that its events are to carry
   */
  begin(before: string | undefined): string {
    const given = this.#given;
    this.#span ??= this.#start({
      parent: given ?? before,
      links: given === undefined ? [] : [before],
      begun: sinceEpoch(this.#begun)[0],
    });
    return traceparentOf(this.#span);
  }

  /** @param facts what came of it */
  end(facts: readonly BlockFact[]): void {
    this.begin(undefined);
    const last = facts.at(-1);
    this.#span!.setAttribute('stopgap.outcome', last?.type ?? 'nothing to do');
    if (last !== undefined && 'block' in last.data)
      this.#span!.setAttribute('stopgap.block', last.data.block);
    this.#span!.end();
  }

  fail(error: unknown): void {
    this.begin(undefined);
    failed(this.#span!, error);
  }
}
