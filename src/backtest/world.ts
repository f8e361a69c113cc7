import TinyQueue from 'tinyqueue';
import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { BlockCommand } from '../blocks/commands.js';
import { decide } from '../blocks/decide.js';
import type { BlockEvent } from '../blocks/events.js';
import { blockStream, EXPIRY } from '../blocks/events.js';
import type { Standing } from '../blocks/state.js';
import { evolve, NOTHING_YET, pendingProposal } from '../blocks/state.js';
import { ReadModels } from '../detector/read-models.js';
import type { ScheduledJob } from '../detector/scheduled-jobs.js';
import { planTimedWork } from '../detector/scheduled-jobs.js';
import type { TimedTask, TimedWork } from '../expiry/port.js';
import type { RecordedEvent } from '../kernel/events.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { SummedUp } from '../recording/summed-up.js';
import type { RulesChanged, RuleSet } from '../rules/model.js';
import { ruleActor, RULES_STREAM } from '../rules/model.js';
import type { Response, Verdict } from '../rules/respond.js';
import { respond } from '../rules/respond.js';
import type { MessageRefused } from '../sending/events.js';
import type { SenderIdentity, Subject } from '../sending/subjects.js';
import { subjectKey } from '../sending/subjects.js';

/** Something that happened, from any source; a {@link RecordedEvent} is one. Only what was recorded has an id. */
export type ActivityEvent = Pick<RecordedEvent, 'type' | 'at' | 'recordedAt' | 'by' | 'stream' | 'data'> &
  Partial<Pick<RecordedEvent, 'id'>>;

export interface WorldOptions {
  readonly rules: RuleSet;
  /** When it begins: nothing may happen earlier. */
  readonly start: Instant;
  /** What housekeeping does live, at its times. */
  readonly scheduledJobs?: readonly ScheduledJob[];
  /** Called for each change of a block, a proposal or an exemption, once it is folded. */
  readonly onBlockEvent: (event: BlockEvent) => void;
  /** Called for each verdict, before it is acted upon. */
  readonly onVerdict?: (verdict: Verdict) => void;
  /** Called for each event, once it is folded. */
  readonly onFolded?: (event: RecordedEvent) => void;
}

/** The version of the rules under test: every verdict names it. */
const VERSION = 1;
/** No event comes twice here, so none needs an id either: positions tell them apart. */
const IDS_KEPT = 0;
/** Its own record keeps what is over: the ledger is asked for the last that ended. */
const ENDED_KEPT = 1;
const DETECTOR = 'system:backtest';

interface Plan {
  readonly verdict: Verdict;
  readonly response: Response;
}

/**
 * One detector, its store and its timers, in memory and without waiting: the projections, `respond`, `decide` and
 * `evolve` of live traffic, in the order in which live traffic goes through them. What falls due comes before what
 * happens at the same instant. Ids are counted, so that the same events give the same outcome to the last byte.
 */
export class BacktestWorld {
  readonly models: ReadModels;
  readonly #clock: VirtualClock;
  readonly #standings = new Map<string, Standing>();
  readonly #due: DueTasks;
  readonly #refusals: FloodCoalescer<Omit<MessageRefused, 'count' | 'since'>>;
  readonly #summedUp = new SummedUp();
  readonly #onBlockEvent: WorldOptions['onBlockEvent'];
  readonly #onVerdict: WorldOptions['onVerdict'];
  readonly #plans: Plan[] = [];
  /** Events that nobody could read. */
  skipped = 0;
  /** Why the first of them could not be. */
  skippedFor: string | undefined;
  #position = 0;
  #cases = 0;
  #settling = false;
  #acting = true;

  constructor({ rules, start, scheduledJobs: jobs = [], onBlockEvent, onVerdict, onFolded }: WorldOptions) {
    this.#clock = new VirtualClock(start);
    this.#onBlockEvent = onBlockEvent;
    this.#onVerdict = onVerdict;
    this.#due = new DueTasks(this.#clock, ({ kind, block, subject }) =>
      this.execute(subject, { kind, block }, EXPIRY),
    );
    this.models = new ReadModels(
      {
        onVerdict: (verdict) => this.#plan(verdict),
        onBlockEvent: (event) => this.#blockChanged(event),
        onRulesChanged: () => undefined,
        ...(onFolded === undefined ? {} : { onFolded }),
        onSkipped: (_event, reason) => {
          this.skipped++;
          this.skippedFor ??= reason;
        },
      },
      { idsKept: IDS_KEPT, endedKept: ENDED_KEPT },
    );
    this.#refusals = new FloodCoalescer(this.#clock, (item, count, since) => {
      this.#append('MessageRefused', { ...item, count, since }, this.#clock.now(), DETECTOR, 'send-refused');
    });
    const change: RulesChanged = { version: VERSION, rules, source: '', origin: 'file' };
    this.#append('RulesChanged', change, start, 'system:rules-file', RULES_STREAM);
    for (const job of jobs) this.#keep(job);
  }

  get now(): Instant {
    return this.#clock.now();
  }

  get acting(): boolean {
    return this.#acting;
  }

  /** False: rules count and trip, but cause no action. */
  set acting(acting: boolean) {
    this.#acting = acting;
  }

  /** Lets time pass: what falls due on the way is done, each at its own time. */
  advance(to: Instant): void {
    this.#clock.advance(to);
  }

  /** Whether anybody is refused at all. */
  get refuses(): boolean {
    return this.models.activeBlocks.size > 0;
  }

  /** The block that refuses this sender now. */
  refusing(sender: SenderIdentity): ActiveBlock | undefined {
    return this.models.activeBlocks.find(sender, this.#clock.now());
  }

  /** An attempt was refused: recorded as live, where a flood becomes few events. */
  refused(
    block: ActiveBlock,
    from: Pick<MessageRefused, 'direction' | 'account' | 'returnPath' | 'ip' | 'ehlo'>,
  ): void {
    const { direction, account, returnPath, ip, ehlo } = from;
    const stage = block.refusal === 'honest' ? 'rcpt' : 'auth';
    const attempt = { direction, account, returnPath, ip, ehlo, stage, block: block.id, reply: '' } as const;
    this.#refusals.add(this.#summedUp.keyOf(attempt), attempt);
  }

  /** Folds what happened; what it trips is acted upon before this returns. */
  fold({ type, data, at, by, stream }: ActivityEvent): void {
    this.#append(type, data, at, by, stream);
  }

  /** The subject's present state, without how its earlier blocks ended. */
  standing(subject: Subject): Standing {
    return this.#standings.get(subjectKey(subject)) ?? NOTHING_YET;
  }

  /** Carries out a command, now. @throws StopgapError as `decide` does */
  execute(subject: Subject, command: BlockCommand, by: string): void {
    const now = this.#clock.now();
    let standing = this.standing(subject);
    // As the API does.
    const withheld =
      command.kind === 'release' ? { withheld: this.models.sendVolume.withheldBy(command.block) } : {};
    for (const fact of decide({ ...command, ...withheld, now }, standing)) {
      const event = this.#append(fact.type, fact.data, fact.at ?? now, fact.by ?? by, blockStream(subject));
      standing = evolve(standing, event as RecordedEvent & BlockEvent);
    }
    // How each block ended is looked up only for commands that name one: stored here it would grow for ever.
    this.#standings.set(subjectKey(subject), { ...standing, ended: NOTHING_YET.ended });
  }

  isExempt(subject: Subject): boolean {
    return this.models.exemptions.covering(subject, this.now) !== undefined;
  }

  /** The id of a case that begins: the older one sorts first, as those of live traffic do. */
  newId(): string {
    return `case-${String(++this.#cases).padStart(8, '0')}`;
  }

  #append(type: string, data: unknown, at: Instant, by: string, stream: string): RecordedEvent {
    const position = ++this.#position;
    const recordedAt = this.#clock.now();
    const event = { id: '', type, data, at, by, stream, revision: 0, position, recordedAt };
    this.models.apply(event);
    if (this.#plans.length > 0 && !this.#settling) this.#settle();
    return event;
  }

  #plan(verdict: Verdict): void {
    if (!this.#acting) return;
    const now = this.#clock.now();
    const { exemptions, automaticBlocks, sendVolume } = this.models;
    const planned = (breaker: string): number =>
      this.#plans.filter(({ response }) => response.counts === breaker).length;
    const response = respond(verdict, {
      now,
      breaker: sendVolume.rules.maxAutomaticBlocks,
      exemptedBy: (subject) => exemptions.covering(subject, now),
      automaticBlocks: (breaker, window) => automaticBlocks.within(breaker, window, now) + planned(breaker),
      pending: (subject) => pendingProposal(this.standing(subject), now)?.id,
      newId: () => this.newId(),
    });
    this.#plans.push({ verdict, response });
  }

  /** As the responder does: what one event trips is decided once it is folded, one after the other. */
  #settle(): void {
    this.#settling = true;
    for (let plan = this.#plans[0]; plan !== undefined; plan = this.#plans[0]) {
      const { rule, subject, evidence } = plan.verdict;
      this.#onVerdict?.(plan.verdict);
      this.execute(subject, plan.response.command, ruleActor(rule.id, evidence.version));
      this.#plans.shift();
    }
    this.#settling = false;
  }

  #blockChanged(event: BlockEvent): void {
    planTimedWork(this.#due, this.models.ledger, event);
    this.#onBlockEvent(event);
  }

  #keep(job: ScheduledJob): void {
    this.#clock.wakeAt(job.after(this.#clock.now()), () => {
      const now = this.#clock.now();
      for (const { type, data, at, stream } of job.run(this.models, now)) {
        this.#append(type, data, at ?? now, job.by, stream);
      }
      this.#keep(job);
    });
  }
}

/** Timed work that is carried out within the alarm that announces it. */
class DueTasks implements Pick<TimedWork, 'plan' | 'cancel'> {
  readonly #clock: AlarmClock;
  readonly #run: (task: TimedTask) => void;
  /** What takes back the alarm of each. */
  readonly #alarms = new Map<string, () => void>();

  constructor(clock: AlarmClock, run: (task: TimedTask) => void) {
    this.#clock = clock;
    this.#run = run;
  }

  plan(task: TimedTask): void {
    this.cancel(task.kind, task.block);
    const key = keyOf(task.kind, task.block);
    const cancel = this.#clock.wakeAt(task.dueAt, () => {
      this.#alarms.delete(key);
      this.#run(task);
    });
    this.#alarms.set(key, cancel);
  }

  cancel(kind: TimedTask['kind'], block: string): void {
    const key = keyOf(kind, block);
    this.#alarms.get(key)?.();
    this.#alarms.delete(key);
  }
}

function keyOf(kind: TimedTask['kind'], block: string): string {
  return `${kind} ${block}`;
}

interface Alarm {
  readonly at: Instant;
  /** Of alarms for the same instant, the one that was set first rings first. */
  readonly order: number;
  callback: (() => void) | undefined;
}

/** A clock that events drive: moved on, it rings what falls due on the way, each at its own time and in order. */
export class VirtualClock implements AlarmClock {
  readonly #alarms = new TinyQueue<Alarm>([], (a, b) => a.at - b.at || a.order - b.order);
  #now: Instant;
  #order = 0;
  /** When the next alarm rings: asked at every event. */
  #next: Instant = Infinity;

  constructor(start: Instant) {
    this.#now = start;
  }

  now(): Instant {
    return this.#now;
  }

  /** Nobody sets this clock. */
  monotonic(): Milliseconds {
    return this.#now;
  }

  after(span: Milliseconds, callback: () => void): () => void {
    return this.wakeAt(this.#now + span, callback);
  }

  /** When the next alarm rings; Infinity if none is set. */
  get next(): Instant {
    return this.#next;
  }

  wakeAt(at: Instant, callback: () => void): () => void {
    const alarm: Alarm = { at, order: this.#order++, callback };
    this.#alarms.push(alarm);
    if (at < this.#next) this.#next = at;
    return () => (alarm.callback = undefined);
  }

  /** Never goes back: an instant that has passed leaves the time as it is. */
  advance(to: Instant): void {
    while (this.#next <= to) {
      const { at, callback } = this.#alarms.pop()!;
      this.#next = this.#alarms.peek()?.at ?? Infinity;
      if (at > this.#now) this.#now = at;
      callback?.();
    }
    if (to > this.#now) this.#now = to;
  }
}

/** Some of what happened, and how far the reading has come. */
export interface Batch {
  /** The activities in the order of processing. */
  readonly activities: readonly ActivityEvent[];
  /** Of {@link total}, in the same unit: bytes of a file, positions of a store. */
  readonly done: number;
  /** Undefined if it is not known, as with standard input. */
  readonly total: number | undefined;
}

/** Where a back-test takes its events from: read once, from beginning to end. */
export interface Source {
  /** What reports call it: a file's name, or `history`. */
  readonly name: string;
  /** Messages that are not gone through because they were imported; known at the end. */
  readonly imported?: number;
  batches(): AsyncIterable<Batch>;
}
