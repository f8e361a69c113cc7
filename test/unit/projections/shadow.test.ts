import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ComparedCase, Tally } from '../../../projections/blocks/shadow.js';
import { comparisonOf } from '../../../projections/blocks/shadow.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { RulesChanged } from '../../../src/rules/model.js';
import type { Verdict } from '../../../src/rules/respond.js';
import type { BlockFact } from '../../../src/blocks/events.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { ALICE } from '../../support/given.js';
import { START, folding, histories, logOf } from '../../support/history.js';
import { blockEvent, event, rulesChanged, sent, shadowChanged } from '../../support/sends.js';
import { imposed, released } from '../blocks/facts.js';

/** A rule over ten minutes that blocks for an hour. */
const burst = (limit: number, more = ''): string =>
  `  - { id: burst, per: account, count: recipients, window: 10m, limit: ${limit}, then: block, for: 1h${more} }`;
const day = (limit: number): string =>
  `  - { id: day, per: account, count: recipients, window: 24h, limit: ${limit}, then: propose, for: 1h }`;

/** Read models to which things happen, one after the other. */
class Stage {
  readonly #folding = folding();
  #now = START;
  #position = 0;

  get models() {
    return this.#folding.models;
  }
  get verdicts(): readonly Verdict[] {
    return this.#folding.verdicts;
  }

  rules(source: string, version = 1): this {
    return this.#fold(rulesChanged(source, this.#now, ++this.#position, version));
  }
  shadow(source: string, version = 1): this {
    return this.#fold({ ...shadowChanged(source, this.#now, ++this.#position, version), by: 'admin:carol' });
  }
  happens(type: string, data: unknown): this {
    return this.#fold(event(type, data, this.#now, ++this.#position));
  }
  block(fact: BlockFact): this {
    return this.#fold(blockEvent(fact, this.#now, ++this.#position));
  }
  send(recipients: number, account = 'alice@example.com'): this {
    const sender = { account, returnPath: account, ip: '198.51.100.7' };
    return this.#fold(sent(this.#now, ++this.#position, { ...sender, recipients }));
  }
  wait(span: number): this {
    this.#now += span;
    return this;
  }
  #fold(recorded: RecordedEvent): this {
    this.models.apply(recorded);
    return this;
  }

  /** How the cases that are no agreement stand, newest first. */
  differences(): readonly string[] {
    const comparison = this.models.shadow.comparison!;
    return comparison.differences().map((each) => {
      const { evidence } = each.shadow ?? each.live!;
      return `${comparisonOf(each)} ${evidence.rule} ${each.subject.value}${comparison.isOpen(each) ? ' (open)' : ''}`;
    });
  }
  tally(rule = 'burst') {
    const tally: Partial<Tally> = this.models.shadow.comparison!.tallies().get(rule) ?? {};
    return Object.fromEntries(Object.entries(tally).filter(([, count]) => count > 0));
  }
}

const stage = (live: string, shadow: string): Stage => new Stage().rules(live).shadow(shadow);

describe('shadow rules', () => {
  test('are none until some are loaded, and say since when and who loaded them', () => {
    const none = new Stage().rules(burst(100)).send(101);
    assert.deepEqual(
      [
        none.models.shadow.set,
        none.models.shadow.rules,
        none.models.shadow.comparison,
        none.models.shadow.dump(),
      ],
      [undefined, undefined, undefined, undefined],
    );
    const { set, rules } = none.wait(5).shadow(burst(50), 3).models.shadow;
    assert.deepEqual([set?.version, set?.since, set?.by], [3, START + 5, 'admin:carol']);
    assert.equal(rules?.rules[0]?.limit, 50);
  });

  test('act on nothing: no verdict of theirs comes out', () => {
    const quiet = stage(burst(1000), burst(50)).send(51);
    assert.deepEqual(quiet.verdicts, []);
    assert.equal(quiet.models.sendVolume.rules.rules[0]?.limit, 1000);
  });

  test('that would have blocked are a difference, which counts once the block would be over', () => {
    const seen = stage(burst(100), burst(50)).send(60);
    assert.deepEqual(seen.differences(), ['shadowOnly burst alice@example.com (open)']);
    assert.deepEqual(seen.tally(), {});
    const [open] = seen.models.shadow.comparison!.differences();
    assert.match(open!.shadow!.evidence.sentence, /60 recipients within 10m; rule "burst" allows 50/);
    assert.deepEqual(
      [open!.nearest?.rule, open!.nearest?.observed, open!.nearest?.limit],
      ['burst', 60, 100],
    );
    seen.wait(HOUR - 1).send(1, 'bob@example.com');
    assert.deepEqual(seen.tally(), {});
    seen.wait(1).send(1, 'bob@example.com');
    assert.deepEqual(seen.tally(), { shadowOnly: 1 });
    assert.deepEqual(seen.differences(), ['shadowOnly burst alice@example.com']);
  });

  test('that would not have blocked are one too, and it says how far they were from it', () => {
    const seen = stage(burst(50), burst(200)).send(60);
    assert.deepEqual(seen.differences(), ['liveOnly burst alice@example.com (open)']);
    const [{ live, shadow, nearest }] = seen.models.shadow.comparison!.differences() as [never];
    assert.deepEqual([(live as { action: string }).action, shadow], ['block', undefined]);
    assert.equal((nearest as { limit: number }).limit, 200);
    assert.deepEqual(seen.wait(HOUR).send(1, 'bob@example.com').tally(), { liveOnly: 1 });
  });

  test('are compared with the nearest rule that applies to the sender and goes by what it does alone', () => {
    const others =
      '\n  - { id: known, per: account, count: recipients, window: 10m, limit: 60, when: { learning: false }, then: block, for: 1h }\n' +
      '  - { id: all, per: domain, count: accounts, window: 10m, limit: 9, turned: { count: recipients, window: 10m, limit: { baseline: 1x, floor: 1 }, after: 1m }, then: block, for: 1h }\n';
    const [open] = stage(burst(100) + others, burst(50))
      .wait(HOUR)
      .send(60)
      .models.shadow.comparison!.differences();
    assert.deepEqual([open!.nearest?.rule, open!.nearest?.limit], ['burst', 100]);
  });

  test('agree where both come to the same while the first would hold, in whichever order', () => {
    for (const [live, shadow] of [
      [100, 50],
      [50, 100],
    ] as const) {
      const seen = stage(burst(live), burst(shadow)).send(60).wait(MINUTE).send(60);
      assert.deepEqual(seen.differences(), []);
      assert.equal(seen.models.shadow.comparison!.open, 1);
      assert.deepEqual(seen.wait(HOUR).send(1, 'bob@example.com').tally(), { both: 1 });
      assert.equal(seen.models.shadow.comparison!.open, 0);
    }
  });

  test('that come to it only after the first would be over are two cases', () => {
    const seen = stage(burst(100), burst(50))
      .send(60)
      .wait(HOUR)
      .send(101)
      .wait(DAY)
      .send(1, 'bob@example.com');
    assert.deepEqual(seen.tally(), { shadowOnly: 1, both: 1 });
  });

  test('count further trips while the first would hold as the same case', () => {
    const seen = stage(burst(1000), burst(50));
    for (let index = 0; index < 5; index++) seen.send(60).wait(11 * MINUTE);
    assert.deepEqual(seen.wait(HOUR).send(1, 'bob@example.com').tally(), { shadowOnly: 1 });
  });

  test('of another strength are told: what was proposed would be blocked, and the other way round', () => {
    const proposing = burst(50).replace('block', 'propose');
    const stronger = stage(proposing, burst(50)).send(60);
    assert.deepEqual(stronger.differences(), ['stronger burst alice@example.com (open)']);
    assert.deepEqual(stronger.wait(DAY).send(1, 'bob@example.com').tally(), { stronger: 1 });
    const weaker = stage(burst(50), proposing).send(60);
    assert.deepEqual(weaker.wait(DAY).send(1, 'bob@example.com').tally(), { weaker: 1 });
    const later = stage(burst(50), `${proposing}\n${burst(100).replace('burst', 'flood')}`);
    later.send(60).wait(MINUTE).send(60).wait(DAY).send(1, 'bob@example.com');
    assert.deepEqual(later.tally('flood'), { both: 1 }, 'a case counts for the strongest of its verdicts');
  });

  test('that only observe ask for nothing, as a rule, as a whole, or if the live ones do', () => {
    const observing = `version: 1\nmode: observe\nrules:\n${burst(50)}`;
    assert.deepEqual(
      stage(burst(100), burst(50).replace('block, for: 1h', 'observe')).send(60).differences(),
      [],
    );
    assert.deepEqual(stage(burst(100), observing).send(60).differences(), []);
    assert.deepEqual(stage(observing, burst(50)).send(60).differences(), [
      'shadowOnly burst alice@example.com (open)',
    ]);
  });

  test('of which none may block propose', () => {
    const never = `version: 1\nmaxAutomaticBlocks: 0 in 10m\nrules:\n${burst(50)}`;
    assert.deepEqual(stage(burst(50), never).send(60).differences(), [
      'weaker burst alice@example.com (open)',
    ]);
  });

  test('spare the subjects that they exempt, and those that people have exempted before or since', () => {
    const exempt = 'exempt: [{ subject: { type: account, value: alice@example.com }, reason: list }]';
    const listed = stage(burst(50), `version: 1\nrules:\n${burst(50)}\n${exempt}`).send(60);
    assert.deepEqual(listed.differences(), ['liveOnly burst alice@example.com (open)']);
    const [{ exempt: why, nearest }] = listed.models.shadow.comparison!.differences() as [ComparedCase];
    assert.deepEqual([why, nearest], ['list', undefined], 'no window says why they spare it');
    const grant = (subject: Subject): BlockFact => ({
      type: 'ExemptionGranted',
      data: { exemption: subject.value, subject, until: null, reason: 'known' },
    });
    const before = new Stage().rules(burst(100)).block(grant(ALICE)).shadow(burst(50)).send(60);
    assert.deepEqual(before.differences(), []);
    assert.deepEqual(stage(burst(100), burst(50)).block(grant(ALICE)).send(60).differences(), []);
    assert.deepEqual(stage(burst(100), burst(50)).send(60, 'postmaster@example.com').differences(), []);
  });

  test('begin with the windows that the rules in force have counted, and forget what people judge', () => {
    const warm = new Stage().rules(burst(100)).send(60).shadow(burst(50)).send(1);
    assert.deepEqual(warm.differences(), ['shadowOnly burst alice@example.com (open)']);
    const cold = new Stage().rules(burst(100)).send(60).shadow(day(60)).send(1);
    assert.deepEqual(cold.differences(), [], 'a window that no live rule had begins now');
    const judged = new Stage()
      .rules(burst(100))
      .block(imposed({ block: 'b1' }))
      .shadow(burst(50))
      .send(40);
    judged.block(released()).send(40);
    assert.deepEqual(judged.differences(), [], 'a block from before the shadow rules is released');
  });

  test('go on with their own windows if they are replaced', () => {
    const seen = stage(burst(100), day(1000)).send(60).shadow(day(60), 2).send(1);
    assert.deepEqual(seen.differences(), ['shadowOnly day alice@example.com (open)']);
  });

  test('begin to compare again if they are replaced', () => {
    const seen = stage(burst(100), burst(50)).send(60).shadow(burst(70), 2);
    assert.deepEqual(seen.differences(), []);
    assert.equal(seen.models.shadow.set?.version, 2);
  });

  test('go on beside other rules that come into force', () => {
    const seen = stage(burst(1000), burst(50)).rules(burst(55), 2).send(60);
    assert.deepEqual(seen.differences(), []);
    assert.equal(seen.models.shadow.set?.version, 1);
    assert.equal(seen.models.shadow.comparison!.open, 1);
  });

  test('are removed by their version only', () => {
    const kept = stage(burst(100), burst(50)).happens('ShadowRulesRemoved', { version: 7 });
    assert.equal(kept.models.shadow.set?.version, 1);
    kept.happens('ShadowRulesRemoved', { version: 1 });
    assert.equal(kept.models.shadow.set, undefined);
    assert.equal(kept.models.shadow.dump(), undefined);
  });

  test('that cannot be used are skipped, and those before them stay', () => {
    const kept = stage(burst(100), burst(50));
    kept.happens('ShadowRulesChanged', { version: 2, source: '', rules: { rules: [], exempt: [7] } });
    kept.happens('ShadowRulesChanged', { version: 2, source: '', rules: 7 });
    assert.equal(kept.models.shadow.set?.version, 1);
    assert.deepEqual(kept.send(101).verdicts.length, 1, 'the live rules go on');
  });

  test('settle all cases if the store’s clock is set back', () => {
    const seen = stage(burst(100), burst(50)).wait(DAY).send(60).wait(-HOUR).send(1, 'bob@example.com');
    assert.deepEqual(seen.tally(), { shadowOnly: 1 });
    assert.equal(seen.models.shadow.comparison!.open, 0);
  });
});

describe('promoted shadow rules', () => {
  const promote = (seen: Stage): Stage => seen.happens('ShadowRulesPromoted', { version: 1 });

  test('are in force, with the windows that they alone have counted', () => {
    const source = `${burst(100)}\n${day(70)}`;
    const seen = promote(stage(burst(100), source).send(60))
      .rules(source, 2)
      .send(11);
    assert.deepEqual(
      seen.verdicts.map(({ rule, evidence }) => [rule.id, evidence.version, evidence.observed]),
      [['day', 2, 71]],
    );
    assert.equal(seen.models.shadow.set, undefined);
    assert.equal(seen.models.sendVolume.rules.version, 2);
  });

  test('take the exemptions of their own list along', () => {
    const list = 'exempt: [{ subject: { type: account, value: alice@example.com }, reason: list }]';
    const source = `version: 1\nrules:\n${burst(50)}\n${list}`;
    const seen = promote(stage(burst(100), source)).rules(source, 2);
    assert.equal(seen.models.exemptions.covering(ALICE, START)?.reason, 'list');
  });

  test('are not yet in force between the two events, and of another version never', () => {
    const between = promote(stage(burst(100), burst(50))).send(60);
    assert.deepEqual(between.verdicts, []);
    assert.equal(between.models.shadow.set?.version, 1);
    const other = stage(burst(100), day(60)).happens('ShadowRulesPromoted', { version: 9 }).send(60);
    other.rules(day(60), 2).send(1);
    assert.deepEqual(other.verdicts, [], 'the windows in force are those of the rules in force');
    assert.equal(other.models.shadow.set?.version, 1);
  });

  test('stay in the shadow if the rules that should follow cannot be used', () => {
    const seen = promote(stage(burst(100), burst(50))).happens('RulesChanged', { version: 2, rules: 7 });
    assert.equal(seen.models.sendVolume.rules.version, 1);
    assert.equal(seen.send(101).verdicts[0]?.evidence.limit, 100);
  });
});

describe('a copy of the rules in force in the shadow', () => {
  test('never differs, after any events and at any time of loading', () => {
    let agreed = 0;
    fc.assert(
      fc.property(histories, fc.double({ min: 0, max: 1, noNaN: true }), (history, where) => {
        const log = logOf(history.filter(([, { kind }]) => kind !== 'rules' && kind !== 'shadow'));
        const at = 1 + Math.floor(where ** 3 * (log.length - 1));
        const { models } = folding();
        log.forEach((each, index) => {
          const position = 2 * each.position;
          if (index === at) {
            const { source } = log[0]!.data as RulesChanged;
            models.apply(shadowChanged(source, log[index - 1]!.recordedAt, position - 1));
          }
          models.apply({ ...each, position });
        });
        const { comparison } = models.shadow;
        assert.deepEqual(comparison?.differences() ?? [], []);
        const tallies = [...(comparison?.tallies().values() ?? [])];
        agreed += tallies.reduce((sum, { both }) => sum + both, comparison?.open ?? 0);
      }),
      { numRuns: 36 },
    );
    assert.ok(agreed > 40, `only ${agreed} agreements`);
  });
});
