import type { BlockEvent } from '../../src/blocks/events.js';
import type { Standing } from '../../src/blocks/state.js';
import { NOTHING_YET, effectsOf, fold } from '../../src/blocks/state.js';
import { subjectKey } from '../../src/sending/subjects.js';

/** The block or proposal that a subject has now. */
type Live = Pick<Standing, 'block' | 'proposal'>;

export interface EffectiveBlocksState {
  /** By subject key. */
  readonly live: readonly (readonly [subject: string, live: Live])[];
  readonly ended: readonly string[];
  readonly aliases: readonly (readonly [alias: string, id: string])[];
}

/**
 * Reads the block events of all subjects as {@link effectsOf} reads those of one, so that whatever folds them agrees on
 * what two writers have written who did not see each other.
 */
export class EffectiveBlocks {
  /** By subject key, those only that have a block or a proposal. */
  readonly #live = new Map<string, Live>();
  /** The keys of their subjects, by the ids of the blocks and proposals. */
  readonly #subjects = new Map<string, string>();
  readonly #ended = new Set<string>();
  readonly #aliases = new Map<string, string>();

  /** What the event means; nothing where it is about what has ended, or about what nobody has begun. */
  take<Event extends BlockEvent>(event: Event): readonly Event[] {
    if (!('block' in event.data)) return [event];
    const { block } = event.data;
    const key =
      'subject' in event.data && event.data.subject !== undefined
        ? subjectKey(event.data.subject)
        : this.#subjects.get(this.#aliases.get(block) ?? block);
    if (key === undefined) return [];
    const before: Standing = { ...NOTHING_YET, ...this.#live.get(key) };
    const events = effectsOf({ ...before, ended: this.#ended, aliases: this.#aliases }, event);
    if (events.length > 0) this.#keep(key, events.reduce(fold, before));
    return events as readonly Event[];
  }

  /** The opposite of {@link restore}. */
  dump(): EffectiveBlocksState {
    return { live: [...this.#live], ended: [...this.#ended], aliases: [...this.#aliases] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ live, ended, aliases }: EffectiveBlocksState): void {
    for (const held of [this.#live, this.#subjects, this.#ended, this.#aliases]) held.clear();
    for (const [key, { block, proposal }] of live) this.#keep(key, { ...NOTHING_YET, block, proposal });
    for (const id of ended) this.#ended.add(id);
    for (const [alias, id] of aliases) this.#aliases.set(alias, id);
  }

  #keep(key: string, { block, proposal, ended, aliases }: Standing): void {
    for (const id of ended.keys()) {
      this.#ended.add(id);
      this.#subjects.delete(id);
    }
    for (const [alias, id] of aliases) this.#aliases.set(alias, id);
    const id = (block ?? proposal)?.id;
    if (id === undefined) this.#live.delete(key);
    else {
      this.#live.set(key, { block, proposal });
      this.#subjects.set(id, key);
    }
  }
}
