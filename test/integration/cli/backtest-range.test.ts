import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { reportShape } from '../../../src/api/backtests.js';
import type { BacktestReport } from '../../../src/backtest/report.js';
import { HOUR, formatInstant } from '../../../src/kernel/time.js';
import { LINES, START, folder, stopgap } from '../../support/backtest/command.js';
import { Live } from '../../support/backtest/live.js';

describe('stopgap backtest --from --to', () => {
  test('stopgap backtest --from --to says where nothing lies in the range', async (t) => {
    const cwd = folder(t);
    const args = ['--trace', 'trace.ndjson', '--rules', 'rules.yaml'];
    const told =
      'nothing was sent in the range of --from and --to: trace.ndjson goes from 2027-01-04 08:00 to 2027-01-04 10:00 UTC';
    for (const range of [
      ['--from', '2028-01-01'],
      ['--to', '2026-01-01'],
      ['--from', '2027-01-04T09:00:00Z', '--to', '2027-01-04T09:30:00Z'],
    ]) {
      const { code, out } = await stopgap({ cwd }, ...args, ...range);
      assert.equal(code, 0);
      assert.deepEqual(out.split('\n').slice(0, 2), [
        'trace.ndjson: 0 messages (0 recipients) by 0 senders on 0 sender-days',
        `N${told.slice(1)}.`,
      ]);
      const json = await stopgap({ cwd }, ...args, ...range, '--json');
      assert.equal(json.code, 0);
      const report = reportShape.parse(JSON.parse(json.out));
      assert.deepEqual([report.from, report.to, report.sends.messages], [null, null, 0]);
      assert.deepEqual(
        [report.begins, report.ends],
        ['2027-01-04T08:00:00.000Z', '2027-01-04T10:00:00.000Z'],
      );
      assert.equal(json.err.split('\n')[1], `stopgap: ${told}`);
    }
    const within = await stopgap({ cwd }, ...args, '--from', '2027-01-04T09:00:00Z');
    assert.match(within.out, /^trace\.ndjson: 1 message /);
    assert.doesNotMatch(within.out, /Nothing was sent|imported/);
    assert.doesNotMatch((await stopgap({ cwd }, ...args, '--json')).err, /nothing was sent/);
  });

  test('stopgap backtest --from --to says where the history holds nothing that was sent', async (t) => {
    const cwd = folder(t);
    const live = await Live.start('version: 1\nrules: []\n', START);
    try {
      const config = `data: ${path.dirname(live.file)}\nsmtp: { relay: { url: 'smtp://127.0.0.1:25' } }\n`;
      writeFileSync(path.join(cwd, 'stopgap.yaml'), config);
      for (const range of [[], ['--from', '2027-01-01']]) {
        const { code, out } = await stopgap({ cwd }, '--rules', 'rules.yaml', ...range);
        assert.equal(code, 0);
        assert.deepEqual(out.split('\n').slice(0, 2), [
          'history: 0 messages (0 recipients) by 0 senders on 0 sender-days',
          'Nothing that was sent is recorded.',
        ]);
        const json = await stopgap({ cwd }, '--rules', 'rules.yaml', '--json', ...range);
        const { begins, ends } = reportShape.parse(JSON.parse(json.out));
        assert.deepEqual([begins, ends], [null, null]);
        assert.match(json.err, /\nstopgap: nothing that was sent is recorded\n$/);
      }
    } finally {
      await live.stop();
    }
  });

  test('stopgap backtest --from --to goes by the same range over what was recorded', async (t) => {
    const cwd = folder(t);
    const live = await Live.start('version: 1\nrules: []\n', START);
    try {
      const data = {
        ...(JSON.parse(LINES[0]!) as object),
        direction: 'outbound',
        transaction: 't',
        recipientDomains: [],
        entitled: true,
      };
      for (let sent = 1; sent <= 3; sent++) await live.message({ at: START + sent * HOUR, data });
      const config = `data: ${path.dirname(live.file)}\nsmtp: { relay: { url: 'smtp://127.0.0.1:25' } }\n`;
      writeFileSync(path.join(cwd, 'stopgap.yaml'), config);
      for (const [range, messages] of [
        [['--from', '2027-01-01'], 3],
        [['--from', '2027-01-04T10:00:00Z', '--to', '2027-01-04T11:00:00Z'], 1],
        [['--to', '2027-02-01'], 3],
        [['--from', '2027-02-01'], 0],
        [['--to', '2027-01-01'], 0],
      ] as const) {
        const { code, out } = await stopgap({ cwd }, '--rules', 'rules.yaml', '--json', ...range);
        assert.equal(code, 0);
        const { sends, from, begins, ends } = JSON.parse(out) as BacktestReport;
        assert.equal(sends.messages, messages, range.join(' '));
        assert.equal(from === null, messages === 0, range.join(' '));
        assert.deepEqual([begins, ends], [formatInstant(START + HOUR), formatInstant(START + 3 * HOUR)]);
      }
    } finally {
      await live.stop();
    }
  });
});
