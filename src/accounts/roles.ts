import { InvalidInput } from '../kernel/errors.js';
import { domainOf } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import { parseSubject } from '../sending/subjects.js';

/**
 * What a caller may do: `viewer` reads, `operator` also blocks and releases, `admin` also changes rules. `server` is for a
 * mail server: it asks for verdicts and tells of sends, and may do nothing else. `domain` is for the administrator of some
 * domains: it sees what concerns them, and approves, dismisses and releases it.
 */
export const ROLES = ['viewer', 'operator', 'admin', 'server', 'domain'] as const;
export type Role = (typeof ROLES)[number];

export const SCOPES = ['own', 'all', 'none'] as const;
/**
 * What a route is to a caller of the role `domain`. `own`: it shows and does what concerns their domains, and nothing else.
 * `all`: it is the same for everybody and tells of nobody's mail. `none`: they are not let in.
 */
export type Scope = (typeof SCOPES)[number];

/** Whether a caller of one role may use a route that needs another. An admin may do all. */
export function allows(role: Role, needed: Role, scope: Scope): boolean {
  if (role === 'domain') return scope !== 'none';
  if (role === 'server' || needed === 'server') return role === needed || role === 'admin';
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** What a caller may do, and where. */
export interface Rights {
  readonly role: Role;
  /** Of the role `domain`: the domains that are theirs, in normal form, with their subdomains. */
  readonly domains: readonly string[];
}

/**
 * Whether a subject is the caller's to see. A subdomain counts as the index of blocks counts it: `example.com` has
 * `mail.example.com`, and not the other way round. An IP address, an EHLO name and an account without a domain are nobody's.
 */
export function concerns({ role, domains }: Rights, { type, value }: Subject): boolean {
  if (role !== 'domain') return true;
  const domain = type === 'domain' ? value : type === 'ip' || type === 'ehlo' ? undefined : domainOf(value);
  if (domain === undefined) return false;
  return domains.some(
    (own) => domain === own || (domain.endsWith(own) && domain.at(-own.length - 1) === '.'),
  );
}

/**
 * The domains of a role, in normal form.
 *
 * @throws InvalidInput for what is no domain, none where there must be some, or some where there may be none
 */
export function domainsOf(role: Role, given: readonly string[]): readonly string[] {
  if (role === 'domain' && given.length === 0)
    throw new InvalidInput('domains', 'the role domain needs the domains that it is for');
  if (role !== 'domain' && given.length > 0)
    throw new InvalidInput('domains', `only the role domain has domains, not ${role}`);
  return [...new Set(given.map((one) => parseSubject('domain', one, 'domains').value))];
}

/** As {@link domainsOf}, of what a file has in the place of a list of names. @param onFault told why it cannot be used */
export function readDomains(role: Role, given: unknown, onFault: (fault: string) => void): readonly string[] {
  const names: unknown = given ?? [];
  const isList = Array.isArray(names) && names.every((one): one is string => typeof one === 'string');
  if (!isList) onFault('must be a list of domains');
  try {
    return isList ? domainsOf(role, names) : [];
  } catch (thrown) {
    if (!(thrown instanceof InvalidInput)) throw thrown;
    onFault(thrown.message);
    return [];
  }
}
