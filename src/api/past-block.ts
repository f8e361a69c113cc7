import type { PastBlock } from '../../projections/blocks/past-blocks.js';
import { grouped } from '../kernel/printable.js';
import { formatInstant } from '../kernel/time.js';
import { isLocalUser } from '../sending/identity.js';
import type { SenderIdentity } from '../sending/subjects.js';
import type { Refusing } from './check-findings.js';
import type { ApiDependencies } from './dependencies.js';
import type { Concerns } from './http/route.js';
import { seesMailOf } from './http/route.js';

/** Why mail goes past a block, and where it is told what to do. */
export const PAST_WHY =
  'Stopgap was not running or not reachable then, was not asked about that mail, or was not heard: see docs/run/mail-servers.md#mail-that-goes-past-a-block';

/** What went past the block that refuses a sender, where it is all the caller's to see. */
export function pastSentences(
  { models }: ApiDependencies,
  { block, subject }: Refusing,
  concerns: Concerns,
): readonly string[] {
  const past = seesMailOf(subject, concerns) ? models.pastBlocks.of(block.id) : undefined;
  return past === undefined ? [] : [pastSentence(past, block.since)];
}

function pastSentence({ messages, lastAt }: PastBlock, since: string | null): string {
  const many = messages === 1 ? '1 message has' : `${grouped(messages)} messages have`;
  const begun = since === null ? '' : `, though it has been in force since ${since}`;
  const last = messages === 1 ? '' : 'the last ';
  return `But ${many} gone past this block${begun}, ${last}at ${formatInstant(lastAt)}: ${PAST_WHY}.`;
}

/** Whether this is a user of a mail server's own machine: an account of that name, which the users file knows, is none. */
export function isOfMachine(
  { accountState }: Pick<ApiDependencies, 'accountState'>,
  { account }: SenderIdentity,
): boolean {
  if (account === undefined || !isLocalUser(account)) return false;
  return (accountState?.(account) ?? 'unknown') === 'unknown';
}

/** What a block does to mail of a program on the mail server's own machine. */
export function unaskedSentence({ callsHook }: Pick<ApiDependencies, 'callsHook'>): string {
  const hook =
    callsHook === true
      ? 'the hook alone holds what of it waits in the queue when the block begins'
      : 'without a hook (hooks.run) not even what of it waits in the queue is held';
  return `But this is a user of the mail server's own machine, whose programs hand in mail by the sendmail command. Postfix asks nobody about such mail and sends it on: ${hook}. authorized_submit_users in main.cf stops that user (docs/run/mail-servers.md#mail-that-goes-past-a-block). An Exim with the recipe for local users asks.`;
}
