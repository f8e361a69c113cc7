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
 * Extra fields of Dovecot's passwd-file by which it refuses a login, or lets one in without a check. A user of such a
 * line would be able to do more here, or less.
 */
const CHANGES_LOGIN = /^(?:nologin|nopassword|allow_(?:real_)?nets=|proxy|deny)/;

/**
 * Reads Dovecot's passwd-file: `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra_fields`. All after the hash may be missing. Of the
 * extra fields only those count that concern the login.
 *
 * @param file how messages name it
 */
export function parsePasswdFile(bytes: Uint8Array, file: string): PasswdFile {
  const users = new Map<string, ForeignUser>();
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
    else if (users.has(read.name)) faults.push(`${file}:${number}: ${read.name} is in an earlier line too`);
    else users.set(read.name, read);
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

/** The user of a line, or why there is none; undefined for an empty line or a comment. */
function userOf(line: string): ForeignUser | string | undefined {
  if (line.trim() === '' || line.startsWith('#')) return undefined;
  const [written = '', password, ...rest] = line.split(':');
  const name = normalizeAccount(written);
  const fault = nameFault(name);
  if (fault !== undefined) return `the user name ${fault}`;
  if (password === undefined) return `${name}: has no password; the form is user:{SCHEME}hash`;
  if (password === '') return `${name}: has an empty password`;
  const why = hashFault(password);
  if (why !== undefined) return `${name}: ${why}`;
  // uid, gid, gecos, home and shell come first.
  const extra = rest
    .slice(5)
    .join(':')
    .split(/\s+/)
    .find((field) => CHANGES_LOGIN.test(field));
  if (extra !== undefined)
    return `${name}: has ${extra.split('=')[0]!}, which Stopgap does not heed; remove it, or leave the user out`;
  return { name, password };
}
