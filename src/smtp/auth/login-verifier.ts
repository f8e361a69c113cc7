import { randomBytes } from 'node:crypto';
import type { LRUCache } from 'lru-cache';
import { keyedHash } from '../../accounts/failed-credentials.js';
import type { AlarmClock, Milliseconds } from '../../kernel/time.js';
import { MINUTE } from '../../kernel/time.js';
import { normalizeAccount } from '../../sending/identity.js';
import { FailureAge } from './failure-age.js';
import type { AuthBackend, Login, LoginClient } from './port.js';
import { recentlyUsed } from '../../runtime/recently-used.js';

/** How long a session may go on after its login where the back end does not tell of changed passwords. */
const OPEN_FOR: Milliseconds = 10 * MINUTE;

/** A login that passed. */
export interface LoggedIn {
  /** In normal form. */
  readonly account: string;
  /** As the client named it, in normal form. A back end may give the account another name. */
  readonly login: string;
  /** What the answer depended on, as the back end tells it. */
  readonly dependedOn: string;
  /** When it was, by the monotonic clock. */
  readonly at: Milliseconds;
}

export type LoginResult = ({ readonly ok: true } & LoggedIn) | { readonly ok: false };

export interface LoginVerifierOptions {
  readonly backend: AuthBackend;
  /** How many successful logins are remembered. 10,000 by default. */
  readonly remembered?: number;
  readonly clock: Pick<AlarmClock, 'monotonic' | 'after'>;
}

/** What a back end said of a login. */
interface Checked {
  /** Undefined if it is wrong. */
  readonly account: string | undefined;
  /** When it was asked, by the monotonic clock. */
  readonly asked: Milliseconds;
}

/**
 * Checks logins. A success is remembered for a while, so that a client that logs in for each message does not pay for
 * a check each time; a failure is never remembered. The memory holds a keyed hash that dies with the process.
 *
 * Where a back end takes different times for right and wrong passwords, all failures are answered at the same time after the
 * question: wrong ones, those of unknown names, and right ones that are to look wrong, whether the account is blocked or not.
 */
export class LoginVerifier {
  readonly #backend: AuthBackend;
  readonly #clock: LoginVerifierOptions['clock'];
  readonly #memoryKey = randomBytes(32);
  /** Accounts by what was right. */
  readonly #memory: LRUCache<string, string>;
  /** Accounts that have logged in, remembered or blocked. */
  readonly #seen: LRUCache<string, true>;
  /** Accounts by the login, in normal form, where that is another name: logins that were right, blocked or not. */
  readonly #renamed: LRUCache<string, string>;
  /** Many simultaneous checks of the same login (a client that opens 50 sessions) are one check. */
  readonly #underWay = new Map<string, Promise<Checked>>();
  #nobodyAsked: Promise<Checked> | undefined;
  /** Undefined where right and wrong passwords take the same work and time. */
  readonly #failureAge: FailureAge | undefined;

  constructor({ backend, clock, remembered = 10_000 }: LoginVerifierOptions) {
    this.#backend = backend;
    this.#clock = clock;
    this.#seen = recentlyUsed(remembered);
    this.#renamed = recentlyUsed(remembered);
    const { failsAfter } = backend;
    if (failsAfter !== undefined) this.#failureAge = new FailureAge(failsAfter, clock);
    this.#memory = recentlyUsed(remembered, {
      ttl: backend.memory,
      ttlResolution: 0,
      perf: { now: () => clock.monotonic() + 1 }, // 0 means "never" to it
    });
  }

  /** The account that a login, in normal form, counted for when it was last right; undefined if it has not been since the start. */
  accountOf(login: string): string | undefined {
    return this.#renamed.get(login) ?? (this.#seen.has(login) ? login : undefined);
  }

  /**
   * Forgets which other names accounts log in under: somebody was forgotten, and the event does not say who.
   * What was right goes too. It was so under as many ended blocks as the names showed.
   */
  forgetNames(): void {
    if (this.#renamed.size === 0) return;
    this.#renamed.clear();
    this.#memory.clear();
  }

  /**
   * @param name as the client gave it
   * @param ended how many blocks on the login have ended: what was right before one ended counts no more
   * @param isBlocked whether the login of an account, in normal form, is answered like a wrong password: then it must take
   *   the work and the time of one
   * @throws BackendAway if the back end cannot say; StopgapError `unavailable` if too many checks already wait
   */
  async verify(
    name: string,
    password: string,
    client: LoginClient,
    isBlocked: (account: string) => boolean = () => false,
    ended = 0,
  ): Promise<LoginResult> {
    // It ends a field of what back ends are asked, and nobody can type it.
    if (name.includes('\0') || password.includes('\0')) return { ok: false };
    const dependedOn = this.#backend.dependsOn(name, client);
    const login = normalizeAccount(name);
    const key = keyedHash(this.#memoryKey, [login, password, dependedOn, String(ended)]);
    const known = this.#memory.get(key);
    if (known !== undefined && !isBlocked(known))
      return { ok: true, account: known, login, dependedOn, at: this.#clock.monotonic() };
    // Beside the real question, whatever that comes to: one after the other, a right password would take longer.
    const nobody = isBlocked(login) ? this.#askNobody(client) : undefined;
    const { account, asked } = await this.#check(key, { name, password, client });
    await nobody;
    if (account === undefined) {
      await this.#failureAge?.reached(asked);
      return { ok: false };
    }
    this.#seen.set(account, true);
    if (account === login) this.#renamed.delete(login);
    else this.#renamed.set(login, account);
    // A blocked account's login is not remembered: its second try must cost what the first did.
    if (isBlocked(account)) await this.#feign(asked, client);
    else this.#memory.set(key, account);
    return { ok: true, account, login, dependedOn, at: asked };
  }

  /**
   * Whether a login would still pass, as far as that is known without asking: not if its account is removed, disabled, or has another
   * password. Where that is not known at all, for ten minutes.
   */
  holds({ account, dependedOn, at }: LoggedIn, client: LoginClient): boolean {
    if (this.#backend.dependsOn(account, client) !== dependedOn) return false;
    return this.#backend.knows !== undefined || this.#clock.monotonic() - at < OPEN_FOR;
  }

  /** Whether somebody logs in under this name, in normal form, as far as that is known. */
  isLogin(name: string): boolean {
    return this.#backend.knows?.(name) ?? this.#seen.has(name);
  }

  #check(key: string, login: Login): Promise<Checked> {
    const running = this.#underWay.get(key);
    if (running !== undefined) return running;
    const check = this.#ask(login).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, check);
    return check;
  }

  async #ask(login: Login): Promise<Checked> {
    let asked = this.#clock.monotonic();
    const account = await this.#backend.check(login, () => (asked = this.#clock.monotonic()));
    this.#failureAge?.learn(asked, account !== undefined);
    return { account, asked };
  }

  /** Waits as long as a wrong password does. */
  async #feign(asked: Milliseconds, client: LoginClient): Promise<void> {
    await this.#askNobody(client);
    await this.#failureAge?.reached(asked);
  }

  /** Where no wrong password has been seen for a day, one of nobody shows how long that takes. */
  async #askNobody(client: LoginClient): Promise<void> {
    const nobody = this.#backend.nobody?.(client);
    if (nobody === undefined || this.#failureAge === undefined || this.#failureAge.isKnown) return;
    // Those who come at once wait for the same one. If it is away, the fixed time has to do.
    this.#nobodyAsked ??= this.#ask(nobody).finally(() => (this.#nobodyAsked = undefined));
    await this.#nobodyAsked.catch(() => undefined);
  }
}
