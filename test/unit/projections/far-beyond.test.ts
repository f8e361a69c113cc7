import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import { decide } from '../../../src/blocks/decide.js';
import type { Standing } from '../../../src/blocks/state.js';
import { activeBlock, evolve, NOTHING_YET, pendingProposal } from '../../../src/blocks/state.js';
import type { BlockCommand } from '../../../src/blocks/commands.js';
import type { BlockEvent } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import type { Instant, Milliseconds } from '../../../src/kernel/time.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { respond } from '../../../src/rules/respond.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { blockEvent, failed, rulesChanged, sent } from '../../support/sends.js';

const START = Date.UTC(2026, 0, 1);
const RULE = (more: string): string =>
  `  - { id: burst, per: account, count: messages, window: 1h, limit: 10, ${more} }`;
const BLOCKS = RULE('then: block, for: 1h');

const EVIDENCE = {
  rule: 'burst',
  version: 1,
  count: 'messages',
  window: HOUR,
  limit: 10,
  observed: 11,
  firstPosition: 1,
  lastPosition: 1,
  lastAt: START,
  sentence: '',
} as const;

/** What a flood trips, one message every two seconds: `kind observed` at each. */
function flood(rules: string, messages: number, pause = 2 * SECOND): readonly string[] {
  const volume = new SendVolume();
  volume.apply(rulesChanged(rules, START, 1));
  const all: string[] = [];
  for (let n = 0; n < messages; n++) all.push(...spoken(volume.apply(sent(START + n * pause, n + 2))));
  return all;
}
const spoken = (verdicts: readonly Verdict[]): readonly string[] =>
  verdicts.map(({ kind, evidence: { observed } }) => `${kind} ${observed}`);

describe('a sender that goes on after a rule has tripped', () => {
  test('gives a second verdict at five times the limit, although all of it is within one bucket of the window', () => {
    assert.deepEqual(flood(BLOCKS, 29), ['act 11']);
    const volume = new SendVolume();
    volume.apply(rulesChanged(BLOCKS, START, 1));
    const found = Array.from({ length: 99 }, (_, n) => volume.apply(sent(START + n * 500, n + 2))).flat();
    assert.deepEqual(spoken(found), ['act 11', 'beyond 50']);
    const { evidence, rule, subject } = found[1]!;
    assert.deepEqual([rule.id, subject.value], ['burst', 'alice@example.com']);
    assert.deepEqual([evidence.limit, evidence.lastPosition], [10, 51]);
    assert.equal(
      evidence.sentence,
      'Account alice@example.com: 50 messages within 1h; rule "burst" allows 10.',
    );
  });

  test('gives another one at each further five times, should the first have found too many blocked', () => {
    const kinds = flood(BLOCKS, 400, 100).filter((each) => each.startsWith('beyond'));
    assert.deepEqual(kinds.slice(0, 3), ['beyond 50', 'beyond 100', 'beyond 150']);
    assert.equal(new Set(kinds).size, kinds.length);
  });

  test('gives none if a rule only proposes, or the rules only observe', () => {
    for (const rules of [RULE('then: propose, for: 1h'), `version: 1\nmode: observe\nrules:\n${BLOCKS}`])
      assert.deepEqual(flood(rules, 99, 500), ['act 11']);
  });

  test('gives none while it stays below five times within the window, however long it goes on', () => {
    const kinds = flood(BLOCKS, 500, 90 * SECOND);
    assert.ok(kinds.length > 10);
    assert.deepEqual(
      kinds.filter((each) => each.startsWith('beyond')),
      [],
    );
  });

  test('leaves its largest messages out of that if the rule does', () => {
    const volume = new SendVolume();
    const rule =
      '  - { id: wide, per: account, count: recipients, leaveOut: 2, window: 10m, limit: 40, then: block, for: 1h }';
    volume.apply(rulesChanged(rule, START, 1));
    const found = [90, 90, 90, 90, 10, 10].flatMap((recipients, n) =>
      volume.apply(sent(START + n * SECOND, n + 2, { recipients })),
    );
    assert.deepEqual(spoken(found), ['act 90', 'beyond 200']);
  });

  test('is measured by the limit that was in force: tripled in the hour after a dismissal', () => {
    const volume = new SendVolume();
    volume.apply(rulesChanged(BLOCKS, START, 1));
    const subject: Subject = { type: 'account', value: 'alice@example.com' };
    volume.apply(
      blockEvent(
        {
          type: 'BlockProposed',
          data: {
            block: 'p1',
            subject,
            direction: 'outbound',
            description: '',
            refusal: 'soft',
            rule: 'burst',
            duration: HOUR,
            lapsesAt: START + HOUR,
            renewWhileTrying: false,
            evidence: EVIDENCE,
          },
        },
        START,
        2,
      ),
    );
    volume.apply(blockEvent({ type: 'ProposalDismissed', data: { block: 'p1' } }, START, 3));
    const found = Array.from({ length: 160 }, (_, n) => volume.apply(sent(START + n * 100, n + 4))).flat();
    assert.deepEqual(spoken(found), ['act 31', 'beyond 150']);
    assert.equal(found[1]!.evidence.limit, 30);
    assert.ok(found[1]!.evidence.firstPosition > 3, 'it rests on nothing that the person has judged');
  });

  test('is measured from the last block on: what that contained was its evidence', () => {
    const volume = new SendVolume();
    const rule =
      '  - { id: burst, per: account, count: recipients, window: 24h, limit: 50, then: block, for: 1h }';
    volume.apply(rulesChanged(rule, START, 1));
    let position = 1;
    const send = (at: Instant, recipients: number) =>
      spoken(volume.apply(sent(at, ++position, { recipients })));
    assert.deepEqual(send(START, 400), ['act 400']);
    const subject: Subject = { type: 'account', value: 'alice@example.com' };
    const evidence = { ...EVIDENCE, count: 'recipients', window: 24 * HOUR, limit: 50, observed: 400 };
    const block = {
      block: 'b1',
      subject,
      direction: 'outbound',
      description: '',
      refusal: 'soft',
      until: START + HOUR,
      origin: 'rule',
      rule: 'burst',
      evidence,
      renewWhileTrying: false,
    } as const;
    volume.apply(blockEvent({ type: 'BlockImposed', data: block }, START, ++position));
    const over = { type: 'BlockExpired', data: { block: 'b1', dueAt: START + HOUR } } as const;
    volume.apply(blockEvent(over, START + HOUR, ++position));
    const restored = new SendVolume();
    restored.restore(volume.dump());
    assert.deepEqual(restored.dump(), volume.dump());
    const found = [30, 30, 60, 60, 60, 60].map((recipients, n) => send(START + (2 + n) * HOUR, recipients));
    assert.deepEqual(found.flat(), ['act 60', 'act 60', 'act 60', 'act 60', 'act 300']);
  });

  test('may be a network that tries passwords', () => {
    const volume = new SendVolume();
    const rule =
      '  - { id: guessing, per: ip, count: authFailures, window: 10m, limit: 3, then: block, for: 1h }';
    volume.apply(rulesChanged(rule, START, 1));
    const found = Array.from({ length: 16 }, (_, n) => volume.apply(failed(START, n + 2))).flat();
    assert.deepEqual(spoken(found), ['act 4', 'beyond 15']);
  });
});

/** One sender, on which a rule acts while its circuit breaker is open. */
class Storm {
  now: Instant = START;
  readonly #volume = new SendVolume();
  readonly #subject: Subject;
  #standing: Standing = NOTHING_YET;
  #position = 1;

  constructor(rule: string, subject: Subject) {
    this.#subject = subject;
    this.#volume.apply(rulesChanged(`  - ${rule}`, START, this.#position++));
  }

  get isBlocked(): boolean {
    return activeBlock(this.#standing, this.now) !== undefined;
  }

  get proposal(): string | undefined {
    return pendingProposal(this.#standing, this.now)?.id;
  }

  /** Something happens after a while, and what it trips is done. */
  pass(after: Milliseconds, happens: (at: Instant, position: number) => RecordedEvent): this {
    this.now += after;
    for (const verdict of this.#volume.apply(happens(this.now, this.#position++))) {
      const { command } = respond(verdict, {
        now: this.now,
        breaker: { max: 20, window: 10 * MINUTE },
        exemptedBy: () => undefined,
        automaticBlocks: () => 20,
        pending: () => this.proposal,
        newId: () => `b${this.#position}`,
      });
      this.#decide(command, 'rule:it@1');
    }
    return this;
  }

  dismiss(): void {
    if (this.proposal !== undefined) this.#decide({ kind: 'dismiss', block: this.proposal }, 'admin:eve');
  }

  limit(): number {
    return this.#volume.readings(this.#subject, this.now)[0]!.limit;
  }

  #decide(command: BlockCommand, by: string): void {
    for (const fact of decide({ ...command, now: this.now }, this.#standing)) {
      const event = { ...blockEvent(fact, this.now, this.#position++), by } as RecordedEvent & BlockEvent;
      this.#volume.apply(event);
      this.#standing = evolve(this.#standing, event);
    }
  }
}

describe('while the circuit breaker is open, a sender', () => {
  const ALICE: Subject = { type: 'account', value: 'alice@example.com' };
  const BURST = '{ id: burst, per: account, count: recipients, window: 2m, limit: 50, then: block, for: 1h }';

  test('is blocked at five times its limit, although each of its messages alone is above the limit', () => {
    const storm = new Storm(BURST, ALICE);
    const send = (): Storm => storm.pass(4500, (at, position) => sent(at, position, { recipients: 60 }));
    for (let n = 0; n < 4; n++) assert.equal(send().isBlocked, false);
    assert.equal(send().isBlocked, true);
  });

  test('is blocked at five times its limit of failed logins, although they come in floods', () => {
    const network: Subject = { type: 'ip', value: '192.0.2.7' };
    const rule =
      '{ id: guessing, per: ip, count: authFailures, window: 15m, limit: 60, then: block, for: 1h }';
    const storm = new Storm(rule, network);
    const flood = (): Storm => storm.pass(20 * SECOND, (at, position) => failed(at, position, { count: 61 }));
    for (let n = 0; n < 4; n++) assert.equal(flood().isBlocked, false);
    assert.equal(flood().isBlocked, true);
  });

  test('is blocked by the next trip, if it was at five times its limit before', () => {
    const storm = new Storm(BURST, ALICE);
    const send = (recipients: number): Storm =>
      storm.pass(5 * SECOND, (at, position) => sent(at, position, { recipients }));
    send(51).dismiss();
    // Limits are three times as high for an hour, and the hour ends in the middle of this.
    storm.pass(HOUR - 20 * SECOND, (at, position) => sent(at, position, { recipients: 151 }));
    for (let n = 0; n < 3; n++) send(100);
    assert.equal(storm.isBlocked, false);
    send(1);
    assert.equal(storm.limit(), 50);
    assert.equal(send(51).isBlocked, true);
  });

  test('is blocked once the whole count of the window is five times its limit, whatever it sends and when, and never before', () => {
    const LIMIT = 50;
    const WINDOW = 2 * MINUTE;
    const counts = {
      recipients: (amount: number) => (at: Instant, position: number) =>
        sent(at, position, { recipients: amount }),
      bytes: (amount: number) => (at: Instant, position: number) => sent(at, position, { size: amount }),
      authFailures: (amount: number) => (at: Instant, position: number) =>
        failed(at, position, { count: amount }),
    };
    const step = fc.record({
      after: fc.oneof(fc.nat(SECOND), fc.nat(10 * SECOND), fc.nat(WINDOW)),
      amount: fc.oneof(
        { weight: 3, arbitrary: fc.integer({ min: 1, max: 20 }) },
        { weight: 3, arbitrary: fc.integer({ min: 30, max: 80 }) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 400 }) },
      ),
      // A person dismisses what is proposed: what came before counts no more.
      dismisses: fc.integer({ min: 0, max: 30 }).map((one) => one === 0),
    });
    let [blocked, above] = [0, 0];
    fc.assert(
      fc.property(
        fc.constantFrom('recipients', 'bytes', 'authFailures'),
        fc.array(step, { minLength: 10, maxLength: 60 }),
        (count, steps) => {
          const per = count === 'authFailures' ? 'ip' : 'account';
          const subject: Subject = per === 'ip' ? { type: 'ip', value: '192.0.2.7' } : ALICE;
          const rule = `{ id: it, per: ${per}, count: ${count}, window: 2m, limit: ${LIMIT}, then: block, for: 1h, lapse: 7d }`;
          const storm = new Storm(rule, subject);
          let past: { readonly at: Instant; readonly amount: number }[] = [];
          const within = (span: Milliseconds): number =>
            past.reduce((sum, { at, amount }) => (at > storm.now - span ? sum + amount : sum), 0);
          for (const { after, amount, dismisses } of steps) {
            storm.pass(after, counts[count](amount));
            past.push({ at: storm.now, amount });
            const ceiling = 5 * storm.limit();
            if (storm.isBlocked) {
              assert.ok(within(WINDOW) >= ceiling, `blocked at ${within(WINDOW)} of ${ceiling}`);
              if (within(WINDOW) - amount > LIMIT) blocked++;
              return;
            }
            // A window covers 59 of its 60 steps at least.
            const least = within((WINDOW * 59) / 60);
            assert.ok(least < ceiling, `not blocked at ${least} of ${ceiling}`);
            if (least > LIMIT) above++;
            if (!dismisses || storm.proposal === undefined) continue;
            storm.dismiss();
            past = [];
          }
        },
      ),
      { numRuns: 300 },
    );
    assert.ok(
      blocked > 50 && above > 500,
      `${blocked} blocked late, ${above} times above: too little is shown`,
    );
  });
});

describe('verdicts far beyond a limit', () => {
  const RULES = `${BLOCKS}
  - { id: wide, per: account, count: recipients, leaveOut: 1, window: 10m, limit: 12, then: block, for: 1h }
  - { id: size, per: domain, count: bytes, window: 20m, limit: 9kB, then: block, for: 5m }`;
  const history = fc.array(
    fc.record({
      after: fc.oneof(fc.nat(3 * SECOND), fc.nat(2 * MINUTE)),
      user: fc.nat(1),
      recipients: fc.integer({ min: 1, max: 9 }),
      skew: fc.oneof(fc.constant(0), fc.integer({ min: -MINUTE, max: MINUTE })),
    }),
    { minLength: 80, maxLength: 160 },
  );

  test('are the same in a replay and after a start from a snapshot anywhere', () => {
    let seen = 0;
    fc.assert(
      fc.property(history, fc.nat(160), (steps, cut) => {
        let now = START;
        const events: RecordedEvent[] = [
          rulesChanged(RULES, START, 1),
          ...steps.map(({ after, user, recipients, skew }, n) => {
            now += after;
            return sent(
              now + skew,
              n + 2,
              { recipients, account: `u${user}@example.com` },
              { recordedAt: now },
            );
          }),
        ];
        const whole = new SendVolume();
        const expected = events.map((event) => whole.apply(event));
        let volume = new SendVolume();
        const again = events.map((event, index) => {
          if (index === cut) {
            const state = structuredClone(volume.dump());
            volume = new SendVolume();
            volume.restore(state);
          }
          return volume.apply(event);
        });
        assert.deepEqual(again, expected);
        seen += expected.flat().filter(({ kind }) => kind === 'beyond').length;
      }),
      { numRuns: 40 },
    );
    assert.ok(seen > 60, `only ${seen} verdicts far beyond a limit: the histories show too little`);
  });
});
