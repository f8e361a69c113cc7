import type { FailedLogins } from '../accounts/users.js';
import type { PutOffFor } from '../recording/put-offs.js';
import { formatInstant } from '../kernel/time.js';
import { AS_WRONG_PASSWORD, BAD_CREDENTIALS, LOGIN_LATER, replyLine, TRY_LATER } from '../smtp/replies.js';
import type { RefusalJson } from './check-findings.js';
import type { Standing } from './check-told.js';
import type { Trouble } from './check-troubles.js';
import type { OwnFound, OwnReply } from './own-replies.js';
import type { Found } from './said-text.js';
import { isAboutLogin, isUnreached } from './said-text.js';

export type Replied = Pick<RefusalJson, 'reply' | 'stage'>;

/** What the server behind refused with a code, as of the last time. */
export interface Behind {
  readonly at: string;
  readonly code: number;
}

export const OF_BOUNCE =
  'The server that the text names said that: the text is a bounce, or a line of a log, in which one mail server tells what another answered. If that is this server, ask again with its answer alone, from the code on.';
export const IF_ELSEWHERE =
  'But the text looks like what another server answered: if it names one that is not this one, that one said it.';
export const OF_READING =
  'That is of reading mail (IMAP, POP3), in which Stopgap has no part unless dovecot.protocols names it: the server for reading mail said it.';
export const OF_PROVIDER =
  'A server of the provider that the text names said that, not Stopgap: look which server the mail program is set to use.';
export const IF_EXACT = 'If these words are exact, another server said this.';
export const IF_LATER =
  'If it was later, a block of a network may have done it: give the IP address that it came from.';
export const WAS_LATER = 'That was after the time that was asked about, which may not be exact.';
export const STORE_AWAY = 'Who said that is not known: the store cannot be read now.';
export const ASK_FOR_ADDRESS =
  'A block of a network may have done it: give the IP address that it came from.';

export const WHERE = { auth: 'at AUTH', rcpt: 'at RCPT TO', data: 'after DATA' } as const;

/** A refusal that is recorded, whose it was, and what its block is about. */
export type Recorded = RefusalJson & {
  readonly whose: string;
  readonly on: string | undefined;
  readonly when: string;
};

/**
 * @param isExact whether the words that were shown are those of the reply
 * @param wrong a wrong password that came after it
 */
export function refusalSentence(
  { stage, when, reply, whose, block, on }: Omit<Recorded, 'at'>,
  isExact: boolean,
  wrong?: FailedLogins,
): string {
  const [where, which] = [`${WHERE[stage]} at ${when}`, whichOf(block, on)];
  const feigned = stage === 'auth' && wrong === undefined ? ' The password may well be right.' : '';
  const how =
    reply === AS_WRONG_PASSWORD
      ? `The mail server said that, ${where}, since Stopgap had ${whose} fail because of`
      : isExact
        ? `Stopgap said that, ${where}: "${reply}", because of`
        : `Stopgap refused it with ${reply.slice(0, 3)} ${where}, because of`;
  return `${how} ${which}.${feigned}`;
}

export function whichOf(block: string, on: string | undefined): string {
  return on === undefined ? 'a block that is of none of your domains' : `block ${block} (${on})`;
}

/** What stands, and whether the words that were shown are those of its reply. */
export interface StandingSaid extends Standing {
  readonly isExact: boolean;
}

export function standingSentence(
  { block, cameAt, isExact }: StandingSaid,
  blockOn: (id: string) => string | undefined,
): string {
  const where = cameAt === undefined ? 'That' : 'Where it comes as it did when it was refused before, that';
  const what = isExact ? where : `${where} code`;
  const told = `${what} is what ${whichOf(block, blockOn(block))} has the client told.`;
  return isExact ? told : `${told} ${IF_EXACT}`;
}

/** 4yz that all troubles of a kind share. */
const LATER: Replied = { reply: replyLine(TRY_LATER), stage: 'rcpt' };
export const LOGIN_PUT_OFF: Replied = { reply: replyLine(LOGIN_LATER), stage: 'auth' };
export const REPLY_OF: Readonly<Record<PutOffFor, Replied>> = {
  ...{ upstream: LATER, store: LATER, spool: LATER, logins: LOGIN_PUT_OFF, checks: LOGIN_PUT_OFF },
};

const TROUBLES: Readonly<Record<PutOffFor, string>> = {
  upstream: 'while the mail server behind does not answer, or not in time',
  store: 'while the store takes no events',
  spool: 'while a message cannot be written into the spool directory',
  logins: 'while the back end of logins (smtp.auth.backend) does not answer',
  checks: 'while more passwords wait than it can check',
};

/** @param isExact whether the words that were shown are those of the reply */
export function troubleSentence({ why, at, last }: Trouble, isExact: boolean): string {
  const when = [
    ...(at === undefined ? ['it is so now'] : []),
    ...(last === undefined ? [] : [`it put somebody off for that at ${formatInstant(last)}`]),
  ];
  return `Stopgap says ${isExact ? 'that' : REPLY_OF[why].reply.slice(0, 3)} to everybody ${TROUBLES[why]}: ${when.join(', and ')}.`;
}

export function ownSentence({ replies, isOnlyOurs, shared }: OwnFound): string {
  return `Stopgap says that ${replies.map(({ of }) => of).join(', and ')}${isOnlyOurs ? '' : `; other servers use the same ${shared}`}.`;
}

export function perhapsBehind({ code, at }: Behind): string {
  return `The mail server behind refused a recipient of it with ${code}, last at ${at}: perhaps that. Its log has the reason.`;
}

export function putOffSentence({ network }: FailedLogins): string {
  return `Logins from ${network} were put off with 454, since too many from there had failed.`;
}

export function wasWrong({ at, network, isKnown }: FailedLogins): string {
  const failed = `its login failed with 535, last at ${formatInstant(at)} from ${network}`;
  return isKnown
    ? `Its password was wrong: ${failed}.`
    : `Its password was wrong, or there is no such account: ${failed}.`;
}

export const OTHERS =
  'Another server may have: the mail server behind (its log has the reason), that of the recipients (its answer comes back in a message), or another server for outgoing mail.';
const NOT_RECORDED = 'Stopgap does not record this.';
const NOT_KEPT =
  'Wrong passwords are kept here for an hour at most, and none of before the last start: most likely it was one.';

export function nobody(
  said: string,
  { code, enhanced }: Found,
  own: OwnFound | undefined,
  like: readonly OwnReply[],
  isSaidElsewhere: boolean,
): readonly string[] {
  const what = code === null ? 'that' : `${code}`;
  const elsewhere = `Whether Stopgap said ${what} is not known here: the SMTP nodes know (their log).`;
  const ofPasswords = (own?.replies ?? like).some((one) => one.code === BAD_CREDENTIALS.code);
  const notKept = ofPasswords && !isSaidElsewhere ? [NOT_KEPT] : [];
  // A text of ours never came from another server.
  if (own !== undefined)
    return [
      ownSentence(own),
      isSaidElsewhere ? elsewhere : 'None of it is known here of this account around then.',
      ...notKept,
    ];
  if (code !== null) {
    const sentencesOf = (isKnown: boolean): readonly string[] => [
      ...new Set(
        like.filter((one) => one.isKnown === isKnown).map(({ of }) => `Stopgap says ${code} ${of}.`),
      ),
    ];
    const unknown = sentencesOf(false);
    return [
      isSaidElsewhere
        ? elsewhere
        : `Nothing here is known to have said ${enhanced === null ? code : `${code} ${enhanced}`} to this account around then.`,
      ...sentencesOf(true),
      ...notKept,
      ...unknown,
      ...(unknown.length === 0 ? [] : [NOT_RECORDED]),
      OTHERS,
    ];
  }
  if (isUnreached(said))
    return [
      'Most likely no mail server said that: the program did not reach one, or lost it (network, name, port, TLS). Stopgap refuses with a code and in words.',
    ];
  return [
    'By these words alone it cannot be told who said that. With the code of the answer (three digits), more can be told.',
    ...(isSaidElsewhere && isAboutLogin(said) ? [elsewhere] : []),
  ];
}
