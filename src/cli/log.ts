import type { Command } from 'commander';
import { Option } from 'commander';
import { isThere } from '../accounts/private-file.js';
import type { LogLevel } from '../config/schema.js';
import { LOG_LEVELS } from '../config/values.js';
import { StopgapError } from '../kernel/errors.js';
import type { Component } from '../log/levels.js';
import { COMPONENTS, asText } from '../log/levels.js';
import { Pseudonyms, openLogKey } from '../log/pseudonyms.js';
import type { AnswerOf, ClientOption, QueryOf } from './client.js';
import { connect, withClient } from './client.js';
import type { CliIo } from './io.js';
import { asJson, note, print, table } from './io.js';
import type { ConfigOption } from './options.js';
import { configForFiles, withConfig } from './options.js';

interface LevelOption extends ClientOption {
  readonly component?: Component;
  readonly json?: true;
}

interface ShowOption extends LevelOption {
  readonly limit: string;
  readonly level?: QueryOf<'/api/v1/log'>['level'];
}

/** `stopgap log show|level|hash`: what a running server logs, and which hash a name has. */
export function logVerb(program: Command, io: CliIo): void {
  const log = program.command('log').description('what a running server logs');
  const component = (): Option =>
    new Option('--component <name>', 'of one component').choices([...COMPONENTS]);

  withClient(log.command('show').description('the last lines that the server logged'))
    .option('--limit <number>', 'at most so many', '200')
    .addOption(new Option('--level <level>', 'as severe as this at least').choices(LOG_LEVELS.slice(0, -1)))
    .addOption(component())
    .option('--json', 'as JSON, one line each')
    .action(async (options: ShowOption) => {
      const { limit, level, component, json } = options;
      const client = await connect(io, options);
      const { items } = await client.get('/api/v1/log', { params: { query: { limit, level, component } } });
      for (const line of items.map((item) => asJson(item)))
        print(io, json === true ? line : asText(line).trimEnd());
    });

  withClient(
    log.command('level [level]').description(`how much it logs; or change it: ${LOG_LEVELS.join(', ')}`),
  )
    .addOption(component())
    .option('--json', 'as JSON')
    .action(async (level: LogLevel | undefined, options: LevelOption) => {
      const client = await connect(io, options);
      const { component } = options;
      const levels =
        level === undefined
          ? await client.get('/api/v1/log-level')
          : await client.ask('put', '/api/v1/log-level', { body: { level, component } });
      print(io, options.json === true ? asJson(levels) : levelsText(levels));
    });

  withConfig(
    log
      .command('hash <names...>')
      .description('what the log has in place of a name')
      .option('--json', 'as JSON'),
  ).action(async (names: string[], options: ConfigOption & { readonly json?: true }) => {
    const { key } = (await configForFiles(io, options)).config.log;
    if (!isThere(key)) {
      throw new StopgapError(
        'not-found',
        `there is no ${key}: nothing was hashed here yet; log.key names the key of another data directory`,
      );
    }
    const pseudonyms = new Pseudonyms(await openLogKey(key));
    const rows = names.map((name) => [pseudonyms.of(name), name]);
    if (options.json === true) return print(io, asJson(rows.map(([hash, name]) => ({ name, hash }))));
    print(io, table([['HASH', 'NAME'], ...rows]));
    note(io, 'equal names have equal hashes for as long as the key stays');
  });
}

function levelsText({ level, configured, components }: AnswerOf<'/api/v1/log-level'>): string {
  const others = Object.entries(components).map(([name, own]) => [name, own]);
  const all = level === configured ? level : `${level} (configured: ${configured})`;
  return table([['COMPONENT', 'LEVEL'], ['all', all], ...others]);
}
