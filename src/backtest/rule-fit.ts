import { anyNew } from '../../projections/volume/conditions.js';
import type { LeastPeak } from '../../projections/baselines/learning.js';
import type { PlaceKind, Profile } from '../../projections/baselines/profile.js';
import { baselineOf, baselineOfLargest, lastSeen } from '../../projections/baselines/profile.js';
import { isKnownOf, isLearnt, limitOf } from '../../projections/volume/limits.js';
import type { BlockReleased } from '../blocks/events.js';
import { isBlockEvent } from '../blocks/events.js';
import { DECISIONS_ONLY } from '../detector/projector.js';
import { ReadModels } from '../detector/read-models.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { FittedLimit } from '../rules/fit.js';
import { CleanDays, atMost, daysNeeded, fitLimit } from '../rules/fit.js';
import type { Baseline, Conditions, Learning, Rule, RuleSet } from '../rules/model.js';
import { LEARNING, isSum, isVolume, pointsOf } from '../rules/model.js';
import type { Day, SenderDaySummarised } from '../sending/day-summary.js';
import { PROFILE_CATEGORY, dayOf, holdsAtLeast, isDaySummary, peakName } from '../sending/day-summary.js';
import type { Subject } from '../sending/subjects.js';
import { subjectKey } from '../sending/subjects.js';
import type { ReadableStore } from '../store/open-for-reading.js';

/** What one rule's limit is, and what the installation's own history proposes instead. */
export interface RuleFit {
  readonly rule: Rule;
  readonly today: Baseline;
  /** Clean days of known senders that the rule looks at. */
  readonly days: number;
  /** Of how many senders they are. */
  readonly senders: number;
  /** How many of these days are above today's limit. */
  readonly aboveToday: number;
  /** Undefined if there are too few days. */
  readonly fitted: FittedLimit | undefined;
  /** With the confidence, no more of these days were to be expected above the fitted limit. */
  readonly atMost: number | undefined;
  /** How many days the rate asks for. */
  readonly needed: number;
}

/**
 * Limits `k × record + plus` for each rule that follows a record, from what the store has recorded of each sender's
 * days. A day is clean if no block fell on it that was not taken back; a block that was taken back counts as its false
 * positive teaches. Days of senders that were being learnt, were exempt, or had an override of the rule say nothing.
 *
 * @param rate wrong verdicts of a rule on a sender-day
 * @throws StoreUnavailable
 */
export async function fitRules(
  store: ReadableStore,
  rules: RuleSet,
  rate: number,
): Promise<readonly RuleFit[]> {
  const history = new DayHistory(rules);
  const until = await store.head();
  const categories = [...DECISIONS_ONLY, PROFILE_CATEGORY];
  for await (const event of store.readAll({ categories, until })) history.apply(event);
  history.end();
  return history.fitted.map(({ rule, baseline, days, senders, aboveToday }) => {
    const fitted = fitLimit(days, rate);
    return {
      rule,
      today: baseline,
      days: days.count,
      senders: senders.size,
      aboveToday,
      fitted,
      atMost: fitted === undefined ? undefined : atMost(fitted.above),
      needed: daysNeeded(rate),
    };
  });
}

/** Whether the limit of a rule can be fitted: it follows a record, and known senders can trip it. */
export function isFittable({ baseline, count, when }: Rule): boolean {
  return baseline !== undefined && baseline.record > 0 && isSum(count) && when?.learning !== true;
}

interface Fitting {
  readonly rule: Rule;
  readonly baseline: Baseline;
  readonly peak: string;
  readonly days: CleanDays;
  readonly senders: Set<string>;
  aboveToday: number;
}

/** What a clean day says of a rule. */
interface Finding {
  readonly fitting: Fitting;
  readonly sender: string;
  readonly record: number;
  /** 0 if the rule did not trip. */
  readonly reached: number;
  readonly isAbove: boolean;
}

/** A day that a block may still contain. */
interface Waiting {
  readonly summary: SenderDaySummarised;
  readonly findings: readonly Finding[];
}

/** Folds decisions and day summaries as live, and looks at each day just before its baseline learns it. */
class DayHistory {
  readonly fitted: readonly Fitting[];
  readonly #rules: RuleSet;
  readonly #models = new ReadModels({
    onVerdict: () => undefined,
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: () => undefined,
  });
  /**
   * By sender and day, until the day is summarised: what a false positive on it has taught, and what was known before
   * that.
   */
  readonly #raised = new Map<string, { readonly least: LeastPeak; readonly before: Profile }>();
  /** By sender. */
  readonly #waiting = new Map<string, readonly Waiting[]>();

  constructor(rules: RuleSet) {
    this.#rules = rules;
    this.fitted = rules.rules.filter(isFittable).map((rule) => ({
      rule,
      baseline: rule.baseline!,
      peak: peakName(rule.count, rule.leaveOut ?? 0, rule.window),
      days: new CleanDays(),
      senders: new Set<string>(),
      aboveToday: 0,
    }));
  }

  apply(event: RecordedEvent): void {
    if (event.type === 'SenderDaySummarised' && isDaySummary(event.data)) {
      const findings = this.#summarised(event.data);
      this.#models.apply(event);
      this.#wait({ summary: event.data, findings });
      return;
    }
    if (isBlockEvent(event) && event.type === 'BlockReleased' && event.data.falsePositive)
      this.#takenBack(event.data, event.at);
    this.#models.apply(event);
  }

  /** Nothing comes any more: the days that still wait are clean unless a block contains them. */
  end(): void {
    for (const waiting of this.#waiting.values()) for (const each of waiting) this.#conclude(each);
    this.#waiting.clear();
  }

  /** A day counts once no block can contain it any more. */
  #wait(latest: Waiting): void {
    const { subject, day } = latest.summary;
    const key = subjectKey(subject);
    const tail = this.#profileOf(subject, day).tail?.summaries ?? [];
    const waiting: Waiting[] = [];
    for (const each of [...(this.#waiting.get(key) ?? []), latest]) {
      if (tail.some((other) => other.day === each.summary.day)) waiting.push(each);
      else this.#conclude(each);
    }
    if (waiting.length > 0) this.#waiting.set(key, waiting);
    else this.#waiting.delete(key);
  }

  #conclude({ summary: { subject, day }, findings }: Waiting): void {
    const { withheld } = this.#profileOf(subject, day);
    if (!withheld.some((each) => each.day === day)) count(findings);
  }

  #summarised(summary: SenderDaySummarised): readonly Finding[] {
    const { subject, day, contained } = summary;
    const key = keyOf(subject, day);
    const raised = this.#raised.get(key);
    this.#raised.delete(key);
    const profile = this.#profileOf(subject, day);
    // A day from an import may come after later ones: what was known before it is not known any more.
    if (contained.length > 0 || day <= profile.lastDay) return [];
    return this.#observed(summary, raised?.before ?? profile, raised?.least);
  }

  /** A false positive: its day is clean after all, and would have been as high as it teaches. */
  #takenBack(released: BlockReleased, at: Instant): void {
    const { block, subject } = released;
    if (subject === undefined) return;
    const of = { type: subject.type === 'domain' ? 'domain' : 'account', value: subject.value } as const;
    const least = this.#models.sendVolume.taughtBy(released);
    const profile = this.#profileOf(of, dayOf(at));
    let isSummarised = false;
    for (const summary of profile.withheld) {
      if (!summary.contained.includes(block)) continue;
      isSummarised = true;
      if (summary.contained.length > 1) continue;
      // It is concluded here.
      const waiting = this.#waiting.get(subjectKey(of)) ?? [];
      const others = waiting.filter((each) => each.summary.day !== summary.day);
      this.#waiting.set(subjectKey(of), others);
      count(this.#observed(summary, profile, least?.day === summary.day ? least : undefined));
    }
    if (isSummarised || least === undefined) return;
    const key = keyOf(of, least.day);
    this.#raised.set(key, { least, before: this.#raised.get(key)?.before ?? profile });
  }

  #observed(
    summary: SenderDaySummarised,
    profile: Profile,
    least: LeastPeak | undefined,
  ): readonly Finding[] {
    const { subject, day, messages, peaks } = summary;
    const at = day * DAY;
    if (messages === 0 || this.#models.exemptions.covering(subject, at) !== undefined) return [];
    const findings: Finding[] = [];
    const { learning = LEARNING } = this.#rules;
    const { peaks: kept } = this.#models.sendVolume.profiles;
    for (const fitting of this.fitted) {
      const { rule, baseline, peak } = fitting;
      const number = kept.numberOf(peak);
      const since = kept.since(number);
      if (rule.per !== subject.type || since > day || !isLearnt(profile, day, learning, since)) continue;
      const usual = baselineOf(profile, number, day, since, baseline.rise);
      const limit = limitOf(baseline, { ...usual, largest: baselineOfLargest(profile, day).record }, true);
      const { overrides } = this.#models;
      if (overrides.limit(rule.id, rule.per, subject.value, limit, at, isVolume(rule.count)) !== limit)
        continue;
      const raised = least !== undefined && holdsAtLeast(peak, least.peak) ? least.value : 0;
      const reached = Math.max(peaks[peak] ?? 0, raised);
      const trips = reached > Math.min(usual.record, limit) && mayTrip(rule, summary, profile, learning);
      const isAbove = trips && reached > limit;
      findings.push({
        fitting,
        sender: subject.value,
        record: usual.record,
        reached: trips ? reached : 0,
        isAbove,
      });
    }
    return findings;
  }

  #profileOf({ type, value }: SenderDaySummarised['subject'], day: Day): Profile {
    return this.#models.sendVolume.profiles.profile(type, value, day);
  }
}

function count(findings: readonly Finding[]): void {
  for (const { fitting, sender, record, reached, isAbove } of findings) {
    fitting.days.add(record, reached);
    fitting.senders.add(sender);
    if (isAbove) fitting.aboveToday++;
  }
}

function keyOf({ type, value }: Subject, day: Day): string {
  return `${type} ${day} ${value}`;
}

/**
 * Whether a rule's conditions may have held on a day. A summary says whether any place was new, not whether it was new
 * for the messages of the peak; and nothing of hours, shares and distinct values: so this errs on the side of a trip.
 */
function mayTrip(
  { when = {}, score }: Rule,
  summary: SenderDaySummarised,
  profile: Profile,
  learning: Learning,
): boolean {
  const may = (conditions: Conditions): boolean => mayHold(conditions, summary, profile, learning);
  return may(when) && (score === undefined || pointsOf(score.signals.filter(may)) >= score.threshold);
}

function mayHold(
  { newIp, newEhlo, newCountry, newAsn, dormantFor }: Conditions,
  { day, networks, ehlos, countries = [], asns = [] }: SenderDaySummarised,
  profile: Profile,
  learning: Learning,
): boolean {
  const isNew = (kind: PlaceKind, novelty: Parameters<typeof anyNew>[0], names: readonly string[]): boolean =>
    isKnownOf(profile, kind, day, learning) && anyNew(novelty, names, { profile, day });
  return (
    (newIp === undefined || isNew('networks', 'newIp', networks)) &&
    (newEhlo === undefined || isNew('ehlos', 'newEhlo', ehlos)) &&
    (newCountry === undefined || isNew('countries', 'newCountry', countries)) &&
    (newAsn === undefined || isNew('asns', 'newAsn', asns.map(String))) &&
    (dormantFor === undefined || (day - lastSeen(profile) - 1) * DAY >= dormantFor)
  );
}
