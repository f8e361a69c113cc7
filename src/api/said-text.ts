import { BAD_CREDENTIALS, TOO_LARGE } from '../smtp/replies.js';

/** What was found in the words that a mail program showed. */
export interface Found {
  readonly code: number | null;
  readonly enhanced: string | null;
}

/** Of a fault: neither a port of a host, nor a year, nor a part of an address or of a telephone number. */
const CODE = /(?<![\d.]|\d[:/-]|\.[a-zA-Z]+:)[45][0-5]\d(?!\d|\.\d)/;
/** The surest, where a text has other numbers too. */
const BOTH_CODES = new RegExp(`${CODE.source}(?=[ -][45]\\.\\d{1,3}\\.\\d{1,3}(?![\\d.]))`);
/** Other numbers of three digits are of rooms, telephones and messages too. */
const INTRODUCED = anyOf(
  new RegExp(`(?=[45])(?<=^\\W*|[:("'=>]\\s?)${CODE.source}(?![ /-]\\d\\d)`),
  new RegExp(
    `(?=[45])(?<=(?:error|fehler|code|status|said|says|reply|response|answer|returned|responded|shows|smtp)\\W{1,3})${CODE.source}(?![ /-]\\d\\d)`,
  ),
);
/** At the end, or before the words of a server: they begin with a capital letter. */
const BEFORE_WORDS = new RegExp(`${CODE.source}(?=[ -](?:\\p{Lu}|<)|[^\\p{L}\\d]*$)`, 'u');
const ENHANCED = /(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.])/;

export function codesIn(said: string): Found {
  const code = codeIn(said)?.[0];
  return { code: code === undefined ? null : Number(code), enhanced: ENHANCED.exec(said)?.[1] ?? null };
}

function codeIn(said: string): RegExpExecArray | null {
  return sureCodeIn(said) ?? CODE.exec(said);
}

function sureCodeIn(said: string): RegExpExecArray | null {
  return BOTH_CODES.exec(said) ?? INTRODUCED.exec(said) ?? BEFORE_WORDS.exec(said);
}

/** Whether the number that was taken for a code may be another one. */
export function isCodeDoubtful(said: string): boolean {
  return sureCodeIn(said) === null && CODE.test(said);
}

/** How mail servers and programs word a login that failed. */
const ABOUT_LOGINS =
  /authenti[cf]|autentic|credential|passwor[dt]|kennwort|contraseñ|senha|wachtwoord|hasło|парол|вход(?!ящ)|anmeld|log ?[io]n|sign ?in|5\.7\.8/i;

/** How mail servers of many kinds, in a bounce and in their logs, tell what another server answered them. */
const BOUNCE = anyOf(
  /\bhost \S+ (?:said: *[245]\d\d\b|refused to talk to me:)/,
  /\(in reply to\b/,
  /\bremote host said:|\bremote server returned '|\bfrom remote mail(?: server|er) after\b/,
  /(?:diagnostic-code|reporting-mta|final-recipient|generating server):/,
  /\bwhile talking to\b|<<< ?[245]\d\d\b/,
  /\bundelivered mail returned\b|\bundeliverable:|\bmail delivery (?:sub)?system\b|\breturning message to sender\b/,
);

/** Whether the text is a bounce: what one mail server tells of another. Without a code it tells nothing, and none tells of a login. */
export function isBounce(said: string, { code, enhanced }: Found): boolean {
  return (code !== null || enhanced !== null) && code !== BAD_CREDENTIALS.code && BOUNCE.test(said);
}

/** How servers word an answer to who reads mail: IMAP (RFC 5530) and POP3 (RFC 2449, RFC 3206). */
const OF_READING = anyOf(
  /(?:^|[\s"'])-ERR\b/,
  /\[(?:AUTHENTICATIONFAILED|AUTHORIZATIONFAILED|UNAVAILABLE|EXPIRED|INUSE|IN-USE|LOGIN-DELAY|SYS\/\w+)\]/,
);
/** Servers for reading mail, in the words of a program. */
const READING = /\b(?:imap|pop3)s?\b|\bpop\.\w/i;
const SENDING = /\bsmtp|\bsend|outgoing|ausgang|sortant|saliente/i;

/** Whether the text is of a program that reads mail. An answer to who sends has a code. */
export function isOfReading(said: string, { code }: Found): boolean {
  return code === null && (OF_READING.test(said) || (READING.test(said) && !SENDING.test(said)));
}

/** No server answered, or none did in time. */
const LOST = anyOf(
  /tim(?:ed|e|ing)[ -]?out|zeitüberschreitung|\bno (?:response|answer|route)\b|\bnot (?:respond|answer)/,
  /\b(?:connect|verbind)\w*\b.*\b(?:refus(?:ed|ing)|reset|lost|interrupted|closed|abgelehnt|unterbrochen)\b/,
  /\bE(?:CONN\w+|TIMEDOUT|NOTFOUND|HOSTUNREACH|NETUNREACH|AI_AGAIN)\b|unreachable|unknown host/,
  // Outlook's numbers.
  /0x(?:80042109|8004210b|800ccc(?:0[d-f]|1[0-59a]))\b/,
);
/** A program may say so of a login too. */
const UNREACHED = anyOf(
  LOST,
  /\b(?:connect|verbind)\w*\b.*\b(?:failed|fehlgeschlagen)\b|\b(?:cannot|can't|could not|couldn't|unable to) connect\b/,
  /not reach|\b(?:start)?tls\b|\bssl\b|certificate|zertifikat|resolve/,
);

export function isUnreached(said: string): boolean {
  return UNREACHED.test(said);
}

/** Whether the text is about a login that a server answered. */
export function isAboutLogin(said: string): boolean {
  return ABOUT_LOGINS.test(said) && !LOST.test(said);
}

/** Providers whose replies point to their own help. */
const OTHER_PROVIDER =
  /(?:^|[./])(?:google|gmail|outlook|office365|office|microsoft|yahoo|icloud|aol)\.com\b/i;

/** Whether a reply with a code points to another provider. Words of ours may name a contact: look for those first. */
export function namesOtherProvider(said: string): boolean {
  if (codesIn(said).code === null) return false;
  const words = replyIn(said).split(/[\s<>()[\],;:"']+/);
  // An address of a recipient there says nothing.
  return words.some((word) => !word.includes('@') && OTHER_PROVIDER.test(word));
}

/** Fewer letters are in too many texts. */
const FEWEST_LETTERS = 10;

/**
 * How words stand to those of a reply: `same`, `none` where a reply was shown without words, or `other`. Words that a
 * program cut off at the end are the same; what begins in the middle, such as "try again later", is anybody's.
 *
 * @param wordings of the reply, as {@link plain} has them
 */
export function compareWords(said: string, wordings: readonly string[]): 'same' | 'none' | 'other' {
  const text = wordsOf(said);
  if (wordings.some((words) => holds(text, words))) return 'same';
  // Postfix puts what it refused before the words.
  const reply = wordsOf(
    replyIn(said)
      .split(/<[^<>]*>: [a-z -]+ rejected: /i)
      .at(-1)!,
  );
  if (reply === '') return 'none';
  const isCut = reply.length >= FEWEST_LETTERS && wordings.some((words) => words.startsWith(reply));
  return isCut ? 'same' : 'other';
}

/** What shows a reply: its words, or the first part of them, since people and programs leave out the rest. */
export function wordingsOf(reply: string): readonly string[] {
  const first = plain(reply.split(/[,;:] /)[0]!);
  return [plain(reply), ...(first.length < FEWEST_LETTERS ? [] : [first])];
}

const SIZE = plain(TOO_LARGE.text.replace(/^\S+ /, ''));

function holds(text: string, words: string): boolean {
  const at = ` ${text} `.indexOf(` ${words} `);
  if (words === '' || at < 0) return false;
  // "Message exceeds the size limit of …" goes on: that is another sentence.
  return words !== SIZE || !/^ (?:of|for|on) /.test(` ${text} `.slice(at + words.length + 1));
}

/**
 * What the server said: what comes before its code are words of the program. Roundcube goes on with its own, and has those
 * of the server in brackets: "SMTP Error (450): Failed to add recipient … (4.3.2 …)".
 */
function replyIn(said: string): string {
  const reply = said.slice(codeIn(said)?.index ?? 0);
  return /^\d{3}\):/.test(reply) ? (/\s\((.*)/s.exec(reply)?.[1] ?? '') : reply;
}

/** What was said without its codes. */
function wordsOf(said: string): string {
  return plain(said.replace(new RegExp(CODE, 'g'), ' ').replace(new RegExp(ENHANCED, 'g'), ' '));
}

/** In lower case, without what programs put around and between words. */
export function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/[\s"'«»“”„‘’()[\]:;.…,!?-]+/g, ' ')
    .trim();
}

function anyOf(...marks: readonly RegExp[]): RegExp {
  return new RegExp(marks.map(({ source }) => source).join('|'), 'i');
}
