import path from 'node:path';
import { z } from 'zod';
import { ConfigError } from '../accounts/problems.js';
import { WrongValue, asChoice } from './values.js';

/** A kind of value: how the documents call it, how it is read, and how it is shown. */
export interface Kind<T> {
  readonly type: string;
  readonly parse: (raw: unknown, base: string, around: Surroundings) => T;
  /** As JSON has it, without secrets. By default the value itself. */
  readonly show?: (value: T) => unknown;
  /** Whether it is best shown as it was written: `35d`. */
  readonly asWritten?: true;
  /** Whether what is written holds a secret. By default it does not. */
  readonly holdsSecret?: (written: unknown) => boolean;
}

/** What else defaults and parsers need. */
export interface Surroundings {
  /** What `./data` is relative to. */
  readonly base: string;
  /** The machine's own name. */
  readonly hostname: string;
  readonly evaluation: boolean;
  /** Whether files that are named must be there: the command line makes some of them. */
  readonly checkFiles: boolean;
  /** How messages name a file. */
  readonly display: (file: string) => string;
  /** How many listeners a group has. */
  readonly listeners: (group: string) => number;
  /** The settings that were read so far, in the order of the schema, by key. */
  readonly read: Map<string, Reading>;
}

/** What was written of a setting, and where it is (or would be) written. */
export interface Given {
  /** With the index of its listener: `smtp.submission[0].tls.mode`. */
  readonly key: string;
  readonly value?: unknown;
  /** How a message about it begins: `file:line:column: key` or the variable's name. */
  readonly where: string;
  /** What a relative path in it is relative to. */
  readonly base: string;
  readonly from: 'default' | 'file' | 'environment';
  readonly around: Surroundings;
}

/** A setting that was read. */
export interface Reading {
  readonly given: Given;
  readonly about: About;
  readonly value: unknown;
}

/** What the documents, messages and the reader know of a setting. */
export interface About {
  readonly type: string;
  readonly default: string | undefined;
  readonly description: string;
  /** What to do if the file that it names cannot be read; undefined: it need not be there. */
  readonly file: string | undefined;
  readonly show: (value: never) => unknown;
  readonly asWritten: boolean;
  readonly holdsSecret: (written: unknown) => boolean;
}

const SETTINGS = z.registry<About>();
const LISTENERS = z.registry<{ readonly least: number }>();

/** A default that is computed, and what the documents say of it. */
export interface Computed<T> {
  readonly said: string | undefined;
  readonly value: (around: Surroundings, key: string) => T;
}

export function computed<T>(said: string | undefined, value: Computed<T>['value']): Computed<T> {
  return { said, value };
}

/** A kind without a form of its own. */
export const kind = <T>(type: string, parse: Kind<T>['parse']): Kind<T> => ({ type, parse });
export const choice = <const T extends string>(...choices: readonly T[]): Kind<T> =>
  kind(choices.join(' | '), asChoice(choices));

export function missing(example: string): never {
  throw new WrongValue(`is missing; for instance ${example}`);
}

export const none = computed(undefined, () => undefined);

export const inData = (name: string): Computed<string> =>
  computed(`${name} in data`, (around) => path.join(valueOf(around, 'data'), name));

/** The value of a setting that comes earlier in the schema. */
export function valueOf<T = string>({ read }: Surroundings, key: string): T {
  return read.get(key)!.value as T;
}

/** One setting. Its default is written like a value, or computed. */
export function setting<T, F = never>(
  kind: Kind<T>,
  fallback: string | Computed<F>,
  description: string,
  file?: string,
): z.ZodTransform<T | F, Given> {
  const { said, value: ofDefault } =
    typeof fallback === 'string'
      ? computed(fallback, (around) => kind.parse(fallback, around.base, around))
      : fallback;
  const about: About = {
    type: kind.type,
    default: said,
    description,
    file,
    asWritten: kind.asWritten === true,
    show: kind.show ?? ((value) => value),
    holdsSecret: kind.holdsSecret ?? (() => false),
  };
  const leaf = z.transform((given: Given, context): T | F => {
    const { key, around, where } = given;
    let value: T | F | undefined;
    try {
      value = given.from === 'default' ? ofDefault(around, key) : kind.parse(given.value, given.base, around);
    } catch (thrown) {
      if (!(thrown instanceof WrongValue || thrown instanceof ConfigError)) throw thrown;
      const problems = thrown instanceof ConfigError ? thrown.problems : [`${where}: ${thrown.message}`];
      for (const message of problems) context.addIssue({ code: 'custom', message });
      value = replacement(() => ofDefault(around, key));
    }
    around.read.set(key, { given, about, value });
    return value as T | F;
  });
  return leaf.register(SETTINGS, about);
}

/** The default in place of a wrong value, so that the other settings can be checked too. */
function replacement<T>(ofDefault: () => T): T | undefined {
  try {
    return ofDefault();
  } catch (thrown) {
    if (thrown instanceof WrongValue) return undefined;
    throw thrown;
  }
}

/** One listener or a list of them. @param least how many there are if the configuration names none */
export function listeners<T extends z.ZodType>(least: number, one: T): z.ZodArray<T> {
  return z.array(one).register(LISTENERS, { least });
}

/** One setting, as docs/reference/configuration.md lists it (a test compares the two). */
export interface Setting extends About {
  /** Its place in stopgap.yaml: `smtp.relay.url`. Those under `smtp.submission` and `smtp.inbound` may be in a list. */
  readonly path: string;
  /** `STOPGAP_SMTP_RELAY_URL`. */
  readonly env: string;
}

/** `smtp.maxMessageSize` -> `STOPGAP_SMTP_MAX_MESSAGE_SIZE`. */
export function environmentName(key: string): string {
  const words = key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('.', '_');
  return `STOPGAP_${words.toUpperCase()}`;
}

/** What the schema takes: a value for each setting, and as many listeners as there are. */
export function inputOf(
  node: z.core.$ZodType,
  give: (key: string) => Given,
  count: (group: string) => number,
  key = '',
): unknown {
  if (SETTINGS.has(node)) return give(key);
  if (LISTENERS.has(node)) {
    const { element } = node as z.ZodArray;
    return Array.from({ length: count(key) }, (_, index) =>
      inputOf(element, give, count, `${key}[${index}]`),
    );
  }
  return Object.fromEntries(
    childNodes(node, key).map(([name, child, childKey]) => [name, inputOf(child, give, count, childKey)]),
  );
}

/** Every setting below a node, in the order of the file. */
export function settingsOf(node: z.core.$ZodType, key: string): readonly Setting[] {
  const about = SETTINGS.get(node);
  if (about !== undefined) return [{ ...about, path: key, env: environmentName(key) }];
  if (LISTENERS.has(node)) return settingsOf((node as z.ZodArray).element, key);
  return childNodes(node, key).flatMap(([, child, childKey]) => settingsOf(child, childKey));
}

/** The groups of listeners below a node, and how many there are of each by default. */
export function groupsOf(node: z.core.$ZodType, key: string): readonly (readonly [string, number])[] {
  const group = LISTENERS.get(node);
  if (group !== undefined) return [[key, group.least]];
  return SETTINGS.has(node) ? [] : childNodes(node, key).flatMap(([, child, at]) => groupsOf(child, at));
}

/** The names below a group, their nodes and their keys. Transforms are skipped. */
function childNodes(
  node: z.core.$ZodType,
  key: string,
): readonly (readonly [name: string, node: z.core.$ZodType, key: string])[] {
  if (node instanceof z.ZodPipe) return childNodes(node.in, key);
  return Object.entries((node as z.ZodObject).shape).map(([name, child]) => [
    name,
    child,
    key === '' ? name : `${key}.${name}`,
  ]);
}
