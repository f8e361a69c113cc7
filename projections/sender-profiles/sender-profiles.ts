import type {
  Day,
  DaySummaryFact,
  ProfiledType,
  SenderDaySummarised,
} from '../../src/sending/day-summary.js';
import { isDaySummary } from '../../src/sending/day-summary.js';
import type { Subject } from '../../src/sending/subjects.js';
import type { ClosedDay } from './closed-days.js';
import { KeptPeaks } from './kept-peaks.js';
import type { KeptPeak } from './kept-peaks.js';
import { withDay, withFalsePositive, withoutPeak } from './learning.js';
import type { LeastPeak } from './learning.js';
import { OpenDays } from './open-days.js';
import type { OpenDaysState } from './open-days.js';
import { NO_PROFILE, asOf, isForgotten } from './profile.js';
import type { Profile } from './profile.js';

const PROFILED: readonly ProfiledType[] = ['account', 'domain'];
/** How often it is looked for profiles that are forgotten. */
const SWEEP_DAYS: Day = 30;

export interface SenderProfilesState {
  readonly peaks: readonly KeptPeak[];
  readonly days: Readonly<Record<ProfiledType, OpenDaysState>>;
  readonly profiles: Readonly<Record<ProfiledType, readonly (readonly [value: string, profile: Profile])[]>>;
}

/**
 * What every account and every domain usually does. Habits are folded from the summaries of past days alone; sends
 * only gather in days that are still open, and make the summaries. So a profile is the same whether the sends behind
 * it are still kept or not.
 */
export class SenderProfiles {
  readonly peaks = new KeptPeaks();
  #profiles = { account: new Map<string, Profile>(), domain: new Map<string, Profile>() };
  #days = { account: this.#openDays('account'), domain: this.#openDays('domain') };
  #swept: Day = -Infinity;
  #version = 0;

  /** Rises whenever any profile may have changed: what was read from one before then may not hold any more. */
  get version(): number {
    return this.#version;
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

  /** Whether a sender has been seen to send at all. */
  knows(type: ProfiledType, value: string): boolean {
    return this.#profiles[type].has(value) || this.#days[type].has(value);
  }

  /** How many senders are known, and how many of them have a day that is not summarised. */
  get sizes(): { readonly profiles: number; readonly open: number } {
    const { account, domain } = this.#profiles;
    return { profiles: account.size + domain.size, open: this.#days.account.size + this.#days.domain.size };
  }

  /** The windows whose peaks are kept from now on, those that matter most first. */
  watch(names: readonly string[], today: Day): void {
    this.#version++;
    for (const number of this.peaks.watch(names, today)) {
      for (const type of PROFILED) {
        this.#days[type].emptyPeak(number);
        for (const [value, profile] of this.#profiles[type]) {
          this.#profiles[type].set(value, withoutPeak(profile, number));
        }
      }
    }
  }

  /** Folds a day's summary: the day is closed. @throws Error where it is none */
  summarised(summary: SenderDaySummarised): void {
    if (!isDaySummary(summary)) throw new Error('it is no summary of a day');
    const { subject, day, peaks } = summary;
    const { type, value } = subject;
    this.#version++;
    this.peaks.seen(Object.keys(peaks), day);
    const before = this.#profiles[type].get(value) ?? NO_PROFILE;
    this.#profiles[type].set(value, withDay(before, summary, this.peaks.names));
    this.#days[type].summarised(value, day);
    this.#sweep(day);
  }

  /** A block came about: what its subject does on days from `since` on is no habit, unless it has been summarised. */
  contain(subject: Subject, block: string, since: Day): void {
    const type = profiledAs(subject);
    if (type !== undefined) this.#days[type].contain(subject.value, block, since);
  }

  /** A block was taken back as a false positive: what it stopped is learnt like any other day. */
  pardon(subject: Subject, block: string, least?: LeastPeak): void {
    const type = profiledAs(subject);
    if (type === undefined) return;
    this.#days[type].pardon(subject.value, block);
    const profile = this.#profiles[type].get(subject.value);
    if (profile === undefined && least === undefined) return;
    this.#version++;
    const pardoned = withFalsePositive(profile ?? NO_PROFILE, block, least, this.peaks.names);
    this.#profiles[type].set(subject.value, pardoned);
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
      peaks: this.peaks.dump(),
      days: { account: account.dump(), domain: domain.dump() },
      profiles: { account: [...this.#profiles.account], domain: [...this.#profiles.domain] },
    };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ peaks, days, profiles }: SenderProfilesState): void {
    this.#version++;
    this.peaks.restore(peaks);
    this.#days = { account: this.#openDays('account'), domain: this.#openDays('domain') };
    for (const type of PROFILED) this.#days[type].restore(days[type]);
    this.#profiles = { account: new Map(profiles.account), domain: new Map(profiles.domain) };
  }

  /** Strangers make room: whoever is asked about is one already. */
  #sweep(day: Day): void {
    if (day < this.#swept + SWEEP_DAYS) return;
    this.#swept = day;
    for (const type of PROFILED) {
      for (const [value, profile] of this.#profiles[type]) {
        if (isForgotten(profile, day)) this.#profiles[type].delete(value);
      }
    }
  }

  #openDays(type: ProfiledType): OpenDays {
    return new OpenDays(this.peaks.names, (value, day) => {
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
