import { performance } from 'node:perf_hooks';
import type { Milliseconds } from '../../kernel/time.js';
import { isPositive } from './reply.js';
import type { Session } from './session.js';

export interface IdleOptions {
  /** How long a session may be unused. */
  readonly idleTimeout: Milliseconds;
  /** How long a mail transaction that nobody continues may stay open upstream. */
  readonly staleTransaction: Milliseconds;
}

/** The sessions of a pool that are not in use. */
export class IdleSessions {
  readonly #options: IdleOptions;
  /** Without an owner. The last one given back is used first, so that the others can grow old. */
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

  /** Adds a session without an owner. */
  addFree(session: Session): void {
    this.#free.push(session);
  }

  /** Adds a session on which its owner has a transaction open. */
  hold(session: Session): void {
    this.#held.add(session);
  }

  /** @param client whose it is to be, if XCLIENT is used: one of another client is of less use */
  takeFree(client?: string): Session | undefined {
    const fits = this.#free.findLastIndex(
      (session) => session.client === undefined || session.client === client,
    );
    return fits < 0 ? this.#free.pop() : this.#free.splice(fits, 1)[0];
  }

  /** Removes a session that has an owner; says whether it was here. */
  takeHeld(session: Session): boolean {
    return this.#held.delete(session);
  }

  /** Removes the session from either set. */
  remove(session: Session): void {
    this.#held.delete(session);
    const index = this.#free.indexOf(session);
    if (index >= 0) this.#free.splice(index, 1);
  }

  /**
   * Sessions idle for too long. The ones to reset are removed and have lost their owner; the ones to close stay here.
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

/** Sends RSET on an unused session; if that fails, the session is lost. Never rejects. */
export async function reset(session: Session): Promise<void> {
  session.dirty = true;
  session.hurry();
  try {
    const reply = await session.command('RSET');
    if (isPositive(reply)) session.dirty = false;
    else session.fail(`RSET was answered with ${reply.code}`, false);
  } catch {
    // The session itself reports that it is lost.
  }
}
