import type { Instant } from '../../src/kernel/time.js';
import { DAY, HOUR, SECOND } from '../../src/kernel/time.js';
import type { Attack, Message } from './message.js';
import type { Person, Population } from './people.js';
import type { Random } from './random.js';

/** Attacks of each kind. */
const EACH = 6;
/** They begin once baselines can be known. */
const WARM_UP = 0.2;

type Send = (at: Instant, who: Person, recipients: number, more?: Partial<Message>) => void;

interface Scheme {
  readonly start: Instant;
  readonly victim: Person;
  readonly population: Population;
  readonly random: Random;
  readonly send: Send;
}

/** What thieves do, by kind. `send` comes from their own machine unless told otherwise. */
const KINDS: Readonly<Record<string, (scheme: Scheme) => void>> = {
  /** As fast as it goes. */
  burst({ start, victim, random, send }) {
    const pace = random.between(0.5, 3) * SECOND;
    for (let at = start, left = random.whole(500, 3500); left > 0; left--)
      send((at += random.wait(pace)), victim, 1);
  },
  /** Few messages with many recipients. */
  blast({ start, victim, random, send }) {
    for (let at = start, left = random.whole(50, 220); left > 0; left--) {
      send((at += random.wait(8 * SECOND)), victim, random.whole(20, 100));
    }
  },
  /** Around the clock, at a pace that no limit per hour minds. */
  slow({ start, victim, random, send }) {
    const pace = random.between(30, 60) * SECOND;
    const end = start + random.between(18, 30) * HOUR;
    for (let at = start; at < end; at += random.wait(pace)) send(at, victim, 1);
  },
  /** A return path of its own for each message. */
  rotating({ start, victim, random, send }) {
    const domain = victim.account.slice(victim.account.indexOf('@'));
    for (let at = start, left = random.whole(500, 2200); left > 0; left--) {
      const returnPath = `${random.whole(1e6, 1e9).toString(36)}${domain}`;
      send((at += random.wait(2 * SECOND)), victim, 1, { returnPath });
    }
  },
  /** Another machine for each message. */
  botnet({ start, victim, random, send }) {
    for (let at = start, left = random.whole(400, 1600); left > 0; left--) {
      const ip = `198.51.${random.whole(100, 120)}.${random.whole(1, 254)}`;
      send((at += random.wait(4 * SECOND)), victim, random.whole(1, 5), { ip });
    }
  },
  /** Many accounts of one domain, each of which sends little. */
  snowshoe({ start, victim, population, random, send }) {
    const domain = victim.account.slice(victim.account.indexOf('@'));
    const colleagues = population.people.filter(({ account }) => account.endsWith(domain));
    const accounts = Array.from({ length: Math.min(colleagues.length, random.whole(8, 25)) }, () =>
      random.of(colleagues),
    );
    const end = start + random.between(3, 6) * HOUR;
    for (let at = start; at < end; at += random.wait(9 * SECOND))
      send(at, random.of(accounts), random.whole(1, 3));
  },
  /** A program on the owner's own machine. */
  malware({ start, victim, random, send }) {
    for (let at = start, left = random.whole(300, 1300); left > 0; left--) {
      send((at += random.wait(5 * SECOND)), victim, random.whole(1, 4), victim.placeAt(at));
    }
  },
};

/** Compromises of all kinds, at random times, of people with a habit as well as of quiet ones. */
export function attacks(
  population: Population,
  random: Random,
): { attacks: readonly Attack[]; messages: readonly Message[] } {
  const { first, last, people } = population;
  const found: Attack[] = [];
  const messages: Message[] = [];
  const warm = first + WARM_UP * (last - first);
  for (let round = 0; round < EACH; round++) {
    for (const [kind, carryOut] of Object.entries(KINDS)) {
      const start = warm + random.next() * (last - warm - 2 * DAY);
      // A snowshoe needs colleagues: of small domains there are too few.
      const fitting = kind === 'snowshoe' ? ofLargeDomains(people) : people;
      const known = fitting.filter(({ times }) => times.filter((at) => at < start).length >= 20);
      const victim = random.of(random.chance(0.65) && known.length > 0 ? known : fitting);
      const attack = found.length;
      const accounts = new Set<string>();
      const thief = {
        ip: `203.0.113.${random.whole(100, 254)}`,
        ehlo: random.of(['win-9f2kq', 'localhost', '[10.1.1.7]', 'user-pc']),
      };
      carryOut({
        start,
        victim,
        population,
        random,
        send(at, { account }, recipients, more = {}) {
          accounts.add(account);
          const size = random.whole(1200, 30_000);
          messages.push({
            at: Math.round(at),
            account,
            returnPath: account,
            ...thief,
            recipients,
            size,
            ...more,
            attack,
          });
        },
      });
      found.push({ kind, accounts: [...accounts] });
    }
  }
  return { attacks: found, messages };
}

function ofLargeDomains(people: readonly Person[]): readonly Person[] {
  const sizes = new Map<string, number>();
  const domainOf = ({ account }: Person): string => account.slice(account.indexOf('@'));
  for (const one of people) sizes.set(domainOf(one), (sizes.get(domainOf(one)) ?? 0) + 1);
  return people.filter((one) => sizes.get(domainOf(one))! >= 8);
}
