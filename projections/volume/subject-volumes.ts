import { GRACE, GRACE_FACTOR } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import { CLOCK_TOLERANCE } from '../../src/sending/events.js';
import type { Grace, InForce } from '../../src/rules/explain.js';
import { WINDOW_MAX, ceilingOf } from '../../src/rules/model.js';
import type { Rule, Sum, VersionedRules } from '../../src/rules/model.js';
import { dayOf } from '../../src/sending/day-summary.js';
import { widthFactor } from '../../src/sending/identity.js';
import type { Direction, MailDirection, SubjectType } from '../../src/sending/subjects.js';
import { directionsMeet } from '../../src/sending/subjects.js';
import type { AnomalousAccount, Excess, Fold, WindowReading } from './rule-evaluation.js';
import { RuleEvaluation, WindowReadings } from './rule-evaluation.js';
import { HELD, countedBy } from './counted-windows.js';
import type { Amounts, LeftOut, Peak, Watch } from './counted-windows.js';
import { Limits } from './limits.js';
import type { VolumeContext } from './limits.js';
import type { OpenDays } from '../baselines/open-days.js';
import type { SenderProfiles } from '../baselines/sender-profiles.js';
import { NO_WINDOWS, SubjectWindows } from './subject-windows.js';
import type { WindowsState } from './subject-windows.js';

/** A person has judged what a subject did. */
export interface JudgedThrough {
  readonly by: Grace;
  /** The verdict was wrong. */
  readonly falsePositive: boolean;
  /** It was about accounts that had come to a place; absent if not. */
  readonly ofNewcomers?: boolean;
  /** When a person last said that those who had come were no thieves, now or before; absent if nobody has. */
  readonly welcomedAt?: Instant;
  readonly at: Instant;
  readonly position: number;
}

export interface VolumesState extends WindowsState {
  readonly judged: readonly (readonly [value: string, judged: JudgedThrough])[];
}

export const NOTHING_COUNTED: VolumesState = { ...NO_WINDOWS, judged: [] };

/** A subject with what it has sent within the window. */
export interface Busy {
  readonly value: string;
  readonly amount: number;
  readonly window: number;
}

/** Looked at within a few milliseconds. */
const ROWS_A_STEP = 4000;

/** How much of its limit one network adds to the count of the networks around it, before it is blocked itself. */
const SHARE_OF_WIDER = 1 / 6;

/** The windows of all subjects of one type, and the rules on them. */
export class SubjectVolumes {
  readonly #type: SubjectType;
  readonly #limits: Limits;
  readonly #counted: SubjectWindows;
  readonly #conclusions: RuleEvaluation;
  readonly #readings: WindowReadings;
  /** By value: the newest release or dismissal, while any window may reach back to it; the newest comes last. */
  readonly #judged = new Map<string, JudgedThrough>();
  /** By window: the numbers of its peaks in profiles. */
  #peaks: readonly (readonly { readonly number: number; readonly leaveOut: LeftOut }[])[] = [];
  readonly #profiles: SenderProfiles;
  readonly #days: OpenDays | undefined;
  /** Windows that may be above a limit, and their counts: scratch space of one {@link add} at a time. */
  readonly #above: number[] = [];
  readonly #sums: number[] = [];

  constructor(type: SubjectType, rules: VersionedRules, around: VolumeContext) {
    this.#type = type;
    this.#limits = new Limits(type, rules, around);
    this.#counted = new SubjectWindows(type, rules.rules);
    this.#conclusions = new RuleEvaluation(type, rules, around, this.#limits, this.#counted);
    const graced = (value: string, now: Instant): JudgedThrough | undefined => this.#graced(value, now);
    const factor = (value: string, now: Instant): number => this.factor(value, now);
    this.#readings = new WindowReadings(this.#limits, this.#counted, this.#conclusions, graced, factor);
    this.#profiles = around.profiles;
    this.#days = type === 'account' || type === 'domain' ? around.profiles.days(type) : undefined;
    this.numberPeaks();
  }

  /** The peaks of its windows. */
  get peaks(): readonly Peak[] {
    return this.#counted.windows.flatMap((window) => window.peaks);
  }

  /** Looks up the numbers of its peaks, after profiles have chosen which they keep. */
  numberPeaks(): void {
    this.#peaks = this.#counted.windows.map(({ peaks }) =>
      peaks.flatMap(({ name, leaveOut }) => {
        const number = this.#profiles.noted(name);
        return number === undefined ? [] : [{ number, leaveOut }];
      }),
    );
  }

  get size(): number {
    return this.#counted.size;
  }

  /** The opposite of {@link restore}. */
  dump(): VolumesState {
    return { ...this.#counted.dump(), judged: [...this.#judged] };
  }

  /** Takes over what {@link dump} gave under the same rules. Must come before anything is added. */
  restore(state: VolumesState): void {
    this.#counted.restore(state);
    for (const [value, judged] of state.judged) this.#judged.set(value, judged);
  }

  /** Whether any window counts any of these (see {@link Amounts.mask}) in mail of this direction. */
  counts(mask: number, direction: MailDirection): boolean {
    return (this.#counted.plans[direction].mask & mask) !== 0;
  }

  /** The value that a row belongs to, as it is kept here; undefined if there is no such row. */
  valueOf(row: number): string | undefined {
    return this.#counted.valueOf(row);
  }

  /** The row of a value, made if there is none. */
  rowOf(value: string, at: Instant): number {
    return this.#counted.row(value, at);
  }

  /**
   * Adds to every window that counts any of these, then pushes a verdict for every rule that trips.
   *
   * @param guess the row that the value may have
   * @param day the row of the day that notes the peaks of its windows; -1 for none
   * @returns the row that it has
   */
  add(value: string, amounts: Amounts, fold: Fold, guess: number, day: number): number {
    const { at, message } = fold;
    const counted = this.#counted;
    const row = counted.row(value, at, guess);
    const factor = this.factor(value, at);
    const anyLimit = this.#limits.mayBeLower;
    if (message !== undefined) counted.note(row, message, at);
    const { windows } = counted.plans[fold.direction];
    let above = 0;
    for (let index = 0; index < windows.length; index++) {
      const number = windows[index]!;
      const window = counted.windows[number]!;
      const amount = amounts.values[window.count]!;
      if (amount === 0) continue;
      const sum = counted.add(row, number, at, amount);
      if (day >= 0) this.#notePeaks(row, number, day, sum, amount, at);
      const isAbove =
        sum > window.least * factor &&
        sum > this.#limits.lowest(number, window.watches, value, at, row) * factor;
      if (!isAbove && !anyLimit) continue;
      this.#above[above] = number;
      this.#sums[above++] = sum;
    }
    // Rules may read other windows, so all windows get the event first.
    for (let each = 0; each < above; each++) {
      const number = this.#above[each]!;
      const amount = amounts.values[counted.windows[number]!.count]!;
      this.#look(value, row, number, this.#sums[each]!, amount, factor, fold);
    }
    if (message !== undefined && counted.diverse.length > 0) this.#compare(value, row, factor, fold);
    return row;
  }

  #notePeaks(row: number, number: number, day: number, sum: number, amount: number, at: Instant): void {
    for (const { number: peak, leaveOut } of this.#peaks[number]!) {
      if (leaveOut === 0) this.#days!.peak(day, peak, sum);
      // The left-out messages are no smaller than this one.
      else if (sum - amount > this.#days!.peakAt(day, peak)) {
        this.#days!.peak(day, peak, sum - this.#counted.largest(row, number, leaveOut, at, 0));
      }
    }
  }

  /** Checks whether a window is above the limit of any rule that watches it. */
  #look(
    value: string,
    row: number,
    number: number,
    sum: number,
    amount: number,
    factor: number,
    fold: Fold,
  ): void {
    const end = this.#counted.end(row, number, fold.at);
    for (const watch of this.#counted.windows[number]!.watches) {
      const untripled = this.#limits.of(watch, value, fold.at, row);
      if (untripled === null || sum <= untripled * factor) continue;
      const limit = untripled * factor;
      const fresh = this.#counted.observed(row, number, watch, end);
      const isTrip = fresh > limit;
      const whole = this.#wholeFarBeyond(row, number, watch, sum, limit, end);
      if (!isTrip && (whole === undefined || !reachesCeiling(whole, amount, limit))) continue;
      const observed = whole ?? fresh;
      const grace = factor === 1 ? undefined : this.#graced(value, fold.at)?.by;
      if (watch.kind === 'turn')
        this.#turns({ value, row, watch, observed, end }, { limit, untripled, grace }, fold);
      else {
        const kind = isTrip ? watch.kind : 'beyond';
        const isWhole = whole !== undefined;
        this.#exceeds({ value, row, watch, kind, observed, isWhole, limit, untripled, grace, end }, fold);
      }
    }
  }

  /**
   * The whole count of a window since a block last contained it, if it is far beyond the limit of a rule that blocks and has
   * tripped within it; undefined if not. How far a sender has gone on says all that it did: an event with a lot of fresh evidence is no fresh start.
   */
  #wholeFarBeyond(
    row: number,
    number: number,
    watch: Watch,
    sum: number,
    limit: number,
    end: Instant,
  ): number | undefined {
    const ceiling = ceilingOf(limit);
    if (sum < ceiling || watch.kind !== 'act' || watch.rule.then !== 'block') return undefined;
    const whole = this.#counted.uncontained(row, number, watch, end);
    return whole === undefined || whole < ceiling ? undefined : whole;
  }

  /** Checks whether there are too many different values. */
  #compare(value: string, row: number, factor: number, fold: Fold): void {
    const { at } = fold;
    for (const [watch, diversity] of this.#counted.diverse) {
      const observed = this.#counted.different(row, diversity, at);
      if (observed <= watch.limit * factor && !this.#limits.mayBeLower) continue;
      const untripled = this.#limits.of(watch, value, at, row);
      if (untripled === null || observed <= untripled * factor) continue;
      const limit = untripled * factor;
      const grace = factor === 1 ? undefined : this.#graced(value, at)?.by;
      const [kind, isWhole] = ['act', false] as const;
      this.#exceeds({ value, row, watch, kind, observed, isWhole, limit, untripled, grace, end: at }, fold);
    }
  }

  #turns(
    found: Omit<Excess, 'judgedTo' | 'kind' | 'isWhole' | keyof InForce>,
    inForce: InForce,
    fold: Fold,
  ): void {
    const { value: account, row, watch, observed, end } = found;
    const { at, position } = fold;
    const { limit, untripled, grace } = inForce;
    // A person has just said that no thief uses this account, so it is no part of what the others do.
    if (grace !== undefined && this.#graced(account, at)?.falsePositive === true) return;
    if (!this.#limits.mayTurn(watch, account, at)) return;
    const anomaly = this.#conclusions.anomaly(watch, account, observed, limit, fold);
    if (anomaly === undefined) return;
    const isKnownPlace = anomaly === 'known';
    const start = this.#counted.start(row, watch, end, false);
    const first = this.#conclusions.firstCounted(start, this.#judgedTo(account), position);
    fold.turned(watch.rule, {
      account,
      at,
      position,
      first,
      observed,
      limit,
      untripled,
      grace,
      isKnownPlace,
    });
  }

  /** The position up to which a person has judged a subject. */
  #judgedTo(value: string): number {
    return this.#judged.get(value)?.position ?? 0;
  }

  #exceeds(found: Omit<Excess, 'judgedTo'>, fold: Fold): void {
    const excess = { ...found, judgedTo: this.#judgedTo(found.value) };
    const verdict = this.#conclusions.verdict(excess, fold);
    if (verdict === undefined) return;
    fold.verdicts.push(verdict);
    if (verdict.kind !== 'beyond') this.#counted.trip(found.row, found.watch, found.end);
  }

  /** Describes what an abnormal account did, and uses it up as evidence of the rule in any case. */
  turned(rule: Rule, turned: AnomalousAccount, now: Instant): string {
    const watch = this.#counted.turnOf(rule);
    this.#counted.contain(turned.account, now, (other) => other === watch);
    return this.#conclusions.turned(watch, turned);
  }

  /**
   * The factor on limits at `now`: more than 1 for a wide network, and within the hour after a release or dismissal.
   */
  factor(value: string, now: Instant): number {
    const grace = this.#judged.size > 0 && this.#graced(value, now) !== undefined ? GRACE_FACTOR : 1;
    return this.#type === 'ip' ? grace * widthFactor(value) : grace;
  }

  /** How much more of a count one network may add to the networks around it: a share of its own limit. */
  partOf(count: Sum, value: string, now: Instant): number {
    const place = HELD.indexOf(count);
    const row = this.#counted.row(value, now);
    let room = Infinity;
    for (const [number, window] of this.#counted.windows.entries()) {
      if (window.count !== place) continue;
      const most = Math.ceil(window.least * widthFactor(value) * SHARE_OF_WIDER);
      room = Math.min(room, most - this.#counted.sum(row, number, now));
    }
    return room === Infinity ? 0 : room;
  }

  /** Why limits are tripled for a subject, if they are. */
  graceOf(value: string, now: Instant): Grace | undefined {
    return this.#graced(value, now)?.by;
  }

  /** Whether a person has said on this day that those who came to a place were no thieves. */
  isWelcoming(place: string, now: Instant): boolean {
    const welcomedAt = this.#judged.get(place)?.welcomedAt;
    return welcomedAt !== undefined && dayOf(welcomedAt) === dayOf(now);
  }

  /** The judgement that gives an account its grace, if any. */
  #graced(value: string, now: Instant): JudgedThrough | undefined {
    const judged = this.#judged.get(value);
    // Not one that a clock which was ahead has dated: its grace would last until that date.
    const isRecent = judged !== undefined && judged.at <= now + CLOCK_TOLERANCE && now < judged.at + GRACE;
    return isRecent ? judged : undefined;
  }

  /** The counts of its windows. Changes nothing, for any `now`. */
  readings(value: string, now: Instant): readonly WindowReading[] {
    return this.#readings.of(value, now);
  }

  /** How far an account is from turning abnormal under a rule on its domain. Changes nothing. */
  turning(rule: Rule, value: string, now: Instant): WindowReading {
    return this.#readings.turning(rule, value, now);
  }

  /** The subjects that a count is highest for, in the longest window that counts it. Each step looks at some thousand rows. */
  *busiest(
    count: Sum,
    most: number,
    now: Instant,
    isWanted: (value: string) => boolean,
  ): Generator<void, readonly Busy[]> {
    const place = HELD.indexOf(count);
    const { windows } = this.#counted;
    const counting = windows.flatMap((window, index) =>
      window.count === place && window.direction !== 'inbound' ? [index] : [],
    );
    const longest = counting.sort((a, b) => windows[b]!.window - windows[a]!.window)[0];
    if (longest === undefined) return [];
    const { window } = windows[longest]!;
    const top: Busy[] = [];
    let looked = 0;
    for (const [value, row] of this.#counted.entries()) {
      if (++looked % ROWS_A_STEP === 0) yield;
      const amount = this.#counted.sum(row, longest, now);
      if (amount <= 0 || (top.length === most && amount <= top.at(-1)!.amount) || !isWanted(value)) continue;
      const after = top.findIndex((other) => other.amount < amount);
      top.splice(after < 0 ? top.length : after, 0, { value, amount, window });
      if (top.length > most) top.pop();
    }
    return top;
  }

  /** Empties the windows of one subject, because a person has judged their content, and begins its grace. */
  forget(value: string, judged: JudgedThrough): void {
    const { at } = judged;
    const welcomedAt = welcomeOf(judged, this.#judged.get(value));
    // Not only for the longest window of these rules: the next rule set may look back further.
    this.#judged.delete(value);
    for (const [other, before] of this.#judged) {
      if (before.at + WINDOW_MAX >= at) break;
      this.#judged.delete(other);
    }
    this.#judged.set(value, welcomedAt === undefined ? judged : { ...judged, welcomedAt });
    this.#counted.clear(value);
  }

  /** A block was imposed: its evidence is used up for every rule on mail that it stops, because that is contained. */
  contain(value: string, at: Instant, direction: Direction): void {
    this.#counted.contain(
      value,
      at,
      ({ kind, rule }) => kind !== 'renew' && directionsMeet(direction, countedBy(rule)),
    );
  }

  /** A block or proposal has ended by itself: what comes next counts for every rule. */
  resume(value: string, at: Instant): void {
    this.#counted.resume(value, at);
  }

  /** Subtracts another subject's counts from this one's windows, if both have the same window. */
  subtract(value: string, from: SubjectVolumes, fromValue: string): void {
    this.#counted.subtract(value, from.#counted, fromValue);
  }

  /** Takes over the content of the previous rule set's windows, for the windows that both have. */
  carryOver(before: SubjectVolumes): void {
    for (const [value, judged] of before.#judged) this.#judged.set(value, judged);
    this.#counted.carryOver(before.#counted);
  }
}

/**
 * Whether a send takes a count to the ceiling of a limit, or to a multiple of that. It follows from the counts alone:
 * nothing is remembered of earlier verdicts.
 */
function reachesCeiling(count: number, amount: number, limit: number): boolean {
  const ceiling = ceilingOf(limit);
  return Math.floor(count / ceiling) > Math.floor((count - amount) / ceiling);
}

/** A judgement of something else takes no welcome back. */
function welcomeOf(judged: JudgedThrough, before: JudgedThrough | undefined): Instant | undefined {
  if (judged.ofNewcomers !== true) return before?.welcomedAt;
  return judged.falsePositive ? judged.at : undefined;
}

export type Volumes = Readonly<Record<SubjectType, SubjectVolumes>>;

/** The counts and their rules. */
export interface FeedbackContext {
  readonly rules: VersionedRules;
  readonly volumes: Volumes;
}
