import { NO_CAPABILITIES } from './commands.js';
import type { Opening } from './connect.js';
import { openSession } from './connect.js';
import { MaildirRelay } from './maildir.js';
import { DeliveredRecipients, PooledTransaction } from './transaction.js';
import { Pool } from './pool.js';
import type {
  Relay,
  RelayEnvelope,
  RelayOffers,
  RelayOptions,
  RelayTimeouts,
  RelayTransaction,
} from './port.js';
import { messageOf } from '../../kernel/errors.js';
import { FINAL_ANSWER } from '../../sending/events.js';
import type { Upstream } from './url.js';
import { parseRelayUrl } from './url.js';

const TIMEOUTS: RelayTimeouts = {
  connect: 30_000,
  greeting: 300_000,
  command: 300_000,
  data: 120_000,
  block: 180_000,
  dot: FINAL_ANSWER,
  slowAnswer: 30_000,
  clientGone: 5_000,
};

/**
 * The relay for a URL: `smtp://`, `smtps://`, `lmtp://` or `maildir:`, as {@link parseRelayUrl} describes. It connects
 * to nothing yet, and the first delivery creates a Maildir's directories.
 *
 * @throws InvalidInput naming `relay.url`
 */
export function openRelay(url: string, options: RelayOptions): Relay {
  const target = parseRelayUrl(url);
  return 'maildir' in target ? new MaildirRelay(target.maildir, options) : new PooledRelay(target, options);
}

class PooledRelay implements Relay {
  readonly #upstream: Upstream;
  readonly #hostname: string;
  readonly #xclient: boolean;
  readonly #timeouts: RelayTimeouts;
  readonly #pool: Pool;
  /** A probe must not wait the minutes that RFC 5321 grants a greeting. */
  readonly #probeTimeout: number;
  readonly #memory: DeliveredRecipients | undefined;
  #offers: RelayOffers = NO_CAPABILITIES;

  constructor(upstream: Upstream, options: RelayOptions) {
    this.#upstream = upstream;
    this.#hostname = options.hostname;
    this.#xclient = options.xclient ?? false;
    this.#timeouts = { ...TIMEOUTS, ...options.timeouts };
    this.#probeTimeout = options.waitTimeout ?? 10_000;
    this.#memory =
      upstream.protocol === 'lmtp'
        ? new DeliveredRecipients(options.rememberRecipients ?? 100_000)
        : undefined;
    this.#pool = new Pool(() => this.#openSession(), {
      maxSessions: options.maxSessions ?? 100,
      maxWaiting: options.maxWaiting ?? 1000,
      waitTimeout: this.#probeTimeout,
      idleTimeout: options.idleTimeout ?? 60_000,
      staleTransaction: options.staleTransaction ?? 30_000,
      stealAfter: options.stealAfter ?? 20,
      closeTimeout: options.closeTimeout ?? 5_000,
      backoff: options.backoff ?? { first: 250, most: 5_000 },
      onNotice: options.onNotice ?? (() => undefined),
      onReached: options.onReached ?? (() => undefined),
      onUnanswered: options.onUnanswered ?? (() => undefined),
    });
  }

  get offers(): RelayOffers {
    return this.#offers;
  }

  get sessions(): Relay['sessions'] {
    const { open, busy, unanswered } = this.#pool;
    return { open, busy, unanswered };
  }

  get healthy(): boolean {
    return this.#pool.answers;
  }

  begin(envelope: RelayEnvelope, sender?: string): RelayTransaction {
    return new PooledTransaction(this.#pool, envelope, this.#memory, sender, this.#xclient);
  }

  /** Uses a connection of its own, to find whether a new one is possible. */
  async probe(): Promise<{ ok: boolean; detail: string }> {
    const { name } = this.#upstream;
    const opening = this.#openSession();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      opening.abort('closed');
    }, this.#probeTimeout);
    try {
      const session = await opening.ready;
      const offers = Object.entries(session.capabilities)
        .filter(([, offered]) => offered === true)
        .map(([capability]) => capability);
      await session.quit();
      return { ok: true, detail: `${name} answers; offers ${offers.join(', ') || 'no extension'}` };
    } catch (error) {
      const detail = late ? `${name} does not answer within ${this.#probeTimeout} ms` : messageOf(error);
      return { ok: false, detail };
    } finally {
      clearTimeout(timer);
    }
  }

  #openSession(): Opening {
    const opening = openSession(this.#upstream, this.#hostname, this.#timeouts, this.#xclient);
    const ready = opening.ready.then((session) => {
      this.#offers = session.capabilities;
      return session;
    });
    return { ready, abort: (why) => opening.abort(why) };
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
