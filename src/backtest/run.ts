import { StopgapError } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { DEFAULT_RULES } from '../rules/defaults.js';
import { parseRules } from '../rules/parse.js';
import type { MessageAccepted } from '../sending/events.js';
import { senderIdentity, sendStreamKey } from '../sending/subjects.js';
import type { BacktestCase, CaseVerdict, Decision, Mail } from './cases.js';
import { decisionsOf } from './cases.js';
import type { LabelledMessage, Labels } from './labels.js';
import type { BacktestReport, CaseReport } from './report.js';
import { BacktestComparison, candidateReport, caseReport, instant } from './report.js';
import { Senders } from './senders.js';
import type { Candidate } from './trial.js';
import { Trial } from './trial.js';
import type { ActivityEvent, Source } from './world.js';

export interface Progress extends Readonly<Mail> {
  /** Bytes or positions. */
  readonly done: number;
  readonly total: number | undefined;
  /** How far time has come; undefined before the first event. */
  readonly at: Instant | undefined;
  /** By the first rules, so far. */
  readonly refused: number;
}

export interface BacktestOptions {
  readonly source: Source;
  /** One, or two to be compared. */
  readonly candidates: readonly Candidate[];
  /** Before this, events count but cause no action and no report. */
  readonly from?: Instant | undefined;
  /** What happens then or later is left out. */
  readonly to?: Instant | undefined;
  readonly labels?: Labels | undefined;
  /** What people have said of a case, if there are no labels. */
  readonly judge?: ((one: BacktestCase) => CaseVerdict) | undefined;
  /** Cases that the report lists, for each candidate; the rest only counts. */
  readonly most?: number | undefined;
  /** Told what the first candidate decides, a case at a time, once it is over. */
  readonly onDecision?: (decision: Decision) => void;
  /** Told after each batch; a promise that it returns is waited for. */
  readonly onProgress?: (so: Progress) => void | Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/** The back-test was called off. */
export class BacktestCancelled extends StopgapError {
  constructor() {
    super('conflict', 'the back-test was cancelled');
    this.name = 'BacktestCancelled';
  }
}

/** Cases that a report lists unless said otherwise. */
export const MOST_CASES = 10_000;

/**
 * Goes through what happened under one or two rule sets, blocks taking effect. Memory grows with the senders and with
 * what is blocked, not with the length of what is gone through. The same input gives the same report.
 *
 * @throws BacktestCancelled; StopgapError if the labels are those of another trace; what the source throws
 */
export async function runBacktest(options: BacktestOptions): Promise<BacktestReport> {
  const run = new Run(options);
  for await (const { activities, done, total } of options.source.batches()) {
    if (options.signal?.aborted === true) throw new BacktestCancelled();
    for (const activity of activities) run.take(activity);
    const told = options.onProgress?.({ ...run.progress(), done, total });
    if (told !== undefined) await told;
  }
  return run.report();
}

class Run {
  readonly #options: BacktestOptions;
  readonly #senders: Senders;
  readonly #comparison: BacktestComparison | undefined;
  /** Labelled messages that are in the trace, whether gone through or not. */
  readonly #met = new Set<LabelledMessage>();
  readonly #sends: Mail = { messages: 0, recipients: 0 };
  readonly #listed: readonly CaseReport[][];
  readonly #leftOut: number[];
  #trials: readonly Trial[] = [];
  readonly #to: Instant;
  #acting = true;
  /** When the first and the last thing happened that there is. */
  #begins: Instant | undefined;
  #ends: Instant | undefined;
  /** The same of what lies in the range. */
  #first: Instant | undefined;
  #last: Instant | undefined;

  constructor(options: BacktestOptions) {
    const { candidates, labels } = options;
    this.#options = options;
    this.#to = options.to ?? Infinity;
    this.#senders = new Senders(candidates.length, labels);
    this.#comparison = candidates.length === 2 ? new BacktestComparison() : undefined;
    this.#listed = candidates.map(() => []);
    this.#leftOut = candidates.map(() => 0);
  }

  take(activity: ActivityEvent): void {
    const { recordedAt } = activity;
    this.#begins ??= recordedAt;
    this.#ends = recordedAt;
    if (recordedAt >= this.#to) return this.#leaveOut(activity);
    if (this.#trials.length === 0) this.#begin(recordedAt);
    if (!this.#acting && recordedAt >= this.#options.from!) this.#act();
    if (this.#acting) {
      this.#first ??= recordedAt;
      this.#last = recordedAt;
    }
    for (const trial of this.#trials) trial.world.advance(recordedAt);
    if (activity.type === 'MessageAccepted') this.#message(activity);
    else for (const trial of this.#trials) trial.other(activity);
  }

  progress(): Omit<Progress, 'done' | 'total'> {
    return { ...this.#sends, at: this.#ends, refused: this.#trials[0]?.refused.messages ?? 0 };
  }

  /** @throws StopgapError if the labels are those of another trace */
  report(): BacktestReport {
    const labelled = this.#labelled();
    if (this.#trials.length === 0) this.#try(0);
    for (const trial of this.#trials) trial.close();
    const { count: senders, days: senderDays } = this.#senders;
    const comparison = this.#comparison;
    return {
      source: this.#options.source.name,
      begins: instant(this.#begins ?? null),
      ends: instant(this.#ends ?? null),
      from: instant(this.#first ?? null),
      to: instant(this.#last ?? null),
      sends: this.#sends,
      senders,
      senderDays,
      imported: this.#options.source.imported ?? 0,
      skipped: this.#trials[0]!.world.skipped,
      skippedFor: this.#trials[0]!.world.skippedFor ?? null,
      labelled,
      candidates: this.#trials.map((trial, index) =>
        candidateReport(trial, senderDays, this.#listed[index]!.sort(byBegin), this.#leftOut[index]!),
      ),
      comparison:
        comparison === undefined ? null : { refused: comparison.refused, blocks: comparison.blocks },
    };
  }

  #begin(start: Instant): void {
    const { from } = this.#options;
    this.#acting = from === undefined || from <= start;
    this.#try(start);
    for (const { world } of this.#trials) world.acting = this.#acting;
  }

  #try(start: Instant): void {
    const { candidates, labels, judge } = this.#options;
    this.#trials = candidates.map((candidate, index) => {
      const listener = {
        blocked: (one: BacktestCase) => this.#comparison?.blocked(index, one),
        closed: (one: BacktestCase) => this.#closed(index, one),
      };
      return new Trial({ ...candidate, index, start, senders: this.#senders, labels, judge, listener });
    });
  }

  #act(): void {
    this.#acting = true;
    for (const { world } of this.#trials) world.acting = true;
  }

  #message(activity: ActivityEvent): void {
    const data = activity.data as MessageAccepted;
    const sender = this.#senders.of(data, activity.at);
    const labelled = sender.label?.sent.get(activity.at);
    if (labelled !== undefined) this.#met.add(labelled);
    const attack = labelled?.attack;
    if (!this.#acting) {
      for (const trial of this.#trials) trial.world.fold(activity);
      return;
    }
    this.#sends.messages++;
    this.#sends.recipients += data.recipients;
    this.#senders.active(sender, attack !== undefined);
    const identity = this.#isAnybodyRefused() ? this.#senders.identity(sender, data) : undefined;
    let refusals = 0;
    for (let index = 0; index < this.#trials.length; index++) {
      const refusing = this.#trials[index]!.message(activity, identity, sender, attack);
      if (refusing !== undefined) refusals |= 1 << index;
    }
    this.#comparison?.message((refusals & 1) !== 0, (refusals & 2) !== 0, data.recipients);
  }

  /** Labels are of the whole trace: that a part of it is not gone through does not make them those of another. */
  #leaveOut({ type, at, data }: ActivityEvent): void {
    const { labels } = this.#options;
    if (labels === undefined || type !== 'MessageAccepted') return;
    const sender = sendStreamKey(senderIdentity(data as MessageAccepted));
    const labelled = labels.of(sender)?.sent.get(at);
    if (labelled !== undefined) this.#met.add(labelled);
  }

  /** @throws StopgapError if most of what the labels name is not there: every figure would be about nothing */
  #labelled(): BacktestReport['labelled'] {
    const { labels } = this.#options;
    if (labels === undefined) return null;
    const { messages } = labels;
    const missing = messages - this.#met.size;
    if (2 * missing > messages) {
      const what = `${missing} of ${messages} labelled messages are not in this trace: are these its labels?`;
      throw new StopgapError('invalid-input', `${labels.name}: ${what}`);
    }
    return { messages, missing };
  }

  #isAnybodyRefused(): boolean {
    for (const { world } of this.#trials) if (world.refuses) return true;
    return false;
  }

  #closed(index: number, one: BacktestCase): void {
    const { most = MOST_CASES, onDecision } = this.#options;
    this.#comparison?.closed(index, one);
    if (index === 0 && onDecision !== undefined)
      for (const decision of decisionsOf(one)) onDecision(decision);
    const listed = this.#listed[index]!;
    if (listed.length < most) listed.push(caseReport(one, this.#comparison !== undefined));
    else this.#leftOut[index]!++;
  }
}

function byBegin(a: CaseReport, b: CaseReport): number {
  const beginOf = ({ proposedAt, blockedAt }: CaseReport): string => proposedAt ?? blockedAt!;
  return beginOf(a) < beginOf(b) ? -1 : beginOf(a) > beginOf(b) ? 1 : 0;
}

/** Rule sets that have a name instead of a file or a text: those that ship, and those in the store. */
export const DEFAULTS = 'defaults';
export const IN_FORCE = 'in-force';

/** What is asked for, before a store is there that knows which rules are in force. */
export type RequestedRules = Candidate | typeof IN_FORCE;

let shipped: Candidate | undefined;

/** They are read once: that takes longer than a request may hold the event loop often. */
export function rulesThatShip(): Candidate {
  return (shipped ??= { name: DEFAULTS, rules: parseRules(DEFAULT_RULES, DEFAULTS) });
}
