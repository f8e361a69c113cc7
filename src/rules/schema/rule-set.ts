import { z } from 'zod';
import { InvalidInput } from '../../kernel/errors.js';
import { DAY, MINUTE, parseDuration, parseInstant } from '../../kernel/time.js';
import { PEAKS_KEPT, peakName } from '../../sending/day-summary.js';
import { parsePattern } from '../../sending/subjects.js';
import { LEARNING } from '../model.js';
import type { Breaker, Rule, RuleExemption, RuleSet } from '../model.js';
import { QUIET_HOURS, isZone, learning } from './conditions.js';
import { rule } from './rule.js';

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
      return { subject: parsePattern(type, text), until, reason: value.reason };
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

/** The window whose peaks the limit of a rule follows. */
function followedPeak({ count, leaveOut, window, baseline, turned }: Rule): string | undefined {
  if (turned !== undefined) return peakName(turned.count, 0, turned.window);
  return baseline === undefined ? undefined : peakName(count, leaveOut ?? 0, window);
}

/** More time zones than any provider has customers in. */
const MOST_ZONES = 50;

/** The quiet hours of a rule by a clock, and where they stand in it. */
function fixedHours({ when, score }: Rule): readonly (readonly [path: PropertyKey[], zone: string])[] {
  const conditions = [
    { path: ['when'], hours: when?.quietHours },
    ...(score?.signals ?? []).map((signal, index) => ({
      path: ['score', 'signals', index],
      hours: signal.quietHours,
    })),
  ];
  return conditions.flatMap(({ path, hours }) =>
    hours?.kind === 'fixed' ? [[[...path, 'quietHours'], hours.zone] as const] : [],
  );
}

/** A rules file. */
export const ruleSet = z
  .strictObject(
    {
      version: z.literal(1, 'must be 1: the version of this file format'),
      extends: z.literal('defaults', 'must be defaults: the built-in rules').optional(),
      mode: z.enum(['enforce', 'observe'], 'must be enforce or observe').default('enforce'),
      maxAutomaticBlocks: breaker.default({ max: 20, window: 10 * MINUTE }),
      learning: learning.default({}),
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
    const zones = new Map<string, boolean>();
    value.rules.forEach((each, index) => {
      for (const [path, zone] of fixedHours(each)) {
        if (!zones.has(zone)) zones.set(zone, zones.size < MOST_ZONES && isZone(zone));
        if (zones.get(zone) === true) continue;
        const message = zones.size > MOST_ZONES ? `names more than ${MOST_ZONES} time zones` : QUIET_HOURS;
        context.addIssue({ code: 'custom', path: ['rules', index, ...path], message });
      }
    });
    const followed = new Set<string>();
    value.rules.forEach((each, index) => {
      const peak = followedPeak(each);
      if (peak === undefined || followed.has(peak)) return;
      followed.add(peak);
      if (followed.size <= PEAKS_KEPT) return;
      const path = ['rules', index, each.turned === undefined ? 'limit' : 'turned'];
      const message = `${peak} would be the ${followed.size}th window whose limit follows baselines: at most ${PEAKS_KEPT}`;
      context.addIssue({ code: 'custom', path, message });
    });
  })
  .transform(({ version: _, extends: __, learning: learns, ...rest }): RuleSet => ({
    ...rest,
    learning: { ...LEARNING, ...(learns as Partial<typeof LEARNING>) },
  }));
