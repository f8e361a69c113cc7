import type { Instant } from '../../src/kernel/time.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/kernel/time.js';
import type { Message } from './message.js';
import type { Population } from './people.js';
import type { Random } from './random.js';

/** Who may send much: newsletters, invoices, monitoring, digests of mailing lists. */
export function bulkSenders(
  { domains, first, last }: Population,
  random: Random,
): { accounts: readonly string[]; messages: readonly Message[] } {
  const accounts: string[] = [];
  const messages: Message[] = [];
  const sender = (name: string): ((at: Instant, recipients: number) => void) => {
    const account = `${name}@${random.of(domains)}`;
    accounts.push(account);
    const ip = `203.0.113.${accounts.length}`;
    const from = { account, returnPath: account, ip, ehlo: `${name}.example.net` };
    return (at, recipients) =>
      messages.push({ at: Math.round(at), ...from, recipients, size: random.whole(4000, 60_000) });
  };
  for (let n = 0; n < 4; n++) newsletter(sender(`news${n}`), first, last, random);
  for (let n = 0; n < 3; n++) invoices(sender(`billing${n}`), first, last, random);
  for (let n = 0; n < 3; n++) monitoring(sender(`alerts${n}`), first, last, random);
  for (let n = 0; n < 2; n++) digests(sender(`list${n}`), first, last, random);
  return { accounts, messages };
}

type Send = (at: Instant, recipients: number) => void;

/** Once a week or a fortnight, at the same hour; its readers become slowly more. */
function newsletter(send: Send, first: Instant, last: Instant, random: Random): void {
  const period = random.of([7, 7, 14]) * DAY;
  const pace = random.between(0.4, 1.5) * SECOND;
  let readers = random.whole(200, 1800);
  const hour = random.whole(6, 17) * HOUR;
  for (let day = Math.ceil(first / DAY) * DAY + random.whole(0, 6) * DAY; day + DAY < last; day += period) {
    let at = day + hour + random.next() * 15 * MINUTE;
    for (let n = 0; n < readers; n++) send((at += random.wait(pace)), 1);
    readers = Math.round(readers * random.between(0.98, 1.05));
  }
}

/** A run a month, within the first days of it. */
function invoices(send: Send, first: Instant, last: Instant, random: Random): void {
  const customers = random.whole(120, 600);
  for (
    let day = Math.ceil(first / DAY) * DAY + random.whole(0, 29) * DAY;
    day + DAY < last;
    day += random.whole(29, 32) * DAY
  ) {
    let at = day + random.whole(5, 9) * HOUR;
    for (let n = Math.round(customers * random.between(0.9, 1.1)); n > 0; n--)
      send((at += random.wait(3 * SECOND)), 1);
  }
}

/** All day and night; more where something breaks. */
function monitoring(send: Send, first: Instant, last: Instant, random: Random): void {
  const pace = random.between(10, 25) * MINUTE;
  let trouble = first;
  for (let at = first + random.wait(pace); at < last; at += random.wait(at < trouble ? pace / 5 : pace)) {
    if (random.chance(0.001)) trouble = at + random.between(1, 3) * HOUR;
    send(at, random.whole(1, 3));
  }
}

/** One message each evening, to all who are on the list. */
function digests(send: Send, first: Instant, last: Instant, random: Random): void {
  const members = random.whole(15, 60);
  const hour = random.whole(18, 22) * HOUR;
  for (let day = Math.ceil(first / DAY) * DAY; day + DAY < last; day += DAY) {
    send(day + hour + random.next() * MINUTE, members + random.whole(-2, 2));
  }
}
