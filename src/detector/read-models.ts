import type { Baselines } from '../../projections/baselines/sender-profiles.js';
import { ActiveBlocks } from '../../projections/blocks/active-blocks.js';
import { AutomaticBlocks, RulePrecision } from '../../projections/blocks/rule-precision.js';
import { Changes } from '../../projections/blocks/changes.js';
import { BlockLedger } from '../../projections/blocks/block-ledger.js';
import { Exemptions } from '../../projections/blocks/exemptions.js';
import { HeldMail } from '../../projections/blocks/held-mail.js';
import { PastBlocks } from '../../projections/blocks/past-blocks.js';
import { Overrides } from '../../projections/volume/overrides.js';
import { RecentMail } from '../../projections/volume/recent-mail.js';
import type { SendVolumeState } from '../../projections/volume/send-volume.js';
import { SendVolume } from '../../projections/volume/send-volume.js';
import { ShadowRules } from '../../projections/blocks/shadow.js';
import type { BlockEvent } from '../blocks/events.js';
import { isBlockEvent } from '../blocks/events.js';
import type { ProjectorState } from './projector.js';
import { FOLDED_CATEGORIES, isKept, Projector } from './projector.js';
import type { RecordedEvent } from '../kernel/events.js';
import { messageOf } from '../kernel/errors.js';
import { categoryOf, UNREADABLE } from '../kernel/events.js';
import { isOverrideEvent } from '../overrides/events.js';
import type { Verdict } from '../rules/respond.js';
import { Sessions } from '../../projections/sessions/sessions.js';
import { isSessionEvent } from '../sessions/events.js';
import { PROFILE_CATEGORY } from '../sending/day-summary.js';
import { isRefusal } from '../sending/events.js';
import type { EventStore } from '../store/port.js';

/** What {@link ReadModels.dump} gives: plain data that can be cloned. Never write to it. */
export interface ReadModelsState extends ProjectorState {
  readonly activeBlocks: ReturnType<ActiveBlocks['dump']>;
  readonly ledger: ReturnType<BlockLedger['dump']>;
  readonly changes: ReturnType<Changes['dump']>;
  readonly exemptions: ReturnType<Exemptions['dump']>;
  readonly automaticBlocks: ReturnType<AutomaticBlocks['dump']>;
  readonly overrides: ReturnType<Overrides['dump']>;
  readonly sendVolume: ReturnType<SendVolume['dump']>;
  readonly shadow: ReturnType<ShadowRules['dump']>;
  readonly rulePrecision: ReturnType<RulePrecision['dump']>;
  readonly sessions: ReturnType<Sessions['dump']>;
  readonly recentMail: ReturnType<RecentMail['dump']>;
  readonly pastBlocks: ReturnType<PastBlocks['dump']>;
  readonly heldMail: ReturnType<HeldMail['dump']>;
}

export interface ReadModelListeners {
  /** Called within the fold, so that its block is in force before anything else happens. */
  onVerdict(verdict: Verdict, live: boolean): void;
  onBlockEvent(event: RecordedEvent & BlockEvent, live: boolean): void;
  onRulesChanged(): void;
  /** After an event has been folded. */
  onFolded?(event: RecordedEvent): void;
  /** An event that cannot be read, or whose data do not match its type: skipped, never fatal. */
  onSkipped(event: RecordedEvent, reason: string): void;
}

/** How much is kept in memory; by default as much as live traffic needs. */
export interface ReadModelBounds {
  /** See {@link Projector}. */
  readonly idsKept?: number;
  /** See {@link BlockLedger}. */
  readonly endedKept?: number;
}

/**
 * Everything folded from the store, fed by one subscription: in order, each event once. It is rebuilt at every start,
 * and if the store comes back with another log. The result is the same from the beginning and from a snapshot.
 */
export class ReadModels extends Projector {
  #models: Models;
  /** The blocks of the former log, while the models are built from another one. */
  #former: ActiveBlocks | undefined;
  readonly #listeners: ReadModelListeners;
  readonly #bounds: ReadModelBounds;

  constructor(listeners: ReadModelListeners, bounds: ReadModelBounds = {}) {
    super(bounds.idsKept);
    this.#listeners = listeners;
    this.#bounds = bounds;
    this.#models = fresh(bounds);
  }

  get activeBlocks(): ActiveBlocks {
    return this.#models.activeBlocks;
  }

  /**
   * The blocks that refuse senders: {@link activeBlocks}, or after {@link startAnew} those of the former log until the
   * models have caught up. So nobody gets through while the models learn who is blocked.
   */
  get refusing(): ActiveBlocks {
    return this.#former ?? this.#models.activeBlocks;
  }

  get ledger(): BlockLedger {
    return this.#models.ledger;
  }

  get changes(): Changes {
    return this.#models.changes;
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

  get sessions(): Sessions {
    return this.#models.sessions;
  }

  get recentMail(): RecentMail {
    return this.#models.recentMail;
  }

  get pastBlocks(): PastBlocks {
    return this.#models.pastBlocks;
  }

  get heldMail(): HeldMail {
    return this.#models.heldMail;
  }

  override dump(): ReadModelsState {
    const { activeBlocks, ledger, exemptions, automaticBlocks, overrides, sendVolume } = this.#models;
    const { changes, shadow, rulePrecision, sessions, recentMail, pastBlocks, heldMail } = this.#models;
    return {
      ...super.dump(),
      activeBlocks: activeBlocks.dump(),
      ledger: ledger.dump(),
      changes: changes.dump(),
      exemptions: exemptions.dump(),
      automaticBlocks: automaticBlocks.dump(),
      overrides: overrides.dump(),
      sendVolume: sendVolume.dump(),
      shadow: shadow.dump(),
      rulePrecision: rulePrecision.dump(),
      sessions: sessions.dump(),
      recentMail: recentMail.dump(),
      pastBlocks: pastBlocks.dump(),
      heldMail: heldMail.dump(),
    };
  }

  /** Calls no listener. */
  override restore(state: ReadModelsState): void {
    const models = fresh(this.#bounds);
    models.activeBlocks.restore(state.activeBlocks);
    models.ledger.restore(state.ledger);
    models.changes.restore(state.changes);
    models.exemptions.restore(state.exemptions);
    models.automaticBlocks.restore(state.automaticBlocks);
    models.overrides.restore(state.overrides);
    models.sendVolume.restore(state.sendVolume);
    models.shadow.restore(state.shadow);
    models.rulePrecision.restore(state.rulePrecision);
    models.sessions.restore(state.sessions);
    models.recentMail.restore(state.recentMail);
    models.pastBlocks.restore(state.pastBlocks);
    models.heldMail.restore(state.heldMail);
    super.restore(state);
    this.#models = models;
  }

  override async follow(
    store: Pick<EventStore, 'subscribe'>,
    categories: readonly string[] = FOLDED_CATEGORIES,
    afterEach?: () => void,
  ): Promise<{ ended: Promise<void> }> {
    const feed = await super.follow(store, categories, afterEach);
    this.#former = undefined;
    return feed;
  }

  override async startAnew(): Promise<void> {
    await super.startAnew();
    this.#former ??= this.#models.activeBlocks;
    this.#models = fresh(this.#bounds);
  }

  /** Takes over what other read models have folded up to the very same position; nobody is let through meanwhile. */
  adopt(other: ReadModels): void {
    other.#models.activeBlocks.keepAnticipated(this.#models.activeBlocks);
    this.#models = other.#models;
    this.takeOver(other);
  }

  protected override fold(event: RecordedEvent, isDecision: boolean): void {
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
      verdicts = isDecision ? this.#applyDecision(event) : this.#applyActivity(event);
    } catch (error) {
      // One bad event must not stop all later ones from being folded, again at every start.
      this.#listeners.onSkipped(event, messageOf(error));
      return;
    }
    if (isRefusal(event)) this.#models.ledger.refuse(event.data, event.at);
    if (!isDecision) this.#models.recentMail.apply(event);
    if (isDecision || this.#models.shadow.set !== undefined) this.#applyShadow(event, verdicts);
    for (const verdict of verdicts) this.#listeners.onVerdict(inTraceOf(event, verdict), this.ready);
    if (event.type === 'RulesChanged') this.#listeners.onRulesChanged();
    this.#listeners.onFolded?.(event);
    if (isDecision && isBlockEvent(event)) this.#listeners.onBlockEvent(event, this.ready);
  }

  #applyActivity(event: RecordedEvent): readonly Verdict[] {
    const { pastBlocks, activeBlocks, sendVolume, heldMail, ledger } = this.#models;
    pastBlocks.sent(event, activeBlocks, ledger);
    heldMail.held(event, ledger);
    return sendVolume.apply(event);
  }

  #applyDecision(event: RecordedEvent): readonly Verdict[] {
    if (isSessionEvent(event)) {
      this.sessions.apply(event);
      if (event.type === 'PersonChanged') this.changes.apply(event);
      return [];
    }
    if (isBlockEvent(event)) this.#applyBlock(event);
    else if (isOverrideEvent(event)) this.overrides.apply(event);
    this.changes.apply(event);
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
    this.pastBlocks.apply(event);
    this.heldMail.apply(event, 'block' in event.data ? this.ledger.get(event.data.block) : undefined);
  }

  #useRules(): void {
    this.exemptions.useRules(this.sendVolume.rules);
    this.rulePrecision.useRules(this.sendVolume.rules.rules);
  }

  /** A fault in the shadow must not affect what the rules in force have found. */
  #applyShadow(event: RecordedEvent, verdicts: readonly Verdict[]): void {
    const { shadow, sendVolume, exemptions } = this.#models;
    try {
      shadow.apply(event, { verdicts, sendVolume, exemptions });
    } catch (error) {
      this.#listeners.onSkipped(event, `shadow rules: ${messageOf(error)}`);
    }
  }
}

type Models = ReturnType<typeof fresh>;

function fresh({ endedKept }: ReadModelBounds) {
  const overrides = new Overrides();
  return {
    activeBlocks: new ActiveBlocks(),
    ledger: new BlockLedger(endedKept),
    changes: new Changes(),
    exemptions: new Exemptions(),
    automaticBlocks: new AutomaticBlocks(),
    overrides,
    sendVolume: new SendVolume(overrides),
    shadow: new ShadowRules(() => new SendVolume(overrides)),
    rulePrecision: new RulePrecision(),
    sessions: new Sessions(),
    recentMail: new RecentMail(),
    pastBlocks: new PastBlocks(),
    heldMail: new HeldMail(),
  };
}

/** A verdict continues the trace of the event that tripped it. */
function inTraceOf({ trace }: RecordedEvent, verdict: Verdict): Verdict {
  return trace === undefined ? verdict : { ...verdict, trace };
}

/** What {@link BaselineProjector.dump} gives: plain data that can be cloned. Never write to it. */
export interface BaselineProjectorState extends ProjectorState {
  readonly volume: SendVolumeState;
  readonly shadow: ReturnType<ShadowRules['dump']>;
}

export interface BaselineListeners {
  /** Called after a summary has been folded. The read models report decisions. */
  onSummarised(event: RecordedEvent): void;
  /** A summary that cannot be read, or that is none: skipped, never fatal. */
  onSkipped(event: RecordedEvent, reason: string): void;
}

/** If nobody sends, nobody needs an exemption. */
const NOBODY_EXEMPT = new Exemptions();

/**
 * The senders' baselines, for a process that folds no sends: the summaries of their days, with the rules and the blocks
 * that say what they teach, in their order. It has a feed of its own, because there may be ten thousand summaries for
 * each decision, and a node must know its refusals long before it has folded these.
 */
export class BaselineProjector extends Projector {
  #volume = new SendVolume();
  /** Promoted rules know the baselines since they came into the shadow. */
  #shadow = newShadow();
  readonly #listeners: BaselineListeners;

  constructor(listeners: BaselineListeners) {
    super();
    this.#listeners = listeners;
  }

  /** The baselines as far as they are folded. */
  get baselines(): Baselines {
    return this.#volume.profiles.baselines;
  }

  override dump(): BaselineProjectorState {
    return { ...super.dump(), volume: this.#volume.dump(), shadow: this.#shadow.dump() };
  }

  override restore(state: BaselineProjectorState): void {
    const volume = new SendVolume();
    const shadow = newShadow();
    volume.restore(state.volume);
    shadow.restore(state.shadow);
    super.restore(state);
    this.#volume = volume;
    this.#shadow = shadow;
  }

  override async startAnew(): Promise<void> {
    await super.startAnew();
    this.#volume = new SendVolume();
    this.#shadow = newShadow();
  }

  protected override fold(event: RecordedEvent, isDecision: boolean): void {
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

  /** The read models fold decisions too and report these. */
  #skip(event: RecordedEvent, reason: string): void {
    if (categoryOf(event.stream) === PROFILE_CATEGORY) this.#listeners.onSkipped(event, reason);
  }
}

function newShadow(): ShadowRules {
  return new ShadowRules(() => new SendVolume());
}
