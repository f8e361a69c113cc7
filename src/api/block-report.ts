import { z } from 'zod';
import type { BlockEntry, HistoryItem } from '../../projections/blocks/block-entry.js';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import type { PastBlocks } from '../../projections/blocks/past-blocks.js';
import { showsWayPast, underWay } from '../../projections/blocks/past-blocks.js';
import { SubjectIndex } from '../../projections/blocks/subject-index.js';
import type { Evidence } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';
import { HOLD } from '../recording/verdicts.js';
import type { Count } from '../rules/model.js';
import type { MessageAccepted, MessageRefused, RecipientsRefused, SenderFields } from '../sending/events.js';
import { effectiveAt, isHeldEvent, isImported, messagesOf } from '../sending/events.js';
import { MOST_HELD_WORDS } from '../sending/most-held.js';
import type { Direction, MailDirection, SenderIdentity } from '../sending/subjects.js';
import { directionsMeet, senderIdentity } from '../sending/subjects.js';
import { blockShape } from './block-view.js';
import type { Undone } from './held-findings.js';
import { HeldFindings } from './held-findings.js';
import { PAST_WHY } from './past-block.js';
import { decidedShape, instantShape, instantView, OTHERS_WORDS, position } from './shapes.js';

/** Different replies and sources that are kept. A client chooses its network, so that they may be without number. */
const MOST_KEPT = 1000;
/** Different replies and sources that are told. */
const MOST_TOLD = 10;
/** A flood of refusals is recorded when it pauses, which may be after the end of the block. */
const RECORDED_LATE: Milliseconds = MINUTE;

const passedShape = z
  .object({
    messages: z.int(),
    recipients: z.int(),
    bytes: z.int(),
    refusedRecipients: z.int().meta({ description: 'Recipients that the mail server behind refused.' }),
    first: instantShape.nullable(),
    last: instantShape.nullable(),
  })
  .meta({ id: 'PassedMail', description: 'Mail that got through.' });

const stageShape = z.object({
  stage: z.enum(['auth', 'rcpt', 'data']),
  refusals: z.int(),
  first: instantShape,
  last: instantShape,
});

export const reportShape = z
  .object({
    block: blockShape,
    onset: z.object({ at: instantShape, position }).nullable().meta({
      description:
        'The first send since the beginning of what the evidence looks at: what it counts has begun then, or later. Null without evidence that counts sends.',
    }),
    before: passedShape.nullable().meta({
      description:
        'What got through before the block: all since the beginning of what the evidence looks at, which may be more than it counts; without evidence within the day before. Mail of a direction that the block took in later counts until then, with evidence. Null where that is not counted: without evidence, or with one of failed logins alone, and not of an account.',
    }),
    after: passedShape.meta({
      description:
        'What got through after the block had begun, within a minute, or within 11 of what our own listener had asked about: messages that were under way. Also what was held, and a person has let go while the block was in force.',
    }),
    letGo: z.boolean().meta({ description: 'Whether some of `after` was held first.' }),
    past: passedShape.meta({ description: 'What got through later while the block was in force.' }),
    pastWhy: z
      .string()
      .nullable()
      .meta({ description: 'Why it may have, and what to do; null where nothing has.' }),
    bounces: z.int().meta({ description: 'Bounces that came back since the onset.' }),
    sources: z
      .array(z.object({ ip: z.string(), messages: z.int(), recipients: z.int() }))
      .meta({ description: `From where it came, most recipients first, at most ${MOST_TOLD}.` }),
    otherSources: z.int().meta({ description: 'How many more there are; at most 1,000 are told apart.' }),
    stopped: z.array(stageShape).meta({ description: 'What the block refused, by stage.' }),
    told: z.array(stageShape.extend({ reply: z.string() })).meta({
      description: `The replies that clients heard, most frequent first, at most ${MOST_TOLD}. HOLD: the mail server was to take the mail and hold it; what it refused in place of that is not counted there.`,
    }),
    otherReplies: z.int().meta({ description: 'Refusals with other replies.' }),
    held: z
      .object({
        messages: z.int().meta({ description: 'Messages that were held in all.' }),
        recipients: z.int(),
        queued: z.int().meta({
          description:
            'Of these, messages that were found in the queue when the block began. They count as got through too: some of their recipients may have them.',
        }),
        waiting: z.int().meta({
          description:
            'Of these, messages that are listed as held still: also what was let go by hand, and what the hook had released or deleted before it was given up.',
        }),
        decided: decidedShape,
        moved: z.int().meta({
          description:
            'Of these, messages that stayed on hold for another block of their sender when they were to be released, and did not come back. They are listed there.',
        }),
        sentOn: z.int().meta({
          description:
            'Of these, messages that a mail server has reported as sent since, while the block was in force: by the hook, or by hand. What was let go by hand counts as waiting too, until the hook has released or deleted it.',
        }),
        elsewhere: z
          .object({ released: z.int(), deleted: z.int(), waiting: z.int() })
          .meta({ description: 'Of moved, what became of them there, as far as it is known.' }),
        others: z.boolean().meta({ description: OTHERS_WORDS }),
        unheld: z.int().meta({
          description:
            'Besides these, refusals of mail that was to be held and was not, mostly since the mail server could not hold it: it has to be sent again.',
        }),
        full: z.int().meta({
          description: `Of unheld, refusals since the block held as much as one may (${MOST_HELD_WORDS}).`,
        }),
      })
      .meta({ description: 'What became of them is in the history of the block.' }),
    coveredUntil: instantShape.nullable().meta({
      description:
        'Null where all is counted. Else there were too many events to read, and those after this instant are left out.',
    }),
    keptSince: instantShape.nullable().meta({
      description:
        'Null where all is kept. Else what was sent and refused before this instant has outlived its retention, and is not counted.',
    }),
  })
  .meta({ id: 'ContainmentReport' });

export type ReportJson = z.infer<typeof reportShape>;

/** What events say of a block: all of {@link reportShape} but what the store and the clock have to say besides. */
export type Findings = Omit<ReportJson, 'block' | 'coveredUntil' | 'keptSince' | 'held'> & {
  readonly held: Omit<ReportJson['held'], 'waiting' | 'decided' | 'elsewhere' | 'others'>;
};

/**
 * No send that the evidence of a block counts is before this position, and others may be after it. Undefined without
 * evidence about mail: mail that came from where logins failed has nothing to do with these.
 */
export function onsetOf(entry: BlockEntry): number | undefined {
  return firstOf(entry, ({ count }) => count !== 'authFailures');
}

function firstOf(
  { history, evidence }: BlockEntry,
  isWanted: (evidence: Pick<Evidence, 'count'>) => boolean,
): number | undefined {
  const positions = [evidence, ...history.map((item) => item.evidence)].flatMap((one) =>
    one === undefined || !isWanted(one) ? [] : [one.firstPosition],
  );
  return positions.length === 0 ? undefined : Math.min(...positions);
}

/**
 * What the events of senders say about one block: what got through before and after, what it stopped, and what clients
 * were told. Events are summed, so that a flood takes no more room than one of them. Hand them over in the order of their
 * positions, what was held last of all; those of other senders count for nothing.
 */
export class ContainmentReport {
  readonly #entry: BlockEntry;
  readonly #onset: number | undefined;
  /** As {@link onsetOf}, of evidence that counts sends: what came back was sent before. */
  readonly #sends: number;
  /** Position of the event that began the block; Infinity if none did. */
  readonly #imposed: number;
  /** What has made it stop mail of a direction: what began it, or took that direction in; undefined if nothing did. */
  readonly #begin: Readonly<Record<MailDirection, HistoryItem | undefined>>;
  /** What made the direction of the block another one, in order. */
  readonly #turns: readonly HistoryItem[];
  /** Position of the event that ended the block; Infinity if it did not. */
  readonly #end: number;
  /** When it ends: the event that says so may come later. */
  readonly #endsAt: Instant;
  readonly #subject = new SubjectIndex<true>();
  readonly #seen = new SeenIds();
  #first: { readonly at: Instant; readonly position: number } | undefined;
  readonly #before = new Passed();
  readonly #after = new Passed();
  readonly #past = new Passed();
  readonly #pastBlocks: Pick<PastBlocks, 'wasHeld'>;
  #letGo = false;
  #bounces = 0;
  readonly #sources = new Map<string, { messages: number; recipients: number }>();
  readonly #stopped = new Map<string, Told>();
  readonly #told = new Map<string, Told>();
  #otherReplies = 0;
  readonly #heldMail: HeldFindings;
  readonly #unheld = { unheld: 0, full: 0 };
  /** Refusals of messages whose recipients had been told HOLD. */
  #toldHold = 0;

  constructor(entry: BlockEntry, pastBlocks: Pick<PastBlocks, 'wasHeld'>, moved: ReadonlySet<number>) {
    const { history } = entry;
    this.#entry = entry;
    this.#pastBlocks = pastBlocks;
    this.#heldMail = new HeldFindings(entry, moved);
    this.#onset = onsetOf(entry);
    this.#sends = firstOf(entry, ({ count }) => !COUNTS_NO_SENDS.has(count)) ?? Infinity;
    const begin = history.findIndex(({ type }) => type === 'BlockImposed');
    this.#turns = begin === -1 ? [] : history.slice(begin + 1).filter(({ replaced }) => replaced?.direction);
    this.#imposed = history[begin]?.position ?? Infinity;
    const beginOf = (direction: MailDirection): HistoryItem | undefined =>
      this.#turns.findLast(({ replaced }) => !directionsMeet(replaced!.direction!, direction)) ??
      history[begin];
    this.#begin = { outbound: beginOf('outbound'), inbound: beginOf('inbound') };
    this.#end = history.find(({ type }) => ENDS.has(type))?.position ?? Infinity;
    this.#endsAt = entry.endedAt ?? (entry.state === 'proposed' ? entry.lapsesAt : entry.until) ?? Infinity;
    this.#subject.set(entry.subject, true);
  }

  /** Whether an event of this instant says nothing about the block any more. */
  isBeyond(at: Instant): boolean {
    return at > this.#endsAt + RECORDED_LATE;
  }

  apply(event: RecordedEvent): void {
    if (isImported(event) || !this.#seen.isNew(event.id)) return;
    if (isHeldEvent(event)) {
      if (event.data.block === this.#entry.id) this.#heldMail.held(event);
    } else if (event.type === 'MessageRefused') this.#refused(event.data as MessageRefused, event.at);
    else if (event.position >= (this.#onset ?? 0) && event.position < this.#end && event.at < this.#endsAt)
      this.#sent(event);
  }

  #refused({ block, stage, reply, unheld, full, count, since }: MessageRefused, at: Instant): void {
    if (block !== this.#entry.id) return;
    if (unheld === true) {
      this.#unheld.unheld += count;
      if (full === true) this.#unheld.full += count;
      if (stage === 'data') this.#toldHold += count;
    }
    if (reply !== HOLD) tell(this.#stopped, stage, { stage, reply: '', count, since }, at);
    const key = `${stage} ${reply}`;
    if (this.#told.size < MOST_KEPT || this.#told.has(key))
      tell(this.#told, key, { stage, reply, count, since }, at);
    else this.#otherReplies += count;
  }

  #sent(event: RecordedEvent): void {
    const { type, data, at, position: place } = event;
    if (type === 'BounceReceived') {
      const { address } = data as { readonly address: string };
      if (this.#isOf(identityOf({ account: address, returnPath: address, direction: 'outbound' })))
        this.#bounces++;
      return;
    }
    if (type !== 'MessageAccepted' && type !== 'RecipientsRefused') return;
    const sender = identityOf(data as SenderFields);
    if (!this.#isOf(sender)) return;
    const { type: of } = this.#entry.subject;
    const begin = this.#begin[sender.direction];
    const isBefore = begin === undefined || place < begin.position;
    // Without evidence the time before it is the day before the block.
    if (isBefore && this.#onset === undefined && place > this.#imposed) return;
    if (!isBefore && !showsWayPast({ type: of, direction: this.#directionAt(place) }, sender)) return;
    const passed = isBefore ? this.#before : this.#sinceBegin(event, begin.at);
    if (type === 'RecipientsRefused') {
      passed.refusedRecipients += (data as RecipientsRefused).count;
      return;
    }
    const message = data as MessageAccepted;
    // What a mail server reports late comes after what it sent later.
    const isFirst = this.#first === undefined || at < this.#first.at;
    if (isFirst && place >= this.#sends && isBefore) this.#first = { at, position: place };
    if (!isBefore && this.#pastBlocks.wasHeld(message.transaction))
      this.#heldMail.sentOn(message.transaction);
    passed.add(message, at);
    const ip = message.ip ?? 'unknown';
    const source = this.#sources.get(ip) ?? { messages: 0, recipients: 0 };
    source.messages += messagesOf(message);
    source.recipients += message.recipients;
    if (this.#sources.size < MOST_KEPT || this.#sources.has(ip)) this.#sources.set(ip, source);
  }

  /** The direction of the block when an event was recorded. */
  #directionAt(place: number): Direction {
    return this.#turns.find(({ position }) => position > place)?.replaced?.direction ?? this.#entry.direction;
  }

  /** Where a send counts that came since the block began, or took in mail of its direction. */
  #sinceBegin(event: RecordedEvent, begun: Instant): Passed {
    const { further, transaction } = event.data as Partial<MessageAccepted>;
    // Recipients that are told of when their delivery is may be of a message that was taken before.
    if (further === true) return this.#past.messages > 0 ? this.#past : this.#after;
    const isLetGo = transaction !== undefined && this.#pastBlocks.wasHeld(transaction);
    this.#letGo ||= isLetGo;
    const at = Math.min(effectiveAt(event), event.recordedAt);
    return isLetGo || at <= begun + underWay(event) ? this.#after : this.#past;
  }

  /** Whether the block is about this sender. */
  #isOf(sender: SenderIdentity): boolean {
    if (!directionsMeet(this.#entry.direction, sender.direction)) return false;
    let isOf = false;
    this.#subject.forEachMatch(sender, () => (isOf = true));
    return isOf;
  }

  /** Without HOLD for messages that were refused all the same: their clients heard the refusal alone. */
  #toldInTheEnd(): Told[] {
    return [...this.#told.values()].flatMap((sum) => {
      if (sum.stage !== 'rcpt' || sum.reply !== HOLD) return [sum];
      const count = sum.count - this.#toldHold;
      return count > 0 ? [{ ...sum, count }] : [];
    });
  }

  /** @see HeldFindings.undone */
  undone(callsHook: boolean): Undone {
    return this.#heldMail.undone(callsHook);
  }

  findings(): Findings {
    const sources = [...this.#sources].map(([ip, sums]) => ({ ip, ...sums }));
    sources.sort((a, b) => b.recipients - a.recipients);
    const told = this.#toldInTheEnd().sort((a, b) => b.count - a.count);
    const first = this.#first;
    return {
      onset: first === undefined ? null : { ...first, at: instantView(first.at)! },
      // Only an account has a stream of its own: of others nothing is read that came before the block.
      before:
        this.#onset === undefined && this.#entry.subject.type !== 'account' ? null : this.#before.view(),
      after: this.#after.view(),
      letGo: this.#letGo,
      past: this.#past.view(),
      pastWhy: this.#past.recipients === 0 ? null : PAST_SENTENCE,
      bounces: this.#bounces,
      sources: sources.slice(0, MOST_TOLD),
      otherSources: Math.max(0, sources.length - MOST_TOLD),
      stopped: [...this.#stopped.values()].map(({ reply: _, ...stopped }) => toldView(stopped)),
      told: told.slice(0, MOST_TOLD).map(({ reply, ...rest }) => ({ ...toldView(rest), reply })),
      otherReplies: told.slice(MOST_TOLD).reduce((sum, { count }) => sum + count, this.#otherReplies),
      held: { ...this.#heldMail.sums(), ...this.#unheld },
    };
  }
}

const PAST_SENTENCE = `Mail went past the block: ${PAST_WHY}.`;

const COUNTS_NO_SENDS: ReadonlySet<string> = new Set<Count>(['authFailures', 'bounces']);

const ENDS: ReadonlySet<string> = new Set([
  'BlockReleased',
  'BlockExpired',
  'ProposalDismissed',
  'ProposalLapsed',
]);

class Passed {
  messages = 0;
  recipients = 0;
  bytes = 0;
  refusedRecipients = 0;
  first = Infinity;
  last = -Infinity;

  add(message: MessageAccepted, at: Instant): void {
    this.messages += messagesOf(message);
    this.recipients += message.recipients;
    this.bytes += message.size;
    this.first = Math.min(this.first, at);
    this.last = Math.max(this.last, at);
  }

  view(): ReportJson['after'] {
    const { messages, recipients, bytes, refusedRecipients, first, last } = this;
    const isNone = recipients === 0;
    const times = { first: isNone ? null : instantView(first), last: isNone ? null : instantView(last) };
    return { messages, recipients, bytes, refusedRecipients, ...times };
  }
}

interface Told {
  readonly stage: MessageRefused['stage'];
  readonly reply: string;
  count: number;
  first: Instant;
  last: Instant;
}

function tell(
  sums: Map<string, Told>,
  key: string,
  { since, ...refused }: Pick<MessageRefused, 'stage' | 'reply' | 'count' | 'since'>,
  at: Instant,
): void {
  const sum = sums.get(key);
  // A flood is recorded each ten seconds, a single refusal among it too.
  const last = refused.count === 1 ? since : at;
  if (sum === undefined) {
    sums.set(key, { ...refused, first: since, last });
    return;
  }
  sum.count += refused.count;
  sum.first = Math.min(sum.first, since);
  sum.last = Math.max(sum.last, last);
}

function toldView({ stage, count, first, last }: Omit<Told, 'reply'>): ReportJson['stopped'][number] {
  return { stage, refusals: count, first: instantView(first)!, last: instantView(last)! };
}

function identityOf(raw: SenderFields): SenderIdentity {
  return senderIdentity({
    account: raw.account,
    returnPath: raw.returnPath,
    ehlo: raw.ehlo,
    ip: raw.ip,
    direction: raw.direction,
  });
}
