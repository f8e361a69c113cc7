import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { FEED_CATEGORIES } from '../api/words.js';
import { actorName } from '../kernel/actor.js';
import { StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import type { JsonOption } from './client.js';
import { connect, withJson } from './client.js';
import type { CliIo } from './io.js';
import { asJson, padded, print } from './io.js';

interface EventsOption extends JsonOption {
  readonly after?: string;
  readonly categories?: string;
  readonly types?: string;
  readonly limit?: number;
}

/** Columns of the head and the rows: what comes next is not known, so that they cannot fit themselves. */
const WIDTHS = [10, 24, 18, 22] as const;

/** `stopgap events`: what happens, as it happens. */
export function eventsVerb(program: Command, io: CliIo): void {
  withJson(program.command('events').description('what happens, as it happens, until you end it'))
    .option('--after <position>', 'begin after this one; 0 is the beginning (default: with what is new)')
    .option('--categories <names>', `any of ${FEED_CATEGORIES.join(',')} (default: block,rules)`)
    .option('--types <types>', 'types of events, as BlockImposed,BlockReleased')
    .option('--limit <number>', 'end after so many', whole)
    .action(async (options: EventsOption) => {
      const { after, categories, types, limit = Infinity, json } = options;
      const client = await connect(io, options);
      if (json !== true) print(io, line(['POSITION', 'AT', 'TYPE', 'BY', 'WHAT']));
      let last = after;
      let count = 0;
      const on = (): string => (last === undefined ? '' : `: --after ${last} goes on`);
      try {
        for await (const event of client.events({ after, categories, types })) {
          const { position, at, type, by, stream } = event;
          print(
            io,
            json === true ? asJson(event) : line([String(position), at, type, actorName(by), stream]),
          );
          last = String(position);
          if (++count >= limit) return;
        }
      } catch (thrown) {
        if (!(thrown instanceof StopgapError)) throw thrown;
        throw new StopgapError(thrown.code, `${thrown.message}${on()}`);
      }
      throw new StopgapError('unavailable', `the server has ended the feed${on()}`);
    });
}

function line(cells: readonly string[]): string {
  return cells
    .map((cell, column) => padded(printable(cell), WIDTHS[column] ?? 0))
    .join('  ')
    .trimEnd();
}

function whole(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('must be a whole number from 1');
}
