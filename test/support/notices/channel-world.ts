import assert from 'node:assert/strict';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { ChannelRules, Circumstances, OpenBreaker } from '../../../src/notices/channel-state.js';
import { ChannelState } from '../../../src/notices/channel-state.js';
import { MOST_READ } from '../../../src/notices/deliveries.js';
import type { ChannelEvent, ChannelFact, Item, Notice } from '../../../src/notices/events.js';
import { BY_NOTICES } from '../../../src/notices/events.js';
import type { Standing } from '../../../src/notices/gathering.js';
import { sum } from '../../../src/notices/gathering.js';
import { newId } from '../../../src/runtime/ids.js';
import { eventBytes } from '../../../src/store/port.js';
import { NOON } from '../manual-clock.js';

export const RULES: ChannelRules = {
  type: 'mail',
  to: ['ops@example.com'],
  events: ['proposed', 'imposed', 'breaker'],
  types: ['account', 'domain', 'ip'],
  domains: undefined,
  owners: undefined,
  quietHours: undefined,
  digest: { wait: 30 * SECOND, interval: 5 * MINUTE, repeat: 4 * HOUR },
};
export const BREAKER: OpenBreaker = { breaker: 'account by sends', blocks: 20, max: 20, window: HOUR };

function factBytes({ type, data }: ChannelFact): number {
  return eventBytes({ id: newId(), type, at: NOON, by: BY_NOTICES, data });
}

/** A log that holds block events and the channel's own, and processes that follow it. */
export class World {
  now = NOON;
  breakers: readonly OpenBreaker[] = [];
  waiting: readonly Item[] = [];
  readonly standing = new Map<string, Standing>();
  /** Bytes that the store takes at once. */
  mostBytes = Infinity;
  /** Receivers that take nothing. */
  readonly away = new Set<string>();
  readonly log: ({ readonly item: Item } | { readonly own: ChannelEvent })[] = [];
  readonly workers: { state: ChannelState; fed: number }[];
  #ids = 0;
  #revision = -1;

  constructor(
    readonly rules: ChannelRules,
    workers = 1,
  ) {
    this.record([{ type: 'ChannelFollowed', data: { through: 0 } }]);
    this.workers = Array.from({ length: workers }, () => ({ state: new ChannelState(rules), fed: 0 }));
    for (const worker of this.workers) this.feed(worker);
  }

  get revision(): number {
    return this.#revision;
  }

  record(facts: readonly ChannelFact[]): void {
    for (const fact of facts) this.log.push({ own: { ...fact, at: this.now, revision: ++this.#revision } });
  }

  happens(change: Partial<Item> = {}): void {
    const position = this.log.length + 1;
    const subject = { type: 'account', value: `a${position}@example.com` } as const;
    const base = {
      event: 'imposed',
      position,
      at: this.now,
      by: 'rule:burst@1',
      block: `b${position}`,
    } as const;
    this.log.push({ item: { ...base, subject, why: 'too many', ...change } });
  }

  feed(worker: { state: ChannelState; fed: number }, most = Infinity): void {
    for (let count = 0; worker.fed < this.log.length && count < most; count += 1) {
      const position = ++worker.fed;
      const entry = this.log[position - 1]!;
      if ('item' in entry) worker.state.gather(position, entry.item, this.now);
      else worker.state.apply(entry.own);
      if (worker.state.takeRewind()) worker.fed = worker.state.handedOver!;
    }
  }

  /** As a process that was killed begins again: the end of its own stream first, then what is not decided. */
  restart(worker = this.workers[0]!): void {
    worker.state = new ChannelState(this.rules);
    const own = this.log.flatMap((entry) => ('own' in entry ? [entry.own] : []));
    for (const event of own.slice(-MOST_READ)) worker.state.apply(event);
    worker.fed = worker.state.handedOver!;
    this.feed(worker);
  }

  /** @returns whether the store took what was decided */
  tick(worker = this.workers[0]!): boolean {
    const { breakers, waiting, mostBytes } = this;
    const circumstances: Circumstances = {
      breakers,
      waiting: () => waiting,
      standingOf: (block) => this.standing.get(block),
      newId: () => `n${++this.#ids}`,
      mostBytes,
    };
    const facts = worker.state.decide(this.now, circumstances);
    if (facts.length === 0 || worker.state.revision !== this.#revision) return false;
    const bytes = facts.reduce((total, fact) => total + factBytes(fact), 0);
    assert.ok(bytes <= mostBytes, `the store refuses ${bytes} bytes`);
    this.record(facts);
    return true;
  }

  /** Lets time pass in steps, with what is due done; everything is delivered at once, but to whom takes nothing. */
  passes(span: number, step = 10 * SECOND): void {
    for (const end = this.now + span; this.now < end; this.now += step) {
      const [worker] = this.workers;
      while (this.tick()) this.feed(worker!);
      for (const { notice } of worker!.state.due(this.now)) {
        const takes = !this.away.has(notice.to ?? 'itself');
        this.settle(notice.id, takes, takes ? undefined : this.now + HOUR);
      }
      this.feed(worker!);
    }
  }

  settle(notice: string, isDelivered: boolean, retryAt = this.now + 5 * SECOND): void {
    const failed = { notice, error: 'HTTP 500', retryAt };
    this.record([
      { type: 'NoticeAttempted', data: { notice } },
      isDelivered ? { type: 'NoticeDelivered', data: { notice } } : { type: 'NoticeFailed', data: failed },
    ]);
  }

  /** How many events each receiver was told of in all. */
  toldOf(): Readonly<Record<string, number>> {
    const told: Record<string, number> = {};
    for (const { kind, to = 'itself', counts } of this.notices)
      if (kind === 'events') told[to] = (told[to] ?? 0) + sum(counts);
    return told;
  }

  get notices(): readonly Notice[] {
    return this.log.flatMap((entry) =>
      'own' in entry && entry.own.type === 'NoticeDue' ? [entry.own.data.notice] : [],
    );
  }

  told(): readonly string[] {
    return this.notices.map(({ kind, to, counts, at }) =>
      [kind, to ?? 'itself', JSON.stringify(counts), `+${(at - NOON) / SECOND}s`].join(' '),
    );
  }
}
