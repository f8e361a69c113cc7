import type { Document, YAMLMap, YAMLSeq } from 'yaml';
import { isMap, isSeq, parseDocument } from 'yaml';
import { StopgapError } from '../kernel/errors.js';
import { DEFAULT_RULES } from './defaults.js';
import type { FittedLimit } from './fit.js';
import type { Rule } from './model.js';
import { parseRules } from './parse.js';

/** A rule, and the limit that is proposed for it. */
export interface ProposedLimit {
  readonly rule: Rule;
  readonly fitted: FittedLimit;
}

const EXTENDING = 'version: 1\nextends: defaults\nrules: []\n';

/**
 * The YAML of rules in which these limits are changed, and nothing else: what was written of the rules in force stays,
 * its comments too. Where these are the built-in rules, only the changed ones are written, with `extends: defaults`.
 *
 * @param source what the rules in force were read from
 * @param head a comment
 * @throws StopgapError if a rule cannot be found in it
 */
export function proposedRules(source: string, proposed: readonly ProposedLimit[], head: string): string {
  const isBuiltIn = asText(source) === asText(DEFAULT_RULES);
  const document = parseDocument(isBuiltIn ? EXTENDING : source);
  const builtIn = listOf(parseDocument(DEFAULT_RULES));
  if (!isSeq(document.get('rules'))) document.set('rules', document.createNode([]));
  const rules = listOf(document);
  for (const { rule, fitted } of proposed) {
    let written = ruleIn(rules, rule.id);
    // With `extends: defaults` a rule that is changed is written as a whole.
    if (written === undefined) {
      written = ruleIn(builtIn, rule.id)?.clone() as YAMLMap | undefined;
      if (written === undefined) {
        const right = 'write it out where the rules in force have an alias';
        throw new StopgapError('invalid-input', `rule "${rule.id}" cannot be changed: ${right}`);
      }
      rules.add(written);
    }
    written.set('limit', document.createNode(limitNode(rule, fitted), { flow: true }));
  }
  rules.flow = false;
  document.commentBefore = [head, document.commentBefore].filter(Boolean).join('\n');
  return document.toString({ lineWidth: 0 });
}

/** What rules say, without how they are written. */
function asText(source: string): string {
  return JSON.stringify(parseRules(source, 'the rules in force'));
}

function listOf(document: Document): YAMLSeq {
  return document.get('rules') as YAMLSeq;
}

function ruleIn(rules: YAMLSeq, id: string): YAMLMap | undefined {
  return rules.items.find((each): each is YAMLMap => isMap(each) && each.get('id') === id);
}

/** What holds for senders that are not known yet stays, and what nobody may exceed. */
function limitNode({ baseline }: Rule, { k, plus }: FittedLimit): object {
  const { start, rise, ceiling } = baseline!;
  return {
    record: `${k}x`,
    plus,
    // The records that it was fitted to are bounded by this.
    ...(rise === undefined ? {} : { rise }),
    ...(start > plus ? { start } : {}),
    ...(ceiling === null ? {} : { ceiling: Math.max(ceiling, start, plus) }),
  };
}
