import type { Until } from '../../src/blocks/events.js';
import { isOver } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import { heldBy } from '../../src/overrides/decide.js';
import type { OverrideEvent } from '../../src/overrides/events.js';
import type {
  Overridden,
  Override,
  OverrideOrigin,
  OverrideSubject,
  Terms,
} from '../../src/overrides/model.js';
import { termsKey } from '../../src/overrides/model.js';
import type { SubjectType } from '../../src/sending/subjects.js';
import { FilteredMap, HASH_SEED, hashStep } from '../blocks/filtered-map.js';

const DOT = 46;

/** One override, as compact as possible: there may be one for each customer. Never changed, only replaced. */
export interface Entry {
  readonly type: OverrideSubject['type'];
  readonly value: string;
  readonly origin: OverrideOrigin;
  readonly terms: Terms;
  readonly until: Until;
  readonly reason: string | undefined;
  readonly by: string;
  readonly at: Instant;
  /** Position of the last event of this subject. */
  readonly version: number;
  /** The file's override of the same subject; the API's has precedence. */
  readonly beneath: Entry | undefined;
}

export interface OverridesState {
  readonly accounts: readonly Entry[];
  readonly domains: readonly Entry[];
}

const NOTHING: readonly Entry[] = [];

/** The overrides of one subject. */
export interface SubjectOverrides {
  readonly subject: OverrideSubject;
  /** Position of the subject's last event. */
  readonly version: number;
  readonly api: Override | undefined;
  readonly file: Override | undefined;
}

/** All overrides: by account and by domain, from the file and from the API. */
export class OverrideEntries {
  #accounts = new FilteredMap<Entry>();
  #domains = new FilteredMap<Entry>();
  #terms = new Interned<Terms>(termsKey);
  #names = new Interned<string>((name) => name);
  /* The subject of the last search for layers. */
  #lastType: SubjectType | undefined;
  #lastValue = '';
  #lastLayers = NOTHING;

  /** How many subjects have overrides. */
  get size(): number {
    return this.#accounts.size + this.#domains.size;
  }

  apply(event: OverrideEvent): void {
    const { subject, origin } = event.data;
    const { type, value } = subject;
    const map = type === 'account' ? this.#accounts : this.#domains;
    const top = map.get(value);
    const before = { api: top?.origin === 'api' ? top : undefined, file: fileOf(top) };
    if (before[origin] !== undefined) this.#terms.release(before[origin].terms);
    const after = { ...before, [origin]: event.type === 'OverrideSet' ? this.#entry(event) : undefined };
    const version = event.position;
    const key = top?.value ?? after[origin]?.value ?? value;
    const file = after.file && { ...after.file, value: key, version, beneath: undefined };
    const entry = after.api === undefined ? file : { ...after.api, value: key, version, beneath: file };
    if (entry === undefined) map.delete(value);
    else map.set(key, entry);
    this.#lastType = undefined;
  }

  /** The overrides of exactly this subject; undefined if there are none. Includes those that have ended. */
  on({ type, value }: OverrideSubject): SubjectOverrides | undefined {
    const entry = (type === 'account' ? this.#accounts : this.#domains).get(value);
    return entry && subjectOf(entry);
  }

  /** Every subject that has overrides of a type, in no order that matters. */
  *all(type: OverrideSubject['type']): Generator<SubjectOverrides> {
    for (const entry of (type === 'account' ? this.#accounts : this.#domains).values())
      yield subjectOf(entry);
  }

  /**
   * One page of the subjects of a type, by value.
   *
   * @param after the last value of the page before; all results are greater
   * @param prefix how values begin
   */
  page(
    type: OverrideSubject['type'],
    prefix: string,
    after: string,
    most: number,
    concerns: (subject: OverrideSubject) => boolean = () => true,
  ): readonly SubjectOverrides[] {
    const entries = type === 'account' ? this.#accounts : this.#domains;
    let found: Entry[] = [];
    for (const entry of entries.values()) {
      if (entry.value <= after || !entry.value.startsWith(prefix)) continue;
      if (!concerns({ type, value: entry.value })) continue;
      found.push(entry);
      if (found.length >= 4 * most) found = smallest(found, most);
    }
    return smallest(found, most).map(subjectOf);
  }

  /** The opposite of {@link restore}. */
  dump(): OverridesState {
    return { accounts: [...this.#accounts.values()], domains: [...this.#domains.values()] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ accounts, domains }: OverridesState): void {
    this.#terms = new Interned<Terms>(termsKey);
    this.#names = new Interned<string>((name) => name);
    const adopt = (entry: Entry): Entry => ({
      ...entry,
      terms: this.#terms.take(entry.terms),
      by: this.#names.take(entry.by),
      beneath: entry.beneath && adopt(entry.beneath),
    });
    this.#accounts = new FilteredMap();
    this.#domains = new FilteredMap();
    for (const entry of accounts) this.#accounts.set(entry.value, adopt(entry));
    for (const entry of domains) this.#domains.set(entry.value, adopt(entry));
    this.#lastType = undefined;
  }

  /** The overrides of a subject and of the domains that contain it, the farthest first. */
  layersOf(type: 'account' | 'domain', value: string): readonly Entry[] {
    if (value === this.#lastValue && type === this.#lastType) return this.#lastLayers;
    let layers: Entry[] | undefined;
    const at = type === 'domain' ? -1 : value.lastIndexOf('@');
    let hash = HASH_SEED;
    let labels = 1;
    let index = value.length - 1;
    if (this.#domains.size > 0 && (type === 'domain' || at >= 0)) {
      for (; index > at; index--) {
        const code = value.charCodeAt(index);
        // A name of one label alone covers only itself: nobody means all of `com`.
        if (code === DOT && labels++ > 1) layers = added(layers, this.#domains, hash, value, index + 1);
        hash = hashStep(hash, code);
      }
      layers = added(layers, this.#domains, hash, value, at + 1);
    }
    if (type === 'account' && this.#accounts.size > 0) {
      for (; index >= 0; index--) hash = hashStep(hash, value.charCodeAt(index));
      layers = added(layers, this.#accounts, hash, value, 0);
    }
    this.#lastType = type;
    this.#lastValue = value;
    this.#lastLayers = layers ?? NOTHING;
    return this.#lastLayers;
  }

  #entry(event: OverrideEvent & { readonly type: 'OverrideSet' }): Entry {
    const { terms, until, reason } = heldBy(event.data);
    const { type, value } = event.data.subject;
    return {
      type,
      value,
      origin: event.data.origin,
      terms: this.#terms.take(terms),
      until,
      reason,
      by: this.#names.take(event.by),
      at: event.at,
      version: event.position,
      beneath: undefined,
    };
  }
}

function subjectOf(top: Entry): SubjectOverrides {
  const file = fileOf(top);
  return {
    subject: { type: top.type, value: top.value },
    version: top.version,
    api: top.origin === 'api' ? overrideOf(top) : undefined,
    file: file && overrideOf(file),
  };
}

export function overrideOf({ type, value, origin, terms, until, reason, by, at }: Entry): Override {
  const why = reason === undefined ? {} : { reason };
  return { subject: { type, value }, origin, terms, until, by, at, ...why };
}

function fileOf(top: Entry | undefined): Entry | undefined {
  return top?.origin === 'file' ? top : top?.beneath;
}

/** Adds the override of the name that begins at `start`, if the filter says that there may be one. */
function added(
  layers: Entry[] | undefined,
  map: FilteredMap<Entry>,
  hash: number,
  value: string,
  start: number,
): Entry[] | undefined {
  if (!map.mayHave(hash)) return layers;
  const entry = map.get(start === 0 ? value : value.slice(start));
  if (entry === undefined) return layers;
  if (layers === undefined) return [entry];
  layers.push(entry);
  return layers;
}

function smallest(entries: readonly Entry[], most: number): Entry[] {
  return [...entries].sort((a, b) => (a.value < b.value ? -1 : 1)).slice(0, most);
}

/** Equal values, stored once each: thousands of customers buy the same few things. */
export class Interned<Value> {
  readonly #kept = new Map<string, { readonly value: Value; users: number }>();
  readonly #keyOf: (value: Value) => string;

  /** @param keyOf the same text for values that are alike, and for no others */
  constructor(keyOf: (value: Value) => string) {
    this.#keyOf = keyOf;
  }

  /** How many different values are in use. */
  get size(): number {
    return this.#kept.size;
  }

  /** The stored value for all equal ones; each call needs one {@link release}. */
  take(value: Value): Value {
    const key = this.#keyOf(value);
    const known = this.#kept.get(key);
    if (known === undefined) this.#kept.set(key, { value, users: 1 });
    else known.users++;
    return known?.value ?? value;
  }

  release(value: Value): void {
    const key = this.#keyOf(value);
    const known = this.#kept.get(key);
    if (known !== undefined && --known.users === 0) this.#kept.delete(key);
  }
}

/**
 * Overrides: limits that customers bought, instead of the rules' own. The nearest has precedence, key by key: a rule's
 * own limit, then the overrides of the domains above, of the domain, of the account; for one subject the file's, then
 * the API's.
 *
 * A named limit is taken as it is. A factor multiplies the limit without it: the rule's, or the one that a farther
 * override names. Of several factors only the nearest counts.
 */
export class Overrides extends OverrideEntries {
  /* The result of the last walk: one call at a time, nothing here waits. */
  #named: Entry | undefined;
  #multiplied: Entry | undefined;

  /**
   * The limit of a rule for one subject; null if the rule is off for it. Cheap enough for every rule and message:
   * without overrides it does nothing, and several rules of one subject cost one search.
   *
   * @param type what the rule counts by; overrides reach `account` and `domain` only
   * @param value the account or the domain that is counted, in normal form
   * @param usual the rule's own limit
   * @param at when the send happened
   * @param volume whether the limit is one on volume: a factor multiplies only volume, which can be bought
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

  /** The override that makes the limit; undefined if it is the rule's own. Same parameters as {@link limit}. */
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

  /** The limit that a subject's overrides name for a rule; notes the first factor. */
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

/** A domain's own overrides are separate from those for each of its accounts. */
function allowanceOf(terms: Terms, per: SubjectType): Terms | Terms['total'] {
  return per === 'domain' ? terms.total : terms;
}
