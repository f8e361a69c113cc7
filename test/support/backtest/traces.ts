import type { LogFile } from '../../../src/import/postfix-log/index.js';
import type { Instant, Milliseconds } from '../../../src/kernel/time.js';
import { HOUR, MINUTE, SECOND, formatInstant } from '../../../src/kernel/time.js';

/** One message of a trace: what is left out is that of alice at her own machine, to one recipient. */
export interface Line {
  readonly at: Instant;
  readonly account?: string;
  readonly returnPath?: string;
  readonly ehlo?: string;
  readonly ip?: string;
  readonly country?: string;
  readonly asn?: number;
  readonly recipients?: number;
}

export function line({ at, account = 'alice@example.com', ...more }: Line): string {
  const { returnPath = account, ehlo = 'pc.example.com', ip = '192.0.2.7', recipients = 1 } = more;
  const { country, asn } = more;
  const sender = { account, returnPath, ehlo, ip, country, asn };
  return JSON.stringify({ time: formatInstant(at), ...sender, recipients, size: 1000 });
}

/** So many, so far apart. */
export function series(first: Line, count: number, every: Milliseconds): readonly Line[] {
  return Array.from({ length: count }, (_, n) => ({ ...first, at: first.at + n * every }));
}

/** A file of these lines, which comes in chunks of so many bytes. */
export function traceFile(lines: readonly string[], chunk = 65_536, name = 'trace.ndjson'): LogFile {
  const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
  return {
    name,
    writtenAt: 0,
    bytes: bytes.length,
    rereadable: true,
    async *chunks(onBytes) {
      for (let start = 0; start < bytes.length; start += chunk) {
        const part = bytes.subarray(start, start + chunk);
        onBytes?.(part.length);
        yield part;
      }
    },
  };
}

/** The same numbers for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Some accounts that write now and then, and now and then in floods, from machines that they partly share. Times are whole
 * seconds, so that messages often come at the very instant at which a block or proposal ends.
 *
 * @param pauses how many times as long the longer pauses are: 10 makes weeks of it
 */
export function lively(seed: number, messages: number, start: Instant, pauses = 1): readonly Line[] {
  const random = randomOf(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const lines: Line[] = [];
  let at = start;
  while (lines.length < messages) {
    const who = pick(6);
    const account = `user${who}@${who < 4 ? 'one' : 'two'}.example.com`;
    const burst = random() < 0.5 ? 1 : 5 + pick(40);
    const pace = random() < 0.5 ? SECOND : MINUTE;
    for (let n = 0; n < burst && lines.length < messages; n++) {
      const returnPath = random() < 0.2 ? `list${pick(3)}@one.example.com` : account;
      const ehlo = `pc${pick(3)}.example.com`;
      lines.push({ at, account, returnPath, ehlo, ip: `192.0.2.${pick(4)}`, recipients: 1 + pick(3) });
      at += pick(3) * pace;
    }
    at += pick(4) === 0 ? pick(4) * pauses * HOUR : pick(10) * MINUTE;
  }
  return lines;
}
