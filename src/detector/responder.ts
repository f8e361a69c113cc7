import type { Span } from '@opentelemetry/api';
import type { Logger } from 'pino';
import type { BlockCommandHandler, Executed } from '../commands/block-commands.js';
import type { BlockCommand } from '../blocks/commands.js';
import type { Evidence } from '../blocks/events.js';
import { blockStream } from '../blocks/events.js';
import { newId } from '../runtime/ids.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import { messageOf } from '../kernel/errors.js';
import { verdictFields } from '../log/decisions.js';
import type { VerdictAction } from '../metrics/blocks.js';
import type { Metrics } from '../metrics/metrics.js';
import type { ReadModels } from './read-models.js';
import { ruleActor } from '../rules/model.js';
import type { Circumstances, Response, Verdict } from '../rules/respond.js';
import { isWanting, respond } from '../rules/respond.js';
import type { Subject } from '../sending/subjects.js';
import { subjectKey } from '../sending/subjects.js';
import { StoreUnavailable, WrongExpectedRevision } from '../store/port.js';
import { traceparentOf } from '../tracing/spans.js';
import type { Tracing } from '../tracing/tracing.js';

export interface ResponderOptions {
  readonly blockCommands: BlockCommandHandler;
  readonly models: ReadModels;
  readonly clock: AlarmClock;
  readonly metrics: Metrics;
  /** Undefined if tracing is off. */
  readonly tracing?: Tracing | undefined;
  readonly log: Logger;
}

interface Plan {
  readonly verdict: Verdict;
  readonly command: BlockCommand;
  /** True if it is in force before its event. */
  readonly anticipated: boolean;
  /** The circuit breaker that it counts for until its event counts. */
  readonly counts: string | undefined;
  readonly span: Span | undefined;
  /** Decided at a start, for a rule that tripped before it. */
  readonly recovered: boolean;
}

/** The age up to which a replay's verdicts may lack an action: the process ended between fold and act. */
const UNFINISHED: Milliseconds = MINUTE;
/** The oldest go first. */
const REMEMBERED = 10_000;
/** After so many failures for another reason than the store's, it fails for ever. */
const ATTEMPTS = 5;
const FIRST_PAUSE: Milliseconds = SECOND / 4;
const LONGEST_PAUSE: Milliseconds = 30 * SECOND;

/**
 * Turns verdicts into commands. A sender is refused from the moment a rule trips. The event follows as fast as the
 * store takes it, and is tried again until the store does. One verdict at a time.
 */
export class Responder {
  readonly #options: ResponderOptions;
  readonly #unanswered = new UnansweredVerdicts();
  /** Plans by the position that tripped them, until they are settled. */
  readonly #pending = new Map<number, Promise<void>>();
  #tail: Promise<void> = Promise.resolve();
  /** By subject, the id of the case that the first verdict under way begins. */
  readonly #beginning = new Map<string, string>();
  /** Planned blocks by circuit breaker. */
  readonly #plannedBlocks = new Map<string, number>();
  /** By subject, how many verdicts under way have it refused ahead of their events. */
  readonly #anticipating = new Map<string, number>();
  readonly #openBreakers = new Set<string>();
  #stopped = false;
  /** True when nothing more is tried, not even once. */
  #dropping = false;
  #wake: (() => void) | undefined;
  #stop!: () => void;
  #stopping = new Promise<void>((resolve) => (this.#stop = resolve));

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** Takes a verdict; its block is in force when this returns. */
  take(verdict: Verdict): void {
    this.#take(verdict, false);
  }

  #take(verdict: Verdict, madeUp: boolean): void {
    const plan = this.#plan(verdict, madeUp);
    const { lastPosition } = verdict.evidence;
    const settled = new Promise<void>((resolve) => {
      this.#tail = this.#tail.then(() => this.#carryOut(plan, resolve));
    });
    const before = this.#pending.get(lastPosition);
    const all = before === undefined ? settled : Promise.all([before, settled]).then(() => undefined);
    this.#pending.set(lastPosition, all);
    void all.then(() => {
      if (this.#pending.get(lastPosition) === all) this.#pending.delete(lastPosition);
    });
  }

  /** Keeps a verdict until it is {@link answered}: {@link finish} acts on the unanswered ones. */
  remember(verdict: Verdict): void {
    this.#unanswered.add(verdict);
  }

  /** The log was folded anew: these are what its events have not answered. */
  adopt(verdicts: readonly Verdict[]): void {
    this.#unanswered.clear();
    for (const verdict of verdicts) this.remember(verdict);
  }

  /** An event of this stream rests on this evidence: its verdict has been acted upon. */
  answered(stream: string, evidence: Evidence): void {
    this.#unanswered.answered(stream, evidence);
  }

  /**
   * After the replay: acts on what tripped while no detector ran, or what a detector left undone. Doing it twice is
   * harmless. The missing blocks are in force when this resolves.
   *
   * Most unanswered verdicts left no event because the sender was already contained. They change nothing, so they are
   * skipped first: they must not be reported again, must not refuse anybody while they are decided, must not look like
   * many blocks at once to the circuit breaker, and must not count as what a later exemption kept a rule from.
   */
  async finish(): Promise<void> {
    const { models, clock } = this.#options;
    const due = this.unanswered().filter(
      (verdict) => verdict.at > models.lastEventAt - UNFINISHED || isWanting(verdict, clock.now()),
    );
    const taken = new Set<string>();
    for (const verdict of due) {
      const key = subjectKey(verdict.subject);
      // The verdict taken just now may be a proposal that is not recorded yet.
      const follows = verdict.kind === 'beyond' && taken.has(key);
      if (!follows && !(await this.#leavesSomething(verdict))) {
        this.#needsNothing(verdict);
        continue;
      }
      taken.add(key);
      this.#take(verdict, true);
    }
  }

  /**
   * The verdicts to give to {@link remember}, in this order, in a process that begins at the end of the events folded
   * so far.
   */
  unanswered(): readonly Verdict[] {
    return this.#unanswered.all();
  }

  /**
   * Resolves when the blocks that the send at this position tripped are in force, and recorded unless the store is
   * away; undefined if it tripped nothing.
   */
  settled(position: number): Promise<void> | undefined {
    return this.#pending.get(position);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#tail;
  }

  /** The state of the fullest circuit breaker, with the blocks under way. */
  get breaker(): { readonly open: boolean; readonly blocks: number; readonly max: number } {
    const { models, clock } = this.#options;
    const { max, window } = models.sendVolume.rules.maxAutomaticBlocks;
    const { breakers } = models.automaticBlocks;
    const all = new Set([...breakers, ...this.#plannedBlocks.keys()]);
    const blocks = Math.max(0, ...[...all].map((breaker) => this.#within(breaker, window, clock.now())));
    return { open: blocks >= max, blocks, max };
  }

  #within(breaker: string, window: Milliseconds, now: Instant): number {
    const planned = this.#plannedBlocks.get(breaker) ?? 0;
    return this.#options.models.automaticBlocks.within(breaker, window, now) + planned;
  }

  #note(breaker: string, difference: 1 | -1): void {
    this.#plannedBlocks.set(breaker, (this.#plannedBlocks.get(breaker) ?? 0) + difference);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stop();
    this.#wake?.();
    await this.#tail;
  }

  /**
   * Drops every verdict, because they rest on a log that is gone; their refusals stay. No more verdicts come by now.
   */
  async startAnew(): Promise<void> {
    this.#dropping = true;
    await this.stop();
    this.#unanswered.clear();
    this.#stopping = new Promise<void>((resolve) => (this.#stop = resolve));
    this.#stopped = false;
    this.#dropping = false;
  }

  /**
   * Whether a verdict would change anything now if nobody were exempt: an exemption keeps it from nothing else. If the
   * store does not answer, the verdict is tried.
   */
  async #leavesSomething(verdict: Verdict): Promise<boolean> {
    const { blockCommands, clock } = this.#options;
    const { command } = this.#respond(verdict, clock.now(), () => undefined);
    try {
      return await blockCommands.wouldChange(verdict.subject, command);
    } catch {
      return true;
    }
  }

  #respond(
    verdict: Verdict,
    now: Instant,
    exemptedBy: Circumstances['exemptedBy'] = (subject) =>
      this.#options.models.exemptions.covering(subject, now),
  ): Response {
    const { models } = this.#options;
    return respond(verdict, {
      now,
      breaker: models.sendVolume.rules.maxAutomaticBlocks,
      exemptedBy,
      automaticBlocks: (breaker, window) => this.#within(breaker, window, now),
      pending: (subject) => pendingOn(models, subject, now),
      newId,
    });
  }

  #plan(verdict: Verdict, madeUp: boolean): Plan {
    const { models, clock, metrics, tracing } = this.#options;
    const now = clock.now();
    const span = tracing?.verdict(verdict, correlationOf(verdict));
    const { command, anticipated, counts, asked } = this.#respond(verdict, now);
    if (asked !== undefined) this.#noteBreaker(asked);
    if (counts !== undefined) this.#note(counts, 1);
    const id = this.#caseOf(verdict.subject, command, now);
    if (anticipated !== undefined) {
      const key = subjectKey(verdict.subject);
      this.#anticipating.set(key, (this.#anticipating.get(key) ?? 0) + 1);
      models.activeBlocks.anticipate(verdict.subject, { ...anticipated, id: id ?? anticipated.id });
      metrics.containment.anticipated(verdict, now);
      if (span !== undefined) tracing?.anticipated(id ?? anticipated.id, span);
    }
    return { verdict, command, anticipated: anticipated !== undefined, counts, span, recovered: madeUp };
  }

  /**
   * The id that a block will have: that of the recorded case, or the one that an earlier verdict begins. Refusals are
   * reported under this id, and no other id leads to the block.
   */
  #caseOf(subject: Subject, command: BlockCommand, now: Instant): string | undefined {
    const live = this.#options.models.ledger.caseOn(subject, now);
    if (live !== undefined) return live.id;
    const key = subjectKey(subject);
    const begun = this.#beginning.get(key);
    if (begun === undefined && command.kind === 'act' && command.exemptedBy === undefined)
      this.#beginning.set(key, command.newId);
    return begun;
  }

  /** Logs once that a circuit breaker opens or closes. */
  #noteBreaker({ breaker, open }: NonNullable<Response['asked']>): void {
    const { models, log } = this.#options;
    const { max, window } = models.sendVolume.rules.maxAutomaticBlocks;
    if (open && !this.#openBreakers.has(breaker)) {
      log.error(
        { breaker, max, windowMs: window },
        'circuit breaker: too many automatic blocks, most are only proposed now',
      );
    } else if (!open && this.#openBreakers.has(breaker)) {
      log.warn({ breaker }, 'circuit breaker: rules block again');
    }
    if (open) this.#openBreakers.add(breaker);
    else this.#openBreakers.delete(breaker);
  }

  async #carryOut(plan: Plan, settled: () => void): Promise<void> {
    const { verdict, command, anticipated, counts, span } = plan;
    const { blockCommands, models, log } = this.#options;
    const { rule, subject, evidence } = verdict;
    const context = {
      by: ruleActor(rule.id, evidence.version),
      correlation: correlationOf(verdict),
      trace: span && traceparentOf(span),
    };
    const about = { correlation: context.correlation, rule: rule.id, subject };
    let faults = 0;
    let outcome = 'failed';
    for (let pause = FIRST_PAUSE; !this.#dropping; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      try {
        const executed = await blockCommands.execute(subject, command, context);
        const { facts, position } = executed;
        // If another detector was faster, its event must be in force here before our block goes.
        await Promise.race([models.reached(position), this.#stopping]);
        outcome = facts.at(-1)?.type ?? 'nothing to do';
        // Who goes on under a block trips rules for ever, and no event says so: their verdicts would push out those of others.
        if (facts.length === 0) this.#needsNothing(verdict);
        this.#tell(plan, executed, context.by);
        break;
      } catch (error) {
        if (!isPassing(error) && ++faults === ATTEMPTS) {
          // One verdict must not keep all later ones waiting for ever.
          log.error({ ...about, error: messageOf(error) }, 'a verdict is given up');
          this.#options.metrics.blocks.settled(verdict, 'failed');
          break;
        }
        log.error(
          { ...about, error: messageOf(error) },
          'a verdict could not be recorded; it stays in force and is tried again',
        );
        settled();
        if (this.#stopped) break;
        const failedAt = performance.now();
        // A store that was away may be back with another log. The feed finds out, and so goes first.
        do await this.#sleep(pause);
        while (!models.isFreshSince(failedAt) && !this.#stopped);
      }
    }
    if (counts !== undefined) this.#note(counts, -1);
    if (anticipated) this.#withdraw(subject);
    const key = subjectKey(subject);
    if (command.kind === 'act' && this.#beginning.get(key) === command.newId) this.#beginning.delete(key);
    span?.setAttribute('stopgap.outcome', outcome).end();
    settled();
  }

  #needsNothing({ subject, evidence }: Verdict): void {
    this.answered(blockStream(subject), evidence);
  }

  /** A verdict is carried out. What another one has put in force ahead of its own event stays. */
  #withdraw(subject: Subject): void {
    const key = subjectKey(subject);
    const others = this.#anticipating.get(key)! - 1;
    if (others > 0) return void this.#anticipating.set(key, others);
    this.#anticipating.delete(key);
    if (!this.#dropping) this.#options.models.activeBlocks.withdraw(subject);
  }

  /**
   * Counts and logs the result of a verdict. It says nothing of a verdict that was recovered, or that found the sender
   * contained.
   */
  #tell({ verdict, recovered: madeUp }: Plan, executed: Executed, by: string): void {
    const { metrics, log } = this.#options;
    const type = executed.facts.at(-1)?.type;
    if ((madeUp || verdict.kind === 'beyond') && type === undefined) return;
    metrics.blocks.settled(verdict, (type && OUTCOMES[type]) ?? 'none');
    const correlation = correlationOf(verdict);
    if (!madeUp) log.info(verdictFields(verdict, by, executed, correlation), 'a rule tripped');
    else
      log.info(
        verdictFields(verdict, by, executed, correlation),
        'a rule had tripped before this start: it is acted upon now',
      );
  }

  #sleep(span: Milliseconds): Promise<void> {
    const { clock } = this.#options;
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = clock.after(span, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** The correlation of a verdict in its events and in the log: the send that tripped it. */
const correlationOf = ({ evidence }: Verdict): string => `event:${evidence.lastPosition}`;

function pendingOn({ ledger }: ReadModels, subject: Subject, now: Instant): string | undefined {
  const live = ledger.caseOn(subject, now);
  return live?.state === 'proposed' ? live.id : undefined;
}

/**
 * Verdicts that no event has answered. The set follows from the events alone, live and in a replay, but for those that a detector
 * found nothing to do for. A replay has them again, a snapshot has not. So what had contained their sender must contain
 * them still once it has ended, be that recorded or not: `decide` sees to it. One difference stays: a sender
 * whose proposal waits trips a rule while its circuit breaker is open. If the breaker is closed at the replay, that is a block.
 */
export class UnansweredVerdicts {
  /** By {@link answerKey}, oldest first. */
  readonly #verdicts = new Map<string, Verdict>();

  add(verdict: Verdict): void {
    this.#verdicts.set(answerKey(blockStream(verdict.subject), verdict.evidence), verdict);
    if (this.#verdicts.size <= REMEMBERED) return;
    for (const oldest of this.#verdicts.keys()) return void this.#verdicts.delete(oldest);
  }

  /** An event of this stream of block events rests on this evidence, or nothing is to be done. */
  answered(stream: string, evidence: Evidence): void {
    this.#verdicts.delete(answerKey(stream, evidence));
  }

  all(): readonly Verdict[] {
    return [...this.#verdicts.values()];
  }

  clear(): void {
    this.#verdicts.clear();
  }
}

/** One event trips a rule only once for each subject. */
const answerKey = (stream: string, { rule, lastPosition }: Evidence): string =>
  `${rule} ${lastPosition} ${stream}`;

function isPassing(error: unknown): boolean {
  return error instanceof StoreUnavailable || error instanceof WrongExpectedRevision;
}

const OUTCOMES: Readonly<Record<string, VerdictAction>> = {
  BlockImposed: 'block',
  BlockExtended: 'extend',
  BlockProposed: 'propose',
  RuleObserved: 'observe',
  ExemptionApplied: 'spare',
};
