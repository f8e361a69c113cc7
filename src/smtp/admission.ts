import type { Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';
import { widerNetworks, widthFactor } from '../sending/identity.js';
import { recentlyUsed } from '../runtime/recently-used.js';

/** Why a connection is turned away before the greeting. */
export type TurnedAway = 'full' | 'network' | 'rate';

export interface AdmissionLimits {
  /** Connections at a time, in all. */
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
 * Decides who may connect, so that no client network takes all the room. It considers the number of open connections
 * and their rate, and nothing that a client says. Its time is monotonic.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #now: () => Milliseconds;
  readonly #open = new Map<string, number>();
  readonly #buckets = recentlyUsed<string, Bucket>(REMEMBERED);
  #total = 0;

  constructor(limits: AdmissionLimits, now: () => Milliseconds = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /**
   * Admits a connection, or says why not. {@link left} must follow an admitted one.
   *
   * @param network the client's, as `clientNetwork` gives it; undefined for one without limits of its own
   */
  admit(network: string | undefined): TurnedAway | undefined {
    const { connections, perNetwork } = this.#limits;
    if (this.#total >= connections) return 'full';
    const networks = sitesOf(network);
    if (networks.some((one) => this.#openOf(one) >= perNetwork * widthFactor(one))) return 'network';
    if (networks.some((one) => this.#leftOf(one) < 1)) return 'rate';
    for (const one of networks) {
      this.#buckets.set(one, { left: this.#leftOf(one) - 1, at: this.#now() });
      this.#open.set(one, this.#openOf(one) + 1);
    }
    this.#total++;
    return undefined;
  }

  left(network: string | undefined): void {
    this.#total--;
    for (const one of sitesOf(network)) {
      const open = this.#openOf(one) - 1;
      if (open === 0) this.#open.delete(one);
      else this.#open.set(one, open);
    }
  }

  #openOf(network: string): number {
    return this.#open.get(network) ?? 0;
  }

  /** New connections that a network may still make. */
  #leftOf(network: string): number {
    const most = this.#limits.newPerMinute * widthFactor(network);
    const bucket = this.#buckets.get(network);
    return bucket === undefined
      ? most
      : Math.min(most, bucket.left + ((this.#now() - bucket.at) * most) / MINUTE);
  }
}

/** The network, and the wider IPv6 networks that one site may also hold. */
function sitesOf(network: string | undefined): readonly string[] {
  return network === undefined ? [] : [network, ...widerNetworks(network)];
}
