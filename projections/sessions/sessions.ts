import type { Instant } from '../../src/kernel/time.js';
import type { SessionEvent, SignedIn, Via } from '../../src/sessions/events.js';

export interface Session {
  readonly id: string;
  readonly person: string;
  readonly hash: string;
  readonly stamp: string;
  readonly since: Instant;
  readonly until: Instant;
  /** When it was last recorded that it was used. */
  readonly usedAt: Instant;
  readonly network: string;
  /** Of a person who is in no file of ours: who vouches, and for which rights. */
  readonly via?: Via;
  readonly role?: string;
  readonly domains?: readonly string[];
}

export interface SessionsState {
  readonly sessions: readonly Session[];
  readonly steps: readonly (readonly [person: string, step: number])[];
  readonly recovery: readonly (readonly [person: string, hashes: readonly string[]])[];
}

/** Sessions of one person that are kept: the oldest gives way to a new one. */
const MOST_OF_ONE = 50;

/** The sessions of administrators that have not ended, and the codes that are used up. */
export class Sessions {
  /** Oldest first. */
  readonly #byId = new Map<string, Session>();
  readonly #byHash = new Map<string, Session>();
  readonly #steps = new Map<string, number>();
  readonly #recovery = new Map<string, Set<string>>();

  /** The opposite of {@link restore}. */
  dump(): SessionsState {
    return {
      sessions: [...this.#byId.values()],
      steps: [...this.#steps],
      recovery: [...this.#recovery].map(([person, hashes]) => [person, [...hashes]]),
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore({ sessions, steps, recovery }: SessionsState): void {
    for (const session of sessions) this.#put(session);
    for (const [person, step] of steps) this.#steps.set(person, step);
    for (const [person, hashes] of recovery) this.#recovery.set(person, new Set(hashes));
  }

  /** The session with this token's hash, even if its time is over. */
  find(hash: string): Session | undefined {
    return this.#byHash.get(hash);
  }

  byId(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  /** Oldest first. */
  all(now: Instant): readonly Session[] {
    return [...this.#byId.values()].filter(({ until }) => until > now);
  }

  /** The last step of which a person's time-based code was used; -1 for none. */
  lastStep(person: string): number {
    return this.#steps.get(person) ?? -1;
  }

  isUsedUp(person: string, recovery: string): boolean {
    return this.#recovery.get(person)?.has(recovery) === true;
  }

  apply(event: SessionEvent): void {
    switch (event.type) {
      case 'SignedIn':
        return this.#begin(event.data, event.at);
      case 'SessionUsed': {
        const session = this.#byId.get(event.data.session);
        if (session !== undefined && event.at > session.usedAt) this.#put({ ...session, usedAt: event.at });
        return;
      }
      case 'SessionEnded':
        return this.#remove(event.data.session);
      case 'PersonChanged':
        return;
    }
  }

  #begin({ session: id, step, recovery, ...rest }: SignedIn, at: Instant): void {
    const { person } = rest;
    for (const other of this.#byId.values()) if (other.until <= at) this.#remove(other.id);
    const own = [...this.#byId.values()].filter((other) => other.person === person);
    if (own.length >= MOST_OF_ONE) this.#remove(own[0]!.id);
    this.#put({ id, ...rest, since: at, usedAt: at });
    if (step !== undefined) this.#steps.set(person, Math.max(step, this.lastStep(person)));
    if (recovery === undefined) return;
    const used = this.#recovery.get(person) ?? new Set();
    this.#recovery.set(person, used.add(recovery));
  }

  #put(session: Session): void {
    this.#byId.set(session.id, session);
    this.#byHash.set(session.hash, session);
  }

  #remove(id: string): void {
    const session = this.#byId.get(id);
    if (session === undefined) return;
    this.#byId.delete(id);
    this.#byHash.delete(session.hash);
  }
}
