import { z } from 'zod';
import { parseAside } from '../parsing/aside.js';
import { StopgapError } from '../kernel/errors.js';
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
const MOST_TOKENS_OF_DRAFT = 20_000;
/** Drafts that wait to be read, the one that is being read included. */
const MOST_DRAFTS = 20;

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

let drafts = 0;
let lastDraft: Promise<unknown> = Promise.resolve();

/**
 * Reads rules that are only tried, one set after the other: files, and rules that are put in force, wait for one at most.
 *
 * @throws InvalidRules; StopgapError `unavailable` where many wait already
 */
export async function readDraft(input: RulesInput, name?: string): Promise<SourcedRules> {
  if (drafts >= MOST_DRAFTS)
    throw new StopgapError('unavailable', `${MOST_DRAFTS} rule sets wait to be read already`);
  drafts += 1;
  const read = lastDraft
    .then(() => readRules(input, { ...(name === undefined ? {} : { name }), tokens: MOST_TOKENS_OF_DRAFT }))
    .finally(() => (drafts -= 1));
  lastDraft = read.catch(() => undefined); // the request that it is for tells of it
  return read;
}
