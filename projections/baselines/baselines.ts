import type { Instant } from '../../src/kernel/time.js';
import { DAY } from '../../src/kernel/time.js';
import type { Day, ProfiledType, SenderDaySummarised } from '../../src/sending/day-summary.js';
import { dayOf } from '../../src/sending/day-summary.js';
import { KeptPeaks } from './kept-peaks.js';
import type { KeptPeak } from './kept-peaks.js';
import { withDay, withFalsePositive, withoutPeak } from './learning.js';
import type { LeastPeak } from './learning.js';
import { NO_PROFILE, asOf, isForgotten } from './profile.js';
import type { Profile } from './profile.js';

export const PROFILED: readonly ProfiledType[] = ['account', 'domain'];
/** How often it is looked for profiles that are forgotten. */
const SWEEP_DAYS: Day = 30;

export interface BaselinesState {
  readonly installedAt: Instant;
  readonly peaks: readonly KeptPeak[];
  readonly profiles: Readonly<Record<ProfiledType, readonly (readonly [value: string, profile: Profile])[]>>;
}

/** What is known of the days that are over: a profile of every account and every domain, folded from summaries alone. */
export class Baselines {
  readonly peaks = new KeptPeaks();
  #profiles = { account: new Map<string, Profile>(), domain: new Map<string, Profile>() };
  #installedAt: Instant = 0;
  #swept: Day = -Infinity;
  #version = 0;

  /** Rises whenever any profile may have changed: what was read from one before then may not hold any more. */
  get version(): number {
    return this.#version;
  }

  /** When Stopgap first had a rule, or an event; 0 before. */
  get installedAt(): Instant {
    return this.#installedAt;
  }

  /** How many senders have a profile. */
  get size(): number {
    return this.#profiles.account.size + this.#profiles.domain.size;
  }

  /** Something happened, or came into force: nobody can be known for longer than since the first of that. */
  began(at: Instant): void {
    if (this.#installedAt === 0 || at < this.#installedAt) this.#installedAt = at;
  }

  /** What a sender usually does, as known on a day. */
  profile(type: ProfiledType, value: string, day: Day): Profile {
    return asOf(this.#profiles[type].get(value) ?? NO_PROFILE, day);
  }

  /** Whether any day of a sender is known. */
  has(type: ProfiledType, value: string): boolean {
    return this.#profiles[type].has(value);
  }

  /** Whether a sender's day, or a later one, is known already. */
  isClosed(type: ProfiledType, value: string, day: Day): boolean {
    const profile = this.#profiles[type].get(value);
    return profile !== undefined && day <= profile.lastDay;
  }

  /**
   * The windows whose peaks are kept from now on, those that matter most first.
   *
   * @returns the numbers that stand for another window now
   */
  watch(names: readonly string[], today: Day): readonly number[] {
    this.#version++;
    const taken = this.peaks.watch(names, today);
    for (const number of taken) {
      for (const type of PROFILED) {
        for (const [value, profile] of this.#profiles[type]) {
          this.#profiles[type].set(value, withoutPeak(profile, number));
        }
      }
    }
    return taken;
  }

  /** Folds a day's summary. */
  learn(summary: SenderDaySummarised): void {
    const { subject, day, peaks } = summary;
    const { type, value } = subject;
    this.#version++;
    this.peaks.seen(Object.keys(peaks), day);
    const before = this.#profiles[type].get(value) ?? NO_PROFILE;
    this.#profiles[type].set(value, withDay(before, summary, this.peaks.names));
    // A day on which events were seen began before the first of them.
    if (this.#installedAt === 0 || day < dayOf(this.#installedAt)) this.#installedAt = day * DAY;
    this.#sweep(day);
  }

  /** A block was taken back as a false positive: what it stopped is learnt like any other day. */
  pardon(type: ProfiledType, value: string, block: string, least?: LeastPeak): void {
    const profile = this.#profiles[type].get(value);
    if (profile === undefined && least === undefined) return;
    this.#version++;
    const pardoned = withFalsePositive(profile ?? NO_PROFILE, block, least, this.peaks.names);
    this.#profiles[type].set(value, pardoned);
  }

  /** Cheap: profiles never change. The opposite of {@link restore}. */
  dump(): BaselinesState {
    const { account, domain } = this.#profiles;
    return {
      installedAt: this.#installedAt,
      peaks: this.peaks.dump(),
      profiles: { account: [...account], domain: [...domain] },
    };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ installedAt, peaks, profiles }: BaselinesState): void {
    this.#version++;
    this.#installedAt = installedAt;
    this.peaks.restore(peaks);
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
}
