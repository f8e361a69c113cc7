/** A reply as a text may show it: by its code, or in its words. */
export interface Reply {
  readonly codes: readonly number[];
  /** Undefined if it is not known. */
  readonly enhanced: string | undefined;
  /** As {@link plain} has them; empty where a mail server words it. */
  readonly words: readonly string[];
}

/** How a text shows a reply. */
export type Shown = 'words' | 'code' | 'no';

/** Three digits of a fault: of no port, year, address or telephone number. */
const CODE = /(?<![\d.]|\d[:/-]|\.[a-zA-Z]+:)[45][0-5]\d(?!\d|\.\d|[ /-]\d\d)/;
const CODES = new RegExp(CODE, 'g');
/** Where a text begins with a code, or has an enhanced one after it, other numbers in it are no codes. */
const SURE = new RegExp(`^${CODE.source}|${CODE.source}(?=[ -][45]\\.\\d)`, 'g');
const ENHANCED = /(?<![\d.])[45]\.\d{1,3}\.\d{1,3}(?![\d.])/g;

/** How mail servers and programs word a login that failed. */
const ABOUT_LOGINS =
  /authenti[cf]|autentic|credential|passwor[dt]|kennwort|contraseñ|senha|wachtwoord|hasło|парол|вход(?!ящ)|anmeld|log ?[io]n|sign ?in/i;

/** How programs word that a server offers no login, as {@link plain} has it: an answer of a server it never is. */
const NONE_OFFERED =
  /(?:^| )(?:not?|none|t|nicht|keine?|ne|pas|niet|geen)(?: \S+){0,4} (?:support|offer|available|enabled|unterstützt|angeboten|prend|admite|ondersteund)|(?:supports|offers) no |unterstützt (?:\S+ ){0,3}(?:nicht|keine)/;

/** Fewer letters are in too many texts. */
const FEWEST_LETTERS = 10;

/** What a mail program showed, or what its user makes of it: any text may stand around the answer of a server. */
export class SaidText {
  readonly #sure: readonly number[];
  readonly #codes: readonly number[];
  readonly #enhanced: readonly string[];
  readonly #plain: string;

  constructor(said: string) {
    this.#sure = numbersIn(said.replace(/^[\s"'(<>]+/, ''), SURE);
    this.#codes = this.#sure.length > 0 ? this.#sure : numbersIn(said, CODES);
    this.#enhanced = said.match(ENHANCED) ?? [];
    this.#plain = plain(said.replace(CODES, ' ').replace(ENHANCED, ' '));
  }

  get code(): number | null {
    return this.#codes[0] ?? null;
  }

  get enhanced(): string | null {
    return this.#enhanced[0] ?? null;
  }

  /** Whether it shows the answer of a server, or may show one. */
  get hasAnswer(): boolean {
    return this.#codes.length + this.#enhanced.length > 0;
  }

  /** Whether it has nothing but codes. */
  get isBare(): boolean {
    return this.#plain === '';
  }

  /** Whether it says that no login was offered: the program has not sent a password. */
  get saysNoneOffered(): boolean {
    const isOfLogin = ABOUT_LOGINS.test(this.#plain) || ` ${this.#plain} `.includes(' auth ');
    return !this.hasAnswer && isOfLogin && NONE_OFFERED.test(this.#plain);
  }

  shows({ codes, enhanced, words }: Reply): Shown {
    if (enhanced !== undefined && this.#enhanced.length > 0 && !this.#enhanced.includes(enhanced))
      return 'no';
    // Some programs leave out the three digits.
    const hasEnhanced =
      this.#sure.length === 0 && enhanced !== undefined && this.#enhanced.includes(enhanced);
    const isAlike =
      this.#codes.length === 0 &&
      enhanced === undefined &&
      this.#enhanced.some((one) => isOfClass(one, codes));
    const hasCode = hasEnhanced || isAlike || this.#codes.some((code) => codes.includes(code));
    const isSaid = words.some((each) => each !== '' && ` ${this.#plain} `.includes(` ${each} `));
    if (isSaid && (hasCode || this.#sure.length === 0)) return 'words';
    return hasCode ? 'code' : 'no';
  }

  /**
   * Whether it is about a login that failed, without the answer of a server. Many programs show words of their own for that.
   *
   * @param own the codes of our replies
   */
  isOfLogin(own: readonly number[]): boolean {
    const isAnswer = this.#sure.length + this.#enhanced.length > 0;
    return !isAnswer && !this.#codes.some((code) => own.includes(code)) && ABOUT_LOGINS.test(this.#plain);
  }
}

/** An enhanced code begins with the first digit of the reply code (RFC 2034, section 4). */
function isOfClass(enhanced: string, codes: readonly number[]): boolean {
  return codes.some((code) => `${code}`[0] === enhanced[0]);
}

function numbersIn(text: string, pattern: RegExp): readonly number[] {
  return [...new Set((text.match(pattern) ?? []).map(Number))];
}

/** @param line such as "451 4.3.2 Service temporarily unavailable, please try again later" */
export function replyOf(line: string): Reply {
  const [, code, enhanced, text = ''] = /^(\d{3})[ -](?:(\d\.\d+\.\d+) )?(.*)$/s.exec(line) ?? [];
  // People and programs leave out what comes after the first part.
  const first = plain(text.split(/[,;:] /)[0]!);
  const words = [plain(text), ...(first.length < FEWEST_LETTERS ? [] : [first])];
  return { codes: code === undefined ? [] : [Number(code)], enhanced, words };
}

/** In lower case, without what programs put around and between words. */
export function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/[\s"'«»“”„‘’()[\]:;.…,!?-]+/g, ' ')
    .trim();
}
