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
export interface RecordBlock {
  /** Spaces before the dash of each record. */
  readonly indent: number;
  /** Where the first record begins. */
  readonly start: number;
  readonly line: number;
}

const IGNORED = /^ *(?:#.*|\r)?$/s;
const NO_VALUE = /^ *(?: #.*|\r)?$/s;

/**
 * The block under `users:`. Undefined where the text is of another form, has no record, has several documents, or may have
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
export function placeOf(
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
export const PIECE = 64 * 1024;
const KEY = /^[A-Za-z0-9][\w@.+-]*:(?=[ \t\r\n])/gm;

/**
 * A mapping in pieces, each of which is one, and how many lines stand before it: cut where a line begins with a plain key. All
 * of it at once where it has another form.
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
