import { stringify } from 'yaml';
import { z } from 'zod';
import { InvalidRules } from '../rules/parse.js';
import type { BodySpec } from './http/route.js';

/** Bytes. */
const LARGEST = 1024 * 1024;

/**
 * YAML tokens of rules that come from others than administrators. Parsing holds everything else up: these take 50 to 100 ms,
 * and hold as many rules as there may be, unless they are long.
 */
export const MOST_TOKENS = 20_000;

/** Rules as YAML text, as `{source}`, or as a JSON object that is the rule set itself. */
const rulesInput = (write: (value: unknown) => string) =>
  z
    .union(
      [
        z.strictObject({ source: z.string('must be a text') }),
        z.looseObject({ version: z.unknown() }).refine((value) => value['source'] === undefined),
      ],
      'must be YAML text, an object {source}, or a rule set as an object with version and rules',
    )
    .transform((value): RulesInput =>
      typeof value['source'] === 'string'
        ? { source: value['source'], hasLines: true }
        : { source: write(value), hasLines: false },
    );

export interface RulesInput {
  readonly source: string;
  /** False where the YAML was made here: then its lines mean nothing to the client. */
  readonly hasLines: boolean;
}

/** A body that is a rule set, to be kept as YAML that people can read. */
export const rulesBody: BodySpec<RulesInput> = {
  ...{ schema: rulesInput((value) => stringify(value)), limit: LARGEST, yaml: true },
};

/** A body that is a rule set, to be read once: JSON is YAML, and is written in a tenth of the time. */
export const rulesDraft: BodySpec<RulesInput> = {
  ...{ schema: rulesInput(JSON.stringify), limit: LARGEST / 4, yaml: true },
};

/** The lines of YAML that was made here mean nothing to the client. */
export function withoutLines(thrown: unknown, { hasLines }: RulesInput): unknown {
  if (hasLines || !(thrown instanceof InvalidRules)) return thrown;
  return new InvalidRules(
    thrown.faults.map((fault) => ({ ...fault, line: undefined })),
    thrown.source,
  );
}
