import library from 'mmdb-lib/lib/decoder.js';

/*
 * A bound on what the library decodes. Its files name values by their places, over and over: a small one can hold a
 * record that never ends, or that no memory has room for. The library has no limit of its own.
 */

/** Values, pointers and bytes of text, of one record. Those of the largest databases that are sold have some thousand. */
const MOST = 10_000;

/** What the library's types keep to themselves. */
interface Decoder {
  decodeByType: (this: Decoder, type: number, offset: number, size: number) => unknown;
  decodePointer: (this: Decoder, control: number, offset: number) => unknown;
}

const decoder = library.default.prototype as unknown as Decoder;
const { decodeByType, decodePointer } = decoder;
let left = 0;

function spend(cost: number): void {
  left -= cost;
  if (left < 0) throw new Error('a record of it is too large');
}

// Before the value is made: an array is given its room at once, by the size that the file says.
decoder.decodeByType = function (type, offset, size) {
  spend(1 + size);
  return decodeByType.call(this, type, offset, size);
};
decoder.decodePointer = function (control, offset) {
  spend(1);
  return decodePointer.call(this, control, offset);
};

/** Calls what decodes one record. @throws Error if it is too large; what it throws */
export function bounded<T>(decodeOne: () => T): T {
  left = MOST;
  return decodeOne();
}
