import type { Command } from 'commander';
import { Option } from 'commander';
import { ROLES } from '../accounts/roles.js';
import type { TokenRecord } from '../accounts/tokens.js';
import { addToken, readTokens, revokeToken } from '../accounts/tokens.js';
import type { Milliseconds } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import { configForChanges } from './client.js';
import type { ConfigOption } from './options.js';
import { configForFiles, gathered, withConfig } from './options.js';
import type { CliIo } from './io.js';
import { asJson, note, print, table } from './io.js';
import { durationOf } from './override.js';

interface Added {
  readonly name: string;
  readonly role: string;
  readonly domain: readonly string[];
  readonly for?: Milliseconds;
}

/** `stopgap token add|list|revoke`: who may use the API. */
export function tokenVerb(program: Command, io: CliIo): void {
  const token = program.command('token').description('who may use the API');
  const file = (options: ConfigOption): string => configForFiles(io, options).config.api.tokens;
  const changed = async (options: ConfigOption): Promise<string> =>
    (await configForChanges(io, options)).api.tokens;

  withConfig(token.command('add').description('make a token and print it alone'))
    .requiredOption('--name <name>', 'whose token it is')
    .addOption(new Option('--role <role>', 'what it allows').choices([...ROLES]).makeOptionMandatory())
    .option('--domain <domain>', 'of the role domain: one that it is for; may be repeated', gathered, [])
    .option('--for <duration>', 'how long it lasts, such as 30d; otherwise until it is revoked', durationOf)
    .action(async (options: ConfigOption & Added) => {
      const { name, role, domain: domains, for: lasts } = options;
      const tokens = await changed(options);
      print(io, await addToken({ file: tokens, name, role, domains, lasts, now: io.clock.now() }));
      note(io, `This token is shown only now; ${tokens} keeps its hash.`);
    });

  withConfig(token.command('list').description('list the tokens').option('--json', 'as JSON')).action(
    async (options: ConfigOption & { json?: true }) => {
      const { records } = await readTokens(file(options));
      if (options.json === true) {
        const items = records.map(({ name, role, domains, addedAt, expiresAt }) => ({
          ...{ name, role, domains, addedAt: addedAt ?? null },
          expiresAt: expiresAt === undefined ? null : formatInstant(expiresAt),
        }));
        print(io, asJson(items));
      } else if (records.length === 0) {
        note(io, 'no tokens yet: stopgap token add --name NAME --role ROLE');
      } else {
        const until = ({ expiresAt, domains }: TokenRecord): string =>
          expiresAt === undefined
            ? domains.length === 0
              ? ''
              : '-'
            : `${expiresAt > io.clock.now() ? 'until' : 'expired'} ${formatInstant(expiresAt)}`;
        print(
          io,
          table(
            records.map((one) => [one.name, one.role, one.addedAt ?? '-', until(one), one.domains.join(' ')]),
          ),
        );
      }
    },
  );

  withConfig(token.command('revoke <name>').description('make a token worthless')).action(
    async (name: string, options: ConfigOption) => {
      const tokens = await changed(options);
      await revokeToken(tokens, name);
      note(io, `revoked ${name} in ${tokens}`);
    },
  );
}
