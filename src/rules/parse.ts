import { LineCounter, isNode, parseDocument, visit } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { deeplyNestedLine } from '../kernel/nesting.js';
import { DAY, DURATION_FORM, MINUTE, parseDuration, parseInstant } from '../kernel/time.js';
import { REFUSALS } from '../blocks/events.js';
import { DIRECTIONS, SUBJECT_TYPES, parseSubject } from '../sending/subjects.js';
import { ACTIONS, COUNTS, WINDOW_MAX, WINDOW_MIN } from './model.js';
import type { Breaker, Count, Rule, RuleExemption, RuleSet } from './model.js';

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
    super('invalid-input', faults.map((fault) => faultLine(source, fault)).join('\n'), { faults });
    this.name = 'InvalidRules';
  }
}

/** `rules.yaml:7: rules[0].window: must be …` */
function faultLine(source: string, { line, path, message }: RuleFault): string {
  return `${source}${line === undefined ? '' : `:${line}`}: ${path === '' ? '' : `${path}: `}${message}`;
}

const BLOCK_MAX = 3650 * DAY;

const duration = (min: number, max: number) =>
  z.string(`must be ${DURATION_FORM}`).transform((text, context) => {
    const span = parseDuration(text);
    if (span === undefined || span < min || span > max) {
      context.addIssue({
        code: 'custom',
        message: `must be ${DURATION_FORM}, from ${min / MINUTE}m to ${max / DAY}d`,
      });
      return z.NEVER;
    }
    return span;
  });

const count = z.enum(COUNTS, `must be one of ${COUNTS.join(', ')}`);

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
};

const limit = z.union([z.number(), z.string()]).transform((value, context) => {
  const parts = /^(\d+(?:\.\d+)?)\s*(?:([kmg]i?)b|b)?$/i.exec(String(value));
  const number = parts === null ? NaN : Number(parts[1]) * SIZE_UNITS[(parts[2] ?? '').toLowerCase()]!;
  if (!Number.isSafeInteger(number) || number < 1) {
    context.addIssue({
      code: 'custom',
      message: 'must be a whole number of at least 1 (for bytes also a size such as 500MB)',
    });
    return z.NEVER;
  }
  return number;
});

const escalate = z.strictObject({
  factor: z.number().min(1, 'must be at least 1').max(100, 'must be at most 100'),
  max: duration(MINUTE, BLOCK_MAX),
  forget: duration(MINUTE, BLOCK_MAX).default(30 * DAY),
});

const blockFor = z.union([z.literal('indefinite').transform(() => null), duration(MINUTE, BLOCK_MAX)], {
  error: `must be ${DURATION_FORM}, or indefinite`,
});

/** Which counts exist for which subjects: a rule that could never trip is a mistake. */
const ONLY_FOR: Partial<Record<Count, readonly Rule['per'][]>> = {
  authFailures: ['ip'],
  bounces: ['account', 'address', 'domain'],
};

const rule = z
  .strictObject({
    id: z
      .string('must be a name')
      .regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/i, 'must be 1 to 64 letters, digits, dots, dashes or underscores'),
    description: z.string().max(500).optional(),
    per: z.enum(SUBJECT_TYPES, `must be one of ${SUBJECT_TYPES.join(', ')}`),
    count,
    window: duration(WINDOW_MIN, WINDOW_MAX),
    limit,
    then: z.enum(ACTIONS, `must be one of ${ACTIONS.join(', ')}`),
    for: blockFor.optional(),
    lapse: duration(MINUTE, BLOCK_MAX).default(DAY),
    escalate: escalate.optional(),
    direction: z.enum(DIRECTIONS, `must be one of ${DIRECTIONS.join(', ')}`).default('outbound'),
    refuse: z.enum(REFUSALS, `must be one of ${REFUSALS.join(', ')}`).default('soft'),
    renewWhileTrying: z.boolean('must be true or false').default(false),
  })
  .superRefine((value, context) => {
    const fault = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (value.then !== 'observe' && value.for === undefined)
      fault('for', `is missing: say how long it blocks, as ${DURATION_FORM}`);
    const fitting = ONLY_FOR[value.count];
    if (fitting !== undefined && !fitting.includes(value.per))
      fault('per', `must be ${fitting.join(' or ')} for a count of ${value.count}`);
    if (fitting !== undefined && value.direction === 'inbound')
      fault('direction', `must be outbound for a count of ${value.count}: it is held against whoever sends`);
    if (value.per === 'account' && value.direction === 'inbound')
      fault('direction', 'must be outbound: inbound mail has no account');
    if (value.escalate !== undefined && typeof value.for === 'number' && value.escalate.max < value.for) {
      fault('escalate', 'max must not be shorter than for');
    }
  })
  .transform(({ for: span, escalate: growth, description, ...rest }): Rule => ({
    ...rest,
    for: span === undefined ? null : span,
    ...(growth === undefined ? {} : { escalate: growth }),
    ...(description === undefined ? {} : { description }),
  }));

const exemption = z
  .strictObject({
    subject: z.strictObject({ type: z.string(), value: z.string() }),
    until: z.union([z.string(), z.null()]).optional(),
    reason: z.string('must say why').min(1, 'must say why').max(500),
  })
  .transform((value, context): RuleExemption => {
    let until: number | null = null;
    if (typeof value.until === 'string') {
      const at = parseInstant(value.until);
      if (at === undefined)
        context.addIssue({
          code: 'custom',
          path: ['until'],
          message: 'must be a date such as 2027-01-01 or an ISO 8601 time',
        });
      else until = at;
    }
    try {
      const { type, value: text } = value.subject;
      return { subject: parseSubject(type, text), until, reason: value.reason };
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      context.addIssue({ code: 'custom', path: error.field.split('.'), message: error.message });
      return z.NEVER;
    }
  });

const breaker = z.string('must be a text such as 20 in 10m').transform((text, context): Breaker => {
  const parts = /^(\d{1,6})\s+in\s+(\S+)$/.exec(text.trim());
  const window = parts === null ? undefined : parseDuration(parts[2]!);
  if (parts === null || window === undefined || window > DAY) {
    context.addIssue({
      code: 'custom',
      message: 'must be a text such as 20 in 10m (a window of at most a day)',
    });
    return z.NEVER;
  }
  return { max: Number(parts[1]), window };
});

const ruleSet = z
  .strictObject(
    {
      version: z.literal(1, 'must be 1: the version of this file format'),
      mode: z.enum(['enforce', 'observe'], 'must be enforce or observe').default('enforce'),
      maxAutomaticBlocks: breaker.default({ max: 20, window: 10 * MINUTE }),
      rules: z.array(rule, 'must be a list of rules').max(200, 'at most 200 rules'),
      exempt: z
        .array(exemption, 'must be a list of exemptions')
        .max(10_000, 'at most 10000 exemptions')
        .default([]),
    },
    {
      error: (issue) =>
        issue.code === 'invalid_type'
          ? 'the rules must be a mapping that begins with version: 1 and rules:'
          : undefined,
    },
  )
  .superRefine((value, context) => {
    const seen = new Map<string, number>();
    value.rules.forEach(({ id }, index) => {
      const first = seen.get(id);
      if (first === undefined) seen.set(id, index);
      else
        context.addIssue({
          code: 'custom',
          path: ['rules', index, 'id'],
          message: `"${id}" is the id of rules[${first}] already`,
        });
    });
  })
  .transform(({ version: _, ...rest }): RuleSet => rest);

/**
 * Reads a rule set from YAML (or JSON, which is YAML).
 *
 * @param source what to call it in messages, such as the file's name
 * @throws InvalidRules with every fault, each with its line
 */
export function parseRules(text: string, source = 'rules'): RuleSet {
  const tooDeep = deeplyNestedLine(text);
  if (tooDeep !== undefined)
    throw new InvalidRules([{ line: tooDeep, path: '', message: 'is nested too deeply' }], source);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, schema: 'core' });
  if (document.errors.length > 0) {
    const faults = document.errors.map((error) => ({
      line: lines.linePos(error.pos[0]).line,
      path: '',
      message: error.message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, ''),
    }));
    throw new InvalidRules(faults, source);
  }
  const value = plain(document, lines, source);
  const result = ruleSet.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.flatMap((issue) =>
    faultsOf(issue).map(({ path, message }) => ({
      line: lineOf(document, lines, path),
      path: pathText(path),
      message,
    })),
  );
  throw new InvalidRules(faults, source);
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

type Path = readonly PropertyKey[];

function faultsOf(issue: z.core.$ZodIssue): readonly { path: Path; message: string }[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'is not a known key' }));
  }
  if (issue.code === 'invalid_type' && issue.message.includes('received undefined')) {
    return [{ path: issue.path, message: 'is missing' }];
  }
  return [{ path: issue.path, message: issue.message }];
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
