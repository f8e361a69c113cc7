import type { BlockEvent } from '../blocks/events.js';
import type { NoticeEvent } from '../config/notices.js';
import { NOTICE_EVENTS } from '../config/notices.js';
import type { Check, Fact, RecordedEvent } from '../kernel/events.js';
import { keyOf, oneOf, optional, shaped, streamName, text, whole, wholeOrNull } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import { isImported } from '../sending/events.js';
import type { Direction, Subject } from '../sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES, subjectOfKey } from '../sending/subjects.js';

/** Streams `notices-<channel>`: what is to be sent to one channel, and what came of it. */
export const NOTICES_CATEGORY = 'notices';
/** Who signs what is decided about notices. */
export const BY_NOTICES = 'system:notices';

export const noticesStream = (channel: string): string => streamName(NOTICES_CATEGORY, channel);

/** One thing that people are told of. */
export interface Item {
  readonly event: NoticeEvent;
  /** Of the event that it tells of; 0 for one that is derived. */
  readonly position: number;
  readonly at: Instant;
  readonly by: string;
  readonly block?: string;
  readonly subject?: Subject;
  /** Whose mail the block refuses; absent in what earlier versions recorded. */
  readonly direction?: Direction;
  /** Why, in one sentence: that of the evidence. */
  readonly why: string;
  /** When the block ends, or the proposal lapses; null: never. */
  readonly until?: Instant | null;
  readonly rule?: string;
  readonly note?: string;
  /** What has ended the block since, before anybody was told that it began. */
  readonly over?: Pick<Item, 'at' | 'by'> & { readonly event: 'released' | 'expired' };
}

export const NOTICE_KINDS = ['events', 'waiting', 'breaker', 'test'] as const;
/** `waiting`: proposals that still wait for an answer. */
export type NoticeKind = (typeof NOTICE_KINDS)[number];

/** What is sent as a whole. */
export interface Notice {
  /** Stays the same over all attempts: the `webhook-id`. */
  readonly id: string;
  readonly kind: NoticeKind;
  readonly at: Instant;
  /** The address of one owner; absent if it goes to the channel itself. */
  readonly to?: string;
  /** Those that are named. */
  readonly items: readonly Item[];
  /** All of them, by event. */
  readonly counts: Readonly<Partial<Record<NoticeEvent, number>>>;
  /** How many of these are over already, by event; absent if none is. */
  readonly over?: Readonly<Partial<Record<NoticeEvent, number>>>;
}

/** A receiver that took no more, or was not told yet: for it everything is decided upon only up to this position. */
export interface Behind {
  /** The address of an owner; absent for the channel itself. */
  readonly to?: string;
  readonly through: number;
  /** It was due, and the append had no room: it is told next, without another pause. */
  readonly left?: true;
}

/** Up to where it is decided what is told of block events. */
export interface Decision {
  /** Everything up to this position is decided upon, for all but those behind. */
  readonly through: number;
  readonly behind?: readonly Behind[];
}

export type ChannelFact =
  /** The first one begins the channel. */
  | Fact<'ChannelFollowed', Decision>
  /** @param through absent if the notice decides nothing about block events, or another one recorded with it has decided */
  | Fact<'NoticeDue', Partial<Decision> & { readonly notice: Notice; readonly breakers?: readonly string[] }>
  /** It still waits; what was recorded of it before is far back in the stream. */
  | Fact<
      'NoticeKept',
      {
        readonly notice: Notice;
        readonly attempts: number;
        readonly nextAt: Instant;
        readonly error?: string;
        readonly told?: readonly string[];
      }
    >
  /** Somebody sends it now; nobody else does until the lease is over. */
  | Fact<'NoticeAttempted', { readonly notice: string }>
  | Fact<'NoticeDelivered', { readonly notice: string }>
  /**
   * `retryAt` null: it is a dead letter. `gone`: the receiver wants no more (410). `told`: addresses that took it all the same, and
   * do not get it again.
   */
  | Fact<
      'NoticeFailed',
      {
        readonly notice: string;
        readonly error: string;
        readonly retryAt: Instant | null;
        readonly gone?: true;
        readonly told?: readonly string[];
      }
    >
  | Fact<'NoticeResent', { readonly notice: string }>
  | Fact<'BreakerClosed', { readonly breakers: readonly string[] }>;

export type ChannelEvent = ChannelFact & Pick<RecordedEvent, 'at' | 'revision'>;

/** What it says of that; undefined if nothing. */
export function decisionOf({ type, data }: ChannelFact): Decision | undefined {
  if (type === 'ChannelFollowed') return data;
  if (type !== 'NoticeDue' || data.through === undefined) return undefined;
  const { through, behind } = data;
  return { through, ...(behind === undefined ? {} : { behind }) };
}

const item = shaped<Item>({
  event: oneOf(NOTICE_EVENTS),
  position: whole,
  at: whole,
  by: text,
  why: text,
  until: optional(wholeOrNull),
  over: optional(shaped({ event: oneOf(['released', 'expired']), at: whole, by: text })),
  subject: optional(shaped<Subject>({ type: oneOf(SUBJECT_TYPES), value: text })),
  direction: optional(oneOf(DIRECTIONS)),
});
const all =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const notice = shaped<Notice>({
  id: text,
  kind: oneOf(NOTICE_KINDS),
  at: whole,
  items: all(item),
  to: optional(text),
});
const about = shaped({ notice: text });
const behind = all(shaped<Behind>({ to: optional(text), through: whole }));

const SHAPES: { readonly [Type in ChannelFact['type']]: Check } = {
  ChannelFollowed: shaped({ through: whole, behind: optional(behind) }),
  NoticeDue: shaped({
    notice,
    through: optional(whole),
    behind: optional(behind),
    breakers: optional(all(text)),
  }),
  NoticeKept: shaped({
    notice,
    attempts: whole,
    nextAt: whole,
    error: optional(text),
    told: optional(all(text)),
  }),
  NoticeAttempted: about,
  NoticeDelivered: about,
  NoticeFailed: shaped({ notice: text, error: text, retryAt: wholeOrNull, told: optional(all(text)) }),
  NoticeResent: about,
  BreakerClosed: shaped({ breakers: all(text) }),
};

export function isChannelEvent(event: RecordedEvent): event is RecordedEvent & ChannelEvent {
  return Object.hasOwn(SHAPES, event.type) && SHAPES[event.type as ChannelFact['type']](event.data);
}

const TOLD: Readonly<Partial<Record<BlockEvent['type'], NoticeEvent>>> = {
  BlockProposed: 'proposed',
  BlockImposed: 'imposed',
  ProposalApproved: 'approved',
  ProposalDismissed: 'dismissed',
  BlockReleased: 'released',
  BlockExpired: 'expired',
  ProposalLapsed: 'lapsed',
};
/** Characters of a sentence that are passed on. */
const LONGEST_SENTENCE = 500;

export const shortSentence = (text = ''): string => text.slice(0, LONGEST_SENTENCE);

/** What the ledger knows of a block, for events that do not say it themselves. */
export interface Known {
  readonly description: string;
  readonly direction: Direction;
  readonly rule: string | undefined;
  readonly evidence: { readonly sentence: string } | undefined;
  readonly until: Instant | null | undefined;
}

/** What people are told of a block event; undefined if it is nothing to tell. */
export function itemOf(event: RecordedEvent & BlockEvent, known: Known | undefined): Item | undefined {
  const told = TOLD[event.type];
  if (told === undefined || !('block' in event.data) || isImported(event)) return undefined;
  const data = event.data as Partial<
    Record<'description' | 'rule' | 'note', string> & {
      evidence: { sentence: string };
      until: Instant | null;
      lapsesAt: Instant;
      direction: Direction;
    }
  > & { block: string };
  const subject = subjectOfKey(keyOf(event.stream));
  const why = data.evidence?.sentence ?? data.description ?? known?.evidence?.sentence ?? known?.description;
  const until = data.until ?? data.lapsesAt ?? (told === 'approved' ? known?.until : data.until);
  // A block that a person set over a proposal goes on under its id and rule, and no approval tells of it.
  const rule = data.rule ?? (told === 'imposed' ? undefined : known?.rule);
  const direction = data.direction ?? known?.direction;
  return {
    event: told,
    position: event.position,
    at: event.at,
    by: event.by,
    block: data.block,
    ...(subject === undefined ? {} : { subject }),
    ...(direction === undefined ? {} : { direction }),
    why: shortSentence(why),
    ...(until === undefined ? {} : { until }),
    ...(rule === undefined ? {} : { rule }),
    ...(data.note === undefined ? {} : { note: shortSentence(data.note) }),
  };
}
