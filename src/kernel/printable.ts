/**
 * What moves the cursor, changes colours, turns the direction of writing or is not seen at all: control and format
 * characters (bidi overrides, zero-width ones), line separators, halves of pairs, and what else Unicode lets a program
 * show as nothing (fillers, joiners, variation selectors).
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const EACH_UNPRINTABLE = new RegExp(UNPRINTABLE.source, 'gu');
const LINE_ENDS = /[\n\t]/;
/** What joins letters of Arabic or parts of an emoji, or chooses how an emoji looks: no name of other letters is told apart by it. */
const JOINER =
  /(?<=\p{Extended_Pictographic})\ufe0f|(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f])\u200d(?=\p{Extended_Pictographic})|(?<=\p{Script=Arabic})[\u200c\u200d](?=\p{Script=Arabic})/uy;

export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text);
}

/** A name or a sentence that is safe in one line of a terminal, a log or a reply. */
export function printable(text: string, instead = '\ufffd'): string {
  return text.replace(EACH_UNPRINTABLE, instead);
}

/** The same of a text that has lines and tabs of its own. */
export function printableLines(text: string): string {
  const lines = text.replaceAll('\r\n', '\n');
  return lines.replace(EACH_UNPRINTABLE, (found, at: number) => {
    JOINER.lastIndex = at;
    return LINE_ENDS.test(found) || JOINER.test(lines) ? found : '\ufffd';
  });
}

/** One line of JSON, or of a log, that says the same and holds nothing unprintable: `\\u202e` in its place. */
export function escaped(line: string): string {
  return line.replace(EACH_UNPRINTABLE, (found) =>
    Array.from({ length: found.length }, (_, index) => escapeOf(found.charCodeAt(index))).join(''),
  );
}

function escapeOf(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Characters of a name that are looked at: no name is longer that is anybody's. */
export const LONGEST_NAME = 1024;
// eslint-disable-next-line no-control-regex -- control characters are just what must not pass
const CONTROL = /[\u0000-\u001f\u007f]/g;

/** A name as a client gave it, fit for an event: a bad one is replaced in part, since a send that is refused for it would not count. */
export function fitName(name: string): string {
  return name.slice(0, LONGEST_NAME).toWellFormed().replace(CONTROL, '?');
}

// eslint-disable-next-line regexp/no-super-linear-move -- a number has few digits
const THOUSANDS = /\B(?=(?:\d{3})+$)/g;

/** `1,234,567`: a whole number as English writes it. `Intl` takes each start twelve milliseconds for it. */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(THOUSANDS, ',');
}
