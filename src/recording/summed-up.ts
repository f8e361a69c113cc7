import { recentlyUsed } from '../runtime/recently-used.js';
import type { MessageRefused } from '../sending/events.js';
import { clientNetwork, neighbourhood } from '../sending/identity.js';

/** Blocks of which it is remembered where their senders' attempts come from, those of the last attempts. */
const MOST_TRIED = 10_000;
/** Places of one block that are told apart: a thief with more may cost no more events. */
const MOST_PLACES = 8;

/** Which refused attempts are summed up as one. A back-test sums them up as live. */
export class SummedUp {
  /** By block: networks and EHLO names of attempts. */
  readonly #places = recentlyUsed<string, Set<string>>(MOST_TRIED);

  /** The same for attempts that are summed up together. */
  keyOf(attempt: Omit<MessageRefused, 'count' | 'since'>): string {
    const { block, stage, reply, unheld, full, account, ip } = attempt;
    // What is held and what is not, and why, are told apart.
    const what = `${block} ${stage} ${reply} ${unheld ?? ''} ${full ?? ''}`;
    return account === undefined ? `${what} ${ip ?? ''}` : `${what} ${account} ${this.#placeOf(attempt)}`;
  }

  /** Where an account's attempts come from, so that those of a thief are not taken for the owner's; empty beyond the first few. */
  #placeOf({ block, ip, ehlo }: Pick<MessageRefused, 'block' | 'ip' | 'ehlo'>): string {
    const place = `${ip === undefined ? '' : neighbourhood(clientNetwork(ip))} ${ehlo ?? ''}`;
    const known = this.#places.get(block) ?? new Set();
    if (known.has(place)) return place;
    if (known.size >= MOST_PLACES) return '';
    this.#places.set(block, known.add(place));
    return place;
  }
}
