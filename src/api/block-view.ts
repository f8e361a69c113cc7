import { z } from 'zod';
import type { BlockEntry, HistoryItem } from '../../projections/blocks/block-entry.js';
import { stateAt, termsReplacedSince, untilAt } from '../../projections/blocks/block-entry.js';
import type { Evidence } from '../blocks/events.js';
import { HELD_WISHES, REFUSALS, restingUpon } from '../blocks/events.js';
import { entriesOf } from '../detector/ledger-entries.js';
import { StopgapError } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatDuration, formatInstant } from '../kernel/time.js';
import type { SenderIdentity, Subject } from '../sending/subjects.js';
import { DIRECTIONS, directionsMeet } from '../sending/subjects.js';
import type { ApiDependencies } from './dependencies.js';
import { hookFor, hookShape } from './hook-view.js';
import type { Concerns } from './http/route.js';
import {
  durationShape,
  instantShape,
  instantView,
  leaveOut,
  position,
  spanView,
  subjectShape,
  subjectView,
} from './shapes.js';
import { BLOCK_STATES } from './words.js';

export const evidenceShape = z
  .object({
    rule: z.string(),
    version: z.int().meta({ description: 'Version of the rule set.' }),
    count: z.string(),
    window: durationShape,
    leaveOut,
    limit: z.number(),
    observed: z.number(),
    habit: z
      .object({
        typical: z.number(),
        record: z.number(),
        weeks: z.int(),
        learnt: z.boolean(),
        lately: z
          .number()
          .optional()
          .meta({ description: 'The highest of the last four weeks, if it does not all count yet.' }),
        before: z.number().optional().meta({ description: 'The record before them, in that case.' }),
        bound: z
          .enum(['floor', 'start', 'ceiling'])
          .optional()
          .meta({ description: 'Where the limit comes from, if not from these.' }),
      })
      .optional()
      .meta({ description: 'What is usual, where that made the limit: the weekly peaks.' }),
    signals: z.array(z.string()).optional().meta({ description: 'What else was noticed.' }),
    attempts: z.boolean().optional().meta({
      description: 'True where it counts attempts that the block refused, which keep it up.',
    }),
    accounts: z.array(z.string()).optional().meta({
      description: 'Of a network or an EHLO name: the accounts that came there and never were before.',
    }),
    firstPosition: position,
    lastPosition: position,
    lastAt: instantShape,
    sentence: z.string(),
  })
  .meta({ id: 'Evidence', description: 'The numbers that tripped a rule.' });

const historyShape = z
  .object({
    type: z.string().meta({ examples: ['BlockImposed'] }),
    at: instantShape,
    by: z.string().meta({ examples: ['admin:alice', 'rule:burst@3', 'system:expiry'] }),
    position,
    note: z.string().optional(),
    until: instantShape.nullable().optional(),
    refusal: z
      .enum(REFUSALS)
      .optional()
      .meta({ description: 'What clients are told from then on, where a person changed it.' }),
    falsePositive: z.boolean().optional(),
    evidence: evidenceShape.optional(),
    held: z.enum(HELD_WISHES).optional().meta({ description: 'What a person asked for of the held mail.' }),
    hook: hookShape.optional(),
  })
  .meta({ id: 'HistoryItem' });

export const blockShape = z
  .object({
    id: z.string(),
    state: z.enum(BLOCK_STATES),
    subject: subjectShape,
    direction: z.enum(DIRECTIONS),
    description: z.string(),
    refusal: z.enum(REFUSALS),
    origin: z.enum(['rule', 'admin']),
    rule: z.string().nullable(),
    since: instantShape.nullable().meta({ description: 'When it came into force; null before that.' }),
    until: instantShape
      .nullable()
      .meta({ description: 'When it ends; null while indefinite is true, or before it is in force.' }),
    indefinite: z.boolean().meta({ description: 'True where it ends only by a release.' }),
    duration: durationShape.meta({
      description: 'From since to until; of a proposal how long it would last. Or indefinite.',
    }),
    proposedAt: instantShape.nullable(),
    lapsesAt: instantShape.nullable(),
    endedAt: instantShape.nullable(),
    falsePositive: z.boolean(),
    evidence: evidenceShape.nullable(),
    follows: z
      .object({
        block: z.string().meta({ description: 'Id of what was let go of.' }),
        state: z.enum(['released', 'dismissed']),
        at: instantShape,
        by: z.string().meta({ examples: ['admin:carol'] }),
        falsePositive: z.boolean(),
        note: z.string().optional(),
      })
      .nullable()
      .meta({ description: 'What a person decided on this subject within the hour before this began.' }),
    history: z.array(historyShape),
    historyLeftOut: z.int().optional().meta({
      description:
        'Of one among others: how many extensions by rules its history leaves out, the oldest. GET of the block has all.',
    }),
    version: z.int().meta({ description: 'What ETag names: changes whenever the block does.' }),
  })
  .meta({ id: 'Block' });

export type BlockJson = z.infer<typeof blockShape>;
type EvidenceJson = z.infer<typeof evidenceShape>;
type HistoryJson = z.infer<typeof historyShape>;

/**
 * A block of a caller's as it is at `now`. It has expired or lapsed when its time is over, also before that is recorded.
 *
 * @param concerns what else the caller may see: the hook may have acted on mail of others too
 */
export function blockView(entry: BlockEntry, now: Instant, concerns: Concerns): BlockJson {
  const { id, subject, direction, description, refusal, origin, rule, falsePositive } = entry;
  const { evidence, follows, version } = entry;
  const state = stateAt(entry, now);
  const due = state === 'expired' ? entry.until : state === 'lapsed' ? entry.lapsesAt : undefined;
  return {
    id,
    state,
    subject: subjectView(subject),
    direction,
    description,
    refusal,
    origin,
    rule: rule ?? null,
    since: instantView(entry.since),
    until: instantView(entry.until),
    indefinite: entry.since === undefined ? entry.duration === null : entry.until === null,
    duration: spanView(durationOf(entry)),
    proposedAt: instantView(entry.proposedAt),
    lapsesAt: instantView(entry.lapsesAt),
    endedAt: instantView(entry.endedAt ?? due),
    falsePositive,
    evidence: evidence === undefined ? null : evidenceView(evidence),
    follows: follows === undefined ? null : { ...follows, at: formatInstant(follows.at) },
    history: entry.history.map((item) => historyView(item, subject, concerns)),
    version,
  };
}

/** Of extensions by rules, one among others shows so many. */
const LATEST_EXTENSIONS = 20;

/** A block as one among others: rules extend it for as long as its sender goes on, and nobody reads all that of many. */
export function amongOthers<View extends BlockJson>(view: View): View {
  const extensions = view.history.filter(isByRule);
  const historyLeftOut = extensions.length - LATEST_EXTENSIONS;
  if (historyLeftOut <= 0) return view;
  const old = new Set(extensions.slice(0, historyLeftOut));
  return { ...view, history: view.history.filter((item) => !old.has(item)), historyLeftOut };
}

function isByRule({ type, by }: HistoryJson): boolean {
  return type === 'BlockExtended' && by.startsWith('rule:');
}

/** From begin to end; for a proposal, how long the block would last. Null is for ever. */
function durationOf({ since, until, duration = null }: BlockEntry): Milliseconds | null {
  if (since === undefined) return duration;
  return until === null || until === undefined ? null : until - since;
}

/** As {@link blockView}, of a block or proposal as it was at an instant after its beginning. Later changes are left out. */
export function blockViewAt(entry: BlockEntry, at: Instant, concerns: Concerns): BlockJson {
  const history = entry.history.filter((item) => item.at <= at);
  // A block by hand has none until a rule adds some.
  const evidence = history.map((item) => item.evidence).reduce(restingUpon, undefined);
  const version = history.at(-1)?.position ?? entry.version;
  const then = { ...entry, ...termsReplacedSince(entry, at), evidence, history, version };
  if (entry.endedAt !== undefined && entry.endedAt <= at) return blockView(then, at, concerns);
  const open = { ...then, endedAt: undefined, falsePositive: false };
  return entry.since !== undefined && entry.since <= at
    ? blockView({ ...open, state: 'active', until: untilAt(entry, at) }, at, concerns)
    : blockView(
        { ...open, state: 'proposed', origin: 'rule', since: undefined, until: undefined },
        at,
        concerns,
      );
}

export function evidenceView(evidence: Evidence): EvidenceJson {
  const { rule, version, count, limit, observed, firstPosition, lastPosition, sentence } = evidence;
  const { leaveOut, habit, signals, attempts, accounts } = evidence;
  const [window, lastAt] = [formatDuration(evidence.window), formatInstant(evidence.lastAt)];
  return {
    rule,
    version,
    count,
    window,
    ...(leaveOut === undefined ? {} : { leaveOut }),
    limit,
    observed,
    ...(habit === undefined ? {} : { habit }),
    ...(signals === undefined ? {} : { signals: [...signals] }),
    ...(attempts === undefined ? {} : { attempts }),
    ...(accounts === undefined ? {} : { accounts: [...accounts] }),
    firstPosition,
    lastPosition,
    lastAt,
    sentence,
  };
}

function historyView(item: HistoryItem, subject: Subject, concerns: Concerns): HistoryJson {
  const { type, at, by, position, note, until, refusal, falsePositive, evidence, held, hook } = item;
  return {
    type,
    at: formatInstant(at),
    by,
    position,
    ...(note === undefined ? {} : { note }),
    ...(until === undefined ? {} : { until: instantView(until) }),
    ...(refusal === undefined ? {} : { refusal }),
    ...(falsePositive === undefined ? {} : { falsePositive }),
    ...(evidence === undefined ? {} : { evidence: evidenceView(evidence) }),
    ...(held === undefined ? {} : { held }),
    ...(hook === undefined ? {} : { hook: hookView(hook, subject, concerns) }),
  };
}

function hookView(
  { through: _, ...hook }: NonNullable<HistoryItem['hook']>,
  subject: Subject,
  concerns: Concerns,
): NonNullable<HistoryJson['hook']> {
  return hookFor(hook, subject, concerns);
}

type Sources = Pick<ApiDependencies, 'models' | 'store'>;

/**
 * Finds a block or proposal by any of its ids. The store has those that ended long ago.
 *
 * @param concerns which subjects the caller may see: any other is as one that there is not
 * @throws StopgapError `not-found`; StoreUnavailable
 */
export async function entryOf(sources: Sources, id: string, concerns: Concerns): Promise<BlockEntry> {
  const { ledger } = sources.models;
  const row = ledger.rows.find(ledger.nameOf(id));
  if (row === undefined || !concerns(ledger.rows.at(row).subject))
    throw new StopgapError('not-found', `there is no block ${id.slice(0, 100)}`);
  return (await entriesOf(sources, [row]))[0]!;
}

/** The newest blocks and proposals of just this subject. @throws StoreUnavailable */
export async function latestOf(
  sources: Sources,
  subject: Subject,
  limit: number,
): Promise<readonly BlockEntry[]> {
  const rows: number[] = [];
  for (const row of sources.models.ledger.rows.on(subject)) {
    if (rows.length === limit) break;
    rows.push(row);
  }
  return entriesOf(sources, rows);
}

/**
 * The blocks that refused a sender at an instant. The first is the one that was to end last then: it made the refusal.
 *
 * @throws StoreUnavailable
 */
export async function entriesInForce(
  sources: Sources,
  sender: SenderIdentity,
  at: Instant,
): Promise<readonly BlockEntry[]> {
  const { rows } = sources.models.ledger;
  const found = await entriesOf(
    sources,
    rows.inForce(sender, at).map((id) => rows.find(id)!),
  );
  // A row has the direction of now. It may have become wider since, and never becomes narrower.
  const entries = found.filter((entry) => {
    const { direction = entry.direction } = termsReplacedSince(entry, at);
    return directionsMeet(direction, sender.direction);
  });
  // The actual ends could give another order, since a release ends a block before its time.
  const ends = new Map(entries.map((entry) => [entry.id, untilAt(entry, at) ?? Infinity]));
  // Among equals the lower id refused: the rows come in another order once one of them has another end.
  return [...entries].sort(({ id: a }, { id: b }) =>
    ends.get(a) === ends.get(b) ? (a < b ? -1 : 1) : ends.get(b)! - ends.get(a)!,
  );
}

/** The proposals that wait and cover a sender, the newest first. @throws StoreUnavailable */
export async function entriesWaiting(
  sources: Sources,
  sender: SenderIdentity,
  at: Instant,
): Promise<readonly BlockEntry[]> {
  const { rows } = sources.models.ledger;
  return entriesOf(
    sources,
    rows.waiting(sender, at).map((id) => rows.find(id)!),
  );
}
