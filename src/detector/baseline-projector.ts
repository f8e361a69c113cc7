import type { Baselines } from '../../projections/baselines/sender-profiles.js';
import { Exemptions } from '../../projections/blocks/exemptions.js';
import { SendVolume } from '../../projections/volume/send-volume.js';
import type { SendVolumeState } from '../../projections/volume/send-volume.js';
import { ShadowRules } from '../../projections/blocks/shadow.js';
import type { ProjectorState } from './projector.js';
import { BASELINES_ONLY, isKept, Projector } from './projector.js';
import { messageOf } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import { categoryOf } from '../kernel/events.js';
import { PROFILE_CATEGORY } from '../sending/day-summary.js';
import type { EventStore } from '../store/port.js';

/** What {@link BaselineProjector.dump} gives: plain data that can be cloned. Never to be written to. */
export interface BaselineProjectorState extends ProjectorState {
  readonly volume: SendVolumeState;
  readonly shadow: ReturnType<ShadowRules['dump']>;
}

export interface BaselineListeners {
  /** After a summary has been folded. Of decisions the read models tell. */
  onSummarised(event: RecordedEvent): void;
  /** A summary that nobody can read, or that is none: skipped, never fatal. */
  onSkipped(event: RecordedEvent, reason: string): void;
}

/** Where nobody sends, nobody has to be spared. */
const NOBODY_EXEMPT = new Exemptions();

/**
 * What senders usually do, for a process that folds no sends: the summaries of their days, with the rules and the blocks
 * that say what they teach, in their order. It has a feed of its own, since there may be ten thousand summaries for each
 * decision: a node must know whom it refuses long before it has gone through these.
 */
export class BaselineProjector {
  #volume = new SendVolume();
  /** Of rules that are promoted it is known what was usual since they came into the shadow. */
  #shadow = newShadow();
  readonly #listeners: BaselineListeners;
  #projector = this.#newProjector();

  constructor(listeners: BaselineListeners) {
    this.#listeners = listeners;
  }

  /** As far as they are folded. */
  get baselines(): Baselines {
    return this.#volume.profiles.baselines;
  }

  /** True once everything that stood in the store at the start is folded. */
  get ready(): boolean {
    return this.#projector.ready;
  }

  /** Position of the last event folded. */
  get position(): number {
    return this.#projector.position;
  }

  /** Takes milliseconds. The opposite of {@link restore}. */
  dump(): BaselineProjectorState {
    return { ...this.#projector.dump(), volume: this.#volume.dump(), shadow: this.#shadow.dump() };
  }

  /** Goes on from what {@link dump} gave. Must come before {@link follow}. Where it throws, nothing has changed. */
  restore(state: BaselineProjectorState): void {
    const volume = new SendVolume();
    const shadow = newShadow();
    volume.restore(state.volume);
    shadow.restore(state.shadow);
    this.#projector.restore(state);
    this.#volume = volume;
    this.#shadow = shadow;
  }

  /** Catches up, from where it stands, and follows. See {@link Projector.follow}. */
  async follow(
    store: Pick<EventStore, 'subscribe'>,
    afterEach?: () => void | Promise<void>,
  ): Promise<{ ended: Promise<void> }> {
    return this.#projector.follow(store, BASELINES_ONLY, afterEach);
  }

  /** Forgets all that was folded, since another log is there. */
  async startAnew(): Promise<void> {
    await this.#projector.stop();
    this.#volume = new SendVolume();
    this.#shadow = newShadow();
    this.#projector = this.#newProjector();
  }

  async stop(): Promise<void> {
    await this.#projector.stop();
  }

  /** Resolves once the event at this position is folded. */
  async reached(position: number): Promise<void> {
    return this.#projector.reached(position);
  }

  /** Folds one event. Delivered again, it changes nothing. */
  apply(event: RecordedEvent): void {
    this.#projector.take(event);
  }

  #newProjector(): Projector {
    return new Projector((event, isDecision) => this.#fold(event, isDecision));
  }

  #fold(event: RecordedEvent, isDecision: boolean): void {
    if (isDecision && !isKept(event)) {
      this.#skip(event, 'it is no summary of a day');
      return;
    }
    try {
      const promoted = this.#shadow.promotedBy(event);
      (promoted ?? this.#volume).apply(event);
      if (promoted !== undefined) this.#volume = promoted;
      if (isDecision || this.#shadow.set !== undefined) {
        this.#shadow.apply(event, { verdicts: [], sendVolume: this.#volume, exemptions: NOBODY_EXEMPT });
      }
    } catch (error) {
      this.#skip(event, messageOf(error));
      return;
    }
    if (!isDecision) this.#listeners.onSummarised(event);
  }

  /** Of decisions the read models tell, which fold them too. */
  #skip(event: RecordedEvent, reason: string): void {
    if (categoryOf(event.stream) === PROFILE_CATEGORY) this.#listeners.onSkipped(event, reason);
  }
}

function newShadow(): ShadowRules {
  return new ShadowRules(() => new SendVolume());
}
