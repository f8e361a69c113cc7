import type { BlockReleased } from '../../src/blocks/events.js';
import { isBlockEvent } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { SECOND } from '../../src/kernel/time.js';
import type { Rule, RulesChanged, Sum, VersionedRules } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/respond.js';
import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';
import { dayOf, PROFILER } from '../../src/sending/day-summary.js';
import type {
  AuthenticationFailed,
  BounceReceived,
  MessageAccepted,
  MessageRefused,
  RecipientsRefused,
  SenderFields,
} from '../../src/sending/events.js';
import { CLOCK_TOLERANCE, effectiveAt, isImported, messagesOf } from '../../src/sending/events.js';
import { normalizeAddress } from '../../src/sending/identity.js';
import type { MailDirection, Subject, SubjectType } from '../../src/sending/subjects.js';
import { SUBJECT_TYPES } from '../../src/sending/subjects.js';
import type { LeastPeak } from '../baselines/learning.js';
import type { Baselines, SenderProfilesState } from '../baselines/sender-profiles.js';
import { SenderProfiles } from '../baselines/sender-profiles.js';
import { isOwnPlace } from './conditions.js';
import { Counting } from './counting.js';
import type { FeedbackState } from './feedback.js';
import { Feedback } from './feedback.js';
import type { VolumeContext } from './limits.js';
import type { Newcomer, NewcomersState } from './newcomers.js';
import { isNewcomer, newcomerReadings, newcomerVerdicts } from './newcomers.js';
import type { OutbreaksState } from './outbreak.js';
import { outbreakReadings, Outbreaks, outbreakVerdicts } from './outbreak.js';
import { Overrides } from './overrides.js';
import type { AnomalousAccount, Fold, WindowReading } from './rule-evaluation.js';
import type { Busy, FeedbackContext, Volumes, VolumesState } from './subject-volumes.js';
import { NOTHING_COUNTED, SubjectVolumes } from './subject-volumes.js';

const NONE: readonly Verdict[] = [];

export interface SendVolumeState {
  readonly rules: VersionedRules;
  readonly volumes: Readonly<Record<SubjectType, VolumesState>>;
  readonly profiles: SenderProfilesState;
  /** The subjects of open proposals and blocks, by id. */
  readonly subjects: FeedbackState;
  readonly timeline: TimelineState;
  readonly outbreaks: OutbreaksState;
  readonly newcomers: NewcomersState;
  /** The verdicts left by an event whose fold failed. */
  readonly verdicts: readonly Verdict[];
  /** When the last event was recorded. */
  readonly recordedAt: Instant;
}

/**
 * Folds events into sliding windows per subject and says when a rule trips. The same events give the same windows and
 * the same verdicts, live, at start-up and in a replay; no clock is read.
 *
 * After a rule has tripped on a subject, it counts the subject from zero: evidence is used once. A release or a
 * dismissal empties the subject's windows, and triples its limits for an hour. A rule counts from the moment it is in
 * force; windows that the previous rule set also had continue.
 */
export class SendVolume {
  #rules: VersionedRules = {
    version: 0,
    mode: 'enforce',
    maxAutomaticBlocks: { max: 0, window: 0 },
    rules: [],
    exempt: [],
  };
  /** The baselines, as far as they are known. */
  readonly profiles: SenderProfiles;
  readonly #around: VolumeContext;
  #volumes: Volumes;
  #counting: Counting;
  readonly #timeline = new Timeline(() => Math.max(0, ...this.#rules.rules.map((rule) => rule.window)));
  /** By the store's clock: when the last counted event was recorded. */
  #recordedAt: Instant = 0;
  #verdicts: Verdict[] = [];
  readonly #outbreaks = new Outbreaks();
  readonly #newcomers = new Outbreaks<Newcomer>();
  readonly #feedback: Feedback;
  /** The event that is being folded: one at a time, so one object is refilled for each. */
  readonly #fold = {
    at: 0,
    position: 0,
    direction: 'outbound' as MailDirection,
    message: undefined as MessageAccepted | undefined,
    sender: undefined as SenderFields | undefined,
    verdicts: this.#verdicts,
    turned: (rule: Rule, turned: AnomalousAccount): void => {
      this.#fold.verdicts.push(...outbreakVerdicts(this.#outbreaks, rule, turned, this.#judged()));
    },
    isNewcomer: (account: string, sender: SenderFields): boolean =>
      isNewcomer(account, sender, this.#fold.at, this.#judged()),
    came: (account: string, sender: SenderFields): void => {
      const { at, position, verdicts } = this.#fold;
      verdicts.push(...newcomerVerdicts(this.#newcomers, { account, at, position }, sender, this.#judged()));
    },
  };

  /** @param lent another projection's baselines, for one that only counts: see {@link SenderProfiles} */
  constructor(overrides = new Overrides(), lent?: () => Baselines | undefined) {
    this.profiles = new SenderProfiles(lent);
    this.#feedback = new Feedback(this.profiles, this.#outbreaks, this.#newcomers);
    this.#around = {
      profiles: this.profiles,
      overrides,
      positionAt: (at) => this.#timeline.positionAt(at),
      installedAt: () => this.profiles.installedAt,
    };
    this.#volumes = this.#build(this.#rules);
    this.#counting = new Counting(this.#volumes, this.profiles);
  }

  get rules(): VersionedRules {
    return this.#rules;
  }

  /** The start of the installation's age; undefined before the first event. */
  get installedAt(): Instant | undefined {
    const { installedAt } = this.profiles;
    return installedAt === 0 ? undefined : installedAt;
  }

  /** When the last counted event was recorded, by the store's clock; 0 before the first. */
  get recordedAt(): Instant {
    return this.#recordedAt;
  }

  /** Folds one event; the verdicts are those of just this event. */
  apply(event: RecordedEvent): readonly Verdict[] {
    if (isImported(event)) return NONE;
    switch (event.type) {
      case 'MessageAccepted': {
        const data = event.data as MessageAccepted;
        if (data.wasJudged === true) return NONE;
        const fold = this.#begin(event, data.direction, data, data);
        const { amounts } = this.#counting;
        amounts.set('messages', messagesOf(data));
        amounts.set('recipients', data.recipients);
        amounts.set('bytes', data.size);
        this.#counting.sent(fold, data, data.entitled);
        return this.#end();
      }
      case 'RecipientsRefused': {
        const data = event.data as RecipientsRefused;
        const fold = this.#begin(event, data.direction, data);
        this.#counting.amounts.set('refusedRecipients', data.count);
        this.#counting.sent(fold, data, data.entitled);
        return this.#end();
      }
      case 'BounceReceived': {
        const data = event.data as BounceReceived;
        const fold = this.#begin(event, 'outbound');
        this.#counting.amounts.set('bounces', 1);
        if (data.send === undefined) this.#counting.bounced(fold, normalizeAddress(data.address));
        else this.#returned(fold, data);
        return this.#end();
      }
      case 'AuthenticationFailed': {
        const data = event.data as AuthenticationFailed;
        if (!(data.fresh ?? data.kind === 'genuine')) return NONE;
        const fold = this.#begin(event, 'outbound');
        this.#counting.failedLogins(fold, data.network, data.count);
        return this.#end();
      }
      case 'MessageRefused': {
        const data = event.data as MessageRefused;
        const subject = this.#feedback.subjectOf(data.block);
        if (subject === undefined) return NONE;
        const fold = this.#begin(event, data.direction);
        if (this.#isOwners(subject, data, fold.at)) {
          this.#feedback.withheld(data.block, data.count, fold.at);
          return this.#end();
        }
        this.#counting.amounts.set('attempts', data.count);
        this.#counting.of(fold, subject);
        return this.#end();
      }
      case 'SenderDaySummarised': {
        const summary = event.data as SenderDaySummarised;
        if (summary.day > dayOf(event.recordedAt)) throw new Error('it summarises a day of the future');
        this.profiles.summarised(summary, event.by === PROFILER);
        return NONE;
      }
      case 'RulesChanged':
        this.#change(event.data as RulesChanged, effectiveAt(event));
        return NONE;
      default:
        if (isBlockEvent(event)) {
          this.#feedback.apply(event, { rules: this.#rules, volumes: this.#volumes });
        }
        return NONE;
    }
  }

  /** Cheap at any size: windows are shared until they are written to. The opposite of {@link restore}. */
  dump(): SendVolumeState {
    return {
      rules: this.#rules,
      volumes: mapTypes((type) => this.#volumes[type].dump()),
      profiles: this.profiles.dump(),
      subjects: this.#feedback.dump(),
      timeline: this.#timeline.dump(),
      outbreaks: this.#outbreaks.dump(),
      newcomers: this.#newcomers.dump(),
      recordedAt: this.#recordedAt,
      verdicts: this.#verdicts.slice(),
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore(state: SendVolumeState): void {
    const { rules, volumes, profiles, subjects, timeline, recordedAt, verdicts } = state;
    this.#rules = rules;
    this.profiles.restore(profiles);
    this.#volumes = this.#build(rules);
    this.#counting = new Counting(this.#volumes, this.profiles);
    for (const type of SUBJECT_TYPES) this.#volumes[type].restore(volumes[type]);
    this.#feedback.restore(subjects);
    this.#timeline.restore(timeline);
    this.#outbreaks.restore(state.outbreaks);
    this.#newcomers.restore(state.newcomers);
    this.#recordedAt = recordedAt;
    this.#verdicts = verdicts.slice();
    this.#fold.verdicts = this.#verdicts;
  }

  /** Takes over the rules and people's judgements, but no counts. */
  restoreRules({ rules, volumes, profiles, subjects, recordedAt }: SendVolumeState): void {
    this.restore({
      rules,
      profiles,
      outbreaks: [],
      newcomers: [],
      volumes: mapTypes((type) => ({ ...NOTHING_COUNTED, judged: volumes[type].judged })),
      subjects,
      timeline: { times: [], positions: [] },
      recordedAt,
      verdicts: [],
    });
  }

  /** The count of every window of a subject, against the limits of its rules, if they apply now. */
  readings(subject: Subject, now: Instant): readonly WindowReading[] {
    const judged = this.#judged();
    return [
      ...this.#volumes[subject.type].readings(subject.value, now),
      ...outbreakReadings(this.#outbreaks, subject, now, judged),
      ...newcomerReadings(this.#newcomers, subject, now, judged),
    ];
  }

  /** The subjects of a type that a count is highest for, of those that the caller may see, in the longest window that counts it: step by step. */
  busiest(
    type: SubjectType,
    count: Sum,
    most: number,
    now: Instant,
    concerns: (subject: Subject) => boolean = () => true,
  ): Generator<void, readonly Busy[]> {
    return this.#volumes[type].busiest(count, most, now, (value) => concerns({ type, value }));
  }

  /** How often the owner of a blocked account tried within one window of the rule after the block began. */
  withheldBy(block: string): number {
    return this.#feedback.withheldBy(block);
  }

  /** What a false positive teaches: see {@link Feedback.taughtBy}. */
  taughtBy(released: BlockReleased): LeastPeak | undefined {
    return this.#feedback.taughtBy(released, this.#rules);
  }

  /** How many subjects of each type have a row. */
  sizes(): Readonly<Record<SubjectType, number>> {
    return mapTypes((type) => this.#volumes[type].size);
  }

  /** A proven bounce: the recipient was refused, though later and elsewhere. One that could not be reached was not. */
  #returned(fold: Fold, { account, address, entitled = false, status }: BounceReceived): void {
    if (status?.startsWith('4.') !== true) this.#counting.amounts.set('refusedRecipients', 1);
    const sender = { returnPath: address, direction: 'outbound' } as const;
    this.#counting.sent(fold, account === undefined ? sender : { ...sender, account }, entitled);
  }

  #judged(): FeedbackContext & VolumeContext {
    return { ...this.#around, rules: this.#rules, volumes: this.#volumes };
  }

  /** Whether the owner of a blocked account seems to try: its mail program must not keep its own block up. */
  #isOwners({ type, value }: Subject, attempt: MessageRefused, at: Instant): boolean {
    if (type !== 'account') return false;
    const day = dayOf(at);
    return isOwnPlace(attempt, this.profiles.profile('account', value, day), day);
  }

  #begin(
    event: RecordedEvent,
    direction: MailDirection,
    sender?: SenderFields,
    message?: MessageAccepted,
  ): Fold {
    // The store's clock was set back: windows that end in what is now the future would count nothing until then.
    if (event.recordedAt < this.#recordedAt - CLOCK_TOLERANCE) {
      this.restoreRules(this.dump());
      this.profiles.setBack(dayOf(event.recordedAt + CLOCK_TOLERANCE));
    }
    this.#recordedAt = event.recordedAt;
    const at = effectiveAt(event);
    const { position } = event;
    this.#timeline.note(at, position);
    this.#counting.amounts.clear();
    this.profiles.began(at, event.recordedAt);
    const fold = this.#fold;
    fold.at = at;
    fold.position = position;
    fold.message = message;
    fold.sender = sender;
    fold.direction = direction === 'inbound' ? 'inbound' : 'outbound';
    return fold;
  }

  #end(): readonly Verdict[] {
    if (this.#verdicts.length === 0) return NONE;
    const verdicts = this.#verdicts;
    this.#verdicts = [];
    this.#fold.verdicts = this.#verdicts;
    return verdicts;
  }

  #change(change: RulesChanged, at: Instant): void {
    const rules = { ...change.rules, version: change.version };
    const volumes = this.#build(rules);
    for (const type of SUBJECT_TYPES) volumes[type].carryOver(this.#volumes[type]);
    // Unusable rules have thrown by now, and the previous ones stay in force.
    this.#rules = rules;
    this.#watchPeaks(volumes, dayOf(at));
    this.profiles.governed(at);
    this.#volumes = volumes;
    this.#counting = new Counting(volumes, this.profiles);
  }

  /** The peaks that a limit follows come first: there may be too many. */
  #watchPeaks(volumes: Volumes, today: Day): void {
    const peaks = SUBJECT_TYPES.flatMap((type) => volumes[type].peaks);
    const followed = peaks.filter((peak) => peak.followed);
    this.profiles.watch(
      [...followed, ...peaks].map(({ name }) => name),
      today,
    );
    for (const type of SUBJECT_TYPES) volumes[type].numberPeaks();
  }

  #build(rules: VersionedRules): Volumes {
    return mapTypes((type) => new SubjectVolumes(type, rules, this.#around));
  }
}

function mapTypes<Value>(make: (type: SubjectType) => Value): Readonly<Record<SubjectType, Value>> {
  const entries = SUBJECT_TYPES.map((type) => [type, make(type)] as const);
  return Object.fromEntries(entries) as Record<SubjectType, Value>;
}

const STEP: Milliseconds = 10 * SECOND;

interface TimelineState {
  readonly times: readonly Instant[];
  /** One for each time. */
  readonly positions: readonly number[];
}

/** The store's position over time: one entry each ten seconds in which something happened. */
export class Timeline {
  #times: Instant[] = [];
  #positions: number[] = [];
  readonly #keep: () => Milliseconds;

  /** @param keep how far back it must reach, from an event that comes as late as clocks may differ */
  constructor(keep: () => Milliseconds) {
    this.#keep = keep;
  }

  note(at: Instant, position: number): void {
    const last = this.#times.at(-1);
    if (last !== undefined && at < last + STEP) return;
    this.#times.push(at);
    this.#positions.push(position);
    if (this.#times.length > 1024 && this.#times[512]! < at - this.#keep() - 2 * CLOCK_TOLERANCE) {
      this.#times = this.#times.slice(512);
      this.#positions = this.#positions.slice(512);
    }
  }

  /** The opposite of {@link restore}. */
  dump(): TimelineState {
    return { times: this.#times.slice(), positions: this.#positions.slice() };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ times, positions }: TimelineState): void {
    this.#times = times.slice();
    this.#positions = positions.slice();
  }

  /** A position at or before the first event that happened at `at` or later. */
  positionAt(at: Instant): number {
    let low = 0;
    let high = this.#times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#times[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return this.#positions[Math.max(0, low - 1)] ?? 1;
  }
}
