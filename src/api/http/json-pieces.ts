/** A value within a text that holds many. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  /** How many lines stand before it, where that is known. */
  readonly line?: number;
}

/** Characters of one value of many. */
export const LONGEST_PIECE = 64 * 1024;
/** What one turn of the event loop may look at. */
const STEPS = 5000;

/** The lines of a text that are not empty; undefined where others should get a turn. */
export function* linesOf(text: string): Generator<Piece | undefined, number> {
  for (let start = 0, line = 0; start < text.length; line += 1) {
    if (line % STEPS === STEPS - 1) yield undefined;
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    if (end - start > 1 || text.slice(start, end).trim() !== '') yield { start, end, line };
    start = end + 1;
  }
  return text.length;
}

/**
 * The elements of a list in JSON, as they stand; undefined where others should get a turn. It only looks for what parts
 * them: whether an element is JSON shows when it is read.
 *
 * @returns where the list ends; undefined where it does not
 */
export function* elementsOf(text: string): Generator<Piece | undefined, number | undefined> {
  const mark = /["[\]{},]/g;
  let [depth, start, steps, count] = [0, 0, 0, 0];
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    if (++steps % STEPS === 0) yield undefined;
    const { index, 0: character } = found;
    if (character === '"') {
      const end = endOfString(text, index);
      // It is longer than a value may be.
      if (end === undefined) yield { start, end: index + LONGEST_PIECE + 1 };
      else mark.lastIndex = end;
    } else if (character === '[' || character === '{') {
      if (++depth === 1) start = index + 1;
    } else if (character !== ',') depth -= 1;
    if (depth > 1 || (depth === 1 && character !== ',')) continue;
    const isNone = depth === 0 && count === 0 && text.slice(start, index).trim() === '';
    if (!isNone) yield { start, end: index };
    if (depth === 0) return character === ']' ? index + 1 : undefined;
    count += 1;
    start = index + 1;
  }
  return undefined;
}

/** Undefined where it is longer than {@link LONGEST_PIECE}. */
function endOfString(text: string, start: number): number | undefined {
  for (let quote = text.indexOf('"', start + 1); quote > 0; quote = text.indexOf('"', quote + 1)) {
    if (quote - start > LONGEST_PIECE) return undefined;
    let slashes = 0;
    while (text[quote - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
  }
  return text.length - start > LONGEST_PIECE ? undefined : text.length;
}
