import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import type { OverrideEvent, OverrideFact } from '../../src/overrides/events.js';
import { overrideStream } from '../../src/overrides/events.js';
import type { OverrideOrigin, OverrideSubject, Terms } from '../../src/overrides/model.js';
import { event } from './sends.js';

/* Override events as the store would hand them over, for tests of reducers. */

/** Rules of the most usual shapes, independent of the built-in ones. */
export const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 100, then: block, for: 1h }
  - { id: day, per: account, count: recipients, window: 24h, limit: 1000, then: propose, for: 24h }
  - { id: domain, per: domain, count: recipients, window: 1h, limit: 2000, then: propose, for: 4h }
`;

export const account = (value: string): OverrideSubject => ({ type: 'account', value });
export const domain = (value: string): OverrideSubject => ({ type: 'domain', value });

export function overrideEvent(
  fact: OverrideFact,
  at: Instant,
  position: number,
): RecordedEvent & OverrideEvent {
  const by = fact.data.origin === 'file' ? 'system:overrides-file' : 'admin:panel';
  const stream = overrideStream(fact.data.subject);
  return event(fact.type, fact.data, at, position, { by, stream }) as RecordedEvent & OverrideEvent;
}

/** An override that holds for ever and was set through the API, unless said otherwise. */
export function overrideSet(
  subject: OverrideSubject,
  terms: Terms,
  at: Instant,
  position: number,
  more: { readonly origin?: OverrideOrigin; readonly until?: Instant | null; readonly reason?: string } = {},
): RecordedEvent & OverrideEvent {
  const data = { subject, origin: 'api', until: null, ...terms, ...more } as const;
  return overrideEvent({ type: 'OverrideSet', data }, at, position);
}
