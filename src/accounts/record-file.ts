import type { YAMLMap } from 'yaml';
import { isMap, isSeq, parseDocument, stringify, YAMLSeq } from 'yaml';
import type { LockOptions } from './file-lock.js';
import { withFileLock } from './file-lock.js';
import { withLeftMark, withoutLeftMark } from './left-mark.js';
import { readIfThere, writePrivateFile } from './private-file.js';
import type { RecordLines } from './record-text.js';
import { blockOf, recordsOf } from './record-text.js';
import { YamlSource } from './yaml-source.js';

type Fields = Readonly<Record<string, unknown>>;

/** What becomes of the records of a file. */
export type RecordChange =
  | { readonly add: Fields }
  /** Of the record at an index, the fields that change. */
  | { readonly at: number; readonly set: Fields }
  | { readonly remove: number };

export interface RecordFile {
  readonly file: string;
  /** The key that the list stands under. */
  readonly list: string;
  /** The comment that a new file begins with. */
  readonly comment: string;
  /** The names of the records, in order. Refuses a file that is broken, by throwing: it must not be written over. */
  readonly names: (text: string) => readonly string[];
}

/**
 * Changes such a file under its lock, as a whole and durably; comments in it stay. A file that does not exist is
 * made.
 *
 * @param decide what to change, by the names that there are
 */
export function changeRecords(
  target: RecordFile,
  decide: (names: readonly string[]) => RecordChange,
  options?: LockOptions,
): Promise<void> {
  return withFileLock(
    target.file,
    async () => {
      const before = (await readIfThere(target.file)) ?? `# ${target.comment}\n${target.list}: []\n`;
      const text = withoutLeftMark(before);
      const names = target.names(text);
      const change = decide(names);
      const after = changedText(text, target, change);
      await writePrivateFile(target.file, 'remove' in change ? withLeftMark(after, names.length - 1) : after);
    },
    options,
  );
}

/** Only the lines of the record that changes are touched, where the file has the form that Stopgap writes. */
function changedText(text: string, { file, list }: RecordFile, change: RecordChange): string {
  const block = blockOf(text, list);
  if (block === undefined) return changedDocument(text, file, list, change);
  const { indent } = block;
  if ('add' in change) {
    const isWhole = text.endsWith('\n');
    return `${text}${isWhole ? '' : '\n'}${indented(stringify([change.add], { lineWidth: 0 }), indent)}`;
  }
  const records = [...recordsOf(text, block)];
  if ('remove' in change) {
    if (records.length === 1) return changedDocument(text, file, list, change);
    const record = records[change.remove]!;
    return text.slice(0, record.start) + text.slice(contentEnd(text, record));
  }
  const record = records[change.at]!;
  const end = contentEnd(text, record);
  const document = parseDocument(text.slice(record.start, end));
  const entry = (document.contents as unknown as YAMLSeq).items[0] as YAMLMap;
  for (const [field, value] of Object.entries(change.set)) entry.set(field, value);
  const lines = indented(document.toString({ lineWidth: 0 }), indent);
  return text.slice(0, record.start) + lines + text.slice(end);
}

/** Where comments and empty lines begin after a record: they may be about the next. */
function contentEnd(text: string, { start, end }: RecordLines): number {
  let at = end;
  while (at > start) {
    const before = text.lastIndexOf('\n', at - 2) + 1;
    if (!/^\s*(?:#.*)?$/s.test(text.slice(before, at))) return at;
    at = before;
  }
  return at;
}

/** Only LF ends a line here: for `^` and `.` U+2028 does too, and a name that has it would become another. */
function indented(lines: string, indent: number): string {
  return lines.replace(/(?<=^|\n)(?=[^\n])/g, ' '.repeat(indent));
}

function changedDocument(text: string, file: string, list: string, change: RecordChange): string {
  const { doc } = new YamlSource(text, file);
  if (!isMap(doc.contents)) doc.contents = doc.createNode({}) as unknown as typeof doc.contents;
  if (!isSeq(doc.get(list, true))) doc.set(list, new YAMLSeq());
  const items = doc.get(list, true) as YAMLSeq;
  if ('add' in change) {
    // One record a line block: a list in brackets grows into a line that nobody can read.
    items.flow = false;
    items.add(doc.createNode(change.add));
  } else if ('remove' in change) {
    items.delete(change.remove);
    if (items.items.length === 0) items.flow = true;
  } else {
    const entry = items.items[change.at];
    for (const [field, value] of Object.entries(change.set)) if (isMap(entry)) entry.set(field, value);
  }
  return doc.toString({ lineWidth: 0 });
}

/** True for what YAML gives as text; a name such as 2024 or true is none unless it is quoted. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
