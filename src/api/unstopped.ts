import { z } from 'zod';
import type { Unstopped } from '../../projections/blocks/unstopped.js';
import { grouped } from '../kernel/printable.js';
import { formatInstant } from '../kernel/time.js';
import { namedFirst } from '../sending/subjects.js';
import type { ApiDependencies } from './dependencies.js';
import type { Concerns } from './http/route.js';
import { seesMailOf } from './http/route.js';
import { PAST_WHY } from './past-block.js';
import { subjectShape, subjectView } from './shapes.js';

/** So many are named. */
const NAMED = 10;

export const unstoppedShape = z
  .object({
    senders: z.int(),
    blocked: z.int().meta({ description: 'So many of them are blocked.' }),
    sentence: z.string().nullable().meta({ description: 'Why, and what to do; null where there are none.' }),
    items: z
      .array(
        z.object({
          subject: subjectShape,
          rule: z.string().nullable(),
          block: z.string().nullable().meta({
            description: 'The id of the block that its mail goes past; null where it is not blocked.',
          }),
        }),
      )
      .meta({
        description: `The first ${NAMED} of them: accounts, then addresses, domains, networks and EHLO names.`,
      }),
  })
  .meta({
    description:
      'Senders that a rule has tripped on, and that are not blocked, proposed or exempt: rules only observe, or no detector acts. One that is proposed is among them once a rule that blocks has tripped on it later. And blocked ones whose mail has gone past their block within a day.',
  });

const SEE_DETECTOR =
  'no detector seems to run: see that the process with the role detector runs, and that it reaches the store';
const OBSERVE = 'rules only observe now (mode: observe)';

/** Those of the caller. What went past a block may be mail of others. */
export function unstoppedOf({ unstopped }: ApiDependencies, concerns: Concerns): readonly Unstopped[] {
  return (unstopped?.() ?? []).filter(
    ({ subject, why }) => concerns(subject) && (why !== 'past' || seesMailOf(subject, concerns)),
  );
}

/** Whether rules have tripped that no detector has acted on. */
export function isUndetected(found: readonly Unstopped[]): boolean {
  return found.some(({ why }) => why === 'detector');
}

export function unstoppedView(
  { models }: ApiDependencies,
  found: readonly Unstopped[],
): z.infer<typeof unstoppedShape> {
  const past = found.filter(({ why }) => why === 'past').length;
  const sentences = [...overLimit(models, found, found.length - past), ...pastBlocks(past)];
  return {
    senders: found.length,
    blocked: past,
    sentence: sentences.length === 0 ? null : sentences.join(' '),
    items: found
      .toSorted((a, b) => namedFirst(a.subject, b.subject))
      .slice(0, NAMED)
      .map(({ subject, rule = null, block = null }) => ({ subject: subjectView(subject), rule, block })),
  };
}

function overLimit(
  { sendVolume }: ApiDependencies['models'],
  found: readonly Unstopped[],
  count: number,
): readonly string[] {
  if (count === 0) return [];
  const which = count === 1 ? '1 sender is' : `${grouped(count)} senders are`;
  const why = isUndetected(found)
    ? SEE_DETECTOR
    : sendVolume.rules.mode === 'observe'
      ? OBSERVE
      : otherwise(found, count);
  return [`${which} over a limit, and nothing stops ${count === 1 ? 'it' : 'them'}: ${why}.`];
}

function otherwise(found: readonly Unstopped[], count: number): string {
  const ofOther = found.filter(({ why }) => why === 'direction').length;
  if (ofOther === 0) return 'rules only observed when they tripped';
  const blocks = 'a block is of mail of the other direction only';
  return ofOther === count ? blocks : `rules only observed when they tripped, or ${blocks}`;
}

function pastBlocks(count: number): readonly string[] {
  if (count === 0) return [];
  const which =
    count === 1
      ? '1 sender is blocked, and its mail has gone past the block'
      : `${grouped(count)} senders are blocked, and their mail has gone past the blocks`;
  return [`${which} within a day: ${PAST_WHY}.`];
}

/** What has become of a rule that tripped on this sender, where nothing has. */
export function unansweredSentences(found: readonly Unstopped[]): readonly string[] {
  return found
    .filter(({ why }) => why === 'detector')
    .map(
      ({ subject, rule, at }) =>
        `Rule ${rule!} tripped on ${subject.type} ${subject.value} at ${formatInstant(at)}, and nothing has followed: ${SEE_DETECTOR}.`,
    );
}

/** What the overview says of rules that would block by themselves. */
export const NOT_BY_THEMSELVES = `Rules would block by themselves, and ${SEE_DETECTOR}.`;
