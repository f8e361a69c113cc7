import { TextDecoder } from 'node:util';
import { normalizeAccount } from '../sending/identity.js';
import { hashFault } from './passwords.js';
import { nameFault } from './users.js';

/** A user as another server knows it. */
export interface ForeignUser {
  /** In normal form. */
  readonly name: string;
  /** The hash, with its scheme. */
  readonly password: string;
}

export interface PasswdFile {
  readonly users: readonly ForeignUser[];
  /** A line each, for what cannot be taken over; never with a hash. */
  readonly faults: readonly string[];
}

/**
 * Extra fields of Dovecot's passwd-file that change neither whether a user may log in nor as whom: of the mailbox, of what is logged,
 * and whether a refusal comes at once. Dovecot has many others (`fail`, `nologin`, `allow_nets`, `user` …) and gets more with each
 * version, and other programs have their own: a user of such a line could do more here than there, or less.
 */
const HARMLESS = /^(?:userdb_|quota|event_|forward_|(?:nodelay|mail|home|uid|gid)(?:=|$))/;
/** Of the mailbox, but these too change whose login it is, or refuse it. */
const OF_LOGIN_TOO = /^userdb_(?:user|username|domain|tempfail|userdb_import)(?::default)?(?:=|$)/;
/** What messages may name. Any other word that stands there may be a piece of a hash or a password. */
const NAMED =
  /^(?:allow_(?:real_)?nets|auth_user|check_client_fp|delay_until|deny|destuser|domain|fail|host(?:ip)?|k5principals|login_user|master(?:_user)?|noauthenticate|nologin|nopassword|original_user|pass|passdb_import|password(?:_noscheme)?|port|proxy(?:_(?:always|maybe|mech|nopipelining|not_trusted|noauth|source_ip|timeout))?|reason|source_ip|ssl|starttls|tempfail|user(?:name)?|userdb_(?:user(?:name)?|domain|tempfail|userdb_import))(?::default|:protected)?(?==|$)/;

/**
 * Reads Dovecot's passwd-file: `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra_fields`. All after the hash may be missing. A user
 * whose line has an extra field that is not known to be harmless is left out.
 *
 * @param file how messages name it
 */
export function parsePasswdFile(bytes: Uint8Array, file: string): PasswdFile {
  const read = [...linesOf(bytes)];
  const counted = countedLines(read.flatMap((line) => ('written' in line ? [line] : [])));
  const users: ForeignUser[] = [];
  const faults: string[] = [];
  for (const line of read) {
    const fault = 'written' in line ? (faultBeside(line, counted.get(line.name)) ?? line.why) : line.why;
    if (fault !== undefined) faults.push(`${file}:${line.number}: ${fault}`);
    else if ('written' in line) users.push({ name: line.name, password: line.password });
  }
  return { users, faults };
}

/** A line of a user, whether or not there is something else that is wrong with it. */
interface Line extends ForeignUser {
  readonly number: number;
  /** The name as it is there. */
  readonly written: string;
  /** How messages name the user: what stands before no hash may be the rest of one whose line was broken. */
  readonly shown: string;
  readonly why?: string;
}

/** A line without a name that can be used. */
interface Nameless {
  readonly number: number;
  readonly why: string;
}

function* linesOf(bytes: Uint8Array): Generator<Line | Nameless> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let start = 0;
  for (let number = 1; start < bytes.length; number++) {
    const found = bytes.indexOf(0x0a, start);
    const end = found < 0 ? bytes.length : found;
    const text = decodedOrNone(decoder, bytes.subarray(start, end))?.replace(/\r$/, '');
    start = end + 1;
    if (text === undefined) yield { number, why: 'is not UTF-8' };
    else if (text.trim() !== '' && !text.startsWith('#')) yield { number, ...userOf(text) };
  }
}

function decodedOrNone(decoder: TextDecoder, bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined; // fatal decoders have no other way to say it
  }
}

/**
 * The line that counts of each user; undefined where none can be told. Dovecot brings a login into lower case before it looks (by
 * default), and goes by the first line of that name, also where it refuses that user. Where no line has that name, logins may be taken
 * as they are written, and of several spellings each would be a user.
 */
function countedLines(lines: readonly Line[]): ReadonlyMap<string, Line | undefined> {
  const counted = new Map<string, Line | undefined>();
  for (const line of lines) {
    const { name, written } = line;
    const before = counted.get(name);
    if (!counted.has(name) || (written === name && before?.written !== name)) counted.set(name, line);
    else if (before !== undefined && before.written !== name && before.written !== written)
      counted.set(name, undefined);
  }
  return counted;
}

/** Why a line is not the one of its user. */
function faultBeside({ number, shown, written }: Line, counted: Line | undefined): string | undefined {
  if (counted === undefined) return `${shown} is there in several spellings, and none in lower case`;
  if (counted.number === number) return undefined;
  return counted.written === written
    ? `${shown} is in an earlier line too`
    : `${shown} is in line ${counted.number}, in lower case`;
}

/** The user of a line, or what is wrong with it; never a part of a password or of a hash. */
function userOf(line: string): Omit<Line, 'number'> | Omit<Nameless, 'number'> {
  const [written = '', password, ...rest] = line.split(':');
  const name = normalizeAccount(written);
  const badName = nameFault(name);
  if (badName !== undefined) return { why: `the user name ${badName}` };
  if (password === undefined) return { why: 'has no password; the form is user:{SCHEME}hash' };
  const fault = password === '' ? 'has an empty password' : hashFault(password);
  const shown = /^[{$*!]/.test(password) ? name : 'this user';
  const why = fault ?? extraFault(rest);
  return { name, written, shown, password, ...(why === undefined ? {} : { why: `${shown}: ${why}` }) };
}

/** What of the extra fields changes a login. @param rest what follows the password */
function extraFault(rest: readonly string[]): string | undefined {
  // uid, gid, gecos, home and shell come first.
  const extra = rest
    .slice(5)
    .join(':')
    .split(' ')
    .filter((field) => field !== '');
  const place = extra.findIndex((field) => !HARMLESS.test(field) || OF_LOGIN_TOO.test(field));
  if (place < 0) return undefined;
  const field = NAMED.exec(extra[place]!)?.[0] ?? `an extra field that is not known (number ${place + 1})`;
  return `has ${field}, which Stopgap does not heed; remove it, or leave the user out`;
}
