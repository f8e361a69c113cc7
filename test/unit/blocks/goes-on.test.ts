import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BacktestWorld } from '../../../src/backtest/world.js';
import { DAY, SECOND } from '../../../src/kernel/time.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { parseRules } from '../../../src/rules/parse.js';

const START = Date.UTC(2026, 0, 1);
const NETWORK = { type: 'ip', value: '203.0.113.9' } as const;

describe('a network that goes on guessing passwords under its block', () => {
  test('stays blocked throughout, with few events and a short history', () => {
    const counts = new Map<string, number>();
    const world = new BacktestWorld({
      rules: parseRules(DEFAULT_RULES),
      start: START,
      onBlockEvent: ({ type }) => counts.set(type, (counts.get(type) ?? 0) + 1),
    });
    const lengths: number[] = [];
    let isBlocked = false;
    for (let at = START; at < START + 3 * DAY; at += 10 * SECOND) {
      world.advance(at);
      const isIt = world.standing(NETWORK).block !== undefined;
      assert.ok(isIt || !isBlocked, `it is blocked no more after ${(at - START) / DAY} days`);
      isBlocked ||= isIt;
      const data = { network: NETWORK.value, kind: 'genuine', count: 40, since: at - 9 * SECOND };
      world.fold({
        type: 'AuthenticationFailed',
        data,
        at,
        recordedAt: at,
        by: 'smtp:1',
        stream: 'auth-203.0.113.9',
      });
      if ((at - START + 10 * SECOND) % DAY === 0)
        lengths.push(...[...world.models.ledger.kept()].map(({ history }) => history.length));
    }
    assert.equal(counts.get('BlockImposed'), 1);
    assert.equal(counts.get('BlockExpired'), undefined);
    assert.ok(counts.get('BlockExtended')! < 150, `${counts.get('BlockExtended')} extensions in three days`);
    const [first, , third] = lengths;
    assert.ok(third! <= 3 * first!, `${lengths.join(', ')} items in its history`);
  });
});
