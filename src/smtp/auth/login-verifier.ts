import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { keyedHash } from '../../accounts/failed-credentials.js';
import type { PasswordChecker } from '../../accounts/passwords.js';
import type { UserTable } from '../../accounts/users.js';
import type { Milliseconds } from '../../kernel/time.js';
import { MINUTE } from '../../kernel/time.js';
import { normalizeAccount } from '../../sending/identity.js';

/** Who knows the accounts. */
export interface AuthBackend {
  /**
   * The stored hash of an account, in normal form; undefined for an unknown or disabled one. Answers from memory:
   * the time it takes must not tell the two apart.
   */
  storedPassword(account: string): string | undefined;
  /**
   * The cost of the most expensive stored password to check, as `passwordCost` gives it; undefined if none is known.
   */
  highestCost?(): number | undefined;
}

/** A login that passed. */
export interface LoggedIn {
  /** In normal form. */
  readonly account: string;
  /** The stored hash that the password was checked against. */
  readonly stored: string | undefined;
}

export type LoginResult = ({ readonly ok: true } & LoggedIn) | { readonly ok: false };

export interface LoginVerifierOptions {
  readonly backend: AuthBackend;
  readonly checker: PasswordChecker;
  /** How long a successful login is remembered. 10 min by default. */
  readonly memory?: Milliseconds;
  /** How many are remembered. 10,000 by default. */
  readonly remembered?: number;
  readonly now?: () => number;
}

/**
 * Checks logins. A success is remembered for a while, so that a client that logs in for each message does not pay for
 * scrypt each time; a failure is never remembered. The memory holds a keyed hash that dies with the process.
 */
export class LoginVerifier {
  readonly #backend: AuthBackend;
  readonly #checker: PasswordChecker;
  readonly #memoryKey = randomBytes(32);
  readonly #memory: LRUCache<string, true>;
  /** Many simultaneous checks of the same login (a client that opens 50 sessions) are one check. */
  readonly #underWay = new Map<string, Promise<boolean>>();

  constructor(options: LoginVerifierOptions) {
    this.#backend = options.backend;
    this.#checker = options.checker;
    this.#memory = new LRUCache({
      max: options.remembered ?? 10_000,
      ttl: options.memory ?? 10 * MINUTE,
      ttlResolution: 0,
      ...(options.now === undefined ? {} : { perf: { now: options.now } }),
    });
  }

  /**
   * @param login as the client gave it
   * @param bypassMemory true for a blocked subject: its login is answered like a wrong password and must cost a full
   *   check
   * @param network of the client: checks are made in turn by network
   * @throws StopgapError `unavailable` if too many checks already wait
   */
  async verify(
    login: string,
    password: string,
    { bypassMemory = false, network }: { readonly bypassMemory?: boolean; readonly network?: string } = {},
  ): Promise<LoginResult> {
    const account = normalizeAccount(login);
    const stored = this.#backend.storedPassword(account);
    const key = this.#key(account, password, stored);
    const known = this.#memory.get(key) === true;
    if (known && !bypassMemory) return { ok: true, account, stored };
    if (!(await this.#check(key, stored, password, network))) return { ok: false };
    // A blocked subject's login is not remembered: its second try must cost what the first did.
    if (!bypassMemory) this.#memory.set(key, true);
    return { ok: true, account, stored };
  }

  /** Whether a login would still pass: its account is not removed or disabled, and has the same password. */
  holds({ account, stored }: LoggedIn): boolean {
    return this.#backend.storedPassword(account) === stored;
  }

  /** Whether somebody can log in under this name, in normal form. */
  isLogin(name: string): boolean {
    return this.#backend.storedPassword(name) !== undefined;
  }

  #check(
    key: string,
    stored: string | undefined,
    password: string,
    network: string | undefined,
  ): Promise<boolean> {
    const running = this.#underWay.get(key);
    if (running !== undefined) return running;
    const cost = this.#backend.highestCost?.();
    const check = this.#checker
      .verify(stored, password, { network, cost })
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, check);
    return check;
  }

  /** The stored hash is part of it: a changed or removed user is forgotten at once. */
  #key(account: string, password: string, stored: string | undefined): string {
    return keyedHash(this.#memoryKey, [account, password, stored ?? '']);
  }
}

/**
 * The users file as backend.
 *
 * @param users gives the current table, so that a changed file counts at once
 */
export function fileBackend(users: () => UserTable): AuthBackend {
  let known: { readonly table: UserTable; readonly highest: number } | undefined;
  return {
    highestCost() {
      const table = users();
      if (known?.table !== table) {
        let highest = 0;
        for (const { cost } of table.values()) highest = Math.max(highest, cost);
        known = { table, highest };
      }
      return known.highest === 0 ? undefined : known.highest;
    },
    storedPassword(account) {
      const user = users().get(account);
      return user === undefined || user.disabled ? undefined : user.password;
    },
  };
}
