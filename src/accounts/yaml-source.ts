import type { Document, Node, ParsedNode, YAMLMap, YAMLSeq } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter } from 'yaml';
import { YamlRefused, parseYaml } from '../kernel/yaml.js';
import { ConfigError, suggestion } from './problems.js';
import type { RecordLines } from './record-text.js';
import { blockOf, PIECE, placeOf, plainRecord, recordsOf } from './record-text.js';

/** One entry of a mapping, with its place in the file. */
export interface Entry {
  readonly key: string;
  readonly keyNode: Node;
  readonly value: Node | null;
}

/** Syntax errors breed more of them: the first few say it. */
const MOST_PROBLEMS = 5;

/**
 * A YAML file that knows where each of its nodes stands. Nothing is unfolded blindly: readers walk the nodes
 * that they know, so what an alias can multiply stays bounded.
 */
export class YamlSource {
  readonly doc: Document.Parsed<ParsedNode, true>;
  readonly #lines = new LineCounter();
  readonly #before: number;

  /**
   * @param file how messages name the file
   * @param before how many lines of it stand before this text
   * @throws ConfigError for what is no YAML, has a key twice, several documents or unknown tags
   */
  constructor(
    text: string,
    readonly file: string,
    before = 0,
  ) {
    this.#before = before;
    this.doc = this.#parse(text);
    const problems = [...this.doc.errors, ...this.doc.warnings].slice(0, MOST_PROBLEMS).map((problem) => {
      const { line, col } = this.#lines.linePos(problem.pos[0]);
      return `${file}:${before + line}:${col}: ${problem.message.slice(0, 200)}${this.#hint(text, line)}`;
    });
    if (problems.length > 0) throw new ConfigError(problems);
  }

  #parse(text: string): Document.Parsed<ParsedNode, true> {
    try {
      return parseYaml(text, { lineCounter: this.#lines, stringKeys: true });
    } catch (thrown) {
      if (!(thrown instanceof YamlRefused)) throw thrown;
      throw new ConfigError([
        `${this.file}:${this.#before + thrown.line}:${thrown.column}: ${thrown.message}`,
      ]);
    }
  }

  /** The document's content; null where the file is empty. */
  get root(): Node | null {
    return this.resolve(this.doc.contents);
  }

  /** `file:line:column` of a node; of the file's start without one. */
  where(node: Node | null | undefined): string {
    const offset = node?.range?.[0];
    if (offset === undefined) return `${this.file}:${this.#before + 1}:1`;
    const { line, col } = this.#lines.linePos(offset);
    return `${this.file}:${this.#before + line}:${col}`;
  }

  /** Follows an alias to what it stands for. */
  resolve(node: unknown): Node | null {
    if (isAlias(node)) return node.resolve(this.doc) ?? null;
    return (node as Node | null | undefined) ?? null;
  }

  entries(map: YAMLMap): Entry[] {
    return map.items.map((pair) => {
      const keyNode = pair.key as Node;
      return {
        key: String(isScalar(keyNode) ? keyNode.value : keyNode),
        keyNode,
        value: this.resolve(pair.value),
      };
    });
  }

  items(list: YAMLSeq): (Node | null)[] {
    return list.items.map((item) => this.resolve(item));
  }

  #hint(text: string, line: number): string {
    const content = text.split('\n')[line - 1] ?? '';
    return /[^"']\[[0-9a-f.]{0,4}:[0-9a-f:.]{0,45}\]:\d/i.test(content)
      ? ' (an IPv6 address needs quotes: "[::1]:2587")'
      : '';
  }
}

/** The value of a scalar node, the values of a list of scalars; undefined for anything else. */
export function plainValue(source: YamlSource, node: Node | null): unknown {
  if (node === null) return null;
  if (isScalar(node)) return node.value;
  if (!isSeq(node)) return undefined;
  const values = source.items(node).map((item) => (isScalar(item) ? item.value : undefined));
  return values.includes(undefined) ? undefined : values;
}

/** Scalar fields of a record, and where it and they stand, as messages name the place. */
type Read = (record: ReadonlyMap<string, unknown>, where: (field?: string) => string) => void;

interface RecordsSpec {
  readonly text: string;
  /** How messages name the file. */
  readonly file: string;
  /** The key that the list stands under. */
  readonly list: string;
  readonly fields: readonly string[];
  /** Takes what is wrong; `read` may add to it. */
  readonly problems: string[];
  readonly read: Read;
}

/**
 * Reads `<list>: [{…}, …]`, the shape of the users and tokens files.
 *
 * @throws ConfigError for what is no YAML
 */
export function readRecords(spec: RecordsSpec): void {
  const { text, file, list, fields, read } = spec;
  const block = blockOf(text, list);
  if (block === undefined) return readNodes(new YamlSource(text, file), 0, spec);
  const { indent } = block;
  const values = new Map<string, unknown>();
  /** The first record that waits for the library. */
  let waiting: (RecordLines & { readonly index: number }) | undefined;
  const readWaiting = (end: number): void => {
    if (waiting === undefined) return;
    const { start, line, index } = waiting;
    const source = new YamlSource(`${list}:\n${text.slice(start, end)}`, file, line - 2);
    readNodes(source, index, spec);
    waiting = undefined;
  };
  let index = 0;
  for (const record of recordsOf(text, block)) {
    if (plainRecord(text, record, indent, fields, values)) {
      readWaiting(record.start);
      const number = index;
      read(values, (field) => {
        const where = `${file}:${placeOf(text, record, indent, field)}: ${list}[${number}]`;
        return field === undefined ? where : `${where}.${field}`;
      });
    } else {
      waiting ??= { ...record, index };
      if (record.end - waiting.start >= PIECE) readWaiting(record.end);
    }
    index += 1;
  }
  readWaiting(text.length);
}

/** @param first how many records stand before these */
function readNodes(source: YamlSource, first: number, spec: RecordsSpec): void {
  const { list, problems } = spec;
  const root = source.root;
  if (root === null || (isScalar(root) && root.value === null)) return;
  if (!isMap(root)) {
    problems.push(`${source.where(root)}: must be a mapping with the key ${list}`);
    return;
  }
  for (const { key, keyNode, value } of source.entries(root)) {
    if (key !== list) {
      problems.push(`${source.where(keyNode)}: ${key}: unknown key; ${suggestion(key, [list])}`);
    } else if (value === null || (isScalar(value) && value.value === null)) {
      continue;
    } else if (!isSeq(value)) {
      problems.push(`${source.where(value)}: ${list}: must be a list`);
    } else {
      source.items(value).forEach((item, index) => {
        readRecord(source, item, `${list}[${first + index}]`, spec);
      });
    }
  }
}

function readRecord(
  source: YamlSource,
  item: Node | null,
  path: string,
  { fields, problems, read }: RecordsSpec,
): void {
  if (!isMap(item)) {
    problems.push(`${source.where(item)}: ${path}: must be a mapping with ${fields.join(', ')}`);
    return;
  }
  const record = new Map<string, unknown>();
  const nodes = new Map<string, Node>();
  for (const { key, keyNode, value } of source.entries(item)) {
    nodes.set(key, value ?? keyNode);
    if (fields.includes(key)) record.set(key, plainValue(source, value));
    else if (/^\w{1,40}$/.test(key)) {
      problems.push(`${source.where(keyNode)}: ${path}.${key}: unknown key; ${suggestion(key, fields)}`);
    } else {
      // A hash without quotes inside braces falls into pieces that look like keys.
      problems.push(`${source.where(keyNode)}: ${path}: unknown key; put a value with commas in quotes`);
    }
  }
  read(record, (field) =>
    field === undefined
      ? `${source.where(item)}: ${path}`
      : `${source.where(nodes.get(field) ?? item)}: ${path}.${field}`,
  );
}
