import { MINUTE } from '../../kernel/time.js';
import { normalizeAccount } from '../../sending/identity.js';
import { LoginRefused, openSession } from '../relay/connect.js';
import type { RelayTimeouts } from '../relay/port.js';
import type { Upstream } from '../relay/url.js';
import type { RemoteOptions } from './bounded-checks.js';
import { BoundedChecks, DEADLINE, FAILS_AFTER, nobody, REMEMBERED } from './bounded-checks.js';
import type { AuthBackend, Login, LoginClient } from './port.js';

export interface SmtpBackendOptions extends RemoteOptions {
  readonly upstream: Upstream;
  /** What we say in EHLO. */
  readonly hostname: string;
}

/** Connections: a mail server has a process for each, and Postfix some hundred in all. */
const AT_ONCE = 20;
/** Credentials are wrong (RFC 4954), or the account is disabled (RFC 5248). */
const WRONG: ReadonlySet<number> = new Set([535, 525]);
const TIMEOUTS: RelayTimeouts = {
  connect: DEADLINE,
  greeting: DEADLINE,
  command: DEADLINE,
  clientGone: DEADLINE,
  // No message is sent.
  data: MINUTE,
  block: MINUTE,
  dot: MINUTE,
  slowAnswer: MINUTE,
};

/**
 * A mail server as back end: each login is tried there (AUTH PLAIN), on a connection of its own, under the rules for TLS that hold
 * for the relay.
 */
export class SmtpBackend implements AuthBackend {
  readonly memory = REMEMBERED;
  readonly failsAfter = FAILS_AFTER;
  readonly nobody = nobody;
  readonly #upstream: Upstream;
  readonly #hostname: string;
  readonly #checks: BoundedChecks;

  constructor(options: SmtpBackendOptions) {
    this.#upstream = { ...options.upstream, authPlain: undefined };
    this.#hostname = options.hostname;
    this.#checks = new BoundedChecks(options, options.upstream.name, AT_ONCE);
  }

  get pending(): number {
    return this.#checks.pending;
  }

  get isAway(): boolean {
    return this.#checks.isAway;
  }

  check({ name, password, client }: Login, begins?: () => void): Promise<string | undefined> {
    const token = Buffer.from(`\0${name}\0${password}`, 'utf8').toString('base64');
    const ask = async (signal: AbortSignal): Promise<string | undefined> => {
      try {
        await this.#session(signal, () => token);
        return normalizeAccount(name);
      } catch (error) {
        if (error instanceof LoginRefused && WRONG.has(error.code)) return undefined;
        throw error;
      }
    };
    return this.#checks.run(client.network, ask, begins);
  }

  dependsOn(_name: string, client: LoginClient): string {
    return client.ip;
  }

  probe(): Promise<{ ok: boolean; detail: string }> {
    return this.#checks.probe((signal) => this.#session(signal, undefined));
  }

  close(): void {
    // There is nothing but the connections of logins under way, which have a deadline.
  }

  /** Opens a session, logs in, and says goodbye. */
  async #session(signal: AbortSignal, authPlain: Upstream['authPlain']): Promise<void> {
    const opening = openSession({ ...this.#upstream, authPlain }, this.#hostname, TIMEOUTS);
    signal.addEventListener('abort', () => opening.abort('it is too late'), { once: true });
    const session = await opening.ready;
    void session.quit();
  }
}
