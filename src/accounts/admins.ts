import { createHash, randomBytes } from 'node:crypto';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import { hashFault, hashPasswordOfAdmin } from './passwords.js';
import { readIfThere } from './private-file.js';
import { ConfigError } from './problems.js';
import type { LockOptions, RecordChange, RecordFile } from './record-file.js';
import { changeRecords, isText } from './record-file.js';
import type { Rights, Role } from './roles.js';
import { domainsOf, readDomains, ROLES } from './roles.js';
import { readRecords } from './yaml-source.js';

/** The roles of people: mail servers have tokens. */
export const PEOPLE_ROLES = ROLES.filter((role) => role !== 'server');

/** A person who signs in with a password. */
export interface AdminRecord extends Rights {
  /** In normal form. */
  readonly name: string;
  /** The stored hash. */
  readonly password: string;
  /** The secret of time-based codes, in base32; undefined if none are asked for. */
  readonly totp: string | undefined;
  /** SHA-256 of each code that may be used once instead. */
  readonly recovery: readonly string[];
  /** ISO 8601; undefined if a person wrote the entry. */
  readonly addedAt: string | undefined;
  /** Another one if rights, password or secret are others: then sessions end. */
  readonly stamp: string;
}

/** By name in normal form. */
export type AdminTable = ReadonlyMap<string, AdminRecord>;

export const NO_ADMINS: AdminTable = new Map();

const FIELDS = ['name', 'role', 'password', 'domains', 'totp', 'recovery', 'addedAt'];
const RECOVERY_CODES = 10;
/** 80 bits: nobody guesses one from its hash. */
const RECOVERY_BYTES = 10;
/** 160 bits, as RFC 4226 recommends. */
const SECRET_BYTES = 20;

export function normalizeAdmin(raw: string): string {
  return raw.normalize('NFC').trim().toLowerCase();
}

/**
 * Reads a file of administrators: `admins: [{name, role, password, domains?, totp?, recovery?, addedAt?}]`.
 *
 * @param file how messages name it
 * @throws ConfigError with every problem, each with file, line and column; never with a hash or secret
 */
export function parseAdmins(source: string, file: string): AdminTable {
  const problems: string[] = [];
  const admins = new Map<string, AdminRecord>();
  const read = (record: ReadonlyMap<string, unknown>, where: (field?: string) => string): void => {
    const [name, role, password, domains, totp, recovery, addedAt] = FIELDS.map((field) => record.get(field));
    const before = problems.length;
    const normal = isText(name) ? normalizeAdmin(name) : '';
    const known = PEOPLE_ROLES.find((one) => one === role);
    const fault = nameFault(normal);
    if (fault !== undefined) problems.push(`${where('name')}: ${fault}`);
    else if (admins.has(normal)) problems.push(`${where('name')}: ${normal} is there twice; remove one`);
    if (known === undefined) problems.push(`${where('role')}: is not known; use ${PEOPLE_ROLES.join(', ')}`);
    const own = readDomains(known ?? 'viewer', known === undefined ? [] : domains, (what) =>
      problems.push(`${where('domains')}: ${what}`),
    );
    const unfit = isText(password) ? hashFault(password) : 'is missing; set it with stopgap admin passwd';
    if (unfit !== undefined) problems.push(`${where('password')}: ${unfit}`);
    if (totp !== undefined && !(isText(totp) && /^[A-Z2-7]{16,128}$/.test(totp)))
      problems.push(`${where('totp')}: must be base32; make it with stopgap admin totp`);
    const codes: unknown = recovery ?? [];
    if (!isHashes(codes)) problems.push(`${where('recovery')}: must be a list of SHA-256 hashes`);
    if (addedAt !== undefined && !isText(addedAt)) problems.push(`${where('addedAt')}: must be a date`);
    if (problems.length > before || known === undefined) return;
    const rights = { role: known, domains: own };
    const secrets = { password: password as string, totp: totp as string | undefined };
    const stamp = sha256(JSON.stringify([rights, secrets])).slice(0, 32);
    const more = { recovery: codes as readonly string[], addedAt: addedAt as string | undefined };
    admins.set(normal, { name: normal, ...rights, ...secrets, ...more, stamp });
  };
  readRecords({ text: source, file, list: 'admins', fields: FIELDS, problems, read });
  if (problems.length > 0) throw new ConfigError(problems);
  return admins;
}

function isHashes(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => isText(one) && /^[0-9a-f]{64}$/.test(one));
}

/** The administrators of a file, none if it does not exist. */
export async function readAdmins(file: string): Promise<AdminTable> {
  const source = await readIfThere(file);
  return source === undefined ? NO_ADMINS : parseAdmins(source, file);
}

interface AdminChange {
  readonly file: string;
  readonly name: string;
  readonly lock?: LockOptions;
}

/**
 * Adds an administrator.
 *
 * @returns the name in normal form
 * @throws InvalidInput; StopgapError `conflict` if there is one of that name
 */
export async function addAdmin(
  change: AdminChange & {
    readonly role: string;
    readonly domains?: readonly string[];
    readonly password: string;
    readonly now: Instant;
  },
): Promise<string> {
  const name = normalizeAdmin(change.name);
  const fault = nameFault(name);
  if (fault !== undefined) throw new InvalidInput('name', `the name ${fault}`);
  const role: Role | undefined = PEOPLE_ROLES.find((known) => known === change.role);
  if (role === undefined)
    throw new InvalidInput('role', `"${change.role}" is no role of people: use ${PEOPLE_ROLES.join(', ')}`);
  const domains = domainsOf(role, change.domains ?? []);
  const password = await hashPasswordOfAdmin(change.password);
  const decide = (names: readonly string[]): RecordChange => {
    if (names.includes(name))
      throw new StopgapError('conflict', `there is an administrator ${name} already: stopgap admin passwd`);
    const own = domains.length === 0 ? {} : { domains };
    return { add: [{ name, role, password, ...own, addedAt: formatInstant(change.now) }] };
  };
  await changeRecords(adminsFile(change.file), decide, change.lock);
  return name;
}

/** @throws InvalidInput; StopgapError `not-found` */
export async function setAdminPassword(change: AdminChange & { readonly password: string }): Promise<string> {
  const password = await hashPasswordOfAdmin(change.password);
  return setFields(change, { password });
}

/** @throws StopgapError `not-found` */
export async function removeAdmin(change: AdminChange): Promise<string> {
  const name = normalizeAdmin(change.name);
  const decide = (names: readonly string[]) => ({ remove: indexOf(name, names) });
  await changeRecords(adminsFile(change.file), decide, change.lock);
  return name;
}

/** What a person needs to make codes; only hashes of the recovery codes are kept. */
export interface SecondFactor {
  /** In base32. */
  readonly secret: string;
  readonly recovery: readonly string[];
}

/**
 * Asks a person for time-based codes from now on, with a new secret.
 *
 * @throws StopgapError `not-found`
 */
export async function startSecondFactor(change: AdminChange): Promise<SecondFactor> {
  const secret = base32(randomBytes(SECRET_BYTES));
  const recovery = Array.from({ length: RECOVERY_CODES }, () =>
    base32(randomBytes(RECOVERY_BYTES))
      .toLowerCase()
      .replace(/(.{4})(?=.)/g, '$1-'),
  );
  await setFields(change, { totp: secret, recovery: recovery.map(recoveryHash) });
  return { secret, recovery };
}

/** @param code as a person types it, with or without dashes */
export function recoveryHash(code: string): string {
  return sha256(code.toLowerCase().replace(/[\s-]/g, ''));
}

async function setFields(change: AdminChange, set: Readonly<Record<string, unknown>>): Promise<string> {
  const name = normalizeAdmin(change.name);
  const decide = (names: readonly string[]) => ({ at: indexOf(name, names), set });
  await changeRecords(adminsFile(change.file), decide, change.lock);
  return name;
}

function adminsFile(file: string): RecordFile {
  return {
    file,
    list: 'admins',
    comment: 'Who may sign in. Written by stopgap admin; changes are picked up without a restart.',
    names: (source) => [...parseAdmins(source, file).keys()],
  };
}

function indexOf(name: string, names: readonly string[]): number {
  const index = names.indexOf(name);
  if (index < 0) throw new StopgapError('not-found', `there is no administrator ${name}`);
  return index;
}

/** @param name in normal form */
function nameFault(name: string): string | undefined {
  const isFit = /^[\p{L}\p{N}._@-]{1,100}$/u.test(name);
  return isFit ? undefined : 'must have 1 to 100 letters, digits, or any of . _ @ -';
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** RFC 4648, of bytes whose bits make whole characters. */
function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return bits.replace(/.{5}/g, (five) => BASE32[Number.parseInt(five, 2)]!);
}

function sha256(value: string): string {
  return createHash('sha256').update(value, 'utf8').digest('hex');
}
