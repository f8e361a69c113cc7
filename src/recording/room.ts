import type { ReadModels } from '../detector/read-models.js';
import type { Instant } from '../kernel/time.js';

/** How much more an account may send before a rule can block it. */
export interface Room {
  readonly messages: number;
  readonly recipients: number;
}

const ENDLESS: Room = { messages: Infinity, recipients: Infinity };
const NONE: Room = { messages: 0, recipients: 0 };

/**
 * What the limits of an account still allow: of a bulk sender more than of others. Endless where no rule on how much it sends
 * may block it; none where one counts bytes, which are not known of what is in the air. A process that folds no sends knows neither counts nor habits: there it is what fixed limits and overrides say.
 *
 * @param account in normal form
 */
export function roomOf(
  { sendVolume, exemptions }: Pick<ReadModels, 'sendVolume' | 'exemptions'>,
  account: string,
  now: Instant,
): Room {
  const { mode, rules } = sendVolume.rules;
  const blocking = new Set(
    rules.filter(({ then, per }) => then === 'block' && per === 'account').map(({ id }) => id),
  );
  const subject = { type: 'account', value: account } as const;
  if (mode === 'observe' || blocking.size === 0 || exemptions.covering(subject, now) !== undefined)
    return ENDLESS;
  let { messages, recipients } = ENDLESS;
  for (const { rule, count, limit, observed, notNow } of sendVolume.readings(subject, now)) {
    if (!blocking.has(rule) || notNow !== undefined) continue;
    if (count === 'bytes') return NONE;
    if (count === 'messages') messages = Math.min(messages, limit - observed);
    if (count === 'recipients') recipients = Math.min(recipients, limit - observed);
  }
  return { messages, recipients };
}
