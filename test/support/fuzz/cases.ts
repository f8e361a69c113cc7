import { test } from 'node:test';
import fc from 'fast-check';
import { letter } from '../letters.js';

/** The same cases each time, unless STOPGAP_FUZZ_SEED gives others; STOPGAP_FUZZ_TIMES makes so many times as many. */
const SEED = Number(process.env['STOPGAP_FUZZ_SEED'] ?? 20260302);
const TIMES = Number(process.env['STOPGAP_FUZZ_TIMES'] ?? 1);
/** A case that takes longer hangs. */
const PATIENCE = 60_000;

export interface Fuzzed<Case> {
  readonly arbitrary: fc.Arbitrary<Case>;
  /** How many cases are made. */
  readonly runs: number;
  /** What once failed, by what it shows: tried first, each as a test of its own. */
  readonly kept?: Readonly<Record<string, Case>>;
}

/** A test for each case that is kept, and one for what is made up. @param holds throws for a case that fails */
export function fuzz<Case>(
  title: string,
  { arbitrary, runs, kept = {} }: Fuzzed<Case>,
  holds: (one: Case) => void | Promise<void>,
): void {
  for (const [name, one] of Object.entries(kept)) test(name, async () => holds(one));
  test(title, async () => {
    const property = fc.asyncProperty(arbitrary, async (one) => holds(one));
    await fc.assert(property, { numRuns: runs * TIMES, seed: SEED, timeout: PATIENCE });
  });
}

/** Texts that have broken parsers before. */
export const nasty = fc.constantFrom(
  '',
  ' ',
  '*',
  '@',
  '..',
  '\u0000',
  '\ud800',
  '%',
  '1e999',
  '-1',
  '9'.repeat(40),
  '[1.2.3.4]',
  'xn--',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '𝕏@ex.ample',
  '::/0',
  '::ffff:192.0.2.1',
  '+275760-09-13',
  '9999-12-31',
  '999999999w',
  '<script>',
  'a\r\nb',
  'a\u202eb',
  'e\u0301',
  '\ufeff',
  'x'.repeat(400),
  '*.*.*.*.*.*',
  '%2e%2e%2f',
  "' or 1=1 --",
  '${x}',
  'İ',
  'ß',
  'ﬀ',
  '\ufffd',
);

/** Any text, nasty ones often. */
export const anyText = fc.oneof(
  nasty,
  fc.string({ unit: letter, maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
);

/** Bytes or characters of a text changed, left out, doubled, moved. */
export function damaged(texts: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const damage = fc.record({
    kind: fc.constantFrom<'insert' | 'remove' | 'replace' | 'double' | 'cut'>(
      ...(['insert', 'remove', 'replace', 'double', 'cut'] as const),
    ),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.integer({ min: 1, max: 30 }),
    text: anyText,
  });
  return fc.tuple(texts, fc.array(damage, { maxLength: 4 })).map(([text, all]) =>
    all.reduce((whole, { kind, at, length, text: other }) => {
      const place = Math.floor(at * whole.length);
      const [before, hit, after] = [
        whole.slice(0, place),
        whole.slice(place, place + length),
        whole.slice(place + length),
      ];
      switch (kind) {
        case 'insert':
          return before + other + hit + after;
        case 'remove':
          return before + after;
        case 'replace':
          return before + other + after;
        case 'double':
          return before + hit + hit + after;
        case 'cut':
          return before;
      }
    }, text),
  );
}

/** A text in pieces, cut anywhere. */
export function pieces(text: string, cuts: readonly number[]): readonly string[] {
  const places = [0, ...cuts.map((cut) => Math.floor(cut * text.length)), text.length].sort((a, b) => a - b);
  return places.slice(1).map((place, index) => text.slice(places[index], place));
}

/** Where {@link pieces} cuts. */
export const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 });
