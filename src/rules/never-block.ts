import { isPrivateIp } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';

/** The exemption id under which the built-in list appears. */
export const NEVER_BLOCK = 'built-in';

/**
 * Why a rule may never act on this subject: names that many strangers share, one's own network, and the
 * mailbox that RFC 5321 section 4.5.1 wants reachable. Undefined where it may. A person may block them all.
 */
export function neverBlock({ type, value }: Subject): string | undefined {
  switch (type) {
    case 'ehlo':
      if (value === 'localhost' || value.startsWith('localhost.'))
        return 'every machine calls itself localhost';
      if (value.startsWith('[')) return 'an address literal as EHLO name says nothing about the sender';
      return undefined;
    case 'ip':
      return isPrivateIp(value) ? 'a private, loopback or link-local address is one of ours' : undefined;
    case 'account':
    case 'address':
      return value === 'postmaster' || value.startsWith('postmaster@')
        ? 'the postmaster must stay reachable (RFC 5321, 4.5.1)'
        : undefined;
    case 'domain':
      return undefined;
  }
}
