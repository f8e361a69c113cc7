import os from 'node:os';
import path from 'node:path';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { createTar } from 'nanotar';
import { fileFault, isThere } from '../../accounts/private-file.js';
import type { Config, LoadedConfig } from '../../config.js';
import { loadConfig, redactedConfig } from '../../config.js';
import { relaysOf } from '../../config/schema.js';
import { StopgapError, messageOf } from '../../kernel/errors.js';
import { formatInstant } from '../../kernel/time.js';
import { Pseudonyms, openLogKey } from '../../log/pseudonyms.js';
import { parseRedis } from '../../redis/address.js';
import { parseRules } from '../../rules/parse.js';
import { ownPackage } from '../../runtime/version.js';
import { countEvents, inspectStore } from '../../store/sqlite/inspect.js';
import type { ApiClient, ClientOption } from '../client.js';
import { connect, serverUrl } from '../client.js';
import { examine } from '../doctor/examine.js';
import type { Finding } from '../doctor/findings.js';
import { PATIENCE } from '../doctor/findings.js';
import type { CliIo } from '../io.js';
import { writeNewFile } from '../output-file.js';

export interface BundleOptions extends ClientOption {
  readonly addresses: 'hashed' | 'plain';
}

/** What became of one part: its text, or why there is none. */
export interface Gathered {
  readonly part: Part;
  readonly text: string | undefined;
  readonly missing: string | undefined;
}

/** Gathers every part that can be had. @throws ConfigError: without a configuration there is nothing to gather from */
export async function gather(io: CliIo, options: BundleOptions): Promise<readonly Gathered[]> {
  const { config: file, url, addresses } = options;
  const loaded = loadConfig({ file, env: io.env, cwd: io.cwd, checkFiles: false });
  const { config } = loaded;
  const names = addresses === 'hashed' ? new Pseudonyms(await openLogKey(config.log.key)) : undefined;
  let client: Promise<ApiClient> | undefined;
  const source: Source = {
    io,
    url,
    loaded,
    names,
    client: () => (client ??= connect(io, options)),
    findings: () => examine(io, { ...(file && { config: file }), ...(url && { url }) }),
  };
  const gathered: Gathered[] = [];
  for (const part of PARTS) gathered.push(await made(part, source));
  const token = await client?.then(
    (one) => one.token,
    () => undefined, // it was told where it was needed
  );
  const secrets = secretsOf(config, token);
  return gathered.map((one) => ({ ...one, text: one.text && withoutSecrets(one.text, secrets) }));
}

async function made(part: Part, source: Source): Promise<Gathered> {
  try {
    return { part, text: await part.make(source), missing: undefined };
  } catch (error) {
    return { part, text: undefined, missing: messageOf(error) };
  }
}

/** Writes the archive, for its owner alone. @throws StopgapError if the file exists already, or cannot be written */
export async function writeBundle(
  file: string,
  gathered: readonly Gathered[],
  options: BundleOptions,
  now: number,
): Promise<void> {
  const folder = `stopgap-support-${stamp(now)}`;
  const attrs = { mode: '600', mtime: now, uid: 0, gid: 0 };
  const texts = gathered.flatMap(({ part, text }) =>
    text === undefined ? [] : [[part.file, text] as const],
  );
  const files = [['README.txt', readme(gathered, options, now)] as const, ...texts];
  const tar = createTar(
    files.map(([name, data]) => ({ name: `${folder}/${name}`, data })),
    { attrs },
  );
  try {
    await writeNewFile(file, gzipSync(tar), 0o600);
  } catch (error) {
    throw new StopgapError(
      'conflict',
      `${file} ${fileFault(error, 'name another file with --out', 'written')}`,
    );
  }
}

export function defaultName(now: number): string {
  return `stopgap-support-${stamp(now)}.tar.gz`;
}

function stamp(now: number): string {
  return formatInstant(now).replace(/[-:]|\.\d+/g, '');
}

function readme(gathered: readonly Gathered[], { addresses }: BundleOptions, now: number): string {
  const hidden =
    addresses === 'hashed'
      ? 'Accounts, addresses, domains, EHLO names and IP addresses are hashed (h:…); who has the data directory can find\n' +
        'out which name a hash stands for: stopgap log hash NAME'
      : 'Accounts, addresses, domains, EHLO names and IP addresses stand in it as they are.';
  const line = ({ part, missing }: Gathered): string =>
    `  ${part.file.padEnd(20)}${missing === undefined ? part.about : `not here: ${missing.split('\n')[0]}`}`;
  return [
    `Made by stopgap support-bundle at ${formatInstant(now)}.`,
    '',
    ...gathered.map(line),
    '',
    hidden,
    'Passwords, tokens and keys are left out. Look through it before you send it.',
    '',
  ].join('\n');
}

/** What is shorter is no secret, and would strike out half of every text. */
const SHORTEST = 4;

/**
 * Every secret that this process knows of. None of them gets as far as a bundle: what goes in is made without them.
 * They are looked for all the same, so that a mistake somewhere else does no harm.
 */
export function secretsOf(config: Config, token: string | undefined): readonly string[] {
  const { redis, store, data } = config;
  const secrets = [
    token,
    ...relaysOf(config).flatMap(({ relay }) => ofUrl(relay.url)),
    ...(store.kind === 'kurrentdb' ? ofUrl(store.url) : []),
    ...(redis === undefined ? [] : ofRedis(redis.url)),
    ...(config.tracing === undefined ? [] : Object.values(config.tracing.headers ?? {})),
    ...ofDemo(path.join(data, 'demo-credentials.txt')),
  ];
  const known = secrets.filter((one): one is string => one !== undefined && one.length >= SHORTEST);
  // As they are written in a URL too, and the longest first: one may be a part of another.
  const all = new Set(known.flatMap((secret) => [secret, encodeURIComponent(secret)]));
  return [...all].sort((a, b) => b.length - a.length);
}

/** The text without any of them. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
}

function ofUrl(text: string): readonly string[] {
  const login = /^[a-z+.-]+:\/\/([^/?#]*)@/i.exec(text)?.[1];
  if (login === undefined) return [];
  const colon = login.indexOf(':');
  const password = colon < 0 ? login : login.slice(colon + 1);
  return [password, decoded(password)];
}

function ofRedis(url: string): readonly (string | undefined)[] {
  const { password, sentinelPassword } = parseRedis(url).secrets();
  return [password, sentinelPassword];
}

function ofDemo(file: string): readonly string[] {
  try {
    const lines = readFileSync(file, 'utf8').matchAll(/^(?:password|token): (\S+)$/gm);
    return [...lines].map(([, secret]) => secret!);
  } catch {
    return []; // outside an evaluation there is none
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // it has no valid escapes, so it is the password itself
  }
}

/** What the parts are made from. */
export interface Source {
  readonly io: CliIo;
  readonly url: string | undefined;
  readonly loaded: LoadedConfig;
  /** Puts hashes in the place of names; undefined if names may stay. */
  readonly names: Pseudonyms | undefined;
  /** @throws StopgapError if there is no server or no token */
  readonly client: () => Promise<ApiClient>;
  readonly findings: () => Promise<readonly Finding[]>;
}

/** One file of the bundle. */
export interface Part {
  readonly file: string;
  /** What is in it, in a line. */
  readonly about: string;
  /** @throws if it cannot be had: the reason is told */
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

/** The installed version, from any folder above this one. */
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
  const shown = redactedConfig(loaded) as {
    smtp: { inbound: object[] };
    notices: { channels: object[] };
  } & Record<string, unknown>;
  const nameOf = (name: string): string => names?.of(name) ?? name;
  const smtp = {
    ...shown.smtp,
    inbound: shown.smtp.inbound.map((listener, index) => ({
      ...listener,
      domains: inbound[index]!.domains.map(nameOf),
    })),
    softFail: names === undefined ? softFail : names.record({ ...softFail }),
  };
  const channels = shown.notices.channels.map((channel, index) => {
    const { to, from, owners, domains } = loaded.config.notices.channels[index]!;
    return {
      ...channel,
      to: to?.map(nameOf) ?? null,
      from: from === undefined ? null : nameOf(from),
      owners:
        owners === undefined
          ? null
          : Object.fromEntries(Object.entries(owners).map(([whose, told]) => [nameOf(whose), nameOf(told)])),
      domains: domains?.map(nameOf) ?? null,
    };
  });
  const variables = Object.keys(io.env).filter((name) => name.startsWith('STOPGAP_'));
  return { ...shown, smtp, notices: { ...shown.notices, channels }, variables: variables.sort() };
}

/** They name nobody, and need no token. */
async function metrics({ io, url, loaded, client }: Source): Promise<string> {
  const target = new URL('metrics', serverUrl(io, url === undefined ? {} : { url }, loaded.config));
  const signal = AbortSignal.timeout(PATIENCE);
  // Metrics need a token if others can reach them.
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

/** From the running server; if there is none, from the file that it wrote. */
async function log(source: Source): Promise<string> {
  const { file } = source.loaded.config.log;
  let lines: Record<string, unknown>[];
  try {
    ({ items: lines } = await (
      await source.client()
    ).get('/api/v1/log', {
      params: { query: { limit: '2000' } },
    }));
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
  'id',
  'description',
  'per',
  'count',
  'window',
  'limit',
  'then',
  'for',
  'escalate',
  'lapse',
  'direction',
  'refuse',
  'renewWhileTrying',
  'activeBlocks',
  'leaveOut',
  'baseline',
  'when',
  'score',
  'turned',
  'teaches',
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
    const { source: _, ...parsed } = await (await client()).get('/api/v1/rules');
    return { from: 'server', ...parsed };
  } catch (error) {
    if (file === undefined || !(error instanceof StopgapError)) throw error;
    return { from: file, ...parseRules(readFileSync(file, 'utf8'), file) };
  }
}
