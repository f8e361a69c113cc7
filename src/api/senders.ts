import { z } from 'zod';
import type { KnownPlace, Profile } from '../../projections/baselines/profile.js';
import {
  PLACE_KINDS,
  baselineOf,
  baselineOfLargest,
  hourOf,
  totalsOf,
} from '../../projections/baselines/profile.js';
import type { SenderProfiles } from '../../projections/baselines/sender-profiles.js';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import { isKnownOf, isLearnt } from '../../projections/volume/limits.js';
import type { OutbreakReading, WindowReading } from '../../projections/volume/rule-evaluation.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, MINUTE, formatDuration, formatInstant } from '../kernel/time.js';
import type { Learning } from '../rules/model.js';
import { LEARNING, SUMS } from '../rules/model.js';
import type { Day, ProfiledType } from '../sending/day-summary.js';
import { dayOf } from '../sending/day-summary.js';
import { sendStream } from '../sending/events.js';
import { clientNetwork } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import { askedSubject, DIRECTIONS, SUBJECT_TYPES } from '../sending/subjects.js';
import { amongOthers, blockShape, blockView, latestOf } from './block-view.js';
import type { ApiDependencies } from './dependencies.js';
import { coverShape } from './exemptions.js';
import type { Concerns, Route } from './http/route.js';
import type { LongReads } from './long-reads.js';
import { ok, ownSubject, route } from './http/route.js';
import {
  durationShape,
  instantShape,
  instantView,
  leaveOut,
  listOf,
  oneOf,
  subjectShape,
  subjectView,
  wholeNumber,
} from './shapes.js';
import { LOOKED_AT_FOR_LATE } from './stream-order.js';

export const windowShape = z
  .object({
    subject: subjectShape,
    rule: z.string(),
    count: z.string(),
    window: durationShape,
    leaveOut,
    observed: z.number().meta({ description: 'All that is within the window.' }),
    sinceTrip: z.number().nullable().meta({
      description:
        'Of that, what came since the rule tripped or a block of the sender came about: that alone trips the rule again; null where neither was within the window.',
    }),
    limit: z.number().meta({ description: 'What is in force now: tripled for an hour after a release.' }),
    direction: z.enum(DIRECTIONS),
    applies: z
      .boolean()
      .meta({ description: 'False where the rule cannot trip for this sender now, whatever it sends.' }),
    reason: z.string().nullable().meta({ description: 'Why it does not apply; null where it does.' }),
    besides: z
      .array(z.string())
      .meta({ description: 'What must be so besides of a message, or of what is within the window.' }),
    outbreak: z
      .object({
        domain: z.string(),
        accounts: z.int().meta({ description: 'So many have turned within its window.' }),
        limit: z.number().meta({ description: 'The rule trips above so many.' }),
        window: durationShape,
        turnedAt: instantShape
          .nullable()
          .meta({ description: 'When this account turned; null where it has not, and of the domain.' }),
        alarmUntil: instantShape.nullable().meta({
          description:
            'Until then the rule acts at once on each account that turns abnormal; null without an alarm.',
        }),
      })
      .optional()
      .meta({
        description:
          'Of a rule that counts accounts which turn: the state of their domain. Of an account, count, window and limit are then those above which it turns.',
      }),
  })
  .meta({ id: 'Window' });

type WindowJson = z.infer<typeof windowShape>;

function outbreakView({ window, turnedAt, alarmUntil, ...rest }: OutbreakReading): WindowJson['outbreak'] {
  return {
    ...rest,
    window: formatDuration(window),
    turnedAt: instantView(turnedAt),
    alarmUntil: instantView(alarmUntil),
  };
}

export function windowView(subject: Subject, reading: WindowReading): WindowJson {
  const { window, notNow, besides, outbreak, observed, inWindow, ...rest } = reading;
  return {
    subject: subjectView(subject),
    ...rest,
    window: formatDuration(window),
    observed: inWindow ?? observed,
    sinceTrip: inWindow === undefined ? null : observed,
    applies: notNow === undefined,
    reason: notNow ?? null,
    besides: [...besides],
    ...(outbreak === undefined ? {} : { outbreak: outbreakView(outbreak) }),
  };
}

const places = z
  .array(z.object({ name: z.string(), lastDay: z.string() }))
  .meta({ description: 'The one used last comes last.' });
const usual = z.object({ typical: z.number(), record: z.number() });

/** What one account or domain usually does. */
const profileShape = z
  .object({
    known: z.boolean().meta({ description: 'False while it is still being learnt.' }),
    firstDay: z.string(),
    lastDay: z.string().meta({ description: 'The last day that is summarised, in UTC.' }),
    weeks: z.int().meta({
      description: 'Weeks with sends that are remembered, at most eight: all the rest is of these.',
    }),
    windows: z
      .array(usual.extend({ window: z.string().meta({ examples: ['messages/1h', 'recipients-2/10m'] }) }))
      .meta({
        description: 'Median and highest of the weekly peaks; -1 or -2: without so many largest messages.',
      }),
    largestMessage: usual.meta({ description: 'Recipients of the largest message of a week.' }),
    messages: z.number(),
    recipients: z.number(),
    refusedRecipients: z.number(),
    bounces: z.number(),
    hours: z
      .array(z.int())
      .meta({ description: 'By hour of the day in UTC: in how many of the weeks it sent then.' }),
    networks: places,
    ehlos: places,
    countries: places,
    asns: places,
    placesKnown: z.array(z.enum(PLACE_KINDS)).meta({
      description: 'Of which of these enough is known to call another one new.',
    }),
    containedDays: z
      .array(z.string())
      .meta({ description: 'The newest days that taught nothing, since a block fell on them.' }),
  })
  .meta({ id: 'Profile' });

/** Null if nothing is known, or such a subject has no baselines. */
function profileView(
  profiles: SenderProfiles,
  { type, value }: Subject,
  learning: Learning,
  now: Instant,
): z.infer<typeof profileShape> | null {
  if (type !== 'account' && type !== 'domain') return null;
  const day = dayOf(now);
  const profile = profiles.profile(type satisfies ProfiledType, value, day);
  if (profile.firstDay < 0) return null;
  const { typical, record, weeks } = baselineOfLargest(profile, day);
  return {
    known: isLearnt(profile, day, learning),
    firstDay: dateOf(profile.firstDay),
    lastDay: dateOf(profile.lastDay),
    weeks,
    windows: windowsOf(profiles, profile, day),
    largestMessage: { typical, record },
    ...totalsOf(profile, day),
    hours: Array.from({ length: 24 }, (_, hour) => hourOf(profile, hour, day).used),
    networks: placesOf(profile.networks),
    ehlos: placesOf(profile.ehlos),
    countries: placesOf(profile.countries),
    asns: placesOf(profile.asns),
    placesKnown: PLACE_KINDS.filter((kind) => isKnownOf(profile, kind, day, learning)),
    containedDays: profile.withheld.map((summary) => dateOf(summary.day)),
  };
}

function windowsOf(
  profiles: SenderProfiles,
  profile: Profile,
  day: Day,
): z.infer<typeof profileShape>['windows'] {
  return profiles.peaks.names.flatMap((window, index) => {
    const { typical, record } = baselineOf(profile, index, day, profiles.peaks.since(index));
    return record === 0 ? [] : [{ window, typical, record }];
  });
}

function placesOf(known: readonly KnownPlace[]): { name: string; lastDay: string }[] {
  return known.map(({ name, day }) => ({ name, lastDay: dateOf(day) }));
}

function dateOf(day: Day): string {
  return new Date(day * DAY).toISOString().slice(0, 10);
}

const SENDERS = '/api/v1/senders';
const LATEST_SENDS = 50;
/** What is recorded so long after it happened came late or was imported. */
const LATE: Milliseconds = MINUTE;
const LATEST_BLOCKS = 50;

const busiestQuery = z.strictObject({
  by: oneOf(SUBJECT_TYPES).default('account'),
  count: oneOf(SUMS).default('recipients'),
  limit: wholeNumber(1, 500, 20),
});
const busiestItem = z.object({
  subject: subjectShape,
  count: z.string(),
  amount: z.number(),
  window: z.string().meta({ description: 'The longest window in which a rule counts it.' }),
  block: z.string().nullable().meta({ description: 'Id of the block on just this subject.' }),
});
const sender = z.object({
  subject: subjectShape,
  windows: z.array(windowShape),
  usual: profileShape.nullable().meta({
    description: 'What an account or a domain usually does; null where nothing is known yet.',
  }),
  standing: z.object({
    block: blockShape.nullable(),
    proposal: blockShape.nullable(),
    exemption: coverShape.nullable(),
  }),
  blocks: z
    .array(blockShape)
    .meta({ description: `Newest first, at most ${LATEST_BLOCKS}; the standing ones too.` }),
  sends: z.object({
    available: z.boolean(),
    note: z.string().nullable(),
    items: z
      .array(z.object({ position: z.int(), type: z.string(), at: z.string(), data: z.unknown() }))
      .meta({ description: `Newest first, at most ${LATEST_SENDS}.` }),
  }),
});

type Sender = z.infer<typeof sender>;

/** How much senders send, and their limits. */
export function senderRoutes(deps: ApiDependencies, reads: LongReads): readonly Route[] {
  const { models, clock } = deps;
  return [
    route<z.infer<typeof busiestQuery>>({
      method: 'get',
      path: SENDERS,
      summary: 'The busiest senders now',
      role: 'viewer',
      scope: 'own',
      query: busiestQuery,
      responses: {
        200: { description: 'Busiest first; empty where no rule counts this', schema: listOf(busiestItem) },
      },
      async handle(request) {
        const { query, concerns } = request;
        const { by, count, limit } = query;
        const now = clock.now();
        const busy = await reads.runSteps(request, () =>
          models.sendVolume.busiest(by, count, limit, now, concerns),
        );
        const items = busy.map(({ value, amount, window }) => {
          const subject = { type: by, value };
          const block = models.activeBlocks.on(subject);
          const inForce = block !== undefined && (block.until === null || block.until > now);
          return { subject, count, amount, window: formatDuration(window), block: inForce ? block.id : null };
        });
        return ok({ items, next: null });
      },
    }),
    route({
      method: 'get',
      path: `${SENDERS}/{type}/{value}`,
      summary:
        "One sender: its windows against the limits, its standing, its blocks so far, an account's latest sends",
      role: 'viewer',
      scope: 'own',
      responses: { 200: { description: 'The sender; one never seen has empty windows', schema: sender } },
      handle: async (request) => {
        const { params, concerns } = request;
        const subject = ownSubject(askedSubject(params['type']!, params['value']!, 'sender'), concerns);
        return ok(await reads.run(request, (look) => senderView(deps, subject, concerns, look)));
      },
    }),
  ];
}

async function senderView(
  deps: ApiDependencies,
  subject: Subject,
  concerns: Concerns,
  look: () => void,
): Promise<Sender> {
  const { models, clock } = deps;
  const now = clock.now();
  const live = models.ledger.liveOn(subject);
  const inState = (state: 'active' | 'proposed'): Sender['standing']['block'] =>
    live !== undefined && stateAt(live, now) === state ? blockView(live, now, concerns) : null;
  const entries = await latestOf(deps, subject, LATEST_BLOCKS);
  const counted = countedAs(subject);
  // What rules would act on: an exemption of a neighbour in its /64 keeps them from this address too.
  const exemption = models.exemptions.covering(counted, now);
  return {
    subject: subjectView(subject),
    windows: models.sendVolume.readings(counted, now).map((reading) => windowView(counted, reading)),
    usual: profileView(
      models.sendVolume.profiles,
      subject,
      models.sendVolume.rules.learning ?? LEARNING,
      now,
    ),
    standing: {
      block: inState('active'),
      proposal: inState('proposed'),
      exemption: exemption === undefined ? null : { ...exemption, subject: subjectView(subject) },
    },
    blocks: entries.map((entry) => amongOthers(blockView(entry, now, concerns))),
    sends: await latestSends(deps, subject, look),
  };
}

/** The subject under which sends are counted: an IPv6 address counts for its /64. */
function countedAs(subject: Subject): Subject {
  const isAddress = subject.type === 'ip' && !subject.value.includes('/');
  return isAddress ? { type: 'ip', value: clientNetwork(subject.value) } : subject;
}

async function latestSends(
  { store }: ApiDependencies,
  { type, value }: Subject,
  look: () => void,
): Promise<Sender['sends']> {
  if (type !== 'account') {
    const note = `sends are kept by account: there is no list of those of one ${type}; GET /api/v1/events?categories=send has them all`;
    return { available: false, note, items: [] };
  }
  const found: RecordedEvent[] = [];
  const seen = new SeenIds();
  let prompt = 0;
  const newest = store.readStream(sendStream(value), { direction: 'backwards', limit: LOOKED_AT_FOR_LATE });
  for await (const event of newest) {
    look();
    // The stream may hold an event twice.
    if (!seen.isNew(event.id)) continue;
    found.push(event);
    if (event.recordedAt - event.at < LATE && ++prompt === LATEST_SENDS) break;
  }
  const items = found
    .sort((a, b) => b.at - a.at || b.position - a.position)
    .slice(0, LATEST_SENDS)
    .map(({ position, type: kind, at, data }) => ({ position, type: kind, at: formatInstant(at), data }));
  return { available: true, note: null, items };
}
