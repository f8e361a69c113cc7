import type { Refusal } from '../blocks/events.js';

/** What a client is told. The text carries its enhanced status code (RFC 3463). */
export interface SmtpReply {
  readonly code: number;
  readonly text: string;
}

/** One reply for all our own causes: a blocked sender, an upstream out of reach, a store that does not answer. */
export const TRY_LATER: SmtpReply = {
  code: 451,
  text: '4.3.2 Service temporarily unavailable, please try again later',
};
/** Recorded in place of a reply where Dovecot has a login fail: the mail server that asks Dovecot words it. */
export const AS_WRONG_PASSWORD = 'as a wrong password (Dovecot)';

/** A wrong password and a blocked account: the same bytes. */
export const BAD_CREDENTIALS: SmtpReply = { code: 535, text: '5.7.8 Authentication credentials invalid' };
/** Too many attempts, and blocks that defer. */
export const LOGIN_LATER: SmtpReply = {
  code: 454,
  text: '4.7.0 Temporary authentication failure, please try again later',
};
/** Since the session's login its account was removed, disabled or blocked, or its password may have changed. The session ends with it. */
export const LOG_IN_AGAIN: SmtpReply = { code: 421, text: '4.7.0 Please log in again' };
export const NOT_YOUR_ADDRESS: SmtpReply = { code: 553, text: '5.7.1 You may not send from this address' };
export const TLS_FIRST: SmtpReply = { code: 530, text: '5.7.0 Must issue a STARTTLS command first' };
export const TOO_MANY_RECIPIENTS: SmtpReply = { code: 452, text: '4.5.3 Too many recipients' };
export const SHUTTING_DOWN: SmtpReply = { code: 421, text: '4.3.2 Shutting down' };
export const TOO_MANY_CONNECTIONS: SmtpReply = {
  code: 421,
  text: '4.3.2 Too many connections, please try again later',
};
export const TOO_MANY_FROM_NETWORK: SmtpReply = {
  code: 421,
  text: '4.7.0 Too many connections from your network, please try again later',
};
export const TOO_LATE: SmtpReply = { code: 421, text: '4.4.2 Waited for too long: closing the connection' };
export const ROUTED: SmtpReply = {
  code: 550,
  text: '5.1.3 Mail is taken here for plain addresses alone: no route, no quotes, no % and no ! before the @',
};
export const NO_RELAY: SmtpReply = { code: 550, text: '5.7.1 Relaying denied' };
export const TOO_LARGE: SmtpReply = { code: 552, text: '5.3.4 Message exceeds the size limit' };
export const MAIL_LOOP: SmtpReply = {
  code: 554,
  text: '5.4.6 Too many Received header lines: this looks like a mail loop',
};

/** What a blocked account is told at AUTH, unless the block is honest. */
export function feignedReply(refusal: Refusal): SmtpReply {
  return refusal === 'defer' ? LOGIN_LATER : BAD_CREDENTIALS;
}

/** What a blocked sender is told at RCPT TO and after DATA where nothing can be held. */
export function refusalReply(refusal: Refusal, contact: string | undefined): SmtpReply {
  if (refusal !== 'honest') return TRY_LATER;
  const help = contact === undefined ? 'contact your provider' : `contact ${contact}`;
  return { code: 550, text: `5.7.1 Sending is blocked because of unusual activity; ${help}` };
}

/** An error that smtp-server turns into this reply; without a code it answers a permanent 550. */
export class ReplyError extends Error {
  readonly responseCode: number;

  /** @param isFault true for a fault of ours, which is in the log */
  constructor(
    reply: SmtpReply,
    readonly isFault = false,
  ) {
    super(reply.text);
    this.name = 'ReplyError';
    this.responseCode = reply.code;
  }
}

/** The whole line, as it is recorded with a refusal. */
export function replyLine({ code, text }: SmtpReply): string {
  return `${code} ${text}`;
}
