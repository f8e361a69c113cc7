import type {
  Day,
  DaySummaryFact,
  ProfiledType,
  SenderDaySummarised,
} from '../../src/sending/day-summary.js';
import type { Subject } from '../../src/sending/subjects.js';
import { MOST_PEAKS, OpenDays } from './open-days.js';
import type { ClosedDay, OpenDaysState } from './open-days.js';
import { NO_PROFILE, asOf, withDay, withFalsePositive } from './profile.js';
import type { Profile } from './profile.js';

const PROFILED: readonly ProfiledType[] = ['account', 'domain'];

export interface SenderProfilesState {
  readonly peaks: readonly string[];
  readonly days: Readonly<Record<ProfiledType, OpenDaysState>>;
  readonly profiles: Readonly<Record<ProfiledType, readonly (readonly [value: string, profile: Profile])[]>>;
}

/**
 * What every account and every domain usually does. Habits are folded from the summaries of past days alone; sends
 * only gather in days that are still open, and make the summaries. So a profile is the same whether the sends behind
 * it are still kept or not.
 */
export class SenderProfiles {
  /** Names of the windows whose peaks are kept, in the order in which they came up. */
  #peaks: string[] = [];
  #profiles = { account: new Map<string, Profile>(), domain: new Map<string, Profile>() };
  #days = { account: this.#openDays('account'), domain: this.#openDays('domain') };

  /** Names of the windows whose peaks are kept, by number. */
  get names(): readonly string[] {
    return this.#peaks;
  }

  /** The number of a window's peaks, from now on kept; undefined where there are too many kinds of windows. */
  keep(name: string): number | undefined {
    const index = this.#peaks.indexOf(name);
    if (index >= 0) return index;
    return this.#peaks.length < MOST_PEAKS ? this.#peaks.push(name) - 1 : undefined;
  }

  /** The number of a window's peaks; one beyond all where none are kept. */
  indexOf(name: string): number {
    const index = this.#peaks.indexOf(name);
    return index < 0 ? this.#peaks.length : index;
  }

  /** Where sends are noted, day by day. */
  days(type: ProfiledType): OpenDays {
    return this.#days[type];
  }

  /** What a sender usually does, as known on a day. */
  profile(type: ProfiledType, value: string, day: Day): Profile {
    return asOf(this.#profiles[type].get(value) ?? NO_PROFILE, day);
  }

  /** The days of a sender that are not summarised yet, ascending. */
  open(type: ProfiledType, value: string): readonly ClosedDay[] {
    return this.#days[type].of(value);
  }

  /** How many senders are known, and how many of them have a day that is not summarised. */
  get sizes(): { readonly profiles: number; readonly open: number } {
    const { account, domain } = this.#profiles;
    return { profiles: account.size + domain.size, open: this.#days.account.size + this.#days.domain.size };
  }

  /** Folds a day's summary: the day is closed. */
  summarised(summary: SenderDaySummarised): void {
    const { type, value } = summary.subject;
    for (const name of Object.keys(summary.peaks)) {
      if (!this.#peaks.includes(name) && this.#peaks.length < MOST_PEAKS) this.#peaks.push(name);
    }
    const before = this.#profiles[type].get(value) ?? NO_PROFILE;
    this.#profiles[type].set(value, withDay(before, summary, this.#peaks));
    this.#days[type].summarised(value, summary.day);
  }

  /** A block came about: what its subject does on days from `since` on is no habit, unless it has been summarised. */
  contain(subject: Subject, block: string, since: Day): void {
    const type = profiledAs(subject);
    if (type !== undefined) this.#days[type].contain(subject.value, block, since);
  }

  /**
   * A block was taken back as a false positive: what it stopped is learnt like any other day.
   *
   * @param least what the window that tripped would have reached, had it not been cut short
   */
  pardon(subject: Subject, block: string, least?: { day: Day; peak: string; value: number }): void {
    const type = profiledAs(subject);
    if (type === undefined) return;
    this.#days[type].pardon(subject.value, block);
    const profile = this.#profiles[type].get(subject.value);
    if (profile === undefined) return;
    if (least !== undefined) this.keep(least.peak);
    this.#profiles[type].set(subject.value, withFalsePositive(profile, block, least, this.#peaks));
  }

  /** The summaries of all days before this one that are not written yet, a sender's oldest first. */
  *due(before: Day): IterableIterator<DaySummaryFact> {
    for (const type of PROFILED) {
      for (const [value, closed] of this.#days[type].before(before)) {
        yield { type: 'SenderDaySummarised', data: { subject: { type, value }, ...closed } };
      }
    }
  }

  /** Cheap: profiles never change, and days are copied when they are next written to. The opposite of {@link restore}. */
  dump(): SenderProfilesState {
    const { account, domain } = this.#days;
    return {
      peaks: this.#peaks.slice(),
      days: { account: account.dump(), domain: domain.dump() },
      profiles: { account: [...this.#profiles.account], domain: [...this.#profiles.domain] },
    };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ peaks, days, profiles }: SenderProfilesState): void {
    this.#peaks = peaks.slice();
    this.#days = { account: this.#openDays('account'), domain: this.#openDays('domain') };
    for (const type of PROFILED) this.#days[type].restore(days[type]);
    this.#profiles = { account: new Map(profiles.account), domain: new Map(profiles.domain) };
  }

  #openDays(type: ProfiledType): OpenDays {
    return new OpenDays(this.#peaks, (value, day) => {
      const profile = this.#profiles[type].get(value);
      return profile !== undefined && day <= profile.lastDay;
    });
  }
}

/** Whose habits a block is about: a return path has those of the account that is called like it. */
function profiledAs({ type }: Subject): ProfiledType | undefined {
  if (type === 'domain') return 'domain';
  return type === 'account' || type === 'address' ? 'account' : undefined;
}
