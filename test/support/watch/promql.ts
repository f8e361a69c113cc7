/** One vector selector of a PromQL expression: `name{label="value"}`. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Matcher {
  readonly label: string;
  readonly op: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

/** Words in the place of a metric that are none. */
const KEYWORDS = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right', 'offset', 'bool']);
const OPERATORS = new Set(['and', 'or', 'unless', 'atan2', 'inf', 'nan']);

const STRING = /"((?:[^"\\]|\\.)*)"/g;
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;
const RANGE = /\[[^\]]*\]/g;
const IDENTIFIER = /(?<![\w:$.])([a-zA-Z_:][\w:]*)\s*(\(|\{[^}]*\})?/g;
const MATCHER = /([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"(\d+)"/g;

/** The selectors of an expression: enough of PromQL for the rules and dashboards that ship, without `{__name__=…}`. */
export function selectorsOf(expression: string): readonly Selector[] {
  // Text in strings is no part of the language: meanwhile each string has a number.
  const strings: string[] = [];
  const text = expression
    .replace(STRING, (_, content: string) => `"${strings.push(content) - 1}"`)
    .replace(GROUPING, ' ')
    .replace(RANGE, ' ');
  const selectors: Selector[] = [];
  for (const [, metric, rest = ''] of text.matchAll(IDENTIFIER)) {
    if (rest === '(' || KEYWORDS.has(metric!) || OPERATORS.has(metric!.toLowerCase())) continue;
    const matchers = [...rest.matchAll(MATCHER)].map(([, label, op, index]) => ({
      label: label!,
      op: op as Matcher['op'],
      value: strings[Number(index)]!,
    }));
    selectors.push({ metric: metric!, matchers });
  }
  return selectors;
}

/** The labels that an expression groups or joins by. */
export function groupingLabels(expression: string): readonly string[] {
  const labels = [...expression.replace(STRING, '""').matchAll(GROUPING)].flatMap(([, list]) =>
    list!.split(',').map((label) => label.trim()),
  );
  return [...new Set(labels)].filter((label) => label !== '');
}
