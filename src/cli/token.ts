import type { Command } from 'commander';
import { Option } from 'commander';
import { addToken, readTokens, revokeToken, ROLES } from '../accounts/tokens.js';
import { configForChanges } from './client.js';
import type { ConfigOption } from './options.js';
import { configForFiles, withConfig } from './options.js';
import type { CliIo } from './io.js';
import { asJson, done, note, print, table } from './io.js';

/** `stopgap token add|list|revoke`: who may use the API. */
export function tokenVerb(program: Command, io: CliIo): void {
  const token = program.command('token').description('who may use the API');
  const file = (options: ConfigOption): string => configForFiles(io, options).config.api.tokens;
  const changed = async (options: ConfigOption): Promise<string> =>
    (await configForChanges(io, options)).api.tokens;

  withConfig(token.command('add').description('make a token and print it alone'))
    .requiredOption('--name <name>', 'whose token it is')
    .addOption(new Option('--role <role>', 'what it allows').choices([...ROLES]).makeOptionMandatory())
    .option('--json', 'as JSON')
    .action(async (options: ConfigOption & { name: string; role: string; json?: true }) => {
      const { name, role } = options;
      const tokens = await changed(options);
      const made = await addToken({ file: tokens, name, role, now: io.clock.now() });
      print(io, options.json === true ? asJson({ name, role, token: made }) : made);
      note(io, `This token is shown only now; ${tokens} keeps its hash.`);
    });

  withConfig(token.command('list').description('list the tokens').option('--json', 'as JSON')).action(
    async (options: ConfigOption & { json?: true }) => {
      const { records } = await readTokens(file(options));
      if (options.json === true) {
        const items = records.map(({ name, role, addedAt }) => ({ name, role, addedAt: addedAt ?? null }));
        print(io, asJson(items));
      } else if (records.length === 0) {
        note(io, 'no tokens yet: stopgap token add --name NAME --role ROLE');
      } else {
        const rows = records.map((one) => [one.name, one.role, one.addedAt ?? '-']);
        print(io, table([['NAME', 'ROLE', 'ADDED'], ...rows]));
      }
    },
  );

  withConfig(
    token.command('revoke <name>').description('make a token worthless').option('--json', 'as JSON'),
  ).action(async (name: string, options: ConfigOption & { json?: true }) => {
    const tokens = await changed(options);
    await revokeToken(tokens, name);
    done(io, options, { revoked: name, file: tokens }, `revoked ${name} in ${tokens}`);
  });
}
