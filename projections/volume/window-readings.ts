import { GRACE_FACTOR } from '../../src/blocks/state.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { formatDuration } from '../../src/kernel/time.js';
import { LEARNING_SIGNAL } from '../../src/rules/explain.js';
import type { Count, Rule } from '../../src/rules/model.js';
import type { Direction } from '../../src/sending/subjects.js';
import type { RuleEvaluation } from './rule-evaluation.js';
import type { Watch } from './counted-windows.js';
import { countedBy } from './counted-windows.js';
import type { Limits } from './limits.js';
import type { ConditionReading } from './condition-readings.js';
import type { SubjectWindows } from './subject-windows.js';

/** One window of a subject against one rule. */
export interface WindowReading extends ConditionReading {
  readonly rule: string;
  readonly count: Count;
  readonly window: Milliseconds;
  /** So many of the largest messages are left out of the count. */
  readonly leaveOut?: number;
  /** Counted since the rule last tripped, or a block came about: that is what trips it again. */
  readonly observed: number;
  /** All that is within the window; absent where neither was within it. */
  readonly inWindow?: number;
  /** What is in force now; of an account that may turn, what is its own. */
  readonly limit: number;
  /** Of the mail that is counted. */
  readonly direction: Direction;
  /** Of a rule that counts accounts which turn abnormal. */
  readonly outbreak?: OutbreakReading;
}

/** How it stands with the accounts of a domain that turn abnormal together. */
export interface OutbreakReading {
  readonly domain: string;
  /** Accounts that have turned within the window and were not acted upon. */
  readonly accounts: number;
  /** The rule trips above so many. */
  readonly limit: number;
  readonly window: Milliseconds;
  /** When this account turned; absent where it has not, or where the subject is the domain. */
  readonly turnedAt?: Instant;
  /** Until then whoever turns is acted upon at once; absent where there is no alarm. */
  readonly alarmUntil?: Instant;
}

/** A subject in its hour of grace, in which limits are tripled: whether a person has called a verdict on it wrong. */
interface Graced {
  readonly falsePositive: boolean;
}

/** Says what stands in the windows of the subjects of one type, and changes nothing. */
export class WindowReadings {
  readonly #limits: Limits;
  readonly #counted: SubjectWindows;
  readonly #conclusions: RuleEvaluation;
  readonly #graced: (value: string, now: Instant) => Graced | undefined;

  constructor(
    limits: Limits,
    counted: SubjectWindows,
    conclusions: RuleEvaluation,
    graced: (value: string, now: Instant) => Graced | undefined,
  ) {
    this.#limits = limits;
    this.#counted = counted;
    this.#conclusions = conclusions;
    this.#graced = graced;
  }

  /** Against every rule that acts on the subject itself, but for those that are off for it. */
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

  /** How far an account is from turning, says a rule over its domain. */
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
      ...{ rule: rule.id, count, window, direction: rule.direction, limit, besides: [] },
      observed: row === undefined ? 0 : this.#counted.observed(row, number, watch, now),
      ...(notNow === undefined ? {} : { notNow }),
    };
  }

  #factor(value: string, now: Instant): number {
    return this.#graced(value, now) === undefined ? 1 : GRACE_FACTOR;
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
    // A rule that is off for this subject has nothing to say of it.
    if (untripled === null) return undefined;
    const row = this.#counted.find(value);
    const inWindow = row === undefined ? undefined : withEvidence(row);
    return {
      ...(inWindow === undefined ? {} : { inWindow }),
      ...{ rule, count, window, ...(leaveOut === undefined ? {} : { leaveOut }) },
      ...{ observed: row === undefined ? 0 : observed(row), direction: countedBy(watch.rule) },
      limit: untripled * this.#factor(value, now),
      ...this.#conclusions.prospect(watch.rule, value, row, now),
    };
  }
}
