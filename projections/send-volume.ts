import type { BlockEvent, Evidence } from '../src/blocks/events.js';
import { isBlockEvent } from '../src/blocks/events.js';
import type { RecordedEvent } from '../src/kernel/events.js';
import type { Instant } from '../src/kernel/time.js';
import { DAY } from '../src/kernel/time.js';
import { togetherSentence } from '../src/rules/explain.js';
import type { Rule, RulesChanged, Sum, VersionedRules } from '../src/rules/model.js';
import type { Verdict } from '../src/rules/verdict.js';
import type {
  AuthenticationFailed,
  BounceReceived,
  MessageAccepted,
  MessageRefused,
  RecipientsRefused,
  SenderFields,
} from '../src/sending/events.js';
import { CLOCK_TOLERANCE, effectiveAt, isImported } from '../src/sending/events.js';
import type { Day, ProfiledType, SenderDaySummarised } from '../src/sending/day-summary.js';
import { dayOf, peakName } from '../src/sending/day-summary.js';
import {
  clientNetwork,
  domainOf,
  normalizeAccount,
  normalizeAddress,
  normalizeEhlo,
} from '../src/sending/identity.js';
import type { MailDirection, Subject, SubjectType } from '../src/sending/subjects.js';
import { SUBJECT_TYPES } from '../src/sending/subjects.js';
import { Amounts, isSum } from './counted-windows.js';
import { Neighbours } from './neighbours.js';
import type { LeastPeak } from './sender-profiles/learning.js';
import { SenderProfiles } from './sender-profiles/sender-profiles.js';
import type { SenderProfilesState } from './sender-profiles/sender-profiles.js';
import type { Neighbour } from './neighbours.js';
import { Overrides } from './overrides.js';
import type { Surroundings } from './limits.js';
import { SubjectVolumes } from './subject-volumes.js';
import { NOTHING_COUNTED } from './subject-volumes.js';
import type { Fold } from './conclusions.js';
import type { VolumesState, WindowReading } from './subject-volumes.js';
import { Timeline } from './timeline.js';
import type { TimelineState } from './timeline.js';
import { Together } from './together.js';
import type { TogetherState } from './together.js';

const NONE: readonly Verdict[] = [];
const AT_SIGN = 64;

export interface SendVolumeState {
  readonly rules: VersionedRules;
  readonly volumes: Readonly<Record<SubjectType, VolumesState>>;
  readonly profiles: SenderProfilesState;
  /** Of proposals and blocks that stand, by id. */
  readonly subjects: readonly (readonly [block: string, subject: Subject])[];
  readonly timeline: TimelineState;
  readonly together: TogetherState;
  readonly installedAt: Instant;
  /** What an event that could not be folded to its end has left behind. */
  readonly verdicts: readonly Verdict[];
  /** When the last event was recorded. */
  readonly recordedAt: Instant;
}

/**
 * Folds events into sliding windows per subject and says when a rule trips. The same events give the same
 * windows and the same verdicts, live, at start-up and in a replay; no clock is read.
 *
 * A rule that has tripped on a subject counts that subject afresh: evidence is used once. A release or a
 * dismissal empties the subject's windows, and triples its limits for an hour. A rule counts from the moment
 * it is in force; windows that the rule set before it had too are carried on.
 */
export class SendVolume {
  #rules: VersionedRules = {
    version: 0,
    mode: 'enforce',
    maxAutomaticBlocks: { max: 0, window: 0 },
    rules: [],
    exempt: [],
  };
  /** What is usual, as far as it is known. */
  readonly profiles = new SenderProfiles();
  readonly #around: Surroundings;
  #volumes: Readonly<Record<SubjectType, SubjectVolumes>>;
  #neighbours = new Neighbours();
  readonly #amounts = new Amounts();
  /** Proposals and blocks by id: their closing events name nothing else. */
  readonly #subjects = new Map<string, Subject>();
  readonly #timeline = new Timeline(() => Math.max(0, ...this.#rules.rules.map((rule) => rule.window)));
  /** By the store's clock: of the last event that was counted. */
  #recordedAt: Instant = 0;
  #verdicts: Verdict[] = [];
  readonly #together = new Together();
  #installedAt: Instant = 0;
  /** The event that is being folded: one at a time, so one is filled anew for each. */
  readonly #fold = {
    ...{ at: 0, position: 0, direction: 'outbound' as MailDirection },
    message: undefined as MessageAccepted | undefined,
    verdicts: this.#verdicts,
    turned: (rule: Rule, account: string, observed: number): void => this.#turned(rule, account, observed),
  };

  constructor(overrides = new Overrides()) {
    this.#around = {
      profiles: this.profiles,
      overrides,
      positionAt: (at) => this.#timeline.positionAt(at),
      installedAt: () => this.#installedAt,
    };
    this.#volumes = this.#build(this.#rules);
  }

  get rules(): VersionedRules {
    return this.#rules;
  }

  /** Folds one event; the verdicts are those of just this event. */
  apply(event: RecordedEvent): readonly Verdict[] {
    if (isImported(event)) return NONE;
    switch (event.type) {
      case 'MessageAccepted': {
        const data = event.data as MessageAccepted;
        const fold = this.#begin(event, data.direction, data);
        this.#amounts.set('messages', 1);
        this.#amounts.set('recipients', data.recipients);
        this.#amounts.set('bytes', data.size);
        this.#sent(fold, data, data.entitled);
        return this.#end();
      }
      case 'RecipientsRefused': {
        const data = event.data as RecipientsRefused;
        const fold = this.#begin(event, data.direction);
        this.#amounts.set('refusedRecipients', data.count);
        this.#sent(fold, data, data.entitled);
        return this.#end();
      }
      case 'BounceReceived': {
        const address = normalizeAddress((event.data as BounceReceived).address);
        const fold = this.#begin(event, 'outbound');
        this.#amounts.set('bounces', 1);
        this.#count(fold, 'account', address, -1, this.#day(fold, 'account', address, -1));
        this.#count(fold, 'address', address);
        const domain = domainOf(address);
        if (domain !== undefined)
          this.#count(fold, 'domain', domain, -1, this.#day(fold, 'domain', domain, -1));
        return this.#end();
      }
      case 'AuthenticationFailed': {
        const data = event.data as AuthenticationFailed;
        if (data.kind !== 'genuine') return NONE;
        const fold = this.#begin(event, 'outbound');
        this.#amounts.set('authFailures', data.count);
        this.#count(fold, 'ip', data.network);
        return this.#end();
      }
      case 'MessageRefused': {
        const data = event.data as MessageRefused;
        const subject = this.#subjects.get(data.block);
        if (subject === undefined) return NONE;
        const fold = this.#begin(event, data.direction);
        this.#amounts.set('attempts', data.count);
        this.#count(fold, subject.type, subject.value);
        return this.#end();
      }
      case 'SenderDaySummarised': {
        const summary = event.data as SenderDaySummarised;
        if (summary.day > dayOf(event.recordedAt)) throw new Error('it summarises a day of the future');
        this.profiles.summarised(summary);
        if (this.#installedAt === 0 || summary.day * DAY < this.#installedAt)
          this.#installedAt = summary.day * DAY;
        return NONE;
      }
      case 'RulesChanged':
        this.#change(event.data as RulesChanged, effectiveAt(event));
        return NONE;
      default:
        if (isBlockEvent(event)) this.#judge(event);
        return NONE;
    }
  }

  /** Cheap, whatever there is: windows are shared until they are written to. The opposite of {@link restore}. */
  dump(): SendVolumeState {
    return {
      rules: this.#rules,
      volumes: mapTypes((type) => this.#volumes[type].dump()),
      profiles: this.profiles.dump(),
      subjects: [...this.#subjects],
      timeline: this.#timeline.dump(),
      together: this.#together.dump(),
      installedAt: this.#installedAt,
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
    this.#neighbours = new Neighbours();
    for (const type of SUBJECT_TYPES) this.#volumes[type].restore(volumes[type]);
    for (const [block, subject] of subjects) this.#subjects.set(block, subject);
    this.#timeline.restore(timeline);
    this.#together.restore(state.together);
    this.#installedAt = state.installedAt;
    this.#recordedAt = recordedAt;
    this.#verdicts = verdicts.slice();
    this.#fold.verdicts = this.#verdicts;
  }

  /** Takes over the rules and what people have judged, but nothing that was counted. */
  restoreRules({ rules, volumes, profiles, subjects, recordedAt, installedAt }: SendVolumeState): void {
    this.restore({
      ...{ rules, profiles, installedAt, together: [] },
      volumes: mapTypes((type) => ({ ...NOTHING_COUNTED, judged: volumes[type].judged })),
      subjects,
      timeline: { times: [], positions: [] },
      recordedAt,
      verdicts: [],
    });
  }

  /** What stands in every window of a subject, against the limits of the rules that look at it. */
  readings(subject: Subject, now: Instant): readonly WindowReading[] {
    return this.#volumes[subject.type].readings(subject.value, now);
  }

  /** The subjects of a type that a count is highest for, in the longest window that counts it. */
  busiest(
    type: SubjectType,
    count: Sum,
    most: number,
    now: Instant,
  ): readonly { value: string; amount: number; window: number }[] {
    return this.#volumes[type].busiest(count, most, now);
  }

  /** How many subjects of each type have a row. */
  sizes(): Readonly<Record<SubjectType, number>> {
    return mapTypes((type) => this.#volumes[type].size);
  }

  #begin(event: RecordedEvent, direction: MailDirection, message?: MessageAccepted): Fold {
    // The store's own clock was set back: windows that end in what is the future now would count nothing till then.
    if (event.recordedAt < this.#recordedAt - CLOCK_TOLERANCE) this.restoreRules(this.dump());
    this.#recordedAt = event.recordedAt;
    const at = effectiveAt(event);
    const { position } = event;
    this.#timeline.note(at, position);
    this.#amounts.clear();
    if (this.#installedAt === 0 || at < this.#installedAt) this.#installedAt = at;
    const fold = this.#fold;
    fold.at = at;
    fold.position = position;
    fold.message = message;
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

  /** Counts for everyone who stands behind a message; what no rule looks at is not even normalised. */
  #sent(fold: Fold, sender: SenderFields, entitled: boolean): void {
    const { account: login, returnPath: path, ehlo, ip } = sender;
    let account = login === undefined || login === '' ? undefined : normalizeAccount(login);
    let address = path === undefined || path === '' ? undefined : path;
    // Without a tag, what is in normal form as a login is so as an address, which saves looking at it twice.
    const alike = path === login && account === login && !account?.includes('+');
    if (address !== undefined && !alike) address = normalizeAddress(address);
    let row = -1;
    if (account !== undefined) {
      row = this.#rowOf(fold, account);
      // From here on the string that is kept: it knows its hash, and is told from another by where it lies.
      const kept = this.#volumes.account.valueOf(row) ?? account;
      if (address === account) address = kept;
      account = kept;
      const day = this.#day(fold, 'account', account, row);
      if (day >= 0) this.profiles.days('account').place(day, sender);
      if (row >= 0) this.#count(fold, 'account', account, row, day);
    }
    // What an account writes into MAIL FROM must not count against a stranger.
    const own = account === undefined || entitled ? address : undefined;
    if (own !== undefined) this.#countBeside(fold, 'address', own, row);
    if (this.#counts(fold, 'domain')) {
      const domain = this.#guessedDomain(row, account) ?? domainOf(account ?? '') ?? domainOf(own ?? '');
      if (domain !== undefined)
        this.#countBeside(fold, 'domain', domain, row, this.#day(fold, 'domain', domain, row));
    }
    if (ehlo !== undefined && ehlo !== '' && this.#counts(fold, 'ehlo')) {
      this.#count(fold, 'ehlo', normalizeEhlo(ehlo));
    }
    if (ip !== undefined && ip !== '' && this.#counts(fold, 'ip')) {
      this.#countBeside(fold, 'ip', clientNetwork(ip), row);
    }
  }

  #counts(fold: Fold, type: SubjectType): boolean {
    return this.#volumes[type].counts(this.#amounts.mask, fold.direction);
  }

  /** The row of an account where any rule looks at what it did; -1 where none does. */
  #rowOf(fold: Fold, account: string): number {
    return this.#counts(fold, 'account') ? this.#volumes.account.rowOf(account, fold.at) : -1;
  }

  /**
   * Adds what the event brings to the sender's day.
   *
   * @param account the row of the account whose event it is
   * @returns the row of the day; -1 where the event comes too late for it
   */
  #day(fold: Fold, type: ProfiledType, value: string, account: number): number {
    const days = this.profiles.days(type);
    const which = type === 'account' ? 'day' : 'domainDay';
    const guess = account < 0 ? -1 : this.#neighbours.guess(account, which);
    const row = days.row(value, dayOf(fold.at), guess);
    if (row < 0) return row;
    if (account >= 0 && row !== guess) this.#neighbours.note(account, which, row);
    days.add(row, this.#amounts, fold.at);
    return row;
  }

  /** @returns the row that counts, or -1 where none does */
  #count(fold: Fold, type: SubjectType, value: string, guess = -1, day = -1): number {
    const volumes = this.#volumes[type];
    if (!volumes.counts(this.#amounts.mask, fold.direction)) return -1;
    return volumes.add(value, this.#amounts, fold, guess, day);
  }

  /** Counts for what stands beside an account, whose last row of this type is most often the one. */
  #countBeside(fold: Fold, type: Neighbour & SubjectType, value: string, account: number, day = -1): void {
    if (account < 0) {
      this.#count(fold, type, value, -1, day);
      return;
    }
    const guess = this.#neighbours.guess(account, type);
    const row = this.#count(fold, type, value, guess, day);
    if (row >= 0 && row !== guess) this.#neighbours.note(account, type, row);
  }

  /** The account's domain as it is kept, where the row that it had last time is still its own. */
  #guessedDomain(row: number, account: string | undefined): string | undefined {
    if (row < 0 || account === undefined) return undefined;
    const domain = this.#volumes.domain.valueOf(this.#neighbours.guess(row, 'domain'));
    if (domain === undefined || !account.endsWith(domain)) return undefined;
    const at = account.length - domain.length - 1;
    return account.charCodeAt(at) === AT_SIGN ? domain : undefined;
  }

  /** An account has turned abnormal, says a rule over its domain: are there too many of them? */
  #turned(rule: Rule, account: string, observed: number): void {
    const domain = domainOf(account);
    const { at, position, verdicts } = this.#fold;
    if (domain === undefined) return;
    const limit = this.#around.overrides.limit(rule.id, 'domain', domain, rule.limit, at);
    if (limit === null) return;
    const { window } = rule;
    const turned = { account, at, position, observed };
    const found = this.#together.note(`${rule.id} ${domain}`, turned, {
      window,
      limit,
      alarm: rule.turned!.alarm,
    });
    for (const each of found?.accounts ?? []) {
      const subject = { type: 'account', value: each.account } as const;
      const own = this.#volumes.account.turned(rule, each.account, each.observed, each.at);
      const evidence = {
        ...{ rule: rule.id, version: this.#rules.version, count: rule.count, window, limit },
        observed: found!.count,
        ...{ firstPosition: each.position, lastPosition: position, lastAt: at },
        sentence: togetherSentence(rule, subject, own, { domain, limit, ...found! }),
      };
      verdicts.push({ kind: 'act', rule, mode: this.#rules.mode, subject, evidence, at });
    }
  }

  #judge(event: RecordedEvent & BlockEvent): void {
    switch (event.type) {
      case 'BlockProposed':
        this.#subjects.set(event.data.block, event.data.subject);
        return;
      case 'BlockImposed': {
        const { block, subject, evidence } = event.data;
        this.#subjects.set(block, subject);
        const at = effectiveAt(event);
        // A person's block rests upon no evidence.
        if (evidence !== undefined) this.#volumes[subject.type].contain(subject.value, at);
        if (subject.type === 'account') this.#together.forget(subject.value);
        const by = this.#rules.rules.find((rule) => rule.id === evidence?.rule);
        // What a rule says that teaches is too much for now, not wrong.
        if (by?.teaches === true) return;
        this.profiles.contain(
          subject,
          block,
          dayOf(evidence === undefined ? at : evidence.lastAt - evidence.window),
        );
        return;
      }
      case 'BlockReleased':
      case 'ProposalDismissed': {
        const subject = this.#subjects.get(event.data.block);
        if (subject !== undefined && event.type === 'BlockReleased' && event.data.falsePositive)
          this.profiles.pardon(subject, event.data.block, cutShort(event.data.evidence));
        this.#subjects.delete(event.data.block);
        if (subject !== undefined) this.#forget(subject, effectiveAt(event), event.position);
        return;
      }
      case 'BlockExpired':
      case 'ProposalLapsed':
        this.#subjects.delete(event.data.block);
        return;
      case 'ProposalApproved':
      case 'BlockExtended':
      case 'BlockShortened':
      case 'ExemptionGranted':
      case 'ExemptionRevoked':
      case 'ExemptionApplied':
      case 'RuleObserved':
        return;
    }
  }

  /** Sends up to here count no more: neither for the subject nor, where it is an account, for its domain. */
  #forget(subject: Subject, at: Instant, position: number): void {
    const domain = subject.type === 'account' ? domainOf(subject.value) : undefined;
    if (domain !== undefined) this.#volumes.domain.subtract(domain, this.#volumes.account, subject.value);
    this.#volumes[subject.type].forget(subject.value, at, position);
    if (subject.type === 'account') this.#together.forget(subject.value);
  }

  #change(change: RulesChanged, at: Instant): void {
    const rules = { ...change.rules, version: change.version };
    const volumes = this.#build(rules);
    for (const type of SUBJECT_TYPES) volumes[type].carryOver(this.#volumes[type]);
    // Rules that cannot be used have thrown by now, and those before them stay in force.
    this.#rules = rules;
    this.#watchPeaks(volumes, dayOf(at));
    if (this.#installedAt === 0) this.#installedAt = at;
    this.#volumes = volumes;
    this.#neighbours = new Neighbours();
  }

  /** Those that a limit follows come first: there may be too many. */
  #watchPeaks(volumes: Readonly<Record<SubjectType, SubjectVolumes>>, today: Day): void {
    const peaks = SUBJECT_TYPES.flatMap((type) => volumes[type].peaks);
    const followed = peaks.filter((peak) => peak.followed);
    this.profiles.watch(
      [...followed, ...peaks].map(({ name }) => name),
      today,
    );
    for (const type of SUBJECT_TYPES) volumes[type].numberPeaks();
  }

  #build(rules: VersionedRules): Readonly<Record<SubjectType, SubjectVolumes>> {
    return mapTypes((type) => new SubjectVolumes(type, rules, this.#around));
  }
}

function mapTypes<Value>(make: (type: SubjectType) => Value): Readonly<Record<SubjectType, Value>> {
  const entries = SUBJECT_TYPES.map((type) => [type, make(type)] as const);
  return Object.fromEntries(entries) as Record<SubjectType, Value>;
}

/** A block cuts a run short: its sender would have gone on, to about twice as much. */
const CUT_SHORT = 2;

function cutShort(evidence: Evidence | undefined): LeastPeak | undefined {
  if (evidence === undefined || !isSum(evidence.count)) return undefined;
  const { count, window, leaveOut = 0, observed, lastAt } = evidence;
  return { day: dayOf(lastAt), peak: peakName(count, leaveOut, window), value: CUT_SHORT * observed };
}
