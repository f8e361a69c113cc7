import type { BlockEvent, Evidence } from '../../src/blocks/events.js';
import { GRACE } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import type { Action } from '../../src/rules/model.js';
import type { MessageRefused } from '../../src/sending/events.js';
import type { Direction, MailDirection, Subject, SubjectType } from '../../src/sending/subjects.js';
import { directionsMeet, SUBJECT_TYPES, subjectKey } from '../../src/sending/subjects.js';
import type { BlockEntry, Followed } from './block-entry.js';
import { evolveEntry, isEnded, noted, stateAt } from './block-entry.js';
import type { BlockRowsState } from './block-rows.js';
import { BlockRows } from './block-rows.js';

export interface LedgerState {
  readonly rows: BlockRowsState;
  /**
   * The entries in memory: first those that have not ended, in the order in which they began; then those that have, in
   * the order in which they ended.
   */
  readonly entries: readonly BlockEntry[];
  /** By subject key. */
  readonly letGo: readonly (readonly [subject: string, followed: Followed])[];
  readonly observed: readonly Observation[];
  readonly aliases: readonly (readonly [alias: string, id: string])[];
}

/** How many ended entries are kept in memory, the last ones: about 25 MB. */
const ENDED_KEPT = 10_000;

/**
 * Every block and proposal that ever existed, and what rules only observed: the API lists these. Waiting entries,
 * entries in force and the last ended ones are in memory as a whole. All others have a row here, and the store has the
 * rest.
 */
export class BlockLedger {
  readonly observed = new Observed();
  readonly rows = new BlockRows();
  readonly #endedKept: number;
  readonly #entries = new Map<string, BlockEntry>();
  readonly #pending = new Map<string, BlockEntry>();
  /** The ended entries, the first to end first. */
  readonly #ended = new Set<string>();
  /** Ids that competing writers gave, each with the id of the entry that it means. */
  readonly #aliases = new Map<string, string>();
  /** Recent releases and dismissals, by subject key, in that order. */
  readonly #letGo = new Map<string, Followed>();

  /** @param endedKept how many ended entries are kept in memory */
  constructor(endedKept = ENDED_KEPT) {
    this.#endedKept = endedKept;
  }

  /** The number of entries ever. */
  get size(): number {
    return this.rows.size;
  }

  /** The opposite of {@link restore}. */
  dump(): LedgerState {
    const live = [...this.#entries.values()].filter((entry) => !isEnded(entry));
    const ended = [...this.#ended].map((id) => this.#entries.get(id)!);
    return {
      rows: this.rows.dump(),
      entries: [...live, ...ended],
      letGo: [...this.#letGo],
      observed: this.observed.dump(),
      aliases: [...this.#aliases],
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore({ rows, entries, letGo, observed, aliases }: LedgerState): void {
    this.rows.restore(rows);
    for (const [alias, id] of aliases) this.#aliases.set(alias, id);
    for (const [subject, followed] of letGo) this.#letGo.set(subject, followed);
    this.observed.restore(observed);
    for (const entry of entries) this.#keep(entry);
  }

  /** The entry's own id for any of its ids. */
  nameOf(id: string): string {
    return this.#aliases.get(id) ?? id;
  }

  /** Whether there ever was a block of this id. */
  has(id: string): boolean {
    return this.rows.find(this.nameOf(id)) !== undefined;
  }

  /** The entry with any of its ids, if it is in memory: all that wait or are in force are. */
  get(id: string): BlockEntry | undefined {
    return this.#entries.get(this.nameOf(id));
  }

  /** What a block is on, even one that ended long ago. */
  subjectOf(id: string): Subject | undefined {
    const row = this.rows.find(this.nameOf(id));
    return row === undefined ? undefined : this.rows.at(row).subject;
  }

  /** The rule that caused a block, even one that ended long ago. */
  ruleOf(id: string): string | undefined {
    return this.rows.ruleOf(this.nameOf(id));
  }

  /** The proposals that are not settled yet, as recorded. */
  pending(): IterableIterator<BlockEntry> {
    return this.#pending.values();
  }

  /** All that are in memory. */
  kept(): IterableIterator<BlockEntry> {
    return this.#entries.values();
  }

  /** The present block or proposal of exactly this subject, as recorded. */
  liveOn(subject: Subject): BlockEntry | undefined {
    for (const row of this.rows.on(subject)) {
      const entry = this.#entries.get(this.rows.at(row).id);
      return entry === undefined || isEnded(entry) ? undefined : entry;
    }
    return undefined;
  }

  /**
   * Until when the newest block or proposal of exactly this subject is the answer to a rule that such mail of it trips: to any
   * (`decided`), and to one that only proposes (`proposed`). A proposal is so to others when it begins; a block, and a person's
   * decision, until its end. One of the other direction answers nothing, but a person who let go of it decided on the sender.
   * -Infinity if there never was one.
   */
  answerOn(subject: Subject, mail: MailDirection): { readonly decided: Instant; readonly proposed: Instant } {
    for (const row of this.rows.on(subject)) {
      const { began, ends, direction, isUndecided, isLetGo } = this.rows.at(row);
      if (!isLetGo && !directionsMeet(direction, mail)) continue;
      return { decided: isUndecided ? began : ends, proposed: ends };
    }
    return { decided: -Infinity, proposed: -Infinity };
  }

  /** The block that is in force on exactly this subject, or the proposal that waits: what a rule asks for next is about it. */
  caseOn(subject: Subject, now: Instant): BlockEntry | undefined {
    const live = this.liveOn(subject);
    return live !== undefined && ['proposed', 'active'].includes(stateAt(live, now)) ? live : undefined;
  }

  /** A block, named by any of its ids, has refused so many attempts. */
  refuse({ block, count }: Pick<MessageRefused, 'block' | 'count'>, at: Instant): void {
    this.rows.refuse(this.nameOf(block), count, at);
  }

  apply(event: BlockEvent): void {
    if (event.type === 'RuleObserved') return this.observed.apply(event);
    if (!('block' in event.data)) return;
    const { block: id } = event.data;
    if (event.alias !== undefined) this.#aliases.set(event.alias, id);
    const before = this.#entries.get(id);
    // An entry that is no longer in memory has ended, and ended entries do not come back. Only their mail is decided on.
    const row = before === undefined ? this.rows.find(id) : undefined;
    if (row !== undefined) return this.rows.reach(row, event.revision);
    const follows = before === undefined && 'subject' in event.data ? this.#follows(event) : undefined;
    const entry = evolveEntry(before, event, follows);
    if (entry === undefined) return;
    this.rows.put(entry, event.revision);
    this.#keep(entry);
    if (isEnded(entry) && (before === undefined || !isEnded(before))) this.#end(entry, event);
  }

  #keep(entry: BlockEntry): void {
    this.#entries.set(entry.id, entry);
    if (entry.state === 'proposed') this.#pending.set(entry.id, entry);
    else this.#pending.delete(entry.id);
    if (isEnded(entry)) this.#ended.add(entry.id);
  }

  #end({ state, subject, id: block, falsePositive }: BlockEntry, { at, by, data }: BlockEvent): void {
    for (const id of this.#ended) {
      if (this.#ended.size <= this.#endedKept) break;
      this.#ended.delete(id);
      this.#entries.delete(id);
    }
    if (state !== 'released' && state !== 'dismissed') return;
    const key = subjectKey(subject);
    this.#letGo.delete(key);
    const { note } = data as { readonly note?: string };
    this.#letGo.set(key, { block, state, at, by, falsePositive, ...noted(note) });
    for (const [other, { at: earlier }] of this.#letGo) {
      // Twice the time, for writers whose clocks differ.
      if (earlier + 2 * GRACE >= at) break;
      this.#letGo.delete(other);
    }
  }

  /** The last release or dismissal of the event's subject, if that is recent. */
  #follows({ at, data }: BlockEvent): Followed | undefined {
    const { subject } = data as { readonly subject: Subject };
    const followed = this.#letGo.get(subjectKey(subject));
    return followed === undefined || followed.at > at || followed.at + GRACE < at ? undefined : followed;
  }
}

/** A rule tripped without effect: it only observes, or all rules do. */
export interface Observation {
  readonly position: number;
  readonly at: Instant;
  readonly subject: Subject;
  /** What the rule asks for: `observe`, or what `mode: observe` or a block of the other direction kept it from. */
  readonly action: Action;
  /** What it would have refused, in that case. */
  readonly direction?: Direction;
  readonly evidence: Evidence;
}

/** How many are kept, the newest: the store has all. */
export const OBSERVATIONS_KEPT = 1000;

/**
 * The observations of rules that only observe. Where there are too many the type of subject that has most of them loses its
 * oldest one: strangers, who can trip rules on any number of networks and names, push no account out.
 */
class Observed {
  /** By type of subject, each oldest first. */
  readonly #kept = new Map<SubjectType, Observation[]>(SUBJECT_TYPES.map((type) => [type, []]));
  #size = 0;

  apply({ at, position, ...event }: BlockEvent): void {
    if (event.type === 'RuleObserved') this.#keep({ position, at, ...event.data });
  }

  #keep(one: Observation): void {
    this.#kept.get(one.subject.type)!.push(one);
    if (++this.#size <= OBSERVATIONS_KEPT) return;
    let fullest: Observation[] = [];
    for (const each of this.#kept.values()) if (each.length >= fullest.length) fullest = each;
    fullest.shift();
    this.#size--;
  }

  /** Newest first. */
  newest(): readonly Observation[] {
    return [...this.#kept.values()].flat().sort((a, b) => b.position - a.position);
  }

  /** The opposite of {@link restore}. */
  dump(): readonly Observation[] {
    return this.newest().toReversed();
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore(kept: readonly Observation[]): void {
    for (const one of kept) this.#keep(one);
  }
}
