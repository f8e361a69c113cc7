import type { Command } from 'commander';
import type { RulesJson } from '../api/shapes.js';
import { parseRules } from '../rules/parse.js';
import { ConfigError } from '../config.js';
import { knownPlaces } from '../config/places.js';
import { forgeable } from '../rules/forgeable.js';
import type { RuleSet } from '../rules/model.js';
import { placeless } from '../rules/places.js';
import type { ConfigOption } from './config-option.js';
import { configForFiles, withConfig } from './config-option.js';
import type { ClientOption } from './client.js';
import { connect, withClient } from './client.js';
import type { CliIo } from './io.js';
import { asJson, note, print, printSource, warn } from './io.js';
import { readNamed } from './named-file.js';
import { observedCommand } from './observed-rules.js';
import { precisionCommand, shadowCommands } from './shadow-rules.js';

/** `stopgap rules check|show|apply|observed|shadow|precision`. */
export function rulesVerb(program: Command, io: CliIo): void {
  const rules = program.command('rules').description('when a volume is abnormal');

  withConfig(rules.command('check <file>').description('check a rules file; needs no server')).action(
    (file: string, options: ConfigOption) => {
      const set = parseRules(readNamed(io, file, 'name a rules file'), file);
      const exempt = set.exempt.length === 0 ? '' : `, ${counted(set.exempt.length, 'exemption')}`;
      note(io, `${file}: valid, ${counted(set.rules.length, 'rule')}${exempt}, mode ${set.mode}`);
      warn(io, [...forgeable(set), ...warningsHere(io, options, set)]);
    },
  );

  withClient(rules.command('show').description('print the rules in force'))
    .option('--json', 'as JSON, parsed')
    .action(async (options: ClientOption & { json?: true }) => {
      const inForce = await (await connect(io, options)).get<RulesJson>('rules');
      if (options.json === true) print(io, asJson(inForce));
      else {
        note(io, `version ${inForce.version}, from ${inForce.origin}`);
        warn(io, inForce.warnings);
        printSource(io, inForce.source.trimEnd());
      }
    });

  withClient(rules.command('apply <file>').description('put a rules file in force')).action(
    async (file: string, options: ClientOption) => {
      const source = readNamed(io, file, 'name a rules file');
      // Here already, so that faults name the file and its lines.
      parseRules(source, file);
      const inForce = await (await connect(io, options)).send<RulesJson>('PUT', 'rules', { source });
      note(
        io,
        `rules version ${inForce.version} in force: ${counted(inForce.rules.length, 'rule')}, mode ${inForce.mode}`,
      );
      warn(io, inForce.warnings);
    },
  );

  observedCommand(rules, io);
  shadowCommands(rules, io);
  precisionCommand(rules, io);
}

/** Of rules that ask where clients are, what the configuration here says to that. */
function warningsHere(io: CliIo, options: ConfigOption, set: RuleSet): readonly string[] {
  if (placeless(set, { country: false, asn: false }).length === 0) return [];
  try {
    const { config } = configForFiles(io, options);
    return placeless(set, knownPlaces(config)).map(({ sentence }) => sentence);
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    const [problem] = thrown.problems;
    return [`rules ask where clients are, and whether geoip is configured is not known: ${problem}`];
  }
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
