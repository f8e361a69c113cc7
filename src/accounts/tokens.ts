import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant, parseInstant } from '../kernel/time.js';
import type { AdminTable } from './admins.js';
import { normalizeAdmin } from './admins.js';
import type { LockOptions, RecordChange, RecordFile } from './record-file.js';
import { changeRecords, isText } from './record-file.js';
import { readIfThere } from './private-file.js';
import { ConfigError } from './problems.js';
import type { Rights } from './roles.js';
import { domainsOf, readDomains, ROLES } from './roles.js';
import { readRecords } from './yaml-source.js';

export interface TokenRecord extends Rights {
  readonly name: string;
  /** `sha256:<hex>`: the token has 256 random bits, so a fast hash cannot be guessed back. */
  readonly hash: string;
  /** ISO 8601; undefined if a person wrote the entry. */
  readonly addedAt: string | undefined;
  /** From then on it is worthless; undefined: never. */
  readonly expiresAt?: Instant | undefined;
}

/** Makes tokens recognisable to secret scanners and to anyone who finds one. */
const PREFIX = 'sgp_';
const TOKEN_BYTES = 32;
const FIELDS = ['name', 'role', 'hash', 'addedAt', 'domains', 'expiresAt'];

export class TokenTable {
  readonly #hashes: ReadonlyArray<readonly [hash: Buffer, record: TokenRecord]>;

  constructor(readonly records: readonly TokenRecord[]) {
    this.#hashes = records.map((record) => [Buffer.from(record.hash.slice('sha256:'.length), 'hex'), record]);
  }

  /**
   * Whose token it is; undefined for nobody's, and for one that has expired. The time it takes tells nothing about the
   * tokens there are.
   */
  find(token: string, now: Instant): TokenRecord | undefined {
    const given = sha256(token);
    let found: TokenRecord | undefined;
    for (const [hash, record] of this.#hashes) {
      if (timingSafeEqual(hash, given)) found = record;
    }
    return (found?.expiresAt ?? Infinity) > now ? found : undefined;
  }

  /** Whether a token is called so, also one that has expired. @param person in normal form */
  hasName(person: string): boolean {
    return this.records.some(({ name }) => normalizeAdmin(name) === person);
  }
}

export const NO_TOKENS = new TokenTable([]);

/**
 * Reads a tokens file: `tokens: [{name, role, hash, addedAt?, domains?, expiresAt?}]`.
 *
 * @param file how messages name it
 * @throws ConfigError with every problem, each with file, line and column; never with a hash
 */
export function parseTokens(text: string, file: string): TokenTable {
  const problems: string[] = [];
  const tokens = new Map<string, TokenRecord>();
  const read = (record: ReadonlyMap<string, unknown>, where: (field?: string) => string): void => {
    const [name, role, hash, addedAt, domains, expiresAt] = FIELDS.map((field) => record.get(field));
    const before = problems.length;
    const known = ROLES.find((one) => one === role);
    if (!isText(name))
      problems.push(`${where('name')}: must be text (in quotes where it looks like a number)`);
    else if (tokens.has(name)) problems.push(`${where('name')}: ${name} is there twice; remove one`);
    if (known === undefined) problems.push(`${where('role')}: is not known; use ${ROLES.join(', ')}`);
    const own =
      known === undefined
        ? []
        : readDomains(known, domains, (fault) => problems.push(`${where('domains')}: ${fault}`));
    const ends = isText(expiresAt) ? parseInstant(expiresAt) : undefined;
    // One that is misspelt must not last for ever.
    if (expiresAt !== undefined && ends === undefined)
      problems.push(`${where('expiresAt')}: must be an ISO 8601 time such as 2027-01-31T08:00:00Z`);
    if (!isText(hash) || !/^sha256:[0-9a-f]{64}$/.test(hash)) {
      problems.push(
        `${where('hash')}: must be sha256: and 64 hex digits; make the token with stopgap token add`,
      );
    }
    if (addedAt !== undefined && !isText(addedAt)) problems.push(`${where('addedAt')}: must be a date`);
    if (problems.length > before || known === undefined) return;
    tokens.set(name as string, {
      name: name as string,
      role: known,
      hash: hash as string,
      addedAt: addedAt as string | undefined,
      domains: own,
      expiresAt: ends,
    });
  };
  readRecords({ text, file, list: 'tokens', fields: FIELDS, problems, read });
  if (problems.length > 0) throw new ConfigError(problems);
  return new TokenTable([...tokens.values()]);
}

/** The tokens of a file, none if it does not exist. */
export async function readTokens(file: string): Promise<TokenTable> {
  const text = await readIfThere(file);
  return text === undefined ? NO_TOKENS : parseTokens(text, file);
}

export interface TokenAddition {
  readonly file: string;
  readonly name: string;
  readonly role: string;
  /** Of the role `domain`. */
  readonly domains?: readonly string[];
  readonly now: Instant;
  /** How long it lasts; undefined: until it is revoked. */
  readonly lasts?: Milliseconds | undefined;
  /** A token that {@link newToken} made before; undefined: a new one. */
  readonly token?: string | undefined;
  /** Whose names it may not have: of two with one name nobody could tell who did what is recorded. */
  readonly people?: AdminTable;
  readonly lock?: LockOptions;
}

export function newToken(): string {
  return PREFIX + randomBytes(TOKEN_BYTES).toString('base64url');
}

/**
 * Makes a token and stores its hash.
 *
 * @returns the token itself, which nobody can find out again
 * @throws InvalidInput for an unknown role, domains that do not fit it, or an unfit name; StopgapError `conflict` if the name is taken, by a token or a person
 */
export async function addToken(addition: TokenAddition): Promise<string> {
  const { name } = addition;
  const role = ROLES.find((known) => known === addition.role);
  if (role === undefined) {
    throw new InvalidInput('role', `"${addition.role}" is no role: use ${ROLES.join(', ')}`);
  }
  if (!/^[\p{L}\p{N}._@-]{1,100}$/u.test(name)) {
    throw new InvalidInput('name', 'the name of a token has 1 to 100 letters, digits, or any of . _ @ -');
  }
  const domains = domainsOf(role, addition.domains ?? []);
  if (addition.people?.has(normalizeAdmin(name)) === true) {
    const message = `there is a person ${normalizeAdmin(name)} already, and both are recorded under this name: use another one`;
    throw new StopgapError('conflict', message);
  }
  const token = addition.token ?? newToken();
  const decide = (names: readonly string[]): RecordChange => {
    if (names.includes(name)) {
      const message = `there is a token ${name} already: revoke it, or use another name`;
      throw new StopgapError('conflict', message);
    }
    const hash = `sha256:${sha256(token).toString('hex')}`;
    const { now, lasts } = addition;
    const more = {
      ...(domains.length === 0 ? {} : { domains }),
      ...(lasts === undefined ? {} : { expiresAt: formatInstant(now + lasts) }),
    };
    return { add: [{ name, role, hash, addedAt: formatInstant(now), ...more }] };
  };
  await changeRecords(tokensFile(addition.file), decide, addition.lock);
  return token;
}

/** @throws StopgapError `not-found` */
export async function revokeToken(file: string, name: string, lock?: LockOptions): Promise<void> {
  const decide = (names: readonly string[]): RecordChange => {
    const index = names.indexOf(name);
    if (index < 0) throw new StopgapError('not-found', `there is no token ${name}`);
    return { remove: index };
  };
  await changeRecords(tokensFile(file), decide, lock);
}

function tokensFile(file: string): RecordFile {
  return {
    file,
    list: 'tokens',
    comment: 'Who may use the API. Written by stopgap token; changes are picked up without a restart.',
    names: (text) => parseTokens(text, file).records.map(({ name }) => name),
  };
}

function sha256(token: string): Buffer {
  return createHash('sha256').update(token, 'utf8').digest();
}
