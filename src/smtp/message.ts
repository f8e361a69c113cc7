import type { SMTPServerDataStream, SMTPServerSession } from 'smtp-server';
import { messageOf } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { MessageAccepted } from '../sending/events.js';
import { domainOf, normalizeDomain } from '../sending/identity.js';
import { sendStreamKey } from '../sending/subjects.js';
import type { Conversation, SmtpContext } from './conversation.js';
import { relayed } from './conversation.js';
import type { MessageBody } from './relay/body.js';
import { ClientGone, collectBody, MessageTooLarge, SpoolFailed } from './relay/body.js';
import type { Delivery } from './relay/port.js';
import { RelayUnreachable } from './relay/port.js';
import { LOG_IN_AGAIN, MAIL_LOOP, ReplyError, TOO_LARGE, TRY_LATER } from './replies.js';

/** RFC 5321 section 6.3 wants a loop counter of at least 100. */
const MOST_RECEIVED_LINES = 100;
/** Recipient domains that an event names. */
const MOST_DOMAINS = 20;
/** Bytes of an accepted message's event without the names in it: numbers, ids, field names, who recorded it. */
const NAMELESS_BYTES = 2048;

/**
 * Takes a message in, hands it to the upstream and records it. The order ensures that nothing acknowledged is lost: the
 * body is complete; the sender is not blocked; the upstream has the message; the event is durable and folded; if it
 * tripped a rule, the block is in force. Then the client gets 250.
 *
 * @returns the text of the positive answer
 * @throws ReplyError with what the client is told
 */
export async function takeMessage(
  context: SmtpContext,
  conversation: Conversation,
  session: SMTPServerSession,
  stream: SMTPServerDataStream,
): Promise<string> {
  const mail = conversation.mail!;
  const received = receivedLine(context.hostname, conversation, session, mail.id, context.clock.now());
  const body = await collect(context, conversation, stream, received);
  try {
    if (isLooping(body.headerHead)) throw new ReplyError(MAIL_LOOP);
    refuseBlocked(conversation);
    const counted = await turn(context, conversation);
    try {
      // While it waited, earlier messages may have got its sender blocked.
      refuseBlocked(conversation);
      const delivery = await transmit(context, conversation, body);
      const accepted = delivery.accepted.map(({ address }) => address);
      if (accepted.length > 0) await record(context, conversation, accepted, body);
      if (delivery.reply.code >= 300) {
        context.metrics.smtp.refused('data', 'upstream');
        const { id: correlation, returnPath } = mail;
        const { account } = conversation;
        context.log.debug(
          { correlation, account, returnPath, code: delivery.reply.code },
          'the upstream refused a message',
        );
        throw new ReplyError(delivery.reply);
      }
      return delivery.reply.text;
    } finally {
      counted();
    }
  } finally {
    await body.dispose();
  }
}

async function collect(
  context: SmtpContext,
  conversation: Conversation,
  stream: SMTPServerDataStream,
  prefix: Buffer,
): Promise<MessageBody> {
  const { spoolDir, maxMessageSize: maxSize, troubles } = context;
  try {
    const body = await collectBody(stream, { spoolDir, prefix, maxSize });
    if (body.spooled) troubles.spool.worked();
    return body;
  } catch (error) {
    if (error instanceof MessageTooLarge) throw new ReplyError(TOO_LARGE);
    if (error instanceof ClientGone) throw new ReplyError(TRY_LATER);
    if (!(error instanceof SpoolFailed)) throw error;
    troubles.spool.failed(messageOf(error));
    conversation.putOff('spool');
    throw new ReplyError(TRY_LATER, true);
  }
}

function refuseBlocked(conversation: Conversation): void {
  const block = conversation.verdict();
  if (block !== undefined) throw conversation.refuse(block, 'data');
  if (conversation.wasBlocked) throw new ReplyError(LOG_IN_AGAIN);
}

/**
 * Waits until few enough recipients of the account are in the air. Inbound mail does not wait: one relay may bring all
 * of it.
 */
async function turn(context: SmtpContext, conversation: Conversation): Promise<() => void> {
  const { account, mail } = conversation;
  if (account === undefined) return () => undefined;
  try {
    return await context.inTheAir.begin(account, mail!.taken.size, (giveUp) => conversation.waits(giveUp));
  } catch (error) {
    throw notTaken(context, conversation, error);
  }
}

async function transmit(
  context: SmtpContext,
  conversation: Conversation,
  body: MessageBody,
): Promise<Delivery> {
  const { store, metrics } = context;
  const { relay, trace } = conversation.mail!;
  // We check the store before the upstream takes the message, not after.
  const mayGo = (): boolean =>
    store.healthy && conversation.verdict() === undefined && !conversation.wasBlocked;
  try {
    if (!store.healthy) throw unavailable(context, conversation);
    const over = metrics.smtp.handingOver();
    const delivery = await relayed(trace, 'DATA', relay!.transmit(body, mayGo).finally(over));
    if (!delivery.withdrawn) return delivery;
  } catch (error) {
    const reply = notTaken(context, conversation, error);
    if (error instanceof RelayUnreachable) {
      // A thief could leave each time before the answer. One who stays is told to try again, and then those count who are left.
      const isGone = error.ambiguous && conversation.hasLeft;
      const accepted = isGone ? [...conversation.mail!.taken] : error.accepted.map(({ address }) => address);
      if (accepted.length > 0) await record(context, conversation, accepted, body);
    }
    throw reply;
  }
  refuseBlocked(conversation);
  throw unavailable(context, conversation);
}

/** @returns what the client is told if the upstream did not answer; any other error unchanged */
function notTaken({ metrics, log }: SmtpContext, conversation: Conversation, error: unknown): unknown {
  if (!(error instanceof RelayUnreachable)) return error;
  metrics.smtp.refused('data', 'unreachable');
  conversation.putOff('upstream');
  const { account, mail } = conversation;
  log.warn(
    { correlation: mail!.id, account, ambiguous: error.ambiguous, error: error.message },
    'the upstream did not take a message',
  );
  return new ReplyError(TRY_LATER);
}

async function record(
  context: SmtpContext,
  conversation: Conversation,
  accepted: readonly string[],
  body: MessageBody,
): Promise<void> {
  const { recorder, metrics, log, troubles } = context;
  const mail = conversation.mail!;
  const fields = conversation.fields();
  const data: MessageAccepted = {
    ...fields,
    transaction: mail.id,
    recipients: accepted.length,
    size: body.received,
    recipientDomains: domainsOf(accepted),
    entitled: mail.entitled,
  };
  try {
    const appended = await recorder.accepted(sendStreamKey(mail.sender), data, mail.trace?.traceparent);
    if (fields.direction === 'inbound' && reportsFailure(body.headerHead)) {
      await recorder.bounces(accepted, conversation.ip, mail.id, mail.trace?.traceparent);
    }
    troubles.store.worked();
    const inForce = context.accepted(appended);
    if (inForce !== undefined) await inForce;
  } catch (error) {
    // The upstream has it, we have no record: the client sends again (at least once, RFC 1047).
    log.error(
      { correlation: mail.id, error: messageOf(error) },
      'a message that the upstream took could not be recorded',
    );
    throw unavailable(context, conversation);
  }
  if (log.isLevelEnabled('debug')) {
    const { account, returnPath, direction, recipients, size } = data;
    log.debug(
      { correlation: mail.id, account, returnPath, direction, recipients, size },
      'a message was taken',
    );
  }
  mail.trace?.accepted(accepted.length, body.received);
  metrics.smtp.accepted(fields.direction, accepted.length);
}

/**
 * Upper bound of the size in bytes of this message's event, with recipients in `taken` different domains of at most
 * `longestDomain` bytes. The bound is cheap; the recipients that the upstream accepts are known only later.
 */
export function eventBound(conversation: Conversation, taken: number, longestDomain: number): number {
  const { account = '', ehlo, mail } = conversation;
  const names = nameBytes(account) + nameBytes(ehlo) + nameBytes(mail!.returnPath);
  return NAMELESS_BYTES + names + Math.min(taken, MOST_DOMAINS) * longestDomain;
}

/** Upper bound of a name's bytes in JSON. It has no control characters, so a quote or backslash is the worst case. */
export function nameBytes(name: string): number {
  return 2 * Buffer.byteLength(name) + 3;
}

function unavailable({ metrics, troubles }: SmtpContext, conversation: Conversation): ReplyError {
  metrics.smtp.refused('data', 'store');
  conversation.putOff('store');
  troubles.store.failed('the store takes no events');
  return new ReplyError(TRY_LATER);
}

function domainsOf(addresses: readonly string[]): string[] {
  const domains = new Set<string>();
  for (const address of addresses) {
    const domain = domainOf(address);
    if (domain !== undefined) domains.add(normalizeDomain(domain));
    if (domains.size === MOST_DOMAINS) break;
  }
  return [...domains];
}

/** The trace line that RFC 5321 section 4.4 asks for. */
function receivedLine(
  hostname: string,
  { ip, ehlo }: Conversation,
  session: SMTPServerSession,
  id: string,
  now: Instant,
): Buffer {
  const from = ehlo.replace(/[^\x21-\x27\x2a-\x5b\x5d-\x7e]/g, '?').slice(0, 255) || 'unknown';
  const literal = ip.includes(':') ? `[IPv6:${ip}]` : `[${ip}]`;
  return Buffer.from(
    `Received: from ${from} (${literal})\r\n\tby ${hostname} with ${protocolOf(session)} id ${id};\r\n\t${dateText(now)}\r\n`,
    'latin1',
  );
}

/** The protocol name for the trace line (RFC 3848, RFC 6531 section 4.3). */
function protocolOf({ openingCommand, secure, user, envelope }: SMTPServerSession): string {
  const { mailFrom } = envelope;
  if (openingCommand === 'HELO') return 'SMTP';
  const utf8 = mailFrom !== false && mailFrom.args !== false && mailFrom.args['SMTPUTF8'] === true;
  return `${utf8 ? 'UTF8SMTP' : 'ESMTP'}${secure ? 'S' : ''}${user ? 'A' : ''}`;
}

let dateSecond = 0;
let date = '';

/** RFC 5322 section 3.3; built once a second. */
function dateText(now: Instant): string {
  const second = Math.floor(now / SECOND);
  if (second !== dateSecond) {
    dateSecond = second;
    date = new Date(now).toUTCString().replace('GMT', '+0000');
  }
  return date;
}

/** Counts the trace lines at the head of the message. */
function isLooping(head: Buffer): boolean {
  const text = head.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  const lines = (end < 0 ? text : text.slice(0, end)).match(/^received:/gim);
  return lines !== null && lines.length > MOST_RECEIVED_LINES;
}

/*
 * Whether a message reports a bounce: RFC 3464, and RFC 6533 for addresses beyond ASCII. A report may also say that a
 * message was delayed, relayed, expanded or delivered: that is no bounce.
 */

/** How deep nested multiparts are read. */
const DEEPEST = 4;
const REPORT = new Set(['message/delivery-status', 'message/global-delivery-status']);
const FAILED = /^action[ \t]*:[ \t]*failed\b/im;
const HEADER_END = /\r\n\r\n/;

/** @param head the beginning of the message, including the header; the rest is not read */
function reportsFailure(head: Buffer): boolean {
  return holdsFailure(head.toString('latin1'), 0);
}

function holdsFailure(entity: string, depth: number): boolean {
  const end = HEADER_END.exec(entity)?.index;
  if (end === undefined) return false;
  const { type, boundary } = contentType(entity.slice(0, end));
  const body = entity.slice(end + 4);
  if (REPORT.has(type)) return FAILED.test(body);
  if (!type.startsWith('multipart/') || boundary === undefined || depth === DEEPEST) return false;
  return partsOf(body, boundary).some((part) => holdsFailure(part, depth + 1));
}

/** The parts between the delimiters; the last may be cut off. */
function partsOf(body: string, boundary: string): readonly string[] {
  const [, ...parts] = `\r\n${body}`.split(`\r\n--${boundary}`);
  return parts
    .filter((part) => !part.startsWith('--'))
    .map((part) => {
      // White space may follow the delimiter on its line, and a part may have no header.
      const line = part.indexOf('\r\n');
      return line < 0 ? '' : part.slice(line + 2);
    });
}

/** The Content-Type of a header, in lower case, and the boundary as it is written. */
function contentType(header: string): { readonly type: string; readonly boundary: string | undefined } {
  const field = header
    .replace(/\r\n(?=[ \t])/g, '')
    .split('\r\n')
    .find((line) => /^content-type[ \t]*:/i.test(line));
  if (field === undefined) return { type: '', boundary: undefined };
  const [type = '', ...parameters] = field.slice(field.indexOf(':') + 1).split(';');
  const boundary = parameters.map((each) => /^[ \t]*boundary[ \t]*=(.*)$/i.exec(each)?.[1]?.trim());
  const written = boundary.find((each) => each !== undefined);
  return { type: type.trim().toLowerCase(), boundary: written?.replace(/^"(.*)"$/, '$1') };
}
