import type { Instant } from '../src/kernel/time.js';
import { DAY } from '../src/kernel/time.js';
import { inWords } from '../src/overrides/explain.js';
import type { Habit } from '../src/rules/explain.js';
import type { Baseline, Learning, VersionedRules } from '../src/rules/model.js';
import { LEARNING } from '../src/rules/model.js';
import type { Day, ProfiledType } from '../src/sending/day-summary.js';
import { dayOf } from '../src/sending/day-summary.js';
import type { SubjectType } from '../src/sending/subjects.js';
import type { Watch } from './counted-windows.js';
import type { Overrides } from './overrides.js';
import type { Profile } from './sender-profiles/profile.js';
import { REMEMBERED_DAYS, usualLargest, usualOf } from './sender-profiles/profile.js';
import type { SenderProfiles } from './sender-profiles/sender-profiles.js';

/** What the windows of all types share. */
export interface Surroundings {
  readonly profiles: SenderProfiles;
  readonly overrides: Overrides;
  /** A position at or before the first event that happened at `at` or later. */
  positionAt(at: Instant): number;
  /** When Stopgap first had a rule, or an event. */
  installedAt(): Instant;
}

/** Says what the limit of a rule is for one subject: its own, what the subject's habits make of it, what was bought. */
export class Limits {
  readonly #type: SubjectType;
  readonly #learning: Learning;
  readonly #around: Surroundings;

  constructor(type: SubjectType, rules: VersionedRules, around: Surroundings) {
    this.#type = type;
    this.#learning = rules.learning ?? LEARNING;
    this.#around = around;
  }

  /** Whether any limit may be lower than the rule set says. */
  get mayBeLower(): boolean {
    return this.#around.overrides.size > 0;
  }

  /** @returns null where the rule is off for this subject */
  of(watch: Watch, value: string, at: Instant): number | null {
    const { baseline, rule, kind } = watch;
    const own = baseline === undefined ? watch.limit : this.#followed(baseline, watch.peak, value, at);
    if (kind === 'turn') return own;
    return this.#around.overrides.limit(rule.id, this.#type, value, own, at);
  }

  /** The habits behind a limit; undefined where it is a fixed one. */
  habit({ baseline, peak }: Watch, value: string, at: Instant): Habit | undefined {
    const type = profiled(this.#type);
    if (baseline === undefined || type === undefined) return undefined;
    const day = dayOf(at);
    const profile = this.#around.profiles.profile(type, value, day);
    const { typical, record, weeks } = usualOf(profile, this.#around.profiles.indexOf(peak), day);
    return { typical, record, weeks, learnt: this.isLearnt(profile, day) };
  }

  /** The limit in words, where an override made it. */
  bought(watch: Watch, value: string, at: Instant): string | undefined {
    const { baseline, rule, kind } = watch;
    if (!this.mayBeLower || kind === 'turn') return undefined;
    const own = baseline === undefined ? watch.limit : this.#followed(baseline, watch.peak, value, at);
    const overridden = this.#around.overrides.explain(rule.id, this.#type, value, own, at);
    return overridden === undefined ? undefined : inWords(overridden);
  }

  /** See {@link isLearnt}. */
  isLearnt(profile: Profile, day: Day): boolean {
    return isLearnt(profile, day, this.#learning);
  }

  /** Whether what a baseline says of a subject is only to be proposed: nearly everybody is being learnt still. */
  isDoubtful(watch: Watch, value: string, at: Instant): boolean {
    const type = profiled(this.#type);
    if (watch.baseline === undefined || type === undefined || watch.rule.when?.learning === true)
      return false;
    if (at - this.#around.installedAt() >= this.#learning.installation) return false;
    const day = dayOf(at);
    return !this.isLearnt(this.#around.profiles.profile(type, value, day), day);
  }

  #followed(baseline: Baseline, peak: string, value: string, at: Instant): number {
    const type = profiled(this.#type);
    if (type === undefined) return baseline.floor;
    const { profiles } = this.#around;
    const day = dayOf(at);
    const profile = profiles.profile(type, value, day);
    const { typical, record } = usualOf(profile, profiles.indexOf(peak), day);
    const largest = baseline.largest === 0 ? 0 : baseline.largest * usualLargest(profile, day).record;
    const least = this.isLearnt(profile, day) ? baseline.floor : baseline.start;
    const limit = Math.max(least, baseline.typical * typical, baseline.record * record, largest);
    return Math.min(limit, baseline.ceiling ?? Infinity);
  }
}

/** Whether a sender is known well enough to have habits. */
export function isLearnt({ firstDay, activeDays }: Profile, day: Day, learning: Learning): boolean {
  if (firstDay < 0) return false;
  const active = activeDays.filter((each) => each >= day - REMEMBERED_DAYS).length;
  return active >= learning.days && (day - firstDay) * DAY >= learning.age;
}

function profiled(type: SubjectType): ProfiledType | undefined {
  return type === 'account' || type === 'domain' ? type : undefined;
}
