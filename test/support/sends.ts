import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import { parseRules } from '../../src/rules/parse.js';
import type { RuleSet, RulesChanged } from '../../src/rules/model.js';
import type { BlockFact } from '../../src/blocks/events.js';
import type { AuthenticationFailed, MessageAccepted } from '../../src/sending/events.js';

/* Events as the store would hand them over, for tests of reducers. */

export function event(
  type: string,
  data: unknown,
  at: Instant,
  position: number,
  more?: Partial<RecordedEvent>,
): RecordedEvent {
  const plain: RecordedEvent = {
    id: `e${position}`,
    type,
    data,
    at,
    by: 'smtp:test',
    stream: 'send-test',
    revision: position,
    position,
    recordedAt: at,
  };
  // Some tests make half a million: to spread what is not there takes longer than all else.
  return more === undefined ? plain : { ...plain, ...more };
}

/** One message to one recipient from alice, unless said otherwise. */
export function sent(
  at: Instant,
  position: number,
  more: Partial<MessageAccepted> = {},
  envelope?: Partial<RecordedEvent>,
): RecordedEvent {
  const data: MessageAccepted = {
    account: 'alice@example.com',
    returnPath: 'alice@example.com',
    ehlo: 'pc.example.com',
    ip: '192.0.2.7',
    direction: 'outbound',
    transaction: `t${position}`,
    recipients: 1,
    size: 1000,
    recipientDomains: ['example.org'],
    entitled: true,
    ...more,
  };
  return event('MessageAccepted', data, at, position, envelope);
}

export function failed(
  at: Instant,
  position: number,
  more: Partial<AuthenticationFailed> = {},
): RecordedEvent {
  const data = { network: '192.0.2.7', kind: 'genuine', count: 1, since: at, ...more };
  return event('AuthenticationFailed', data, at, position);
}

/** By their text: histories have the same few again and again, and to parse them takes longer than to fold them. */
const known = new Map<string, RuleSet>();

/** @param source YAML of the rules list alone, or of a whole file that begins with `version:` */
export function rulesChanged(source: string, at: Instant, position: number, version = 1): RecordedEvent {
  const text = source.startsWith('version:') ? source : `version: 1\nrules:\n${source}`;
  let parsed = known.get(text);
  if (parsed === undefined) known.set(text, (parsed = parseRules(text)));
  // A copy, as each event that is read from a store has one of its own.
  const rules = structuredClone(parsed);
  const data: RulesChanged = { version, rules, source: text, origin: 'file' };
  return event('RulesChanged', data, at, position, { stream: 'rules' });
}

/** @param source as for {@link rulesChanged} */
export function shadowChanged(source: string, at: Instant, position: number, version = 1): RecordedEvent {
  const { data } = rulesChanged(source, at, position) as RecordedEvent<string, RulesChanged>;
  const { rules, source: text } = data;
  return event('ShadowRulesChanged', { version, rules, source: text }, at, position, { stream: 'rules' });
}

export function blockEvent(fact: BlockFact, at: Instant, position: number): RecordedEvent {
  return event(fact.type, fact.data, at, position, { stream: 'block-test' });
}
