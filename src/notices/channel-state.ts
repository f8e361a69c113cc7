import type { NoticeEvent } from '../config/notices.js';
import { isInDomains, quietUntil } from '../config/notices.js';
import type { Channel } from '../config/schema.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, SECOND } from '../kernel/time.js';
import { domainOf, normalizeAddress } from '../sending/identity.js';
import type { ChannelEvent, ChannelFact, Item, Notice, NoticeKind } from './events.js';
import { Gathering, MOST_ITEMS, MOST_WAITING } from './gathering.js';

/** What a channel is told, and when. */
export type ChannelRules = Pick<
  Channel,
  'events' | 'types' | 'domains' | 'owners' | 'quietHours' | 'digest' | 'type' | 'to'
>;

/** A notice and what has become of it. */
export interface Delivery {
  readonly notice: Notice;
  readonly state: 'waiting' | 'sending' | 'delivered' | 'dead';
  readonly attempts: number;
  /** When it is sent, or may be sent by somebody else. */
  readonly nextAt: Instant;
  readonly error: string | undefined;
  readonly settledAt: Instant | undefined;
}

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

/** Notices under way at a time. While there are as many, what happens gathers in the next one. */
export const MOST_UNDER_WAY = 20;
/** Settled ones that are remembered, delivered and dead each. */
export const MOST_SETTLED = 100;
/** Positions that may be read again at a start. */
const MOST_BEHIND = 1000;
/** Nobody else sends while this lasts: longer than an attempt may take. */
export const LEASE: Milliseconds = 45 * SECOND;

/** The receiver that is the channel itself. */
const ITSELF = '';

/**
 * One channel: what its own events say, and what has gathered since the last notice. Reads no clock and sends nothing:
 * `decide` gives what is to be recorded. All processes that follow the same events come to the same.
 */
export class ChannelState {
  readonly #rules: ChannelRules;
  readonly #groups = new Map<string, Gathering>();
  readonly #deliveries = new Map<string, Delivery>();
  /** Circuit breakers that were told of as open, with when. */
  readonly #told = new Map<string, Instant>();
  #since: Instant | undefined;
  #underWay = 0;
  #through = 0;
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

  /** Everything up to here is decided upon; undefined before the channel has begun. */
  get through(): number | undefined {
    return this.#checkedAt === undefined ? undefined : this.#through;
  }

  /** The receiver wants no more (410), and nothing is sent until a person resends or tests. */
  get disabled(): boolean {
    return this.#disabled;
  }

  /** Newest last. */
  get deliveries(): readonly Delivery[] {
    return [...this.#deliveries.values()];
  }

  /** Events that wait for the next notice. */
  get gathered(): number {
    let count = 0;
    for (const { counts } of this.#groups.values()) count += sum(counts);
    return count;
  }

  /** When what has gathered is told; undefined while nothing has, or too much is under way. */
  gatheredUntil(now: Instant): Instant | undefined {
    return this.#flushAt(now);
  }

  /** True once if events must be handed over again, after {@link through}: somebody else has sent some of what has gathered here. */
  takeRewind(): boolean {
    const rewinds = this.#rewinds;
    this.#rewinds = false;
    return rewinds;
  }

  /** What the process that made it left half done is nobody's: it may be sent at once. */
  orphan(now: Instant): void {
    for (const [id, one] of this.#deliveries)
      if (one.state === 'sending') this.#deliveries.set(id, { ...one, nextAt: now });
  }

  /** Passes over an event of its stream that is none of ours. */
  skip(revision: number): void {
    this.#revision = Math.max(revision, this.#revision === 'none' ? 0 : this.#revision);
  }

  /** Folds one event of its own stream, each once. */
  apply({ type, data, at, revision }: ChannelEvent): void {
    if (this.#revision !== 'none' && revision <= this.#revision) return;
    this.#revision = revision;
    switch (type) {
      case 'ChannelFollowed':
        this.#checkedAt = at;
        this.#lastAt ||= at;
        this.#decided(data.through);
        break;
      case 'NoticeDue': {
        const { notice, through, breakers = [] } = data;
        const waits = {
          state: 'waiting',
          attempts: 0,
          nextAt: at,
          error: undefined,
          settledAt: undefined,
        } as const;
        this.#put(notice.id, { notice, ...waits });
        for (const breaker of breakers) this.#told.set(breaker, at);
        if (notice.kind === 'test') this.#disabled = false;
        if (notice.kind === 'events' || notice.kind === 'waiting') this.#lastAt = at;
        if (through !== undefined) {
          this.#checkedAt = at;
          this.#decided(through);
        }
        break;
      }
      case 'NoticeAttempted':
        this.#change(data.notice, (one) => ({
          ...{ state: 'sending', attempts: one.attempts + 1, nextAt: at + LEASE },
        }));
        break;
      case 'NoticeDelivered':
        this.#change(data.notice, () => ({ state: 'delivered', error: undefined, settledAt: at }));
        break;
      case 'NoticeFailed': {
        const { error, retryAt, gone } = data;
        if (gone) this.#disabled = true;
        this.#change(data.notice, ({ notice: { kind } }) => {
          if (retryAt === null) return { state: 'dead', error, settledAt: at };
          const isUrgent = kind === 'breaker' || kind === 'test';
          const quiet = isUrgent ? undefined : quietUntil(this.#rules.quietHours, retryAt);
          return { state: 'waiting', error, nextAt: quiet ?? retryAt };
        });
        break;
      }
      case 'NoticeResent':
        this.#disabled = false;
        this.#change(data.notice, () => ({
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
    for (const group of this.#groups.values()) group.heed(item);
    for (const receiver of this.#wants(item) ? this.#receiversOf(item) : []) {
      const group = this.#groups.get(receiver) ?? new Gathering();
      this.#groups.set(receiver, group);
      group.add(item);
      this.#since ??= Math.min(now, item.at);
    }
    for (const [receiver, group] of this.#groups) if (group.isEmpty) this.#groups.delete(receiver);
    if (this.#groups.size === 0) this.#since = undefined;
  }

  /** What is to be recorded now, in one piece. Recording it twice is prevented by the revision. */
  decide(now: Instant, circumstances: Circumstances): readonly ChannelFact[] {
    if (this.#disabled || this.through === undefined) return [];
    const facts = [...this.#aboutBreakers(now, circumstances)];
    const flushAt = this.#flushAt(now);
    if (flushAt !== undefined && flushAt <= now) {
      const { newId } = circumstances;
      for (const [receiver, { items, counts, over }] of this.#groups) {
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
        facts.push({ type: 'NoticeDue', data: { notice, through: this.#seen } });
      }
    } else if (this.#groups.size === 0) {
      facts.push(...this.#repeats(now, circumstances));
      const isLate = this.#seen - this.#through > MOST_BEHIND || now >= this.#checkedAt! + DAY;
      if (isLate) facts.push({ type: 'ChannelFollowed', data: { through: this.#seen } });
    }
    return facts;
  }

  /** What is to be sent now. */
  due(now: Instant): readonly Delivery[] {
    if (this.#underWay === 0 || this.#disabled) return [];
    return this.deliveries.filter((one) => isUnderWay(one) && one.nextAt <= now);
  }

  /** When there is something to do next, if nothing happens until then. */
  nextAt(now: Instant): Instant {
    const times = [this.#repeatAt(now), this.#checkedAt! + DAY];
    const flushAt = this.#flushAt(now);
    if (flushAt !== undefined) times.push(flushAt);
    // When a circuit breaker closes no event tells.
    if (this.#told.size > 0) times.push(now + this.#rules.digest.interval);
    for (const one of this.#deliveries.values()) if (isUnderWay(one)) times.push(one.nextAt);
    return Math.min(...times.filter((at) => at > now), now + DAY);
  }

  #flushAt(now: Instant): Instant | undefined {
    const { digest, quietHours } = this.#rules;
    if (this.#since === undefined || this.#underWay >= MOST_UNDER_WAY) return undefined;
    const isFirst = this.#lastNotice === undefined;
    const at = Math.max(this.#since + digest.wait, isFirst ? 0 : this.#lastNotice + digest.interval);
    return Math.max(at, quietUntil(quietHours, Math.max(at, now)) ?? 0);
  }

  get #lastNotice(): Instant | undefined {
    let last: Instant | undefined;
    for (const { notice } of this.#deliveries.values()) if (notice.kind === 'events') last = notice.at;
    return last;
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
    if (told.length > 0 && this.#underWay < 2 * MOST_UNDER_WAY) {
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
    if (this.#underWay >= MOST_UNDER_WAY) return;
    const items: Item[] = [];
    let count = 0;
    let looked = 0;
    for (const item of waiting()) {
      if (++looked > MOST_WAITING) break;
      if (!this.#wants(item) || !this.#receiversOf(item).includes(ITSELF)) continue;
      if (++count <= MOST_ITEMS) items.push(item);
    }
    if (count === 0) {
      this.#idleAt = now;
      return;
    }
    const notice: Notice = { id: newId(), kind: 'waiting', at: now, items, counts: { proposed: count } };
    yield { type: 'NoticeDue', data: { notice } };
  }

  #decided(through: number): void {
    if (through < this.#seen && through > this.#through) this.#rewinds = true;
    if (through <= this.#through && this.#groups.size > 0 && through < this.#seen) return;
    this.#through = Math.max(this.#through, through);
    this.#seen = this.#through;
    this.#groups.clear();
    this.#since = undefined;
  }

  #put(id: string, delivery: Delivery): void {
    if (this.#deliveries.has(id)) return;
    this.#deliveries.set(id, delivery);
    this.#underWay += 1;
  }

  #change(id: string, change: (one: Delivery) => Partial<Delivery>): void {
    const before = this.#deliveries.get(id);
    if (before === undefined) return;
    const after = { ...before, ...change(before) };
    this.#deliveries.set(id, after);
    this.#underWay += Number(isUnderWay(after)) - Number(isUnderWay(before));
    if (isUnderWay(after)) return;
    const alike = this.deliveries.filter(({ state }) => state === after.state);
    for (const { notice } of alike.slice(0, Math.max(0, alike.length - MOST_SETTLED)))
      this.#deliveries.delete(notice.id);
  }
}

function breakerItem({ breaker, blocks, max, window }: OpenBreaker, at: Instant): Item {
  const why =
    `rules imposed ${blocks} blocks (${breaker}) within ${window / SECOND} s, of ${max} that they may: ` +
    'most are only proposed now';
  return { event: 'breaker', position: 0, at, by: 'system:breaker', why };
}

export function isUnderWay({ state }: Delivery): boolean {
  return state === 'waiting' || state === 'sending';
}

export function sum(counts: Readonly<Partial<Record<NoticeEvent, number>>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

export type { NoticeKind };
