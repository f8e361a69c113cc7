import type { Instant } from '../kernel/time.js';
import { isAftermath } from './labels.js';
import type { AccountLabel, Attack, Labels } from './labels.js';

/** How attacks fared. */
export interface AttackScore {
  /** Those of which messages were gone through; all that follows is of them alone. */
  readonly attacks: number;
  /** Those of which none was: nobody knows how they would have fared. */
  readonly absent: number;
  /** Attacks of which at least half of the recipients were stopped. */
  readonly contained: number;
  /** Recipients of attack messages that nothing stopped: the median over the attacks, and the 95th percentile. */
  readonly leakedMedian: number;
  readonly leakedP95: number;
  /** Of all recipients of attacks. */
  readonly leakedShare: number;
}

export interface Score extends AttackScore {
  readonly byKind: Readonly<Record<string, AttackScore>>;
  /** Days on which an account sent something that belongs to no attack. */
  readonly senderDays: number;
  readonly blocks: number;
  /** Blocks that never covered a message of an attack. */
  readonly wrongBlocks: number;
  readonly wrongBlocksPer1000SenderDays: number;
  readonly proposals: number;
  readonly proposalsPer1000SenderDays: number;
  /** Messages of accounts that are neither in an attack nor bulk senders. */
  readonly cleanMessages: number;
  readonly cleanStoppedShare: number;
  /** Of the own messages of the accounts that were attacked, outside the attack and the day after it. */
  readonly ownersStoppedShare: number;
  readonly bulkStoppedShare: number;
}

interface Fate {
  leaked: number;
  stopped: number;
}

interface Stopped {
  total: number;
  stopped: number;
}

/** Counts, message by message, what blocks did to attacks and to everybody else. */
export class Scorer {
  readonly #labels: Labels;
  readonly #fates: readonly Fate[];
  readonly #clean: Stopped = { total: 0, stopped: 0 };
  readonly #owners: Stopped = { total: 0, stopped: 0 };
  readonly #bulk: Stopped = { total: 0, stopped: 0 };
  #blocks = 0;
  #wrongBlocks = 0;
  #proposals = 0;

  constructor(labels: Labels) {
    this.#labels = labels;
    this.#fates = labels.attacks.map(() => ({ leaked: 0, stopped: 0 }));
  }

  /**
   * @param attack the one that the message belongs to
   * @param label what is known of the account
   * @param stopped whether a block covers the message
   */
  message(
    at: Instant,
    recipients: number,
    attack: Attack | undefined,
    label: AccountLabel | undefined,
    stopped: boolean,
  ): void {
    if (attack !== undefined) {
      const fate = this.#fates[attack.index]!;
      if (stopped) fate.stopped += recipients;
      else fate.leaked += recipients;
      return;
    }
    let whose = this.#clean;
    if (label?.bulk === true) whose = this.#bulk;
    else if (label !== undefined && label.attacks.length > 0) {
      if (isAftermath(label, at)) return;
      whose = this.#owners;
    }
    whose.total++;
    if (stopped) whose.stopped++;
  }

  proposed(): void {
    this.#proposals++;
  }

  /** A block has ended, or the trace has. */
  block(wrong: boolean): void {
    this.#blocks++;
    if (wrong) this.#wrongBlocks++;
  }

  score(senderDays: number): Score {
    const { attacks } = this.#labels;
    const kinds = [...new Set(attacks.map(({ kind }) => kind))];
    const ofKind = (kind: string): readonly Fate[] =>
      attacks.filter((attack) => attack.kind === kind).map(({ index }) => this.#fates[index]!);
    const perThousand = (count: number): number => rounded((1000 * count) / Math.max(1, senderDays));
    return {
      ...attackScore(this.#fates),
      byKind: Object.fromEntries(kinds.map((kind) => [kind, attackScore(ofKind(kind))])),
      senderDays,
      blocks: this.#blocks,
      wrongBlocks: this.#wrongBlocks,
      wrongBlocksPer1000SenderDays: perThousand(this.#wrongBlocks),
      proposals: this.#proposals,
      proposalsPer1000SenderDays: perThousand(this.#proposals),
      cleanMessages: this.#clean.total,
      cleanStoppedShare: share(this.#clean),
      ownersStoppedShare: share(this.#owners),
      bulkStoppedShare: share(this.#bulk),
    };
  }
}

function attackScore(labelled: readonly Fate[]): AttackScore {
  // A message has a recipient.
  const fates = labelled.filter((fate) => fate.leaked + fate.stopped > 0);
  const leaked = fates.map((fate) => fate.leaked).sort((a, b) => a - b);
  const total = fates.reduce((sum, fate) => sum + fate.leaked + fate.stopped, 0);
  return {
    attacks: fates.length,
    absent: labelled.length - fates.length,
    contained: fates.filter((fate) => fate.stopped >= (fate.leaked + fate.stopped) / 2).length,
    leakedMedian: quantile(leaked, 0.5),
    leakedP95: quantile(leaked, 0.95),
    leakedShare: rounded(leaked.reduce((sum, one) => sum + one, 0) / Math.max(1, total)),
  };
}

/** The least of the sorted values that at least this share of them does not exceed; 0 of none. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

function share({ total, stopped }: Stopped): number {
  return rounded(stopped / Math.max(1, total));
}

/** To six digits behind the point. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
