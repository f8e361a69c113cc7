import { randomBytes } from 'node:crypto';
import type { LRUCache } from 'lru-cache';
import { keyedHash } from '../../accounts/failed-credentials.js';
import type { AlarmClock, Milliseconds } from '../../kernel/time.js';
import { normalizeAccount } from '../../sending/identity.js';
import type { AuthBackend, LoginClient } from './port.js';
import { recentlyUsed } from '../../runtime/recently-used.js';

/** A login that passed. */
export interface LoggedIn {
  /** In normal form. */
  readonly account: string;
  /** What the answer depended on, as the back end tells it. */
  readonly dependedOn: string;
}

export type LoginResult = ({ readonly ok: true } & LoggedIn) | { readonly ok: false };

export interface LoginVerifierOptions {
  readonly backend: AuthBackend;
  /** How many successful logins are remembered. 10,000 by default. */
  readonly remembered?: number;
  readonly clock: Pick<AlarmClock, 'monotonic' | 'after'>;
}

/** How many logins of each kind the time of a feigned one is chosen by. */
const SAMPLES = 64;

/**
 * Checks logins. A success is remembered for a while, so that a client that logs in for each message does not pay for
 * a check each time; a failure is never remembered. The memory holds a keyed hash that dies with the process.
 */
export class LoginVerifier {
  readonly #backend: AuthBackend;
  readonly #clock: LoginVerifierOptions['clock'];
  readonly #memoryKey = randomBytes(32);
  /** Accounts by what was right. */
  readonly #memory: LRUCache<string, string>;
  /** Accounts that have logged in, remembered or blocked. */
  readonly #seen: LRUCache<string, true>;
  /** Many simultaneous checks of the same login (a client that opens 50 sessions) are one check. */
  readonly #underWay = new Map<string, Promise<string | undefined>>();
  /** How long the last right and the last wrong passwords took. */
  readonly #rightTook: Milliseconds[] = [];
  readonly #wrongTook: Milliseconds[] = [];

  constructor({ backend, clock, remembered = 10_000 }: LoginVerifierOptions) {
    this.#backend = backend;
    this.#clock = clock;
    this.#seen = recentlyUsed(remembered);
    this.#memory = recentlyUsed(remembered, {
      ...{ ttl: backend.memory, ttlResolution: 0 },
      perf: { now: () => clock.monotonic() + 1 }, // 0 means "never" to it
    });
  }

  /** Whether a login of this account, in normal form, has been right since the start. */
  hasSeen(account: string): boolean {
    return this.#seen.has(account);
  }

  /**
   * @param name as the client gave it
   * @param isBlocked whether the login of an account, in normal form, is answered like a wrong password: then it must take
   *   the work and the time of one
   * @throws BackendAway if the back end cannot say; StopgapError `unavailable` if too many checks already wait
   */
  async verify(
    name: string,
    password: string,
    client: LoginClient,
    isBlocked: (account: string) => boolean = () => false,
  ): Promise<LoginResult> {
    // It ends a field of what back ends are asked, and nobody can type it.
    if (name.includes('\0') || password.includes('\0')) return { ok: false };
    const begun = this.#clock.monotonic();
    const dependedOn = this.#backend.dependsOn(name, client);
    const key = keyedHash(this.#memoryKey, [normalizeAccount(name), password, dependedOn]);
    const known = this.#memory.get(key);
    if (known !== undefined && !isBlocked(known)) return { ok: true, account: known, dependedOn };
    const account = await this.#check(key, name, password, client);
    if (account === undefined) return { ok: false };
    this.#seen.set(account, true);
    // A blocked account's login is not remembered: its second try must cost what the first did.
    if (isBlocked(account)) await this.#feign(begun, client);
    else this.#memory.set(key, account);
    return { ok: true, account, dependedOn };
  }

  /** Whether a login would still pass, as far as that is known without asking: not if its account is removed, disabled, or has another password. */
  holds({ account, dependedOn }: LoggedIn, client: LoginClient): boolean {
    return this.#backend.dependsOn(account, client) === dependedOn;
  }

  /** Whether somebody logs in under this name, in normal form, as far as that is known. */
  isLogin(name: string): boolean {
    return this.#backend.knows?.(name) ?? this.#seen.has(name);
  }

  #check(key: string, name: string, password: string, client: LoginClient): Promise<string | undefined> {
    const running = this.#underWay.get(key);
    if (running !== undefined) return running;
    const check = this.#timed(this.#backend.check({ name, password, client })).finally(() =>
      this.#underWay.delete(key),
    );
    this.#underWay.set(key, check);
    return check;
  }

  async #timed(check: Promise<string | undefined>): Promise<string | undefined> {
    const begun = this.#clock.monotonic();
    const account = await check;
    const took = account === undefined ? this.#wrongTook : this.#rightTook;
    took.push(this.#clock.monotonic() - begun);
    if (took.length > SAMPLES) took.shift();
    return account;
  }

  /**
   * Waits until a back end that can be asked about a wrong password has answered one; else until as much time has passed as
   * one of the last wrong passwords took: of right passwords that took all kinds of time a short one becomes a short wrong
   * one, and a long one a long one. Chosen at random, the longer of two would tell.
   */
  async #feign(begun: Milliseconds, client: LoginClient): Promise<void> {
    const { wrongTakes } = this.#backend;
    if (wrongTakes === undefined) return;
    const failed = this.#backend.fail?.(client).then(
      () => true,
      () => false, // it is away: a time of our own is the next best
    );
    if ((await failed) === true) return;
    const passed = this.#clock.monotonic() - begun;
    const shorter = this.#rightTook.filter((took) => took < passed).length;
    // This one is among them, though it may have taken a little less.
    const rank = Math.min(shorter, this.#rightTook.length - 1) + Math.random();
    const wrong = this.#wrongTook.toSorted((a, b) => a - b);
    const left = (wrong[Math.floor((rank / this.#rightTook.length) * wrong.length)] ?? wrongTakes) - passed;
    if (left > 0) await new Promise<void>((resolve) => this.#clock.after(left, resolve));
  }
}
