import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { describe, test } from 'node:test';
import { LineReader } from '../../../src/backtest/trace/trace.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ImportFolder } from '../../support/import-folder.js';
import { NOW, gzipped } from '../../support/logs.js';
import { mmdb } from '../../support/mmdb.js';
import type { Doing } from '../../support/postfix.js';
import { logOf } from '../../support/postfix.js';
import { PROGRAM } from '../../support/program.js';

const SERVICE = 54_321;

const doing = (more: Partial<Doing> = {}): Doing => ({
  gap: 60_000,
  what: 'login',
  who: 1,
  recipients: 2,
  life: 500,
  ...more,
});
const START = Date.parse('2026-11-22T10:00:00Z');
/** Ten messages, one of which comes back, one refused recipient and two failed logins. */
const DOINGS = [
  ...Array.from({ length: 9 }, () => doing()),
  doing({ what: 'bounced' }),
  doing({ what: 'refused', recipients: 1 }),
  doing({ what: 'failed', recipients: 2 }),
];
const LINES = logOf(DOINGS, START, 'iso').map(({ text }) => text);
const LOG = LINES.map((line) => `${line}\n`).join('');

const parsed = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** Files that were to be renamed. */
const unfinished = async ({ cwd }: ImportFolder): Promise<readonly string[]> =>
  (await readdir(cwd)).filter((name) => name.endsWith('.tmp'));

describe('stopgap import postfix-log', () => {
  test('makes a trace of accepted messages', async (t) => {
    const folder = await ImportFolder.open(t, { 'mail.log': LOG });
    const { code, out, err } = await folder.import(['mail.log', '--trace', 'trace.ndjson']);
    assert.deepEqual([code, err], [0, '']);
    const trace = parsed(await readFile(folder.path('trace.ndjson'), 'utf8'));
    assert.equal(trace.length, 10);
    assert.equal((await stat(folder.path('trace.ndjson'))).mode & 0o777, 0o600, 'it names senders');
    assert.deepEqual(trace[0], {
      time: '2026-11-22T10:01:00.003Z',
      account: 'user1@example.com',
      returnPath: 'user1@example.com',
      ip: '192.0.2.2',
      recipients: 2,
      size: 1000,
      recipientDomains: ['d0.example', 'd1.example'],
    });
    assert.match(out, /^found +10 messages to 20 recipients, by 1 account$/m);
    assert.match(out, /^ +1 refused recipient\n +1 bounce\n +2 failed logins$/m);
    assert.match(out, /^written +10 lines of the trace$/m);
  });

  describe('where the file of a trace is there', () => {
    const earlier = `${JSON.stringify({ time: '2026-11-01T00:00:00.000Z', account: 'a@example.com', recipients: 1 })}\n`;

    test('replaces an earlier trace, also behind a link, and keeps its mode', async (t) => {
      const folder = await ImportFolder.open(t, {
        'mail.log': LOG,
        'trace.ndjson': earlier,
        'empty.ndjson': '',
      });
      await chmod(folder.path('trace.ndjson'), 0o640);
      await symlink('trace.ndjson', folder.path('link'));
      for (const name of ['link', 'empty.ndjson']) {
        const { code, err } = await folder.import(['mail.log', '--trace', name]);
        assert.deepEqual([code, err], [0, '']);
        assert.equal(parsed(await readFile(folder.path(name), 'utf8')).length, 10);
      }
      assert.ok((await lstat(folder.path('link'))).isSymbolicLink());
      assert.equal((await stat(folder.path('trace.ndjson'))).mode & 0o777, 0o640);
      assert.deepEqual(await unfinished(folder), []);
    });

    test('refuses one that is read, by whatever name, and one that holds something else', async (t) => {
      const folder = await ImportFolder.open(t, {
        'mail.log': LOG,
        'mail.log.1': LOG,
        'trace.ndjson': earlier,
        'old.ndjson.gz': gzipped([earlier]),
      });
      await mkdir(folder.path('logs'));
      await symlink('../trace.ndjson', folder.path('logs/symbolic'));
      await link(folder.path('trace.ndjson'), folder.path('hard'));
      const other = 'name another file with --trace';
      for (const [name, inputs, why] of [
        // What the shell makes of `--trace mail.log*`.
        ['mail.log', ['mail.log.1'], `is there and holds no trace: ${other}, or remove it`],
        ['old.ndjson.gz', ['mail.log'], `is there and holds no trace: ${other}, or remove it`],
        ['mail.log', ['mail.log'], `is read too: ${other}`],
        ['logs/../trace.ndjson', ['mail.log', 'trace.ndjson'], `is read too: ${other}`],
        ['logs/symbolic', ['mail.log', 'trace.ndjson'], `is read too: ${other}`],
        ['trace.ndjson', ['mail.log', 'hard'], `is read too: ${other}`],
      ] as const) {
        const before = await readFile(folder.path(name));
        const { code, out, err } = await folder.import([...inputs, '--trace', name]);
        assert.deepEqual([code, out, err], [1, '', `stopgap: ${name} ${why}\n`]);
        assert.deepEqual(await readFile(folder.path(name)), before);
      }
      assert.deepEqual(await unfinished(folder), []);
    });

    test('leaves it as it was if no line is understood, or the reading fails', async (t) => {
      const folder = await ImportFolder.open(t, { 'wrong.json': '{}\n', 'trace.ndjson': earlier });
      const nothing = await folder.import(['wrong.json', '--trace', 'trace.ndjson']);
      assert.equal(nothing.code, 1);
      assert.doesNotMatch(nothing.out, /into/);
      const failed = await folder.import(['-', '--trace', 'trace.ndjson'], new Error('the pipe broke'));
      assert.equal(failed.code, 1);
      assert.match(failed.err, /the pipe broke/);
      assert.equal(await readFile(folder.path('trace.ndjson'), 'utf8'), earlier);
      assert.deepEqual(await unfinished(folder), []);
    });

    test('writes to what is open already, such as /dev/stdout, as it is', async (t) => {
      const folder = await ImportFolder.open(t, { 'mail.log': LOG });
      const handle = await open(folder.path('out'), 'w+');
      t.after(() => handle.close());
      const { code, err } = await folder.import(['mail.log', '--trace', `/proc/self/fd/${handle.fd}`]);
      assert.deepEqual([code, err], [0, '']);
      assert.equal(parsed(await handle.readFile('utf8')).length, 10);
    });

    test('ends with what the system says if it cannot be written', async (t) => {
      const folder = await ImportFolder.open(t, { 'mail.log': LOG });
      const { code, err } = await folder.import(['mail.log', '--trace', '/dev/full']);
      assert.equal(code, 1);
      assert.match(err, /ENOSPC/);
    });
  });

  for (const [what, own, renewed] of [
    ['extend those of this version', '[]', true],
    [
      'stay as they were if they do not go with those of this version, which it says in a line',
      '[{ id: minute }]',
      false,
    ],
  ] as const)
    test(`counts in the rules that the next start puts in force: rules on top of the built-in ones ${what}`, async (t) => {
      const folder = await ImportFolder.open(t, { 'mail.log': LOG });
      await folder.write({ 'stopgap.yaml': 'data: ./data\nsmtp: { relay: { url: smtp://127.0.0.1:25 } }\n' });
      assert.equal((await folder.import(['mail.log'])).code, 0);
      const now = parseRules('version: 1\nextends: defaults\n');
      // As an earlier version read them, which did not have the first of the built-in rules.
      const rules = { ...now, rules: now.rules.slice(1) };
      const source = `version: 1\nextends: defaults\nrules: ${own}\n`;
      const clock = { now: () => NOW };
      const store = await openSqliteStore({ file: folder.path('data/events.db'), clock });
      const change = { kind: 'replace', origin: 'api', rules, source, isEdited: true } as const;
      await new RulesCommandHandler(store, clock).execute(change, { by: 'admin:a' });
      await store.close();

      const { code, err } = await folder.import(['mail.log']);
      assert.equal(code, 0, err);
      const said = err.split('\n').filter((line) => line.includes('built-in'));
      if (!renewed)
        assert.match(said.join('\n'), /^stopgap: the rules in force do not go with .*rules\[0\].*$/);
      assert.equal(said.length, renewed ? 0 : 1);
      const last = (await folder.events()).findLast(({ type }) => type === 'RulesChanged');
      const inForce = (last!.data as { readonly rules: typeof rules }).rules.rules;
      assert.equal(inForce.length, (renewed ? now : rules).rules.length);
    });

  test('reads on where a message is said to come from itself, or from thousands before it', async (t) => {
    const at = '2026-11-20T03:04:05+00:00 mx postfix';
    const handedBack = (id: string, from: string): string =>
      `${at}/smtpd[1]: ${id}: client=localhost[127.0.0.1], orig_queue_id=${from}, orig_client=a[192.0.2.1]`;
    const ended = (id: string): string[] => [
      `${at}/qmgr[1]: ${id}: from=<${id}@example.com>, size=1, nrcpt=1 (queue active)`,
      `${at}/smtp[1]: ${id}: to=<x@example.org>, relay=a[192.0.2.2]:25, status=sent (250 ok)`,
      `${at}/qmgr[1]: ${id}: removed`,
    ];
    const chain = Array.from({ length: 20_000 }, (_, index) => handedBack(`A${index + 1}`, `A${index}`));
    const lines = [
      handedBack('SELF', 'SELF'),
      ...ended('SELF'),
      `${at}/pickup[1]: B: uid=0 from=<b> orig_id=B`,
      ...ended('B'),
      `${at}/smtpd[1]: A0: client=a[192.0.2.1], sasl_username=anna@example.com`,
      ...chain,
      ...ended(`A${chain.length}`),
      ...ended('A0'),
    ];
    const folder = await ImportFolder.open(t, { 'mail.log': `${lines.join('\n')}\n` });
    const { code, out, err } = await folder.import(['mail.log', '--trace', 'trace.ndjson']);
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^found +1 message to 1 recipient, by 1 account$/m);
    assert.match(out, /^ +2 messages handed back by a filter, counted once$/m);
  });

  test('takes sends, bounces and refused recipients of names that hold NUL, which no store takes', async (t) => {
    const at = '2026-11-20T03:04:05+00:00 mx postfix';
    const log = [
      `${at}/smtpd[1]: A1: client=a[192.0.2.1], sasl_method=PLAIN, sasl_username=an\0na@example.com`,
      `${at}/qmgr[1]: A1: from=<an\0na@example.com>, size=9, nrcpt=1 (queue active)`,
      `${at}/smtp[1]: A1: to=<x@example.org>, relay=b[192.0.2.9]:25, delay=1, dsn=5.1.1, status=bounced (550 no)`,
      `${at}/bounce[1]: A1: sender non-delivery notification: B1`,
      `${at}/qmgr[1]: A1: removed`,
      `${at}/smtpd[1]: NOQUEUE: reject: RCPT from a[192.0.2.1]: 550 5.1.1 <x@a.test>: Recipient address rejected: User unknown; from=<\0> to=<x@a.test> proto=ESMTP helo=<\0> sasl_username=<ben\0>`,
      `${at}/smtpd[1]: warning: a[192.0.2.1]: SASL LOGIN authentication failed: x\0, sasl_username=\0`,
    ];
    const folder = await ImportFolder.open(t, { 'mail.log': `${log.join('\n')}\n` });
    const { code, out, err } = await folder.import(['mail.log']);
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^written +\d+ events added, 0 known before$/m);
    const events = await folder.events();
    const streams = new Set(events.filter(({ by }) => by === 'system:import').map(({ stream }) => stream));
    for (const stream of ['send-an?na@example.com', 'send-ben?', 'auth-192.0.2.1'])
      assert.ok(streams.has(stream), [...streams].join(' '));
    assert.doesNotMatch(JSON.stringify(events), /\\u0000/);
  });

  test('by root before the first start leaves a store that the user of the service can open', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root can give files to another user');
    const folder = await ImportFolder.open(t, { 'mail.log': LOG });
    await chmod(folder.cwd, 0o755);
    await mkdir(folder.path('data'), { mode: 0o700 });
    await chown(folder.path('data'), SERVICE, SERVICE);
    assert.equal((await folder.import(['mail.log'])).code, 0);
    for (const name of await readdir(folder.path('data')))
      assert.equal((await stat(folder.path(`data/${name}`))).uid, SERVICE, name);
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [PROGRAM, 'import', 'postfix-log', '-', '--config', 'stopgap.yaml'],
      { cwd: folder.cwd, uid: SERVICE, gid: SERVICE, input: LOG, encoding: 'utf8' },
    );
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^written +0 events added, \d+ known before$/m);
  });

  test('takes no number that Postfix could not have written', async (t) => {
    const at = '2026-11-20T03:04:05+00:00 mx postfix';
    const most = '9'.repeat(400);
    const of = (id: string, size: string, nrcpt: string): string =>
      `${at}/smtpd[1]: ${id}: client=a[192.0.2.1], sasl_username=anna@example.com\n` +
      `${at}/qmgr[1]: ${id}: from=<anna@example.com>, size=${size}, nrcpt=${nrcpt} (queue active)\n`;
    const failed = '[ warning: a[192.0.2.1]: SASL LOGIN authentication failed: x]';
    const log = `${of('A1', '1', '1')}${of('A2', most, '1')}${of('A3', '1', most)}${at}/smtpd[1]: message repeated ${most} times: ${failed}\n`;
    const folder = await ImportFolder.open(t, { 'mail.log': log });
    const { code, out } = await folder.import(['mail.log', '--trace', 'trace.ndjson']);
    assert.equal(code, 0);
    assert.match(out, /^not understood +2 lines$/m);
    assert.match(out, /^found +1 message to 1 recipient, by 1 account$/m);
    assert.doesNotMatch(out, /failed login|Infinity/);
  });

  describe('where databases of places are configured', () => {
    const builtAt = NOW - 86_400_000;
    const files = {
      'mail.log': LOG,
      'stopgap.yaml':
        'data: ./data\nsmtp: { relay: { url: smtp://127.0.0.1:25 } }\ngeoip: { country: country.mmdb, asn: asn.mmdb }\n',
      'country.mmdb': mmdb({
        type: 'Test-Country',
        builtAt,
        networks: { '192.0.2.0/24': { country: { iso_code: 'FR' } } },
      }),
      'asn.mmdb': mmdb({
        type: 'Test-ASN',
        builtAt,
        networks: { '192.0.2.0/24': { autonomous_system_number: 64_500 } },
      }),
    };

    test('a trace says where clients are', async (t) => {
      const folder = await ImportFolder.open(t, files);
      const { code, out, err } = await folder.import(['mail.log', '--trace', '-']);
      assert.equal(code, 0, err);
      const places = parsed(out).map(({ ip, country, asn }) => [ip, country, asn]);
      assert.deepEqual(
        places,
        Array.from({ length: 10 }, () => ['192.0.2.2', 'FR', 64_500]),
      );
      await folder.write({ 'trace.ndjson': out });
      for (const line of out.trimEnd().split('\n'))
        assert.equal((new LineReader('t').read(line)!.data as MessageAccepted).asn, 64_500);
    });

    test('history does, in its events and in the summaries of its days', async (t) => {
      const folder = await ImportFolder.open(t, files);
      const { code, err } = await folder.import(['mail.log']);
      assert.equal(code, 0, err);
      const events = await folder.events();
      const of = (type: string): readonly Record<string, unknown>[] =>
        events.filter((event) => event.type === type).map(({ data }) => data as Record<string, unknown>);
      for (const type of ['MessageAccepted', 'RecipientsRefused', 'AuthenticationFailed']) {
        assert.ok(of(type).length > 0, type);
        for (const { country, asn } of of(type)) assert.deepEqual([country, asn], ['FR', 64_500], type);
      }
      const [day] = of('SenderDaySummarised');
      assert.deepEqual([day!['countries'], day!['asns']], [['FR'], [64_500]]);
    });

    test('one that cannot be used ends it before anything is written', async (t) => {
      const folder = await ImportFolder.open(t, { ...files, 'asn.mmdb': 'x' });
      for (const args of [[], ['--trace', 'trace.ndjson']]) {
        const { code, err } = await folder.import(['mail.log', ...args]);
        assert.equal(code, 1);
        assert.match(err, /^stopgap: geoip\.asn: .*asn\.mmdb: is no MaxMind database/);
      }
      await rm(folder.path('country.mmdb'));
      assert.match(
        (await folder.import(['mail.log'])).err,
        /^stopgap: geoip\.country: .*country\.mmdb: does not exist; name another, or leave it out$/m,
      );
      await assert.rejects(readFile(folder.path('trace.ndjson')), { code: 'ENOENT' });
      await assert.rejects(readFile(folder.path('data/events.db')), { code: 'ENOENT' });
    });
  });

  test('counts once what came from outside, and says how to have it', async (t) => {
    const said = (second: number, text: string): string => `Nov 22 09:00:0${second} mail postfix/${text}\n`;
    const reject =
      '550 5.1.1 <guess@example.com>: Recipient address rejected: User unknown in local recipient table';
    const log = [
      said(
        1,
        `smtpd[7]: NOQUEUE: reject: RCPT from unknown[203.0.113.80]: ${reject}; from=<d@example.org> to=<guess@example.com> proto=ESMTP helo=<mx.example.org>`,
      ),
      said(2, 'smtpd[7]: 440CFAA816B: client=unknown[203.0.113.80]'),
      said(3, 'qmgr[9]: 440CFAA816B: from=<d@example.org>, size=450, nrcpt=1 (queue active)'),
      said(4, 'qmgr[9]: 440CFAA816B: removed'),
    ].join('');
    const folder = await ImportFolder.open(t, { 'mail.log': log, 'copy.log': log });
    const args = ['mail.log', 'copy.log', '--trace', '/dev/null'];
    const without = await folder.import(args);
    assert.match(without.out, /^found +0 messages/m);
    assert.match(without.out, /^ +1 message and 1 refused recipient from outside, left out: --inbound/m);
    assert.deepEqual(parsed((await folder.import([...args, '--json'])).out)[0]!['outside'], {
      messages: 1,
      refusedRecipients: 1,
    });
    const asked = await folder.import([...args, '--inbound']);
    assert.match(asked.out, /^found +1 message to 1 recipient/m);
    assert.match(asked.out, /^ +1 refused recipient$/m);
    assert.doesNotMatch(asked.out, /from outside/);
  });

  test('reads standard input, packed or not, and writes the trace to standard output', async (t) => {
    const folder = await ImportFolder.open(t);
    const plain = await folder.import(['-', '--trace', '-'], LOG);
    const packed = await folder.import(['-', '--trace', '-', '--json'], gzipped(LINES));
    assert.deepEqual([plain.code, packed.code], [0, 0]);
    assert.equal(parsed(plain.out).length, 10);
    assert.equal(packed.out, plain.out);
    assert.match(plain.err, /^read +\d+ lines of 1 file/);
    const [summary] = parsed(packed.err);
    assert.deepEqual(
      [
        summary!['lines'],
        summary!['messages'],
        summary!['accounts'],
        summary!['written'],
        summary!['broken'],
      ],
      [LINES.length, 10, 1, { lines: 10 }, 0],
    );
  });

  test('writes history, once however often and in any pieces', async (t) => {
    const middle = Math.floor(LINES.length / 2);
    const folder = await ImportFolder.open(t, {
      'mail.log': LINES.slice(middle - 3).join('\n'),
      'mail.log.1.gz': gzipped(LINES.slice(0, middle)),
      'whole.log': LOG,
    });
    const first = await folder.import(['mail.log', 'mail.log.1.gz']);
    assert.equal(first.code, 0, first.err);
    const stored = await folder.events();
    assert.match(first.out, new RegExp(`^written +${stored.length - 1} events added, 0 known before$`, 'm'));
    assert.match(first.out, /^ +into \/.*\/data\/events\.db$/m, 'it says which store it is');
    assert.ok(stored.some(({ type }) => type === 'SenderDaySummarised'));
    assert.deepEqual(
      stored.map(({ type }) => type).filter((type) => type !== 'SenderDaySummarised'),
      [
        'RulesChanged',
        ...Array.from({ length: 10 }, () => 'MessageAccepted'),
        'BounceReceived',
        'RecipientsRefused',
        'AuthenticationFailed',
        'AuthenticationFailed',
      ],
    );
    const [, message] = stored;
    assert.deepEqual(
      [message!.stream, message!.by, message!.at, message!.correlation],
      ['send-user1@example.com', 'system:import', START + 60_003, 'AB0001F'],
    );
    assert.equal((message!.data as { imported: string }).imported, 'postfix-log');
    for (const files of [
      ['mail.log', 'mail.log.1.gz'],
      ['mail.log.1.gz'],
      ['whole.log', 'whole.log', 'mail.log'],
    ]) {
      const again = await folder.import(files);
      assert.equal(again.code, 0, again.err);
      assert.match(again.out, /^written +0 events added, \d+ known before$/m);
    }
    assert.deepEqual(await folder.events(), stored);
  });

  test('takes what was only between two times', async (t) => {
    const folder = await ImportFolder.open(t, { 'mail.log': LOG });
    const between = ['--from', '2026-11-22T10:02:00Z', '--to', '2026-11-22T10:05'];
    const { out } = await folder.import(['mail.log', '--trace', '-', ...between]);
    assert.deepEqual(
      parsed(out).map(({ time }) => time),
      [2, 3, 4].map((minute) => `2026-11-22T10:0${minute}:00.003Z`),
    );
  });

  test('reads local time in the zone that is named, and gives logins a domain', async (t) => {
    const folder = await ImportFolder.open(t, {
      'mail.log': [
        'Jul  1 12:00:00 mail postfix/smtpd[1]: 4A1: client=x[192.0.2.7], sasl_method=PLAIN, sasl_username=bob',
        'Jul  1 12:00:00 mail postfix/qmgr[2]: 4A1: from=<bob@example.com>, size=10, nrcpt=1 (queue active)',
        'Jul  1 12:00:01 mail postfix/smtpd[1]: 4A2: client=x[198.51.100.7]',
        'Jul  1 12:00:01 mail postfix/qmgr[2]: 4A2: from=<web@example.com>, size=10, nrcpt=1 (queue active)',
        '',
      ].join('\n'),
    });
    const { out, err } = await folder.import([
      'mail.log',
      '--trace',
      '-',
      '--timezone',
      'Europe/Berlin',
      '--year',
      '2024',
      '--account-domain',
      'Example.com',
      '--networks',
      '198.51.100.0/24',
    ]);
    assert.deepEqual(
      parsed(out).map(({ time, account, returnPath }) => [time, account, returnPath]),
      [
        ['2024-07-01T10:00:00.000Z', 'bob@example.com', 'bob@example.com'],
        ['2024-07-01T10:00:01.000Z', undefined, 'web@example.com'],
      ],
    );
    assert.match(err, /times without a zone in Europe\/Berlin/);
  });

  test('shows the first broken lines, and goes on', async (t) => {
    const damaged = gzipped(LINES);
    const folder = await ImportFolder.open(t, {
      'mail.log': `rubbish\u001b[31m\n${LOG}${'more rubbish\n'.repeat(8)}`,
      'cut.gz': damaged.subarray(0, damaged.length - 40),
    });
    const { code, out } = await folder.import(['mail.log', 'cut.gz', '--trace', '/dev/null']);
    assert.equal(code, 0);
    assert.match(out, /^mail\.log:1: no time at its beginning such as .*: rubbish\ufffd\[31m$/m);
    assert.match(out, /^… and \d+ more lines$/m);
    assert.match(out, /^not understood +10 lines$/m);
    assert.match(out, /^cut\.gz:\d+: the file is damaged from here on: unexpected end of file$/m);
    assert.match(out, /^found +10 messages/m);
  });

  test('fails if nothing at all was understood, and says so', async (t) => {
    const rubbish = '{"a":1}\n\n{"b":2}\n';
    const folder = await ImportFolder.open(t, {
      'wrong.json': rubbish,
      'empty.log': '',
      'others.log': 'Nov 22 10:00:00 mail sshd[7]: Connection closed\n',
      'mail.log': LOG,
    });
    const failed = await folder.import(['wrong.json', 'empty.log', '--trace', '-']);
    assert.equal(failed.code, 1);
    assert.equal(failed.out, '');
    assert.match(failed.err, /^wrong\.json:1: no time at its beginning/);
    assert.match(failed.err, /^not understood +2 lines$/m);
    assert.match(
      failed.err,
      /\nstopgap: nothing was imported: not a single line was understood; name mail logs of Postfix, as in [^\n]*\n$/,
    );
    const json = await folder.import(['wrong.json', '--trace', '/dev/null', '--json']);
    assert.equal(json.code, 1);
    assert.equal(parsed(json.out)[0]!['broken'], 2);
    assert.match(json.err, /^stopgap: nothing was imported/);
    for (const files of [['empty.log'], ['others.log', 'wrong.json'], ['wrong.json', 'mail.log']]) {
      const { code, err } = await folder.import([...files, '--trace', '/dev/null', '--to', '2026-11-21']);
      assert.deepEqual([code, err], [0, ''], files.join(' '));
    }
  });

  test('refuses what it cannot read before it writes anything', async (t) => {
    const folder = await ImportFolder.open(t, {
      'mail.log': LOG,
      'mail.log.xz': Buffer.from('fd377a585a000004', 'hex'),
    });
    await mkdir(folder.path('logs'));
    for (const [args, code, message] of [
      [['mail.log', 'missing.log'], 1, /^stopgap: missing\.log: does not exist; name mail logs .*\n$/],
      [['mail.log', 'logs'], 1, /^stopgap: logs: is a folder; name mail logs .*\/var\/log\/mail\.log\*/],
      [
        ['mail.log.xz'],
        1,
        /^stopgap: mail\.log\.xz is packed by xz, which this does not read: .*xzcat mail\.log\.xz \| stopgap /,
      ],
      [['-', '-'], 2, /^stopgap: standard input can be read once only: give - once\n$/],
      [
        ['mail.log', '--timezone', 'Mars/X'],
        2,
        /"Mars\/X" is no time zone: use a name such as Europe\/Berlin/,
      ],
      [
        ['mail.log', '--networks', 'lan'],
        2,
        /"lan" is no network: write addresses and networks as in mynetworks/,
      ],
      [['mail.log', '--from', '2026-11-24', '--to', '2026-11-23'], 2, /--from must lie before --to/],
      [['mail.log', '--from', 'yesterday'], 2, /a time such as 2026-11-24/],
      [['mail.log', '--year', '26'], 2, /a year such as 2025/],
      [
        ['mail.log', '--trace', 'no/such/folder.ndjson'],
        1,
        /^stopgap: no\/such\/folder\.ndjson: does not exist; name a file in a folder that is there and can be written to\n$/,
      ],
      [[], 2, /missing required argument 'file'/],
    ] as const) {
      const ran = await folder.import(args);
      assert.deepEqual([ran.code, ran.out], [code, ''], args.join(' '));
      assert.match(ran.err, message);
    }
    await assert.rejects(readFile(folder.path('data/events.db')), { code: 'ENOENT' });
  });

  test('says what to do if a server has the store', async (t) => {
    const folder = await ImportFolder.open(t, { 'mail.log': LOG });
    await folder.import(['mail.log']);
    const store = await openSqliteStore({ file: folder.path('data/events.db'), clock: { now: () => NOW } });
    const { code, err } = await folder.import(['mail.log']);
    await store.close();
    assert.equal(code, 1);
    assert.match(err, /^stopgap: .*events\.db is in use by process \d+ on .*\n/);
    assert.match(err, /stop it, import, and start it again .*--trace FILE\n$/);
  });
});
