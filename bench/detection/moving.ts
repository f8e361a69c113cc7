import { DAY } from '../../src/kernel/time.js';
import type { Message } from './message.js';
import type { Population } from './people.js';
import type { Random } from './random.js';

/**
 * Clean mail that moves: telephones on the shared addresses of a carrier, another for each message, all with the same
 * EHLO name; an office that gets another address; a webmail host that sends for whole domains; and domains that move to
 * it, all on the same day.
 */
export function moving({ people, messages, domains, first, last }: Population, random: Random): Message[] {
  const domainOf = (account: string): string => account.slice(account.indexOf('@') + 1);
  const telephones = new Set(people.filter(() => random.chance(0.2)).map(({ account }) => account));
  const webmail = new Set(domains.filter(() => random.chance(0.1)));
  // The first domains have most of the people.
  const office = random.of(domains.slice(0, 5));
  const moved = first + random.between(0.4, 0.8) * (last - first);
  const movers = new Set(domains.filter(() => random.chance(0.15)));
  return messages.map((message) => {
    const domain = domainOf(message.account);
    const host = { ip: '241.1.0.1', ehlo: 'webmail.example.net' };
    if (webmail.has(domain)) return { ...message, ...host, move: 'webmail' };
    if (movers.has(domain) && message.at > moved) return { ...message, ...host, move: 'to webmail' };
    if (telephones.has(message.account) && isOnTheTelephone(message, random)) {
      const ip = `241.0.${random.whole(0, 59)}.${random.whole(1, 254)}`;
      return { ...message, ip, ehlo: 'smtpclient.apple', move: 'telephone' };
    }
    const isAtTheOffice = message.ehlo === `mail-client.${domain}`;
    return domain === office && isAtTheOffice && message.at > moved
      ? { ...message, ip: '241.2.0.1', ehlo: `new-office.${domain}`, move: 'office' }
      : message;
  });
}

/** On one day of two. */
function isOnTheTelephone({ at, account }: Message, random: Random): boolean {
  return (Math.floor(at / DAY) + account.length) % 2 === 0 || random.chance(0.1);
}
