import { setImmediate } from 'node:timers/promises';
import type { Request, Response } from 'express';
import express from 'express';
import { invalid, Problem } from './problem.js';
import type { BodySpec } from './route.js';

/** The limit of a body in bytes if a route names no other. */
const LIMIT = 64 * 1024;

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json$/;
const NDJSON_TYPE = /^application\/(?:x-)?(?:ndjson|jsonl)$/;
const YAML_TYPE = /^(?:text|application)\/(?:x-)?yaml$/;

interface RawBody {
  readonly bytes: Buffer;
  /** The value that the text holds; `{}` if there is none and may be none. */
  readonly value: unknown;
}

/**
 * The most bytes that a request's body can have: its length if it is stated and not encoded, else the route's limit.
 */
export function bytesOf(request: Request, { limit = LIMIT }: BodySpec<unknown>): number {
  const isPlain = request.get('content-encoding') === undefined;
  const stated = Number(request.get('content-length'));
  return isPlain && stated >= 0 && stated < limit ? stated : limit;
}

export type BodyReader = (request: Request, response: Response) => Promise<RawBody>;

/** Reads and decodes the bodies of one route; throws Problem 400 (with line and column), 413 or 415. */
export function bodyReader(spec: BodySpec<unknown>): BodyReader {
  const readBytes = express.raw({ type: () => true, limit: spec.limit ?? LIMIT });
  return async (request, response) => {
    await new Promise<void>((resolve, reject) => {
      // What unpacks a compressed body hears nothing of a client that goes away: it would wait for ever.
      const gone = (): void => reject(new Problem(400, 'the client went away before the end of the body'));
      response.once('close', gone);
      readBytes(request, response, (error?: unknown) => {
        response.off('close', gone);
        if (error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error('the body cannot be read', { cause: error }));
      });
    });
    return decoded(request, spec);
  };
}

async function decoded(request: Request, spec: BodySpec<unknown>): Promise<RawBody> {
  const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  if (bytes.length === 0) {
    if (spec.optional === true) return { bytes, value: {} };
    throw invalid([{ field: 'body', message: 'is missing' }]);
  }
  const [type = '', ...parameters] = (request.get('content-type') ?? '')
    .split(';')
    .map((part) => part.trim());
  const isYaml = spec.yaml === true && YAML_TYPE.test(type.toLowerCase());
  const isLines = spec.ndjson !== undefined && NDJSON_TYPE.test(type.toLowerCase());
  if (!isYaml && !isLines && !JSON_TYPE.test(type.toLowerCase())) {
    const stated = type === '' ? 'of no stated type' : type;
    throw new Problem(415, `the body is ${stated}: send ${acceptedBy(spec)}`);
  }
  const charset = parameters.find((parameter) => /^charset=/i.test(parameter))?.slice('charset='.length);
  if (charset !== undefined && !/^"?(?:utf-8|us-ascii)"?$/i.test(charset)) {
    throw new Problem(415, `the body is in ${charset}: send UTF-8`);
  }
  const text = decode(bytes);
  if (isYaml) return { bytes, value: { source: text } };
  const { ndjson: most } = spec;
  if (most !== undefined && (isLines || text.trimStart().startsWith('[')))
    return { bytes, value: await parsePieces(text, isLines ? linesOf(text) : elementsOf(text), most) };
  return { bytes, value: await parse(bytes, text) };
}

function acceptedBy({ yaml, ndjson }: BodySpec<unknown>): string {
  if (yaml === true) return 'application/json, application/yaml or text/yaml';
  return ndjson !== undefined ? 'application/json or application/x-ndjson' : 'application/json';
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid([{ field: 'body', message: 'is not UTF-8 text' }]); // that is all TextDecoder can mean
  }
}

/** Levels of a JSON value: recursive code works on it. */
const DEEPEST = 100;
/** Names in one object: a schema looks at all of them. */
const MOST_KEYS = 1000;
/** Colons, and commas and brackets, of a long body. A value with so many is parsed in about 20 ms. */
const MOST_COLONS = 60_000;
const MOST_PARTS = 150_000;
const [QUOTE, BACKSLASH, COLON, COMMA, BRACKET, BRACE] = Buffer.from('"\\:,[{');

/** Reads values one by one, so that other work gets its turns. Of too many it reads one more than `most`. */
async function parsePieces(
  text: string,
  pieces: Generator<Piece | undefined, number | undefined>,
  most: number,
): Promise<unknown[]> {
  const values: unknown[] = [];
  let next = pieces.next();
  for (let looked = 0; next.done !== true && values.length <= most; next = pieces.next()) {
    const piece = next.value;
    if (piece === undefined || (looked += piece.end - piece.start) > LONGEST_PIECE) {
      await setImmediate();
      looked = 0;
    }
    if (piece === undefined) continue;
    const { start, end, line } = piece;
    if (end - start > LONGEST_PIECE)
      throw invalid([{ field: 'body', message: `holds a value of more than ${LONGEST_PIECE} characters` }]);
    const value = text.slice(start, end);
    // A fault in a list is named by its place in the whole text, a fault in a line by its line.
    values.push(
      checked(await parseJson(value, line === undefined ? { text } : { text: value, before: line })),
    );
  }
  // A list ends with its bracket, and nothing comes after it.
  if (next.done === true && (next.value === undefined || text.slice(next.value).trim() !== ''))
    throw await faultIn({ text });
  return values;
}

async function parse(bytes: Buffer, text: string): Promise<unknown> {
  if (bytes.length > LONGEST_PIECE) {
    let [colons, parts, isText] = [0, 0, false];
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) isText = !isText;
      else if (isText) at += byte === BACKSLASH ? 1 : 0;
      else if (byte === COLON) colons += 1;
      else if (byte === COMMA || byte === BRACKET || byte === BRACE) parts += 1;
    }
    if (colons > MOST_COLONS || parts > MOST_PARTS)
      throw invalid([{ field: 'body', message: 'holds more values than any body needs' }]);
  }
  const value = await parseJson(text, { text });
  if (bytes.length > LONGEST_PIECE) await setImmediate();
  checked(value);
  if (bytes.length > LONGEST_PIECE) await setImmediate();
  return value;
}

/** Does not recurse, since the value may be too deep for that. @throws Problem if it is too deep or too wide */
function checked(value: unknown): unknown {
  let level: object[] = isParent(value) ? [value] : [];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === DEEPEST)
      throw invalid([{ field: 'body', message: `is nested more than ${DEEPEST} levels deep` }]);
    const next: object[] = [];
    for (const parent of level) {
      const children: readonly unknown[] = Array.isArray(parent) ? parent : Object.values(parent);
      if (children !== parent && children.length > MOST_KEYS)
        throw invalid([{ field: 'body', message: `has an object with more than ${MOST_KEYS} names` }]);
      for (const child of children) if (isParent(child)) next.push(child);
    }
    level = next;
  }
  return value;
}

function isParent(one: unknown): one is object {
  return typeof one === 'object' && one !== null;
}

interface Around {
  readonly text: string;
  /** How many lines come before it. */
  readonly before?: number;
}

/** @param around the text in which a fault is looked for */
async function parseJson(text: string, around: Around): Promise<unknown> {
  try {
    return JSON.parse(text);
  } catch {
    throw await faultIn(around);
  }
}

async function faultIn({ text, before = 0 }: Around): Promise<Problem> {
  const { line: within, column, offset } = await findJsonFault(text);
  const line = before + within;
  const seen = offset >= text.length ? 'it ends too early' : `unexpected ${JSON.stringify(text[offset])}`;
  const message = `is not valid JSON at line ${line}, column ${column}: ${seen}`;
  const errors = [{ field: 'body', message }];
  return new Problem(400, `body: ${message}`, { code: 'invalid-input', members: { errors, line, column } });
}

/** The place of a value in a text that holds many. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  /** How many lines come before it, if that is known. */
  readonly line?: number;
}

/** The most characters of one value among many. */
export const LONGEST_PIECE = 64 * 1024;
/** What one turn of the event loop may look at. */
const STEPS = 5000;

/** The lines of a text that are not empty. Yields undefined if other work should get a turn. */
export function* linesOf(text: string): Generator<Piece | undefined, number> {
  for (let start = 0, line = 0; start < text.length; line += 1) {
    if (line % STEPS === STEPS - 1) yield undefined;
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    if (end - start > 1 || text.slice(start, end).trim() !== '') yield { start, end, line };
    start = end + 1;
  }
  return text.length;
}

/**
 * The elements of a JSON list. Yields undefined if other work should get a turn. It only looks for what separates them:
 * whether an element is valid JSON is found when it is parsed.
 *
 * @returns where the list ends; undefined if it does not
 */
export function* elementsOf(text: string): Generator<Piece | undefined, number | undefined> {
  const mark = /["[\]{},]/g;
  let [depth, start, steps, count] = [0, 0, 0, 0];
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    if (++steps % STEPS === 0) yield undefined;
    const { index, 0: character } = found;
    if (character === '"') {
      const end = endOfString(text, index);
      // It is longer than a value may be.
      if (end === undefined) yield { start, end: index + LONGEST_PIECE + 1 };
      else mark.lastIndex = end;
    } else if (character === '[' || character === '{') {
      if (++depth === 1) start = index + 1;
    } else if (character !== ',') depth -= 1;
    if (depth > 1 || (depth === 1 && character !== ',')) continue;
    const isNone = depth === 0 && count === 0 && text.slice(start, index).trim() === '';
    if (!isNone) yield { start, end: index };
    if (depth === 0) return character === ']' ? index + 1 : undefined;
    count += 1;
    start = index + 1;
  }
  return undefined;
}

/** Undefined if it is longer than {@link LONGEST_PIECE}. */
function endOfString(text: string, start: number): number | undefined {
  for (let quote = text.indexOf('"', start + 1); quote > 0; quote = text.indexOf('"', quote + 1)) {
    if (quote - start > LONGEST_PIECE) return undefined;
    let slashes = 0;
    while (text[quote - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
  }
  return text.length - start > LONGEST_PIECE ? undefined : text.length;
}

/** Where JSON text stops being JSON; line and column count from 1. */
interface JsonFault {
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
 * Finds the fault in text that `JSON.parse` refused: only some messages of V8 name its place. jsonc-parser calls itself
 * for each level, so that 64 KiB of `[` overflow the stack, and holds the event loop for seconds on 8 MiB.
 *
 * @returns the end of the text if it is cut short
 */
export async function findJsonFault(text: string): Promise<JsonFault> {
  const open: ('{' | '[')[] = [];
  let expecting: Expecting = 'value';
  let offset = 0;
  const closed = (): Expecting => (open.length === 0 ? 'end' : 'comma');
  for (let count = 1; ; count++) {
    // A long text takes a second, so other work gets its turns.
    if (count % TURN === 0) await setImmediate();
    TOKEN.lastIndex = offset;
    const found = TOKEN.exec(text);
    const start = skipSpace(text, offset);
    if (found === null) return faultAt(text, start);
    const [whole, mark, string] = found;
    const isKey = expecting === 'key' || expecting === 'key or }';
    const isValue = expecting === 'value' || expecting === 'value or ]';
    if ((mark === '{' || mark === '[') && isValue) {
      open.push(mark);
      expecting = mark === '{' ? 'key or }' : 'value or ]';
    } else if (
      (mark === '}' || mark === ']') &&
      (expecting.endsWith(mark) || (expecting === 'comma' && open.at(-1) === (mark === '}' ? '{' : '[')))
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
      return faultAt(text, start);
    }
    offset += whole.length;
  }
}

function skipSpace(text: string, from: number): number {
  let offset = from;
  while (offset < text.length && ' \t\n\r'.includes(text[offset]!)) offset++;
  return offset;
}

function faultAt(text: string, offset: number): JsonFault {
  let line = 1;
  let start = 0;
  for (let next = text.indexOf('\n'); next >= 0 && next < offset; next = text.indexOf('\n', start)) {
    line += 1;
    start = next + 1;
  }
  return { line, column: offset - start + 1, offset };
}
