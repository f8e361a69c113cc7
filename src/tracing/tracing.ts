import type { Attributes, Link, Span, SpanContext, Tracer } from '@opentelemetry/api';
import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { RecordedEvent } from '../kernel/events.js';
import { categoryOf } from '../kernel/events.js';
import type { Verdict } from '../rules/verdict.js';
import type { RefusalStage } from '../sending/events.js';
import type { Subject } from '../sending/subjects.js';
import { CausedBlocks } from './caused.js';
import { CommandSpan } from './command-span.js';
import type { SpanOptions } from './spans.js';
import { parseTraceparent, traceparentOf } from './traceparent.js';

/**
 * What is told of to a collector of traces. There is none where tracing is off: whoever holds an optional one asks for
 * nothing more than whether it is there.
 *
 * No span names a person, a domain or a machine: types of subjects, rules, stages, ids and numbers, nothing else.
 */
export class Tracing {
  readonly #tracer: Tracer;
  readonly #sample: number;
  readonly #random: () => number;
  readonly #caused = new CausedBlocks();

  /** @param sample the share of what is not decided that is traced, from 0 to 1 */
  constructor(tracer: Tracer, sample: number, random: () => number = Math.random) {
    this.#tracer = tracer;
    this.#sample = sample;
    this.#random = random;
  }

  /** Whether the next that comes is one of those that are traced. */
  chosen(): boolean {
    return this.#random() < this.#sample;
  }

  start(name: string, options: SpanOptions = {}): Span {
    const { parent, kind = SpanKind.INTERNAL, attributes = {}, links = [], begun } = options;
    const context = contextOf(parent);
    return this.#tracer.startSpan(
      name,
      {
        kind,
        attributes,
        links: links.flatMap(asLink),
        ...(begun === undefined ? {} : { startTime: begun }),
      },
      context === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, context),
    );
  }

  /** An event of a trace was folded here, live. From now on a block that it imposed refuses here. */
  folded(event: RecordedEvent, parent: string): void {
    const imposes = event.type === 'BlockImposed';
    const { block } = (event.data ?? {}) as { readonly block?: unknown };
    const attributes = { 'stopgap.position': event.position, ...blockAttribute(block) };
    this.start(imposes ? 'in force' : `fold ${event.type}`, { parent, attributes }).end();
    if (imposes && typeof block === 'string') this.#caused.imposed(block, parent);
  }

  /**
   * A rule tripped: where the send that tripped it is not traced, a trace begins here.
   *
   * @param correlation what the log knows it by
   */
  verdict({ kind, mode, rule, subject, evidence, trace: parent }: Verdict, correlation: string): Span {
    return this.start('verdict', {
      parent,
      attributes: {
        'stopgap.rule': rule.id,
        'stopgap.rules.version': evidence.version,
        'stopgap.verdict.kind': kind,
        'stopgap.mode': mode,
        'stopgap.action': rule.then,
        'stopgap.count': evidence.count,
        'stopgap.observed': evidence.observed,
        'stopgap.limit': evidence.limit,
        'stopgap.subject.type': subject.type,
        'stopgap.correlation': correlation,
      },
    });
  }

  /** A block refuses from now on, ahead of its event. */
  anticipated(block: string, span: Span): void {
    this.#caused.imposed(block, traceparentOf(span));
  }

  /** @param given the traceparent of whoever gave the command */
  command(kind: string, subject: Subject, given: string | undefined): CommandSpan {
    const attributes = { 'stopgap.subject.type': subject.type };
    return new CommandSpan((options) => this.start(`command ${kind}`, { ...options, attributes }), given);
  }

  /**
   * A block refused somebody. The first time it does so here, that belongs to the trace in which it came about.
   *
   * @param during the transaction that was refused, where it is traced
   * @returns the traceparent of the refusal; undefined for all but the first
   */
  refused(
    block: string,
    stage: RefusalStage,
    reply: number,
    correlation: string,
    during: Span | undefined,
  ): string | undefined {
    const parent = this.#caused.refuses(block);
    if (parent === undefined) return undefined;
    const span = this.start('refusal', {
      parent,
      links: [during],
      attributes: {
        'stopgap.block': block,
        'stopgap.stage': stage,
        'stopgap.reply': reply,
        'stopgap.correlation': correlation,
      },
    });
    during?.addLink({ context: span.spanContext() });
    span.end();
    return traceparentOf(span);
  }

  /** An append of events that belong to a trace. Streams are named after senders: only the category is told. */
  append(stream: string, types: readonly string[], parent: string): Span {
    return this.start('store append', {
      parent,
      kind: SpanKind.CLIENT,
      attributes: { 'stopgap.category': categoryOf(stream), 'stopgap.events': [...types] },
    });
  }
}

function blockAttribute(block: unknown): Attributes {
  return typeof block === 'string' ? { 'stopgap.block': block } : {};
}

function contextOf(span: Span | string | undefined): SpanContext | undefined {
  return typeof span === 'string' ? parseTraceparent(span) : span?.spanContext();
}

function asLink(span: Span | string | undefined): Link[] {
  const context = contextOf(span);
  return context === undefined ? [] : [{ context }];
}
