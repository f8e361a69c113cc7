import type { Evidence } from '../../src/blocks/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY, HOUR } from '../../src/kernel/time.js';
import { CLOCK_TOLERANCE } from '../../src/sending/events.js';
import type { Subject } from '../../src/sending/subjects.js';
import { subjectKey } from '../../src/sending/subjects.js';
import type { WindowReading } from '../volume/window-readings.js';

export const COMPARISONS = ['both', 'shadowOnly', 'liveOnly', 'stronger', 'weaker'] as const;
/**
 * What became of a case: both rule sets asked for the same; only one of them asked for anything; or the shadow set
 * would have blocked where the live one proposed (`stronger`), or the other way round (`weaker`).
 */
export type ComparisonKind = (typeof COMPARISONS)[number];

/** What a rule set asked for on a subject. */
export interface ComparedVerdict {
  readonly action: 'propose' | 'block';
  readonly evidence: Evidence;
  readonly at: Instant;
}

/** One subject, from when either rule set tripped on it until what that asked for would be over. */
export interface ComparedCase {
  /** 1 for the first since the comparison began; rises with each. */
  readonly number: number;
  readonly subject: Subject;
  /** When it is settled: until then the other rule set may come to the same. */
  readonly until: Instant;
  readonly live?: ComparedVerdict;
  readonly shadow?: ComparedVerdict;
  /** While only one of them has tripped: the window of the other that stood nearest to its limit just then. */
  readonly nearest?: WindowReading;
}

export type Tally = Readonly<Record<ComparisonKind, number>>;

export interface ComparisonState {
  readonly cases: number;
  readonly now: Instant;
  readonly open: readonly ComparedCase[];
  readonly differences: readonly ComparedCase[];
  readonly tallies: readonly (readonly [rule: string, tally: Tally])[];
}

/** Cases under way; more are settled before their time, the oldest first. */
const MOST_OPEN = 10_000;
/** Settled differences that are kept, the newest; the tallies count them all. */
const MOST_KEPT = 1000;
/** Rules that have a tally of their own: two whole rule sets, and some that came later. */
const MOST_RULES = 500;
/** What the tally of all further rules is called: no rule's id has parentheses. */
const OTHER = '(other)';

export const NOTHING: Tally = { both: 0, shadowOnly: 0, liveOnly: 0, stronger: 0, weaker: 0 };

/** How a case stands. */
export function comparisonOf({ live, shadow }: ComparedCase): ComparisonKind {
  if (live === undefined) return 'shadowOnly';
  if (shadow === undefined) return 'liveOnly';
  if (live.action === shadow.action) return 'both';
  return shadow.action === 'block' ? 'stronger' : 'weaker';
}

/**
 * Compares what two rule sets ask for, subject by subject. What both ask for on one subject while the first would
 * still hold is one case; they need not trip at the same message.
 */
export class VerdictComparison {
  readonly #open = new Map<string, ComparedCase>();
  #differences: ComparedCase[] = [];
  readonly #tallies = new Map<string, Tally>();
  #cases = 0;
  /** By the store's clock. */
  #now: Instant = 0;
  /** No case is settled before this. */
  #nextEnd: Instant = Infinity;

  /** Settles what is over by now, which is the store's clock. */
  advance(now: Instant): void {
    // The clock was set back: what ends in what is the future now would take in all that happens till then.
    if (now < this.#now - CLOCK_TOLERANCE) for (const key of [...this.#open.keys()]) this.#settle(key);
    this.#now = now;
    if (now < this.#nextEnd) return;
    this.#nextEnd = Infinity;
    for (const [key, { until }] of [...this.#open]) {
      if (until <= now) this.#settle(key);
      else this.#nextEnd = Math.min(this.#nextEnd, until);
    }
  }

  /**
   * One of the two sets asks for something now.
   *
   * @param lasts how long what it asks for would hold
   * @param nearest of the other set, looked up only where a case begins
   */
  note(
    side: 'live' | 'shadow',
    subject: Subject,
    asked: ComparedVerdict,
    lasts: Milliseconds,
    nearest: () => WindowReading | undefined,
  ): void {
    const key = subjectKey(subject);
    const before = this.#open.get(key);
    const own = before?.[side];
    // Each further trip while the first would hold is no further case.
    if (own !== undefined && (own.action === asked.action || own.action === 'block')) return;
    const ends = this.#now + Math.min(DAY, Math.max(HOUR, lasts));
    const until = Math.max(before?.until ?? 0, ends);
    this.#nextEnd = Math.min(this.#nextEnd, until);
    if (before === undefined) {
      const reading = nearest();
      const far = reading === undefined ? {} : { nearest: reading };
      this.#open.set(key, { number: ++this.#cases, subject, until, [side]: asked, ...far });
      if (this.#open.size > MOST_OPEN) for (const oldest of this.#open.keys()) return this.#settle(oldest);
      return;
    }
    const { nearest: near, ...rest } = before;
    const far = own === undefined || near === undefined ? {} : { nearest: near };
    this.#open.set(key, { ...rest, until, [side]: asked, ...far });
  }

  /** What the two sets differ in, the newest first; those not settled yet among them. */
  differences(): readonly ComparedCase[] {
    const open = [...this.#open.values()].filter((each) => comparisonOf(each) !== 'both');
    return [...this.#differences, ...open].sort((a, b) => b.number - a.number);
  }

  isOpen({ subject, number }: ComparedCase): boolean {
    return this.#open.get(subjectKey(subject))?.number === number;
  }

  /** Cases under way, agreed or not. */
  get open(): number {
    return this.#open.size;
  }

  /** The same by rule, which is that of {@link tallies}, as it would be were they settled now. */
  openByRule(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const each of this.#open.values()) {
      const rule = this.#countedUnder(each);
      counts.set(rule, (counts.get(rule) ?? 0) + 1);
    }
    return counts;
  }

  /** Settled cases, by rule: the shadow set's, or the live one's where only that tripped. */
  tallies(): ReadonlyMap<string, Tally> {
    return this.#tallies;
  }

  /** The opposite of {@link restore}. */
  dump(): ComparisonState {
    return {
      cases: this.#cases,
      now: this.#now,
      open: [...this.#open.values()],
      differences: this.#differences.slice(),
      tallies: [...this.#tallies],
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is noted. */
  restore({ cases, now, open, differences, tallies }: ComparisonState): void {
    this.#cases = cases;
    this.#now = now;
    for (const each of open) {
      this.#open.set(subjectKey(each.subject), each);
      this.#nextEnd = Math.min(this.#nextEnd, each.until);
    }
    this.#differences = differences.slice();
    for (const [rule, tally] of tallies) this.#tallies.set(rule, tally);
  }

  #countedUnder({ live, shadow }: ComparedCase): string {
    const { rule } = (shadow ?? live!).evidence;
    return this.#tallies.has(rule) || this.#tallies.size < MOST_RULES ? rule : OTHER;
  }

  #settle(key: string): void {
    const ended = this.#open.get(key)!;
    this.#open.delete(key);
    const comparison = comparisonOf(ended);
    const counted = this.#countedUnder(ended);
    const tally = this.#tallies.get(counted) ?? NOTHING;
    this.#tallies.set(counted, { ...tally, [comparison]: tally[comparison] + 1 });
    if (comparison === 'both') return;
    this.#differences.push(ended);
    if (this.#differences.length > MOST_KEPT) this.#differences.shift();
  }
}
