import { deserialize, serialize } from 'node:v8';

/*
 * A state is cut into frames, so that no single step of writing or reading it holds the event loop for long: plain
 * objects are taken apart, arrays are cut into parts, and whatever else there is goes as it is.
 */

/** One piece of a state, and where in it it belongs. */
export interface Frame {
  readonly path: readonly string[];
  readonly kind: 'object' | 'part' | 'value';
  /** Of an object nothing, of an array some of its elements. */
  readonly value?: unknown;
}

/** Bytes that a frame should hold, about: a millisecond's work. */
const FRAME_BYTES = 256 * 1024;

/** Cuts plain data into frames. It must not change meanwhile, but for what nobody ever changes. */
export function* framesOf(value: unknown, path: readonly string[] = []): Generator<Frame> {
  if (Array.isArray(value)) {
    let first = 0;
    do {
      const end = endOfPart(value, first);
      yield { path, kind: 'part', value: value.slice(first, end) };
      first = end;
    } while (first < value.length);
  } else if (isPlain(value)) {
    yield { path, kind: 'object' };
    for (const [key, each] of Object.entries(value)) yield* framesOf(each, [...path, key]);
  } else {
    yield { path, kind: 'value', value };
  }
}

export function encode(frame: Frame): Buffer {
  return serialize(frame);
}

export function decode(bytes: Buffer): Frame {
  return deserialize(bytes) as Frame;
}

/** Puts together what {@link framesOf} has cut. */
export class Assembly {
  readonly #root = new Branch();

  /** @throws Error where a frame belongs nowhere */
  add({ path, kind, value }: Frame): void {
    // The whole is the one child, without a name, of a root that is always there.
    const full = ['', ...path];
    const name = full.pop()!;
    let parent: Piece | undefined = this.#root;
    for (const each of full) parent = parent instanceof Branch ? parent.children.get(each) : undefined;
    if (!(parent instanceof Branch)) throw new Error(`there is nothing that could hold ${path.join('.')}`);
    const before = parent.children.get(name);
    if (kind === 'part' && before instanceof Parts) before.push(value as unknown[]);
    else parent.children.set(name, pieceOf(kind, value));
  }

  result(): unknown {
    const whole = this.#root.children.get('');
    return whole === undefined ? undefined : build(whole);
  }
}

class Branch {
  readonly children = new Map<string, Piece>();
}

class Parts {
  readonly all: unknown[] = [];

  push(part: readonly unknown[]): void {
    for (const each of part) this.all.push(each);
  }
}

type Piece = Branch | Parts | { readonly value: unknown };

function pieceOf(kind: Frame['kind'], value: unknown): Piece {
  if (kind === 'object') return new Branch();
  if (kind === 'value') return { value };
  const parts = new Parts();
  parts.push(value as unknown[]);
  return parts;
}

function build(piece: Piece): unknown {
  if (piece instanceof Parts) return piece.all;
  if (!(piece instanceof Branch)) return piece.value;
  return Object.fromEntries([...piece.children].map(([name, each]) => [name, build(each)]));
}

function isPlain(value: unknown): value is object {
  return value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype;
}

function endOfPart(array: readonly unknown[], first: number): number {
  let bytes = 0;
  let end = first;
  while (end < array.length && bytes < FRAME_BYTES) bytes += weight(array[end++]);
  return end;
}

/** What an element will weigh, roughly. */
function weight(value: unknown): number {
  if (typeof value === 'string') return 8 + value.length;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  return typeof value === 'object' ? 1024 : 8;
}
