import { StopgapError } from '../../kernel/errors.js';
import type { Milliseconds } from '../../kernel/time.js';

/** The client that logs in. */
export interface LoginClient {
  readonly ip: string;
  /** The client network: an IPv4 address or an IPv6 /64. */
  readonly network: string;
  /** Our address that it is connected to. */
  readonly localIp: string;
  /** The connection has TLS. */
  readonly secure: boolean;
}

/** A login to be checked, as the client gave it: no longer than an address and a password may be, and without NUL. */
export interface Login {
  readonly name: string;
  readonly password: string;
  readonly client: LoginClient;
}

/** Who knows the accounts and checks passwords. */
export interface AuthBackend {
  /**
   * Gives the account, in normal form, if the password is right; undefined if it is wrong, or if there is no such account, or a
   * disabled one.
   *
   * @param begins called when it is asked, after the question has waited for its turn
   * @throws BackendAway if that cannot be known now; StopgapError `unavailable` if too many checks wait
   */
  check(login: Login, begins?: () => void): Promise<string | undefined>;
  /** What a right answer depends on besides name and password: a remembered one counts only while this is the same. */
  dependsOn(name: string, client: LoginClient): string;
  /** Whether an account of this name, in normal form, can log in. Undefined for a back end that cannot say without asking. */
  readonly knows?: (account: string) => boolean;
  /** How long a right answer may be remembered. */
  readonly memory: Milliseconds;
  /**
   * How long after the question a failed login is answered at the earliest: longer than answers usually take, since right, wrong
   * and unknown ones take different times. Undefined if all take the same work and time.
   */
  readonly failsAfter?: Milliseconds;
  /**
   * A login that fails as late as a wrong password. Nobody is named, so that nobody is locked out. Undefined where an
   * unknown name may fail sooner.
   */
  readonly nobody?: (client: LoginClient) => Login;
  /** Checks that run or wait. */
  readonly pending: number;
  /** Whether the last question got no answer. Undefined for a back end that is never away. */
  readonly isAway?: boolean;
  /** Whether it can be asked, in words. Gives no password away, since it has none. */
  probe(): Promise<{ readonly ok: boolean; readonly detail: string }>;
  close(): void;
}

/** The back end gave no answer, or none that says whether the password is right. */
export class BackendAway extends StopgapError {
  constructor(reason: string) {
    super('unavailable', reason);
    this.name = 'BackendAway';
  }
}
