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
import type { Reply, SaidText } from './said-text.js';
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
  /** Told from what others say by its words beside a code alone: the code says little. */
  readonly isByWords: boolean;
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

interface Traits extends Partial<Omit<OwnReply, 'reply' | 'of'>> {
  /** Another code that it has as the library words it. */
  readonly orCode?: number;
}
const KNOWN: Traits = { isKnown: true, isAsked: true };
const COMMON: Traits = { isCommon: true };
const ARRIVING: Traits = { isOfArriving: true };

/** What programs are told that do not keep to SMTP, and what is wrong with an address or a message; of some, a part. */
const FAULTS: readonly (readonly [of: string, lines: readonly string[]])[] = [
  [
    'to a program that wants to log in by another way than PLAIN or LOGIN: only these are offered',
    ['504 Error: Unrecognized authentication type'],
  ],
  [
    'of an address that cannot be read',
    [
      '501 5.1.7 Bad sender address syntax',
      '501 5.1.3 Bad recipient address syntax',
      '501 Error: Bad sender address syntax',
      '501 Error: Bad recipient address syntax',
      '501 The address is longer than',
      '553 5.1.3 an address must not contain control characters',
      '553 5.1.3 an address may contain spaces only within a quoted local part',
      '553 5.1.3 the domain has no valid A-label form',
      '553 5.1.3 the address has no domain or no local part',
    ],
  ],
  [
    'of an address beyond ASCII: it is taken where the mail server behind takes it (SMTPUTF8) and the program asks for it',
    [
      '553 5.6.7 An address beyond ASCII is not taken: SMTPUTF8 is not offered here',
      '553 5.6.7 An address beyond ASCII needs SMTPUTF8 at MAIL FROM',
      '550 5.6.7 a non-ASCII address is not permitted: the next server does not offer SMTPUTF8',
    ],
  ],
  [
    'of a message that the mail server behind cannot take as it is',
    [
      '552 5.3.4 the next server takes messages up to',
      '554 5.6.3 the message has 8-bit content, which the next server does not take',
      '554 5.6.9 the message has UTF-8 headers, and the next server does not offer SMTPUTF8',
    ],
  ],
  [
    'where the mail server behind took a message for no recipient, or not for all of them',
    [
      '451 4.3.0 the message was not handed over',
      '451 4.3.0 the next server has changed its answer for',
      '451 4.3.0 recipients, try again for the rest',
      '554 5.3.0 recipients; refused:',
      '554 5.5.1 no valid recipients',
    ],
  ],
  [
    'while it cannot write to the mail directory (smtp.relay.url)',
    ['451 4.3.0 the message could not be written', '452 4.3.1 there is no room for the message'],
  ],
  ['after a fault of its own, which its log has', ['451 Error: internal server error']],
  [
    'to a program that does not keep to SMTP: a command is faulty, too long, unknown here or out of turn',
    [
      '421 Error: too many unauthenticated commands',
      '421 Error: too many unrecognized commands',
      '421 HTTP requests not allowed',
      '421 You talk too soon',
      '421 4.7.0 Command line too long',
      '500 Error: command not recognized',
      '501 5.5.4 Bad hostname',
      '501 5.5.4 is given twice',
      '501 5.5.4 Syntax: EHLO hostname',
      '501 5.5.4 Syntax: HELO hostname',
      '501 Authentication aborted',
      '501 Error: Bad command parameter syntax',
      '501 Error: Bad ORCPT parameter syntax',
      '501 Error: NOTIFY parameter must be NEVER, SUCCESS, FAILURE, or DELAY',
      '501 Error: NOTIFY=NEVER cannot be combined with other values',
      '501 Error: duplicate',
      '501 Error: invalid userdata',
      '501 Error: missing username',
      '501 Error: syntax: AUTH LOGIN',
      '501 Error: syntax: AUTH PLAIN token',
      '501 Error: syntax: STARTTLS',
      '501 Error: syntax: VRFY address',
      '501 parameter requires a value',
      '503 Error: Mail transaction in progress',
      '503 Error: No identity changes permitted',
      '503 Error: TLS already active',
      '503 Error: need MAIL command',
      '503 Error: need RCPT command',
      '503 Error: nested MAIL command',
      '503 Error: send HELO/EHLO first',
      '550 Error: Not allowed',
      '555 5.5.4 is not known here',
    ],
  ],
];

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
  own(BAD_CREDENTIALS, 'because of a block, and where the password is wrong or there is no such account', {
    isKnown: true,
  }),
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
  own(
    LOG_IN_AGAIN,
    'in a session that was open when the account was removed or disabled or got another password, or when a block on it ended; and, where another server checks logins, ten minutes after the login',
  ),
  own(TLS_FIRST, 'to a program that does not begin TLS, or does not log in', { ...COMMON, orCode: 538 }, [
    'authentication required',
  ]),
  own(MAIL_LOOP, 'of a message that has been through a hundred mail servers'),
  own(TOO_MANY_CONNECTIONS, 'where there are more connections than smtp.maxConnections allows', COMMON),
  own(TOO_MANY_FROM_NETWORK, 'where a network has more connections than smtp.perNetwork allows'),
  own(TOO_LATE, 'to a program that makes it wait for too long (smtp.timeouts)', {}, [
    'timeout closing connection',
  ]),
  own(SHUTTING_DOWN, 'while it is being stopped or started again', COMMON, ['server shutting down']),
  own(NO_RELAY, 'at its port for arriving mail (smtp.inbound): who sends must use the other one', {
    ...COMMON,
    ...ARRIVING,
  }),
  own(ROUTED, 'at its port for arriving mail (smtp.inbound): who sends must use the other one', ARRIVING),
  ...FAULTS.flatMap(([of, lines]) => lines.map((line) => byWords(line, of))),
];
/** What a mail server says that asks. */
const ASKED_LATER = own(
  TRY_LATER,
  'where a mail server asks because of a block, and of a message that comes while too much of its sender is not counted yet (the log tells)',
  KNOWN,
);
const BY_DECIDE = 'a mail server over HTTP (decide)';
/** Who may ask Stopgap about a login. */
export const LOGIN_ASKERS = `Dovecot, stopgap sasl-proxy or ${BY_DECIDE}`;
export const UNLESS_BY_DECIDE = `unless ${BY_DECIDE} asks too`;
/** A wrong password is nothing that Stopgap tells there. */
const ASKED_CREDENTIALS = own(BAD_CREDENTIALS, `because of a block, where ${LOGIN_ASKERS} asks it`, KNOWN);
export const OWN_CODES: readonly number[] = [
  ...new Set(OWN.flatMap(({ reply, isByWords }) => (isByWords ? [] : reply.codes))),
];

function byWords(line: string, of: string): OwnReply {
  const [code, text] = [line.slice(0, 3), line.slice(4)];
  return own({ code: Number(code), text }, of, { ...COMMON, isByWords: true });
}

function own(ours: SmtpReply, of: string, traits: Traits = {}, more: readonly string[] = []): OwnReply {
  const { isKnown = false, isAsked = false, isCommon = false, isOfArriving = false } = traits;
  const { isByWords = false, orCode } = traits;
  const { codes, enhanced, words } = replyOf(replyLine(ours));
  const reply = {
    codes: [...codes, ...(orCode === undefined ? [] : [orCode])],
    enhanced,
    // The first part of what others say too is anybody's.
    words: [...(isCommon ? words.slice(0, 1) : words), ...more.map(plain)],
  };
  return { reply, of, isKnown, isAsked, isCommon, isOfArriving, isByWords };
}

/** Those whose words the text shows. */
export function saidInWords(text: SaidText, own: readonly OwnReply[]): readonly OwnReply[] {
  return own.filter(
    ({ reply, isByWords }) => text.shows(reply) === 'words' && (text.hasAnswer || !isByWords),
  );
}

/** Those that have the code that the text shows. */
export function saidByCode(text: SaidText, own: readonly OwnReply[]): readonly OwnReply[] {
  return own.filter(({ reply, isByWords }) => text.shows(reply) === 'code' && (text.isBare || !isByWords));
}

/** The replies of ours that there are, by the settings. */
export function ownReplies(settings: OwnSettings): readonly OwnReply[] {
  const { isAsked, takesArriving, failsLogins, askedCodes } = settings;
  const listened = OWN.filter((one) => (one.isAsked || !isAsked) && (!one.isOfArriving || takesArriving));
  const asked = { ...ASKED_LATER, reply: { ...ASKED_LATER.reply, codes: askedCodes } };
  const there = [...(askedCodes.length > 0 ? [asked] : []), ...(isAsked ? [ASKED_CREDENTIALS] : [])];
  return [...there, ...listened].filter(
    ({ reply }) => failsLogins || !reply.codes.includes(BAD_CREDENTIALS.code),
  );
}
