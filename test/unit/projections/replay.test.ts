import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import type { BlockCommand } from '../../../src/blocks/commands.js';
import { decide } from '../../../src/blocks/decide.js';
import type { BlockEvent, BlockFact } from '../../../src/blocks/events.js';
import { NOTHING_YET, evolve } from '../../../src/blocks/state.js';
import type { Standing } from '../../../src/blocks/state.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { Verdict } from '../../../src/rules/respond.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { subjectKey } from '../../../src/sending/subjects.js';
import { event, rulesChanged, sent } from '../../support/sends.js';

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

/** The log of a small system that ran: sends, verdicts acted upon at once, people, timers. */
class System {
  readonly log: RecordedEvent[] = [];
  readonly verdicts: Verdict[] = [];
  readonly standings = new Map<string, Standing>();
  readonly volume = new SendVolume();
  now = START;
  #position = 0;
  #ids = 0;
  facts = 0;

  constructor() {
    this.fold((position) => rulesChanged(RULES, this.now, position));
  }

  play(history: readonly (readonly [number, Step])[]): void {
    for (const [pause, step] of history) {
      this.now += pause;
      for (const { block, proposal } of [...this.standings.values()]) {
        if (block !== undefined) this.decide(block.subject, { kind: 'expire', block: block.id });
        if (proposal !== undefined) this.decide(proposal.subject, { kind: 'lapse', block: proposal.id });
      }
      if (step.kind === 'rules') {
        const version = this.volume.rules.version + 1;
        this.fold((position) => rulesChanged(step.other ? OTHER : RULES, this.now, position, version));
      } else if (step.kind === 'person') this.#person(step);
      else this.#send(step);
    }
  }

  #send({ user, recipients, skew }: Step & { kind: 'send' }): void {
    const account = `user${user}@example.com`;
    const standing = this.standings.get(`account:${account}`);
    const block = standing?.block;
    const refused = {
      account,
      direction: 'outbound',
      block: block?.id,
      stage: 'rcpt',
      count: 1,
      since: this.now,
      reply: '',
    };
    const verdicts = this.fold((position) =>
      block === undefined
        ? sent(
            this.now + skew,
            position,
            { account, returnPath: account, recipients, size: 1500 },
            { recordedAt: this.now },
          )
        : event('MessageRefused', refused, this.now + skew, position, { recordedAt: this.now }),
    );
    for (const verdict of verdicts) this.act(verdict);
  }

  #person({ what, user }: Step & { kind: 'person' }): void {
    const subject: Subject = { type: 'account', value: `user${user}@example.com` };
    const { block, proposal } = this.standings.get(subjectKey(subject)) ?? NOTHING_YET;
    if (what === 'impose') {
      const until = this.now + 45 * MINUTE;
      const how = {
        direction: 'outbound',
        description: '',
        refusal: 'soft',
        until,
        newId: this.#id(),
      } as const;
      this.decide(subject, { kind: what, subject, ...how });
    } else if (what === 'release')
      this.decide(subject, { kind: what, block: block?.id ?? '', falsePositive: false });
    else this.decide(subject, { kind: what, block: proposal?.id ?? '' });
  }

  act({ kind, rule, subject, evidence }: Verdict): readonly BlockFact[] {
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
    return this.decide(subject, { kind: 'act', action, subject, terms, evidence, newId: this.#id() });
  }

  decide(subject: Subject, command: BlockCommand): readonly BlockFact[] {
    let standing = this.standings.get(subjectKey(subject)) ?? NOTHING_YET;
    let facts: readonly BlockFact[];
    try {
      facts = decide({ ...command, now: this.now }, standing);
    } catch (error) {
      if (error instanceof StopgapError) return [];
      throw error;
    }
    for (const fact of facts) {
      this.fold((position) => {
        const recorded = event(fact.type, fact.data, fact.at ?? this.now, position, { recordedAt: this.now });
        standing = evolve(standing, recorded as RecordedEvent & BlockEvent);
        return recorded;
      });
    }
    this.standings.set(subjectKey(subject), standing);
    this.facts += facts.length;
    return facts;
  }

  fold(make: (position: number) => RecordedEvent): readonly Verdict[] {
    const made = make(++this.#position);
    this.log.push(made);
    const verdicts = this.volume.apply(made);
    this.verdicts.push(...verdicts);
    return verdicts;
  }

  #id(): string {
    return `b${++this.#ids}`;
  }
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
  test('gives the same verdicts and the same windows, whoever read them meanwhile', () => {
    let verdicts = 0;
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 90 * 24 * HOUR }), (history, ahead) => {
        const system = ran(history);
        const again = new SendVolume();
        const found = (JSON.parse(JSON.stringify(system.log)) as RecordedEvent[]).flatMap((each) => {
          // As the API would, while it is catching up: the present is far ahead of what is being folded.
          for (const subject of SUBJECTS) again.readings(subject, each.at + ahead);
          again.busiest('account', 'recipients', 3, each.at + ahead);
          return again.apply(each);
        });
        assert.deepEqual(JSON.parse(JSON.stringify(found)), JSON.parse(JSON.stringify(system.verdicts)));
        for (const subject of SUBJECTS) {
          assert.deepEqual(again.readings(subject, system.now), system.volume.readings(subject, system.now));
        }
        verdicts += found.length;
      }),
      { numRuns: 150 },
    );
    assert.ok(verdicts > 300, `only ${verdicts} verdicts: the histories show too little`);
  });

  test('whose every verdict is acted upon once more changes nothing', () => {
    fc.assert(
      fc.property(steps, fc.nat(2 * HOUR), (history, later) => {
        const system = ran(history);
        const all = [...system.verdicts];
        system.now += later;
        for (const { block, proposal } of [...system.standings.values()]) {
          if (block !== undefined) system.decide(block.subject, { kind: 'expire', block: block.id });
          if (proposal !== undefined) system.decide(proposal.subject, { kind: 'lapse', block: proposal.id });
        }
        for (const verdict of all) {
          const facts = system.act(verdict);
          assert.deepEqual(
            facts,
            [],
            `${verdict.kind} ${verdict.rule.id} of position ${verdict.evidence.lastPosition}`,
          );
        }
      }),
      { numRuns: 300 },
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
      { numRuns: 200 },
    );
  });
});

function worth({ type, data }: RecordedEvent, { value }: Subject, count: string, kind: string): number {
  const { account, recipients, size } = data as { account: string; recipients: number; size: number };
  if (kind === 'renew') return type === 'MessageRefused' && account === value ? 1 : 0;
  if (type !== 'MessageAccepted' || !(account === value || account.endsWith(`@${value}`))) return 0;
  return count === 'recipients' ? recipients : count === 'bytes' ? size : 1;
}
