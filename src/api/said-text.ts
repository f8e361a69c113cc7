/** What was found in the words that a mail program showed. */
export interface Found {
  readonly code: number | null;
  readonly enhanced: string | null;
}

/** Neither a port (587), nor a year, nor a part of an address. */
const CODE = /(?<![\d.:])([245][0-5]\d)(?!\d|\.\d)/;
/** The surest, where a text has other numbers too. */
const BOTH_CODES = /(?<![\d.:])([245][0-5]\d)[ -][245]\.\d{1,3}\.\d{1,3}(?![\d.])/;
const ENHANCED = /(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])/;

export function codesIn(said: string): Found {
  const code = (BOTH_CODES.exec(said) ?? CODE.exec(said))?.[1];
  return { code: code === undefined ? null : Number(code), enhanced: ENHANCED.exec(said)?.[1] ?? null };
}

/** How mail servers and programs word a login that failed. */
export const ABOUT_LOGINS =
  /authenti[cf]|autentic|credential|passwor[dt]|kennwort|contraseñ|senha|wachtwoord|hasło|парол|вход|anmeld|log ?[io]n|sign ?in|5\.7\.8/i;

/** How mail servers of many kinds, in a bounce and in their logs, tell what another server answered them. */
const BOUNCE = new RegExp(
  [
    /(?<!\bserver )\bsaid: *[245]\d\d[ -]/,
    /\(in reply to\b/,
    /\bremote (?:mail )?(?:server|host) (?:returned|said|answered|replied)\b/,
    /\b(?:from (?:the )?remote (?:mail )?|response from .*)server\b/,
    /(?:diagnostic-code|reporting-mta|final-recipient|generating server):/,
    /\bwhile talking to\b|<<< ?[245]\d\d\b/,
    /\bundeliver(?:able|ed)\b|\bmail delivery (?:sub)?system\b|\breturning message to sender\b/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'i',
);
/** Providers whose replies point to their own help. */
const OTHER_PROVIDER =
  /(?:^|[./])(?:support\.[a-z-]+\.[a-z]|(?:google|gmail|outlook|office365|office|microsoft|yahoo|icloud|aol)\.com\b)/i;

/** Whether the text is a bounce: what one mail server tells of another. */
export function isBounce(said: string): boolean {
  return BOUNCE.test(said);
}

/** Whether a reply with a code points to another provider. Words of ours may name a contact: look for those first. */
export function namesOtherProvider(said: string): boolean {
  if (codesIn(said).code === null) return false;
  const words = said.slice(startOfReply(said)).split(/[\s<>()[\],;:"']+/);
  // An address of a recipient there says nothing.
  return words.some((word) => !word.includes('@') && OTHER_PROVIDER.test(word));
}

/** Fewer letters are in too many texts. */
const FEWEST_LETTERS = 10;

/**
 * How words stand to those of a reply: `same`, `none` where a reply was shown without words, or `other`. Words that a
 * program cut off at the end are the same; what begins in the middle, such as "try again later", is anybody's.
 */
export function compareWords(said: string, words: string): 'same' | 'none' | 'other' {
  if (holds(wordsOf(said), words)) return 'same';
  const reply = wordsOf(said.slice(startOfReply(said)));
  if (reply === '') return 'none';
  return reply.length >= FEWEST_LETTERS && `${words} `.startsWith(`${reply} `) ? 'same' : 'other';
}

/** "Message exceeds the size limit of …" goes on: that is another sentence. */
function holds(text: string, words: string): boolean {
  const at = ` ${text} `.indexOf(` ${words} `);
  return words !== '' && at >= 0 && !/^ (?:of|for|on) /.test(` ${text} `.slice(at + words.length + 1));
}

/** Where the server's words begin: what comes before its code are words of the program. */
function startOfReply(said: string): number {
  const found = BOTH_CODES.exec(said) ?? CODE.exec(said);
  return found?.index ?? 0;
}

/** What was said without its codes. */
function wordsOf(said: string): string {
  return plain(said.replace(new RegExp(CODE, 'g'), ' ').replace(new RegExp(ENHANCED, 'g'), ' '));
}

/** In lower case, without what programs put around and between words. */
export function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/[\s"'«»“”„‘’()[\]:;.,!-]+/g, ' ')
    .trim();
}
