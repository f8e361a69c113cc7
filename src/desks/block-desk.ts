import type { BlockCommand } from '../blocks/commands.js';
import { decide } from '../blocks/decide.js';
import type { BlockFact } from '../blocks/events.js';
import { blockStream, isBlockEvent } from '../blocks/events.js';
import type { Standing } from '../blocks/state.js';
import { NOTHING_YET, evolve } from '../blocks/state.js';
import { envelope } from '../ids.js';
import type { Clock, Instant } from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';
import type { EventStore, ExpectedRevision } from '../store/port.js';
import { WrongExpectedRevision } from '../store/port.js';
import type { CommandSpan } from '../tracing/command-span.js';
import type { Tracing } from '../tracing/tracing.js';

export interface CommandContext {
  /** Who: `admin:<name>`, `rule:<id>@<version>`, `system:<part>`. */
  readonly by: string;
  readonly correlation?: string | undefined;
  /** The traceparent of whoever gives the command, where that is traced. */
  readonly trace?: string | undefined;
  /** The same seed gives the same event ids: a command that is sent again is not carried out twice. */
  readonly seed?: string | undefined;
  /** Only while the stream is at this revision (what If-Match asks for); undefined: whatever it is at. */
  readonly revision?: ExpectedRevision | undefined;
}

export interface Executed {
  /** What came of it; empty where there was nothing left to do. */
  readonly facts: readonly BlockFact[];
  /** Position of the last event; undefined without one. */
  readonly position: number | undefined;
  /** Position of the last event of the stream that the decision rests on; 0 where there was none. */
  readonly seen: number;
  /** The traceparent of the command, where it is traced. */
  readonly trace?: string | undefined;
}

/** What was decided on a subject, and appended. */
export interface Decision {
  readonly subject: Subject;
  readonly facts: readonly BlockFact[];
  /** As it was before. */
  readonly standing: Standing;
  readonly by: string;
  /** When it was durable. */
  readonly durableAt: Instant;
  /** The traceparent of the command, where it is traced. */
  readonly trace?: string | undefined;
}

/** Somebody else was faster this many times in a row: that is a fault, not a race. */
const ATTEMPTS = 8;

/**
 * Carries out commands on a subject's stream: reads it, decides, appends with the revision that was read. Who
 * loses a race reads and decides again, so two detectors, two administrators or a late timer do no harm.
 */
export class BlockDesk {
  readonly #store: EventStore;
  readonly #clock: Clock;
  readonly #onDecided: (decision: Decision) => void;
  readonly #tracing: Tracing | undefined;

  /** @param onDecided told of what was decided here, once it is durable */
  constructor(
    store: EventStore,
    clock: Clock,
    onDecided: (decision: Decision) => void = () => undefined,
    tracing?: Tracing,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#onDecided = onDecided;
    this.#tracing = tracing;
  }

  /** @throws StopgapError as `decide` does; StoreUnavailable; WrongExpectedRevision after too many lost races */
  async execute(subject: Subject, command: BlockCommand, context: CommandContext): Promise<Executed> {
    const span = this.#tracing?.command(command.kind, subject, context.trace);
    try {
      const executed = await this.#execute(subject, command, context, span);
      span?.end(executed.facts);
      return executed;
    } catch (error) {
      span?.fail(error);
      throw error;
    }
  }

  async #execute(
    subject: Subject,
    command: BlockCommand,
    context: CommandContext,
    span: CommandSpan | undefined,
  ): Promise<Executed> {
    for (let attempt = 1; ; attempt++) {
      const { standing, revision, position: seen, trace: before } = await this.standing(subject);
      const trace = span?.begin(before) ?? context.trace;
      const expected = context.revision ?? revision;
      if (expected !== revision) throw new WrongExpectedRevision(blockStream(subject), expected, revision);
      const now = this.#clock.now();
      const facts = decide({ ...command, now }, standing);
      if (facts.length === 0) return { facts, position: undefined, seen, trace };
      try {
        const events = envelope(facts, { ...context, trace }, now);
        const { position, duplicate } = await this.#store.append(blockStream(subject), events, revision);
        const { by } = context;
        const durableAt = this.#clock.now();
        if (!duplicate) this.#onDecided({ subject, facts, standing, by, durableAt, trace });
        return { facts, position, seen, trace };
      } catch (error) {
        if (!(error instanceof WrongExpectedRevision) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** Whether anything would come of a command now. Changes nothing. @throws as {@link execute} does */
  async wouldChange(subject: Subject, command: BlockCommand): Promise<boolean> {
    const { standing } = await this.standing(subject);
    return decide({ ...command, now: this.#clock.now() }, standing).length > 0;
  }

  /** The subject's present state, the revision that it was read at, and the trace that last had to do with it. */
  async standing(
    subject: Subject,
  ): Promise<{ standing: Standing; revision: number | 'none'; position: number; trace: string | undefined }> {
    let standing = NOTHING_YET;
    let revision: number | 'none' = 'none';
    let position = 0;
    let trace: string | undefined;
    for await (const event of this.#store.readStream(blockStream(subject))) {
      ({ revision, position } = event);
      trace = event.trace ?? trace;
      if (isBlockEvent(event)) standing = evolve(standing, event);
    }
    return { standing, revision, position, trace };
  }
}
