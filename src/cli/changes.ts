import type { Command } from 'commander';
import { CHANGE_TYPES, VIA } from '../api/words.js';
import { actorName } from '../kernel/actor.js';
import { printable } from '../kernel/printable.js';
import type { JsonOption, Schemas } from './client.js';
import { connect, withJson } from './client.js';
import type { CliIo } from './io.js';
import { wordsOption } from './options.js';
import { asJson, note, noteMore, print, tableWithin, terminalWidth } from './io.js';

interface ChangesOption extends JsonOption {
  readonly by?: string;
  readonly type?: string;
  readonly value?: string;
  readonly via?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
}

/** `stopgap changes`: who decided what, when and why. */
export function changesVerb(program: Command, io: CliIo): void {
  withJson(program.command('changes').description('who decided what, when and why, newest first'))
    .option('--by <name>', 'those of one person or token')
    .addOption(wordsOption('--type <types>', 'with commas', CHANGE_TYPES))
    .option('--value <subject>', 'those about one subject')
    .option('--via <ways>', `any of ${VIA.join(',')}`)
    .option('--since <time>', 'from then on, in ISO 8601; UTC unless it says otherwise')
    .option('--until <time>', 'before then')
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .action(async (options: ChangesOption) => {
      const { by, type, value, via, since, until, limit } = options;
      const client = await connect(io, options);
      const found = await client.get('/api/v1/changes', {
        params: { query: { by, type, value, via, since, until, limit } },
      });
      if (options.json === true) print(io, asJson(found));
      else if (found.items.length === 0) note(io, 'no changes');
      else {
        const rows = found.items.map((change) => [
          change.at,
          printable(actorName(change.by)),
          whatOf(change),
          change.via,
          change.subject === null ? '-' : `${change.subject.type} ${printable(change.subject.value)}`,
          printable(change.why ?? ''),
        ]);
        print(io, tableWithin([['AT', 'BY', 'WHAT', 'VIA', 'SUBJECT', 'WHY'], ...rows], terminalWidth(io)));
      }
      if (found.next !== null) noteMore(io, limit);
    });
}

const whatOf = ({ type, held }: Schemas['Change']): string =>
  held === null ? type : `${type} (held mail: ${held})`;
