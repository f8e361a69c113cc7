import { z } from 'zod';
import type { FailedLogins } from '../accounts/users.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant, MINUTE } from '../kernel/time.js';
import { AS_WRONG_PASSWORD, LOGIN_LATER, replyLine, TRY_LATER } from '../smtp/replies.js';
import type { PutOffFor } from '../recording/put-offs.js';
import type { RefusalJson } from './check-findings.js';
import type { Trouble } from './check-troubles.js';
import type { Found, OwnReply } from './own-replies.js';
import { ownRepliesLike, ownReplyOf } from './own-replies.js';

/** People are not exact about when it was. */
export const ABOUT: Milliseconds = 15 * MINUTE;

const CAUSES = [
  'block',
  'no login',
  'password',
  'too many logins',
  'return path',
  'trouble',
  'other',
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
    cause: z.enum(CAUSES).meta({
      description:
        'trouble: the mail server behind, the store, the spool directory or the back end of logins failed, for everybody; other: Stopgap says that for what the sentence names; none: nothing is known here that said that to this account.',
    }),
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
  /** Those of logins without a name from the address that was asked about; undefined if none was. */
  readonly atAddress: readonly RefusalJson[] | undefined;
  /** What would refuse this sender at that time, and its replies. */
  readonly standing: { readonly block: string; readonly replies: readonly string[] } | undefined;
  /** What put off everybody around then. */
  readonly troubles: readonly Trouble[];
  /** What the server behind last refused. */
  readonly behind: { readonly at: string; readonly code: number } | null;
  readonly failed: FailedLogins | undefined;
  /** Why it cannot log in at all. */
  readonly hasNoLogin: string | undefined;
  readonly isMailRefused: boolean;
  /** Whether Stopgap takes no mail, and mail servers ask it. */
  readonly isAsked: boolean;
  /** What a block is about, in words; undefined if that is none of the caller's business. */
  readonly blockOn: (id: string) => string | undefined;
  /** Whether a block was over by that time. */
  readonly isOver: (id: string) => boolean;
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
  // Many programs show words of their own for a login that failed, without what the server answered.
  const isLogin = code === 535 || (found.code === null && ABOUT_LOGINS.test(said));
  const matched = (one: Replied): boolean => matches(one, said, { ...found, isLogin });
  const { at, hasNoLogin, failed, isMailRefused, behind, standing, atAddress } = facts;
  const own = ownReplyOf(said, found, facts.isAsked);
  const trouble = nearest(
    facts.troubles.filter(({ why }) => matched(REPLY_OF[why])),
    at,
  );
  const ofTrouble = (): Said => ({
    ...{ ...none, cause: 'trouble', at: trouble!.last === undefined ? null : formatInstant(trouble!.last) },
    sentence: troubleSentence(trouble!),
  });
  if (facts.refusals === undefined) {
    // These leave no record.
    if (trouble !== undefined) return ofTrouble();
    if (own?.isKnown === false) return ofOwn(own, none);
    return { ...none, sentence: 'Who said that is not known: the store cannot be read now.' };
  }
  const refusal = nearest(
    [
      ...facts.refusals.map((one) => ({ ...one, whose: 'the login' })),
      ...(atAddress ?? []).map((one) => ({ ...one, whose: `a login from ${one.ip ?? 'there'}` })),
    ]
      .filter(matched)
      .map((one) => ({ ...one, on: facts.blockOn(one.block), at: Date.parse(one.at), when: one.at })),
    at,
  );
  const wrong = isLogin && failed !== undefined && failed.failed > 0 ? failed : undefined;
  const isOver = refusal !== undefined && facts.isOver(refusal.block);
  const byNow = standing !== undefined && standing.replies.some((reply) => matched(standingReply(reply)));
  // What is over cannot have said it just now.
  if (byNow && wrong === undefined && hasNoLogin === undefined && (refusal === undefined || isOver))
    return { ...none, cause: 'block', ...ofStanding(standing.block, facts.blockOn(standing.block)) };
  const isOld = refusal !== undefined && (isOver || distance(refusal, at) > ABOUT);
  if (refusal !== undefined && !(isOld && trouble !== undefined && isNearer(trouble, refusal, at))) {
    const { when, stage, block, reply, on, whose } = refusal;
    const where = { auth: 'at AUTH', rcpt: 'at RCPT TO', data: 'after DATA' }[stage];
    const feigned = stage === 'auth' ? ' The password may well be right.' : '';
    const which = on === undefined ? 'a block that is of none of your domains' : `block ${block} (${on})`;
    const how =
      reply === AS_WRONG_PASSWORD
        ? `The mail server said that, ${where} at ${when}, since Stopgap had ${whose} fail because of`
        : `Stopgap said that, ${where} at ${when}: "${reply}", because of`;
    if (wrong !== undefined && isNearer(wrong, refusal, at))
      return {
        ...{ ...found, cause: 'password', at: formatInstant(wrong.at), block: null },
        sentence: `${wasWrong(wrong)} Another login failed ${where} at ${when}, because of ${which}.`,
      };
    const over = isOver ? ` That block is over.${atAddress === undefined ? ` ${ASK_FOR_ADDRESS}` : ''}` : '';
    return {
      ...found,
      ...{ cause: 'block', at: when, block: on === undefined ? null : block },
      sentence: `${how} ${which}.${feigned}${over}`,
    };
  }
  if (isLogin && hasNoLogin !== undefined) return { ...none, cause: 'no login', sentence: hasNoLogin };
  if (wrong !== undefined)
    return { ...none, cause: 'password', at: formatInstant(wrong.at), sentence: wasWrong(wrong) };
  if (code === 454 && failed !== undefined && failed.putOff > 0)
    if (trouble === undefined || isNearer(failed, trouble, at))
      return {
        ...{ ...none, cause: 'too many logins', at: formatInstant(failed.at) },
        sentence: `Logins from ${failed.network} were put off with 454, since too many from there had failed.`,
      };
  if (trouble !== undefined) return ofTrouble();
  if (code === 553 && isMailRefused)
    return {
      ...none,
      cause: 'return path',
      sentence: 'The account may not use that return path (smtp.senders).',
    };
  if (own?.isKnown === false) return ofOwn(own, none);
  if (behind !== null && code === behind.code)
    return {
      ...{ ...none, cause: 'mail server', at: behind.at },
      sentence: `The mail server behind said that, of a recipient, last at ${behind.at}: its log has the reason.`,
    };
  const like = own === undefined ? ownRepliesLike(found, facts.isAsked) : [own];
  const isOfBlocks = isLogin || like.some(({ isKnown }) => isKnown);
  const hint = isOfBlocks && atAddress === undefined ? [ASK_FOR_ADDRESS] : [];
  return { ...none, sentence: [...nobody(said, found.code, own, like), ...hint].join(' ') };
}

const ASK_FOR_ADDRESS = 'A block of a network may have done it: give the IP address that it came from.';

/** 4yz that all troubles of a kind share. */
const LATER: Replied = { reply: replyLine(TRY_LATER), stage: 'rcpt' };
const LOGIN_PUT_OFF: Replied = { reply: replyLine(LOGIN_LATER), stage: 'auth' };
const REPLY_OF: Readonly<Record<PutOffFor, Replied>> = {
  ...{ upstream: LATER, store: LATER, spool: LATER, logins: LOGIN_PUT_OFF, checks: LOGIN_PUT_OFF },
};

const TROUBLES: Readonly<Record<PutOffFor, string>> = {
  upstream: 'while the mail server behind does not answer, or not in time',
  store: 'while the store takes no events',
  spool: 'while a message cannot be written into the spool directory',
  logins: 'while the back end of logins (smtp.auth.backend) does not answer',
  checks: 'while more passwords wait than it can check',
};

function troubleSentence({ why, at, last }: Trouble): string {
  const when = [
    ...(at === undefined ? ['it is so now'] : []),
    ...(last === undefined ? [] : [`it put somebody off for that at ${formatInstant(last)}`]),
  ];
  return `Stopgap says that to everybody ${TROUBLES[why]}: ${when.join(', and ')}.`;
}

type NoneFound = Pick<Said, 'code' | 'enhanced' | 'at' | 'block'>;

function ofOwn({ of, code }: OwnReply, none: NoneFound): Said {
  if (code !== 553) return { ...none, cause: 'other', sentence: `Stopgap says that ${of}.` };
  const more = 'Give the return path, to know whether the account may use it.';
  return { ...none, cause: 'return path', sentence: `Stopgap says that ${of}. ${more}` };
}

function ofStanding(block: string, on: string | undefined): Pick<Said, 'block' | 'sentence'> {
  const which = on === undefined ? 'a block that is of none of your domains' : `block ${block} (${on})`;
  return { block: on === undefined ? null : block, sentence: `That is what ${which} has the client told.` };
}

function standingReply(reply: string): Replied {
  return { reply, stage: /^(?:535|454) /.test(reply) ? 'auth' : 'rcpt' };
}

function wasWrong({ at, network }: FailedLogins): string {
  return `Its password was wrong: its login failed with 535, last at ${formatInstant(at)} from ${network}.`;
}

type Replied = Pick<RefusalJson, 'reply' | 'stage'>;

/**
 * A reply is what was said if code and enhanced code are the same. Without a code one text is within the other, or both
 * are of a login that failed.
 */
function matches(
  { reply, stage }: Replied,
  said: string,
  { code, enhanced, isLogin }: Found & { readonly isLogin: boolean },
): boolean {
  if (reply === AS_WRONG_PASSWORD) return isLogin;
  if (code !== null && !reply.startsWith(`${code}`)) return false;
  if (enhanced !== null && !reply.includes(enhanced)) return false;
  if (code !== null || enhanced !== null || (isLogin && stage === 'auth')) return true;
  const words = reply.replace(/^\d{3}[ -](?:\d\.\d+\.\d+ )?/, '').toLowerCase();
  const text = said.trim().toLowerCase();
  return text.length > 5 && words.length > 5 && (text.includes(words) || words.includes(text));
}

/** When something was; undefined is what is so at the time that is asked about. */
interface Timed {
  readonly at: Instant | undefined;
}

function nearest<T extends Timed>(all: readonly T[], at: Instant): T | undefined {
  return all.toSorted((a, b) => distance(a, at) - distance(b, at))[0];
}

function isNearer(one: Timed, other: Timed, at: Instant): boolean {
  return distance(one, at) < distance(other, at);
}

function distance(one: Timed, at: Instant): Milliseconds {
  return one.at === undefined ? 0 : Math.abs(one.at - at);
}

function nobody(
  said: string,
  code: number | null,
  own: OwnReply | undefined,
  like: readonly OwnReply[],
): readonly string[] {
  // A text of ours never came from another server.
  if (own !== undefined)
    return [`Stopgap says that ${own.of}. None of it is known here of this account around then.`];
  if (code !== null)
    return [
      `Nothing here said ${code} to this account around then.`,
      ...like.map(
        ({ of, isKnown }) => `Stopgap says ${code} ${of}${isKnown ? '' : ', which it does not record'}.`,
      ),
      'Another server may have: the mail server behind (its log has the reason), that of the recipients (its answer comes back in a message), or another server for outgoing mail.',
    ];
  if (UNREACHED.test(said))
    return [
      'No mail server said that: the program did not reach one, or lost it (network, name, port, TLS). Stopgap refuses with a code and in words.',
    ];
  return [
    'Nothing here said that to this account around then. With the code of the answer (three digits), more can be told.',
  ];
}
