import type { Logger } from 'pino';
import { Backoff, within } from '../runtime/clock.js';
import { envelope } from '../runtime/ids.js';
import type { Fact, NewEvent } from '../kernel/events.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { formatInstant, SECOND } from '../kernel/time.js';
import type {
  AuthenticationFailed,
  AuthEvent,
  MessageAccepted,
  MessageHeld,
  MessageRefused,
  RecipientsRefused,
  SendEvent,
} from '../sending/events.js';
import { authStream, heldStream, sendStream } from '../sending/events.js';
import { normalizeAddress } from '../sending/identity.js';
import { senderIdentity, sendStreamKey } from '../sending/subjects.js';
import type { Appended, EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import { SummedUp } from './summed-up.js';

export interface RecorderOptions {
  readonly store: EventStore;
  readonly clock: AlarmClock;
  readonly log: Logger;
  /** What events are signed with: `smtp:<hostname>`, `policy:<hostname>`. */
  readonly by: string;
}

/** Sends that may wait to be written while nobody waits for them: seconds of a very busy host, and 20 MB. */
const MOST_WAITING = 10_000;
/** With so many of them those who tell of sends should do so more slowly. */
const MANY_WAITING = MOST_WAITING / 2;
/** Of these, how many the store has at a time. It writes together what came while it wrote. */
const AT_ONCE = 1024;
/** Between attempts to record held mail. */
const PAUSES = { first: SECOND, most: 30 * SECOND };

type Counted<Data> = Omit<Data, 'count' | 'since'>;

interface Refusal {
  readonly data: Counted<MessageRefused>;
  readonly correlation: string;
  readonly trace: string | undefined;
}

/** A message that nobody waits for. */
interface Waiting {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly done: Written;
  /** The message is held: it is tried again, since what the mail server keeps would else be listed nowhere. */
  readonly held?: Held;
}

interface Held {
  readonly block: string;
  /** The queue id. */
  readonly transaction: string;
  /** That it could not be recorded is logged. */
  isTold: boolean;
}

/** Told once it is durable, and where, or why it is not. */
type Written = (error: unknown, appended?: Appended) => void;

/** A message that was told to come again: too much of its sender is in the air, or the block for which it was held has ended. */
interface PutOff {
  readonly correlation: string;
  readonly account: string;
  readonly recipients: number;
  /** The block that has ended. */
  readonly block?: string | undefined;
}

/** How a reported event is known. */
interface ReportedBy {
  readonly id: string;
  readonly by: string;
  readonly correlation: string;
  readonly patience: Milliseconds;
}

type Told = Pick<RecipientsRefused, 'transaction' | 'account' | 'returnPath' | 'count' | 'code'>;

/** Records what happens at the SMTP listeners and at the policy service. */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #refusals: FloodCoalescer<Refusal>;
  readonly #failures: FloodCoalescer<Counted<AuthenticationFailed>>;
  readonly #unanswered: FloodCoalescer<{ readonly correlation: string; readonly error: string }>;
  readonly #putOff: FloodCoalescer<PutOff>;
  readonly #underWay = new Set<Promise<unknown>>();
  /** Sends of {@link sent} that the store has not got yet, first come, first served. */
  readonly #waiting = new Set<Waiting>();
  /** Those that it has not acknowledged yet. */
  #writing = 0;
  /** Told when it has acknowledged all of them. */
  #allWritten = (): void => undefined;
  readonly #summedUp = new SummedUp();
  /** Held mail that the store could not take. */
  readonly #unrecorded = new Set<Waiting>();
  readonly #backoff = new Backoff(PAUSES);
  #cancelRetry: (() => void) | undefined;
  #isClosing = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#refusals = new FloodCoalescer(clock, ({ data, correlation, trace }, count, since) => {
      const { stage, block, reply, account, returnPath, ehlo, ip, full } = data;
      const who = { account, returnPath, ehlo, ip };
      log.info(
        { correlation, stage, block, ...who, reply, full, count, since: formatInstant(since) },
        'a blocked sender was refused',
      );
      this.#note(
        sendStreamOf(data),
        { type: 'MessageRefused', data: { ...data, count, since } },
        correlation,
        trace,
      );
    });
    this.#failures = new FloodCoalescer(clock, (data, count, since) => {
      const { network, kind } = data;
      // A feigned failure has a line already: it is a refusal.
      if (kind === 'genuine') log.info({ network, count, since: formatInstant(since) }, 'a login failed');
      this.#note(authStream(network), { type: 'AuthenticationFailed', data: { ...data, count, since } });
    });
    this.#unanswered = new FloodCoalescer(clock, (item, count, since) =>
      log.warn(
        { correlation: item.correlation, error: item.error, count, since: formatInstant(since) },
        'the upstream gave no answer about recipients',
      ),
    );
    this.#putOff = new FloodCoalescer(clock, ({ correlation, account, recipients, block }, count, since) => {
      const fields = { correlation, account, recipients, count, since: formatInstant(since) };
      if (block === undefined) log.warn(fields, 'a message was put off: too much is not counted yet');
      else log.info({ block, ...fields }, 'a message was put off: the block that held it has ended');
    });
  }

  /**
   * The upstream took a message. Resolves when the event is durable.
   *
   * @param key the key of the sender's stream, which the caller already has
   * @param trace the traceparent that the event carries
   * @throws StoreUnavailable: the client must not be told that its message was accepted
   */
  accepted(key: string, data: MessageAccepted, trace?: string): Promise<Appended> {
    return this.#append(sendStream(key), [{ type: 'MessageAccepted', data }], data.transaction, trace);
  }

  /**
   * A message that another server takes: nobody waits for the record. The same id is written once.
   *
   * @param key of the sender's stream
   * @param done told once it is durable, or why it is not
   * @returns false where so many wait to be written that this one is given up
   */
  sent(id: string, key: string, data: MessageAccepted, done: Written): boolean {
    const events = this.#eventsOf(id, { type: 'MessageAccepted', data });
    return this.#write({ stream: sendStream(key), events, done });
  }

  /**
   * A message that another server takes and holds, likewise. Where the store is away it is tried again until the process ends.
   */
  held(id: string, data: MessageHeld, done: Written): boolean {
    const events = this.#eventsOf(id, { type: 'MessageHeld', data });
    const { block, transaction } = data;
    const held = { block, transaction, isTold: false };
    return this.#write({ stream: heldStream(block), events, done, held });
  }

  #eventsOf(id: string, fact: Fact<string, { readonly transaction: string }>): readonly NewEvent[] {
    const { clock, by } = this.#options;
    return envelope([fact], { by, correlation: fact.data.transaction, idAt: () => id }, clock.now());
  }

  #write(waiting: Waiting): boolean {
    if (this.#pending >= MOST_WAITING) return false;
    this.#waiting.add(waiting);
    this.#writeWaiting();
    return true;
  }

  get #pending(): number {
    return this.#waiting.size + this.#writing + this.#unrecorded.size;
  }

  /** Whether so many sends wait to be written that more should come slowly. */
  get isBehind(): boolean {
    return this.#pending >= MANY_WAITING;
  }

  #writeWaiting(): void {
    for (const waiting of this.#waiting) {
      if (this.#writing >= AT_ONCE) break;
      this.#waiting.delete(waiting);
      this.#writeNow(waiting);
    }
  }

  #writeNow(waiting: Waiting): void {
    const { stream, events, done, held } = waiting;
    this.#writing++;
    const over: Written = (error, appended) => {
      this.#writing--;
      this.#writeWaiting();
      if (error === undefined) this.#backoff.reset();
      if (held !== undefined && error instanceof StoreUnavailable && !this.#isClosing)
        this.#tryAgain(waiting, held, error.message);
      else done(error, appended);
      if (this.#writing === 0) this.#allWritten();
    };
    void this.#options.store
      .append(stream, events, 'any')
      .then((appended) => over(undefined, appended), over);
  }

  #tryAgain(waiting: Waiting, held: Held, error: string): void {
    const { clock, log } = this.#options;
    const { block, transaction } = held;
    if (!held.isTold)
      log.warn(
        { block, correlation: transaction, error },
        'a held message could not be recorded: it is tried again',
      );
    held.isTold = true;
    this.#unrecorded.add(waiting);
    this.#cancelRetry ??= clock.after(this.#backoff.next(), () => this.#retry());
  }

  #retry(): void {
    this.#cancelRetry = undefined;
    for (const waiting of this.#unrecorded) this.#waiting.add(waiting);
    this.#unrecorded.clear();
    this.#writeWaiting();
  }

  /** Bounces that the upstream took for local addresses. @throws StoreUnavailable */
  async bounces(
    addresses: readonly string[],
    ip: string,
    transaction: string,
    trace?: string,
  ): Promise<void> {
    for (const address of addresses) {
      const fact: SendEvent = { type: 'BounceReceived', data: { address, ip } };
      await this.#append(sendStream(normalizeAddress(address)), [fact], transaction, trace);
    }
  }

  /**
   * What somebody else saw and reports. Resolves when it is durable; the same id is written once.
   *
   * @param by who reports it
   * @throws StoreUnavailable, also where the store has not answered within `patience`: then it may be written or not
   */
  reported(
    stream: string,
    fact: SendEvent | AuthEvent,
    { id, by, correlation, patience }: ReportedBy,
  ): Promise<Appended> {
    const { store, clock } = this.#options;
    const events = envelope([fact], { by, correlation, idAt: () => id }, clock.now());
    const writing = store.append(stream, events, 'any');
    this.#underWay.add(writing);
    const over = (): void => void this.#underWay.delete(writing);
    writing.then(over, over);
    return within(clock, patience, writing, () => {
      throw new StoreUnavailable('the store does not answer in time');
    });
  }

  recipientsRefused(data: RecipientsRefused, trace?: string): void {
    this.tellRefused(data);
    this.#note(sendStreamOf(data), { type: 'RecipientsRefused', data }, data.transaction, trace);
  }

  /** Logs the refusal. A recipient that the client tries again counts for nothing. */
  tellRefused({ transaction, account, returnPath, count, code }: Told): void {
    const { log } = this.#options;
    if (!log.isLevelEnabled('debug')) return;
    log.debug(
      { correlation: transaction, account, returnPath, count, code },
      'the upstream refused recipients',
    );
  }

  /** Records one refusal of ours. It summarises a flood. */
  refused(data: Counted<MessageRefused>, correlation: string, trace: string | undefined): void {
    this.#refusals.add(this.#summedUp.keyOf(data), { data, correlation, trace });
  }

  /** Records one failed login. It summarises a flood. */
  loginFailed(data: Counted<AuthenticationFailed>): void {
    this.#failures.add(
      `${data.network} ${data.kind} ${data.fresh ?? ''} ${data.block ?? ''} ${data.account ?? ''}`,
      data,
    );
  }

  /**
   * Logs that a recipient was deferred because the upstream went away. It makes no event, and it summarises a flood.
   *
   * @param fault the same text for all that failed alike
   */
  unanswered(fault: string, correlation: string, error: string): void {
    this.#unanswered.add(fault, { correlation, error });
  }

  /** Logs that a message was put off. It makes no event, and it summarises a flood. */
  putOff(message: PutOff): void {
    const { account, block = '' } = message;
    this.#putOff.add(`${block} ${account}`, message);
  }

  /** Writes the pending summaries, tries once more what the store could not take, and waits for the writes under way. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#cancelRetry?.();
    this.#retry();
    this.#refusals.flush();
    this.#failures.flush();
    this.#unanswered.flush();
    this.#putOff.flush();
    while (this.#underWay.size > 0) await Promise.allSettled([...this.#underWay]);
    if (this.#writing > 0) await new Promise<void>((resolve) => (this.#allWritten = resolve));
  }

  /** For facts that no client waits for: a store outage costs the record, not the service. */
  #note(stream: string, fact: Fact, correlation?: string, trace?: string): void {
    const writing = this.#append(stream, [fact], correlation, trace).catch((error: unknown) => {
      this.#options.log.error(
        { type: fact.type, correlation, error: messageOf(error) },
        'an event could not be recorded',
      );
    });
    this.#underWay.add(writing);
    void writing.then(() => this.#underWay.delete(writing));
  }

  #append(stream: string, facts: readonly Fact[], correlation?: string, trace?: string): Promise<Appended> {
    const { store, clock, by } = this.#options;
    return store.append(stream, envelope(facts, { by, correlation, trace }, clock.now()), 'any');
  }
}

function sendStreamOf(data: {
  account?: string;
  returnPath?: string;
  ip?: string;
  direction: 'outbound' | 'inbound';
}): string {
  return sendStream(sendStreamKey(senderIdentity(data)));
}
