import type { LRUCache } from 'lru-cache';
import { FailedCredentials } from './failed-credentials.js';
import { recentlyUsed } from '../runtime/recently-used.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';
import { widerNetworks, widthFactor } from '../sending/identity.js';

interface Bucket {
  /** Failures that are still allowed; below zero if simultaneous attempts exceeded them. */
  readonly tokens: number;
  /** By the monotonic clock. */
  readonly at: Milliseconds;
}

/** A login that may be tried. {@link end} must follow, {@link failed} may come before. */
export interface Attempt {
  /** The same credentials failed within the last hour: another failure tells nothing new. */
  readonly isRepeated: boolean;
  /** Records a failure, for any reason. */
  failed(): void;
  end(): void;
}

export interface AttemptLimiterOptions {
  /** Failures a minute that are allowed; as many at once. */
  readonly attemptsPerMinute: number;
  /** Another span than a minute. */
  readonly per?: Milliseconds;
  readonly clock: Pick<AlarmClock, 'monotonic'>;
  /** Buckets, and failed credentials, that are kept; the least used are forgotten. 50,000 by default. */
  readonly remembered?: number;
}

/** How many attempts of one site may wait for others of it to end. */
const MOST_WAITING = 500;

/**
 * Limits failed logins by client network, and by the wider IPv6 networks. A wrong password and a block count alike, so
 * that the limits do not reveal which it was. The same credentials from the same network count once: the phone of one
 * blocked account, which tries every minute, must not lock its office out. Such repeats have a bucket of their own.
 */
export class AttemptLimiter {
  readonly #rate: number;
  readonly #per: Milliseconds;
  readonly #clock: Pick<AlarmClock, 'monotonic'>;
  /** By network. */
  readonly #failures: LRUCache<string, Bucket>;
  readonly #repeats: LRUCache<string, Bucket>;
  readonly #failed: FailedCredentials;
  /** Attempts under way, by network. Each can fail. */
  readonly #pending = new Map<string, number>();
  /** Attempts that wait for room, by the widest network. */
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor({ attemptsPerMinute, per = MINUTE, clock, remembered = 50_000 }: AttemptLimiterOptions) {
    this.#per = per;
    this.#rate = attemptsPerMinute;
    this.#clock = clock;
    this.#failures = recentlyUsed(remembered);
    this.#repeats = recentlyUsed(remembered);
    this.#failed = new FailedCredentials(clock, remembered);
  }

  /**
   * Begins an attempt; undefined if too many have failed. As many as may still fail go at once, the others wait for
   * their results.
   *
   * @param network of the client, as `clientNetwork` gives it
   * @param login in any form
   */
  async begin(network: string, login: string, password: string): Promise<Attempt | undefined> {
    const key = this.#failed.keyOf(network, login, password);
    const networks = [network, ...widerNetworks(network)];
    const site = networks.at(-1)!;
    for (;;) {
      if (networks.some((one) => this.#left(this.#failures, one) < 1)) return undefined;
      if (this.#failed.has(key)) return this.#repeat(network, key);
      const hasRoom = (one: string): boolean =>
        this.#left(this.#failures, one) - (this.#pending.get(one) ?? 0) >= 1;
      if (networks.every(hasRoom)) return this.#first(networks, key);
      const waiting = this.#waiting.get(site) ?? [];
      if (waiting.length >= MOST_WAITING) return undefined;
      this.#waiting.set(site, waiting);
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  }

  #first(networks: readonly string[], key: string): Attempt {
    for (const one of networks) this.#pending.set(one, (this.#pending.get(one) ?? 0) + 1);
    let hasEnded = false;
    return {
      isRepeated: false,
      failed: () => {
        this.#failed.add(key);
        for (const one of networks) this.#take(this.#failures, one, 1);
      },
      end: () => {
        if (hasEnded) return;
        hasEnded = true;
        for (const one of networks) this.#settle(one);
        this.#wake(networks.at(-1)!);
      },
    };
  }

  /** Takes a token at once, since most repeats fail again. A success gives it back. */
  #repeat(network: string, key: string): Attempt | undefined {
    if (this.#left(this.#repeats, network) < 1) return undefined;
    this.#take(this.#repeats, network, 1);
    let hasFailed = false;
    return {
      isRepeated: true,
      failed: () => {
        hasFailed = true;
        this.#failed.add(key);
      },
      end: () => {
        if (!hasFailed) this.#take(this.#repeats, network, -1);
      },
    };
  }

  #settle(network: string): void {
    const left = this.#pending.get(network)! - 1;
    if (left === 0) this.#pending.delete(network);
    else this.#pending.set(network, left);
  }

  #wake(site: string): void {
    const waiting = this.#waiting.get(site);
    if (waiting === undefined) return;
    this.#waiting.delete(site);
    for (const go of waiting) go();
  }

  #take(buckets: LRUCache<string, Bucket>, network: string, count: 1 | -1): void {
    const tokens = this.#left(buckets, network) - count;
    buckets.set(network, { tokens, at: this.#clock.monotonic() });
  }

  #left(buckets: LRUCache<string, Bucket>, network: string): number {
    const rate = this.#rate * widthFactor(network);
    const bucket = buckets.get(network);
    if (bucket === undefined) return rate;
    const passed = this.#clock.monotonic() - bucket.at;
    return Math.min(rate, bucket.tokens + (passed * rate) / this.#per);
  }
}
