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

export interface RecordBlock {
  /** Spaces before the dash of each record. */
  readonly indent: number;
  readonly records: readonly RecordLines[];
}

const IGNORED = /^ *(?:#.*|\r)?$/s;
const NO_VALUE = /^ *(?: #.*|\r)?$/s;

/**
 * Where the records of a block list stand: `users:`, and a line with a dash for each. Undefined where the text is of
 * another form, has no record, or may have aliases, which reach from one record into another.
 */
export function splitRecords(text: string, list: string): RecordBlock | undefined {
  if (mayHaveAliases(text)) return undefined;
  let state: 'head' | 'marked' | 'listed' = 'head';
  let lead = '';
  const records: RecordLines[] = [];
  let last: { start: number; line: number } | undefined;
  for (let start = 0, line = 1; start < text.length; line += 1) {
    const newline = text.indexOf('\n', start);
    const next = newline < 0 ? text.length : newline + 1;
    if (last !== undefined) {
      if (isMark(text, start)) return undefined;
      if (beginsRecord(text, start, lead)) {
        records.push({ ...last, end: start });
        last = { start, line };
      }
    } else {
      const content = text.slice(start, newline < 0 ? next : newline);
      if (state === 'listed' && !IGNORED.test(content)) {
        const found = /^( *)-(?=[ \t\r]|$)/.exec(content);
        if (found === null || isMark(text, start)) return undefined;
        lead = found[1]!;
        last = { start, line };
      } else if (state === 'head' && content.trimEnd() === '---') state = 'marked';
      else if (content.startsWith(`${list}:`) && NO_VALUE.test(content.slice(list.length + 1)))
        state = 'listed';
      else if (!IGNORED.test(content)) return undefined;
    }
    start = next;
  }
  if (last === undefined) return undefined;
  return { indent: lead.length, records: [...records, { ...last, end: text.length }] };
}

function mayHaveAliases(text: string): boolean {
  if (!text.includes('&') || !text.includes('*')) return false;
  return /(?:^|[\s[{,:-])&\S/.test(text) && /(?:^|[\s[{,:-])\*\S/.test(text);
}

/** A document ends here, or another one begins. */
function isMark(text: string, start: number): boolean {
  return text.startsWith('---', start) || text.startsWith('...', start);
}

function beginsRecord(text: string, start: number, lead: string): boolean {
  const dash = start + lead.length;
  if (text[dash] !== '-' || !text.startsWith(lead, start)) return false;
  return dash + 1 === text.length || ' \t\r\n'.includes(text[dash + 1]!);
}

/** The fields of a record, and where their values begin. */
export interface PlainRecord {
  readonly values: ReadonlyMap<string, string | boolean>;
  readonly places: ReadonlyMap<string, number>;
}

/** One field on a line of its own, whose value is the same text to every reader of YAML. */
const FIELD =
  /(\w+):([ \t]+)(?:"([ !#-[\]-~]*)"|'([ -&(-~]*)'|([A-Za-z0-9$][\w@.+/$=,:-]*))(?:[ \t]+#[^\n]*|[ \t]*)\r?(?:\n|$)/y;
const SKIPPED = / *(?:#[^\n]*)?\r?\n/y;
/** Words that YAML takes for something else than text. */
const WORDS = /^(?:null|true|false)$/i;
/** Of what begins with a digit: an address, and a time. */
const NO_NUMBER = /@|^\d{4}-\d\d-\d\dT/;

/** Undefined for a record in any other form, or with other fields: it may be right, and the YAML library knows. */
export function plainRecord(
  text: string,
  { start, end }: RecordLines,
  indent: number,
  fields: readonly string[],
): PlainRecord | undefined {
  const values = new Map<string, string | boolean>();
  const places = new Map<string, number>();
  const lead = ' '.repeat(indent + 2);
  let at = start + indent + 2;
  if (text[at - 1] !== ' ') return undefined;
  while (at < end) {
    FIELD.lastIndex = at;
    const found = FIELD.exec(text);
    if (found === null) return undefined;
    const [whole, key, space, double, single, bare] = found;
    if (!fields.includes(key!) || values.has(key!)) return undefined;
    const value = double ?? single ?? plainScalar(bare!);
    if (value === undefined) return undefined;
    values.set(key!, value);
    places.set(key!, at + key!.length + 1 + space!.length);
    at += whole.length;
    SKIPPED.lastIndex = at;
    while (at < end && SKIPPED.test(text)) at = SKIPPED.lastIndex;
    if (at < end && !text.startsWith(lead, at)) return undefined;
    at += lead.length;
  }
  return { values, places };
}

function plainScalar(text: string): string | boolean | undefined {
  if (text.endsWith(':')) return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  if (WORDS.test(text)) return undefined;
  return text < 'A' && text[0] !== '$' && !NO_NUMBER.test(text) ? undefined : text;
}
