import type { SMTPServerAddress, SMTPServerSession } from 'smtp-server';
import { InvalidInput } from '../kernel/errors.js';
import { domainOf, normalizeDomain } from '../sending/identity.js';
import type { SmtpContext } from './context.js';
import type { Conversation } from './conversation.js';
import type { EnvelopeCommand } from './envelope-command.js';
import { relayEnvelope, relayRecipient } from './envelope.js';
import { eventBound, nameBytes } from './message.js';
import { RelayUnreachable } from './relay/port.js';
import { NO_RELAY, ROUTED, ReplyError, TOO_MANY_RECIPIENTS, TRY_LATER } from './replies.js';
import { relayed } from './transaction-trace.js';

/** What bounds the recipients of one listener. */
export interface RecipientBounds {
  readonly maxRecipients: number;
  /** Mail goes to these domains only; to anywhere where they are left out. */
  readonly domains: ReadonlySet<string> | undefined;
}

/**
 * RCPT TO. Nothing here waits but for the upstream: the verdict is a look into memory.
 *
 * @throws ReplyError what the client is told where the recipient is not taken
 */
export async function offerRecipient(
  { metrics, recorder, relay, store }: SmtpContext,
  conversation: Conversation,
  session: SMTPServerSession,
  address: SMTPServerAddress & Partial<Pick<EnvelopeCommand, 'routed'>>,
  { maxRecipients, domains }: RecipientBounds,
): Promise<void> {
  if (domains !== undefined && (address.routed === true || isRouted(address.address))) {
    metrics.smtp.refused('rcpt', 'route');
    throw new ReplyError(ROUTED);
  }
  if (domains !== undefined && !isLocal(address.address, domains)) {
    metrics.smtp.refused('rcpt', 'relay');
    throw new ReplyError(NO_RELAY);
  }
  const block = conversation.verdict();
  if (block !== undefined) throw conversation.refuse(block, 'rcpt');
  const mail = conversation.mail!;
  // The library's own count takes addresses for the same that differ in case; the upstream may not.
  const isNew = !mail.taken.has(address.address);
  if (isNew && mail.taken.size >= maxRecipients) throw new ReplyError(TOO_MANY_RECIPIENTS);
  const bytes = nameBytes(normalizeDomain(domainOf(address.address) ?? ''));
  const longestDomain = Math.max(mail.longestDomain, bytes);
  // The client sends the rest in another transaction. After the end of the message it would be too late to refuse it.
  if (isNew && eventBound(conversation, mail.taken.size + 1, longestDomain) > store.maxAppendBytes)
    throw new ReplyError(TOO_MANY_RECIPIENTS);
  try {
    mail.relay ??= relay.begin(relayEnvelope(session), conversation.account ?? conversation.network);
    const reply = await relayed(mail.trace, 'RCPT TO', mail.relay.offer(relayRecipient(address)));
    if (reply.code >= 300) throw conversation.upstreamRefused(reply);
    mail.taken.add(address.address);
    mail.longestDomain = longestDomain;
  } catch (error) {
    if (error instanceof InvalidInput) throw new ReplyError({ code: 553, text: `5.1.3 ${error.message}` });
    if (!(error instanceof RelayUnreachable)) throw error;
    metrics.smtp.refused('rcpt', 'unreachable');
    if (error.fault !== undefined) recorder.unanswered(error.fault, mail.id, error.message);
    throw new ReplyError(TRY_LATER);
  }
}

/**
 * Whether the local part says where the mail goes on to: mail servers read `user%elsewhere.test@example.com`,
 * `elsewhere.test!user@example.com` and what stands within quotes as routes, and send it out again.
 */
function isRouted(address: string): boolean {
  const at = address.lastIndexOf('@');
  return /[%!@"\\]/.test(at < 0 ? address : address.slice(0, at));
}

function isLocal(address: string, domains: ReadonlySet<string>): boolean {
  const domain = domainOf(address);
  // RFC 5321 section 4.5.1: the bare postmaster is always ours.
  return domain === undefined ? address.toLowerCase() === 'postmaster' : domains.has(normalizeDomain(domain));
}
