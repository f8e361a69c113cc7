import type { Request } from 'express';
import { AttemptLimiter } from '../accounts/attempt-limiter.js';
import { NO_ADMIN, PasswordChecker, passwordCost } from '../accounts/passwords.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import { formatInstant } from '../kernel/time.js';
import type { ApiDependencies } from './dependencies.js';
import { clientOf } from './http/client.js';
import { Problem } from './http/problem.js';

/** Failures a minute, and as many at once: from one network, and of one name from wherever. */
const FAILURES_OF_NETWORK = 10;
const FAILURES_OF_NAME = 20;
/** Checks of passwords that may wait: more than people are. */
const MOST_WAITING = 50;

/** A secret that somebody tries. */
export interface Attempt {
  /** The network of the client. */
  readonly network: string;
  /** Counts it as failed, for any reason. */
  readonly fail: (problem: Problem) => never;
}

/** Checks the secrets that people show, and puts off those who fail too often. */
export class Attempts {
  readonly #networks: AttemptLimiter;
  readonly #names: AttemptLimiter;
  readonly #checker = new PasswordChecker({ queue: MOST_WAITING });
  readonly #failures: FloodCoalescer<{ readonly network: string }>;

  constructor({ clock, log }: ApiDependencies) {
    this.#networks = new AttemptLimiter({ attemptsPerMinute: FAILURES_OF_NETWORK, clock });
    this.#names = new AttemptLimiter({ attemptsPerMinute: FAILURES_OF_NAME, clock });
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
    const network = clientOf(request);
    const attempts = [await this.#networks.begin(network, name ?? '', secret)];
    try {
      if (attempts[0] !== undefined && name !== undefined)
        attempts.push(await this.#names.begin(name, name, secret));
      if (attempts.includes(undefined)) throw tooMany();
      const fail = (problem: Problem): never => {
        for (const attempt of attempts) attempt!.failed();
        this.#failures.add(network, { network });
        throw problem;
      };
      return await work({ network, fail });
    } finally {
      for (const attempt of attempts) attempt?.end();
    }
  }

  /** Whether it is the stored password. Without one the same work is done, and the answer is no. */
  isPassword(stored: string | undefined, password: string, network: string): Promise<boolean> {
    return this.#checker.verify(stored, password, { network, cost: passwordCost(NO_ADMIN), like: NO_ADMIN });
  }
}

function tooMany(): Problem {
  return new Problem(429, 'too many sign-ins have failed: wait a minute', {
    headers: { 'Retry-After': '60' },
  });
}
