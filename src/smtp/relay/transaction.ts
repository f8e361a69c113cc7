import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { HOUR } from '../../kernel/time.js';
import { answerFor, changedMind, isPositive, sameForAll, SessionLost, toReply, withdrawn } from './reply.js';
import { clientKey, heloName, xclient, xforward } from './client.js';
import { NEEDS_SMTPUTF8, parseCapabilities, WireEnvelope, WireRecipient } from './commands.js';
import type { Pool } from './pool.js';
import type {
  Delivery,
  MessageBody,
  RecipientResult,
  RelayEnvelope,
  RelayRecipient,
  RelayTransaction,
  Reply,
  Sender,
} from './port.js';
import { RelayUnreachable } from './port.js';
import type { Session } from './session.js';

export const NO_RECIPIENTS: Reply = { code: 554, text: '5.5.1 no valid recipients' };
const EIGHT_BIT_UNSUPPORTED: Reply = {
  code: 554,
  text: '5.6.3 the message has 8-bit content, which the next server does not take',
};
const UTF8_HEADERS_UNSUPPORTED: Reply = {
  code: 554,
  text: '5.6.9 the message has UTF-8 headers, and the next server does not offer SMTPUTF8',
};
const DELIVERED_BEFORE: Reply = { code: 250, text: '2.0.0 delivered before' };

/** A recipient that the upstream took, and what it last said. */
interface Taken {
  readonly wire: WireRecipient;
  reply: Reply;
}

/** A transaction over pooled SMTP or LMTP sessions; see {@link Pool} for how it holds none of them up. */
export class PooledTransaction implements RelayTransaction {
  readonly #pool: Pool;
  readonly #envelope: WireEnvelope;
  /** With LMTP only: each recipient has its own answer, and partial deliveries are remembered. */
  readonly #memory: DeliveredRecipients | undefined;
  readonly #sender: Sender;
  /** Whom each of its sessions is to be of (XCLIENT); undefined: of Stopgap. */
  readonly #client: string | undefined;
  readonly #taken: Taken[] = [];
  #session: Session | undefined;
  /** The session of the exchange under way. */
  #inUse: Session | undefined;
  #clientGone = false;
  #ended = false;
  #digest: Promise<string> | undefined;

  /** Throws InvalidInput. */
  constructor(
    pool: Pool,
    envelope: RelayEnvelope,
    memory: DeliveredRecipients | undefined,
    sender: string | undefined,
    asClient: boolean,
  ) {
    this.#pool = pool;
    this.#envelope = new WireEnvelope(envelope);
    this.#memory = memory;
    this.#sender = sender ?? this;
    this.#client = asClient && envelope.client !== undefined ? clientKey(envelope.client) : undefined;
  }

  async offer(recipient: RelayRecipient): Promise<Reply> {
    const wire = new WireRecipient(recipient);
    const before = this.#taken.find((taken) => taken.wire.recipient.address === recipient.address);
    if (before !== undefined) return before.reply;
    return this.#leased(async (session) => {
      const offered: Taken = { wire, reply: NEEDS_SMTPUTF8 };
      // Recipients taken on another session say nothing about this one, so all of them are offered again.
      await this.#offerOn(session, session.owner === this ? [offered] : [...this.#taken, offered]);
      if (isPositive(offered.reply)) this.#taken.push(offered);
      return offered.reply;
    });
  }

  async transmit(body: MessageBody, confirm: () => boolean): Promise<Delivery> {
    if (this.#taken.length === 0) return sameForAll([], NO_RECIPIENTS);
    const before = await this.#gotItBefore(body);
    const due = this.#taken.filter((taken) => !before.has(taken.wire.recipient.address));
    if (due.length === 0) {
      this.end();
      const results = resultsOf(this.#taken);
      return confirm() ? { ...sameForAll(results, DELIVERED_BEFORE), accepted: [] } : withdrawn(results);
    }
    const delivery = await this.#leased((session) => this.#deliver(session, body, confirm, due));
    if (due.length === this.#taken.length || delivery.withdrawn) return delivery;
    return this.#withThoseBefore(delivery, before);
  }

  clientGone(): void {
    this.#clientGone = true;
    this.#inUse?.hurry();
  }

  end(): void {
    this.#ended = true;
    this.clientGone();
    this.#pool.withdraw(this, this.#sender);
    this.#pool.abandon(this, this.#session);
    this.#session = undefined;
  }

  /** Adds the recipients who got the message at an earlier try. */
  #withThoseBefore(delivery: Delivery, before: ReadonlySet<string>): Delivery {
    const now = new Map(delivery.results.map((result) => [result.recipient, result.reply]));
    const results = this.#taken.map(({ wire: { recipient } }) => ({
      recipient,
      reply: before.has(recipient.address) ? DELIVERED_BEFORE : now.get(recipient)!,
    }));
    const { accepted } = delivery;
    // If no new recipient got it, the answer is the upstream's or our own reason.
    const { reply } = accepted.length === 0 ? delivery : answerFor(results);
    return { ...delivery, reply, results, accepted };
  }

  /**
   * Runs one exchange on a session. If a session that was used before turns out to be dead before any part of the
   * message was sent, a new one replaces it, once.
   */
  async #leased<T>(work: (session: Session) => Promise<T>): Promise<T> {
    let session = await this.#pool.take(this, this.#sender, this.#session, this.#client);
    if (session.client !== undefined && session.client !== this.#client) {
      // XCLIENT cannot be taken back.
      void session.quit();
      session = await this.#pool.replace(session);
    }
    for (let first = true; ; first = false) {
      this.#session = session;
      this.#inUse = session;
      session.bodyStarted = false;
      if (this.#clientGone) session.hurry();
      try {
        await this.#introduce(session);
        const outcome = await work(session);
        this.#giveBack(session);
        return outcome;
      } catch (error) {
        const again = first && session.uses > 1 && error instanceof SessionLost && error.closedByUpstream;
        this.#inUse = undefined;
        if (again && !session.bodyStarted) {
          session = await this.#pool.replace(session);
          continue;
        }
        this.#session = undefined;
        session.fail('given up in the middle of an exchange', false);
        this.#pool.release(session);
        if (!(error instanceof SessionLost)) throw error;
        throw new RelayUnreachable(error.message, { cause: error, fault: error.fault });
      }
    }
  }

  /** Makes a new session one of the client's: it says EHLO again, as the client did. */
  async #introduce(session: Session): Promise<void> {
    const { client } = this.#envelope.envelope;
    if (this.#client === undefined || client === undefined || session.client !== undefined) return;
    session.client = this.#client;
    for (const line of xclient(session.capabilities, client)) {
      const { code } = await session.command(line);
      if (code >= 300) throw session.fail(`XCLIENT was refused with ${code}`, false);
    }
    const reply = await session.command(`EHLO ${heloName(client) ?? 'unknown'}`);
    if (!isPositive(reply)) throw session.fail(`EHLO after XCLIENT was refused with ${reply.code}`, false);
    // What it takes of clients from a client is nothing that we say.
    session.capabilities = { ...parseCapabilities(reply.lines), xforward: [], xclient: [] };
  }

  #giveBack(session: Session): void {
    this.#inUse = undefined;
    if (this.#ended) this.#pool.abandon(this, session);
    if (session.owner !== this) this.#session = undefined;
    this.#pool.release(session);
  }

  /**
   * Offers recipients in this session's open transaction, or in a new one if it is not ours; records the answer to
   * each. If MAIL is refused, that is the answer to all.
   */
  async #offerOn(session: Session, recipients: readonly Taken[]): Promise<void> {
    const { capabilities } = session;
    const lines: string[] = [];
    let mailAt = -1;
    if (session.owner !== this) {
      const mail = this.#envelope.mail(capabilities);
      if (typeof mail !== 'string') return refuseAll(recipients, mail);
      if (session.owner !== undefined || session.dirty) lines.push('RSET');
      // The upstream forgets it at the end of each transaction.
      lines.push(...xforward(capabilities, this.#envelope.envelope.client));
      mailAt = lines.push(mail) - 1;
    }
    const asked: Taken[] = [];
    for (const taken of recipients) {
      const rcpt = taken.wire.rcpt(capabilities, this.#envelope.envelope.utf8);
      if (typeof rcpt !== 'string') taken.reply = rcpt;
      else {
        lines.push(rcpt);
        asked.push(taken);
      }
    }
    if (asked.length === 0) return;

    if (mailAt >= 0) {
      session.owner = undefined;
      session.dirty = true;
    }
    const firstRcpt = mailAt + 1;
    // Mail goes on without XFORWARD.
    const matters = (index: number): boolean => index < firstRcpt && !lines[index]!.startsWith('XFORWARD');
    const replies = await session.exchange(lines, (reply, index) => !matters(index) || isPositive(reply));
    if (lines[0] === 'RSET' && !isPositive(replies[0]!)) throw session.fail('RSET was refused', false);
    if (replies.some((reply, index) => index < mailAt && !isPositive(reply)))
      session.capabilities = { ...capabilities, xforward: [] };
    if (mailAt >= 0) {
      const mail = replies[mailAt]!;
      // The session stays dirty: Postfix keeps what a refused MAIL declared, and would hold it against the next sender's.
      if (!isPositive(mail)) return refuseAll(recipients, finalReply(session, mail.code, toReply(mail)));
      session.owner = this;
      session.dirty = false;
    }
    for (const [index, taken] of asked.entries()) {
      const raw = replies[firstRcpt + index]!;
      taken.reply = finalReply(session, raw.code, toReply(raw));
    }
  }

  async #deliver(
    session: Session,
    body: MessageBody,
    confirm: () => boolean,
    due: readonly Taken[],
  ): Promise<Delivery> {
    const results = resultsOf(due);
    const unfit = this.#unfit(session, body);
    if (unfit !== undefined) {
      this.#pool.abandon(this, session);
      return sameForAll(results, unfit);
    }
    if (session.owner !== this || due.length < this.#taken.length) {
      // The transaction is ours, but some of its recipients must not get the message again. So it is of no use.
      this.#pool.abandon(this, session);
      await this.#offerOn(session, due);
    }
    if (due.some((taken) => !isPositive(taken.reply))) {
      this.#pool.abandon(this, session);
      return changedMind(resultsOf(due));
    }
    session.owner = undefined;
    session.dirty = true;
    session.onOverdue = (again) => {
      this.#pool.overdue(session, again);
      // The body is not read again. If it cannot be read it is kept, and the caller disposes of it in the end.
      this.#letGo(body).catch(() => undefined);
    };
    const outcome = await session.data(body, confirm, this.#memory === undefined ? 1 : due.length);
    if (outcome.kind === 'withdrawn') return withdrawn(results);
    if (outcome.kind === 'refused')
      return sameForAll(results, finalReply(session, outcome.reply.code, toReply(outcome.reply)));
    this.#pool.answered();
    session.dirty = false;
    const replies = outcome.replies.map((raw) => finalReply(session, raw.code, toReply(raw)));
    if (this.#memory === undefined) return sameForAll(results, replies[0]!);
    return this.#settle(this.#memory, body, due, replies);
  }

  /** LMTP: one answer a recipient; fewer if the upstream went away in the middle of them. */
  async #settle(
    memory: DeliveredRecipients,
    body: MessageBody,
    due: readonly Taken[],
    replies: readonly Reply[],
  ): Promise<Delivery> {
    const results: RecipientResult[] = replies.map((reply, index) => ({
      recipient: due[index]!.wire.recipient,
      reply,
    }));
    const delivered = results.filter((result) => isPositive(result.reply));
    if (delivered.length < due.length || !memory.empty) {
      const key = memory.key(this.#envelope.envelope.returnPath, await this.#digestOf(body));
      if (delivered.length === due.length) memory.forget(key);
      else
        memory.add(
          key,
          delivered.map((result) => result.recipient.address),
        );
    }
    if (replies.length < due.length) {
      throw new RelayUnreachable(
        `the upstream answered for ${replies.length} of ${due.length} recipients and went away`,
        { ambiguous: true, accepted: delivered.map((result) => result.recipient) },
      );
    }
    return answerFor(results);
  }

  /** With LMTP: the recipients who got this message at an earlier try. */
  async #gotItBefore(body: MessageBody): Promise<ReadonlySet<string>> {
    const memory = this.#memory;
    if (memory === undefined || memory.empty) return NOBODY;
    return memory.recall(memory.key(this.#envelope.envelope.returnPath, await this.#digestOf(body)));
  }

  #digestOf(body: MessageBody): Promise<string> {
    return (this.#digest ??= body.digest());
  }

  /** All of it has been sent: only the digest still needs the body. */
  async #letGo(body: MessageBody): Promise<void> {
    if (this.#memory !== undefined) await this.#digestOf(body);
    await body.dispose();
  }

  /** Why this session cannot carry this body. */
  #unfit(session: Session, body: MessageBody): Reply | undefined {
    const { capabilities } = session;
    const { envelope } = this.#envelope;
    if (!body.ascii && envelope.body === '8BITMIME' && !capabilities.eightBit) return EIGHT_BIT_UNSUPPORTED;
    if (!body.ascii && envelope.utf8 && !capabilities.utf8 && hasUtf8Headers(body))
      return UTF8_HEADERS_UNSUPPORTED;
    if (capabilities.maxSize > 0 && body.size > capabilities.maxSize) {
      return { code: 552, text: `5.3.4 the next server takes messages up to ${capabilities.maxSize} bytes` };
    }
    return undefined;
  }
}

/** A final answer is 2yz, 4yz or 5yz; any other answer means that the dialogue is out of step. */
function finalReply(session: Session, code: number, reply: Reply): Reply {
  if (code >= 300 && code < 400) throw session.fail(`the upstream answers ${code} out of place`, false);
  return reply;
}

/** None of them was asked for. */
function refuseAll(recipients: readonly Taken[], { code, text }: Reply): void {
  for (const taken of recipients) taken.reply = { code, text, ofMessage: true };
}

function resultsOf(recipients: readonly Taken[]): RecipientResult[] {
  return recipients.map(({ wire, reply }) => ({ recipient: wire.recipient, reply }));
}

function hasUtf8Headers(body: MessageBody): boolean {
  const end = body.headerHead.indexOf('\r\n\r\n');
  const headers = end < 0 ? body.headerHead : body.headerHead.subarray(0, end);
  return headers.some((byte) => byte > 0x7f);
}

/** Long enough for any client's first retries (RFC 5321 section 4.5.4.1 asks for one within the hour or so). */
const LIFE = 6 * HOUR;

const NOBODY: ReadonlySet<string> = new Set();

/**
 * The recipients who have each message, if an LMTP upstream took it for some recipients only and the client was told to
 * try again. The table is in memory and bounded: after a restart or an eviction, a retry delivers twice rather than
 * never (RFC 1047).
 */
export class DeliveredRecipients {
  readonly #delivered: LRUCache<string, ReadonlySet<string>>;

  /** @param maxRecipients remembered recipients, for all messages */
  constructor(maxRecipients: number) {
    this.#delivered = new LRUCache({
      ttl: LIFE,
      maxSize: maxRecipients,
      sizeCalculation: (recipients) => recipients.size,
    });
  }

  get empty(): boolean {
    return this.#delivered.size === 0;
  }

  /** @param digest SHA-256 of the content without our own header lines, which differ each time */
  key(returnPath: string, digest: string): string {
    return createHash('sha256').update(returnPath).update('\0').update(digest).digest('base64');
  }

  /** Addresses that have got the message. */
  recall(key: string): ReadonlySet<string> {
    return this.#delivered.get(key) ?? NOBODY;
  }

  add(key: string, addresses: readonly string[]): void {
    if (addresses.length === 0) return;
    this.#delivered.set(key, new Set([...this.recall(key), ...addresses]));
  }

  /** The message has reached everyone. */
  forget(key: string): void {
    this.#delivered.delete(key);
  }
}
