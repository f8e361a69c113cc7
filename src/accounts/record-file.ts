import type { YAMLMap } from 'yaml';
import { isMap, isSeq, YAMLSeq } from 'yaml';
import type { LockOptions } from './file-lock.js';
import { withFileLock } from './file-lock.js';
import { withLeftMark, withoutLeftMark } from './left-mark.js';
import { readIfThere, writePrivateFile } from './private-file.js';
import { YamlSource } from './yaml-source.js';

/** A list of records in a YAML file, while it is being changed. */
export interface RecordList {
  /** The entry whose `name` satisfies the test. */
  find(matches: (name: string) => boolean): YAMLMap | undefined;
  add(record: Readonly<Record<string, unknown>>): void;
  remove(entry: YAMLMap): void;
}

export interface RecordFile {
  readonly file: string;
  /** The key that the list stands under. */
  readonly list: string;
  /** The comment that a new file begins with. */
  readonly comment: string;
  /** Refuses a file that is broken, by throwing: it must not be written over. */
  readonly validate: (text: string) => void;
}

/**
 * Changes such a file under its lock, as a whole and durably; comments in it stay. A file that does not exist is
 * made.
 */
export function changeRecords<T>(
  target: RecordFile,
  change: (records: RecordList) => T,
  options?: LockOptions,
): Promise<T> {
  return withFileLock(
    target.file,
    async () => {
      const before = (await readIfThere(target.file)) ?? `# ${target.comment}\n${target.list}: []\n`;
      const text = withoutLeftMark(before);
      target.validate(text);
      const { doc } = new YamlSource(text, target.file);
      if (!isMap(doc.contents)) doc.contents = doc.createNode({}) as unknown as typeof doc.contents;
      if (!isSeq(doc.get(target.list, true))) doc.set(target.list, new YAMLSeq());
      const items = doc.get(target.list, true) as YAMLSeq;
      const count = items.items.length;
      const result = change({
        find: (matches) =>
          items.items.find((item): item is YAMLMap => {
            const name = isMap(item) ? item.get('name') : undefined;
            return typeof name === 'string' && matches(name);
          }),
        add(record) {
          // One record a line block: a list in brackets grows into a line that nobody can read.
          items.flow = false;
          items.add(doc.createNode(record));
        },
        remove(entry) {
          items.items = items.items.filter((item) => item !== entry);
          if (items.items.length === 0) items.flow = true;
        },
      });
      const after = doc.toString({ lineWidth: 0 });
      const left = items.items.length;
      await writePrivateFile(target.file, left < count ? withLeftMark(after, left) : after);
      return result;
    },
    options,
  );
}

/** True for what YAML gives as text; a name such as 2024 or true is none unless it is quoted. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
