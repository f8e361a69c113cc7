import type { BlockEvent } from '../src/blocks/events.js';
import type { Instant, Milliseconds } from '../src/kernel/time.js';
import { DAY, HOUR } from '../src/kernel/time.js';
import { domainOf } from '../src/sending/identity.js';

/** The longest window that a breaker may have. */
const LONGEST: Milliseconds = DAY;
/** Accounts of a domain that turn abnormal together are one finding for so long. */
const ONE_FINDING: Milliseconds = HOUR;

export interface AutomaticBlocksState {
  readonly times: readonly Instant[];
  /** By rule and domain. */
  readonly findings: readonly (readonly [key: string, at: Instant])[];
}

/** When rules imposed blocks by themselves: what the circuit breaker looks at. */
export class AutomaticBlocks {
  #times: Instant[] = [];
  /** When accounts of a domain were found last that turned abnormal together: however many they are, they count once. */
  #findings = new Map<string, Instant>();

  apply(event: BlockEvent): void {
    if (event.type !== 'BlockImposed' || !event.by.startsWith('rule:')) return;
    const { evidence, subject } = event.data;
    if (evidence?.count === 'accounts') {
      const key = `${evidence.rule} ${domainOf(subject.value) ?? ''}`;
      if ((this.#findings.get(key) ?? 0) > event.at - ONE_FINDING) return;
      for (const [other, at] of this.#findings)
        if (at <= event.at - ONE_FINDING) this.#findings.delete(other);
      this.#findings.set(key, event.at);
    }
    this.#times.push(event.at);
    if (this.#times.length > 1024 && this.#times[512]! < event.at - LONGEST)
      this.#times = this.#times.slice(512);
  }

  /** The opposite of {@link restore}. */
  dump(): AutomaticBlocksState {
    return { times: this.#times.slice(), findings: [...this.#findings] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ times, findings }: AutomaticBlocksState): void {
    this.#times = times.slice();
    this.#findings = new Map(findings);
  }

  /** How many within the window that ends at `now`. */
  within(window: Milliseconds, now: Instant): number {
    let count = 0;
    for (let index = this.#times.length - 1; index >= 0 && this.#times[index]! > now - window; index--)
      count++;
    return count;
  }
}
