import type { Evidence } from '../../src/blocks/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { formatDuration } from '../../src/kernel/time.js';
import type { InForce } from '../../src/rules/explain.js';
import { explain, LEARNING_SIGNAL, turnedSentence } from '../../src/rules/explain.js';
import type { Count, DistinctCount, Rule, Share, VersionedRules } from '../../src/rules/model.js';
import { KNOWN_PLACE_FACTOR, restsOnBounces } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/respond.js';
import type { Day } from '../../src/sending/day-summary.js';
import { dayOf } from '../../src/sending/day-summary.js';
import type { MessageAccepted, SenderFields } from '../../src/sending/events.js';
import type { Direction, MailDirection, SubjectType } from '../../src/sending/subjects.js';
import type { ClosedDay, PlaceKind, Profile } from '../baselines/profile.js';
import type { ConditionContext, ConditionReading } from './conditions.js';
import { commonName, isKnownPlace, metConditions, readConditions, scoreOf } from './conditions.js';
import type { Watch } from './counted-windows.js';
import { countedBy } from './counted-windows.js';
import type { Limits, VolumeContext } from './limits.js';
import type { SubjectWindows } from './subject-windows.js';

/** An account that turned abnormal. */
export interface AnomalousAccount extends InForce {
  readonly account: string;
  readonly at: Instant;
  /** The position of the send that showed it. */
  readonly position: number;
  /** The position of the first send that is counted of it. */
  readonly first: number;
  /** What it had sent by that time. */
  readonly observed: number;
  /** Whether it sent from a place that it used on a day before. */
  readonly isKnownPlace: boolean;
}

/** One event in the fold: its time, position and sender. */
export interface Fold {
  readonly at: Instant;
  readonly position: number;
  readonly direction: MailDirection;
  /** Undefined if the event is no message. */
  readonly message: MessageAccepted | undefined;
  /** Undefined if nobody sent anything. */
  readonly sender: SenderFields | undefined;
  /** Takes the verdicts of this event. */
  readonly verdicts: Verdict[];
  /** Called when an account has turned abnormal under a rule on its domain. */
  turned(rule: Rule, turned: AnomalousAccount): void;
  /** Whether a message of an account comes from a place that is new to it. */
  isNewcomer(account: string, sender: SenderFields): boolean;
  /** Called for each message of an account from a place that is new to it. */
  came(account: string, sender: SenderFields): void;
}

/** A count that is above its limit. */
export interface Excess extends InForce {
  readonly value: string;
  readonly row: number;
  readonly watch: Watch;
  readonly kind: Verdict['kind'];
  readonly observed: number;
  /** It is the whole count of the window, including used evidence. */
  readonly isWhole: boolean;
  /** The end of the window. */
  readonly end: Instant;
  /** The position up to which a person has judged the subject. */
  readonly judgedTo: number;
}

/** Decides what follows when a count is above its limit: whether the rule's other conditions hold, and why. */
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

  /** The verdict; undefined if another condition of the rule does not hold. */
  verdict(excess: Excess, fold: Fold): Verdict | undefined {
    const { value, watch, kind } = excess;
    const { rule } = watch;
    const { at } = fold;
    const common = commonName({ type: this.#type, value }, this.#around.profiles);
    // Nothing keeps up the block of a name that many use.
    if (kind === 'renew' && common !== undefined) return undefined;
    const held = kind === 'renew' ? [] : this.#signals(excess, fold);
    if (held === undefined) return undefined;
    const signals = common === undefined ? held : [...held, common];
    const isCertain = !restsOnBounces(rule) && !this.#limits.isDoubtful(watch, value, at);
    const asked = rule.then === 'block' && !isCertain ? 'propose' : rule.then;
    const then = common === undefined ? asked : 'observe';
    // Only a rule that blocks has more to do than it did when it tripped.
    if (kind === 'beyond' && (then !== 'block' || this.#rules.mode !== 'enforce')) return undefined;
    return {
      kind,
      rule: then === rule.then ? rule : { ...rule, then },
      mode: this.#rules.mode,
      subject: { type: this.#type, value },
      at,
      evidence: this.#evidence(excess, signals, fold),
    };
  }

  /**
   * From where an account sends more than its own limit; undefined if that is no anomaly. Owners may be busy while thieves
   * are at work, but a thief's program may also run on an owner's machine.
   */
  anomaly(
    { rule }: Watch,
    value: string,
    observed: number,
    limit: number,
    { at, sender }: Fold,
  ): 'known' | 'elsewhere' | undefined {
    const context = this.#context({ value, row: -1, rule, at, sender });
    if (sender === undefined || !isKnownPlace(sender, context)) return 'elsewhere';
    return observed > KNOWN_PLACE_FACTOR * limit ? 'known' : undefined;
  }

  /** The position of the first send that counts from an instant on, and that nobody has judged. */
  firstCounted(start: Instant, judgedTo: number, position: number): number {
    return Math.min(position, Math.max(this.#around.positionAt(start), judgedTo + 1));
  }

  /** What an abnormal account did, in words. */
  turned(watch: Watch, turned: AnomalousAccount): string {
    const habit = this.#limits.habit(watch, turned.account, turned.at);
    return turnedSentence(watch.rule, { ...turned, habit });
  }

  /** The rule's other conditions for a subject that may have no row, before there is a message. */
  prospect(rule: Rule, value: string, row: number | undefined, at: Instant): ConditionReading {
    const notNow = commonName({ type: this.#type, value }, this.#around.profiles);
    if (notNow !== undefined) return { besides: [], notNow };
    if (rule.when === undefined && rule.score === undefined) return { besides: [] };
    return readConditions(rule, this.#context({ value, row: row ?? -1, rule, at, sender: undefined }));
  }

  #evidence(excess: Excess, signals: readonly string[], { at, position }: Fold): Evidence {
    const { value, row, watch, kind, observed, isWhole, limit, end, judgedTo } = excess;
    const { rule } = watch;
    const habit = this.#limits.habit(watch, value, at);
    const overridden = this.#limits.overridden(watch, value, at);
    const start = this.#counted.start(row, watch, end, isWhole);
    const attempts = kind === 'renew';
    const seen = { ...excess, attempts, habit, overridden, signals };
    return {
      rule: rule.id,
      version: this.#rules.version,
      count: rule.count,
      window: rule.window,
      limit,
      observed,
      firstPosition: this.firstCounted(start, judgedTo, position),
      lastPosition: position,
      lastAt: at,
      ...(rule.leaveOut === undefined ? {} : { leaveOut: rule.leaveOut }),
      ...(habit === undefined ? {} : { habit }),
      ...(signals.length === 0 ? {} : { signals }),
      ...(attempts ? { attempts } : {}),
      sentence: explain(rule, { type: this.#type, value }, seen),
    };
  }

  /** What else was noticed; undefined if a condition of the rule does not hold. */
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
  /** -1 if nothing is counted of it. */
  readonly row: number;
  readonly rule: Rule;
}

/**
 * One send under a rule with conditions. It computes values on demand, since most such rules use them at every send.
 */
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

/** One window of a subject against one rule. */
export interface WindowReading extends ConditionReading {
  readonly rule: string;
  readonly count: Count;
  readonly window: Milliseconds;
  /** This many of the largest messages are left out of the count. */
  readonly leaveOut?: number;
  /** The count since the rule last tripped or a block was imposed: only this can trip it again. */
  readonly observed: number;
  /** The full count within the window; absent if neither happened within it. */
  readonly inWindow?: number;
  /** The limit in force; for an account that may turn abnormal, its own. */
  readonly limit: number;
  /** The direction of the counted mail. */
  readonly direction: Direction;
  /** Set for a rule that counts accounts that turn abnormal. */
  readonly outbreak?: OutbreakReading;
}

/** The state of the accounts of a domain that turn abnormal together. */
export interface OutbreakReading {
  readonly domain: string;
  /** Accounts that have turned within the window and were not acted upon. */
  readonly accounts: number;
  /** The rule trips above so many. */
  readonly limit: number;
  readonly window: Milliseconds;
  /** When this account turned abnormal; absent if it has not, or if the subject is the domain. */
  readonly turnedAt?: Instant;
  /** Until then an account that turns is acted upon at once; absent if there is no alarm. */
  readonly alarmUntil?: Instant;
}

/** A subject in its hour of grace, with tripled limits: whether a person called a verdict on it wrong. */
interface Graced {
  readonly falsePositive: boolean;
}

const TURNS_ELSEWHERE = 'it is where it was on no day before, or sends more than twice as much';

/** Reads the windows of the subjects of one type, and changes nothing. */
export class WindowReadings {
  readonly #limits: Limits;
  readonly #counted: SubjectWindows;
  readonly #conclusions: RuleEvaluation;
  readonly #graced: (value: string, now: Instant) => Graced | undefined;
  readonly #factor: (value: string, now: Instant) => number;

  /** @param factor on the limits of a subject, as verdicts have it */
  constructor(
    limits: Limits,
    counted: SubjectWindows,
    conclusions: RuleEvaluation,
    graced: (value: string, now: Instant) => Graced | undefined,
    factor: (value: string, now: Instant) => number,
  ) {
    this.#limits = limits;
    this.#counted = counted;
    this.#conclusions = conclusions;
    this.#graced = graced;
    this.#factor = factor;
  }

  /** The readings for every rule that acts on the subject itself, except those that are off for it. */
  of(value: string, now: Instant): readonly WindowReading[] {
    const sums = this.#watches('act').map(([watch, number]) =>
      this.#reading(
        watch,
        value,
        now,
        (row) => this.#counted.observed(row, number, watch, now),
        (row) => this.#counted.withEvidence(row, number, watch, now),
      ),
    );
    const different = this.#counted.diverse.map(([watch, diversity]) =>
      this.#reading(
        watch,
        value,
        now,
        (row) => this.#counted.different(row, diversity, now),
        (row) => this.#counted.differentWithEvidence(row, diversity, now),
      ),
    );
    return [...sums, ...different].filter((reading) => reading !== undefined);
  }

  /** How far an account is from turning abnormal under a rule on its domain. Changes nothing. */
  turning(rule: Rule, value: string, now: Instant): WindowReading {
    const [watch, number] = this.#watches('turn').find(([each]) => each.rule.id === rule.id)!;
    const { count, window, after } = rule.turned!;
    const row = this.#counted.find(value);
    const limit = this.#limits.of(watch, value, now)! * this.#factor(value, now);
    const notNow =
      this.#graced(value, now)?.falsePositive === true
        ? 'does not count it for an hour after a person has called a verdict on it wrong'
        : this.#limits.mayTurn(watch, value, now)
          ? undefined
          : `asks for a sender that is known, or ${formatDuration(after)} of watching: it is ${LEARNING_SIGNAL}`;
    return {
      rule: rule.id,
      count,
      window,
      direction: rule.direction,
      limit,
      besides: notNow === undefined ? [TURNS_ELSEWHERE] : [],
      observed: row === undefined ? 0 : this.#counted.observed(row, number, watch, now),
      ...(notNow === undefined ? {} : { notNow }),
    };
  }

  #watches(kind: Watch['kind']): readonly (readonly [watch: Watch, window: number])[] {
    return this.#counted.windows.flatMap(({ watches }, number) =>
      watches.filter((watch) => watch.kind === kind).map((watch) => [watch, number] as const),
    );
  }

  #reading(
    watch: Watch,
    value: string,
    now: Instant,
    observed: (row: number) => number,
    withEvidence: (row: number) => number | undefined,
  ): WindowReading | undefined {
    const { id: rule, count, window, leaveOut } = watch.rule;
    const untripled = this.#limits.of(watch, value, now);
    // A rule that is off for this subject has no reading.
    if (untripled === null) return undefined;
    const row = this.#counted.find(value);
    const inWindow = row === undefined ? undefined : withEvidence(row);
    return {
      ...(inWindow === undefined ? {} : { inWindow }),
      rule,
      count,
      window,
      ...(leaveOut === undefined ? {} : { leaveOut }),
      observed: row === undefined ? 0 : observed(row),
      direction: countedBy(watch.rule),
      limit: untripled * this.#factor(value, now),
      ...this.#conclusions.prospect(watch.rule, value, row, now),
    };
  }
}
