import type { Instant } from '../../src/kernel/time.js';
import type { Direction, SenderIdentity, Subject } from '../../src/sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES, directionsMeet } from '../../src/sending/subjects.js';
import type { BlockEntry, Followed } from './block-entry.js';
import type { BlockFilter, BlockSort, Column, Numbers, Segment, Wanted } from './block-segments.js';
import {
  ACTIVE,
  COLUMNS,
  DIRECTION,
  DISMISSED,
  EXPIRED,
  has,
  isOutside,
  keyAt,
  LAPSED,
  maskOf,
  mayHave,
  NumberColumns,
  ORIGINS,
  ORIGIN,
  PROPOSED,
  RELEASED,
  SEGMENT,
  SHIFT,
  span,
  stateOf,
  STATES,
  stateThen,
  summaryOf,
  termsOf,
  TYPE,
  writable,
} from './block-segments.js';
import { SubjectIndex } from './subject-index.js';
import { Words } from './words.js';

/** The permanent record of a block: enough to find it, and to find its events in the store. */
export interface BlockRow {
  readonly id: string;
  readonly subject: Subject;
  /** Position of its first event. */
  readonly begin: number;
  /** When it was proposed or came into force. */
  readonly began: Instant;
  /** When it ended, or will; Infinity if somebody has to end it. */
  readonly ends: Instant;
  readonly direction: Direction;
  /** Somebody has released or dismissed it. */
  readonly isLetGo: boolean;
  /** A proposal that nobody has decided on: it waits, or has lapsed. */
  readonly isUndecided: boolean;
  /** Revision of that event in the subject's stream. */
  readonly revision: number;
  /** The number of the stream's events from its first to its last, including events about other things. */
  readonly events: number;
  readonly follows: Followed | undefined;
}

export interface BlockRowsState {
  /** The parts of each column, one for each segment. */
  readonly columns: Readonly<Record<Column, readonly Numbers[]>>;
  readonly ids: readonly string[];
  readonly values: readonly string[];
  readonly rules: readonly string[];
  readonly descriptions: readonly string[];
  readonly follows: readonly (readonly [row: number, follows: Followed])[];
}

const NONE = -1;

interface Matcher {
  /** True if no row of a segment can match. */
  readonly isOutside: (segment: Segment) => boolean;
  readonly matches: (segment: Segment, at: number) => boolean;
}

/**
 * A short row for each block and proposal that ever existed, in the order in which they began: about 300 bytes, a tenth
 * of an entry. Columns of numbers make a search through a million rows a matter of milliseconds.
 */
export class BlockRows {
  readonly #segments: Segment[] = [];
  readonly #byId = new Map<string, number>();
  /** The newest row of each subject. */
  readonly #newest = new SubjectIndex<number>();
  readonly #rules = new Words();
  readonly #descriptions = new Words();
  readonly #follows = new Map<number, Followed>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The opposite of {@link restore}. Takes milliseconds. */
  dump(): BlockRowsState {
    for (const segment of this.#segments) segment.dumped = true;
    const columns = COLUMNS.map((name) => [name, this.#segments.map(({ numbers }) => numbers[name])]);
    return {
      columns: Object.fromEntries(columns) as BlockRowsState['columns'],
      ids: this.#segments.flatMap(({ ids }) => ids),
      values: this.#segments.flatMap(({ values }) => values),
      rules: this.#rules.dump(),
      descriptions: this.#descriptions.dump(),
      follows: [...this.#follows],
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is put. */
  restore({ columns, ids, values, rules, descriptions, follows }: BlockRowsState): void {
    for (const word of rules) this.#rules.numberOf(word);
    for (const word of descriptions) this.#descriptions.numberOf(word);
    for (const [row, followed] of follows) this.#follows.set(row, followed);
    ids.forEach((id, row) => {
      const isFirst = row % SEGMENT === 0;
      const segment = isFirst ? this.#grow() : this.#segments.at(-1)!;
      if (isFirst) {
        const parts = COLUMNS.map((name) => [name, columns[name][row >> SHIFT]]);
        Object.assign(segment.numbers, Object.fromEntries(parts));
        segment.dumped = true;
      }
      const type = SUBJECT_TYPES[(segment.numbers.terms[row % SEGMENT]! >> TYPE) & 7]!;
      this.#name(segment, row, id, { type, value: values[row]! });
      span(segment, row % SEGMENT);
    });
  }

  /** The row of a block, by its own id. */
  find(id: string): number | undefined {
    return this.#byId.get(id);
  }

  at(row: number): BlockRow {
    const { numbers, ids } = this.#segmentOf(row);
    const at = row % SEGMENT;
    const state = numbers.terms[at]! & 7;
    return {
      id: ids[at]!,
      subject: this.#subjectOf(row),
      begin: numbers.begins[at]!,
      began: numbers.began[at]!,
      ends: numbers.ends[at]!,
      direction: DIRECTIONS[(numbers.terms[at]! >> DIRECTION) & 3]!,
      isLetGo: state === RELEASED || state === DISMISSED,
      isUndecided: state === PROPOSED || state === LAPSED,
      revision: numbers.revisions[at]!,
      events: numbers.events[at]!,
      follows: this.#follows.get(row),
    };
  }

  /** The rule that caused a block, even one that ended long ago. */
  ruleOf(id: string): string | undefined {
    const row = this.#byId.get(id);
    if (row === undefined) return undefined;
    return this.#rules.word(this.#segmentOf(row).numbers.rules[row % SEGMENT]! - 1);
  }

  /** The rows of just this subject, the newest first. */
  *on(subject: Subject): Generator<number> {
    for (let row = this.#newest.get(subject) ?? NONE; row !== NONE; row = this.#before(row)) yield row;
  }

  /** Adds a new entry, or updates one. @param revision of the event that did it, in the subject's stream */
  put(entry: BlockEntry, revision: number): void {
    let row = this.#byId.get(entry.id);
    if (row === undefined) {
      row = this.#size;
      const segment = row % SEGMENT === 0 ? this.#grow() : this.#segments.at(-1)!;
      const numbers = writable(segment);
      numbers.begins[row % SEGMENT] = entry.version;
      numbers.revisions[row % SEGMENT] = revision;
      numbers.previous[row % SEGMENT] = this.#newest.get(entry.subject) ?? NONE;
      if (entry.follows !== undefined) this.#follows.set(row, entry.follows);
      this.#name(segment, row, entry.id, entry.subject);
    }
    const numbers = writable(this.#segmentOf(row));
    const at = row % SEGMENT;
    numbers.began[at] = entry.proposedAt ?? entry.since!;
    numbers.since[at] = entry.since ?? Infinity;
    span(this.#segmentOf(row), at);
    numbers.ends[at] =
      entry.endedAt ?? (entry.state === 'proposed' ? entry.lapsesAt! : (entry.until ?? Infinity));
    numbers.events[at] = revision - numbers.revisions[at]! + 1;
    numbers.terms[at] = termsOf(entry);
    numbers.rules[at] = entry.rule === undefined ? 0 : this.#rules.numberOf(entry.rule) + 1;
    numbers.descriptions[at] = this.#descriptions.numberOf(entry.description);
  }

  /** An event of an entry that has ended. @param revision of it, in the subject's stream */
  reach(row: number, revision: number): void {
    const numbers = writable(this.#segmentOf(row));
    numbers.events[row % SEGMENT] = revision - numbers.revisions[row % SEGMENT]! + 1;
  }

  /** A block has refused so many attempts. @param id its own */
  refuse(id: string, count: number, at: Instant): void {
    const row = this.#byId.get(id);
    if (row === undefined) return;
    const numbers = writable(this.#segmentOf(row));
    numbers.refused[row % SEGMENT]! += count;
    numbers.refusedAt[row % SEGMENT] = Math.max(at, numbers.refusedAt[row % SEGMENT]!);
  }

  /** How many attempts a block has refused, and when it last did; 0 for never. */
  refusalsOf(row: number): { readonly refused: number; readonly refusedAt: Instant } {
    const { numbers } = this.#segmentOf(row);
    return { refused: numbers.refused[row % SEGMENT]!, refusedAt: numbers.refusedAt[row % SEGMENT]! };
  }

  /** What an order compares a row by for this caller: the least comes first, and last what must not show. Never less than in its segment. */
  keyOf(row: number, sort: BlockSort, { seesRefused }: BlockFilter): number | string {
    if (sort === 'refused' && seesRefused?.(this.#subjectOf(row)) === false) return Infinity;
    return keyAt(this.#segmentOf(row), row % SEGMENT, sort);
  }

  /** Ids of the blocks that refused this sender at an instant, the one that ends last first. */
  inForce(sender: SenderIdentity, at: Instant): readonly string[] {
    const found: { id: string; ends: number }[] = [];
    this.#newest.forEachMatch(sender, (newest) => {
      for (let row = newest; row !== NONE; row = this.#before(row)) {
        const { numbers, ids } = this.#segmentOf(row);
        const place = row % SEGMENT;
        const ends = numbers.ends[place]!;
        if (numbers.since[place]! > at || ends <= at) continue;
        const direction = DIRECTIONS[(numbers.terms[place]! >> DIRECTION) & 3]!;
        if (directionsMeet(direction, sender.direction)) found.push({ id: ids[place]!, ends });
      }
    });
    // Among equals the lower id wins, so that the order of the index does not matter.
    found.sort((a, b) => (a.ends === b.ends ? (a.id < b.id ? -1 : 1) : b.ends - a.ends));
    return found.map(({ id }) => id);
  }

  /** The number of blocks on this sender that have ended by an instant. */
  ended(sender: SenderIdentity, at: Instant): number {
    let count = 0;
    this.#newest.forEachMatch(sender, (newest) => {
      for (let row = newest; row !== NONE; row = this.#before(row)) {
        const { numbers } = this.#segmentOf(row);
        const place = row % SEGMENT;
        const state = stateOf(numbers, place, at);
        const direction = DIRECTIONS[(numbers.terms[place]! >> DIRECTION) & 3]!;
        if ((state === RELEASED || state === EXPIRED) && directionsMeet(direction, sender.direction)) count++;
      }
    });
    return count;
  }

  /** Ids of the proposals that wait at an instant and cover this sender, the newest first. */
  waiting(sender: SenderIdentity, at: Instant): readonly string[] {
    const found: { id: string; began: Instant }[] = [];
    // A subject begins nothing new while a proposal waits.
    this.#newest.forEachMatch(sender, (newest) => {
      const { numbers, ids } = this.#segmentOf(newest);
      const place = newest % SEGMENT;
      if (stateOf(numbers, place, at) !== PROPOSED) return;
      const direction = DIRECTIONS[(numbers.terms[place]! >> DIRECTION) & 3]!;
      if (directionsMeet(direction, sender.direction))
        found.push({ id: ids[place]!, began: numbers.began[place]! });
    });
    return found.sort((a, b) => b.began - a.began || (a.id < b.id ? 1 : -1)).map(({ id }) => id);
  }

  /** How many blocks each rule has in force. */
  activeByRule(now: Instant): ReadonlyMap<string, number> {
    const counts = new Uint32Array(this.#rules.size + 1);
    for (const { numbers, ids } of this.#segments) {
      for (let at = 0; at < ids.length; at++) {
        if (stateOf(numbers, at, now) === ACTIVE) counts[numbers.rules[at]!]!++;
      }
    }
    const rules = this.#rules.dump().map((rule, index) => [rule, counts[index + 1]!] as const);
    return new Map(rules.filter(([, count]) => count > 0));
  }

  /**
   * Searches blocks in the order in which they began. Each step reads at most a thousand rows and yields those that
   * match, often none, so that the caller can give way between steps.
   *
   * @param beyond position of the first event of the block to start after; undefined: from the end
   */
  *search(
    filter: BlockFilter,
    order: 'newest' | 'oldest',
    beyond?: number,
  ): Generator<readonly number[], void> {
    const matcher = this.#matcher(filter);
    const step = order === 'newest' ? -1 : 1;
    let row = this.#start(order, beyond);
    while (row >= 0 && row < this.#size) {
      const number = row >> SHIFT;
      const segment = this.#segments[number]!;
      const found: number[] = [];
      if (matcher.isOutside(segment)) row = step < 0 ? (number << SHIFT) - 1 : (number + 1) << SHIFT;
      for (; row >> SHIFT === number && row < this.#size; row += step) {
        if (matcher.matches(segment, row % SEGMENT)) found.push(row);
      }
      yield found;
    }
  }

  /**
   * The same in the order of a key. Each step yields the rows of one segment, the segment with the least key first.
   *
   * @param isEnough told the least key that a segment has, and its highest row; the way ends where it gives true, since
   *   all that follow have no lower key
   */
  *searchBy(
    filter: BlockFilter,
    sort: BlockSort,
    isEnough: (least: number | string, row: number) => boolean,
  ): Generator<readonly number[], void> {
    const matcher = this.#matcher(filter);
    const order: { readonly number: number; readonly least: number | string }[] = [];
    for (const [number, segment] of this.#segments.entries()) {
      if (!matcher.isOutside(segment)) order.push({ number, least: summaryOf(segment).least[sort] });
      // To sum a segment up takes as long as to search it.
      yield [];
    }
    order.sort((a, b) => (a.least === b.least ? b.number - a.number : a.least < b.least ? -1 : 1));
    for (const { number, least } of order) {
      if (isEnough(least, ((number + 1) << SHIFT) - 1)) return;
      const segment = this.#segments[number]!;
      const found: number[] = [];
      for (let at = 0; at < segment.ids.length; at++)
        if (matcher.matches(segment, at)) found.push((number << SHIFT) + at);
      yield found;
    }
  }

  /** The rows that match, in order. For rows that an index has found. */
  filter(rows: Iterable<number>, filter: BlockFilter): readonly number[] {
    const { matches } = this.#matcher(filter);
    return [...rows].filter((row) => matches(this.#segmentOf(row), row % SEGMENT));
  }

  #matcher(filter: BlockFilter): Matcher {
    const { now, at: then, since = -Infinity, until = Infinity, id, text, kept, concerns } = filter;
    const states = maskOf(STATES, filter.states);
    const types = maskOf(SUBJECT_TYPES, filter.types);
    const directions = maskOf(DIRECTIONS, filter.direction && new Set([filter.direction]));
    const origins = maskOf(ORIGINS, filter.origin && new Set([filter.origin]));
    const rule = filter.rule === undefined ? undefined : (this.#rules.find(filter.rule) ?? NONE) + 1;
    // A rule without blocks is not the same as no rule.
    if (rule === 0) return { isOutside: () => true, matches: () => false };
    const wanted: Wanted = { states, types, directions, origins, rule, id, at: then, since, until };
    // A proposal may become a block hours later, and that had not happened yet at an earlier instant.
    const isWithin = (time: Instant): boolean =>
      time >= since && time < until && (then === undefined || time <= then);
    const contains = text === undefined ? undefined : this.#containing(text, kept);
    const isOfSubjects = text !== undefined && this.#descriptions.haveNot(text);
    return {
      isOutside: (segment) => isOutside(segment, wanted) || (isOfSubjects && !mayHave(segment, text, kept)),
      matches: (segment, at) => {
        const { numbers } = segment;
        // What costs least comes first: of a million rows most are told apart by their numbers alone.
        if (rule !== undefined && numbers.rules[at] !== rule) return false;
        const terms = numbers.terms[at]!;
        const state = then === undefined ? stateOf(numbers, at, now) : stateThen(numbers, at, then);
        return (
          ((states >> state) & 1) === 1 &&
          ((types >> ((terms >> TYPE) & 7)) & 1) === 1 &&
          ((directions >> ((terms >> DIRECTION) & 3)) & 1) === 1 &&
          ((origins >> ((terms >> ORIGIN) & 1)) & 1) === 1 &&
          (isWithin(numbers.began[at]!) || isWithin(numbers.since[at]!)) &&
          (then === undefined || numbers.began[at]! <= then) &&
          (id === undefined || segment.ids[at]!.startsWith(id)) &&
          concerns?.({ type: SUBJECT_TYPES[(terms >> TYPE) & 7]!, value: segment.values[at]! }) !== false &&
          contains?.(segment, at) !== false
        );
      },
    };
  }

  /**
   * Returns a test whether a row's subject or description has this text. One search through a long text is faster than
   * many through short ones.
   */
  #containing(text: string, kept?: string): (segment: Segment, at: number) => boolean {
    const described = this.#descriptions.containing(text);
    let looked: Segment | undefined;
    let isThere = false;
    return (segment, at) => {
      if (looked !== segment) {
        looked = segment;
        isThere = mayHave(segment, text, kept);
      }
      return (
        (isThere && has(segment.values[at]!, text, kept)) || described(segment.numbers.descriptions[at]!)
      );
    };
  }

  /** The row whose first event is at this position, or undefined. */
  rowAt(begin: number): number | undefined {
    const row = this.#start('oldest', begin) - 1;
    return row >= 0 && this.#beginOf(row) === begin ? row : undefined;
  }

  #start(order: 'newest' | 'oldest', beyond: number | undefined): number {
    if (beyond === undefined) return order === 'newest' ? this.#size - 1 : 0;
    // The first row that does not begin before the instant, by binary search.
    let low = 0;
    let high = this.#size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#beginOf(middle) < beyond) low = middle + 1;
      else high = middle;
    }
    if (order === 'newest') return low - 1;
    return low < this.#size && this.#beginOf(low) === beyond ? low + 1 : low;
  }

  #grow(): Segment {
    const segment: Segment = {
      numbers: new NumberColumns(),
      dumped: false,
      ids: [],
      values: [],
      text: undefined,
      filter: undefined,
      lowest: '\uffff',
      highest: '',
      earliest: Infinity,
      latest: -Infinity,
      summary: undefined,
    };
    this.#segments.push(segment);
    return segment;
  }

  #name(segment: Segment, row: number, id: string, subject: Subject): void {
    segment.ids.push(id);
    segment.values.push(subject.value);
    segment.text = undefined;
    segment.summary = undefined;
    if (id < segment.lowest) segment.lowest = id;
    if (id > segment.highest) segment.highest = id;
    this.#byId.set(id, row);
    this.#newest.set(subject, row);
    this.#size++;
  }

  #segmentOf(row: number): Segment {
    return this.#segments[row >> SHIFT]!;
  }

  #beginOf(row: number): number {
    return this.#segmentOf(row).numbers.begins[row % SEGMENT]!;
  }

  #before(row: number): number {
    return this.#segmentOf(row).numbers.previous[row % SEGMENT]!;
  }

  #subjectOf(row: number): Subject {
    const { numbers, values } = this.#segmentOf(row);
    const type = SUBJECT_TYPES[(numbers.terms[row % SEGMENT]! >> TYPE) & 7]!;
    return { type, value: values[row % SEGMENT]! };
  }
}
