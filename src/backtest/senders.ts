import type { Instant } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { Mail } from './cases.js';
import type { AccountLabel, Labels } from './labels.js';

/** Who sent, and how much on the day that is passing. */
export interface Sender {
  /** The last day (UTC, counted from the epoch) on which it sent. */
  day: number;
  /** The last day that was counted as one on which it sent something that belongs to no attack. */
  countedDay: number;
  /** On that day, by the place of a candidate: what its rules let through. */
  readonly sent: readonly Mail[];
  readonly label: AccountLabel | undefined;
}

/** Everybody who sent: one small record each, however much they sent. */
export class Senders {
  /** Days on which a sender sent, summed over all: what rates are given for. Days of nothing but an attack are left out. */
  days = 0;
  readonly #all = new Map<string, Sender>();
  readonly #labels: Labels | undefined;
  readonly #candidates: number;

  constructor(candidates: number, labels?: Labels) {
    this.#candidates = candidates;
    this.#labels = labels;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The sender of a message; @param name as in the key of its stream */
  at(name: string, at: Instant): Sender {
    const day = Math.floor(at / DAY);
    let sender = this.#all.get(name);
    if (sender === undefined) {
      const sent = Array.from({ length: this.#candidates }, () => ({ messages: 0, recipients: 0 }));
      sender = { day, countedDay: -Infinity, sent, label: this.#labels?.of(name) };
      this.#all.set(name, sender);
    } else if (day > sender.day) {
      sender.day = day;
      for (const mail of sender.sent) mail.messages = mail.recipients = 0;
    }
    return sender;
  }

  /** Counts the day, once. */
  active(sender: Sender): void {
    if (sender.day <= sender.countedDay) return;
    sender.countedDay = sender.day;
    this.days++;
  }

  /** A copy of what an account has sent on its last day, as far as the candidate let it. */
  sentToday(account: string, candidate: number): Readonly<Mail> | null {
    const sent = this.#all.get(account)?.sent[candidate];
    return sent === undefined ? null : { ...sent };
  }
}
