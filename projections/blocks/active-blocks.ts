import type { BlockEvent, Refusal, Until } from '../../src/blocks/events.js';
import { isForgeable, isOver } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import type { Direction, SenderIdentity, Subject, SubjectType } from '../../src/sending/subjects.js';
import { directionsMeet, uniteDirections } from '../../src/sending/subjects.js';
import { SubjectIndex } from './subject-index.js';

/** One block in force with its subject: only what the SMTP path needs. */
export interface ActiveBlock extends Subject {
  readonly id: string;
  readonly direction: Direction;
  readonly until: Until;
  readonly refusal: Refusal;
  /** Whether a rule caused it (even if a person approved it), not a person alone. */
  readonly byRule: boolean;
}

/**
 * Answers the SMTP path: is this sender refused? In memory, never waits. It checks `until` itself, so a block whose
 * expiry comes late refuses nobody.
 */
export class ActiveBlocks {
  readonly #index = new SubjectIndex<ActiveBlock>();
  readonly #byId = new Map<string, ActiveBlock>();
  readonly #counts = new Map<string, { type: SubjectType; byRule: boolean; count: number }>();
  /** Blocks decided on but not yet durable: in force from the moment a rule trips. */
  #provisional = new SubjectIndex<ActiveBlock>();

  get size(): number {
    return this.#byId.size;
  }

  /** The recorded blocks, without anticipated ones. The opposite of {@link restore}. */
  dump(): readonly ActiveBlock[] {
    return [...this.#byId.values()];
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore(blocks: readonly ActiveBlock[]): void {
    for (const block of blocks) this.#put(block);
  }

  /** The recorded blocks, including overdue ones. */
  all(): Iterable<ActiveBlock> {
    return this.#byId.values();
  }

  /** The number of blocks of each type and origin. */
  counts(): Iterable<{ readonly type: SubjectType; readonly byRule: boolean; readonly count: number }> {
    return this.#counts.values();
  }

  /**
   * The block that refuses this sender; of several, the one that ends last.
   *
   * @param now a block whose `until` has passed no longer refuses
   * @param isMeant any other block is left out; undefined: none is
   */
  find(
    sender: SenderIdentity,
    now: Instant,
    isMeant?: (block: ActiveBlock) => boolean,
  ): ActiveBlock | undefined {
    let strongest: ActiveBlock | undefined;
    const consider = (block: ActiveBlock): void => {
      if (isMeant?.(block) === false) return;
      if (isOver(block.until, now) || !directionsMeet(block.direction, sender.direction)) return;
      if (strongest === undefined || isStronger(block, strongest)) strongest = block;
    };
    if (this.#index.size > 0) this.#index.forEachMatch(sender, consider);
    if (this.#provisional.size > 0) this.#provisional.forEachMatch(sender, consider);
    return strongest;
  }

  /** Calls back for each recorded block on this sender, of any direction, including overdue ones. */
  forEachOn(sender: SenderIdentity, callback: (block: ActiveBlock) => void): void {
    this.#index.forEachMatch(sender, callback);
  }

  /** The block in force on exactly this subject, ignoring others that cover it. */
  on(subject: Subject): ActiveBlock | undefined {
    return this.#index.get(subject);
  }

  /** The block with this id, while it is in force. */
  byId(id: string): ActiveBlock | undefined {
    return this.#byId.get(id);
  }

  /** Puts a block in force before its event is durable. {@link withdraw} must follow. */
  anticipate(subject: Subject, block: ActiveBlock): void {
    const before = this.#provisional.get(subject);
    if (before === undefined) return this.#provisional.set(subject, block);
    const stronger = isStronger(block, before) ? block : before;
    // Inbound mail never makes a sender wait longer than its own mail does, as it is decided.
    const sent = [before, block].filter((each) => each.direction !== 'inbound');
    const isLonger = sent[0] === block && !isForgeable(subject);
    this.#provisional.set(subject, {
      ...stronger,
      until: sent.length === 1 && !isLonger ? sent[0]!.until : stronger.until,
      direction: uniteDirections(before.direction, block.direction),
    });
  }

  /** Ends what {@link anticipate} began: the event is folded by now, or there will be none. */
  withdraw(subject: Subject): void {
    this.#provisional.delete(subject);
  }

  /** Takes over what was put in force before its event was durable. */
  keepAnticipated(former: ActiveBlocks): void {
    this.#provisional = former.#provisional;
  }

  apply(event: BlockEvent): void {
    switch (event.type) {
      case 'BlockImposed': {
        const { block: id, subject, direction, until, refusal, origin } = event.data;
        const replaced = this.#index.get(subject);
        if (replaced !== undefined) this.#remove(replaced.id);
        const { type, value } = subject;
        return this.#put({ id, type, value, direction, until, refusal, byRule: origin === 'rule' });
      }
      case 'BlockExtended': {
        const { block, until, direction, refusal } = event.data;
        return this.#change(block, { until, direction, ...(refusal === undefined ? {} : { refusal }) });
      }
      case 'BlockShortened':
        return this.#change(event.data.block, { until: event.data.until });
      case 'BlockReleased':
      case 'BlockExpired':
        return this.#remove(event.data.block);
      case 'BlockProposed':
      case 'ProposalApproved':
      case 'ProposalDismissed':
      case 'ProposalLapsed':
      case 'ExemptionGranted':
      case 'ExemptionRevoked':
      case 'ExemptionApplied':
      case 'RuleObserved':
      case 'HeldMailDecided':
      case 'HookRan':
        return;
    }
  }

  #change(id: string, change: Partial<Pick<ActiveBlock, 'until' | 'direction' | 'refusal'>>): void {
    const block = this.#byId.get(id);
    if (block !== undefined) this.#put({ ...block, ...change });
  }

  #put(block: ActiveBlock): void {
    if (!this.#byId.has(block.id)) this.#tally(block, 1);
    this.#index.set(block, block);
    this.#byId.set(block.id, block);
  }

  #remove(id: string): void {
    const block = this.#byId.get(id);
    if (block === undefined) return;
    this.#byId.delete(id);
    this.#index.delete(block);
    this.#tally(block, -1);
  }

  #tally({ type, byRule }: ActiveBlock, by: number): void {
    const key = `${type} ${byRule}`;
    const tally = this.#counts.get(key) ?? { type, byRule, count: 0 };
    this.#counts.set(key, { ...tally, count: tally.count + by });
  }
}

function isStronger(a: ActiveBlock, b: ActiveBlock): boolean {
  // Among equals the lower id wins, so that the order of the index does not matter.
  if (a.until === b.until) return a.id < b.id;
  if (a.until === null || b.until === null) return b.until !== null;
  return a.until > b.until;
}
