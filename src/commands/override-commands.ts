import { setImmediate } from 'node:timers/promises';
import type { SubjectOverrides } from '../../projections/volume/overrides.js';
import type { ReadModels } from '../detector/read-models.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Clock, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR } from '../kernel/time.js';
import type { OverrideCommand, OverrideStanding } from '../overrides/decide.js';
import { NOTHING_SET, decide, evolve } from '../overrides/decide.js';
import type { OverrideEvent, OverrideFact } from '../overrides/events.js';
import { isOverrideEvent, overrideStream } from '../overrides/events.js';
import type { OverrideSubject } from '../overrides/model.js';
import type { EventStore } from '../store/port.js';
import type { CommandContext, Decider, Handled, History } from './handle-command.js';
import { handleCommand, readHistory } from './handle-command.js';

export type OverrideHandled = Handled<OverrideStanding, OverrideFact>;

/** How many subjects of a batch are handled at the same time: a store groups appends that come together. */
const AT_ONCE = 64;

/** Carries out commands on overrides. */
export class OverrideCommandHandler {
  readonly #store: EventStore;
  readonly #clock: Clock;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * A precondition is compared with the position of the last change.
   *
   * @throws InvalidInput as `decide` does; StopgapError `precondition-failed`; StoreUnavailable
   */
  async execute(command: OverrideCommand, context: CommandContext): Promise<OverrideHandled> {
    return handleCommand(this.#store, this.#clock, deciderOn(command.subject), command, context);
  }

  /**
   * Carries out many commands, each on a subject of its own, several at a time. If one fails, those under way finish
   * and no other begins; if the batch is sent again, it continues where it stopped.
   *
   * @param context for each command
   */
  async executeAll(
    commands: readonly OverrideCommand[],
    context: (command: OverrideCommand) => CommandContext,
  ): Promise<readonly OverrideHandled[]> {
    const done: OverrideHandled[] = [];
    const faults: unknown[] = [];
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < commands.length && faults.length === 0) {
        const index = next++;
        try {
          done[index] = await this.execute(commands[index]!, context(commands[index]!));
        } catch (error) {
          faults.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (faults.length > 0) throw faults[0];
    return done;
  }

  /** The override of a subject. @throws StoreUnavailable */
  async read(
    subject: OverrideSubject,
  ): Promise<History<OverrideStanding> & { readonly events: readonly (RecordedEvent & OverrideEvent)[] }> {
    const events: (RecordedEvent & OverrideEvent)[] = [];
    const history = await readHistory(this.#store, deciderOn(subject), (event) => {
      if (isOverrideEvent(event)) events.push(event);
    });
    return { ...history, events };
  }
}

function deciderOn(subject: OverrideSubject): Decider<OverrideCommand, OverrideStanding, OverrideFact> {
  return {
    stream: overrideStream(subject),
    initial: NOTHING_SET,
    evolve: (standing, event) => (isOverrideEvent(event) ? evolve(standing, event) : standing),
    decide,
    version: (command, { state, position }, now) =>
      decide(command, state, now).length === 0 ? undefined : position,
  };
}

interface BatchOptions {
  readonly overrideCommands: OverrideCommandHandler;
  readonly models: ReadModels;
  readonly clock: Clock;
}

interface BatchOutcome {
  readonly set: number;
  readonly removed: number;
  readonly unchanged: number;
  /** Position of the last change; 0 if nothing changed. */
  readonly position: number;
}

/** Commands checked before other work gets a turn. */
const SLICE = 500;
/** A repeated request gets its first answer for a day; clocks may differ. */
const REPEATED_WITHIN: Milliseconds = DAY + HOUR;

/**
 * Carries out many commands, each on a subject of its own. What the read models already show is not read again: a panel
 * that syncs all its customers every night changes few. If the command has a seed, it may have been carried out before;
 * then only the changes of the last day are looked up. Resolves when the changes are durable.
 *
 * @throws what `executeAll` throws; what was carried out by then stays
 */
export async function carryOutBatch(
  { overrideCommands, models, clock }: BatchOptions,
  commands: readonly OverrideCommand[],
  context: (command: OverrideCommand) => CommandContext,
): Promise<BatchOutcome> {
  const due: OverrideCommand[] = [];
  const now = clock.now();
  for (const [index, command] of commands.entries()) {
    if (index % SLICE === SLICE - 1) await setImmediate();
    const known: SubjectOverrides | undefined = models.overrides.on(command.subject);
    const since = known?.[command.origin]?.at ?? now;
    const isRepeated = context(command).seed !== undefined && since > now - REPEATED_WITHIN;
    if (isRepeated || decide(command, known ?? NOTHING_SET, now).length > 0) due.push(command);
  }
  const done = await overrideCommands.executeAll(due, context);
  const made = done.filter(({ facts }) => facts.length > 0);
  const set = made.filter(({ facts }) => facts[0]!.type === 'OverrideSet').length;
  return {
    set,
    removed: made.length - set,
    unchanged: commands.length - made.length,
    position: Math.max(0, ...made.map(({ position }) => position)),
  };
}
