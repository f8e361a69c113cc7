import type { Block, Subject } from '../api.js';

export const FIELD_OF: Readonly<Record<Subject['type'], string>> = {
  account: 'account',
  address: 'returnPath',
  domain: 'account',
  ehlo: 'ehlo',
  ip: 'ip',
};

export const presetOf = ({ type, value }: Subject): string =>
  type === 'domain' ? `postmaster@${value}` : type === 'ip' ? value.replace(/\/.*/, '') : value;

/** Asks of the sender by what it is alone. */
export const checkOf = (subject: Subject): Readonly<Record<string, string>> => ({
  [FIELD_OF[subject.type]]: presetOf(subject),
  direction: 'outbound',
});

/** Whether one address tells of the whole subject: it does not of a wide network, of which a part may be blocked. */
export const isAskable = ({ type, value }: Subject): boolean =>
  type !== 'ip' || !value.includes('/') || value.endsWith('/64');

/** A mailbox is refused by whatever it meets; a domain, network or EHLO name by a wider one alone. */
export const isRefusedBy = ({ type }: Subject, block: Pick<Block, 'subject'> | null): boolean =>
  type === 'account' || type === 'address' || block?.subject.type === type;
