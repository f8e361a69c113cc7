import fc from 'fast-check';

/** Any code point but a half of a pair. The unit `binary` of fast-check does the same, and takes a second to list them all. */
export const letter = fc
  .nat(0x10f7ff)
  .map((code) => String.fromCodePoint(code < 0xd800 ? code : code + 0x800));
