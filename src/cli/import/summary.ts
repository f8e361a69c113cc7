import type { LogSummary } from '../../import/postfix-log/index.js';
import { formatInstant } from '../../kernel/time.js';
import { printable } from '../../kernel/printable.js';
import { table } from '../io.js';

/** Characters of a broken line that are shown. */
const SHOWN = 120;

export type Written = Readonly<Record<string, number>>;

/** The summary as people read it. */
export function summaryLines(summary: LogSummary, zone: string, written: Written, into: string): string[] {
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
  rows.push(['', `into ${printable(into)}`]);
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
export function summaryJson(summary: LogSummary, zone: string, written: Written): unknown {
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

/** @param total bytes; undefined where nobody knows */
export function progressLine({ bytes, lines, messages }: LogSummary, total: number | undefined): string {
  const share =
    total === undefined || total === 0 ? '' : `${Math.min(100, Math.floor((100 * bytes) / total))} %  `;
  return `${share}${lines} lines  ${messages} messages`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
