import { StringDecoder } from 'node:string_decoder';

/** Characters: a longer line is none of a trace's; it is given as undefined, and its rest is passed over. */
const LONGEST_LINE = 64 * 1024;

/**
 * Cuts what is read into lines, many at a time, without their ends. The last one needs no end. A line is a part of what
 * was read with it, and keeps all of that in memory: it is to be parsed at once, and let go.
 */
export async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<(string | undefined)[]> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let overlong = false;
  for await (const chunk of chunks) {
    const text = rest + decoder.write(chunk);
    const lines: (string | undefined)[] = [];
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      lines.push(overlong || end - start > LONGEST_LINE ? undefined : text.slice(start, end));
      overlong = false;
      start = end + 1;
    }
    rest = text.slice(start);
    if (overlong || rest.length > LONGEST_LINE) {
      overlong = true;
      rest = '';
    }
    if (lines.length > 0) yield lines;
  }
  rest += decoder.end();
  if (overlong) yield [undefined];
  else if (rest !== '') yield [rest];
}
