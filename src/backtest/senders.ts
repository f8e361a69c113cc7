import type { Instant } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { RawIdentity, SenderIdentity } from '../sending/subjects.js';
import { sendStreamKey, senderIdentity } from '../sending/subjects.js';
import type { Mail } from './cases.js';
import type { AccountLabel, Labels } from './labels.js';

/** Spellings of logins. */
const LOGINS_KEPT = 100_000;

/** Who sent, and how much on the day that is passing. */
export interface Sender {
  /** The last day (UTC, counted from the epoch) on which it sent. */
  day: number;
  /** The last day that was counted as one on which it sent something that belongs to no attack. */
  countedDay: number;
  /** On that day, by the place of a candidate: what its rules let through. */
  readonly sent: readonly Mail[];
  readonly label: AccountLabel | undefined;
  /** Of its last message, as it was written and in normal form. */
  last: { readonly raw: RawIdentity; readonly identity: SenderIdentity } | undefined;
  /** It is among those that are counted. */
  counted: boolean;
}

/** Everybody who sent: one small record each, however much they sent. */
export class Senders {
  /** Days on which a sender sent, summed over all: what rates are given for. Days of nothing but an attack are left out. */
  days = 0;
  /** How many of them were counted. */
  count = 0;
  /** By the key of their streams. */
  readonly #all = new Map<string, Sender>();
  /** The same by their logins as clients write them, in a few ways each: normal forms cost more than look-ups. */
  readonly #byLogin = new Map<string, Sender>();
  readonly #labels: Labels | undefined;
  readonly #candidates: number;

  constructor(candidates: number, labels?: Labels) {
    this.#candidates = candidates;
    this.#labels = labels;
  }

  /** The sender of this message. */
  of(message: RawIdentity, at: Instant): Sender {
    const { account: login } = message;
    let sender = login === undefined ? undefined : this.#byLogin.get(login);
    if (sender === undefined) {
      const name = sendStreamKey(senderIdentity(message));
      sender = this.#all.get(name) ?? this.#add(name, at);
      // Too many are begun again: keeping the newest would cost more than it saves.
      if (this.#byLogin.size >= LOGINS_KEPT) this.#byLogin.clear();
      if (login !== undefined) this.#byLogin.set(login, sender);
    }
    const day = Math.floor(at / DAY);
    if (day > sender.day) {
      sender.day = day;
      for (const mail of sender.sent) mail.messages = mail.recipients = 0;
    }
    return sender;
  }

  /** The sender's identity in normal form: most messages of a sender have the same names as the one before. */
  identity(sender: Sender, message: RawIdentity): SenderIdentity {
    const { last } = sender;
    if (last !== undefined && isSame(last.raw, message)) return last.identity;
    const { account, returnPath, ehlo, ip, direction } = message;
    const raw = { account, returnPath, ehlo, ip, direction };
    const identity = senderIdentity(raw);
    sender.last = { raw, identity };
    return identity;
  }

  /** Counts the sender, and its day if it is not part of an attack; each once. */
  active(sender: Sender, isAttack: boolean): void {
    if (!sender.counted) {
      sender.counted = true;
      this.count++;
    }
    if (isAttack || sender.day <= sender.countedDay) return;
    sender.countedDay = sender.day;
    this.days++;
  }

  /** A copy of what an account has sent on its last day, as far as the candidate let it. */
  sentToday(account: string, candidate: number): Readonly<Mail> | null {
    const sent = this.#all.get(account)?.sent[candidate];
    return sent === undefined ? null : { ...sent };
  }

  #add(name: string, at: Instant): Sender {
    const sent = Array.from({ length: this.#candidates }, () => ({ messages: 0, recipients: 0 }));
    const label = this.#labels?.of(name);
    const day = Math.floor(at / DAY);
    const sender: Sender = { day, countedDay: -Infinity, sent, label, last: undefined, counted: false };
    this.#all.set(name, sender);
    return sender;
  }
}

function isSame(a: RawIdentity, b: RawIdentity): boolean {
  return (
    a.account === b.account &&
    a.returnPath === b.returnPath &&
    a.ehlo === b.ehlo &&
    a.ip === b.ip &&
    a.direction === b.direction
  );
}
