import type { Clock } from '../kernel/time.js';
import type { RulesCommand, RulesStanding, ShadowFact } from '../rules/decide.js';
import { decideRules, evolveRules, NO_RULES_YET } from '../rules/decide.js';
import { DEFAULT_RULES } from '../rules/defaults.js';
import type { RulesChanged, RulesFact, SourcedRules } from '../rules/model.js';
import { RULES_STREAM } from '../rules/model.js';
import { parseRules } from '../rules/parse.js';
import type { EventStore } from '../store/port.js';
import type { CommandContext, Handled } from './handle-command.js';
import { handleCommand, readHistory } from './handle-command.js';

export interface RulesContext extends CommandContext {
  /** Looks at what a command would be carried out on, and throws where it must not be. */
  readonly inspect?: ((standing: RulesStanding) => void) | undefined;
}

export type RulesHandled = Handled<RulesStanding, RulesFact | ShadowFact>;

const FOLDING = { stream: RULES_STREAM, initial: NO_RULES_YET, evolve: evolveRules };

/**
 * Puts rule sets in force, and runs them in the shadow: each change is an event, so that every verdict can name its
 * version.
 */
export class RulesCommandHandler {
  readonly #store: EventStore;
  readonly #clock: Clock;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws StopgapError as `decideRules` does; what `inspect` throws; StoreUnavailable */
  async execute(command: RulesCommand, { inspect, ...context }: RulesContext): Promise<RulesHandled> {
    return handleCommand(
      this.#store,
      this.#clock,
      FOLDING,
      ({ state }) => {
        inspect?.(state);
        return decideRules(command, state);
      },
      context,
    );
  }

  /**
   * At the start, and whenever the file has changed.
   *
   * @param file what it holds; undefined where no rules file is configured
   * @param builtIn what is in force without one
   * @throws InvalidRules; StoreUnavailable
   */
  async load(file: SourcedRules | undefined, builtIn = DEFAULT_RULES): Promise<void> {
    const origin = file === undefined ? 'defaults' : 'file';
    const { rules, source } = file ?? { rules: parseRules(builtIn), source: builtIn };
    const by = file === undefined ? 'system:defaults' : 'system:rules-file';
    await this.execute({ kind: 'replace', origin, rules, source }, { by });
  }

  /** The rule set in force, as recorded; undefined before the first. @throws StoreUnavailable */
  async current(): Promise<RulesChanged | undefined> {
    return (await readHistory(this.#store, FOLDING)).state.inForce;
  }
}
