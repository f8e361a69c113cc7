import type { Instant } from '../../src/kernel/time.js';
import type { Rule, Sum } from '../../src/rules/model.js';
import type { MessageAccepted } from '../../src/sending/events.js';
import type { MailDirection, SubjectType } from '../../src/sending/subjects.js';
import { HELD, countedBy, isSame, planOf, windowsOf } from './counted-windows.js';
import type { LeftOut, Plan, Watch, Window } from './counted-windows.js';
import { DistinctCounts } from './distinct-counts.js';
import type { DistinctCountsState, DistinctWatch } from './distinct-counts.js';
import type { Column } from './window-cells.js';
import { NO_CELLS } from './window-cells.js';
import { WindowTable } from './window-table.js';
import type { WindowTableState } from './window-table.js';

export interface WindowsState {
  readonly table: WindowTableState;
  readonly diversities: DistinctCountsState;
  /** By row of the table: when each watch last tripped. */
  readonly tripped: readonly (readonly [row: number, trips: Float64Array])[];
  /** By row of the table: what is used up of the bucket of that time; NaN if it is all of it. */
  readonly used: readonly (readonly [row: number, used: Float64Array])[];
  /** By row of the table: when a block last contained what each watch counts. */
  readonly contained: readonly (readonly [row: number, contained: Float64Array])[];
}

export const NO_WINDOWS: WindowsState = {
  table: { keys: [], free: [], sweep: 0, ...NO_CELLS },
  diversities: {},
  tripped: [],
  used: [],
  contained: [],
};

/** The columns of the table that hold a window. */
interface WindowPlace {
  readonly sum: number;
  readonly first: number | undefined;
  readonly second: number | undefined;
}

/** A watch that the previous rule set had too. */
interface CarriedWatch {
  readonly watch: Watch;
  /** Its index among the watches of that set. */
  readonly before: number;
  /** Of its sum; undefined for one on a distinct count. */
  readonly column: number | undefined;
  /** Whether it looks at the same window as before: what was used up of another one says nothing. */
  readonly isSameWindow: boolean;
}

/**
 * The counts of each subject of one type, by rows: its windows, its distinct counts, and when each rule last tripped on
 * it, because evidence is used once.
 */
export class SubjectWindows {
  readonly windows: readonly Window[];
  readonly plans: Readonly<Record<MailDirection, Plan>>;
  readonly diversities: DistinctCounts;
  /** Rules on distinct counts, as watches. */
  readonly diverse: readonly (readonly [Watch, DistinctWatch])[];
  /** By window. */
  readonly #places: readonly WindowPlace[];
  readonly #table: WindowTable;
  readonly #watches: readonly Watch[];
  /** By row, by watch. */
  readonly #tripped = new Map<number, Float64Array>();
  /**
   * By row, by watch: what is used up of the bucket in which it tripped; NaN if it is all of it. A trip uses it up as a whole, or a
   * flood of an exempt sender would trip again and again. Once nothing contains the sender any more, what comes next counts.
   */
  readonly #used = new Map<number, Float64Array>();
  /** By row, by watch: up to when a block has contained what it counts. */
  readonly #contained = new Map<number, Float64Array>();
  readonly #evicted = (row: number): void => {
    this.#tripped.delete(row);
    this.#used.delete(row);
    this.#contained.delete(row);
    this.diversities.clear(row);
  };

  constructor(type: SubjectType, rules: readonly Rule[]) {
    this.windows = windowsOf(type, rules);
    this.plans = { outbound: planOf(this.windows, 'outbound'), inbound: planOf(this.windows, 'inbound') };
    const watches = this.windows.flatMap((window) => window.watches);
    this.diversities = new DistinctCounts(type, rules, watches.length);
    this.diverse = this.diversities.watches.map((each) => [watchOf(each), each]);
    this.#watches = [...watches, ...this.diverse.map(([watch]) => watch)];
    const columns: Column[] = [];
    const take = (column: Column): number => columns.push(column) - 1;
    this.#places = this.windows.map(({ window, wide, largest }) => ({
      sum: take({ window, wide }),
      first: largest >= 1 ? take({ window, wide: false }) : undefined,
      second: largest >= 2 ? take({ window, wide: false }) : undefined,
    }));
    this.#table = new WindowTable(columns);
  }

  get size(): number {
    return this.#table.rows.size;
  }

  /** The row of a value, if it has one. */
  find(value: string): number | undefined {
    return this.#table.rows.find(value);
  }

  /** The value that a row belongs to, as it is kept here; undefined if there is no such row. */
  valueOf(row: number): string | undefined {
    return this.#table.rows.keyOf(row);
  }

  /**
   * The row of a value, made if there is none.
   *
   * @param guess the row that it may have
   */
  row(value: string, at: Instant, guess = -1): number {
    return this.#table.rows.holds(guess, value) ? guess : this.#table.row(value, at, this.#evicted);
  }

  /** Adds to a window. @returns the count within it now; 0 where `at` is older than the window */
  add(row: number, window: number, at: Instant, amount: number): number {
    const { sum: column, first, second } = this.#places[window]!;
    const sum = this.#table.add(row, column, at, amount);
    if (first !== undefined) this.#table.raise(row, first, second, at, amount);
    return sum;
  }

  note(row: number, message: MessageAccepted, at: Instant): void {
    if (this.diversities.any) this.diversities.note(row, message, at);
  }

  /** The end of a window: `at`, or the newest written bucket if that is later. */
  end(row: number, window: number, at: Instant): Instant {
    return this.#table.end(row, this.#places[window]!.sum, at);
  }

  /**
   * The start of a rule's evidence at `end`: the start of its window, or when it last tripped.
   *
   * @param isWhole of what {@link uncontained} counts
   */
  start(row: number, watch: Watch, end: Instant, isWhole: boolean): Instant {
    const window = this.windows.findIndex(({ watches }) => watches.includes(watch));
    const column = this.#places[window]?.sum;
    const start = column === undefined ? end - watch.rule.window : this.#table.windowStart(column, end);
    const { index } = watch;
    return Math.max(start, isWhole ? this.#containedAt(row, index) : this.#trippedAt(row, index));
  }

  /** The count that a rule sees in a window: since it last tripped, without its largest messages. */
  observed(row: number, window: number, watch: Watch, at: Instant): number {
    return this.#observedSince(row, window, watch, at, this.#trippedAt(row, watch.index));
  }

  /** The same including used evidence; undefined if the rule has not tripped within the window. */
  withEvidence(row: number, window: number, watch: Watch, at: Instant): number | undefined {
    if (!this.#hasTripped(row, watch, at)) return undefined;
    return this.#observedSince(row, window, watch, at, 0);
  }

  /** The same, but without what a block has contained since: its evidence said what it was. */
  uncontained(row: number, window: number, watch: Watch, at: Instant): number | undefined {
    const all = this.withEvidence(row, window, watch, at);
    const since = this.#containedAt(row, watch.index);
    if (all === undefined || since === 0) return all;
    const fresh = this.observed(row, window, watch, at);
    if (since === this.#trippedAt(row, watch.index)) return fresh;
    return Math.max(fresh, this.#sumSince(row, window, watch, at, since));
  }

  #observedSince(row: number, window: number, watch: Watch, at: Instant, since: Instant): number {
    const whole = this.#sumSince(row, window, watch, at, since);
    return since === 0 || this.#used.size === 0 ? whole : whole + this.#rest(row, window, watch, at, since);
  }

  #sumSince(row: number, window: number, { leaveOut }: Watch, at: Instant, since: Instant): number {
    const { sum } = this.#places[window]!;
    const all = since === 0 ? this.#table.sum(row, sum, at) : this.#table.sumAfter(row, sum, at, since);
    return leaveOut === 0 ? all : all - this.largest(row, window, leaveOut, at, since);
  }

  /** What has come since nothing contains the sender any more, within the bucket of that time. */
  #rest(row: number, window: number, { index, leaveOut }: Watch, at: Instant, since: Instant): number {
    const used = this.#used.get(row)?.[index] ?? NaN;
    const { sum, first, second } = this.#places[window]!;
    if (Number.isNaN(used) || since < this.#table.windowStart(sum, at)) return 0;
    const rest = this.#table.held(row, sum, since) - used;
    // Whether the largest messages of the bucket came before nobody knows: they are left out, in the sender's favour.
    const largest = leaveOut === 0 ? 0 : this.#table.held(row, first!, since);
    const next = leaveOut === 2 ? this.#table.held(row, second!, since) : 0;
    return Math.max(0, rest - largest - next);
  }

  /** How many different values a rule sees. */
  different(row: number, { kind, rule, index }: DistinctWatch, at: Instant): number {
    return this.diversities.count(kind, row, at, rule.window, this.#trippedAt(row, index));
  }

  /** As {@link withEvidence}. */
  differentWithEvidence(row: number, watch: DistinctWatch, at: Instant): number | undefined {
    if (!this.#hasTripped(row, watch, at)) return undefined;
    return this.diversities.count(watch.kind, row, at, watch.rule.window, 0);
  }

  #hasTripped(row: number, { index, rule }: Watch | DistinctWatch, at: Instant): boolean {
    return this.#trippedAt(row, index) > at - rule.window;
  }

  /** Recipients of the largest messages within a window. */
  largest(row: number, window: number, leaveOut: LeftOut, at: Instant, since: Instant): number {
    const { first, second } = this.#places[window]!;
    return this.#table.largest(row, first!, leaveOut === 2 ? second : undefined, at, since);
  }

  /** The count within a window that ends at `at`, including all used evidence. */
  sum(row: number, window: number, at: Instant): number {
    return this.#table.sum(row, this.#places[window]!.sum, at);
  }

  /** The same for any sum that a rule also uses; 0 if no window holds it. */
  sumOf(sum: Sum, rule: Rule, row: number, at: Instant): number {
    const wanted = { count: HELD.indexOf(sum), window: rule.window, direction: countedBy(rule) };
    const number = this.windows.findIndex((other) => isSame(other, wanted));
    return number < 0 ? 0 : this.sum(row, number, at);
  }

  /** A rule has tripped: the counts up to `at` are used up as its evidence. */
  trip(row: number, { index }: Watch, at: Instant): void {
    let trips = this.#tripped.get(row);
    if (trips === undefined) this.#tripped.set(row, (trips = new Float64Array(this.#watches.length)));
    trips[index] = at;
    const used = this.#used.get(row);
    if (used !== undefined) used[index] = NaN;
  }

  /** Nothing contains a subject any more: what it sends from now on counts, also within the bucket in which a rule has tripped. */
  resume(value: string, at: Instant): void {
    const row = this.#table.rows.find(value);
    if (row === undefined || !this.#tripped.has(row)) return;
    this.windows.forEach(({ watches }, window) => {
      const column = this.#places[window]!.sum;
      for (const watch of watches)
        if (this.#table.isSameBucket(column, this.#trippedAt(row, watch.index), at)) {
          this.trip(row, watch, at);
          this.#usesHeld(row, column, watch, at);
        }
    });
  }

  /** What the bucket of `at` holds by now is used up, and no more. */
  #usesHeld(row: number, column: number, { index }: Watch, at: Instant): void {
    let used = this.#used.get(row);
    if (used === undefined) this.#used.set(row, (used = new Float64Array(this.#watches.length).fill(NaN)));
    used[index] = this.#table.held(row, column, at);
  }

  /** A block contains what the chosen rules count: all of it is used up as their evidence. */
  contain(value: string, at: Instant, chosen: (watch: Watch) => boolean): void {
    const row = this.#table.rows.find(value);
    if (row === undefined) return;
    const end = Math.max(at, this.#table.touchedAt(row));
    for (const watch of this.#watches.filter(chosen)) {
      this.trip(row, watch, end);
      this.#contains(row, watch, end);
    }
  }

  #contains(row: number, { index }: Watch, at: Instant): void {
    let contained = this.#contained.get(row);
    if (contained === undefined)
      this.#contained.set(row, (contained = new Float64Array(this.#watches.length)));
    contained[index] = at;
  }

  /** The watch with which a rule checks whether an account has turned abnormal. */
  turnOf(rule: Rule): Watch {
    return this.#watches.find((watch) => watch.kind === 'turn' && watch.rule.id === rule.id)!;
  }

  /** Clears all counts of a value. */
  clear(value: string): void {
    const row = this.#table.rows.find(value);
    if (row === undefined) return;
    this.#table.clear(row);
    this.#evicted(row);
  }

  /** Subtracts another subject's counts from this one's windows, if both have the same window. */
  subtract(value: string, from: SubjectWindows, fromValue: string): void {
    const row = this.#table.rows.find(value);
    const fromRow = from.#table.rows.find(fromValue);
    if (row === undefined || fromRow === undefined) return;
    this.windows.forEach((window, number) => {
      const other = from.windows.findIndex((each) => isSame(window, each));
      if (other < 0) return;
      const column = this.#places[number]!.sum;
      this.#table.subtract(row, column, from.#table, fromRow, from.#places[other]!.sum);
      const used = this.#used.get(row);
      if (used === undefined) return;
      // Whether what is gone of a bucket had come before or after nobody knows: what is not used up goes first, in the sender's favour.
      for (const { index } of window.watches)
        used[index] = Math.min(used[index]!, this.#table.held(row, column, this.#trippedAt(row, index)));
    });
  }

  /** Takes over the content of the previous rule set's windows, for the windows that both have. */
  carryOver(before: SubjectWindows): void {
    const shared = this.windows.flatMap((window, number) => {
      const old = before.windows.findIndex((other) => isSame(window, other));
      return old < 0 ? [] : columnPairs(this.#places[number]!, before.#places[old]!);
    });
    if (shared.length === 0) return;
    const watches = this.#carriedWatches(before);
    for (const [value, oldRow] of before.#table.rows.entries()) {
      const row = this.#table.row(value, before.#table.touchedAt(oldRow), this.#evicted);
      for (const [column, old] of shared) this.#table.copy(row, column, before.#table, oldRow, old);
      this.diversities.copy(row, before.diversities, oldRow);
      this.#carryTrips(row, watches, before, oldRow);
    }
  }

  /** Every value with its row, in the order of the rows. */
  entries(): IterableIterator<[string, number]> {
    return this.#table.rows.entries();
  }

  /** The opposite of {@link restore}. */
  dump(): WindowsState {
    return {
      table: this.#table.dump(),
      diversities: this.diversities.dump(),
      tripped: [...this.#tripped].map(([row, trips]) => [row, trips.slice()]),
      used: [...this.#used].map(([row, used]) => [row, used.slice()]),
      contained: [...this.#contained].map(([row, contained]) => [row, contained.slice()]),
    };
  }

  /** Takes over what {@link dump} gave under the same rules. Must come before anything is added. */
  restore({ table, diversities, tripped, used, contained }: WindowsState): void {
    this.#table.restore(table);
    this.diversities.restore(diversities);
    for (const [row, trips] of tripped) this.#tripped.set(row, trips.slice());
    for (const [row, one] of used) this.#used.set(row, one.slice());
    for (const [row, one] of contained) this.#contained.set(row, one.slice());
  }

  /** The watches that the previous rule set had too. */
  #carriedWatches(before: SubjectWindows): readonly CarriedWatch[] {
    const old = new Map(before.#watches.map((watch) => [nameOf(watch), watch]));
    return this.#watches.flatMap((watch) => {
      const known = old.get(nameOf(watch));
      if (known === undefined) return [];
      const number = this.windows.findIndex(({ watches }) => watches.includes(watch));
      const window = this.windows[number];
      const knownWindow = before.windows.find(({ watches }) => watches.includes(known));
      const isSameWindow = window !== undefined && knownWindow !== undefined && isSame(window, knownWindow);
      return [{ watch, before: known.index, column: this.#places[number]?.sum, isSameWindow }];
    });
  }

  #carryTrips(row: number, watches: readonly CarriedWatch[], before: SubjectWindows, oldRow: number): void {
    const trips = before.#tripped.get(oldRow);
    if (trips === undefined) return;
    for (const { watch, before: index, column, isSameWindow } of watches) {
      const at = trips[index]!;
      if (at === 0) continue;
      this.trip(row, watch, at);
      const containedAt = before.#containedAt(oldRow, index);
      if (containedAt > 0) this.#contains(row, watch, containedAt);
      // A rule that only observed may block from now on.
      if (column === undefined) continue;
      this.#usesHeld(row, column, watch, at);
      if (!isSameWindow) continue;
      // What came since its block had ended is no more used up than before.
      const known = before.#used.get(oldRow)?.[index] ?? NaN;
      const used = this.#used.get(row)!;
      if (known < used[watch.index]!) used[watch.index] = known;
    }
  }

  #trippedAt(row: number, index: number): Instant {
    return this.#tripped.get(row)?.[index] ?? 0;
  }

  #containedAt(row: number, index: number): Instant {
    return this.#contained.get(row)?.[index] ?? 0;
  }
}

function watchOf({ rule, index }: DistinctWatch): Watch {
  return { rule, index, kind: 'act', leaveOut: 0, limit: rule.limit, baseline: undefined, peak: '' };
}

function nameOf({ kind, rule }: Watch): string {
  return `${kind} ${rule.id} ${countedBy(rule)}`;
}

/** Columns of the same window in two tables, if both have them. */
function columnPairs(a: WindowPlace, b: WindowPlace): readonly (readonly [number, number])[] {
  return (['sum', 'first', 'second'] as const).flatMap((kind) => {
    const [one, other] = [a[kind], b[kind]];
    return one === undefined || other === undefined ? [] : [[one, other] as const];
  });
}
