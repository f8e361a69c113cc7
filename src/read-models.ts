import { ActiveBlocks } from '../projections/active-blocks.js';
import { AutomaticBlocks } from '../projections/automatic-blocks.js';
import { BlockLedger } from '../projections/block-ledger.js';
import { Exemptions } from '../projections/exemptions.js';
import { SeenIds } from '../projections/seen-ids.js';
import { SendVolume } from '../projections/send-volume.js';
import type { BlockEvent } from './blocks/events.js';
import { BLOCK_CATEGORY, isBlockEvent } from './blocks/events.js';
import type { RecordedEvent } from './kernel/events.js';
import { messageOf } from './kernel/errors.js';
import { UNREADABLE } from './kernel/events.js';
import { RULES_CATEGORY } from './rules/model.js';
import type { Verdict } from './rules/verdict.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from './sending/events.js';
import type { EventStore, Subscription } from './store/port.js';

/** Everything that a node folds. */
export const FOLDED_CATEGORIES = [BLOCK_CATEGORY, RULES_CATEGORY, SEND_CATEGORY, AUTH_CATEGORY];
/** What a node folds that neither detects nor shows senders. */
export const DECISIONS_ONLY = [BLOCK_CATEGORY, RULES_CATEGORY];

const KNOWN_OTHERS = new Set([
  'MessageAccepted',
  'RecipientsRefused',
  'MessageRefused',
  'BounceReceived',
  'AuthenticationFailed',
  'RulesChanged',
]);

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
 * All that is folded from the store, fed by one subscription: in order, each event once. Thrown away and
 * rebuilt at every start.
 */
export class ReadModels {
  readonly activeBlocks = new ActiveBlocks();
  readonly ledger = new BlockLedger();
  readonly exemptions = new Exemptions();
  readonly automaticBlocks = new AutomaticBlocks();
  readonly sendVolume = new SendVolume();
  readonly #listeners: ReadModelListeners;
  #subscription: Subscription | undefined;
  readonly #seen = new SeenIds();
  #position = 0;
  #lastEventAt = 0;
  #live = false;
  #waiting: { position: number; resolve: () => void }[] = [];

  constructor(listeners: ReadModelListeners) {
    this.#listeners = listeners;
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

  /**
   * Catches up and follows.
   *
   * @returns when caught up; `ended` rejects later should the feed break
   */
  async follow(
    store: EventStore,
    categories: readonly string[] = FOLDED_CATEGORIES,
  ): Promise<{ ended: Promise<void> }> {
    const subscription = store.subscribe({ after: 0, categories }, (event) => this.apply(event));
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
    if (this.#seen.isNew(event.id)) this.#fold(event);
    if (this.#waiting.length > 0) this.#wake();
  }

  #fold(event: RecordedEvent): void {
    if (!isBlockEvent(event) && !KNOWN_OTHERS.has(event.type)) {
      const reason = event.type === UNREADABLE ? 'its data cannot be read' : 'its type is unknown';
      this.#listeners.onSkipped(event, reason);
      return;
    }
    let verdicts: readonly Verdict[];
    try {
      if (isBlockEvent(event)) this.#applyBlock(event);
      verdicts = this.sendVolume.apply(event);
      if (event.type === 'RulesChanged') this.exemptions.useRules(this.sendVolume.rules);
    } catch (error) {
      // A poison event must not keep everything behind it from being folded, at every start anew.
      this.#listeners.onSkipped(event, messageOf(error));
      return;
    }
    for (const verdict of verdicts) this.#listeners.onVerdict(verdict, this.#live);
    if (event.type === 'RulesChanged') this.#listeners.onRulesChanged();
    this.#listeners.onFolded?.(event);
    if (isBlockEvent(event)) this.#listeners.onBlockEvent(event, this.#live);
  }

  #applyBlock(event: RecordedEvent & BlockEvent): void {
    this.activeBlocks.apply(event);
    this.ledger.apply(event);
    this.exemptions.apply(event);
    this.automaticBlocks.apply(event);
  }

  #wake(): void {
    const due = this.#waiting.filter((waiter) => waiter.position <= this.#position);
    this.#waiting = this.#waiting.filter((waiter) => waiter.position > this.#position);
    for (const { resolve } of due) resolve();
  }
}
