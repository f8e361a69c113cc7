import { z } from 'zod';
import { StopgapError } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { DAY, parseInstant } from '../kernel/time.js';
import { normalizeAccount } from '../sending/identity.js';

/** One attack that the labels tell of. */
export interface Attack {
  readonly id: string;
  readonly kind: string;
  /** Its place among the attacks. */
  readonly index: number;
  readonly start: Instant;
  readonly end: Instant;
}

/** One message of an attack: its account and its time name it. */
export interface LabelledMessage {
  readonly attack: Attack;
}

/** What is known of one account. */
export interface AccountLabel {
  /** Sends in bulk, and may. */
  bulk: boolean;
  /** The attacks in which it was used. */
  readonly attacks: Attack[];
  /** The messages of attacks that were sent in its name, by their time. */
  readonly sent: Map<Instant, LabelledMessage>;
}

const instant = z.string().transform((text, context): Instant => {
  const at = parseInstant(text);
  if (at !== undefined) return at;
  context.addIssue({ code: 'custom', message: 'must be an ISO 8601 time such as 2016-01-04T09:39:38.771Z' });
  return z.NEVER;
});
const text = z.string('must be a text').min(1, 'must not be empty');
const file = z.object(
  {
    attacks: z.array(
      z.object({
        id: text,
        kind: text,
        accounts: z.array(text, 'must be a list of accounts'),
        start: instant,
        end: instant,
        sent: z.array(text, 'must be a list of "<account> <time>"'),
      }),
      'must be a list of attacks',
    ),
    bulk: z.array(text, 'must be a list of accounts').default([]),
  },
  'must be an object {attacks, bulk}',
);

/** For so long after an attack its account's own mail is not held against the rules that stopped it. */
const AFTERMATH = DAY;

/** Which messages of a trace belong to an attack, and who may send in bulk. */
export class Labels {
  /** Of the file. */
  readonly name: string;
  readonly attacks: readonly Attack[];
  readonly #accounts = new Map<string, AccountLabel>();

  private constructor(read: z.infer<typeof file>, name: string) {
    this.name = name;
    this.attacks = read.attacks.map(({ id, kind, start, end }, index) => ({ id, kind, index, start, end }));
    read.attacks.forEach(({ accounts, sent }, index) => {
      const attack = this.attacks[index]!;
      for (const account of accounts) this.#label(account).attacks.push(attack);
      sent.forEach((entry, place) => {
        const space = entry.lastIndexOf(' ');
        const at = parseInstant(entry.slice(space + 1));
        if (space < 1 || at === undefined) {
          const right = 'must be an account and a time, such as "anna@example.com 2016-01-04T09:39:38.771Z"';
          throw faulty(name, `attacks[${index}].sent[${place}]`, right);
        }
        this.#label(entry.slice(0, space)).sent.set(at, { attack });
      });
    });
    for (const account of read.bulk) this.#label(account).bulk = true;
  }

  /**
   * Reads `{attacks: [{id, kind, accounts, start, end, sent: ["<account> <time>", …]}], bulk: [<account>, …]}`;
   * further fields are passed over.
   *
   * @throws StopgapError naming the file and the field
   */
  static parse(content: string, name: string): Labels {
    let json: unknown;
    try {
      json = JSON.parse(content);
    } catch {
      throw faulty(name, '', 'is no JSON: it must be one object {attacks, bulk}');
    }
    const result = file.safeParse(json);
    if (result.success) return new Labels(result.data, name);
    const { path, message } = result.error.issues[0]!;
    const where = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
    throw faulty(name, where.replace(/^\./, ''), message);
  }

  /** Different messages that are named. */
  get messages(): number {
    let sum = 0;
    for (const { sent } of this.#accounts.values()) sum += sent.size;
    return sum;
  }

  /** @param account in normal form */
  of(account: string): AccountLabel | undefined {
    return this.#accounts.get(account);
  }

  #label(account: string): AccountLabel {
    const key = normalizeAccount(account);
    let label = this.#accounts.get(key);
    if (label === undefined) this.#accounts.set(key, (label = { bulk: false, attacks: [], sent: new Map() }));
    return label;
  }
}

/** Whether an attack on this account was under way, or had ended less than a day ago. */
export function isAftermath({ attacks }: AccountLabel, at: Instant): boolean {
  return attacks.some(({ start, end }) => at >= start && at <= end + AFTERMATH);
}

function faulty(file: string, field: string, message: string): StopgapError {
  return new StopgapError('invalid-input', [file, field, message].filter((part) => part !== '').join(': '));
}

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
  /** The recipients that leaked before a block first stopped the attack, and those that leaked afterwards. */
  readonly leakedBefore: number;
  readonly leakedAfter: number;
  /** How many attacks each rule was the first to stop. */
  readonly caughtBy: Readonly<Record<string, number>>;
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
  /** Of what leaked: before anything was stopped. */
  leakedBefore: number;
  /** The rule whose block was the first to stop a message; undefined if nothing was stopped, or by no rule. */
  caughtBy: string | undefined;
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
    this.#fates = labels.attacks.map(() => ({ leaked: 0, stopped: 0, leakedBefore: 0, caughtBy: undefined }));
  }

  /**
   * @param attack the one that the message belongs to
   * @param label what is known of the account
   * @param stopped whether a block covers the message
   * @param rule that made the block
   */
  message(
    at: Instant,
    recipients: number,
    attack: Attack | undefined,
    label: AccountLabel | undefined,
    stopped: boolean,
    rule?: string,
  ): void {
    if (attack !== undefined) {
      const fate = this.#fates[attack.index]!;
      if (!stopped) {
        fate.leaked += recipients;
        if (fate.stopped === 0) fate.leakedBefore += recipients;
        return;
      }
      if (fate.stopped === 0) fate.caughtBy = rule;
      fate.stopped += recipients;
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
  const leakedInAll = leaked.reduce((sum, one) => sum + one, 0);
  const leakedBefore = fates.reduce((sum, fate) => sum + fate.leakedBefore, 0);
  const caughtBy = new Map<string, number>();
  for (const { caughtBy: rule } of fates)
    if (rule !== undefined) caughtBy.set(rule, (caughtBy.get(rule) ?? 0) + 1);
  return {
    attacks: fates.length,
    absent: labelled.length - fates.length,
    contained: fates.filter((fate) => fate.stopped >= (fate.leaked + fate.stopped) / 2).length,
    leakedMedian: quantile(leaked, 0.5),
    leakedP95: quantile(leaked, 0.95),
    leakedShare: rounded(leakedInAll / Math.max(1, total)),
    leakedBefore,
    leakedAfter: leakedInAll - leakedBefore,
    // The most successful rule first; of equal ones the one whose attack comes first.
    caughtBy: Object.fromEntries([...caughtBy].sort((a, b) => b[1] - a[1])),
  };
}

/** The least of the sorted values that at least this share of them does not exceed; 0 of none. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

function share({ total, stopped }: Stopped): number {
  return rounded(stopped / Math.max(1, total));
}

/** To six digits after the point. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
