/** This many words are searched in well under a millisecond. */
const FEW = 4096;

/** A table of repeated texts, each stored once, by number. */
export class Words {
  readonly #words: string[] = [];
  /**
   * Texts that change when composed: composing takes quadratic time in a run of combining marks, so it is done once.
   */
  readonly #composed = new Map<number, string>();
  readonly #numbers = new Map<string, number>();

  get size(): number {
    return this.#words.length;
  }

  dump(): readonly string[] {
    return this.#words.slice();
  }

  word(number: number): string | undefined {
    return this.#words[number];
  }

  find(word: string): number | undefined {
    return this.#numbers.get(word);
  }

  numberOf(word: string): number {
    let number = this.#numbers.get(word);
    if (number === undefined) {
      number = this.#words.push(word) - 1;
      this.#numbers.set(word, number);
      const composed = word.normalize('NFC');
      if (composed !== word) this.#composed.set(number, composed);
    }
    return number;
  }

  /** Returns a test, by number, whether a word contains a text, in any case. Each word is searched once, on demand. */
  containing(text: string): (number: number) => boolean {
    const known = new Int8Array(this.#words.length);
    return (number) => {
      if (number >= known.length) return this.#contains(number, text);
      if (known[number] === 0) known[number] = this.#contains(number, text) ? 1 : -1;
      return known[number] === 1;
    };
  }

  /** True if there are few enough words to search and none contains the text. */
  haveNot(text: string): boolean {
    if (this.#words.length > FEW) return false;
    return !this.#words.some((_, number) => this.#contains(number, text));
  }

  #contains(number: number, text: string): boolean {
    return (this.#composed.get(number) ?? this.#words[number]!).toLowerCase().includes(text);
  }
}
