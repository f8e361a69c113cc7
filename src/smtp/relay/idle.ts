import { performance } from 'node:perf_hooks';
import type { Milliseconds } from '../../kernel/time.js';
import { isPositive } from './reply.js';
import type { Session } from './session.js';

export interface IdleOptions {
  /** So long a session may go unused. */
  readonly idleTimeout: Milliseconds;
  /** So long a mail transaction may stay open upstream that nobody goes on with. */
  readonly staleTransaction: Milliseconds;
}

/** The sessions of a pool that are not in use just now. */
export class IdleSessions {
  readonly #options: IdleOptions;
  /** Without an owner; the last one given back is used first, so that the others can grow old. */
  readonly #free: Session[] = [];
  /** With an owner; in the order in which they were given back. */
  readonly #held = new Set<Session>();

  constructor(options: IdleOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#free.length + this.#held.size;
  }

  /** The one whose transaction has been waiting longest. */
  get longestHeld(): Session | undefined {
    const [oldest] = this.#held;
    return oldest;
  }

  all(): readonly Session[] {
    return [...this.#free, ...this.#held];
  }

  has(session: Session): boolean {
    return this.#held.has(session) || this.#free.includes(session);
  }

  /** Takes in one that nobody has a claim to. */
  addFree(session: Session): void {
    this.#free.push(session);
  }

  /** Takes in one on which its owner has a transaction open. */
  hold(session: Session): void {
    this.#held.add(session);
  }

  takeFree(): Session | undefined {
    return this.#free.pop();
  }

  /** Takes out one that has an owner; says whether it was here. */
  takeHeld(session: Session): boolean {
    return this.#held.delete(session);
  }

  /** Takes it out, wherever it is. */
  remove(session: Session): void {
    this.#held.delete(session);
    const index = this.#free.indexOf(session);
    if (index >= 0) this.#free.splice(index, 1);
  }

  /**
   * What has been lying about for too long. Those to be reset are taken out, and have lost their owner; those that
   * are to go are still here.
   */
  overdue(): { reset: readonly Session[]; go: readonly Session[] } {
    const now = performance.now();
    const { idleTimeout, staleTransaction } = this.#options;
    const reset: Session[] = [];
    const go: Session[] = [];
    for (const session of this.#held) {
      if (now - session.lastUsed < staleTransaction) break;
      session.owner = undefined;
      reset.push(session);
    }
    for (const session of this.#free) {
      const unused = now - session.lastUsed;
      if (unused >= idleTimeout) go.push(session);
      else if (session.dirty && unused >= staleTransaction) reset.push(session);
    }
    for (const session of reset) this.remove(session);
    return { reset, go };
  }
}

/** RSET on a session that nobody uses; where that fails the session is lost. Never rejects. */
export async function reset(session: Session): Promise<void> {
  session.dirty = true;
  session.hurry();
  try {
    const reply = await session.command('RSET');
    if (isPositive(reply)) session.dirty = false;
    else session.fail(`RSET was answered with ${reply.code}`, false);
  } catch {
    // The session says itself that it is lost, which is all that there is to know.
  }
}
