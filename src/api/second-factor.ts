import { Secret, TOTP } from 'otpauth';
import type { Sessions } from '../../projections/sessions/sessions.js';
import type { AdminRecord } from '../accounts/admins.js';
import { recoveryHash } from '../accounts/second-factor.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { SignedIn } from '../sessions/events.js';

const STEP: Milliseconds = 30 * SECOND;

/** What a sign-in uses up. */
export type UsedUp = Pick<SignedIn, 'step' | 'recovery' | 'passkey' | 'counter' | 'challenge'>;

/**
 * What of a person's codes this one uses up; undefined if it is wrong, or was used before. A time-based code is taken one
 * step early or late, for clocks that differ.
 *
 * @param sessions with all that is recorded of the person
 */
export function codeUsed(
  { name, totp, recovery }: AdminRecord,
  code: string,
  sessions: Pick<Sessions, 'lastStep' | 'isUsedUp'>,
  now: Instant,
): UsedUp | undefined {
  const digits = code.replace(/\s/g, '');
  if (isTimeBased(code) && totp !== undefined) {
    const delta = generatorOf(name, totp).validate({ token: digits, timestamp: now, window: 1 });
    const step = Math.floor(now / STEP) + (delta ?? 0);
    return delta === null || step <= sessions.lastStep(name) ? undefined : { step };
  }
  const hash = recoveryHash(code);
  return recovery.includes(hash) && !sessions.isUsedUp(name, hash) ? { recovery: hash } : undefined;
}

/** Whether it looks like a time-based code: those can be guessed, recovery codes cannot. */
export function isTimeBased(code: string): boolean {
  return /^\d{6}$/.test(code.replace(/\s/g, ''));
}

/** What an authenticator reads: `otpauth://totp/Stopgap:alice?…`. */
export function otpauthUri(name: string, secret: string): string {
  return generatorOf(name, secret).toString();
}

function generatorOf(name: string, secret: string): TOTP {
  return new TOTP({
    issuer: 'Stopgap',
    label: name,
    secret: Secret.fromBase32(secret),
    period: STEP / SECOND,
  });
}
