import { LineCounter, isNode } from 'yaml';
import type { Document } from 'yaml';
import { problemsText, StopgapError } from '../kernel/errors.js';
import { grouped } from '../kernel/printable.js';
import { YamlRefused, parseYaml } from '../kernel/yaml.js';
import { DEFAULT_RULES } from './defaults.js';
import type { RuleSet } from './model.js';
import type { Path } from '../overrides/strict-object.js';
import { faultsOf } from '../overrides/strict-object.js';
import { recordedRuleSet, ruleSet } from './schema.js';

/** One fault of a rules file: its place, what is wrong, and what would be right. */
export interface RuleFault {
  /** 1-based; undefined if the rules did not come as text. */
  readonly line: number | undefined;
  /** For example `rules[2].window`. */
  readonly path: string;
  readonly message: string;
}

/** The rule set is refused as a whole; what was in force stays. */
export class InvalidRules extends StopgapError {
  constructor(
    readonly faults: readonly RuleFault[],
    readonly source: string,
  ) {
    super('invalid-input', problemsText(faults.map((fault) => faultLine(source, fault))), { faults });
    this.name = 'InvalidRules';
  }
}

/** `rules.yaml:7: rules[0].window: must be …` */
function faultLine(source: string, { line, path, message }: RuleFault): string {
  return `${source}${line === undefined ? '' : `:${line}`}: ${path === '' ? '' : `${path}: `}${message}`;
}

/** Bytes of a rule set's text, from wherever: it becomes an event, and every request for the rules has it. */
export const MOST_BYTES = 1024 * 1024;

/** The most faults that are reported: more would help nobody. */
const MOST_FAULTS = 100;

/**
 * Reads a rule set from YAML (or JSON, which is YAML).
 *
 * @param source what to call it in messages, such as the file's name
 * @param tokens the most YAML tokens that are read; any number by default
 * @throws InvalidRules with every fault (the first 100), each with its line
 */
export function parseRules(text: string, source = 'rules', tokens?: number): RuleSet {
  return read(text, ruleSet, source, tokens);
}

function read(text: string, schema: typeof ruleSet, source: string, tokens?: number): RuleSet {
  const bytes = Buffer.byteLength(text);
  if (bytes > MOST_BYTES) {
    const message = `has ${grouped(bytes)} bytes; rules may have ${grouped(MOST_BYTES)} at most`;
    throw new InvalidRules([{ line: undefined, path: '', message }], source);
  }
  const lines = new LineCounter();
  const document = parsed(text, lines, source, tokens);
  if (document.errors.length > 0) {
    const faults = document.errors.slice(0, MOST_FAULTS).map((error) => ({
      line: lines.linePos(error.pos[0]).line,
      path: '',
      message: error.message,
    }));
    throw new InvalidRules(faults, source);
  }
  const value = plain(document, source);
  const base = extended(value);
  const result = schema.safeParse(base === undefined ? value : { rules: [], ...base.own });
  if (result.success && base === undefined) return result.data;
  if (result.success) {
    const whole = schema.safeParse(base!.whole());
    if (whole.success) return whole.data;
    const line = lineOf(document, lines, ['extends']);
    const faults = whole.error.issues.slice(0, MOST_FAULTS).flatMap((issue) =>
      faultsOf(issue).map(({ message }) => ({
        line,
        path: 'extends',
        message: `with the built-in rules ${message}`,
      })),
    );
    throw new InvalidRules(faults.slice(0, MOST_FAULTS), source);
  }
  const faults = result.error.issues.slice(0, MOST_FAULTS).flatMap(faultsOf).slice(0, MOST_FAULTS);
  throw new InvalidRules(
    faults.map(({ path, message }) => ({
      line: lineOf(document, lines, path),
      path: pathText(path),
      message,
    })),
    source,
  );
}

/**
 * Reads a text anew that was in force with the built-in rules of an earlier version. It may exempt a subject twice, which
 * was taken once.
 *
 * @returns undefined if it does not extend the built-in rules
 * @throws InvalidRules as {@link parseRules}
 */
export function renewedRules(text: string): RuleSet | undefined {
  // To read a large text takes long.
  if (!text.includes('extends')) return undefined;
  const document = parsed(text, new LineCounter(), 'rules');
  if (extended(plain(document, 'rules')) === undefined) return undefined;
  return read(text, recordedRuleSet, 'rules');
}

function parsed(text: string, lines: LineCounter, source: string, tokens?: number): Document.Parsed {
  try {
    return parseYaml(text, { lineCounter: lines, tokens });
  } catch (thrown) {
    if (!(thrown instanceof YamlRefused)) throw thrown;
    throw new InvalidRules([{ line: thrown.line, path: '', message: thrown.message }], source);
  }
}

/**
 * How a file with `extends: defaults` is read: its own part, and the whole. A rule of its own replaces the built-in one
 * with its id, and each other key replaces that of the built-in rule set.
 */
function extended(value: unknown): { readonly own: object; whole(): object } | undefined {
  if (!isMapping(value) || value['extends'] !== 'defaults') return undefined;
  const { extends: _, ...own } = value;
  return {
    own,
    whole() {
      const base = parseYaml(DEFAULT_RULES, { lineCounter: new LineCounter() }).toJS() as Mapping & {
        rules: Mapping[];
      };
      const rules = (own['rules'] ?? []) as readonly Mapping[];
      const ids = new Map(rules.map((rule) => [rule['id'], rule]));
      const kept = base.rules.map((rule) => ids.get(rule['id']) ?? rule);
      const added = rules.filter((rule) => !base.rules.some(({ id }) => id === rule['id']));
      const learning = { ...(base['learning'] as object), ...(own['learning'] as object | undefined) };
      return { ...base, ...own, learning, rules: [...kept, ...added] };
    },
  };
}

type Mapping = Readonly<Record<string, unknown>>;

function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The document as plain data. Only here does yaml find that aliases multiply. */
function plain(document: Document.Parsed, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (thrown) {
    if (!(thrown instanceof ReferenceError)) throw thrown;
    throw new InvalidRules([{ line: 1, path: '', message: thrown.message }], source);
  }
}

function pathText(path: Path): string {
  return path
    .map((part, index) =>
      typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`,
    )
    .join('');
}

/** The line of the node at the path, or of the nearest one around it. */
function lineOf(document: Document.Parsed, lines: LineCounter, path: Path): number {
  for (let length = path.length; length > 0; length--) {
    const parts = path.slice(0, length);
    const node: unknown = document.getIn(parts, true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}
