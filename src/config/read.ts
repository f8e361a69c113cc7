import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Node } from 'yaml';
import { isMap, isScalar, isSeq } from 'yaml';
import { fileFault } from '../accounts/private-file.js';
import { nearest, suggestion } from '../kernel/suggestion.js';
import { plainValue, YamlSource } from '../accounts/yaml-source.js';
import { childrenOf, isSetting, placesOf, LISTENER_GROUPS, listSettings, OTHER_VARIABLES } from './schema.js';
import type { Reading } from './setting.js';
import { environmentName } from './setting.js';
import { TRACES_PATH } from './values.js';

const PREFIX = 'STOPGAP_';
/** `STOPGAP_REDIS_FILE` names a file that holds the value of `STOPGAP_REDIS`: how secrets are handed to containers. */
const FROM_FILE = '_FILE';
/** No value is larger. A larger file is some other file. */
const LARGEST_VALUE = 64 * 1024;

/** A value as it was written, and where. */
export interface RawValue {
  readonly value: unknown;
  /** How a message about it begins: `file:line:column: key` or the variable's name. */
  readonly where: string;
  /** What a relative path in it is relative to. */
  readonly base: string;
  readonly from: 'file' | 'environment';
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The values of the file and the environment by key, not yet parsed. Keys of listeners have an index:
 * `smtp.submission[0].tls.mode`.
 */
export class RawSettings {
  readonly values = new Map<string, RawValue>();
  /** How many listeners a group has; absent if nothing was said about it. */
  readonly listeners = new Map<string, number>();
  readonly problems: string[] = [];
  /** Where a group or the whole file begins: messages about missing settings name that place. */
  readonly #places = new Map<string, string>();

  /** How messages about a setting begin: where it was written, else where it would be. */
  where(key: string): string {
    return this.values.get(key)?.where ?? `${this.place(key.replace(/\.[^.]+$/, ''), key)}: ${key}`;
  }

  /** @param setting the one within the group: without a file the variable that sets it is the place */
  place(path: string, setting = path): string {
    return this.#places.get(path) ?? this.#places.get('') ?? environmentName(setting.replace(/\[\d+\]/g, ''));
  }

  /**
   * @param text of the file
   * @param file how messages name it
   * @param base the file's folder
   * @throws ConfigError if the text is no YAML at all
   */
  readFile(text: string, file: string, base: string): void {
    const source = new YamlSource(text, file);
    const root = source.root;
    this.#places.set('', `${file}:1:1`);
    if (root === null || (isScalar(root) && root.value === null)) return;
    this.#readGroup(source, root, '', '', base);
  }

  #readGroup(source: YamlSource, node: Node | null, path: string, key: string, base: string): void {
    const known = childrenOf(path);
    if (node === null || (isScalar(node) && node.value === null)) return;
    if (!isMap(node)) {
      const prefix = key === '' ? source.where(node) : `${source.where(node)}: ${key}`;
      this.problems.push(`${prefix}: must be a mapping with ${known.join(', ')}`);
      return;
    }
    if (key !== '') this.#places.set(key, source.where(node));
    for (const entry of source.entries(node)) {
      const childPath = path === '' ? entry.key : `${path}.${entry.key}`;
      const childKey = key === '' ? entry.key : `${key}.${entry.key}`;
      if (!known.includes(entry.key)) {
        const where = `${source.where(entry.keyNode)}: ${childKey}`;
        this.problems.push(`${where}: unknown key; ${misplaced(entry.key) ?? suggestion(entry.key, known)}`);
      } else if (isSetting(childPath)) {
        this.#readSetting(source, entry.value, entry.keyNode, childKey, base);
      } else {
        if (LISTENER_GROUPS.has(childPath))
          this.#readListeners(source, entry.value, entry.keyNode, childPath, base);
        else this.#readGroup(source, entry.value, childPath, childKey, base);
      }
    }
  }

  #readSetting(source: YamlSource, node: Node | null, keyNode: Node, key: string, base: string): void {
    const value = plainValue(source, node);
    if (value === undefined) {
      this.problems.push(`${source.where(node)}: ${key}: must be a plain value, not a mapping`);
    } else if (value === null) {
      this.problems.push(`${source.where(keyNode)}: ${key}: is empty; give it a value or remove the key`);
    } else {
      this.values.set(key, { value, where: `${source.where(node)}: ${key}`, base, from: 'file' });
    }
  }

  #readListeners(source: YamlSource, node: Node | null, keyNode: Node, group: string, base: string): void {
    this.#places.set(group, source.where(keyNode));
    const value = plainValue(source, node);
    if (isOff(value)) {
      this.listeners.set(group, 0);
    } else if (isSeq(node)) {
      const items = source.items(node);
      this.listeners.set(group, items.length);
      items.forEach((item, index) => this.#readGroup(source, item, group, `${group}[${index}]`, base));
    } else if (value === null) {
      return;
    } else {
      this.listeners.set(group, 1);
      this.#readGroup(source, node, group, `${group}[0]`, base);
    }
  }

  /**
   * Lays the environment over what the file said. An empty variable counts as not set. A variable whose name ends in `_FILE`
   * names a file that holds the value. `…_LISTEN` of a listener group may be a comma-separated list; each address is a listener, with the other settings of the file's
   * listener at the same place, or of its first.
   *
   * @param base what relative paths are relative to: the working directory
   */
  readEnvironment(env: Environment, base: string): void {
    const known = new Map(listSettings().map((setting) => [setting.env, setting.path]));
    const given = new Map<string, RawValue>();
    for (const [name, value] of Object.entries(env)) {
      if (!name.startsWith(PREFIX) || name in OTHER_VARIABLES) continue;
      const direct = known.has(name) || !name.endsWith(FROM_FILE);
      const setting = direct ? name : name.slice(0, -FROM_FILE.length);
      const key = known.get(setting);
      if (key === undefined) {
        // Without the common prefix: it would make all names look alike.
        const names = [...known.keys(), ...Object.keys(OTHER_VARIABLES)].map((one) =>
          one.slice(PREFIX.length),
        );
        const near = nearest(setting.slice(PREFIX.length), names);
        // Those that are no settings come from no file.
        const fromFile = !direct && !(`${PREFIX}${near}` in OTHER_VARIABLES);
        const meant = `${PREFIX}${near}${fromFile ? FROM_FILE : ''}`;
        const remedy =
          setting === 'STOPGAP_TOKEN'
            ? 'give the file to each command with --token-file'
            : near === undefined
              ? 'see docs/reference/configuration.md'
              : `did you mean ${meant}?`;
        this.problems.push(`${name}: unknown variable; ${remedy}`);
      } else if (value !== undefined && value.trim() !== '') {
        if (direct) given.set(key, { value: value.trim(), where: name, base, from: 'environment' });
        else if ((env[setting] ?? '').trim() !== '')
          this.problems.push(`${name}: ${setting} is given too; keep one of the two`);
        else this.#readValueFile(given, key, name, path.resolve(base, value.trim()), base);
      }
    }
    for (const group of LISTENER_GROUPS.keys()) this.#overlayListeners(group, given);
    for (const [path, value] of given) this.values.set(path, value);
  }

  /** The value is taken as if it stood in the variable itself; no message repeats it. */
  #readValueFile(given: Map<string, RawValue>, key: string, where: string, file: string, base: string): void {
    let text: string;
    try {
      if (statSync(file).size > LARGEST_VALUE) {
        this.problems.push(`${where}: ${file} is larger than 64 KiB; name a file that holds the value alone`);
        return;
      }
      text = readFileSync(file, 'utf8').trim();
    } catch (thrown) {
      this.problems.push(`${where}: ${file} ${fileFault(thrown, 'name a file that holds the value')}`);
      return;
    }
    if (text === '') this.problems.push(`${where}: ${file} is empty; put the value into it`);
    else given.set(key, { value: text, where, base, from: 'environment' });
  }

  #overlayListeners(group: string, given: Map<string, RawValue>): void {
    const mine = [...given].filter(([path]) => path.startsWith(`${group}.`));
    if (mine.length === 0) return;
    for (const [path] of mine) given.delete(path);
    const listen = mine.find(([path]) => path === `${group}.listen`)?.[1];
    const before = this.listeners.get(group) ?? 0;
    if (listen !== undefined) {
      if (isOff(listen.value)) {
        this.listeners.set(group, 0);
        return;
      }
      this.#placeListeners(group, listen, before);
    } else if (!this.listeners.has(group)) {
      this.listeners.set(group, 1);
    }
    const count = this.listeners.get(group)!;
    for (const [path, value] of mine) {
      if (path === `${group}.listen`) continue;
      for (let index = 0; index < count; index += 1) {
        this.values.set(`${group}[${index}]${path.slice(group.length)}`, value);
      }
    }
  }

  #placeListeners(group: string, listen: RawValue, before: number): void {
    const addresses = String(listen.value)
      .split(',')
      .map((address) => address.trim());
    const first = [...this.values].filter(([key]) => key.startsWith(`${group}[0].`));
    for (const key of [...this.values.keys()]) {
      const index = Number(/\[(\d+)\]/.exec(key)?.[1]);
      if (key.startsWith(`${group}[`) && index >= addresses.length) this.values.delete(key);
    }
    addresses.forEach((value, index) => {
      if (index >= before) {
        for (const [key, raw] of first) this.values.set(key.replace('[0]', `[${index}]`), raw);
      }
      this.values.set(`${group}[${index}].listen`, { ...listen, value });
    });
    this.listeners.set(group, addresses.length);
    this.#places.set(group, listen.where);
  }
}

function isOff(value: unknown): boolean {
  return value === false || value === 'off';
}

/** Variables that the SDK's exporter and resource detector read themselves. */
const READ_BY_THE_SDK =
  /^OTEL_(RESOURCE_ATTRIBUTES|EXPORTER_OTLP_(TRACES_)?(HEADERS|COMPRESSION|CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE))$/;
/** Variables that are read below. */
const READ_HERE =
  /^OTEL_(SDK_DISABLED|SERVICE_NAME|PROPAGATORS|TRACES_EXPORTER|TRACES_SAMPLER(_ARG)?|EXPORTER_OTLP_(TRACES_)?(ENDPOINT|PROTOCOL))$/;
/** Variables about traces. The rest, such as OTEL_METRICS_EXPORTER, is for others. */
const ABOUT_TRACES =
  /^OTEL_(TRACES_|BSP_|SPAN_|ATTRIBUTE_|LINK_|EVENT_|EXPORTER_OTLP_(?!METRICS_|LOGS_)|PROPAGATORS|RESOURCE_|SERVICE_|SDK_)/;

/**
 * Puts the standard variables of OpenTelemetry below our own settings: they count if neither the file nor a variable of
 * ours sets a value. An impossible request is a problem, an ignored one a warning; both only if traces are sent at all.
 *
 * @returns warnings
 */
export function readOpenTelemetry(raw: RawSettings, env: Environment): readonly string[] {
  const given = (name: string): string | undefined => env[name]?.trim() || undefined;
  const first = (...names: readonly string[]): string | undefined => names.find((name) => given(name));
  const put = (key: string, name: string | undefined, value: unknown): void => {
    if (name !== undefined && !raw.values.has(key))
      raw.values.set(key, { value, where: name, base: '', from: 'environment' });
  };
  const refuse = (name: string | undefined, allowed: RegExp, remedy: string): void => {
    const value = name && given(name);
    if (value && !allowed.test(value.toLowerCase()))
      raw.problems.push(`${name}: "${value}" is not offered; ${remedy}`);
  };

  const own = first('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const shared = first('OTEL_EXPORTER_OTLP_ENDPOINT');
  put('tracing.endpoint', own, own && given(own));
  // This variable names the collector for all signals. Each signal has its own path below it.
  put('tracing.endpoint', shared, shared && given(shared)!.replace(/(?<!\/)\/+$/, '') + TRACES_PATH);
  const off =
    given('OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || given('OTEL_TRACES_EXPORTER') === 'none';
  if (off) raw.values.delete('tracing.endpoint');
  if (!raw.values.has('tracing.endpoint')) return [];

  refuse('OTEL_TRACES_EXPORTER', /^otlp$/, 'use otlp, or none to trace nothing');
  refuse(
    first('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'),
    /^http\/json$/,
    'use http/json, which collectors take on the port of http/protobuf',
  );
  refuse('OTEL_PROPAGATORS', /(^|,)\s*tracecontext\s*(,|$)/, 'use tracecontext');
  refuse(
    'OTEL_TRACES_SAMPLER',
    /^(parentbased_)?(always_on|always_off|traceidratio)$/,
    'use parentbased_traceidratio, always_on or always_off',
  );
  put('tracing.service', first('OTEL_SERVICE_NAME'), given('OTEL_SERVICE_NAME'));
  const sampler = first('OTEL_TRACES_SAMPLER');
  const kind = sampler && given(sampler)!.toLowerCase().replace('parentbased_', '');
  if (kind === 'always_on') put('tracing.sample', sampler, 1);
  if (kind === 'always_off') put('tracing.sample', sampler, 0);
  if (kind === 'traceidratio') {
    const share = given('OTEL_TRACES_SAMPLER_ARG');
    put('tracing.sample', share === undefined ? sampler : 'OTEL_TRACES_SAMPLER_ARG', share ?? 1);
  }
  return Object.keys(env)
    .filter((name) => ABOUT_TRACES.test(name) && !READ_BY_THE_SDK.test(name) && !READ_HERE.test(name))
    .filter((name) => given(name) !== undefined)
    .map((name) => `${name}: is not heeded; docs/inside/tracing.md says what is`);
}

/** The settings whose value, as it is written, holds a secret. */
export function confidentialIn(values: ReadonlyMap<string, RawValue>): readonly string[] {
  const known = new Map(listSettings().map(({ path, holdsSecret }) => [path, holdsSecret]));
  return [...values]
    .filter(([key, { value }]) => known.get(key.replace(/\[\d+\]/g, ''))!(value))
    .map(([key]) => key);
}

/** A setting in force, without secrets: fit for a log, a page or a bug report. */
export interface SettingInForce {
  /** Its place in the file, with the index of its listener: `smtp.submission[0].listen`. */
  readonly setting: string;
  /** As JSON has it: sizes in bytes, durations in milliseconds; null if it has none. */
  readonly value: unknown;
  /** As one writes it. If it has no value, what the documents say of its default. */
  readonly text: string;
  readonly from: 'default' | 'file' | 'environment';
  /** `stopgap.yaml:3:5`, or the variable. */
  readonly where: string | null;
}

export function inForce({ given, about, value }: Reading): SettingInForce {
  const { key, from } = given;
  const shown = value === undefined ? null : about.show(value as never);
  const where = from === 'default' ? null : given.where.replace(`: ${key}`, '');
  return { setting: key, value: shown, text: textOf(), from, where };

  function textOf(): string {
    if (shown === null) return about.default ?? 'none';
    if (about.asWritten) return String((given.value as string | number | undefined) ?? about.default);
    return Array.isArray(shown)
      ? shown.join(', ') || 'none'
      : typeof shown === 'string'
        ? shown
        : JSON.stringify(shown);
  }
}

/** The configuration in the shape of the file, without secrets. */
export function redactedConfig(loaded: {
  readonly file: string | undefined;
  readonly evaluation: boolean;
  readonly settings: readonly SettingInForce[];
}): Record<string, unknown> {
  const root: Record<string, unknown> = { file: loaded.file ?? null, evaluation: loaded.evaluation };
  // A group without a listener has no setting that would name it.
  const groups = [...LISTENER_GROUPS.keys()].map((setting) => ({ setting, value: [] }));
  for (const { setting, value } of [...groups, ...loaded.settings]) {
    const names = setting.split(/[.[\]]+/);
    let group = root;
    names.slice(0, -1).forEach((name, index) => {
      group = (group[name] ??= /^\d+$/.test(names[index + 1]!) ? [] : {}) as Record<string, unknown>;
    });
    group[names.at(-1)!] = value;
  }
  return root;
}

/** The table of docs/reference/configuration.md. */
export function settingsTable(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const rows = listSettings().map(({ path, env, type, description, ...one }) => [
    `\`${path}\``,
    `\`${env}\``,
    cell(type),
    cell(one.default ?? 'none'),
    cell(description),
  ]);
  const head = ['setting', 'environment variable', 'type', 'default', 'what it is'];
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[], fill = ' '): string =>
    `| ${row.map((text, column) => text.padEnd(widths[column]!, fill)).join(' | ')} |`;
  return [
    line(head),
    line(
      head.map(() => ''),
      '-',
    ),
    ...rows.map((row) => line(row)),
  ].join('\n');
}

/** Names that so many places have tell nothing of what was meant. */
const MOST_PLACES = 3;

/** What to say of a name that is right elsewhere, such as `users`, which is in `smtp.auth`. */
function misplaced(name: string): string | undefined {
  const places = placesOf(name);
  const isKnown = places.length > 0 && places.length <= MOST_PLACES;
  return isKnown ? `did you mean ${places.join(' or ')}?` : undefined;
}
