import type { Evidence } from '../../src/blocks/events.js';
import { isBlockEvent } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY, HOUR } from '../../src/kernel/time.js';
import type { RulesChanged, VersionedRules } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/respond.js';
import { respond } from '../../src/rules/respond.js';
import type { ShadowEvent, ShadowRulesChanged } from '../../src/rules/decide.js';
import { isShadowEvent } from '../../src/rules/decide.js';
import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';
import { CLOCK_TOLERANCE } from '../../src/sending/events.js';
import type { Subject } from '../../src/sending/subjects.js';
import { subjectKey } from '../../src/sending/subjects.js';
import type { WindowReading } from '../volume/rule-evaluation.js';
import type { SendVolume, SendVolumeState } from '../volume/send-volume.js';
import type { ExemptionsState } from './exemptions.js';
import { Exemptions } from './exemptions.js';

/** The verdicts of the rules in force on an event, after it is folded. */
export interface Live {
  readonly verdicts: readonly Verdict[];
  readonly sendVolume: SendVolume;
  readonly exemptions: Exemptions;
}

/** A rule set in the shadow, and since when. */
export interface ShadowSet {
  readonly version: number;
  readonly source: string;
  readonly since: Instant;
  /** The actor that loaded it: `admin:<name>`. */
  readonly by: string;
}

export interface ShadowState {
  readonly set: ShadowSet;
  readonly promoted: boolean;
  readonly volume: SendVolumeState;
  readonly exemptions: ExemptionsState;
  readonly comparison: ComparisonState;
}

/** The rule set that runs beside the one in force, and all its state. */
interface Loaded {
  readonly set: ShadowSet;
  readonly volume: SendVolume;
  readonly exemptions: Exemptions;
  readonly comparison: VerdictComparison;
  /** True if the next rules that come into force are these. */
  readonly promoted: boolean;
}

/**
 * Folds the same events as the rules in force under a second rule set, which acts on nothing, and records the
 * differences. Without a second rule set it costs nothing; with one, about as much again as the rules in force.
 *
 * It begins with the windows that it shares with the rules in force (or with the rule set that it replaces in the
 * shadow), and it sees what really happened: a sender that the rules in force block stops sending, so nobody knows what
 * the shadow set would have made of the rest.
 */
export class ShadowRules {
  readonly #newVolume: () => SendVolume;
  #loaded: Loaded | undefined;

  constructor(newVolume: () => SendVolume) {
    this.#newVolume = newVolume;
  }

  get set(): ShadowSet | undefined {
    return this.#loaded?.set;
  }

  /** The rules as read; undefined while nothing runs in the shadow. */
  get rules(): VersionedRules | undefined {
    return this.#loaded?.volume.rules;
  }

  get comparison(): VerdictComparison | undefined {
    return this.#loaded?.comparison;
  }

  /** The peaks of these rules' windows, on a day of a sender that is not summarised yet. */
  peaks({ type, value }: SenderDaySummarised['subject'], day: Day): SenderDaySummarised['peaks'] | undefined {
    const open = this.#loaded?.volume.profiles.open(type, value);
    return open?.find((each) => each.day === day)?.peaks;
  }

  /**
   * If the event promotes these rules: the windows counted for them. They fold the event instead of the rules in force,
   * and take their place.
   */
  promotedBy(event: RecordedEvent): SendVolume | undefined {
    return event.type === 'RulesChanged' && this.#loaded?.promoted === true ? this.#loaded.volume : undefined;
  }

  /**
   * Folds an event that the rules in force have folded.
   *
   * @throws Error if a rule set cannot be used: then all stays as it was
   */
  apply(event: RecordedEvent, live: Live): void {
    if (isShadowEvent(event)) this.#change(event, live);
    else if (this.#loaded !== undefined) this.#fold(event, live, this.#loaded);
  }

  /** The opposite of {@link restore}. */
  dump(): ShadowState | undefined {
    if (this.#loaded === undefined) return undefined;
    const { set, promoted, volume, exemptions, comparison } = this.#loaded;
    return {
      set,
      promoted,
      volume: volume.dump(),
      exemptions: exemptions.dump(),
      comparison: comparison.dump(),
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore(state: ShadowState | undefined): void {
    if (state === undefined) return;
    const [volume, exemptions, comparison] = [this.#newVolume(), new Exemptions(), new VerdictComparison()];
    volume.restore(state.volume);
    exemptions.restore(state.exemptions);
    comparison.restore(state.comparison);
    this.#loaded = { set: state.set, promoted: state.promoted, volume, exemptions, comparison };
  }

  #change(event: ShadowEvent, live: Live): void {
    const loaded = this.#loaded;
    if (event.type === 'ShadowRulesChanged') this.#loaded = this.#load(event, event.data, live);
    else if (loaded?.set.version !== event.data.version) return;
    else this.#loaded = event.type === 'ShadowRulesPromoted' ? { ...loaded, promoted: true } : undefined;
  }

  #load(event: ShadowEvent, { version, rules, source }: ShadowRulesChanged, live: Live): Loaded {
    const volume = this.#newVolume();
    volume.restore((this.#loaded?.volume ?? live.sendVolume).dump());
    const data: RulesChanged = { version, rules, source, origin: 'shadow' };
    volume.apply({ ...event, type: 'RulesChanged', data });
    const exemptions = new Exemptions();
    exemptions.restore(live.exemptions.dump());
    exemptions.useRules(volume.rules);
    const set = { version, source, since: event.at, by: event.by };
    return { set, volume, exemptions, comparison: new VerdictComparison(), promoted: false };
  }

  #fold(event: RecordedEvent, live: Live, loaded: Loaded): void {
    const { volume, exemptions, comparison } = loaded;
    if (event.type === 'RulesChanged') {
      if (loaded.promoted) this.#loaded = undefined;
      return;
    }
    if (isBlockEvent(event)) exemptions.apply(event);
    const verdicts = volume.apply(event);
    const now = event.recordedAt;
    comparison.advance(now);
    const shadow = { exemptions, sendVolume: volume };
    this.#note('live', live.verdicts, live, shadow, now, comparison);
    this.#note('shadow', verdicts, shadow, live, now, comparison);
  }

  #note(
    side: 'live' | 'shadow',
    verdicts: readonly Verdict[],
    own: Pick<Live, 'exemptions' | 'sendVolume'>,
    other: Pick<Live, 'exemptions' | 'sendVolume'>,
    now: Instant,
    comparison: VerdictComparison,
  ): void {
    for (const verdict of verdicts) {
      const action = askedFor(verdict, own, now);
      if (action === undefined) continue;
      const { subject, evidence, at, rule } = verdict;
      const lasts = action === 'block' ? (rule.for ?? DAY) : rule.lapse;
      comparison.note(side, subject, { action, evidence, at }, lasts, () => restOf(other, subject, at, now));
    }
  }
}

/** What the rule would have the responder do; undefined if nobody would notice it. */
function askedFor(
  verdict: Verdict,
  { exemptions, sendVolume }: Pick<Live, 'exemptions' | 'sendVolume'>,
  now: Instant,
): 'propose' | 'block' | undefined {
  // Its request was noted when the rule tripped.
  if (verdict.kind === 'beyond') return undefined;
  const { command } = respond(verdict, {
    now,
    breaker: sendVolume.rules.maxAutomaticBlocks,
    exemptedBy: (subject) => exemptions.covering(subject, now),
    // The number of simultaneous blocks says nothing about whether this one is right.
    automaticBlocks: () => 0,
    newId: () => '',
  });
  return command.kind === 'act' && command.exemptedBy === undefined ? command.action : undefined;
}

/** Why a rule set asks for nothing yet. */
type Rest = Pick<ComparedCase, 'nearest' | 'exempt'>;

function restOf(
  { exemptions, sendVolume }: Pick<Live, 'exemptions' | 'sendVolume'>,
  subject: Subject,
  at: Instant,
  now: Instant,
): Rest {
  const exempted = exemptions.covering(subject, now);
  if (exempted !== undefined) return { exempt: exempted.reason };
  const reading = nearest(sendVolume, subject, at);
  return reading === undefined ? {} : { nearest: reading };
}

/**
 * The subject's window that is fullest relative to its limit, among the rules that apply to it and act on what it alone
 * does.
 */
function nearest(volume: SendVolume, subject: Subject, at: Instant): WindowReading | undefined {
  const share = ({ observed, limit }: WindowReading): number => observed / limit;
  return volume
    .readings(subject, at)
    .filter(({ notNow, outbreak: together }) => notNow === undefined && together === undefined)
    .toSorted((a, b) => share(b) - share(a))[0];
}

export const COMPARISONS = ['both', 'shadowOnly', 'liveOnly', 'stronger', 'weaker'] as const;
/**
 * The result of a case: both rule sets asked for the same; only one of them asked for anything; or the shadow set would
 * have blocked when the live one proposed (`stronger`), or the reverse (`weaker`).
 */
export type ComparisonKind = (typeof COMPARISONS)[number];

/** What a rule set asked for on a subject. */
export interface ComparedVerdict {
  readonly action: 'propose' | 'block';
  readonly evidence: Evidence;
  readonly at: Instant;
}

/** One subject, from the moment either rule set tripped on it until the requested block would be over. */
export interface ComparedCase {
  /** 1 for the first since the comparison began, then one more for each. */
  readonly number: number;
  readonly subject: Subject;
  /** When it is settled: until then the other rule set may reach the same result. */
  readonly until: Instant;
  readonly live?: ComparedVerdict;
  readonly shadow?: ComparedVerdict;
  /** While only one has tripped: the window of the other that was nearest to its limit at that moment. */
  readonly nearest?: WindowReading;
  /** While only one has tripped: why the other exempted the subject at that moment. */
  readonly exempt?: string;
}

export type Tally = Readonly<Record<ComparisonKind, number>>;

export interface ComparisonState {
  readonly cases: number;
  readonly now: Instant;
  readonly open: readonly ComparedCase[];
  readonly differences: readonly ComparedCase[];
  readonly tallies: readonly (readonly [rule: string, tally: Tally])[];
}

/** The most cases under way; beyond that the oldest are settled early. */
const MOST_OPEN = 10_000;
/** How many settled differences are kept, the newest; the tallies count them all. */
const MOST_KEPT = 1000;
/** How many rules have a tally of their own: two whole rule sets and some later rules. */
const MOST_RULES = 500;
/** The name of the tally of all further rules: no rule's id has parentheses. */
const OTHER = '(other)';

export const NOTHING: Tally = { both: 0, shadowOnly: 0, liveOnly: 0, stronger: 0, weaker: 0 };

/** The state of a case. */
export function comparisonOf({ live, shadow }: ComparedCase): ComparisonKind {
  if (live === undefined) return 'shadowOnly';
  if (shadow === undefined) return 'liveOnly';
  if (live.action === shadow.action) return 'both';
  return shadow.action === 'block' ? 'stronger' : 'weaker';
}

/**
 * Compares what two rule sets ask for, subject by subject. Requests of both on one subject, while the first would still
 * be in force, are one case; they need not trip at the same message.
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

  /** Settles the cases that are over at `now`, the store's clock. */
  advance(now: Instant): void {
    // The clock was set back: cases that end in what is now the future would absorb all that happens until then.
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
   * Records that one of the two sets asks for something now.
   *
   * @param lasts how long its request would be in force
   * @param rest of the other set, computed only if a case begins
   */
  note(
    side: 'live' | 'shadow',
    subject: Subject,
    asked: ComparedVerdict,
    lasts: Milliseconds,
    rest: () => Rest,
  ): void {
    const key = subjectKey(subject);
    const before = this.#open.get(key);
    const own = before?.[side];
    // A further trip while the first would be in force is no further case.
    if (own !== undefined && (own.action === asked.action || own.action === 'block')) return;
    const ends = this.#now + Math.min(DAY, Math.max(HOUR, lasts));
    const until = Math.max(before?.until ?? 0, ends);
    this.#nextEnd = Math.min(this.#nextEnd, until);
    if (before === undefined) {
      this.#open.set(key, { number: ++this.#cases, subject, until, [side]: asked, ...rest() });
      if (this.#open.size > MOST_OPEN) for (const oldest of this.#open.keys()) return this.#settle(oldest);
      return;
    }
    const { nearest: _, exempt: __, ...tripped } = before;
    // Once both have tripped neither is at rest.
    const kept = own === undefined ? tripped : before;
    this.#open.set(key, { ...kept, until, [side]: asked });
  }

  /** The differences of the two sets, the newest first, including those not settled yet. */
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

  /** The same by rule, as {@link tallies} would count them if they were settled now. */
  openByRule(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const each of this.#open.values()) {
      const rule = this.#countedUnder(each);
      counts.set(rule, (counts.get(rule) ?? 0) + 1);
    }
    return counts;
  }

  /** Settled cases, by rule: the shadow set's, or the live one's if only that one tripped. */
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
