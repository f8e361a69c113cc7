import { isDeepStrictEqual } from 'node:util';
import type { NoticeEvent } from '../config/notices.js';
import { isInDomains, quietUntil } from '../config/notices.js';
import type { Channel } from '../config/schema.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, SECOND } from '../kernel/time.js';
import { domainOf, normalizeAddress } from '../sending/identity.js';
import type { Delivery } from './deliveries.js';
import { Deliveries, isUnderWay, MOST_SINCE } from './deliveries.js';
import type { Behind, ChannelEvent, ChannelFact, Decision, Item, Notice } from './events.js';
import { decisionOf } from './events.js';
import { Gathering, MOST_ITEMS } from './gathering.js';
import { ITSELF, MOST_UNDER_WAY, UnderWay } from './under-way.js';

/** What a channel is told, and when. */
export type ChannelRules = Pick<
  Channel,
  'events' | 'types' | 'domains' | 'owners' | 'quietHours' | 'digest' | 'type' | 'to'
>;

/** An open circuit breaker. */
export interface OpenBreaker {
  readonly breaker: string;
  readonly blocks: number;
  readonly max: number;
  readonly window: Milliseconds;
}

/** What else a decision depends on. */
export interface Circumstances {
  readonly breakers: readonly OpenBreaker[];
  /** Proposals that wait for an answer; asked for only where it matters. */
  readonly waiting: () => Iterable<Item>;
  readonly newId: () => string;
}

/** Positions that may be read again at a start. */
const MOST_BEHIND = 1000;
/** Nobody else sends while this lasts: longer than an attempt may take. */
export const LEASE: Milliseconds = 45 * SECOND;

/**
 * One channel: what its own events say, and what has gathered since the last notice. Reads no clock and sends nothing:
 * `decide` gives what is to be recorded. All processes that follow the same events come to the same.
 */
export class ChannelState {
  readonly #rules: ChannelRules;
  readonly #groups = new Map<string, Gathering>();
  readonly #deliveries = new Deliveries();
  /** Circuit breakers that were told of as open, with when. */
  readonly #told = new Map<string, Instant>();
  /** Up to where everything is decided upon for all receivers, but for those that are behind. */
  #through = 0;
  /** Receivers that take no more, and up to where it is decided upon for each. */
  #behind: ReadonlyMap<string, number> = new Map();
  /** Revision of the event that says so last. */
  #decidedIn = 0;
  #seen = 0;
  #revision: number | 'none' = 'none';
  #checkedAt: Instant | undefined;
  #lastAt: Instant = 0;
  /** When nothing waited for an answer, so that it is not looked for at each event. */
  #idleAt: Instant = 0;
  #disabled = false;
  #rewinds = false;

  constructor(rules: ChannelRules) {
    this.#rules = rules;
  }

  /** Revision of the last event of its stream. */
  get revision(): number | 'none' {
    return this.#revision;
  }

  /** Everything up to here is decided upon, for every receiver; undefined before the channel has begun. */
  get through(): number | undefined {
    return this.#checkedAt === undefined ? undefined : Math.min(this.#through, ...this.#behind.values());
  }

  /** Events up to here need not be handed over again; undefined before the channel has begun. */
  get handedOver(): number | undefined {
    return this.through === undefined ? undefined : Math.max(this.through, this.#seen);
  }

  /** The receiver wants no more (410), and nothing is sent until a person resends or tests. */
  get disabled(): boolean {
    return this.#disabled;
  }

  /** Newest last. */
  get deliveries(): readonly Delivery[] {
    return this.#deliveries.all;
  }

  /** Events that wait for the next notice. */
  get gathered(): number {
    let count = 0;
    for (const { counts } of this.#groups.values()) count += sum(counts);
    return count;
  }

  /** Receivers to whom so many notices are under way that what happens only gathers for them. */
  get stuck(): number {
    return this.#deliveries.underWay.full.length;
  }

  /** When what has gathered is told; undefined while nothing has, or nobody takes more. */
  gatheredUntil(now: Instant): Instant | undefined {
    return this.#flushAt(now);
  }

  /** True once if events must be handed over again, after {@link handedOver}: somebody else has sent some of what has gathered here. */
  takeRewind(): boolean {
    const rewinds = this.#rewinds;
    this.#rewinds = false;
    return rewinds;
  }

  /** What the process that made it left half done is nobody's: it may be sent at once. */
  orphan(now: Instant): void {
    for (const { notice, state } of this.deliveries)
      if (state === 'sending') this.#deliveries.change(notice.id, () => ({ nextAt: now }));
  }

  /** Passes over an event of its stream that is none of ours. */
  skip(revision: number): void {
    this.#revision = Math.max(revision, this.#revision === 'none' ? 0 : this.#revision);
  }

  /** Folds one event of its own stream, each once. */
  apply(event: ChannelEvent): void {
    const { type, data, at, revision } = event;
    if (this.#revision !== 'none' && revision <= this.#revision) return;
    this.#revision = revision;
    const decision = decisionOf(event);
    if (decision !== undefined) {
      this.#checkedAt = at;
      this.#decidedIn = revision;
      this.#decided(decision);
    }
    switch (type) {
      case 'ChannelFollowed':
        this.#lastAt ||= at;
        break;
      case 'NoticeDue': {
        const { notice, breakers = [] } = data;
        this.#deliveries.put({ notice, attempts: 0, nextAt: at }, revision);
        for (const breaker of breakers) this.#told.set(breaker, at);
        if (notice.kind === 'test') this.#disabled = false;
        if (notice.kind === 'events' || notice.kind === 'waiting') this.#lastAt = at;
        break;
      }
      case 'NoticeKept':
        this.#deliveries.put(data, revision);
        break;
      case 'NoticeAttempted':
        this.#deliveries.change(data.notice, (one) => ({
          ...{ state: 'sending', attempts: one.attempts + 1, nextAt: at + LEASE },
        }));
        break;
      case 'NoticeDelivered':
        this.#deliveries.change(data.notice, () => ({ state: 'delivered', error: undefined, settledAt: at }));
        break;
      case 'NoticeFailed': {
        const { error, retryAt, gone } = data;
        if (gone) this.#disabled = true;
        this.#deliveries.change(data.notice, ({ notice: { kind } }) => {
          if (retryAt === null) return { state: 'dead', error, settledAt: at };
          const isUrgent = kind === 'breaker' || kind === 'test';
          const quiet = isUrgent ? undefined : quietUntil(this.#rules.quietHours, retryAt);
          return { state: 'waiting', error, nextAt: quiet ?? retryAt };
        });
        break;
      }
      case 'NoticeResent':
        this.#disabled = false;
        this.#deliveries.change(data.notice, () => ({
          state: 'waiting',
          attempts: 0,
          nextAt: at,
          settledAt: undefined,
        }));
        break;
      case 'BreakerClosed':
        for (const breaker of data.breakers) this.#told.delete(breaker);
    }
  }

  /** Takes what has happened to a block, each event once and in order. @param item undefined if nobody is told of it */
  gather(position: number, item: Item | undefined, now: Instant): void {
    if (position <= this.#seen) return;
    this.#seen = position;
    if (item === undefined) return;
    const receivers = this.#wants(item) ? this.#receiversOf(item) : [];
    for (const receiver of receivers)
      if (!this.#groups.has(receiver) && position > (this.#behind.get(receiver) ?? this.#through))
        this.#groups.set(receiver, new Gathering(Math.min(now, item.at), position - 1));
    for (const [receiver, group] of this.#groups) {
      group.take(position, item, receivers.includes(receiver));
      if (group.isEmpty) this.#groups.delete(receiver);
    }
  }

  /** What is to be recorded now, in one piece. Recording it twice is prevented by the revision. */
  decide(now: Instant, circumstances: Circumstances): readonly ChannelFact[] {
    if (this.#disabled || this.through === undefined) return [];
    const facts = [...this.#aboutBreakers(now, circumstances)];
    for (const data of this.#deliveries.recordedLongAgo(Number(this.#revision)))
      facts.push({ type: 'NoticeKept', data });
    const flushAt = this.#flushAt(now);
    const follow = (data: Decision): number => facts.push({ type: 'ChannelFollowed', data });
    if (flushAt === undefined) {
      facts.push(...this.#repeats(now, circumstances));
      if (this.#decidable - this.#through > MOST_BEHIND || this.#isDecidedLongAgo(now))
        follow(this.#decision(new Set()));
    } else if (flushAt <= now) facts.push(...this.#digests(now, circumstances));
    // No more than was decided: who sends what gathers decides on that.
    else if (this.#isDecidedLongAgo(now)) follow(decisionOn(this.#through, this.#behind));
    return facts;
  }

  /** What is to be sent now. */
  due(now: Instant): readonly Delivery[] {
    if (this.#disabled) return [];
    return this.deliveries.filter((one) => isUnderWay(one) && one.nextAt <= now);
  }

  /** When there is something to do next, if nothing happens until then. */
  nextAt(now: Instant): Instant {
    const times = [this.#repeatAt(now), this.#checkedAt! + DAY];
    const flushAt = this.#flushAt(now);
    if (flushAt !== undefined) times.push(flushAt);
    // When a circuit breaker closes no event tells.
    if (this.#told.size > 0) times.push(now + this.#rules.digest.interval);
    for (const one of this.deliveries) if (isUnderWay(one)) times.push(one.nextAt);
    return Math.min(...times.filter((at) => at > now), now + DAY);
  }

  #flushAt(now: Instant): Instant | undefined {
    const { digest, quietHours } = this.#rules;
    let since = Infinity;
    for (const [receiver, group] of this.#groups)
      if (this.#deliveries.underWay.takesMore(receiver)) since = Math.min(since, group.since);
    if (since === Infinity) return undefined;
    const at = Math.max(since + digest.wait, this.#deliveries.lastAt + digest.interval);
    return Math.max(at, quietUntil(quietHours, Math.max(at, now)) ?? 0);
  }

  /** One for each receiver that takes more, in one piece with what is decided by that. */
  *#digests(now: Instant, { newId }: Circumstances): Generator<ChannelFact> {
    const underWay = new UnderWay(this.#deliveries.underWay);
    const told = new Set<string>();
    for (const receiver of this.#groups.keys()) {
      if (!underWay.takesMore(receiver)) continue;
      underWay.change(receiver, 1);
      told.add(receiver);
    }
    let decision: Partial<Decision> = this.#decision(told);
    for (const receiver of told) {
      const { items, counts, over } = this.#groups.get(receiver)!;
      const to = receiver === ITSELF ? {} : { to: receiver };
      const notice: Notice = {
        id: newId(),
        kind: 'events',
        at: now,
        ...to,
        items,
        counts: { ...counts },
        ...(sum(over) === 0 ? {} : { over: { ...over } }),
      };
      yield { type: 'NoticeDue', data: { notice, ...decision } };
      decision = {};
    }
  }

  /** Whether a start would soon not find what was decided last. */
  #isDecidedLongAgo(now: Instant): boolean {
    return Number(this.#revision) - this.#decidedIn > MOST_SINCE || now >= this.#checkedAt! + DAY;
  }

  /** Up to where it can be decided now. */
  get #decidable(): number {
    return Math.max(this.#seen, this.#through);
  }

  /** What it says of block events that these are told, and nobody else is. */
  #decision(told: ReadonlySet<string>): Decision {
    const gathers = [...this.#groups].filter(([receiver]) => !told.has(receiver));
    return decisionOn(this.#decidable, new Map(gathers.map(([receiver, { after }]) => [receiver, after])));
  }

  #wants({ event, subject, by, rule }: Item): boolean {
    const { events, types, domains } = this.#rules;
    if (!events.includes(event)) return false;
    // The approval has told of it.
    if (event === 'imposed' && rule !== undefined && by.startsWith('admin:') && events.includes('approved'))
      return false;
    if (subject === undefined) return true;
    return types.includes(subject.type) && (domains === undefined || isInDomains(domains, subject));
  }

  /** Nobody is told of the blocks of others, and nobody at the address that is blocked. */
  #receiversOf({ subject }: Item): readonly string[] {
    const { owners, type, to } = this.#rules;
    const itself = type !== 'mail' || to !== undefined ? [ITSELF] : [];
    if (owners === undefined || subject === undefined) return itself;
    const domain = subject.type === 'domain' ? subject.value : domainOf(subject.value);
    // A sender may be called `constructor`.
    const ownerOf = (name: string) => (Object.hasOwn(owners, name) ? owners[name] : undefined);
    const owner = ownerOf(subject.value) ?? (domain === undefined ? undefined : ownerOf(domain));
    if (owner === undefined || normalizeAddress(owner) === subject.value) return itself;
    return [...itself, owner];
  }

  *#aboutBreakers(now: Instant, { breakers, newId }: Circumstances): Generator<ChannelFact> {
    const { events, digest } = this.#rules;
    if (!events.includes('breaker')) return;
    const told = breakers.filter(({ breaker }) => {
      const at = this.#told.get(breaker);
      return at === undefined || at + digest.repeat <= now;
    });
    if (told.length > 0 && this.#deliveries.underWay.of(ITSELF) < 2 * MOST_UNDER_WAY) {
      const items = told.slice(0, MOST_ITEMS).map((one) => breakerItem(one, now));
      const notice: Notice = {
        id: newId(),
        kind: 'breaker',
        at: now,
        items,
        counts: { breaker: told.length },
      };
      yield { type: 'NoticeDue', data: { notice, breakers: told.map(({ breaker }) => breaker) } };
    }
    const open = new Set(breakers.map(({ breaker }) => breaker));
    const closed = [...this.#told].filter(
      ([breaker, at]) => !open.has(breaker) && at + digest.interval <= now,
    );
    if (closed.length > 0)
      yield { type: 'BreakerClosed', data: { breakers: closed.map(([breaker]) => breaker) } };
  }

  #repeatAt(now: Instant): Instant {
    const { digest, quietHours } = this.#rules;
    const at = Math.max(this.#lastAt, this.#idleAt) + digest.repeat;
    return Math.max(at, quietUntil(quietHours, Math.max(at, now)) ?? 0);
  }

  *#repeats(now: Instant, { waiting, newId }: Circumstances): Generator<ChannelFact> {
    if (!this.#rules.events.includes('proposed') || now < this.#repeatAt(now)) return;
    if (!this.#deliveries.underWay.takesMore(ITSELF)) return;
    const group = new Gathering(now, 0);
    for (const item of waiting())
      if (this.#wants(item) && this.#receiversOf(item).includes(ITSELF)) group.add(item);
    const { items, counts, isEmpty } = group;
    if (isEmpty) {
      this.#idleAt = now;
      return;
    }
    const notice: Notice = { id: newId(), kind: 'waiting', at: now, items, counts: { ...counts } };
    yield { type: 'NoticeDue', data: { notice } };
  }

  #decided({ through, behind: recorded = [] }: Decision): void {
    const behind = new Map(recorded.map(({ to = ITSELF, through: upTo }) => [to, upTo]));
    if (through <= this.#through && isDeepStrictEqual(behind, this.#behind)) return;
    this.#through = Math.max(this.#through, through);
    this.#behind = behind;
    for (const receiver of this.#groups.keys()) if (!behind.has(receiver)) this.#groups.delete(receiver);
    if (through >= this.#seen) return;
    this.#rewinds = true;
    this.#seen = this.#through;
  }
}

/** @param behind by receiver */
function decisionOn(through: number, behind: ReadonlyMap<string, number>): Decision {
  if (behind.size === 0) return { through };
  const to = (receiver: string): Pick<Behind, 'to'> => (receiver === ITSELF ? {} : { to: receiver });
  return { through, behind: [...behind].map(([receiver, upTo]) => ({ ...to(receiver), through: upTo })) };
}

function breakerItem({ breaker, blocks, max, window }: OpenBreaker, at: Instant): Item {
  const why =
    `rules imposed ${blocks} blocks (${breaker}) within ${window / SECOND} s, of ${max} that they may: ` +
    'most are only proposed now';
  return { event: 'breaker', position: 0, at, by: 'system:breaker', why };
}

export function sum(counts: Readonly<Partial<Record<NoticeEvent, number>>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
