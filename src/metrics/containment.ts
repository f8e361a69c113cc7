import { Histogram } from 'prom-client';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import { SubjectIndex } from '../../projections/blocks/subject-index.js';
import type { BlockEvent, Evidence } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { Verdict } from '../rules/respond.js';
import type { MessageAccepted } from '../sending/events.js';
import { isImported, messagesOf } from '../sending/events.js';
import type { Direction, Subject } from '../sending/subjects.js';
import { directionsMeet, senderIdentity, subjectKey } from '../sending/subjects.js';
import { traceIdOf } from '../tracing/spans.js';
import type { ScrapedRegistry } from './registry.js';

/** Seconds: from what a machine takes to what a person takes. */
const SECONDS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600, 3600, 14_400, 86_400];
const THROUGH = [0, 1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000];

/** After these a sender is free to send, or was never to be blocked. */
const ENDS: ReadonlySet<BlockEvent['type']> = new Set([
  'BlockReleased',
  'BlockExpired',
  'ProposalDismissed',
  'ProposalLapsed',
]);

const DECIDERS = ['rule', 'admin'] as const;

/** Measures how fast senders are contained, and what they get through until then. */
export class ContainmentMetrics {
  #through = new ThroughCounts();
  /** When verdicts came into force that are not recorded yet. */
  readonly #inForce = new Map<string, Instant>();

  readonly #seconds = histogram(
    'stopgap_containment_seconds',
    'From the first abnormal send until its sender was refused.',
    SECONDS,
  );
  readonly #recordSeconds = histogram(
    'stopgap_containment_record_seconds',
    'From the first abnormal send until the block was durable.',
    SECONDS,
  );
  readonly #sends = histogram(
    'stopgap_containment_sends',
    'Messages accepted from the sender after the first abnormal one.',
    THROUGH,
  );
  readonly #recipients = histogram(
    'stopgap_containment_recipients',
    'Recipients of the messages accepted from the sender after the first abnormal one.',
    THROUGH,
  );

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#seconds, this.#recordSeconds, this.#sends, this.#recipients]) {
      registry.add(metric);
      for (const decided_by of DECIDERS) metric.zero({ decided_by });
    }
  }

  /** Forgets what it follows by positions of a log that is gone. */
  startAnew(): void {
    this.#through = new ThroughCounts();
    this.#inForce.clear();
  }

  /** A rule tripped, live. */
  tripped(verdict: Verdict): void {
    const { kind, mode, rule } = verdict;
    if (kind === 'act' && mode === 'enforce' && rule.then !== 'observe') this.#through.begin(verdict);
  }

  /** Its subject is refused here, ahead of the event. */
  anticipated({ subject, evidence }: Verdict, now: Instant): void {
    this.#inForce.set(keyOf(subject, evidence), now);
  }

  /** The verdict was carried out. @param contains whether it led to a block, or a proposal, or to neither */
  settled({ subject, evidence }: Verdict, contains: boolean): void {
    this.#inForce.delete(keyOf(subject, evidence));
    if (!contains) this.#through.drop(subject, evidence);
  }

  /** This process has blocked on that evidence. @param trace the traceparent of that, if it is traced */
  contained(
    subject: Subject,
    evidence: Evidence,
    by: string,
    durableAt: Instant,
    trace: string | undefined,
  ): void {
    const decidedBy = by.startsWith('rule:') ? 'rule' : 'admin';
    const inForceAt = this.#inForce.get(keyOf(subject, evidence)) ?? durableAt;
    const since = (at: Instant): number => Math.max(0, at - evidence.lastAt) / SECOND;
    const about = this.#about(decidedBy, evidence.lastPosition, trace);
    this.#seconds.observe({ ...about, value: since(inForceAt) });
    this.#recordSeconds.observe({ ...about, value: since(durableAt) });
    this.#through.blocked(subject, durableAt);
    this.#through.decided(subject, evidence, decidedBy);
  }

  /** A send was folded, live. */
  folded(event: RecordedEvent): void {
    this.#through.fold(event);
  }

  /** A block event was folded, live. */
  foldedBlock(event: BlockEvent, ledger: Pick<BlockLedger, 'get'>, now: Instant): void {
    if (event.type === 'BlockImposed') this.#through.blocked(event.data.subject, now);
    const over =
      'block' in event.data && ENDS.has(event.type) ? ledger.get(event.data.block)?.subject : undefined;
    const exempted = event.type === 'ExemptionGranted' ? event.data.subject : undefined;
    for (const subject of [over, exempted]) if (subject !== undefined) this.#tell(this.#through.end(subject));
  }

  /** Tells what got through before blocks that are ten seconds old. To be called before a scrape. */
  settleThrough(now: Instant): void {
    this.#tell(this.#through.settle(now));
  }

  #tell(through: readonly Through[]): void {
    for (const { decidedBy, position, messages, recipients } of through) {
      const about = this.#about(decidedBy, position);
      this.#sends.observe({ ...about, value: messages });
      this.#recipients.observe({ ...about, value: recipients });
    }
  }

  /** The exemplar is the verdict's correlation, as in the log: far below the 128 characters of OpenMetrics. */
  #about(decided_by: 'rule' | 'admin', position: number, trace?: string) {
    const exemplarLabels: Record<string, string> = { correlation: `event:${position}` };
    if (trace !== undefined) exemplarLabels['trace_id'] = traceIdOf(trace);
    return { labels: { decided_by }, exemplarLabels };
  }
}

function histogram(name: string, help: string, buckets: number[]): Histogram<'decided_by'> {
  const labelNames = ['decided_by'] as const;
  return new Histogram({ name, help, buckets, labelNames, enableExemplars: true, registers: [] });
}

/** One event trips a rule only once for each subject. */
const keyOf = (subject: Subject, { rule, lastPosition }: Evidence): string =>
  `${rule} ${lastPosition} ${subjectKey(subject)}`;

/** What was in the air when a block came into force is accepted within this, unless the upstream takes its time. */
const IN_THE_AIR: Milliseconds = 10 * SECOND;
/** The oldest go first: proposals that nobody settles may be many. */
const MOST_SUBJECTS = 1000;
/** Of one subject: rules that trip again and again while a proposal waits are not worth more. */
const MOST_COUNTS = 8;

/** What a sender got through between the send that tripped a rule and the block. */
export interface Through {
  readonly decidedBy: 'rule' | 'admin';
  /** Of the send that tripped the rule. */
  readonly position: number;
  readonly messages: number;
  readonly recipients: number;
}

interface Count {
  readonly rule: string;
  readonly position: number;
  readonly direction: Direction;
  messages: number;
  recipients: number;
  /** The actor of the block, if this process imposed it. */
  decidedBy: Through['decidedBy'] | undefined;
  /** When all that was in the air has arrived. */
  settlesAt: Instant | undefined;
}

interface Counted {
  readonly subject: Subject;
  readonly counts: Count[];
  /** The last message that was counted: a domain is found by the login and by the return path. */
  seen: number;
}

/**
 * Counts what is accepted from subjects on which a rule has tripped, until they are blocked. Where there is none it
 * costs one look an event. Fed from the fold, in order; like a projection it reads no clock.
 */
export class ThroughCounts {
  readonly #index = new SubjectIndex<Counted>();
  readonly #bySubject = new Map<string, Counted>();

  /** Subjects that are counted. */
  get size(): number {
    return this.#bySubject.size;
  }

  /** A rule tripped, and asks for a block or a proposal. */
  begin({ subject, rule, evidence }: Verdict): void {
    const { counts } = this.#bySubject.get(subjectKey(subject)) ?? this.#enter(subject);
    if (counts.length >= MOST_COUNTS) return;
    const nothing = { messages: 0, recipients: 0, decidedBy: undefined, settlesAt: undefined };
    counts.push({
      rule: rule.id,
      position: evidence.lastPosition,
      direction: rule.direction,
      ...nothing,
    });
  }

  /** Counts a message that was accepted, here and now; of all else it takes no notice. */
  fold(event: RecordedEvent): void {
    if (this.#bySubject.size === 0 || event.type !== 'MessageAccepted' || !isSound(event.data)) return;
    if (isImported(event)) return;
    const { recipients, direction, ...names } = event.data;
    const messages = messagesOf(event.data);
    this.#index.forEachMatch(senderIdentity({ direction, ...names }), (counted) => {
      if (counted.seen === event.position) return;
      counted.seen = event.position;
      for (const count of counted.counts) {
        if (event.position <= count.position || !directionsMeet(count.direction, direction)) continue;
        count.messages += messages;
        count.recipients += recipients;
      }
    });
  }

  /** The subject is refused from now on, by any actor: mail within a moment was in the air. */
  blocked(subject: Subject, now: Instant): void {
    for (const count of this.#bySubject.get(subjectKey(subject))?.counts ?? [])
      count.settlesAt ??= now + IN_THE_AIR;
  }

  /** This process imposed the block, on this evidence: the counts since then are reported. */
  decided(subject: Subject, { rule, lastPosition }: Evidence, decidedBy: Through['decidedBy']): void {
    const counts = this.#bySubject.get(subjectKey(subject))?.counts;
    const count = counts?.find((one) => one.rule === rule && one.position === lastPosition);
    if (count !== undefined) count.decidedBy = decidedBy;
  }

  /** The verdict had no result. */
  drop(subject: Subject, { rule, lastPosition }: Evidence): void {
    const counted = this.#bySubject.get(subjectKey(subject));
    if (counted === undefined) return;
    const index = counted.counts.findIndex((one) => one.rule === rule && one.position === lastPosition);
    if (index >= 0) counted.counts.splice(index, 1);
    if (counted.counts.length === 0) this.#leave(subject);
  }

  /** It is over with this subject: released, expired, or never to be blocked. @returns what was to be told */
  end(subject: Subject): readonly Through[] {
    const counted = this.#bySubject.get(subjectKey(subject));
    if (counted === undefined) return [];
    this.#leave(subject);
    return told(counted.counts);
  }

  /** @returns what is settled by now and was not told before */
  settle(now: Instant): readonly Through[] {
    const settled: Count[] = [];
    for (const { subject, counts } of [...this.#bySubject.values()]) {
      const rest = counts.filter(({ settlesAt = Infinity }) => settlesAt > now);
      if (rest.length === counts.length) continue;
      settled.push(...counts.filter((count) => !rest.includes(count)));
      counts.splice(0, counts.length, ...rest);
      if (rest.length === 0) this.#leave(subject);
    }
    return told(settled);
  }

  #enter(subject: Subject): Counted {
    for (const { subject: oldest } of this.#bySubject.values()) {
      if (this.#bySubject.size < MOST_SUBJECTS) break;
      this.#leave(oldest);
    }
    const counted: Counted = { subject, counts: [], seen: -1 };
    this.#bySubject.set(subjectKey(subject), counted);
    this.#index.set(subject, counted);
    return counted;
  }

  #leave(subject: Subject): void {
    this.#bySubject.delete(subjectKey(subject));
    this.#index.delete(subject);
  }
}

/** Whether the data are what their type promises: anybody with access to the store can write there. */
function isSound(data: unknown): data is MessageAccepted {
  const { recipients, direction, account, returnPath, ehlo, ip } = data as Partial<MessageAccepted>;
  return (
    Number.isSafeInteger(recipients) &&
    (direction === 'outbound' || direction === 'inbound') &&
    [account, returnPath, ehlo, ip].every((name) => name === undefined || typeof name === 'string')
  );
}

function told(counts: readonly Count[]): readonly Through[] {
  return counts.flatMap(({ decidedBy, position, messages, recipients }) =>
    decidedBy === undefined ? [] : [{ decidedBy, position, messages, recipients }],
  );
}
