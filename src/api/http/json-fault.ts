import { setImmediate } from 'node:timers/promises';

/** Where JSON text stops being JSON; line and column count from 1. */
export interface JsonFault {
  readonly line: number;
  readonly column: number;
  readonly offset: number;
}

const TOKEN =
  /[ \t\n\r]*(?:([{}[\],:])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-]))/y; // eslint-disable-line no-control-regex -- RFC 8259 section 7 names them

/** Tokens that are looked at in one turn of the event loop. */
const TURN = 10_000;

/** What may come next. */
type Expecting = 'value' | 'value or ]' | 'key' | 'key or }' | 'colon' | 'comma' | 'end';

/**
 * Finds the fault in text that `JSON.parse` refused: V8 tells where in some of its messages only.
 *
 * @returns the end of the text where it is cut short
 */
export async function findJsonFault(text: string): Promise<JsonFault> {
  const open: ('{' | '[')[] = [];
  let expecting: Expecting = 'value';
  let offset = 0;
  const closed = (): Expecting => (open.length === 0 ? 'end' : 'comma');
  for (let count = 1; ; count++) {
    // A long text takes a second: others get their turns.
    if (count % TURN === 0) await setImmediate();
    TOKEN.lastIndex = offset;
    const found = TOKEN.exec(text);
    const start = skipSpace(text, offset);
    if (found === null) return place(text, start);
    const [whole, mark, string] = found;
    const isKey = expecting === 'key' || expecting === 'key or }';
    const isValue = expecting === 'value' || expecting === 'value or ]';
    if (mark === '{' && isValue) {
      open.push('{');
      expecting = 'key or }';
    } else if (mark === '[' && isValue) {
      open.push('[');
      expecting = 'value or ]';
    } else if (mark === '}' && (expecting === 'key or }' || (expecting === 'comma' && open.at(-1) === '{'))) {
      open.pop();
      expecting = closed();
    } else if (
      mark === ']' &&
      (expecting === 'value or ]' || (expecting === 'comma' && open.at(-1) === '['))
    ) {
      open.pop();
      expecting = closed();
    } else if (mark === ',' && expecting === 'comma') {
      expecting = open.at(-1) === '{' ? 'key' : 'value';
    } else if (mark === ':' && expecting === 'colon') {
      expecting = 'value';
    } else if (mark === undefined && isKey && string !== undefined) {
      expecting = 'colon';
    } else if (mark === undefined && isValue) {
      expecting = closed();
    } else {
      return place(text, start);
    }
    offset += whole.length;
  }
}

function skipSpace(text: string, from: number): number {
  let offset = from;
  while (offset < text.length && ' \t\n\r'.includes(text[offset]!)) offset++;
  return offset;
}

function place(text: string, offset: number): JsonFault {
  let line = 1;
  let start = 0;
  for (let next = text.indexOf('\n'); next >= 0 && next < offset; next = text.indexOf('\n', start)) {
    line += 1;
    start = next + 1;
  }
  return { line, column: offset - start + 1, offset };
}
