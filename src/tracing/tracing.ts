import type { Attributes, Link, Span, SpanContext, Tracer } from '@opentelemetry/api';
import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { BlockFact } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import { categoryOf } from '../kernel/events.js';
import type { Verdict } from '../rules/respond.js';
import type { RefusalStage } from '../sending/events.js';
import type { Subject } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import type { SpanOptions } from './spans.js';
import { failed, parseTraceparent, sinceEpoch, traceparentOf } from './spans.js';
import { recentlyUsed } from '../runtime/recently-used.js';

/**
 * What Stopgap reports to a trace collector. It is undefined if tracing is off, so its users only check whether it is
 * there.
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
   * A rule tripped: if the send that tripped it is not traced, a trace begins here.
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

  /** @param given the traceparent of the command's caller */
  command(kind: string, subject: Subject, given: string | undefined): CommandSpan {
    const attributes = { 'stopgap.subject.type': subject.type };
    return new CommandSpan((options) => this.start(`command ${kind}`, { ...options, attributes }), given);
  }

  /**
   * A block refused somebody. The first time it does so here, that belongs to the trace in which it came about.
   *
   * @param during the transaction that was refused, if it is traced
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

/** Blocks that are remembered at a time; the oldest go first, and with them only a span of their first refusal. */
const REMEMBERED = 10_000;

/**
 * Which blocks came out of a trace, for as long as the first refusal that they cause has not been seen here: that one
 * belongs to the same trace.
 */
export class CausedBlocks {
  /** By block; empty once it has refused somebody. */
  readonly #traces = recentlyUsed<string, string>(REMEMBERED);

  /** A block is in force. Said again, as its event comes after it was anticipated, it changes nothing. */
  imposed(block: string, traceparent: string): void {
    if (!this.#traces.has(block)) this.#traces.set(block, traceparent);
  }

  /** The trace of a block that refuses for the first time here; undefined for every later refusal. */
  refuses(block: string): string | undefined {
    const traceparent = this.#traces.peek(block);
    if (traceparent === undefined || traceparent === '') return undefined;
    this.#traces.set(block, '');
    return traceparent;
  }
}

/**
 * A command on a subject, from its start until it is decided and durable. Its parent is the caller's span. If the
 * caller has none (a timer, for example), its parent is the last event of the subject. That is known only when the
 * subject's stream has been read, which is already part of the span.
 */
export class CommandSpan {
  readonly #begun = performance.now();
  readonly #start: (options: SpanOptions) => Span;
  readonly #given: string | undefined;
  #span: Span | undefined;

  /** @param given the traceparent of the command's caller */
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

  /** @param facts the resulting events */
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

/** The same store, with a span for each append whose events belong to a trace. */
export function tracedStore(store: EventStore, tracing: Tracing): EventStore {
  return {
    append(stream, events, expected) {
      const parent = events[0]?.trace;
      if (parent === undefined) return store.append(stream, events, expected);
      const types = events.map(({ type }) => type);
      const span = tracing.append(stream, types, parent);
      const appended = store.append(stream, events, expected);
      appended.then(
        ({ position, duplicate }) => {
          // At 0 it waits in this node's outbox.
          span.setAttributes({ 'stopgap.position': position, 'stopgap.duplicate': duplicate });
          span.end();
        },
        (error: unknown) => failed(span, error),
      );
      return appended;
    },
    readStream: (stream, options) => store.readStream(stream, options),
    readAll: (options) => store.readAll(options),
    subscribe: (options, handler) => store.subscribe(options, handler),
    head: () => store.head(),
    setRetention: (category, maxAge) => store.setRetention(category, maxAge),
    lastWrittenBy: (at) => store.lastWrittenBy(at),
    sweep: (now, journals) => store.sweep(now, journals),
    forget: (person, mayGoOn) => store.forget(person, mayGoOn),
    storage: () => store.storage(),
    get maxAppendBytes() {
      return store.maxAppendBytes;
    },
    get healthy() {
      return store.healthy;
    },
    get clockSkew() {
      return store.clockSkew;
    },
    probe: () => store.probe(),
    close: () => store.close(),
  };
}
