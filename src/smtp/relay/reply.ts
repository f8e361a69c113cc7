import { printable } from '../../kernel/printable.js';
import type { Delivery, RecipientResult, Reply } from './port.js';

/** A reply as it arrived: one text for each of its lines. */
export interface RawReply {
  readonly code: number;
  /** The lines without code and separator; never empty. */
  readonly lines: readonly string[];
}

/** What came over the wire is no SMTP reply. */
export class MalformedReply extends Error {}

/** More than any honest server sends in one reply. A longer one is no dialogue. */
const MAX_REPLY_BYTES = 32 * 1024;
const MAX_TEXT = 480;
const LF = 0x0a;

/**
 * Cuts a byte stream into replies (RFC 5321 section 4.2). It tolerates what does no harm (a bare LF as line end, a code
 * without text, lines of several codes: the last one counts); a line that has no code from 200 to 599, or a reply
 * beyond 32 KiB, throws MalformedReply.
 */
export class ReplyReader {
  #rest: Buffer | undefined;
  #lines: string[] = [];
  #bytes = 0;

  /** True if an incomplete reply has arrived. */
  get partial(): boolean {
    return this.#rest !== undefined || this.#lines.length > 0;
  }

  /** Takes the next bytes and hands each reply that they complete to `onReply`, in order. */
  push(chunk: Buffer, onReply: (reply: RawReply) => void): void {
    const data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const end = data.lastIndexOf(LF);
    this.#rest = end === data.length - 1 ? undefined : data.subarray(end + 1);
    if (this.#bytes + (this.#rest?.length ?? 0) > MAX_REPLY_BYTES)
      throw new MalformedReply('a reply without end');
    if (end < 0) return;
    const text = data.toString('utf8', 0, end + 1);
    for (let from = 0; from < text.length;) {
      const lf = text.indexOf('\n', from);
      const stop = lf > from && text[lf - 1] === '\r' ? lf - 1 : lf;
      this.#line(text.slice(from, stop), onReply);
      from = lf + 1;
    }
  }

  #line(line: string, onReply: (reply: RawReply) => void): void {
    const code = codeOf(line);
    if (code === 0) throw new MalformedReply(`"${printable(line, '?').slice(0, 60)}" is no reply`);
    this.#bytes += line.length + 2;
    if (this.#bytes > MAX_REPLY_BYTES) throw new MalformedReply('a reply without end');
    this.#lines.push(line.slice(4));
    if (line[3] === '-') return;
    const lines = this.#lines;
    this.#lines = [];
    this.#bytes = 0;
    onReply({ code, lines });
  }
}

/** The reply code, or 0 if the line has none. */
function codeOf(line: string): number {
  const hundreds = line.charCodeAt(0) - 48;
  const tens = line.charCodeAt(1) - 48;
  const ones = line.charCodeAt(2) - 48;
  const separator = line.length > 3 ? line[3] : ' ';
  const digits = tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9;
  if (!(hundreds >= 2 && hundreds <= 5) || !digits || (separator !== ' ' && separator !== '-')) return 0;
  return hundreds * 100 + tens * 10 + ones;
}

const ENHANCED = /^[245]\.\d{1,3}\.\d{1,3}(?: |$)/;

/** The reply as it is passed on: lines joined, an enhanced status code only once, 421 as 451, 480 characters. */
export function toReply(raw: RawReply): Reply {
  return { code: raw.code === 421 ? 451 : raw.code, text: textOf(raw) };
}

export function textOf(raw: RawReply): string {
  const [first] = raw.lines;
  if (raw.lines.length === 1) return printable(first!, '?').trim().slice(0, MAX_TEXT);
  const enhanced = ENHANCED.exec(first!)?.[0];
  const lines = raw.lines.map((line, index) =>
    index > 0 && enhanced !== undefined && line.startsWith(enhanced) ? line.slice(enhanced.length) : line,
  );
  return printable(lines.join(' '), '?').replace(/ {2,}/g, ' ').trim().slice(0, MAX_TEXT);
}

export function isPositive(reply: { readonly code: number }): boolean {
  return reply.code >= 200 && reply.code < 300;
}

export function isTemporary(reply: { readonly code: number }): boolean {
  return reply.code >= 400 && reply.code < 500;
}

/** The session is unusable; the message says why. */
export class SessionLost extends Error {
  constructor(
    message: string,
    /** True if the upstream closed the session (or said 421): a fresh one may work. */
    readonly closedByUpstream: boolean,
    /** The message without what the upstream itself has said. */
    readonly fault: string = message,
  ) {
    super(message);
    this.name = 'SessionLost';
  }
}

/** The result of DATA. */
export type DataOutcome =
  | { readonly kind: 'refused'; readonly reply: RawReply }
  | { readonly kind: 'withdrawn' }
  /** One reply, with LMTP one for each recipient; fewer where the upstream went away between them. */
  | { readonly kind: 'answered'; readonly replies: readonly RawReply[] };

/** The room for several recipients in one reply line, in characters. */
const MAX_ANSWER = 400;

/** All recipients share one fate. */
export function sameForAll(results: readonly RecipientResult[], reply: Reply): Delivery {
  return {
    reply,
    accepted: isPositive(reply) ? results.map((result) => result.recipient) : [],
    results: results.map(({ recipient }) => ({ recipient, reply })),
    withdrawn: false,
  };
}

/** `confirm` said no. */
export function withdrawn(results: readonly RecipientResult[]): Delivery {
  return {
    ...sameForAll(results, { code: 451, text: '4.3.0 the message was not handed over' }),
    withdrawn: true,
  };
}

/**
 * A recipient that the upstream had taken at RCPT was refused when the transaction had to be run again. Nothing is
 * handed over: a permanent refusal now would also hit the other recipients, and a success would lose this one. When the
 * client tries again, each recipient gets its own answer at RCPT.
 */
export function changedMind(results: readonly RecipientResult[]): Delivery {
  const refused = results.filter((result) => !isPositive(result.reply)).length;
  return {
    reply: {
      code: 451,
      text: `4.3.0 the next server has changed its answer for ${refused} of ${results.length} recipients, try again`,
    },
    accepted: [],
    results,
    withdrawn: false,
  };
}

/**
 * The client's single answer if each recipient has its own after the final dot (LMTP, RFC 2033 section 4.2):
 *
 * - all took it: 250;
 * - none took it: the first 4yz answer, because it makes the client try again; else the first 5yz;
 * - some took it, and of the others at least one says 4yz: 451, with how many got it. The client sends the message
 *   again, and those who got it do not get it again (see DeliveryMemory);
 * - some took it and the others say 5yz: 554, with how many got it and what the others said. The client reports a
 *   failure, and its text says that it is partial.
 */
export function answerFor(results: readonly RecipientResult[]): Delivery {
  const delivered = results.filter((result) => isPositive(result.reply));
  const refused = results.filter((result) => !isPositive(result.reply));
  const accepted = delivered.map((result) => result.recipient);
  if (refused.length === 0) {
    return { reply: results[0]!.reply, accepted, results, withdrawn: false };
  }
  const temporary = refused.find((result) => isTemporary(result.reply));
  let reply: Reply;
  if (delivered.length === 0) reply = (temporary ?? refused[0]!).reply;
  else if (temporary !== undefined) {
    reply = {
      code: 451,
      text: `4.3.0 delivered to ${delivered.length} of ${results.length} recipients, try again for the rest`,
    };
  } else reply = { code: 554, text: refusalsText(delivered.length, refused) };
  return { reply, accepted, results, withdrawn: false };
}

function refusalsText(delivered: number, refused: readonly RecipientResult[]): string {
  const start = `5.3.0 delivered to ${delivered} of ${delivered + refused.length} recipients; refused: `;
  const full =
    start +
    refused.map(({ recipient, reply }) => `${recipient.address}: ${reply.code} ${reply.text}`).join('; ');
  if (full.length <= MAX_ANSWER) return full;
  const answers = new Set(refused.map(({ reply }) => `${reply.code} ${reply.text}`));
  const short = `${start}${refused.length} with ${[...answers].join('; ')}`;
  return short.length <= MAX_ANSWER ? short : `${short.slice(0, MAX_TEXT - 3)}...`;
}
