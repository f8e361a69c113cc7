import type { Instant, Milliseconds } from '../../kernel/time.js';
import { MINUTE, SECOND } from '../../kernel/time.js';
import { domainOf, isLoopback, normalizeDomain } from '../../sending/identity.js';

/** Recipient domains that an event names. */
const MOST_DOMAINS = 20;
/** Recipients of one bounce that are remembered: it has one, as a rule. */
const MOST_RECIPIENTS = 100;

/** Characters of a return path that are compared: the same one may be cut at another length. */
const COMPARED = 256;

const NONE: readonly string[] = [];

/** What is known of one message in Postfix's queue. */
export class Message {
  readonly host: string;
  readonly queueId: string;
  /** When it began, as the clock on the wall showed it. */
  readonly wall: string;
  readonly beganAt: Instant;
  /** By the `sendmail` command of a user with this id: it has no client. */
  uid: string | undefined;
  /** Made by Postfix itself, or begun before the logs do: nobody here has sent it. */
  internal = false;
  /** It was in the queue before, under another id. */
  requeued = false;
  /** Its process has begun another since: it is complete, or was broken off. */
  isOver = false;
  /** It was delivered to what may be a filter of this machine. */
  handed = false;
  /** Such a filter, of it or of what came back as it, was a program. */
  handedToProgram = false;
  /** How many recipients it had when it came back from filters, as far as only names tell. */
  returned = 0;
  /** The message that a filter has handed back as this one. */
  original: Message | undefined;
  account: string | undefined;
  ip: string | undefined;
  /** Who handed it in: a filter, where `ip` is what it tells of the client. */
  client: string | undefined;
  ehlo: string | undefined;
  messageId: string | undefined;
  /** When it was complete. */
  at: Instant = 0;
  /** The return path; undefined until it is complete. */
  from: string | undefined;
  /** Bytes. */
  size = 0;
  /** Recipients that are done with, and those that wait for another attempt, as deliveries of this attempt tell. */
  #done = 0;
  #deferred = 0;
  /** How many were told of by the attempts before. */
  #toldBefore = 0;
  #nrcpt: number | undefined;
  /** How many it has by a line that its sender may have written. */
  #claimed: number | undefined;
  /** How many of its recipients count, where it went before it was certain how many there are. */
  #counted: number | undefined;
  /** How often it was counted again since. */
  furthers = 0;
  /** Its {@link Further} recipients are held back. */
  isFurtherHeld = false;
  /** It has left the queue. */
  settled = false;
  /** Of the line by which it was complete: see {@link Assembler}. */
  mark = 0;
  /** Distinct recipient domains in normal form, as far as deliveries have named them. */
  domains: readonly string[] = NONE;
  /** For a message from the null sender: its recipients. */
  recipients: readonly string[] = NONE;

  constructor(host: string, queueId: string, wall: string, beganAt: Instant) {
    this.host = host;
    this.queueId = queueId;
    this.wall = wall;
    this.beganAt = beganAt;
  }

  /** From its first line alone, in any of the files. */
  get id(): string {
    return `${this.host} ${this.queueId} ${this.wall}`;
  }

  /** What it has in common with itself after a filter; undefined if it has no Message-ID. */
  get name(): string | undefined {
    const { host, messageId, from } = this;
    return messageId === undefined || messageId === '' || messageId === '<>' || from === undefined
      ? undefined
      : `${host} ${messageId} ${from.slice(0, COMPARED)}`;
  }

  /** How many recipients it has. Where that is not certain: as many as are claimed or {@link told}, whichever is more. */
  get nrcpt(): number {
    return this.#nrcpt ?? Math.max(this.#claimed ?? 1, this.told);
  }

  /** How many it has, whatever is claimed: as many as deliveries have told of, and one at least. */
  get told(): number {
    // Of one that waits each attempt is told; in the end it is done with, or returned.
    const tried = this.settled ? this.#done : Math.max(this.#toldBefore, this.#done + this.#deferred);
    return this.#nrcpt ?? Math.max(1, tried);
  }

  /** Deliveries alone will tell for certain how many recipients it has. */
  get isUncounted(): boolean {
    return this.#nrcpt === undefined && !this.settled;
  }

  /** How many of its recipients were told of since it counted; none before, and where all were known. */
  get uncountedRest(): number {
    return this.#counted === undefined ? 0 : Math.max(0, this.nrcpt - this.#counted);
  }

  /** All recipients that are known count from now on. What is told of later is {@link uncountedRest}. */
  count(): void {
    if (this.isUncounted || this.#counted !== undefined) this.#counted = this.nrcpt;
  }

  complete(at: Instant, from: string, size = 0, nrcpt?: number, claimed?: number): void {
    this.at = at;
    this.from = from;
    this.size = size;
    this.#nrcpt = nrcpt;
    this.#claimed = claimed;
  }

  /** Those who wait are tried again: each attempt tells of them anew. */
  retried(): void {
    this.#toldBefore = Math.max(this.#toldBefore, this.#done + this.#deferred);
    this.#deferred = 0;
  }

  /** Whether it may come from a filter of this machine that has got another. */
  mayComeFrom({ handed, handedToProgram, uid }: Message): boolean {
    if (this.client !== undefined) return handed && isLoopback(this.client);
    // A server hands nothing back by the `sendmail` command, and no filter gets what that hands in only to hand it in so again.
    return this.uid === undefined ? handed : handedToProgram && uid === undefined;
  }

  /** @param times by how many lines that are the same */
  addRecipient(address: string, deferred: boolean, times: number): void {
    if (deferred) this.#deferred += times;
    else this.#done += times;
    if (this.from === '') this.recipients = including(this.recipients, address, MOST_RECIPIENTS);
    const domain = domainOf(address);
    if (domain !== undefined) this.domains = including(this.domains, normalizeDomain(domain), MOST_DOMAINS);
  }

  /** Whether this one came first, of two that have the same name: only the first can have had a login. */
  isBefore(other: Message): boolean {
    if ((this.account === undefined) !== (other.account === undefined)) return this.account !== undefined;
    return this.beganAt < other.beganAt;
  }

  /** The first message of the chain, through any number of filters. */
  get root(): Message {
    // A log may name a chain of any length: it is gone along once, and without recursion.
    if (this.original === undefined) return this;
    const way: Message[] = [this];
    let root = this.original;
    for (; root.original !== undefined; root = root.original) way.push(root);
    for (const message of way) message.original = root;
    return root;
  }
}

function including(names: readonly string[], name: string, most: number): readonly string[] {
  return names.length >= most || names.includes(name) ? names : [...names, name];
}

/** Recipients of a message that were told of only after it counted. */
export class Further {
  readonly message: Message;
  /** When the first of them was told of. */
  readonly at: Instant;
  /** Of that line. */
  readonly mark: number;
  readonly settled = true;

  constructor(message: Message, at: Instant, mark: number) {
    this.message = message;
    this.at = at;
    this.mark = mark;
  }
}

/** What waits for its turn. */
interface Waiting {
  readonly at: Instant;
  /** Nothing more will be learnt of it. */
  readonly settled: boolean;
  /** Only what comes will tell how much it is. */
  readonly isUncounted?: boolean;
}

export interface Holding {
  /** Lines may be out of order by so much without what is made of them being so. */
  readonly disorder: Milliseconds;
  /** What is not settled by then goes as it is: a message may be deferred for days. */
  readonly patience: Milliseconds;
  /** What is not counted waits so long, apart: others do not wait for it. Unless given, in the order of time with all others. */
  readonly patienceUncounted?: Milliseconds;
}

const OF_HISTORY: Holding = { disorder: 5 * SECOND, patience: 5 * MINUTE };
/** Some 50 MB. Beyond it the oldest goes as it is. */
const MOST = 100_000;

/** Holds back what happened until enough is known of it, and lets it go in the order of time. */
export class Held<Item extends Waiting> {
  readonly #holding: Holding;
  #items: Item[] = [];
  #gone = 0;
  /** What is not counted, as it came. */
  readonly #uncounted = new Set<Item>();

  constructor(holding: Holding = OF_HISTORY) {
    this.#holding = holding;
  }

  /** What waits, in no order. */
  *items(): Iterable<Item> {
    for (let place = this.#gone; place < this.#items.length; place++) yield this.#items[place]!;
    yield* this.#uncounted;
  }

  get size(): number {
    return this.#items.length - this.#gone + this.#uncounted.size;
  }

  add(item: Item): void {
    if (item.isUncounted === true && this.#holding.patienceUncounted !== undefined) this.#uncounted.add(item);
    else this.#insert(item);
  }

  /** Nothing more will be learnt of it from now on. */
  settled(item: Item): void {
    if (this.#uncounted.delete(item)) this.#insert(item);
  }

  #insert(item: Item): void {
    let place = this.#items.length;
    while (place > this.#gone && this.#items[place - 1]!.at > item.at) place--;
    if (place === this.#items.length) this.#items.push(item);
    else this.#items.splice(place, 0, item);
  }

  /**
   * Lets go what may go at `now`, by the log's own time.
   *
   * @param most so many at once
   */
  release(now: Instant, each: (item: Item) => void, most = Infinity): void {
    const { disorder, patience, patienceUncounted = 0 } = this.#holding;
    for (const item of this.#uncounted) {
      if (this.#uncounted.size <= MOST && now - item.at < patienceUncounted) break;
      this.settled(item);
    }
    for (let gone = 0; gone < most; gone++) {
      const oldest = this.#items[this.#gone];
      if (oldest === undefined) break;
      const isTooMany = this.#items.length - this.#gone > MOST;
      if (!isTooMany && now - oldest.at < (oldest.settled ? disorder : patience)) break;
      this.#gone++;
      each(oldest);
    }
    if (this.#gone < 4096 || this.#gone * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#gone);
    this.#gone = 0;
  }
}
