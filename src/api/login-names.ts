import type { FailedLogins } from '../accounts/users.js';
import { lastOf } from '../accounts/users.js';
import { InvalidInput } from '../kernel/errors.js';
import { domainOf } from '../sending/identity.js';
import type { SenderIdentity, Subject } from '../sending/subjects.js';
import type { ApiDependencies } from './dependencies.js';
import type { Concerns } from './http/route.js';

/** Under which names a sender counts. A back end may give another name to the account than the client types. */
export interface Names {
  /** Who is asked about, by the account that its logins count for, unless that is of none of the caller's domains. */
  readonly sender: SenderIdentity;
  /** The name that was asked about, in normal form. */
  readonly login: string | undefined;
  /** The account that its logins count for, as far as that is known. It may be one that the caller may not know of. */
  readonly account: string | undefined;
  /** Whether the caller may not know of that account. */
  readonly isForeign: boolean;
}

export function namesOf({ accountOf }: ApiDependencies, sender: SenderIdentity, concerns: Concerns): Names {
  const { account: login, direction } = sender;
  const account = login === undefined || direction === 'inbound' ? login : (accountOf?.(login) ?? login);
  const isForeign =
    account !== undefined && account !== login && !concerns({ type: 'account', value: account });
  return { sender: isForeign ? sender : { ...sender, account }, login, account, isForeign };
}

export function nameSentences({ login, account, isForeign }: Names): readonly string[] {
  if (account === login) return [];
  return [
    isForeign
      ? FOREIGN
      : `Logins of ${login} count for the account ${account}: all of this is about that account. A block of either name refuses these logins; one of ${account} refuses all its mail.`,
  ];
}

const FOREIGN =
  'Its logins count for an account that is of none of your domains: of that account this says no more than whether it is refused.';

/** What is not known of a login by whose name alone nobody can tell the account. */
export function otherNameSentences(
  { mayRename, accountOf, accountState }: ApiDependencies,
  login: string,
): readonly string[] {
  const isOurs = (accountState?.(login) ?? 'unknown') !== 'unknown';
  const isUnknown =
    mayRename === true && !isOurs && domainOf(login) === undefined && accountOf?.(login) === undefined;
  return isUnknown
    ? [
        `A login without a domain, such as ${login}, may count under another name, such as with its domain: ask for that name too.`,
      ]
    : [];
}

/** The logins that failed last, under any name that the caller may know of. */
export function failedOf(
  { failedLogins }: ApiDependencies,
  { login, sender }: Names,
): FailedLogins | undefined {
  return [...new Set([login, sender.account])]
    .map((name) => (name === undefined ? undefined : failedLogins?.(name)))
    .filter((found) => found !== undefined)
    .sort((a, b) => lastOf(a) - lastOf(b))
    .at(-1);
}

/**
 * What is decided on the name that a client types would hold for part of the account's mail, or for none of it.
 *
 * @throws InvalidInput for a login whose account has another name, as far as this process knows, unless there is mail or a block of an
 *   account of that name: a mail server may count by what is typed
 */
export function refuseOtherName(
  { accountOf, models }: ApiDependencies,
  subject: Subject,
  field = 'subject.value',
): void {
  const { type, value } = subject;
  const account = type === 'account' ? accountOf?.(value) : undefined;
  if (account === undefined || account === value) return;
  const isAccount =
    models.sendVolume.profiles.knows('account', value) || models.ledger.rows.on(subject).next().done !== true;
  if (isAccount) return;
  throw new InvalidInput(field, `logins of ${value} count for the account ${account}: name that one`);
}

/** The other name under which a login may count, in words for somebody who has it forgotten. */
export function alsoForget({ mayRename, accountOf }: ApiDependencies, login: string): readonly string[] {
  const account = accountOf?.(login);
  if (account !== undefined)
    return account === login
      ? []
      : [`Logins of ${login} count for the account ${account}: forget that one too.`];
  return mayRename === true && domainOf(login) === undefined
    ? ['A login without a domain may count under another name, such as with its domain: forget that one too.']
    : [];
}
