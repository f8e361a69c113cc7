import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { categoryOf } from '../../../src/kernel/events.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { parseRules } from '../../../src/rules/parse.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { stopgapVerb } from '../../support/backtest/command.js';
import { fillDisk } from '../../support/full-disk.js';
import { Watching } from '../../support/watching.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

const BUILT_IN = DEFAULT_RULES.slice(DEFAULT_RULES.indexOf('version:'));

/** A folder with a configuration and a store, in which a sender wrote four messages a day for so many days. */
async function installation(t: TestContext, rules: string, days = 70): Promise<string> {
  const cwd = temporaryDirectory(t);
  const config = `data: ${cwd}\nsmtp: { relay: { url: 'smtp://127.0.0.1:25' } }\n`;
  writeFileSync(path.join(cwd, 'stopgap.yaml'), config);
  const watching = new Watching(rules);
  watching.habit(
    Array.from({ length: days }, (_, day) => day),
    {},
    4,
    MINUTE,
  );
  watching.morning(days + 1);
  let now = 0;
  const clock = { now: () => now };
  const store = await openSqliteStore({ file: path.join(cwd, 'events.db'), clock });
  const { log } = watching;
  for (const { id, type, at, by, data, stream } of log) {
    now = at;
    if (['rules', 'profile'].includes(categoryOf(stream)))
      await store.append(stream, [{ id, type, at, by, data }], 'any');
  }
  await store.close();
  return cwd;
}

describe('stopgap rules fit', () => {
  test('stopgap rules fit shows today’s limits beside those of the history, and says where it is too short', async (t) => {
    const cwd = await installation(t, BUILT_IN);
    const rows = async (...args: string[]): Promise<readonly string[]> => {
      const { code, out, err } = await stopgapVerb({ cwd }, 'rules', 'fit', ...args);
      assert.equal(code, 0, err);
      return out.split('\n').map((row) => row.replace(/ {2,}/g, ' | '));
    };
    const loose = await rows('--rate', '50');
    assert.equal(
      loose[0],
      'RULE | TODAY | PROPOSED | WRONG TODAY | WRONG THEN | AT MOST | SENDER-DAYS | SENDERS',
    );
    assert.ok(loose.includes('day | 3 r + 32 | 2 r + 1 | 0.00 | 0.00 | 36.55 | 63 | 1'), loose.join('\n'));
    const minute = 'minute | 1.5 t or 1.25 r, at least 8 | 2 r + 1 | 0.00 | 0.00 | 36.55 | 63 | 1';
    assert.ok(loose.includes(minute), loose.join('\n'));
    const strict = await rows();
    const none = 'day | 3 r + 32 | too few days: 11,513 are needed | 0.00 | - | - | 63 | 1';
    assert.ok(strict.includes(none), strict.join('\n'));
  });

  test('stopgap rules fit writes rules that keep everything but the limits, and overwrites nothing', async (t) => {
    const cwd = await installation(t, BUILT_IN);
    const fit = ['rules', 'fit', '--rate', '50', '--out', 'fitted.yaml'];
    const { code, err } = await stopgapVerb({ cwd }, ...fit);
    assert.equal(code, 0, err);
    const text = readFileSync(path.join(cwd, 'fitted.yaml'), 'utf8');
    assert.match(text, /^# Limits by stopgap rules fit --rate 50/);
    assert.match(text, /^extends: defaults$/m);
    const [before, after] = [parseRules(BUILT_IN), parseRules(text)];
    const changed = after.rules.filter(({ baseline }) => baseline?.plus === 1).map(({ id }) => id);
    const followed = [
      'minute',
      'hour',
      'day',
      'elsewhere',
      'wide-minute',
      'wide-hour',
      'wide-day',
      'wide-all',
      'domain',
      'strange',
    ];
    assert.deepEqual(changed, followed);
    const limits = (id: string): unknown => after.rules.find((rule) => rule.id === id)!.baseline;
    const added = { typical: 0, record: 2, largest: 0, plus: 1, floor: 1, ceiling: null };
    const kept = 'what holds for unknown senders stays, and how far weeks without a block raise the record';
    assert.deepEqual(limits('day'), { ...added, start: 32, rise: 27 }, kept);
    assert.deepEqual(limits('hour'), { ...added, start: 40 });
    const rest = (set: typeof before): unknown => ({
      ...set,
      rules: set.rules.map(({ limit: _, baseline, ...rule }) => ({
        ...rule,
        follows: baseline !== undefined,
      })),
    });
    assert.deepEqual(rest(after), rest(before));
    const checked = await stopgapVerb({ cwd }, 'rules', 'check', 'fitted.yaml');
    assert.equal(checked.code, 0, checked.err);
    const again = await stopgapVerb({ cwd }, ...fit);
    assert.equal(again.code, 1);
    assert.match(again.err, /fitted\.yaml: .*name a file that is not there yet/);
    assert.equal(readFileSync(path.join(cwd, 'fitted.yaml'), 'utf8'), text);
  });

  test('stopgap rules fit leaves no half of a file on a full disk, which would be in the way of the next try', async (t) => {
    const cwd = await installation(t, BUILT_IN);
    await fillDisk(t);
    const { code, err } = await stopgapVerb({ cwd }, 'rules', 'fit', '--rate', '50', '--out', 'fitted.yaml');
    assert.equal(code, 1);
    assert.match(err, /fitted\.yaml: finds no room on its disk/);
    assert.equal(existsSync(path.join(cwd, 'fitted.yaml')), false);
  });

  test('stopgap rules fit keeps the comments and the other rules of the rules in force', async (t) => {
    const own = `version: 1
# Ours.
rules:
  - id: mine # the only one
    per: account
    count: messages
    window: 1h
    limit: { record: 9x, floor: 100, ceiling: 500 }
    then: propose
    for: 1h
  - { id: fixed, per: account, count: recipients, window: 10m, limit: 100, then: block, for: 1h }
`;
    const cwd = await installation(t, own);
    await stopgapVerb({ cwd }, 'rules', 'fit', '--rate', '50', '--out', 'fitted.yaml');
    const text = readFileSync(path.join(cwd, 'fitted.yaml'), 'utf8');
    const changed = own.replace(
      '{ record: 9x, floor: 100, ceiling: 500 }',
      '{ record: 2x, plus: 1, start: 100, ceiling: 500 }',
    );
    assert.equal(text.slice(text.indexOf('version:')), changed);
  });

  test('stopgap rules fit gives the same as JSON, and writes no file where it has nothing to propose', async (t) => {
    const cwd = await installation(t, BUILT_IN);
    const { out } = await stopgapVerb({ cwd }, 'rules', 'fit', '--rate', '50', '--json');
    const day = (JSON.parse(out) as readonly { rule: string }[]).find(({ rule }) => rule === 'day');
    assert.deepEqual(day, {
      rule: 'day',
      today: { typical: 0, record: 3, largest: 0, plus: 32, rise: 27, floor: 32, start: 32, ceiling: null },
      proposed: { record: 2, plus: 1 },
      senderDays: 63,
      senders: 1,
      senderDaysNeeded: 47,
      confidence: 0.9,
      wrongPer1000SenderDays: { today: 0, proposed: 0, atMost: 36.549 },
    });
    const few = await stopgapVerb({ cwd }, 'rules', 'fit', '--out', 'none.yaml');
    assert.equal(few.code, 1);
    assert.match(
      few.err,
      /none\.yaml is not written: no rule has the 11,513 sender-days that --rate 0\.2 needs; minute has most, 63: try again when there are more, or allow more wrong blocks with --rate 36\.6$/m,
    );
    const most = await stopgapVerb({ cwd }, 'rules', 'fit', '--rate', '36.6', '--out', 'most.yaml');
    assert.equal(most.code, 0, most.err);
    assert.equal(existsSync(path.join(cwd, 'none.yaml')), false);
  });

  test('stopgap rules fit says of rules that follow no record, and of no days, what would help', async (t) => {
    const fixed =
      'version: 1\nrules: [{ id: fixed, per: account, count: recipients, window: 10m, limit: 100, then: block, for: 1h }]\n';
    const fit = async (rules: string): Promise<string> => {
      const cwd = await installation(t, rules, 3);
      const { code, err } = await stopgapVerb({ cwd }, 'rules', 'fit', '--out', 'none.yaml');
      assert.equal(code, 1);
      return err;
    };
    assert.match(
      await fit(fixed),
      /is not written: no rule follows a record; give one a limit such as \{ record: 2x/,
    );
    const following = fixed.replace('limit: 100', 'limit: { record: 2x, plus: 10 }');
    assert.match(await fit(following), /; fixed has most, 0: try again when there are more$/m);
  });

  for (const rate of ['0', '-1', 'often', '101']) {
    test(`stopgap rules fit refuses the rate ${rate}`, async (t) => {
      const cwd = temporaryDirectory(t);
      const { code, err } = await stopgapVerb({ cwd }, 'rules', 'fit', '--rate', rate);
      assert.equal(code, 2);
      assert.match(err, /must be a number from 0\.001 to 100/);
    });
  }
});
