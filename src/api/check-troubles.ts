import type { Instant, Milliseconds } from '../kernel/time.js';
import type { MailDirection } from '../sending/subjects.js';
import type { PutOffFor } from '../recording/put-offs.js';
import type { ApiDependencies } from './dependencies.js';

/** What put off everybody. */
export interface Trouble {
  readonly why: PutOffFor;
  /** When, as far as it concerns the time that is asked about; undefined if it is so now, and now is asked about. */
  readonly at: Instant | undefined;
  /** From when to when somebody was put off for it, as far as is known. */
  readonly heard: { readonly since: Instant; readonly last: Instant } | undefined;
}

/** @param about how exact the time is */
export function troublesAround(
  deps: ApiDependencies,
  direction: MailDirection,
  at: Instant,
  { isPast, about }: { readonly isPast: boolean; readonly about: Milliseconds },
): readonly Trouble[] {
  const now = isPast ? [] : presentTroubles(deps, direction).flatMap(({ why }) => why ?? []);
  const heard = (deps.putOffs?.() ?? [])
    .filter(({ since, at: last }) => since - about <= at && at <= last + about)
    .map(({ why, since, at: last }) => {
      const nearest = Math.min(last, Math.max(since, at));
      return { why, at: now.includes(why) ? undefined : nearest, heard: { since, last } };
    });
  const unheard = now.filter((why) => heard.every((one) => one.why !== why));
  return [...heard, ...unheard.map((why) => ({ why, at: undefined, heard: undefined }))];
}

/** What puts off everybody's mail now, or makes this answer out of date. */
export function outages(deps: ApiDependencies, direction: MailDirection): readonly string[] {
  return presentTroubles(deps, direction).map(({ sentence }) => sentence);
}

interface PresentTrouble {
  /** Undefined where nobody is put off for certain. */
  readonly why: PutOffFor | undefined;
  readonly sentence: string;
}

const LOGINS_AWAY: PresentTrouble = {
  why: 'logins',
  sentence:
    'The back end of logins (smtp.auth.backend) does not answer now: until it does, logins are put off (454), but for those that are remembered.',
};
const RELAY_FAILS: PresentTrouble = {
  why: 'upstream',
  sentence: 'The mail server behind does not answer now: until it does, mail of everybody is put off (451).',
};
/** One message may have been such: whether the next is put off is not known. */
const RELAY_ANSWERS_NOT_ALL: PresentTrouble = {
  why: undefined,
  sentence:
    'The mail server behind answers, but not to every message that it is sent: such a message is put off (451).',
};
const STORE_AWAY_OUTBOXES: PresentTrouble = {
  why: undefined,
  sentence:
    'The store does not answer now: SMTP nodes go on taking mail as long as their outboxes have room, and refuse senders by what they count themselves, so what is said here may be out of date.',
};
const STORE_AWAY_ASKED: PresentTrouble = {
  why: undefined,
  sentence: 'The store takes no events now: mail goes on, and what is sent is not counted.',
};
const STORE_AWAY: PresentTrouble = {
  why: 'store',
  sentence: 'The store takes no events now: until it does, messages of everybody are put off (451).',
};

function presentTroubles(deps: ApiDependencies, direction: MailDirection): readonly PresentTrouble[] {
  const relay = deps.upstreamState?.(direction);
  const ofStore =
    deps.hasOutboxes === true ? STORE_AWAY_OUTBOXES : deps.isAsked === true ? STORE_AWAY_ASKED : STORE_AWAY;
  return [
    ...(deps.cannotCheck?.() === true && direction === 'outbound' ? [LOGINS_AWAY] : []),
    ...(relay === 'failing' ? [RELAY_FAILS] : relay === 'unanswered' ? [RELAY_ANSWERS_NOT_ALL] : []),
    ...(deps.health().store === 'failing' ? [ofStore] : []),
  ];
}
