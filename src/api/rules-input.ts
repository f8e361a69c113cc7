import { stringify } from 'yaml';
import { z } from 'zod';
import { InvalidRules } from '../rules/parse.js';
import type { BodySpec } from './http/route.js';

/** Bytes. */
const LARGEST = 1024 * 1024;

/** Rules as YAML text, as `{source}`, or as a JSON object that is the rule set itself. */
const rulesInput = z
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
      : { source: stringify(value), hasLines: false },
  );

export interface RulesInput {
  readonly source: string;
  /** False where the YAML was made here: then its lines mean nothing to the client. */
  readonly hasLines: boolean;
}

/** A body that is a rule set. */
export const rulesBody: BodySpec<RulesInput> = { schema: rulesInput, limit: LARGEST, yaml: true };

/** The lines of YAML that was made here mean nothing to the client. */
export function withoutLines(thrown: unknown, { hasLines }: RulesInput): unknown {
  if (hasLines || !(thrown instanceof InvalidRules)) return thrown;
  return new InvalidRules(
    thrown.faults.map((fault) => ({ ...fault, line: undefined })),
    thrown.source,
  );
}
