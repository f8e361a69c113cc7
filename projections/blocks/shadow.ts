import { isBlockEvent } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import { DAY } from '../../src/kernel/time.js';
import type { RulesChanged, VersionedRules } from '../../src/rules/model.js';
import { respond } from '../../src/rules/respond.js';
import type { ShadowEvent, ShadowRulesChanged } from '../../src/rules/shadow.js';
import { isShadowEvent } from '../../src/rules/shadow.js';
import type { Verdict } from '../../src/rules/verdict.js';
import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';
import type { Subject } from '../../src/sending/subjects.js';
import { Exemptions } from './exemptions.js';
import type { ExemptionsState } from './exemptions.js';
import type { SendVolume, SendVolumeState } from '../volume/send-volume.js';
import type { WindowReading } from '../volume/window-readings.js';
import { VerdictComparison } from './verdict-comparison.js';
import type { ComparisonState } from './verdict-comparison.js';

/** What the rules in force made of an event, once it is folded. */
export interface Live {
  readonly verdicts: readonly Verdict[];
  readonly sendVolume: SendVolume;
  readonly exemptions: Exemptions;
}

/** A rule set in the shadow, and since when. */
export interface ShadowSet {
  readonly version: number;
  readonly source: string;
  readonly since: Instant;
  /** Who put it there: `admin:<name>`. */
  readonly by: string;
}

export interface ShadowState {
  readonly set: ShadowSet;
  readonly promoted: boolean;
  readonly volume: SendVolumeState;
  readonly exemptions: ExemptionsState;
  readonly comparison: ComparisonState;
}

/** The rule set that runs beside the one in force, and all that it knows. */
interface Loaded {
  readonly set: ShadowSet;
  readonly volume: SendVolume;
  readonly exemptions: Exemptions;
  readonly comparison: VerdictComparison;
  /** The next rules that come into force are these. */
  readonly promoted: boolean;
}

/**
 * Folds what the rules in force fold under a second rule set, which acts on nothing, and notes where the two differ.
 * Costs nothing while there is none, and with one about as much again as the rules in force.
 *
 * It begins with the windows that it shares with the rules in force (or with the rule set that it replaces in the
 * shadow), and sees what really happened: whoever is blocked by the rules in force sends no more, so what the shadow
 * set would have made of the rest nobody knows.
 */
export class ShadowRules {
  readonly #newVolume: () => SendVolume;
  #loaded: Loaded | undefined;

  constructor(newVolume: () => SendVolume) {
    this.#newVolume = newVolume;
  }

  get set(): ShadowSet | undefined {
    return this.#loaded?.set;
  }

  /** As they were read; undefined while nothing runs in the shadow. */
  get rules(): VersionedRules | undefined {
    return this.#loaded?.volume.rules;
  }

  get comparison(): VerdictComparison | undefined {
    return this.#loaded?.comparison;
  }

  /** The peaks of the windows that these rules look at, on a day of a sender that is not summarised yet. */
  peaks({ type, value }: SenderDaySummarised['subject'], day: Day): SenderDaySummarised['peaks'] | undefined {
    const open = this.#loaded?.volume.profiles.open(type, value);
    return open?.find((each) => each.day === day)?.peaks;
  }

  /**
   * Where these rules come into force by a promotion: the windows that have been counted for them. They fold the event
   * instead of those in force, and take their place.
   */
  promotedBy(event: RecordedEvent): SendVolume | undefined {
    return event.type === 'RulesChanged' && this.#loaded?.promoted === true ? this.#loaded.volume : undefined;
  }

  /**
   * Folds an event that the rules in force have folded.
   *
   * @throws Error where a rule set cannot be used: then all stays as it was
   */
  apply(event: RecordedEvent, live: Live): void {
    if (isShadowEvent(event)) this.#change(event, live);
    else if (this.#loaded !== undefined) this.#fold(event, live, this.#loaded);
  }

  /** The opposite of {@link restore}. */
  dump(): ShadowState | undefined {
    if (this.#loaded === undefined) return undefined;
    const { set, promoted, volume, exemptions, comparison } = this.#loaded;
    return {
      set,
      promoted,
      volume: volume.dump(),
      exemptions: exemptions.dump(),
      comparison: comparison.dump(),
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore(state: ShadowState | undefined): void {
    if (state === undefined) return;
    const [volume, exemptions, comparison] = [this.#newVolume(), new Exemptions(), new VerdictComparison()];
    volume.restore(state.volume);
    exemptions.restore(state.exemptions);
    comparison.restore(state.comparison);
    this.#loaded = { set: state.set, promoted: state.promoted, volume, exemptions, comparison };
  }

  #change(event: ShadowEvent, live: Live): void {
    const loaded = this.#loaded;
    if (event.type === 'ShadowRulesChanged') this.#loaded = this.#load(event, event.data, live);
    else if (loaded?.set.version !== event.data.version) return;
    else this.#loaded = event.type === 'ShadowRulesPromoted' ? { ...loaded, promoted: true } : undefined;
  }

  #load(event: ShadowEvent, { version, rules, source }: ShadowRulesChanged, live: Live): Loaded {
    const volume = this.#newVolume();
    volume.restore((this.#loaded?.volume ?? live.sendVolume).dump());
    const data: RulesChanged = { version, rules, source, origin: 'shadow' };
    volume.apply({ ...event, type: 'RulesChanged', data });
    const exemptions = new Exemptions();
    exemptions.restore(live.exemptions.dump());
    exemptions.useRules(volume.rules);
    const set = { version, source, since: event.at, by: event.by };
    return { set, volume, exemptions, comparison: new VerdictComparison(), promoted: false };
  }

  #fold(event: RecordedEvent, live: Live, loaded: Loaded): void {
    const { volume, exemptions, comparison } = loaded;
    if (event.type === 'RulesChanged') {
      if (loaded.promoted) this.#loaded = undefined;
      return;
    }
    if (isBlockEvent(event)) exemptions.apply(event);
    const verdicts = volume.apply(event);
    const now = event.recordedAt;
    comparison.advance(now);
    this.#note('live', live.verdicts, live, volume, now, comparison);
    this.#note('shadow', verdicts, { exemptions, sendVolume: volume }, live.sendVolume, now, comparison);
  }

  #note(
    side: 'live' | 'shadow',
    verdicts: readonly Verdict[],
    own: Pick<Live, 'exemptions' | 'sendVolume'>,
    other: SendVolume,
    now: Instant,
    comparison: VerdictComparison,
  ): void {
    for (const verdict of verdicts) {
      const action = askedFor(verdict, own, now);
      if (action === undefined) continue;
      const { subject, evidence, at, rule } = verdict;
      const lasts = action === 'block' ? (rule.for ?? DAY) : rule.lapse;
      comparison.note(side, subject, { action, evidence, at }, lasts, () => nearest(other, subject, at));
    }
  }
}

/** What the responder would be told to do; undefined where it is nothing that anybody would feel. */
function askedFor(
  verdict: Verdict,
  { exemptions, sendVolume }: Pick<Live, 'exemptions' | 'sendVolume'>,
  now: Instant,
): 'propose' | 'block' | undefined {
  // What it asks for has been noted when the rule tripped.
  if (verdict.kind === 'beyond') return undefined;
  const { command } = respond(verdict, {
    now,
    breaker: sendVolume.rules.maxAutomaticBlocks,
    exemptedBy: (subject) => exemptions.covering(subject, now),
    // How many are blocked at once says nothing about whether this one should be.
    automaticBlocks: () => 0,
    newId: () => '',
  });
  return command.kind === 'act' && command.exemptedBy === undefined ? command.action : undefined;
}

/** The window of a subject that is fullest, by its limit, of the rules that apply to it and act on what it does alone. */
function nearest(volume: SendVolume, subject: Subject, at: Instant): WindowReading | undefined {
  const share = ({ observed, limit }: WindowReading): number => observed / limit;
  return volume
    .readings(subject, at)
    .filter(({ notNow, outbreak: together }) => notNow === undefined && together === undefined)
    .toSorted((a, b) => share(b) - share(a))[0];
}
