import { GRACE, GRACE_FACTOR } from '../src/blocks/state.js';
import type { Instant, Milliseconds } from '../src/kernel/time.js';
import { explain } from '../src/rules/explain.js';
import { WINDOW_MAX } from '../src/rules/model.js';
import type { Count, VersionedRules } from '../src/rules/model.js';
import type { Verdict } from '../src/rules/verdict.js';
import type { Direction, MailDirection, SubjectType } from '../src/sending/subjects.js';
import { HELD, isSame, planOf, windowsOf } from './counted-windows.js';
import type { Amounts, Watch, Window } from './counted-windows.js';
import type { OpenDays } from './sender-profiles/open-days.js';
import type { SenderProfiles } from './sender-profiles/sender-profiles.js';
import { WindowTable } from './window-table.js';
import type { WindowTableState } from './window-table.js';

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
  /** By row of the table: when each watch last tripped. */
  readonly tripped: readonly (readonly [row: number, trips: Float64Array])[];
  readonly judged: readonly (readonly [value: string, judged: Judged])[];
}

export const NOTHING_COUNTED: VolumesState = {
  table: { keys: [], free: [], sweep: 0, pages: [] },
  tripped: [],
  judged: [],
};

/** The windows of all subjects of one type, and the rules that look at them. */
export class SubjectVolumes {
  readonly #type: SubjectType;
  readonly #rules: VersionedRules;
  readonly #positionAt: (at: Instant) => number;
  readonly #windows: readonly Window[];
  /** The columns that mail of a direction goes to, and the counts that they hold as bits. */
  readonly #plans: Readonly<Record<MailDirection, { columns: readonly number[]; mask: number }>>;
  readonly #table: WindowTable;
  /** By row, by watch: when the rule last tripped, since evidence is used once. */
  readonly #tripped = new Map<number, Float64Array>();
  /** By value: the newest release or dismissal, as long as any window may reach back to it. */
  readonly #judged = new Map<string, Judged>();
  readonly #watchCount: number;
  /** By column: the number of its peaks in profiles; undefined where none are kept. */
  readonly #peaks: readonly (number | undefined)[];
  readonly #days: OpenDays | undefined;
  readonly #evicted = (row: number): unknown => this.#tripped.delete(row);

  constructor(
    type: SubjectType,
    rules: VersionedRules,
    positionAt: (at: Instant) => number,
    profiles: SenderProfiles,
  ) {
    this.#type = type;
    this.#rules = rules;
    this.#positionAt = positionAt;
    this.#windows = windowsOf(type, rules.rules);
    this.#watchCount = this.#windows.reduce((sum, window) => sum + window.watches.length, 0);
    this.#table = new WindowTable(this.#windows);
    this.#days = type === 'account' || type === 'domain' ? profiles.days(type) : undefined;
    this.#peaks = this.#windows.map(({ count, window, direction }) =>
      this.#days === undefined || direction === 'inbound' ? undefined : profiles.peakOf(HELD[count]!, window),
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
      tripped: [...this.#tripped].map(([row, trips]) => [row, trips.slice()]),
      judged: [...this.#judged],
    };
  }

  /** Takes over what {@link dump} gave under the same rules. Must come before anything is added. */
  restore({ table, tripped, judged }: VolumesState): void {
    this.#table.restore(table);
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
  add(
    value: string,
    amounts: Amounts,
    direction: MailDirection,
    at: Instant,
    position: number,
    verdicts: Verdict[],
    guess: number,
    day: number,
  ): number {
    const row = this.#table.holds(guess, value) ? guess : this.#table.row(value, at, this.#evicted);
    const factor = this.factor(value, at);
    const { columns } = this.#plans[direction];
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index]!;
      const window = this.#windows[column]!;
      const amount = amounts.values[window.count]!;
      if (amount === 0) continue;
      const sum = this.#table.add(row, column, at, amount);
      const peak = this.#peaks[column];
      if (day >= 0 && peak !== undefined) this.#days!.peak(day, peak, sum);
      if (sum > window.least * factor) this.#watch(value, row, column, sum, at, position, factor, verdicts);
    }
    return row;
  }

  #watch(
    value: string,
    row: number,
    column: number,
    sum: number,
    at: Instant,
    position: number,
    factor: number,
    verdicts: Verdict[],
  ): void {
    const end = this.#table.end(row, column, at);
    for (const watch of this.#windows[column]!.watches) {
      const limit = watch.rule.limit * factor;
      if (sum <= limit) continue;
      const observed = this.#observed(row, column, watch, end);
      if (observed <= limit) continue;
      verdicts.push(this.#verdict(value, row, column, watch, observed, limit, at, end, position));
      this.#trip(row, watch, end);
    }
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
    return this.#windows.flatMap((window, column) =>
      window.watches
        .filter((watch) => watch.kind === 'act')
        .map((watch) => ({
          rule: watch.rule.id,
          count: watch.rule.count,
          window: window.window,
          observed: row === undefined ? 0 : this.#observed(row, column, watch, now),
          limit: watch.rule.limit * factor,
          direction: window.direction,
        })),
    );
  }

  busiest(
    count: Count,
    most: number,
    now: Instant,
  ): readonly { value: string; amount: number; window: number }[] {
    const place = HELD.indexOf(count);
    const columns = this.#windows.flatMap((window, index) =>
      window.count === place && window.direction !== 'inbound' ? [index] : [],
    );
    const column = columns.sort((a, b) => this.#windows[b]!.window - this.#windows[a]!.window)[0];
    if (column === undefined) return [];
    const { window } = this.#windows[column]!;
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
    this.#tripped.delete(row);
  }

  /** Takes another subject's counts out of this one's windows, where both have the same window. */
  subtract(value: string, from: SubjectVolumes, fromValue: string): void {
    const row = this.#table.find(value);
    const fromRow = from.#table.find(fromValue);
    if (row === undefined || fromRow === undefined) return;
    this.#windows.forEach((window, column) => {
      const fromColumn = from.#windows.findIndex((other) => isSame(window, other));
      if (fromColumn >= 0) this.#table.subtract(row, column, from.#table, fromRow, fromColumn);
    });
  }

  /** Takes over what the windows of the rule set before held, for the windows that both have. */
  carryOver(before: SubjectVolumes): void {
    for (const [value, judged] of before.#judged) this.#judged.set(value, judged);
    const shared = this.#windows.flatMap((window, column) => {
      const old = before.#windows.findIndex((other) => isSame(window, other));
      return old < 0 ? [] : [{ column, old }];
    });
    if (shared.length === 0) return;
    for (const [value, oldRow] of before.#table.entries()) {
      const at = before.#table.touchedAt(oldRow);
      const row = this.#table.row(value, at, this.#evicted);
      for (const { column, old } of shared) this.#table.copy(row, column, before.#table, oldRow, old);
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
    return this.#windows.flatMap((window) => window.watches);
  }

  #observed(row: number, column: number, watch: Watch, at: Instant): number {
    const tripped = this.#tripped.get(row)?.[watch.index] ?? 0;
    return tripped === 0 ? this.#table.sum(row, column, at) : this.#table.sumAfter(row, column, at, tripped);
  }

  #trip(row: number, watch: Watch, at: Instant): void {
    let trips = this.#tripped.get(row);
    if (trips === undefined) this.#tripped.set(row, (trips = new Float64Array(this.#watchCount)));
    trips[watch.index] = at;
  }

  #verdict(
    value: string,
    row: number,
    column: number,
    watch: Watch,
    observed: number,
    limit: number,
    at: Instant,
    end: Instant,
    position: number,
  ): Verdict {
    const { rule, kind } = watch;
    const subject = { type: this.#type, value };
    const start = Math.max(this.#table.windowStart(column, end), this.#tripped.get(row)?.[watch.index] ?? 0);
    const evidence = {
      rule: rule.id,
      version: this.#rules.version,
      count: rule.count,
      window: rule.window,
      limit,
      observed,
      firstPosition: Math.min(
        position,
        Math.max(this.#positionAt(start), (this.#judged.get(value)?.position ?? 0) + 1),
      ),
      lastPosition: position,
      lastAt: at,
      sentence: explain(rule, subject, observed, limit, kind === 'renew'),
    };
    return { kind, rule, mode: this.#rules.mode, subject, evidence, at };
  }
}
