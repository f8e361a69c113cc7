import { createHash } from 'node:crypto';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { formatInstant, parseInstant } from '../kernel/time.js';
import type { Passkey } from './passkeys.js';
import { MOST_PASSKEYS, parsePasskey, passkeyText } from './passkeys.js';
import { hashFault, hashPasswordOfAdmin } from './passwords.js';
import { readIfThere } from './private-file.js';
import { ConfigError } from './problems.js';
import type { LockOptions, RecordChange, RecordFile } from './record-file.js';
import { changeRecords, isText } from './record-file.js';
import type { Rights, Role } from './roles.js';
import { domainsOf, readDomains, ROLES } from './roles.js';
import type { SecondFactor } from './second-factor.js';
import { newSecondFactor, recoveryHash } from './second-factor.js';
import { readRecords } from './yaml-source.js';

/** The roles of people: mail servers have tokens. */
export const PEOPLE_ROLES = ROLES.filter((role) => role !== 'server');

/** A person who signs in with a password. */
export interface AdminRecord extends Rights {
  /** In normal form. */
  readonly name: string;
  /** The stored hash; undefined of a person who has to set one by a link. */
  readonly password: string | undefined;
  /** The link by which they may set a password, once. */
  readonly link: AdminLink | undefined;
  /** They may not sign in. */
  readonly disabled: boolean;
  /** The secret of time-based codes, in base32; undefined if none are asked for. */
  readonly totp: string | undefined;
  /** SHA-256 of each code that may be used once instead. */
  readonly recovery: readonly string[];
  /** With one of these they sign in without password and code. */
  readonly passkeys: readonly Passkey[];
  /** ISO 8601; undefined if a person wrote the entry. */
  readonly addedAt: string | undefined;
  /** How often what they may do, or sign in with, was changed: what is as it once was is not the same. */
  readonly revision: number;
  /** Another one if rights, password, secret or passkeys are others, or they are disabled: then sessions end. */
  readonly stamp: string;
}

export interface AdminLink {
  /** `sha256:<hex>` of the token in it. */
  readonly hash: string;
  readonly until: Instant;
}

/** By name in normal form. */
export type AdminTable = ReadonlyMap<string, AdminRecord>;

export const NO_ADMINS: AdminTable = new Map();

const FIELDS = [
  'name',
  'role',
  'password',
  'domains',
  'totp',
  'recovery',
  'addedAt',
  'disabled',
  'link',
  'linkUntil',
  'passkeys',
  'revision',
];

/** Forms that look alike, such as fullwidth letters, are one name. Lower case may come apart: `J̌` has no letter of its own. */
export function normalizeAdmin(raw: string): string {
  return raw.normalize('NFKC').trim().toLowerCase().normalize('NFKC');
}

/**
 * Reads a file of administrators: `admins: [{name, role, password?, domains?, totp?, recovery?, addedAt?, disabled?, link?, linkUntil?, passkeys?, revision?}]`.
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
    const link = readLink(record, (field, what) => problems.push(`${where(field)}: ${what}`));
    const unfit = isText(password) ? hashFault(password) : 'is missing; set it with stopgap admin passwd';
    if (unfit !== undefined && (password !== undefined || link === undefined))
      problems.push(`${where('password')}: ${unfit}`);
    if (totp !== undefined && !(isText(totp) && /^[A-Z2-7]{16,128}$/.test(totp)))
      problems.push(`${where('totp')}: must be base32; make it with stopgap admin totp`);
    const codes: unknown = recovery ?? [];
    if (!isHashes(codes)) problems.push(`${where('recovery')}: must be a list of SHA-256 hashes`);
    if (addedAt !== undefined && !isText(addedAt)) problems.push(`${where('addedAt')}: must be a date`);
    const disabled = record.get('disabled') ?? false;
    if (typeof disabled !== 'boolean') problems.push(`${where('disabled')}: must be true or false`);
    const passkeys = readPasskeys(record.get('passkeys'));
    if (passkeys === undefined)
      problems.push(`${where('passkeys')}: must be a list of lines that the page has written`);
    const revision = record.get('revision') ?? 0;
    if (!Number.isSafeInteger(revision)) problems.push(`${where('revision')}: must be a whole number`);
    if (problems.length > before || known === undefined || passkeys === undefined) return;
    const rights = { role: known, domains: own };
    const secrets = { password: password as string | undefined, totp: totp as string | undefined };
    // Nothing of what is not there: entries of before keep their stamps.
    const rest = [disabled === true && { disabled }, passkeys.length > 0 && { passkeys }];
    const stamped = [rights, secrets, ...rest.filter(Boolean), ...(revision === 0 ? [] : [revision])];
    const stamp = sha256(JSON.stringify(stamped)).slice(0, 32);
    const more = { recovery: codes as readonly string[], addedAt: addedAt as string | undefined, passkeys };
    const state = { disabled: disabled as boolean, link, revision: revision as number, stamp };
    admins.set(normal, { name: normal, ...rights, ...secrets, ...more, ...state });
  };
  readRecords({ text: source, file, list: 'admins', fields: FIELDS, problems, read });
  if (problems.length > 0) throw new ConfigError(problems);
  return admins;
}

function readLink(
  record: ReadonlyMap<string, unknown>,
  onFault: (field: string, fault: string) => void,
): AdminLink | undefined {
  const [hash, given] = [record.get('link'), record.get('linkUntil')];
  if (hash === undefined && given === undefined) return undefined;
  const until = isText(given) ? parseInstant(given) : undefined;
  if (!isText(hash) || !/^sha256:[0-9a-f]{64}$/.test(hash))
    onFault('link', 'must be sha256: and 64 hex digits; a new link is made by the page');
  // One that is misspelt must not last for ever.
  else if (until === undefined) onFault('linkUntil', 'must be an ISO 8601 time such as 2027-01-31T08:00:00Z');
  else return { hash, until };
  return undefined;
}

/** Undefined if one cannot be read. */
function readPasskeys(value: unknown): readonly Passkey[] | undefined {
  const lines: readonly unknown[] = Array.isArray(value) ? value : [];
  const passkeys = lines.map((line) => (isText(line) ? parsePasskey(line) : undefined));
  const isList = value === undefined || Array.isArray(value);
  return isList && passkeys.every((one) => one !== undefined) ? passkeys : undefined;
}

function isHashes(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => isText(one) && /^[0-9a-f]{64}$/.test(one));
}

/** The administrators of a file, none if it does not exist. */
export async function readAdmins(file: string): Promise<AdminTable> {
  const source = await readIfThere(file);
  return source === undefined ? NO_ADMINS : parseAdmins(source, file);
}

/** @throws StopgapError `not-found` */
export async function readAdmin(file: string, name: string): Promise<AdminRecord> {
  return known(await readAdmins(file), normalizeAdmin(name));
}

interface AdminChange {
  readonly file: string;
  readonly name: string;
  /** Only while they have this one: who changes their own account must not undo what another process has not heard of. */
  readonly stamp?: string;
  readonly lock?: LockOptions;
}

/** How the tokens that there are are called. */
export interface TokenNames {
  /** @param person in normal form */
  hasName(person: string): boolean;
}

export interface AdminAddition extends AdminChange {
  readonly role: string;
  readonly domains?: readonly string[];
  readonly now: Instant;
  /** One of the two: a person without a password sets it by the link. */
  readonly password?: string;
  readonly link?: AdminLink;
  /** Whose names the person may not have: of two with one name nobody could tell who did what is recorded. */
  readonly tokens?: TokenNames;
  /** Only if nobody has the role admin yet. */
  readonly isFirst?: boolean;
}

/**
 * Adds an administrator.
 *
 * @returns the name in normal form
 * @throws InvalidInput; StopgapError `conflict` if there is one of that name, or a token
 */
export async function addAdmin(change: AdminAddition): Promise<string> {
  const name = normalizeAdmin(change.name);
  const fault = nameFault(name);
  if (fault !== undefined) throw new InvalidInput('name', `the name ${fault}`);
  const role = roleOf(change.role);
  const domains = domainsOf(role, change.domains ?? []);
  const { link } = change;
  if (change.tokens?.hasName(name) === true) {
    const why = `there is a token ${name} already, and both are recorded under this name`;
    throw new StopgapError(
      'conflict',
      `${why}: use another one, or revoke the token first (stopgap token revoke)`,
    );
  }
  const password = link === undefined ? await hashPasswordOfAdmin(change.password ?? '') : undefined;
  await changeAdmins(change, (admins) => {
    if (admins.has(name))
      throw new StopgapError('conflict', `there is an administrator ${name} already: stopgap admin passwd`);
    if (change.isFirst === true && hasAdmin(admins))
      throw new StopgapError('conflict', 'there is an administrator already: they add others');
    const fields = { name, role, password, ...fieldsOf(domains, link), addedAt: formatInstant(change.now) };
    return { add: [present(fields)] };
  });
  return name;
}

/** @throws InvalidInput; StopgapError `not-found` */
export async function setAdminPassword(change: AdminChange & { readonly password: string }): Promise<string> {
  const password = await hashPasswordOfAdmin(change.password);
  // With a link that is left somebody else could set another one.
  return setFields(change, () => ({ password, link: undefined, linkUntil: undefined }));
}

/**
 * Sets the password by a link, which is used up by that.
 *
 * @throws InvalidInput; StopgapError `conflict` if it is the link no more, or they are disabled
 */
export async function setPasswordByLink(
  change: AdminChange & { readonly password: string; readonly link: AdminLink },
): Promise<void> {
  const password = await hashPasswordOfAdmin(change.password);
  await setFields(change, (admin) => {
    if (admin.link?.hash !== change.link.hash || admin.disabled)
      throw new StopgapError('conflict', 'the link was used meanwhile, or there is a newer one');
    return { password, link: undefined, linkUntil: undefined };
  });
}

/** Ends a link whose time is over: a clock that is set back must not bring it back. */
export async function endAdminLink(change: AdminChange & { readonly link: AdminLink }): Promise<void> {
  await setFields(change, (admin) =>
    admin.link?.hash === change.link.hash ? { link: undefined, linkUntil: undefined } : {},
  );
}

/** Lets a person set a password by a link; one from before works no more. @throws StopgapError `not-found` */
export function setAdminLink(change: AdminChange & { readonly link: AdminLink }): Promise<string> {
  return setFields(change, () => fieldsOf(undefined, change.link));
}

/** What may change of a person. */
export interface AdminEdit {
  readonly role?: string | undefined;
  readonly domains?: readonly string[] | undefined;
  readonly disabled?: boolean | undefined;
}

/**
 * Changes what a person may do. Domains go with the role domain.
 *
 * @throws InvalidInput; StopgapError `not-found`, `conflict` for the last administrator
 */
export async function editAdmin(change: AdminChange & { readonly edit: AdminEdit }): Promise<void> {
  const { edit } = change;
  const name = normalizeAdmin(change.name);
  const given = edit.role === undefined ? undefined : roleOf(edit.role);
  await changeAdmins(change, (admins) => {
    const admin = known(admins, name);
    const role = given ?? admin.role;
    const domains = domainsOf(role, edit.domains ?? (role === 'domain' ? admin.domains : []));
    const disabled = edit.disabled ?? admin.disabled;
    if (role !== 'admin' || disabled) keepAnAdmin(admins, admin);
    const after = JSON.stringify([role, domains, disabled]);
    const isSame = after === JSON.stringify([admin.role, admin.domains, admin.disabled]);
    const set = { role, ...fieldsOf(domains), disabled: disabled ? true : undefined };
    return { at: indexOf(name, admins), set: isSame ? set : { ...set, ...another(admin) } };
  });
}

/** @param isLastKept throws StopgapError `conflict` for the last administrator @throws StopgapError `not-found` */
export async function removeAdmin(change: AdminChange & { readonly isLastKept?: boolean }): Promise<string> {
  const name = normalizeAdmin(change.name);
  await changeAdmins(change, (admins) => {
    if (change.isLastKept === true) keepAnAdmin(admins, known(admins, name));
    return { remove: indexOf(name, admins) };
  });
  return name;
}

/** Whether somebody can do everything. */
export function hasAdmin(admins: AdminTable): boolean {
  return [...admins.values()].some(({ role }) => role === 'admin');
}

/** @param leaves who would be no administrator any more @throws StopgapError `conflict` if nobody would be left */
function keepAnAdmin(admins: AdminTable, leaves: AdminRecord): void {
  const isActive = ({ role, disabled, password }: AdminRecord): boolean =>
    role === 'admin' && !disabled && password !== undefined;
  const others = [...admins.values()].filter((one) => one.name !== leaves.name);
  if (isActive(leaves) && !others.some(isActive))
    throw new StopgapError(
      'conflict',
      `${leaves.name} is the last administrator who can sign in: add another first`,
    );
}

/**
 * Asks a person for time-based codes from now on.
 *
 * @param given with the secret; a new one unless given
 * @throws StopgapError `not-found`
 */
export async function startSecondFactor(
  change: AdminChange,
  given: SecondFactor = newSecondFactor(),
): Promise<SecondFactor> {
  const fields = { totp: given.secret, recovery: given.recovery.map(recoveryHash) };
  await setFields(change, (admin) => ({ ...fields, ...another(admin) }));
  return given;
}

/** Asks a person for the password alone. @throws StopgapError `not-found` */
export async function endSecondFactor(change: AdminChange): Promise<void> {
  await setFields(change, (admin) => ({ totp: undefined, recovery: undefined, ...another(admin) }));
}

/**
 * Lets a person sign in by a passkey.
 *
 * @throws StopgapError `not-found`, `conflict` if somebody has it already, or they have too many
 */
export async function addPasskey(change: AdminChange & { readonly passkey: Passkey }): Promise<void> {
  const { passkey } = change;
  await setFields(change, (admin, all) => {
    const isThere = [...all.values()].some(({ passkeys }) => passkeys.some(({ id }) => id === passkey.id));
    if (isThere) throw new StopgapError('conflict', 'this passkey is there already');
    if (admin.passkeys.length >= MOST_PASSKEYS)
      throw new StopgapError('conflict', `there are ${MOST_PASSKEYS} passkeys already: remove one first`);
    return passkeyFields([...admin.passkeys, passkey], admin);
  });
}

/** @throws StopgapError `not-found` */
export async function removePasskey(change: AdminChange & { readonly id: string }): Promise<void> {
  await setFields(change, (admin) => {
    const rest = admin.passkeys.filter(({ id }) => id !== change.id);
    if (rest.length === admin.passkeys.length)
      throw new StopgapError('not-found', `there is no passkey ${change.id.slice(0, 100)}`);
    return passkeyFields(rest, admin);
  });
}

/**
 * Takes all passkeys away. The sessions end even where there are none, and a passkey that is being added is refused: a thief
 * may have signed in on the lost device with the password.
 *
 * @returns those that were there
 * @throws StopgapError `not-found`
 */
export async function removePasskeys(change: AdminChange): Promise<readonly Passkey[]> {
  let removed: readonly Passkey[] = [];
  await setFields(change, (admin) => {
    removed = admin.passkeys;
    return passkeyFields([], admin);
  });
  return removed;
}

function passkeyFields(passkeys: readonly Passkey[], admin: AdminRecord): Readonly<Record<string, unknown>> {
  return { passkeys: passkeys.length === 0 ? undefined : passkeys.map(passkeyText), ...another(admin) };
}

/** Without it a change and its opposite would make the stamp of before, and bring back the sessions of before. */
function another({ revision }: AdminRecord): Readonly<Record<string, unknown>> {
  return { revision: revision + 1 };
}

async function setFields(
  change: AdminChange,
  decide: (admin: AdminRecord, all: AdminTable) => Readonly<Record<string, unknown>>,
): Promise<string> {
  const name = normalizeAdmin(change.name);
  await changeAdmins(change, (admins) => {
    const admin = known(admins, name);
    if (change.stamp !== undefined && change.stamp !== admin.stamp)
      throw new StopgapError('conflict', 'the account was changed meanwhile: begin again');
    return { at: indexOf(name, admins), set: decide(admin, admins) };
  });
  return name;
}

/** Decides by what is in the file while nobody else changes it. */
function changeAdmins(
  { file, lock }: Pick<AdminChange, 'file' | 'lock'>,
  decide: (admins: AdminTable) => RecordChange,
): Promise<void> {
  let admins = NO_ADMINS;
  const target: RecordFile = {
    file,
    list: 'admins',
    comment: 'Who may sign in. Written by stopgap admin; changes are picked up without a restart.',
    names: (source) => [...(admins = parseAdmins(source, file)).keys()],
  };
  return changeRecords(target, () => decide(admins), lock);
}

function known(admins: AdminTable, name: string): AdminRecord {
  const admin = admins.get(name);
  if (admin === undefined)
    throw new StopgapError('not-found', `there is no administrator ${name.slice(0, 100)}`);
  return admin;
}

function indexOf(name: string, admins: AdminTable): number {
  known(admins, name);
  return [...admins.keys()].indexOf(name);
}

function roleOf(given: string): Role {
  const role = PEOPLE_ROLES.find((one) => one === given);
  if (role !== undefined) return role;
  throw new InvalidInput('role', `"${given}" is no role of people: use ${PEOPLE_ROLES.join(', ')}`);
}

/** How a file has them; undefined: it does not. */
function fieldsOf(domains?: readonly string[], link?: AdminLink): Readonly<Record<string, unknown>> {
  return {
    ...(domains === undefined ? {} : { domains: domains.length === 0 ? undefined : domains }),
    ...(link === undefined ? {} : { link: link.hash, linkUntil: formatInstant(link.until) }),
  };
}

function present(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** @param name in normal form */
function nameFault(name: string): string | undefined {
  const isFit = /^[\p{L}\p{N}._@-]{1,100}$/u.test(name);
  return isFit ? undefined : 'must have 1 to 100 letters, digits, or any of . _ @ -';
}

function sha256(value: string): string {
  return createHash('sha256').update(value, 'utf8').digest('hex');
}
