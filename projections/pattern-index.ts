/**
 * Finds which of many `*` patterns match a text without trying each: patterns are grouped by the literal text
 * before their first star, or, where there is none, by the literal text behind their last. A look-up costs one
 * map access for every distinct length of such texts.
 */
export class PatternIndex<Value> {
  readonly #byPrefix = new Affixes<Value>();
  readonly #bySuffix = new Affixes<Value>();

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
    this.#byPrefix.forEach(text, false, callback);
    this.#bySuffix.forEach(text, true, callback);
  }

  #home(pattern: string): readonly [Affixes<Value>, string] {
    const first = pattern.indexOf('*');
    if (first > 0) return [this.#byPrefix, pattern.slice(0, first)];
    return [this.#bySuffix, pattern.slice(pattern.lastIndexOf('*') + 1)];
  }
}

class Affixes<Value> {
  readonly #patterns = new Map<string, Map<string, Value>>();
  /** How many affixes have which length. */
  readonly #lengths = new Map<number, number>();
  size = 0;

  get(affix: string, pattern: string): Value | undefined {
    return this.#patterns.get(affix)?.get(pattern);
  }

  set(affix: string, pattern: string, value: Value): void {
    let group = this.#patterns.get(affix);
    if (group === undefined) {
      this.#patterns.set(affix, (group = new Map<string, Value>()));
      this.#lengths.set(affix.length, (this.#lengths.get(affix.length) ?? 0) + 1);
    }
    if (!group.has(pattern)) this.size++;
    group.set(pattern, value);
  }

  delete(affix: string, pattern: string): void {
    const group = this.#patterns.get(affix);
    if (group === undefined || !group.delete(pattern)) return;
    this.size--;
    if (group.size > 0) return;
    this.#patterns.delete(affix);
    const left = this.#lengths.get(affix.length)! - 1;
    if (left === 0) this.#lengths.delete(affix.length);
    else this.#lengths.set(affix.length, left);
  }

  forEach(text: string, fromEnd: boolean, callback: (value: Value) => void): void {
    if (this.size === 0) return;
    for (const length of this.#lengths.keys()) {
      if (length > text.length) continue;
      const affix = fromEnd ? text.slice(text.length - length) : text.slice(0, length);
      const group = this.#patterns.get(affix);
      if (group === undefined) continue;
      for (const [pattern, value] of group) if (matches(pattern, text)) callback(value);
    }
  }
}

/** Whether the text matches a pattern in which `*` stands for any characters, none included. Linear, no regex. */
export function matches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (p < pattern.length && pattern[p] === '*') p++;
  return p === pattern.length;
}
