import type { AlarmClock, Milliseconds } from '../../kernel/time.js';
import type { BackoffOptions } from '../../runtime/clock.js';

/** The sender that something is for: an account or a network. A transaction without one is its own sender. */
export type Sender = string | object;

/** One answer in an SMTP or LMTP dialogue (RFC 5321 section 4.2). */
export interface Reply {
  /** 200 to 599, as the upstream gave it; never 421, which is a matter between us and the upstream. */
  readonly code: number;
  /** Without the code, lines joined by a space, printable, at most 480 characters; may begin with an enhanced status code (RFC 3463). */
  readonly text: string;
  /** True: it refuses the whole message, before anything was said of the recipient that it answers. */
  readonly ofMessage?: true;
}

/** The client that a message comes from, for an upstream that wants to know (XFORWARD, XCLIENT). */
export interface RelayClient {
  /** In normal form. */
  readonly ip: string;
  readonly port: number;
  readonly protocol: 'SMTP' | 'ESMTP';
  /** As the client said it; empty if it said none. */
  readonly helo: string;
  /** The account, if the client has logged in. */
  readonly login: string | undefined;
  /** What we call the message. */
  readonly ident: string;
}

/** What the client said at MAIL FROM. */
export interface RelayEnvelope {
  /** Empty for the null sender. The domain may be Unicode. */
  readonly returnPath: string;
  /** The client asked for SMTPUTF8 (RFC 6531). */
  readonly utf8: boolean;
  /** BODY= (RFC 6152), if the client gave it. */
  readonly body?: '7BIT' | '8BITMIME';
  /** RET= (RFC 3461 section 4.3). */
  readonly ret?: 'FULL' | 'HDRS';
  /** ENVID= (RFC 3461 section 4.4), decoded: plain, not xtext. */
  readonly envid?: string;
  /** SIZE= in bytes (RFC 1870): what the client declared. */
  readonly size?: number;
  /** Who sends it: told to an upstream that takes XFORWARD or XCLIENT. */
  readonly client?: RelayClient;
}

export interface RelayRecipient {
  /** The domain may be Unicode. */
  readonly address: string;
  /** NOTIFY= (RFC 3461 section 4.1): NEVER, or any of SUCCESS, FAILURE, DELAY. */
  readonly notify?: readonly string[];
  /** ORCPT= (RFC 3461 section 4.2) as `type;address`, decoded: the relay encodes it again. */
  readonly orcpt?: string;
}

/** A message that has arrived in full: in memory, or in a spool file if it is long. */
export interface MessageBody {
  /** Bytes of everything that {@link open} gives: prefix and content, with canonical line ends. */
  readonly size: number;
  /** Bytes of what the stream gave, before line ends were made canonical. */
  readonly received: number;
  /** The first bytes of the content, without the prefix, at most 64 KiB: enough to count Received headers. */
  readonly headerHead: Buffer;
  /** True if no byte of prefix and content has its high bit set. */
  readonly ascii: boolean;
  /** True if the content lies in a spool file. */
  readonly spooled: boolean;
  /** Prefix and content as buffers if they are in memory; undefined for a spooled body. */
  readonly buffers: readonly Buffer[] | undefined;
  /** Gives prefix and content in chunks, any number of times. Throws SpoolFailed if the spool cannot be read. */
  open(): AsyncIterable<Buffer>;
  /** SHA-256 of the content without the prefix, hexadecimal: the same for the same message sent again. */
  digest(): Promise<string>;
  /** Frees the memory and removes the spool file; resolves once it is gone. Idempotent, never rejects. */
  dispose(): Promise<void>;
}

/** What became of one recipient. */
export interface RecipientResult {
  readonly recipient: RelayRecipient;
  readonly reply: Reply;
}

export interface Delivery {
  /** The client's single answer. */
  readonly reply: Reply;
  /** Recipients for whom the upstream took the message at this try. One that already had it does not count again. */
  readonly accepted: readonly RelayRecipient[];
  /** One for each recipient that was taken at RCPT, in the order of the offers. */
  readonly results: readonly RecipientResult[];
  /** True: `confirm` said no just before the final dot; nothing was handed over. */
  readonly withdrawn: boolean;
}

/** One mail transaction towards the upstream: one message, one return path. One call at a time. */
export interface RelayTransaction {
  /**
   * Offers one recipient and gives the upstream's own answer: 2xx means taken.
   *
   * @throws RelayUnreachable if there is no answer
   * @throws InvalidInput if the address or a parameter are not allowed in a command (control characters, `<`, `>`)
   */
  offer(recipient: RelayRecipient): Promise<Reply>;

  /**
   * Hands the message over to the recipients taken so far. `confirm` is asked once, synchronously, right before the
   * final dot (maildir: before the rename); if it says no, nothing is handed over.
   *
   * Without a recipient taken the answer is 554 and the upstream sees no DATA.
   *
   * @throws RelayUnreachable; `ambiguous` if the upstream may have taken the message (RFC 1047)
   * @throws SpoolFailed if the body cannot be read again; nothing was handed over then
   */
  transmit(body: MessageBody, confirm: () => boolean): Promise<Delivery>;

  /**
   * The client is gone; a message that is on its way goes on. The upstream has seconds for each answer from now on; if
   * the answer to the final dot is late, the session is set aside and the body is disposed of.
   */
  clientGone(): void;

  /** Gives up the transaction (RSET, QUIT, refusal) and its waits. Idempotent, never throws. */
  end(): void;
}

/** The extensions that an upstream takes and that clients may therefore be offered. */
export interface RelayOffers {
  /** 8BITMIME (RFC 6152). */
  readonly eightBit: boolean;
  /** SMTPUTF8 (RFC 6531). */
  readonly utf8: boolean;
  /** DSN (RFC 3461). */
  readonly dsn: boolean;
}

export interface Relay {
  /** As it said when it last greeted us; nothing before that. */
  readonly offers: RelayOffers;
  /**
   * Begins a transaction; nothing is sent before the first offer.
   *
   * @param sender who it is for: an account, or else a network. Senders share the sessions; a transaction without one
   *   counts as its own sender
   * @throws InvalidInput if the return path or a parameter are not allowed in a command
   */
  begin(envelope: RelayEnvelope, sender?: string): RelayTransaction;
  /** Asks whether the upstream answers (connection, greeting, TLS and login). Never throws. */
  probe(): Promise<{ readonly ok: boolean; readonly detail: string }>;
  /** False while messages are handed over and not taken: no answer comes, or a Maildir is not writable. */
  readonly healthy: boolean;
  /**
   * Upstream sessions: `open` in all, `busy` of them in use at this moment, `unanswered` set aside while they wait for
   * the answer to a message. A maildir has none.
   */
  readonly sessions: { readonly open: number; readonly busy: number; readonly unanswered: number };
  /** Waits for what is under way (at most the option `closeTimeout`), then closes every session. */
  close(): Promise<void>;
}

/**
 * `failing`: it cannot be reached, or does not greet. `unanswered`: it greets, and has not answered the last messages
 * that it was sent. `unknown`: it has not been asked yet.
 */
export type RelayState = 'ok' | 'unanswered' | 'failing' | 'unknown';

/** The upstream gives no answer, or none that can be parsed: the client is to try again later. */
export class RelayUnreachable extends Error {
  /** True if the message was sent in full and its answer never came: the upstream may have taken it (RFC 1047). */
  readonly ambiguous: boolean;
  /**
   * The message without what the upstream itself has said, the same for all that fail alike; undefined if there is
   * nothing to tell: a notice has told of it, or the relay is closed.
   */
  readonly fault: string | undefined;
  /** Recipients for whom the upstream took the message before it went away (LMTP): they count as a {@link Delivery}'s do. */
  readonly accepted: readonly RelayRecipient[];

  constructor(
    message: string,
    options: {
      readonly ambiguous?: boolean;
      readonly cause?: unknown;
      readonly fault?: string;
      readonly accepted?: readonly RelayRecipient[];
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RelayUnreachable';
    this.ambiguous = options.ambiguous ?? false;
    this.fault = options.fault;
    this.accepted = options.accepted ?? [];
  }
}

/** How long to wait for the upstream; the defaults are those of RFC 5321 section 4.5.3.2. */
export interface RelayTimeouts {
  /** For the TCP connection and for TLS: 30 s. */
  readonly connect: Milliseconds;
  /** For the greeting: 5 min. */
  readonly greeting: Milliseconds;
  /** For the answer to EHLO, MAIL, RCPT and all other commands: 5 min. */
  readonly command: Milliseconds;
  /** For the answer to DATA: 2 min. */
  readonly data: Milliseconds;
  /** For the upstream to take a block of the body: 3 min. */
  readonly block: Milliseconds;
  /** For the answer to the final dot: 10 min. */
  readonly dot: Milliseconds;
  /** After so long without the answer to the final dot, others may have another session in place of this one: 30 s. */
  readonly slowAnswer: Milliseconds;
  /** For any answer once the client is gone; in place of `slowAnswer` for the one to the final dot: 5 s. */
  readonly clientGone: Milliseconds;
}

export interface RelayOptions {
  /** Sessions become their client's (XCLIENT); an upstream that does not offer it is refused. */
  readonly xclient?: boolean;
  /** The name said at EHLO or LHLO, and in Maildir file names. */
  readonly hostname: string;
  /** Upstream sessions at most, and as many again that are set aside: 100. */
  readonly maxSessions?: number;
  /** Commands that may wait for a session at once: 1000. */
  readonly maxWaiting?: number;
  /** How long a command waits for a session: 10 s. */
  readonly waitTimeout?: Milliseconds;
  /** How long an unused session is kept: 60 s. */
  readonly idleTimeout?: Milliseconds;
  /** After how long an open transaction that nobody uses is reset upstream: 30 s. */
  readonly staleTransaction?: Milliseconds;
  /**
   * How long an open transaction waits for its owner before another may take its session, if no other is left: 20 ms.
   */
  readonly stealAfter?: Milliseconds;
  /** How long `close` waits for what is under way: 5 s. */
  readonly closeTimeout?: Milliseconds;
  readonly timeouts?: Partial<RelayTimeouts>;
  /** Pause after a failed connect: from 250 ms to 5 s, see {@link BackoffOptions}. */
  readonly backoff?: BackoffOptions;
  /** Recipients of LMTP messages delivered in part that are remembered: 100,000. */
  readonly rememberRecipients?: number;
  /** The machine's by default. */
  readonly clock?: AlarmClock;
  /** Told when the upstream goes away, and when it is back. Never contains credentials or addresses. */
  readonly onNotice?: (text: string) => void;
  /** Told whenever it answers a new connection, or takes messages again: news before the next probe. */
  readonly onReached?: () => void;
  /** Told of each message whose answer takes long. */
  readonly onUnanswered?: () => void;
}
