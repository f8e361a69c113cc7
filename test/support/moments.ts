import type { Profile } from '../../projections/baselines/profile.js';
import { NO_PROFILE } from '../../projections/baselines/profile.js';
import { withDay } from '../../projections/baselines/learning.js';
import type { ConditionContext } from '../../projections/volume/conditions.js';
import { DAY, HOUR } from '../../src/kernel/time.js';
import type { SenderDaySummarised } from '../../src/sending/day-summary.js';
import type { SenderFields } from '../../src/sending/events.js';
import { DAY_0, summary } from './days.js';

/* What conditions are asked about. */

export const TODAY = DAY_0 + 60;
export const SENDER: SenderFields = {
  direction: 'outbound',
  ip: '192.0.2.7',
  ehlo: 'PC.example.com',
  country: 'DE',
  asn: 64500,
};
export const learn = (...days: readonly SenderDaySummarised[]): Profile =>
  days.reduce((profile, each) => withDay(profile, each, []), NO_PROFILE);
export const KNOWN = learn(
  summary(TODAY - 40, {
    networks: ['192.0.2.7', '2001:db8:1:2::/64'],
    ehlos: ['pc.example.com'],
    countries: ['DE'],
    asns: [64500],
    hours: (1 << 8) | (1 << 9),
  }),
  summary(TODAY - 35, { hours: 1 << 17 }),
);

/** At ten in the morning, of a sender that is known. */
export function moment(more: Partial<ConditionContext> = {}): ConditionContext {
  return {
    at: TODAY * DAY + 10 * HOUR,
    day: TODAY,
    profile: KNOWN,
    pending: [],
    learnt: true,
    isKnownOf: () => true,
    watchedFor: 60 * DAY,
    sender: SENDER,
    distinct: () => 0,
    share: () => ({ failed: 0, tried: 0 }),
    ...more,
  };
}
