import type { Command } from 'commander';
import type { ExemptionJson, GrantedExemptionJson } from '../api/shapes.js';
import { printable } from '../kernel/printable.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import type { ClientOption } from './client.js';
import { connect, withClient } from './client.js';
import { relative } from './client-format.js';
import type { CliIo } from './io.js';
import { asJson, note, print, table, warn } from './io.js';
import type { SpanOption } from './span-options.js';
import { requireSpan, spanOf, withSpan } from './span-options.js';

interface JsonOption extends ClientOption {
  readonly json?: true;
}

interface AddOption extends JsonOption, SpanOption {
  readonly reason: string;
}

/** `stopgap exempt list|add|revoke`. */
export function exemptVerb(program: Command, io: CliIo): void {
  const exempt = program.command('exempt').description('whom rules must neither block nor propose to block');

  withClient(exempt.command('list').description('list the exemptions in force'))
    .option('--json', 'as JSON')
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .action(async (options: JsonOption & { limit: string }) => {
      const client = await connect(io, options);
      const found = await client.get<{ items: readonly ExemptionJson[]; next: string | null }>('exemptions', {
        limit: options.limit,
      });
      if (options.json === true) return print(io, asJson(found));
      if (found.items.length === 0) return note(io, 'no exemptions');
      print(io, table([['ID', 'SUBJECT', 'BY', 'ENDS', 'SAVED', 'WHY'], ...found.items.map(row)]));
      if (found.next !== null) note(io, 'there are more: raise --limit');
    });

  const row = ({ id, subject, by, until, saved, reason }: ExemptionJson): string[] => [
    ...[printable(id), named(subject), printable(by ?? 'rules')],
    ...[until === null ? 'never' : relative(until, io.clock.now()), String(saved), printable(reason)],
  ];

  const add = withSpan(
    withClient(exempt.command('add <type> <value>').description(`exempt one of ${SUBJECT_TYPES.join(', ')}`)),
  );
  add
    .requiredOption('--reason <text>', 'why')
    .option('--json', 'as JSON')
    .action(async (type: string, value: string, options: AddOption) => {
      requireSpan(add, options);
      const body = { subject: { type, value }, reason: options.reason, ...spanOf(options) };
      const made = await (await connect(io, options)).send<GrantedExemptionJson>('POST', 'exemptions', body);
      if (options.json === true) return print(io, asJson(made));
      const ends = made.until === null ? 'for ever' : `until ${made.until}`;
      note(io, `${named(made.subject)} is exempt ${ends}: ${made.id}`);
      warn(
        io,
        made.blocks.map(
          ({ id, subject }) =>
            `${named(subject)} is blocked all the same: to end that, stopgap block release ${id}`,
        ),
      );
    });

  withClient(exempt.command('revoke <id>').description('revoke an exemption'))
    .option('--note <text>', 'why')
    .action(async (id: string, options: ClientOption & { note?: string }) => {
      const body = options.note === undefined ? {} : { note: options.note };
      await (await connect(io, options)).send('DELETE', `exemptions/${encodeURIComponent(id)}`, body);
      note(io, `the exemption ${id} is revoked`);
    });
}

function named({ type, value }: ExemptionJson['subject']): string {
  return `${type} ${printable(value)}`;
}
