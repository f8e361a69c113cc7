import type { SmtpReply } from '../smtp/replies.js';
import {
  BAD_CREDENTIALS,
  LOG_IN_AGAIN,
  LOGIN_LATER,
  MAIL_LOOP,
  NO_RELAY,
  NOT_YOUR_ADDRESS,
  refusalReply,
  ROUTED,
  SHUTTING_DOWN,
  TLS_FIRST,
  TOO_LARGE,
  TOO_LATE,
  TOO_MANY_CONNECTIONS,
  TOO_MANY_FROM_NETWORK,
  TOO_MANY_RECIPIENTS,
  TRY_LATER,
} from '../smtp/replies.js';

/** What was found in the words that a mail program showed. */
export interface Found {
  readonly code: number | null;
  readonly enhanced: string | null;
}

/** A reply of ours, and what it is said of: "Stopgap says that …". */
export interface OwnReply {
  readonly code: number;
  readonly enhanced: string;
  /** As {@link plain} has them; the library's own words for it too. */
  readonly words: readonly string[];
  readonly of: string;
  /** A block may be behind it, or what else is known here of an account: then it is not enough to say what it is said of. */
  readonly isKnown: boolean;
  /** What a mail server says that asks: ours, though Stopgap takes no mail itself. */
  readonly isAsked: boolean;
}

const UNKNOWN = { isKnown: false, isAsked: false };
const KNOWN = { isKnown: true, isAsked: true };

const OWN: readonly OwnReply[] = [
  own(
    TRY_LATER,
    'because of a block, at a listener of its own also while the mail server behind, the store or the spool directory fails, and where a mail server asks also of a message that comes while too much of its sender is not counted yet (the log tells)',
    KNOWN,
  ),
  own(
    LOGIN_LATER,
    'because of a block that defers, where too many logins from a network have failed (smtp.auth.attemptsPerMinute), while more passwords wait than it can check, and while smtp.auth.backend does not answer',
    { isKnown: true, isAsked: false },
  ),
  own(
    BAD_CREDENTIALS,
    'because of a block, and where the password is wrong or there is no such account',
    KNOWN,
  ),
  own(refusalReply('honest', undefined), 'because of a block that refuses honestly', KNOWN, [
    'sending is blocked because of unusual activity',
  ]),
  own(
    TOO_MANY_RECIPIENTS,
    'of a message with more recipients than smtp.maxRecipients allows: most programs send the rest in another one',
    UNKNOWN,
    ['too many recipients'],
  ),
  own(TOO_LARGE, 'of a message that is larger than smtp.maxMessageSize allows', UNKNOWN, [
    'message exceeds fixed maximum message size',
  ]),
  own(NOT_YOUR_ADDRESS, 'of a return path that the account may not use (smtp.senders)', UNKNOWN),
  own(
    LOG_IN_AGAIN,
    'where the account was removed or disabled, or got another password, in an open session',
    UNKNOWN,
  ),
  own(TLS_FIRST, 'to a program that does not begin TLS, or does not log in', UNKNOWN),
  own(MAIL_LOOP, 'of a message that has been through a hundred mail servers', UNKNOWN),
  own(TOO_MANY_CONNECTIONS, 'where there are more connections than smtp.maxConnections allows', UNKNOWN),
  own(TOO_MANY_FROM_NETWORK, 'where a network has more connections than smtp.perNetwork allows', UNKNOWN),
  own(TOO_LATE, 'to a program that makes it wait for too long (smtp.timeouts)', UNKNOWN),
  own(SHUTTING_DOWN, 'while it is being stopped or started again', UNKNOWN),
  own(NO_RELAY, 'at its port for arriving mail (smtp.inbound): who sends must use the other one', UNKNOWN),
  own(ROUTED, 'at its port for arriving mail (smtp.inbound): who sends must use the other one', UNKNOWN),
];

function own(
  { code, text }: SmtpReply,
  of: string,
  { isKnown, isAsked }: Pick<OwnReply, 'isKnown' | 'isAsked'>,
  more: readonly string[] = [],
): OwnReply {
  const [enhanced = ''] = text.split(' ', 1);
  const words = [text.slice(enhanced.length + 1), ...more].map(plain);
  return { code, enhanced, words, of, isKnown, isAsked };
}

/** Fewer letters are in too many texts. */
const FEWEST_LETTERS = 10;

/**
 * The reply of ours that was said, by its words, or by both codes where there are no words.
 *
 * @param isAsked whether Stopgap takes no mail, and mail servers ask it
 */
export function ownReplyOf(said: string, found: Found, isAsked: boolean): OwnReply | undefined {
  const { code, enhanced } = found;
  const rest = wordsOf(said);
  return OWN.find(
    (reply) =>
      (reply.isAsked || !isAsked) &&
      (rest === ''
        ? code === reply.code && enhanced === reply.enhanced
        : (enhanced === null || enhanced === reply.enhanced) &&
          reply.words.some(
            (words) => rest.includes(words) || (rest.length >= FEWEST_LETTERS && words.includes(rest)),
          )),
  );
}

/** Replies of ours that may have been said: by the code alone it cannot be told. */
export function ownRepliesLike({ code, enhanced }: Found, isAsked: boolean): readonly OwnReply[] {
  return OWN.filter(
    (reply) =>
      (reply.isAsked || !isAsked) &&
      code === reply.code &&
      (enhanced === null || enhanced === reply.enhanced),
  );
}

/** What was said without its codes. */
function wordsOf(said: string): string {
  return plain(
    said
      .replace(/(?<![\d.:])[245][0-5]\d(?!\d|\.\d)/, '')
      .replace(/(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])/, ''),
  );
}

/** In lower case, without what programs put around and between words. */
function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/[\s"'«»:.,-]+/g, ' ')
    .trim();
}
