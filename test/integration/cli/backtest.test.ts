import assert from 'node:assert/strict';
import path from 'node:path';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { reportShape } from '../../../src/api/backtests.js';
import type { Decision } from '../../../src/backtest/cases.js';
import type { BacktestReport } from '../../../src/backtest/report.js';
import { HOUR, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { LINES, START, folder, stopgap } from '../../support/backtest/command.js';
import { Live } from '../../support/backtest/live.js';
import { series } from '../../support/backtest/traces.js';

describe('stopgap backtest', () => {
  test('stopgap backtest shows a trace under rules as people read it', async (t) => {
    const cwd = folder(t);
    const { code, out, err } = await stopgap({ cwd }, '--trace', 'trace.ndjson', '--rules', 'rules.yaml');
    assert.equal(code, 0);
    assert.match(err, /^21 sends in .* s: .* a second\n$/);
    const rows = out.split('\n').map((row) => row.replace(/ {2,}/g, ' | '));
    for (const row of [
      'trace.ndjson: 21 messages (21 recipients) by 2 senders on 2 sender-days, 2027-01-04 08:00 to 2027-01-04 10:00 UTC',
      'Refused | 14 messages (14 recipients)',
      'Blocks | 1 (500.0 per 1,000 sender-days)',
      '2027-01-04 08:00 | 2027-01-04 09:00 | account alice@example.com | block | 6 msg, 6 rcpt | 14 | - | 6 recipients within 10m; rule "burst" allows 5.',
    ]) {
      assert.ok(rows.includes(row), `${row}\nstands not in\n${rows.join('\n')}`);
    }
  });

  test('stopgap backtest gives a report of the promised shape, and each decision as a line', async (t) => {
    const cwd = folder(t);
    const { out } = await stopgap(
      { cwd },
      '--trace',
      'trace.ndjson',
      '--rules',
      'rules.yaml',
      '--json',
      '--decisions',
      'd.ndjson',
    );
    const report: BacktestReport = reportShape.strict().parse(JSON.parse(out));
    assert.equal(report.candidates[0]!.rules, 'rules.yaml');
    const decisions = readFileSync(path.join(cwd, 'd.ndjson'), 'utf8').trimEnd().split('\n');
    const { time, action, type, value, until } = JSON.parse(decisions[0]!) as Decision;
    assert.equal(decisions.length, 1);
    assert.equal(statSync(path.join(cwd, 'd.ndjson')).mode & 0o777, 0o600, 'it names senders');
    assert.deepEqual(
      [time, action, type, value, until],
      [
        formatInstant(START + 5 * SECOND),
        'block',
        'account',
        'alice@example.com',
        formatInstant(START + 5 * SECOND + HOUR),
      ],
    );
  });

  test('stopgap backtest reads gzipped files and standard input alike', async (t) => {
    const cwd = folder(t);
    const packed = gzipSync(readFileSync(path.join(cwd, 'trace.ndjson')));
    writeFileSync(path.join(cwd, 'trace.ndjson.gz'), packed);
    const rules = ['--rules', 'rules.yaml', '--json'];
    const plain = await stopgap({ cwd }, '--trace', 'trace.ndjson', ...rules);
    const unpacked = await stopgap({ cwd }, '--trace', 'trace.ndjson.gz', ...rules);
    const piped = await stopgap({ cwd, input: packed }, '--trace', '-', ...rules);
    const named = (text: string): unknown => ({ ...(JSON.parse(text) as object), source: '' });
    assert.deepEqual(named(unpacked.out), named(plain.out));
    assert.deepEqual(named(piped.out), named(plain.out));
    writeFileSync(path.join(cwd, 'torn.gz'), packed.subarray(0, packed.length - 12));
    const torn = await stopgap({ cwd }, '--trace', 'torn.gz', ...rules);
    assert.deepEqual([torn.code, torn.out], [1, '']);
    assert.match(torn.err, /^stopgap: torn\.gz: cannot be unpacked beyond line \d+: /);
  });

  test('stopgap backtest judges by labels', async (t) => {
    const cwd = folder(t);
    const attack = {
      id: 'a0',
      kind: 'burst',
      accounts: ['alice@example.com'],
      start: formatInstant(START),
      end: formatInstant(START + 19 * SECOND),
      sent: [`alice@example.com ${formatInstant(START + 9 * SECOND)}`],
    };
    writeFileSync(path.join(cwd, 'labels.json'), JSON.stringify({ attacks: [attack], bulk: [] }));
    const { out } = await stopgap(
      { cwd },
      '--trace',
      'trace.ndjson',
      '--rules',
      'rules.yaml',
      '--labels',
      'labels.json',
    );
    assert.match(out, /Attacks contained +1 of 1\n/);
    assert.match(
      out,
      /^By kind of attack:\nKIND +ATTACKS .* FIRST BLOCKED BY\nburst +1 +1 +0\.00 % +0 +0 +0 +burst 1\n/m,
    );
    assert.match(out, /Judged +1 right, 0 wrong\n/);
  });

  test('stopgap backtest says where labels are not those of the trace', async (t) => {
    const cwd = folder(t);
    const span = { start: formatInstant(START), end: formatInstant(START + HOUR) };
    const attack = (id: string, account: string, sent: number): object => ({
      id,
      kind: 'burst',
      accounts: [account],
      ...span,
      sent: series({ at: START }, sent, SECOND).map(({ at }) => `${account} ${formatInstant(at)}`),
    });
    const args = ['--trace', 'trace.ndjson', '--rules', 'rules.yaml', '--labels', 'labels.json'];
    const write = (...attacks: readonly object[]): void =>
      writeFileSync(path.join(cwd, 'labels.json'), JSON.stringify({ attacks }));
    write(attack('a0', 'alice@example.com', 20), attack('a1', 'gone@example.com', 5));
    const some = await stopgap({ cwd }, ...args);
    assert.equal(some.code, 0);
    assert.match(some.out, /\n5 of 25 labelled messages are not in this trace: are these its labels\?\n/);
    assert.match(some.out, /^Attacks contained +1 of 1; of 1 more there is no message here$/m);
    const json = JSON.parse((await stopgap({ cwd }, ...args, '--json')).out) as BacktestReport;
    assert.deepEqual(json.labelled, { messages: 25, missing: 5 });
    write(attack('a1', 'gone@example.com', 5));
    for (const form of [[], ['--json']]) {
      const none = await stopgap({ cwd }, ...args, ...form);
      assert.deepEqual([none.code, none.out], [1, '']);
      assert.match(
        none.err,
        /^stopgap: labels\.json: 5 of 5 labelled messages are not in this trace: are these its labels\?$/m,
      );
    }
  });

  test('stopgap backtest compares two rule sets', async (t) => {
    const cwd = folder(t);
    const { out } = await stopgap(
      { cwd },
      '--trace',
      'trace.ndjson',
      '--rules',
      'rules.yaml',
      '--against',
      'defaults',
    );
    assert.match(out, /^Rules +rules\.yaml +defaults$/m);
    assert.match(out, /^Messages refused +14 +0 +0$/m);
    assert.match(
      out,
      /^rules\.yaml: 1 block, 0 of a subject that defaults blocked too at the time, 1 not\ndefaults: no block$/m,
    );
    assert.doesNotMatch(out, /^Blocks .* and /m);
    assert.match(out, /^Blocked by rules\.yaml only:\n.*\n2027-01-04 08:00 .* alice@example\.com /m);
  });

  test('stopgap backtest shows how far it is where somebody watches', async (t) => {
    const cwd = folder(t);
    const { err } = await stopgap(
      { cwd, terminal: true },
      '--trace',
      'trace.ndjson',
      '--rules',
      'rules.yaml',
    );
    assert.match(
      err,
      /^(?:\r100 % {2}21 sends {2}14 refused {2}\d+\/s {2}gone through to 2027-01-04 *)+\r +\r\r?21 sends in /,
    );
  });

  test('stopgap backtest leaves imported history out, and says what to do instead', async (t) => {
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
      await live.message({ at: START + SECOND, data });
      for (const sent of [2, 3])
        await live.message({ at: START + sent * SECOND, data: { ...data, imported: 'postfix-log' } });
      const config = `data: ${path.dirname(live.file)}\nsmtp: { relay: { url: 'smtp://127.0.0.1:25' } }\n`;
      writeFileSync(path.join(cwd, 'stopgap.yaml'), config);
      const text = await stopgap({ cwd }, '--rules', 'rules.yaml');
      assert.equal(text.code, 0, text.err);
      assert.match(
        text.out,
        /^history: 1 message .*\n2 imported messages left out: .* backtest --trace FILE\n/,
      );
      const json = await stopgap({ cwd }, '--rules', 'rules.yaml', '--json');
      assert.equal((JSON.parse(json.out) as BacktestReport).imported, 2);
    } finally {
      await live.stop();
    }
  });

  test('stopgap backtest goes through what a running server has recorded', async (t) => {
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
      for (let sent = 1; sent <= 8; sent++) await live.message({ at: START + sent * SECOND, data });
      const config = `data: ${path.dirname(live.file)}\nsmtp: { relay: { url: 'smtp://127.0.0.1:25' } }\n`;
      writeFileSync(path.join(cwd, 'stopgap.yaml'), config);
      const { code, out, err } = await stopgap(
        { cwd },
        '--rules',
        'rules.yaml',
        '--against',
        'in-force',
        '--json',
      );
      assert.equal(code, 0, err);
      const { source, sends, candidates } = JSON.parse(out) as BacktestReport;
      assert.deepEqual([source, sends.messages], ['history', 8]);
      assert.deepEqual(
        candidates.map(({ rules, blocks }) => [rules, blocks]),
        [
          ['rules.yaml', 1],
          ['rules in force (version 1)', 0],
        ],
      );
    } finally {
      await live.stop();
    }
  });

  test('stopgap backtest writes decisions in the place of earlier ones, once it is done', async (t) => {
    const cwd = folder(t);
    const file = path.join(cwd, 'd.ndjson');
    const write = (...more: string[]): ReturnType<typeof stopgap> =>
      stopgap({ cwd }, '--trace', 'trace.ndjson', '--decisions', 'd.ndjson', ...more);
    assert.equal((await write('--rules', 'rules.yaml')).code, 0);
    const decisions = readFileSync(file, 'utf8');
    assert.notEqual(decisions, '');
    writeFileSync(path.join(cwd, 'trace.ndjson'), `${LINES.join('\n')}\nwrong\n`);
    assert.equal((await write('--rules', 'rules.yaml')).code, 1);
    assert.equal(readFileSync(file, 'utf8'), decisions, 'a wrong line leaves them as they were');
    writeFileSync(path.join(cwd, 'trace.ndjson'), `${LINES[0]}\n`);
    assert.equal((await write('--rules', 'rules.yaml')).code, 0);
    assert.equal(readFileSync(file, 'utf8'), '');
    assert.deepEqual(readdirSync(cwd).sort(), ['d.ndjson', 'rules.yaml', 'trace.ndjson']);
  });

  for (const option of ['--trace', '--rules', '--against', '--labels'])
    test(`stopgap backtest does not write decisions over what it reads by ${option}`, async (t) => {
      const cwd = folder(t);
      const named: Record<string, string> = { '--trace': 'trace.ndjson', '--rules': 'rules.yaml' };
      named['--against'] = 'other.yaml';
      named['--labels'] = 'labels.json';
      writeFileSync(path.join(cwd, 'other.yaml'), readFileSync(path.join(cwd, 'rules.yaml')));
      writeFileSync(path.join(cwd, 'labels.json'), '{"attacks":[],"bulk":[]}');
      const file = named[option]!;
      const before = readFileSync(path.join(cwd, file), 'utf8');
      const { code, out, err } = await stopgap({ cwd }, ...Object.entries(named).flat(), '--decisions', file);
      const why = 'is read too: name another file with --decisions';
      assert.deepEqual([code, out, err], [1, '', `stopgap: ${file} ${why}\n`]);
      assert.equal(readFileSync(path.join(cwd, file), 'utf8'), before);
    });

  for (const [what, code, args, message] of [
    ['no such trace', 1, ['--trace', 'none.ndjson'], /^stopgap: none\.ndjson: does not exist; name a trace/],
    [
      'no such rules',
      1,
      ['--trace', 'trace.ndjson', '--rules', 'none.yaml'],
      /^stopgap: none\.yaml: does not exist; name a rules file/,
    ],
    ['a folder for a trace', 1, ['--trace', '.'], /^stopgap: \.: is a folder; name a trace/],
    ['faulty rules', 1, ['--trace', 'trace.ndjson', '--rules', 'bad.yaml'], /^stopgap: bad\.yaml:2: rules: /],
    [
      'a faulty line',
      1,
      ['--trace', 'bad.ndjson'],
      /^stopgap: bad\.ndjson:2: recipients: must be a whole number of at least 1, not 0\n$/,
    ],
    [
      'faulty labels',
      1,
      ['--trace', 'trace.ndjson', '--labels', 'bad.yaml'],
      /^stopgap: bad\.yaml: is no JSON/,
    ],
    ['labels without a trace', 2, ['--labels', 'bad.yaml'], /--labels are about a trace/],
    [
      'a span the wrong way round',
      2,
      ['--trace', 'trace.ndjson', '--from', '2027-02-01', '--to', '2027-01-01'],
      /--from must lie before --to/,
    ],
    [
      'no time',
      2,
      ['--trace', 'trace.ndjson', '--from', 'noon'],
      /--from.*is invalid\. It must be a time such as/,
    ],
    ['no number', 2, ['--trace', 'trace.ndjson', '--cases', 'all'], /--cases.*whole number/],
    [
      'rules in force of a trace',
      2,
      ['--trace', 'trace.ndjson', '--rules', 'in-force'],
      /in-force are the rules in the store: with a trace name a file, or defaults\n$/,
    ],
    [
      'rules in force against those of a trace',
      2,
      ['--trace', 'trace.ndjson', '--against', 'in-force'],
      /in-force are the rules in the store/,
    ],
    [
      'decisions that cannot be written',
      1,
      ['--trace', 'trace.ndjson', '--decisions', 'no/such/folder'],
      /^stopgap: no\/such\/folder: does not exist; name a file in a folder that is there and can be written to\n$/,
    ],
    [
      'decisions in the place of something else',
      1,
      ['--trace', 'trace.ndjson', '--decisions', 'rules.yaml'],
      /^stopgap: rules\.yaml is there and holds no decisions: name another file with --decisions, or remove it\n$/,
    ],
    [
      'no store',
      1,
      ['--rules', 'rules.yaml'],
      /there is no store at .*: nothing has been recorded there yet/,
    ],
  ] as const) {
    test(`stopgap backtest says what is wrong: ${what}`, async (t) => {
      const cwd = folder(t);
      writeFileSync(path.join(cwd, 'bad.yaml'), 'version: 1\nrules: 7\n');
      writeFileSync(
        path.join(cwd, 'bad.ndjson'),
        `${LINES[0]}\n${LINES[1]!.replace('"recipients":1', '"recipients":0')}\n`,
      );
      const result = await stopgap({ cwd }, ...args);
      assert.deepEqual([result.code, result.out], [code, '']);
      assert.match(result.err, message);
    });
  }
});
