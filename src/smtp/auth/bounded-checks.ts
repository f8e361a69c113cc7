import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { messageOf, StopgapError } from '../../kernel/errors.js';
import { isPrintable } from '../../kernel/printable.js';
import type { AlarmClock, Milliseconds } from '../../kernel/time.js';
import { MINUTE, SECOND } from '../../kernel/time.js';
import { Turns } from '../../kernel/turns.js';
import { Trouble } from '../../log/trouble.js';
import { within } from '../../runtime/clock.js';
import { LONGEST_ADDRESS, normalizeAccount } from '../../sending/identity.js';
import type { Login, LoginClient } from './port.js';
import { BackendAway } from './port.js';

/** What a back end may take for one login: mail servers give it as much. */
export const DEADLINE: Milliseconds = 10 * SECOND;
/** A changed password counts after this long at the latest, where the back end does not tell of changes. */
export const REMEMBERED: Milliseconds = MINUTE;
/** Longer than back ends usually take for a wrong password: Dovecot answers it after 2.5 s at most, and PAM after three. */
export const FAILS_AFTER: Milliseconds = 3 * SECOND;

/** A login of nobody, from nowhere. Bans and locks find no one. */
export function nobody(client: LoginClient): Login {
  return {
    name: 'stopgap-nobody',
    password: randomBytes(18).toString('base64url'),
    client: { ...client, ip: '' },
  };
}

/** What every back end elsewhere has in common. */
export interface RemoteOptions {
  readonly clock: Pick<AlarmClock, 'after' | 'monotonic'>;
  readonly log: Pick<Logger, 'error' | 'warn'>;
}

/** Asks a back end that is elsewhere: a bounded number of questions at a time, each with a deadline. */
export class BoundedChecks {
  readonly #clock: RemoteOptions['clock'];
  readonly #turns: Turns;
  readonly #trouble: Trouble;
  readonly #unusable: Trouble;

  /** @param name as messages name the back end */
  constructor(
    { clock, log }: RemoteOptions,
    readonly name: string,
    atOnce: number,
  ) {
    this.#clock = clock;
    this.#turns = new Turns({ atOnce, queue: 500 });
    this.#trouble = new Trouble(clock, {
      began: (error) => log.error({ backend: name, error }, 'logins are put off: they cannot be checked'),
      over: (count, spanMs) => log.warn({ backend: name, count, spanMs }, 'logins are checked again'),
    });
    this.#unusable = new Trouble(clock, {
      began: (reason) =>
        log.warn({ backend: name, reason }, 'a right password failed: its account is not known'),
      over: (count, spanMs) =>
        log.warn({ backend: name, count, spanMs }, 'right passwords failed: their accounts were not known'),
    });
  }

  get pending(): number {
    return this.#turns.pending;
  }

  get isAway(): boolean {
    return this.#trouble.fails;
  }

  /**
   * @param ask gives the answer, or throws if there is none; it should give up when the signal is aborted
   * @param begins called before that
   * @throws BackendAway; StopgapError `unavailable` if too many wait
   */
  async run<T>(network: string, ask: (signal: AbortSignal) => Promise<T>, begins?: () => void): Promise<T> {
    const late = new AbortController();
    const begun = this.#clock.monotonic();
    const work = async (): Promise<T> => {
      late.signal.throwIfAborted();
      // A right password would still be answered in time, and a wrong one would not: that would tell.
      if (this.#clock.monotonic() - begun > DEADLINE - FAILS_AFTER)
        throw new StopgapError('unavailable', 'the login has waited too long to be checked');
      begins?.();
      try {
        const answer = await ask(late.signal);
        this.#trouble.worked();
        return answer;
      } catch (error) {
        // The deadline has told of it already.
        throw late.signal.aborted ? error : this.#away(messageOf(error));
      }
    };
    const answer = this.#turns.run(network, work);
    // The client has its answer by then.
    answer.catch(() => undefined);
    return within(this.#clock, DEADLINE, answer, () => {
      const away = this.#away(`${this.name} did not answer within ${DEADLINE / SECOND} s`);
      late.abort(away);
      throw away;
    });
  }

  /**
   * For a right password of which the answer does not say whose it is. It is as wrong as any other: another reply would tell that it
   * is right, also where the account is blocked. The log tells those who run the back end.
   *
   * @returns what stands for a wrong password
   */
  unusable(reason: string): undefined {
    this.#unusable.failed(reason);
    this.#unusable.worked();
  }

  /** Whether an answer comes, in words. */
  async probe(ask: (signal: AbortSignal) => Promise<unknown>): Promise<{ ok: boolean; detail: string }> {
    try {
      await this.run('', ask);
      return { ok: true, detail: `${this.name} answers` };
    } catch (error) {
      return { ok: false, detail: messageOf(error) };
    }
  }

  #away(reason: string): BackendAway {
    this.#trouble.failed(reason);
    return new BackendAway(reason);
  }
}

/** The account, in normal form, that a back end says has logged in; undefined for a name that nobody can have. */
export function possibleAccount(named: string): string | undefined {
  const account = normalizeAccount(named);
  const isPossible = account !== '' && Buffer.byteLength(account) <= LONGEST_ADDRESS && isPrintable(account);
  return isPossible ? account : undefined;
}
