import { matches } from '../../src/sending/identity.js';
import { FilteredMap, HASH_SEED, hashStep } from './filtered-map.js';

/** One pattern without others, the usual case: a map would need ten times the memory. */
interface Single<Value> {
  readonly pattern: string;
  readonly value: Value;
}
type Group<Value> = Single<Value> | Map<string, Value>;

/**
 * Finds which of many `*` patterns match a text without trying each: patterns are grouped by the literal text before
 * their first star, or, if there is none, by the literal text after their last. A look-up walks the text once from each
 * end, and reads a map only if a group may exist.
 */
export class PatternIndex<Value> {
  readonly #byPrefix = new Affixes<Value>(false);
  readonly #bySuffix = new Affixes<Value>(true);

  get size(): number {
    return this.#byPrefix.size + this.#bySuffix.size;
  }

  get(pattern: string): Value | undefined {
    const [affixes, affix] = this.#home(pattern);
    return affixes.get(affix, pattern);
  }

  set(pattern: string, value: Value): void {
    const [affixes, affix] = this.#home(pattern);
    affixes.set(affix, pattern, value);
  }

  delete(pattern: string): void {
    const [affixes, affix] = this.#home(pattern);
    affixes.delete(affix, pattern);
  }

  /** Calls back for every pattern that matches. */
  forEachMatch(text: string, callback: (value: Value) => void): void {
    if (this.#byPrefix.size > 0) this.#byPrefix.forEachMatch(text, callback);
    if (this.#bySuffix.size > 0) this.#bySuffix.forEachMatch(text, callback);
  }

  #home(pattern: string): readonly [Affixes<Value>, string] {
    const first = pattern.indexOf('*');
    if (first > 0) return [this.#byPrefix, pattern.slice(0, first)];
    return [this.#bySuffix, pattern.slice(pattern.lastIndexOf('*') + 1)];
  }
}

class Affixes<Value> {
  readonly #groups = new FilteredMap<Group<Value>>();
  readonly #fromEnd: boolean;
  /** The number of affixes by length. */
  readonly #lengths: number[] = [];
  size = 0;

  constructor(fromEnd: boolean) {
    this.#fromEnd = fromEnd;
  }

  get(affix: string, pattern: string): Value | undefined {
    const group = this.#groups.get(this.#key(affix));
    return group === undefined ? undefined : groupGet(group, pattern);
  }

  set(affix: string, pattern: string, value: Value): void {
    const key = this.#key(affix);
    const group = this.#groups.get(key);
    if (group === undefined) this.#lengths[affix.length] = (this.#lengths[affix.length] ?? 0) + 1;
    if (group === undefined || groupGet(group, pattern) === undefined) this.size++;
    this.#groups.set(key, groupSet(group, pattern, value));
  }

  delete(affix: string, pattern: string): void {
    const key = this.#key(affix);
    const group = this.#groups.get(key);
    if (group === undefined || groupGet(group, pattern) === undefined) return;
    this.size--;
    if (group instanceof Map && group.size > 1) group.delete(pattern);
    else {
      this.#groups.delete(key);
      this.#lengths[affix.length]! -= 1;
      while (this.#lengths.at(-1) === 0) this.#lengths.pop();
    }
  }

  forEachMatch(text: string, callback: (value: Value) => void): void {
    const longest = Math.min(text.length, this.#lengths.length - 1);
    let hash = HASH_SEED;
    for (let length = 0; length <= longest; length++) {
      if (length > 0)
        hash = hashStep(hash, text.charCodeAt(this.#fromEnd ? text.length - length : length - 1));
      if (!this.#lengths[length] || !this.#groups.mayHave(hash)) continue;
      const affix = this.#fromEnd ? text.slice(text.length - length) : text.slice(0, length);
      const group = this.#groups.get(this.#key(affix));
      if (group !== undefined) groupMatch(group, text, callback);
    }
  }

  /** Hashes run backwards, so prefixes are stored reversed. */
  #key(affix: string): string {
    if (this.#fromEnd) return affix;
    let turned = '';
    for (let index = affix.length - 1; index >= 0; index--) turned += affix[index]!;
    return turned;
  }
}

/** Patterns of one domain's local parts, by domain: a few are tried one by one, many are indexed. */
export class DomainPatterns<Value> {
  readonly #domains = new FilteredMap<Group<Value> | PatternIndex<Value>>();

  get size(): number {
    return this.#domains.size;
  }

  /** See {@link FilteredMap.mayHave}, for the domain's hash. */
  mayHave(hash: number): boolean {
    return this.#domains.mayHave(hash);
  }

  get(domain: string, pattern: string): Value | undefined {
    const group = this.#domains.get(domain);
    if (group === undefined) return undefined;
    return group instanceof PatternIndex ? group.get(pattern) : groupGet(group, pattern);
  }

  set(domain: string, pattern: string, value: Value): void {
    const group = this.#domains.get(domain);
    if (group instanceof PatternIndex) return group.set(pattern, value);
    const larger = groupSet(group, pattern, value);
    if (!(larger instanceof Map && larger.size > 16)) return this.#domains.set(domain, larger);
    const index = new PatternIndex<Value>();
    for (const [each, its] of larger) index.set(each, its);
    this.#domains.set(domain, index);
  }

  delete(domain: string, pattern: string): void {
    const group = this.#domains.get(domain);
    if (group === undefined || this.get(domain, pattern) === undefined) return;
    if ((group instanceof Map || group instanceof PatternIndex) && group.size > 1) group.delete(pattern);
    else this.#domains.delete(domain);
  }

  forEachMatch(domain: string, local: string, callback: (value: Value) => void): void {
    const group = this.#domains.get(domain);
    if (group instanceof PatternIndex) group.forEachMatch(local, callback);
    else if (group !== undefined) groupMatch(group, local, callback);
  }
}

function groupGet<Value>(group: Group<Value>, pattern: string): Value | undefined {
  if (group instanceof Map) return group.get(pattern);
  return group.pattern === pattern ? group.value : undefined;
}

function groupSet<Value>(group: Group<Value> | undefined, pattern: string, value: Value): Group<Value> {
  if (group instanceof Map) return group.set(pattern, value);
  if (group === undefined || group.pattern === pattern) return { pattern, value };
  return new Map([
    [group.pattern, group.value],
    [pattern, value],
  ]);
}

function groupMatch<Value>(group: Group<Value>, text: string, callback: (value: Value) => void): void {
  if (!(group instanceof Map)) {
    if (matches(group.pattern, text)) callback(group.value);
  } else for (const [pattern, value] of group) if (matches(pattern, text)) callback(value);
}
