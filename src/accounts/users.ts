import { randomBytes } from 'node:crypto';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant, HOUR } from '../kernel/time.js';
import { LONGEST_ADDRESS, normalizeAccount } from '../sending/identity.js';
import { keyedHash } from './failed-credentials.js';
import { faultOrCost, hashPassword } from './passwords.js';
import { readIfThere } from './private-file.js';
import { ConfigError } from './problems.js';
import type { LockOptions, RecordChange, RecordFile } from './record-file.js';
import { changeRecords, isText } from './record-file.js';
import { readRecords } from './yaml-source.js';
import { recentlyUsed } from '../runtime/recently-used.js';

export interface UserRecord {
  /** In normal form. */
  readonly name: string;
  /** The stored hash. */
  readonly password: string;
  /** What a check of it costs, as `passwordCost` says it. */
  readonly cost: number;
  /** A disabled user's password is never right. */
  readonly disabled: boolean;
  /** ISO 8601; undefined if a person wrote the entry. */
  readonly addedAt: string | undefined;
}

/** By name in normal form. */
export type UserTable = ReadonlyMap<string, UserRecord>;

export const NO_USERS: UserTable = new Map();

const FIELDS = ['name', 'password', 'disabled', 'addedAt'];
const LONGEST_NAME = 320;

/**
 * Reads a users file: `users: [{name, password, disabled?, addedAt?}]`.
 *
 * @param file how messages name it
 * @throws ConfigError with every problem, each with file, line and column; never with a hash
 */
export function parseUsers(text: string, file: string): UserTable {
  const problems: string[] = [];
  const users = new Map<string, UserRecord>();
  const read = (record: ReadonlyMap<string, unknown>, where: (field?: string) => string): void => {
    const [name, password] = [record.get('name'), record.get('password')];
    const [disabled, addedAt] = [record.get('disabled'), record.get('addedAt')];
    const before = problems.length;
    const normal = isText(name) ? normalizeAccount(name) : '';
    if (!isText(name))
      problems.push(`${where('name')}: must be text (in quotes where it looks like a number)`);
    else {
      const fault = nameFault(normal);
      if (fault !== undefined) problems.push(`${where('name')}: ${fault}`);
      if (users.has(normal)) problems.push(`${where('name')}: ${normal} is there twice; remove one`);
    }
    const cost = isText(password) ? faultOrCost(password) : 'is missing; set it with stopgap user passwd';
    if (typeof cost === 'string') problems.push(`${where('password')}: ${cost}`);
    if (disabled !== undefined && typeof disabled !== 'boolean') {
      problems.push(`${where('disabled')}: must be true or false`);
    }
    if (addedAt !== undefined && !isText(addedAt)) problems.push(`${where('addedAt')}: must be a date`);
    if (problems.length > before) return;
    users.set(normal, {
      name: normal,
      password: password as string,
      cost: cost as number,
      disabled: disabled === true,
      addedAt: addedAt as string | undefined,
    });
  };
  readRecords({ text, file, list: 'users', fields: FIELDS, problems, read });
  if (problems.length > 0) throw new ConfigError(problems);
  return users;
}

/** @param account in normal form */
export function stateOf(users: UserTable, account: string): 'active' | 'disabled' | 'unknown' {
  const user = users.get(account);
  return user === undefined ? 'unknown' : user.disabled ? 'disabled' : 'active';
}

/** The users of a file, none if it does not exist. */
export async function readUsers(file: string): Promise<UserTable> {
  const text = await readIfThere(file);
  return text === undefined ? NO_USERS : parseUsers(text, file);
}

export interface UserChange {
  readonly file: string;
  readonly name: string;
  readonly lock?: LockOptions;
}

/**
 * Adds a user.
 *
 * @returns the name in normal form
 * @throws StopgapError `conflict` if there is one of that name
 */
export async function addUser(change: UserChange & { password: string; now: Instant }): Promise<string> {
  const name = checkName(change.name);
  const password = await hashPassword(change.password);
  const decide = (names: readonly string[]): RecordChange => {
    if (!names.includes(name)) return { add: [{ name, password, addedAt: formatInstant(change.now) }] };
    const message = `there is a user ${name} already: stopgap user passwd changes its password`;
    throw new StopgapError('conflict', message);
  };
  await changeRecords(usersFile(change.file), decide, change.lock);
  return name;
}

/**
 * Adds those users that there are not yet, all at once, with the hashes that they have.
 *
 * @returns how many were added
 */
export async function importUsers(change: {
  readonly file: string;
  readonly users: readonly { readonly name: string; readonly password: string }[];
  readonly now: Instant;
}): Promise<number> {
  let added = 0;
  const addedAt = formatInstant(change.now);
  const decide = (names: readonly string[]): RecordChange | undefined => {
    const known = new Set(names);
    const add = change.users.filter(({ name }) => !known.has(name));
    added = add.length;
    return added === 0 ? undefined : { add: add.map(({ name, password }) => ({ name, password, addedAt })) };
  };
  await changeRecords(usersFile(change.file), decide);
  return added;
}

/** @throws StopgapError `not-found` */
export async function setPassword(change: UserChange & { password: string }): Promise<string> {
  const name = normalizeAccount(change.name);
  const password = await hashPassword(change.password);
  const decide = (names: readonly string[]) => ({ at: indexOf(name, names), set: { password } });
  await changeRecords(usersFile(change.file), decide, change.lock);
  return name;
}

/** @throws StopgapError `not-found` */
export async function removeUser(change: UserChange): Promise<string> {
  const name = normalizeAccount(change.name);
  const decide = (names: readonly string[]) => ({ remove: indexOf(name, names) });
  await changeRecords(usersFile(change.file), decide, change.lock);
  return name;
}

function usersFile(file: string): RecordFile {
  return {
    file,
    list: 'users',
    comment: 'Who may log in. Written by stopgap user; changes are picked up without a restart.',
    names: (text) => [...parseUsers(text, file).keys()],
  };
}

/** @throws StopgapError `not-found` */
function indexOf(name: string, names: readonly string[]): number {
  const index = names.indexOf(name);
  if (index < 0) throw new StopgapError('not-found', `there is no user ${name}`);
  return index;
}

function checkName(raw: string): string {
  const name = normalizeAccount(raw);
  const fault = nameFault(name);
  if (fault !== undefined) throw new InvalidInput('name', `the user name ${fault}`);
  return name;
}

/** @param name in normal form */
export function nameFault(name: string): string | undefined {
  if (name === '' || name.length > LONGEST_NAME) return `must have 1 to ${LONGEST_NAME} characters`;
  // eslint-disable-next-line no-control-regex -- control characters are just what must not pass
  if (/[\u0000-\u0020\u007f<>*]/.test(name)) return 'must hold no spaces, control characters, < > or *';
  return undefined;
}

/** Logins of one account that did not get as far as a block: for a wrong password, or put off with 454. */
export interface FailedLogins {
  /** When the first of them was. */
  readonly since: Instant;
  readonly failed: LastLogin | undefined;
  /** Not tried, since too many logins from their network had failed. */
  readonly putOff: LastLogin | undefined;
  /** Whether there is such an account for certain: else what failed may be a name that nobody has. */
  readonly isKnown: boolean;
  /** When one of them failed there was no such account, or it was disabled. */
  readonly wasNone: boolean;
}
/** How many there were, when the last one was, and from which client network. */
export interface LastLogin {
  readonly count: number;
  readonly at: Instant;
  readonly network: string;
}
type Counted = Omit<FailedLogins, 'isKnown'>;

/** When the last one was. */
export function lastOf({ failed, putOff }: Pick<FailedLogins, 'failed' | 'putOff'>): Instant {
  return Math.max(failed?.at ?? -Infinity, putOff?.at ?? -Infinity);
}

/** After an hour without one they are counted again. */
const REST: Milliseconds = HOUR;
/** Accounts that are remembered, and so many other names. */
const MOST_NAMES = 10_000;

/**
 * What administrators are told when a customer says that his mail is refused. In memory alone. What is typed as a login may
 * be a password, and strangers choose it: of names that may be no account only keyed hashes are kept, apart, so that guessed
 * ones push out no account.
 */
export class FailedLoginsByAccount {
  readonly #exists: (account: string) => boolean | undefined;
  readonly #accounts = this.#table();
  readonly #others = this.#table();
  #forgottenAt: Instant = -Infinity;
  readonly #hashKey = randomBytes(32);

  /** @param exists whether there is an account that may log in, in normal form; undefined if that is not known */
  constructor(exists: (account: string) => boolean | undefined) {
    this.#exists = exists;
  }

  /** When the last login was that is forgotten, since too many others failed: until an hour later more may have failed than is known. */
  get forgottenAt(): Instant {
    return this.#forgottenAt;
  }

  /** @param at may be of before those that are counted: then it may have been reported late */
  note(login: string, what: 'failed' | 'putOff', network: string, at: Instant, count = 1): void {
    if (Buffer.byteLength(login) > LONGEST_ADDRESS) return;
    const account = normalizeAccount(login);
    const exists = this.#exists(account);
    const before = this.of(account, at) ?? {
      failed: undefined,
      putOff: undefined,
      since: at,
      wasNone: false,
    };
    const { failed, putOff } = before;
    // One of those that were counted before an hour without one.
    if (lastOf(before) - at > REST) return;
    const wasNone = before.wasNone || exists === false;
    const since = Math.min(before.since, at);
    const so = { failed, putOff }[what];
    const newest = so === undefined || so.at <= at ? { at, network } : so;
    const last = { ...newest, count: (so?.count ?? 0) + count };
    const counted: Counted = { failed, putOff, since, wasNone, [what]: last };
    // Each is in one table alone. What was an account stays one here, though that may not be known any more.
    if (exists === true || this.#accounts.has(account)) {
      this.#accounts.set(account, counted);
      this.#others.delete(this.#keyOf(account));
    } else this.#others.set(this.#keyOf(account), counted);
  }

  /** Undefined if there was none within the last hour. */
  of(account: string, now: Instant): FailedLogins | undefined {
    const found = this.#accounts.get(account) ?? this.#others.get(this.#keyOf(account));
    if (found === undefined || now - lastOf(found) > REST) return undefined;
    return { ...found, isKnown: !found.wasNone && this.#exists(account) === true };
  }

  #table(): ReturnType<typeof recentlyUsed<string, Counted>> {
    return recentlyUsed<string, Counted>(MOST_NAMES, {
      dispose: (counted, _, why) => {
        if (why === 'evict') this.#forgottenAt = Math.max(this.#forgottenAt, lastOf(counted));
      },
    });
  }

  #keyOf(account: string): string {
    return keyedHash(this.#hashKey, [account]);
  }
}
