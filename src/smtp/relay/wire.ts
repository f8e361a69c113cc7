import type { Socket } from 'node:net';
import type { RawReply } from './reply.js';
import { MalformedReply, ReplyReader } from './reply.js';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const DOT = 0x2e;
const CRLF = Buffer.from('\r\n');
const ONE_DOT = Buffer.from('.');
const LINE_THAT_STARTS_WITH_DOT = Buffer.from('\n.');

/**
 * Gives a message one kind of line end, CRLF, across chunk borders: a bare LF becomes CRLF, a bare CR becomes a space.
 * Two servers that disagree about what ends a line can then not disagree about where the message ends (SMTP smuggling:
 * `\n.\r\n`, `\r.\r\n`, `\n.\n`). A bare CR is no line end to anyone who keeps to RFC 5321 section 2.3.8, so it must
 * not become one: `\r\r\n`, which broken clients write at each line, would become an empty line, and the first of these
 * ends the headers.
 */
export class CanonicalLines {
  #heldCr = false;
  #last = LF;

  /** The canonical form of the next chunk; the chunk itself if it is canonical already. May be empty. */
  push(chunk: Buffer): Buffer {
    const length = chunk.length;
    if (length === 0) return chunk;
    if (this.#heldCr) return this.#rewrite(chunk, 0);
    let i = 0;
    for (; i < length; i++) {
      const byte = chunk[i]!;
      if (byte > CR) continue;
      if (byte === CR) {
        // CRLF is stepped over as a whole, so every LF met below is a bare one.
        if (i + 1 < length && chunk[i + 1] === LF) i++;
        else break;
      } else if (byte === LF) break;
    }
    if (i < length) return this.#rewrite(chunk, i);
    this.#last = chunk[length - 1]!;
    return chunk;
  }

  /** What is missing at the end: CRLF if the last line has none, else nothing. */
  finish(): Buffer {
    const unfinished = this.#heldCr || this.#last !== LF;
    this.#heldCr = false;
    this.#last = LF;
    return unfinished ? CRLF : CRLF.subarray(2);
  }

  /** The first `clean` bytes are known to be canonical. */
  #rewrite(chunk: Buffer, clean: number): Buffer {
    // Each byte becomes two at most, and a CR held from the chunk before adds one more.
    const out = Buffer.allocUnsafe(clean + 2 * (chunk.length - clean) + 1);
    chunk.copy(out, 0, 0, clean);
    let end = clean;
    let heldCr = this.#heldCr;
    for (let i = clean; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (byte === LF) {
        out[end++] = CR;
        out[end++] = LF;
        heldCr = false;
        continue;
      }
      if (heldCr) out[end++] = SPACE;
      heldCr = byte === CR;
      if (!heldCr) out[end++] = byte;
    }
    this.#heldCr = heldCr;
    if (end > 0) this.#last = out[end - 1]!;
    return out.subarray(0, end);
  }
}

/** {@link CanonicalLines} over text that is held as a whole; ends with CRLF unless it is empty. */
export function canonicalLines(text: Buffer): Buffer {
  const lines = new CanonicalLines();
  const body = lines.push(text);
  const end = lines.finish();
  return end.length === 0 ? body : Buffer.concat([body, end]);
}

/** Byte by byte: a message may consist of such lines alone, and a copy for each would cost many times as much. */
function stuffed(chunk: Buffer, first: boolean): Buffer {
  // Of three bytes (a dot and its line end) one is doubled at most.
  const out = Buffer.allocUnsafe(chunk.length + Math.ceil(chunk.length / 2) + 1);
  let end = 0;
  let atLineStart = first;
  for (let index = 0; index < chunk.length; index++) {
    const byte = chunk[index]!;
    if (byte === DOT && atLineStart) out[end++] = DOT;
    out[end++] = byte;
    atLineStart = byte === LF;
  }
  return out.subarray(0, end);
}

/**
 * Doubles the dot that a line starts with (RFC 5321 section 4.5.2), across chunk borders. The message must be
 * canonical.
 */
export class DotStuffing {
  #atLineStart = true;

  /** The stuffed form of the next chunk; the chunk itself if no line in it starts with a dot. */
  push(chunk: Buffer): Buffer {
    if (chunk.length === 0) return chunk;
    const first = this.#atLineStart && chunk[0] === DOT;
    this.#atLineStart = chunk[chunk.length - 1] === LF;
    const at = chunk.indexOf(LINE_THAT_STARTS_WITH_DOT);
    if (at < 0) return first ? Buffer.concat([ONE_DOT, chunk]) : chunk;
    return stuffed(chunk, first);
  }
}

/** What a wire tells its user. */
interface WireEvents {
  reply(reply: RawReply): void;
  /**
   * The connection is of no more use. `closedByUpstream`: the upstream went away and did not talk nonsense; `fault`:
   * the reason without the upstream's own words.
   */
  broken(why: string, closedByUpstream: boolean, fault?: string): void;
  /** The socket takes more again. */
  drained(): void;
}

/** One connection to the upstream: bytes go out, replies come in. TLS may secure it midway. */
export class Wire {
  readonly #name: string;
  readonly #events: WireEvents;
  readonly #onReply: (reply: RawReply) => void;
  #socket: Socket;
  #reader = new ReplyReader();
  #detach: () => void = () => undefined;

  constructor(socket: Socket, name: string, events: WireEvents) {
    this.#name = name;
    this.#events = events;
    this.#onReply = (reply) => events.reply(reply);
    this.#socket = socket;
    this.#attach(socket);
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Goes on over TLS. Throws where clear-text bytes follow the reply to STARTTLS: they may be injected. */
  secure(wrap: (plain: Socket) => Socket): void {
    if (this.#reader.partial) throw new MalformedReply('bytes after the reply to STARTTLS');
    const plain = this.#socket;
    this.#detach();
    plain.on('error', (error) => this.#failed(error));
    this.#reader = new ReplyReader();
    this.#socket = wrap(plain);
    this.#attach(this.#socket);
  }

  #attach(socket: Socket): void {
    const onData = (chunk: Buffer): void => {
      try {
        this.#reader.push(chunk, this.#onReply);
      } catch (error) {
        const fault = `${this.#name} answered nonsense`;
        this.#events.broken(`${fault}: ${(error as Error).message}`, false, fault);
      }
    };
    const onClose = (): void => this.#events.broken(`${this.#name} closed the connection`, true);
    const onError = (error: Error): void => this.#failed(error);
    const onDrain = (): void => this.#events.drained();
    socket
      .on('data', onData)
      .on('end', onClose)
      .on('close', onClose)
      .on('error', onError)
      .on('drain', onDrain);
    this.#detach = () => {
      socket
        .off('data', onData)
        .off('end', onClose)
        .off('close', onClose)
        .off('error', onError)
        .off('drain', onDrain);
    };
  }

  #failed(error: NodeJS.ErrnoException): void {
    this.#events.broken(`${this.#name}: ${error.code ?? error.message}`, true);
  }
}
