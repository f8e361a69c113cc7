import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import http from 'node:http';
import https from 'node:https';
import type { NodemailerError } from 'nodemailer';
import { isRefusedTarget } from '../config/notices.js';
import type { Channel } from '../config/schema.js';
import type { RelaySettings } from '../config/values.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY, SECOND } from '../kernel/time.js';
import { within } from '../runtime/clock.js';
import { normalizeAccount } from '../sending/identity.js';
import type { Notice } from './events.js';
import type { HttpRequest } from './formats.js';
import { headerText, plainOf, requestOf } from './formats.js';
import { isStillTold } from './receivers.js';
import { textOf } from './texts.js';

/** What came of an attempt. The error never holds a URL, an address or what the receiver said. */
export interface Outcome {
  readonly error?: string;
  /** The receiver wants no more. */
  readonly gone?: true;
  /** The mail server takes nothing for this receiver, now or later, or nothing may be sent there any more. */
  readonly refused?: true;
  /** Addresses that took it in this attempt, as {@link normalizeAccount} writes them, where others did not. */
  readonly told?: readonly string[];
  /** How long the receiver asks to wait. */
  readonly retryAfter?: Milliseconds;
}

/** From the beginning of an attempt until the receiver must have answered. */
export const DEADLINE: Milliseconds = 15 * SECOND;
/** No receiver puts off a notice for longer. */
const LONGEST_RETRY_AFTER: Milliseconds = DAY;

export interface SenderOptions {
  readonly clock: AlarmClock;
  readonly publicUrl: string | undefined;
  /** The mail server, if the channel names none. */
  readonly relay: RelaySettings;
  readonly hostname: string;
  /** How names become addresses; the system's way unless given. */
  readonly lookup?: typeof systemLookup;
}

/**
 * Loads what speaks SMTP, which only channels of mail need. Later, when something is wrong, it may be one file too many, and
 * Node.js tries none again.
 */
export async function prepareToSend(channels: readonly Channel[]): Promise<void> {
  if (channels.some(({ type }) => type === 'mail')) await import('nodemailer');
}

/** Sends a notice once. Never throws. @param told addresses that took it before, and do not get it again */
export async function sendNotice(
  channel: Channel,
  notice: Notice,
  options: SenderOptions,
  closing: AbortSignal,
  told: readonly string[] = [],
): Promise<Outcome> {
  // The configuration may be another one than when the notice was made.
  if (!isStillTold(channel, notice))
    return { error: 'it is no owner any more whom this was to be sent to', refused: true };
  const deadline = new AbortController();
  const signal = AbortSignal.any([closing, deadline.signal]);
  const attempt =
    channel.type === 'mail'
      ? sendMail(channel, notice, options, signal, told)
      : post(requestOf(channel, notice, options.publicUrl, options.clock.now()), options, signal);
  let stop = (): void => undefined;
  // A mail server that hangs must not keep the process from ending.
  const stopped = new Promise<Outcome>((resolve) => (stop = () => resolve({ error: 'stopped' })));
  closing.addEventListener('abort', stop, { once: true });
  try {
    return await within(options.clock, DEADLINE, Promise.race([attempt.catch(failureOf), stopped]), () => {
      deadline.abort();
      return { error: `no answer within ${DEADLINE / SECOND} s` };
    });
  } finally {
    closing.removeEventListener('abort', stop);
  }
}

class RefusedTarget extends Error {
  readonly code = 'refused';
}

/** Resolves a name, and refuses addresses that only the machine itself should reach. What is resolved is what is connected to. */
function guarded(lookup: typeof systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0);
      if (addresses.length === 0 || addresses.some(({ address }) => isRefusedTarget(address)))
        return callback(new RefusedTarget(), '', 0);
      if (options.all === true) return callback(null, addresses);
      callback(null, addresses[0]!.address, addresses[0]!.family);
    });
  };
}

function post(
  { method, url, headers, body }: HttpRequest,
  { lookup = systemLookup, clock }: SenderOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const target = new URL(url);
    const { request } = target.protocol === 'https:' ? https : http;
    const length = String(Buffer.byteLength(body));
    const sent = request(
      target,
      {
        method,
        signal,
        agent: false,
        lookup: guarded(lookup),
        headers: { 'user-agent': 'stopgap', ...headers, 'content-length': length },
      },
      (response) => {
        const { statusCode: status = 0 } = response;
        // Only the status says whether it arrived.
        response.destroy();
        resolve(outcomeOf(status, response.headers['retry-after'], clock.now()));
      },
    );
    // Another error after the first one must not end the process.
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Only 2xx is success; a redirect may lead anywhere, and so is none. */
export function outcomeOf(status: number, retryAfter: string | undefined, now: Instant): Outcome {
  if (status >= 200 && status < 300) return {};
  const error = `HTTP ${status}${status >= 300 && status < 400 ? ', a redirect, which is not followed' : ''}`;
  if (status === 410) return { error, gone: true };
  const seconds = /^\d{1,9}$/.test(retryAfter ?? '')
    ? Number(retryAfter) * SECOND
    : Date.parse(retryAfter ?? '') - now;
  return seconds > 0 ? { error, retryAfter: Math.min(seconds, LONGEST_RETRY_AFTER) } : { error };
}

type MailFailure = Partial<NodemailerError>;

/** Of RFC 5321, section 4.2.3, those that may speak of a mailbox that is not there; 552 is a full one, and 554 anything. */
const OF_MAILBOX: ReadonlySet<unknown> = new Set([550, 551, 553]);
/** Enhanced codes (RFC 3463), wherever they stand in a reply. */
const ENHANCED = /(?<![\d.])5\.\d{1,3}\.\d{1,3}(?!\.?\d)/g;
/** Of these, those by which the receiver's address leads nowhere. 5.1.0, 5.1.7 and 5.1.8 may speak of the sender's. */
const LEADS_NOWHERE = /^5\.(?:1\.(?:[1-6]|10)|2\.1)$/;

/**
 * Whether it is about this mailbox, now and later. All else is about us, or passes, and somebody may mend it. A reply without
 * an enhanced code may be either: Exim says 550 of a relay that it does not permit, too.
 */
function isForGood({ responseCode, response = '', command, recipient }: MailFailure): boolean {
  if (command !== 'RCPT TO' && recipient === undefined) return false;
  const enhanced = response.match(ENHANCED) ?? [];
  return (
    OF_MAILBOX.has(responseCode) && enhanced.length > 0 && enhanced.every((code) => LEADS_NOWHERE.test(code))
  );
}

/** The code alone: messages hold names and paths. */
function failureOf(thrown: unknown): Outcome {
  if (thrown instanceof RefusedTarget)
    return { error: 'the name leads to a link-local or metadata address, which no notice is sent to' };
  const failure = thrown as MailFailure;
  // Each receiver has its own. What may yet reach one of them is no dead letter.
  const { rejectedErrors: all = [failure] } = failure;
  const passing = all.find((one) => !isForGood(one));
  const { responseCode, code }: MailFailure = passing ?? all[0] ?? {};
  if (typeof responseCode === 'number')
    return passing === undefined
      ? { error: `the mail server refuses this receiver for good: ${responseCode}`, refused: true }
      : { error: `the mail server refused it: ${responseCode}` };
  return {
    error: typeof code === 'string' && /^[A-Z0-9_]{1,60}$/.test(code) ? `no answer: ${code}` : 'no answer',
  };
}

async function sendMail(
  { to, from, smtp, texts }: Channel,
  notice: Notice,
  { relay, hostname, publicUrl }: SenderOptions,
  signal: AbortSignal,
  told: readonly string[],
): Promise<Outcome> {
  const all = notice.to === undefined ? (to ?? []) : [notice.to];
  const rest = all.filter((address) => !told.includes(normalizeAccount(address)));
  // Who has not taken it is no receiver any more.
  if (rest.length === 0) return {};
  const target = (smtp ?? relay).target;
  if ('maildir' in target || 'path' in target.address) return { error: 'no mail server is named' };
  const [user, pass] = loginOf(target.authPlain?.());
  const { default: nodemailer } = await import('nodemailer');
  signal.throwIfAborted();
  const transport = nodemailer.createTransport({
    ...target.address,
    name: hostname,
    lmtp: target.protocol === 'lmtp',
    secure: target.implicitTls,
    requireTLS: target.tls === 'require' && !target.implicitTls,
    ignoreTLS: target.tls === 'off',
    ...(user === undefined ? {} : { auth: { user, pass: pass ?? '' } }),
    tls: { rejectUnauthorized: target.verify, ...(target.ca === undefined ? {} : { ca: target.ca }) },
    connectionTimeout: DEADLINE,
    greetingTimeout: DEADLINE,
    socketTimeout: DEADLINE,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const abort = (): void => transport.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    const text = textOf(notice, publicUrl, texts);
    const { accepted, rejectedErrors = [] } = await transport.sendMail({
      from: { name: 'Stopgap', address: from ?? `stopgap@${hostname}` },
      to: rest,
      subject: headerText(text.title),
      messageId: `<${notice.id}@${hostname}>`,
      // No automatic answer may come of it.
      headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
      text: plainOf(text),
      html: htmlOf(text),
    });
    // LMTP answers for each receiver once it has the message, and that is no error there.
    if (rejectedErrors.length === 0) return {};
    const failure = failureOf({ rejectedErrors });
    if (accepted.length === 0) return failure;
    const error = `of ${all.length} addresses ${rejectedErrors.length} did not take it: ${failure.error}`;
    return { ...failure, error, told: accepted.map(normalizeAccount) };
  } finally {
    signal.removeEventListener('abort', abort);
    transport.close();
  }
}

/** Of the AUTH PLAIN response that a relay's URL was made into. */
function loginOf(plain: string | undefined): readonly (string | undefined)[] {
  return plain === undefined ? [] : Buffer.from(plain, 'base64').toString('utf8').split('\0').slice(1);
}

function htmlOf({ title, lines, link }: ReturnType<typeof textOf>): string {
  const paragraphs = lines.map((line) => `<p>${escapedHtml(line)}</p>`);
  const anchor = link === undefined ? '' : `<p><a href="${escapedHtml(link)}">Look at it</a></p>`;
  return `<!doctype html><meta charset="utf-8"><h1 style="font-size:1.2em">${escapedHtml(title)}</h1>${paragraphs.join('')}${anchor}`;
}

function escapedHtml(text: string): string {
  return text.replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);
}
