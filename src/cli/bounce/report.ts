import type { Attachment, Email } from 'postal-mime';
import PostalMime, { addressParser } from 'postal-mime';
import { messageOf } from '../../kernel/errors.js';

/** What a message says of one that was sent. All of it is what a stranger may have written: it proves nothing by itself. */
export interface ReturnedMail {
  /** `failed`: it came back (RFC 3464). `complaint`: a recipient complained (RFC 5965). */
  readonly kind: 'failed' | 'complaint';
  /** The status code (RFC 3463) of the first recipient that failed. */
  readonly status?: string;
  /** The ids by which a server of ours may know it: transactions, queue ids, envelope ids. */
  readonly ids: readonly string[];
  /** Whose it may be: logins and addresses. */
  readonly senders: readonly string[];
}

/** What a message is about, or why it counts for nothing. */
export type Reading = { readonly returned: ReturnedMail } | { readonly nothing: string };

/** Bounds of what is looked at. Each is far above what an honest report has. */
const DEEPEST = 8;
/** Bytes of a message that are looked at: what a report is about comes before the mail that came back, and that begins with its header. */
export const LARGEST = 256 * 1024;
/** Lines of it, each of which costs postal-mime a kilobyte or two. */
const MOST_LINES = 10_000;
/** Bytes of a header, of all headers of parts together, and of the fields of a report. */
const LARGEST_HEADER = 64 * 1024;
export const MOST_IDS = 20;
export const MOST_SENDERS = 8;
/** Servers that say who logged in there: ours, and few that it passed later. */
const MOST_LOGINS = 3;
const LONGEST_ID = 255;
const LONGEST_NAME = 320;
const LONGEST_VALUE = 4096;

const STATUS = new Set(['message/delivery-status', 'message/global-delivery-status']);
const RETURNED = new Set([
  'message/rfc822',
  'text/rfc822-headers',
  'message/global',
  'message/global-headers',
  'text/rfc822',
]);
const FEEDBACK = 'message/feedback-report';
/** What a recipient says of mail that it did not want: the other types are about passwords, or say that it was no spam. */
const COMPLAINTS = new Set(['abuse', 'fraud']);

/** Reads a message, of which the beginning will do. */
export async function readReturned(message: Uint8Array): Promise<Reading> {
  const { header, rest } = split(message);
  let email: Email;
  try {
    email = await PostalMime.parse(rest, {
      maxNestingDepth: DEEPEST,
      maxHeadersSize: LARGEST_HEADER,
      forceRfc822Attachments: true,
      maxRfc822NestingDepth: 0,
    });
  } catch (error) {
    return { nothing: `it cannot be read: ${messageOf(error)}` };
  }
  const part = (types: ReadonlySet<string>): Attachment | undefined =>
    email.attachments.find(({ mimeType }) => types.has(mimeType));
  const feedback = part(new Set([FEEDBACK]));
  const status = part(STATUS);
  const about = feedback ?? status;
  if (about === undefined) return { nothing: 'it is no delivery status and no feedback report' };
  const [head = [], ...recipients] = groupsOf(textOf(about));
  const kind = feedback === undefined ? failureOf(recipients) : complaintOf(head);
  if ('nothing' in kind) return kind;
  const returned = part(RETURNED);
  const [original = []] = returned === undefined ? [] : groupsOf(textOf(returned));
  const ids = idsOf(head, original);
  if (ids.length === 0) return { nothing: 'it names no id of the message that was sent' };
  const senders = sendersOf(head, original, feedback === undefined ? header : []);
  if (senders.length === 0) return { nothing: 'it names no sender of the message that was sent' };
  return { returned: { ...kind, ids, senders } };
}

type Fields = readonly (readonly [name: string, value: string])[];
type Kind = Pick<ReturnedMail, 'kind' | 'status'> | { readonly nothing: string };

function failureOf(recipients: readonly Fields[]): Kind {
  const failed = recipients.find((fields) => /^failed\b/i.test(valueOf(fields, 'action') ?? ''));
  if (failed === undefined) return { nothing: 'it tells of no recipient that failed' };
  const status = /^[245]\.\d{1,3}\.\d{1,3}\b/.exec(valueOf(failed, 'status') ?? '')?.[0];
  return { kind: 'failed', ...(status === undefined ? {} : { status }) };
}

function complaintOf(head: Fields): Kind {
  const type = (valueOf(head, 'feedback-type') ?? '').toLowerCase();
  if (!COMPLAINTS.has(type)) return { nothing: 'it is a feedback report, and no complaint' };
  return { kind: 'complaint' };
}

/**
 * The header, and the message without all of it that is not about its parts: postal-mime takes a minute for a quarter of a
 * megabyte of `To:` that somebody made for it.
 */
function split(message: Uint8Array): { readonly header: Fields; readonly rest: Buffer } {
  const bytes = beginningOf(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
  const text = bytes.subarray(0, LARGEST_HEADER).toString('latin1');
  const found = /\n\r?\n/.exec(text);
  const end = found === null ? text.length : found.index + found[0].length;
  const [header = []] = groupsOf(text.slice(0, end));
  const kept = header.filter(([name]) => name.startsWith('content-'));
  const lines = kept.map(([name, value]) => `${name}: ${value}\r\n`);
  return {
    header,
    rest: Buffer.concat([Buffer.from(`${lines.join('')}\r\n`, 'latin1'), bytes.subarray(end)]),
  };
}

function beginningOf(message: Buffer): Buffer {
  const bytes = message.subarray(0, LARGEST);
  let end = -1;
  for (let lines = 0; lines < MOST_LINES; lines++) {
    end = bytes.indexOf(0x0a, end + 1);
    if (end < 0) return bytes;
  }
  return bytes.subarray(0, end);
}

function idsOf(head: Fields, original: Fields): readonly string[] {
  const ids = new Set<string>();
  const add = (id: string | undefined): void => {
    if (id !== undefined && ids.size < MOST_IDS && isName(id, LONGEST_ID)) ids.add(id);
  };
  add(valueOf(head, 'x-postfix-queue-id'));
  add(decodedXtext(valueOf(head, 'original-envelope-id')));
  // Below the line of our server is what the sender wrote: a thief could name so many ids there that ours is not among them.
  for (const trace of valuesOf(original, 'received')) add(/\bid\s<?([\w.-]{6,100})\b/.exec(trace)?.[1]);
  return [...ids];
}

function sendersOf(head: Fields, original: Fields, report: Fields): readonly string[] {
  const senders = new Set<string>();
  const add = (name: string | undefined): void => {
    if (name !== undefined && senders.size < MOST_SENDERS && isName(name, LONGEST_NAME)) senders.add(name);
  };
  const addresses = (fields: Fields, name: string, most = MOST_SENDERS): void => {
    // An honest message has one of each.
    const value = valueOf(fields, name) ?? '';
    for (const { address } of addressParser(value, { flatten: true }).slice(0, most)) add(address);
  };
  // What servers say comes before what the sender may have made up.
  add(addressIn(valueOf(head, 'x-postfix-sender')));
  add(addressIn(valueOf(head, 'original-mail-from')));
  // It is sent to the return path.
  addresses(report, 'to');
  addresses(original, 'return-path', 1);
  const logins = valuesOf(original, 'received').flatMap(
    (trace) => /\(Authenticated sender: ([^\s()]{1,320})\)/.exec(trace)?.[1] ?? [],
  );
  for (const login of logins.slice(0, MOST_LOGINS)) add(login);
  for (const name of ['from', 'sender']) addresses(original, name);
  return [...senders];
}

/** Blocks of fields, with an empty line between them (RFC 3464, section 2.1). */
function groupsOf(text: string): readonly Fields[] {
  const groups: (readonly [string, string])[][] = [];
  let open: [name: string, value: string][] | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === '') {
      open = undefined;
      continue;
    }
    if (open === undefined) groups.push((open = []));
    const last = open.at(-1);
    if (/^[ \t]/.test(line)) {
      if (last !== undefined) last[1] = cut(`${last[1]} ${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(':');
    if (colon > 0) open.push([line.slice(0, colon).trim().toLowerCase(), cut(line.slice(colon + 1).trim())]);
  }
  return groups;
}

function valueOf(fields: Fields, name: string): string | undefined {
  return fields.find(([each]) => each === name)?.[1];
}

function valuesOf(fields: Fields, name: string): string[] {
  return fields.filter(([each]) => each === name).map(([, value]) => value);
}

/** `rfc822; alice@example.com`, `<alice@example.com>` */
function addressIn(value: string | undefined): string | undefined {
  const address = value?.split(';').at(-1)?.trim();
  return address?.startsWith('<') === true && address.endsWith('>') ? address.slice(1, -1) : address;
}

/** RFC 3461, section 4: `+2B` is a plus sign. */
function decodedXtext(value: string | undefined): string | undefined {
  return value?.replace(/\+([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function isName(text: string, longest: number): boolean {
  return text.length > 0 && text.length <= longest && /^[^\p{Cc}\p{Cs}\s]+$/u.test(text);
}

function cut(text: string): string {
  return text.slice(0, LONGEST_VALUE);
}

function textOf({ content }: Attachment): string {
  if (typeof content === 'string') return content.slice(0, LARGEST_HEADER);
  const bytes = content instanceof Uint8Array ? content : new Uint8Array(content);
  return Buffer.from(bytes.subarray(0, LARGEST_HEADER)).toString('utf8');
}
