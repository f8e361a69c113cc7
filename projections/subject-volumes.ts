import { GRACE, GRACE_FACTOR } from '../src/blocks/state.js';
import type { Instant, Milliseconds } from '../src/kernel/time.js';
import { explain, turnedSentence } from '../src/rules/explain.js';
import { WINDOW_MAX } from '../src/rules/model.js';
import type { Count, Diversity, Rule, Share, Sum, VersionedRules } from '../src/rules/model.js';
import type { Verdict } from '../src/rules/verdict.js';
import { dayOf } from '../src/sending/day-summary.js';
import type { MessageAccepted } from '../src/sending/events.js';
import type { Direction, MailDirection, SubjectType } from '../src/sending/subjects.js';
import { HELD, isSame, planOf, windowsOf } from './counted-windows.js';
import type { Amounts, LeftOut, Plan, Watch, Window } from './counted-windows.js';
import { Diversities } from './diversities.js';
import type { DiversitiesState, DiversityWatch } from './diversities.js';
import { Limits } from './limits.js';
import type { Surroundings } from './limits.js';
import type { OpenDays } from './sender-profiles/open-days.js';
import { scoreOf, signalsOf } from './signals.js';
import type { Moment } from './signals.js';
import { WindowTable } from './window-table.js';
import type { Column, WindowTableState } from './window-table.js';

/** One window of a subject against one rule. */
export interface WindowReading {
  readonly rule: string;
  readonly count: Count;
  readonly window: Milliseconds;
  readonly observed: number;
  readonly limit: number;
  readonly direction: Direction;
}

/** A release or dismissal. */
interface Judged {
  readonly at: Instant;
  readonly position: number;
}

export interface VolumesState {
  readonly table: WindowTableState;
  readonly diversities: DiversitiesState;
  /** By row of the table: when each watch last tripped. */
  readonly tripped: readonly (readonly [row: number, trips: Float64Array])[];
  readonly judged: readonly (readonly [value: string, judged: Judged])[];
}

export const NOTHING_COUNTED: VolumesState = {
  table: { keys: [], free: [], sweep: 0, pages: [] },
  diversities: {},
  tripped: [],
  judged: [],
};

/** One event as it is folded: when, where, and who sent. */
export interface Fold {
  readonly at: Instant;
  readonly position: number;
  readonly direction: MailDirection;
  /** Undefined where the event is no message. */
  readonly message: MessageAccepted | undefined;
  /** Takes the verdicts of this event. */
  readonly verdicts: Verdict[];
  /** An account has turned abnormal, says a rule over its domain. */
  turned(rule: Rule, account: string, sentence: string): void;
}

/** Which columns of the table hold a window. */
interface Place {
  readonly sum: number;
  readonly first: number | undefined;
  readonly second: number | undefined;
}

/** The windows of all subjects of one type, and the rules that look at them. */
export class SubjectVolumes {
  readonly #type: SubjectType;
  readonly #rules: VersionedRules;
  readonly #around: Surroundings;
  readonly #limits: Limits;
  readonly #windows: readonly Window[];
  /** By window. */
  readonly #places: readonly Place[];
  readonly #plans: Readonly<Record<MailDirection, Plan>>;
  readonly #table: WindowTable;
  readonly #diversities: Diversities;
  /** By row, by watch: when the rule last tripped, since evidence is used once. */
  readonly #tripped = new Map<number, Float64Array>();
  /** By value: the newest release or dismissal, as long as any window may reach back to it. */
  readonly #judged = new Map<string, Judged>();
  readonly #watchCount: number;
  /** By window: the numbers of its peaks in profiles. */
  readonly #peaks: readonly (readonly { readonly number: number; readonly leaveOut: LeftOut }[])[];
  readonly #days: OpenDays | undefined;
  readonly #evicted = (row: number): void => {
    this.#tripped.delete(row);
    this.#diversities.clear(row);
  };

  constructor(type: SubjectType, rules: VersionedRules, around: Surroundings) {
    this.#type = type;
    this.#rules = rules;
    this.#around = around;
    this.#limits = new Limits(type, rules, around);
    this.#windows = windowsOf(type, rules.rules);
    const watches = this.#windows.reduce((sum, window) => sum + window.watches.length, 0);
    this.#diversities = new Diversities(type, rules.rules, watches);
    this.#watchCount = watches + this.#diversities.watches.length;
    const columns: Column[] = [];
    const take = (column: Column): number => columns.push(column) - 1;
    this.#places = this.#windows.map(({ window, wide, largest }) => ({
      sum: take({ window, wide }),
      first: largest >= 1 ? take({ window, wide: false }) : undefined,
      second: largest >= 2 ? take({ window, wide: false }) : undefined,
    }));
    this.#table = new WindowTable(columns);
    const { profiles } = around;
    this.#days = type === 'account' || type === 'domain' ? profiles.days(type) : undefined;
    this.#peaks = this.#windows.map(({ peaks }) =>
      peaks.flatMap(({ name, leaveOut }) => {
        const number = profiles.keep(name);
        return number === undefined ? [] : [{ number, leaveOut }];
      }),
    );
    this.#plans = { outbound: planOf(this.#windows, 'outbound'), inbound: planOf(this.#windows, 'inbound') };
  }

  get size(): number {
    return this.#table.size;
  }

  /** The opposite of {@link restore}. */
  dump(): VolumesState {
    return {
      table: this.#table.dump(),
      diversities: this.#diversities.dump(),
      tripped: [...this.#tripped].map(([row, trips]) => [row, trips.slice()]),
      judged: [...this.#judged],
    };
  }

  /** Takes over what {@link dump} gave under the same rules. Must come before anything is added. */
  restore({ table, diversities, tripped, judged }: VolumesState): void {
    this.#table.restore(table);
    this.#diversities.restore(diversities);
    for (const [row, trips] of tripped) this.#tripped.set(row, trips.slice());
    for (const [value, each] of judged) this.#judged.set(value, each);
  }

  /** Whether any window counts any of these (see {@link Amounts.mask}) in mail of this direction. */
  counts(mask: number, direction: MailDirection): boolean {
    return (this.#plans[direction].mask & mask) !== 0;
  }

  /** The value that a row stands for, as it is kept here; undefined where there is no such row. */
  valueOf(row: number): string | undefined {
    return this.#table.keyOf(row);
  }

  /** The row of a value, made where there is none. */
  rowOf(value: string, at: Instant): number {
    return this.#table.row(value, at, this.#evicted);
  }

  /**
   * Adds to every window that counts any of these; pushes a verdict for every rule that trips by it.
   *
   * @param guess the row that the value may have
   * @param day the row of the day on which the peaks of its windows are noted; -1 for none
   * @returns the row that it has
   */
  add(value: string, amounts: Amounts, fold: Fold, guess: number, day: number): number {
    const { at, message } = fold;
    const row = this.#table.holds(guess, value) ? guess : this.#table.row(value, at, this.#evicted);
    const factor = this.factor(value, at);
    const anyLimit = this.#limits.mayBeLower;
    if (message !== undefined && this.#diversities.any) this.#diversities.note(row, message, at);
    const { windows } = this.#plans[fold.direction];
    for (let index = 0; index < windows.length; index++) {
      const number = windows[index]!;
      const window = this.#windows[number]!;
      const amount = amounts.values[window.count]!;
      if (amount === 0) continue;
      const { sum: column, first, second } = this.#places[number]!;
      const sum = this.#table.add(row, column, at, amount);
      if (first !== undefined) this.#table.raise(row, first, second, at, amount);
      if (day >= 0) this.#notePeaks(row, number, day, sum, amount, at);
      if (sum > window.least * factor || anyLimit) this.#look(value, row, number, sum, factor, fold);
    }
    if (message !== undefined) {
      for (const watch of this.#diversities.watches) this.#compare(value, row, watch, factor, fold);
    }
    return row;
  }

  #notePeaks(row: number, number: number, day: number, sum: number, amount: number, at: Instant): void {
    for (const { number: peak, leaveOut } of this.#peaks[number]!) {
      if (leaveOut === 0) this.#days!.peak(day, peak, sum);
      // What is left out is no less than this very message.
      else if (sum - amount > this.#days!.peakAt(day, peak)) {
        this.#days!.peak(day, peak, sum - this.#largest(row, number, leaveOut, at, 0));
      }
    }
  }

  #look(value: string, row: number, number: number, sum: number, factor: number, fold: Fold): void {
    const { at } = fold;
    const end = this.#table.end(row, this.#places[number]!.sum, at);
    for (const watch of this.#windows[number]!.watches) {
      const untripled = this.#limits.of(watch, value, at);
      if (untripled === null || sum <= untripled * factor) continue;
      const observed = this.#observed(row, number, watch, end);
      if (observed <= untripled * factor) continue;
      const bound = { observed, untripled, limit: untripled * factor };
      if (watch.kind === 'turn') this.#turn(value, watch, bound, fold);
      else this.#conclude(value, row, watch, bound, { ...fold, end });
    }
  }

  /** Looks whether there are too many different ones. */
  #compare(value: string, row: number, diversity: DiversityWatch, factor: number, fold: Fold): void {
    const { rule, kind } = diversity;
    const since = this.#trippedAt(row, diversity.index);
    const observed = this.#diversities.count(kind, row, fold.at, rule.window, since);
    if (observed <= rule.limit * factor && !this.#limits.mayBeLower) return;
    const watch = watchOf(diversity);
    const untripled = this.#limits.of(watch, value, fold.at);
    if (untripled === null || observed <= untripled * factor) return;
    this.#conclude(
      value,
      row,
      watch,
      { observed, untripled, limit: untripled * factor },
      { ...fold, end: fold.at },
    );
  }

  #turn(value: string, watch: Watch, bound: Bound, fold: Fold): void {
    // While nearly everybody is being learnt, everybody seems to turn.
    if (this.#limits.isDoubtful(watch, value, fold.at)) return;
    const habit = this.#limits.habit(watch, value, fold.at);
    fold.turned(watch.rule, value, turnedSentence(watch.rule, bound.observed, habit));
  }

  /** The count is too high: it is abnormal if whatever else the rule asks for holds. */
  #conclude(value: string, row: number, watch: Watch, bound: Bound, fold: Fold & { end: Instant }): void {
    const { rule, kind } = watch;
    const { at, end, position, verdicts } = fold;
    let signals: readonly string[] | undefined = [];
    if (kind === 'act' && (rule.when !== undefined || rule.score !== undefined)) {
      signals = this.#signals(value, row, watch, fold);
      if (signals === undefined) return;
    }
    const subject = { type: this.#type, value };
    const column = this.#columnOf(watch);
    const windowStart = column === undefined ? end - rule.window : this.#table.windowStart(column, end);
    const start = Math.max(windowStart, this.#trippedAt(row, watch.index));
    const habit = this.#limits.habit(watch, value, at);
    const bought = this.#limits.bought(watch, value, at);
    const seen = { ...bound, attempts: kind === 'renew', habit, bought, signals };
    const evidence = {
      rule: rule.id,
      version: this.#rules.version,
      count: rule.count,
      window: rule.window,
      limit: bound.limit,
      observed: bound.observed,
      firstPosition: Math.min(
        position,
        Math.max(this.#around.positionAt(start), (this.#judged.get(value)?.position ?? 0) + 1),
      ),
      lastPosition: position,
      lastAt: at,
      ...(rule.leaveOut === undefined ? {} : { leaveOut: rule.leaveOut }),
      ...(habit === undefined ? {} : { habit }),
      ...(signals.length === 0 ? {} : { signals }),
      sentence: explain(rule, subject, seen),
    };
    const then = rule.then === 'block' && this.#limits.isDoubtful(watch, value, at) ? 'propose' : rule.then;
    const asked = then === rule.then ? rule : { ...rule, then };
    verdicts.push({
      kind: kind === 'renew' ? 'renew' : 'act',
      ...{ rule: asked, mode: this.#rules.mode, subject, evidence, at },
    });
    this.#trip(row, watch, end);
  }

  #signals(value: string, row: number, { rule }: Watch, fold: Fold): readonly string[] | undefined {
    const { at, message } = fold;
    const day = dayOf(at);
    const profile = this.#around.profiles.profile('account', value, day);
    const moment: Moment = {
      ...{ at, day, profile, sender: message, learnt: this.#limits.isLearnt(profile, day) },
      watchedFor: at - this.#around.installedAt(),
      distinct: (kind: Diversity) => this.#diversities.count(kind, row, at, rule.window, 0),
      share: (of: Share['of']) => {
        const failed = this.#sumOf(of, rule, row, at);
        const accepted = this.#sumOf('recipients', rule, row, at);
        return { failed, tried: of === 'bounces' ? accepted : accepted + failed };
      },
    };
    const held = rule.when === undefined ? [] : signalsOf(rule.when, moment);
    const scored = rule.score === undefined ? [] : scoreOf(rule.score, moment);
    return held === undefined || scored === undefined ? undefined : [...held, ...scored];
  }

  #sumOf(sum: Sum, { window, direction }: Rule, row: number, at: Instant): number {
    const wanted = { count: HELD.indexOf(sum), window, direction };
    const number = this.#windows.findIndex((other) => isSame(other, wanted));
    return number < 0 ? 0 : this.#table.sum(row, this.#places[number]!.sum, at);
  }

  #columnOf(watch: Watch): number | undefined {
    const number = this.#windows.findIndex(({ watches }) => watches.includes(watch));
    return this.#places[number]?.sum;
  }

  /** What limits are multiplied by at `now`: more than 1 within the hour after a release or dismissal. */
  factor(value: string, now: Instant): number {
    if (this.#judged.size === 0) return 1;
    const judged = this.#judged.get(value);
    return judged !== undefined && now < judged.at + GRACE ? GRACE_FACTOR : 1;
  }

  /** Changes nothing, whatever `now` is. */
  readings(value: string, now: Instant): readonly WindowReading[] {
    const row = this.#table.find(value);
    const factor = this.factor(value, now);
    const reading = (watch: Watch, observed: number): WindowReading[] => {
      const { id: rule, count, window, direction } = watch.rule;
      const limit = this.#limits.of(watch, value, now);
      // A rule that is off for this subject has nothing to say of it.
      return limit === null ? [] : [{ rule, count, window, observed, limit: limit * factor, direction }];
    };
    const sums = this.#windows.flatMap((window, number) =>
      window.watches
        .filter((watch) => watch.kind === 'act')
        .flatMap((watch) => reading(watch, row === undefined ? 0 : this.#observed(row, number, watch, now))),
    );
    const different = this.#diversities.watches.flatMap((each) => {
      const since = row === undefined ? 0 : this.#trippedAt(row, each.index);
      const { kind, rule } = each;
      const observed = row === undefined ? 0 : this.#diversities.count(kind, row, now, rule.window, since);
      return reading(watchOf(each), observed);
    });
    return [...sums, ...different];
  }

  busiest(
    count: Sum,
    most: number,
    now: Instant,
  ): readonly { value: string; amount: number; window: number }[] {
    const place = HELD.indexOf(count);
    const columns = this.#windows.flatMap((window, index) =>
      window.count === place && window.direction !== 'inbound' ? [index] : [],
    );
    const longest = columns.sort((a, b) => this.#windows[b]!.window - this.#windows[a]!.window)[0];
    if (longest === undefined) return [];
    const { window } = this.#windows[longest]!;
    const column = this.#places[longest]!.sum;
    const top: { value: string; amount: number; window: number }[] = [];
    for (const [value, row] of this.#table.entries()) {
      const amount = this.#table.sum(row, column, now);
      if (amount <= 0 || (top.length === most && amount <= top.at(-1)!.amount)) continue;
      const behind = top.findIndex((other) => other.amount < amount);
      top.splice(behind < 0 ? top.length : behind, 0, { value, amount, window });
      if (top.length > most) top.pop();
    }
    return top;
  }

  /** Empties the windows of one subject, since a person has judged what stood in them, and begins its grace. */
  forget(value: string, at: Instant, position: number): void {
    // Not the longest window of these rules: the next rule set may look back further.
    for (const [other, judged] of this.#judged) if (judged.at + WINDOW_MAX < at) this.#judged.delete(other);
    this.#judged.set(value, { at, position });
    const row = this.#table.find(value);
    if (row === undefined) return;
    this.#table.clear(row);
    this.#diversities.clear(row);
    this.#tripped.delete(row);
  }

  /** A block came about: what it rests upon is evidence of no rule any more, since it is contained. */
  contain(value: string, at: Instant): void {
    const row = this.#table.find(value);
    if (row === undefined) return;
    const end = Math.max(at, this.#table.touchedAt(row));
    for (const watch of this.#watches()) if (watch.kind !== 'renew') this.#trip(row, watch, end);
  }

  /** Takes another subject's counts out of this one's windows, where both have the same window. */
  subtract(value: string, from: SubjectVolumes, fromValue: string): void {
    const row = this.#table.find(value);
    const fromRow = from.#table.find(fromValue);
    if (row === undefined || fromRow === undefined) return;
    this.#windows.forEach((window, number) => {
      const other = from.#windows.findIndex((each) => isSame(window, each));
      if (other < 0) return;
      this.#table.subtract(row, this.#places[number]!.sum, from.#table, fromRow, from.#places[other]!.sum);
    });
  }

  /** Takes over what the windows of the rule set before held, for the windows that both have. */
  carryOver(before: SubjectVolumes): void {
    for (const [value, judged] of before.#judged) this.#judged.set(value, judged);
    const shared = this.#windows.flatMap((window, number) => {
      const old = before.#windows.findIndex((other) => isSame(window, other));
      return old < 0 ? [] : columnPairs(this.#places[number]!, before.#places[old]!);
    });
    if (shared.length === 0) return;
    for (const [value, oldRow] of before.#table.entries()) {
      const at = before.#table.touchedAt(oldRow);
      const row = this.#table.row(value, at, this.#evicted);
      for (const [column, old] of shared) this.#table.copy(row, column, before.#table, oldRow, old);
      this.#diversities.copy(row, before.#diversities, oldRow);
      this.#carryTrips(row, before, oldRow);
    }
  }

  #carryTrips(row: number, before: SubjectVolumes, oldRow: number): void {
    const trips = before.#tripped.get(oldRow);
    if (trips === undefined) return;
    const old = new Map(
      before.#watches().map((watch) => [`${watch.kind} ${watch.rule.id}`, trips[watch.index]!]),
    );
    for (const watch of this.#watches()) {
      const at = old.get(`${watch.kind} ${watch.rule.id}`) ?? 0;
      if (at > 0) this.#trip(row, watch, at);
    }
  }

  #watches(): readonly Watch[] {
    return [...this.#windows.flatMap((window) => window.watches), ...this.#diversities.watches.map(watchOf)];
  }

  #observed(row: number, number: number, watch: Watch, at: Instant): number {
    const { sum } = this.#places[number]!;
    const since = this.#trippedAt(row, watch.index);
    const all = since === 0 ? this.#table.sum(row, sum, at) : this.#table.sumAfter(row, sum, at, since);
    return watch.leaveOut === 0 ? all : all - this.#largest(row, number, watch.leaveOut, at, since);
  }

  #largest(row: number, number: number, leaveOut: LeftOut, at: Instant, since: Instant): number {
    const { first, second } = this.#places[number]!;
    return this.#table.largest(row, first!, leaveOut === 2 ? second : undefined, at, since);
  }

  #trippedAt(row: number, index: number): Instant {
    return this.#tripped.get(row)?.[index] ?? 0;
  }

  #trip(row: number, watch: Watch, at: Instant): void {
    let trips = this.#tripped.get(row);
    if (trips === undefined) this.#tripped.set(row, (trips = new Float64Array(this.#watchCount)));
    trips[watch.index] = at;
  }
}

interface Bound {
  readonly observed: number;
  /** What was in force, and what it is without the tripling after a release. */
  readonly limit: number;
  readonly untripled: number;
}

function watchOf({ rule, index }: DiversityWatch): Watch {
  return { rule, index, kind: 'act', leaveOut: 0, limit: rule.limit, baseline: undefined, peak: '' };
}

/** Columns of the same window in two tables, where both have them. */
function columnPairs(a: Place, b: Place): readonly (readonly [number, number])[] {
  return (['sum', 'first', 'second'] as const).flatMap((kind) => {
    const [one, other] = [a[kind], b[kind]];
    return one === undefined || other === undefined ? [] : [[one, other] as const];
  });
}
