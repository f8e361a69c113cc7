import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Outbreaks } from '../../../projections/volume/outbreak.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { OUTBREAK_MAX } from '../../../src/rules/model.js';
import { Watching } from '../../support/watching.js';

const START = Date.UTC(2026, 0, 1);
const OWN = { first: 1, observed: 3, limit: 2, untripled: 2, isKnownPlace: false };
const TERMS = { window: 30 * MINUTE, limit: 2, alarm: HOUR };
/** A minute of {@link START}; accounts are numbered. */
class Stage {
  readonly together = new Outbreaks();
  terms = TERMS;
  note(
    account: number,
    minute: number,
    key = 'rule example.com',
    isKnownPlace = false,
  ): readonly string[] | undefined {
    const at = START + minute * MINUTE;
    const turned = { account: `u${account}`, at, position: minute + 1, ...OWN, isKnownPlace };
    return this.together.note(key, turned, this.terms)?.accounts.map((each) => each.account);
  }
}

describe('accounts that turn together', () => {
  test('are acted upon once there are more than the limit, all of them', () => {
    const stage = new Stage();
    assert.equal(stage.note(1, 0), undefined);
    assert.equal(stage.note(2, 1), undefined);
    assert.equal(stage.note(2, 2), undefined, 'the same one again is none more');
    assert.deepEqual(stage.note(3, 3), ['u1', 'u2', 'u3']);
  });

  test('are looked at for what else must be so only when they are one more, however much each does', () => {
    const together = new Outbreaks();
    let asked = 0;
    const note = (account: number): unknown =>
      together.note('place', { account: `u${account}`, at: START, position: 1, ...OWN }, TERMS, () => {
        asked++;
        return asked > 2;
      });
    for (const account of [1, 2, 3, 3, 2, 1, 3]) assert.equal(note(account), undefined);
    assert.equal(asked, 1);
    assert.equal(note(4), undefined);
    assert.notEqual(note(5), undefined);
  });

  test('are those of one group: another rule, another domain', () => {
    const stage = new Stage();
    stage.note(1, 0);
    stage.note(2, 0);
    assert.equal(stage.note(3, 0, 'rule example.net'), undefined);
    assert.equal(stage.note(3, 0, 'other example.com'), undefined);
    assert.deepEqual(stage.note(3, 0), ['u1', 'u2', 'u3']);
  });

  test('are those that turned within the window', () => {
    const stage = new Stage();
    stage.note(1, 0);
    stage.note(2, 10);
    assert.equal(stage.note(3, 30), undefined, 'the first is out by a moment');
    assert.deepEqual(stage.note(4, 31), ['u2', 'u3', 'u4']);
    const again = new Stage();
    again.note(1, 0);
    again.note(2, 10);
    again.note(1, 20);
    assert.deepEqual(again.note(3, 49), undefined, 'the second is out');
    assert.deepEqual(again.note(4, 49), ['u1', 'u3', 'u4'], 'and who turned again is in');
  });

  test('are shown from the first message that each sent, though it turned with a later one', () => {
    const watching = new Watching(
      '  - { id: together, per: domain, count: accounts, window: 30m, limit: 2, then: block, for: 4h,\n' +
        '      turned: { count: messages, window: 30m, limit: { baseline: 1x, record: 1x, floor: 2 }, after: 1m } }\n',
    );
    watching.pass(HOUR);
    const verdicts = ['u1', 'u2', 'u3'].flatMap((name) => {
      const account = `${name}@example.com`;
      return Array.from({ length: 4 }, () =>
        watching.pass(MINUTE).send({ account, returnPath: account }),
      ).flat();
    });
    const positions = watching.log
      .filter(({ type }) => type === 'MessageAccepted')
      .map((each) => each.position);
    assert.deepEqual(
      verdicts.map(({ evidence }) => evidence.firstPosition <= positions[0]!),
      [true, true, true],
    );
  });

  test('say how many there were, and whether it was an alarm', () => {
    const { together } = new Stage();
    const note = (account: string, minute: number): ReturnType<Outbreaks['note']> =>
      together.note('k', { account, at: START + minute * MINUTE, position: 1, ...OWN }, TERMS);
    note('a', 0);
    note('b', 0);
    const found = note('c', 0)!;
    assert.deepEqual([found.count, found.alarmed], [3, false]);
    const alarmed = note('d', 1)!;
    assert.deepEqual([alarmed.count, alarmed.alarmed, alarmed.accounts.length], [1, true, 1]);
  });
});

describe('an alarm', () => {
  const alarmed = (): Stage => {
    const stage = new Stage();
    for (const account of [1, 2, 3]) stage.note(account, 0);
    return stage;
  };

  test('acts at once on each account that turns abnormal while it is on, and each prolongs it', () => {
    const stage = alarmed();
    assert.deepEqual(stage.note(4, 59), ['u4']);
    assert.deepEqual(stage.note(5, 118), ['u5']);
    assert.equal(stage.note(6, 178), undefined, 'an hour after the last');
    assert.equal(stage.note(7, 179), undefined);
    assert.deepEqual(stage.note(8, 180), ['u6', 'u7', 'u8']);
  });

  test('is not prolonged by an account that sends from where it was before', () => {
    const stage = alarmed();
    assert.deepEqual(stage.note(4, 50, undefined, true), ['u4']);
    assert.deepEqual(stage.note(5, 59, undefined, true), ['u5']);
    assert.equal(stage.note(6, 60), undefined, 'an hour after the last from elsewhere');
  });

  test('does not begin with accounts that all send from where they were before', () => {
    const stage = new Stage();
    for (const account of [1, 2]) stage.note(account, 0, undefined, true);
    assert.deepEqual(stage.note(3, 0, undefined, true), ['u1', 'u2', 'u3']);
    assert.equal(stage.note(4, 1), undefined);
    // With one from elsewhere among them it does.
    stage.note(5, 1, undefined, true);
    assert.deepEqual(stage.note(6, 1, undefined, true), ['u4', 'u5', 'u6']);
    assert.deepEqual(stage.note(7, 2), ['u7']);
  });

  test('is over when so many turn out to be innocent, or so many more are allowed, that they would have begun none', () => {
    const stage = alarmed();
    assert.deepEqual(stage.note(4, 1), ['u4']);
    stage.together.forget('u1', true);
    stage.together.forget('u9', true);
    assert.deepEqual(stage.note(5, 2), ['u5'], 'four are left');
    for (const account of ['u2', 'u3']) stage.together.forget(account, true);
    for (const account of ['u4', 'u5']) stage.together.forget(account);
    stage.terms = { ...TERMS, limit: 1 };
    assert.deepEqual(stage.note(6, 3), ['u6'], 'a release alone calls nobody innocent');
    stage.terms = { ...TERMS, limit: 4 };
    assert.equal(stage.note(7, 4), undefined, 'the three and this one are no more than the limit');
    const at = START + 4 * MINUTE;
    const isOn = (limit: number): boolean =>
      stage.together.standing('rule example.com', { window: TERMS.window, limit }, at).alarmUntil !==
      undefined;
    assert.deepEqual([isOn(2), isOn(3)], [true, false]);
  });

  test('goes on with the next one where only some of its accounts turn out to be innocent', () => {
    const stage = alarmed();
    stage.together.forget('u1', true);
    assert.deepEqual(stage.note(4, 1), ['u4'], 'two are left, and this is one too many');
    assert.deepEqual(stage.note(5, 2), ['u5']);
  });

  test('counts each account once, also one that was released and does it again', () => {
    const stage = alarmed();
    stage.together.forget('u1', true);
    stage.together.forget('u2');
    assert.equal(stage.note(2, 1), undefined, 'two are left, and this is one of them');
    assert.deepEqual(stage.note(4, 2), ['u2', 'u4']);
  });

  test('that is over comes back by no accounts that send from where they were before', () => {
    const stage = alarmed();
    for (const account of ['u1', 'u2', 'u3']) stage.together.forget(account, true);
    for (const account of [4, 5]) assert.equal(stage.note(account, 1, undefined, true), undefined);
    assert.deepEqual(stage.note(6, 1, undefined, true), ['u4', 'u5', 'u6']);
    assert.equal(stage.note(7, 2, undefined, true), undefined);
  });

  test('takes nobody for what was done long before it, and those who did it long apart are not together', () => {
    const stage = alarmed();
    assert.equal(stage.note(4, -31), undefined, 'the alarm began later');
    assert.deepEqual(stage.note(5, -29), ['u5'], 'it was under way');
    const apart = new Stage();
    for (const account of [1, 2]) apart.note(account, 100);
    assert.equal(apart.note(3, 0), undefined);
    assert.deepEqual(apart.note(4, 101), ['u1', 'u2', 'u4']);
  });

  test('tells how many had begun it, whatever is allowed by now', () => {
    const stage = alarmed();
    const at = START + MINUTE;
    const found = stage.together.note(
      'rule example.com',
      { account: 'u4', at, position: 9, ...OWN },
      { ...TERMS, limit: 1 },
    );
    assert.deepEqual([found?.alarmed, found?.begun], [true, 3]);
  });

  test('is not shortened by what comes late', () => {
    const stage = alarmed();
    assert.deepEqual(stage.note(4, 50), ['u4']);
    assert.deepEqual(stage.note(5, 1), ['u5']);
    assert.deepEqual(stage.note(6, 109), ['u6']);
  });

  test('does not name an account twice', () => {
    const stage = alarmed();
    assert.deepEqual(stage.note(1, 1), ['u1'], 'unless they turn again');
  });
});

describe('an account that is forgotten', () => {
  test('has not turned', () => {
    const stage = new Stage();
    stage.note(1, 0);
    stage.note(2, 0);
    stage.together.forget('u1');
    stage.together.forget('nobody');
    assert.equal(stage.note(3, 1), undefined);
    assert.deepEqual(stage.note(4, 1), ['u2', 'u3', 'u4']);
  });
});

describe('memory', () => {
  test('is bounded in a group', () => {
    const stage = new Stage();
    stage.terms = { ...TERMS, limit: OUTBREAK_MAX - 1 };
    for (let account = 0; account < OUTBREAK_MAX - 1; account++)
      assert.equal(stage.note(account, 0), undefined);
    assert.equal(stage.note(OUTBREAK_MAX, 0)?.length, OUTBREAK_MAX);
    stage.terms = { ...TERMS, limit: 10 * OUTBREAK_MAX, alarm: 0 };
    for (let account = 0; account < 2 * OUTBREAK_MAX; account++) stage.note(account, 1000);
    assert.equal(stage.together.dump()[0]!.accounts.length, OUTBREAK_MAX);
  });

  test('is bounded in groups: those in which nothing happens are dropped', () => {
    const stage = new Stage();
    for (let group = 0; group < 5_000; group++) stage.note(1, group, `rule d${group}.example`);
    assert.ok(stage.together.dump().length <= 1_100, String(stage.together.dump().length));
    // An alarm keeps its group.
    const alarmed = new Stage();
    for (const account of [1, 2, 3]) alarmed.note(account, 0);
    for (let group = 0; group < 1_000; group++) alarmed.note(1, 59, `rule d${group}.example`);
    assert.deepEqual(alarmed.note(4, 59), ['u4']);
  });
});

describe('a dump', () => {
  test('goes on as what it was taken from, and later changes of that do not matter', () => {
    const step = fc.record({ account: fc.nat(6), pause: fc.nat(20), key: fc.nat(1), forget: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), (steps, cut) => {
        const play = (stage: Stage, part: typeof steps, first: number): unknown[] => {
          let minute = first;
          return part.map(({ account, pause, key, forget }) => {
            minute += pause;
            if (forget && account === 0) stage.together.forget(`u${minute % 7}`);
            return stage.note(account, minute, `rule d${key}.example`);
          });
        };
        const [whole, cutOff, restored] = [new Stage(), new Stage(), new Stage()];
        const all = play(whole, steps, 0);
        const first = play(cutOff, steps.slice(0, cut), 0);
        const dump = cutOff.together.dump();
        const copy = structuredClone(dump);
        play(cutOff, steps, 1000);
        assert.deepEqual(dump, copy);
        restored.note(9, 0);
        restored.together.restore(dump);
        const minute = steps.slice(0, cut).reduce((sum, { pause }) => sum + pause, 0);
        assert.deepEqual([...first, ...play(restored, steps.slice(cut), minute)], all);
      }),
    );
  });
});
