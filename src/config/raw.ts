import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Node } from 'yaml';
import { isMap, isScalar, isSeq } from 'yaml';
import { nearest, suggestion } from '../accounts/problems.js';
import { plainValue, YamlSource } from '../accounts/yaml-source.js';
import { fileFault } from '../accounts/private-file.js';
import type { ListenerGroup } from './settings.js';
import {
  childrenOf,
  environmentName,
  isSetting,
  LISTENER_GROUPS,
  listSettings,
  OTHER_VARIABLES,
} from './settings.js';

const PREFIX = 'STOPGAP_';
/** `STOPGAP_REDIS_FILE` names a file that holds the value of `STOPGAP_REDIS`: how secrets are handed to containers. */
const FROM_FILE = '_FILE';
/** No value is as large; what is, is some other file. */
const LARGEST_VALUE = 64 * 1024;

/** A value as it was written, and where. */
export interface RawValue {
  readonly value: unknown;
  /** How a message about it begins: `file:line:column: key` or the variable's name. */
  readonly where: string;
  /** What a relative path in it is relative to. */
  readonly base: string;
}

/**
 * What was written in the file and the environment, by path, not yet understood. Listeners carry their index:
 * `smtp.submission[0].tls.mode`.
 */
export class RawSettings {
  readonly values = new Map<string, RawValue>();
  /** How many listeners a group has; absent where nothing was said about it. */
  readonly listeners = new Map<ListenerGroup, number>();
  readonly problems: string[] = [];
  /** Where a group or the whole file stands, for what is missing in it. */
  readonly #places = new Map<string, string>();

  /** @param setting the one within the group: without a file the variable that sets it is the place */
  place(path: string, setting = path): string {
    return this.#places.get(path) ?? this.#places.get('') ?? environmentName(setting.replace(/\[\d+\]/g, ''));
  }

  /**
   * @param text of the file
   * @param file how messages name it
   * @param base the file's folder
   * @throws ConfigError where the text is no YAML at all
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
        this.problems.push(`${where}: unknown key; ${suggestion(entry.key, known)}`);
      } else if (isSetting(childPath)) {
        this.#readSetting(source, entry.value, entry.keyNode, childKey, base);
      } else {
        const group = LISTENER_GROUPS.find((name) => name === childPath);
        if (group === undefined) this.#readGroup(source, entry.value, childPath, childKey, base);
        else this.#readListeners(source, entry.value, entry.keyNode, group, base);
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
      this.values.set(key, { value, where: `${source.where(node)}: ${key}`, base });
    }
  }

  #readListeners(
    source: YamlSource,
    node: Node | null,
    keyNode: Node,
    group: ListenerGroup,
    base: string,
  ): void {
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
   * Lays the environment over what the file said. An empty variable counts as not set. A variable with `_FILE` behind
   * its name names a file that holds the value. `…_LISTEN` of a listener group may be a comma-separated list; each address is a listener, with the other settings of the file's
   * listener at the same place, or of its first.
   *
   * @param base what relative paths are relative to: the working directory
   */
  readEnvironment(env: Readonly<Record<string, string | undefined>>, base: string): void {
    const known = new Map(listSettings().map((setting) => [setting.env, setting.path]));
    const given = new Map<string, RawValue>();
    for (const [name, value] of Object.entries(env)) {
      if (!name.startsWith(PREFIX) || name in OTHER_VARIABLES) continue;
      const direct = known.has(name) || !name.endsWith(FROM_FILE);
      const setting = direct ? name : name.slice(0, -FROM_FILE.length);
      const key = known.get(setting);
      if (key === undefined) {
        // The prefix that all share would make everything look alike.
        const names = [...known.keys(), ...Object.keys(OTHER_VARIABLES)].map((one) =>
          one.slice(PREFIX.length),
        );
        const near = nearest(setting.slice(PREFIX.length), names);
        const meant = `${PREFIX}${near}${direct ? '' : FROM_FILE}`;
        const remedy = near === undefined ? 'see docs/reference/configuration.md' : `did you mean ${meant}?`;
        this.problems.push(`${name}: unknown variable; ${remedy}`);
      } else if (value !== undefined && value.trim() !== '') {
        if (direct) given.set(key, { value: value.trim(), where: name, base });
        else if ((env[setting] ?? '').trim() !== '')
          this.problems.push(`${name}: ${setting} is given too; keep one of the two`);
        else this.#readValueFile(given, key, name, path.resolve(base, value.trim()), base);
      }
    }
    for (const group of LISTENER_GROUPS) this.#overlayListeners(group, given);
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
    else given.set(key, { value: text, where, base });
  }

  #overlayListeners(group: ListenerGroup, given: Map<string, RawValue>): void {
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
    } else if (before === 0) {
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

  #placeListeners(group: ListenerGroup, listen: RawValue, before: number): void {
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
