import { z } from 'zod';
import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import { FailedCredentials } from '../accounts/failed-credentials.js';
import type { FailedLogins } from '../accounts/users.js';
import { FailedLoginsByAccount } from '../accounts/users.js';
import type { Config } from '../config/schema.js';
import type { ReadModels } from '../detector/read-models.js';
import type { GeoPlace } from '../geoip/database.js';
import type { AlarmClock, Instant } from '../kernel/time.js';
import type { SmtpMeter } from '../metrics/smtp.js';
import type { Recorder } from '../recording/recorder.js';
import {
  clientNetwork,
  LONGEST_ADDRESS,
  normalizeAccount,
  normalizeIp,
  OWN_SESSION,
} from '../sending/identity.js';
import { senderIdentity } from '../sending/subjects.js';
import { AS_WRONG_PASSWORD, BAD_CREDENTIALS } from '../smtp/replies.js';
import type { Tracing } from '../tracing/tracing.js';
import type { Authenticator } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { recentlyUsed } from '../runtime/recently-used.js';

/** Why a login fails that has nothing to do with a guessed password (Dovecot 2.4; 2.3 says nothing). */
const NO_GUESS: ReadonlySet<string> = new Set(['policy', 'internal', 'expired', 'disabled']);

/** Mechanisms that answer a challenge: Dovecot has no password then, and sends the hash of none. */
const WITHOUT_PASSWORD = /^(?:CRAM-|DIGEST-|SCRAM-|(?:APOP|NTLM|OTP|RPA|SKEY)$)/i;

const FAIL: Answered = { status: -1 };
const GO_ON: Answered = { status: 0 };
interface Answered {
  readonly status: -1 | 0;
}

/** What is looked at. Which attributes come is up to Dovecot's version and configuration. */
const attempt = z.looseObject({
  login: z.string().optional(),
  remote: z.string().optional().describe("the client's address"),
  protocol: z.string().optional().describe('`smtp` where Postfix or Exim asks Dovecot'),
  pwhash: z.string().optional().describe('never stored or logged'),
  mech: z
    .string()
    .optional()
    .describe('such as `PLAIN`: after `CRAM-MD5` and the like `pwhash` says nothing'),
  success: z.boolean().optional().describe('with `allow`: the password was right (`stopgap sasl-proxy`)'),
  policy_reject: z.boolean().optional(),
  fail_type: z.string().optional(),
  session_id: z
    .string()
    .optional()
    .describe('logins that come through Stopgap are judged and recorded already'),
});
type Attempt = z.infer<typeof attempt>;

interface Query {
  readonly command: 'allow' | 'report';
}

export interface DovecotContext {
  readonly settings: Config['dovecot'] & Pick<Config['policy'], 'refuse'>;
  readonly tokens: Authenticator;
  readonly clock: Pick<AlarmClock, 'now' | 'monotonic'>;
  readonly models: Pick<ReadModels, 'refusing'>;
  /** Whether what is blocked is known. */
  readonly knows: () => boolean;
  readonly recorder: Pick<Recorder, 'refused' | 'loginFailed'>;
  readonly metrics: { readonly smtp: Pick<SmtpMeter, 'login' | 'refused'> };
  /** Undefined if nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly placeOf: (ip: string) => GeoPlace;
}

/** What Dovecot has asked and reported since the start. */
export interface DovecotAsked {
  readonly asked: number;
  /** Of these, by `stopgap sasl-proxy`, which reports nothing. */
  readonly proxied: number;
  /** Those of `dovecot.protocols`. */
  readonly sending: number;
  readonly succeeded: number;
  readonly failed: number;
}

/**
 * Answers a Dovecot that asks whether a login may go on and reports how logins ended (auth policy). The answer comes from
 * memory. Whatever fails here, Dovecot lets the login go on.
 */
export class DovecotPolicy {
  readonly routes: readonly Route[];
  readonly #context: DovecotContext;
  readonly #failures: FailedCredentials;
  /** Accounts, in normal form, that have logged in: a name that a stranger types is not kept. */
  readonly #seen = recentlyUsed<string, true>(10_000);
  readonly #failedOf = new FailedLoginsByAccount((account) => this.#seen.has(account) || undefined);
  readonly #asked = { asked: 0, proxied: 0, sending: 0, succeeded: 0, failed: 0 };

  constructor(context: DovecotContext) {
    this.#context = context;
    this.#failures = new FailedCredentials(context.clock);
    this.routes = [
      route<Query, Attempt>({
        method: 'post',
        path: '/dovecot/policy',
        summary: 'For Dovecot: whether a login may go on (allow), and how one ended (report)',
        role: 'server',
        scope: 'none',
        authenticator: context.tokens,
        needsModels: false,
        // An administrator may have other parameters in the URL.
        query: z.object({ command: z.enum(['allow', 'report']) }),
        body: { schema: attempt },
        responses: {
          200: {
            description: '-1: the login fails; 0: it goes on',
            schema: z.object({ status: z.literal([-1, 0]) }),
          },
        },
        handle: ({ query, body }) => {
          if (body.session_id?.startsWith(OWN_SESSION) === true) return ok(GO_ON);
          return ok(query.command === 'allow' ? this.#allow(body) : this.#report(body));
        },
      }),
    ];
  }

  get asked(): DovecotAsked {
    return this.#asked;
  }

  /** Logins of an account for sending, in normal form, that failed lately with a wrong password; undefined if none did. */
  failedLogins(account: string): FailedLogins | undefined {
    return this.#failedOf.of(account, this.#context.clock.now());
  }

  /** When the last one was that is forgotten, since too many others failed. */
  get failuresForgottenAt(): Instant {
    return this.#failedOf.forgottenAt;
  }

  #allow(attempt: Attempt): Answered {
    this.#asked.asked++;
    // Dovecot says that in its reports alone.
    if (attempt.success === true) this.#asked.proxied++;
    if (!this.#isSending(attempt)) return GO_ON;
    this.#asked.sending++;
    const block = this.#blockOf(attempt);
    if (block === undefined) return GO_ON;
    this.#refused(attempt, block.id, this.#accountOf(attempt, block));
    return FAIL;
  }

  #isSending({ protocol = '' }: Attempt): boolean {
    return this.#context.settings.protocols.includes(protocol.toLowerCase());
  }

  /** The block by which a login for sending fails. */
  #blockOf(attempt: Attempt): ActiveBlock | undefined {
    const { settings, models, knows, clock } = this.#context;
    const { login = '' } = attempt;
    // No account has such a name.
    if (!knows() || login === '' || Buffer.byteLength(login) > LONGEST_ADDRESS) return undefined;
    const ip = ipOf(attempt);
    // Address and domain subjects match the login's own address, as at the SMTP listener.
    const sender = senderIdentity({ account: login, returnPath: login, ip, direction: 'outbound' });
    const block = models.refusing.find(sender, clock.now());
    // All that Dovecot can tell a client is that the login failed. What is to be told otherwise is told at RCPT TO, and mail
    // that is to be held needs the login.
    return block?.refusal === 'soft' && settings.refuse !== 'hold' ? block : undefined;
  }

  /** The account, if it exists. Dovecot may ask before it looks at the password: then a stranger may have typed the name. */
  #accountOf({ login = '', success }: Attempt, { type }: ActiveBlock): string | undefined {
    const isNamed = type === 'account' || type === 'address';
    return isNamed || success === true || this.#seen.has(normalizeAccount(login)) ? login : undefined;
  }

  /** @param account undefined if the login may be what a stranger typed */
  #refused(attempt: Attempt, block: string, account: string | undefined): void {
    const { recorder, metrics, tracing } = this.#context;
    metrics.smtp.login('feigned');
    metrics.smtp.refused('auth', 'soft');
    const ip = ipOf(attempt);
    const who = account === undefined ? {} : { account };
    const where = ip === undefined ? {} : { ip, ...this.#context.placeOf(ip) };
    recorder.refused(
      { direction: 'outbound', ...who, ...where, stage: 'auth', block, reply: AS_WRONG_PASSWORD },
      block,
      tracing?.refused(block, 'auth', BAD_CREDENTIALS.code, block, undefined),
    );
    this.#feign(attempt, block, account);
  }

  #feign(attempt: Attempt, block: string, account: string | undefined): void {
    this.#fail(attempt, { kind: 'feigned', block, ...(account === undefined ? {} : { account }) });
  }

  #report(attempt: Attempt): Answered {
    const { metrics, clock } = this.#context;
    if (attempt.success === true) {
      this.#asked.succeeded++;
      const { login = '' } = attempt;
      if (Buffer.byteLength(login) <= LONGEST_ADDRESS) this.#seen.set(normalizeAccount(login), true);
      metrics.smtp.login('succeeded');
      return GO_ON;
    }
    this.#asked.failed++;
    // Our own refusals were recorded when they were given.
    if (attempt.policy_reject === true || NO_GUESS.has(attempt.fail_type ?? '')) return GO_ON;
    metrics.smtp.login('failed');
    const ip = ipOf(attempt);
    const network = ip === undefined ? 'an unknown address' : clientNetwork(ip);
    // A program that reads mail with an old password is no reason why another one cannot send.
    if (this.#isSending(attempt)) this.#failedOf.note(attempt.login ?? '', 'failed', network, clock.now());
    // Without its hash a wrong password of a blocked account counts no more than the right one does.
    const isTold = hashOf(attempt) !== undefined;
    const block = isTold || !this.#isSending(attempt) ? undefined : this.#blockOf(attempt);
    if (block === undefined) this.#fail(attempt, { kind: 'genuine' });
    else this.#feign(attempt, block.id, this.#accountOf(attempt, block));
    return GO_ON;
  }

  #fail(
    attempt: Attempt,
    how: { readonly kind: 'genuine' | 'feigned'; readonly block?: string; readonly account?: string },
  ): void {
    const { recorder, placeOf } = this.#context;
    const ip = ipOf(attempt);
    // Failures count by client network.
    if (ip === undefined) return;
    const network = clientNetwork(ip);
    const { login = '' } = attempt;
    const pwhash = hashOf(attempt);
    recorder.loginFailed({
      network,
      ...how,
      ...placeOf(ip),
      // Who does not tell the password (the SASL proxy, CRAM-MD5) cannot tell a repeat: a failure that we made then counts for
      // nothing.
      ...(pwhash === undefined ? {} : { fresh: this.#isFresh(network, login, pwhash) }),
    });
  }

  #isFresh(network: string, login: string, pwhash: string): boolean {
    const key = this.#failures.keyOf(network, login, pwhash);
    const isFresh = !this.#failures.has(key);
    this.#failures.add(key);
    return isFresh;
  }
}

/** What tells one password from another; undefined if nothing does. */
function hashOf({ pwhash, mech = '' }: Attempt): string | undefined {
  return WITHOUT_PASSWORD.test(mech) ? undefined : pwhash;
}

/** The client's address in normal form; undefined if Dovecot was not told. */
function ipOf({ remote = '' }: Attempt): string | undefined {
  return remote.length > LONGEST_IP ? undefined : normalizeIp(remote);
}

/** Characters of an address with a zone: more than any has. */
const LONGEST_IP = 100;
