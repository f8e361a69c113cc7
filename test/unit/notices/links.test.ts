import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Item, Notice } from '../../../src/notices/events.js';
import { textOf } from '../../../src/notices/texts.js';

const URL = 'https://stopgap.example.com';
const item = (event: Item['event'], block: string): Item => ({
  event,
  block,
  position: 1,
  at: 0,
  by: 'x',
  why: '',
});
const notice = (...items: readonly Item[]): Notice => ({
  id: 'n',
  kind: 'events',
  at: 0,
  items,
  counts: { [items[0]!.event]: items.length },
});

test('a notice links to its proposal or block on the page, to the list of several, and nowhere without a URL', () => {
  const proposed = item('proposed', 'p1');
  assert.equal(textOf(notice(proposed), URL).link, `${URL}/#/proposals/p1`);
  assert.equal(textOf(notice(item('imposed', 'b1')), URL).link, `${URL}/#/blocks/b1`);
  assert.equal(textOf(notice(proposed, item('proposed', 'p2')), URL).link, `${URL}/#/proposals`);
  assert.equal(textOf(notice(item('imposed', 'b1'), item('imposed', 'b2')), URL).link, `${URL}/#/blocks`);
  assert.equal(textOf(notice(proposed), undefined).link, undefined);
});
