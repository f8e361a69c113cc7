import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import path from 'node:path';
import { Readable } from 'node:stream';
import type { TestEvent } from 'node:test/reporters';
import { spec } from 'node:test/reporters';

/**
 * The `spec` reporter of node's test runner, with the lines of the TypeScript where a test failed. `--enable-source-maps` would
 * do it too: every process would read the maps of all that it loads, an eighth of the time of all tests.
 */
export default async function* reporter(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  yield* Readable.from(withSources(events)).pipe(new spec()) as AsyncIterable<string>;
}

async function* withSources(events: AsyncIterable<TestEvent>): AsyncGenerator<TestEvent> {
  for await (const event of events) {
    if (event.type === 'test:fail') {
      const { error } = event.data.details;
      for (const each of [error, error.cause])
        if (each instanceof Error && each.stack !== undefined) each.stack = sourced(each.stack);
    }
    yield event;
  }
}

const PLACE = /(?:file:\/\/)?(\/[^\s()]+\.js):(\d+):(\d+)/g;

/** A stack with the places in the sources; where there is no map they stay. */
export function sourced(stack: string): string {
  return stack.replace(PLACE, (place, file: string, line: string, column: string) => {
    let map: SourceMap;
    try {
      map = new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')) as SourceMapPayload);
    } catch {
      return place;
    }
    const entry = map.findEntry(Number(line) - 1, Number(column) - 1);
    if (!('originalSource' in entry)) return place;
    const source = path.resolve(path.dirname(file), entry.originalSource);
    return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  });
}
