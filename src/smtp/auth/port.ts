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
   * disabled one. The time it takes must not tell these apart.
   *
   * @throws BackendAway if that cannot be known now; StopgapError `unavailable` if too many checks wait
   */
  check(login: Login): Promise<string | undefined>;
  /** What a right answer depends on besides name and password: a remembered one counts only while this is the same. */
  dependsOn(name: string, client: LoginClient): string;
  /** Whether an account of this name, in normal form, can log in. Undefined for a back end that cannot say without asking. */
  readonly knows?: (account: string) => boolean;
  /** How long a right answer may be remembered. */
  readonly memory: Milliseconds;
  /**
   * A wrong password is answered later than a right one: by how much, until one has been seen. Undefined if both take the
   * same work and time.
   */
  readonly wrongTakes?: Milliseconds;
  /**
   * Ends when a wrong password is answered that is asked about now. A server may answer all that have gathered at once: a
   * time of our own would differ from that of a wrong password beside it. Nobody is named, so that nobody is locked out.
   *
   * @throws as {@link check}
   */
  fail?(client: LoginClient): Promise<unknown>;
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
