/** Levels of brackets, and columns of indentation. */
const DEEPEST = 100;

/**
 * The line (1-based) at which nesting becomes absurd: more than any file needs, far less than the parser's recursion
 * can take. Its end would not be an error: V8 kills the process where a regular expression is compiled on a
 * stack that is nearly full.
 */
export function deeplyNestedLine(text: string): number | undefined {
  let line = 1;
  let brackets = 0;
  let lead = 0;
  let leading = true;
  for (const character of text) {
    if (character === '\n') {
      line += 1;
      lead = 0;
      leading = true;
      continue;
    }
    // Blanks and the indicators that open a block inside a line (`- - - x`).
    leading &&= ' \t-?:'.includes(character);
    if (leading) lead += 1;
    if (character === '[' || character === '{') brackets += 1;
    else if ((character === ']' || character === '}') && brackets > 0) brackets -= 1;
    if (brackets > DEEPEST || lead > DEEPEST) return line;
  }
  return undefined;
}
