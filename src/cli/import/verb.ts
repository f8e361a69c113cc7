import path from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { isEntitled } from '../../accounts/senders.js';
import type { Config } from '../../config.js';
import { parseNetworks } from '../../import/networks.js';
import type { LogFile, LogSummary, PostfixLogOptions } from '../../import/postfix-log/index.js';
import { onceReadable, openLogFile, ownZone, readPostfixLogs, Zone } from '../../import/postfix-log/index.js';
import { TraceWriter } from '../../import/trace.js';
import { messageOf, StopgapError } from '../../kernel/errors.js';
import { printable } from '../../kernel/printable.js';
import { formatInstant, parseInstant } from '../../kernel/time.js';
import { normalizeAccount } from '../../sending/identity.js';
import type { CliIo } from '../io.js';
import { asJson, counted, note, openNamed, StatusLine, table } from '../io.js';
import type { ConfigOption } from '../options.js';
import { configForFiles, withConfig } from '../options.js';
import { jsonFields, OutputFile } from '../output-file.js';
import type { Target } from './history.js';

export interface ImportOptions extends ConfigOption {
  readonly trace?: string;
  readonly year?: number;
  readonly timezone?: string;
  readonly networks: string;
  readonly accountDomain?: string;
  readonly inbound?: true;
  readonly from?: number;
  readonly to?: number;
  readonly json?: true;
}

/** Who may send without a login, unless told otherwise. */
const OWN_NETWORKS = '127.0.0.0/8 [::1]/128';
/** What to name in place of a log that cannot be read. */
const RIGHT = 'name mail logs that this user can read, as in /var/log/mail.log*, or - for standard input';

/** `stopgap import postfix-log FILE…`: what a server's logs say becomes history, or a trace. */
export function importVerb(program: Command, io: CliIo): void {
  const verb = program.command('import').description('make history of what another program has recorded');
  const postfix = verb
    .command('postfix-log <file...>')
    .description('mail logs of Postfix, in any order, plain or gzipped; - is standard input')
    .option('--trace <file>', 'write a trace there instead (- is standard output)')
    .option('--year <year>', 'the year in which each file begins, where its lines name none', year)
    .option(
      '--timezone <name>',
      `the zone of times that name none, such as Europe/Berlin (default: this machine's)`,
      zoneName,
    )
    .option('--networks <list>', 'who may send without a login, as in mynetworks', networkList, OWN_NETWORKS)
    .option('--account-domain <domain>', 'the domain of logins that have none')
    .option('--inbound', 'also mail that arrived from outside')
    .option('--from <time>', 'only what happened from then on, in ISO 8601', time)
    .option('--to <time>', 'only what happened before', time)
    .option('--json', 'the summary as JSON');
  withConfig(postfix).action(async (names: string[], options: ImportOptions) => {
    if (options.from !== undefined && options.to !== undefined && options.from >= options.to)
      postfix.error('error: --from must lie before --to', { exitCode: 2 });
    if (names.filter((name) => name === '-').length > 1)
      postfix.error('error: standard input can be read once only: give - once', { exitCode: 2 });
    const files = await filesOf(io, names);
    const zone = options.timezone ?? ownZone();
    const reading = readingOptions(io, options, new Zone(zone, '--timezone'));
    const { config } = await configForFiles(io, options);
    // Everything that may be wrong is looked at before anything is written.
    const placeOf = await placesOf(io, config);
    const target =
      options.trace === undefined ? await openStore(io, config) : await openTrace(io, options.trace, names);
    const progress = new StatusLine(io);
    const total = totalOf(files);
    let summary: LogSummary | undefined;
    try {
      summary = await readPostfixLogs(
        files,
        {
          ...reading,
          placeOf,
          entitled: target.entitled,
          onProgress: (so) => progress.show(() => progressLine(so, total)),
        },
        target.sink,
      );
    } finally {
      progress.clear();
      await target.close(summary !== undefined && !isNothing(summary));
    }
    const written = target.written();
    const text =
      options.json === true
        ? asJson(summaryJson(summary, zone, written))
        : summaryLines(summary, zone, written, isNothing(summary) ? undefined : target.into).join('\n');
    // Standard output is for the result: a trace, or else the summary.
    (options.trace === '-' ? io.stderr : io.stdout).write(`${text}\n`);
    if (isNothing(summary)) {
      const what = `nothing was imported: not a single line was understood`;
      throw new StopgapError('invalid-input', `${what}; name mail logs of Postfix, as in /var/log/mail.log*`);
    }
  });
}

/** Whether there were lines, and not one was understood. */
function isNothing({ broken, understood }: LogSummary): boolean {
  return broken > 0 && understood === 0;
}

/** Stores are loaded for this alone: other verbs start in a fraction of the time. */
async function openStore(io: CliIo, config: Config): Promise<Target> {
  const { openHistory } = await import('./history.js');
  return openHistory(io, config);
}

/** Where clients are, by the databases of the configuration; they too are loaded for this alone. */
async function placesOf(io: CliIo, { geoip }: Config): Promise<PostfixLogOptions['placeOf']> {
  const { readPlaces } = await import('../../geoip/geoip.js');
  return readPlaces(geoip, (error) =>
    note(io, `stopgap: a database of places has a broken record: ${messageOf(error)}`),
  );
}

/** @param names the logs that are read */
async function openTrace(io: CliIo, name: string, names: readonly string[]): Promise<Target> {
  const file =
    name === '-'
      ? undefined
      : await OutputFile.open(io, {
          name,
          option: '--trace',
          inputs: names,
          kind: 'trace',
          isKind: isTraceLine,
        });
  const sink = new TraceWriter(file?.stream ?? io.stdout);
  return {
    sink,
    entitled: (account, returnPath) => isEntitled({ kind: 'own' }, account, returnPath),
    written: () => ({ lines: sink.written }),
    into: file === undefined ? 'standard output' : name,
    close: async (isWhole) => file?.close(isWhole),
  };
}

/** Whether a line is one of a trace. Other programs write traces too. */
function isTraceLine(line: string): boolean {
  const { time, recipients } = jsonFields(line);
  return typeof time === 'string' && typeof recipients === 'number';
}

/** All are opened before any is read: a slip of the pen costs no half import. */
async function filesOf(io: CliIo, names: readonly string[]): Promise<readonly LogFile[]> {
  const files: LogFile[] = [];
  for (const name of names) {
    files.push(
      name === '-'
        ? onceReadable('standard input', io.stdin, io.clock.now())
        : await openNamed(name, RIGHT, openLogFile(name, path.resolve(io.cwd, name))),
    );
  }
  return files;
}

function readingOptions(
  io: CliIo,
  { year, networks, accountDomain, inbound, from, to }: ImportOptions,
  zone: Zone,
): Omit<PostfixLogOptions, 'placeOf' | 'entitled' | 'onProgress'> {
  return {
    zone,
    year,
    from,
    to,
    now: io.clock.now(),
    inbound: inbound === true,
    isOurs: parseNetworks(networks, '--networks'),
    accountOf: (login) =>
      normalizeAccount(
        accountDomain === undefined || login.includes('@') ? login : `${login}@${accountDomain}`,
      ),
  };
}

/** How many bytes there are to read; undefined if it is not known. */
function totalOf(files: readonly LogFile[]): number | undefined {
  return files.reduce<number | undefined>(
    (sum, { bytes }) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
    0,
  );
}

function year(text: string): number {
  const value = Number(text);
  if (!/^\d{4}$/.test(text) || value < 1970)
    throw new InvalidArgumentError('It must be a year such as 2025.');
  return value;
}

function time(text: string): number {
  const at = parseInstant(text);
  if (at === undefined)
    throw new InvalidArgumentError('It must be a time such as 2026-11-24 or 2026-11-24T03:04:05Z.');
  return at;
}

function zoneName(text: string): string {
  return checked(text, () => new Zone(text));
}

function networkList(text: string): string {
  return checked(text, () => parseNetworks(text));
}

/** The text itself, if `reading` takes it: an option that makes no sense is told from a file that is faulty. */
function checked(text: string, reading: () => unknown): string {
  try {
    reading();
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
  return text;
}

/** Characters of a broken line that are shown. */
const SHOWN = 120;

type Written = Readonly<Record<string, number>>;

/** The summary as people read it. */
function summaryLines(
  summary: LogSummary,
  zone: string,
  written: Written,
  into: string | undefined,
): string[] {
  const { files, lines, ignored, broken, brokenLines, events, accounts, firstAt, lastAt } = summary;
  const rows = [
    ['read', `${counted(lines, 'line')} of ${counted(files, 'file')}, times without a zone in ${zone}`],
    ['ignored', `${counted(ignored, 'line')} of other programs, or that say nothing here`],
    ['not understood', counted(broken, 'line')],
    [
      'found',
      `${counted(summary.messages, 'message')} to ${counted(summary.recipients, 'recipient')}, by ${counted(accounts.size, 'account')}`,
    ],
  ];
  if (firstAt !== undefined) rows.push(['', `from ${formatInstant(firstAt)} to ${formatInstant(lastAt!)}`]);
  for (const [type, what] of OTHERS) {
    if ((events[type] ?? 0) > 0) rows.push(['', counted(events[type]!, what)]);
  }
  const { messages, refusedRecipients } = summary.outside;
  if (messages + refusedRecipients > 0)
    rows.push([
      '',
      `${counted(messages, 'message')} and ${counted(refusedRecipients, 'refused recipient')} from outside, left out: --inbound takes them in`,
    ]);
  if (summary.reinjected > 0)
    rows.push(['', `${counted(summary.reinjected, 'message')} handed back by a filter, counted once`]);
  if (summary.headless > 0)
    rows.push([
      '',
      `${counted(summary.headless, 'message')} whose beginning is in none of the files, left out`,
    ]);
  rows.push([
    'written',
    Object.entries(written)
      .map(([key, count]) => WRITTEN[key]!(count))
      .join(', '),
  ]);
  if (into !== undefined) rows.push(['', `into ${printable(into)}`]);
  const shown = brokenLines.map(({ file, line, reason, text }) => {
    const cut = printable(text.length > SHOWN ? `${text.slice(0, SHOWN - 1)}…` : text);
    return `${printable(file)}:${line}: ${reason}${cut === '' ? '' : `: ${cut}`}`;
  });
  if (broken > shown.length) shown.push(`… and ${counted(broken - shown.length, 'more line')}`);
  return [...shown, table(rows)];
}

const OTHERS: readonly (readonly [type: string, what: string])[] = [
  ['RecipientsRefused', 'refused recipient'],
  ['BounceReceived', 'bounce'],
  ['AuthenticationFailed', 'failed login'],
];

const WRITTEN: Readonly<Record<string, (count: number) => string>> = {
  added: (count) => `${counted(count, 'event')} added`,
  known: (count) => `${count} known before`,
  lines: (count) => `${counted(count, 'line')} of the trace`,
};

/** The summary as programs read it. Times in ISO 8601. */
function summaryJson(summary: LogSummary, zone: string, written: Written): unknown {
  const { accounts, firstAt, lastAt, bytes, brokenLines, ...counts } = summary;
  return {
    ...counts,
    bytes,
    timezone: zone,
    accounts: accounts.size,
    firstAt: firstAt === undefined ? null : formatInstant(firstAt),
    lastAt: lastAt === undefined ? null : formatInstant(lastAt),
    brokenLines,
    written,
  };
}

/** @param total bytes; undefined if nobody knows */
function progressLine({ bytes, lines, messages }: LogSummary, total: number | undefined): string {
  const share =
    total === undefined || total === 0 ? '' : `${Math.min(100, Math.floor((100 * bytes) / total))} %  `;
  return `${share}${lines} lines  ${messages} messages`;
}
