import type { Instant } from '../kernel/time.js';
import { formatDuration, formatInstant } from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';
import { subjectKey } from '../sending/subjects.js';
import type { BacktestCase, CaseVerdict, Mail, RuleTally } from './cases.js';
import type { Score } from './labels.js';
import type { Trial } from './trial.js';

/*
 * What a back-test says, as `--json` and the API give it. Instants are ISO 8601 texts, durations texts such as `10m`,
 * null is what does not apply. docs/run/backtest.md explains each field; a change here is a change of the interface.
 */

/** One block or proposal. */
export interface CaseReport {
  readonly subject: Subject;
  /** `block` also if it was proposed first and approved. */
  readonly action: 'block' | 'propose';
  readonly rule: string;
  readonly proposedAt: string | null;
  readonly blockedAt: string | null;
  /** When the block ends or would have ended; null also for one without end: then `blockedAt` is set. */
  readonly until: string | null;
  /** How it ended; null if it was still open at the end. */
  readonly ended: BacktestCase['ended'];
  readonly endedAt: string | null;
  readonly evidence: {
    readonly count: string;
    readonly window: string;
    readonly limit: number;
    readonly observed: number;
    readonly sentence: string;
  };
  /**
   * What the account got through on that day (UTC) up to then, this message included; null if the subject is no
   * account.
   */
  readonly sentThatDay: Readonly<Mail> | null;
  readonly refused: Readonly<Mail>;
  readonly judged: CaseVerdict;
  /** Of a block in a comparison: whether the other rules blocked the same subject meanwhile; else null. */
  readonly shared: boolean | null;
}

export interface CandidateReport {
  /** The file's name, or what the rules were otherwise called. */
  readonly rules: string;
  readonly mode: 'enforce' | 'observe';
  readonly accepted: Readonly<Mail>;
  readonly refused: Readonly<Mail>;
  /** Attempts that were refused when they were recorded: by whether these rules refuse them too. */
  readonly attempts: { readonly refused: number; readonly letThrough: number };
  readonly blocks: number;
  readonly proposals: number;
  readonly right: number;
  readonly wrong: number;
  /** Of a case that several rules asked for each has its part: the columns may add up to more than there were. */
  readonly byRule: readonly (Readonly<RuleTally> & { readonly rule: string })[];
  /** In the order in which they began; only the first ones if there are too many. */
  readonly cases: readonly CaseReport[];
  readonly casesLeftOut: number;
  /** Only if labels say what was an attack. */
  readonly score: Score | null;
}

export interface ComparisonReport {
  /** Messages refused by the first rules alone, by the second alone, by both. */
  readonly refused: Compared<Readonly<Mail>>;
  readonly blocks: BacktestComparison['blocks'];
}

export interface BacktestReport {
  readonly source: string;
  /**
   * When the first and the last thing happened that the source holds, whether gone through or not; null if it holds
   * none.
   */
  readonly begins: string | null;
  readonly ends: string | null;
  /** The same of what was gone through: null if nothing happened in the range that was asked for. */
  readonly from: string | null;
  readonly to: string | null;
  /** Messages, and their recipients. */
  readonly sends: Readonly<Mail>;
  /** Accounts, or the other senders of these messages. */
  readonly senders: number;
  /** Days on which a sender sent, summed over all of them; days of nothing but a labelled attack left out. */
  readonly senderDays: number;
  /** Messages that were not gone through because they were imported. */
  readonly imported: number;
  /** Events that could not be folded, and count for nothing. */
  readonly skipped: number;
  /** Why the first of them could not be. */
  readonly skippedFor: string | null;
  /** Messages that the labels name, and how many of them are nowhere in the trace; null without labels. */
  readonly labelled: { readonly messages: number; readonly missing: number } | null;
  /** One, or two that are compared. */
  readonly candidates: readonly CandidateReport[];
  readonly comparison: ComparisonReport | null;
}

export function caseReport(one: BacktestCase, compared: boolean): CaseReport {
  const { subject, rule, proposedAt, blockedAt, until, ended, endedAt, evidence, judged, shared } = one;
  const { count, window, limit, observed, sentence } = evidence;
  return {
    subject: { type: subject.type, value: subject.value },
    action: blockedAt === null ? 'propose' : 'block',
    rule,
    proposedAt: instant(proposedAt),
    blockedAt: instant(blockedAt),
    until: instant(until),
    ended,
    endedAt: instant(endedAt),
    evidence: { count, window: formatDuration(window), limit, observed, sentence },
    sentThatDay: one.sentThatDay,
    refused: one.refused,
    judged,
    shared: compared && blockedAt !== null ? shared : null,
  };
}

export function candidateReport(
  trial: Trial,
  senderDays: number,
  cases: readonly CaseReport[],
  casesLeftOut: number,
): CandidateReport {
  const byRule = [...trial.cases.rules()].map(([rule, tally]) => ({ rule, ...tally }));
  const blocks = byRule.reduce((total, tally) => total + tally.blocks, 0);
  const { name, rules, accepted, refused, attempts, scorer } = trial;
  return {
    rules: name,
    mode: rules.mode,
    accepted,
    refused,
    attempts,
    blocks,
    ...trial.cases.totals,
    byRule,
    cases,
    casesLeftOut,
    score: scorer?.score(senderDays) ?? null,
  };
}

export function instant(at: Instant | null): string | null {
  return at === null ? null : formatInstant(at);
}

/** What of two rule sets only one did, and what both. */
interface Compared<Figure> {
  readonly onlyFirst: Figure;
  readonly onlySecond: Figure;
  readonly both: Figure;
}

/** Two rule sets side by side: whose blocks, and whose refusals. */
export class BacktestComparison {
  /** Messages that were refused by. */
  readonly refused: Compared<Mail> = { onlyFirst: none(), onlySecond: none(), both: none() };
  /** Of the first rules, by whether the second ones blocked the same subject meanwhile; and the other way round. */
  readonly blocks = { first: { shared: 0, only: 0 }, second: { shared: 0, only: 0 } };
  readonly #standing: readonly [Map<string, BacktestCase>, Map<string, BacktestCase>] = [
    new Map(),
    new Map(),
  ];

  message(first: boolean, second: boolean, recipients: number): void {
    if (!first && !second) return;
    const mail =
      first && second ? this.refused.both : first ? this.refused.onlyFirst : this.refused.onlySecond;
    mail.messages++;
    mail.recipients += recipients;
  }

  blocked(index: number, one: BacktestCase): void {
    const key = keyOf(one);
    this.#standing[index]!.set(key, one);
    const other = this.#standing[1 - index]!.get(key);
    if (other !== undefined) one.shared = other.shared = true;
  }

  closed(index: number, one: BacktestCase): void {
    if (one.blockedAt === null) return;
    this.#standing[index]!.delete(keyOf(one));
    this.blocks[index === 0 ? 'first' : 'second'][one.shared ? 'shared' : 'only']++;
  }
}

function none(): Mail {
  return { messages: 0, recipients: 0 };
}

function keyOf({ subject }: { readonly subject: Subject }): string {
  return subjectKey(subject);
}
