import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY } from '../../src/kernel/time.js';
import { inWords } from '../../src/overrides/model.js';
import type { Habit } from '../../src/rules/explain.js';
import type { Baseline, Learning, Rule, VersionedRules } from '../../src/rules/model.js';
import { LEARNING, highestLimit, isVolume } from '../../src/rules/model.js';
import type { Day, ProfiledType } from '../../src/sending/day-summary.js';
import { dayOf } from '../../src/sending/day-summary.js';
import type { SubjectType } from '../../src/sending/subjects.js';
import type { Watch } from './counted-windows.js';
import type { Overrides } from './overrides.js';
import type { PlaceKind, Profile } from '../baselines/profile.js';
import { activeDays, baselineOf, baselineOfLargest, firstSeen, isHabit } from '../baselines/profile.js';
import type { SenderProfiles } from '../baselines/sender-profiles.js';

/** The context that the windows of all types share. */
export interface VolumeContext {
  readonly profiles: SenderProfiles;
  readonly overrides: Overrides;
  /** A position at or before the first event that happened at `at` or later. */
  positionAt(at: Instant): number;
  /** When Stopgap first had a rule, or an event. */
  installedAt(): Instant;
}

/** The limits of one subject on one day, by watch. */
interface Found {
  readonly value: string;
  readonly day: Day;
  readonly version: number;
  readonly limits: (number | undefined)[];
  /** The lowest limit of each window's watches. */
  readonly lowest: (number | undefined)[];
}

/**
 * Finds the limit of a rule for one subject: the rule's own, the one from the subject's baselines, or the one from an
 * override.
 */
export class Limits {
  readonly #type: SubjectType;
  readonly #learning: Learning;
  readonly #around: VolumeContext;
  /** By row of the windows: the last result, which is valid all day unless a profile changes. */
  readonly #found: (Found | undefined)[] = [];

  constructor(type: SubjectType, rules: VersionedRules, around: VolumeContext) {
    this.#type = type;
    this.#learning = rules.learning ?? LEARNING;
    this.#around = around;
  }

  /** Whether any limit may be lower than the rule set says. */
  get mayBeLower(): boolean {
    return this.#around.overrides.size > 0;
  }

  /**
   * @param row of the subject's windows, if it has one
   * @returns null if the rule is off for this subject
   */
  of(watch: Watch, value: string, at: Instant, row = -1): number | null {
    const { rule, kind } = watch;
    const own = this.#ownOf(watch, value, at, row);
    if (kind === 'turn') return own;
    const limit = this.#around.overrides.limit(rule.id, this.#type, value, own, at, isOverridable(rule));
    // A count can never exceed a higher limit.
    return limit === null ? null : Math.min(limit, highestLimit(rule.count));
  }

  /** The lowest limit of a window's watches without overrides: these may end at any time. Asked only if none {@link mayBeLower}. */
  lowest(window: number, watches: readonly Watch[], value: string, at: Instant, row: number): number {
    const { lowest } = this.#foundOf(value, at, row);
    return (lowest[window] ??= Math.min(...watches.map((watch) => this.#ownOf(watch, value, at, row))));
  }

  /** A limit without overrides. */
  #ownOf(watch: Watch, value: string, at: Instant, row: number): number {
    const { baseline, limit } = watch;
    return baseline === undefined ? limit : this.#remembered(baseline, watch, value, at, row);
  }

  /** The baselines that make a limit; undefined if it is a fixed one. */
  habit({ baseline, peak }: Watch, value: string, at: Instant): Habit | undefined {
    const type = profiled(this.#type);
    if (baseline === undefined || type === undefined) return undefined;
    const day = dayOf(at);
    const profile = this.#around.profiles.profile(type, value, day);
    const { peaks } = this.#around.profiles;
    const number = peaks.numberOf(peak);
    const since = peaks.since(number);
    const learnt = this.isLearnt(profile, day, since);
    const bound = this.#boundOf(baseline, this.#followed(baseline, peak, value, at), learnt);
    return {
      ...baselineOf(profile, number, day, since, baseline.rise),
      learnt,
      ...(bound === undefined ? {} : { bound }),
    };
  }

  /** The limit in words, if an override made it. */
  overridden(watch: Watch, value: string, at: Instant): string | undefined {
    const { baseline, rule, kind } = watch;
    if (!this.mayBeLower || kind === 'turn') return undefined;
    const own = baseline === undefined ? watch.limit : this.#followed(baseline, watch.peak, value, at);
    return overriddenLimit(this.#around.overrides, rule, this.#type, value, own, at)?.sentence;
  }

  /** See {@link isLearnt}. */
  isLearnt(profile: Profile, day: Day, since?: Day): boolean {
    return isLearnt(profile, day, this.#learning, since);
  }

  /** See {@link isKnownOf}. */
  isKnownOf(profile: Profile, kind: PlaceKind, day: Day): boolean {
    return isKnownOf(profile, kind, day, this.#learning);
  }

  /** Whether a baseline's verdict may only propose: nearly every sender is still being learnt. */
  isDoubtful(watch: Watch, value: string, at: Instant): boolean {
    const type = profiled(this.#type);
    if (watch.baseline === undefined || type === undefined || watch.rule.when?.learning === true)
      return false;
    return this.#watchedFor(watch, at) < this.#learning.installation && !this.#knows(watch, type, value, at);
  }

  /** Whether an account may turn abnormal: not while it and nearly every sender are being learnt. */
  mayTurn(watch: Watch, value: string, at: Instant): boolean {
    const after = watch.rule.turned?.after ?? 0;
    return this.#watchedFor(watch, at) >= after || this.#knows(watch, 'account', value, at);
  }

  /** A window that no rule used before is as new as all windows are at first. */
  #watchedFor({ peak }: Watch, at: Instant): Milliseconds {
    return at - Math.max(this.#around.installedAt(), this.#since(peak) * DAY);
  }

  #knows({ peak }: Watch, type: ProfiledType, value: string, at: Instant): boolean {
    const day = dayOf(at);
    return this.isLearnt(this.#around.profiles.profile(type, value, day), day, this.#since(peak));
  }

  /** The first day with data for a window. */
  #since(peak: string): Day {
    const { peaks } = this.#around.profiles;
    return peaks.since(peaks.numberOf(peak));
  }

  /** The origin of a limit that does not come from baselines. */
  #boundOf({ floor, start, ceiling }: Baseline, limit: number, learnt: boolean): Habit['bound'] {
    if (limit === ceiling) return 'ceiling';
    if (limit !== (learnt ? floor : start)) return undefined;
    return learnt ? 'floor' : 'start';
  }

  #remembered(baseline: Baseline, { index, peak }: Watch, value: string, at: Instant, row: number): number {
    if (row < 0) return this.#followed(baseline, peak, value, at);
    return (this.#foundOf(value, at, row).limits[index] ??= this.#followed(baseline, peak, value, at));
  }

  /** The results for a row that are still valid. */
  #foundOf(value: string, at: Instant, row: number): Found {
    const day = dayOf(at);
    const { version } = this.#around.profiles;
    const found = this.#found[row];
    if (found !== undefined && found.value === value && found.day === day && found.version === version)
      return found;
    return (this.#found[row] = { value, day, version, limits: [], lowest: [] });
  }

  #followed(baseline: Baseline, peak: string, value: string, at: Instant): number {
    const type = profiled(this.#type);
    if (type === undefined) return baseline.floor;
    const { profiles } = this.#around;
    const day = dayOf(at);
    const profile = profiles.profile(type, value, day);
    const number = profiles.peaks.numberOf(peak);
    const since = profiles.peaks.since(number);
    const { typical, record } = baselineOf(profile, number, day, since, baseline.rise);
    const largest = baseline.largest === 0 ? 0 : baselineOfLargest(profile, day).record;
    return limitOf(baseline, { typical, record, largest }, this.isLearnt(profile, day, since));
  }
}

/** The limit that follows from what is usual: the median and the highest weekly peak, and the largest message. */
export function limitOf(
  { typical, record, largest, plus = 0, floor, start, ceiling }: Baseline,
  usual: { readonly typical: number; readonly record: number; readonly largest: number },
  learnt: boolean,
): number {
  const own = Math.max(typical * usual.typical, record * usual.record, largest * usual.largest);
  const limit = Math.max(learnt ? floor : start, own + plus);
  // Counts are whole: a fractional limit would allow one more in the sentence than in fact.
  return Math.min(Math.floor(limit), ceiling ?? Infinity);
}

/**
 * The limit of a rule that an override makes for a subject, in force and in words; undefined if it is the rule's own.
 *
 * @param own the limit without overrides
 */
export function overriddenLimit(
  overrides: Overrides,
  rule: Rule,
  type: SubjectType,
  value: string,
  own: number,
  at: Instant,
): { readonly limit: number | null; readonly isNamed: boolean; readonly sentence: string } | undefined {
  const found = overrides.explain(rule.id, type, value, own, at, isOverridable(rule));
  if (found === undefined) return undefined;
  const most = highestLimit(rule.count);
  const why = rule.count === 'accounts' ? 'remembered' : 'told apart';
  const isCut = found.limit !== null && found.limit > most;
  return {
    limit: isCut ? most : found.limit,
    isNamed: found.named !== undefined,
    sentence: `${isCut ? `${most}, since more are not ${why}: ` : ''}${inWords(found)}`,
  };
}

/** Whether a factor multiplies the limit of a rule. */
function isOverridable({ count }: Rule): boolean {
  return isVolume(count) || count === 'accounts';
}

/**
 * Whether a sender is known well enough to have baselines.
 *
 * @param since the first day that is known of what is asked about
 */
export function isLearnt(profile: Profile, day: Day, learning: Learning, since: Day = -Infinity): boolean {
  const first = Math.max(firstSeen(profile, day), since);
  if (first < 0 || (day - first) * DAY < learning.age) return false;
  return activeDays(profile, since, day, learning.days) >= learning.days;
}

/** Whether enough is known of one kind of a sender's places to call a place new. */
export function isKnownOf(profile: Profile, kind: PlaceKind, day: Day, learning: Learning): boolean {
  return isHabit(profile.placed[kind], profile.lastDay, day, learning);
}

function profiled(type: SubjectType): ProfiledType | undefined {
  return type === 'account' || type === 'domain' ? type : undefined;
}
