import type { SMTPServerDataStream } from 'smtp-server';
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
/** What ends a message, after a line end. */
const END = Buffer.from('.\r\n');
const LINE_AND_END = Buffer.from('\r\n.\r\n');
const STUFFED = Buffer.from('\n..');

/**
 * The library's parser, except for how it unstuffs dots (RFC 5321 section 4.5.2). The library emits a separate chunk,
 * in a separate turn of the event loop, for each line that begins with two dots: such a message costs hundreds of times
 * as much as another. Here each chunk stays one chunk.
 */
export class ContentStream extends SMTPStream {
  /** The last two bytes that went on; a message begins as if after a line end. */
  #before = CR;
  #last = LF;
  /** A dot at the start of a line, with or without a CR: the next bytes decide what it is. */
  #held: Buffer | undefined;

  override startDataMode(maxBytes?: number | string | null): SMTPServerDataStream {
    this.#before = CR;
    this.#last = LF;
    this.#held = undefined;
    return super.startDataMode(maxBytes);
  }

  override _feedDataStream(came: Buffer, done: (error?: Error | null) => void): void {
    const data = this.#held === undefined ? came : Buffer.concat([this.#held, came]);
    this.#held = undefined;
    const end = this.#endIn(data);
    if (end >= 0) {
      const content = this.#content(data, end);
      this._countDataBytes(content.length);
      this._endDataMode(content, data.subarray(end + END.length), done);
      return;
    }
    const stop = data.length - this.#undecided(data);
    const content = this.#content(data, stop);
    if (stop < data.length) this.#held = data.subarray(stop);
    if (stop > 0) {
      this.#before = stop > 1 ? data[stop - 2]! : this.#last;
      this.#last = data[stop - 1]!;
    }
    this._countDataBytes(content.length);
    this.#pass(content, done);
  }

  /** The index of the dot that ends the message; -1 if there is none. */
  #endIn(data: Buffer): number {
    if (this.#last === LF && this.#before === CR && startsWith(data, 0, END)) return 0;
    if (this.#last === CR && data[0] === LF && startsWith(data, 1, END)) return 1;
    const line = data.indexOf(LINE_AND_END);
    return line < 0 ? -1 : line + 2;
  }

  /** How many bytes at the end of `data` must wait for the next. */
  #undecided(data: Buffer): number {
    const { length } = data;
    const startsLine = (at: number): boolean =>
      data[at] === DOT && (at === 0 ? this.#last : data[at - 1]) === LF;
    if (length > 0 && startsLine(length - 1)) return 1;
    return length > 1 && data[length - 1] === CR && startsLine(length - 2) ? 2 : 0;
  }

  /**
   * The bytes before `stop`, without the first of two dots at the start of a line; the same memory if there are none.
   */
  #content(data: Buffer, stop: number): Buffer {
    const startsStuffed = this.#last === LF && data[0] === DOT && data[1] === DOT;
    if (!startsStuffed && data.indexOf(STUFFED) < 0) return data.subarray(0, stop);
    const content = Buffer.allocUnsafe(stop);
    let length = 0;
    let before = this.#last;
    for (let index = 0; index < stop; index++) {
      const byte = data[index]!;
      if (byte !== DOT || before !== LF || data[index + 1] !== DOT) content[length++] = byte;
      before = byte;
    }
    return content.subarray(0, length);
  }

  /** Hands on what the message's reader has room for. The rest waits, and so the client waits. */
  #pass(content: Buffer, done: () => void): void {
    const stream = this._dataStream!;
    if (content.length === 0 || !stream.writable || stream.write(content) || stream.destroyed) {
      done();
      return;
    }
    // A stream that is destroyed never drains, it only closes.
    const goOn = (): void => {
      stream.off('drain', goOn).off('close', goOn);
      done();
    };
    stream.on('drain', goOn).on('close', goOn);
  }
}

function startsWith(data: Buffer, at: number, bytes: Buffer): boolean {
  return (
    data.length >= at + bytes.length && data.compare(bytes, 0, bytes.length, at, at + bytes.length) === 0
  );
}
