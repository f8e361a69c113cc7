import type { Command } from 'commander';
import type { SettingInForce } from '../config.js';
import { ConfigError, listSettings, loadConfig, settingsTable } from '../config.js';
import { printable } from '../kernel/printable.js';
import type { Outcome } from './doctor/findings.js';
import { adviceOf } from './doctor/findings.js';
import type { CliIo } from './io.js';
import { asJson, note, print, table, tableWithin, terminalWidth, warn } from './io.js';
import type { ConfigOption } from './options.js';
import { configForFiles, withConfig } from './options.js';

/** `stopgap config check|show|list`. */
export function configVerb(program: Command, io: CliIo): void {
  const config = program.command('config').description('the settings, and whether they are right');

  withConfig(
    config
      .command('check')
      .description('load the configuration and the files that it names as serve does, and say what is wrong')
      .option('--json', 'as JSON'),
  ).action(async (options: ConfigOption & { readonly json?: true }) => {
    const loaded = loadConfig({ file: options.config, env: io.env, cwd: io.cwd });
    // Every engine's client is loaded with it.
    const { examineFiles } = await import('./doctor/examine.js');
    const found = await examineFiles(loaded, io.clock);
    const told = (outcome: Outcome): string[] => found.filter((one) => one.outcome === outcome).map(adviceOf);
    const warnings = [...loaded.warnings, ...told('warning')];
    if (options.json !== true) warn(io, warnings);
    const faults = told('problem');
    if (faults.length > 0) throw new ConfigError(faults);
    print(io, options.json === true ? asJson({ ok: true, warnings }) : 'ok');
  });

  withConfig(
    config.command('show').description('the settings in force, and where each comes from; no secrets'),
  )
    .option('--json', 'as JSON')
    .action(async (options: ConfigOption & { readonly json?: true }) => {
      const { settings, evaluation, file, warnings } = await configForFiles(io, options);
      if (options.json === true) return print(io, asJson({ file: file ?? null, evaluation, settings }));
      note(io, evaluation ? 'no file: the evaluation set-up' : (file ?? 'no file: the environment alone'));
      warn(io, warnings);
      print(io, table([['SETTING', 'VALUE', 'FROM'], ...settings.map(row)]));
    });

  config
    .command('list')
    .description('every setting that there is')
    .option('--markdown', 'as the table of docs/reference/configuration.md')
    .option('--json', 'as JSON')
    .action(({ markdown, json }: { readonly markdown?: true; readonly json?: true }) => {
      if (json === true) return print(io, asJson(listSettings()));
      if (markdown === true) return print(io, settingsTable());
      const rows = listSettings().map((one) => [one.path, one.type, one.default ?? 'none', one.description]);
      print(io, tableWithin([['SETTING', 'TYPE', 'DEFAULT', 'WHAT IT IS'], ...rows], terminalWidth(io)));
    });
}

function row({ setting, text, from, where }: SettingInForce): readonly string[] {
  return [setting, printable(text), where === null ? from : `${from} ${printable(where)}`];
}
