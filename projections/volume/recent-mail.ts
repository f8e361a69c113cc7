import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import { MINUTE } from '../../src/kernel/time.js';
import type { MessageRefused } from '../../src/sending/events.js';
import { effectiveAt, isImported, isRefusal } from '../../src/sending/events.js';
import { domainOf } from '../../src/sending/identity.js';

/** How many minutes are remembered. */
export const MINUTES_KEPT = 60;
/** So many domains are told apart in a minute; the refusals of more only count in the sum of all. */
const MOST_DOMAINS = 1000;

interface RefusedMinute {
  readonly minute: number;
  readonly count: number;
  readonly domains: ReadonlyMap<string, number>;
}

export interface RecentMailState {
  readonly lastAt: Instant;
  readonly minutes: readonly RefusedMinute[];
}

/** When mail was last seen, and how often blocks have refused it in each minute of the last hour. Reads no clock. */
export class RecentMail {
  #lastAt: Instant = 0;
  /** Oldest first. */
  #minutes: { minute: number; count: number; domains: Map<string, number> }[] = [];

  /** When a message last came, taken or refused; undefined before the first. */
  get lastAt(): Instant | undefined {
    return this.#lastAt === 0 ? undefined : this.#lastAt;
  }

  apply(event: RecordedEvent): void {
    const { type } = event;
    if (type !== 'MessageAccepted' && type !== 'MessageRefused' && type !== 'RecipientsRefused') return;
    if (isImported(event)) return;
    const at = effectiveAt(event);
    if (at > this.#lastAt) this.#lastAt = at;
    if (isRefusal(event)) this.#refused(Math.floor(at / MINUTE), event.data);
  }

  /**
   * The refusals of each minute, oldest first: the last one is that of `now`.
   *
   * @param isWanted takes the domain of an account, else of a return path; undefined: all count
   */
  refusals(now: Instant, isWanted?: (domain: string) => boolean): readonly number[] {
    const first = Math.floor(now / MINUTE) - MINUTES_KEPT + 1;
    const counts = Array.from({ length: MINUTES_KEPT }, () => 0);
    for (const { minute, count, domains } of this.#minutes) {
      const index = minute - first;
      if (index < 0 || index >= MINUTES_KEPT) continue;
      if (isWanted === undefined) counts[index] = count;
      else for (const [domain, own] of domains) if (isWanted(domain)) counts[index]! += own;
    }
    return counts;
  }

  /** The opposite of {@link restore}. */
  dump(): RecentMailState {
    const minutes = this.#minutes.map(({ domains, ...rest }) => ({ ...rest, domains: new Map(domains) }));
    return { lastAt: this.#lastAt, minutes };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ lastAt, minutes }: RecentMailState): void {
    this.#lastAt = lastAt;
    this.#minutes = minutes.map(({ domains, ...rest }) => ({ ...rest, domains: new Map(domains) }));
  }

  #refused(minute: number, { count, account, returnPath }: MessageRefused): void {
    const newest = this.#minutes.at(-1)?.minute ?? 0;
    if (minute <= newest - 2 * MINUTES_KEPT) return;
    let row = this.#minutes.findLast((other) => other.minute === minute);
    if (row === undefined) {
      row = { minute, count: 0, domains: new Map() };
      const after = this.#minutes.findLastIndex((other) => other.minute < minute);
      this.#minutes.splice(after + 1, 0, row);
      // Nodes' clocks differ: what is too old for the newest is not yet so for the reader.
      while (this.#minutes.length > 2 * MINUTES_KEPT) this.#minutes.shift();
    }
    row.count += count;
    const domain = domainOf(account ?? returnPath ?? '');
    if (domain === undefined || (row.domains.size >= MOST_DOMAINS && !row.domains.has(domain))) return;
    row.domains.set(domain, (row.domains.get(domain) ?? 0) + count);
  }
}
