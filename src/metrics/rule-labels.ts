/** For what no rule brought about. Neither can be the id of a rule: those have no parentheses. */
export const NO_RULE = '(none)';
/** For rules that are gone, and those beyond {@link MOST_RULES}. */
export const OTHER_RULE = '(other)';
/** A rule set may hold more: each named rule has a dozen series and more. */
export const MOST_RULES = 100;

/** Ids of rules as values of a label: bounded, whatever rule sets come and go. */
export class RuleLabels {
  #named: ReadonlySet<string> = new Set();

  /** What stands for this rule in the labels. */
  of(rule: string | undefined): string {
    if (rule === undefined) return NO_RULE;
    return this.#named.has(rule) ? rule : OTHER_RULE;
  }

  /** Takes over the rules in force. @returns those that are named from here on, and no more */
  use(ids: readonly string[]): { readonly come: readonly string[]; readonly gone: readonly string[] } {
    const before = this.#named;
    const named = new Set(ids.slice(0, MOST_RULES));
    this.#named = named;
    return {
      come: [...named].filter((id) => !before.has(id)),
      gone: [...before].filter((id) => !named.has(id)),
    };
  }
}
