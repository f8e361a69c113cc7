import { fitName } from '../../kernel/printable.js';
import { LONGEST_ADDRESS, normalizeIp } from '../../sending/identity.js';
import { asPostfixSends } from '../../sending/postfix-address.js';
import { refusesRecipient } from '../../sending/refused-recipient.js';

/**
 * What one line of Postfix's says, as far as it matters here. The forms are those of Postfix 2.3 to 3.10; addresses are
 * unchanged, the null sender is ''.
 */
export type Said =
  /** smtpd: a client's message gets its id in the queue. */
  | {
      readonly kind: 'taken';
      readonly queueId: string;
      readonly ip: string | undefined;
      readonly account: string | undefined;
      /** What a filter that hands a message back says of its first time here (XFORWARD). */
      readonly originalId: string | undefined;
      readonly originalIp: string | undefined;
    }
  /** smtpd: the same where a filter before the queue gets the message first. */
  | { readonly kind: 'passed'; readonly ip: string | undefined; readonly account: string | undefined }
  /** smtpd: what that filter has handed on, under the id that it has got. */
  | {
      readonly kind: 'proxied';
      readonly queueId: string;
      readonly account: string | undefined;
      readonly ehlo: string | undefined;
    }
  /** pickup: a message by the `sendmail` command, or one that postsuper has put into the queue anew. */
  | {
      readonly kind: 'picked';
      readonly queueId: string;
      /** Of the user who ran the command. */
      readonly uid: string;
      readonly requeuedFrom: string | undefined;
    }
  /** cleanup */
  | { readonly kind: 'identified'; readonly queueId: string; readonly messageId: string }
  /** qmgr: it is complete, and its delivery begins; said again at each further attempt. */
  | {
      readonly kind: 'queued';
      readonly queueId: string;
      readonly from: string;
      /** Bytes; undefined if the line is cut, and so are the recipients. */
      readonly size: number | undefined;
      readonly recipients: number | undefined;
      /** The number that a line ends with which may be cut: who chose the return path may have chosen it too. */
      readonly claimed?: number;
    }
  /** smtp, lmtp, local, virtual, pipe …: what became of one recipient. */
  | {
      readonly kind: 'tried';
      readonly queueId: string;
      /** The recipient as the sender wrote it, if that is known. */
      readonly to: string;
      /** Whether it will be tried again, as far as is known. */
      readonly deferred: boolean;
      /** Whether a filter may have got it: a program, an address, or what answered with an id. No mailbox does. */
      readonly toFilter: boolean;
      /** Whether that is a program (`pipe`): it alone may hand back by the `sendmail` command. */
      readonly toProgram: boolean;
      /** The address of the next server; undefined where it is a program, a socket or a mailbox. */
      readonly relay: string | undefined;
      /** The id from the next server: if that is this machine again, it is the same message. */
      readonly handedTo: string | undefined;
    }
  /** smtpd: a recipient that does not exist. */
  | {
      readonly kind: 'refused';
      /** Undefined before the first recipient was taken. */
      readonly queueId: string | undefined;
      readonly ip: string | undefined;
      readonly code: number;
      /** '' too if the line is cut. */
      readonly from: string;
      readonly account: string | undefined;
      readonly ehlo: string | undefined;
    }
  /** smtpd: a wrong password, or no such login. */
  | { readonly kind: 'loginFailed'; readonly ip: string; /** Since Postfix 3.9. */ readonly account?: string }
  /** bounce: the sender is told that it could not be delivered. */
  | { readonly kind: 'bounced'; readonly queueId: string }
  /** qmgr, postsuper: it is gone from the queue. */
  | {
      readonly kind: 'removed';
      readonly queueId: string;
      /** By an administrator: nobody may have got it. */
      readonly deleted: boolean;
    };

/** Beginning like a line that matters, but not going on like it. */
export interface Garbled {
  readonly kind: 'garbled';
  readonly reason: string;
}

/**
 * A text of so many bytes may be cut. Postfix cuts what it says after 2,000, and classic syslog cuts lines after 1,024, of which their
 * heads take some 100. Who chose a long name in such a text also chose how it ends: nothing is believed that comes after that name, but
 * a number of recipients, where it is more than is known otherwise.
 */
export const LONGEST_WHOLE = 900;
/** Recipients that such a line may claim: as many as Postfix takes of one message, unless told otherwise. */
const MOST_CLAIMED = 1000;

/*
 * Lines hold what strangers chose, up to 64 KiB of it: patterns that would try again from each of its characters are
 * taken apart by hand.
 */

/** `host.example[192.0.2.7]`, or with `:port`; `unknown[unknown]` if the client was gone already. */
const CLIENT = String.raw`[^\s[]*\[([^\]\s]+)\](?::\d+)?`;

const TAKEN = new RegExp(
  String.raw`^(\w+): client=${CLIENT}(?:, orig_queue_id=(\w+))?(?:, orig_client=${CLIENT})?` +
    String.raw`(?:, sasl_method=[^,]*)?(?:, sasl_username=(.*?))?(?:, sasl_sender=.*)?$`,
);
const PROXIED = /^(?:\w+: )?proxy-accept: END-OF-MESSAGE: 2/;
const REFUSED = new RegExp(String.raw`^(\w+): reject: RCPT from ${CLIENT}: (5\d\d) (\d\.\d{1,3}\.\d{1,3} )?`);
/** What smtpd says at the end of such lines. */
const SESSION =
  /^ proto=\S+(?: helo=<([^>]*)>)?(?: sasl_method=\S+)?(?: sasl_username=(?:<(.*)>|([^<].*)))?$/;
const UNKNOWN = { account: undefined, ehlo: undefined };
const LOGIN_FAILED = new RegExp(
  String.raw`^warning: ${CLIENT}: SASL \S+ authentication failed:?(.*?)(?:, sasl_username=(.*))?$`,
);
/** Texts that say that the password was not checked: the server asked is away, or the client did not go on. */
const NOT_TRIED =
  /^(?:temporary|internal|generic failure|connection lost|no mechanism|invalid authentication mechanism|bad protocol|invalid base64)/i;

/** What Postfix writes where the client gave no name. */
const NO_LOGIN = '(unavailable)';

const PICKED = /^(\w+): uid=(\d{1,10}) from=/;
const REQUEUED = /> orig_id=(\w+)$/;
const IDENTIFIED = /^(\w+): (?:resent-)?message-id=(.*)$/;
const FROM = /^(\w+): from=</;
/** With numbers that Postfix can write: others would be none in an event. */
const QUEUED = /^(\w+): from=<(.*)>, size=(\d{1,15}), nrcpt=(\d{1,9}) \(queue active\)$/;
const TRIED = /^(\w+): to=</;
/** A client chooses names that follow. */
const CLIENT_LINE = /^\w+: client=/;
const BEFORE_RELAY = '>, relay=';
const RELAY = /^>, relay=[^\s[]*\[([^\]\s]+)\]/;
const STATUS = /^, status=(\w+)/;
const HANDED = /\bqueued as (\w+)\)?/;
/** In the name of a recipient, in any case: what delivers to a mailbox repeats that name in its answer. */
const NAMES_AN_ID = /queued as/i;
const BOUNCED = /^(\w+): sender non-delivery notification: \w+/;
const REMOVED = /^(\w+): removed$/;

/**
 * Reads what a daemon of Postfix says. A name that is longer than anybody's is cut, and one with control characters has others in
 * their place, since no store takes such names: what it did counts all the same.
 *
 * @param daemon the last part of the program's name: `smtpd`, `qmgr`
 * @returns undefined if it does not matter here
 */
export function readMessage(daemon: string, text: string): Said | Garbled | undefined {
  const said = read(daemon, text);
  if (said === undefined || fitName(text) === text) return said;
  const fields = Object.entries(said).map(([key, value]: [string, unknown]) => [
    key,
    typeof value === 'string' ? fitName(value) : value,
  ]);
  return Object.fromEntries(fields) as Said | Garbled;
}

/** No text has fewer bytes than characters, or more than three for each. */
function mayBeCut(text: string): boolean {
  const { length } = text;
  return length >= LONGEST_WHOLE || (length * 3 >= LONGEST_WHOLE && Buffer.byteLength(text) >= LONGEST_WHOLE);
}

function read(daemon: string, text: string): Said | Garbled | undefined {
  const isCut = mayBeCut(text);
  switch (daemon) {
    case 'smtpd':
      return readSmtpd(text, isCut);
    case 'qmgr':
    case 'oqmgr':
    case 'nqmgr':
      return readQmgr(text, isCut);
    case 'postsuper':
      return readRemoved(text, true);
    case 'cleanup': {
      const found = IDENTIFIED.exec(text);
      return found === null ? undefined : { kind: 'identified', queueId: found[1]!, messageId: found[2]! };
    }
    case 'pickup': {
      const found = PICKED.exec(text);
      if (found === null) return undefined;
      const requeuedFrom = isCut ? undefined : REQUEUED.exec(text)?.[1];
      return { kind: 'picked', queueId: found[1]!, uid: found[2]!, requeuedFrom };
    }
    case 'bounce': {
      const found = BOUNCED.exec(text);
      return found === null ? undefined : { kind: 'bounced', queueId: found[1]! };
    }
    default:
      return text.includes(': to=<') ? readTried(daemon, text, isCut) : undefined;
  }
}

function readSmtpd(text: string, isCut: boolean): Said | Garbled | undefined {
  if (CLIENT_LINE.test(text)) {
    const found = TAKEN.exec(text);
    if (found === null) return garbled('a client= line that breaks off');
    const [, queueId, client, originalId, originalClient, account] = found;
    const ip = addressOf(client);
    if (queueId === 'NOQUEUE') return { kind: 'passed', ip, account };
    return {
      kind: 'taken',
      queueId: queueId!,
      ip,
      account,
      originalId,
      originalIp: addressOf(originalClient),
    };
  }
  if (text.startsWith('warning: ')) {
    const found = LOGIN_FAILED.exec(text);
    const ip = addressOf(found?.[1]);
    return found === null || ip === undefined || NOT_TRIED.test(found[2]!.trimStart())
      ? undefined
      : { kind: 'loginFailed', ip, ...namedLogin(found[3]) };
  }
  if (PROXIED.test(text)) {
    const session = isCut ? UNKNOWN : sessionAtEnd(text);
    // What the filter has answered comes before the names that the client chose.
    const queueId = HANDED.exec(text.split('; from=<', 1)[0]!)?.[1];
    return session === undefined || queueId === undefined
      ? undefined
      : { kind: 'proxied', queueId, ...session };
  }
  if (text.includes(': Recipient address rejected: ')) {
    const found = REFUSED.exec(text);
    const path = text.lastIndexOf('; from=<');
    const to = text.indexOf('> to=<', path);
    const session = isCut ? UNKNOWN : sessionAtEnd(text);
    if (found === null || session === undefined || (!isCut && (path < 0 || to < 0))) return undefined;
    // After the status come names that the client chose.
    const [, id, client, code, status = ''] = found;
    if (!refusesRecipient(Number(code), status === '' ? 'Recipient address rejected' : status))
      return undefined;
    const from = isCut ? '' : asPostfixSends(text.slice(path + '; from=<'.length, to));
    const queueId = id === 'NOQUEUE' ? undefined : id;
    return {
      kind: 'refused',
      queueId,
      ip: addressOf(client),
      code: Number(code),
      from,
      ...session,
    };
  }
  return undefined;
}

/** Who the client was, as the end of a line has it; undefined if the line does not end like that. */
function sessionAtEnd(text: string): { account: string | undefined; ehlo: string | undefined } | undefined {
  const at = text.lastIndexOf(' proto=');
  const found = at < 0 ? null : SESSION.exec(text.slice(at));
  return found === null ? undefined : { ehlo: found[1], account: found[2] ?? found[3] };
}

function readQmgr(text: string, isCut: boolean): Said | Garbled | undefined {
  if (!text.includes(': from=<')) return readRemoved(text, false);
  const begun = isCut ? FROM.exec(text) : null;
  if (begun !== null) {
    const [head, queueId] = begun;
    const from = text.slice(head.length);
    const ends = QUEUED.exec(text);
    return {
      kind: 'queued',
      queueId: queueId!,
      from,
      size: undefined,
      recipients: undefined,
      ...(ends === null ? {} : { claimed: Math.min(Number(ends[4]), MOST_CLAIMED) }),
    };
  }
  const found = QUEUED.exec(text);
  if (found !== null) {
    const [, queueId, from, size, recipients] = found;
    return {
      kind: 'queued',
      queueId: queueId!,
      from: from!,
      size: Number(size),
      recipients: Number(recipients),
    };
  }
  // `status=expired, returned to sender`: the bounce that follows says it.
  return text.includes('>, status=')
    ? undefined
    : garbled('a qmgr line without size, nrcpt and (queue active)');
}

function readRemoved(text: string, deleted: boolean): Said | undefined {
  const found = REMOVED.exec(text);
  return found === null ? undefined : { kind: 'removed', queueId: found[1]!, deleted };
}

function readTried(daemon: string, text: string, isCut: boolean): Said | Garbled {
  const found = TRIED.exec(text);
  if (isCut && found !== null) {
    const end = text.indexOf(BEFORE_RELAY);
    const to = recipientOf(text.slice(found[0].length, end < 0 ? undefined : end));
    return {
      kind: 'tried',
      queueId: found[1]!,
      to,
      deferred: false,
      toFilter: false,
      toProgram: false,
      relay: undefined,
      handedTo: undefined,
    };
  }
  const relay = text.indexOf(BEFORE_RELAY);
  const said = text.indexOf(', status=', relay);
  const status = STATUS.exec(text.slice(said))?.[1];
  if (found === null || relay < 0 || said < 0 || status === undefined)
    return garbled('a delivery without relay and status');
  const queueId = found[1]!;
  // A sender chooses the recipient's name, and a server elsewhere its answer: of two deliveries in one line neither is believed.
  const isSent = status === 'sent' && text.lastIndexOf(BEFORE_RELAY) === relay;
  const next = addressOf(RELAY.exec(text.slice(relay, said))?.[1]);
  const isNamed = NAMES_AN_ID.test(text.slice(0, relay));
  const handedTo = isSent && !isNamed ? HANDED.exec(text.slice(said))?.[1] : undefined;
  const toProgram = isSent && daemon === 'pipe';
  return {
    kind: 'tried',
    queueId,
    to: recipientOf(text.slice(found[0].length, relay)),
    deferred: status === 'deferred',
    toFilter: toProgram || (isSent && (next ?? handedTo) !== undefined),
    toProgram,
    relay: next,
    handedTo,
  };
}

/** An alias without a domain says less than its target. */
function recipientOf(names: string): string {
  const [to, originalTo] = names.split('>, orig_to=<', 2);
  return originalTo?.includes('@') === true ? originalTo : to!;
}

/** A name that nobody can have does not hide that a login failed. */
function namedLogin(account = ''): { readonly account?: string } {
  return account === '' || account === NO_LOGIN || account.length > LONGEST_ADDRESS ? {} : { account };
}

function garbled(reason: string): Garbled {
  return { kind: 'garbled', reason };
}

/** In normal form; undefined for what is none, such as `unknown`. */
function addressOf(client: string | undefined): string | undefined {
  return client === undefined ? undefined : normalizeIp(client);
}
