import { givenUpOf, runsOnHeld } from '../kernel/given-up.js';
import { grouped, printable } from '../kernel/printable.js';
import { HOLD } from '../recording/verdicts.js';
import { amount } from '../rules/explain.js';
import type { Count } from '../rules/model.js';
import type { SubjectType } from '../sending/subjects.js';
import { AS_WRONG_PASSWORD } from '../smtp/replies.js';
import type { ReportJson } from './block-report.js';
import type { Undone } from './held-findings.js';

const MAIL_OF: Readonly<Record<SubjectType, string>> = {
  account: 'mail from the account',
  address: 'mail from the address',
  domain: 'mail from the domain',
  ehlo: 'mail from computers that call themselves',
  ip: 'mail from the network address',
};

const AT_STAGE: Readonly<Record<ReportJson['stopped'][number]['stage'], string>> = {
  auth: 'at sign-in',
  rcpt: 'when a recipient was named',
  data: 'after the message was sent to us',
};

const TIMES = { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' } as const;

const timeOf = (at: string): string => `${new Date(at).toLocaleString('en-GB', TIMES)} UTC`;
const timesOf = (count: number): string => (count === 1 ? 'once' : `${grouped(count)} times`);
const between = (first: string, last: string): string =>
  timeOf(first) === timeOf(last) ? timeOf(first) : `between ${timeOf(first)} and ${timeOf(last)}`;

/**
 * A containment report as a letter to the customer. It names no administrator, no note and no limit: these are for the
 * house.
 *
 * @param contact whom to ask; a mail address or a URL
 * @param undone of what is listed as held
 */
export function blockLetter(report: ReportJson, contact: string | undefined, undone: Undone): string {
  const sections = [
    `About ${subjectOf(report)}`,
    'Dear customer,',
    happened(report),
    ...section('What we noticed', noticed(report)),
    ...section('What was sent', sent(report)),
    ...section('What we stopped', stopped(report)),
    ...section('What your mail program was told', told(report)),
    ...section('What we held', held(report, undone)),
    ...section('What was decided', decided(report)),
    ...section('What you should do', advice(report, undone)),
    ...(report.coveredUntil === null
      ? []
      : [`This report counts what happened until ${timeOf(report.coveredUntil)}.`]),
    ...(report.keptSince === null
      ? []
      : [
          `We do not keep single messages of before ${timeOf(report.keptSince)} any more: they are not counted here.`,
        ]),
    contact === undefined
      ? 'Your mail administrators'
      : `If you have questions, please ask ${printable(contact)}.\n\nYour mail administrators`,
  ];
  return `${sections.join('\n\n')}\n`;
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [[title, ...lines.map((line) => `- ${line}`)].join('\n')];
}

function subjectOf({ block: { subject } }: ReportJson): string {
  return `${MAIL_OF[subject.type]} ${printable(subject.value)}`;
}

function happened({ block, ...report }: ReportJson): string {
  const what = subjectOf({ block, ...report });
  const { state, since, until, endedAt } = block;
  const but = report.past.recipients === 0 ? '' : ' Some of it was sent all the same.';
  if (since === null)
    return state === 'proposed'
      ? `we have noticed something unusual about ${what}. Nothing has been stopped so far.`
      : `we noticed something unusual about ${what}. Nothing was stopped.`;
  if (state !== 'active') return `we stopped ${what} from ${timeOf(since)} until ${timeOf(endedAt!)}.${but}`;
  const end = until === null ? 'until we end that' : `until ${timeOf(until)} unless we end that before`;
  return `we have stopped ${what} since ${timeOf(since)}, ${end}.${but}`;
}

function noticed({ block: { evidence }, onset }: ReportJson): readonly string[] {
  return [
    ...(evidence === null ? [] : [countedOf(evidence)]),
    ...(onset === null ? [] : [`It may have begun at ${timeOf(onset.at)}.`]),
  ];
}

/** Accounts that a rule names are newcomers to a place: nothing else is unusual about them. */
function countedOf({
  count,
  observed,
  window,
  accounts,
}: NonNullable<ReportJson['block']['evidence']>): string {
  return accounts === undefined
    ? `${amount(count as Count, observed)} within ${window}`
    : `${grouped(observed)} accounts within ${window} that were never there before`;
}

function sent({
  block,
  before,
  after,
  letGo,
  past,
  bounces,
  sources,
  otherSources,
  keptSince,
}: ReportJson): readonly string[] {
  const line = (passed: ReportJson['after'], when: string): string =>
    `${when}: ${passed.messages === 0 && passed.recipients > 0 ? '' : `${amount('messages', passed.messages)} to `}${amount('recipients', passed.recipients)}` +
    (passed.first === null ? '' : `, ${between(passed.first, passed.last!)}`);
  const from = sources.map(({ ip, messages }) => `${printable(ip)} (${amount('messages', messages)})`);
  const more = otherSources === 0 ? '' : `, and from ${grouped(otherSources)} more addresses`;
  return [
    // What is gone is not nothing.
    ...(before === null || (keptSince !== null && before.recipients === 0)
      ? []
      : [line(before, beforeWords(block))]),
    ...(after.recipients === 0
      ? []
      : [
          line(after, `Already on their way when we stopped it${letGo ? ', or held and sent on later' : ''}`),
        ]),
    ...(past.recipients === 0 ? [] : [line(past, 'Sent all the same, by a way that we had not stopped')]),
    ...(from.length === 0 ? [] : [`It came from ${from.join(', ')}${more}.`]),
    ...(bounces === 0 ? [] : [`${amount('bounces', bounces)} came back.`]),
  ];
}

/** Without evidence the last day alone is counted: that is no word about the time before it. */
function beforeWords({ since, evidence }: ReportJson['block']): string {
  if (since === null) return 'So far';
  return evidence === null ? 'In the day before we stopped it' : 'Before we stopped it';
}

function stopped(report: ReportJson): readonly string[] {
  return report.stopped.map(
    ({ stage, refusals, first, last }) =>
      `${AT_STAGE[stage]}: ${refusals === 1 ? '1 attempt' : `${grouped(refusals)} attempts`}, ${between(first, last)}`,
  );
}

type Told = Pick<ReportJson['told'][number], 'reply' | 'refusals' | 'first' | 'last'>;

/** At which stage a reply was given means nothing to a customer. */
function byReply(told: readonly Told[]): readonly Told[] {
  const all = new Map<string, Told>();
  for (const { reply, refusals, first, last } of told) {
    const known = all.get(reply) ?? { reply, refusals: 0, first, last };
    all.set(reply, {
      reply,
      refusals: known.refusals + refusals,
      first: first < known.first ? first : known.first,
      last: last > known.last ? last : known.last,
    });
  }
  return [...all.values()];
}

/** Whether a login with the right password was answered like a wrong one. */
function isFeigned(report: ReportJson): boolean {
  return report.told.some(
    ({ stage, reply }) => reply === AS_WRONG_PASSWORD || (stage === 'auth' && reply.startsWith('535')),
  );
}

/** Attempts to send that no mail program makes again by itself (RFC 5321, 4.2.1). */
function refusedForGood(report: ReportJson): number {
  return report.told.reduce(
    (sum, { stage, reply, refusals }) => sum + (stage !== 'auth' && reply.startsWith('5') ? refusals : 0),
    0,
  );
}

function told(report: ReportJson): readonly string[] {
  const lost = refusedForGood(report);
  return [
    ...byReply(report.told).map(({ reply, refusals, first, last }) => {
      const said =
        reply === HOLD
          ? 'that we had taken the message'
          : reply === AS_WRONG_PASSWORD
            ? 'that the password was wrong'
            : `"${printable(reply)}"`;
      return `${said}: ${timesOf(refusals)}, ${between(first, last)}`;
    }),
    ...(report.otherReplies === 0 ? [] : [`other answers: ${timesOf(report.otherReplies)}`]),
    ...(report.held.unheld === 0
      ? []
      : [
          `What was to be kept, and could not be, was refused (${timesOf(report.held.unheld)}): it is not with us, and has to be sent again.`,
        ]),
    ...(lost === 0
      ? []
      : [
          `Mail was refused for good (${timesOf(lost)}): it is not with us, and no mail program sends it again by itself.`,
        ]),
    ...(isFeigned(report)
      ? [
          'An answer that speaks of a wrong password was ours while mail was stopped: it does not mean that the password was wrong.',
        ]
      : []),
  ];
}

const UNKNOWN = 'may have been sent on or deleted since';

const counted = (count: number, one: string, many: string): readonly string[] =>
  count === 0 ? [] : [`${grouped(count)} ${count === 1 ? one : many}`];

/** What became of held mail that stayed with the block, in messages. */
interface Fates {
  readonly released: number;
  readonly deleted: number;
  readonly stillHeld: number;
  /** Nobody can say: it was let go by hand, or is to be, or the hook acted on mail of others too, and it is not told on how many. */
  readonly unknown: number;
}

function fatesOf(
  { block: { history }, held: { messages, waiting, moved, sentOn } }: ReportJson,
  { byHook, byHand }: Undone,
): Fates {
  const runs = runsOnHeld(history);
  const actedOf = (some: typeof runs): number => some.reduce((sum, { acted = 0 }) => sum + acted, 0);
  const actedBy = (action: 'release' | 'delete'): number =>
    actedOf(runs.filter((hook) => hook.action === action));
  // What calls acted on before one was given up is listed still.
  const givenUp = givenUpOf(history);
  // Of mail that has outlived its retention the hook tells too.
  const gone = Math.max(0, messages - waiting - moved) + actedOf(givenUp);
  const deleted = Math.min(actedBy('delete'), gone);
  // A mail server may tell again of what the hook has let go.
  const released = Math.max(Math.min(actedBy('release'), gone - deleted), sentOn);
  const rest = Math.max(0, messages - moved - released - deleted);
  // An administrator of a domain is not told how many.
  const isUntold = givenUp.some(({ acted }) => acted === undefined);
  const listed = waiting - byHand - (isUntold ? byHook : 0);
  const stillHeld = Math.min(Math.max(0, listed), rest);
  return { released, deleted, stillHeld, unknown: rest - stillHeld };
}

/** Messages that stayed on hold for another block, and of which nobody can say what became. */
function unknownElsewhere({ held: { moved, elsewhere } }: ReportJson): number {
  return moved - elsewhere.released - elsewhere.deleted - elsewhere.waiting;
}

function held(report: ReportJson, undone: Undone): readonly string[] {
  const { messages, recipients, queued, moved, elsewhere } = report.held;
  if (messages === 0) return [];
  const { released, deleted, stillHeld, unknown } = fatesOf(report, undone);
  const of = (count: number, words: string): readonly string[] =>
    count === 0 ? [] : [`${amount('messages', count)} of these ${words}.`];
  const were = (count: number): string => (count === 1 ? 'was' : 'were');
  const elsewhereUnknown = unknownElsewhere(report);
  // Nobody is to send again what has gone out since.
  const atFirst = released + elsewhere.released + elsewhereUnknown + unknown === 0 ? '' : ' at first';
  return [
    ...(messages === queued
      ? []
      : [
          `${amount('messages', messages - queued)}${queued === 0 ? ` to ${amount('recipients', recipients)}` : ''} did not leave our server${atFirst}.`,
        ]),
    ...(queued === 0
      ? []
      : [
          `${amount('messages', queued)} of those that were sent before had not left our server yet, at least for some recipients.`,
        ]),
    ...of(released, `${were(released)} sent on later`),
    ...of(deleted, `${were(deleted)} deleted`),
    ...of(unknown, UNKNOWN),
    ...(moved === 0
      ? []
      : [
          `${amount('messages', moved)} of these ${were(moved)} held on, since we stopped that mail for another reason too: ${[
            ...counted(elsewhere.released, 'was sent on later', 'were sent on later'),
            ...counted(elsewhere.deleted, 'was deleted', 'were deleted'),
            ...counted(elsewhere.waiting, 'is still held', 'are still held'),
            ...counted(elsewhereUnknown, UNKNOWN, UNKNOWN),
          ].join(', ')}.`,
        ]),
    ...(stillHeld === 0
      ? []
      : [`${amount('messages', stillHeld)} ${stillHeld === 1 ? 'is' : 'are'} still held.`]),
  ];
}

const DECISIONS: Readonly<Record<string, string>> = {
  BlockProposed: 'proposed to stop the mail',
  ProposalApproved: 'approved that',
  ProposalDismissed: 'decided not to stop the mail',
  ProposalLapsed: 'dropped the proposal, since nobody had decided',
  BlockImposed: 'stopped the mail',
  BlockExtended: 'extended that',
  BlockShortened: 'shortened that',
  BlockReleased: 'let mail pass again',
  BlockExpired: 'let mail pass again, since the time was over',
  HeldMailDecided: 'decided on the mail that was held',
};

/** Decisions that are told: a block that is renewed for ever has one each time. */
const MOST_DECISIONS = 20;

function decided({ block: { history } }: ReportJson): readonly string[] {
  let end: string | null | undefined;
  const items = history.filter(({ type, until }, index) => {
    // A proposal that grew while it waited is the same to a customer.
    if (type === 'BlockProposed' && index > 0) return false;
    // The house may word its description anew: the end stays as it was.
    const isOfWords = type === 'BlockExtended' && until === end;
    if (until !== undefined) end = until;
    return DECISIONS[type] !== undefined && !isOfWords;
  });
  const told = items.slice(0, MOST_DECISIONS).map(({ at, type, by, falsePositive }) => {
    const who = by.startsWith('admin:') ? 'our staff' : 'our system';
    const mistake = falsePositive === true ? ': it was our mistake' : '';
    return `${timeOf(at)}: ${who} ${DECISIONS[type]!}${mistake}`;
  });
  const more = items.length - told.length;
  return more === 0 ? told : [...told, `${more === 1 ? '1 decision' : `${more} decisions`} more`];
}

function advice(report: ReportJson, undone: Undone): readonly string[] {
  const { subject, evidence, falsePositive } = report.block;
  if (falsePositive) {
    const lines = adviceAfterMistake(report, undone);
    return [...lines.slice(0, -1), `${lines.at(-1)!} We are sorry for the trouble.`];
  }
  if (subject.type === 'domain')
    return [
      'Please ask all who send from this domain whether they know this mail, and tell us what you find.',
    ];
  if (subject.type === 'ip' || subject.type === 'ehlo')
    return [
      // Who tries passwords has sent nothing.
      `Please look which computer ${evidence?.count === 'authFailures' ? 'tried these passwords' : 'sent this mail'}, check it for malware, and tell us what you find.`,
      'Change the passwords of all mail accounts that are used on it.',
    ];
  if (evidence === null) return [];
  return [
    'If you sent this mail yourself, please tell us.',
    'If not, somebody else knows the password: please change it, and check your computers and telephones for malware.',
  ];
}

/** What was put off needs nothing: the mail program sends it by itself. */
function adviceAfterMistake(report: ReportJson, undone: Undone): readonly string[] {
  const { held, otherReplies, coveredUntil, keptSince } = report;
  const { deleted, unknown } = fatesOf(report, undone);
  const lost = [
    ...(held.unheld + refusedForGood(report) === 0 ? [] : ['what we refused']),
    ...(deleted + held.elsewhere.deleted === 0 ? [] : ['what was deleted']),
  ];
  const lines = [
    ...(lost.length === 0 ? [] : [`Please send again ${lost.join(' and ')}.`]),
    ...(unknown + unknownElsewhere(report) === 0
      ? []
      : [
          'Some of what we held may have been deleted, and some may wait still: please ask us before you send it again.',
        ]),
    ...(isFeigned(report)
      ? [
          'If your mail program asks for the password, please enter it again, and see that nothing is left in its outbox.',
        ]
      : []),
  ];
  if (lines.length > 0) return lines;
  const isAllKnown = otherReplies === 0 && coveredUntil === null && keptSince === null;
  return [isAllKnown ? 'Nothing.' : 'Nothing, as far as we know.'];
}
