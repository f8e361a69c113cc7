import { createHmac, randomBytes } from 'node:crypto';
import { link, open, readFile, unlink } from 'node:fs/promises';
import { isIP } from 'node:net';
import path from 'node:path';
import { giveMade, makePrivateDirectory, readIfThere, syncDirectory } from '../accounts/private-file.js';
import { StopgapError } from '../kernel/errors.js';
import { isLoopback, normalizeAddress, normalizeDomain, normalizeIp } from '../sending/identity.js';

/** Fields whose value is a name: of a person, a domain or a machine. `value` is a subject's. */
const NAMES = new Set(['account', 'address', 'returnPath', 'ehlo', 'ip', 'network', 'value']);
/** Fields that never hold a name, and may look as if they did. */
const PLAIN = new Set([
  'level',
  'time',
  'component',
  'correlation',
  'transaction',
  'rule',
  'listener',
  'listening',
]);
/** Fields that quote a person's file, with its names: only their presence is kept. */
const FAULTS = 'faults';
const DEEPEST = 6;

/**
 * What may be an address: a whole run of its characters, with the quoted local part before it. (A pattern with the `@` in
 * it would look for one from each character of a long run.)
 */
const RUN = /(?:"[^"\n]*"(?=@))?[^\s<>()[\],;:"'`|]+/g;
/** What ends a sentence rather than an address. */
const FULL_STOPS = /(?<!\.)\.+$/;
/** Who a rule signs as: `rule:<id>@<version>` is nobody's address. No mail domain is a number. */
const RULE = String.raw`(?<![\w:.@-])rule:[A-Za-z0-9][\w.-]{0,63}@\d+(?![\w@-]|\.\w)`;
const RULES = new RegExp(`(${RULE})`);
/** A stream's name may hold anything, spaces too: it ends where our own messages go on, or else the line does. */
const STREAM =
  /\b(send|session|held|auth|profile|block|override)-((?:(?:account|address|domain|ehlo|ip):)?)(.+?)(?=: | within \d| with(?:out)? | is at | has another | could not |$)/gm;
/** How the sentence of an evidence begins. */
const SUBJECT = /\b(Account|Return path|Domain|EHLO name|Network) (.{1,400}?)(?=: )/g;
const HASHED = /^h:[0-9a-f]{16}$/;
const IPV6 =
  /(?<=\bIPv6:|(?<![\w:.]))[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:(?:\.\d{1,3}){3})?(?:\/\d{1,3})?(?![\w:])/gi;
const IPV4 = /(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?:\/\d{1,2})?(?![\w]|\.\d)/g;
const PLACE = /^\S+?:\d+(?::\d+)?(?=:|\s|$)/;

/**
 * Replaces names by keyed hashes in logs and exports. Equal names give equal hashes, for every type of subject, so that
 * a log can still be followed. Only the holder of the key can find a name, by hashing possible names.
 */
export class Pseudonyms {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** `h:` and 16 hex digits: HMAC-SHA-256 of the name in its normal form, cut to 64 bits. The null sender stays empty. */
  of(name: string): string {
    if (name === '' || HASHED.test(name)) return name;
    const digest = createHmac('sha256', this.#key).update(normal(name)).digest('hex');
    return `h:${digest.slice(0, 16)}`;
  }

  /**
   * A record with no name left in it: fields that hold names by what they are called, all other texts by what looks
   * like one, or is a name that another field of the same record holds.
   */
  record(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const known = new Set<string>();
    collect(record, known, 0);
    return this.#fields(record, [...known], 0);
  }

  /** A text with a hash for each address, stream, subject and IP address in it, and for each of the `known` names. */
  text(text: string, known: readonly string[] = []): string {
    let result = text;
    for (const name of known) {
      const alone = new RegExp(`(?<![\\w@.-])${escaped(name)}(?![\\w@-])`, 'gi');
      result = result.replace(alone, () => this.of(name));
    }
    return result
      .replace(
        STREAM,
        (_, category: string, type: string, key: string) => `${category}-${type}${this.of(key)}`,
      )
      .split(RULES)
      .map((part, index) => (index % 2 === 1 ? part : part.replace(RUN, (run) => this.#address(run))))
      .join('')
      .replace(SUBJECT, (_, noun: string, name: string) => `${noun} ${this.of(name)}`)
      .replace(IPV6, (ip) => this.#ip(ip))
      .replace(IPV4, (ip) => this.#ip(ip));
  }

  /** A run of characters, replaced by a hash if it is an address. */
  #address(run: string): string {
    const name = run.replace(FULL_STOPS, '');
    const at = name.indexOf('@');
    return at < 0 || at === name.length - 1 ? run : this.of(name) + run.slice(name.length);
  }

  /** Loopback is nobody. */
  #ip(text: string): string {
    const bare = text.split('/', 1)[0]!;
    return isIP(bare) === 0 || isLoopback(bare) ? text : this.of(text);
  }

  #fields(
    record: Readonly<Record<string, unknown>>,
    known: readonly string[],
    depth: number,
  ): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(record).map(([key, value]) => [
        key.includes('@') ? this.text(key) : key,
        this.#value(key, value, known, depth),
      ]),
    );
  }

  #value(key: string, value: unknown, known: readonly string[], depth: number): unknown {
    if (typeof value === 'string') {
      if (PLAIN.has(key)) return value;
      if (key === FAULTS) return places(value);
      return NAMES.has(key) ? this.of(value) : this.text(value, known);
    }
    if (typeof value !== 'object' || value === null) return value;
    if (depth === DEEPEST) return '(too deep)';
    if (Array.isArray(value)) return value.map((item) => this.#value(key, item, known, depth + 1));
    if (value instanceof Error) {
      const { name, message, stack = '' } = value;
      return this.#fields({ name, message, stack }, known, depth + 1);
    }
    return this.#fields(value as Record<string, unknown>, known, depth + 1);
  }
}

/** The names that a record's own fields hold. */
function collect(value: unknown, known: Set<string>, depth: number): void {
  if (typeof value !== 'object' || value === null || depth > DEEPEST) return;
  for (const [key, part] of Object.entries(value)) {
    if (typeof part === 'string' && part !== '' && NAMES.has(key)) known.add(part);
    else collect(part, known, depth + 1);
  }
}

function places(faults: string): string {
  const kept = faults.split('\n').map((line) => PLACE.exec(line)?.[0] ?? '(left out)');
  return kept.join('; ');
}

/** One form for all kinds of names, so that an account and the address of the same spelling are seen to be one. */
function normal(name: string): string {
  const trimmed = name.trim();
  const [ip, prefix] = trimmed.split('/', 2);
  const address = normalizeIp(ip!);
  if (address !== undefined) return prefix === undefined ? address : `${address}/${prefix}`;
  return trimmed.includes('@') ? normalizeAddress(trimmed) : normalizeDomain(trimmed);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

const BYTES = 32;

/**
 * The secret that names in the log are hashed with: 32 random bytes in hexadecimal, readable by its owner only. Made if
 * there is none; of several processes that make it at once, one does.
 *
 * @throws StopgapError if the file holds something else; the system's error if it cannot be read or made
 */
export async function openLogKey(file: string): Promise<Buffer> {
  if ((await readIfThere(file)) === undefined) await make(file);
  const text = (await readFile(file, 'utf8')).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new StopgapError(
      'invalid-input',
      `${file}: is no key of ${BYTES} bytes in hexadecimal; remove it, and another is made: hashes are others then`,
    );
  }
  return Buffer.from(text, 'hex');
}

async function make(file: string): Promise<void> {
  const directory = path.dirname(file);
  makePrivateDirectory(directory);
  const aside = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  const handle = await open(aside, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(`${randomBytes(BYTES).toString('hex')}\n`);
      giveMade(handle.fd, directory);
      // An empty key after a power cut would stop the next start.
      await handle.sync();
    } finally {
      await handle.close();
    }
    await link(aside, file);
    await syncDirectory(directory);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  } finally {
    await unlink(aside);
  }
}
