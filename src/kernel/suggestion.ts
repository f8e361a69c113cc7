/** The known name that is nearest to a mistyped one; undefined if none is near. Case does not count. */
export function nearest(typed: string, known: Iterable<string>): string | undefined {
  const limit = Math.max(2, Math.floor(typed.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const name of known) {
    if (Math.abs(name.length - typed.length) >= bestDistance) continue;
    const distance = editDistance(typed.toLowerCase(), name.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** `did you mean X?`, or the list of what is known if nothing is near. @param page where a long list is to be read */
export function suggestion(
  typed: string,
  known: readonly string[],
  page = 'docs/reference/configuration.md',
): string {
  const near = nearest(typed, known);
  if (near !== undefined) return `did you mean ${near}?`;
  return known.length <= 15 ? `known are ${known.join(', ')}` : `see ${page} for what is known`;
}

/** Levenshtein distance with neighbouring letters swapped as one step. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, before[j - 2]! + 1);
      }
      row.push(cost);
    }
    [before, previous] = [previous, row];
  }
  return previous[b.length]!;
}
