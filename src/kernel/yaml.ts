import type { Document, ErrorCode, LineCounter, ParsedNode, YAMLError } from 'yaml';
import { Lexer, YAMLParseError, isScalar, parseDocument, visit } from 'yaml';

/** Levels of brackets, and columns of indentation. */
const DEEPEST = 100;

/**
 * The line (1-based) at which nesting becomes absurd: more than any file needs, far less than the parser's recursion
 * can take. Its end would not be an error: V8 kills the process if a regular expression is compiled on a stack that is
 * nearly full.
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

/** More references than any hand-written file has: the rest are bombs that unfold to gigabytes. */
export const MOST_ALIASES = 100;

/** The text is refused before it is parsed, or unfolded. Line and column count from 1. */
export class YamlRefused extends Error {
  constructor(
    readonly line: number,
    readonly column: number,
    message: string,
  ) {
    super(message);
    this.name = 'YamlRefused';
  }
}

export interface YamlOptions {
  readonly lineCounter: LineCounter;
  /** Whether keys are texts, and nothing else. */
  readonly stringKeys?: boolean;
  /** The most tokens (names, values, brackets, blanks) that are parsed; any number by default. */
  readonly tokens?: number | undefined;
}

/**
 * Parses YAML in time that grows with its length alone. The library compares each key of a mapping with all before it,
 * and looks through the whole document for each alias: so keys are compared here, and aliases are few.
 *
 * @returns the document, whose errors say what would be right, and include keys that a mapping has twice
 * @throws YamlRefused for text that is nested too deeply, has too many tokens or too many aliases
 */
export function parseYaml(
  text: string,
  { lineCounter, stringKeys = false, tokens = Infinity }: YamlOptions,
): Document.Parsed<ParsedNode, true> {
  const tooDeep = deeplyNestedLine(text);
  if (tooDeep !== undefined) throw new YamlRefused(tooDeep, 1, 'is nested too deeply');
  if (exceeds(text, tokens)) throw new YamlRefused(1, 1, `has more than ${tokens} tokens`);
  const document = parseDocument(text, {
    lineCounter,
    stringKeys,
    uniqueKeys: false,
    prettyErrors: false,
    schema: 'core',
    // Its warnings go to standard error, past the log, with the text of the file.
    logLevel: 'error',
  });
  document.errors = plainly(document, document.errors);
  document.warnings = plainly(document, document.warnings);
  let aliases = 0;
  const anchors = new Set<string | undefined>();
  const named = (_: unknown, { anchor }: { anchor?: string }): void => void anchors.add(anchor);
  visit(document, {
    Alias(_, { range, source }) {
      const at = range?.[0] ?? 0;
      if (!anchors.has(source)) document.errors.push(new YAMLParseError([at, at + 1], 'BAD_ALIAS', NO_ALIAS));
      aliases += 1;
      if (aliases <= MOST_ALIASES) return;
      const { line, col } = lineCounter.linePos(at);
      throw new YamlRefused(line, col, `has more than ${MOST_ALIASES} aliases; write the values out`);
    },
    Scalar(_, { anchor, range, source = '', value }) {
      anchors.add(anchor);
      if (typeof value !== 'number' || !GROUPED.test(source)) return;
      const at = range?.[0] ?? 0;
      document.errors.push(new YAMLParseError([at, at + 1], 'IMPOSSIBLE', grouped(source)));
    },
    Seq: named,
    Map(_, { anchor, items }) {
      anchors.add(anchor);
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        const at = key.range?.[0] ?? 0;
        if (seen.has(key.value))
          document.errors.push(new YAMLParseError([at, at + 1], 'DUPLICATE_KEY', twice(key.value)));
        seen.add(key.value);
      }
    },
  });
  return document;
}

/**
 * Says faults in words of ours: those of the library are for people who know its grammar, and some have the text of the file, which
 * may be a secret. One fault at a place is enough.
 */
function plainly(document: Document.Parsed, faults: readonly YAMLError[]): YAMLError[] {
  const said = new Map<number, YAMLError>();
  const goingOn = new Set(
    faults.flatMap(({ code, pos }) => (code === 'MULTILINE_IMPLICIT_KEY' ? pos[0] : [])),
  );
  // What comes after a comma that is missing is unexpected only for want of it.
  const isCommaMissing = faults.some(({ code }) => code === 'BLOCK_IN_FLOW');
  let quotes: readonly number[] | undefined;
  for (const fault of faults) {
    const { code, message, pos } = fault;
    if (code === 'UNEXPECTED_TOKEN' && isCommaMissing) continue;
    const isQuote = code === 'MISSING_CHAR' && message.startsWith('Missing closing');
    // The library says where it looked for the end.
    if (isQuote) quotes ??= quotedTexts(document);
    const at = (isQuote ? lastBefore(quotes!, pos[0]) : undefined) ?? pos[0];
    if (said.has(at)) continue;
    fault.pos = [at, at + 1];
    fault.message = WORDS[code]?.(message, goingOn.has(at)) ?? message;
    said.set(at, fault);
  }
  return [...said.values()];
}

/** Where texts in quotes begin, in order. */
function quotedTexts(document: Document.Parsed): readonly number[] {
  const starts: number[] = [];
  visit(document, {
    Scalar(_, { type, range }) {
      if ((type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE') && range) starts.push(range[0]);
    },
  });
  return starts;
}

/** @param sorted ascending */
function lastBefore(sorted: readonly number[], end: number): number | undefined {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < end) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1];
}

const NO_PAIR = 'no name with a value; see the indentation, the colon and the space after it';
const NOT_IN_LINE =
  'is not indented as the lines above; names of one group begin in the same column, and a dash has a space after it';
const NEEDS_QUOTES = 'this value has to be in quotes';
const NO_ALIAS = `${NEEDS_QUOTES}: it begins with * as an alias does`;

const WORDS: Readonly<Partial<Record<ErrorCode, (message: string, goesOn: boolean) => string>>> = {
  BLOCK_AS_IMPLICIT_KEY: (_, goesOn) =>
    goesOn
      ? 'the line after this one is indented too far; names of one group begin in the same column'
      : 'a second name on this line; put it on a line of its own, or a value with a colon into quotes',
  MULTILINE_IMPLICIT_KEY: () => NO_PAIR,
  BAD_INDENT: (message) =>
    message.startsWith('Flow') ? 'a bracket above is not closed; write } or ] before this line' : NOT_IN_LINE,
  MISSING_CHAR: (message) => {
    if (message.startsWith('Missing closing')) return 'this quote is not closed';
    if (message.startsWith('Missing ,')) return 'a comma is missing before this';
    if (message.startsWith('Sequence item')) return NOT_IN_LINE;
    return message.startsWith('Implicit map keys') ? NO_PAIR : message;
  },
  BLOCK_IN_FLOW: () => 'a comma is missing within { } or [ ], or a list there begins with a dash',
  TAB_AS_INDENT: () => 'begins with a tab; indent by spaces',
  MULTIPLE_DOCS: () => 'a line --- begins a second document; write one alone',
  BAD_SCALAR_START: (message) => `a value that begins with ${message.at(-1)!} has to be in quotes`,
  BAD_DQ_ESCAPE: () => 'within double quotes \\ begins an escape; write \\\\, or use single quotes',
  UNEXPECTED_TOKEN: () => `${NEEDS_QUOTES}, or a bracket or comma is too many`,
  TAG_RESOLVE_FAILED: () => `${NEEDS_QUOTES}: it begins with ! as a tag does`,
  BAD_DIRECTIVE: () => 'a line that begins with % is no setting',
};

/** `2.000` is two to YAML, and two thousand to many people. */
const GROUPED = /^[1-9]\d{0,2}\.000$/;
const grouped = (text: string): string =>
  `${text} would be ${Number(text)}: write ${Number(text)}, or ${text.replace('.', '')}`;

/** A key of another form may be an address, or a piece of a hash without quotes: neither is for a log. */
function twice(key: unknown): string {
  const named = typeof key === 'string' && /^\w{1,40}$/.test(key) ? `the key ${key}` : 'this key';
  return `${named} is there twice; write it once, with all that belongs to it`;
}

/** Stops at the first token too many. */
function exceeds(text: string, most: number): boolean {
  if (text.length <= most) return false;
  let count = 0;
  for (const _ of new Lexer().lex(text)) if (++count > most) return true;
  return false;
}
