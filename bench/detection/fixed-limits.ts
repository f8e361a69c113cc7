import type { Score } from '../../src/backtest/labels.js';
import { Scorer } from '../../src/backtest/labels.js';
import { Senders } from '../../src/backtest/senders.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { HOUR } from '../../src/kernel/time.js';
import type { Message } from './message.js';
import type { Workload } from './workload.js';

/** Limits of an account as mail servers have them: more than this within a sliding window, and it is blocked for an hour. */
export interface FixedLimits {
  readonly name: string;
  readonly count: 'messages' | 'recipients';
  readonly limits: readonly { readonly most: number; readonly window: Milliseconds }[];
}

const BLOCKED: Milliseconds = HOUR;

interface Account {
  /** What was let through, as long as any window reaches back to it. */
  readonly sent: { readonly at: Instant; readonly amount: number }[];
  /** How much of the list is done. */
  gone: number;
  block: { readonly until: Instant; caught: boolean } | undefined;
}

/** What fixed limits would have done: a blocked account does not count, and counts from zero after the block. */
export function scoreOf({ count, limits }: FixedLimits, { messages, labels }: Workload): Score {
  const accounts = new Map<string, Account>();
  const senders = new Senders(0, labels);
  const scorer = new Scorer(labels);
  const longest = Math.max(...limits.map(({ window }) => window));
  const end = (account: Account): void => {
    if (account.block !== undefined) scorer.block(!account.block.caught);
    account.block = undefined;
  };
  for (const message of messages) {
    const { at, recipients } = message;
    const sender = senders.of({ ...message, direction: 'outbound' }, at);
    const attack = sender.label?.sent.get(at)?.attack;
    senders.active(sender, attack !== undefined);
    let account = accounts.get(message.account);
    if (account === undefined)
      accounts.set(message.account, (account = { sent: [], gone: 0, block: undefined }));
    if (account.block !== undefined && account.block.until <= at) end(account);
    scorer.message(at, recipients, attack, sender.label, account.block !== undefined);
    if (account.block !== undefined) {
      if (attack !== undefined) account.block.caught = true;
      continue;
    }
    note(account, message, count, longest);
    if (limits.some(({ most, window }) => within(account, at, window) > most)) {
      account.block = { until: at + BLOCKED, caught: false };
      account.sent.length = account.gone = 0;
    }
  }
  for (const account of accounts.values()) end(account);
  return scorer.score(senders.days);
}

function note(
  account: Account,
  { at, recipients }: Message,
  count: FixedLimits['count'],
  longest: Milliseconds,
): void {
  account.sent.push({ at, amount: count === 'messages' ? 1 : recipients });
  while (account.sent[account.gone]!.at <= at - longest) account.gone++;
  if (account.gone < 1000) return;
  account.sent.splice(0, account.gone);
  account.gone = 0;
}

function within({ sent, gone }: Account, at: Instant, window: Milliseconds): number {
  let sum = 0;
  for (let index = sent.length - 1; index >= gone && sent[index]!.at > at - window; index--)
    sum += sent[index]!.amount;
  return sum;
}
