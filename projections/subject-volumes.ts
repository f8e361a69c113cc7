import type { Instant, Milliseconds } from '../src/kernel/time.js';
import { explain } from '../src/rules/explain.js';
import type { Count, Rule, VersionedRules } from '../src/rules/model.js';
import type { Verdict } from '../src/rules/verdict.js';
import type { Direction, MailDirection, SubjectType } from '../src/sending/subjects.js';
import { directionsMeet } from '../src/sending/subjects.js';
import { WindowTable } from './window-table.js';

/** What windows hold: the counts that rules name, and refused attempts for rules that renew while trying. */
export type CountOrAttempts = Count | 'attempts';

/** One window of a subject against one rule. */
export interface WindowReading {
  readonly rule: string;
  readonly count: Count;
  readonly window: Milliseconds;
  readonly observed: number;
  readonly limit: number;
  readonly direction: Direction;
}

interface Watch {
  readonly rule: Rule;
  /** Place among the rules of this subject type: indexes what a row remembers of it. */
  readonly index: number;
  readonly kind: Verdict['kind'];
}

interface Window {
  readonly count: CountOrAttempts;
  readonly window: Milliseconds;
  readonly direction: Direction;
  readonly wide: boolean;
  readonly watches: readonly Watch[];
}

/** Limits are tripled at times: 16 bits must hold that in one bucket. */
const NARROW_LIMIT = 21_845;

/** The windows of all subjects of one type, and the rules that look at them. */
export class SubjectVolumes {
  readonly #type: SubjectType;
  readonly #rules: VersionedRules;
  readonly #positionAt: (at: Instant) => number;
  readonly #windows: readonly Window[];
  /** The windows that a count goes to, by count. */
  readonly #byCount = new Map<CountOrAttempts, readonly number[]>();
  readonly #table: WindowTable;
  /** By row, by watch: when the rule last tripped, since evidence is used once. */
  readonly #tripped = new Map<number, Float64Array>();
  /** By value: the release or dismissal that emptied its windows, as long as a window reaches back to it. */
  readonly #judged = new Map<string, { readonly at: Instant; readonly position: number }>();
  readonly #watchCount: number;

  constructor(type: SubjectType, rules: VersionedRules, positionAt: (at: Instant) => number) {
    this.#type = type;
    this.#rules = rules;
    this.#positionAt = positionAt;
    const windows = windowsOf(type, rules.rules);
    this.#windows = windows;
    this.#watchCount = windows.reduce((sum, window) => sum + window.watches.length, 0);
    this.#table = new WindowTable(windows);
    windows.forEach(({ count }, column) =>
      this.#byCount.set(count, [...(this.#byCount.get(count) ?? []), column]),
    );
  }

  get size(): number {
    return this.#table.size;
  }

  counts(count: CountOrAttempts, direction: MailDirection): boolean {
    const columns = this.#byCount.get(count);
    return (
      columns !== undefined &&
      columns.some((column) => directionsMeet(this.#windows[column]!.direction, direction))
    );
  }

  /** Adds to every window of this count; pushes a verdict for every rule that trips by it. */
  add(
    value: string,
    count: CountOrAttempts,
    amount: number,
    direction: MailDirection,
    at: Instant,
    position: number,
    factor: number,
    verdicts: Verdict[],
  ): void {
    const row = this.#table.row(value, at, (gone) => this.#tripped.delete(gone));
    for (const column of this.#byCount.get(count)!) {
      const window = this.#windows[column]!;
      if (!directionsMeet(window.direction, direction)) continue;
      this.#table.add(row, column, at, amount);
      for (const watch of window.watches) {
        const limit = watch.rule.limit * factor;
        if (this.#table.sum(row, column, at) <= limit) continue;
        const observed = this.#observed(row, column, watch, at);
        if (observed <= limit) continue;
        verdicts.push(this.#verdict(value, row, column, watch, observed, limit, at, position));
        this.#trip(row, watch, at);
      }
    }
  }

  readings(value: string, now: Instant, factor: number): readonly WindowReading[] {
    const row = this.#table.find(value);
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
    const columns = (this.#byCount.get(count) ?? []).filter(
      (column) => this.#windows[column]!.direction !== 'inbound',
    );
    const column = columns.sort((a, b) => this.#windows[b]!.window - this.#windows[a]!.window)[0];
    if (column === undefined) return [];
    const { window } = this.#windows[column]!;
    const top: { value: string; amount: number; window: number }[] = [];
    for (const [value, row] of this.#table.entries()) {
      const amount = this.#table.sum(row, column, now);
      if (amount <= 0 || (top.length === most && amount <= top.at(-1)!.amount)) continue;
      const place = top.findIndex((other) => other.amount < amount);
      top.splice(place < 0 ? top.length : place, 0, { value, amount, window });
      if (top.length > most) top.pop();
    }
    return top;
  }

  /** Empties the windows of one subject: a person has judged what stood in them. */
  forget(value: string, at: Instant, position: number): void {
    const longest = Math.max(0, ...this.#windows.map(({ window }) => window));
    for (const [other, judged] of this.#judged) if (judged.at + longest < at) this.#judged.delete(other);
    this.#judged.set(value, { at, position });
    const row = this.#table.find(value);
    if (row === undefined) return;
    this.#table.clear(row);
    this.#tripped.delete(row);
  }

  /** Takes another subject's counts out of this one's windows, where both have the same window. */
  subtract(value: string, from: SubjectVolumes, fromValue: string, at: Instant): void {
    const row = this.#table.find(value);
    const fromRow = from.#table.find(fromValue);
    if (row === undefined || fromRow === undefined) return;
    this.#windows.forEach((window, column) => {
      const fromColumn = from.#windows.findIndex((other) => isSame(window, other));
      if (fromColumn >= 0) this.#table.subtract(row, column, from.#table, fromRow, fromColumn, at);
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
      const row = this.#table.row(value, at, (gone) => this.#tripped.delete(gone));
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
    position: number,
  ): Verdict {
    const { rule, kind } = watch;
    const subject = { type: this.#type, value };
    const start = Math.max(this.#table.windowStart(column, at), this.#tripped.get(row)?.[watch.index] ?? 0);
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

function isSame(a: Window, b: Window): boolean {
  return a.count === b.count && a.window === b.window && a.direction === b.direction && a.wide === b.wide;
}

/** The windows that the rules need for one subject type: rules that count the same share one. */
function windowsOf(type: SubjectType, rules: readonly Rule[]): readonly Window[] {
  const windows: { -readonly [Key in keyof Window]: Window[Key] }[] = [];
  let index = 0;
  const need = (rule: Rule, count: CountOrAttempts, kind: Verdict['kind'] | undefined): void => {
    const { window, direction } = rule;
    const wide = rule.count === 'bytes' || rule.limit > NARROW_LIMIT;
    let found = windows.find(
      (other) => other.count === count && other.window === window && other.direction === direction,
    );
    if (found === undefined) windows.push((found = { count, window, direction, wide, watches: [] }));
    found.wide ||= wide;
    if (kind !== undefined) found.watches = [...found.watches, { rule, index: index++, kind }];
  };
  for (const rule of rules) {
    if (rule.per === type) {
      need(rule, rule.count, 'act');
      if (rule.renewWhileTrying && rule.for !== null) need(rule, 'attempts', 'renew');
    } else if (type === 'account' && rule.per === 'domain') {
      // Kept so that a released account's sends can be taken out of its domain's windows.
      need(rule, rule.count, undefined);
    }
  }
  return windows;
}
