import type { RecordedEvent } from '../kernel/events.js';
import type { Clock } from '../kernel/time.js';
import type { OverrideCommand, OverrideStanding } from '../overrides/decide.js';
import { decide, evolve, NOTHING_SET } from '../overrides/decide.js';
import type { OverrideEvent, OverrideFact } from '../overrides/events.js';
import { isOverrideEvent, overrideStream } from '../overrides/events.js';
import type { OverrideSubject } from '../overrides/model.js';
import type { EventStore } from '../store/port.js';
import type { CommandContext, Folding, Handled, History } from './handle-command.js';
import { handleCommand, readHistory } from './handle-command.js';

export interface OverrideContext extends CommandContext {
  /** Looks at the version that a change rests on, which is the position of the last one, and throws where it must not be made. */
  readonly inspect?: ((version: number) => void) | undefined;
}

export type OverrideHandled = Handled<OverrideStanding, OverrideFact>;

/** How many subjects of a batch are worked on at a time: a store gathers what comes together. */
const AT_ONCE = 64;

/** Carries out commands on overrides. */
export class OverrideCommandHandler {
  readonly #store: EventStore;
  readonly #clock: Clock;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws InvalidInput as `decide` does; what `inspect` throws; StoreUnavailable */
  async execute(
    command: OverrideCommand,
    { inspect, ...context }: OverrideContext,
  ): Promise<OverrideHandled> {
    return handleCommand(
      this.#store,
      this.#clock,
      folding(command.subject),
      ({ state, position }, now) => {
        const facts = decide(command, state, now);
        if (facts.length > 0) inspect?.(position);
        return facts;
      },
      context,
    );
  }

  /**
   * Carries out many commands, each on a subject of its own, several at a time. Where one fails those under way are
   * finished and no other is begun; sent again, the whole goes on where it stopped.
   *
   * @param context of each command
   */
  async executeAll(
    commands: readonly OverrideCommand[],
    context: (command: OverrideCommand) => OverrideContext,
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

  /** What holds for a subject. @throws StoreUnavailable */
  async read(
    subject: OverrideSubject,
  ): Promise<History<OverrideStanding> & { readonly events: readonly (RecordedEvent & OverrideEvent)[] }> {
    const events: (RecordedEvent & OverrideEvent)[] = [];
    const history = await readHistory(this.#store, folding(subject), (event) => {
      if (isOverrideEvent(event)) events.push(event);
    });
    return { ...history, events };
  }
}

function folding(subject: OverrideSubject): Folding<OverrideStanding> {
  return {
    stream: overrideStream(subject),
    initial: NOTHING_SET,
    evolve: (standing, event) => (isOverrideEvent(event) ? evolve(standing, event) : standing),
  };
}
