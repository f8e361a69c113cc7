/* What several lists of attacks are made of. */

export const many = <Item>(count: number, make: (n: number) => Item): readonly Item[] =>
  Array.from({ length: count }, (_, n) => make(n));

/** A rule of its own for each number. */
export const RULE = (n: number): unknown => ({
  id: `rule${n}`,
  per: 'account',
  count: 'messages',
  window: `${n + 1}m`,
  limit: 100 + n,
  then: 'observe',
});

/** A body that is refused at once. */
export const OTHER_LINE = '{"subject":{"type":"account"},"reason":""}';
