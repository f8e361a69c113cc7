import { envelope, idOf } from '../ids.js';
import { StopgapError } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Clock } from '../kernel/time.js';
import type { OverrideCommand } from '../overrides/decide.js';
import { decide } from '../overrides/decide.js';
import type { OverrideEvent, OverrideFact } from '../overrides/events.js';
import { isOverrideEvent, overrideStream } from '../overrides/events.js';
import type { OverrideSubject } from '../overrides/model.js';
import type { Standing } from '../overrides/state.js';
import { NOTHING_SET, evolve } from '../overrides/state.js';
import type { EventStore } from '../store/port.js';
import { WrongExpectedRevision } from '../store/port.js';

export interface OverrideContext {
  /** Who: `admin:<name>`, `system:overrides-file`. */
  readonly by: string;
  readonly correlation?: string | undefined;
  /** The same seed gives the same event ids: a command that is sent again is not carried out twice. */
  readonly seed?: string | undefined;
  /** Looks at the version that a change rests on, and throws where it must not be made. */
  readonly inspect?: ((version: number) => void) | undefined;
}

/** What a subject's stream says. */
export interface OverrideHistory {
  readonly standing: Standing;
  readonly revision: number | 'none';
  /** Position of the last event; 0 where there is none. */
  readonly version: number;
  readonly events: readonly (RecordedEvent & OverrideEvent)[];
}

export interface OverrideExecuted {
  /** What came of it; undefined where there was nothing left to do. */
  readonly fact: OverrideFact | undefined;
  /** Position of the subject's last event, this change included. */
  readonly version: number;
  /** What stood before. */
  readonly before: Standing;
  /** True where the same request had been carried out before: nothing was written now. */
  readonly repeated: boolean;
}

/** Somebody else was faster this many times in a row: that is a fault, not a race. */
const ATTEMPTS = 8;
/** How many subjects of a batch are worked on at a time: a store gathers what comes together. */
const AT_ONCE = 64;

/** Carries out commands on overrides: reads the subject's stream, decides, appends with the revision that was read. */
export class OverrideDesk {
  readonly #store: EventStore;
  readonly #clock: Clock;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * @throws InvalidInput as `decide` does; what `inspect` throws; StoreUnavailable; StopgapError `conflict` after too
   *   many lost races
   */
  async execute(command: OverrideCommand, context: OverrideContext): Promise<OverrideExecuted> {
    const { by, correlation, seed, inspect } = context;
    const stream = overrideStream(command.subject);
    const own = seed === undefined ? undefined : idOf(`${seed}/0`);
    for (let attempt = 1; ; attempt++) {
      const { standing: before, revision, version, events } = await this.read(command.subject);
      if (own !== undefined && events.some(({ id }) => id === own)) {
        return { fact: undefined, version, before, repeated: true };
      }
      const now = this.#clock.now();
      const [fact] = decide(command, before, now);
      if (fact === undefined) return { fact, version, before, repeated: false };
      inspect?.(version);
      try {
        const made = envelope([fact], { by, correlation, seed }, now);
        const { position } = await this.#store.append(stream, made, revision);
        return { fact, version: position, before, repeated: false };
      } catch (error) {
        if (!(error instanceof WrongExpectedRevision)) throw error;
        if (attempt === ATTEMPTS) {
          throw new StopgapError('conflict', 'others are changing the same override just now: try again');
        }
      }
    }
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
  ): Promise<readonly OverrideExecuted[]> {
    const done: OverrideExecuted[] = [];
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

  /** Everything that ever happened to the overrides of a subject. */
  async read(subject: OverrideSubject): Promise<OverrideHistory> {
    const events: (RecordedEvent & OverrideEvent)[] = [];
    let standing = NOTHING_SET;
    let revision: number | 'none' = 'none';
    let version = 0;
    for await (const event of this.#store.readStream(overrideStream(subject))) {
      ({ revision, position: version } = event);
      if (!isOverrideEvent(event)) continue;
      standing = evolve(standing, event);
      events.push(event);
    }
    return { standing, revision, version, events };
  }
}
