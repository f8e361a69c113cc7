import { SubjectIndex } from '../../projections/blocks/subject-index.js';
import type { Evidence } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { Verdict } from '../rules/verdict.js';
import type { MessageAccepted } from '../sending/events.js';
import { isImported } from '../sending/events.js';
import type { Direction, Subject } from '../sending/subjects.js';
import { directionsMeet, senderIdentity, subjectKey } from '../sending/subjects.js';

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
  /** Who blocked, where that was this process. */
  decidedBy: Through['decidedBy'] | undefined;
  /** When all that was in the air has arrived. */
  settlesAt: Instant | undefined;
}

interface Counted {
  readonly subject: Subject;
  readonly counts: Count[];
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
    this.#index.forEachMatch(senderIdentity({ direction, ...names }), ({ counts }) => {
      for (const count of counts) {
        if (event.position <= count.position || !directionsMeet(count.direction, direction)) continue;
        count.messages++;
        count.recipients += recipients;
      }
    });
  }

  /** The subject is refused from here on, whoever decided it: what comes within a moment was in the air. */
  blocked(subject: Subject, now: Instant): void {
    for (const count of this.#bySubject.get(subjectKey(subject))?.counts ?? [])
      count.settlesAt ??= now + IN_THE_AIR;
  }

  /** It was this process that blocked, on this evidence: what was counted since is to be told. */
  decided(subject: Subject, { rule, lastPosition }: Evidence, decidedBy: Through['decidedBy']): void {
    const counts = this.#bySubject.get(subjectKey(subject))?.counts;
    const count = counts?.find((one) => one.rule === rule && one.position === lastPosition);
    if (count !== undefined) count.decidedBy = decidedBy;
  }

  /** Nothing came of the verdict. */
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
    const counted: Counted = { subject, counts: [] };
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
