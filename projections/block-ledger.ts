import type { BlockEvent, Evidence, Refusal, Until } from '../src/blocks/events.js';
import type { BlockState } from '../src/blocks/state.js';
import { GRACE, isOver } from '../src/blocks/state.js';
import type { Instant, Milliseconds } from '../src/kernel/time.js';
import type { Direction, SenderIdentity, Subject } from '../src/sending/subjects.js';
import { directionsMeet, subjectKey } from '../src/sending/subjects.js';
import type { Observation } from './observed.js';
import { Observed } from './observed.js';
import { SubjectIndex } from './subject-index.js';

export interface HistoryItem {
  readonly type: BlockEvent['type'];
  readonly at: Instant;
  readonly by: string;
  readonly position: number;
  readonly note?: string;
  readonly until?: Until;
  readonly falsePositive?: boolean;
  readonly evidence?: Evidence;
}

/** What a person decided on the same subject within {@link GRACE} before a block or proposal of it began. */
export interface Followed {
  /** Of the block that was released, or of the proposal that was dismissed. */
  readonly block: string;
  readonly state: 'released' | 'dismissed';
  readonly at: Instant;
  readonly by: string;
  readonly falsePositive: boolean;
  readonly note?: string;
}

/** One block or proposal, from its first event to its last. */
export interface LedgerEntry {
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
  /** Of a proposal: how long the block would last; null is indefinite. */
  readonly duration: Milliseconds | null | undefined;
  /** When the block came into force. */
  readonly since: Instant | undefined;
  /** When it ends or ended; null is an indefinite one; undefined before it was in force. */
  readonly until: Until | undefined;
  readonly endedAt: Instant | undefined;
  readonly falsePositive: boolean;
  /** The newest. */
  readonly evidence: Evidence | undefined;
  /** What it came right after: then whoever let go was wrong, or this is. */
  readonly follows: Followed | undefined;
  readonly history: readonly HistoryItem[];
  /** Position of the newest event: changes whenever the entry does. */
  readonly version: number;
}

/** By what has fallen due at `now`, not only by what was recorded. */
export function stateAt(entry: LedgerEntry, now: Instant): BlockState {
  if (entry.state === 'active' && isOver(entry.until!, now)) return 'expired';
  if (entry.state === 'proposed' && entry.lapsesAt! <= now) return 'lapsed';
  return entry.state;
}

export interface LedgerState {
  /** In the order in which they began. */
  readonly entries: readonly LedgerEntry[];
  /** Ids of the proposals that nobody has settled. */
  readonly pending: readonly string[];
  readonly observed: readonly Observation[];
  readonly aliases: readonly (readonly [alias: string, id: string])[];
}

/** Every block and proposal there ever was, and what rules only observed: what the API lists. */
export class BlockLedger {
  readonly observed = new Observed();
  readonly #entries = new Map<string, LedgerEntry>();
  readonly #pending = new Map<string, LedgerEntry>();
  /** Ids that competing writers gave, each with that of the entry that it means. */
  readonly #aliases = new Map<string, string>();
  readonly #bySubject = new Map<string, string[]>();
  /** Ids by subject, for questions about a sender and a past instant. */
  readonly #index = new SubjectIndex<string[]>();

  get size(): number {
    return this.#entries.size;
  }

  /** The opposite of {@link restore}. */
  dump(): LedgerState {
    const [entries, pending] = [[...this.#entries.values()], [...this.#pending.keys()]];
    return { entries, pending, observed: this.observed.dump(), aliases: [...this.#aliases] };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore({ entries, pending, observed, aliases }: LedgerState): void {
    for (const [alias, id] of aliases) this.#aliases.set(alias, id);
    this.observed.restore(observed);
    for (const entry of entries) {
      this.#list(entry);
      this.#entries.set(entry.id, entry);
    }
    for (const id of pending) this.#pending.set(id, this.#entries.get(id)!);
  }

  /** By its id, or by one that a competing writer gave to the same block. */
  get(id: string): LedgerEntry | undefined {
    return this.#entries.get(this.#aliases.get(id) ?? id);
  }

  /** The proposals that nobody has settled yet, as recorded. */
  pending(): IterableIterator<LedgerEntry> {
    return this.#pending.values();
  }

  /** In the order in which they began. */
  all(): IterableIterator<LedgerEntry> {
    return this.#entries.values();
  }

  ofSubject(subject: Subject): readonly LedgerEntry[] {
    return (this.#bySubject.get(subjectKey(subject)) ?? []).map((id) => this.#entries.get(id)!);
  }

  /** The blocks that refused this sender at an instant, past or present: the one that ends last comes first. */
  inForce(sender: SenderIdentity, at: Instant): readonly LedgerEntry[] {
    const found: LedgerEntry[] = [];
    this.#index.forEachMatch(sender, (ids) => {
      for (const id of ids) {
        const entry = this.#entries.get(id)!;
        if (
          !directionsMeet(entry.direction, sender.direction) ||
          entry.since === undefined ||
          entry.since > at
        )
          continue;
        const end = entry.endedAt ?? entry.until ?? Infinity;
        if (at < end) found.push(entry);
      }
    });
    const end = ({ endedAt, until }: LedgerEntry): number => endedAt ?? until ?? Infinity;
    // Of equals, the one with the lower id: never what the index happens to come upon first.
    return found.sort((a, b) => (end(a) === end(b) ? (a.id < b.id ? -1 : 1) : end(b) - end(a)));
  }

  /**
   * Drops one that has ended: for who folds without end and keeps a record of its own, as a back-test does. What
   * answers for the past must not.
   */
  forget(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.state === 'active' || entry.state === 'proposed') return;
    this.#entries.delete(id);
    const key = subjectKey(entry.subject);
    const ids = this.#bySubject.get(key)!;
    ids.splice(ids.indexOf(id), 1);
    if (ids.length > 0) return;
    this.#bySubject.delete(key);
    this.#index.delete(entry.subject);
  }

  apply(event: BlockEvent): void {
    if (event.alias !== undefined && 'block' in event.data) this.#aliases.set(event.alias, event.data.block);
    switch (event.type) {
      case 'BlockProposed': {
        const { block, lapsesAt, duration, rule, evidence, ...terms } = event.data;
        const { subject, direction, description, refusal } = terms;
        const before = this.#entries.get(block);
        const fresh = {
          id: block,
          subject,
          direction,
          description,
          refusal,
          state: 'proposed' as const,
          origin: 'rule' as const,
        };
        const proposedAt = before?.proposedAt ?? event.at;
        this.#put({ ...(before ?? BLANK), ...fresh, rule, proposedAt, lapsesAt, duration, evidence }, event, {
          evidence,
        });
        return;
      }
      case 'BlockImposed': {
        const { block, subject, direction, description, refusal, origin, rule, until, evidence } = event.data;
        const before = this.#entries.get(block);
        const terms = { id: block, subject, direction, description, refusal, origin, until, since: event.at };
        const proof = evidence ?? before?.evidence;
        this.#put(
          { ...(before ?? BLANK), ...terms, rule: rule ?? before?.rule, evidence: proof, state: 'active' },
          event,
          { until, ...(evidence === undefined ? {} : { evidence }) },
        );
        return;
      }
      case 'ProposalApproved':
        return this.#change(event, event.data.block, {}, noted(event.data.note));
      case 'ProposalDismissed': {
        const { block, note } = event.data;
        const marked = event.data.falsePositive === true ? { falsePositive: true } : {};
        return this.#change(
          event,
          block,
          { state: 'dismissed', endedAt: event.at, ...marked },
          { ...marked, ...noted(note) },
        );
      }
      case 'ProposalLapsed':
        return this.#change(event, event.data.block, { state: 'lapsed', endedAt: event.at });
      case 'BlockExtended': {
        const { block, until, direction, evidence, description, refusal, note } = event.data;
        const proof = evidence === undefined ? {} : { evidence };
        const asked = {
          ...(description === undefined ? {} : { description }),
          ...(refusal === undefined ? {} : { refusal }),
        };
        return this.#change(
          event,
          block,
          { until, direction, ...proof, ...asked },
          { until, ...proof, ...noted(note ?? description) },
        );
      }
      case 'BlockShortened': {
        const { block, until, note } = event.data;
        return this.#change(event, block, { until }, { until, ...noted(note) });
      }
      case 'BlockReleased': {
        const { block, falsePositive, note } = event.data;
        return this.#change(
          event,
          block,
          { state: 'released', endedAt: event.at, falsePositive },
          { falsePositive, ...noted(note) },
        );
      }
      case 'BlockExpired':
        return this.#change(event, event.data.block, { state: 'expired', endedAt: event.data.dueAt });
      case 'ExemptionGranted':
      case 'ExemptionRevoked':
      case 'ExemptionApplied':
        return;
      case 'RuleObserved':
        return this.observed.apply(event);
    }
  }

  #change(
    event: BlockEvent,
    id: string,
    change: Partial<LedgerEntry>,
    item: Partial<HistoryItem> = {},
  ): void {
    const before = this.#entries.get(id);
    if (before !== undefined) this.#put({ ...before, ...change }, event, item);
  }

  #put(entry: LedgerEntry, event: BlockEvent, item: Partial<HistoryItem>): void {
    const { type, at, by, position } = event;
    const begun = this.#entries.has(entry.id) ? entry : { ...entry, follows: this.#letGo(entry.subject, at) };
    if (begun !== entry) this.#list(entry);
    const history = [...entry.history, { type, at, by, position, ...item }];
    const next = { ...begun, history, version: position };
    this.#entries.set(entry.id, next);
    if (next.state === 'proposed') this.#pending.set(entry.id, next);
    else this.#pending.delete(entry.id);
  }

  /** The last time that a person let go of this subject, where that is not long ago. */
  #letGo(subject: Subject, at: Instant): Followed | undefined {
    const ended = this.ofSubject(subject).findLast(
      ({ state }) => state === 'released' || state === 'dismissed',
    );
    if (ended?.endedAt === undefined || ended.endedAt > at || ended.endedAt + GRACE < at) return undefined;
    const { by, note } = ended.history.at(-1)!;
    const { id: block, state, falsePositive, endedAt } = ended;
    return { block, state: state as Followed['state'], at: endedAt, by, falsePositive, ...noted(note) };
  }

  #list({ id, subject }: LedgerEntry): void {
    const key = subjectKey(subject);
    const ids = this.#bySubject.get(key) ?? [];
    if (ids.length === 0) {
      this.#bySubject.set(key, ids);
      this.#index.set(subject, ids);
    }
    ids.push(id);
  }
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
  follows: undefined,
  history: [],
  version: 0,
} as const;

function noted(note: string | undefined): { note?: string } {
  return note === undefined ? {} : { note };
}
