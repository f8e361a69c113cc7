import type { BlockState } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import type { Direction, SenderIdentity, Subject, SubjectType } from '../../src/sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES, directionsMeet } from '../../src/sending/subjects.js';
import type { BlockEntry, Followed } from './block-entry.js';
import { SubjectIndex } from './subject-index.js';
import { Words } from './words.js';

/** The permanent record of a block: enough to find it, and to find its events in the store. */
export interface BlockRow {
  readonly id: string;
  readonly subject: Subject;
  /** Position of its first event. */
  readonly begin: number;
  /** Revision of that event in the subject's stream. */
  readonly revision: number;
  /** The number of the stream's events from its first to its last, including events about other things. */
  readonly events: number;
  readonly follows: Followed | undefined;
}

/** The filter of a list; undefined fields do not matter. */
export interface BlockFilter {
  readonly now: Instant;
  readonly states?: ReadonlySet<BlockState> | undefined;
  readonly types?: ReadonlySet<SubjectType> | undefined;
  readonly direction?: Direction | undefined;
  readonly origin?: 'rule' | 'admin' | undefined;
  readonly rule?: string | undefined;
  /** Began at this instant or later. */
  readonly since?: Instant | undefined;
  /** Began before this instant. */
  readonly until?: Instant | undefined;
  /** How the id begins. */
  readonly id?: string | undefined;
  /** A text within the subject or the description; in lower case. */
  readonly text?: string | undefined;
  /** The same text as subjects are kept, where that differs: domains are A-labels there. */
  readonly kept?: string | undefined;
  /** Which subjects there are for who asks. */
  readonly concerns?: ((subject: Subject) => boolean) | undefined;
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

const STATES: readonly BlockState[] = ['proposed', 'active', 'released', 'expired', 'dismissed', 'lapsed'];
const [PROPOSED, ACTIVE, EXPIRED, LAPSED] = [0, 1, 3, 5];
const ORIGINS = ['rule', 'admin'] as const;
/** The bit offset of each field within `terms`. */
const [TYPE, DIRECTION, ORIGIN] = [3, 6, 8];

/** Rows in a segment: a search through one takes some microseconds. */
const SEGMENT = 1024;
const SHIFT = 10;
const NONE = -1;

/** The begin, revision and so on of each row of a segment. */
class NumberColumns {
  begins = new Float64Array(SEGMENT);
  /** When each was proposed or came into force. */
  began = new Float64Array(SEGMENT);
  /** When each came into force; Infinity for never. */
  since = new Float64Array(SEGMENT);
  /** When each ended or will end; Infinity for never. */
  ends = new Float64Array(SEGMENT);
  revisions = new Uint32Array(SEGMENT);
  events = new Uint32Array(SEGMENT);
  /** State, type, direction and origin. */
  terms = new Uint16Array(SEGMENT);
  /** The rule's index in the list plus one; 0 is none. */
  rules = new Uint32Array(SEGMENT);
  descriptions = new Uint32Array(SEGMENT);
  /** The previous row of the same subject. */
  previous = new Int32Array(SEGMENT);
}

type Column = keyof NumberColumns;
type Numbers = NumberColumns[Column];
const COLUMNS = Object.keys(new NumberColumns()) as readonly Column[];

interface Segment {
  numbers: NumberColumns;
  /** True if a dump shares the numbers: then they are copied before they change. */
  dumped: boolean;
  readonly ids: string[];
  readonly values: string[];
  /** All values in one text, for searches. */
  text: string | undefined;
  /** The lowest id and the highest. */
  lowest: string;
  highest: string;
}

/**
 * A short row for each block and proposal that ever existed, in the order in which they began: about 270 bytes, a tenth
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
    });
  }

  /** The row of a block, by its own id. */
  find(id: string): number | undefined {
    return this.#byId.get(id);
  }

  at(row: number): BlockRow {
    const { numbers, ids } = this.#segmentOf(row);
    const at = row % SEGMENT;
    return {
      id: ids[at]!,
      subject: this.#subjectOf(row),
      begin: numbers.begins[at]!,
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
    const matches = this.#matcher(filter);
    const isOfSubjects = filter.text !== undefined && this.#descriptions.haveNot(filter.text);
    const step = order === 'newest' ? -1 : 1;
    let row = this.#start(order, beyond);
    while (row >= 0 && row < this.#size) {
      const number = row >> SHIFT;
      const segment = this.#segments[number]!;
      const found: number[] = [];
      const hasNoId =
        filter.id !== undefined &&
        (segment.highest < filter.id ||
          (segment.lowest > filter.id && !segment.lowest.startsWith(filter.id)));
      const hasNoText = isOfSubjects && !mayHave(segment, filter.text, filter.kept);
      if (hasNoId || hasNoText) row = step < 0 ? (number << SHIFT) - 1 : (number + 1) << SHIFT;
      for (; row >> SHIFT === number && row < this.#size; row += step) {
        if (matches(segment, row % SEGMENT)) found.push(row);
      }
      yield found;
    }
  }

  /** The rows that match, in order. For rows that an index has found. */
  filter(rows: Iterable<number>, filter: BlockFilter): readonly number[] {
    const matches = this.#matcher(filter);
    return [...rows].filter((row) => matches(this.#segmentOf(row), row % SEGMENT));
  }

  #matcher(filter: BlockFilter): (segment: Segment, at: number) => boolean {
    const { now, since = -Infinity, until = Infinity, id, text, kept, concerns } = filter;
    const states = maskOf(STATES, filter.states);
    const types = maskOf(SUBJECT_TYPES, filter.types);
    const directions = maskOf(DIRECTIONS, filter.direction && new Set([filter.direction]));
    const origins = maskOf(ORIGINS, filter.origin && new Set([filter.origin]));
    const rule = filter.rule === undefined ? undefined : (this.#rules.find(filter.rule) ?? NONE) + 1;
    // A rule without blocks is not the same as no rule.
    if (rule === 0) return () => false;
    const contains = text === undefined ? undefined : this.#containing(text, kept);
    return (segment, at) => {
      const { numbers } = segment;
      const terms = numbers.terms[at]!;
      return (
        ((states >> stateOf(numbers, at, now)) & 1) === 1 &&
        ((types >> ((terms >> TYPE) & 7)) & 1) === 1 &&
        ((directions >> ((terms >> DIRECTION) & 3)) & 1) === 1 &&
        ((origins >> ((terms >> ORIGIN) & 1)) & 1) === 1 &&
        (rule === undefined || numbers.rules[at] === rule) &&
        numbers.began[at]! >= since &&
        numbers.began[at]! < until &&
        (id === undefined || segment.ids[at]!.startsWith(id)) &&
        concerns?.({ type: SUBJECT_TYPES[(terms >> TYPE) & 7]!, value: segment.values[at]! }) !== false &&
        contains?.(segment, at) !== false
      );
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
      lowest: '\uffff',
      highest: '',
    };
    this.#segments.push(segment);
    return segment;
  }

  #name(segment: Segment, row: number, id: string, subject: Subject): void {
    segment.ids.push(id);
    segment.values.push(subject.value);
    segment.text = undefined;
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

function writable(segment: Segment): NumberColumns {
  if (!segment.dumped) return segment.numbers;
  const copy = new NumberColumns();
  for (const name of COLUMNS) copy[name].set(segment.numbers[name]);
  segment.numbers = copy;
  segment.dumped = false;
  return copy;
}

function termsOf({ state, subject, direction, origin }: BlockEntry): number {
  return (
    STATES.indexOf(state) |
    (SUBJECT_TYPES.indexOf(subject.type) << TYPE) |
    (DIRECTIONS.indexOf(direction) << DIRECTION) |
    (ORIGINS.indexOf(origin) << ORIGIN)
  );
}

/** As `stateAt` gives it for an entry. */
function stateOf(numbers: NumberColumns, at: number, now: Instant): number {
  const state = numbers.terms[at]! & 7;
  if (numbers.ends[at]! > now) return state;
  return state === ACTIVE ? EXPIRED : state === PROPOSED ? LAPSED : state;
}

function maskOf<Word>(words: readonly Word[], wanted: ReadonlySet<Word> | undefined): number {
  return words.reduce((mask, word, bit) => (wanted?.has(word) === false ? mask : mask | (1 << bit)), 0);
}

/** False if no value of the segment has this text. */
function mayHave(segment: Segment, text: string, kept?: string): boolean {
  segment.text ??= segment.values.join('\n');
  return has(segment.text, text, kept);
}

function has(values: string, text: string, kept?: string): boolean {
  return values.includes(text) || (kept !== undefined && values.includes(kept));
}
