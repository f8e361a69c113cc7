import type { AddressInfo } from 'node:net';
import type { SecureContext } from 'node:tls';
import type {
  SMTPServerAddress,
  SMTPServerAuthentication,
  SMTPServerDataStream,
  SMTPServerSession,
} from 'smtp-server';
import { isEntitled, maySend } from '../accounts/senders.js';
import type { ConnectionLimits, TlsMode } from '../config/schema.js';
import type { ListenAddress } from '../config/listening.js';
import { formatListen } from '../config/listening.js';
import { InvalidInput, messageOf } from '../kernel/errors.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND, formatInstant } from '../kernel/time.js';
import type { ListenerMeter, TurnedAwayFor } from '../metrics/smtp.js';
import { listenOptions } from '../runtime/listening.js';
import { domainOf, isWithin, normalizeDomain } from '../sending/identity.js';
import { Admission } from './admission.js';
import type { SmtpContext } from './conversation.js';
import { Conversation, relayed } from './conversation.js';
import type { EnvelopeCommand } from './envelope-command.js';
import { logIn } from './login.js';
import { eventBound, nameBytes, takeMessage } from './message.js';
import type { RelayClient, RelayEnvelope, RelayRecipient } from './relay/port.js';
import { RelayUnreachable } from './relay/port.js';
import {
  LOG_IN_AGAIN,
  NOT_YOUR_ADDRESS,
  NO_RELAY,
  ROUTED,
  ReplyError,
  SHUTTING_DOWN,
  TLS_FIRST,
  TOO_MANY_RECIPIENTS,
  TRY_LATER,
} from './replies.js';
import type { MailServerOptions } from './server.js';
import { MailServer } from './server.js';
import type { SecureOptions } from './tls.js';

interface CommonSettings {
  readonly listen: ListenAddress;
  readonly tlsMode: TlsMode;
  /** The certificate. It is also set without TLS, so that the library never loads its public one. */
  readonly secure: SecureOptions;
  /** What a client gets that asks for this name (SNI), if that is another certificate. */
  readonly contextFor: (name: string) => SecureContext | undefined;
  readonly limits: ConnectionLimits;
  /** Networks whose connections begin with a PROXY header. */
  readonly proxy: readonly string[];
  readonly maxRecipients: number;
}

export type ListenerSettings =
  | (CommonSettings & { readonly kind: 'submission'; readonly allowInsecureAuth: boolean })
  | (CommonSettings & { readonly kind: 'inbound'; readonly domains: ReadonlySet<string> });

/** How long a message may go on at shutdown. The steps after it need some of the ten seconds too. */
const DRAIN: Milliseconds = 5 * SECOND;
/** The library counts every line before a login, also those within AUTH LOGIN: room for a few mistyped passwords. */
const LINES_BEFORE_LOGIN = 30;
/** Joke commands of the library. */
const NOT_OFFERED = ['WIZ', 'SHELL', 'KILL'];

type Done = (error?: Error | null) => void;

/** One SMTP listener: submission by our accounts, or mail that arrives for our domains. */
export class SmtpListener {
  readonly #context: SmtpContext;
  readonly #settings: ListenerSettings;
  readonly #bounds: RecipientBounds;
  readonly #server: MailServer;
  readonly #meter: ListenerMeter;
  readonly #turnedAway: FloodCoalescer<{ readonly reason: TurnedAwayFor; readonly network: string }>;
  readonly #conversations = new WeakMap<SMTPServerSession, Conversation>();
  #closing = false;

  constructor(context: SmtpContext, settings: ListenerSettings) {
    this.#context = context;
    this.#settings = settings;
    const { maxRecipients } = settings;
    this.#bounds = { maxRecipients, domains: settings.kind === 'inbound' ? settings.domains : undefined };
    this.#meter = context.metrics.smtp.door(settings.kind === 'submission' ? 'outbound' : 'inbound');
    const listener = formatListen(settings.listen);
    this.#turnedAway = new FloodCoalescer(context.clock, ({ reason, network }, count, since) =>
      context.log.warn(
        { listener, reason, network, count, since: formatInstant(since) },
        'connections were turned away',
      ),
    );
    this.#server = new MailServer(this.#options());
    this.#server.on('error', (error: NodeJS.ErrnoException) => {
      // Clients go away all the time. If `accept` fails (no descriptor is left), the fault is ours.
      context.metrics.smtp.connectionFailed(error.syscall === 'accept' ? 'accept' : 'client');
      if (error.syscall === 'accept') context.troubles.accept.failed(error.message);
      else context.log.debug({ error: error.message }, 'an SMTP connection failed');
    });
  }

  /** @returns the port, which the system has chosen where 0 was asked for */
  async listen(): Promise<number> {
    const options = listenOptions(this.#settings.listen);
    return new Promise((resolve, reject) => {
      this.#server.server.once('error', reject);
      this.#server.listen(options, () => {
        this.#server.server.off('error', reject);
        resolve((this.#server.server.address() as AddressInfo).port);
      });
    });
  }

  /** Uses a renewed certificate for sessions that begin from now on. */
  useCertificate(secure: SecureOptions): void {
    this.#server.updateSecureContext(secure);
  }

  /** Takes no more connections. Sessions get 421 at once; those with a message under way get it after the message. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#turnedAway.flush();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { session } of [...this.#server.connections]) {
      // The library answers every further command with 421, so nothing is worth waiting for.
      if (this.#conversations.get(session)?.mail?.delivering !== true) this.#dismiss(session);
    }
    await closed;
    // A client that does not close its side must not keep the process alive. It has had its 421.
    for (const socket of this.#server.sockets) socket.unref();
  }

  #dismiss(session: SMTPServerSession): void {
    for (const connection of this.#server.connections) {
      if (connection.session === session) connection.send(SHUTTING_DOWN.code, SHUTTING_DOWN.text);
    }
  }

  #options(): MailServerOptions {
    const { tlsMode, secure, contextFor, kind, limits, maxRecipients, proxy } = this.#settings;
    const { hostname, maxMessageSize, relay } = this.#context;
    const { maxConnections, perNetwork, timeouts } = limits;
    return {
      ...secure,
      // The library gives names in Unicode.
      SNICallback: (name, done) => done(null, contextFor(normalizeDomain(name))),
      name: hostname,
      banner: '',
      secure: tlsMode === 'implicit',
      disabledCommands: this.#disabledCommands(),
      authOptional: kind === 'inbound',
      authMethods: ['PLAIN', 'LOGIN'],
      maxAllowedUnauthenticatedCommands: LINES_BEFORE_LOGIN,
      allowInsecureAuth: kind === 'submission' && this.#settings.allowInsecureAuth,
      size: maxMessageSize,
      maxRecipients,
      hideDSN: false,
      disableReverseLookup: true,
      logger: false,
      closeTimeout: DRAIN,
      admission: new Admission({
        connections: maxConnections,
        perNetwork: perNetwork.connections,
        newPerMinute: perNetwork.newPerMinute,
      }),
      isExempt: (ip) => perNetwork.except.some((network) => isWithin(ip, network)),
      isProxy: (ip) => proxy.some((network) => isWithin(ip, network)),
      onArrived: (socket, peer) => this.#meter.arrived(socket, peer),
      deadlines: timeouts,
      offers: () => relay.offers,
      onTurnedAway: (reason, network) => {
        this.#meter.turnedAway(reason);
        // Coalesced by reason, not by network: there can be as many networks as addresses.
        this.#turnedAway.add(reason, { reason, network });
      },
      onConnect: (session, done) => this.#connected(session, done),
      onSecure: (_socket, session, done) => this.#secured(session, done),
      onClose: (session) => this.#closed(session),
      onAuth: (auth, session, done) => this.#auth(auth, session, this.#meter.measured('auth', done)),
      onMailFrom: (address, session, done) =>
        this.#mailFrom(address, session, this.#meter.measured('mail', done)),
      onRcptTo: (address, session, done) =>
        this.#settle(this.#rcptTo(address, session), this.#meter.measured('rcpt', done)),
      onData: (stream, session, done) => this.#data(stream, session, this.#meter.measured('data', done)),
    };
  }

  #disabledCommands(): string[] {
    const { tlsMode, kind } = this.#settings;
    const withoutAuth = kind === 'inbound' ? ['AUTH'] : [];
    const withoutTls = tlsMode === 'none' ? ['STARTTLS'] : [];
    return [...NOT_OFFERED, ...withoutAuth, ...withoutTls];
  }

  #connected(session: SMTPServerSession, done: Done): void {
    const settings = this.#settings;
    // The library refuses a login in clear text but still offers it, and some clients then send their password.
    if (settings.kind === 'submission' && !session.secure && !settings.allowInsecureAuth) {
      session.disabledCommands = [...this.#disabledCommands(), 'AUTH'];
    }
    const direction = settings.kind === 'submission' ? 'outbound' : 'inbound';
    this.#conversations.set(session, new Conversation(this.#context, session, direction));
    this.#meter.greeted(session);
    this.#context.troubles.accept.worked();
    done();
  }

  /** TLS is up, either from the start or after STARTTLS. */
  #secured(session: SMTPServerSession, done: Done): void {
    session.disabledCommands = this.#disabledCommands();
    done();
  }

  #closed(session: SMTPServerSession): void {
    const conversation = this.#conversations.get(session);
    if (conversation === undefined) return;
    conversation.clientGone(this.#closing);
    this.#meter.closed();
  }

  #auth(
    auth: SMTPServerAuthentication,
    session: SMTPServerSession,
    done: (error?: Error | null, response?: { user: string }) => void,
  ): void {
    const conversation = this.#of(session);
    logIn(this.#context, conversation, auth).then(
      (loggedIn) => {
        conversation.logIn(loggedIn);
        done(null, { user: loggedIn.account });
      },
      (error: unknown) => done(this.#asReply(error)),
    );
  }

  #mailFrom(address: SMTPServerAddress, session: SMTPServerSession, done: Done): void {
    const conversation = this.#of(session);
    // After STARTTLS the library forgets the login, so we forget it too.
    if (!session.user) conversation.account = undefined;
    const { account } = conversation;
    // The library requires a login if it offers one. If it offers none, nobody may pass without a login.
    if (this.#settings.kind === 'submission' && account === undefined) {
      done(new ReplyError(TLS_FIRST));
      return;
    }
    if (conversation.mustLogInAgain) {
      done(new ReplyError(LOG_IN_AGAIN));
      return;
    }
    const { senders, verifier } = this.#context;
    const policy = senders();
    if (account !== undefined && !maySend(policy, account, address.address)) {
      const { log, metrics } = this.#context;
      metrics.smtp.refused('mail', 'sender');
      if (log.isLevelEnabled('debug'))
        log.debug({ account, returnPath: address.address }, 'a return path is not for this account');
      done(new ReplyError(NOT_YOUR_ADDRESS));
      return;
    }
    conversation.begin(
      address.address,
      account === undefined || isEntitled(policy, account, address.address, (name) => verifier.isLogin(name)),
    );
    done();
  }

  #rcptTo(address: SMTPServerAddress, session: SMTPServerSession): Promise<void> {
    const conversation = this.#of(session);
    const offer = (): Promise<void> =>
      offerRecipient(this.#context, conversation, session, address, this.#bounds);
    const trace = conversation.mail?.trace;
    return trace === undefined ? offer() : trace.command('RCPT TO', offer);
  }

  #data(
    stream: SMTPServerDataStream,
    session: SMTPServerSession,
    done: (error?: Error | null, message?: string) => void,
  ): void {
    const conversation = this.#of(session);
    conversation.mail!.delivering = true;
    const over = (error: Error | null, text?: string): void => {
      conversation.end();
      done(error, text);
      if (!this.#closing) return;
      // The client gets an early refusal at the end of its message, not before.
      if (stream.readable) stream.once('end', () => this.#dismiss(session));
      else this.#dismiss(session);
    };
    const { trace } = conversation.mail!;
    const take = (): Promise<string> => takeMessage(this.#context, conversation, session, stream);
    (trace === undefined ? take() : trace.command('DATA', take)).then(
      (text) => over(null, text),
      (error: unknown) => over(this.#asReply(error)),
    );
  }

  #of(session: SMTPServerSession): Conversation {
    return this.#conversations.get(session)!;
  }

  #settle(work: Promise<void>, done: Done): void {
    work.then(
      () => done(),
      (error: unknown) => done(this.#asReply(error)),
    );
  }

  /** An error that is no reply is our fault: the client is to try again, and the log has the error. */
  #asReply(error: unknown): ReplyError {
    if (error instanceof ReplyError) return error;
    this.#context.log.error(
      { error: messageOf(error), stack: error instanceof Error ? error.stack : undefined },
      'an SMTP command failed',
    );
    return new ReplyError(TRY_LATER, true);
  }
}

/** Limits on the recipients of one listener. */
interface RecipientBounds {
  readonly maxRecipients: number;
  /** The only domains that mail may go to; undefined allows all. */
  readonly domains: ReadonlySet<string> | undefined;
}

/**
 * Handles RCPT TO. It waits only for the upstream: the verdict is a look-up in memory.
 *
 * @throws ReplyError with what the client is told if the recipient is not taken
 */
async function offerRecipient(
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
  // The library's count ignores case in addresses; the upstream may not.
  const isNew = !mail.taken.has(address.address);
  if (isNew && mail.taken.size >= maxRecipients) throw new ReplyError(TOO_MANY_RECIPIENTS);
  const bytes = nameBytes(normalizeDomain(domainOf(address.address) ?? ''));
  const longestDomain = Math.max(mail.longestDomain, bytes);
  // The client sends the rest in another transaction. After the end of the message it would be too late to refuse it.
  if (isNew && eventBound(conversation, mail.taken.size + 1, longestDomain) > store.maxAppendBytes)
    throw new ReplyError(TOO_MANY_RECIPIENTS);
  try {
    mail.relay ??= relay.begin(
      { ...relayEnvelope(session), client: clientOf(conversation, session, mail.id) },
      conversation.account ?? conversation.network,
    );
    const reply = await relayed(mail.trace, 'RCPT TO', mail.relay.offer(relayRecipient(address)));
    if (reply.code >= 300) throw conversation.upstreamRefused(reply);
    mail.taken.add(address.address);
    mail.longestDomain = longestDomain;
  } catch (error) {
    if (error instanceof InvalidInput) throw new ReplyError({ code: 553, text: `5.1.3 ${error.message}` });
    if (!(error instanceof RelayUnreachable)) throw error;
    metrics.smtp.refused('rcpt', 'unreachable');
    conversation.putOff('upstream');
    if (error.fault !== undefined) recorder.unanswered(error.fault, mail.id, error.message);
    throw new ReplyError(TRY_LATER);
  }
}

/**
 * Whether the local part names a further destination: mail servers read `user%elsewhere.test@example.com`,
 * `elsewhere.test!user@example.com` and quoted local parts as routes, and send the message out again.
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

/** What the client said at MAIL FROM, for the relay. */
function relayEnvelope({ envelope }: SMTPServerSession): RelayEnvelope {
  const { mailFrom } = envelope;
  if (mailFrom === false) throw new Error('RCPT TO before MAIL FROM reached the handler');
  // Only the parameters of this MAIL FROM. The library's envelope keeps those of a refused one before it, and its
  // bodyType is 7bit if the client gave none.
  const args: Readonly<Record<string, unknown>> = mailFrom.args || {};
  const { SIZE: size, BODY: body, RET: ret, ENVID: envid, SMTPUTF8: utf8 } = args;
  return {
    returnPath: mailFrom.address,
    utf8: utf8 === true,
    ...(typeof body !== 'string' ? {} : { body: body.toUpperCase() === '8BITMIME' ? '8BITMIME' : '7BIT' }),
    ...(typeof ret !== 'string' ? {} : { ret: ret.toUpperCase() === 'FULL' ? 'FULL' : 'HDRS' }),
    ...(typeof envid !== 'string' ? {} : { envid }),
    ...(typeof size !== 'string' ? {} : { size: Number(size) }),
  };
}

function clientOf(
  { ip, ehlo, account }: Conversation,
  { remotePort, openingCommand }: SMTPServerSession,
  ident: string,
): RelayClient {
  const protocol = openingCommand === 'HELO' ? 'SMTP' : 'ESMTP';
  return { ip, port: remotePort, protocol, helo: ehlo, login: account, ident };
}

/** What the client said at RCPT TO, for the relay. */
function relayRecipient({ address, dsn }: SMTPServerAddress): RelayRecipient {
  return {
    address,
    ...(dsn?.notify === undefined ? {} : { notify: dsn.notify }),
    ...(dsn?.orcpt === undefined ? {} : { orcpt: dsn.orcpt }),
  };
}
