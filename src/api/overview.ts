import { z } from 'zod';
import { baselineOf } from '../../projections/baselines/profile.js';
import { stateAt } from '../../projections/blocks/block-entry.js';
import type { Unstopped } from '../../projections/blocks/unstopped.js';
import type { Busy } from '../../projections/volume/subject-volumes.js';
import type { WindowReading } from '../../projections/volume/rule-evaluation.js';
import { grouped } from '../kernel/printable.js';
import type { Instant } from '../kernel/time.js';
import { DAY, formatDuration, formatInstant, SECOND } from '../kernel/time.js';
import { dayOf, peakName } from '../sending/day-summary.js';
import type { Subject } from '../sending/subjects.js';
import { directionsMeet } from '../sending/subjects.js';
import type { ApiDependencies } from './dependencies.js';
import type { LongReads } from './long-reads.js';
import type { Concerns, Route } from './http/route.js';
import { ok, route, seesMailOf } from './http/route.js';
import { isUndetected, NOT_BY_THEMSELVES, unstoppedOf, unstoppedShape, unstoppedView } from './unstopped.js';
import { durationShape, instantShape, instantView, subjectShape, subjectView } from './shapes.js';

const BUSIEST = 10;
/** Of so many that send most the ones closest to a limit are shown. */
const LOOKED_AT = 50;

/** Blocks that are named whose held mail waits for a decision. */
const HELD_NAMED = 10;

const heldShape = z
  .object({
    blocks: z.int(),
    sentence: z.string().nullable().meta({ description: 'What it means; null where there are none.' }),
    items: z
      .array(z.object({ block: z.string(), subject: subjectShape }))
      .meta({ description: `The first ${HELD_NAMED} of them.` }),
  })
  .meta({
    description:
      'Blocks that have ended while mail was on hold for them, and on whose mail nobody has decided. With the role domain those of accounts alone.',
  });

const healthShape = z
  .object({
    readModels: z.string(),
    store: z.string().nullable(),
    relay: z.string().nullable(),
    redis: z.string().nullable(),
    quarantine: z.int().nullable(),
    clockSkewSeconds: z.int().nullable(),
  })
  .meta({
    description:
      'What GET /healthz tells of this process, for the page, to which a reverse proxy may not pass that. Null is what it does not tell. With the role domain readModels alone.',
  });

const overviewShape = z.object({
  now: instantShape,
  proposals: z.object({
    waiting: z.int(),
    oldestAt: instantShape.nullable(),
    lapsing: z.int().meta({ description: 'So many lapse within a day.' }),
  }),
  blocks: z.object({ active: z.int() }),
  health: healthShape,
  unstopped: unstoppedShape,
  held: heldShape,
  refusals: z
    .array(z.int())
    .meta({ description: 'By blocks, one a minute: the last hour, oldest first; the last one is not over.' }),
  lastMailAt: instantShape.nullable().meta({
    description: 'When a message was last taken or refused; null before the first, and for the role domain.',
  }),
  behindSeconds: z.int().meta({ description: 'How far what is shown may be behind the store.' }),
  mode: z.enum(['enforce', 'observe']),
  breaker: z
    .object({
      open: z.boolean(),
      name: z.string().nullable().meta({ description: 'Which blocks it counts; null where it is closed.' }),
      since: instantShape.nullable(),
      until: instantShape.nullable().meta({ description: 'When it closes if no more blocks come.' }),
      blocks: z.int().meta({ description: 'Automatic blocks within the window, of the fullest breaker.' }),
      max: z.int(),
      window: durationShape,
      sentence: z.string(),
    })
    .nullable()
    .meta({ description: 'Of the whole server: null for the role domain.' }),
  busiest: z
    .array(
      z.object({
        subject: subjectShape,
        rule: z.string(),
        count: z.string(),
        window: durationShape,
        observed: z.number().meta({ description: 'All that is within the window.' }),
        usual: z.number().nullable().meta({ description: 'Median of its weekly peaks; null where unknown.' }),
        limit: z.number(),
        share: z.number().meta({ description: 'observed as a share of the limit.' }),
        blocked: z.boolean(),
      }),
    )
    .meta({ description: 'Accounts, the closest to a limit first, each with the rule it is closest to.' }),
});
type OverviewJson = z.infer<typeof overviewShape>;

/** What an administrator looks at first. All of it comes from memory. */
export function overviewRoute(deps: ApiDependencies, reads: LongReads): Route {
  const { models, clock } = deps;
  return route({
    method: 'get',
    path: '/api/v1/overview',
    summary: 'How it is now: what waits, what is in force, what is refused, who sends most',
    role: 'viewer',
    scope: 'own',
    responses: { 200: { description: 'The overview', schema: overviewShape } },
    async handle(request) {
      const { caller, concerns } = request;
      const busy = await reads.runSteps(request, () =>
        models.sendVolume.busiest('account', 'recipients', LOOKED_AT, clock.now(), concerns),
      );
      const now = clock.now();
      const isDomains = caller.role === 'domain';
      const own = isDomains ? (domain: string) => concerns({ type: 'domain', value: domain }) : undefined;
      const { lastAt } = models.recentMail;
      const passing = unstoppedOf(deps, concerns);
      return ok({
        now: formatInstant(now),
        proposals: proposalsOf(deps, now, concerns),
        blocks: { active: activeOf(deps, now, concerns) },
        health: healthOf(deps, isDomains),
        unstopped: unstoppedView(deps, passing),
        held: heldOf(deps, now, concerns),
        refusals: [...models.recentMail.refusals(now, own)],
        lastMailAt: isDomains ? null : instantView(lastAt),
        behindSeconds: Math.round(models.lag / SECOND),
        mode: models.sendVolume.rules.mode,
        breaker: isDomains ? null : breakerOf(deps, now, passing),
        busiest: busiestOf(deps, now, busy),
      } satisfies OverviewJson);
    },
  });
}

function healthOf(deps: ApiDependencies, isDomains: boolean): OverviewJson['health'] {
  const report = deps.health();
  const { readModels, store, relay, redis = null } = report;
  if (isDomains)
    return { readModels, store: null, relay: null, redis: null, quarantine: null, clockSkewSeconds: null };
  const numberOf = (detail: string): number | null => {
    const told = report[detail];
    return typeof told === 'number' ? told : null;
  };
  const [quarantine, clockSkewSeconds] = [numberOf('quarantine'), numberOf('clockSkewSeconds')];
  return { readModels, store, relay, redis, quarantine, clockSkewSeconds };
}

function proposalsOf(
  { models }: ApiDependencies,
  now: Instant,
  concerns: Concerns,
): OverviewJson['proposals'] {
  let [waiting, lapsing, oldest] = [0, 0, Infinity];
  for (const entry of models.ledger.pending()) {
    if (stateAt(entry, now) !== 'proposed' || !concerns(entry.subject)) continue;
    waiting++;
    if (entry.proposedAt !== undefined) oldest = Math.min(oldest, entry.proposedAt);
    if (entry.lapsesAt !== undefined && entry.lapsesAt <= now + DAY) lapsing++;
  }
  return { waiting, oldestAt: oldest === Infinity ? null : formatInstant(oldest), lapsing };
}

function activeOf({ models }: ApiDependencies, now: Instant, concerns: Concerns): number {
  let active = 0;
  for (const block of models.activeBlocks.all())
    if ((block.until === null || block.until > now) && concerns(block)) active++;
  return active;
}

/** What is held for blocks of accounts is of these accounts. What is held for others may be mail of others. */
function heldOf({ models }: ApiDependencies, now: Instant, concerns: Concerns): OverviewJson['held'] {
  const found = models.heldMail
    .undecided(now)
    .filter(({ subject }) => concerns(subject) && seesMailOf(subject, concerns));
  const items = found
    .slice(0, HELD_NAMED)
    .map(({ block, subject }) => ({ block, subject: subjectView(subject) }));
  return { blocks: found.length, sentence: sentenceOf(found.length), items };
}

function sentenceOf(blocks: number): string | null {
  if (blocks === 0) return null;
  const which = blocks === 1 ? 'a block that has ended' : `${grouped(blocks)} blocks that have ended`;
  return `Mail is still on hold for ${which}, and nobody has decided what becomes of it: its senders believe that it is on its way.`;
}

function breakerOf(
  { models }: ApiDependencies,
  now: Instant,
  passing: readonly Unstopped[],
): OverviewJson['breaker'] {
  const { automaticBlocks, sendVolume } = models;
  const { mode, maxAutomaticBlocks } = sendVolume.rules;
  const { max, window } = maxAutomaticBlocks;
  const all = automaticBlocks.breakers.map((name) => ({
    name,
    blocks: automaticBlocks.within(name, window, now),
    opened: automaticBlocks.open(name, maxAutomaticBlocks, now),
  }));
  const fullest = all.sort((a, b) => b.blocks - a.blocks)[0];
  const { name = '', blocks = 0, opened } = fullest ?? {};
  const span = formatDuration(window);
  const sentence =
    opened !== undefined
      ? `Rules have blocked ${blocks} senders within ${span}: so many at once are seldom right. Until it closes they only propose (${name}), but for senders five times over their limit.`
      : mode === 'observe'
        ? 'Rules only observe now (mode: observe): none of them blocks or proposes.'
        : isUndetected(passing)
          ? NOT_BY_THEMSELVES
          : `Rules block by themselves: ${blocks} of at most ${max} within ${span}.`;
  return {
    open: opened !== undefined,
    name: opened === undefined ? null : name,
    since: instantView(opened?.since),
    until: instantView(opened?.until),
    blocks,
    max,
    window: span,
    sentence,
  };
}

function busiestOf(deps: ApiDependencies, now: Instant, busy: readonly Busy[]): OverviewJson['busiest'] {
  const { sendVolume, activeBlocks } = deps.models;
  return busy
    .flatMap(({ value }) => {
      const subject = { type: 'account', value } as const;
      const closest = closestOf(sendVolume.readings(subject, now));
      if (closest === undefined) return [];
      const { rule, count, window, limit } = closest;
      const block = activeBlocks.on(subject);
      return {
        subject,
        rule,
        count,
        limit,
        window: formatDuration(window),
        observed: sentOf(closest),
        usual: usualOf(deps, subject, closest, now),
        share: shareOf(closest),
        blocked:
          block !== undefined &&
          directionsMeet(block.direction, 'outbound') &&
          (block.until === null || block.until > now),
      };
    })
    .sort((a, b) => b.share - a.share || b.observed - a.observed)
    .slice(0, BUSIEST);
}

const sentOf = ({ observed, inWindow }: WindowReading): number => inWindow ?? observed;
const shareOf = (reading: WindowReading): number => (reading.limit > 0 ? sentOf(reading) / reading.limit : 0);

function closestOf(readings: readonly WindowReading[]): WindowReading | undefined {
  return readings
    .filter(
      (reading) =>
        reading.notNow === undefined &&
        reading.outbreak === undefined &&
        VOLUMES.has(reading.count) &&
        sentOf(reading) > 0,
    )
    .sort((a, b) => shareOf(b) - shareOf(a))[0];
}

/** What one reads as "how much". */
const VOLUMES: ReadonlySet<string> = new Set(['recipients', 'messages', 'bytes']);

function usualOf(
  { models: { sendVolume } }: ApiDependencies,
  { value }: Subject,
  { count, window, leaveOut }: WindowReading,
  now: Instant,
): number | null {
  const { profiles } = sendVolume;
  const day = dayOf(now);
  const index = profiles.peaks.names.indexOf(peakName(count, leaveOut ?? 0, window));
  const profile = profiles.profile('account', value, day);
  if (index < 0 || profile.firstDay < 0) return null;
  const { typical, record } = baselineOf(profile, index, day, profiles.peaks.since(index));
  return record === 0 ? null : typical;
}
