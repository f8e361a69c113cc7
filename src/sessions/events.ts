import type { Check, Fact, RecordedEvent } from '../kernel/events.js';
import { oneOf, optional, shaped, streamName, text, whole } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';

/** Streams `session-<person>`: when an administrator signed in and out, and what was changed of them. */
export const SESSION_CATEGORY = 'session';

export const sessionStream = (person: string): string => streamName(SESSION_CATEGORY, person);

/** Who vouches for a person that is not in the file of administrators. */
export const VIA = ['openid', 'evaluation'] as const;
export type Via = (typeof VIA)[number];

export interface SignedIn {
  readonly session: string;
  readonly person: string;
  /** SHA-256 of the session's token, which nobody keeps. */
  readonly hash: string;
  /** What the person's entry in the file of administrators was, or who vouched: the session ends when it becomes another. */
  readonly stamp: string;
  /** When it ends in any case. */
  readonly until: Instant;
  /** The client network that it was begun from. */
  readonly network: string;
  /** Of a time-based code, the step that it was for: no earlier one, nor this, is taken again. */
  readonly step?: number;
  /** SHA-256 of the recovery code that was used up. */
  readonly recovery?: string;
  /** The id of the passkey, how often it had signed then, and SHA-256 of the challenge that it signed. */
  readonly passkey?: string;
  readonly counter?: number;
  readonly challenge?: string;
  /** Of a person who is in no file of ours: who vouches, and for which rights. */
  readonly via?: Via;
  readonly role?: string;
  readonly domains?: readonly string[];
  /** SHA-256 of what the one who vouches knows them by: several people may have one name there. */
  readonly sub?: string;
}

/** Written once an hour at most, so that a session that is in use outlasts a restart. */
export interface SessionUsed {
  readonly session: string;
}

export interface SessionEnded {
  readonly session: string;
  /**
   * `expired`: its time was seen to be over, which a clock that is set back does not undo. `displaced`: another person of
   * the same name signed in, who may do more.
   */
  readonly reason: 'signed-out' | 'signed-in-again' | 'revoked' | 'expired' | 'displaced';
}

const CHANGES = ['added', 'changed', 'removed', 'link', 'password', 'second-factor', 'passkey'] as const;

/** What somebody changed of a person, or they of themselves. The file of administrators has what holds. */
export interface PersonChanged {
  readonly person: string;
  readonly what: (typeof CHANGES)[number];
  /** In words, without a secret. */
  readonly description: string;
}

export type SessionFact =
  | Fact<'SignedIn', SignedIn>
  | Fact<'SessionUsed', SessionUsed>
  | Fact<'SessionEnded', SessionEnded>
  | Fact<'PersonChanged', PersonChanged>;

export type SessionEvent = SessionFact & Pick<RecordedEvent, 'at' | 'by'>;

const SHAPES: { readonly [Type in SessionFact['type']]: Check } = {
  SignedIn: shaped<SignedIn>({
    session: text,
    person: text,
    hash: text,
    stamp: text,
    until: whole,
    network: text,
    step: optional(whole),
    recovery: optional(text),
    via: optional(oneOf(VIA)),
    role: optional(text),
    passkey: optional(text),
    counter: optional(whole),
    challenge: optional(text),
    domains: optional((value) => Array.isArray(value) && value.every(text)),
    sub: optional(text),
  }),
  SessionUsed: shaped<SessionUsed>({ session: text }),
  SessionEnded: shaped<SessionEnded>({ session: text, reason: text }),
  PersonChanged: shaped<PersonChanged>({ person: text, what: oneOf(CHANGES), description: text }),
};

/** Whether it is one of these events, with data that match its type. */
export function isSessionEvent(event: RecordedEvent): event is RecordedEvent & SessionEvent {
  return Object.hasOwn(SHAPES, event.type) && SHAPES[event.type as SessionFact['type']](event.data);
}
