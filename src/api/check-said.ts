import { z } from 'zod';
import type { FailedLogins } from '../accounts/users.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant, MINUTE } from '../kernel/time.js';
import {
  AS_WRONG_PASSWORD,
  BAD_CREDENTIALS,
  LOGIN_LATER,
  NOT_YOUR_ADDRESS,
  replyLine,
} from '../smtp/replies.js';
import type { RefusalJson } from './check-findings.js';
import type { Trouble } from './check-troubles.js';
import type { OwnFound, OwnSettings } from './own-replies.js';
import { ownRepliesLike, ownReplyOf } from './own-replies.js';
import type { Replied, Behind, Recorded } from './said-sentences.js';
import {
  OF_BOUNCE,
  OF_PROVIDER,
  IF_EXACT,
  IF_LATER,
  ASK_FOR_ADDRESS,
  WHERE,
  refusalSentence,
  whichOf,
  LOGIN_PUT_OFF,
  REPLY_OF,
  troubleSentence,
  ownSentence,
  perhapsBehind,
  putOffSentence,
  wasWrong,
  OTHERS,
  nobody,
} from './said-sentences.js';
import type { Found } from './said-text.js';
import { ABOUT_LOGINS, codesIn, compareWords, isBounce, namesOtherProvider, plain } from './said-text.js';

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
  readonly behind: Behind | null;
  readonly failed: FailedLogins | undefined;
  /** Why it cannot log in at all. */
  readonly hasNoLogin: string | undefined;
  /** Whether it may use the return path that was given; undefined if it is not known, and null if none was given. */
  readonly returnPath: 'passes' | 'refused' | undefined | null;
  /** Whether other processes talk to clients, and know what they told them. */
  readonly isSaidElsewhere: boolean;
  readonly own: OwnSettings;
  /** What a block is about, in words; undefined if that is none of the caller's business. */
  readonly blockOn: (id: string) => string | undefined;
  /** Whether a block was over by that time. */
  readonly isOver: (id: string) => boolean;
}

/** Finds who said to an account what its mail program shows. */
export function explainSaid(said: string, facts: Facts): Said {
  const found = codesIn(said);
  const { code } = found;
  const none = { ...found, cause: 'none', at: null, block: null } as const;
  const own = ownReplyOf(said, found, facts.own);
  // What it quotes is of another server, and most words of servers are alike.
  if (isBounce(said)) return { ...none, sentence: OF_BOUNCE };
  if ((own === undefined || own.shared !== undefined) && namesOtherProvider(said))
    return { ...none, sentence: OF_PROVIDER };
  const isLogin = isOfLogin(said, found, own);
  const compare = (one: Replied): Match => matchOf(one, said, { ...found, isLogin });
  const matched = (one: Replied): boolean =>
    compare(one) === 'words' || (compare(one) === 'codes' && isLogin && one.stage === 'auth');
  const { at, hasNoLogin, failed, standing, atAddress } = facts;
  const trouble = nearest(
    facts.troubles.filter(({ why }) => matched(REPLY_OF[why])),
    at,
  );
  if (facts.refusals === undefined) {
    // These leave no record.
    if (trouble !== undefined) return ofTrouble(trouble, none);
    if (own?.reply.isKnown === false) return ofOwn(own, none, facts);
    return { ...none, sentence: 'Who said that is not known: the store cannot be read now.' };
  }
  const refusals = refusalsOf(facts.refusals, facts);
  const refusal = nearest(refusals.filter(matched), at);
  const wrong = isLogin && failed !== undefined && failed.failed > 0 ? failed : undefined;
  const isOver = refusal !== undefined && facts.isOver(refusal.block);
  const byNow = standing !== undefined && standing.replies.some((reply) => matched(standingReply(reply)));
  // What is over cannot have said it just now.
  if (byNow && wrong === undefined && hasNoLogin === undefined && (refusal === undefined || isOver))
    return { ...none, cause: 'block', ...ofStanding(standing.block, facts.blockOn(standing.block)) };
  const isOld = refusal !== undefined && (isOver || distance(refusal, at) > ABOUT);
  if (refusal !== undefined && !(isOld && trouble !== undefined && isNearer(trouble, refusal, at))) {
    const { when, stage, block, on } = refusal;
    if (wrong !== undefined && isNearer(wrong, refusal, at))
      return {
        ...{ ...found, cause: 'password', at: formatInstant(wrong.at), block: null },
        sentence: `${wasWrong(wrong)} Another login failed ${WHERE[stage]} at ${when}, because of ${whichOf(block, on)}.`,
      };
    const over = isOver ? ` That block is over.${atAddress === undefined ? ` ${IF_LATER}` : ''}` : '';
    const isExact = compare(refusal) === 'words';
    return {
      ...found,
      ...{ cause: 'block', at: when, block: on === undefined ? null : block },
      sentence: `${refusalSentence(refusal, isExact)}${over}${isExact ? '' : ` ${IF_EXACT}`}`,
    };
  }
  if (isLogin && hasNoLogin !== undefined) return { ...none, cause: 'no login', sentence: hasNoLogin };
  if (wrong !== undefined)
    return { ...none, cause: 'password', at: formatInstant(wrong.at), sentence: wasWrong(wrong) };
  const putOff = failed !== undefined && failed.putOff > 0 ? failed : undefined;
  const isPutOff = code === LOGIN_LATER.code && compare(LOGIN_PUT_OFF) === 'words';
  if (isPutOff && putOff !== undefined && (trouble === undefined || isNearer(putOff, trouble, at)))
    return {
      ...{ ...none, cause: 'too many logins', at: formatInstant(putOff.at) },
      sentence: putOffSentence(putOff),
    };
  if (trouble !== undefined) return ofTrouble(trouble, none);
  const isReturnPath = own?.reply.code === NOT_YOUR_ADDRESS.code || compare(OF_RETURN_PATH) === 'words';
  if (isReturnPath && facts.returnPath === 'refused')
    return {
      ...none,
      cause: 'return path',
      sentence: 'The account may not use that return path (smtp.senders).',
    };
  const perhaps =
    own === undefined || own.shared !== undefined ? perhapsBehind(code, facts.behind) : undefined;
  if (own?.reply.isKnown === false) {
    const said = ofOwn(own, none, facts);
    return perhaps === undefined ? said : { ...said, sentence: `${said.sentence} ${perhaps}` };
  }
  // Their codes are the same, their words are not.
  const likeIt = nearest(
    refusals.filter((one) => compare(one) === 'codes'),
    at,
  );
  const alike = [
    ...(likeIt === undefined ? [] : [refusalSentence(likeIt, false)]),
    ...facts.troubles
      .filter(({ why }) => compare(REPLY_OF[why]) === 'codes')
      .map((one) => troubleSentence(one, false)),
    ...(putOff !== undefined && code !== null && compare(LOGIN_PUT_OFF) === 'codes'
      ? [putOffSentence(putOff)]
      : []),
  ];
  const hedged = alike.length === 0 ? [] : [...alike, IF_EXACT];
  if (perhaps !== undefined && facts.behind !== null)
    return {
      ...{ ...none, cause: 'mail server', at: facts.behind.at },
      sentence: [...hedged, ...(own === undefined ? [] : [ownSentence(own)]), perhaps].join(' '),
    };
  const like = own === undefined ? ownRepliesLike(found, facts.own) : [own.reply];
  const isOfBlocks = isLogin || like.some(({ isKnown }) => isKnown);
  const hint = isOfBlocks && atAddress === undefined ? [ASK_FOR_ADDRESS] : [];
  if (hedged.length > 0) return { ...none, sentence: [...hedged, OTHERS].join(' ') };
  return { ...none, sentence: [...nobody(said, code, own, like, facts.isSaidElsewhere), ...hint].join(' ') };
}

/**
 * Many programs show words of their own for a login that failed, without what the server answered. With another enhanced
 * code it is of another kind of server.
 */
function isOfLogin(said: string, { code, enhanced }: Found, own: OwnFound | undefined): boolean {
  if (enhanced !== null && enhanced !== '5.7.8' && enhanced !== '5.7.0') return false;
  if (code !== null) return code === BAD_CREDENTIALS.code;
  return (own === undefined || own.reply.code === BAD_CREDENTIALS.code) && ABOUT_LOGINS.test(said);
}

function refusalsOf(
  ofAccount: readonly RefusalJson[],
  { atAddress, blockOn }: Facts,
): readonly (Omit<Recorded, 'at'> & { readonly at: Instant })[] {
  const all = [
    ...ofAccount.map((one) => ({ ...one, whose: 'the login' })),
    ...(atAddress ?? []).map((one) => ({ ...one, whose: `a login from ${one.ip ?? 'there'}` })),
  ];
  return all.map((one) => ({ ...one, on: blockOn(one.block), at: Date.parse(one.at), when: one.at }));
}

const OF_RETURN_PATH: Replied = { reply: replyLine(NOT_YOUR_ADDRESS), stage: 'rcpt' };

function ofTrouble(trouble: Trouble, none: NoneFound): Said {
  const at = trouble.last === undefined ? null : formatInstant(trouble.last);
  return { ...none, cause: 'trouble', at, sentence: troubleSentence(trouble, true) };
}

type NoneFound = Pick<Said, 'code' | 'enhanced' | 'at' | 'block'>;

function ofOwn(own: OwnFound, none: NoneFound, { returnPath }: Facts): Said {
  if (own.reply.code !== NOT_YOUR_ADDRESS.code)
    return { ...none, cause: 'other', sentence: ownSentence(own) };
  const more =
    returnPath === null
      ? 'Give the return path, to know whether the account may use it.'
      : returnPath === 'passes'
        ? 'The account may use the return path that was given now: its program used another one, or smtp.senders was changed since.'
        : 'Whether the account may use the return path that was given is not known here.';
  return { ...none, cause: 'return path', sentence: `${ownSentence(own)} ${more}` };
}

function ofStanding(block: string, on: string | undefined): Pick<Said, 'block' | 'sentence'> {
  const which = whichOf(block, on);
  return { block: on === undefined ? null : block, sentence: `That is what ${which} has the client told.` };
}

function standingReply(reply: string): Replied {
  return { reply, stage: /^(?:535|454) /.test(reply) ? 'auth' : 'rcpt' };
}

/** `codes`: the codes are the same, the words are not. */
type Match = 'words' | 'codes' | 'no';

/**
 * A reply is what was said if its codes and words are the same; where only codes or only words were shown, if those are.
 * What shows no code may also be of a login that failed.
 */
function matchOf(
  { reply, stage }: Replied,
  said: string,
  { code, enhanced, isLogin }: Found & { readonly isLogin: boolean },
): Match {
  if (reply === AS_WRONG_PASSWORD) return isLogin ? 'words' : 'no';
  const its = codesIn(reply);
  if (code !== null && its.code !== code) return 'no';
  if (enhanced !== null && its.enhanced !== enhanced) return 'no';
  const words = plain(reply.replace(/^\d{3}[ -](?:\d\.\d+\.\d+ )?/, ''));
  const compared = compareWords(said, words);
  const hasCodes = code !== null || enhanced !== null;
  if (compared === 'same' || (compared === 'none' && hasCodes)) return 'words';
  if (!hasCodes) return isLogin && stage === 'auth' ? 'words' : 'no';
  return 'codes';
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
