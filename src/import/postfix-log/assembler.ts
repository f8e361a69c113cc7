import type { GeoPlace } from '../../geoip/database.js';
import { recentlyUsed } from '../../runtime/recently-used.js';
import type { Fact } from '../../kernel/events.js';
import type { Instant } from '../../kernel/time.js';
import { DAY } from '../../kernel/time.js';
import type { AuthEvent, MessageAccepted, SendEvent } from '../../sending/events.js';
import { clientNetwork, isLoopback } from '../../sending/identity.js';
import type { PastEvent } from '../sink.js';
import type { Holding } from './message-in-queue.js';
import { Further, Held, Message } from './message-in-queue.js';
import type { Said } from './message.js';
import type { LogRecord } from './reader.js';

export interface AssemblerOptions {
  /** Whether a client may send without a login: the server's `mynetworks`. */
  readonly isOurs: (ip: string) => boolean;
  /** The account of a login. */
  readonly accountOf: (login: string) => string;
  /** Whether an account may speak for a return path. */
  readonly entitled: (account: string, returnPath: string) => boolean;
  /** Where a client is, by its address in normal form. */
  readonly placeOf: (ip: string) => GeoPlace;
  /** Told of mail from outside too, and of recipients that were refused to it: their direction tells. */
  readonly onEvent: (event: PastEvent & { readonly mark: number }) => void;
  /** How long what happened is held back; unless given, as fits a log that is read as a whole. */
  readonly holding?: Holding;
}

type Happened = PastEvent & { readonly settled: true; readonly mark: number };

/** Messages whose end has not come: at most some 100 MB. */
const OPEN = 100_000;
/** Of these, messages of logins that were given up: at most some 10 MB. */
const ABANDONED = 10_000;
/** Messages that are known again, should a filter hand them back: at most some 20 MB. */
const ORIGINALS = 20_000;
/** smtpd processes. */
const PROCESSES = 10_000;

/** Filters that a message goes through, at most. */
const FILTERS = 3;

/** Makes of the lines of many daemons what happened: a send, a refused recipient, a bounce, a failed login. */
export class Assembler {
  readonly #options: AssemblerOptions;
  /** By host and queue id. */
  readonly #messages = recentlyUsed<string, Message>(OPEN, {
    dispose: (message, _key, reason) => {
      if (reason === 'evict') this.#givenUp(message);
    },
  });
  /** Likewise, those that were given up and count: strangers have none here. */
  readonly #abandoned = recentlyUsed<string, Message>(ABANDONED);
  /** By host, Message-ID and return path: the first time that a message was here. */
  readonly #originals = recentlyUsed<string, Message>(ORIGINALS);
  /** By host and process: the client whose message is with a filter before the queue. */
  readonly #passed = recentlyUsed<string, Said & { kind: 'passed' }>(PROCESSES);
  /** By host and process: the message that it has begun last. It serves one client at a time, and that has one at a time. */
  readonly #begun = recentlyUsed<string, Message>(PROCESSES);
  readonly #held: Held<Message | Further | Happened>;
  /** How often a line has come within this second. */
  readonly #times = new Map<string, number>();
  #wall = '';
  /** When the last line was written. */
  #at: Instant = 0;
  /** Of the lines that are taken from now on: what happened has the mark of its line. */
  mark = 0;
  /** Messages that were handed back by a filter or queued again: counted at their first appearance. */
  reinjected = 0;
  /** Messages whose beginning is in none of the logs: their sender is not known. */
  headless = 0;

  constructor(options: AssemblerOptions) {
    this.#options = options;
    this.#held = new Held(options.holding);
  }

  /** The least mark of what is held back; infinite if nothing is. */
  get oldestMark(): number {
    let oldest = Infinity;
    for (const { mark } of this.#held.items()) oldest = Math.min(oldest, mark);
    return oldest;
  }

  /**
   * Lets go what may go at `now`, where a log says nothing more just then.
   *
   * @param most so much of it
   * @returns whether there may be more
   */
  release(now: Instant, most = Infinity): boolean {
    const before = this.#held.size;
    this.#held.release(now, (item) => this.#settle(item), most);
    return before - this.#held.size === most;
  }

  /** Takes what was written at one time, whole or in parts; groups come in the order of time. */
  take(records: readonly LogRecord[]): void {
    // What waited for too long goes first: else it would depend on the parts which of these lines belong to it.
    this.release(records[0]!.order);
    for (const record of records) this.#take(record);
  }

  /**
   * The log has ended: what is still open goes as it is.
   *
   * @param most so many of it
   * @returns whether there is more
   */
  finish(most: number): boolean {
    this.#held.release(Infinity, (item) => this.#settle(item), most);
    return this.#held.size > 0;
  }

  #take(record: LogRecord): void {
    const { said, host, process } = record;
    this.#at = record.at;
    switch (said.kind) {
      case 'taken':
      case 'picked':
        return this.#begin(record, said);
      case 'passed':
        this.#passed.set(`${host} ${process}`, said);
        return;
      case 'proxied':
        return this.#proxied(said, host, process);
      case 'identified':
        return this.#identified(record, said);
      case 'queued':
        return this.#queued(record, said);
      case 'tried':
        return this.#tried(record, said);
      case 'refused':
        return this.#refused(record, said);
      case 'loginFailed':
        return this.#loginFailed(record, said);
      case 'bounced':
        return this.#bounced(record, said.queueId);
      case 'removed':
        return this.#removed(record, said);
    }
  }

  #removed({ host, at }: LogRecord, { queueId, deleted }: Said & { kind: 'removed' }): void {
    const key = keyOf(host, queueId);
    const message = this.#messageOf(key);
    if (message === undefined) return;
    message.settled = true;
    this.#held.settled(message);
    this.#messages.delete(key);
    this.#abandoned.delete(key);
    // The line that says who sent it is lost, or was cut beyond recognition: it was sent all the same.
    if (message.from !== undefined || deleted || !hasAccount(message)) return;
    message.complete(at, '');
    message.mark = this.mark;
    this.#held.add(message);
  }

  #begin(record: LogRecord, said: Said & { kind: 'taken' | 'picked' }): void {
    const { host, wall, process } = record;
    const key = keyOf(host, said.queueId);
    const known = this.#messageOf(key);
    const isKnown = known?.wall === wall;
    // The same line from a log in another form.
    if (isKnown && !known.internal) return;
    this.#abandoned.delete(key);
    const message = new Message(host, said.queueId, wall, record.at);
    // Lines of two daemons may have come the wrong way round.
    if (isKnown) message.messageId = known.messageId;
    this.#messages.set(key, message);
    const before = this.#begun.get(`${host} ${process}`);
    if (before !== undefined) before.isOver = true;
    this.#begun.set(`${host} ${process}`, message);
    if (said.kind === 'picked') {
      const original = said.requeuedFrom;
      if (original === undefined) message.uid = said.uid;
      message.requeued = original !== undefined;
      this.#comesFrom(message, original);
      return;
    }
    message.client = said.ip;
    message.ip = said.originalIp ?? said.ip;
    if (said.account !== undefined) message.account = this.#options.accountOf(said.account);
    this.#comesFrom(message, said.originalId);
  }

  /**
   * Too many are open. A client can keep its own message open while others are begun, so one of an account counts, and its
   * recipients once they are known. What is older was broken off, and so was what its process has begun another after: that a
   * filter refused a customer's mail, or that a client gave up, is no send.
   */
  #givenUp(message: Message): void {
    if (message.account === undefined || message.from !== undefined) return;
    if (message.isOver || message.beganAt < this.#at - DAY) return;
    message.complete(message.beganAt, '');
    message.mark = this.mark;
    this.#abandoned.set(keyOf(message.host, message.queueId), message);
    this.#held.add(message);
  }

  /** Never from itself, even if the log says so: the way to the first would have no end. */
  #comesFrom(message: Message, queueId: string | undefined): void {
    const original = queueId === undefined ? undefined : this.#messageOf(keyOf(message.host, queueId));
    if (original !== message) message.original = original;
  }

  /** What is told of a message after it counted counts too. */
  #learnt(message: Message, at: Instant): void {
    if (message.uncountedRest === 0 || message.isFurtherHeld) return;
    message.isFurtherHeld = true;
    this.#held.add(new Further(message, at, this.mark));
  }

  #messageOf(key: string): Message | undefined {
    return this.#messages.get(key) ?? this.#abandoned.get(key);
  }

  #proxied({ queueId, account, ehlo }: Said & { kind: 'proxied' }, host: string, process: string): void {
    const passed = this.#passed.get(`${host} ${process}`);
    const message = this.#messageOf(keyOf(host, queueId));
    if (message === undefined) return;
    // Whose session it is does not depend on how this line ends.
    const login = passed === undefined ? account : passed.account;
    if (login !== undefined) message.account = this.#options.accountOf(login);
    if (passed?.ip !== undefined) message.ip = passed.ip;
    message.ehlo = ehlo;
  }

  #identified({ host, wall, at }: LogRecord, { queueId, messageId }: Said & { kind: 'identified' }): void {
    const key = keyOf(host, queueId);
    let message = this.#messageOf(key);
    if (message === undefined) {
      // Made by Postfix itself: a bounce, a forwarded copy.
      this.#messages.set(key, (message = new Message(host, queueId, wall, at)));
      message.internal = true;
    }
    message.messageId = messageId;
  }

  #queued(
    { host, wall, at }: LogRecord,
    { queueId, from, size, recipients, claimed }: Said & { kind: 'queued' },
  ): void {
    const key = keyOf(host, queueId);
    let message = this.#messageOf(key);
    if (message === undefined) {
      this.headless++;
      this.#messages.set(key, (message = new Message(host, queueId, wall, at)));
      message.internal = true;
    }
    if (message.from === '' && message.isUncounted && message === this.#abandoned.get(key)) {
      message.complete(message.at, from, size, recipients, claimed);
      return this.#learnt(message, at);
    }
    // Every further attempt says it again.
    if (message.from !== undefined) message.retried();
    if (message.from !== undefined || message.internal) return;
    message.complete(at, from, size, recipients, claimed);
    message.mark = this.mark;
    const { name } = message;
    if (name !== undefined) {
      const known = this.#originals.get(name);
      if (known === undefined || message.isBefore(known)) this.#originals.set(name, message);
    }
    this.#held.add(message);
  }

  #tried({ host, at, times }: LogRecord, said: Said & { kind: 'tried' }): void {
    const { queueId, to, deferred, toFilter, toProgram, relay, handedTo } = said;
    const message = this.#messageOf(keyOf(host, queueId));
    if (message === undefined) return;
    message.addRecipient(to, deferred, times);
    this.#learnt(message, at);
    // A server elsewhere may answer with any id, also with that of what it has sent itself.
    if (!toFilter || (relay !== undefined && !isLoopback(relay))) return;
    message.handed = true;
    // Of a chain of filters the first message is the one that is known by its name.
    if (toProgram) (this.#originalOf(message) ?? message).handedToProgram = true;
    const next = handedTo === undefined ? undefined : this.#messageOf(keyOf(host, handedTo));
    if (next !== undefined && next.account === undefined && message.root !== next) next.original ??= message;
  }

  #refused(record: LogRecord, said: Said & { kind: 'refused' }): void {
    const { queueId, from, code, ehlo } = said;
    const message = queueId === undefined ? undefined : this.#messageOf(keyOf(record.host, queueId));
    const named = said.account === undefined ? undefined : this.#options.accountOf(said.account);
    // Whose message it is does not depend on how this line ends.
    const account = message === undefined || message.internal ? named : message.account;
    const ip = said.ip;
    const direction = account === undefined && !this.#isOurs(ip) ? 'inbound' : 'outbound';
    this.#add(record.at, queueId, this.#lineId(record), {
      type: 'RecipientsRefused',
      data: {
        ...(account === undefined ? {} : { account }),
        returnPath: from,
        ...(ehlo === undefined || ehlo === '' ? {} : { ehlo }),
        ...(ip === undefined ? {} : { ip, ...this.#options.placeOf(ip) }),
        direction,
        transaction: queueId ?? 'NOQUEUE',
        count: record.times,
        code,
        entitled: account === undefined || this.#options.entitled(account, from),
      },
    });
  }

  #loginFailed(record: LogRecord, { ip, account }: Said & { kind: 'loginFailed' }): void {
    const data = {
      network: clientNetwork(ip),
      kind: 'genuine' as const,
      ...this.#options.placeOf(ip),
      count: record.times,
      since: record.at,
    };
    const event = { type: 'AuthenticationFailed' as const, data };
    this.#add(record.at, undefined, this.#lineId(record), event, account);
  }

  #bounced({ host, at, wall }: LogRecord, queueId: string): void {
    const message = this.#messageOf(keyOf(host, queueId));
    if (message === undefined || message.internal || message.from === undefined || message.from === '')
      return;
    // Somebody else's mail that we had taken: what came back from it says nothing of ours.
    if (!this.#isFromUs(this.#originalOf(message) ?? message)) return;
    this.#add(at, queueId, `${message.id} bounced ${wall}`, {
      type: 'BounceReceived',
      data: { address: message.from },
    });
  }

  #settle(item: Message | Further | Happened): void {
    const { onEvent } = this.#options;
    if (item instanceof Further) return this.#settleFurther(item);
    if (!(item instanceof Message)) return onEvent(item);
    const original = this.#originalOf(item);
    if (item.requeued || (original !== undefined && isHandedBack(item, original))) {
      this.reinjected++;
      return;
    }
    const { at, queueId: correlation, from, mark } = item;
    const isFromUs = this.#isFromUs(item);
    // Of a message from nobody, by nobody and from nowhere there is nothing to tell.
    const isAnonymous = !isFromUs && from === '' && item.ip === undefined;
    if (!isAnonymous) {
      const event = sendOf(item, isFromUs, this.#options);
      item.count();
      onEvent({ id: item.id, at, correlation, event, mark });
    }
    if (from !== '' || isFromUs) return;
    const { ip } = item;
    for (const address of item.recipients) {
      const data = ip === undefined ? { address } : { address, ip };
      const event = { type: 'BounceReceived' as const, data };
      onEvent({ id: `${item.id} to ${address}`, at, correlation, event, mark });
    }
  }

  #settleFurther({ message, at, mark }: Further): void {
    message.isFurtherHeld = false;
    const recipients = message.uncountedRest;
    if (recipients === 0) return;
    message.count();
    const { type, data } = sendOf(message, this.#isFromUs(message), this.#options);
    this.#options.onEvent({
      // By its number: were it by how many there are, another reading could count some of them twice.
      id: `${message.id} further ${++message.furthers}`,
      at,
      correlation: message.queueId,
      mark,
      total: message.nrcpt,
      event: { type, data: { ...data, recipients, size: 0, further: true } },
    });
  }

  /**
   * Where a message was here before: a filter has handed it back. Known by what the filter or the delivery to it says, or
   * because it has the same Message-ID and return path, and comes without a login from this machine after one that was delivered to what
   * may be a filter (by the `sendmail` command: to a program), or from elsewhere after one that had a login. A program may give all its messages one Message-ID: what has left for
   * good was no other message before.
   */
  #originalOf(message: Message): Message | undefined {
    if (message.account !== undefined) return undefined;
    if (message.original !== undefined) return message.root;
    const { name } = message;
    const known = name === undefined ? undefined : this.#originals.get(name)?.root;
    if (known === undefined || known === message) return undefined;
    const isAgain = this.#isFromUs(message) ? message.mayComeFrom(known) : known.account !== undefined;
    return isAgain ? known : undefined;
  }

  #isFromUs(message: Message): boolean {
    return hasAccount(message) || this.#isOurs(message.ip);
  }

  #isOurs(ip: string | undefined): boolean {
    return ip !== undefined && this.#options.isOurs(ip);
  }

  /** The id of a single line. */
  #lineId({ wall, text }: LogRecord): string {
    if (wall !== this.#wall) {
      this.#wall = wall;
      this.#times.clear();
    }
    const times = (this.#times.get(text) ?? 0) + 1;
    this.#times.set(text, times);
    return `${wall} ${text} ${times}`;
  }

  #add(
    at: Instant,
    correlation: string | undefined,
    id: string,
    event: SendEvent | AuthEvent,
    login?: string,
  ): void {
    const { mark } = this;
    this.#held.add({
      id,
      at,
      correlation,
      event,
      ...(login === undefined ? {} : { login }),
      settled: true,
      mark,
    });
  }
}

function sendOf(
  message: Message,
  isFromUs: boolean,
  { entitled, placeOf }: AssemblerOptions,
): Fact<'MessageAccepted', MessageAccepted> {
  const { from, ehlo, ip, queueId, size, nrcpt, domains } = message;
  const account = message.account ?? localAccount(message);
  return {
    type: 'MessageAccepted',
    data: {
      ...(account === undefined ? {} : { account }),
      returnPath: from!,
      ...(ehlo === undefined || ehlo === '' ? {} : { ehlo }),
      ...(ip === undefined ? {} : { ip, ...placeOf(ip) }),
      direction: isFromUs ? 'outbound' : 'inbound',
      transaction: queueId,
      recipients: nrcpt,
      size,
      recipientDomains: domains,
      entitled: account === undefined || entitled(account, from!),
    },
  };
}

/**
 * Who ran the `sendmail` command. Any user of a machine may choose the return path of such mail, and none the user's id: a web
 * server whose form went wild is one sender.
 */
function localAccount({ uid, host }: Message): string | undefined {
  return uid === undefined ? undefined : `uid-${uid}@${host}`;
}

function hasAccount({ account, uid }: Message): boolean {
  return account !== undefined || uid !== undefined;
}

/**
 * Whether a filter may have handed a message back once more: where only names say so, for no more recipients than filters in a row
 * can, in one message or in several.
 */
function isHandedBack(message: Message, original: Message): boolean {
  if (message.original !== undefined) return true;
  if (original.returned + message.nrcpt > original.told * FILTERS) return false;
  original.returned += message.nrcpt;
  return true;
}

function keyOf(host: string, queueId: string): string {
  return `${host} ${queueId}`;
}
