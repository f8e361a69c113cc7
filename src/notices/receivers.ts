import { isAtItself, isInDomains, isOwned } from '../config/notices.js';
import type { Channel } from '../config/schema.js';
import { domainOf } from '../sending/identity.js';
import type { Item, Notice } from './events.js';
import { ITSELF } from './under-way.js';

type Told = Pick<Channel, 'events' | 'types' | 'domains' | 'owners' | 'type' | 'to'>;

/**
 * Whom a channel tells of it. Nobody is told of the blocks of others, and nobody at the address that is blocked. An EHLO name and an
 * IP address are no owner's: any stranger says the name of any domain.
 */
export function receiversOf(told: Told, item: Item): readonly string[] {
  if (!wants(told, item)) return [];
  const { type, to } = told;
  const itself = type !== 'mail' || to !== undefined ? [ITSELF] : [];
  const owner = ownerOf(told, item);
  return owner === undefined ? itself : [...itself, owner];
}

/** Whether it goes to the channel itself, or all that it names is still that owner's. */
export function isStillTold(told: Pick<Told, 'owners'>, { to, items }: Notice): boolean {
  if (to === undefined) return true;
  return Object.values(told.owners ?? {}).includes(to) && items.every((item) => ownerOf(told, item) === to);
}

function ownerOf({ owners }: Pick<Told, 'owners'>, { subject }: Item): string | undefined {
  if (owners === undefined || subject === undefined || !isOwned(subject)) return undefined;
  const domain = subject.type === 'domain' ? subject.value : domainOf(subject.value);
  // A sender may be called `constructor`.
  const named = (name: string) => (Object.hasOwn(owners, name) ? owners[name] : undefined);
  const owner = named(subject.value) ?? (domain === undefined ? undefined : named(domain));
  return owner === undefined || isAtItself(subject.value, owner) ? undefined : owner;
}

function wants({ events, types, domains }: Told, { event, subject, by, rule }: Item): boolean {
  if (!events.includes(event)) return false;
  // The approval has told of it.
  if (event === 'imposed' && rule !== undefined && by.startsWith('admin:') && events.includes('approved'))
    return false;
  if (subject === undefined) return true;
  return types.includes(subject.type) && (domains === undefined || isInDomains(domains, subject));
}
