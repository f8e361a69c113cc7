/*
 * A file that is watched may lose most of its entries by accident, and then is not taken over. What the command line
 * removes is meant: it leaves a comment at the end that says how many entries there are now. A file that was cut has lost
 * it, and one that was changed otherwise has another number of entries.
 */

const markOf = (entries: number | string): string => `# so many entries are left by stopgap: ${entries}\n`;
const ANY_MARK = new RegExp(`^${markOf('\\d+')}`, 'gm');

/** The text with the mark at its end, and no other. */
export function withLeftMark(text: string, entries: number): string {
  const kept = withoutLeftMark(text);
  // A mark behind a last line without an end would become part of the entry that is there.
  return `${kept}${kept.endsWith('\n') ? '' : '\n'}${markOf(entries)}`;
}

export function withoutLeftMark(text: string): string {
  return text.replace(ANY_MARK, '');
}

/** Whether the command line left a file so: with so many entries, and nothing cut off. */
export function isLeftSo(content: string | Buffer, entries: number): boolean {
  const mark = `\n${markOf(entries)}`;
  return content.slice(-mark.length).toString() === mark;
}
