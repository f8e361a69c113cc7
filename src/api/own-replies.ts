import type { SmtpReply } from '../smtp/replies.js';
import {
  BAD_CREDENTIALS,
  LOG_IN_AGAIN,
  LOGIN_LATER,
  MAIL_LOOP,
  NO_RELAY,
  NOT_YOUR_ADDRESS,
  refusalReply,
  replyLine,
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
import type { Reply } from './said-text.js';
import { plain, replyOf } from './said-text.js';

/** A reply of ours, and what it is said of: "Stopgap says that …". */
export interface OwnReply {
  /** Its words are also those of the library. */
  readonly reply: Reply;
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
  /** Whether a mail server words logins that Dovecot or the SASL proxy has fail. */
  readonly hasLoginsWorded: boolean;
  /** The codes of {@link TRY_LATER} at mail servers that ask (`policy.refuse`); empty if none does. */
  readonly askedCodes: readonly number[];
}

interface Traits extends Partial<Pick<OwnReply, 'isKnown' | 'isAsked' | 'isCommon' | 'isOfArriving'>> {
  /** Another code that it has as the library words it. */
  readonly orCode?: number;
}
const KNOWN: Traits = { isKnown: true, isAsked: true };
const COMMON: Traits = { isCommon: true };
const ARRIVING: Traits = { isOfArriving: true };

const OWN: readonly OwnReply[] = [
  own(
    TRY_LATER,
    'because of a block, and while the mail server behind, the store or the spool directory fails',
    { isKnown: true },
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
  own(refusalReply('honest', undefined), 'because of a block that refuses honestly', KNOWN),
  own(
    TOO_MANY_RECIPIENTS,
    'of a message with more recipients than smtp.maxRecipients allows: most programs send the rest in another one',
    COMMON,
  ),
  own(TOO_LARGE, 'of a message that is larger than smtp.maxMessageSize allows', COMMON, [
    'message exceeds fixed maximum message size',
  ]),
  own(NOT_YOUR_ADDRESS, 'of a return path that the account may not use (smtp.senders)'),
  own(LOG_IN_AGAIN, 'where the account was removed or disabled, or got another password, in an open session'),
  own(TLS_FIRST, 'to a program that does not begin TLS, or does not log in', { ...COMMON, orCode: 538 }, [
    'authentication required',
  ]),
  own(MAIL_LOOP, 'of a message that has been through a hundred mail servers'),
  own(TOO_MANY_CONNECTIONS, 'where there are more connections than smtp.maxConnections allows', COMMON),
  own(TOO_MANY_FROM_NETWORK, 'where a network has more connections than smtp.perNetwork allows'),
  own(TOO_LATE, 'to a program that makes it wait for too long (smtp.timeouts)'),
  own(SHUTTING_DOWN, 'while it is being stopped or started again', COMMON),
  own(NO_RELAY, 'at its port for arriving mail (smtp.inbound): who sends must use the other one', {
    ...COMMON,
    ...ARRIVING,
  }),
  own(ROUTED, 'at its port for arriving mail (smtp.inbound): who sends must use the other one', ARRIVING),
];
/** What a mail server says that asks. */
const ASKED_LATER = own(
  TRY_LATER,
  'where a mail server asks because of a block, and of a message that comes while too much of its sender is not counted yet (the log tells)',
  KNOWN,
);
export const OWN_CODES: readonly number[] = [...new Set(OWN.flatMap(({ reply }) => reply.codes))];

function own(
  ours: SmtpReply,
  of: string,
  { isKnown = false, isAsked = false, isCommon = false, isOfArriving = false, orCode }: Traits = {},
  more: readonly string[] = [],
): OwnReply {
  const { codes, enhanced, words } = replyOf(replyLine(ours));
  const reply = {
    codes: [...codes, ...(orCode === undefined ? [] : [orCode])],
    enhanced,
    // The first part of what others say too is anybody's.
    words: [...(isCommon ? words.slice(0, 1) : words), ...more.map(plain)],
  };
  return { reply, of, isKnown, isAsked, isCommon, isOfArriving };
}

/** The replies of ours that there are, by the settings. */
export function ownReplies(settings: OwnSettings): readonly OwnReply[] {
  const { isAsked, takesArriving, failsLogins, askedCodes } = settings;
  const listened = OWN.filter((one) => (one.isAsked || !isAsked) && (!one.isOfArriving || takesArriving));
  const asked = { ...ASKED_LATER, reply: { ...ASKED_LATER.reply, codes: askedCodes } };
  return [...(askedCodes.length > 0 ? [asked] : []), ...listened].filter(
    ({ reply }) => failsLogins || !reply.codes.includes(BAD_CREDENTIALS.code),
  );
}
