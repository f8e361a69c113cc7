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
import type { Standing } from './check-told.js';
import type { Trouble } from './check-troubles.js';
import type { OwnFound, OwnSettings } from './own-replies.js';
import { ownRepliesLike, ownReplyOf } from './own-replies.js';
import type { Replied, Behind, Recorded, StandingSaid } from './said-sentences.js';
import {
  ASK_FOR_ADDRESS,
  IF_ELSEWHERE,
  IF_EXACT,
  IF_LATER,
  LOGIN_PUT_OFF,
  nobody,
  OF_BOUNCE,
  OF_PROVIDER,
  OF_READING,
  OTHERS,
  ownSentence,
  perhapsBehind,
  putOffSentence,
  refusalSentence,
  REPLY_OF,
  standingSentence,
  STORE_AWAY,
  troubleSentence,
  WAS_LATER,
  wasWrong,
  WHERE,
  whichOf,
} from './said-sentences.js';
import type { Found } from './said-text.js';
import {
  codesIn,
  compareWords,
  isAboutLogin,
  isBounce,
  isCodeDoubtful,
  isOfReading,
  namesOtherProvider,
  wordingsOf,
} from './said-text.js';

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
  readonly standing: Standing | undefined;
  /** What put off everybody around then. */
  readonly troubles: readonly Trouble[];
  /** What the server behind refused lately: the last of each code. */
  readonly behindCodes: readonly Behind[];
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

/** What was said, and how replies compare with it. */
interface Asked extends Found {
  readonly said: string;
  readonly own: OwnFound | undefined;
  /** Whether it is about a login, of no other server by its form. */
  readonly isLogin: boolean;
  readonly compare: (one: Replied) => Match;
  readonly fits: (one: Replied) => boolean;
  /** What would refuse the sender, if it says that. */
  readonly stands: StandingSaid | undefined;
}

interface Told extends Pick<Said, 'cause' | 'sentence'>, Partial<Pick<Said, 'at' | 'block'>> {
  /** Whether nothing that is known here says it, nor anything like it. */
  readonly isUnknown?: boolean;
}

/**
 * Finds who said to an account what its mail program shows: what is recorded, or stands, and has these words; then what the
 * words alone say.
 */
export function explainSaid(said: string, facts: Facts): Said {
  const found = codesIn(said);
  const first = explain(said, found, facts);
  const wordsAlone = { ...found, code: null };
  const other = GUESSES.has(first.cause) && isCodeDoubtful(said) ? explain(said, wordsAlone, facts) : first;
  const isMisread = other !== first && (first.isUnknown === true || !GUESSES.has(other.cause));
  const { cause, sentence, at = null, block = null } = isMisread ? other : first;
  const isLater = at !== null && Date.parse(at) > facts.at + MINUTE;
  return {
    ...(isMisread ? wordsAlone : found),
    cause,
    at,
    block,
    sentence: isLater ? `${sentence} ${WAS_LATER}` : sentence,
  };
}

/** What may be said for the code alone. */
const GUESSES: ReadonlySet<Told['cause']> = new Set(['none', 'mail server']);

function explain(said: string, found: Found, facts: Facts): Told {
  if (!facts.own.failsReading && isOfReading(said, found)) return none(OF_READING);
  const own = ownReplyOf(said, found, facts.own);
  const elsewhere = isBounce(said, found)
    ? OF_BOUNCE
    : own?.isOnlyOurs !== true && namesOtherProvider(said)
      ? OF_PROVIDER
      : undefined;
  const isLoginText = isOfLogin(said, found, own);
  const isLogin = isLoginText && elsewhere === undefined;
  const compare = (one: Replied): Match => matchOf(one, said, { ...found, isLogin: isLoginText });
  const fits = (one: Replied): boolean => {
    const match = compare(one);
    // Many servers use the same codes.
    return match === 'words' || match === 'bare' || (match === 'codes' && isLogin && one.stage === 'auth');
  };
  const asked = {
    ...{ ...found, said, own, isLogin, compare, fits },
    stands: standingSaid(facts, compare, fits),
  };
  const known = ofFacts(asked, facts);
  if (elsewhere === undefined) return known ?? ofWords(asked, facts);
  return known === undefined ? none(elsewhere) : { ...known, sentence: `${known.sentence} ${IF_ELSEWHERE}` };
}

function standingSaid(
  { standing }: Facts,
  compare: Asked['compare'],
  fits: Asked['fits'],
): StandingSaid | undefined {
  const those = standing?.replies.map(standingReply).filter(fits) ?? [];
  if (standing === undefined || those.length === 0) return undefined;
  return { ...standing, isExact: those.some((one) => compare(one) !== 'codes') };
}

function none(...sentences: readonly string[]): Told {
  return { cause: 'none', sentence: sentences.join(' ') };
}

/** What is recorded of the account or stands and fits, then what put off everybody. */
function ofFacts(asked: Asked, facts: Facts): Told | undefined {
  const { code, isLogin, fits, stands } = asked;
  const { at, failed, blockOn } = facts;
  const hasNoLogin = isLogin ? facts.hasNoLogin : undefined;
  const wrong = isLogin && failed !== undefined && failed.failed > 0 ? failed : undefined;
  const trouble = nearest(
    facts.troubles.filter(({ why }) => fits(REPLY_OF[why])),
    at,
  );
  const refusal = nearest(refusalsOf(facts).filter(fits), at);
  const isOver = refusal !== undefined && facts.isOver(refusal.block);
  const isStanding = stands !== undefined && stands.cameAt === undefined;
  const troubleToo = trouble === undefined ? [] : [troubleSentence(trouble, true)];
  // What is over cannot have said it just now.
  if (isStanding && hasNoLogin === undefined && (refusal === undefined || isOver)) {
    const wrongToo = wrong === undefined ? [] : [wasWrong(wrong)];
    return ofStanding(stands, blockOn, [...wrongToo, ...troubleToo]);
  }
  const isOld = refusal !== undefined && (isOver || distance(refusal, at) > ABOUT);
  const isTroubles = isOld && !isStanding && trouble !== undefined && isNearer(trouble, refusal, at);
  if (refusal !== undefined && !isTroubles) {
    const after = wrong !== undefined && isNearer(wrong, refusal, at) ? wrong : undefined;
    // Where the block stands the right password fails too.
    if (after !== undefined && isOld && (isOver || !isStanding)) return ofWrong(after, facts, refusal);
    const block = ofRefusal(refusal, asked, facts, after);
    if (!isOver || stands === undefined)
      return { ...block, sentence: [block.sentence, ...troubleToo].join(' ') };
    // As it came then it would be refused by another one now. What it came as before that is a guess.
    if (stands.cameAt === refusal.when) return ofStanding(stands, blockOn, [block.sentence]);
    return { ...block, sentence: `${block.sentence} ${standingSentence(stands, blockOn)}` };
  }
  if (hasNoLogin !== undefined) return { cause: 'no login', sentence: hasNoLogin };
  if (wrong !== undefined) return ofWrong(wrong, facts);
  const putOff = failed !== undefined && failed.putOff > 0 ? failed : undefined;
  const isPutOff = code === LOGIN_LATER.code && fits(LOGIN_PUT_OFF);
  if (isPutOff && putOff !== undefined && (trouble === undefined || isNearer(putOff, trouble, at)))
    return { cause: 'too many logins', at: formatInstant(putOff.at), sentence: putOffSentence(putOff) };
  if (trouble !== undefined)
    return ofTrouble(trouble, stands === undefined ? [] : [standingSentence(stands, blockOn)]);
  if (facts.returnPath === 'refused' && fits(OF_RETURN_PATH))
    return { cause: 'return path', sentence: 'The account may not use that return path (smtp.senders).' };
  return undefined;
}

/** What the words alone say. */
function ofWords(asked: Asked, facts: Facts): Told {
  const { said, code, own, isLogin, compare, stands } = asked;
  const { at, failed } = facts;
  const behind = own?.isOnlyOurs === true ? undefined : facts.behindCodes.find((one) => one.code === code);
  const perhaps = behind === undefined ? undefined : perhapsBehind(behind);
  if (own !== undefined && own.replies.every(({ isKnown }) => !isKnown)) {
    const told = ofOwn(own, facts);
    return perhaps === undefined ? told : { ...told, sentence: `${told.sentence} ${perhaps}` };
  }
  if (facts.refusals === undefined) return none(STORE_AWAY);
  // Their codes are the same, their words are not.
  const likeIt = nearest(
    refusalsOf(facts).filter((one) => compare(one) === 'codes'),
    at,
  );
  const isLikePutOff = code !== null && compare(LOGIN_PUT_OFF) === 'codes';
  const alike = [
    ...(likeIt === undefined ? [] : [refusalSentence(likeIt, false)]),
    ...facts.troubles
      .filter(({ why }) => compare(REPLY_OF[why]) === 'codes')
      .map((one) => troubleSentence(one, false)),
    ...(failed !== undefined && failed.putOff > 0 && isLikePutOff ? [putOffSentence(failed)] : []),
  ];
  const hedged = alike.length === 0 ? [] : [...alike, IF_EXACT];
  if (perhaps !== undefined && behind !== undefined) {
    const sentences = [...hedged, ...(own === undefined ? [] : [ownSentence(own)]), perhaps];
    return { cause: 'mail server', at: behind.at, sentence: sentences.join(' ') };
  }
  if (hedged.length > 0) return none(...hedged, OTHERS);
  const like = own?.replies ?? ownRepliesLike(asked, facts.own);
  const isOfBlocks = (isLogin && facts.own.failsLogins) || like.some(({ isKnown }) => isKnown);
  const hint = isOfBlocks && facts.atAddress === undefined ? [ASK_FOR_ADDRESS] : [];
  const guess = stands === undefined ? [] : [standingSentence(stands, facts.blockOn)];
  const isUnknown = own === undefined && guess.length === 0;
  return { ...none(...nobody(said, asked, own, like, facts.isSaidElsewhere), ...guess, ...hint), isUnknown };
}

/**
 * Many programs show words of their own for a login that failed, without what the server answered. With another enhanced
 * code it is of another kind of server.
 */
function isOfLogin(said: string, { code, enhanced }: Found, own: OwnFound | undefined): boolean {
  if (enhanced !== null && enhanced !== '5.7.8' && enhanced !== '5.7.0') return false;
  if (code !== null) return code === BAD_CREDENTIALS.code;
  const isOurs = own === undefined || own.replies.some((one) => one.code === BAD_CREDENTIALS.code);
  return isOurs && isAboutLogin(said);
}

interface RefusalOf extends Omit<Recorded, 'at'> {
  readonly at: Instant;
}

function refusalsOf({ refusals = [], atAddress = [], blockOn }: Facts): readonly RefusalOf[] {
  const all = [
    ...refusals.map((one) => ({ ...one, whose: 'the login' })),
    ...atAddress.map((one) => ({ ...one, whose: `a login from ${one.ip ?? 'there'}` })),
  ];
  return all.map((one) => ({ ...one, on: blockOn(one.block), at: Date.parse(one.at), when: one.at }));
}

/** @param wrong a wrong password that came after it */
function ofRefusal(
  refusal: RefusalOf,
  { compare }: Asked,
  { isOver, atAddress }: Facts,
  wrong: FailedLogins | undefined,
): Told {
  const { when, block, on } = refusal;
  const isExact = compare(refusal) !== 'codes';
  const sentences = [
    refusalSentence(refusal, isExact, wrong),
    ...(isOver(block) ? ['That block is over.', ...(atAddress === undefined ? [IF_LATER] : [])] : []),
    ...(isExact ? [] : [IF_EXACT]),
    ...(wrong === undefined ? [] : [wasWrong(wrong)]),
  ];
  return { cause: 'block', at: when, block: on === undefined ? null : block, sentence: sentences.join(' ') };
}

/** @param other what a block had fail besides */
function ofWrong(wrong: FailedLogins, { atAddress }: Facts, other?: RefusalOf): Told {
  const more =
    other === undefined
      ? atAddress === undefined
        ? [ASK_FOR_ADDRESS]
        : []
      : [
          `Another login failed ${WHERE[other.stage]} at ${other.when}, because of ${whichOf(other.block, other.on)}.`,
        ];
  return { cause: 'password', at: formatInstant(wrong.at), sentence: [wasWrong(wrong), ...more].join(' ') };
}

const OF_RETURN_PATH: Replied = { reply: replyLine(NOT_YOUR_ADDRESS), stage: 'rcpt' };

function ofTrouble(trouble: Trouble, more: readonly string[]): Told {
  const at = trouble.last === undefined ? null : formatInstant(trouble.last);
  return { cause: 'trouble', at, sentence: [troubleSentence(trouble, true), ...more].join(' ') };
}

function ofOwn(own: OwnFound, { returnPath }: Facts): Told {
  if (own.replies[0]!.code !== NOT_YOUR_ADDRESS.code) return { cause: 'other', sentence: ownSentence(own) };
  const more =
    returnPath === null
      ? 'Give the return path, to know whether the account may use it.'
      : returnPath === 'passes'
        ? 'The account may use the return path that was given now: its program used another one, or smtp.senders was changed since.'
        : 'Whether the account may use the return path that was given is not known here.';
  return { cause: 'return path', sentence: `${ownSentence(own)} ${more}` };
}

function ofStanding(standing: StandingSaid, blockOn: Facts['blockOn'], more: readonly string[]): Told {
  const { block } = standing;
  const sentence = [standingSentence(standing, blockOn), ...more].join(' ');
  return { cause: 'block', block: blockOn(block) === undefined ? null : block, sentence };
}

function standingReply(reply: string): Replied {
  return { reply, stage: reply === AS_WRONG_PASSWORD || /^(?:535|454) /.test(reply) ? 'auth' : 'rcpt' };
}

/** `bare`: no words of a server were shown, and the rest is the same; `codes`: the codes are the same, the words are not. */
type Match = 'words' | 'bare' | 'codes' | 'no';

/**
 * A reply is what was said if its codes and words are the same; where only codes or only words were shown, if those are.
 * What shows no code may also be of a login that failed.
 */
function matchOf(
  { reply, stage }: Replied,
  said: string,
  { code, enhanced, isLogin }: Found & { readonly isLogin: boolean },
): Match {
  if (reply === AS_WRONG_PASSWORD) return isLogin ? 'bare' : 'no';
  const its = codesIn(reply);
  if (code !== null && its.code !== code) return 'no';
  if (enhanced !== null && its.enhanced !== enhanced) return 'no';
  const compared = compareWords(said, wordingsOf(reply.replace(/^\d{3}[ -](?:\d\.\d+\.\d+ )?/, '')));
  if (compared === 'same') return 'words';
  if (code === null && enhanced === null) return isLogin && stage === 'auth' ? 'bare' : 'no';
  return compared === 'none' ? 'bare' : 'codes';
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
