import type { Evidence } from '../../src/blocks/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { explain, turnedSentence } from '../../src/rules/explain.js';
import type { InForce } from '../../src/rules/explain.js';
import type { DistinctCount, Rule, Share, VersionedRules } from '../../src/rules/model.js';
import { restsOnBounces } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/verdict.js';
import type { Day } from '../../src/sending/day-summary.js';
import { dayOf } from '../../src/sending/day-summary.js';
import type { MessageAccepted, SenderFields } from '../../src/sending/events.js';
import type { MailDirection, SubjectType } from '../../src/sending/subjects.js';
import type { Watch } from './counted-windows.js';
import type { Limits, VolumeContext } from './limits.js';
import { readConditions } from './condition-readings.js';
import type { ConditionReading } from './condition-readings.js';
import { scoreOf, metConditions } from './conditions.js';
import type { ConditionContext } from './conditions.js';
import type { ClosedDay } from '../baselines/closed-days.js';
import type { PlaceKind, Profile } from '../baselines/profile.js';
import type { SubjectWindows } from './subject-windows.js';
import type { AnomalousAccount } from './outbreak.js';

/** One event as it is folded: when, where, and who sent. */
export interface Fold {
  readonly at: Instant;
  readonly position: number;
  readonly direction: MailDirection;
  /** Undefined where the event is no message. */
  readonly message: MessageAccepted | undefined;
  /** Undefined where nobody sent anything. */
  readonly sender: SenderFields | undefined;
  /** Takes the verdicts of this event. */
  readonly verdicts: Verdict[];
  /** An account has turned abnormal, says a rule over its domain. */
  turned(rule: Rule, turned: AnomalousAccount): void;
}

/** A count that is above its limit. */
export interface Excess extends InForce {
  readonly value: string;
  readonly row: number;
  readonly watch: Watch;
  /** `beyond`: of a rule that has tripped, with all that was evidence then. */
  readonly kind: Verdict['kind'];
  readonly observed: number;
  /** Where the window ends. */
  readonly end: Instant;
  /** Up to which position a person has judged the subject. */
  readonly judgedTo: number;
}

/** Says what follows where a count is above its limit: whether whatever else the rule asks for holds, and why. */
export class RuleEvaluation {
  readonly #type: SubjectType;
  readonly #rules: VersionedRules;
  readonly #around: VolumeContext;
  readonly #limits: Limits;
  readonly #counted: SubjectWindows;

  constructor(
    type: SubjectType,
    rules: VersionedRules,
    around: VolumeContext,
    limits: Limits,
    counted: SubjectWindows,
  ) {
    this.#type = type;
    this.#rules = rules;
    this.#around = around;
    this.#limits = limits;
    this.#counted = counted;
  }

  /** The verdict; undefined where something else that the rule asks for does not hold. */
  verdict(excess: Excess, fold: Fold): Verdict | undefined {
    const { value, watch, kind } = excess;
    const { rule } = watch;
    const { at } = fold;
    const signals = kind === 'renew' ? [] : this.#signals(excess, fold);
    if (signals === undefined) return undefined;
    const isCertain = !restsOnBounces(rule) && !this.#limits.isDoubtful(watch, value, at);
    const then = rule.then === 'block' && !isCertain ? 'propose' : rule.then;
    // Only what blocks has more to do than it did when it tripped.
    if (kind === 'beyond' && (then !== 'block' || this.#rules.mode !== 'enforce')) return undefined;
    return {
      kind,
      rule: then === rule.then ? rule : { ...rule, then },
      ...{ mode: this.#rules.mode, subject: { type: this.#type, value }, at },
      evidence: this.#evidence(excess, signals, fold),
    };
  }

  /** What an account did that turned, in words. */
  turned(watch: Watch, turned: AnomalousAccount): string {
    const habit = this.#limits.habit(watch, turned.account, turned.at);
    return turnedSentence(watch.rule, { ...turned, habit });
  }

  /** What the rule asks for besides of a subject that may have no row, before there is a message. */
  prospect(rule: Rule, value: string, row: number | undefined, at: Instant): ConditionReading {
    if (rule.when === undefined && rule.score === undefined) return { besides: [] };
    return readConditions(rule, this.#context({ value, row: row ?? -1, rule, at, sender: undefined }));
  }

  #evidence(excess: Excess, signals: readonly string[], { at, position }: Fold): Evidence {
    const { value, row, watch, kind, observed, limit, end, judgedTo } = excess;
    const { rule } = watch;
    const habit = this.#limits.habit(watch, value, at);
    const overridden = this.#limits.overridden(watch, value, at);
    const start = this.#counted.start(row, watch, end, kind === 'beyond');
    const seen = { ...excess, attempts: kind === 'renew', habit, overridden, signals };
    return {
      ...{ rule: rule.id, version: this.#rules.version, count: rule.count, window: rule.window },
      ...{ limit, observed },
      firstPosition: Math.min(position, Math.max(this.#around.positionAt(start), judgedTo + 1)),
      ...{ lastPosition: position, lastAt: at },
      ...(rule.leaveOut === undefined ? {} : { leaveOut: rule.leaveOut }),
      ...(habit === undefined ? {} : { habit }),
      ...(signals.length === 0 ? {} : { signals }),
      sentence: explain(rule, { type: this.#type, value }, seen),
    };
  }

  /** What was noticed besides; undefined where it is not what the rule asks for. */
  #signals({ value, row, watch: { rule } }: Excess, { at, sender }: Fold): readonly string[] | undefined {
    const { when, score } = rule;
    if (when === undefined && score === undefined) return [];
    const context = this.#context({ value, row, rule, at, sender });
    const held = when === undefined ? [] : metConditions(when, context);
    if (held === undefined || score === undefined) return held;
    const scored = scoreOf(score, context);
    return scored === undefined ? undefined : [...held, ...scored];
  }

  #context(of: OneSend): ConditionContext {
    return new SendContext(of, { around: this.#around, limits: this.#limits, counted: this.#counted });
  }
}

interface OneSend extends Pick<Excess, 'value'>, Pick<Fold, 'at' | 'sender'> {
  /** -1 where nothing is counted of it. */
  readonly row: number;
  readonly rule: Rule;
}

/** One send of somebody whose rule asks for more. Looks up what it is asked for: most such rules ask at every send. */
class SendContext implements ConditionContext {
  readonly at: Instant;
  readonly day: Day;
  readonly sender: SenderFields | undefined;
  #profile: Profile | undefined;
  #learnt: boolean | undefined;
  readonly #value: string;
  readonly #row: number;
  readonly #rule: Rule;
  readonly #around: VolumeContext;
  readonly #limits: Limits;
  readonly #counted: SubjectWindows;

  constructor(
    { value, row, rule, at, sender }: OneSend,
    {
      around,
      limits,
      counted,
    }: { readonly around: VolumeContext; readonly limits: Limits; readonly counted: SubjectWindows },
  ) {
    this.at = at;
    this.day = dayOf(at);
    this.sender = sender;
    this.#value = value;
    this.#row = row;
    this.#rule = rule;
    this.#around = around;
    this.#limits = limits;
    this.#counted = counted;
  }

  get profile(): Profile {
    return (this.#profile ??= this.#around.profiles.profile('account', this.#value, this.day));
  }

  get pending(): readonly ClosedDay[] {
    return this.#around.profiles.open('account', this.#value).filter((each) => each.day < this.day);
  }

  get learnt(): boolean {
    return (this.#learnt ??= this.#limits.isLearnt(this.profile, this.day));
  }

  isKnownOf(kind: PlaceKind): boolean {
    return this.#limits.isKnownOf(this.profile, kind, this.day);
  }

  get watchedFor(): Milliseconds {
    return this.at - this.#around.installedAt();
  }

  distinct(kind: DistinctCount): number {
    if (this.#row < 0) return 0;
    return this.#counted.diversities.count(kind, this.#row, this.at, this.#rule.window, 0);
  }

  share(of: Share['of']): { readonly failed: number; readonly tried: number } {
    if (this.#row < 0) return { failed: 0, tried: 0 };
    const failed = this.#counted.sumOf(of, this.#rule, this.#row, this.at);
    const accepted = this.#counted.sumOf('recipients', this.#rule, this.#row, this.at);
    return { failed, tried: of === 'bounces' ? accepted : accepted + failed };
  }
}
