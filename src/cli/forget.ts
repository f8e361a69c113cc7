import type { Command } from 'commander';
import { Option } from 'commander';
import { printable } from '../kernel/printable.js';
import { MINUTE } from '../kernel/time.js';
import type { JsonOption } from './client.js';
import { connect, withJson } from './client.js';
import type { CliIo } from './io.js';
import { agreed, asJson, counted, ExitWith, note, print } from './io.js';

interface ForgetOption extends JsonOption {
  readonly type: 'account' | 'address';
  readonly yes?: true;
}

/** A large store is gone through event by event. */
const PATIENCE = 60 * MINUTE;

/** What a store has to say of what it has erased: not where it has erased nothing. */
const OF_ERASED = /\bwhat was erased\b/;

/** `stopgap forget ADDRESS`: erases what concerns a person. */
export function forgetVerb(program: Command, io: CliIo): void {
  withJson(
    program
      .command('forget <address>')
      .description('forget a person: erase what concerns an account or address; this cannot be undone'),
  )
    .addOption(
      new Option('--type <type>', 'what the name is; an address that is an account too is both')
        .choices(['account', 'address'])
        .default('account'),
    )
    .option('--yes', 'without asking')
    .action(async (address: string, options: ForgetOption) => {
      const client = await connect(io, options);
      if (options.yes !== true)
        await agreed(
          io,
          `Erase what concerns ${printable(address)}, for ever?`,
          '--yes erases it all the same',
        );
      const forgotten = await client.ask('post', '/api/v1/forget', {
        body: { subject: { type: options.type, value: address } },
        signal: AbortSignal.timeout(PATIENCE),
      });
      const { pseudonym, erased, rewritten, remains } = forgotten;
      if (options.json === true) print(io, asJson(forgotten));
      else if (pseudonym !== null)
        print(
          io,
          `forgotten: ${counted(erased, 'event')} erased, ${counted(rewritten, 'event')} kept without the name, as ${pseudonym}`,
        );
      if (pseudonym === null)
        note(
          io,
          `stopgap: nothing was erased: nothing is known of the ${options.type} ${printable(address)}; see that the name is written right`,
        );
      if (options.json !== true)
        for (const sentence of remains)
          if (pseudonym !== null || !OF_ERASED.test(sentence)) note(io, printable(sentence));
      if (pseudonym === null) throw new ExitWith(1);
    });
}
