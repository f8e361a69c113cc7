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
import type { CommandContext, Folding, Handled, KeptHistories } from './handle-command.js';
import { handleCommand, keptHistories, readHistory } from './handle-command.js';

export interface BlockContext extends CommandContext {
  /**
   * Looks at the version of the block that the command names, which is the position of its last event, and throws where
   * the command must not be carried out on it.
   */
  readonly inspect?: ((version: number) => void) | undefined;
}

export interface Executed extends Omit<Handled<Standing, BlockFact>, 'before'> {
  /** As it was before. */
  readonly standing: Standing;
  /** The traceparent of the command, where it is traced. */
  readonly trace: string | undefined;
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

interface Read {
  readonly standing: Standing;
  /** Position of the last event of the block that is asked about; 0 where there is none. */
  readonly version: number;
}

/**
 * Carries out commands on a subject's stream. A writer that loses a race reads and decides again, so two detectors, two
 * administrators or a late timer do no harm.
 */
export class BlockCommandHandler {
  readonly #store: EventStore;
  readonly #clock: Clock;
  readonly #onDecided: (decision: Decision) => void;
  readonly #tracing: Tracing | undefined;
  /** A subject that is exempted, or only observed, has an event for each time that it trips a rule. */
  readonly #kept = keptHistories<Read>();

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

  /** @throws StopgapError as `decide` does; what `inspect` throws; StoreUnavailable */
  async execute(subject: Subject, command: BlockCommand, context: BlockContext): Promise<Executed> {
    const span = this.#tracing?.command(command.kind, subject, context.trace);
    const { by, inspect, seed } = context;
    // The version that is inspected is that of another block.
    const kept = seed === undefined && inspect === undefined ? this.#kept : undefined;
    let trace = context.trace;
    try {
      const { before, ...handled } = await handleCommand(
        this.#store,
        this.#clock,
        folding(subject, 'block' in command ? command.block : undefined, kept),
        ({ state: { standing, version }, trace: last }, now) => {
          trace = span?.begin(last) ?? trace;
          inspect?.(version);
          return decide({ ...command, now }, standing);
        },
        { ...context, trace: () => trace },
      );
      const { standing } = before;
      const { facts, repeated } = handled;
      span?.end(facts);
      if (facts.length > 0 && !repeated)
        this.#onDecided({ subject, facts, standing, by, durableAt: this.#clock.now(), trace });
      return { ...handled, standing, trace };
    } catch (error) {
      span?.fail(error);
      throw error;
    }
  }

  /** Whether anything would come of a command now. Changes nothing. @throws as {@link execute} does */
  async wouldChange(subject: Subject, command: BlockCommand): Promise<boolean> {
    return decide({ ...command, now: this.#clock.now() }, await this.standing(subject)).length > 0;
  }

  /** The subject's present state. @throws StoreUnavailable */
  async standing(subject: Subject): Promise<Standing> {
    return (await readHistory(this.#store, folding(subject))).state.standing;
  }
}

function folding(subject: Subject, block?: string, kept?: KeptHistories<Read>): Folding<Read> {
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
  };
}
