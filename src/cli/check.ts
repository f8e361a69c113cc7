import type { Command } from 'commander';
import { Option } from 'commander';
import { relative } from './client-format.js';
import { printable } from '../kernel/printable.js';
import { parseInstant } from '../kernel/time.js';
import type { CliIo } from './io.js';
import { asJson, ExitWith, print, table } from './io.js';
import type { AnswerOf, ClientOption, Schemas } from './client.js';
import { connect, withClient } from './client.js';

type Window = Schemas['Window'];

/** Exit code if the sender would be refused. */
const REFUSED = 3;

interface CheckOption extends ClientOption {
  readonly account?: string;
  readonly returnPath?: string;
  readonly ehlo?: string;
  readonly ip?: string;
  readonly direction: 'outbound' | 'inbound';
  readonly at?: string;
  readonly said?: string;
  readonly json?: true;
}

/** `stopgap check`: would this sender be refused, and why? Exit code 0 where not, 3 where so. */
export function checkVerb(program: Command, io: CliIo): void {
  const check = program
    .command('check')
    .description('whether a sender is refused, and why (exit code 3 if so)');
  withClient(check)
    .option('--account <name>', 'the login')
    .option('--return-path <address>', 'the MAIL FROM address; "" is the null sender')
    .option('--ehlo <name>', 'the EHLO name')
    .option('--ip <address>', 'the client address')
    .addOption(new Option('--direction <direction>').choices(['outbound', 'inbound']).default('outbound'))
    .option(
      '--at <time>',
      'at a past instant, in ISO 8601; UTC unless it says otherwise, as in 2027-01-31T14:00+01:00',
    )
    .option('--said <text>', 'what the mail program showed, to find out who said it')
    .option('--json', 'as JSON')
    .action(async (options: CheckOption) => {
      const { account, returnPath, ehlo, ip, direction, at, said } = options;
      if ([account, returnPath, ehlo, ip].every((part) => part === undefined)) {
        check.error('error: say who: --account, --return-path, --ehlo or --ip', { exitCode: 2 });
      }
      const client = await connect(io, options);
      const verdict = await client.get('/api/v1/check', {
        params: { query: { account, returnPath, ehlo, ip, direction, at, said } },
      });
      // Spans are told as of the instant that is asked about.
      const asOf = (at === undefined ? undefined : parseInstant(at)) ?? io.clock.now();
      print(io, options.json === true ? asJson(verdict) : explain(verdict, asOf));
      if (verdict.refused) throw new ExitWith(REFUSED);
    });
}

function explain(verdict: AnswerOf<'/api/v1/check'>, now: number): string {
  const { sentence, auth, mail, rcpt, refusals, matching, proposals, exemptions, windows } = verdict;
  const stage = (name: string, { outcome, reply }: Schemas['Stage']): string =>
    `  ${name.padEnd(9)} ${outcome}${reply === null ? (outcome === 'held' ? ': the mail server takes the mail and keeps it' : '') : `: ${reply}`}`;
  const lines = [printable(sentence), '', stage('AUTH', auth)];
  if (mail.outcome === 'refused') lines.push(stage('MAIL FROM', mail));
  lines.push(stage('RCPT TO', rcpt));
  if (refusals !== null && refusals.length > 0) {
    const rows = refusals.map(({ at, stage: where, ip, ehlo, block, count }) => [
      `  ${at}`,
      where,
      printable(ip ?? '-'),
      printable(ehlo ?? '-'),
      `block ${block}`,
      count === 1 ? '' : `${count} times`,
    ]);
    lines.push('', 'Its last refusals:', table(rows));
  } else if (refusals === null && verdict.sender.account !== null) {
    lines.push('', 'Its last refusals are not known: the store cannot be read now.');
  }
  if (matching.length > 0) {
    lines.push('', 'Blocks that cover this sender:');
    for (const { id, subject, state, until, indefinite } of matching) {
      const ends = indefinite ? 'until released' : `until ${until} (${relative(until, now)})`;
      lines.push(`  ${id}  ${subject.type} ${printable(subject.value)}  ${state}  ${ends}`);
    }
  }
  if (proposals !== null && proposals.length > 0) {
    lines.push('', 'Proposals that wait for you (stopgap block approve ID, or dismiss ID):');
    for (const { id, subject, rule, lapsesAt } of proposals) {
      const lapses = lapsesAt === null ? '' : `  lapses ${relative(lapsesAt, now)}`;
      lines.push(`  ${id}  ${subject.type} ${printable(subject.value)}  rule ${rule ?? '?'}${lapses}`);
    }
  }
  if (exemptions !== null && exemptions.length > 0) {
    lines.push('', 'Rules may not act on:');
    for (const { subject, reason } of exemptions) {
      lines.push(`  ${subject.type} ${printable(subject.value)}: ${printable(reason)}`);
    }
  }
  const limits = (windows ?? []).filter(({ applies }) => applies);
  if (limits.length > 0) {
    const rows = limits.map((each) => [...headOf(each), ...limitOf(each, now)]);
    lines.push('', 'Windows against limits:', table(rows));
  }
  const others = (windows ?? []).filter(({ applies }) => !applies);
  if (others.length > 0) {
    const rows = others.map((each) => [...headOf(each), each.reason ?? '']);
    lines.push('', 'Not for this sender now:', table(rows));
  }
  return lines.join('\n');
}

function headOf({ subject, rule }: Window): readonly string[] {
  return [`  ${subject.type} ${printable(subject.value)}`, rule];
}

function limitOf(reading: Window, now: number): readonly string[] {
  const { count, window, leaveOut, observed, sinceTrip, limit, besides, outbreak } = reading;
  const without =
    leaveOut === undefined ? '' : `, less the ${leaveOut === 1 ? 'largest message' : 'two largest'}`;
  const more =
    outbreak === undefined
      ? [
          ...(sinceTrip === null || sinceTrip === observed
            ? []
            : [`${sinceTrip} of them count: the rest has tripped the rule already, or was decided on`]),
          ...besides.map((each) => `and ${each}`),
        ].join(', ')
      : [...besides.map((each) => `and ${each}`), groupOf(reading, outbreak, now)].join('; ');
  return [`${observed} of ${limit} ${count}`, `within ${window}${without}`, more];
}

/** Whether an account has turned abnormal, and how many of its domain have. */
function groupOf(
  { subject }: Window,
  { domain, accounts, limit, window, turnedAt, alarmUntil }: NonNullable<Window['outbreak']>,
  now: number,
): string {
  const alarm =
    alarmUntil === null
      ? []
      : [`on alarm, over ${relative(alarmUntil, now)}: a sender that turns is acted upon at once`];
  const own = turnedAt === null ? 'has not turned' : `turned ${relative(turnedAt, now)}`;
  const others = `${accounts} of ${limit} accounts of ${printable(domain)} within ${window} have`;
  // A domain's own count says it already.
  return [...(subject.type === 'domain' ? [] : [own, others]), ...alarm].join('; ');
}
