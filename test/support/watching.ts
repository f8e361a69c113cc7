import type { BlockFact } from '../../src/blocks/events.js';
import { DAY_SUMMARY_JOB } from '../../src/detector/scheduled-jobs.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import { DAY, HOUR, SECOND } from '../../src/kernel/time.js';
import { overrideStream } from '../../src/overrides/events.js';
import type { OverrideSubject, Terms } from '../../src/overrides/model.js';
import { ReadModels } from '../../src/detector/read-models.js';
import type { Verdict } from '../../src/rules/respond.js';
import type { MessageAccepted } from '../../src/sending/events.js';
import type { Subject } from '../../src/sending/subjects.js';
import { DAY_0 } from './days.js';
import { event, rulesChanged, sent } from './sends.js';

/** A Thursday, at midnight. */
export const DAWN: Instant = DAY_0 * DAY;

/**
 * Read models that events are folded into as time passes: days are summarised when they would be, and what is done about
 * a verdict is up to the test.
 */
export class Watching {
  /** All that was folded. */
  readonly log: RecordedEvent[] = [];
  readonly models: ReadModels;
  readonly #verdicts: Verdict[] = [];
  #now: Instant;
  #nextJob: Instant;
  #version = 0;

  /** @param rules as `rulesChanged` takes them */
  constructor(rules: string, start: Instant = DAWN + 8 * HOUR) {
    this.models = new ReadModels({
      onVerdict: (verdict) => this.#verdicts.push(verdict),
      onBlockEvent: () => undefined,
      onRulesChanged: () => undefined,
      onSkipped: ({ type }, reason) => {
        throw new Error(`${type}: ${reason}`);
      },
    });
    this.#now = start;
    this.#nextJob = DAY_SUMMARY_JOB.after(start);
    this.rules(rules);
  }

  get now(): Instant {
    return this.#now;
  }

  /** Time passes up to an instant. */
  until(at: Instant): this {
    while (this.#nextJob <= at) {
      this.#now = this.#nextJob;
      for (const { type, data, stream } of DAY_SUMMARY_JOB.run(this.models, this.#now)) {
        this.fold(type, data, { stream, by: DAY_SUMMARY_JOB.by });
      }
      this.#nextJob = DAY_SUMMARY_JOB.after(this.#now);
    }
    this.#now = Math.max(this.#now, at);
    return this;
  }

  pass(span: number): this {
    return this.until(this.#now + span);
  }

  /** The morning of a day, counted from the first. */
  morning(day: number): this {
    return this.until(DAWN + day * DAY + 8 * HOUR);
  }

  /** Folds an event that happens now. @returns what it trips */
  fold(type: string, data: unknown, more: Partial<RecordedEvent> = {}): readonly Verdict[] {
    return this.take(event(type, data, this.#now, this.log.length + 1, more));
  }

  take(recorded: RecordedEvent): readonly Verdict[] {
    this.log.push(recorded);
    this.models.apply(recorded);
    return this.#verdicts.splice(0);
  }

  rules(source: string): void {
    this.take(rulesChanged(source, this.#now, this.log.length + 1, ++this.#version));
  }

  /** So many messages alike, a second apart unless said otherwise. @returns what they trip */
  send(more: Partial<MessageAccepted> = {}, times = 1, every: number = SECOND): readonly Verdict[] {
    const verdicts: Verdict[] = [];
    for (let index = 0; index < times; index++) {
      if (index > 0) this.pass(every);
      verdicts.push(...this.take(sent(this.#now, this.log.length + 1, more)));
    }
    return verdicts;
  }

  /** A sender writes as much on each of some days, an hour apart unless said otherwise. @returns what that trips */
  habit(
    days: readonly number[],
    more: Partial<MessageAccepted> = {},
    times = 1,
    every: number = HOUR,
  ): readonly Verdict[] {
    return days.flatMap((day) => this.morning(day).send(more, times, every));
  }

  /** What a verdict asks for is done. */
  impose({ rule, subject, evidence }: Verdict, block = `b${this.log.length}`): string {
    const until = rule.for === null ? null : this.#now + rule.for;
    const terms = { direction: rule.direction, description: '', refusal: rule.refuse, until };
    const data = {
      block,
      subject,
      ...terms,
      origin: 'rule',
      rule: rule.id,
      evidence,
      renewWhileTrying: false,
    } as const;
    this.#block({ type: 'BlockImposed', data });
    return block;
  }

  /** What a verdict asks for waits for an answer. */
  propose({ rule, subject, evidence }: Verdict, block = `p${this.log.length}`): string {
    const terms = { direction: rule.direction, description: '', refusal: rule.refuse, duration: rule.for };
    const lapsesAt = this.#now + rule.lapse;
    const data = { ...terms, block, subject, lapsesAt, rule: rule.id, evidence, renewWhileTrying: false };
    this.#block({ type: 'BlockProposed', data });
    return block;
  }

  /** A person blocks. */
  block(subject: Subject, block = `b${this.log.length}`): string {
    const terms = { direction: 'outbound', description: '', refusal: 'soft', until: null } as const;
    this.#block({
      type: 'BlockImposed',
      data: { block, subject, ...terms, origin: 'admin', renewWhileTrying: false },
    });
    return block;
  }

  /** What a verdict asks for makes a block longer that is in force. */
  extend(block: string, { rule, evidence }: Verdict): void {
    const until = rule.for === null ? null : this.#now + rule.for;
    this.#block({ type: 'BlockExtended', data: { block, until, direction: rule.direction, evidence } });
  }

  /** @param the verdict that led to the block, whose evidence the release names */
  release(block: string, falsePositive = false, of?: Verdict): void {
    const evidence = of === undefined ? {} : { evidence: of.evidence, subject: of.subject };
    this.#block({ type: 'BlockReleased', data: { block, falsePositive, ...evidence } });
  }

  /** @param the verdict that led to the proposal, whose evidence the dismissal names */
  dismiss(block: string, falsePositive: boolean, { evidence, subject }: Verdict): void {
    const marked = falsePositive ? { falsePositive } : {};
    this.#block({ type: 'ProposalDismissed', data: { block, subject, evidence, ...marked } });
  }

  override(subject: OverrideSubject, terms: Terms): void {
    const data = { subject, origin: 'api', until: null, ...terms };
    this.fold('OverrideSet', data, { stream: overrideStream(subject), by: 'admin:test' });
  }

  /** The limit of each rule for a subject, now. */
  limits(subject: Subject): Readonly<Record<string, number>> {
    const { sendVolume } = this.models;
    return Object.fromEntries(
      sendVolume.readings(subject, this.#now).map(({ rule, limit }) => [rule, limit]),
    );
  }

  #block(fact: BlockFact): void {
    this.fold(fact.type, fact.data, { stream: 'block-test', by: 'admin:test' });
  }
}
