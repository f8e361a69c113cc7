import { z } from 'zod';
import type { KnownPlace, Profile } from '../../projections/baselines/profile.js';
import {
  PLACE_KINDS,
  hourOf,
  totalsOf,
  baselineOfLargest,
  baselineOf,
} from '../../projections/baselines/profile.js';
import type { SenderProfiles } from '../../projections/baselines/sender-profiles.js';
import type { Instant } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { Learning } from '../rules/model.js';
import { isKnownOf, isLearnt } from '../../projections/volume/limits.js';
import type { Day, ProfiledType } from '../sending/day-summary.js';
import { dayOf } from '../sending/day-summary.js';
import type { Subject } from '../sending/subjects.js';

const places = z
  .array(z.object({ name: z.string(), lastDay: z.string() }))
  .meta({ description: 'The one used last comes last.' });
const usual = z.object({ typical: z.number(), record: z.number() });

/** What one account or domain usually does. */
export const profileShape = z
  .object({
    known: z.boolean().meta({ description: 'False while it is still being learnt.' }),
    firstDay: z.string(),
    lastDay: z.string().meta({ description: 'The last day that is summarised, in UTC.' }),
    weeks: z.int().meta({ description: 'Weeks with sends among the last eight, which all the rest is of.' }),
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

/** Null where nothing is known, or the subject is none that has baselines. */
export function profileView(
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
    ...{ firstDay: dateOf(profile.firstDay), lastDay: dateOf(profile.lastDay), weeks },
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
