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
import type { Found } from './said-text.js';
import { codesIn, compareWords, plain, wordingsOf } from './said-text.js';

/** A reply of ours, and what it is said of: "Stopgap says that …". */
export interface OwnReply {
  readonly code: number;
  /** Another code that it has: with other settings, or as the library words it. */
  readonly orCode?: number | undefined;
  readonly enhanced: string;
  /** As {@link plain} has them; the library's own words for it too. */
  readonly words: readonly string[];
  readonly of: string;
  /** A block may be behind it, or what else is known here of an account: then it is not enough to say what it is said of. */
  readonly isKnown: boolean;
  /** What a mail server says that asks: ours, though Stopgap takes no mail itself. */
  readonly isAsked: boolean;
  /** Other servers say it in the same words. */
  readonly isCommon: boolean;
  /** Said at the port for arriving mail alone. */
  readonly isOfArriving: boolean;
}

/** What decides which replies there are. */
export interface OwnSettings {
  /** Whether Stopgap takes no mail, and mail servers ask it. */
  readonly isAsked: boolean;
  /** Whether there is `smtp.inbound`. */
  readonly takesArriving: boolean;
  /** Whether Dovecot has logins for reading mail fail too (`dovecot.protocols`). */
  readonly failsReading: boolean;
  /** Whether it may have had a login fail: where mail servers ask, only if Dovecot or the SASL proxy does too. */
  readonly failsLogins: boolean;
  /** The codes of {@link TRY_LATER}: mail servers that ask may be told another (`policy.refuse`). */
  readonly laterCodes: readonly number[];
}

/** Replies of ours that may have been said, as far as the text shows: never none. */
export interface OwnFound {
  readonly replies: readonly OwnReply[];
  readonly isOnlyOurs: boolean;
  /** What others share with them where they do. */
  readonly shared: 'words' | 'codes';
}

type Traits = Partial<Pick<OwnReply, 'isKnown' | 'isAsked' | 'isCommon' | 'isOfArriving' | 'orCode'>>;
const UNKNOWN: Traits = {};
const KNOWN: Traits = { isKnown: true, isAsked: true };
const COMMON: Traits = { isCommon: true };
const ARRIVING: Traits = { isOfArriving: true };

const OWN: readonly OwnReply[] = [
  own(
    TRY_LATER,
    'because of a block, at a listener of its own also while the mail server behind, the store or the spool directory fails, and where a mail server asks also of a message that comes while too much of its sender is not counted yet (the log tells)',
    KNOWN,
  ),
  own(
    LOGIN_LATER,
    'because of a block that defers, where too many logins from a network have failed (smtp.auth.attemptsPerMinute), while more passwords wait than it can check, and while smtp.auth.backend does not answer',
    { isKnown: true },
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
    COMMON,
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
  own(TLS_FIRST, 'to a program that does not begin TLS, or does not log in', { ...COMMON, orCode: 538 }, [
    'authentication required',
  ]),
  own(MAIL_LOOP, 'of a message that has been through a hundred mail servers', UNKNOWN),
  own(TOO_MANY_CONNECTIONS, 'where there are more connections than smtp.maxConnections allows', COMMON),
  own(TOO_MANY_FROM_NETWORK, 'where a network has more connections than smtp.perNetwork allows', UNKNOWN),
  own(TOO_LATE, 'to a program that makes it wait for too long (smtp.timeouts)', UNKNOWN),
  own(SHUTTING_DOWN, 'while it is being stopped or started again', COMMON),
  own(NO_RELAY, 'at its port for arriving mail (smtp.inbound): who sends must use the other one', {
    ...COMMON,
    ...ARRIVING,
  }),
  own(ROUTED, 'at its port for arriving mail (smtp.inbound): who sends must use the other one', ARRIVING),
];

function own(
  { code, text }: SmtpReply,
  of: string,
  { isKnown = false, isAsked = false, isCommon = false, isOfArriving = false, orCode }: Traits,
  more: readonly string[] = [],
): OwnReply {
  const { enhanced } = codesIn(text);
  const reply = text.slice(enhanced!.length + 1);
  // The first part of what others say too is anybody's.
  const words = [...(isCommon ? [plain(reply)] : wordingsOf(reply)), ...more.map(plain)];
  return { code, orCode, enhanced: enhanced!, words, of, isKnown, isAsked, isCommon, isOfArriving };
}

/** What was said of our replies, by the words, or by both codes where there are no words. */
export function ownReplyOf(said: string, found: Found, settings: OwnSettings): OwnFound | undefined {
  const those = OWN.filter((reply) => isSaid(reply, settings) && hasCodes(reply, found, settings));
  const compared = (as: 'same' | 'none'): readonly OwnReply[] =>
    those.filter(({ words }) => compareWords(said, words) === as);
  const same = compared('same');
  if (same.length > 0)
    return { replies: same, isOnlyOurs: !same.some((one) => one.isCommon), shared: 'words' };
  if (found.code === null || found.enhanced === null) return undefined;
  const bare = compared('none');
  return bare.length === 0 ? undefined : { replies: bare, isOnlyOurs: false, shared: 'codes' };
}

/** Replies of ours that may have been said: by the code alone it cannot be told. */
export function ownRepliesLike(found: Found, settings: OwnSettings): readonly OwnReply[] {
  return OWN.filter(
    (reply) => found.code !== null && isSaid(reply, settings) && hasCodes(reply, found, settings),
  );
}

function isSaid({ code, isAsked, isOfArriving }: OwnReply, settings: OwnSettings): boolean {
  if (code === BAD_CREDENTIALS.code && !settings.failsLogins) return false;
  return (isAsked || !settings.isAsked) && (!isOfArriving || settings.takesArriving);
}

/** Whether none of the codes that were found is of another reply. */
function hasCodes({ code, orCode, enhanced }: OwnReply, found: Found, { laterCodes }: OwnSettings): boolean {
  const codes = code === TRY_LATER.code ? laterCodes : [code, orCode];
  return (
    (found.code === null || codes.includes(found.code)) &&
    (found.enhanced === null || found.enhanced === enhanced)
  );
}
