import type {
  BlockEvent,
  Evidence,
  HeldAction,
  HeldWish,
  HookAction,
  HookRan,
  Refusal,
  Until,
} from '../../src/blocks/events.js';
import { heldActionOf, restingUpon } from '../../src/blocks/events.js';
import type { BlockState } from '../../src/blocks/state.js';
import { isOver } from '../../src/blocks/state.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY } from '../../src/kernel/time.js';
import type { Direction, Subject } from '../../src/sending/subjects.js';

export interface HistoryItem {
  readonly type: BlockEvent['type'];
  readonly at: Instant;
  readonly by: string;
  readonly position: number;
  readonly note?: string;
  readonly until?: Until;
  /** What clients are told from then on. */
  readonly refusal?: Refusal;
  readonly falsePositive?: boolean;
  readonly evidence?: Evidence;
  /** What a person asked for of the held mail. */
  readonly held?: HeldWish;
  /** What the hook did. */
  readonly hook?: Omit<HookRan, 'block'>;
  /** The terms that it changed, as they were before. */
  readonly replaced?: Partial<Terms>;
}

/** A person's decision on the same subject within an hour before a block or proposal of it began. */
export interface Followed {
  /** The id of the released block or dismissed proposal. */
  readonly block: string;
  readonly state: 'released' | 'dismissed';
  readonly at: Instant;
  readonly by: string;
  readonly falsePositive: boolean;
  readonly note?: string;
}

/** One block or proposal, from its first event to its last. */
export interface BlockEntry {
  readonly id: string;
  readonly subject: Subject;
  /** As recorded: {@link stateAt} knows what has fallen due since. */
  readonly state: BlockState;
  readonly direction: Direction;
  readonly description: string;
  readonly refusal: Refusal;
  readonly origin: 'rule' | 'admin';
  readonly rule: string | undefined;
  readonly proposedAt: Instant | undefined;
  readonly lapsesAt: Instant | undefined;
  /** For a proposal: how long the block would last; null is indefinite. */
  readonly duration: Milliseconds | null | undefined;
  /** When the block came into force. */
  readonly since: Instant | undefined;
  /** When it ends or ended; null is an indefinite one; undefined before it was in force. */
  readonly until: Until | undefined;
  readonly endedAt: Instant | undefined;
  readonly falsePositive: boolean;
  /** The newest evidence that it rests upon. */
  readonly evidence: Evidence | undefined;
  /** The decision that it came right after: then either the person who let go was wrong, or this block is. */
  readonly follows: Followed | undefined;
  readonly history: readonly HistoryItem[];
  /** Position of the newest event: changes whenever the entry does. */
  readonly version: number;
}

const TERMS = ['direction', 'description', 'refusal', 'rule', 'lapsesAt', 'duration'] as const;
/** What was asked for: a person, or a stronger proposal, may change it later. */
type Terms = Pick<BlockEntry, (typeof TERMS)[number]>;

/** The terms that an entry has other now than at an instant, as they were then. */
export function termsReplacedSince({ history }: BlockEntry, at: Instant): Partial<Terms> {
  const later = history.filter((item) => item.at > at);
  return later.reduceRight((terms, { replaced }) => Object.assign(terms, replaced), {});
}

/** The state at `now`, including what has fallen due without a record. */
export function stateAt(entry: Pick<BlockEntry, 'state' | 'until' | 'lapsesAt'>, now: Instant): BlockState {
  if (entry.state === 'active' && isOver(entry.until!, now)) return 'expired';
  if (entry.state === 'proposed' && entry.lapsesAt! <= now) return 'lapsed';
  return entry.state;
}

/** When a block was to end, as known at an instant at which it was in force. */
export function untilAt({ history, until }: BlockEntry, at: Instant): Until | undefined {
  const known = history.findLast((item) => item.at <= at && item.until !== undefined);
  return known === undefined ? until : known.until;
}

/** Whether it has ended for good. */
export function isEnded({ state }: BlockEntry): boolean {
  return state !== 'active' && state !== 'proposed';
}

/** What the hook should be called for. */
export interface HookTask {
  readonly action: HookAction;
  /** Position of the event that asks for it. */
  readonly cause: number;
  /**
   * Whether it is about all that is held for a block that has ended, also what is recorded later; else about what was held when
   * it was asked for. A deletion always is: what comes to light later nobody has decided to delete.
   */
  readonly isFinal: boolean;
  /** What came of it when it was last called for this; undefined before that. */
  readonly last: HookRan['outcome'] | undefined;
}

/** What waited in a queue when a block began has gone or come back after this: it is not looked for any more. */
const HOLD_QUEUE_WITHIN: Milliseconds = DAY;

/**
 * What was decided on held mail, in order. A decision that nothing has come of yet is replaced by the next one, and withdrawn by
 * one to keep the mail.
 */
function decisionsOf({ history }: BlockEntry): readonly HookTask[] {
  const end = history.find(isEndItem);
  const asking = history.filter(isAsking);
  return asking.flatMap((item): HookTask[] => {
    const { position: cause } = item;
    const action = actionOf(item);
    const last = history.findLast(({ hook }) => hook?.cause === cause)?.hook?.outcome;
    const isLatest = item === asking.at(-1);
    if (action === undefined || (last === undefined && !isLatest)) return [];
    const isAfterEnd = end !== undefined && end.position <= cause;
    return [{ action, cause, isFinal: action === 'release' && isAfterEnd && isLatest, last }];
  });
}

/** The decision on held mail that counts now, if there is one. */
export function decisionOn(entry: BlockEntry): HookTask | undefined {
  const isKept = entry.history.findLast(isAsking)?.held === 'keep';
  return isKept ? undefined : decisionsOf(entry).at(-1);
}

/**
 * Position through which somebody has decided what becomes of held mail: that of the last decision, or Infinity if it holds for
 * what is recorded later too; -1 before any.
 */
export function decidedThrough(entry: BlockEntry): number {
  const decision = decisionOn(entry);
  if (decision === undefined) return -1;
  return decision.isFinal ? Infinity : decision.cause;
}

/**
 * What the hook should be called for, in the order in which it was asked for: what waits in the queue, then each decision. What
 * has come to an end is not among these, except a release that is about what is recorded later too.
 */
export function hookTasksOf(entry: BlockEntry, now: Instant): readonly HookTask[] {
  const { history } = entry;
  const decisions = decisionsOf(entry);
  const open = decisions.filter(({ isFinal, last }) => isFinal || last === undefined);
  const imposed = history.find(({ type }) => type === 'BlockImposed');
  if (imposed === undefined || stateAt(entry, now) !== 'active' || now - imposed.at > HOLD_QUEUE_WITHIN)
    return open;
  if (!hasQueue(entry) || history.some(({ hook }) => hook?.action === 'hold-queue')) return open;
  return [{ action: 'hold-queue', cause: imposed.position, isFinal: false, last: undefined }, ...open];
}

/** Whether a call that was to hold what waits in the queue may have been cut off half-way. */
export function mayHoldQueue(entry: BlockEntry, now: Instant): boolean {
  const { history, since } = entry;
  if (!hasQueue(entry) || since === undefined || now - since > 2 * HOLD_QUEUE_WITHIN) return false;
  return !history.some(({ hook }) => hook?.action === 'hold-queue' && hook.outcome === 'done');
}

/** Whether mail of the subject can be found in a queue. */
function hasQueue({ subject, direction }: BlockEntry): boolean {
  return (subject.type === 'account' || subject.type === 'address') && direction !== 'inbound';
}

function isEndItem({ type }: HistoryItem): boolean {
  return type === 'BlockReleased' || type === 'BlockExpired';
}

/** Whether a person said by it what is to become of held mail. */
function isAsking(item: HistoryItem): boolean {
  return item.held === 'keep' || actionOf(item) !== undefined;
}

function actionOf({ type, held, falsePositive = false }: HistoryItem): HeldAction | undefined {
  if (type === 'BlockReleased')
    return heldActionOf({ falsePositive, ...(held === undefined ? {} : { held }) });
  return held === 'keep' ? undefined : held;
}

/** What an entry says of its end and of held mail, for where many are kept: what it was blocked for is left out. */
export function onHeldMail(entry: BlockEntry): BlockEntry {
  const history = entry.history.filter(
    (item) => isAsking(item) || item.hook !== undefined || isEndItem(item),
  );
  return { ...entry, history, description: '', evidence: undefined, follows: undefined };
}

/** Revision of the last event in the stream of held mail that was released or deleted; -1 before that. */
export function settledThrough({ history }: BlockEntry): number {
  return Math.max(-1, ...history.map(({ hook }) => (hook?.outcome === 'done' ? (hook.through ?? -1) : -1)));
}

/**
 * Folds one event of a block or proposal.
 *
 * @param follows for a block or proposal that begins with this event
 * @returns undefined if the event begins nothing and nothing has begun
 */
export function evolveEntry(
  before: BlockEntry | undefined,
  event: BlockEvent,
  follows?: Followed,
): BlockEntry | undefined {
  const begun = before ?? { ...BLANK, follows };
  if (event.type === 'BlockProposed') {
    const { block: id, lapsesAt, duration, rule, evidence, ...terms } = event.data;
    const { subject, direction, description, refusal } = terms;
    const fresh = { id, subject, direction, description, refusal, rule, lapsesAt, duration, evidence };
    const proposedAt = before?.proposedAt ?? event.at;
    const next: BlockEntry = { ...begun, ...fresh, state: 'proposed', origin: 'rule', proposedAt };
    return told(next, event, { evidence, ...replacing(before, next) });
  }
  if (event.type === 'BlockImposed') {
    const { block: id, subject, direction, description, refusal, origin, until, evidence } = event.data;
    const terms = { id, subject, direction, description, refusal, origin, until, since: event.at };
    const rule = event.data.rule ?? before?.rule;
    const proof = evidence ?? before?.evidence;
    const next: BlockEntry = { ...begun, ...terms, rule, evidence: proof, state: 'active' };
    const item = { until, ...(evidence === undefined ? {} : { evidence }), ...replacing(before, next) };
    return told(next, event, item);
  }
  return before === undefined ? undefined : changed(before, event);
}

type Beginning = Extract<BlockEvent, { readonly type: 'BlockProposed' | 'BlockImposed' }>;

function changed(before: BlockEntry, event: Exclude<BlockEvent, Beginning>): BlockEntry {
  switch (event.type) {
    case 'ProposalApproved':
      return told(before, event, noted(event.data.note));
    case 'ProposalDismissed': {
      const marked = event.data.falsePositive === true ? { falsePositive: true } : {};
      const next: BlockEntry = { ...before, state: 'dismissed', endedAt: event.at, ...marked };
      return told(next, event, { ...marked, ...noted(event.data.note) });
    }
    case 'ProposalLapsed':
      return told({ ...before, state: 'lapsed', endedAt: event.at }, event);
    case 'BlockExtended': {
      const { until, direction, evidence, description, refusal, note } = event.data;
      const proof = evidence === undefined ? {} : { evidence };
      const asked = {
        ...(description === undefined ? {} : { description }),
        ...(refusal === undefined ? {} : { refusal }),
      };
      const rests = restingUpon(before.evidence, evidence);
      const next: BlockEntry = { ...before, until, direction, evidence: rests, ...asked };
      const words = refusal === undefined ? {} : { refusal };
      const item = { until, ...words, ...proof, ...noted(note ?? description), ...replacing(before, next) };
      return told(next, event, item);
    }
    case 'BlockShortened': {
      const { until, note } = event.data;
      return told({ ...before, until }, event, { until, ...noted(note) });
    }
    case 'BlockReleased': {
      const { falsePositive, held, note } = event.data;
      const next: BlockEntry = { ...before, state: 'released', endedAt: event.at, falsePositive };
      return told(next, event, { falsePositive, ...(held === undefined ? {} : { held }), ...noted(note) });
    }
    case 'HeldMailDecided':
      return told(before, event, { held: event.data.action, ...noted(event.data.note) });
    case 'HookRan': {
      const { block: _, ...hook } = event.data;
      return told(before, event, { hook });
    }
    case 'BlockExpired':
      return told({ ...before, state: 'expired', endedAt: event.data.dueAt }, event);
    case 'ExemptionGranted':
    case 'ExemptionRevoked':
    case 'ExemptionApplied':
    case 'RuleObserved':
      return before;
  }
}

function told(entry: BlockEntry, event: BlockEvent, item: Partial<HistoryItem> = {}): BlockEntry {
  const { type, at, by, position } = event;
  return { ...entry, history: [...entry.history, { type, at, by, position, ...item }], version: position };
}

function replacing(before: BlockEntry | undefined, next: BlockEntry): { replaced?: Partial<Terms> } {
  if (before === undefined) return {};
  const changed = TERMS.filter((term) => before[term] !== next[term]);
  if (changed.length === 0) return {};
  return { replaced: Object.fromEntries(changed.map((term) => [term, before[term]])) };
}

export function noted(note: string | undefined): { note?: string } {
  return note === undefined ? {} : { note };
}

const BLANK = {
  proposedAt: undefined,
  lapsesAt: undefined,
  duration: undefined,
  since: undefined,
  until: undefined,
  endedAt: undefined,
  falsePositive: false,
  rule: undefined,
  evidence: undefined,
  history: [],
  version: 0,
} as const;
