import type { Milliseconds } from '../../src/kernel/time.js';
import { DAY, HOUR, MINUTE, formatDuration } from '../../src/kernel/time.js';
import { LEARNING_SIGNAL, formatQuietHours } from '../../src/rules/explain.js';
import { pointsOf } from '../../src/rules/model.js';
import type { Conditions, DistinctCount, Rule, Score } from '../../src/rules/model.js';
import { hourOf } from '../baselines/profile.js';
import { DISTINCT_NAMES, NOVELTY, hourOfDay, seenFor, metConditions, silentFor } from './conditions.js';
import type { ConditionContext, Novelty } from './conditions.js';

/** What a rule asks for beside its limit, as far as it can be told before there is a message. */
export interface ConditionReading {
  /** Why the rule cannot trip now, whatever is sent; absent where it can. */
  readonly notNow?: string;
  /** What must be so besides of the message, or of what is within the rule's window: in words. */
  readonly besides: readonly string[];
}

/** A condition as it stands now: it holds; or that depends on what is sent; or it cannot hold, and why. */
type Chance =
  | { readonly kind: 'holds' | 'open'; readonly what: string }
  | { readonly kind: 'barred'; readonly what: string; readonly why: string };

/** @param context one without a message: `sender` is not looked at */
export function readConditions(
  { when, score }: Pick<Rule, 'when' | 'score'>,
  context: ConditionContext,
): ConditionReading {
  const chances = when === undefined ? [] : chancesOf(when, context);
  const reasons = barsOf(chances).map(({ what, why }) => `asks for ${what}: ${why}`);
  const besides = wordsOf(chances.filter(({ kind }) => kind === 'open'));
  const scored = score === undefined ? {} : ofScore(score, context);
  if (scored.notNow !== undefined) reasons.push(scored.notNow);
  if (scored.besides !== undefined) besides.push(scored.besides);
  return reasons.length > 0 ? { notNow: reasons.join('; '), besides: [] } : { besides };
}

function ofScore(
  { threshold, signals }: Score,
  context: ConditionContext,
): { readonly notNow?: string; readonly besides?: string } {
  const each = signals.map((signal) => ({ signal, chances: chancesOf(signal, context) }));
  const possible = each.filter(({ chances }) => barsOf(chances).length === 0);
  const points = pointsOf(possible.map(({ signal }) => signal));
  const needed = `${threshold} ${threshold === 1 ? 'point' : 'points'}`;
  if (points < threshold) {
    const why = each.flatMap(({ chances }) => barsOf(chances)).map((bar) => `${bar.what} (${bar.why})`);
    return { notNow: `asks for ${needed}, and ${points} can come together now: not ${why.join(', nor ')}` };
  }
  const sure = possible.filter(({ chances }) => chances.every(({ kind }) => kind === 'holds'));
  if (pointsOf(sure.map(({ signal }) => signal)) >= threshold) return {};
  const texts = possible.map(
    ({ signal, chances }) => `${wordsOf(chances).join(' and ') || 'as always'} (${signal.points})`,
  );
  return { besides: `${needed} of ${texts.join(', ')}` };
}

function chancesOf(conditions: Conditions, context: ConditionContext): readonly Chance[] {
  return (Object.keys(conditions) as (keyof Conditions)[]).flatMap((key) => {
    // What else a signal has, its points, is no condition.
    const chance = CHANCES[key];
    return chance === undefined ? [] : [chance(conditions[key] as never, context)];
  });
}

function barsOf(chances: readonly Chance[]): readonly (Chance & { readonly kind: 'barred' })[] {
  return chances.filter((chance) => chance.kind === 'barred');
}

function wordsOf(chances: readonly Chance[]): string[] {
  return chances.map(({ what }) => what).filter((what) => what !== '');
}

type Chances = {
  readonly [Key in keyof Conditions]-?: (
    wanted: NonNullable<Conditions[Key]>,
    context: ConditionContext,
  ) => Chance;
};

const YOUNG = `it is ${LEARNING_SIGNAL}`;

const CHANCES: Chances = {
  newIp: (_, context) => novelty('newIp', context),
  newEhlo: (_, context) => novelty('newEhlo', context),
  newCountry: (_, context) => novelty('newCountry', context),
  newAsn: (_, context) => novelty('newAsn', context),
  firstSeenWithin: (firstSeenWithin, context) =>
    settled({ firstSeenWithin }, context, () => [
      `a sender first seen within ${formatDuration(firstSeenWithin)}`,
      `it was ${days(seenFor(context) ?? 0)} ago`,
    ]),
  dormantFor: (dormantFor, context) =>
    settled({ dormantFor }, context, () => {
      const idle = silentFor(context);
      const why =
        idle === undefined ? 'it has not sent on any day before' : `it was silent for ${days(idle)}`;
      return [`${formatDuration(dormantFor)} of silence before today`, why];
    }),
  learning: (learning, context) =>
    settled({ learning }, context, () =>
      learning ? ['a sender that is still being learnt', 'it is known'] : ['a sender that is known', YOUNG],
    ),
  installedWithin: (installedWithin, context) =>
    settled({ installedWithin }, context, () => [
      `less than ${formatDuration(installedWithin)} of watching`,
      watched(context),
    ]),
  installedFor: (installedFor, context) =>
    settled({ installedFor }, context, () => [
      `${formatDuration(installedFor)} of watching`,
      watched(context),
    ]),
  quietHours: (quietHours, context) =>
    settled({ quietHours }, context, () =>
      quietHours.kind === 'unusual'
        ? ['an hour in which it never sends', usedHour(context)]
        : [`the hours ${formatQuietHours(quietHours)}`, 'it is none of them now'],
    ),
  distinct: (most, context) => {
    const texts = (Object.entries(most) as [DistinctCount, number][]).map(
      ([kind, above]) =>
        `more than ${above} different ${DISTINCT_NAMES[kind]} (${context.distinct(kind)} now)`,
    );
    return { kind: 'open', what: texts.join(' and ') };
  },
  share: ({ of, above, least }, context) => {
    const { failed, tried } = context.share(of);
    const what = of === 'bounces' ? 'bounces' : 'refused recipients';
    const percent = Math.round(above * 1e4) / 100;
    return {
      kind: 'open',
      what: `at least ${least} ${what}, more than ${percent} % of all recipients (${failed} of ${tried} now)`,
    };
  },
};

/** Holds, or cannot: no message changes it. */
function settled(
  conditions: Conditions,
  context: ConditionContext,
  bar: () => readonly [what: string, why: string],
): Chance {
  const held = metConditions(conditions, context);
  if (held !== undefined) return { kind: 'holds', what: held.join(' and ') };
  const [what, why] = bar();
  return { kind: 'barred', what, why };
}

function novelty(key: Novelty, context: ConditionContext): Chance {
  const { kind, one, many } = NOVELTY[key];
  const what = `${/^[aE]/.test(one) ? 'an' : 'a'} ${one} never seen before`;
  if (!context.learnt) return { kind: 'barred', what, why: YOUNG };
  if (!context.isKnownOf(kind))
    return { kind: 'barred', what, why: `too little is known of its ${many} yet` };
  return { kind: 'open', what };
}

function watched({ watchedFor }: ConditionContext): string {
  if (watchedFor < MINUTE) return 'Stopgap has watched for less than a minute';
  const unit = watchedFor >= 2 * DAY ? DAY : watchedFor >= HOUR ? HOUR : MINUTE;
  return `Stopgap has watched for ${formatDuration(Math.floor(watchedFor / unit) * unit)}`;
}

function usedHour(context: ConditionContext): string {
  if (!context.learnt) return YOUNG;
  const hour = hourOfDay(context.at);
  const { used, weeks } = hourOf(context.profile, hour, context.day);
  return weeks === 0
    ? 'it has not sent for eight weeks'
    : `it sent at ${hour}:00 UTC in ${used} of ${weeks} weeks`;
}

function days(span: Milliseconds): string {
  const count = Math.round(span / DAY);
  return count === 1 ? 'one day' : `${count} days`;
}
