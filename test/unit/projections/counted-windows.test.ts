import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Amounts, HELD, planOf, windowsOf } from '../../../projections/volume/counted-windows.js';
import type { Window } from '../../../projections/volume/counted-windows.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import { peakName } from '../../../src/sending/day-summary.js';
import type { SubjectType } from '../../../src/sending/subjects.js';

const rule = (id: string, more: string): string => `  - { id: ${id}, then: observe, window: 1h, ${more} }\n`;
const windows = (type: SubjectType, ...rules: readonly string[]): readonly Window[] =>
  windowsOf(type, parseRules(`version: 1\nrules:\n${rules.join('')}`).rules);
/** What each window counts, and who watches it. */
const brief = (list: readonly Window[]): readonly string[] =>
  list.map(
    ({ count, window, watches }) =>
      `${HELD[count]!} ${window / MINUTE}m: ${watches.map(({ kind, rule: { id } }) => `${id} ${kind}`).join(', ')}`,
  );
const peaks = (list: readonly Window[]): readonly string[] =>
  list.flatMap((window) => window.peaks.map(({ name, followed }) => `${name}${followed ? ' followed' : ''}`));

const MESSAGES = 'per: account, count: messages, limit';

describe('the windows that rules need', () => {
  test('are shared by those that count the same, of the same mail', () => {
    const list = windows(
      'account',
      rule('a', `${MESSAGES}: 9`),
      rule('b', `${MESSAGES}: { baseline: 2x, floor: 7, start: 5 }`),
      rule('c', `${MESSAGES}: 9, direction: all`),
      rule('d', 'per: account, count: recipients, limit: 9'),
      rule('e', 'per: address, count: messages, limit: 9'),
    );
    assert.deepEqual(brief(list), ['messages 60m: a act, b act, c act', 'recipients 60m: d act']);
    assert.equal(list[0]!.least, 5, 'the lowest limit that anybody may have');
    assert.deepEqual(
      list.flatMap(({ watches }) => watches.map(({ index }) => index)),
      [0, 1, 2, 3],
    );
  });

  test('have wide cells where narrow ones could not hold a tripled limit, or bytes', () => {
    const wide = (more: string): boolean => windows('account', rule('a', more))[0]!.wide;
    assert.deepEqual(
      [
        `${MESSAGES}: 21845`,
        `${MESSAGES}: 21846`,
        'per: account, count: bytes, limit: 1',
        `${MESSAGES}: { baseline: 2x, floor: 1 }`,
        `${MESSAGES}: { baseline: 2x, floor: 1, ceiling: 30000 }`,
      ].map(wide),
      [false, true, true, false, true],
    );
  });

  test('tell apart as many of the largest messages as any rule leaves out', () => {
    const wide = (leaveOut: string): string =>
      rule(`w${leaveOut.length}`, `per: account, count: recipients, ${leaveOut}limit: 9`);
    assert.deepEqual(
      [[''], ['leaveOut: 1, '], ['', 'leaveOut:  2, ', 'leaveOut: 1, ']].map((which) =>
        windows('account', ...which.map(wide)).map(({ largest }) => largest),
      ),
      [[0], [1], [2]],
    );
  });

  test('hold refused attempts for who renews by them, without a habit', () => {
    const list = windows(
      'account',
      rule('a', `${MESSAGES}: 9`).replace('observe', 'block, for: 1h, renewWhileTrying: true'),
    );
    assert.deepEqual(brief(list), ['messages 60m: a act', 'attempts 60m: a renew']);
    assert.deepEqual(peaks(list), ['messages/1h']);
  });

  test('hold what shares are shares of, and keep a row alive where different ones are counted', () => {
    const share = 'share: { of: bounces, above: 0.1, least: 3 }';
    assert.deepEqual(
      brief(windows('account', rule('a', `per: account, count: bounces, limit: 3, when: { ${share} }`))),
      ['bounces 60m: a act', 'recipients 60m: '],
    );
    const score = `score: { threshold: 1, signals: [{ points: 1, ${share} }] }`;
    assert.deepEqual(brief(windows('account', rule('a', `${MESSAGES}: 3, ${score}`))), [
      'messages 60m: a act',
      'bounces 60m: ',
      'recipients 60m: ',
    ]);
    assert.deepEqual(brief(windows('account', rule('a', 'per: account, count: networks, limit: 3'))), [
      'messages 60m: ',
    ]);
  });

  test('are the accounts’ where a domain’s accounts turn, and for what is taken out of a domain’s', () => {
    const turned = 'turned: { count: messages, window: 10m, limit: { baseline: 1x, floor: 4, start: 2 } }';
    const rules = [
      rule('all', `per: domain, count: accounts, limit: 4, ${turned}`),
      rule('site', 'per: domain, count: recipients, limit: 40'),
    ];
    assert.deepEqual(brief(windows('account', ...rules)), ['messages 10m: all turn', 'recipients 60m: ']);
    assert.equal(windows('account', ...rules)[0]!.least, 2);
    assert.deepEqual(brief(windows('domain', ...rules)), ['recipients 60m: site act']);
  });

  test('have peaks of what accounts and domains send, each once, and say which a limit follows', () => {
    const list = windows(
      'account',
      rule('a', `${MESSAGES}: 9`),
      rule('b', `${MESSAGES}: { baseline: 2x, floor: 7 }`),
      rule('c', `${MESSAGES}: 9, direction: all`),
      rule('d', 'per: account, count: recipients, limit: 9'),
      rule('e', 'per: account, count: recipients, leaveOut: 2, limit: { baseline: 2x, floor: 7 }'),
    );
    assert.deepEqual(peaks(list), ['messages/1h followed', 'recipients/1h', 'recipients-2/1h followed']);
    assert.deepEqual(peaks(windows('ip', rule('a', 'per: ip, count: messages, limit: 9'))), []);
    assert.deepEqual(peaks(windows('domain', rule('a', 'per: domain, count: messages, limit: 9'))), [
      'messages/1h',
    ]);
  });
});

describe('the plan of a direction', () => {
  test('names the windows that its mail goes to, and what they count', () => {
    const list = windows(
      'domain',
      rule('a', 'per: domain, count: messages, limit: 9'),
      rule('b', 'per: domain, count: recipients, limit: 9, direction: inbound'),
      rule('c', 'per: domain, count: bytes, limit: 9, direction: all'),
    );
    const bit = (count: (typeof HELD)[number]): number => 1 << HELD.indexOf(count);
    assert.deepEqual(planOf(list, 'outbound'), { windows: [0, 2], mask: bit('messages') | bit('bytes') });
    assert.deepEqual(planOf(list, 'inbound'), { windows: [1, 3], mask: bit('recipients') | bit('bytes') });
    assert.deepEqual(
      [2, 3].map((index) => list[index]!.watches.map(({ rule: { id, direction } }) => `${id} ${direction}`)),
      [['c all'], ['c inbound']],
      'a rule for all mail counts what arrives apart, and refuses it alone for it',
    );
  });
});

describe('what an event brings', () => {
  test('leaves out what is no number above nought', () => {
    const amounts = new Amounts();
    for (const damaged of [0, -3, NaN, undefined, 'many', null]) amounts.set('messages', damaged as number);
    assert.equal(amounts.mask, 0);
    amounts.set('bytes', 1e300);
    amounts.set('recipients', 3);
    assert.deepEqual(
      [amounts.values[HELD.indexOf('bytes')], amounts.values[HELD.indexOf('recipients')]],
      [Number.MAX_SAFE_INTEGER, 3],
    );
    amounts.clear();
    assert.deepEqual([amounts.mask, ...amounts.values], [0, ...HELD.map(() => 0)]);
  });
});

test('a peak is called by its count, what is left out, and the window', () => {
  assert.deepEqual(
    [peakName('messages', 0, HOUR), peakName('recipients', 2, 10 * MINUTE), peakName('bytes', 0, 24 * HOUR)],
    ['messages/1h', 'recipients-2/10m', 'bytes/24h'],
  );
});
