import { ActiveBlocks } from '../projections/active-blocks.js';
import { AutomaticBlocks } from '../projections/automatic-blocks.js';
import { BlockLedger } from '../projections/block-ledger.js';
import { Exemptions } from '../projections/exemptions.js';
import { Overrides } from '../projections/overrides.js';
import { RulePrecision } from '../projections/rule-precision.js';
import { SeenIds } from '../projections/seen-ids.js';
import { SendVolume } from '../projections/send-volume.js';
import { ShadowRules } from '../projections/shadow.js';
import type { BlockEvent } from './blocks/events.js';
import { isBlockEvent } from './blocks/events.js';
import type { RecordedEvent } from './kernel/events.js';
import { messageOf } from './kernel/errors.js';
import { UNREADABLE } from './kernel/events.js';
import type { Instant } from './kernel/time.js';
import { FOLDED_CATEGORIES, isHappening, isKept } from './known-events.js';
import { isOverrideEvent } from './overrides/events.js';
import type { Verdict } from './rules/verdict.js';
import type { EventStore, Subscription } from './store/port.js';

/** What tells that an event in a store is the one that was folded. */
export type Anchor = Pick<RecordedEvent, 'stream' | 'revision' | 'id' | 'position'>;

/** What {@link ReadModels.dump} gives: plain data that can be cloned. Never to be written to. */
export interface ReadModelsState {
  readonly position: number;
  readonly lastEventAt: Instant;
  /** The last event, and the last of those that are kept for ever. */
  readonly anchors: readonly (Anchor | undefined)[];
  readonly activeBlocks: ReturnType<ActiveBlocks['dump']>;
  readonly ledger: ReturnType<BlockLedger['dump']>;
  readonly exemptions: ReturnType<Exemptions['dump']>;
  readonly automaticBlocks: ReturnType<AutomaticBlocks['dump']>;
  readonly overrides: ReturnType<Overrides['dump']>;
  readonly sendVolume: ReturnType<SendVolume['dump']>;
  readonly shadow: ReturnType<ShadowRules['dump']>;
  readonly rulePrecision: ReturnType<RulePrecision['dump']>;
  readonly seen: ReturnType<SeenIds['dump']>;
}

export interface ReadModelListeners {
  /** Called within the fold, so that what it puts in force is so before anything else happens. */
  onVerdict(verdict: Verdict, live: boolean): void;
  onBlockEvent(event: BlockEvent, live: boolean): void;
  onRulesChanged(): void;
  /** After an event has been folded. */
  onFolded?(event: RecordedEvent): void;
  /** An event that nobody here can read, or whose data are not what its type promises: skipped, never fatal. */
  onSkipped(event: RecordedEvent, reason: string): void;
}

/**
 * All that is folded from the store, fed by one subscription: in order, each event once. Thrown away and rebuilt at
 * every start, from the beginning or from what a snapshot holds: the result is the same.
 */
export class ReadModels {
  #models: ReturnType<typeof fresh>;
  readonly #listeners: ReadModelListeners;
  readonly #idsKept: number | undefined;
  #subscription: Subscription | undefined;
  #position = 0;
  #lastEventAt = 0;
  /** The last event, and the last of those that are kept for ever. */
  #last: Anchor | undefined;
  #lastKept: Anchor | undefined;
  #live = false;
  #waiting: { position: number; resolve: () => void }[] = [];

  /**
   * @param idsKept ids that are remembered, to tell an event that was delivered before; as many as a store may need
   *   unless given
   */
  constructor(listeners: ReadModelListeners, idsKept?: number) {
    this.#listeners = listeners;
    this.#idsKept = idsKept;
    this.#models = fresh(idsKept);
  }

  get activeBlocks(): ActiveBlocks {
    return this.#models.activeBlocks;
  }

  get ledger(): BlockLedger {
    return this.#models.ledger;
  }

  get exemptions(): Exemptions {
    return this.#models.exemptions;
  }

  get automaticBlocks(): AutomaticBlocks {
    return this.#models.automaticBlocks;
  }

  get overrides(): Overrides {
    return this.#models.overrides;
  }

  get sendVolume(): SendVolume {
    return this.#models.sendVolume;
  }

  get shadow(): ShadowRules {
    return this.#models.shadow;
  }

  get rulePrecision(): RulePrecision {
    return this.#models.rulePrecision;
  }

  /** Position of the last event folded. */
  get position(): number {
    return this.#position;
  }

  /** Position up to which the feed has come, counting what it passed over for its category. */
  get feedPosition(): number {
    return this.#subscription?.position ?? 0;
  }

  /** When the store wrote the last event folded; 0 before the first. */
  get lastEventAt(): number {
    return this.#lastEventAt;
  }

  /** True once everything that stood in the store at the start is folded. */
  get ready(): boolean {
    return this.#live;
  }

  /** All that is folded so far, whatever is folded afterwards. Takes milliseconds. The opposite of {@link restore}. */
  dump(): ReadModelsState {
    const { activeBlocks, ledger, exemptions, automaticBlocks, overrides, sendVolume } = this.#models;
    const { shadow, rulePrecision, seen } = this.#models;
    return {
      position: this.#position,
      lastEventAt: this.#lastEventAt,
      anchors: [this.#last, this.#lastKept].map((event) => event && anchorOf(event)),
      activeBlocks: activeBlocks.dump(),
      ledger: ledger.dump(),
      exemptions: exemptions.dump(),
      automaticBlocks: automaticBlocks.dump(),
      overrides: overrides.dump(),
      sendVolume: sendVolume.dump(),
      shadow: shadow.dump(),
      rulePrecision: rulePrecision.dump(),
      seen: seen.dump(),
    };
  }

  /**
   * Goes on from what {@link dump} gave, as if everything up to its position had been folded here; no listener is
   * told. Must come before {@link follow}. Where it throws, nothing has changed.
   */
  restore(state: ReadModelsState): void {
    const models = fresh(this.#idsKept);
    models.activeBlocks.restore(state.activeBlocks);
    models.ledger.restore(state.ledger);
    models.exemptions.restore(state.exemptions);
    models.automaticBlocks.restore(state.automaticBlocks);
    models.overrides.restore(state.overrides);
    models.sendVolume.restore(state.sendVolume);
    models.shadow.restore(state.shadow);
    models.rulePrecision.restore(state.rulePrecision);
    models.seen.restore(state.seen);
    this.#models = models;
    this.#position = state.position;
    this.#lastEventAt = state.lastEventAt;
    [this.#last, this.#lastKept] = state.anchors;
  }

  /**
   * Catches up, from where it stands, and follows.
   *
   * @param afterEach called after each event that came, whatever became of it
   * @returns when caught up; `ended` rejects later should the feed break
   */
  async follow(
    store: EventStore,
    categories: readonly string[] = FOLDED_CATEGORIES,
    afterEach: () => void = () => undefined,
  ): Promise<{ ended: Promise<void> }> {
    const subscription = store.subscribe({ after: this.#position, categories }, (event) => {
      this.apply(event);
      afterEach();
    });
    this.#subscription = subscription;
    await Promise.race([subscription.caughtUp, subscription.ended]);
    this.#live = true;
    return { ended: subscription.ended };
  }

  async stop(): Promise<void> {
    await this.#subscription?.stop();
  }

  /** Resolves once the event at this position is folded. */
  async reached(position: number): Promise<void> {
    if (position <= this.#position) return;
    return new Promise((resolve) => this.#waiting.push({ position, resolve }));
  }

  /** Folds one event. Delivered again, it changes nothing. */
  apply(event: RecordedEvent): void {
    if (event.position <= this.#position) return;
    this.#position = event.position;
    this.#lastEventAt = event.recordedAt;
    this.#last = event;
    // Nearly all events are none, and are spared every further question of that kind.
    const isDecision = !isHappening(event);
    if (isDecision && isKept(event)) this.#lastKept = event;
    if (this.#models.seen.isNew(event.id)) this.#fold(event, isDecision);
    if (this.#waiting.length > 0) this.#wake();
  }

  #fold(event: RecordedEvent, isDecision: boolean): void {
    if (isDecision && !isKept(event)) {
      const reason =
        event.type === UNREADABLE
          ? 'its data cannot be read'
          : 'its type is unknown, or its data are not of it';
      this.#listeners.onSkipped(event, reason);
      return;
    }
    let verdicts: readonly Verdict[];
    try {
      verdicts = isDecision ? this.#applyDecision(event) : this.#models.sendVolume.apply(event);
    } catch (error) {
      // A poison event must not keep everything behind it from being folded, at every start anew.
      this.#listeners.onSkipped(event, messageOf(error));
      return;
    }
    if (isDecision || this.#models.shadow.set !== undefined) this.#applyShadow(event, verdicts);
    for (const verdict of verdicts) this.#listeners.onVerdict(inTraceOf(event, verdict), this.#live);
    if (event.type === 'RulesChanged') this.#listeners.onRulesChanged();
    this.#listeners.onFolded?.(event);
    if (isDecision && isBlockEvent(event)) this.#listeners.onBlockEvent(event, this.#live);
  }

  #applyDecision(event: RecordedEvent): readonly Verdict[] {
    if (isBlockEvent(event)) this.#applyBlock(event);
    else if (isOverrideEvent(event)) this.overrides.apply(event);
    const promoted = this.shadow.promotedBy(event);
    const verdicts = (promoted ?? this.sendVolume).apply(event);
    if (promoted !== undefined) this.#models.sendVolume = promoted;
    if (event.type === 'RulesChanged') this.#useRules();
    return verdicts;
  }

  #applyBlock(event: RecordedEvent & BlockEvent): void {
    this.activeBlocks.apply(event);
    this.ledger.apply(event);
    this.exemptions.apply(event);
    this.automaticBlocks.apply(event);
    this.rulePrecision.apply(event);
  }

  #useRules(): void {
    this.exemptions.useRules(this.sendVolume.rules);
    this.rulePrecision.useRules(this.sendVolume.rules.rules);
  }

  /** What goes wrong in the shadow must not touch what the rules in force have found. */
  #applyShadow(event: RecordedEvent, verdicts: readonly Verdict[]): void {
    const { shadow, sendVolume, exemptions } = this.#models;
    try {
      shadow.apply(event, { verdicts, sendVolume, exemptions });
    } catch (error) {
      this.#listeners.onSkipped(event, `shadow rules: ${messageOf(error)}`);
    }
  }

  #wake(): void {
    const due = this.#waiting.filter((waiter) => waiter.position <= this.#position);
    this.#waiting = this.#waiting.filter((waiter) => waiter.position > this.#position);
    for (const { resolve } of due) resolve();
  }
}

function fresh(idsKept: number | undefined) {
  const overrides = new Overrides();
  return {
    activeBlocks: new ActiveBlocks(),
    ledger: new BlockLedger(),
    exemptions: new Exemptions(),
    automaticBlocks: new AutomaticBlocks(),
    overrides,
    sendVolume: new SendVolume(overrides),
    shadow: new ShadowRules(() => new SendVolume(overrides)),
    rulePrecision: new RulePrecision(),
    seen: new SeenIds(idsKept),
  };
}

/** A verdict goes on in the trace of what tripped it. */
function inTraceOf({ trace }: RecordedEvent, verdict: Verdict): Verdict {
  return trace === undefined ? verdict : { ...verdict, trace };
}

function anchorOf({ stream, revision, id, position }: Anchor): Anchor {
  return { stream, revision, id, position };
}
