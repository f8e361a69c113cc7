import type { BlockEvent } from '../../src/blocks/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY, HOUR } from '../../src/kernel/time.js';
import type { Rule } from '../../src/rules/model.js';
import { breakerOf } from '../../src/rules/respond.js';
import { CLOCK_TOLERANCE } from '../../src/sending/events.js';
import { domainOf } from '../../src/sending/identity.js';

/** The record of a rule: what people and time have made of its blocks and proposals. */
export interface RuleFeedback {
  /** Blocks that it imposed by itself. */
  readonly imposed: number;
  /** Proposals that it made, or made longer. */
  readonly proposed: number;
  /** Confirmed cases: a block that ran out or that somebody ended without calling it wrong, or an approved proposal. */
  readonly confirmed: number;
  /** Blocks released as false positives, including those that began as its proposal. */
  readonly falsePositives: number;
  /** Proposals that somebody dismissed. */
  readonly dismissed: number;
  /** Proposals that nobody answered: they prove nothing. */
  readonly lapsed: number;
}

export interface RulePrecisionRow extends RuleFeedback {
  readonly rule: string;
  /** Whether it is in force now. */
  readonly inForce: boolean;
  /** Cases that have no judgement yet. */
  readonly open: number;
}

/** A block or proposal that has not ended. */
interface OpenCase {
  /** The rules of the case: those that proposed it, made the proposal longer, or blocked. */
  readonly rules: readonly string[];
  /** A person has put it in force: it counts as confirmed unless it is later called wrong. */
  readonly confirmed: boolean;
}

export interface PrecisionState {
  /** The rule of the latest event comes last. */
  readonly feedback: readonly (readonly [rule: string, judgement: RuleFeedback])[];
  readonly cases: readonly (readonly [block: string, open: OpenCase])[];
  readonly inForce: readonly string[];
}

/** How many rules no longer in force are remembered: those with the latest events. */
const GONE_KEPT = 200;

const NOTHING: RuleFeedback = {
  imposed: 0,
  proposed: 0,
  confirmed: 0,
  falsePositives: 0,
  dismissed: 0,
  lapsed: 0,
};

/** The share of a rule's judged cases that were right, from 0 to 1; undefined if none was judged. */
export function precisionOf({ confirmed, falsePositives, dismissed }: RuleFeedback): number | undefined {
  const judged = confirmed + falsePositives + dismissed;
  return judged === 0 ? undefined : confirmed / judged;
}

/**
 * The outcome of each rule's requests. A block that began as a proposal is one case, judged once; if several rules
 * asked for it, the judgement counts for each of them.
 */
export class RulePrecision {
  readonly #feedback = new Map<string, RuleFeedback>();
  readonly #cases = new Map<string, OpenCase>();
  #inForce: ReadonlySet<string> = new Set();

  /** The rules in the order of their ids, those in force first. */
  all(): readonly RulePrecisionRow[] {
    const open = new Map<string, number>();
    for (const { rules, confirmed } of this.#cases.values()) {
      if (!confirmed) for (const rule of rules) open.set(rule, (open.get(rule) ?? 0) + 1);
    }
    const ids = new Set([...this.#inForce, ...this.#feedback.keys()]);
    return [...ids]
      .map((rule) => ({
        rule,
        inForce: this.#inForce.has(rule),
        ...(this.#feedback.get(rule) ?? NOTHING),
        open: open.get(rule) ?? 0,
      }))
      .sort((a, b) => Number(b.inForce) - Number(a.inForce) || (a.rule < b.rule ? -1 : 1));
  }

  useRules(rules: readonly Rule[]): void {
    this.#inForce = new Set(rules.map(({ id }) => id));
    this.#prune();
  }

  apply(event: BlockEvent): void {
    switch (event.type) {
      case 'BlockProposed': {
        const { block, rule } = event.data;
        if (this.#joins(block, rule)) this.#count(rule, 'proposed', 1);
        return;
      }
      case 'BlockImposed': {
        const { block, origin, rule } = event.data;
        const proposal = this.#cases.get(block);
        if (proposal?.confirmed === true) return; // an approval that this follows
        if (origin === 'admin') return this.#confirm(block); // by hand what a rule proposed; else no rule's
        if (rule === undefined) return;
        this.#joins(block, rule);
        this.#count(rule, 'imposed', 1);
        return;
      }
      case 'ProposalApproved':
        return this.#confirm(event.data.block);
      case 'ProposalDismissed':
        return this.#end(event.data.block, 'dismissed');
      case 'ProposalLapsed':
        return this.#end(event.data.block, 'lapsed');
      case 'BlockReleased':
        return this.#end(event.data.block, event.data.falsePositive ? 'falsePositives' : 'confirmed');
      case 'BlockExpired':
        return this.#end(event.data.block, 'confirmed');
      case 'BlockExtended':
      case 'BlockShortened':
      case 'ExemptionGranted':
      case 'ExemptionRevoked':
      case 'ExemptionApplied':
      case 'RuleObserved':
      case 'HeldMailDecided':
      case 'HookRan':
        return;
    }
  }

  /** The opposite of {@link restore}. */
  dump(): PrecisionState {
    return {
      feedback: [...this.#feedback],
      cases: [...this.#cases],
      inForce: [...this.#inForce],
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore({ feedback, cases, inForce }: PrecisionState): void {
    for (const [rule, judgement] of feedback) this.#feedback.set(rule, judgement);
    for (const [block, open] of cases) this.#cases.set(block, open);
    this.#inForce = new Set(inForce);
  }

  /** @returns whether the rule had no part in the case before */
  #joins(block: string, rule: string): boolean {
    const { rules, confirmed } = this.#cases.get(block) ?? { rules: [], confirmed: false };
    if (rules.includes(rule)) return false;
    this.#cases.set(block, { rules: [...rules, rule], confirmed });
    return true;
  }

  #confirm(block: string): void {
    const open = this.#cases.get(block);
    if (open === undefined) return;
    this.#cases.set(block, { ...open, confirmed: true });
    for (const rule of open.rules) this.#count(rule, 'confirmed', 1);
  }

  #end(block: string, as: 'confirmed' | 'falsePositives' | 'dismissed' | 'lapsed'): void {
    const open = this.#cases.get(block);
    if (open === undefined) return;
    this.#cases.delete(block);
    for (const rule of open.rules) {
      if (open.confirmed) this.#count(rule, 'confirmed', -1);
      this.#count(rule, as, 1);
    }
  }

  /** The rule moves to the end, the place of those with the latest events. */
  #count(rule: string, what: keyof RuleFeedback, by: number): void {
    const before = this.#feedback.get(rule) ?? NOTHING;
    this.#feedback.delete(rule);
    // Not below zero: a rule that was forgotten meanwhile has nothing to take back.
    this.#feedback.set(rule, { ...before, [what]: Math.max(0, before[what] + by) });
    if (before === NOTHING) this.#prune();
  }

  #prune(): void {
    const gone = [...this.#feedback.keys()].filter((rule) => !this.#inForce.has(rule));
    for (const rule of gone.slice(0, -GONE_KEPT)) this.#feedback.delete(rule);
  }
}

/** The longest window that a breaker may have. */
const LONGEST: Milliseconds = DAY;
/** This many times of a breaker are kept at least, and twice as many before any is dropped. */
const TIMES_KEPT = 512;
/** For this long, accounts of a domain that turn abnormal together are one finding. */
const ONE_FINDING: Milliseconds = HOUR;

interface AutomaticBlocksState {
  /** By breaker, as {@link breakerOf} names it; ascending. */
  readonly times: readonly (readonly [breaker: string, times: readonly Instant[]])[];
  /** By rule and domain. */
  readonly findings: readonly (readonly [key: string, at: Instant])[];
}

/**
 * The times at which rules imposed blocks by themselves: each circuit breaker looks at its own. A clock may have been
 * ahead for a while, so times of the future are kept apart: they say nothing of now.
 */
export class AutomaticBlocks {
  #times = new Map<string, Instant[]>();
  /** When accounts of a domain were last found abnormal together: any number of them counts once. */
  #findings = new Map<string, Instant>();

  apply(event: BlockEvent): void {
    if (event.type !== 'BlockImposed' || !event.by.startsWith('rule:')) return;
    const { evidence, subject, direction } = event.data;
    if (evidence?.count === 'accounts' && subject.type === 'account') {
      const key = `${evidence.rule} ${domainOf(subject.value) ?? ''}`;
      const isNear = (at: Instant): boolean => Math.abs(at - event.at) < ONE_FINDING;
      if (isNear(this.#findings.get(key) ?? -Infinity)) return;
      for (const [other, at] of this.#findings) if (!isNear(at)) this.#findings.delete(other);
      this.#findings.set(key, event.at);
    }
    const breaker = breakerOf(subject, evidence?.count ?? '', direction);
    const times = this.#times.get(breaker) ?? [];
    times.splice(placeAfter(times, event.at), 0, event.at);
    this.#times.set(breaker, shortened(times, event.at));
  }

  /** The opposite of {@link restore}. */
  dump(): AutomaticBlocksState {
    const times = [...this.#times].map(([breaker, own]) => [breaker, own.slice()] as const);
    return { times, findings: [...this.#findings] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ times, findings }: AutomaticBlocksState): void {
    this.#times = new Map(times.map(([breaker, own]) => [breaker, own.slice()]));
    this.#findings = new Map(findings);
  }

  /** The breakers that have any block. */
  get breakers(): readonly string[] {
    return [...this.#times.keys()];
  }

  /** The number of blocks within the window that ends at `now`, for a breaker. @param most no more are counted */
  within(breaker: string, window: Milliseconds, now: Instant, most = Infinity): number {
    const times = this.#times.get(breaker) ?? [];
    let count = 0;
    let index = placeAfter(times, now + CLOCK_TOLERANCE) - 1;
    for (; index >= 0 && times[index]! > now - window && count < most; index--) count++;
    return count;
  }

  /**
   * Since when a breaker has so many blocks within its window without a break, and when that ends if no more come;
   * undefined where it has not so many now.
   */
  open(
    breaker: string,
    { max, window }: { readonly max: number; readonly window: Milliseconds },
    now: Instant,
  ): { readonly since: Instant; readonly until: Instant } | undefined {
    const times = this.#times.get(breaker) ?? [];
    // The block `index` opens it, or keeps it open, until that.
    const until = (index: number): Instant => (times[index - max + 1] ?? -Infinity) + window;
    const last = placeAfter(times, now + CLOCK_TOLERANCE) - 1;
    if (max < 1 || until(last) <= now) return undefined;
    let first = last;
    while (first > 0 && until(first - 1) > times[first]!) first--;
    return { since: times[first]!, until: until(last) };
  }
}

/** Where an instant has its place among ascending times, behind its equals. Mostly it is the last. */
function placeAfter(times: readonly Instant[], at: Instant): number {
  let place = times.length;
  while (place > 0 && times[place - 1]! > at) place--;
  return place;
}

/** Without what is too far from an instant for any window: long ago, or of a clock that was ahead. */
function shortened(times: Instant[], at: Instant): Instant[] {
  if (times.length <= 2 * TIMES_KEPT) return times;
  if (times[TIMES_KEPT]! < at - LONGEST) return times.slice(TIMES_KEPT);
  return times.at(-TIMES_KEPT)! > at + LONGEST ? times.slice(0, -TIMES_KEPT) : times;
}
