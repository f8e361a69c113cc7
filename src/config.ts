import os from 'node:os';
import path from 'node:path';
import { readFileSync, statSync } from 'node:fs';
import { fileFault } from './accounts/private-file.js';
import { ConfigError } from './accounts/problems.js';
import { findClearLogins, findContradictions, findUnreadable } from './config/contradictions.js';
import type { SettingInForce } from './config/read.js';
import { inForce, RawSettings, readOpenTelemetry, confidentialIn } from './config/read.js';
import type { Config } from './config/schema.js';
import { LISTENER_GROUPS, SCHEMA } from './config/schema.js';
import type { Reading, Surroundings } from './config/setting.js';
import { inputOf } from './config/setting.js';
import { WrongValue, asHostName } from './config/values.js';

export { ConfigError } from './accounts/problems.js';
export type {
  Config,
  LogLevel,
  LogSettings,
  TlsMode,
  TlsSettings,
  TracingSettings,
} from './config/schema.js';
export { environmentName } from './config/setting.js';
export { listSettings, OTHER_VARIABLES } from './config/schema.js';
export type { SettingInForce } from './config/read.js';
export { redactedConfig, settingsTable } from './config/read.js';

/** The file that is read if none is named. */
export const DEFAULT_FILE = 'stopgap.yaml';
/** No configuration is larger. A larger file is some other file. */
const LARGEST_FILE = 1024 * 1024;

export interface LoadedConfig {
  readonly config: Config;
  /** True with no configuration file and no relay of one's own: loopback, demo account, mail into a Maildir. */
  readonly evaluation: boolean;
  /** Absolute path of the file that was read. */
  readonly file: string | undefined;
  /** What works but is probably not meant; one line each. */
  readonly warnings: readonly string[];
  /** Each setting and where it came from, without secrets. */
  readonly settings: readonly SettingInForce[];
  /** The settings whose secret is in the file itself, whether it is in force or not. */
  readonly confidential: readonly string[];
}

export interface LoadOptions {
  /** The file that `--config` names. It takes precedence over STOPGAP_CONFIG. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /**
   * False for the commands that make the users and tokens files: then nothing that is named has to be there.
   * True by default.
   */
  readonly checkFiles?: boolean;
}

/**
 * Reads `stopgap.yaml` (or the file that is named) and lays the environment over it. Without a file, and without
 * a relay named in the environment, it is an evaluation: loopback, self-signed, mail into a Maildir.
 *
 * @throws ConfigError with every problem that was found
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const { env, cwd, checkFiles = true } = options;
  const raw = new RawSettings();
  const file = findFile(options);
  if (file !== undefined) raw.readFile(readText(file), display(file, cwd), path.dirname(file));
  const confidential = confidentialIn(raw.values);
  raw.readEnvironment(env, cwd);
  const unheeded = readOpenTelemetry(raw, env);
  // A configured relay, back end or store is meant for real mail, so there must be no demo account.
  const serious = ['smtp.relay.url', 'smtp.auth.backend', 'store', 'roles'].some((key) =>
    raw.values.has(key),
  );
  const evaluation = file === undefined && !serious;
  const { config, read } = understood(raw, {
    base: file === undefined ? cwd : path.dirname(file),
    hostname: evaluation ? 'localhost' : ownHostName(),
    evaluation,
    checkFiles,
    display: (named) => display(named, cwd),
    listeners: (group) => raw.listeners.get(group) ?? LISTENER_GROUPS.get(group)!,
    read: new Map(),
  });
  // Comparing a wrong value with the rest would give nonsense.
  const warnings = config === undefined ? [] : findContradictions(raw, config);
  findClearLogins(raw, read.values());
  if (checkFiles) findUnreadable(raw, read.values());
  if (config === undefined || raw.problems.length > 0) throw new ConfigError(raw.problems);
  const settings = [...read.values()].map(inForce);
  return { config, evaluation, file, warnings: [...warnings, ...unheeded], settings, confidential };
}

/** Parses each setting by the schema. Adds to `raw.problems`; `config` is undefined if a value is wrong. */
function understood(
  raw: RawSettings,
  around: Surroundings,
): { readonly config: Config | undefined; readonly read: ReadonlyMap<string, Reading> } {
  const given = inputOf(
    SCHEMA,
    (key) => {
      const written = raw.values.get(key) ?? { from: 'default' as const, base: around.base };
      return { ...written, key, where: raw.where(key), around };
    },
    around.listeners,
  );
  const { data, error } = SCHEMA.safeParse(given);
  raw.problems.push(...(error?.issues ?? []).map(({ message }) => message));
  return { config: data, read: around.read };
}

function findFile({ file, env, cwd }: LoadOptions): string | undefined {
  const named = file ?? env['STOPGAP_CONFIG'];
  if (named !== undefined && (named !== '' || file !== undefined)) return path.resolve(cwd, named);
  const usual = path.join(cwd, DEFAULT_FILE);
  return statSync(usual, { throwIfNoEntry: false }) === undefined ? undefined : usual;
}

function readText(file: string): string {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw new ConfigError([`${file}: is no file; name a YAML file`]);
    if (stat.size > LARGEST_FILE) {
      throw new ConfigError([`${file}: is larger than 1 MiB, so it is no configuration; name a YAML file`]);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (thrown) {
    if (thrown instanceof ConfigError) throw thrown;
    if (thrown instanceof TypeError) throw new ConfigError([`${file}: is not UTF-8 text; save it as UTF-8`]);
    throw new ConfigError([`${file}: ${fileFault(thrown, 'name a YAML file')}`]);
  }
}

/** A file as messages name it: relative if it is below the working directory. */
function display(file: string, cwd: string): string {
  const relative = path.relative(cwd, file);
  return relative === '' || relative.startsWith('..') || path.isAbsolute(relative) ? file : relative;
}

function ownHostName(): string {
  try {
    return asHostName(os.hostname(), '');
  } catch (thrown) {
    if (thrown instanceof WrongValue) return 'localhost';
    throw thrown;
  }
}
