import { once } from 'node:events';
import { errorOf } from '../kernel/errors.js';
import { formatInstant } from '../kernel/time.js';
import type { PastEvent, Sink } from './sink.js';

/** Lines that are written at once: one by one they cost more than all the rest. */
const TOGETHER = 256;

/**
 * One accepted message a line, as JSON, in the order of time:
 *
 * `{"time","account","returnPath","ehlo","ip","country","asn","recipients","size","recipientDomains","direction"}`:
 * `time` in ISO 8601, `size` in bytes. `account`, `ehlo`, `ip`, `country` and `asn` are left out if they are not known,
 * `recipientDomains` if it is empty, `direction` unless it is `inbound`.
 *
 * @returns undefined for an event that is no accepted message
 */
function traceLine({ at, event }: PastEvent): string | undefined {
  if (event.type !== 'MessageAccepted') return undefined;
  const { account, returnPath, ehlo, ip, country, asn } = event.data;
  const { recipients, size, recipientDomains, direction } = event.data;
  return JSON.stringify({
    time: formatInstant(at),
    account,
    returnPath,
    ehlo,
    ip,
    country,
    asn,
    recipients,
    size,
    ...(recipientDomains.length === 0 ? {} : { recipientDomains }),
    ...(direction === 'inbound' ? { direction } : {}),
  });
}

/** Writes a trace. What is no accepted message has no place in it and is left out. */
export class TraceWriter implements Sink {
  readonly #out: NodeJS.WritableStream;
  #lines: string[] = [];
  #drained: Promise<unknown> | undefined;
  #fault: Error | undefined;
  written = 0;

  constructor(out: NodeJS.WritableStream) {
    this.#out = out;
    out.on('error', (error: unknown) => (this.#fault ??= errorOf(error)));
  }

  write(event: PastEvent): void {
    const line = traceLine(event);
    if (line === undefined) return;
    this.written++;
    if (this.#lines.push(line) >= TOGETHER) this.#flush();
  }

  room(): Promise<void> | undefined {
    if (this.#drained === undefined && this.#fault === undefined) return undefined;
    return this.#wait();
  }

  async finish(): Promise<void> {
    this.#flush();
    await this.#wait();
  }

  #flush(): void {
    if (this.#lines.length === 0 || this.#fault !== undefined) return;
    const free = this.#out.write(`${this.#lines.join('\n')}\n`);
    this.#lines = [];
    if (!free) this.#drained ??= once(this.#out, 'drain').catch(() => undefined);
  }

  async #wait(): Promise<void> {
    await this.#drained;
    this.#drained = undefined;
    if (this.#fault !== undefined) throw this.#fault;
  }
}
