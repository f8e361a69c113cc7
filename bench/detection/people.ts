import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Instant } from '../../src/kernel/time.js';
import { DAY, HOUR, SECOND } from '../../src/kernel/time.js';
import type { Message } from './message.js';
import { Random } from './random.js';

const BASE = new URL('../../../bench/detection/dnc-2016.csv.gz', import.meta.url);

/** One line of the base: somebody sent something. */
interface Row {
  /** Seconds. */
  readonly time: number;
  readonly sender: string;
  readonly recipients: number;
}

/** From where somebody writes on a day. */
interface Place {
  readonly ip: string;
  readonly ehlo: string;
}

/** Somebody real, under a made-up address. */
export class Person {
  /** When they sent, in order. */
  readonly times: Instant[] = [];
  #day = -1;
  #place: Place;

  constructor(
    readonly account: string,
    /** Whether they work where everybody has the same address to the outside. */
    private readonly office: Place | undefined,
    private readonly home: Place,
    private readonly salt: number,
  ) {
    this.#place = home;
  }

  /** Where they are: the same all day, most often at work, at home at the weekend, now and then on the road. */
  placeAt(at: Instant): Place {
    const day = Math.floor(at / DAY);
    if (day === this.#day) return this.#place;
    this.#day = day;
    // The same for the same day, for every caller: programs on their machine send from where they are.
    const random = new Random(this.salt + day);
    const isWeekend = (day + 4) % 7 === 0 || (day + 4) % 7 === 6;
    if (random.chance(0.12)) this.#place = onTheRoad(random);
    else
      this.#place = this.office === undefined || isWeekend || random.chance(0.25) ? this.home : this.office;
    return this.#place;
  }

  /** One of their own messages. */
  message(at: Instant, recipients: number, size: number): Message {
    const { account } = this;
    return { at, account, returnPath: account, ...this.placeAt(at), recipients, size };
  }
}

function onTheRoad(random: Random): Place {
  const ip = `198.${random.whole(18, 19)}.${random.whole(0, 255)}.${random.whole(1, 254)}`;
  return {
    ip,
    ehlo: `[${random.whole(10, 11)}.${random.whole(0, 255)}.${random.whole(0, 255)}.${random.whole(2, 254)}]`,
  };
}

/** Everybody who sends, what they send, and over which time. */
export interface Population {
  readonly people: readonly Person[];
  readonly messages: Message[];
  readonly domains: readonly string[];
  readonly first: Instant;
  readonly last: Instant;
}

/**
 * Puts real send times under made-up names: each seed has its own part of the senders, its own domains (a few
 * large ones, many small), and its own clock, so that no rule can be tuned to one.
 */
export function population(random: Random): Population {
  const rows = base();
  const stretch = random.between(0.85, 1.25);
  const shift = random.whole(300, 900) * DAY + random.whole(0, 23) * HOUR;
  const domains = Array.from({ length: random.whole(20, 60) }, (_, n) => `org${n}.example`);
  const offices = domains.map((_, n): Place => ({
    ip: `192.0.2.${n + 1}`,
    ehlo: `mail-client.org${n}.example`,
  }));
  const people = new Map<string, Person | undefined>();
  const messages: Message[] = [];
  let number = 0;
  const begun = rows[0]!.time;
  for (const { time, sender, recipients } of rows) {
    if (!people.has(sender)) {
      // Left out: so that each seed shows rules others than the last did.
      const isThere = random.chance(0.85);
      people.set(sender, isThere ? person(++number, domains, offices, random) : undefined);
    }
    const who = people.get(sender);
    if (who === undefined) continue;
    const at = Math.round((begun + (time - begun) * stretch) * SECOND + shift + random.next() * SECOND);
    who.times.push(at);
    messages.push(who.message(at, recipients, random.whole(900, 80_000)));
  }
  const all = [...people.values()].filter((one) => one !== undefined);
  return { people: all, messages, domains, first: messages[0]!.at, last: messages.at(-1)!.at };
}

function person(
  number: number,
  domains: readonly string[],
  offices: readonly Place[],
  random: Random,
): Person {
  // Squared: the first domains have most of the people.
  const place = Math.floor(random.next() ** 2 * domains.length);
  const account = `person${number}@${domains[place]!}`;
  const home = {
    ip: `100.${random.whole(64, 127)}.${random.whole(0, 255)}.${random.whole(1, 254)}`,
    ehlo: random.chance(0.5)
      ? `[192.168.${random.whole(0, 2)}.${random.whole(2, 254)}]`
      : `laptop-${number}.local`,
  };
  const office = random.chance(0.7) ? offices[place] : undefined;
  return new Person(account, office, home, random.whole(0, 2 ** 31));
}

function base(): readonly Row[] {
  const [, ...lines] = gunzipSync(readFileSync(BASE)).toString('utf8').trim().split('\n');
  return lines.map((line) => {
    const [time, sender, recipients] = line.split(',') as [string, string, string];
    return { time: Number(time), sender, recipients: Number(recipients) };
  });
}
