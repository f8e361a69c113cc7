import type { Command } from 'commander';
import { Option } from 'commander';
import { printable } from '../kernel/printable.js';
import type { Instant } from '../kernel/time.js';
import { SUMS } from '../rules/model.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import type { AnswerOf, JsonOption, QueryOf, Schemas } from './client.js';
import { connect, withJson } from './client.js';
import { blockRows } from './client-format.js';
import type { CliIo } from './io.js';
import { asJson, note, print, table, tableWithin, terminalWidth } from './io.js';
import { wordsArgument } from './options.js';
import { refusedBy } from './refused.js';

type Query = QueryOf<'/api/v1/senders'>;
type Sender = AnswerOf<'/api/v1/senders/{type}/{value}'>;

interface ListOption extends JsonOption {
  readonly by: Query['by'];
  readonly count: Query['count'];
  readonly limit: string;
}

/** `stopgap sender list|show`: asks a running server. */
export function senderVerb(program: Command, io: CliIo): void {
  const sender = program.command('sender').description('how much senders send, and their limits');

  withJson(sender.command('list').description('the busiest senders now'))
    .addOption(new Option('--by <type>', 'what a sender is').choices([...SUBJECT_TYPES]).default('account'))
    .addOption(new Option('--count <what>', 'what is counted').choices([...SUMS]).default('recipients'))
    .option('--limit <number>', 'at most so many, up to 500', '20')
    .action(async (options: ListOption) => {
      const { by, count, limit } = options;
      const client = await connect(io, options);
      const found = await client.get('/api/v1/senders', { params: { query: { by, count, limit } } });
      if (options.json === true) return print(io, asJson(found));
      if (found.items.length === 0) return note(io, 'nobody sends, or no rule counts this');
      const rows = found.items.map((one) => [
        `${one.subject.type} ${printable(one.subject.value)}`,
        String(one.amount),
        one.count,
        one.window,
        one.block ?? '-',
      ]);
      print(io, table([['SENDER', 'AMOUNT', 'OF', 'WITHIN', 'BLOCK'], ...rows]));
    });

  const showing = withJson(
    sender
      .command('show')
      .addArgument(wordsArgument('<sender>', SUBJECT_TYPES))
      .argument('[value]')
      .description('one sender: its type and what it is, or the address of an account'),
  );
  showing.action(async (given: string, second: string | undefined, options: JsonOption) => {
    if (second === undefined && !given.includes('@'))
      showing.error(
        `error: say of what type it is, and what: stopgap sender show TYPE VALUE; a type is any of ${SUBJECT_TYPES.join(', ')}`,
        { exitCode: 2 },
      );
    const [type, value] = second === undefined ? ['account', given] : [given, second];
    const client = await connect(io, options);
    const found = await client.get('/api/v1/senders/{type}/{value}', { params: { path: { type, value } } });
    if (options.json === true) return print(io, asJson(found));
    const other = found.standing.block === null ? await refusedBy(client, found.subject) : undefined;
    print(io, senderText(found, other, io.clock.now(), terminalWidth(io)));
  });
}

/** The latest sends that are shown. */
const SENDS_SHOWN = 10;

function senderText(sender: Sender, other: string | undefined, now: Instant, width: number): string {
  const { subject, windows, usual, standing, blocks, sends } = sender;
  const parts = [
    [
      `${subject.type} ${printable(subject.value)}`,
      ...(standing.block !== null
        ? [`blocked: ${standing.block.id}`]
        : other === undefined
          ? ['not blocked']
          : ['not blocked itself', `refused all the same: ${other}`]),
      ...(standing.proposal === null ? [] : [`a proposal waits: ${standing.proposal.id}`]),
      ...(standing.exemption === null ? [] : [`exempt: ${printable(standing.exemption.reason)}`]),
      usualText(usual),
    ].join('\n'),
  ];
  if (windows.length > 0)
    parts.push(
      table([['RULE', 'OBSERVED', 'LIMIT', 'COUNT', 'WITHIN', 'APPLIES'], ...windows.map(windowRow)]),
    );
  if (blocks.length > 0) parts.push(tableWithin(blockRows(blocks, now), width));
  const latest = sends.items.slice(0, SENDS_SHOWN);
  if (latest.length > 0)
    parts.push(table([['AT', 'EVENT', 'RECIPIENTS', 'TIMES', 'FROM', 'EHLO'], ...latest.map(sendRow)]));
  return parts.join('\n\n');
}

function usualText(usual: Sender['usual']): string {
  if (usual === null) return 'nothing is learnt of it';
  const { typical, record } = usual.largestMessage;
  const known = usual.known ? 'known' : 'still being learnt';
  return `${known}, of ${usual.weeks} active weeks; its largest message usually has ${typical} recipients, at most ${record}`;
}

function windowRow({
  rule,
  observed,
  limit,
  count,
  window,
  applies,
  reason,
}: Schemas['Window']): readonly string[] {
  const why = applies ? 'yes' : `no: ${printable(reason ?? '')}`;
  return [printable(rule), String(observed), String(limit), count, window, why];
}

function sendRow({ at, type, data }: Sender['sends']['items'][number]): readonly string[] {
  const { recipients, count, ip, ehlo } = data as Readonly<Record<string, unknown>>;
  const text = (value: unknown): string =>
    typeof value === 'string' || typeof value === 'number' ? printable(String(value)) : '-';
  // The count of a refusal is of attempts.
  const isOfRecipients = type === 'RecipientsRefused';
  return [
    at,
    type,
    text(isOfRecipients ? count : recipients),
    text(isOfRecipients ? 1 : (count ?? 1)),
    text(ip),
    text(ehlo),
  ];
}
