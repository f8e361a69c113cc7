import type { Fact, RecordedEvent } from '../kernel/events.js';
import { optional, shaped, streamName, text, whole } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';
import type { MailDirection, Subject } from './subjects.js';
import { senderIdentity, sendStreamKey } from './subjects.js';

/** Streams `send-<account | return path | client network>`. */
export const SEND_CATEGORY = 'send';
/** Streams `auth-<client network>`: never named by what a stranger typed as a login. */
export const AUTH_CATEGORY = 'auth';
/** Streams `held-<block>`: the messages that mail servers hold for a block. */
export const HELD_CATEGORY = 'held';

/** Who sent, as recorded. Absent fields were not known at that stage. Addresses as the client wrote them. */
export interface SenderFields {
  readonly account?: string;
  readonly returnPath?: string;
  readonly ehlo?: string;
  readonly ip?: string;
  /** Where the client is, by the operator's database: ISO 3166-1 alpha-2. */
  readonly country?: string;
  /** The number of the autonomous system that it is in, likewise. */
  readonly asn?: number;
  readonly direction: MailDirection;
}

/** One message accepted for relay: a send. Also one that the upstream may have, where its client did not wait to hear. */
export interface MessageAccepted extends SenderFields {
  /** The id in the Received header. */
  readonly transaction: string;
  readonly recipients: number;
  /** Bytes, as received. */
  readonly size: number;
  /** Distinct recipient domains in normal form, the first 20. */
  readonly recipientDomains: readonly string[];
  /** False if the account may not speak for that return path: then nothing is counted per address. */
  readonly entitled: boolean;
  /** Recipients of a message that an earlier event of the same transaction has recorded without them: it is no other message. */
  readonly further?: boolean;
  /** It was on hold for a block on its sender, and somebody has let it go: nothing counts it once more as what its sender does now. */
  readonly wasJudged?: boolean;
}

/** How many messages the event adds. */
export function messagesOf({ further }: Pick<MessageAccepted, 'further'>): 0 | 1 {
  return further === true ? 0 : 1;
}

/** Recipients that the upstream refused within one transaction. */
export interface RecipientsRefused extends SenderFields {
  readonly transaction: string;
  readonly count: number;
  /** The upstream's last answer, without any address. */
  readonly code: number;
  readonly entitled: boolean;
}

export type RefusalStage = 'auth' | 'rcpt' | 'data';

/** Soft-failed: our own refusal. Never counts as volume. */
export interface MessageRefused extends SenderFields {
  readonly stage: RefusalStage;
  /** The block that did it. */
  readonly block: string;
  /** What the client was told. */
  readonly reply: string;
  /** It was to be held, and was not. Where that came out at DATA only, its recipients were told HOLD before. */
  readonly unheld?: true;
  /** That is so because the block held as much as one may; else the mail server could not hold it. */
  readonly full?: true;
  /** How many refusals this event tells of (a flood is summarised). */
  readonly count: number;
  /** When the first of them happened. */
  readonly since: Instant;
}

/** A message that a mail server took and holds: it was not sent on. Never counts as volume. */
export interface MessageHeld extends SenderFields {
  /** The block for which it is held. */
  readonly block: string;
  /** Its queue id there. */
  readonly transaction: string;
  readonly recipients: number;
  readonly size: number;
}

/** What was held for one block is held for another from now on. */
export interface HeldMailMoved {
  /** The block for which it was held. */
  readonly block: string;
  /** The block for which it is held now: its own stream lists it. */
  readonly to: string;
  /** Its queue id. */
  readonly transaction: string;
  /** Of its event in the stream of the first block; absent if it was never listed there. */
  readonly revision?: number;
}

/** The hook is about to be called for the first time to hold what waits in the queue for a block: from now on it may hold some. */
export interface HookCalled {
  readonly block: string;
}

/**
 * Mail of a local address came back: a message from the null sender arrived for it, which anybody can send. With `send` it is
 * proven, and counts for the account that sent.
 */
export interface BounceReceived {
  /** The sender whose mail bounced. */
  readonly address: string;
  readonly ip?: string;
  /** The id of the event of the message that came back: the report names an id that only those know whom that message has reached. */
  readonly send?: string;
  /** Of a proven one, as the send has them. */
  readonly account?: string;
  readonly entitled?: boolean;
  /** `complaint`: it was delivered, and its recipient complained. */
  readonly kind?: 'failed' | 'complaint';
  /** As RFC 3463 has it: 4.x.x where it was tried for too long. */
  readonly status?: string;
}

/** Failed logins from one client network. */
export interface AuthenticationFailed {
  /** The client network: an IPv4 address or an IPv6 /64. */
  readonly network: string;
  /** `feigned`: the password may have been right; a block made it fail. */
  readonly kind: 'genuine' | 'feigned';
  /**
   * These credentials had not failed from this network within the last hour. The failure counts against the network,
   * genuine or not, because the consequences must not tell the two apart. Without this field, where credentials
   * cannot be told apart, genuine ones count and feigned ones do not.
   */
  readonly fresh?: boolean;
  /** The block that caused a feigned failure. */
  readonly block?: string;
  /** The account of a feigned failure: it exists, so its name is no stranger's guess. */
  readonly account?: string;
  /** Where the client is, as {@link SenderFields} have it. */
  readonly country?: string;
  readonly asn?: number;
  readonly count: number;
  readonly since: Instant;
}

export type SendEvent =
  | Fact<'MessageAccepted', MessageAccepted>
  | Fact<'RecipientsRefused', RecipientsRefused>
  | Fact<'MessageRefused', MessageRefused>
  | Fact<'BounceReceived', BounceReceived>;

/** Who records that the hook holds what it found in the queue: unlike other held mail it was taken, and counted, before. */
export const QUEUE_HOLDER = 'system:hook';

/** Postfix's ids, long and short, and Exim's. An id of ours, or a policy instance, is none. */
export function isQueueId(transaction: string): boolean {
  return /^(?!unknown$)[A-Za-z0-9][A-Za-z0-9-]{3,31}$/.test(transaction);
}

export type HeldEvent = Fact<'MessageHeld', MessageHeld>;

export type MovedEvent = Fact<'HeldMailMoved', HeldMailMoved>;

export type CalledEvent = Fact<'HookCalled', HookCalled>;

export type AuthEvent = Fact<'AuthenticationFailed', AuthenticationFailed>;

/** What the domain of a send is told by: the account, else the return path, which its stream is named by. */
export const senderOf = (key: string): Subject => ({ type: 'account', value: key });

export const sendStream = (key: string): string => streamName(SEND_CATEGORY, key);
export const heldStream = (block: string): string => streamName(HELD_CATEGORY, block);
/** A stream of its own, so that the revisions of the other one still count what came to be held. */
export const movedStream = (block: string): string => streamName(HELD_CATEGORY, `${block}:moved`);
/** Another one beside. */
export const calledStream = (block: string): string => streamName(HELD_CATEGORY, `${block}:called`);
export const authStream = (network: string): string => streamName(AUTH_CATEGORY, network);

/** Whose mail is held: under the name of a domain it may be that of an account elsewhere. */
export const senderOfHeld = (held: MessageHeld): Subject => senderOf(sendStreamKey(senderIdentity(held)));

const heldShape = shaped<MessageHeld>({ block: text, transaction: text, recipients: whole, size: whole });

const movedShape = shaped<HeldMailMoved>({
  block: text,
  to: text,
  transaction: text,
  revision: optional(whole),
});

const refusedShape = shaped<MessageRefused>({ block: text, count: whole });

/** Whether it is a refusal of ours, with data that match its type. */
export function isRefusal(event: RecordedEvent): event is RecordedEvent<'MessageRefused', MessageRefused> {
  return event.type === 'MessageRefused' && refusedShape(event.data);
}

/** Whether it is an event of ours about held mail, with data that match its type. */
export function isHeldEvent(event: RecordedEvent): event is RecordedEvent & HeldEvent {
  return event.type === 'MessageHeld' && heldShape(event.data);
}

/** Whether it is an event of ours about held mail that was moved, with data that match its type. */
export function isMovedEvent(event: RecordedEvent): event is RecordedEvent & MovedEvent {
  return event.type === 'HeldMailMoved' && movedShape(event.data);
}

/** How far a node's clock may be from the store's before its events are moved. */
export const CLOCK_TOLERANCE: Milliseconds = 5 * MINUTE;

/** For so long our own listener waits for the upstream to answer a message's final dot: it asks before, and records after. */
export const FINAL_ANSWER: Milliseconds = 10 * MINUTE;

/** What is added to the data of an event that had to wait for the store, in an outbox or with a mail server that reports it late. */
export interface Outboxed {
  /** When it was written to the node's own disk, or when the mail server saw it. */
  readonly outboxedAt?: Instant;
}

/** What an import adds to the data of an event. */
export interface Imported {
  /** What it was read from: `postfix-log`. */
  readonly imported?: string;
}

/**
 * Whether it is history that was read from somebody else's records: nobody here saw it happen, and it is over. No window
 * counts it and no rule acts on it; baselines come from the summaries of its days.
 */
export function isImported({ data }: Pick<RecordedEvent, 'data'>): boolean {
  return ((data ?? {}) as Imported).imported !== undefined;
}

/**
 * When an event counts as having happened: `at`, but never further from the time of the store that took it first
 * than the tolerance. An hour of sends that waited in an outbox is an hour of sends, not a burst. History may be of any
 * age, but not of the future.
 */
export function effectiveAt(event: Pick<RecordedEvent, 'at' | 'recordedAt' | 'data'>): Instant {
  const { outboxedAt, imported } = (event.data ?? {}) as Outboxed & Imported;
  const taken = outboxedAt ?? event.recordedAt;
  if (event.at > taken + CLOCK_TOLERANCE) return taken + CLOCK_TOLERANCE;
  if (event.at < taken - CLOCK_TOLERANCE && imported === undefined) return taken - CLOCK_TOLERANCE;
  return event.at;
}
