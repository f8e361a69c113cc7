/** Bits for a thousand names, of which many have the same domains: about one in eight is set. */
const LOG_BITS = 16;
const GRAM = 4;

/**
 * Which runs of four characters some texts have, so that a search for a longer text can pass over them: a Bloom filter
 * with one hash, since a text that is looked for has several runs.
 */
export function textFilter(texts: readonly string[]): Uint32Array {
  const filter = new Uint32Array(1 << (LOG_BITS - 5));
  for (const text of texts) eachGram(text, (bit) => ((filter[bit >> 5]! |= 1 << (bit & 31)), true));
  return filter;
}

/** False if none of the texts contains this one. */
export function passes(filter: Uint32Array, text: string): boolean {
  return eachGram(text, (bit) => ((filter[bit >> 5]! >> (bit & 31)) & 1) === 1);
}

/** Calls for each run until one call gives false. */
function eachGram(text: string, call: (bit: number) => boolean): boolean {
  for (let at = 0; at + GRAM <= text.length; at++) {
    let run = 0;
    for (let next = at; next < at + GRAM; next++) run = (run << 7) ^ text.charCodeAt(next);
    if (!call(Math.imul(run, 0x9e3779b1) >>> (32 - LOG_BITS))) return false;
  }
  return true;
}
