import type { Node } from 'yaml';
import { isMap, isNode, isScalar, isSeq } from 'yaml';
import { suggestion } from '../kernel/suggestion.js';
import type { OverrideEntry } from '../overrides/model.js';
import { overrideEntry } from '../overrides/parse.js';
import { faultsOf } from '../overrides/strict-object.js';
import { subjectKey } from '../sending/subjects.js';
import { ConfigError, firstProblems } from './problems.js';
import { plainValue, YamlSource } from './yaml-source.js';

const KEYS = ['version', 'overrides'];
/** Entries of a file. More go through the API, which takes them in lots. */
const MOST_ENTRIES = 10_000;
/** Characters: what so many entries can need. */
const LONGEST_FILE = 8 * 1024 * 1024;

/**
 * Reads an overrides file: `version: 1` and `overrides`, a list of entries as the API takes them. A file without
 * these two keys is refused, so that one that is being written does not pass for an empty one.
 *
 * @param file how messages name the file
 * @throws ConfigError with its problems, each with file, line and column
 */
export function parseOverrides(text: string, file: string): readonly OverrideEntry[] {
  if (text.length > LONGEST_FILE) {
    throw new ConfigError([
      `${file}: is longer than ${LONGEST_FILE} characters; set the overrides by the API, in lots`,
    ]);
  }
  const source = new YamlSource(text, file);
  const { root } = source;
  if (!isMap(root)) {
    throw new ConfigError([
      `${source.where(root)}: must be a mapping that begins with version: 1 and overrides:`,
    ]);
  }
  const problems: string[] = [];
  const found = new Map<string, Node | null>();
  for (const { key, keyNode, value } of source.entries(root)) {
    if (KEYS.includes(key)) found.set(key, value);
    else problems.push(`${source.where(keyNode)}: ${key}: unknown key; ${suggestion(key, KEYS)}`);
  }
  if (plainValue(source, found.get('version') ?? null) !== 1) {
    const place = source.where(found.get('version') ?? root);
    problems.push(`${place}: version: must be 1: the version of this file format`);
  }
  const entries = readList(source, found.get('overrides'), problems);
  if (problems.length > 0) throw new ConfigError(firstProblems(problems, file));
  return entries;
}

function readList(
  source: YamlSource,
  list: Node | null | undefined,
  problems: string[],
): readonly OverrideEntry[] {
  const entries: OverrideEntry[] = [];
  const isNone = isScalar(list) && list.value === null;
  if (!isSeq(list)) {
    const right = 'overrides: must be a list; [] stands for none';
    if (list === undefined || list === null || isNone)
      problems.push(`${source.where(source.root)}: ${right}`);
    else problems.push(`${source.where(list)}: ${right}`);
    return entries;
  }
  if (list.items.length > MOST_ENTRIES) {
    problems.push(
      `${source.where(list)}: overrides: has ${list.items.length} entries, at most ${MOST_ENTRIES}; set the others by the API`,
    );
    return entries;
  }
  const places = new Map<string, string>();
  source.items(list).forEach((item, index) => {
    const entry = readEntry(source, item, `overrides[${index}]`, problems);
    if (entry === undefined) return;
    const key = subjectKey(entry.subject);
    const before = places.get(key);
    const { type, value } = entry.subject;
    if (before === undefined) entries.push(entry);
    else
      problems.push(
        `${source.where(item)}: overrides[${index}]: ${type} ${value} stands at ${before} already`,
      );
    places.set(key, before ?? source.where(item));
  });
  return entries;
}

function readEntry(
  source: YamlSource,
  item: Node | null,
  path: string,
  problems: string[],
): OverrideEntry | undefined {
  const value: unknown = item?.toJS(source.doc, { maxAliasCount: 100 });
  const result = overrideEntry.safeParse(value);
  if (result.success) return result.data;
  for (const { path: within, message } of result.error.issues.flatMap(faultsOf)) {
    const parts = within.map(String);
    problems.push(`${source.where(nodeAt(item, parts))}: ${[path, ...parts].join('.')}: ${message}`);
  }
  return undefined;
}

/** The node at a path, or the nearest around it. */
function nodeAt(item: Node | null, parts: readonly string[]): Node | null {
  if (!isMap(item)) return item;
  for (let length = parts.length; length > 0; length--) {
    const node: unknown = item.getIn(parts.slice(0, length), true);
    if (isNode(node)) return node;
  }
  return item;
}
