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

/** For so long after an attack its account's own mail is not held against whoever stopped it. */
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
