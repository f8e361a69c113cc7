/** Notices under way to one receiver at a time. While there are as many, what happens gathers for that receiver. */
export const MOST_UNDER_WAY = 20;
/** Notices under way to all owners of a channel at a time. */
export const MOST_TO_OWNERS = 200;

/** The receiver that is the channel itself: its URL, or its administrators. */
export const ITSELF = '';

/** How many notices are under way, by receiver. */
export class UnderWay {
  readonly #counts: Map<string, number>;
  #toOwners: number;

  constructor(other?: UnderWay) {
    this.#counts = new Map(other?.counts);
    this.#toOwners = other?.toOwners ?? 0;
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  get toOwners(): number {
    return this.#toOwners;
  }

  of(receiver: string): number {
    return this.#counts.get(receiver) ?? 0;
  }

  /** @param by 1 or -1 */
  change(receiver: string, by: number): void {
    const count = this.of(receiver) + by;
    if (count === 0) this.#counts.delete(receiver);
    else this.#counts.set(receiver, count);
    if (receiver !== ITSELF) this.#toOwners += by;
  }

  /**
   * Whether one more may be under way. An owner may have no more than what is left for all others: so however many do not
   * answer, something is left for the next one, and the sum is bounded all the same.
   */
  takesMore(receiver: string): boolean {
    const most = receiver === ITSELF ? Infinity : MOST_TO_OWNERS - this.#toOwners;
    return this.of(receiver) < Math.min(MOST_UNDER_WAY, most);
  }

  /** Receivers to whom as many are under way as may be. */
  get full(): readonly string[] {
    return [...this.#counts.keys()].filter((receiver) => !this.takesMore(receiver));
  }
}
