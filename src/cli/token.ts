import type { Command } from 'commander';
import { Option } from 'commander';
import { readAdmins } from '../accounts/admins.js';
import { ROLES } from '../accounts/roles.js';
import type { TokenRecord } from '../accounts/tokens.js';
import { addToken, readTokens, revokeToken } from '../accounts/tokens.js';
import type { Milliseconds } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import { configForChanges } from './client.js';
import type { ConfigOption } from './options.js';
import { configForFiles, gathered, ownDomains, withConfig } from './options.js';
import type { CliIo } from './io.js';
import { asJson, done, note, print, table } from './io.js';
import { durationOf } from './override.js';

interface Added {
  readonly name: string;
  readonly role: string;
  readonly domain: readonly string[];
  readonly for?: Milliseconds;
  readonly json?: true;
}

/** `stopgap token add|list|revoke`: who may use the API. */
export function tokenVerb(program: Command, io: CliIo): void {
  const token = program.command('token').description('who may use the API');
  const file = async (options: ConfigOption): Promise<string> =>
    (await configForFiles(io, options)).config.api.tokens;
  const changed = async (options: ConfigOption): Promise<string> =>
    (await configForChanges(io, options)).api.tokens;

  withConfig(token.command('add').description('make a token and print it alone'))
    .requiredOption('--name <name>', 'whose token it is')
    .addOption(new Option('--role <role>', 'what it allows').choices([...ROLES]).makeOptionMandatory())
    .option('--domain <domain>', 'of the role domain: one that it is for; may be repeated', gathered, [])
    .option('--for <duration>', 'how long it lasts, such as 30d; otherwise until it is revoked', durationOf)
    .option('--json', 'as JSON')
    .action(async (options: ConfigOption & Added) => {
      const { name, role, for: lasts } = options;
      const domains = ownDomains(role, options.domain);
      const { tokens, admins } = (await configForChanges(io, options)).api;
      const people = await readAdmins(admins);
      const made = await addToken({ file: tokens, name, role, domains, lasts, people, now: io.clock.now() });
      print(io, options.json === true ? asJson({ name, role, domains, token: made }) : made);
      note(io, `This token is shown only now; ${tokens} keeps its hash.`);
    });

  withConfig(token.command('list').description('list the tokens').option('--json', 'as JSON')).action(
    async (options: ConfigOption & { json?: true }) => {
      const { records } = await readTokens(await file(options));
      if (options.json === true) {
        const items = records.map(({ name, role, domains, addedAt, expiresAt }) => ({
          name,
          role,
          domains,
          addedAt: addedAt ?? null,
          expiresAt: expiresAt === undefined ? null : formatInstant(expiresAt),
        }));
        print(io, asJson(items));
      } else if (records.length === 0) {
        note(io, 'no tokens yet: stopgap token add --name NAME --role ROLE');
      } else {
        const until = ({ expiresAt }: TokenRecord): string =>
          expiresAt === undefined
            ? '-'
            : `${expiresAt > io.clock.now() ? 'until' : 'expired'} ${formatInstant(expiresAt)}`;
        const rows = records.map((one) => [
          one.name,
          one.role,
          one.addedAt ?? '-',
          until(one),
          one.domains.join(' ') || '-',
        ]);
        print(io, table([['NAME', 'ROLE', 'ADDED', 'ENDS', 'DOMAINS'], ...rows]));
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
