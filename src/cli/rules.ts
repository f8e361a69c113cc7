import { createInterface } from 'node:readline/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Command } from 'commander';
import type { RulesJson } from '../api/shapes.js';
import { parseRules } from '../rules/parse.js';
import { ConfigError } from '../config.js';
import { geoDataOf } from '../config/geo-data.js';
import { StopgapError } from '../kernel/errors.js';
import { DEFAULT_RULES } from '../rules/defaults.js';
import { forgeable, withoutGeoData } from '../rules/explain.js';
import type { RuleSet } from '../rules/model.js';
import type { ConfigOption } from './config-option.js';
import { configForFiles, withConfig } from './config-option.js';
import type { ClientOption } from './client.js';
import { connect, withClient } from './client.js';
import type { CliIo } from './io.js';
import { asJson, note, print, printSource, warn } from './io.js';
import { readNamed } from './named-file.js';
import { observedCommand } from './observed-rules.js';
import { precisionCommand, shadowCommands } from './shadow-rules.js';

/** `stopgap rules check|show|defaults|apply|observed|shadow|precision`. */
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

  rules
    .command('defaults')
    .description('print the built-in rules; needs no server')
    .action(() => printSource(io, DEFAULT_RULES.trimEnd()));

  withClient(rules.command('apply <file>').description('put a rules file in force'))
    .option('--yes', 'do not ask, though rules change or go')
    .action(async (file: string, options: ClientOption & { yes?: true }) => {
      const source = readNamed(io, file, 'name a rules file');
      // Here already, so that faults name the file and its lines.
      const wanted = parseRules(source, file);
      const client = await connect(io, options);
      const before = await client.get<RulesJson>('rules');
      const changes = differences(before, wanted);
      for (const line of changes) note(io, line);
      if (changes.length > 0 && options.yes !== true) await agreed(io);
      const inForce = await client.send<RulesJson>('PUT', 'rules', { source }, before.version);
      note(
        io,
        `rules version ${inForce.version} in force: ${counted(inForce.rules.length, 'rule')}, mode ${inForce.mode}`,
      );
      warn(io, inForce.warnings);
    });

  observedCommand(rules, io);
  shadowCommands(rules, io);
  precisionCommand(rules, io);
}

/** What would be otherwise than it is, a line each. What is only added is no surprise, and is told by the count. */
function differences(before: RulesJson, wanted: RuleSet): readonly string[] {
  const now = parseRules(before.source, 'the rules in force');
  const ids = new Map(wanted.rules.map((rule) => [rule.id, rule]));
  const removed = now.rules.filter(({ id }) => !ids.has(id));
  const changed = now.rules.filter((rule) => ids.has(rule.id) && !isDeepStrictEqual(rule, ids.get(rule.id)));
  const named = (verb: string, list: readonly { readonly id: string }[]): readonly string[] =>
    list.length === 0
      ? []
      : [`${verb} ${counted(list.length, 'rule')} of those in force: ${list.map(({ id }) => id).join(', ')}`];
  const rest = (['mode', 'maxAutomaticBlocks', 'learning', 'exempt'] as const).filter(
    (key) => !isDeepStrictEqual(now[key], wanted[key]),
  );
  return [
    ...named('removes', removed),
    ...named('changes', changed),
    ...(rest.length === 0 ? [] : [`changes ${rest.join(', ')}`]),
  ];
}

/** @throws StopgapError where the answer is not yes, or nobody can be asked */
async function agreed(io: CliIo): Promise<void> {
  if (!io.stdin.isTTY) {
    throw new StopgapError(
      'invalid-input',
      'there is no terminal to ask at: --yes puts these rules in force all the same; a file with "extends: defaults" keeps the built-in ones',
    );
  }
  const terminal = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const answer = await terminal.question('Put these rules in force? [y/N] ');
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    terminal.close();
  }
  throw new StopgapError('invalid-input', 'nothing has changed');
}

/** Of rules that ask where clients are, what the configuration here says to that. */
function warningsHere(io: CliIo, options: ConfigOption, set: RuleSet): readonly string[] {
  if (withoutGeoData(set, { country: false, asn: false }).length === 0) return [];
  try {
    const { config } = configForFiles(io, options);
    return withoutGeoData(set, geoDataOf(config)).map(({ sentence }) => sentence);
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    const [problem] = thrown.problems;
    return [`rules ask where clients are, and whether geoip is configured is not known: ${problem}`];
  }
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
