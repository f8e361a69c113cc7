import type { SMTPServerSession } from 'smtp-server';
import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { GeoPlace } from '../geoip/place.js';
import type { RefusalStage, SenderFields } from '../sending/events.js';
import { clientNetwork, normalizeIp } from '../sending/identity.js';
import type { MailDirection, SenderIdentity } from '../sending/subjects.js';
import { senderIdentity } from '../sending/subjects.js';
import type { SmtpContext } from './context.js';
import type { RelayTransaction } from './relay/port.js';
import type { SmtpReply } from './replies.js';
import { ReplyError, refusalReply, replyLine } from './replies.js';
import type { LoginTimes } from './transaction-trace.js';
import { TransactionTrace } from './transaction-trace.js';

/** Refused recipients are recorded in lots of at most this many: a guessing client may never end its message. */
const REFUSED_AT_ONCE = 25;

/** One mail transaction: from MAIL FROM to its end. */
interface MailTransaction {
  readonly id: string;
  readonly returnPath: string;
  readonly entitled: boolean;
  readonly sender: SenderIdentity;
  /** Undefined where it is not traced, as most are not. */
  readonly trace: TransactionTrace | undefined;
  relay: RelayTransaction | undefined;
  /** Recipients that the upstream has taken. */
  readonly taken: Set<string>;
  /** Bytes that the longest of their domains may come to in an event. */
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
  /** When that was, until the first transaction after it. Only where anything is traced. */
  login: LoginTimes | undefined;
  mail: MailTransaction | undefined;
  readonly #context: SmtpContext;
  readonly #session: SMTPServerSession;
  readonly #direction: MailDirection;
  #place: GeoPlace | undefined;
  #count = 0;

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

  /** Who a login would be: address and domain subjects match the login's own address. */
  asLogin(login: string): SenderIdentity {
    return senderIdentity({
      account: login,
      returnPath: login,
      ehlo: this.ehlo,
      ip: this.ip,
      direction: 'outbound',
    });
  }

  begin(returnPath: string, entitled: boolean): void {
    this.end();
    const { account, ehlo, ip } = this;
    const id = `${this.#session.id}.${++this.#count}`;
    this.mail = {
      id,
      returnPath,
      entitled,
      sender: senderIdentity({ account, returnPath, ehlo, ip, direction: this.#direction }),
      trace: this.#trace(id),
      relay: undefined,
      taken: new Set(),
      longestDomain: 0,
      delivering: false,
      refused: 0,
      refusedCode: 0,
    };
  }

  /** Whether this sender is refused, at this very moment. */
  verdict(): ActiveBlock | undefined {
    const { models, clock } = this.#context;
    return models.refusing.find(this.mail!.sender, clock.now());
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

  /** Records that the upstream refused a recipient for good, and gives the error that tells the client. */
  upstreamRefused(reply: SmtpReply): ReplyError {
    const { mail } = this;
    this.#context.metrics.smtp.refused('rcpt', 'upstream');
    if (mail === undefined) return new ReplyError(reply); // the client is gone
    // Greylisting or a full disk says nothing about the list: only who does not exist does.
    if (reply.code < 500) return new ReplyError(reply);
    mail.refused++;
    mail.refusedCode = reply.code;
    if (mail.refused >= REFUSED_AT_ONCE) this.#recordRefused(mail);
    return new ReplyError(reply);
  }

  /** Ends the mail transaction, if there is one, and with it what it holds upstream. */
  end(): void {
    const { mail } = this;
    if (mail === undefined) return;
    this.mail = undefined;
    this.#recordRefused(mail);
    mail.relay?.end();
    mail.trace?.end();
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
