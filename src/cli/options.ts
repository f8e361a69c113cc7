import type { Command } from 'commander';
import { Argument, Option } from 'commander';
import type { LoadedConfig } from '../config.js';
import { InvalidInput } from '../kernel/errors.js';
import type { CliIo } from './io.js';

/** An option of words from a list, several with commas: the server says what is wrong, completion knows the words. */
export function wordsOption(flags: string, description: string, words: readonly string[]): Option {
  const option = new Option(flags, description);
  option.argChoices = [...words];
  return option;
}

/** An argument that completion knows the words of; the verb itself says what is wrong. */
export function wordsArgument(name: string, words: readonly string[]): Argument {
  const argument = new Argument(name);
  argument.argChoices = [...words];
  return argument;
}

export interface ConfigOption {
  readonly config?: string;
}

/** Adds `--config FILE` to a command. */
export function withConfig(command: Command): Command {
  return command.option('--config <file>', 'configuration file (default: STOPGAP_CONFIG, or ./stopgap.yaml)');
}

/**
 * The configuration for a command that changes its files: they need not be there yet. What reads it is loaded here: commands
 * that are told server and token do without.
 */
export async function configForFiles(io: CliIo, options: ConfigOption): Promise<LoadedConfig> {
  const { loadConfig } = await import('../config.js');
  return loadConfig({ file: options.config, env: io.env, cwd: io.cwd, checkFiles: false });
}

/** How long something lasts, as the API takes it. */
export interface SpanOption {
  readonly for?: string;
  readonly until?: string;
  readonly indefinite?: true;
}

/** Adds `--for`, `--until` and `--indefinite`, of which one at most may be given. */
export function withSpan(command: Command): Command {
  return command
    .addOption(
      new Option('--for <duration>', 'how long, such as 1h or 2d').conflicts(['until', 'indefinite']),
    )
    .addOption(
      new Option('--until <time>', 'until when, in ISO 8601 (UTC unless it says otherwise)').conflicts([
        'for',
        'indefinite',
      ]),
    )
    .addOption(new Option('--indefinite', 'without an end').conflicts(['for', 'until']));
}

interface Span {
  readonly duration: string | undefined;
  readonly until: string | undefined;
  readonly indefinite: true | undefined;
}

export function spanOf({ for: duration, until, indefinite }: SpanOption): Span {
  return { duration, until, indefinite };
}

/** Ends the command with exit code 2 if none of the three is given. */
export function requireSpan(command: Command, options: SpanOption): void {
  if (Object.values(spanOf(options)).some((given) => given !== undefined)) return;
  command.error('error: say how long: --for 1h, --until TIME or --indefinite', { exitCode: 2 });
}

/** For an option that may be repeated. */
export const gathered = (one: string, before: readonly string[]): readonly string[] => [...before, one];

/** The domains of a role, before anything is asked or written. @throws InvalidInput if the role domain has none */
export function ownDomains(role: string, given: readonly string[]): readonly string[] {
  const remedy = '--domain example.com, which may be repeated';
  if (role === 'domain' && given.length === 0)
    throw new InvalidInput('domain', `the role domain needs the domains that it is for: ${remedy}`);
  return given;
}
