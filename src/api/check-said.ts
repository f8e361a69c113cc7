import { z } from 'zod';
import type { FailedLogins } from '../accounts/users.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant, MINUTE } from '../kernel/time.js';
import { AS_WRONG_PASSWORD } from '../smtp/replies.js';
import type { RefusalJson } from './check-findings.js';

/** People are not exact about when it was. */
export const ABOUT: Milliseconds = 15 * MINUTE;

const CAUSES = [
  'block',
  'no login',
  'password',
  'too many logins',
  'return path',
  'mail server',
  'none',
] as const;

export const saidShape = z
  .object({
    code: z.int().nullable().meta({ description: 'The reply code that was found in what was said.' }),
    enhanced: z
      .string()
      .nullable()
      .meta({ examples: ['5.7.8'] }),
    cause: z.enum(CAUSES).meta({ description: 'none: nothing here said that to this account.' }),
    at: z.string().nullable(),
    block: z.string().nullable(),
    sentence: z.string(),
  })
  .nullable()
  .meta({ id: 'Said', description: 'What is behind the words of the mail program; null without said.' });
type Said = NonNullable<z.infer<typeof saidShape>>;

/** What is known here of an account around that time. */
export interface Facts {
  readonly at: Instant;
  /** Newest first; undefined if the store cannot be read. */
  readonly refusals: readonly RefusalJson[] | undefined;
  /** What the server behind last refused. */
  readonly behind: { readonly at: string; readonly code: number } | null;
  readonly failed: FailedLogins | undefined;
  /** Why it cannot log in at all. */
  readonly hasNoLogin: string | undefined;
  readonly isMailRefused: boolean;
  /** What a block is about, in words; undefined if that is none of the caller's business. */
  readonly blockOn: (id: string) => string | undefined;
}

/** Neither a port (587), nor a year, nor a part of an address. */
const CODE = /(?<![\d.:])([245][0-5]\d)(?!\d|\.\d)/;
const ENHANCED = /(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])/;
const UNREACHED =
  /tim(?:ed|e)[ -]?out|refused|reset|unreachable|not reach|tls|ssl|certificate|resolve|unknown host|no route/i;

/** How mail servers and programs word a login that failed. */
const ABOUT_LOGINS = /authenti[cf]|credential|passwor[dt]|kennwort|anmeld|log ?[io]n|sign ?in|5\.7\.8/i;

/** Finds who said to an account what its mail program shows. */
export function explainSaid(said: string, facts: Facts): Said {
  const code = Number(CODE.exec(said)?.[1] ?? NaN);
  const enhanced = ENHANCED.exec(said)?.[1] ?? null;
  const found = { code: Number.isNaN(code) ? null : code, enhanced };
  const none = { ...found, cause: 'none', at: null, block: null } as const;
  if (facts.refusals === undefined)
    return { ...none, sentence: 'Who said that is not known: the store cannot be read now.' };
  // Many programs show words of their own for a login that failed, without what the server answered.
  const isLogin = code === 535 || (found.code === null && ABOUT_LOGINS.test(said));
  const refusal = nearest(
    facts.refusals.filter((one) => matches(one, said, { ...found, isLogin })),
    facts.at,
  );
  const { hasNoLogin, failed, isMailRefused, behind } = facts;
  const wrong = isLogin && failed !== undefined && failed.failed > 0 ? failed : undefined;
  if (refusal !== undefined) {
    const { at, stage, block, reply } = refusal;
    const on = facts.blockOn(block);
    const where = { auth: 'at AUTH', rcpt: 'at RCPT TO', data: 'after DATA' }[stage];
    const feigned = stage === 'auth' ? ' The password may well be right.' : '';
    const which = on === undefined ? 'a block that is of none of your domains' : `block ${block} (${on})`;
    const how =
      reply === AS_WRONG_PASSWORD
        ? `The mail server said that, ${where} at ${at}, since Stopgap had the login fail because of`
        : `Stopgap said that, ${where} at ${at}: "${reply}", because of`;
    if (wrong !== undefined && Math.abs(wrong.at - facts.at) < Math.abs(Date.parse(at) - facts.at))
      return {
        ...{ ...found, cause: 'password', at: formatInstant(wrong.at), block: null },
        sentence: `${wasWrong(wrong)} Another login failed ${where} at ${at}, because of ${which}.`,
      };
    return {
      ...found,
      ...{ cause: 'block', at, block: on === undefined ? null : block },
      sentence: `${how} ${which}.${feigned}`,
    };
  }
  if (isLogin && hasNoLogin !== undefined) return { ...none, cause: 'no login', sentence: hasNoLogin };
  if (wrong !== undefined)
    return { ...none, cause: 'password', at: formatInstant(wrong.at), sentence: wasWrong(wrong) };
  if (code === 454 && failed !== undefined && failed.putOff > 0)
    return {
      ...{ ...none, cause: 'too many logins', at: formatInstant(failed.at) },
      sentence: `Logins from ${failed.network} were put off with 454, since too many from there had failed.`,
    };
  if (code === 553 && isMailRefused)
    return {
      ...none,
      cause: 'return path',
      sentence: 'The account may not use that return path (smtp.senders).',
    };
  if (behind !== null && code === behind.code)
    return {
      ...{ ...none, cause: 'mail server', at: behind.at },
      sentence: `The mail server behind said that, of a recipient, last at ${behind.at}: its log has the reason.`,
    };
  return { ...none, sentence: nobody(said, found.code) };
}

function wasWrong({ at, network }: FailedLogins): string {
  return `Its password was wrong: its login failed with 535, last at ${formatInstant(at)} from ${network}.`;
}

interface Found {
  readonly code: number | null;
  readonly enhanced: string | null;
  readonly isLogin: boolean;
}

/**
 * A reply is what was said if code and enhanced code are the same. Without a code one text is within the other, or both
 * are of a login that failed.
 */
function matches({ reply, stage }: RefusalJson, said: string, { code, enhanced, isLogin }: Found): boolean {
  if (reply === AS_WRONG_PASSWORD) return isLogin;
  if (code !== null && !reply.startsWith(`${code}`)) return false;
  if (enhanced !== null && !reply.includes(enhanced)) return false;
  if (code !== null || enhanced !== null || (isLogin && stage === 'auth')) return true;
  const words = reply.replace(/^\d{3}[ -](?:\d\.\d+\.\d+ )?/, '').toLowerCase();
  const text = said.trim().toLowerCase();
  return text.length > 5 && words.length > 5 && (text.includes(words) || words.includes(text));
}

function nearest(refusals: readonly RefusalJson[], at: Instant): RefusalJson | undefined {
  const distance = (refusal: RefusalJson): number => Math.abs(Date.parse(refusal.at) - at);
  return refusals.toSorted((a, b) => distance(a) - distance(b))[0];
}

function nobody(said: string, code: number | null): string {
  if (code !== null)
    return `Nothing here said ${code} to this account around then. Another server may have: that of the recipients (its answer comes back in a message), or another server for outgoing mail.`;
  if (UNREACHED.test(said))
    return 'No mail server said that: the program did not reach one, or lost it (network, name, port, TLS). Stopgap refuses with a code and in words.';
  return 'Nothing here said that to this account around then. With the code of the answer (three digits), more can be told.';
}
