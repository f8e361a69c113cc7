import { envelope, idOf } from '../ids.js';
import type { Clock } from '../kernel/time.js';
import { RULES_STREAM } from '../rules/model.js';
import type { ShadowCommand, ShadowStanding } from '../rules/shadow-decide.js';
import { NO_RULES_YET, decideShadow, evolveShadow } from '../rules/shadow-decide.js';
import type { EventStore } from '../store/port.js';
import { WrongExpectedRevision } from '../store/port.js';

export interface ShadowContext {
  /** `admin:<name>` */
  readonly by: string;
  readonly correlation?: string | undefined;
  /** The same seed gives the same event ids: a command that is sent again is not carried out twice. */
  readonly seed?: string | undefined;
  /** The W3C traceparent of what brings it about. */
  readonly trace?: string | undefined;
  /** Throws where the command must not be carried out on what stands now. */
  readonly precondition?: ((standing: ShadowStanding) => void) | undefined;
}

export interface ShadowChange {
  /** As it was before. */
  readonly before: ShadowStanding;
  /** True where the same command had been carried out before: nothing was written now. */
  readonly repeated: boolean;
  /** Position of the last event of the stream of the rules, its own included. */
  readonly position: number;
}

/** Somebody else was faster this many times in a row: that is a fault, not a race. */
const ATTEMPTS = 8;

/**
 * Loads, removes and promotes shadow rules: reads the stream of the rules, decides, appends with the revision that was
 * read. Who loses a race, be it against a change of the rules in force, reads and decides again.
 */
export class ShadowDesk {
  readonly #store: EventStore;
  readonly #clock: Clock;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws StopgapError as `decideShadow` does, or the precondition; StoreUnavailable; WrongExpectedRevision after too many lost races */
  async execute(command: ShadowCommand, context: ShadowContext): Promise<ShadowChange> {
    for (let attempt = 1; ; attempt++) {
      const { standing, revision, position, repeated } = await this.#read(context.seed);
      if (repeated) return { before: standing, repeated, position };
      context.precondition?.(standing);
      const facts = decideShadow(command, standing);
      if (facts.length === 0) return { before: standing, repeated, position };
      try {
        const appended = await this.#store.append(
          RULES_STREAM,
          envelope(facts, context, this.#clock.now()),
          revision,
        );
        return { before: standing, repeated, position: appended.position };
      } catch (error) {
        if (!(error instanceof WrongExpectedRevision) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  async #read(seed: string | undefined) {
    let standing = NO_RULES_YET;
    let revision: number | 'none' = 'none';
    let position = 0;
    let repeated = false;
    const own = seed === undefined ? undefined : idOf(`${seed}/0`);
    for await (const event of this.#store.readStream(RULES_STREAM)) {
      ({ revision, position } = event);
      if (event.id === own) repeated = true;
      standing = evolveShadow(standing, event);
    }
    return { standing, revision, position, repeated };
  }
}
