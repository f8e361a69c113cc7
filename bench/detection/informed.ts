import type { Instant } from '../../src/kernel/time.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/kernel/time.js';
import type { Attack, Message } from './message.js';
import type { Population } from './people.js';
import { Person } from './people.js';
import type { Random } from './random.js';

/** Attacks of each kind. */
const EACH = 3;
/** They begin once baselines can be known. */
const WARM_UP = 0.3;
/** No attack lasts longer. */
const LONGEST = 25 * DAY;

/** From where a thief sends. */
interface Place {
  readonly ip: string;
  readonly ehlo: string;
}

/** A thief, with networks and EHLO names of its own. */
class Thief {
  #names = 0;

  constructor(
    private readonly number: number,
    private readonly random: Random,
  ) {}

  /** Another network and EHLO name than ever before. */
  moved(): Place {
    const { number, random } = this;
    const name = ++this.#names;
    return {
      ip: `240.${number}.${name % 256}.${random.whole(1, 254)}`,
      ehlo: `host-${number}-${name}.invalid`,
    };
  }
}

interface Scheme {
  readonly start: Instant;
  /** An account whose password was stolen. */
  readonly victim: () => Person;
  readonly population: Population;
  readonly thief: Thief;
  readonly random: Random;
  readonly send: (at: Instant, who: Person, recipients: number, place: Place) => void;
}

/** What those do who have read the documents, by kind. */
const KINDS: Readonly<Record<string, (scheme: Scheme) => void>> = {
  /** Nineteen an hour around the clock for days, just below the floor of `hour`; the address changes. */
  drip({ start, victim, thief, random, send }) {
    const who = victim();
    let place = thief.moved();
    for (let at = start; at < start + 5 * DAY; at += random.between(0.97, 1.03) * (HOUR / 19)) {
      if (random.chance(0.02)) place = thief.moved();
      send(at, who, 1, place);
    }
  },
  /** Fifteen an hour in working hours, from one network. */
  office({ start, victim, thief, random, send }) {
    const who = victim();
    const place = thief.moved();
    const first = Math.floor(start / DAY) * DAY;
    for (let day = first; day < first + 14 * DAY; day += DAY) {
      if ([2, 3].includes((day / DAY) % 7)) continue;
      for (let at = day + 8 * HOUR; at < day + 17 * HOUR; at += random.between(0.7, 1.3) * (HOUR / 15))
        send(at, who, 1, place);
    }
  },
  /** Each day half as much again as the day before, or a quarter. */
  ramp({ start, victim, thief, random, send }) {
    const who = victim();
    const place = thief.moved();
    const isSteep = random.chance(0.5);
    let count = random.whole(4, 8);
    for (let day = 0; day < (isSteep ? 14 : 24); day++, count *= isSteep ? 1.5 : 1.25) {
      const pace = DAY / Math.round(count);
      for (let n = 0; n < Math.round(count); n++)
        send(start + day * DAY + (n + random.next()) * pace, who, 1, place);
    }
  },
  /** One message to many, every eleven minutes, so that no ten minutes hold two. */
  wide({ start, victim, thief, random, send }) {
    const who = victim();
    const place = thief.moved();
    for (let at = start; at < start + DAY; at += 11 * MINUTE) send(at, who, random.whole(60, 100), place);
  },
  /** An account that nobody knows, below every `start`. */
  fresh({ start, population, thief, random, send }) {
    const domain = random.of(population.domains);
    const who = new Person(`new${random.whole(1e6, 1e7)}@${domain}`, undefined, thief.moved(), 0);
    const place = thief.moved();
    for (let at = start; at < start + 2 * DAY; at += random.between(0.97, 1.03) * (HOUR / 39))
      send(at, who, 1, place);
  },
  /** One machine through forty accounts of many domains, a few messages each. */
  fleet({ start, victim, thief, random, send }) {
    const place = thief.moved();
    const accounts = Array.from({ length: 40 }, victim);
    for (let round = random.whole(4, 6), at = start; round > 0; round--)
      for (const who of accounts) send((at += random.wait(30 * SECOND)), who, random.whole(1, 3), place);
  },
  /** A flood that returns after each block, from elsewhere. */
  comeback({ start, victim, thief, random, send }) {
    const who = victim();
    for (const after of [0, 2.2 * HOUR, 27 * HOUR, 52 * HOUR, 77 * HOUR, 126 * HOUR]) {
      const place = thief.moved();
      for (let at = start + after, left = random.whole(150, 400); left > 0; left--)
        send((at += random.wait(4 * SECOND)), who, 1, place);
    }
  },
  /**
   * Any of these, for some hours, and then from elsewhere days later. A trace cannot see that it is refused: so each
   * visit has a fixed length.
   */
  'back-off'({ start, victim, thief, random, send }) {
    const who = victim();
    const isWide = random.chance(0.5);
    for (let visit = start; visit < start + 21 * DAY; visit += random.between(3, 5) * DAY) {
      const place = thief.moved();
      const step = isWide ? 11 * MINUTE : HOUR / 19;
      for (let at = visit; at < visit + 6 * HOUR; at += random.between(1, 1.05) * step)
        send(at, who, isWide ? random.whole(60, 100) : 1, place);
    }
  },
  /** Slower: eight an hour from the owner's own place. */
  'slow-own'({ start, victim, random, send }) {
    const who = victim();
    for (let at = start; at < start + 5 * DAY; at += random.between(0.9, 1.1) * (HOUR / 8))
      send(at, who, 1, who.placeAt(at));
  },
  /** Slower: twelve a day from a new network. */
  'slow-few'({ start, victim, thief, random, send }) {
    const who = victim();
    const place = thief.moved();
    for (let at = start; at < start + 14 * DAY; at += random.between(0.5, 1.5) * 2 * HOUR)
      send(at, who, 1, place);
  },
};

/** Came later: each after all others of a seed, so that these stay as they were. */
const LATER: typeof KINDS = {
  /** Twice as many recipients each day, just below the limits, under the owner's EHLO name. */
  spread({ start, victim, thief, random, send }) {
    const who = victim();
    const place = { ...thief.moved(), ehlo: who.placeAt(start).ehlo };
    for (let day = 0, most = random.whole(150, 250); day < 10; day++, most = Math.min(2 * most, 12_500)) {
      const each = Math.max(25, Math.ceil(most / 125));
      const count = Math.ceil(most / each);
      for (let n = 0; n < count; n++)
        send(start + day * DAY + 6 * HOUR + (n + random.next()) * ((14 * HOUR) / count), who, each, place);
    }
  },
  /** One message each morning, to as many as Postfix takes in one, from the account of somebody who is away. */
  single({ start, victim, thief, random, send }) {
    const isAway = ({ times }: Person): boolean => !times.some((at) => at >= start && at < start + 28 * DAY);
    let who = victim();
    for (let n = 0; n < 50 && !isAway(who); n++) who = victim();
    const place = { ...thief.moved(), ehlo: who.placeAt(start).ehlo };
    for (let day = 0; day < 10; day++)
      send(start + day * DAY + random.next() * 4 * HOUR, who, random.whole(600, 1000), place);
  },
};

/** The kinds that no rule is asked to stop. */
export const SLOWER: readonly string[] = ['slow-own', 'slow-few'];

/** Compromises by those who have read the documents, each of accounts of its own. */
export function informedAttacks(
  population: Population,
  random: Random,
): { attacks: readonly Attack[]; messages: readonly Message[] } {
  const { first, last, people } = population;
  const found: Attack[] = [];
  const messages: Message[] = [];
  const begin = first + WARM_UP * (last - first);
  const taken = new Set<Person>();
  const rounds = (kinds: typeof KINDS) => Array.from({ length: EACH }, () => Object.entries(kinds)).flat();
  const later = Object.entries(LATER).flatMap(([kind, carryOut]) => rounds({ [kind]: carryOut }));
  for (const [kind, carryOut] of [...rounds(KINDS), ...later]) {
    const start = begin + random.next() * (last - begin - LONGEST);
    const free = people.filter((one) => !taken.has(one));
    const known = free.filter(({ times }) => times.filter((at) => at < start).length >= 20);
    const attack = found.length;
    const accounts = new Set<string>();
    carryOut({
      start,
      population,
      random,
      thief: new Thief(attack, random),
      victim: () => {
        // Two of three have a habit, as far as there are such.
        const fitting = (random.chance(0.65) ? known : free).filter((one) => !taken.has(one));
        const victim = random.of(fitting.length > 0 ? fitting : people);
        taken.add(victim);
        return victim;
      },
      send(at, { account }, recipients, place) {
        accounts.add(account);
        const size = random.whole(1200, 30_000);
        const from = { account, returnPath: account, ...place };
        messages.push({ at: Math.round(at), ...from, recipients, size, attack });
      },
    });
    found.push({ kind, accounts: [...accounts] });
  }
  return { attacks: found, messages };
}
