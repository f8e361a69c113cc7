import { isDeepStrictEqual } from 'node:util';
import { quietUntil } from '../config/notices.js';
import type { Channel } from '../config/schema.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, SECOND } from '../kernel/time.js';
import type { Delivery } from './deliveries.js';
import { Deliveries, isAhead, isUnderWay, MOST_SINCE } from './deliveries.js';
import type { Behind, ChannelEvent, ChannelFact, Decision, Item, Notice } from './events.js';
import { decisionOf } from './events.js';
import type { Standing } from './gathering.js';
import { Gathering, MOST_ITEMS, sum } from './gathering.js';
import { receiversOf } from './receivers.js';
import { Room } from './room.js';
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
  /** Of a block or a proposal; undefined if nothing is known of it. */
  readonly standingOf: (block: string) => Standing | undefined;
  readonly newId: () => string;
  /** Bytes that one append may have. */
  readonly mostBytes: number;
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
  /** For whom less is decided upon. */
  #behind: ReadonlyMap<string, Behind> = new Map();
  /** Revision of the event that says so last. */
  #decidedIn = 0;
  #seen = 0;
  /** Up to where it has been handed over before, and is again. What gathers on may hold all of that. */
  #seenBefore = 0;
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
    if (this.#checkedAt === undefined) return undefined;
    return Math.min(this.#through, ...[...this.#behind.values()].map(({ through }) => through));
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
    this.#putRight(now);
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
      if (state === 'sending') this.#deliveries.change(notice.id, () => ({ nextAt: now, plannedAt: now }));
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
        this.#deliveries.put({ notice, attempts: 0, nextAt: at }, at, revision);
        for (const breaker of breakers) this.#told.set(breaker, at);
        if (notice.kind === 'test') this.#disabled = false;
        if (notice.kind === 'events' || notice.kind === 'waiting') this.#lastAt = at;
        break;
      }
      case 'NoticeKept':
        this.#deliveries.put(data, at, revision);
        break;
      case 'NoticeAttempted':
        this.#deliveries.change(data.notice, (one) => ({
          state: 'sending',
          attempts: one.attempts + 1,
          nextAt: at + LEASE,
          plannedAt: at,
        }));
        break;
      case 'NoticeDelivered':
        this.#deliveries.change(data.notice, () => ({ state: 'delivered', error: undefined, settledAt: at }));
        break;
      case 'NoticeFailed': {
        const { error, retryAt, gone } = data;
        if (gone) this.#disabled = true;
        this.#deliveries.change(data.notice, ({ notice: { kind }, told: before }) => {
          const told = [...before, ...(data.told ?? [])];
          if (retryAt === null) return { state: 'dead', error, settledAt: at, told };
          return { state: 'waiting', error, nextAt: this.#quietOf(kind, retryAt), plannedAt: at, told };
        });
        break;
      }
      case 'NoticeResent':
        this.#disabled = false;
        this.#deliveries.change(data.notice, () => ({
          state: 'waiting',
          attempts: 0,
          nextAt: at,
          plannedAt: at,
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
    const receivers = receiversOf(this.#rules, item);
    for (const receiver of receivers)
      if (!this.#groups.has(receiver) && position > (this.#behind.get(receiver)?.through ?? this.#through))
        this.#groups.set(receiver, new Gathering(Math.min(now, item.at), position - 1));
    for (const [receiver, group] of this.#groups) {
      group.take(position, item, receivers.includes(receiver));
      if (group.isEmpty) this.#groups.delete(receiver);
    }
  }

  /**
   * What is to be recorded now, in one piece. Recording it twice is prevented by the revision. What the piece has no room for
   * is decided once this is recorded.
   */
  decide(now: Instant, circumstances: Circumstances): readonly ChannelFact[] {
    this.#putRight(now);
    if (this.#disabled || this.through === undefined || this.#seen < this.#seenBefore) return [];
    const room = new Room(circumstances.mostBytes);
    const facts: ChannelFact[] = [];
    const record = (fact: ChannelFact): void => {
      const fitting = room.take(fact);
      if (fitting !== undefined) facts.push(fitting);
    };
    for (const fact of this.#aboutBreakers(now, circumstances)) record(fact);
    for (const data of this.#deliveries.recordedLongAgo(Number(this.#revision)))
      record({ type: 'NoticeKept', data });
    const follow = (data: Decision): void => record({ type: 'ChannelFollowed', data });
    if ((this.#flushAt(now) ?? Infinity) <= now) this.#settle(now, circumstances);
    const flushAt = this.#flushAt(now);
    if (flushAt === undefined) {
      for (const fact of this.#repeats(now, circumstances)) record(fact);
      if (this.#decidable - this.#through > MOST_BEHIND || this.#isDecidedLongAgo(now))
        follow(this.#decision(new Map(), new Set()));
    } else if (flushAt <= now) facts.push(...this.#digests(now, circumstances, room));
    // No more than was decided: who sends what gathers decides on that.
    else if (this.#isDecidedLongAgo(now)) follow(decisionOn(this.#through, [...this.#behind.values()]));
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

  /**
   * What is dated later than now was dated by a clock that has been put right since. Nothing may wait for that date: a span
   * that was to pass begins now, and what was last done then counts as never done.
   */
  #putRight(now: Instant): void {
    for (const group of this.#groups.values()) group.since = Math.min(group.since, now);
    if (this.#checkedAt !== undefined) this.#checkedAt = Math.min(this.#checkedAt, now);
    if (isAhead(this.#lastAt, now)) this.#lastAt = -Infinity;
    if (isAhead(this.#idleAt, now)) this.#idleAt = -Infinity;
    for (const [breaker, at] of this.#told) if (isAhead(at, now)) this.#told.set(breaker, -Infinity);
    for (const one of this.deliveries) {
      if (!isUnderWay(one) || !isAhead(one.plannedAt, now)) continue;
      const { id, kind } = one.notice;
      const nextAt = one.state === 'sending' ? now + LEASE : this.#quietOf(kind, now);
      this.#deliveries.change(id, () => ({ nextAt, plannedAt: now }));
    }
  }

  /** When a notice of a kind may be sent, from `at` on. */
  #quietOf(kind: Notice['kind'], at: Instant): Instant {
    const isUrgent = kind === 'breaker' || kind === 'test';
    return (isUrgent ? undefined : quietUntil(this.#rules.quietHours, at)) ?? at;
  }

  #flushAt(now: Instant): Instant | undefined {
    const { digest, quietHours } = this.#rules;
    let since = Infinity;
    for (const receiver of this.#takesMore()) since = Math.min(since, this.#groups.get(receiver)!.since);
    if (since === Infinity) return undefined;
    const at =
      this.#left().length > 0
        ? this.#checkedAt!
        : Math.max(since + digest.wait, this.#deliveries.lastAt(now) + digest.interval);
    return Math.max(at, quietUntil(quietHours, Math.max(at, now)) ?? 0);
  }

  /** Takes how all that has gathered stands now, when it is to be told. */
  #settle(now: Instant, { standingOf }: Circumstances): void {
    for (const [receiver, group] of this.#groups) {
      group.settle(now, standingOf);
      if (group.isEmpty) this.#groups.delete(receiver);
    }
  }

  /** Receivers for whom something has gathered, and who take more. */
  #takesMore(): readonly string[] {
    return [...this.#groups.keys()].filter((receiver) => this.#deliveries.underWay.takesMore(receiver));
  }

  /** Those of them who were due before, and for whom the last append had no room. */
  #left(): readonly string[] {
    return this.#takesMore().filter((receiver) => this.#behind.get(receiver)?.left === true);
  }

  /** One for each receiver that takes more, in one piece with what is decided by that; as many as there is room for. */
  *#digests(now: Instant, { newId }: Circumstances, room: Room): Generator<ChannelFact> {
    const underWay = new UnderWay(this.#deliveries.underWay);
    const due = new Set(this.#left());
    if (due.size === 0) for (const receiver of this.#takesMore()) due.add(receiver);
    const told = new Map<string, Notice>();
    for (const receiver of due) {
      if (!underWay.takesMore(receiver)) {
        due.delete(receiver);
        continue;
      }
      const notice = this.#digest(receiver, now, newId());
      // Room for the longest that the first one may have to say beside: of each one that is told it says less.
      const beside = told.size === 0 ? this.#decision(told, due) : {};
      const fitting = room.take({ type: 'NoticeDue' as const, data: { notice, ...beside } });
      if (fitting === undefined) break;
      underWay.change(receiver, 1);
      told.set(receiver, fitting.data.notice);
    }
    let decision: Partial<Decision> = this.#decision(told, due);
    for (const notice of told.values()) {
      yield { type: 'NoticeDue', data: { notice, ...decision } };
      decision = {};
    }
  }

  #digest(receiver: string, at: Instant, id: string): Notice {
    const { items, counts, over } = this.#groups.get(receiver)!;
    return {
      id,
      kind: 'events',
      at,
      ...(receiver === ITSELF ? {} : { to: receiver }),
      items,
      counts: { ...counts },
      ...(sum(over) === 0 ? {} : { over: { ...over } }),
    };
  }

  /** Whether a start would soon not find what was decided last. */
  #isDecidedLongAgo(now: Instant): boolean {
    return Number(this.#revision) - this.#decidedIn > MOST_SINCE || now >= this.#checkedAt! + DAY;
  }

  /** Up to where it can be decided now. */
  get #decidable(): number {
    return Math.max(this.#seen, this.#through);
  }

  /** What it says of block events that these are told, and nobody else is. @param due who is told next, if not told */
  #decision(told: ReadonlyMap<string, Notice>, due: ReadonlySet<string>): Decision {
    const behind: Behind[] = [];
    for (const [receiver, { after: through }] of this.#groups) {
      if (told.has(receiver)) continue;
      const left: Pick<Behind, 'left'> = due.has(receiver) ? { left: true } : {};
      behind.push({ ...(receiver === ITSELF ? {} : { to: receiver }), through, ...left });
    }
    return decisionOn(this.#decidable, behind);
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
    for (const item of waiting()) if (receiversOf(this.#rules, item).includes(ITSELF)) group.add(item);
    const { items, counts, isEmpty } = group;
    if (isEmpty) {
      this.#idleAt = now;
      return;
    }
    const notice: Notice = { id: newId(), kind: 'waiting', at: now, items, counts: { ...counts } };
    yield { type: 'NoticeDue', data: { notice } };
  }

  #decided({ through, behind: recorded = [] }: Decision): void {
    const behind = new Map(recorded.map((one) => [one.to ?? ITSELF, one]));
    if (through <= this.#through && isDeepStrictEqual(behind, this.#behind)) return;
    this.#through = Math.max(this.#through, through);
    this.#behind = behind;
    for (const receiver of this.#groups.keys()) if (!behind.has(receiver)) this.#groups.delete(receiver);
    if (through >= this.#seen) return;
    this.#rewinds = true;
    this.#seenBefore = Math.max(this.#seenBefore, this.#seen);
    this.#seen = this.#through;
  }
}

function decisionOn(through: number, behind: readonly Behind[]): Decision {
  return { through, ...(behind.length === 0 ? {} : { behind }) };
}

function breakerItem({ breaker, blocks, max, window }: OpenBreaker, at: Instant): Item {
  const why =
    `rules imposed ${blocks} blocks (${breaker}) within ${window / SECOND} s, of ${max} that they may: ` +
    'most are only proposed now';
  return { event: 'breaker', position: 0, at, by: 'system:breaker', why };
}
