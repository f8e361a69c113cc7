import type { Document, Node, ParsedNode, YAMLMap, YAMLSeq } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter } from 'yaml';
import { parseYaml, YamlRefused } from '../kernel/yaml.js';
import { suggestion } from '../kernel/suggestion.js';
import { ConfigError } from './problems.js';

/** One entry of a mapping, with its place in the file. */
export interface Entry {
  readonly key: string;
  readonly keyNode: Node;
  readonly value: Node | null;
}

/** Syntax errors breed more of them: the first few say it. */
const MOST_PROBLEMS = 5;

/**
 * A YAML file that knows the place of each of its nodes. Nothing is unfolded blindly: readers walk the nodes that they
 * know, so what an alias can multiply stays bounded.
 */
export class YamlSource {
  readonly doc: Document.Parsed<ParsedNode, true>;
  readonly #lines = new LineCounter();
  readonly #before: number;

  /**
   * @param file how messages name the file
   * @param before how many lines of the file come before this text
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

  /** The document's content; null if the file is empty. */
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

  /** Follows an alias to its target. */
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

/** Scalar fields of a record, with their places and its own, as messages name them. */
type Read = (record: ReadonlyMap<string, unknown>, where: (field?: string) => string) => void;

interface RecordsSpec {
  readonly text: string;
  /** How messages name the file. */
  readonly file: string;
  /** The key of the list. */
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

/** @param first how many records come before these */
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

/*
 * The text of a file that holds one list of records, record by record. A tree of nodes takes 25 KB a record, and 60 µs: a
 * file of 100,000 users would take gigabytes and seconds. Records of the form that Stopgap writes are read by a pattern; what
 * people write otherwise goes to the YAML library, some records at a time.
 */

/** The lines of one record, up to those of the next. */
export interface RecordLines {
  readonly start: number;
  readonly end: number;
  /** Of its first line, from 1. */
  readonly line: number;
}

/** A list of which each record begins with a dash on a line of its own. */
interface RecordBlock {
  /** Spaces before the dash of each record. */
  readonly indent: number;
  /** Where the first record begins. */
  readonly start: number;
  readonly line: number;
}

const IGNORED = /^ *(?:#.*|\r)?$/s;
const NO_VALUE = /^ *(?: #.*|\r)?$/s;

/**
 * The block under `users:`. Undefined if the text is of another form, has no record, has several documents, or may have
 * aliases, which reach from one record into another.
 */
export function blockOf(text: string, list: string): RecordBlock | undefined {
  let state: 'head' | 'marked' | 'listed' = 'head';
  for (let start = 0, line = 1; start < text.length; line += 1) {
    const newline = text.indexOf('\n', start);
    const content = text.slice(start, newline < 0 ? undefined : newline);
    if (state === 'listed' && !IGNORED.test(content)) {
      const found = /^( *)-(?=[ \t\r]|$)/.exec(content);
      const isWhole =
        !mayHaveAliases(text) && !text.includes('\n---', start) && !text.includes('\n...', start);
      return found !== null && isWhole ? { indent: found[1]!.length, start, line } : undefined;
    }
    if (state === 'head' && content.trimEnd() === '---') state = 'marked';
    else if (content.startsWith(`${list}:`) && NO_VALUE.test(content.slice(list.length + 1)))
      state = 'listed';
    else if (!IGNORED.test(content)) return undefined;
    if (newline < 0) return undefined;
    start = newline + 1;
  }
  return undefined;
}

/** Each record of the block, the first to the last. */
export function* recordsOf(text: string, { indent, ...first }: RecordBlock): Generator<RecordLines> {
  const lead = ' '.repeat(indent);
  let { start, line } = first;
  let lines = 0;
  for (let at = start; at < text.length;) {
    const newline = text.indexOf('\n', at);
    at = newline < 0 ? text.length : newline + 1;
    lines += 1;
    if (at < text.length && !beginsRecord(text, at, lead)) continue;
    yield { start, end: at, line };
    [start, line, lines] = [at, line + lines, 0];
  }
}

/** No aliases, and one document. */
function isSimple(text: string, start: number): boolean {
  return !mayHaveAliases(text) && !text.includes('\n---', start) && !text.includes('\n...', start);
}

function mayHaveAliases(text: string): boolean {
  if (!text.includes('&') || !text.includes('*')) return false;
  return /(?:^|[\s[{,:-])&\S/.test(text) && /(?:^|[\s[{,:-])\*\S/.test(text);
}

function beginsRecord(text: string, start: number, lead: string): boolean {
  const dash = start + lead.length;
  if (text[dash] !== '-' || !text.startsWith(lead, start)) return false;
  return dash + 1 === text.length || ' \t\r\n'.includes(text[dash + 1]!);
}

/** One field on a line of its own, whose value is the same text to every reader of YAML. */
const FIELD =
  /(\w+):[ \t]+(?:"([ !#-[\]-~]*)"|'([ -&(-~]*)'|([A-Za-z0-9$][\w@.+/$=,:-]*))(?:[ \t]+#[^\n]*|[ \t]*)\r?(?:\n|$)/y;
const SKIPPED = / *(?:#[^\n]*)?\r?\n/y;
/** Words that YAML takes for something else than text. */
const WORDS = /^(?:null|true|false)$/i;
/** Of what begins with a digit: an address, and a time. */
const NO_NUMBER = /@|^\d{4}-\d\d-\d\dT/;

/**
 * Reads the fields of a record into `values`; false for one in any other form, or with other fields: it may be right, and the
 * YAML library knows.
 */
export function plainRecord(
  text: string,
  { start, end }: RecordLines,
  indent: number,
  fields: readonly string[],
  values: Map<string, unknown>,
): boolean {
  values.clear();
  const lead = ' '.repeat(indent + 2);
  let at = start + indent + 2;
  if (text[at - 1] !== ' ') return false;
  while (at < end) {
    FIELD.lastIndex = at;
    const found = FIELD.exec(text);
    if (found === null) return false;
    const [whole, key, double, single, bare] = found;
    if (!fields.includes(key!) || values.has(key!)) return false;
    const value = double ?? single ?? plainScalar(bare!);
    if (value === undefined) return false;
    values.set(key!, value);
    at += whole.length;
    while (at < end && !(text.startsWith(lead, at) && text[at + lead.length]! > '#')) {
      SKIPPED.lastIndex = at;
      if (!SKIPPED.test(text)) return false;
      at = SKIPPED.lastIndex;
    }
    at += lead.length;
  }
  return true;
}

/** `line:column` of a plain record, or of the value of one of its fields. */
function placeOf(
  text: string,
  { start, end, line }: RecordLines,
  indent: number,
  field: string | undefined,
): string {
  const content = text.slice(start, end);
  const key =
    field === undefined ? null : new RegExp(`^ {${indent}}[- ] ${field}:[ \\t]+`, 'm').exec(content);
  const offset = key === null ? indent + 2 : key.index + key[0].length;
  const before = content.slice(0, offset).split('\n');
  return `${line + before.length - 1}:${before.at(-1)!.length + 1}`;
}

function plainScalar(text: string): string | boolean | undefined {
  if (text.endsWith(':')) return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  if (WORDS.test(text)) return undefined;
  return text < 'A' && text[0] !== '$' && !NO_NUMBER.test(text) ? undefined : text;
}

/** Characters of text that the YAML library is given at a time. */
const PIECE = 64 * 1024;
const KEY = /^[A-Za-z0-9][\w@.+-]*:(?=[ \t\r\n])/gm;

/**
 * A mapping in pieces, each of which is one, and how many lines come before it: cut at each line that begins with a
 * plain key. One piece if it has another form.
 */
export function* piecesOf(text: string): Generator<{ readonly piece: string; readonly before: number }> {
  const first = /^(?:[ ]*(?:#[^\n]*|\r)?\n)*/.exec(text)![0].length;
  KEY.lastIndex = first;
  const isPlain = KEY.exec(text)?.index === first && isSimple(text, first);
  for (let start = 0, before = 0; start < text.length || start === 0;) {
    KEY.lastIndex = start + PIECE;
    const end = (isPlain && start + PIECE < text.length ? KEY.exec(text)?.index : undefined) ?? text.length;
    const piece = text.slice(start, end);
    yield { piece, before };
    if (end === text.length) return;
    before += piece.split('\n').length - 1;
    start = end;
  }
}
