import type { Command } from 'commander';
import { Option } from 'commander';
import type { ForgottenJson } from '../api/forget.js';
import { printable } from '../kernel/printable.js';
import { MINUTE } from '../kernel/time.js';
import type { JsonOption } from './client.js';
import { connect, withJson } from './client.js';
import type { CliIo } from './io.js';
import { agreed, asJson, counted, note, print } from './io.js';

interface ForgetOption extends JsonOption {
  readonly type: string;
  readonly yes?: true;
}

/** A large store is gone through event by event. */
const PATIENCE = 60 * MINUTE;

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
      const body = { subject: { type: options.type, value: address } };
      const forgotten = await client.send<ForgottenJson>('POST', 'forget', body, undefined, PATIENCE);
      if (options.json === true) return print(io, asJson(forgotten));
      const { pseudonym, erased, rewritten, remains } = forgotten;
      print(
        io,
        `forgotten: ${counted(erased, 'event')} erased, ${counted(rewritten, 'event')} kept without the name, as ${pseudonym}`,
      );
      for (const sentence of remains) note(io, printable(sentence));
    });
}
