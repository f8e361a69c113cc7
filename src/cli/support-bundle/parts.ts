import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LogLinesJson } from '../../api/operations.js';
import type { RulesJson } from '../../api/rule-set.js';
import type { Config, LoadedConfig } from '../../config.js';
import { redactedConfig } from '../../config.js';
import { isThere } from '../../accounts/private-file.js';
import { StopgapError } from '../../kernel/errors.js';
import type { Pseudonyms } from '../../log/pseudonyms.js';
import { parseRules } from '../../rules/parse.js';
import { countEvents, inspectStore } from '../../store/sqlite/inspect.js';
import type { ApiClient } from '../client.js';
import { serverUrl } from '../client.js';
import type { Finding } from '../doctor/findings.js';
import { PATIENCE } from '../doctor/world.js';
import type { CliIo } from '../io.js';
import { ownPackage } from '../version.js';

/** What the parts are made from. */
export interface Source {
  readonly io: CliIo;
  readonly url: string | undefined;
  readonly loaded: LoadedConfig;
  /** Puts hashes in the place of names; undefined where names may stay. */
  readonly names: Pseudonyms | undefined;
  /** @throws StopgapError where there is no server or no token */
  readonly client: () => Promise<ApiClient>;
  readonly findings: () => Promise<readonly Finding[]>;
}

/** One file of the bundle. */
export interface Part {
  readonly file: string;
  /** What is in it, in a line. */
  readonly about: string;
  /** @throws where it cannot be had: the reason is told */
  make(source: Source): string | Promise<string>;
}

export const PARTS: readonly Part[] = [
  {
    file: 'versions.json',
    about: 'Stopgap, Node.js, operating system, libraries',
    make: () => json(versions()),
  },
  {
    file: 'configuration.json',
    about: 'the configuration without passwords, and which variables are set',
    make: ({ loaded, names, io }) => json(configuration(loaded, names, io)),
  },
  {
    file: 'doctor.json',
    about: 'what stopgap doctor finds',
    make: async ({ findings, names }) => json(hashed(await findings(), names)),
  },
  { file: 'metrics.txt', about: 'the metrics of the running server', make: metrics },
  { file: 'log.ndjson', about: 'the last lines of the log, oldest first', make: log },
  {
    file: 'store.json',
    about: 'how large the store is, and how many events of which type are in it',
    make: ({ loaded }) => json(storeStatistics(loaded.config)),
  },
  {
    file: 'rules.json',
    about: 'the rules in force, with their exemptions',
    make: async (source) => json(rulesShown(await rules(source), source.names)),
  },
];

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function hashed<T>(value: T, names: Pseudonyms | undefined): unknown {
  return names === undefined ? value : names.record({ value })['value'];
}

function versions(): unknown {
  const { version, dependencies } = ownPackage();
  const libraries = Object.keys(dependencies).map((name) => [name, installedVersion(name)] as const);
  return {
    stopgap: version,
    node: { ...process.versions },
    system: { platform: process.platform, arch: process.arch, release: os.release(), version: os.version() },
    machine: { processors: os.cpus().length, memoryBytes: os.totalmem() },
    libraries: Object.fromEntries(libraries),
  };
}

/** As it is installed, wherever above us that is. */
function installedVersion(name: string): string {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  for (; path.dirname(folder) !== folder; folder = path.dirname(folder)) {
    const file = path.join(folder, 'node_modules', name, 'package.json');
    if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  }
  return 'not installed';
}

/** Its own hosts, ports and paths stay: without them it would say nothing. */
function configuration(loaded: LoadedConfig, names: Pseudonyms | undefined, io: CliIo): unknown {
  const { inbound, softFail } = loaded.config.smtp;
  const shown = redactedConfig(loaded) as { smtp: { inbound: object[] } } & Record<string, unknown>;
  const smtp = {
    ...shown.smtp,
    inbound: shown.smtp.inbound.map((listener, index) => ({
      ...listener,
      domains: inbound[index]!.domains.map((name) => names?.of(name) ?? name),
    })),
    softFail: names === undefined ? softFail : names.record({ ...softFail }),
  };
  const variables = Object.keys(io.env).filter((name) => name.startsWith('STOPGAP_'));
  return { ...shown, smtp, variables: variables.sort() };
}

/** They name nobody, and need no token. */
async function metrics({ io, url, loaded, client }: Source): Promise<string> {
  const target = new URL('metrics', serverUrl(io, url === undefined ? {} : { url }, loaded.config));
  const signal = AbortSignal.timeout(PATIENCE);
  // Metrics ask for a token where others can reach them.
  const token = await client().then(
    (one) => one.token,
    () => undefined,
  );
  const headers = new Headers(token === undefined ? [] : [['authorization', `Bearer ${token}`]]);
  const answer = await fetch(target, { headers, redirect: 'error', signal }).catch(() => undefined);
  if (answer?.status === 401)
    throw new StopgapError('unauthorized', `the metrics of ${target.origin} ask for a token`);
  if (answer?.ok !== true) throw new StopgapError('unavailable', `no Stopgap answers at ${target.origin}`);
  return answer.text();
}

/** From the running server; where there is none, from the file that it wrote. */
async function log(source: Source): Promise<string> {
  const { file } = source.loaded.config.log;
  let lines: Record<string, unknown>[];
  try {
    ({ items: lines } = await (await source.client()).get<LogLinesJson>('log', { limit: '2000' }));
  } catch (error) {
    if (file === undefined || !(error instanceof StopgapError)) throw error;
    lines = fromFile(file);
  }
  return lines.map((line) => `${JSON.stringify(source.names?.record(line) ?? line)}\n`).join('');
}

const LATEST = 5000;

function fromFile(file: string): Record<string, unknown>[] {
  const texts = [`${file}.1`, file].map((one) => (isThere(one) ? readFileSync(one, 'utf8') : ''));
  const lines = texts.join('').split('\n').slice(-LATEST);
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as Record<string, unknown>];
    } catch {
      return []; // the last one, cut off by the end of a process, or an empty one
    }
  });
}

function storeStatistics({ store, data, outbox }: Config): unknown {
  const snapshots = path.join(data, 'snapshots');
  const common = {
    snapshots: isThere(snapshots)
      ? readdirSync(snapshots).map((name) => ({ name, size: statSync(path.join(snapshots, name)).size }))
      : [],
    ...(store.kind === 'sqlite' ? {} : { outbox: inspectStore(outbox.file) }),
  };
  if (store.kind === 'kurrentdb') return { kind: 'kurrentdb', ...common };
  const { file } = store;
  return { kind: 'sqlite', file, ...inspectStore(file), counts: counts(file), ...common };
}

function counts(file: string): unknown {
  try {
    return countEvents(file);
  } catch (error) {
    return `not counted: ${(error as Error).message}`;
  }
}

/** What of a rule names nobody. */
const RULE_FIELDS = [
  ...['id', 'description', 'per', 'count', 'window', 'limit', 'then', 'for', 'escalate', 'lapse'],
  ...['direction', 'refuse', 'renewWhileTrying', 'activeBlocks', 'leaveOut', 'baseline', 'when'],
  ...['score', 'turned', 'teaches'],
];
const SET_FIELDS = ['from', 'version', 'origin', 'mode', 'maxAutomaticBlocks', 'learning', 'exempt'];

type Shown = Readonly<Record<string, unknown>>;

/** Where names are hashed, only what is known to name nobody, and exemptions with their names hashed. */
function rulesShown(
  set: Shown & { readonly rules: readonly object[] },
  names: Pseudonyms | undefined,
): Shown {
  if (names === undefined) return set;
  const only = (one: object, fields: readonly string[]): Shown =>
    Object.fromEntries(Object.entries(one).filter(([key]) => fields.includes(key)));
  return names.record({
    ...only(set, SET_FIELDS),
    rules: set.rules.map((rule) => only(rule, RULE_FIELDS)),
  });
}

/** Parsed: comments in the source may say anything. */
async function rules({ client, loaded }: Source): Promise<Shown & { readonly rules: readonly object[] }> {
  const { rules: file } = loaded.config;
  try {
    const { source: _, ...parsed } = await (await client()).get<RulesJson>('rules');
    return { from: 'server', ...parsed };
  } catch (error) {
    if (file === undefined || !(error instanceof StopgapError)) throw error;
    return { from: file, ...parseRules(readFileSync(file, 'utf8'), file) };
  }
}
