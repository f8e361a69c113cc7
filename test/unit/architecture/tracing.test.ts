import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sources } from './imports.js';

const SDK = 'src/tracing/sdk.ts';
const all = sources('src', 'projections');
const importers = (wanted: (name: string) => boolean): readonly string[] =>
  all.filter(({ imports }) => imports.some(wanted)).map(({ file }) => file);

describe('OpenTelemetry', () => {
  test('is known as its API; one file names what sends traces', () => {
    assert.ok(importers((name) => name === '@opentelemetry/api').length > 3, 'the sources were found');
    const others = (name: string): boolean => /^@opentelemetry\/(?!api$)/.test(name);
    assert.deepEqual(importers(others), [SDK]);
  });

  test('is loaded only when it is asked for, by the file that opens it', () => {
    assert.deepEqual(
      importers((name) => name === SDK),
      ['src/tracing/open.ts'],
    );
    const { text } = all.find(({ file }) => file === 'src/tracing/open.ts')!;
    assert.doesNotMatch(text, /^import (?!type)[^;]*sdk\.js/m);
    assert.match(text, /await import\('\.\/sdk\.js'\)/);
  });
});
