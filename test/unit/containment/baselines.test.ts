import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import type { BlockFact } from '../../../src/blocks/events.js';
import { BaselineProjector, ReadModels } from '../../../src/detector/read-models.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR } from '../../../src/kernel/time.js';
import { BASELINES_ONLY, DECISIONS_ONLY } from '../../../src/detector/projector.js';
import { categoryOf } from '../../../src/kernel/events.js';
import { LocalContainment } from '../../../src/detector/containment.js';
import { dayOf, profileStream } from '../../../src/sending/day-summary.js';
import type { Day, SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { senderIdentity } from '../../../src/sending/subjects.js';
import { summary } from '../../support/days.js';
import { ManualClock } from '../../support/manual-clock.js';
import { account, overrideSet } from '../../support/overrides.js';
import { blockEvent, event, rulesChanged, sent } from '../../support/sends.js';

const RULES = `  - id: hour
    per: account
    count: messages
    window: 1h
    limit: { baseline: 2x, record: 2x, floor: 5, start: 8 }
    then: block
    for: 1h
  - { id: many, per: account, count: recipients, window: 1h, limit: 500, then: block, for: 1h }`;
const NEWS = 'news@example.com';
const THIEF = 'thief@example.com';
const WEEKS = 7;

let clock: ManualClock;
let models: ReadModels;
let feed: BaselineProjector;
let containment: LocalContainment;
/** Whether the feed has caught up. */
let caughtUp: boolean;
let skipped: string[];
let position: number;

beforeEach(() => {
  clock = new ManualClock();
  caughtUp = true;
  position = 0;
  skipped = [];
  models = new ReadModels({
    onVerdict: () => undefined,
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: ({ type }, reason) => assert.fail(`${type}: ${reason}`),
    onFolded: (each) => containment.follow(each),
  });
  feed = new BaselineProjector({
    onSummarised: (each) => containment.follow(each),
    onSkipped: (_event, reason) => skipped.push(reason),
  });
  containment = new LocalContainment({
    models,
    clock,
    log: pino({ level: 'silent' }),
    away: () => true,
    baselines: () => (caughtUp ? feed.baselines : undefined),
  });
});

/** Stored, and then folded by either feed that wants it. */
function store(stored: RecordedEvent): void {
  const category = categoryOf(stored.stream);
  if (DECISIONS_ONLY.includes(category)) models.apply(stored);
  if (BASELINES_ONLY.includes(category)) feed.apply(stored);
}

const today = (): Day => dayOf(clock.now());

function summarise(day: Day, more: Partial<SenderDaySummarised> = {}, at = (day + 1) * DAY + HOUR): void {
  const data = summary(day, { subject: account(NEWS), messages: 40, ...more });
  store(event('SenderDaySummarised', data, at, ++position, { stream: profileStream(data.subject) }));
}

function use(rules: string, at = clock.now()): void {
  store(rulesChanged(rules, at, ++position, position));
}

/** The newsletter went out every day, to `peak` messages in its busiest hour. */
function usually(peak: number, days = 7 * WEEKS): void {
  for (let day = today() - days; day < today(); day++) summarise(day, { peaks: { 'messages/1h': peak } });
}

/** An installation of two months, in which the newsletter is known. */
function known(peak = 40): void {
  use(RULES, clock.now() - 60 * DAY);
  usually(peak);
}

function send(messages: number, from: string, recipients = 1): void {
  for (let n = 0; n < messages; n++) {
    containment.saw(`send-${from}`, [
      sent(clock.now(), 0, { recipients, account: from, returnPath: from, transaction: `t${n}` }),
    ]);
  }
}

const record = (fact: BlockFact): void => store(blockEvent(fact, clock.now(), ++position));

const refused = (from: string): boolean =>
  models.activeBlocks.find(senderIdentity({ account: from, direction: 'outbound' }), clock.now()) !==
  undefined;

describe('a node that is cut off from the store', () => {
  test('takes the usual mail of a known sender, and refuses the same from an unknown one', () => {
    known();
    send(80, NEWS);
    assert.equal(refused(NEWS), false);
    send(8, THIEF);
    assert.equal(refused(THIEF), false, 'as much as anybody may send who is being learnt');
    send(1, THIEF);
    assert.equal(refused(THIEF), true);
    send(1, NEWS);
    assert.equal(refused(NEWS), true, 'more than twice of what is usual');
  });

  test('holds a sender that is known to write little to the lower limit', () => {
    known(1);
    send(5, NEWS);
    assert.equal(refused(NEWS), false);
    send(1, NEWS);
    assert.equal(refused(NEWS), true);
  });

  test('does not learn from what it takes meanwhile, however long that lasts', () => {
    known();
    for (let day = 0; day < 3; day++) {
      send(79, NEWS);
      clock.advance(DAY);
    }
    send(80, NEWS);
    assert.equal(refused(NEWS), false);
    send(1, NEWS);
    assert.equal(refused(NEWS), true);
  });

  test('multiplies what is usual by what was bought', () => {
    known();
    store(overrideSet(account(NEWS), { factor: 2 }, clock.now(), ++position));
    send(160, NEWS);
    assert.equal(refused(NEWS), false);
    send(1, NEWS);
    assert.equal(refused(NEWS), true);
  });

  test('knows what a false positive has taught', () => {
    known();
    const since = position;
    const evidence = {
      rule: 'hour',
      version: 1,
      count: 'messages' as const,
      window: HOUR,
      limit: 80,
      observed: 81,
      firstPosition: since,
      lastPosition: since,
      lastAt: clock.now(),
      sentence: '',
    };
    const about = { block: 'b1', subject: account(NEWS) };
    record({
      type: 'BlockImposed',
      data: {
        ...about,
        direction: 'outbound',
        until: clock.now() + HOUR,
        description: '',
        refusal: 'soft',
        origin: 'rule',
        rule: 'hour',
        evidence,
        renewWhileTrying: false,
      },
    });
    record({ type: 'BlockReleased', data: { ...about, falsePositive: true, evidence } });
    clock.advance(2 * HOUR);
    send(2 * 2 * 81, NEWS);
    assert.equal(refused(NEWS), false);
    send(1, NEWS);
    assert.equal(refused(NEWS), true);
  });

  test('only proposes, which is nothing here, by a window that rules did not look at before', () => {
    known();
    use(RULES.replace('window: 1h', 'window: 30m'));
    send(60, NEWS);
    send(60, THIEF);
    assert.deepEqual([refused(NEWS), refused(THIEF)], [false, false]);
    send(1, THIEF, 501);
    assert.equal(refused(THIEF), true, 'fixed limits hold');
  });

  test('only proposes while the installation is young, as the detectors do', () => {
    use(RULES, clock.now() - 5 * DAY);
    send(60, THIEF);
    assert.equal(refused(THIEF), false);
  });

  test('is as old as imported history is', () => {
    use(RULES);
    usually(40);
    send(9, THIEF);
    assert.equal(refused(THIEF), true);
    send(80, NEWS);
    assert.equal(refused(NEWS), false);
  });
});

test('a node folds a decision once: its feed of baselines, which lags, brings no old rules back', () => {
  const fixed = (limit: number): string =>
    `  - { id: burst, per: account, count: messages, window: 10m, limit: ${limit}, then: block, for: 1h }`;
  const changes = [100, 3].map((limit, index) =>
    rulesChanged(fixed(limit), clock.now(), ++position, index + 1),
  );
  for (const change of changes) models.apply(change);
  feed.apply(changes[0]!);
  send(4, THIEF);
  assert.equal(refused(THIEF), true);
});

describe('a node that has not caught up with what is usual', () => {
  beforeEach(() => (caughtUp = false));

  test('knows nobody: rules that follow baselines refuse nobody, fixed limits do', () => {
    known();
    send(300, NEWS);
    send(300, THIEF);
    assert.deepEqual([refused(NEWS), refused(THIEF)], [false, false]);
    send(201, THIEF);
    assert.equal(refused(THIEF), true);
  });

  test('goes by what is usual as soon as it has', () => {
    known();
    send(5, NEWS);
    send(5, THIEF);
    caughtUp = true;
    send(70, NEWS);
    send(4, THIEF);
    assert.deepEqual([refused(NEWS), refused(THIEF)], [false, true]);
  });

  test('knows as much after a start from a snapshot', () => {
    known();
    const [snapshot, baselines] = [models.dump(), feed.dump()];
    models.restore(snapshot);
    feed.restore(baselines);
    containment.adopt();
    send(60, NEWS);
    send(60, THIEF);
    assert.deepEqual([refused(NEWS), refused(THIEF)], [false, false], 'not caught up yet');
    clock.advance(2 * HOUR);
    caughtUp = true;
    send(80, NEWS);
    send(9, THIEF);
    assert.deepEqual([refused(NEWS), refused(THIEF)], [false, true]);
  });
});

describe('a process that folds sends itself', () => {
  beforeEach(() => {
    containment = new LocalContainment({
      models,
      clock,
      log: pino({ level: 'silent' }),
      away: () => true,
      baselines: () => models.sendVolume.profiles.baselines,
    });
  });

  /** As a detector does. */
  function foldAll(): void {
    models.apply(rulesChanged(RULES, clock.now() - 60 * DAY, ++position));
    for (let day = today() - 49; day < today(); day++) {
      const data = summary(day, { subject: account(NEWS), peaks: { 'messages/1h': 40 } });
      models.apply(event('SenderDaySummarised', data, clock.now(), ++position, { stream: 'profile-x' }));
    }
  }

  test('goes by the baselines of its read models, and counts what it takes once in each', () => {
    foldAll();
    for (let n = 0; n < 40; n++) {
      send(1, NEWS);
      models.apply(sent(clock.now(), ++position, { account: NEWS, returnPath: NEWS }));
    }
    send(40, NEWS);
    assert.equal(refused(NEWS), false);
    send(1, NEWS);
    assert.equal(refused(NEWS), true);
    send(9, THIEF);
    assert.equal(refused(THIEF), true);
    const [open] = models.sendVolume.profiles.open('account', NEWS);
    assert.equal(open!.messages, 40);
  });

  test('also after a start from a snapshot', () => {
    foldAll();
    models.restore(models.dump());
    containment.adopt();
    send(80, NEWS);
    send(9, THIEF);
    assert.deepEqual([refused(NEWS), refused(THIEF)], [false, true]);
  });
});

describe('the days that a node has noted of the senders that it saw', () => {
  test('go with their summaries', () => {
    known();
    for (let day = 0; day < 50; day++) {
      send(1, NEWS);
      clock.advance(DAY);
      summarise(today() - 1, { peaks: { 'messages/1h': 1 } });
    }
    assert.equal(containment.days, 0);
    for (let day = 0; day < 50; day++) {
      send(1, THIEF);
      clock.advance(DAY);
    }
    assert.equal(containment.days, 1);
  });

  test('are not written down by anybody', () => {
    known();
    send(3, NEWS);
    clock.advance(2 * DAY);
    assert.equal([...models.sendVolume.profiles.due(today())].length, 0);
    assert.equal(feed.baselines.size, 1);
  });
});

describe('the content of the store', () => {
  test('and is no summary is passed over and told, once', () => {
    known();
    summarise(today() + 5, {}, clock.now());
    store(event('SenderDaySummarised', { day: 7 }, clock.now(), ++position, { stream: 'profile-x' }));
    store(event('Unheard', {}, clock.now(), ++position, { stream: 'profile-x' }));
    // The read models tell of a decision that nobody can read.
    feed.apply(event('Unheard', {}, clock.now(), ++position, { stream: 'block-x' }));
    assert.equal(skipped.length, 3);
    assert.match(skipped[0]!, /future/);
    send(80, NEWS);
    assert.equal(refused(NEWS), false);
  });

  test('twice, under one id, is folded once', () => {
    known();
    const again = summary(today() - 1, { subject: account(NEWS), messages: 1 });
    const stored = event('SenderDaySummarised', again, clock.now(), ++position, { stream: 'profile-x' });
    feed.apply(stored);
    const before = feed.baselines.version;
    feed.apply({ ...stored, position: ++position });
    feed.apply(stored);
    assert.equal(feed.baselines.version, before);
    assert.equal(feed.position, position);
  });
});
