import { isInDomains, isOwned } from '../config/notices.js';
import type { Channel } from '../config/schema.js';
import { domainOf, normalizeAddress } from '../sending/identity.js';
import type { Item } from './events.js';
import { ITSELF } from './under-way.js';

type Told = Pick<Channel, 'events' | 'types' | 'domains' | 'owners' | 'type' | 'to'>;

/**
 * Whom a channel tells of it. Nobody is told of the blocks of others, and nobody at the address that is blocked. An EHLO name and an
 * IP address are no owner's: any stranger says the name of any domain.
 */
export function receiversOf(told: Told, item: Item): readonly string[] {
  if (!wants(told, item)) return [];
  const { owners, type, to } = told;
  const { subject } = item;
  const itself = type !== 'mail' || to !== undefined ? [ITSELF] : [];
  if (owners === undefined || subject === undefined || !isOwned(subject)) return itself;
  const domain = subject.type === 'domain' ? subject.value : domainOf(subject.value);
  // A sender may be called `constructor`.
  const ownerOf = (name: string) => (Object.hasOwn(owners, name) ? owners[name] : undefined);
  const owner = ownerOf(subject.value) ?? (domain === undefined ? undefined : ownerOf(domain));
  if (owner === undefined || normalizeAddress(owner) === subject.value) return itself;
  return [...itself, owner];
}

function wants({ events, types, domains }: Told, { event, subject, by, rule }: Item): boolean {
  if (!events.includes(event)) return false;
  // The approval has told of it.
  if (event === 'imposed' && rule !== undefined && by.startsWith('admin:') && events.includes('approved'))
    return false;
  if (subject === undefined) return true;
  return types.includes(subject.type) && (domains === undefined || isInDomains(domains, subject));
}
