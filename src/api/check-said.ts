import { z } from 'zod';
import type { FailedLogins, LastLogin } from '../accounts/users.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, formatInstant, MINUTE } from '../kernel/time.js';
import type { PutOffFor } from '../recording/put-offs.js';
import { HOLD } from '../recording/verdicts.js';
import {
  AS_WRONG_PASSWORD,
  BAD_CREDENTIALS,
  LOGIN_LATER,
  NOT_YOUR_ADDRESS,
  replyLine,
  TRY_LATER,
} from '../smtp/replies.js';
import type { RefusalJson } from './check-findings.js';
import type { Standing } from './check-told.js';
import type { Trouble } from './check-troubles.js';
import type { OwnReply, OwnSettings } from './own-replies.js';
import { OWN_CODES, ownReplies, saidByCode, saidInWords } from './own-replies.js';
import type { Reply, Shown } from './said-text.js';
import { replyOf, SaidText } from './said-text.js';

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
type Cause = (typeof CAUSES)[number];

export const saidShape = z
  .object({
    code: z.int().nullable().meta({ description: 'The reply code that was found in what was said.' }),
    enhanced: z
      .string()
      .nullable()
      .meta({ examples: ['5.7.8'] }),
    cause: z.enum(CAUSES).meta({
      description:
        'What the sentence names first. trouble: the mail server behind, the store, the spool directory or the back end of logins failed, for everybody; other: Stopgap says that for what the sentence names; none: nothing is known here that said that to this account.',
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
  readonly behindCodes: readonly { readonly at: string; readonly code: number }[];
  readonly failed: FailedLogins | undefined;
  /** Since when each login that failed is known here; undefined if some may not be. */
  readonly failedSince: Instant | undefined;
  /** Why it cannot log in at all. */
  readonly hasNoLogin: string | undefined;
  /** Whether it may use the return path that was given; undefined if it is not known, and null if none was given. */
  readonly returnPath: 'passes' | 'refused' | undefined | null;
  /** Whether other processes talk to clients, and know what they told them. */
  readonly isSaidElsewhere: boolean;
  readonly own: OwnSettings;
  /** Whether there ever was a block of this id. */
  readonly hasBlock: (id: string) => boolean;
  /** What a block is about, in words; undefined if that is none of the caller's business. */
  readonly blockOn: (id: string) => string | undefined;
  /** Whether a block was over by that time. */
  readonly isOver: (id: string) => boolean;
}

/** Something that has a client told a reply. */
interface Known {
  readonly cause: Cause;
  readonly reply: Reply;
  /** Undefined if it is so at the time that is asked about. */
  readonly at?: Instant | undefined;
  readonly block?: string;
  /** Whether it is so only where the client comes as it did at that time. */
  readonly isGuess?: boolean;
  readonly sentence: string;
}
/** One that fits, and how the text shows its reply; `login`: as a login that failed, in words of the program; `around`: not at all. */
interface Fitting extends Known {
  readonly shown: Exclude<Shown, 'no'> | 'login' | 'around';
}

/** So many are named: what is further from the time is less likely. */
const MOST_NAMED = 3;

/**
 * Compares what a mail program shows with what is known here of its account, and names what has it told these words, else this
 * code. What kind of text it is nobody guesses: the answer says what is not sure, and a person sees the rest.
 */
export function explainSaid(said: string, facts: Facts): Said {
  const text = new SaidText(said);
  const own = ownReplies(facts.own);
  const fitting = bestOf(text, knownOf(facts), own, facts).slice(0, MOST_NAMED);
  const [first] = fitting;
  const sentences = first === undefined ? unknown(text, own, facts) : toldBy(first, fitting, text, facts);
  return {
    code: text.code,
    enhanced: text.enhanced,
    ...causeOf(first, facts),
    sentence: [...(text.saysNoneOffered ? noneOffered(facts.own) : []), ...sentences].join(' '),
  };
}

function causeOf(first: Fitting | undefined, { blockOn }: Facts): Pick<Said, 'cause' | 'at' | 'block'> {
  if (first === undefined || first.shown === 'around') return { cause: 'none', at: null, block: null };
  const { cause, at, block } = first;
  const isTheirs = block !== undefined && blockOn(block) !== undefined;
  return { cause, at: at === undefined ? null : formatInstant(at), block: isTheirs ? block : null };
}

/** What fits best, the nearest to the time first. */
function bestOf(
  text: SaidText,
  known: readonly Known[],
  own: readonly OwnReply[],
  facts: Facts,
): readonly Fitting[] {
  const distance = ({ at }: Known): Milliseconds => (at === undefined ? 0 : Math.abs(at - facts.at));
  const seen = new Set<string>();
  // Many servers use the same codes, and each of our replies has several causes: what was long before says nothing.
  const all = known
    .filter((one) => distance(one) <= DAY)
    .toSorted((a, b) => lateness(a, facts) - lateness(b, facts))
    .filter(({ block, reply, sentence }) => {
      const key = block === undefined ? sentence : `${block} ${reply.codes.join()}`;
      return !seen.has(key) && seen.add(key);
    });
  const as = (shown: Fitting['shown'], those: readonly Known[]): readonly Fitting[] =>
    those.map((one) => ({ ...one, shown }));
  const fitting = all.flatMap((one) => {
    const shown = text.shows(one.reply);
    return shown === 'no' ? [] : [{ ...one, shown }];
  });
  // A login that failed may be worded by the mail server that asks.
  const surest = fitting.filter(({ shown, reply }) => shown === 'words' || isWrongPassword(reply));
  if (surest.length > 0) return surest;
  const inWords = saidInWords(text, own);
  const settings = inWords.filter(({ isKnown }) => !isKnown).map((one) => ofSetting(one, facts));
  if (inWords.length > 0) return as('words', settings);
  if (fitting.length > 0) return fitting;
  const logins = text.isOfLogin(OWN_CODES) ? all.filter(({ reply }) => isOfLogin(reply)) : [];
  if (logins.length > 0) return as('login', logins);
  return text.hasAnswer
    ? []
    : as(
        'around',
        all.filter((one) => distance(one) <= ABOUT),
      );
}

/**
 * What was refused just before by what still stands says most, then what is so at that time, then what was near it. A login that
 * failed just before says as much as a refusal, unless a block would have it fail whatever the password is.
 */
function lateness(
  { at, block, cause, isGuess }: Known,
  { at: asked, isOver, standing }: Facts,
): Milliseconds {
  if (at === undefined) return ABOUT;
  const distance = Math.abs(at - asked);
  const isBlocked = standing !== undefined && standing.cameAt === undefined;
  const stands =
    block === undefined
      ? !isBlocked && (cause === 'password' || cause === 'too many logins')
      : isGuess !== true && !isOver(block);
  return stands && distance <= ABOUT ? distance : ABOUT + distance;
}

function isWrongPassword({ codes }: Reply): boolean {
  return codes.includes(BAD_CREDENTIALS.code);
}

function isOfLogin(reply: Reply): boolean {
  return isWrongPassword(reply) || reply.codes.includes(LOGIN_LATER.code);
}

const FAILED_LOGIN = replyOf(replyLine(BAD_CREDENTIALS));
const LOGIN_PUT_OFF = replyOf(replyLine(LOGIN_LATER));
const LATER = replyOf(replyLine(TRY_LATER));

/** All that is known here of the account and its clients; of what is equally near, what comes first here. */
function knownOf(facts: Facts): readonly Known[] {
  const { failed, hasNoLogin, returnPath, behindCodes, troubles } = facts;
  return [
    ...(hasNoLogin === undefined
      ? []
      : [{ cause: 'no login', reply: FAILED_LOGIN, sentence: hasNoLogin } as const]),
    ...ofStanding(facts),
    ...troubles.map(ofTrouble),
    ...refusalsOf(facts),
    ...(failed === undefined ? [] : failedOf(failed)),
    ...(returnPath === 'refused' ? [NOT_ALLOWED] : []),
    ...behindCodes.map(ofBehind),
  ];
}

const NOT_ALLOWED: Known = {
  cause: 'return path',
  reply: replyOf(replyLine(NOT_YOUR_ADDRESS)),
  sentence: 'The account may not use that return path (smtp.senders).',
};

function ofStanding({ standing, blockOn }: Facts): readonly Known[] {
  if (standing === undefined) return [];
  const { block, cameAt, replies } = standing;
  return replies.map((line) => {
    const what = line === AS_WRONG_PASSWORD ? 'A login that fails' : `"${line}"`;
    const where = cameAt === undefined ? '' : ` where it comes as it did at ${cameAt}`;
    return {
      cause: 'block',
      block,
      isGuess: cameAt !== undefined,
      at: cameAt === undefined ? undefined : Date.parse(cameAt),
      reply: line === AS_WRONG_PASSWORD ? FAILED_LOGIN : replyOf(line),
      sentence: `${what} is what ${whichOf(block, blockOn(block))} has the client told${where}.`,
    } as const;
  });
}

const WHERE = { auth: 'at AUTH', rcpt: 'at RCPT TO', data: 'after DATA' } as const;

function refusalsOf({
  refusals = [],
  atAddress = [],
  failed,
  hasBlock,
  blockOn,
  isOver,
}: Facts): readonly Known[] {
  const all = [
    ...refusals.map((one) => ({ ...one, whose: 'it' })),
    ...atAddress.map((one) => ({ ...one, whose: `a login from ${one.ip ?? 'there'}` })),
  ];
  const isPerhapsWrong = failed?.failed !== undefined;
  return all.map(({ at, stage, reply, block, whose }) => {
    const why = hasBlock(block) ? `because of ${whichOf(block, blockOn(block))}` : BY_ITSELF;
    const how =
      reply === AS_WRONG_PASSWORD
        ? `Stopgap had ${whose === 'it' ? 'its login' : whose} fail at ${at}, as with a wrong password, ${why}.`
        : reply === HOLD
          ? `The mail server was told to hold its mail at ${at}, ${why}.`
          : `Stopgap told ${whose} "${reply}" ${WHERE[stage]} at ${at}, ${why}.`;
    const sentences = [
      how,
      ...(hasBlock(block) && isOver(block) ? ['That block is over.'] : []),
      ...(stage === 'auth' && !isPerhapsWrong ? ['The password may well be right.'] : []),
    ];
    return {
      cause: 'block',
      at: Date.parse(at),
      block,
      reply: reply === AS_WRONG_PASSWORD ? FAILED_LOGIN : replyOf(reply),
      sentence: sentences.join(' '),
    } as const;
  });
}

/** Who refuses without a block. */
const BY_ITSELF =
  'because a limit was exceeded while the store was away: the node refused by itself then, without a block';

function whichOf(block: string, on: string | undefined): string {
  return on === undefined ? 'a block that is of none of your domains' : `block ${block} (${on})`;
}

function failedOf({ failed, putOff, isKnown, wasNone }: FailedLogins): readonly Known[] {
  const wrong = wasNone
    ? 'There was no such account then, or it was disabled, or its password was wrong'
    : isKnown
      ? 'Its password was wrong'
      : 'Its password was wrong, or there is no such account';
  const last = ({ at, network }: LastLogin): string => `last at ${formatInstant(at)} from ${network}.`;
  return [
    ...(failed === undefined
      ? []
      : [
          {
            cause: 'password' as const,
            at: failed.at,
            reply: FAILED_LOGIN,
            sentence: `${wrong}: its login failed with 535, ${last(failed)}`,
          },
        ]),
    ...(putOff === undefined
      ? []
      : [
          {
            cause: 'too many logins' as const,
            at: putOff.at,
            reply: LOGIN_PUT_OFF,
            sentence: `Its login was put off with 454, since too many from its network had failed, ${last(putOff)}`,
          },
        ]),
  ];
}

const TROUBLES: Readonly<Record<PutOffFor, readonly [Reply, string]>> = {
  upstream: [LATER, 'while the mail server behind does not answer, or not in time'],
  store: [LATER, 'while the store takes no events'],
  spool: [LATER, 'while a message cannot be written into the spool directory'],
  logins: [LOGIN_PUT_OFF, 'while the back end of logins (smtp.auth.backend) does not answer'],
  checks: [LOGIN_PUT_OFF, 'while more passwords wait than it can check'],
};

function ofTrouble({ why, at, heard }: Trouble): Known {
  const [reply, when] = TROUBLES[why];
  const since = [
    ...(at === undefined ? ['it is so now'] : []),
    ...(heard === undefined ? [] : [`it put somebody off for that ${spanOf(heard)}`]),
  ];
  const sentence = `Stopgap says ${reply.codes.join()} ${when}: ${since.join(', and ')}.`;
  return { cause: 'trouble', reply, at, sentence };
}

function spanOf({ since, last }: NonNullable<Trouble['heard']>): string {
  return since === last
    ? `at ${formatInstant(last)}`
    : `from ${formatInstant(since)} to ${formatInstant(last)}`;
}

function ofBehind({ code, at }: Facts['behindCodes'][number]): Known {
  const sentence = `The mail server behind refused a recipient of it with ${code}, last at ${at}: perhaps that. Its log has the reason.`;
  const reply = { codes: [code], enhanced: undefined, words: [] };
  return { cause: 'mail server', reply, at: Date.parse(at), sentence };
}

/** A reply of ours that tells by itself what it is about. */
function ofSetting({ reply, of, isCommon }: OwnReply, { returnPath, isSaidElsewhere }: Facts): Known {
  const isOfPath = reply.codes.includes(NOT_YOUR_ADDRESS.code);
  const more = !isOfPath
    ? ''
    : returnPath === null && !isSaidElsewhere
      ? ' Give the return path, to know whether the account may use it.'
      : returnPath === 'passes'
        ? ' The account may use the return path that was given now: its program used another one, or smtp.senders was changed since.'
        : ' Whether the account may use the return path that was given is not known here.';
  const sentence = `Stopgap says so ${of}${isCommon ? '; other servers use the same words' : ''}.${more}`;
  return { cause: isOfPath ? 'return path' : 'other', reply, sentence };
}

const ONLY_CODE =
  'Only the code is the same, and all mail servers use the same codes: another server may have said it.';
const NO_ANSWER =
  'The text shows no answer of a server, so that this is likely, not sure: it may be of a connection that failed';
const OF_READING = ', or of reading mail (IMAP, POP3), in which Stopgap has no part';
const ASK_FOR_ADDRESS = 'A block of a network may have done it: give the IP address that it came from.';
const ELSE_ASK_FOR_ADDRESS =
  'If it was not that, a block of a network may have done it: give the IP address that it came from.';

function toldBy(
  first: Fitting,
  fitting: readonly Fitting[],
  text: SaidText,
  { at, atAddress, own, isOver }: Facts,
): readonly string[] {
  const isOnlyCode = fitting.some(
    ({ shown, reply }) =>
      shown === 'code' && reply.words.length > 0 && !(own.hasLoginsWorded && isWrongPassword(reply)),
  );
  const mayBeOther = first.cause === 'password' || (first.block !== undefined && isOver(first.block));
  const isNamed = first.shown === 'words' && first.at !== undefined && Math.abs(first.at - at) <= ABOUT;
  return [
    ...(first.shown === 'around' ? [NOT_BY_WORDS, AROUND] : []),
    ...fitting.map(({ sentence }) => sentence),
    ...(isOnlyCode && !text.isBare ? [ONLY_CODE] : []),
    ...(first.shown === 'login' ? [`${NO_ANSWER}${own.failsReading ? '' : OF_READING}.`] : []),
    ...(first.shown === 'around' ? [WORD_BY_WORD] : []),
    ...(mayBeOther && !isNamed && atAddress === undefined ? [ELSE_ASK_FOR_ADDRESS] : []),
  ];
}

const NONE_OFFERED =
  'A program that is offered no login that it can use has sent no password. It has come without TLS, as a rule: look whether it uses STARTTLS or TLS.';
const OFFERED =
  'Stopgap offers PLAIN and LOGIN alone, and only under TLS unless smtp.submission.allowInsecureAuth is true. A proxy that ends TLS has to say so (HAProxy: send-proxy-v2-ssl).';
const OFFERED_ELSEWHERE = 'What is offered there says the mail server that asks Stopgap.';

function noneOffered({ isAsked }: OwnSettings): readonly string[] {
  return [NONE_OFFERED, isAsked ? OFFERED_ELSEWHERE : OFFERED];
}

const STORE_AWAY = 'Who said that is not known: the store cannot be read now.';
function others({ isAsked, askedCodes }: OwnSettings): string {
  const which = isAsked
    ? 'the mail server that asks Stopgap'
    : askedCodes.length > 0
      ? 'the mail server behind, or one that asks Stopgap'
      : 'the mail server behind';
  return `Another server may have: ${which} (its log has the reason), that of the recipients (its answer comes back in a message), or another server for outgoing mail.`;
}

const NOT_KEPT =
  'Perhaps the password was wrong: that is kept here for an hour at most, of the last 10,000 names alone, none of before the last start, and only what this process saw or was told.';
const PUT_OFF_NOT_KEPT =
  'Which logins were put off is kept here for an hour at most, and none of before the last start.';
const NOT_BY_WORDS =
  'By these words alone it cannot be told: they show no answer of a server, which has a code.';
const AROUND = 'What is known of this account around then:';
const NOTHING_AROUND =
  'Nothing is known here of this account around then: perhaps the program reached no server, or it is about something else.';
const WORD_BY_WORD = 'Give the answer word by word, with its code.';
const NODES = 'the SMTP nodes know (their log, which has of failed logins the network and not the name)';
const SMTP_NODES_KNOW = `What clients were told only ${NODES}.`;

/** What is said where nothing that is known here fits. */
function unknown(text: SaidText, own: readonly OwnReply[], facts: Facts): readonly string[] {
  if (facts.refusals === undefined) return [STORE_AWAY];
  const { atAddress, isSaidElsewhere } = facts;
  const inWords = saidInWords(text, own);
  const like = inWords.length > 0 ? inWords : saidByCode(text, own);
  const isOfBlocks = like.some(({ isKnown }) => isKnown) || text.isOfLogin(OWN_CODES);
  const hint = isOfBlocks && atAddress === undefined ? [ASK_FOR_ADDRESS] : [];
  const isOfPasswords = !isSaidElsewhere && like.some(({ reply }) => isWrongPassword(reply));
  const isOfLater =
    !isSaidElsewhere && !isOfPasswords && like.some(({ reply }) => reply.codes.includes(LOGIN_LATER.code));
  const notKept = isOfPasswords
    ? [passwordSentence(facts)]
    : isOfLater && mayBeForgotten(facts)
      ? [PUT_OFF_NOT_KEPT]
      : [];
  const code = [text.code ?? '', text.enhanced ?? ''].join(' ').trim();
  const what = inWords.length > 0 ? 'so' : code;
  const says = [...new Set(like.map(({ of }) => `Stopgap says ${what} ${of}.`))];
  if (inWords.length > 0) {
    const elsewhere = `Whether one of these was it only ${NODES}.`;
    const none = 'None of it is known here of this account around then.';
    return [...says, isSaidElsewhere ? elsewhere : none, ...notKept, ...hint];
  }
  if (!text.hasAnswer) {
    if (text.saysNoneOffered) return [WORD_BY_WORD];
    const perhaps = text.isOfLogin(OWN_CODES) ? passwordSentence(facts) : NOTHING_AROUND;
    return [NOT_BY_WORDS, isSaidElsewhere ? SMTP_NODES_KNOW : perhaps, WORD_BY_WORD, ...hint];
  }
  const nothing = isSaidElsewhere
    ? `Whether Stopgap said ${code} is not known here: ${NODES}.`
    : `Nothing here is known to have said ${code} to this account around then.`;
  return [nothing, ...says, ...notKept, others(facts.own), ...hint];
}

/** Whether what is not recorded may have been so at that time. */
function mayBeForgotten({ at, failedSince }: Facts): boolean {
  return failedSince === undefined || at < failedSince;
}

function passwordSentence(facts: Facts): string {
  const { failedSince } = facts;
  if (failedSince === undefined || mayBeForgotten(facts)) return NOT_KEPT;
  return `No login of it has failed here with a wrong password since ${formatInstant(failedSince)}: its program may use another user name, or another server may have said that.`;
}
