import { isOver } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import type { Overridden } from '../../src/overrides/explain.js';
import type { Terms } from '../../src/overrides/model.js';
import type { SubjectType } from '../../src/sending/subjects.js';
import { OverrideEntries, overrideOf } from './override-entries.js';
import type { Entry } from './override-entries.js';

/**
 * What customers bought: limits in place of the rules'. What is nearer counts, key by key: a rule's own limit, then
 * the overrides of the domains above, of the domain, of the account; of one subject the file's, then the API's.
 *
 * A limit that an override names is taken as it stands. A factor multiplies what would hold without it: the rule's
 * limit, or the one that a farther override names. Of several factors the nearest counts alone.
 */
export class Overrides extends OverrideEntries {
  /* What the last walk has found: one call at a time, nothing here waits. */
  #named: Entry | undefined;
  #multiplied: Entry | undefined;

  /**
   * The limit of a rule for one subject; null where the rule is off for it. Cheap enough for every rule and message:
   * where nothing is set it looks at nothing, and several rules of one subject cost one search.
   *
   * @param type what the rule counts by; overrides reach `account` and `domain` only
   * @param value the account or the domain that is counted, in normal form
   * @param usual the rule's own limit
   * @param at when the send happened
   * @param volume whether the limit is one on volume: a factor multiplies what was bought, and nobody buys bots
   */
  limit(
    rule: string,
    type: SubjectType,
    value: string,
    usual: number,
    at: Instant,
    volume = true,
  ): number | null {
    if (this.size === 0) return usual;
    return this.#walk(rule, type, value, usual, at, volume);
  }

  /** Whose doing the limit is; undefined where it is the rule's own. Takes what {@link limit} takes. */
  explain(
    rule: string,
    type: SubjectType,
    value: string,
    usual: number,
    at: Instant,
    volume = true,
  ): Overridden | undefined {
    const limit = this.#walk(rule, type, value, usual, at, volume);
    const [named, multiplied] = [this.#named, this.#multiplied];
    if (named === undefined && multiplied === undefined) return undefined;
    return {
      limit,
      usual,
      named: named && overrideOf(named),
      multiplied: multiplied && overrideOf(multiplied),
      factor: multiplied && allowanceOf(multiplied.terms, type)?.factor,
    };
  }

  /** From the nearest to the farthest, until one names the limit. */
  #walk(
    rule: string,
    type: SubjectType,
    value: string,
    usual: number,
    at: Instant,
    volume: boolean,
  ): number | null {
    this.#named = this.#multiplied = undefined;
    if (type !== 'account' && type !== 'domain') return usual;
    const layers = this.layersOf(type, value);
    for (let index = layers.length - 1; index >= 0; index--) {
      const limit = this.#look(layers[index], rule, type, at);
      if (limit !== undefined) return this.#multiply(limit, type, volume);
    }
    return this.#multiply(usual, type, volume);
  }

  /** What a subject's overrides name for a rule; notes the factor that comes first. */
  #look(
    top: Entry | undefined,
    rule: string,
    per: 'account' | 'domain',
    at: Instant,
  ): number | 'off' | undefined {
    for (let entry = top; entry !== undefined; entry = entry.beneath) {
      if (isOver(entry.until, at)) continue;
      const allowance = allowanceOf(entry.terms, per);
      if (allowance === undefined) continue;
      const { limits, factor } = allowance;
      if (limits !== undefined && Object.hasOwn(limits, rule)) {
        this.#named = entry;
        return limits[rule];
      }
      if (factor !== undefined) this.#multiplied ??= entry;
    }
    return undefined;
  }

  #multiply(limit: number | 'off', per: 'account' | 'domain', volume: boolean): number | null {
    if (!volume) this.#multiplied = undefined;
    if (limit === 'off') {
      this.#multiplied = undefined;
      return null;
    }
    if (this.#multiplied === undefined) return limit;
    const product = Math.round(limit * allowanceOf(this.#multiplied.terms, per)!.factor!);
    return Math.min(Math.max(product, 1), Number.MAX_SAFE_INTEGER);
  }
}

/** What holds for a domain as a whole stands apart from what holds for each of its accounts. */
function allowanceOf(terms: Terms, per: SubjectType): Terms | Terms['total'] {
  return per === 'domain' ? terms.total : terms;
}
