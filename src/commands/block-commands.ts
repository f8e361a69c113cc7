import type { BlockCommand } from '../blocks/commands.js';
import { decide } from '../blocks/decide.js';
import type { BlockFact } from '../blocks/events.js';
import { blockStream, isBlockEvent } from '../blocks/events.js';
import type { Standing } from '../blocks/state.js';
import { NOTHING_YET, effectsOf, fold, nameOf } from '../blocks/state.js';
import type { Clock, Instant } from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';
import type { CommandContext, Decider, Handled, KeptHistories } from './handle-command.js';
import { handleCommand, keptHistories, readHistory } from './handle-command.js';

export interface Executed extends Omit<Handled<Standing, BlockFact>, 'before'> {
  /** As it was before. */
  readonly standing: Standing;
  /** The traceparent of the command, if it is traced. */
  readonly trace: string | undefined;
}

/** A decision on a subject that has been appended. */
export interface Decision {
  readonly subject: Subject;
  readonly facts: readonly BlockFact[];
  /** As it was before. */
  readonly standing: Standing;
  readonly by: string;
  /** When it was durable. */
  readonly durableAt: Instant;
  /** The traceparent of the command, if it is traced. */
  readonly trace?: string | undefined;
}

interface Read {
  readonly standing: Standing;
  /** Position of the last event of the block in question; 0 if there is none. */
  readonly version: number;
}

/**
 * Carries out commands on a subject's stream. A writer that loses a race reads and decides again. So two detectors, two
 * administrators or a late timer do no harm.
 */
export class BlockCommandHandler {
  readonly #store: EventStore;
  readonly #clock: Clock;
  readonly #onDecided: (decision: Decision) => void;
  readonly #tracing: Tracing | undefined;
  /** An exempted or only observed subject has an event each time that it trips a rule. */
  readonly #kept = keptHistories<Read>();

  /** @param onDecided called with each decision once it is durable */
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

  /**
   * A precondition is compared with the version of the block that the command names: the position of its last event.
   *
   * @throws StopgapError as `decide` does, or `precondition-failed`; StoreUnavailable
   */
  async execute(subject: Subject, command: BlockCommand, context: CommandContext): Promise<Executed> {
    const span = this.#tracing?.command(command.kind, subject, context.trace);
    const { seed, precondition } = context;
    // A precondition needs the version of one block; the kept state may be of another.
    const kept = seed === undefined && precondition === undefined ? this.#kept : undefined;
    let { trace } = context;
    try {
      const { before, ...handled } = await handleCommand(
        this.#store,
        this.#clock,
        deciderOn(subject, 'block' in command ? command.block : undefined, kept),
        command,
        { ...context, trace: (last) => (trace = span?.begin(last) ?? trace) },
      );
      const { standing } = before;
      const { facts, repeated } = handled;
      span?.end(facts);
      if (facts.length > 0 && !repeated)
        this.#onDecided({ subject, facts, standing, by: context.by, durableAt: this.#clock.now(), trace });
      return { ...handled, standing, trace };
    } catch (error) {
      span?.fail(error);
      throw error;
    }
  }

  /** Reads every stream from its beginning again: some were given other names. */
  forgetHistories(): void {
    this.#kept.clear();
  }

  /**
   * Whether a command would change anything now, whatever exemption the subject itself has. Changes nothing.
   *
   * @throws as {@link execute} does
   */
  async wouldChange(subject: Subject, command: BlockCommand): Promise<boolean> {
    const standing = { ...(await this.standing(subject)), exemption: undefined };
    return decide({ ...command, now: this.#clock.now() }, standing).length > 0;
  }

  /** The subject's present state. @throws StoreUnavailable */
  async standing(subject: Subject): Promise<Standing> {
    return (await readHistory(this.#store, deciderOn(subject))).state.standing;
  }
}

/** @param block the block that the command names */
function deciderOn(
  subject: Subject,
  block?: string,
  kept?: KeptHistories<Read>,
): Decider<BlockCommand, Read, BlockFact> {
  return {
    kept,
    stream: blockStream(subject),
    initial: { standing: NOTHING_YET, version: 0 },
    evolve(read, event) {
      if (!isBlockEvent(event)) return read;
      const effects = effectsOf(read.standing, event);
      const standing = effects.reduce(fold, read.standing);
      const wanted = block === undefined ? undefined : nameOf(standing, block);
      const concerned = effects.some(({ data }) => 'block' in data && data.block === wanted);
      return { standing, version: concerned ? event.position : read.version };
    },
    decide: (command, { standing }, now) => decide({ ...command, now }, standing),
    version: (_command, { state }) => state.version,
  };
}
