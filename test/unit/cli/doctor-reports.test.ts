import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { World } from '../../../src/cli/doctor/findings.js';
import { Findings } from '../../../src/cli/doctor/findings.js';
import { checkReports } from '../../../src/cli/doctor/policy.js';
import { DAY, formatInstant, MINUTE } from '../../../src/kernel/time.js';
import { ManualClock } from '../../support/manual-clock.js';

describe('what stopgap doctor says of those who report', () => {
  const clock = new ManualClock();
  const ago = (span: number): string => formatInstant(clock.now() - span);
  /** @param heard how long ago each follower was heard last */
  function found(lastAt: number, ...heard: readonly number[]): readonly string[] {
    const followers = heard.map((span) => ({ signs: 1, lastAt: ago(span) }));
    const reports = { events: 8, signs: heard.length, lastAt: ago(lastAt), followers };
    const findings = new Findings('reports');
    checkReports(findings, { clock, server: { health: { reports } } } as unknown as World);
    return findings.list.map(({ outcome, detail }) => `${outcome} ${detail}`);
  }

  test('warns of a follower that is silent, though another one reports', () => {
    assert.deepEqual(found(MINUTE, 3 * DAY, MINUTE), [
      'warning 1 of 2 followers has not reported for 3d',
      'ok 8 events reported since the start; followers: 2',
    ]);
    assert.deepEqual(found(20 * MINUTE, 20 * MINUTE, 3 * DAY, 30 * MINUTE), [
      'warning 3 of 3 followers have not reported for up to 3d',
      'ok 8 events reported since the start; followers: 3',
    ]);
    assert.deepEqual(found(DAY, DAY), [
      'warning 1 of 1 followers has not reported for 24h',
      'ok 8 events reported since the start; followers: 1',
    ]);
  });

  test('finds nothing odd where each was heard lately, nor where a mail server that only reports sends says nothing', () => {
    assert.deepEqual(found(MINUTE, 14 * MINUTE, MINUTE), [
      'ok 8 events reported since the start; followers: 2',
    ]);
    assert.deepEqual(found(3 * DAY), ['ok 8 events reported since the start']);
  });
});
