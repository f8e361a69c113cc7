import type { Command } from 'commander';
import { loadConfig } from '../config.js';
import type { LoadedConfig } from '../config.js';
import type { CliIo } from './io.js';

export interface ConfigOption {
  readonly config?: string;
}

/** Adds `--config FILE` to a command. */
export function withConfig(command: Command): Command {
  return command.option('--config <file>', 'configuration file (default: STOPGAP_CONFIG, or ./stopgap.yaml)');
}

/** The configuration for a command that changes its files: they need not be there yet. */
export function configForFiles(io: CliIo, options: ConfigOption): LoadedConfig {
  return loadConfig({ file: options.config, env: io.env, cwd: io.cwd, checkFiles: false });
}
