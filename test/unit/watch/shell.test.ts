import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inlineIn, pipelinesOf, shellIn } from '../../support/watch/shell.js';

test('pipelines are told apart, quotes taken off, comments left out', () => {
  assert.deepEqual(pipelinesOf(`a -g 'b|c; d' | e "f # g" # h | i\nj; k && l \\\n  m |\n  n\n# o`), [
    [
      ['a', '-g', 'b|c; d'],
      ['e', 'f # g'],
    ],
    [['j']],
    [['k']],
    [['l', 'm'], ['n']],
  ]);
});

test('the text in $(…) is a command of its own, also within quotes', () => {
  assert.deepEqual(pipelinesOf(`p "$(q -f '{{.r}}' s)" '$(t)'\nu`), [
    [['q', '-f', '{{.r}}', 's']],
    [['p', '$()', '$(t)']],
    [['u']],
  ]);
});

test('variables are put in, one after the other', () => {
  const found = pipelinesOf('for n in a b; do c "http://$n:1/d"; echo; done\nNAME=e\nf $NAME $NAMES').flat();
  assert.deepEqual(found, [
    ['for', 'n', 'in', 'a', 'b'],
    ['do', 'c', 'http://a:1/d'],
    ['do', 'c', 'http://b:1/d'],
    ['echo'],
    ['done'],
    ['NAME=e'],
    ['f', 'e', '$NAMES'],
  ]);
});

test('blocks within lists are found, and inline code apart from them', () => {
  const page =
    'a `b\n  c` d\n\n- e\n\n  ```sh\n  f `g`\n    h\n  ```\n\n```promql\ni\n```\n\n```sh\nj\n```\n';
  assert.deepEqual(shellIn(page), ['f `g`\n  h\n', 'j\n']);
  assert.deepEqual(inlineIn(page), ['b c']);
});
