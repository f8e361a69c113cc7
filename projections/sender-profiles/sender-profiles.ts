import type { Milliseconds } from '../../src/kernel/time.js';
import { formatDuration } from '../../src/kernel/time.js';
import type {
  Day,
  DaySummaryFact,
  ProfiledType,
  SenderDaySummarised,
} from '../../src/sending/day-summary.js';
import type { Subject } from '../../src/sending/subjects.js';
import { copyOf, openDay, summaryOf } from './open-day.js';
import type { OpenDay } from './open-day.js';
import { NO_PROFILE, asOf, withBlock, withDay, withFalsePositive } from './profile.js';
import type { Profile } from './profile.js';

/** Windows whose peaks are kept; those of a rule set that asks for more have no history. */
const MOST_KEYS = 32;
/** Days of one sender that may wait for their summary. */
const MOST_OPEN = 40;

/** One sender: what it usually does, and its days that are not summarised yet. */
export interface Entry {
  readonly value: string;
  readonly profile: Profile;
  /** Ascending. */
  readonly open: readonly OpenDay[];
}

interface Live extends Entry {
  profile: Profile;
  open: OpenDay[];
  /** Which dump it was written after: an older one stands in a dump, and must not be written to. */
  epoch: number;
}

export interface SenderProfilesState {
  readonly keys: readonly string[];
  readonly accounts: readonly Entry[];
  readonly domains: readonly Entry[];
}

/**
 * What every account and every domain usually does. Habits are folded from the summaries of past days alone; sends
 * only gather in days that are still open, and make the summaries. So a profile is the same whether the sends behind
 * it are still kept or not.
 */
export class SenderProfiles {
  #keys: string[] = [];
  #entries: Readonly<Record<ProfiledType, Map<string, Live>>> = { account: new Map(), domain: new Map() };
  #epoch = 0;

  /** The number of a window's peaks; undefined where there are too many kinds of windows. */
  keyOf(count: string, window: Milliseconds): number | undefined {
    const key = `${count}/${formatDuration(window)}`;
    const index = this.#keys.indexOf(key);
    if (index >= 0 || this.#keys.length >= MOST_KEYS) return index < 0 ? undefined : index;
    return this.#keys.push(key) - 1;
  }

  get size(): number {
    return this.#entries.account.size + this.#entries.domain.size;
  }

  find(type: ProfiledType, value: string): Entry | undefined {
    return this.#entries[type].get(value);
  }

  /** What a sender usually does, as known on a day. */
  profile(type: ProfiledType, value: string, day: Day): Profile {
    const entry = this.#entries[type].get(value);
    return entry === undefined ? NO_PROFILE : asOf(entry.profile, day, this.#keys);
  }

  /**
   * The sender's day to write to; undefined where it has been summarised already: what comes so late teaches nothing.
   */
  today(type: ProfiledType, value: string, day: Day): OpenDay | undefined {
    const entry = this.#writable(type, value);
    const last = entry.open.at(-1);
    if (last?.day === day) return last;
    if (day <= entry.profile.summarised) return undefined;
    entry.profile = asOf(entry.profile, day, this.#keys);
    const place = entry.open.findIndex((open) => open.day >= day);
    if (place >= 0 && entry.open[place]!.day === day) return entry.open[place];
    if (entry.open.length >= MOST_OPEN) return undefined;
    const made = openDay(day);
    entry.open.splice(place < 0 ? entry.open.length : place, 0, made);
    return made;
  }

  /** Folds a day's summary: the day is closed. */
  summarised(summary: SenderDaySummarised): void {
    const { type, value } = summary.subject;
    for (const key of Object.keys(summary.peaks)) {
      if (!this.#keys.includes(key) && this.#keys.length < MOST_KEYS) this.#keys.push(key);
    }
    const entry = this.#writable(type, value);
    entry.profile = withDay(entry.profile, summary, this.#keys);
    entry.open = entry.open.filter((open) => open.day > summary.day);
  }

  /** A block came about: what its subject does on days from `since` on is no habit. */
  contain(subject: Subject, block: string, since: Day): void {
    const entry = this.#judged(subject);
    if (entry === undefined) return;
    entry.profile = withBlock(entry.profile, block, since);
    for (const open of entry.open) {
      if (open.day >= since && !open.contained.includes(block)) open.contained = [...open.contained, block];
    }
  }

  /** A block was taken back as a false positive: what it stopped is learnt like any other day. */
  pardon(subject: Subject, block: string): void {
    const entry = this.#judged(subject);
    if (entry === undefined) return;
    entry.profile = withFalsePositive(entry.profile, block, this.#keys);
    for (const open of entry.open) open.contained = open.contained.filter((other) => other !== block);
  }

  /** The summaries of all days before this one that are not written yet, a sender's oldest first. */
  *due(before: Day): IterableIterator<DaySummaryFact> {
    for (const type of PROFILED) {
      for (const { value, open } of this.#entries[type].values()) {
        for (const each of open) {
          if (each.day < before) yield summaryOf({ type, value }, each, this.#keys);
        }
      }
    }
  }

  /** Cheap: an entry is copied when it is next written to. The opposite of {@link restore}. */
  dump(): SenderProfilesState {
    this.#epoch++;
    const { account, domain } = this.#entries;
    return { keys: this.#keys.slice(), accounts: [...account.values()], domains: [...domain.values()] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ keys, accounts, domains }: SenderProfilesState): void {
    this.#keys = keys.slice();
    const live = (entry: Entry): [string, Live] => [
      entry.value,
      { ...entry, open: entry.open.map(copyOf), epoch: this.#epoch },
    ];
    this.#entries = { account: new Map(accounts.map(live)), domain: new Map(domains.map(live)) };
  }

  /** Whose habits a block is about: a return path has those of the account that is called like it. */
  #judged({ type, value }: Subject): Live | undefined {
    const profiled =
      type === 'domain' ? 'domain' : type === 'account' || type === 'address' ? 'account' : undefined;
    if (profiled === undefined || !this.#entries[profiled].has(value)) return undefined;
    return this.#writable(profiled, value);
  }

  #writable(type: ProfiledType, value: string): Live {
    const entry = this.#entries[type].get(value);
    if (entry?.epoch === this.#epoch) return entry;
    const epoch = this.#epoch;
    const fresh: Live =
      entry === undefined
        ? { value, profile: NO_PROFILE, open: [], epoch }
        : { ...entry, open: entry.open.map(copyOf), epoch };
    this.#entries[type].set(value, fresh);
    return fresh;
  }
}

const PROFILED: readonly ProfiledType[] = ['account', 'domain'];
