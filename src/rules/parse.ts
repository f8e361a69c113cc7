import { LineCounter, isNode, visit } from 'yaml';
import type { Document } from 'yaml';
import { problemsText, StopgapError } from '../kernel/errors.js';
import { YamlRefused, parseYaml } from '../kernel/yaml.js';
import type { RuleSet } from './model.js';
import { faultsOf } from './schema/faults.js';
import type { Path } from './schema/faults.js';
import { ruleSet } from './schema/rule-set.js';

/** One fault of a rules file: where, what, and what would be right. */
export interface RuleFault {
  /** 1-based; undefined where the rules did not come as text. */
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

/** As many faults as anybody reads; text that has more than these says nothing new with the rest. */
const MOST_FAULTS = 100;

/**
 * Reads a rule set from YAML (or JSON, which is YAML).
 *
 * @param source what to call it in messages, such as the file's name
 * @param tokens the most YAML tokens that are read; any number by default
 * @throws InvalidRules with every fault (the first 100), each with its line
 */
export function parseRules(text: string, source = 'rules', tokens?: number): RuleSet {
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
  const value = plain(document, lines, source);
  const result = ruleSet.safeParse(value);
  if (result.success) return result.data;
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

function parsed(text: string, lines: LineCounter, source: string, tokens?: number): Document.Parsed {
  try {
    return parseYaml(text, { lineCounter: lines, tokens });
  } catch (thrown) {
    if (!(thrown instanceof YamlRefused)) throw thrown;
    throw new InvalidRules([{ line: thrown.line, path: '', message: thrown.message }], source);
  }
}

/** The document without its YAML: yaml finds an alias that names nothing, or that multiplies, only here. */
function plain(document: Document.Parsed, lines: LineCounter, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (thrown) {
    if (!(thrown instanceof ReferenceError)) throw thrown;
    let line: number | undefined;
    visit(document, {
      Alias(_, node) {
        if (line === undefined && node.resolve(document) === undefined && node.range) {
          line = lines.linePos(node.range[0]).line;
        }
      },
    });
    throw new InvalidRules([{ line: line ?? 1, path: '', message: thrown.message }], source);
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
