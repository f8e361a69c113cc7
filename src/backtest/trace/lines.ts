import { StringDecoder } from 'node:string_decoder';

/** Characters: a longer line is none of a trace's; it is given as undefined, and its rest is passed over. */
const LONGEST_LINE = 64 * 1024;

/** What is read of a trace, as lines: undefined stands for one that is too long. */
export type Lines = readonly (string | undefined)[];

/**
 * Cuts what is read into lines, many at a time, without their ends. A line is a part of what was read with it, and keeps
 * all of that in memory: it is to be parsed at once, and let go.
 */
export class LineCutter {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #overlong = false;

  /** The lines that this ends. */
  cut(chunk: Uint8Array): Lines {
    const text =
      this.#rest + this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    const lines: (string | undefined)[] = [];
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      lines.push(this.#overlong || end - start > LONGEST_LINE ? undefined : text.slice(start, end));
      this.#overlong = false;
      start = end + 1;
    }
    this.#rest = text.slice(start);
    if (this.#overlong || this.#rest.length > LONGEST_LINE) {
      this.#overlong = true;
      this.#rest = '';
    }
    return lines;
  }

  /** The last line, which needs no end: nothing more comes. */
  end(): Lines {
    const rest = this.#rest + this.#decoder.end();
    if (this.#overlong) return [undefined];
    return rest === '' ? [] : [rest];
  }
}
