import { printable } from '../../kernel/printable.js';
import type { Reply } from './port.js';

/** A reply as it came: one text for each of its lines. */
export interface RawReply {
  readonly code: number;
  /** The lines without code and separator; never empty. */
  readonly lines: readonly string[];
}

/** What came over the wire is no SMTP reply. */
export class MalformedReply extends Error {}

/** More than any honest server sends in one reply; what comes beyond is no dialogue any more. */
const MAX_REPLY_BYTES = 32 * 1024;
const MAX_TEXT = 480;
const LF = 0x0a;

/**
 * Cuts a byte stream into replies (RFC 5321 section 4.2). Tolerant in what does no harm (a bare LF as line end,
 * a code without text, lines of several codes: the last one counts); a line that has no code from 200 to 599, or
 * a reply beyond 32 KiB, throws MalformedReply.
 */
export class ReplyReader {
  #rest: Buffer | undefined;
  #lines: string[] = [];
  #bytes = 0;

  /** True where part of a reply has come that is not complete yet. */
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

/** The reply code, or 0 where the line has none. */
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
