import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { many } from './inputs.js';
import type { Attack, Target } from './target.js';

/*
 * What is read by commands beside the server: logs of Postfix, whose lines hold what strangers said, and traces. The event loop
 * is that of the command; nobody waits for it but its own progress and Ctrl-C.
 */

async function imported(target: Target, text: string): Promise<void> {
  await writeFile(path.join(target.directory, 'mail.log'), text);
  await target.command(
    'import',
    'postfix-log',
    'mail.log',
    '--trace',
    'out.ndjson',
    '--inbound',
    '--year',
    '2026',
  );
}

async function backtested(target: Target, text: string): Promise<void> {
  await writeFile(path.join(target.directory, 'trace.ndjson'), text);
  await target.command('backtest', '--trace', 'trace.ndjson', '--json');
}

const SIZE = 4_000_000;
const long = (count: number, text: string): string =>
  text.repeat(Math.ceil(count / text.length)).slice(0, count);
const stamp = (n: number): string =>
  `2026-01-02T03:${String(Math.floor(n / 600) % 60).padStart(2, '0')}:${String(Math.floor(n / 10) % 60).padStart(2, '0')}.000000+00:00`;
const id = (n: number): string => n.toString(16).toUpperCase().padStart(10, '0');
const mail = (n: number): string =>
  [
    `${stamp(n)} mx postfix/smtpd[1]: ${id(n)}: client=c.example.com[192.0.2.1], sasl_method=PLAIN, sasl_username=a${n % 50}@example.com`,
    `${stamp(n)} mx postfix/qmgr[2]: ${id(n)}: from=<a${n % 50}@example.com>, size=1000, nrcpt=1 (queue active)`,
    `${stamp(n)} mx postfix/smtp[3]: ${id(n)}: to=<x@else.test>, relay=r[192.0.2.2]:25, delay=1, dsn=2.0.0, status=sent (250 ok)`,
    `${stamp(n)} mx postfix/qmgr[2]: ${id(n)}: removed`,
  ].join('\n');
const ORDINARY_LOG = `${many(8000, mail).join('\n')}\n`;
const begun = (n: number): string => mail(n).split('\n').slice(0, 2).join('\n');
const sent = (n: number): string =>
  JSON.stringify({ time: stamp(n), account: `a${n % 50}@example.com`, recipients: 1 });
const ORDINARY_TRACE = `${many(40_000, sent).join('\n')}\n`;

const LOGS: readonly (readonly [worst: string, text: string])[] = [
  ['4 MB in one line', `${mail(0)}\n${long(SIZE, 'a=<b>, ')}\n${mail(1)}\n`],
  [
    'lines full of what separates',
    `${`${stamp(0)} mx postfix/smtp[3]: ${id(0)}: ${long(4000, 'to=<,> (status=')}\n`.repeat(1000)}${mail(1)}\n`,
  ],
  [
    'lines full of spaces',
    `${mail(0)}\n${`${stamp(0)} mx postfix/smtpd[1]: ${long(4000, ' ')}x\n`.repeat(1000)}`,
  ],
  ['30,000 messages that never end', `${many(30_000, begun).join('\n')}\n`],
  ['names of 3 KB', `${many(1000, (n) => mail(n).replaceAll('@', long(3000, '.ü@'))).join('\n')}\n`],
];
const TRACES: readonly (readonly [worst: string, text: string])[] = [
  ['4 MB in one line', `{"time":"${long(SIZE, ' ')}"}\n`],
  [
    'nested lines',
    `${sent(0)}\n{"time":"${stamp(1)}","account":"a","recipients":1,"x":${'['.repeat(2000)}${']'.repeat(2000)}}\n`.repeat(
      500,
    ),
  ],
  ['an account a line', `${many(40_000, (n) => sent(n).replace(/a\d+@/, `u${n}@d${n}.`)).join('\n')}\n`],
  ['40,000 at one time', `${many(40_000, () => sent(0)).join('\n')}\n`],
];

export const IMPORT: readonly Attack[] = [
  ...LOGS.map(([worst, text]) => ({
    door: 'import, log of Postfix',
    isCommand: true as const,
    worst,
    attack: (target: Target) => imported(target, text),
    ordinary: (target: Target) => imported(target, ORDINARY_LOG),
  })),
  ...TRACES.map(([worst, text]) => ({
    door: 'back-test, trace',
    isCommand: true as const,
    worst,
    attack: (target: Target) => backtested(target, text),
    ordinary: (target: Target) => backtested(target, ORDINARY_TRACE),
  })),
];
