import type { Instant } from '../kernel/time.js';
import { CLOCK_TOLERANCE } from '../sending/events.js';
import type { ChannelFact, Notice } from './events.js';
import { ITSELF, UnderWay } from './under-way.js';

/** A notice and what has become of it. */
export interface Delivery {
  readonly notice: Notice;
  readonly state: 'waiting' | 'sending' | 'delivered' | 'dead';
  readonly attempts: number;
  /** When it is sent, or may be sent by somebody else. */
  readonly nextAt: Instant;
  /** When that was decided. */
  readonly plannedAt: Instant;
  readonly error: string | undefined;
  readonly settledAt: Instant | undefined;
  /** Those of several addresses that took it already. */
  readonly told: readonly string[];
}

/** What is recorded of one that waits. */
type Waiting = Extract<ChannelFact, { readonly type: 'NoticeKept' }>['data'];

/** Settled ones that are remembered, delivered and dead each. */
export const MOST_SETTLED = 100;
/** Events of its stream after which what a start must know is recorded again. */
export const MOST_SINCE = 1000;
/** Events of its stream that a start reads: all that it must know is among them. */
export const MOST_READ = 2 * MOST_SINCE;

/** The notices of a channel, and what has become of each. */
export class Deliveries {
  readonly underWay = new UnderWay();
  readonly #all = new Map<string, Delivery>();
  /** Revisions of the events that have them whole. */
  readonly #recorded = new Map<string, number>();

  /** Newest last. */
  get all(): readonly Delivery[] {
    return [...this.#all.values()];
  }

  /** When people were last told of events; long ago if never. What a clock that was ahead has dated does not count. */
  lastAt(now: Instant): Instant {
    let last = -Infinity;
    for (const { notice } of this.#all.values())
      if (notice.kind === 'events' && !isAhead(notice.at, now)) last = Math.max(last, notice.at);
    return last;
  }

  /** What was recorded of it again moves it on in the stream alone. */
  put({ notice, attempts, nextAt, error, told = [] }: Waiting, plannedAt: Instant, revision: number): void {
    const { id, to = ITSELF } = notice;
    if (!this.#all.has(id)) {
      this.#all.set(id, {
        notice,
        state: 'waiting',
        attempts,
        nextAt,
        plannedAt,
        error,
        settledAt: undefined,
        told,
      });
      if (told.length === 0) this.underWay.change(to, 1);
    }
    this.#recorded.set(id, revision);
  }

  change(id: string, change: (one: Delivery) => Partial<Delivery>): void {
    const before = this.#all.get(id);
    if (before === undefined) return;
    const after = { ...before, ...change(before) };
    this.#all.set(id, after);
    const by = Number(occupies(after)) - Number(occupies(before));
    if (by !== 0) this.underWay.change(after.notice.to ?? ITSELF, by);
    if (isUnderWay(after)) return;
    const alike = this.all.filter(({ state }) => state === after.state);
    for (const { notice } of alike.slice(0, Math.max(0, alike.length - MOST_SETTLED))) {
      this.#all.delete(notice.id);
      this.#recorded.delete(notice.id);
    }
  }

  /** What still waits and is so far back in the stream that a start would soon not read it. A test is not worth it. */
  *recordedLongAgo(revision: number): Generator<Waiting> {
    for (const [id, recorded] of this.#recorded) {
      if (revision - recorded <= MOST_SINCE) continue;
      const { notice, state, attempts, nextAt, error, told } = this.#all.get(id)!;
      if (state !== 'waiting' || notice.kind === 'test') continue;
      yield {
        notice,
        attempts,
        nextAt,
        ...(error === undefined ? {} : { error }),
        ...(told.length === 0 ? {} : { told }),
      };
    }
  }
}

/** Whether an instant was written by a clock that was ahead. Clocks of several processes differ a little. */
export function isAhead(at: Instant, now: Instant): boolean {
  return at > now + CLOCK_TOLERANCE;
}

export function isUnderWay({ state }: Delivery): boolean {
  return state === 'waiting' || state === 'sending';
}

/** Whether it is under way to the rest of several addresses. */
export function isForRest(one: Delivery): boolean {
  return isUnderWay(one) && one.told.length > 0;
}

/** Whether its receiver may have one less for that. Where some addresses take what is sent, they are not to wait for the others. */
function occupies(one: Delivery): boolean {
  return isUnderWay(one) && one.told.length === 0;
}
