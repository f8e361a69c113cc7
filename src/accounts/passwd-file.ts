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
/** What stands there otherwise, or as a value, may be a hash. */
const FIELD_NAME = /^[a-z_][\w:.-]{0,63}(?==|$)/i;

/**
 * Reads Dovecot's passwd-file: `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra_fields`. All after the hash may be missing. A user
 * whose line has an extra field that is not known to be harmless is left out.
 *
 * @param file how messages name it
 */
export function parsePasswdFile(bytes: Uint8Array, file: string): PasswdFile {
  const users = new Map<string, ForeignUser>();
  // Dovecot goes by the first line of a name, also where it refuses that user.
  const names = new Set<string>();
  const faults: string[] = [];
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let start = 0;
  for (let number = 1; start < bytes.length; number++) {
    const found = bytes.indexOf(0x0a, start);
    const end = found < 0 ? bytes.length : found;
    const line = decodedOrNone(decoder, bytes.subarray(start, end));
    start = end + 1;
    const read = line === undefined ? 'is not UTF-8' : userOf(line.replace(/\r$/, ''));
    if (read === undefined) continue;
    if (typeof read === 'string') faults.push(`${file}:${number}: ${read}`);
    else if (names.has(read.name)) faults.push(`${file}:${number}: ${read.name} is in an earlier line too`);
    else if ('why' in read) faults.push(`${file}:${number}: ${read.name}: ${read.why}`);
    else users.set(read.name, read);
    if (typeof read === 'object') names.add(read.name);
  }
  return { users: [...users.values()], faults };
}

function decodedOrNone(decoder: TextDecoder, bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined; // fatal decoders have no other way to say it
  }
}

/** A user that is left out, and why. */
interface LeftOut {
  readonly name: string;
  readonly why: string;
}

/** The user of a line, or why there is none; undefined for an empty line or a comment. */
function userOf(line: string): ForeignUser | LeftOut | string | undefined {
  if (line.trim() === '' || line.startsWith('#')) return undefined;
  const [written = '', password, ...rest] = line.split(':');
  const name = normalizeAccount(written);
  const fault = nameFault(name);
  if (fault !== undefined) return `the user name ${fault}`;
  if (password === undefined) return { name, why: 'has no password; the form is user:{SCHEME}hash' };
  if (password === '') return { name, why: 'has an empty password' };
  const why = hashFault(password);
  if (why !== undefined) return { name, why };
  // uid, gid, gecos, home and shell come first.
  const extra = rest
    .slice(5)
    .join(':')
    .split(' ')
    .find((field) => field !== '' && (!HARMLESS.test(field) || OF_LOGIN_TOO.test(field)));
  if (extra !== undefined) {
    const field = FIELD_NAME.exec(extra)?.[0] ?? 'an extra field';
    return { name, why: `has ${field}, which Stopgap does not heed; remove it, or leave the user out` };
  }
  return { name, password };
}
