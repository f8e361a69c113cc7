import type { Span } from '@opentelemetry/api';
import { SpanKind } from '@opentelemetry/api';
import type { Logger } from 'pino';
import type { SMTPServerSession } from 'smtp-server';
import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { FailedLoginsByAccount } from '../accounts/users.js';
import type { SenderPolicy } from '../accounts/senders.js';
import type { ReadModels } from '../detector/read-models.js';
import type { GeoPlace } from '../geoip/database.js';
import type { AlarmClock } from '../kernel/time.js';
import type { Trouble } from '../log/trouble.js';
import type { Metrics } from '../metrics/metrics.js';
import { transactionId } from '../runtime/ids.js';
import type { RefusalStage, SenderFields } from '../sending/events.js';
import { clientNetwork, normalizeIp } from '../sending/identity.js';
import { refusesRecipient } from '../sending/refused-recipient.js';
import type { MailDirection, SenderIdentity } from '../sending/subjects.js';
import { senderIdentity } from '../sending/subjects.js';
import type { Appended, EventStore } from '../store/port.js';
import { failed, sinceEpoch, traceparentOf } from '../tracing/spans.js';
import type { Tracing } from '../tracing/tracing.js';
import type { AttemptLimiter } from '../accounts/attempt-limiter.js';
import type { LoggedIn, LoginVerifier } from './auth/login-verifier.js';
import type { LoginClient } from './auth/port.js';
import type { InTheAir } from '../recording/in-the-air.js';
import type { Recorder } from '../recording/recorder.js';
import type { LastPutOffs, PutOffFor } from '../recording/put-offs.js';
import type { RefusalsBehind } from '../recording/refused-behind.js';
import type { Relay, RelayTransaction, Reply } from './relay/port.js';
import { refusalReply, ReplyError, replyLine } from './replies.js';

/** What the SMTP side needs of the rest. */
export interface SmtpContext {
  readonly hostname: string;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Undefined if tracing is off. */
  readonly tracing?: Tracing | undefined;
  readonly models: ReadModels;
  /** Called when a message is durable. A promise delays its 250 until the block that it tripped is in force. */
  readonly accepted: (appended: Appended) => Promise<void> | undefined;
  readonly store: Pick<EventStore, 'healthy' | 'maxAppendBytes'>;
  readonly recorder: Recorder;
  readonly inTheAir: InTheAir;
  /** Messages refused because the store is away or the spool is full, and connections that cannot be accepted. */
  readonly troubles: Readonly<Record<'store' | 'spool' | 'accept', Trouble>>;
  readonly relay: Relay;
  readonly verifier: LoginVerifier;
  readonly limiter: AttemptLimiter;
  readonly failedLogins: FailedLoginsByAccount;
  readonly putOffs: LastPutOffs;
  readonly refusalsBehind: RefusalsBehind;
  /** Where a client is; its address in normal form. */
  readonly placeOf: (ip: string) => GeoPlace;
  readonly spoolDir: string;
  readonly senders: () => SenderPolicy;
  /** The contact that an honest refusal names. */
  readonly contact: string | undefined;
  /** Bytes. */
  readonly maxMessageSize: number;
}

/** Makes a request to the upstream, with the trace of the transaction. */
export function relayed<T>(
  trace: TransactionTrace | undefined,
  name: string,
  answer: Promise<T>,
): Promise<T> {
  return trace === undefined ? answer : trace.relay(name, answer);
}

/** When a login began and ended, by `performance.now()`. */
type LoginTimes = readonly [begun: number, ended: number];

/**
 * The trace of one mail transaction: a span for the whole, one for each command that waits, and below them the waits. A
 * session sends one command after the other, so at most one is under way.
 */
class TransactionTrace {
  readonly root: Span;
  readonly #tracing: Tracing;
  #command: Span | undefined;

  /** @param login the login before it, if this is the first transaction since */
  constructor(tracing: Tracing, id: string, direction: MailDirection, login: LoginTimes | undefined) {
    this.#tracing = tracing;
    const [begun, ended] = login === undefined ? [] : sinceEpoch(...login);
    this.root = tracing.start('smtp transaction', {
      kind: SpanKind.SERVER,
      attributes: { 'stopgap.correlation': id, 'stopgap.direction': direction },
      begun,
    });
    if (login !== undefined) tracing.start('AUTH', { parent: this.root, begun }).end(ended);
    this.root.addEvent('MAIL FROM');
  }

  /** What its events carry. */
  get traceparent(): string {
    return traceparentOf(this.#command ?? this.root);
  }

  /** The command under way, or the whole between two of them. */
  get current(): Span {
    return this.#command ?? this.root;
  }

  /** Runs a command; the span gets the answer if the command fails. */
  async command<T>(name: string, work: () => Promise<T>): Promise<T> {
    const span = this.#tracing.start(name, { parent: this.root });
    this.#command = span;
    try {
      const result = await work();
      span.end();
      return result;
    } catch (error) {
      if (error instanceof ReplyError) span.setAttribute('stopgap.reply', error.responseCode).end();
      else failed(span, error);
      throw error;
    } finally {
      this.#command = undefined;
    }
  }

  /** Traces a request to the upstream. */
  async relay<T>(name: string, answer: Promise<T>): Promise<T> {
    const span = this.#tracing.start(`relay ${name}`, { parent: this.current, kind: SpanKind.CLIENT });
    try {
      const result = await answer;
      span.end();
      return result;
    } catch (error) {
      failed(span, error);
      throw error;
    }
  }

  /** The upstream took the message for this many recipients. */
  accepted(recipients: number, bytes: number): void {
    this.root.setAttributes({ 'stopgap.recipients': recipients, 'stopgap.bytes': bytes });
  }

  end(): void {
    this.root.end();
  }
}

/** Refused recipients are recorded in batches of at most this many: a guessing client may never end its message. */
const REFUSED_AT_ONCE = 25;

/** One mail transaction: from MAIL FROM to its end. */
interface MailTransaction {
  readonly id: string;
  readonly returnPath: string;
  readonly entitled: boolean;
  readonly sender: SenderIdentity;
  /** The same by the name that the client gave at its login, if its account has another one: a block of either holds. */
  readonly asTyped: SenderIdentity | undefined;
  /** Undefined if it is not traced; most are not. */
  readonly trace: TransactionTrace | undefined;
  relay: RelayTransaction | undefined;
  /** Recipients that the upstream has taken. */
  readonly taken: Set<string>;
  /** The size in an event of the longest of their domains, in bytes. */
  longestDomain: number;
  /** The message is on its way: it no longer depends on its client. */
  delivering: boolean;
  refused: number;
  refusedCode: number;
}

/** What we know of one client while it is connected. */
export class Conversation {
  readonly ip: string;
  /** The client network: an IPv4 address or an IPv6 /64. */
  readonly network: string;
  /** The login, in normal form, once it succeeded. */
  account: string | undefined;
  /** When the login was, until the first transaction after it; set only with tracing. */
  login: LoginTimes | undefined;
  mail: MailTransaction | undefined;
  /** The client went away of itself. */
  hasLeft = false;
  readonly #context: SmtpContext;
  readonly #session: SMTPServerSession;
  readonly #direction: MailDirection;
  /** What the login rests on. */
  #loggedIn: LoggedIn | undefined;
  /** How many blocks on the login had ended by then. */
  #endedBefore = 0;
  #place: GeoPlace | undefined;
  #isClientGone = false;
  /** Ends its message's wait for its turn. */
  #giveUp: (() => void) | undefined;

  constructor(context: SmtpContext, session: SMTPServerSession, direction: MailDirection) {
    this.#context = context;
    this.#session = session;
    this.#direction = direction;
    this.ip = normalizeIp(session.remoteAddress) ?? session.remoteAddress;
    this.network = clientNetwork(this.ip);
  }

  /** Where the client is: looked for once, when something is to be recorded. */
  get place(): GeoPlace {
    return (this.#place ??= this.#context.placeOf(this.ip));
  }

  get ehlo(): string {
    return this.#session.hostNameAppearsAs || '';
  }

  /** The client, as back ends of logins are told of it. */
  get client(): LoginClient {
    const { localAddress, secure } = this.#session;
    return {
      ip: this.ip,
      network: this.network,
      localIp: normalizeIp(localAddress) ?? localAddress,
      secure,
    };
  }

  /** The identity of a login: address and domain subjects match the login's own address. */
  asLogin(login: string): SenderIdentity {
    return senderIdentity({
      account: login,
      returnPath: login,
      ehlo: this.ehlo,
      ip: this.ip,
      direction: 'outbound',
    });
  }

  /** The login has passed. */
  logIn(loggedIn: LoggedIn): void {
    this.#loggedIn = loggedIn;
    this.account = loggedIn.account;
    this.#endedBefore = this.endedBlocks(loggedIn.login, loggedIn.account);
  }

  /** Whether the login would not pass any more, or may not, as far as that is known: then its session must end. */
  get mustLogInAgain(): boolean {
    if (this.account === undefined) return false;
    return this.wasBlocked || !this.#context.verifier.holds(this.#loggedIn!, this.client);
  }

  /** Whether a block on the login has ended since: who is logged in may be the thief for whose sake the password was changed. */
  get wasBlocked(): boolean {
    if (this.account === undefined) return false;
    const { login, account } = this.#loggedIn!;
    return this.endedBlocks(login, account) !== this.#endedBefore;
  }

  /**
   * How many blocks on a login have ended, by the name that the client gives and by that of its account. Not those of EHLO names: a
   * client may say another one, so that a higher number would not always mean that one has ended.
   */
  endedBlocks(login: string, account: string): number {
    const { models, clock } = this.#context;
    const ended = (name: string): number =>
      models.ledger.rows.ended({ ...this.asLogin(name), ehlo: undefined }, clock.now());
    return ended(login) + (account === login ? 0 : ended(account));
  }

  begin(returnPath: string, entitled: boolean): void {
    this.end();
    const { account, ehlo, ip } = this;
    const id = transactionId(this.#session.id);
    const { login } = this.#loggedIn ?? {};
    const named = (name: string | undefined): SenderIdentity =>
      senderIdentity({ account: name, returnPath, ehlo, ip, direction: this.#direction });
    this.mail = {
      id,
      returnPath,
      entitled,
      sender: named(account),
      asTyped: account === undefined || login === account ? undefined : named(login),
      trace: this.#trace(id),
      relay: undefined,
      taken: new Set(),
      longestDomain: 0,
      delivering: false,
      refused: 0,
      refusedCode: 0,
    };
  }

  /** The block that refuses this sender now, if any. */
  verdict(): ActiveBlock | undefined {
    const { models, clock } = this.#context;
    const { sender, asTyped } = this.mail!;
    const block = models.refusing.find(sender, clock.now());
    return block ?? (asTyped === undefined ? undefined : models.refusing.find(asTyped, clock.now()));
  }

  /** Records a refusal of ours and gives the error that tells the client. */
  refuse(block: ActiveBlock, stage: RefusalStage): ReplyError {
    const { contact, metrics, recorder, tracing } = this.#context;
    const { id: correlation, trace } = this.mail ?? { id: this.#session.id };
    const reply = refusalReply(block.refusal, contact);
    metrics.smtp.refused(stage, block.refusal);
    recorder.refused(
      { ...this.fields(), stage, block: block.id, reply: replyLine(reply) },
      correlation,
      tracing?.refused(block.id, stage, reply.code, correlation, trace?.current),
    );
    return new ReplyError(reply);
  }

  /** Records that the upstream refused a recipient, and gives the error that tells the client. */
  upstreamRefused(reply: Reply): ReplyError {
    const { mail } = this;
    const { metrics, recorder, refusalsBehind, clock } = this.#context;
    metrics.smtp.refused('rcpt', 'upstream');
    if (mail === undefined) return new ReplyError(reply); // the client is gone
    // Greylisting, a message that is too large or a client that is not known says nothing about the recipient list. Only recipients
    // that do not exist do.
    if (reply.ofMessage === true || !refusesRecipient(reply.code, reply.text)) {
      const { id: transaction, returnPath } = mail;
      recorder.tellRefused({ transaction, account: this.account, returnPath, count: 1, code: reply.code });
      if (this.account !== undefined) refusalsBehind.note(this.account, reply.code, clock.now());
      return new ReplyError(reply);
    }
    mail.refused++;
    mail.refusedCode = reply.code;
    if (mail.refused >= REFUSED_AT_ONCE) this.#recordRefused(mail);
    return new ReplyError(reply);
  }

  /** Its client is told to try again, for a trouble that is not its own. What arrives is no account's. */
  putOff(why: PutOffFor): void {
    const { putOffs, clock } = this.#context;
    if (this.account !== undefined && !this.hasLeft) putOffs.note(why, clock.now());
  }

  /** Ends the mail transaction, if there is one, and frees what it holds upstream. */
  end(): void {
    const { mail } = this;
    if (mail === undefined) return;
    this.mail = undefined;
    this.#recordRefused(mail);
    mail.relay?.end();
    mail.trace?.end();
  }

  /**
   * The client is gone. A message that arrived in full goes on without it. A message that waits for its turn ends: it
   * would hold memory and files that no limit of connections counts, and its client sends it again.
   *
   * @param dismissed it was sent away, since the process ends
   */
  clientGone(dismissed: boolean): void {
    const { mail } = this;
    this.hasLeft = !dismissed;
    this.#isClientGone = true;
    if (mail?.delivering !== true) return this.end();
    mail.relay?.clientGone();
    this.#giveUp?.();
  }

  /** The message waits for its turn; `giveUp` ends the wait. */
  waits(giveUp: () => void): void {
    this.#giveUp = giveUp;
    if (this.#isClientGone) giveUp();
  }

  /** Who is sending, as events record it: as the client wrote it. */
  fields(mail = this.mail): SenderFields {
    const { account, ehlo, ip } = this;
    return {
      direction: this.#direction,
      ...(account === undefined ? {} : { account }),
      ...(mail === undefined ? {} : { returnPath: mail.returnPath }),
      ...(ehlo === '' ? {} : { ehlo }),
      ip,
      ...this.place,
    };
  }

  #recordRefused(mail: MailTransaction): void {
    if (mail.refused === 0) return;
    const { refused: count, refusedCode: code, entitled, id: transaction } = mail;
    mail.refused = 0;
    const fields = { ...this.fields(mail), transaction, count, code, entitled };
    this.#context.recorder.recipientsRefused(fields, mail.trace?.traceparent);
  }

  #trace(id: string): TransactionTrace | undefined {
    const { tracing } = this.#context;
    if (tracing === undefined) return undefined;
    const { login } = this;
    this.login = undefined;
    return tracing.chosen() ? new TransactionTrace(tracing, id, this.#direction, login) : undefined;
  }
}
