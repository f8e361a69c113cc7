import express from 'express';
import type { Request, Response } from 'express';
import type { BodySpec } from './route.js';
import { findJsonFault } from './json-fault.js';
import { Problem, invalid } from './problem.js';

/** Bytes of a body where a route names no other limit. */
const LIMIT = 64 * 1024;

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json$/;
const NDJSON_TYPE = /^application\/(?:x-)?(?:ndjson|jsonl)$/;
const YAML_TYPE = /^(?:text|application)\/(?:x-)?yaml$/;

export interface RawBody {
  readonly bytes: Buffer;
  /** The value that the text holds; `{}` where there is none and may be none. */
  readonly value: unknown;
}

/**
 * Reads and decodes a request's body.
 *
 * @throws Problem 400 (with line and column), 413 or 415
 */
export async function readBody(
  request: Request,
  response: Response,
  spec: BodySpec<unknown>,
): Promise<RawBody> {
  const bytes = await readBytes(request, response, spec.limit ?? LIMIT);
  if (bytes.length === 0) {
    if (spec.optional === true) return { bytes, value: {} };
    throw invalid([{ field: 'body', message: 'is missing' }]);
  }
  const [type = '', ...parameters] = (request.get('content-type') ?? '')
    .split(';')
    .map((part) => part.trim());
  const isYaml = spec.yaml === true && YAML_TYPE.test(type.toLowerCase());
  const isLines = spec.ndjson === true && NDJSON_TYPE.test(type.toLowerCase());
  if (!isYaml && !isLines && !JSON_TYPE.test(type.toLowerCase())) {
    const stated = type === '' ? 'of no stated type' : type;
    throw new Problem(415, `the body is ${stated}: send ${acceptedBy(spec)}`);
  }
  const charset = parameters.find((parameter) => /^charset=/i.test(parameter))?.slice('charset='.length);
  if (charset !== undefined && !/^"?(?:utf-8|us-ascii)"?$/i.test(charset)) {
    throw new Problem(415, `the body is in ${charset}: send UTF-8`);
  }
  const text = decode(bytes);
  if (isLines) return { bytes, value: text.split(/\r?\n/).flatMap(parseLine) };
  return { bytes, value: isYaml ? { source: text } : parse(text) };
}

function acceptedBy({ yaml, ndjson }: BodySpec<unknown>): string {
  if (yaml === true) return 'application/json, application/yaml or text/yaml';
  return ndjson === true ? 'application/json or application/x-ndjson' : 'application/json';
}

function readBytes(request: Request, response: Response, limit: number): Promise<Buffer> {
  const read = express.raw({ type: () => true, limit });
  return new Promise((resolve, reject) => {
    read(request, response, (error?: unknown) => {
      if (error !== undefined)
        reject(error instanceof Error ? error : new Error('the body cannot be read', { cause: error }));
      else resolve(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
    });
  });
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid([{ field: 'body', message: 'is not UTF-8 text' }]); // that is all TextDecoder can mean
  }
}

/** Empty lines, such as the one behind the last, hold nothing. */
function parseLine(text: string, index: number): readonly unknown[] {
  return text.trim() === '' ? [] : [parse(text, index)];
}

/** Levels of a JSON value: what works on it may call itself for each. */
const DEEPEST = 100;

/** @param before how many lines stand before this text */
function parse(text: string, before = 0): unknown {
  const value = parseJson(text, before);
  if (isDeeperThan(DEEPEST, value))
    throw invalid([{ field: 'body', message: `is nested more than ${DEEPEST} levels deep` }]);
  return value;
}

/** Without recursion: it meets what is too deep for it. */
function isDeeperThan(most: number, value: unknown): boolean {
  const isParent = (one: unknown): one is object => typeof one === 'object' && one !== null;
  let level = [value].filter(isParent);
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === most) return true;
    level = level.flatMap((parent) => Object.values(parent).filter(isParent));
  }
  return false;
}

function parseJson(text: string, before: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const { line: within, column, offset } = findJsonFault(text);
    const line = before + within;
    const seen = offset >= text.length ? 'it ends too early' : `unexpected ${JSON.stringify(text[offset])}`;
    const message = `is not valid JSON at line ${line}, column ${column}: ${seen}`;
    const errors = [{ field: 'body', message }];
    throw new Problem(400, `body: ${message}`, { code: 'invalid-input', members: { errors, line, column } });
  }
}
