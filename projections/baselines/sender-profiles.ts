import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY } from '../../src/kernel/time.js';
import type {
  Day,
  DaySummaryFact,
  ProfiledType,
  SenderDaySummarised,
} from '../../src/sending/day-summary.js';
import { dayOf, isDaySummary } from '../../src/sending/day-summary.js';
import { neverBlock } from '../../src/rules/model.js';
import type { Subject } from '../../src/sending/subjects.js';
import type { ClosedDay, Profile } from './profile.js';
import { asOf, isBlank, isForgotten, NO_PROFILE, REMEMBERED_DAYS } from './profile.js';
import type { LeastPeak } from './learning.js';
import { isClosed, isOfAnotherTime, withoutPeak } from './learning.js';
import {
  withLateBlock,
  withoutOldTail,
  withoutProposal,
  withPardon,
  withProposal,
  withSummary,
} from './late-blocks.js';
import type { KeptPeak, OpenDaysState } from './open-days.js';
import { KeptPeaks, OpenDays } from './open-days.js';

export interface SenderProfilesState extends BaselinesState {
  readonly days: Readonly<Record<ProfiledType, OpenDaysState>>;
}

/**
 * The baselines of every account and every domain. They are folded from the summaries of past days alone; sends gather
 * in open days, which make the summaries. So a profile is the same with and without the sends that led to it.
 */
export class SenderProfiles {
  readonly #own = new Baselines();
  readonly #baselines: () => Baselines;
  readonly #learns: boolean;
  #days = this.#newDays();

  /**
   * @param lent baselines that another projection folds, for a process that does not learn itself; undefined until
   *   there are any: then nobody is known, and history begins with what is noted here
   */
  constructor(lent?: () => Baselines | undefined) {
    this.#learns = lent === undefined;
    this.#baselines = () => lent?.() ?? this.#own;
  }

  /** The baselines from the days that are over. */
  get baselines(): Baselines {
    return this.#baselines();
  }

  get peaks(): KeptPeaks {
    return this.#baselines().peaks;
  }

  /** Rises whenever a profile may have changed: then what was read from one before may be outdated. */
  get version(): number {
    return this.#baselines().version;
  }

  /** When Stopgap first had a rule, or an event; 0 before. */
  get installedAt(): Instant {
    return this.#baselines().installedAt;
  }

  /** Something happened; and when it was recorded, by the store's clock. */
  began(at: Instant, recordedAt: Instant): void {
    this.#own.began(at, recordedAt);
  }

  /** The store's clock was set back: open days of what is now the future would keep the present ones out until then. */
  setBack(today: Day): void {
    for (const type of PROFILED) this.#days[type].dropAfter(today);
  }

  /** Rules came into force: if nothing has happened yet, the installation begins now. */
  governed(at: Instant): void {
    if (this.#learns && this.#own.installedAt === 0) this.#own.began(at, at);
  }

  /** The open days, which note sends. */
  days(type: ProfiledType): OpenDays {
    return this.#days[type];
  }

  /**
   * The number of a window's peak in open days; undefined if it is not noted: if nothing is learnt, days become no
   * summaries.
   */
  noted(name: string): number | undefined {
    const { peaks } = this.#own;
    const number = peaks.numberOf(name);
    return number < peaks.names.length ? number : undefined;
  }

  /** A sender's baseline, as known on a day. */
  profile(type: ProfiledType, value: string, day: Day): Profile {
    return this.#baselines().profile(type, value, day);
  }

  /** Whether at least so many accounts used this network on a day that is over. */
  isKnownTo(network: string, least: number, day: Day): boolean {
    return this.#baselines().isKnownTo(network, least, day);
  }

  /** The days of a sender that are not summarised yet, ascending. */
  open(type: ProfiledType, value: string): readonly ClosedDay[] {
    return this.#days[type].of(value);
  }

  /** Whether a sender has been seen to send at all. */
  knows(type: ProfiledType, value: string): boolean {
    return this.#baselines().has(type, value) || this.#days[type].has(value);
  }

  /** How many senders are known, and how many of them have a day that is not summarised. */
  get sizes(): { readonly profiles: number; readonly open: number } {
    return { profiles: this.#baselines().size, open: this.#days.account.size + this.#days.domain.size };
  }

  /** The windows whose peaks are kept from now on, those that matter most first. */
  watch(names: readonly string[], today: Day): void {
    if (!this.#learns) return;
    for (const number of this.#own.watch(names, today)) {
      for (const type of PROFILED) this.#days[type].emptyPeak(number);
    }
  }

  /**
   * Folds a day's summary: the day is closed.
   *
   * @param seen whether the day was seen here; else it is history that was imported
   * @throws Error if it is none
   */
  summarised(summary: SenderDaySummarised, seen = true): void {
    if (!isDaySummary(summary)) throw new Error('it is no summary of a day');
    const { subject, day } = summary;
    if (this.#learns) this.#own.learn(summary, seen);
    this.#days[subject.type].summarised(subject.value, day);
  }

  /** A block was proposed: it may contain also days that are summarised before anybody decides upon it. */
  propose(subject: Subject, block: string): void {
    const type = profiledAs(subject);
    if (type !== undefined && this.#learns) this.#own.propose(type, subject.value, block);
  }

  /** A proposal is decided upon. */
  decide(subject: Subject, block: string): void {
    const type = profiledAs(subject);
    if (type !== undefined && this.#learns) this.#own.decide(type, subject.value, block);
  }

  /**
   * A block was imposed: what its subject does on days from `since` on does not count for its baseline, also if it has
   * just been summarised.
   */
  contain(subject: Subject, block: string, since: Day, today: Day = since): void {
    const type = profiledAs(subject);
    if (type === undefined) return;
    this.#days[type].contain(subject.value, block, since);
    if (this.#learns) this.#own.contain(type, subject.value, block, { since, today });
  }

  /** A block was taken back as a false positive: what it stopped is learnt like any other day. */
  pardon(subject: Subject, block: string, least?: LeastPeak): void {
    const type = profiledAs(subject);
    if (type === undefined) return;
    this.#days[type].pardon(subject.value, block);
    if (this.#learns) this.#own.pardon(type, subject.value, block, least);
  }

  /** The summaries of all days before this one that are not written yet, a sender's oldest first. */
  *due(before: Day): IterableIterator<DaySummaryFact> {
    for (const type of PROFILED) {
      for (const [value, closed] of this.#days[type].before(before)) {
        yield { type: 'SenderDaySummarised', data: { subject: { type, value }, ...closed } };
      }
    }
  }

  /** Cheap: profiles never change, and days are copied at their next write. The opposite of {@link restore}. */
  dump(): SenderProfilesState {
    const { account, domain } = this.#days;
    return { ...this.#baselines().dump(), days: { account: account.dump(), domain: domain.dump() } };
  }

  /** Takes over what {@link dump} gave, instead of all that it held; baselines only if they are its own. */
  restore({ days, ...baselines }: SenderProfilesState): void {
    if (this.#learns) this.#own.restore(baselines);
    this.#days = this.#newDays();
    for (const type of PROFILED) this.#days[type].restore(days[type]);
  }

  #newDays(): Readonly<Record<ProfiledType, OpenDays>> {
    const days = (type: ProfiledType): OpenDays =>
      new OpenDays(this.#own.peaks.names, (value, day) => this.#baselines().isClosed(type, value, day));
    return { account: days('account'), domain: days('domain') };
  }
}

/** The type of the baselines that a block concerns: a return path has those of the account with the same name. */
function profiledAs({ type }: Subject): ProfiledType | undefined {
  if (type === 'domain') return 'domain';
  return type === 'account' || type === 'address' ? 'account' : undefined;
}

const PROFILED: readonly ProfiledType[] = ['account', 'domain'];
/** How often forgotten profiles are removed. */
const SWEEP_DAYS: Day = 30;

/** Who has watched on one day alone, and nothing for so long after it, begins anew. */
const FORGOTTEN_BEGIN: Milliseconds = 31 * DAY;

/** Since when there is anything, and when the last was. */
interface Watched {
  readonly installedAt: Instant;
  readonly seenAt: Instant;
}

interface BaselinesState extends Watched {
  readonly before: Watched | undefined;
  /** The newest day that was summarised, and the day of the last sweep; -Infinity before the first. */
  readonly newest: Day;
  readonly swept: Day;
  readonly peaks: readonly KeptPeak[];
  readonly profiles: Readonly<Record<ProfiledType, readonly (readonly [value: string, profile: Profile])[]>>;
}

/** What is known from days that are over: a profile of every account and every domain, folded from summaries alone. */
export class Baselines {
  readonly peaks = new KeptPeaks();
  #profiles = { account: new Map<string, Profile>(), domain: new Map<string, Profile>() };
  #installedAt: Instant = 0;
  /** When something was last recorded, by the store's clock, or the last day that was summarised. */
  #seenAt: Instant = 0;
  /** What held before the store's clock was set back to before the beginning, until it is as late again. */
  #before: Watched | undefined;
  #swept: Day = -Infinity;
  #newest: Day = -Infinity;
  #version = 0;
  /** By EHLO name, how many accounts have it in their profile; only names that rules may block. */
  #users = new Map<string, number>();

  /** Rises whenever a profile may have changed: then what was read from one before may be outdated. */
  get version(): number {
    return this.#version;
  }

  /** When Stopgap first had a rule, or an event; 0 before. */
  get installedAt(): Instant {
    return this.#installedAt;
  }

  /** How many senders have a profile. */
  get size(): number {
    return this.#profiles.account.size + this.#profiles.domain.size;
  }

  /**
   * Something happened, or came into force: nobody can be known for longer than that. The store's clock may be wrong for
   * a while, so an instant before the beginning says nothing by itself: the age stays what it was.
   */
  began(at: Instant, recordedAt: Instant): void {
    const installedAt = this.#installedAt;
    const seenAt = this.#seenAt;
    const before = this.#before;
    if (installedAt === 0 || this.#isForgotten(recordedAt)) this.#installedAt = at;
    else if (before !== undefined && recordedAt >= before.seenAt) {
      // A leap says that the clock was wrong meanwhile; else it was wrong before, and time has passed since.
      if (recordedAt > seenAt + DAY) this.#installedAt = before.installedAt;
      this.#before = undefined;
    } else if (recordedAt < installedAt - DAY) {
      this.#before = { installedAt, seenAt };
      this.#installedAt = recordedAt - Math.max(0, seenAt - installedAt);
    }
    this.#seenAt = recordedAt;
  }

  /** A sender's baseline, as known on a day. */
  profile(type: ProfiledType, value: string, day: Day): Profile {
    return asOf(this.#profiles[type].get(value) ?? NO_PROFILE, day);
  }

  /** Whether any day of a sender is known. A proposal or a judgement gives a profile also to a name that never sent. */
  has(type: ProfiledType, value: string): boolean {
    const profile = this.#profiles[type].get(value);
    return profile !== undefined && profile.lastDay >= 0;
  }

  /** Whether what a sender did on a day is past learning: see {@link isClosed}. */
  isClosed(type: ProfiledType, value: string, day: Day): boolean {
    const profile = this.#profiles[type].get(value);
    return profile !== undefined && isClosed(profile, day);
  }

  /** How many accounts used an EHLO name on a day that is over; 0 for a name that says nothing. */
  usersOf(ehlo: string): number {
    return this.#users.get(ehlo) ?? 0;
  }

  /**
   * Whether at least so many accounts used this network on a day that is over. It goes through all profiles, so it is
   * for rare questions.
   */
  isKnownTo(network: string, least: number, day: Day): boolean {
    const oldest = day - REMEMBERED_DAYS;
    let users = 0;
    for (const { networks } of this.#profiles.account.values()) {
      if (!networks.some((place) => place.name === network && place.day >= oldest)) continue;
      if (++users >= least) return true;
    }
    return least <= 0;
  }

  /**
   * The windows whose peaks are kept from now on, those that matter most first.
   *
   * @returns the numbers that now stand for another window
   */
  watch(names: readonly string[], today: Day): readonly number[] {
    this.#version++;
    const taken = this.peaks.watch(names, today);
    for (const number of taken) {
      for (const type of PROFILED) {
        for (const [value, profile] of this.#profiles[type]) {
          this.#profiles[type].set(value, withoutPeak(profile, number));
        }
      }
    }
    return taken;
  }

  /** Folds a day's summary. @param seen whether the day was seen here; else it is history that was imported */
  learn(summary: SenderDaySummarised, seen: boolean): void {
    const { subject, day, peaks } = summary;
    const { type, value } = subject;
    this.#version++;
    this.peaks.seen(Object.keys(peaks), day);
    const known = this.#profiles[type].get(value) ?? NO_PROFILE;
    const before = seen && isOfAnotherTime(known, day) ? NO_PROFILE : known;
    this.#set(type, value, withSummary(before, summary, this.peaks.names));
    const begin = day * DAY;
    // To import history is to have watched. What was seen here before the beginning had a wrong clock.
    const isHistory = !seen && day < dayOf(this.#installedAt);
    if (this.#installedAt === 0 || isHistory || this.#isForgotten(begin)) this.#installedAt = begin;
    this.#seenAt = Math.max(this.#seenAt, begin);
    // The newest day was that of a clock ahead.
    if (seen && day < this.#newest - SWEEP_DAYS) this.#newest = this.#swept = day;
    if (day <= this.#newest) return;
    this.#newest = day;
    this.#dropTails(day);
    this.#sweep(day);
  }

  /** A block was taken back as a false positive: what it stopped is learnt like any other day. */
  pardon(type: ProfiledType, value: string, block: string, least?: LeastPeak): void {
    const profile = this.#profiles[type].get(value);
    if (profile === undefined && least === undefined) return;
    this.#version++;
    this.#set(type, value, withPardon(profile ?? NO_PROFILE, block, least, this.peaks.names));
  }

  /** A block was proposed. */
  propose(type: ProfiledType, value: string, block: string): void {
    this.#set(type, value, withProposal(this.#profiles[type].get(value) ?? NO_PROFILE, block));
  }

  /** A proposal is decided upon. */
  decide(type: ProfiledType, value: string, block: string): void {
    this.#change(type, value, (profile) => withoutProposal(profile, block, this.peaks.names));
  }

  /** A block was imposed: it contains also the days from `since` on that are known already, if they are the last. */
  contain(
    type: ProfiledType,
    value: string,
    block: string,
    when: { readonly since: Day; readonly today: Day },
  ): void {
    this.#change(type, value, (profile) => withLateBlock(profile, block, when, this.peaks.names));
  }

  /** Cheap: profiles never change. The opposite of {@link restore}. */
  dump(): BaselinesState {
    const { account, domain } = this.#profiles;
    return {
      installedAt: this.#installedAt,
      seenAt: this.#seenAt,
      before: this.#before,
      newest: this.#newest,
      swept: this.#swept,
      peaks: this.peaks.dump(),
      profiles: { account: [...account], domain: [...domain] },
    };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ installedAt, seenAt, before, newest, swept, peaks, profiles }: BaselinesState): void {
    this.#version++;
    this.#installedAt = installedAt;
    this.#seenAt = seenAt;
    this.#before = before;
    this.#newest = newest;
    this.#swept = swept;
    this.peaks.restore(peaks);
    this.#profiles = { account: new Map(profiles.account), domain: new Map(profiles.domain) };
    this.#users = new Map();
    for (const { ehlos } of this.#profiles.account.values()) this.#recount(NO_PROFILE.ehlos, ehlos);
  }

  /** Whether the beginning is too long ago for the little that was watched since: its clock may have been unset. */
  #isForgotten(now: Instant): boolean {
    // By days: where retention has taken the mail, a summary says no more.
    const watchedOneDay = dayOf(this.#seenAt) <= dayOf(this.#installedAt);
    return watchedOneDay && now > this.#seenAt + FORGOTTEN_BEGIN;
  }

  #change(type: ProfiledType, value: string, change: (profile: Profile) => Profile): void {
    const before = this.#profiles[type].get(value);
    const after = before === undefined ? undefined : change(before);
    if (after === before) return;
    this.#version++;
    this.#set(type, value, after);
  }

  #set(type: ProfiledType, value: string, profile: Profile | undefined): void {
    const before = this.#profiles[type].get(value) ?? NO_PROFILE;
    if (profile === undefined || isBlank(profile)) this.#profiles[type].delete(value);
    else this.#profiles[type].set(value, profile);
    if (type === 'account') this.#recount(before.ehlos, (profile ?? NO_PROFILE).ehlos);
  }

  /** An account's EHLO names have changed. */
  #recount(before: Profile['ehlos'], after: Profile['ehlos']): void {
    if (before === after) return;
    for (const { name } of before) this.#count(name, -1);
    for (const { name } of after) this.#count(name, 1);
  }

  #count(ehlo: string, change: 1 | -1): void {
    if (neverBlock({ type: 'ehlo', value: ehlo }) !== undefined) return;
    const users = this.usersOf(ehlo) + change;
    if (users > 0) this.#users.set(ehlo, users);
    else this.#users.delete(ehlo);
  }

  /** A tail takes more than its profile, so it goes a day after no block can contain it. */
  #dropTails(day: Day): void {
    for (const type of PROFILED) {
      for (const [value, profile] of this.#profiles[type]) {
        const kept = withoutOldTail(profile, day);
        if (kept !== profile) this.#profiles[type].set(value, kept);
      }
    }
  }

  /**
   * Forgotten profiles make room: such a sender already counts as new. It goes on in steps: one day of a clock that is
   * years ahead must not make all others forgotten.
   */
  #sweep(newest: Day): void {
    if (this.#swept === -Infinity) this.#swept = newest;
    const day = this.#swept + SWEEP_DAYS;
    if (newest < day) return;
    this.#swept = day;
    for (const type of PROFILED) {
      for (const [value, profile] of this.#profiles[type]) {
        if (isForgotten(profile, day)) this.#set(type, value, undefined);
      }
    }
  }
}
