import { z } from 'zod';
import { COMPARISONS } from '../../projections/blocks/shadow.js';
import { ACTIONS } from '../rules/model.js';
import { evidenceShape, position, ruleSetShape, rulesWarnings, subjectShape, windowShape } from './shapes.js';

/* What the API gives of rules that do not act, and of how rules have fared. */

const instant = z.string().meta({ format: 'date-time' });

/** Settled cases by what became of them. */
const comparedShape = z.object({
  both: z.int().meta({ description: 'Both rule sets asked for the same.' }),
  shadowOnly: z.int().meta({ description: 'Only the shadow rules would have acted.' }),
  liveOnly: z.int().meta({ description: 'Only the rules in force acted.' }),
  stronger: z.int().meta({ description: 'Proposed by the rules in force, blocked by the shadow rules.' }),
  weaker: z.int().meta({ description: 'Blocked by the rules in force, proposed by the shadow rules.' }),
});

const open = z.int().meta({
  description: 'Cases that are not settled, and not counted yet: what was asked for would still hold.',
});

export const shadowShape = z
  .object({
    version: z.int().meta({ description: 'Counts the rule sets that ran in the shadow.' }),
    since: instant,
    by: z.string().meta({ examples: ['admin:alice'] }),
    source: z.string().meta({ description: 'The YAML that it was read from.' }),
    ...ruleSetShape.shape,
    warnings: rulesWarnings,
    inForce: z
      .int()
      .meta({ description: 'Version of the rules in force, with which they are compared now.' }),
    open,
    compared: comparedShape,
    byRule: z.array(z.object({ rule: z.string(), ...comparedShape.shape, open })).meta({
      description: 'The same by rule: that of the shadow set, or the one in force where only it tripped.',
    }),
  })
  .meta({ id: 'ShadowRules' });

/** What is no agreement. */
export const DIFFERENCES = COMPARISONS.filter((kind) => kind !== 'both');

const askedShape = z.object({
  action: z.enum(['propose', 'block']),
  at: instant,
  evidence: evidenceShape,
});

export const differenceShape = z
  .object({
    number: z.int().meta({ description: 'Counts the cases since the shadow rules were loaded.' }),
    kind: z.enum(DIFFERENCES),
    settled: z.boolean().meta({ description: 'False while the other rule set may still come to the same.' }),
    subject: subjectShape,
    sentence: z.string(),
    live: askedShape.nullable().meta({ description: 'What the rules in force asked for.' }),
    shadow: askedShape.nullable().meta({ description: 'What the shadow rules asked for.' }),
    nearest: windowShape.nullable().meta({
      description: 'Where only one set tripped: the fullest window of the other, just then.',
    }),
    block: z.string().nullable().meta({ description: 'Id of the block or proposal that came of it.' }),
    falsePositive: z
      .boolean()
      .meta({ description: 'That block was released, or that proposal dismissed, as one.' }),
  })
  .meta({ id: 'ShadowDifference' });

export const observedShape = z
  .object({
    position,
    at: instant,
    subject: subjectShape,
    rule: z.string(),
    action: z
      .enum(ACTIONS)
      .meta({ description: 'What the rule asks for: observe, or what mode: observe kept it from.' }),
    evidence: evidenceShape,
  })
  .meta({ id: 'Observed', description: 'A rule tripped, and did nothing but say so.' });

export const precisionShape = z
  .object({
    rule: z.string(),
    inForce: z.boolean(),
    imposed: z.int().meta({ description: 'Blocks that it imposed by itself.' }),
    proposed: z.int().meta({ description: 'Proposals that it made.' }),
    confirmed: z.int().meta({
      description: 'Blocks that ran out or were released without being called wrong; proposals approved.',
    }),
    falsePositives: z.int().meta({ description: 'Blocks released as false positives.' }),
    dismissed: z.int().meta({ description: 'Proposals that somebody declined.' }),
    lapsed: z.int().meta({ description: 'Proposals that nobody answered: they count for nothing.' }),
    open: z.int().meta({ description: 'Blocks and proposals that have no judgement yet.' }),
    precision: z.number().nullable().meta({
      description: 'confirmed / (confirmed + falsePositives + dismissed); null where nothing is judged.',
    }),
  })
  .meta({ id: 'RulePrecision' });

export type ShadowJson = z.infer<typeof shadowShape>;
export type DifferenceJson = z.infer<typeof differenceShape>;
export type ObservedJson = z.infer<typeof observedShape>;
export type PrecisionJson = z.infer<typeof precisionShape>;
