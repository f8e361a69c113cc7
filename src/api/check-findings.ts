import { z } from 'zod';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import type { FailedLogins, LastLogin } from '../accounts/users.js';
import { lastOf } from '../accounts/users.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR, MINUTE, SECOND, formatDuration, formatInstant } from '../kernel/time.js';
import type { RefusedBehind } from '../recording/refused-behind.js';
import { nameOf } from '../rules/explain.js';
import { RULES_STREAM } from '../rules/model.js';
import type { MessageRefused, RecipientsRefused } from '../sending/events.js';
import { CLOCK_TOLERANCE, sendStream } from '../sending/events.js';
import type { MailDirection, SenderIdentity, Subject } from '../sending/subjects.js';
import { senderIdentity, sendStreamKey } from '../sending/subjects.js';
import { NOT_YOUR_ADDRESS, replyLine } from '../smtp/replies.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
import type { BlockJson } from './block-view.js';
import type { Names } from './login-names.js';
import { failedOf, otherNameSentences } from './login-names.js';
import type { AccountState, ApiDependencies } from './dependencies.js';
import { lastBefore, LOOKED_AT_FOR_LATE } from './stream-order.js';

export const failedLoginsShape = z
  .object({
    failed: z.int().meta({ description: 'With a wrong password.' }),
    putOff: z
      .int()
      .meta({ description: 'With 454, untried: too many logins from their network had failed.' }),
    since: z.string().meta({ description: 'When the first of them was.' }),
    at: z.string().meta({ description: 'When the last one was.' }),
    network: z.string().meta({ description: 'The client network that the last one came from.' }),
  })
  .nullable()
  .meta({
    description:
      'Logins of this account that failed for no block, until an hour passes without one; null where there are none, of a time more than an hour before the first of them, and from a process that sees no logins.',
  });

/** What stops an account now, apart from blocks. */
interface AccountTrouble {
  readonly state: AccountState | undefined;
  /** A sentence that says why it cannot log in. */
  readonly hasNoLogin: string | undefined;
  /** Sentences: what is not known in a process without the role smtp. */
  readonly unsure: readonly string[];
  readonly failed: FailedLogins | undefined;
  /** MAIL FROM: undefined if no account and return path are named, or it is not known. */
  readonly mail: 'passes' | 'refused' | undefined;
}

/** What this process knows of an account apart from blocks. Of the past it knows the failed logins of the last hour alone. */
export function troubleOf(deps: ApiDependencies, names: Names, at: Instant, isPast: boolean): AccountTrouble {
  const { accountState, maySend, isAsked } = deps;
  const { account, address, direction } = names.sender;
  const hasLogin = account !== undefined && direction === 'outbound';
  const isSmtp = maySend !== undefined || accountState !== undefined;
  const logins = isSmtp ? KNOWN_ELSEWHERE : isAsked === true ? MAIL_SERVER_KNOWS : LOGINS_NOT_KNOWN;
  const failed = hasLogin ? failedOf(deps, names) : undefined;
  const otherName = hasLogin ? otherNameSentences(deps, account) : [];
  if (isPast) {
    // A check of the time that a customer named must not say that all was well where the password was wrong.
    const failedThen = failed !== undefined && at >= failed.since - HOUR ? failed : undefined;
    const alone = failedThen === undefined ? [hasLogin ? BLOCKS_ALONE : BLOCKS_ALONE_NO_LOGIN] : [];
    return {
      state: undefined,
      hasNoLogin: undefined,
      unsure: [...alone, ...otherName],
      failed: failedThen,
      mail: undefined,
    };
  }
  const unsure = [
    ...(hasLogin && accountState === undefined ? [logins, ...otherName] : []),
    ...(isSmtp || isAsked === true ? [] : [UPSTREAM_NOT_KNOWN]),
  ];
  if (!hasLogin)
    return { state: undefined, hasNoLogin: undefined, unsure, failed: undefined, mail: undefined };
  const state = accountState?.(account);
  // Where mail servers ask too, most accounts are theirs alone.
  const isTheirs = state === 'unknown' && mailServersAsk(deps);
  const isAllowed =
    isTheirs || names.isForeign || address === undefined || address === ''
      ? undefined
      : maySend?.(account, address);
  return {
    state,
    hasNoLogin:
      state === undefined || state === 'active' || isTheirs ? undefined : withoutLogin(account, state),
    unsure: isTheirs ? [...unsure, THEIRS, ...otherName] : unsure,
    failed,
    mail: isAllowed === undefined ? undefined : isAllowed ? 'passes' : 'refused',
  };
}

function mailServersAsk({ wasAsked, mailServers }: ApiDependencies): boolean {
  return wasAsked !== undefined || mailServers?.verdicts.wasAsked === true;
}

export const MAIL_REFUSED = replyLine(NOT_YOUR_ADDRESS);

export function notItsAddress({ account, address }: SenderIdentity): string {
  return `The account ${account} may not use the return path ${address} (smtp.senders): MAIL FROM is refused.`;
}

const LOGINS_NOT_KNOWN =
  'Whether there is such an account, whether its password is right and which return paths it may use is not known here: this process has no users file, since it has not the role smtp. The SMTP nodes know.';
const UPSTREAM_NOT_KNOWN =
  'Whether the mail server behind answers is not known here: while it does not, everybody hears 451, and /healthz of the SMTP nodes has "relay": "failing".';

const BLOCKS_ALONE =
  'Of that time blocks alone are known here: not whether its password was right, nor whether the mail server answered.';
const BLOCKS_ALONE_NO_LOGIN =
  'Of that time blocks alone are known here, not whether the mail server answered.';

const MAIL_SERVER_KNOWS =
  'Whether there is such an account, and whether its password is right, is not known here: the mail server knows.';
const KNOWN_ELSEWHERE =
  'Whether there is such an account, and whether its password is right, is not known here: logins are checked elsewhere (smtp.auth.backend).';

const THEIRS =
  'It is not in the users file: at a listener of Stopgap its logins fail as with a wrong password. A mail server that asks Stopgap may have such an account, and knows whether its password is right.';

function withoutLogin(account: string, state: AccountState): string {
  return state === 'unknown'
    ? `There is no such account: ${account} is not in the users file, and its logins fail as with a wrong password.`
    : `The account ${account} is disabled: its logins fail as with a wrong password.`;
}

/** An account that is not blocked has a problem all the same where its program has a wrong password. */
export function failedSentence({ failed, putOff, since, isKnown, wasNone }: FailedLogins): string {
  const part = (of: LastLogin | undefined, how: string): readonly string[] => {
    if (of === undefined) return [];
    const { count, at, network } = of;
    const many = count === 1 ? '1 login of it' : `${count} logins of it`;
    return [`${many} ${how}, ${count === 1 ? '' : 'the last '}at ${formatInstant(at)} from ${network}`];
  };
  const orNone = wasNone
    ? ', or since there was no such account then, or it was disabled'
    : isKnown
      ? ''
      : ', or since there is no such account';
  const parts = [
    ...part(failed, `failed with a wrong password${orNone}`),
    ...part(putOff, 'got 454, since too many from that network had failed'),
  ];
  const isOne = (failed?.count ?? 0) + (putOff?.count ?? 0) === 1;
  return `${parts.join(', and ')}${isOne ? '' : `; the first at ${formatInstant(since)}`}.`;
}

export function failedView(counted: FailedLogins | undefined): z.infer<typeof failedLoginsShape> {
  if (counted === undefined) return null;
  const { failed, putOff, since } = counted;
  const at = lastOf(counted);
  const { network } = (putOff?.at === at ? putOff : failed)!;
  const counts = { failed: failed?.count ?? 0, putOff: putOff?.count ?? 0 };
  return { ...counts, since: formatInstant(since), at: formatInstant(at), network };
}

/**
 * Since when each login that failed is known here; undefined where mail servers, or other processes, take logins too, and where
 * guesses of the last hour had others forgotten.
 */
export function failuresKnownSince(
  { putOffs, isAsked, asksBesides, startedAt, failuresForgottenAt }: ApiDependencies,
  now: Instant,
): Instant | undefined {
  if (putOffs === undefined || isAsked === true || asksBesides !== undefined) return undefined;
  if (failuresForgottenAt !== undefined && now - failuresForgottenAt() <= HOUR) return undefined;
  return Math.max(startedAt, now - HOUR);
}

/** Why rules act on nobody now, or do less than they say, for any count. */
export function heldBack({ models, clock }: Pick<ApiDependencies, 'models' | 'clock'>): readonly string[] {
  const { sendVolume, automaticBlocks } = models;
  const { mode, maxAutomaticBlocks } = sendVolume.rules;
  if (mode === 'observe') return ['Rules only observe now (mode: observe): none of them blocks or proposes.'];
  const { max, window } = maxAutomaticBlocks;
  return automaticBlocks.breakers
    .filter((breaker) => automaticBlocks.within(breaker, window, clock.now()) >= max)
    .map(
      (breaker) =>
        `The circuit breaker "${breaker}" is open: such blocks are only proposed below five times the limit.`,
    );
}

/** How many events of an account are taken, besides those that were recorded late: these may be many at once, and long over. */
const EVENTS_TAKEN = 100;
/** A flood of refusals is recorded so long after it began, at most. */
const SUMMED_UP: Milliseconds = MINUTE;

export const refusalShape = z.object({
  at: z.string(),
  stage: z.enum(['auth', 'rcpt', 'data']),
  block: z.string(),
  reply: z.string(),
  unheld: z.literal(true).optional().meta({ description: 'It was to be held, and was not.' }),
  full: z.literal(true).optional().meta({
    description: 'Of unheld: the block held as much as one may; else the mail server could not hold it.',
  }),
  returnPath: z.string().nullable(),
  ehlo: z.string().nullable(),
  ip: z.string().nullable(),
  count: z.int().meta({ description: 'How many it stands for.' }),
});

export type RefusalJson = z.infer<typeof refusalShape>;

export const behindShape = z
  .object({
    count: z.int().meta({ description: 'Recipients.' }),
    at: z.string().meta({ description: 'When the last one was refused.' }),
    code: z.int().meta({ description: 'What the mail server answered then.' }),
  })
  .nullable()
  .meta({
    description:
      'What the mail server behind refused of this account within a day, among its last events, and since the start what no rule counts; null where nothing was, no account is named, or the store cannot be read now.',
  });
type Behind = z.infer<typeof behindShape>;

/** What the store has of an account. */
interface Recorded {
  /** Refusals of ours, newest first. */
  readonly refusals: readonly RefusalJson[];
  readonly behind: Behind;
  /** Each code that the mail server behind answered then, as of the last time. */
  readonly behindCodes: readonly Pick<NonNullable<Behind>, 'code' | 'at'>[];
}

/** Recent refusals of an account; undefined without one, or if the store cannot be read. */
export async function recordedOf(
  { store, refusedBehind }: ApiDependencies,
  { account, direction }: SenderIdentity,
  at: Instant,
): Promise<Recorded | undefined> {
  if (account === undefined) return undefined;
  const recorded = await recordedIn(store, sendStream(account), direction, at);
  const others = direction === 'outbound' ? (refusedBehind?.(account, at) ?? []) : [];
  return recorded === undefined ? undefined : others.reduce(withBehind, recorded);
}

/** What is recorded, and what else the mail server behind refused. */
function withBehind(recorded: Recorded, other: RefusedBehind): Recorded {
  const { behind, behindCodes } = recorded;
  const { code, count } = other;
  const at = formatInstant(other.at);
  const known = behindCodes.find((one) => one.code === code);
  const isLast = behind === null || behind.at < at;
  return {
    ...recorded,
    behind: {
      count: count + (behind?.count ?? 0),
      at: isLast ? at : behind.at,
      code: isLast ? code : behind.code,
    },
    behindCodes:
      known !== undefined && known.at > at
        ? behindCodes
        : [...behindCodes.filter((one) => one !== known), { code, at }],
  };
}

/**
 * Logins from an address that a block had fail without it being known whose they were. Undefined if no address is named: a
 * block of a network may have had the login fail all the same.
 */
export async function namelessAt(
  { store }: ApiDependencies,
  { ip, direction }: SenderIdentity,
  at: Instant,
): Promise<readonly RefusalJson[] | undefined> {
  if (ip === undefined) return undefined;
  const stream = sendStream(sendStreamKey(senderIdentity({ ip, direction })));
  const recorded = await recordedIn(store, stream, direction, at);
  return (recorded?.refusals ?? []).filter((one) => one.stage === 'auth');
}

async function recordedIn(
  store: Pick<EventStore, 'readStream'>,
  stream: string,
  direction: MailDirection,
  at: Instant,
): Promise<Recorded | undefined> {
  const refusals: RefusalJson[] = [];
  let behind: NonNullable<Behind> | undefined;
  const lastOf = new Map<number, string>();
  let events: readonly RecordedEvent[];
  try {
    events = await newestUpTo(store, stream, at);
  } catch (thrown) {
    // The verdict comes from memory and does not need these.
    if (!(thrown instanceof StoreUnavailable)) throw thrown;
    return undefined;
  }
  for (const event of events) {
    const { type, data } = event;
    if ((data as { readonly direction?: unknown }).direction !== direction) continue;
    if (type === 'MessageRefused') {
      const refused = data as MessageRefused;
      // A flood is recorded each ten seconds, a single refusal among it too: by then its block may have ended.
      refusals.push(refusalView(refused, refused.count === 1 ? refused.since : event.at));
    } else if (type === 'RecipientsRefused' && at - event.at <= DAY) {
      const { count, code } = data as RecipientsRefused;
      const when = formatInstant(event.at);
      behind = { code, at: when, ...behind, count: count + (behind?.count ?? 0) };
      if (!lastOf.has(code)) lastOf.set(code, when);
    }
  }
  const behindCodes = [...lastOf].map(([code, when]) => ({ code, at: when }));
  return { refusals, behind: behind ?? null, behindCodes };
}

/** @param when the refusal happened */
export function refusalView(refused: MessageRefused, when: Instant): RefusalJson {
  const { stage, block, reply, unheld, full, returnPath = null, ehlo = null, ip = null, count } = refused;
  const one = { at: formatInstant(when), stage, block, reply, returnPath, ehlo, ip, count };
  return unheld === true ? { ...one, unheld, ...(full === true ? { full } : {}) } : one;
}

/** What had happened by an instant, newest first. */
async function newestUpTo(
  store: Pick<EventStore, 'readStream'>,
  stream: string,
  at: Instant,
): Promise<readonly RecordedEvent[]> {
  const found: RecordedEvent[] = [];
  const seen = new SeenIds();
  const limit = LOOKED_AT_FOR_LATE;
  const last = await lastBefore(store, stream, ({ recordedAt }) => recordedAt <= at + SUMMED_UP);
  for await (const event of store.readStream(stream, { from: (last ?? -1) + 1, limit }))
    if (event.at <= at && seen.isNew(event.id)) found.push(event);
  if (last !== undefined) {
    let left = EVENTS_TAKEN;
    for await (const event of store.readStream(stream, { direction: 'backwards', from: last, limit })) {
      if (event.at > at || !seen.isNew(event.id)) continue;
      const isLate = event.recordedAt - event.at > CLOCK_TOLERANCE;
      if (!isLate && left-- === 0) break;
      found.push(event);
    }
  }
  return found.sort((a, b) => b.at - a.at);
}

/** Before when nothing is known of refusals. */
interface Beginning {
  readonly at: Instant;
  /** Whether there are events of before, which another program has recorded. */
  readonly isImported: boolean;
}

/** Since when Stopgap has been in the way of mail: every start puts rules in force first, and no import does. */
export async function beginningOf({ store, models }: ApiDependencies): Promise<Beginning | undefined> {
  const first = models.sendVolume.installedAt;
  try {
    for await (const { at } of store.readStream(RULES_STREAM, { limit: 1 }))
      if (first !== undefined && at > first) return { at, isImported: true };
  } catch (thrown) {
    if (!(thrown instanceof StoreUnavailable)) throw thrown;
  }
  return first === undefined ? undefined : { at: first, isImported: false };
}

export function behindSentence({ count, at, code }: NonNullable<Behind>): string {
  const recipients = count === 1 ? '1 recipient' : `${count} recipients`;
  return `The mail server behind has refused ${recipients} of it within a day, the last at ${at} with ${code}.`;
}

export interface Refusing {
  readonly block: BlockJson;
  readonly subject: Subject;
}

interface CameAs {
  readonly at: string;
  readonly ip: string | null;
  readonly ehlo: string | null;
}

/** @param begins undefined if there is no event */
export function refusalSentence(
  refusing: Refusing | undefined,
  at: Instant,
  isPast: boolean,
  begins: Beginning | undefined,
): string {
  const verb = isPast ? 'was' : 'is';
  if (refusing === undefined) {
    if (isPast && begins !== undefined && at < begins.at) return nothingKnown(at, begins);
    return `This sender ${verb} not refused: no block ${isPast ? `in force at ${formatInstant(at)}` : 'in force'} covers it.`;
  }
  return `This sender ${verb} refused: ${blockedSentence(refusing, at, verb)}`;
}

/** A block of one direction alone is no reason to say that none is in force. */
export function otherWaySentence(
  direction: MailDirection,
  refusing: Refusing,
  at: Instant,
  isPast: boolean,
): string {
  const [asked, other] = direction === 'outbound' ? ['Outbound', 'inbound'] : ['Inbound', 'outbound'];
  const verb = isPast ? 'was' : 'is';
  const blocked = blockedSentence(refusing, at, verb);
  return `${asked} mail of this sender ${verb} not refused, but its ${other} mail ${verb} (ask with direction ${other}): ${blocked}`;
}

function blockedSentence({ block, subject }: Refusing, at: Instant, verb: string): string {
  const ends = block.until === null ? 'until it is released' : until(block.until, at);
  // Of a block that a node has made by itself, and that is not recorded yet, the rule is not known.
  const rule = block.rule === null ? 'a rule' : `rule "${block.rule}"`;
  const whose = block.origin === 'rule' ? `by ${rule}` : 'by an administrator';
  const given = block.description === '' ? '' : `The reason given: ${ended(block.description)}`;
  const why = block.evidence?.sentence ?? given;
  return `${lowerFirst(nameOf(subject))} ${verb} blocked ${whose} ${ends}. ${why}`.trim();
}

function nothingKnown(at: Instant, begins: Beginning): string {
  const why = begins.isImported
    ? `Stopgap began here at ${formatInstant(begins.at)}, and what there is of before was imported`
    : `the first event here is of ${formatInstant(begins.at)}`;
  return `Nothing is recorded of ${formatInstant(at)}: ${why}. Whether this sender was refused is not known.`;
}

function ended(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

function until(end: string, at: Instant): string {
  const left = Date.parse(end) - at;
  // Seconds do not matter where hours are left.
  const unit = left > HOUR ? MINUTE : SECOND;
  const rounded = Math.max(1, Math.round(left / unit)) * unit;
  return left > 0 ? `until ${end} (for another ${formatDuration(rounded)})` : `until ${end}`;
}

function lowerFirst(text: string): string {
  return /^(EHLO|IP)/.test(text) ? text : text.charAt(0).toLowerCase() + text.slice(1);
}

/** The address or EHLO name from which the account was refused before, be it by this block or by another one. */
export function cameAs({ at, ip, ehlo }: CameAs): readonly string[] {
  const where = [...(ip === null ? [] : [`from ${ip}`]), ...(ehlo === null ? [] : [`as ${ehlo}`])];
  return where.length === 0 ? [] : [`At ${at} it came ${where.join(' ')}.`];
}
