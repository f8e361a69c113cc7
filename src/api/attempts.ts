import type { Request } from 'express';
import type { AdminRecord } from '../accounts/admins.js';
import { AttemptLimiter } from '../accounts/attempt-limiter.js';
import { NO_ADMIN, PasswordChecker, passwordCost } from '../accounts/passwords.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import type { Milliseconds } from '../kernel/time.js';
import { formatInstant, HOUR, MINUTE, SECOND } from '../kernel/time.js';
import { newId } from '../runtime/ids.js';
import type { ApiDependencies } from './dependencies.js';
import { clientOf } from './http/client.js';
import { Problem } from './http/problem.js';
import { isTimeBased } from './second-factor.js';

/** Failures a minute, and as many at once: from one network, and of one name from wherever. */
const FAILURES_OF_NETWORK = 10;
const FAILURES_OF_NAME = 20;
/** Time-based codes of one person that may be wrong within an hour: a thief of the password guesses one of a million. */
const WRONG_CODES = 10;
/** Sessions of one person that are begun from one network within a minute: each is recorded. */
const SESSIONS_A_MINUTE = 60;
/** Checks of passwords that may wait: more than people are. */
const MOST_WAITING = 50;

/** A secret that somebody tries. */
export interface Attempt {
  /** The network of the client. */
  readonly network: string;
  /** Counts it as failed, for any reason. */
  readonly fail: (problem: Problem) => never;
  /** Must come before a person's code is looked at. @throws Problem 429 if too many were wrong */
  readonly beginCode: (admin: AdminRecord, code: string | undefined) => Promise<void>;
}

/** Checks the secrets that people show, and puts off those who fail too often. */
export class Attempts {
  readonly #deps: ApiDependencies;
  readonly #networks: AttemptLimiter;
  readonly #names: AttemptLimiter;
  readonly #codes: AttemptLimiter;
  readonly #begun: AttemptLimiter;
  readonly #checker = new PasswordChecker({ queue: MOST_WAITING });
  readonly #failures: FloodCoalescer<{ readonly network: string }>;

  constructor(deps: ApiDependencies) {
    this.#deps = deps;
    const { clock, log } = deps;
    this.#networks = new AttemptLimiter({ attemptsPerMinute: FAILURES_OF_NETWORK, clock });
    this.#names = new AttemptLimiter({ attemptsPerMinute: FAILURES_OF_NAME, clock });
    this.#codes = new AttemptLimiter({ attemptsPerMinute: WRONG_CODES, per: HOUR, clock });
    this.#begun = new AttemptLimiter({ attemptsPerMinute: SESSIONS_A_MINUTE, clock });
    this.#failures = new FloodCoalescer(clock, ({ network }, count, since) =>
      log.warn({ network, count, since: formatInstant(since) }, 'a sign-in failed'),
    );
  }

  /**
   * Lets a secret be tried.
   *
   * @param name in normal form; undefined where the secret alone says whose it is
   * @throws Problem 429 if too many have failed; what `work` throws
   */
  async try<T>(
    request: Request,
    name: string | undefined,
    secret: string,
    work: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    const network = clientOf(request, this.#deps);
    const attempts = [await this.#networks.begin(network, name ?? '', secret)];
    try {
      if (attempts[0] !== undefined && name !== undefined)
        attempts.push(await this.#names.begin(this.#placeOf(name, network), name, secret));
      if (attempts.includes(undefined)) throw tooMany('too many sign-ins have failed: wait a minute', MINUTE);
      const fail = (problem: Problem): never => {
        for (const attempt of attempts) attempt!.failed();
        this.#failures.add(network, { network });
        throw problem;
      };
      const beginCode: Attempt['beginCode'] = async ({ name: person, totp, stamp }, code) => {
        if (totp === undefined || code === undefined || !isTimeBased(code)) return;
        const attempt = await this.#codes.begin(`${person} ${stamp}`, person, code);
        if (attempt === undefined)
          throw tooMany('too many codes were wrong: wait, or use a recovery code', HOUR / WRONG_CODES);
        attempts.push(attempt);
      };
      return await work({ network, fail, beginCode });
    } finally {
      for (const attempt of attempts) attempt?.end();
    }
  }

  /** Must come before a session is begun by a password. @throws Problem 429 if too many were */
  async beginSession(name: string, network: string): Promise<void> {
    // Each counts, so each is told apart.
    const begun = await this.#begun.begin(`${network} ${name}`, name, newId());
    begun?.failed();
    begun?.end();
    if (begun === undefined)
      throw tooMany(
        `${name} has signed in too often within a minute: wait, or use a token for a program`,
        MINUTE / SESSIONS_A_MINUTE,
      );
  }

  /**
   * Where failures of a name count. From a network that the person has a session of they count apart: strangers elsewhere
   * cannot keep them out. No name begins with a space.
   */
  #placeOf(name: string, network: string): string {
    const all = this.#deps.models.sessions.all(this.#deps.clock.now());
    const isTheirs = all.some((one) => one.person === name && one.network === network);
    return isTheirs ? ` ${network} ${name}` : name;
  }

  /** Whether it is the stored password. Without one the same work is done, and the answer is no. */
  isPassword(stored: string | undefined, password: string, network: string): Promise<boolean> {
    return this.#checker.verify(stored, password, { network, cost: passwordCost(NO_ADMIN), like: NO_ADMIN });
  }
}

export function tooMany(message: string, wait: Milliseconds): Problem {
  return new Problem(429, message, { headers: { 'Retry-After': `${wait / SECOND}` } });
}
