import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { HOUR } from '../../src/kernel/time.js';
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
  /** The id of the passkey that it was begun with. */
  readonly passkey?: string;
  /** Of a person who is in no file of ours: who vouches, and for which rights. */
  readonly via?: Via;
  readonly role?: string;
  readonly domains?: readonly string[];
  /** SHA-256 of what the one who vouches knows them by. */
  readonly sub?: string;
}

export interface SessionsState {
  readonly sessions: readonly Session[];
  readonly steps: readonly (readonly [person: string, step: number])[];
  readonly recovery: readonly (readonly [person: string, hashes: readonly string[]])[];
  readonly passkeys: readonly (readonly [key: string, use: PasskeyUse])[];
}

/** What is known of the use of a passkey. */
export interface PasskeyUse {
  readonly usedAt: Instant;
  /** How often it had signed. */
  readonly counter: number;
  /** SHA-256 of each challenge that it has signed lately, and when. */
  readonly challenges: readonly (readonly [challenge: string, at: Instant])[];
}

/** Far longer than a challenge can be used, also where clocks differ. */
const KEPT: Milliseconds = HOUR;

/** Sessions of one person that are kept: the oldest gives way to a new one. */
const MOST_OF_ONE = 50;

/** The sessions of administrators that have not ended, and the codes that are used up. */
export class Sessions {
  /** Oldest first. */
  readonly #byId = new Map<string, Session>();
  readonly #byHash = new Map<string, Session>();
  readonly #steps = new Map<string, number>();
  readonly #recovery = new Map<string, Set<string>>();
  readonly #passkeys = new Map<string, PasskeyUse>();

  /** The opposite of {@link restore}. */
  dump(): SessionsState {
    return {
      sessions: [...this.#byId.values()],
      steps: [...this.#steps],
      recovery: [...this.#recovery].map(([person, hashes]) => [person, [...hashes]]),
      passkeys: [...this.#passkeys],
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore({ sessions, steps, recovery, passkeys }: SessionsState): void {
    for (const session of sessions) this.#put(session);
    for (const [person, step] of steps) this.#steps.set(person, step);
    for (const [person, hashes] of recovery) this.#recovery.set(person, new Set(hashes));
    for (const [key, use] of passkeys) this.#passkeys.set(key, use);
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

  /** Undefined if it was never used. */
  passkeyUse(person: string, passkey: string): PasskeyUse | undefined {
    return this.#passkeys.get(keyOf(person, passkey));
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

  #begin({ session: id, step, recovery, counter, challenge, ...rest }: SignedIn, at: Instant): void {
    const { person, passkey } = rest;
    for (const other of this.#byId.values()) if (other.until <= at) this.#remove(other.id);
    const own = [...this.#byId.values()].filter((other) => other.person === person);
    if (own.length >= MOST_OF_ONE) this.#remove(own[0]!.id);
    this.#put({ id, ...rest, since: at, usedAt: at });
    if (step !== undefined) this.#steps.set(person, Math.max(step, this.lastStep(person)));
    if (passkey !== undefined) {
      const former = this.passkeyUse(person, passkey);
      const challenges = (former?.challenges ?? []).filter(([, when]) => when + KEPT > at);
      if (challenge !== undefined) challenges.push([challenge, at]);
      const use = { usedAt: at, counter: Math.max(counter ?? 0, former?.counter ?? 0), challenges };
      this.#passkeys.set(keyOf(person, passkey), use);
    }
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

/** No name has a space. */
function keyOf(person: string, passkey: string): string {
  return `${person} ${passkey}`;
}
