import type { Exemption } from '../../projections/blocks/exemptions.js';
import type { HistoryItem, BlockEntry } from '../../projections/blocks/block-entry.js';
import { stateAt, untilAt } from '../../projections/blocks/block-entry.js';
import type { OutbreakReading, WindowReading } from '../../projections/volume/rule-evaluation.js';
import type { Evidence } from '../blocks/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatDuration, formatInstant } from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';
import type { BlockJson, EvidenceJson, ExemptionJson, HistoryJson, WindowJson } from './shapes.js';

/** How the API writes an indefinite span. */
const INDEFINITE = 'indefinite';

/** A block by what has fallen due at `now`, whether or not that was recorded yet. */
export function blockView(entry: BlockEntry, now: Instant): BlockJson {
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
    since: instant(entry.since),
    until: instant(entry.until),
    indefinite: entry.since === undefined ? entry.duration === null : entry.until === null,
    duration: span(durationOf(entry)),
    proposedAt: instant(entry.proposedAt),
    lapsesAt: instant(entry.lapsesAt),
    endedAt: instant(entry.endedAt ?? due),
    falsePositive,
    evidence: evidence === undefined ? null : evidenceView(evidence),
    follows: follows === undefined ? null : { ...follows, at: formatInstant(follows.at) },
    history: entry.history.map(historyView),
    version,
  };
}

/** From its begin to its end; of a proposal, how long it would last. Null is for ever. */
function durationOf({ since, until, duration = null }: BlockEntry): Milliseconds | null {
  if (since === undefined) return duration;
  return until === null || until === undefined ? null : until - since;
}

/** A block as it was at an instant at which it was in force: what came later is left out. */
export function blockViewAt(entry: BlockEntry, at: Instant): BlockJson {
  const history = entry.history.filter((item) => item.at <= at);
  const until = untilAt(entry, at);
  const evidence = history.findLast((item) => item.evidence !== undefined)?.evidence ?? entry.evidence;
  const version = history.at(-1)?.position ?? entry.version;
  const then = { state: 'active', endedAt: undefined, falsePositive: false } as const;
  return blockView({ ...entry, ...then, until, evidence, history, version }, at);
}

export function exemptionView(exemption: Exemption): ExemptionJson {
  const { id, subject, reason, until, origin, by, at, saved, savedAt } = exemption;
  return {
    id,
    subject: subjectView(subject),
    reason,
    until: instant(until),
    origin,
    by: by ?? null,
    at: instant(at),
    saved,
    savedAt: instant(savedAt),
  };
}

export function windowView(subject: Subject, reading: WindowReading): WindowJson {
  const { window, notNow, besides, outbreak, observed, inWindow, ...rest } = reading;
  return {
    ...{ subject: subjectView(subject), ...rest, window: formatDuration(window) },
    ...{ observed: inWindow ?? observed, sinceTrip: inWindow === undefined ? null : observed },
    ...{ applies: notNow === undefined, reason: notNow ?? null, besides: [...besides] },
    ...(outbreak === undefined ? {} : { outbreak: groupView(outbreak) }),
  };
}

function groupView({ window, turnedAt, alarmUntil, ...rest }: OutbreakReading): WindowJson['outbreak'] {
  return {
    ...rest,
    ...{ window: formatDuration(window), turnedAt: instant(turnedAt), alarmUntil: instant(alarmUntil) },
  };
}

/** Read models keep more beside a subject than the API shows. */
export function subjectView({ type, value }: Subject): Subject {
  return { type, value };
}

export function instant(at: Instant | null | undefined): string | null {
  return at === null || at === undefined ? null : formatInstant(at);
}

export function span(length: Milliseconds | null): string {
  return length === null ? INDEFINITE : formatDuration(length);
}

export function evidenceView(evidence: Evidence): EvidenceJson {
  const { rule, version, count, limit, observed, firstPosition, lastPosition, sentence } = evidence;
  const { leaveOut, habit, signals } = evidence;
  const [window, lastAt] = [formatDuration(evidence.window), formatInstant(evidence.lastAt)];
  return {
    ...{ rule, version, count, window, ...(leaveOut === undefined ? {} : { leaveOut }), limit, observed },
    ...(habit === undefined ? {} : { habit }),
    ...(signals === undefined ? {} : { signals: [...signals] }),
    ...{ firstPosition, lastPosition, lastAt, sentence },
  };
}

function historyView({
  type,
  at,
  by,
  position,
  note,
  until,
  falsePositive,
  evidence,
}: HistoryItem): HistoryJson {
  return {
    type,
    at: formatInstant(at),
    by,
    position,
    ...(note === undefined ? {} : { note }),
    ...(until === undefined ? {} : { until: instant(until) }),
    ...(falsePositive === undefined ? {} : { falsePositive }),
    ...(evidence === undefined ? {} : { evidence: evidenceView(evidence) }),
  };
}
