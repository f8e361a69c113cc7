import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import { BacktestWorld } from '../../../src/backtest/world.js';
import type { BlockCommand } from '../../../src/blocks/commands.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { RulesChanged, RuleSet } from '../../../src/rules/model.js';
import type { Verdict } from '../../../src/rules/respond.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { subjectKey } from '../../../src/sending/subjects.js';
import { event, rulesChanged, sent } from '../../support/sends.js';
import { ended } from '../../support/steps.js';

const START = Date.UTC(2026, 0, 1);
const RULES = `
  - { id: burst, per: account, count: recipients, window: 10m, limit: 20, then: block, for: 30m, escalate: { factor: 2, max: 2h }, renewWhileTrying: true }
  - { id: hour,  per: account, count: messages,   window: 1h,  limit: 6,  then: propose, for: 10m, lapse: 1h }
  - { id: size,  per: account, count: bytes,      window: 20m, limit: 9kB, then: block, for: 5m }
  - { id: site,  per: domain,  count: recipients, window: 1h,  limit: 40, then: propose, for: 4h, lapse: 30m }`;
const OTHER = RULES.replace('limit: 20', 'limit: 10').replace('window: 20m', 'window: 30m');

type Step =
  | { readonly kind: 'send'; readonly user: number; readonly recipients: number; readonly skew: number }
  | {
      readonly kind: 'person';
      readonly what: 'release' | 'dismiss' | 'approve' | 'impose';
      readonly user: number;
    }
  | { readonly kind: 'rules'; readonly other: boolean };

const steps = fc.array(
  fc.tuple(
    fc.oneof(fc.nat(20 * SECOND), fc.nat(3 * MINUTE), fc.nat(40 * MINUTE)),
    fc.oneof(
      {
        weight: 12,
        arbitrary: fc.record({
          kind: fc.constant('send' as const),
          user: fc.nat(2),
          recipients: fc.integer({ min: 1, max: 12 }),
          skew: fc.oneof(fc.constant(0), fc.integer({ min: -HOUR, max: HOUR })),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant('person' as const),
          what: fc.constantFrom(
            'release' as const,
            'dismiss' as const,
            'approve' as const,
            'impose' as const,
          ),
          user: fc.nat(2),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('rules' as const), other: fc.boolean() }) },
    ),
  ),
  { maxLength: 100, size: 'max' },
);

/** What happened in the world of a back-test: sends, people, timers, and verdicts acted upon at once. */
class System {
  readonly log: RecordedEvent[] = [];
  readonly verdicts: Verdict[] = [];
  readonly world = new BacktestWorld({
    rules: rulesOf(RULES),
    start: START,
    onBlockEvent: () => undefined,
    onVerdict: (verdict) => this.verdicts.push(verdict),
    onFolded: (folded) => this.log.push(folded),
  });
  #version = 1;

  get volume(): SendVolume {
    return this.world.models.sendVolume;
  }

  play(history: readonly (readonly [number, Step])[]): void {
    for (const [pause, step] of history) {
      this.world.advance(this.world.now + pause);
      if (step.kind === 'rules') {
        const rules = rulesOf(step.other ? OTHER : RULES);
        this.#fold('RulesChanged', { version: ++this.#version, rules, source: '', origin: 'file' });
      } else if (step.kind === 'person') this.#person(step);
      else this.#send(step);
    }
  }

  #send({ user, recipients, skew }: Step & { kind: 'send' }): void {
    const { now } = this.world;
    const account = `user${user}@example.com`;
    const { block } = this.world.standing({ type: 'account', value: account });
    if (block === undefined) {
      const message = sent(now, 1, { account, returnPath: account, recipients, size: 1500 });
      return this.#fold('MessageAccepted', message.data, skew);
    }
    const told = { block: block.id, stage: 'rcpt', count: 1, since: now, reply: '' };
    this.#fold('MessageRefused', { account, direction: 'outbound', ...told }, skew);
  }

  #person({ what, user }: Step & { kind: 'person' }): void {
    const subject: Subject = { type: 'account', value: `user${user}@example.com` };
    const { block, proposal } = this.world.standing(subject);
    if (what === 'impose') {
      const until = this.world.now + 45 * MINUTE;
      const terms = { direction: 'outbound', description: '', refusal: 'soft', until } as const;
      this.decide(subject, { kind: what, subject, ...terms, newId: this.world.newId() });
    } else if (what === 'release')
      this.decide(subject, { kind: what, block: block?.id ?? '', falsePositive: false });
    else this.decide(subject, { kind: what, block: proposal?.id ?? '' });
  }

  /** Acts upon a verdict, even one acted upon before. @returns the resulting events */
  act({ kind, rule, subject, evidence }: Verdict): readonly RecordedEvent[] {
    if (kind === 'renew')
      return this.decide(subject, { kind, duration: rule.for!, direction: rule.direction, evidence });
    const {
      direction,
      refuse: refusal,
      for: duration,
      escalate,
      lapse,
      renewWhileTrying,
      id: description,
    } = rule;
    const terms = { direction, refusal, duration, escalate, lapse, renewWhileTrying, description };
    const action = rule.then === 'block' ? 'block' : 'propose';
    const newId = this.world.newId();
    return this.decide(subject, { kind: 'act', action, subject, terms, evidence, newId });
  }

  /** @returns what came of a command: nothing where it is impossible now */
  decide(subject: Subject, command: BlockCommand): readonly RecordedEvent[] {
    const before = this.log.length;
    try {
      this.world.execute(subject, command, 'admin:test');
    } catch (error) {
      if (!(error instanceof StopgapError)) throw error;
    }
    return this.log.slice(before);
  }

  #fold(type: string, data: unknown, skew = 0): void {
    const { now } = this.world;
    const { stream, by } = event(type, data, now, 1);
    this.world.fold({ type, data, at: now + skew, recordedAt: now, by, stream });
  }
}

function rulesOf(rules: string): RuleSet {
  return (rulesChanged(rules, START, 1).data as RulesChanged).rules;
}

const ran = (history: readonly (readonly [number, Step])[]): System => {
  const system = new System();
  system.play(history);
  return system;
};
const SUBJECTS: readonly Subject[] = [
  ...[0, 1, 2].map((user): Subject => ({ type: 'account', value: `user${user}@example.com` })),
  { type: 'domain', value: 'example.com' },
];

describe('a replay', () => {
  test('gives the same verdicts and the same windows, although others read them meanwhile', () => {
    let verdicts = 0;
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 90 * 24 * HOUR }), (history, ahead) => {
        const system = ran(history);
        const again = new SendVolume();
        const found = (JSON.parse(JSON.stringify(system.log)) as RecordedEvent[]).flatMap((each) => {
          // As the API would, while it is catching up: the present is far ahead of what is being folded.
          for (const subject of SUBJECTS) again.readings(subject, each.at + ahead);
          ended(again.busiest('account', 'recipients', 3, each.at + ahead));
          return again.apply(each);
        });
        assert.deepEqual(JSON.parse(JSON.stringify(found)), JSON.parse(JSON.stringify(system.verdicts)));
        for (const subject of SUBJECTS) {
          assert.deepEqual(
            again.readings(subject, system.world.now),
            system.volume.readings(subject, system.world.now),
          );
        }
        verdicts += found.length;
      }),
      { numRuns: 64 },
    );
    assert.ok(verdicts > 300, `only ${verdicts} verdicts: the histories show too little`);
  });

  test('whose every verdict is acted upon once more changes nothing', () => {
    fc.assert(
      fc.property(steps, fc.nat(2 * HOUR), (history, later) => {
        const system = ran(history);
        const all = [...system.verdicts];
        system.world.advance(system.world.now + later);
        for (const verdict of all) {
          assert.deepEqual(
            system.act(verdict),
            [],
            `${verdict.kind} ${verdict.rule.id} of position ${verdict.evidence.lastPosition}`,
          );
        }
      }),
      { numRuns: 90 },
    );
  });

  test('has no verdict on what was judged before, nor on more than was sent between its positions', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const system = ran(history);
        const judged = new Map<string, number>();
        const subjectOf = new Map<string, string>();
        for (const { type, data, position } of system.log) {
          const { block, subject } = data as { block?: string; subject?: Subject };
          if (block !== undefined && subject !== undefined) subjectOf.set(block, subjectKey(subject));
          if (type === 'BlockReleased' || type === 'ProposalDismissed')
            judged.set(subjectOf.get(block!)!, position);
          const here = system.verdicts.filter(({ evidence }) => evidence.lastPosition === position);
          for (const { subject: about, evidence, kind } of here) {
            assert.ok(evidence.firstPosition <= evidence.lastPosition);
            assert.ok(evidence.firstPosition > (judged.get(subjectKey(about)) ?? 0), 'judged already');
            // What counted cannot be more than what was sent between the positions that the evidence names.
            const sends = system.log.filter(
              (each) => each.position >= evidence.firstPosition && each.position <= position,
            );
            const most = sends.reduce((sum, each) => sum + worth(each, about, evidence.count, kind), 0);
            assert.ok(evidence.observed <= most, `${evidence.observed} observed, ${most} sent`);
          }
        }
      }),
      { numRuns: 110 },
    );
  });
});

function worth({ type, data }: RecordedEvent, { value }: Subject, count: string, kind: string): number {
  const { account, recipients, size } = data as { account: string; recipients: number; size: number };
  if (kind === 'renew') return type === 'MessageRefused' && account === value ? 1 : 0;
  if (type !== 'MessageAccepted' || !(account === value || account.endsWith(`@${value}`))) return 0;
  return count === 'recipients' ? recipients : count === 'bytes' ? size : 1;
}
