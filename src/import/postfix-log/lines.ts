/** A line longer than this is none of a mail log's; it is given as undefined, and its rest is passed over. */
export const LONGEST_LINE = 64 * 1024;

const NEWLINE = 10;
const RETURN = 13;

/**
 * Cuts what is read into lines, many at a time, without their ends. The last one needs no end.
 *
 * Each line is decoded for itself: a part of a string keeps the whole of it in memory, and a part of a line may be
 * kept for days of log.
 */
export async function* linesOf(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<readonly (string | undefined)[]> {
  let begun: Buffer[] = [];
  let length = 0;
  let overlong = false;
  for await (const chunk of chunks) {
    const lines: (string | undefined)[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      if (overlong || length + end - start > LONGEST_LINE) lines.push(undefined);
      else if (length > 0) lines.push(textOf(Buffer.concat([...begun, chunk.subarray(start, end)])));
      else lines.push(textOf(chunk, start, end));
      if (length > 0) begun = [];
      length = 0;
      overlong = false;
      start = end + 1;
    }
    if (start < chunk.length && !overlong) {
      begun.push(chunk.subarray(start));
      length += chunk.length - start;
      if (length > LONGEST_LINE) {
        overlong = true;
        begun = [];
        length = 0;
      }
    }
    if (lines.length > 0) yield lines;
  }
  if (overlong) yield [undefined];
  else if (length > 0) yield [textOf(Buffer.concat(begun))];
}

function textOf(bytes: Buffer, start = 0, end = bytes.length): string {
  return bytes.toString('utf8', start, end > start && bytes[end - 1] === RETURN ? end - 1 : end);
}
