/** What stays in the place of somebody's name. `invalid` is nobody's domain, and will not be (RFC 2606). */
export function pseudonymOf(hex: string): string {
  return `forgotten-${hex}@invalid`;
}

const PSEUDONYM = /forgotten-[0-9a-f]{8}@invalid/;
/** What a pseudonym may stand for in a text. */
const NAME = /^[^\s"'(),:;<>[\]{}]{1,320}$/;

/**
 * Whether one text may be the other one before somebody was forgotten: they are the same, but for names where the other has
 * pseudonyms. Which names these were nobody can tell: not even a hash of them is kept.
 */
export function mayBeBeforeForgetting(text: string, forgotten: string): boolean {
  const [first = '', ...pieces] = forgotten.split(PSEUDONYM);
  const last = pieces.pop();
  if (last === undefined || !text.startsWith(first) || !text.endsWith(last)) return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const piece of pieces) {
    const next = text.indexOf(piece, at + 1);
    if (next < 0 || !NAME.test(text.slice(at, next))) return false;
    at = next + piece.length;
  }
  return at < end && NAME.test(text.slice(at, end));
}
