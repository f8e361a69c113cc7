import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noteMore, processIo } from '../../../src/cli/io.js';

const saidAt = (...more: [limit: string, otherwise?: string]): string => {
  let said = '';
  const stderr = { write: (text: string) => ((said += text), true) } as typeof processIo.stderr;
  noteMore({ ...processIo, stderr }, ...more);
  return said;
};

test('a list that goes on advises a higher limit only where the server takes one', () => {
  assert.equal(saidAt('499'), 'there are more: raise --limit, or narrow the search\n');
  assert.equal(saidAt('500'), 'there are more: narrow the search\n');
  assert.equal(saidAt('500', 'see Exemptions on the page'), 'there are more: see Exemptions on the page\n');
});
