import { LRUCache } from 'lru-cache';
import type { Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';

/** Why a connection is turned away before a word is said. */
export type TurnedAway = 'full' | 'network' | 'rate';

export interface AdmissionLimits {
  /** Connections at a time, all in all. */
  readonly connections: number;
  /** Connections at a time from one client network. */
  readonly perNetwork: number;
  /** New connections a minute from one client network; as many at once. */
  readonly newPerMinute: number;
}

interface Bucket {
  /** Connections that may still be made. */
  readonly left: number;
  readonly at: Milliseconds;
}

/** Networks whose rate is remembered; the least used are forgotten. */
const REMEMBERED = 50_000;

/**
 * Decides who may connect, so that no client network takes all the room. It looks at what is open and how fast it came, at
 * nothing that a client says; the time is a monotonic one.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #now: () => Milliseconds;
  readonly #open = new Map<string, number>();
  readonly #buckets = new LRUCache<string, Bucket>({ max: REMEMBERED });
  #total = 0;

  constructor(limits: AdmissionLimits, now: () => Milliseconds = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /**
   * Takes a connection in, which {@link left} must follow, unless it says why not.
   *
   * @param network of the client, as `clientNetwork` gives it; undefined for one that has no limits of its own
   */
  admit(network: string | undefined): TurnedAway | undefined {
    const { connections, perNetwork } = this.#limits;
    if (this.#total >= connections) return 'full';
    if (network !== undefined) {
      const open = this.#open.get(network) ?? 0;
      if (open >= perNetwork) return 'network';
      if (!this.#takeFrom(network)) return 'rate';
      this.#open.set(network, open + 1);
    }
    this.#total++;
    return undefined;
  }

  left(network: string | undefined): void {
    this.#total--;
    if (network === undefined) return;
    const open = this.#open.get(network)! - 1;
    if (open === 0) this.#open.delete(network);
    else this.#open.set(network, open);
  }

  #takeFrom(network: string): boolean {
    const { newPerMinute } = this.#limits;
    const now = this.#now();
    const { left, at } = this.#buckets.get(network) ?? { left: newPerMinute, at: now };
    const filled = Math.min(newPerMinute, left + ((now - at) * newPerMinute) / MINUTE);
    if (filled < 1) return false;
    this.#buckets.set(network, { left: filled - 1, at: now });
    return true;
  }
}
