import type { Logger } from 'pino';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import type { BlockEvent } from '../blocks/events.js';
import { EXPIRY } from '../blocks/events.js';
import type { BlockCommandHandler } from '../commands/block-commands.js';
import type { TaskRunner, TimedTask, TimedWork } from '../expiry/port.js';
import { messageOf } from '../kernel/errors.js';
import type { Fact } from '../kernel/events.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY, formatInstant, HOUR, MINUTE } from '../kernel/time.js';
import { decisionFields } from '../log/decisions.js';
import { summaryId } from '../runtime/ids.js';
import { TrustedTime } from '../runtime/trusted-time.js';
import type { Day, DaySummaryFact } from '../sending/day-summary.js';
import { dayOf, PROFILE_CATEGORY, PROFILER, profileStream, SUMMARIES_KEPT } from '../sending/day-summary.js';
import type { EventStore } from '../store/port.js';
import type { ReadModels } from './read-models.js';

/** What jobs read. */
export type Counted = Pick<ReadModels, 'sendVolume' | 'shadow'>;

/**
 * Work that is done at set times, independent of events, and written down as events: live by housekeeping, in a
 * back-test by the clock that the events drive.
 */
export interface ScheduledJob {
  /** Who signs its events: `system:<part>`. */
  readonly by: string;
  /** When it is due next, after `now`. */
  after(now: Instant): Instant;
  /** What to record, and where. */
  run(models: Counted, now: Instant): readonly (Fact & { readonly stream: string })[];
}

/** How long after midnight (UTC) a day is summarised, so that what ran into the next day is judged by then. */
const AFTER_MIDNIGHT: Milliseconds = HOUR;

/** The first day that is not over, a while after midnight. */
function firstDayOpen(now: Instant): Day {
  return dayOf(now - AFTER_MIDNIGHT);
}

/**
 * The summaries of the days that are over by now, a sender's oldest first. They include the windows that only shadow
 * rules use: when these are in force, their baselines must be known.
 */
export function* dueSummaries({ sendVolume, shadow }: Counted, now: Instant): Generator<DaySummaryFact> {
  for (const fact of sendVolume.profiles.due(firstDayOpen(now))) {
    const { type, data } = fact;
    const more = shadow.peaks(data.subject, data.day);
    yield more === undefined ? fact : { type, data: { ...data, peaks: { ...more, ...data.peaks } } };
  }
}

/** Summarises days that are over, for the baselines. */
export const DAY_SUMMARY_JOB: ScheduledJob = {
  by: PROFILER,
  after: (now) => (firstDayOpen(now) + 1) * DAY + AFTER_MIDNIGHT,
  run: (models, now) =>
    [...dueSummaries(models, now)].map((fact) => ({
      ...fact,
      stream: profileStream(fact.data.subject),
    })),
};

/** All scheduled jobs. */
export const SCHEDULED_JOBS: readonly ScheduledJob[] = [DAY_SUMMARY_JOB];

/** Keeps the timed work in step with the ledger: plans it after each block event. */
export function planTimedWork(
  work: Pick<TimedWork, 'plan' | 'cancel'>,
  ledger: BlockLedger,
  event: BlockEvent,
): void {
  if (!('block' in event.data)) return;
  const entry = ledger.get(event.data.block);
  if (entry === undefined) return;
  const { expire, lapse } = tasksOf(entry);
  if (expire !== undefined) work.plan(expire);
  else work.cancel('expire', entry.id);
  if (lapse !== undefined) work.plan(lapse);
  else work.cancel('lapse', entry.id);
}

/** Everything that falls due, according to the ledger. */
export function* timedTasks(ledger: BlockLedger): Iterable<TimedTask> {
  for (const entry of ledger.kept()) {
    const { expire, lapse } = tasksOf(entry);
    if (expire !== undefined) yield expire;
    if (lapse !== undefined) yield lapse;
  }
}

/** Runs a task that has fallen due. */
export function taskRunner(
  blockCommands: BlockCommandHandler,
  models: { readonly ledger: BlockLedger },
  log: Logger,
): TaskRunner {
  return async ({ kind, subject, block }) => {
    const by = EXPIRY;
    // The event that set the time is the cause.
    const cause = models.ledger.get(block)?.version;
    const correlation = cause === undefined ? undefined : `event:${cause}`;
    const executed = await blockCommands.execute(subject, { kind, block }, { by, correlation });
    if (executed.facts.length === 0) return;
    log.info(decisionFields(by, subject, executed, correlation), 'a block or proposal ran out');
  };
}

function tasksOf({ id: block, subject, state, until, lapsesAt }: BlockEntry): {
  expire: TimedTask | undefined;
  lapse: TimedTask | undefined;
} {
  const expires = state === 'active' && typeof until === 'number';
  const lapses = state === 'proposed' && lapsesAt !== undefined;
  return {
    expire: expires ? { kind: 'expire', block, subject, dueAt: until } : undefined,
    lapse: lapses ? { kind: 'lapse', block, subject, dueAt: lapsesAt } : undefined,
  };
}

/** Summaries written at the same time: live mail must not wait for those of all senders. */
const AT_ONCE = 16;
/** How long until a retry if the store did not take them all. */
const AGAIN: Milliseconds = 5 * MINUTE;

interface DaySummaryRecorderOptions {
  readonly store: EventStore;
  readonly models: ReadModels;
  readonly clock: AlarmClock;
  readonly log: Logger;
}

/**
 * Writes the summary of every sender's day when the day is over, and at the start those of the days on which nothing
 * ran. Only a detector does this, because it alone has counted them.
 */
export class DaySummaryRecorder {
  readonly #options: DaySummaryRecorderOptions;
  #cancel: () => void = () => undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  /** Where the clock is ahead, a day of the future would end a sender's learning until then. */
  readonly #time: TrustedTime;
  /** It has been said that the clock is ahead. */
  #told = false;
  /** When the store last refused some, by `performance.now()`. */
  #failedAt = 0;

  private constructor(options: DaySummaryRecorderOptions) {
    this.#options = options;
    this.#time = new TrustedTime(options.clock, options.models.sendVolume.recordedAt);
  }

  /** Read models must be caught up: until then it is not known what has been written. */
  static async start(options: DaySummaryRecorderOptions): Promise<DaySummaryRecorder> {
    await options.store.setRetention(PROFILE_CATEGORY, SUMMARIES_KEPT);
    const summaries = new DaySummaryRecorder(options);
    summaries.#run();
    return summaries;
  }

  /** Waits for the writes under way; the rest is written at the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#running;
  }

  /** Resolves once what is under way is done. */
  async idle(): Promise<void> {
    await this.#running;
  }

  #run(): void {
    const { clock, models } = this.#options;
    // A store that was away may be back with another log. The feed finds out, and so goes first.
    const written = models.isFreshSince(this.#failedAt) ? this.#write() : Promise.resolve(false);
    this.#running = written.then((complete) => {
      if (this.#stopped) return;
      if (complete) this.#await(DAY_SUMMARY_JOB.after(clock.now()));
      else this.#cancel = clock.after(AGAIN, () => this.#run());
    });
  }

  /** Runs at `due`. If somebody sets the clock back meanwhile, the next time is another, and so it is looked at each hour. */
  #await(due: Instant): void {
    const { clock } = this.#options;
    const cancels = [
      clock.wakeAt(due, () => {
        this.#cancel();
        this.#run();
      }),
      clock.after(HOUR, () => {
        this.#cancel();
        this.#await(Math.min(due, DAY_SUMMARY_JOB.after(clock.now())));
      }),
    ];
    this.#cancel = () => {
      for (const cancel of cancels) cancel();
    };
  }

  /** @returns false if the store did not take them all */
  async #write(): Promise<boolean> {
    const { store, models, clock, log } = this.#options;
    const now = clock.now();
    const trusted = this.#time.now();
    this.#tell(trusted, now);
    let written = 0;
    try {
      // Looked up while they are written, not all first: there may be a hundred thousand.
      for (const some of slices(dueSummaries(models, trusted), AT_ONCE)) {
        if (this.#stopped) break;
        // A stop waits for all of them, even if one fails.
        const outcomes = await Promise.allSettled(
          some.map(({ type, data }) => {
            const event = { type, data, id: summaryId(data), at: now, by: DAY_SUMMARY_JOB.by };
            return store.append(profileStream(data.subject), [event], 'any');
          }),
        );
        const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
        written += outcomes.length - failed.length;
        if (failed.length > 0) throw failed[0]!.reason;
      }
    } catch (error) {
      this.#failedAt = performance.now();
      log.warn({ written, error: messageOf(error) }, 'day summaries could not be written; it is tried again');
      return false;
    }
    if (written > 0) log.info({ senders: written }, 'the days of senders were summarised');
    return true;
  }

  /** Says once that days are held back. */
  #tell(trusted: Instant, now: Instant): void {
    const isHeld = trusted < now;
    if (isHeld && !this.#told)
      this.#options.log.warn(
        { from: formatInstant(trusted), to: formatInstant(now) },
        'the clock leapt ahead; days since then wait until it has stood',
      );
    this.#told = isHeld;
  }
}

function* slices<T>(all: Iterable<T>, size: number): Generator<readonly T[]> {
  let slice: T[] = [];
  for (const each of all) {
    slice.push(each);
    if (slice.length < size) continue;
    yield slice;
    slice = [];
  }
  if (slice.length > 0) yield slice;
}
