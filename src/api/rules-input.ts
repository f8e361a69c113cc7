import { z } from 'zod';
import { parseAside } from '../parsing/aside.js';
import type { SourcedRules } from '../rules/model.js';
import { InvalidRules } from '../rules/parse.js';
import type { BodySpec } from './http/route.js';

/** Bytes. */
const LARGEST = 1024 * 1024;

/**
 * YAML tokens of rules that are sent. They are parsed aside, one set after the other, in some 3 µs each: what administrators
 * put in force holds ten thousand exemptions, and what others have tried as many rules as there may be.
 */
const MOST_TOKENS = 400_000;
export const MOST_TOKENS_OF_DRAFT = 20_000;

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
      ? { text: value['source'], isJson: false }
      : { text: JSON.stringify(value), isJson: true },
  );

export interface RulesInput {
  readonly text: string;
  /** Whether it was made here: then its lines mean nothing to the client, and it is kept as YAML. */
  readonly isJson: boolean;
}

/** A body that is a rule set. */
export const rulesBody: BodySpec<RulesInput> = { schema: rulesInput, limit: LARGEST, yaml: true };

/** A body that is a rule set, to be read once. */
export const rulesDraft: BodySpec<RulesInput> = { schema: rulesInput, limit: LARGEST / 4, yaml: true };

/**
 * Reads rules that were sent, while this thread goes on.
 *
 * @throws InvalidRules
 */
export async function readRules(
  { text, isJson }: RulesInput,
  { name = 'rules', tokens = MOST_TOKENS } = {},
): Promise<SourcedRules> {
  try {
    const [rules] = await parseAside('rules', text, name, { tokens, rewrite: isJson });
    return rules!;
  } catch (thrown) {
    if (!isJson || !(thrown instanceof InvalidRules)) throw thrown;
    const faults = thrown.faults.map((fault) => ({ ...fault, line: undefined }));
    throw new InvalidRules(faults, thrown.source);
  }
}
