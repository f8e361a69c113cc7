import type { Clock } from '../kernel/time.js';
import type { RulesCommand, RulesStanding, ShadowFact } from '../rules/decide.js';
import { decideRules, evolveRules, NO_RULES_YET } from '../rules/decide.js';
import { DEFAULT_RULES } from '../rules/defaults.js';
import type { RulesChanged, RulesFact, SourcedRules } from '../rules/model.js';
import { RULES_STREAM } from '../rules/model.js';
import { parseRules, renewedRules } from '../rules/parse.js';
import type { EventStore } from '../store/port.js';
import type { CommandContext, Decider, Handled } from './handle-command.js';
import { handleCommand, readHistory } from './handle-command.js';

export type RulesHandled = Handled<RulesStanding, RulesFact | ShadowFact>;

const DECIDER: Decider<RulesCommand, RulesStanding, RulesFact | ShadowFact> = {
  stream: RULES_STREAM,
  initial: NO_RULES_YET,
  evolve: evolveRules,
  decide: decideRules,
  version(command, { state: { inForce, shadow } }) {
    const live = inForce?.version ?? 0;
    if (command.kind === 'replace') return inForce?.source === command.source ? undefined : live;
    if (command.kind === 'load' && shadow?.source === command.source) return undefined;
    return shadow === undefined ? null : shadowVersion(shadow.version, live);
  },
};

/** The version of the shadow rules together with that of the rules that they are compared with. */
export function shadowVersion(shadow: number, live: number): string {
  return `${shadow}.${live}`;
}

/**
 * Puts rule sets in force and runs them in the shadow. Each change is an event, so that every verdict can name its
 * version.
 */
export class RulesCommandHandler {
  readonly #store: EventStore;
  readonly #clock: Clock;
  /** The text of the rules file that was loaded last. */
  #loaded: string | undefined;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws StopgapError as `decideRules` does, or `precondition-failed`; StoreUnavailable */
  async execute(command: RulesCommand, context: CommandContext): Promise<RulesHandled> {
    return handleCommand(this.#store, this.#clock, DECIDER, command, context);
  }

  /**
   * Loads the rules file, at the start and after each change.
   *
   * @param file its content; undefined if no rules file is configured
   * @param builtIn the rules in force without one; they do not replace those of a former file, which may be stricter
   * @returns the rule set in force
   * @throws InvalidRules; StoreUnavailable
   */
  async load(file: SourcedRules | undefined, builtIn = DEFAULT_RULES): Promise<RulesChanged | undefined> {
    const origin = file === undefined ? 'defaults' : 'file';
    const { rules, source } = file ?? { rules: parseRules(builtIn), source: builtIn };
    const by = file === undefined ? 'system:defaults' : 'system:rules-file';
    const isEdited = this.#loaded !== undefined && this.#loaded !== source;
    const { facts, before } = await this.execute(
      { kind: 'replace', origin, rules, source, isEdited },
      { by },
    );
    this.#loaded = source;
    return facts.find((fact) => fact.type === 'RulesChanged')?.data ?? before.inForce;
  }

  /**
   * Has the rules in force, or those in the shadow, extend the built-in rules of this version, if they extend them: an upgrade brings
   * its own, also to rules that came through the API.
   *
   * @returns the version that they have now and the one before; undefined if nothing has changed
   * @throws InvalidRules if the two together are none; what was recorded stays. StoreUnavailable
   */
  async renew(which: 'inForce' | 'shadow'): Promise<{ version: number; before: number } | undefined> {
    const standing = (await readHistory(this.#store, DECIDER)).state[which];
    if (standing === undefined) return undefined;
    const { source, version: before } = standing;
    const rules = renewedRules(source);
    if (rules === undefined) return undefined;
    const kind = which === 'inForce' ? 'renew' : 'load';
    const { facts } = await this.execute({ kind, rules, source }, { by: 'system:defaults' });
    return facts[0] === undefined ? undefined : { version: facts[0].data.version, before };
  }

  /** The rule set in force, as recorded; undefined before the first. @throws StoreUnavailable */
  async current(): Promise<RulesChanged | undefined> {
    return (await readHistory(this.#store, DECIDER)).state.inForce;
  }

  /** The rules file that was put in force last, as recorded; undefined if none ever was. @throws StoreUnavailable */
  async lastFile(): Promise<SourcedRules | undefined> {
    return (await readHistory(this.#store, DECIDER)).state.file;
  }
}
