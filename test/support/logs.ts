import { gzipSync } from 'node:zlib';
import type { PastEvent, Sink } from '../../src/import/sink.js';
import type { LogFile, LogSummary, PostfixLogOptions } from '../../src/import/postfix-log/index.js';
import { Zone, readPostfixLogs } from '../../src/import/postfix-log/index.js';
import { parseNetworks } from '../../src/import/networks.js';
import { normalizeAccount } from '../../src/sending/identity.js';

/** When the logs of these tests are read. */
export const NOW = Date.parse('2026-11-24T12:00:00Z');

/** A log in memory. `chunk`: bytes that are read at once. */
export function logFile(
  name: string,
  text: string | readonly string[],
  { writtenAt = NOW, chunk = 64 * 1024 } = {},
): LogFile {
  const bytes = Buffer.from(typeof text === 'string' ? text : text.map((line) => `${line}\n`).join(''));
  return {
    name,
    writtenAt,
    bytes: bytes.length,
    rereadable: true,
    async *chunks(onBytes) {
      await Promise.resolve();
      for (let start = 0; start < bytes.length; start += chunk) {
        const part = bytes.subarray(start, start + chunk);
        onBytes?.(part.length);
        yield part;
      }
    },
  };
}

export const gzipped = (lines: readonly string[]): Buffer =>
  gzipSync(lines.map((line) => `${line}\n`).join(''));

/** Keeps what it is given. */
class Kept implements Sink {
  readonly events: PastEvent[] = [];

  write(event: PastEvent): void {
    this.events.push(event);
  }

  room(): undefined {
    return undefined;
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }
}

const READING: PostfixLogOptions = {
  zone: new Zone('UTC'),
  year: undefined,
  now: NOW,
  inbound: false,
  from: undefined,
  to: undefined,
  isOurs: parseNetworks('127.0.0.0/8 [::1]/128'),
  accountOf: normalizeAccount,
  placeOf: () => ({}),
  entitled: (account, returnPath) => returnPath === '' || account === returnPath,
};

export async function eventsOf(
  files: readonly LogFile[],
  options: Partial<PostfixLogOptions> = {},
): Promise<{ events: PastEvent[]; summary: LogSummary }> {
  const kept = new Kept();
  const summary = await readPostfixLogs(files, { ...READING, ...options }, kept);
  return { events: kept.events, summary };
}
