import type { BlockEvent } from '../../src/blocks/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY, HOUR } from '../../src/kernel/time.js';
import { breakerOf } from '../../src/rules/respond.js';
import { domainOf } from '../../src/sending/identity.js';

/** The longest window that a breaker may have. */
const LONGEST: Milliseconds = DAY;
/** Accounts of a domain that turn abnormal together are one finding for so long. */
const ONE_FINDING: Milliseconds = HOUR;

export interface AutomaticBlocksState {
  /** By breaker, as {@link breakerOf} names it. */
  readonly times: readonly (readonly [breaker: string, times: readonly Instant[]])[];
  /** By rule and domain. */
  readonly findings: readonly (readonly [key: string, at: Instant])[];
}

/** When rules imposed blocks by themselves: what the circuit breakers look at, each at its own. */
export class AutomaticBlocks {
  #times = new Map<string, Instant[]>();
  /** When accounts of a domain were found last that turned abnormal together: however many they are, they count once. */
  #findings = new Map<string, Instant>();

  apply(event: BlockEvent): void {
    if (event.type !== 'BlockImposed' || !event.by.startsWith('rule:')) return;
    const { evidence, subject, direction } = event.data;
    if (evidence?.count === 'accounts') {
      const key = `${evidence.rule} ${domainOf(subject.value) ?? ''}`;
      if ((this.#findings.get(key) ?? 0) > event.at - ONE_FINDING) return;
      for (const [other, at] of this.#findings)
        if (at <= event.at - ONE_FINDING) this.#findings.delete(other);
      this.#findings.set(key, event.at);
    }
    const breaker = breakerOf(subject, evidence?.count ?? '', direction);
    const times = this.#times.get(breaker) ?? [];
    times.push(event.at);
    const isLong = times.length > 1024 && times[512]! < event.at - LONGEST;
    this.#times.set(breaker, isLong ? times.slice(512) : times);
  }

  /** The opposite of {@link restore}. */
  dump(): AutomaticBlocksState {
    const times = [...this.#times].map(([breaker, own]) => [breaker, own.slice()] as const);
    return { times, findings: [...this.#findings] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ times, findings }: AutomaticBlocksState): void {
    this.#times = new Map(times.map(([breaker, own]) => [breaker, own.slice()]));
    this.#findings = new Map(findings);
  }

  /** The breakers that any block has counted for. */
  get breakers(): readonly string[] {
    return [...this.#times.keys()];
  }

  /** How many within the window that ends at `now` count for a breaker. */
  within(breaker: string, window: Milliseconds, now: Instant): number {
    const times = this.#times.get(breaker) ?? [];
    let count = 0;
    for (let index = times.length - 1; index >= 0 && times[index]! > now - window; index--) count++;
    return count;
  }
}
