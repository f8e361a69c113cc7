import type { BlockState } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import type { Direction, Subject, SubjectType } from '../../src/sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES } from '../../src/sending/subjects.js';
import type { BlockEntry } from './block-entry.js';
import { passes, textFilter } from './text-filter.js';

/* The rows of blocks lie in segments of a thousand. A list looks at what a segment has before it looks at its rows. */

/** The filter of a list; undefined fields do not matter. */
export interface BlockFilter {
  readonly now: Instant;
  /** An instant up to now: states are those of then, and what had not begun is left out. */
  readonly at?: Instant | undefined;
  readonly states?: ReadonlySet<BlockState> | undefined;
  readonly types?: ReadonlySet<SubjectType> | undefined;
  readonly direction?: Direction | undefined;
  readonly origin?: 'rule' | 'admin' | undefined;
  readonly rule?: string | undefined;
  /** Proposed, or came into force, at this instant or later. With `until`: one of the two lies between them. */
  readonly since?: Instant | undefined;
  /** Proposed, or came into force, before this instant. */
  readonly until?: Instant | undefined;
  /** How the id begins. */
  readonly id?: string | undefined;
  /** A text within the subject or the description; in lower case. */
  readonly text?: string | undefined;
  /** The same text as subjects are kept, where that differs: domains are A-labels there. */
  readonly kept?: string | undefined;
  /** The subjects that the caller may see; undefined: all. */
  readonly concerns?: ((subject: Subject) => boolean) | undefined;
  /** The subjects of whose blocks the caller may know how much they refused: others come last in that order. Undefined: all. */
  readonly seesRefused?: ((subject: Subject) => boolean) | undefined;
}

export const BLOCK_SORTS = ['since', 'until', 'refused', 'subject'] as const;
/**
 * `since`: in force, or proposed, last; `until`: ends, or ended, first; `refused`: refused most; `subject`: by name. Among
 * equals the newest comes first.
 */
export type BlockSort = (typeof BLOCK_SORTS)[number];

export const STATES: readonly BlockState[] = [
  'proposed',
  'active',
  'released',
  'expired',
  'dismissed',
  'lapsed',
];
export const [PROPOSED, ACTIVE, RELEASED, EXPIRED, DISMISSED, LAPSED] = [0, 1, 2, 3, 4, 5];
export const ORIGINS = ['rule', 'admin'] as const;
/** The bit offset of each field within `terms`. */
export const [TYPE, DIRECTION, ORIGIN] = [3, 6, 8];

/** Rows in a segment: a search through one takes some microseconds. */
export const SEGMENT = 1024;
export const SHIFT = 10;

/** The begin, revision and so on of each row of a segment. */
export class NumberColumns {
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
  /** How many attempts the block has refused, and when it last did; 0 for never. */
  refused = new Float64Array(SEGMENT);
  refusedAt = new Float64Array(SEGMENT);
}

export type Column = keyof NumberColumns;
export type Numbers = NumberColumns[Column];
export const COLUMNS = Object.keys(new NumberColumns()) as readonly Column[];

export interface Segment {
  numbers: NumberColumns;
  /** True if a dump shares the numbers: then they are copied before they change. */
  dumped: boolean;
  readonly ids: string[];
  readonly values: string[];
  /** All values in one text, for searches. */
  text: string | undefined;
  /** What texts its values have: see {@link textFilter}. Undefined while it grows, or nobody has searched it. */
  filter: Uint32Array | undefined;
  /** The lowest id and the highest. */
  lowest: string;
  highest: string;
  /** The first and the last instant at which one of them was proposed or came into force. */
  earliest: Instant;
  latest: Instant;
  /** Undefined after a change, until somebody asks. */
  summary: Summary | undefined;
}

/** What the rows of a segment have among them, so that most segments need not be searched. */
interface Summary {
  /** A bit for each recorded state, type, direction, origin and rule (modulo 32) that there is. */
  readonly states: number;
  readonly types: number;
  readonly directions: number;
  readonly origins: number;
  readonly rules: number;
  /** When the last one ends. */
  readonly ends: Instant;
  /** The least that each order compares by. */
  readonly least: Readonly<Record<BlockSort, number | string>>;
}

/** The numbers, to be changed. */
export function writable(segment: Segment): NumberColumns {
  segment.summary = undefined;
  if (!segment.dumped) return segment.numbers;
  const copy = new NumberColumns();
  for (const name of COLUMNS) copy[name].set(segment.numbers[name]);
  segment.numbers = copy;
  segment.dumped = false;
  return copy;
}

export function termsOf({ state, subject, direction, origin }: BlockEntry): number {
  return (
    STATES.indexOf(state) |
    (SUBJECT_TYPES.indexOf(subject.type) << TYPE) |
    (DIRECTIONS.indexOf(direction) << DIRECTION) |
    (ORIGINS.indexOf(origin) << ORIGIN)
  );
}

/** As `stateAt` gives it for an entry. */
export function stateOf(numbers: NumberColumns, at: number, now: Instant): number {
  const state = numbers.terms[at]! & 7;
  if (numbers.ends[at]! > now) return state;
  return state === ACTIVE ? EXPIRED : state === PROPOSED ? LAPSED : state;
}

/** The same at an earlier instant, of a row that had begun. */
export function stateThen(numbers: NumberColumns, at: number, then: Instant): number {
  if (numbers.ends[at]! <= then) return stateOf(numbers, at, then);
  return numbers.since[at]! <= then ? ACTIVE : PROPOSED;
}

/** Widens what a segment spans to a row of it. @param at place of the row */
export function span(segment: Segment, at: number): void {
  const began = segment.numbers.began[at]!;
  const since = segment.numbers.since[at]!;
  // What has never been in force came into force at no instant.
  const last = since === Infinity ? began : Math.max(began, since);
  segment.earliest = Math.min(segment.earliest, began, since);
  segment.latest = Math.max(segment.latest, last);
}

/** What a filter asks of segments. The masks have a bit for each word that is wanted. */
export interface Wanted extends Pick<BlockFilter, 'id' | 'at' | 'since' | 'until'> {
  readonly states: number;
  readonly types: number;
  readonly directions: number;
  readonly origins: number;
  /** The rule's index plus one; undefined for any. */
  readonly rule: number | undefined;
}

/** True if no row of a segment can match. Never true of one that has a row that does. */
export function isOutside(segment: Segment, wanted: Wanted): boolean {
  const { id, at, since = -Infinity, until = Infinity, rule } = wanted;
  if (segment.latest < since || segment.earliest >= until || segment.earliest > (at ?? Infinity)) return true;
  const isElsewhere =
    id !== undefined && (segment.highest < id || (segment.lowest > id && !segment.lowest.startsWith(id)));
  if (isElsewhere) return true;
  const summary = summaryOf(segment);
  return (
    (summary.types & wanted.types) === 0 ||
    (summary.directions & wanted.directions) === 0 ||
    (summary.origins & wanted.origins) === 0 ||
    (rule !== undefined && ((summary.rules >>> (rule & 31)) & 1) === 0) ||
    (at === undefined
      ? (summary.states & recordedAs(wanted.states)) === 0
      : summary.ends <= at && (wanted.states & OPEN) === wanted.states)
  );
}

const OPEN = (1 << PROPOSED) | (1 << ACTIVE);

/** The recorded states that may have become one that is wanted, by time alone. */
function recordedAs(states: number): number {
  return states | (((states >> EXPIRED) & 1) << ACTIVE) | (((states >> LAPSED) & 1) << PROPOSED);
}

export function summaryOf(segment: Segment): Summary {
  return (segment.summary ??= summarized(segment));
}

function summarized(segment: Segment): Summary {
  const { numbers, ids, values } = segment;
  let [states, types, directions, origins, rules] = [0, 0, 0, 0, 0];
  let ends = -Infinity;
  const least: Record<BlockSort, number | string> = {
    since: Infinity,
    until: Infinity,
    refused: 0,
    subject: values[0]!,
  };
  for (let at = 0; at < ids.length; at++) {
    const terms = numbers.terms[at]!;
    states |= 1 << (terms & 7);
    types |= 1 << ((terms >> TYPE) & 7);
    directions |= 1 << ((terms >> DIRECTION) & 3);
    origins |= 1 << ((terms >> ORIGIN) & 1);
    rules |= 1 << (numbers.rules[at]! & 31);
    ends = Math.max(ends, numbers.ends[at]!);
    for (const sort of BLOCK_SORTS) {
      const key = keyAt(segment, at, sort);
      if (key < least[sort]) least[sort] = key;
    }
  }
  return { states, types, directions, origins, rules, ends, least };
}

/** What an order compares a row by: the least comes first. */
export function keyAt({ numbers, values }: Segment, at: number, sort: BlockSort): number | string {
  switch (sort) {
    case 'since':
      return -(numbers.since[at] === Infinity ? numbers.began[at]! : numbers.since[at]!);
    case 'until':
      return numbers.ends[at]!;
    case 'refused':
      return -numbers.refused[at]!;
    case 'subject':
      return values[at]!;
  }
}

export function maskOf<Word>(words: readonly Word[], wanted: ReadonlySet<Word> | undefined): number {
  return words.reduce((mask, word, bit) => (wanted?.has(word) === false ? mask : mask | (1 << bit)), 0);
}

/** False if no value of the segment has this text. */
export function mayHave(segment: Segment, text: string, kept?: string): boolean {
  // A look at a few words of memory spares most segments the search of their text.
  if (segment.values.length === SEGMENT) {
    segment.filter ??= textFilter(segment.values);
    const isOut = !passes(segment.filter, text) && (kept === undefined || !passes(segment.filter, kept));
    if (isOut) return false;
  }
  segment.text ??= segment.values.join('\n');
  return has(segment.text, text, kept);
}

export function has(values: string, text: string, kept?: string): boolean {
  return values.includes(text) || (kept !== undefined && values.includes(kept));
}
