import type { TestEvent } from 'node:test/reporters';

/** A reporter for node's test runner: the reason of each skip, one a line. */
export default async function* skips(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type !== 'test:pass' || event.data.skip === undefined) continue;
    yield `${typeof event.data.skip === 'string' ? event.data.skip : 'no reason given'}\n`;
  }
}

/** One line of what was skipped, each reason up to its first colon or comma, the most frequent first. */
export function closingLine(reasons: readonly string[], server: string): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) {
    const short = /^[^:,;(]*/.exec(reason)![0].trim();
    counts.set(short, (counts.get(short) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a).map(([reason, count]) => `${count}: ${reason}`);
  const skipped =
    reasons.length === 0 ? 'nothing skipped' : `${reasons.length} skipped (${sorted.join(', ')})`;
  const remedy = reasons.length === 0 ? '' : '; npm run test:install installs what is missing';
  return `${skipped}; KurrentDB: ${server}${remedy}`;
}
