/** What stays in the place of somebody's name. `invalid` is nobody's domain, and will not be (RFC 2606). */
export function pseudonymOf(hex: string): string {
  return `forgotten-${hex}@invalid`;
}

const PSEUDONYM = /forgotten-[0-9a-f]{8}@invalid/;
const ALONE = new RegExp(`^${PSEUDONYM.source}$`);

/** Whether a name stands for somebody who is forgotten. */
export function isPseudonym(name: string): boolean {
  return ALONE.test(name);
}

/** What a pseudonym may stand for in a text. */
const NAME = /^[^\s"'(),:;<>[\]{}]{1,320}$/;

/**
 * Whether one text may be the other one before somebody was forgotten: they are the same, but for names where the other has
 * pseudonyms. Which names these were nobody can tell: not even a hash of them is kept.
 */
export function mayBeBeforeForgetting(text: string, forgotten: string): boolean {
  return namesBefore(text, forgotten) !== undefined;
}

/** What stands in one text where the other has pseudonyms, in their order; undefined if they differ in more, or it has none. */
export function namesBefore(
  text: string,
  forgotten: string,
): readonly { readonly pseudonym: string; readonly name: string }[] | undefined {
  const pseudonyms = forgotten.match(new RegExp(PSEUDONYM, 'g')) ?? [];
  const [first = '', ...pieces] = forgotten.split(PSEUDONYM);
  const last = pieces.pop();
  if (last === undefined || !text.startsWith(first) || !text.endsWith(last)) return undefined;
  const end = text.length - last.length;
  const names: string[] = [];
  let at = first.length;
  for (const piece of pieces) {
    const next = text.indexOf(piece, at + 1);
    if (next < 0) return undefined;
    names.push(text.slice(at, next));
    at = next + piece.length;
  }
  if (at >= end) return undefined;
  names.push(text.slice(at, end));
  if (!names.every((name) => NAME.test(name))) return undefined;
  return names.map((name, index) => ({ pseudonym: pseudonyms[index]!, name }));
}
