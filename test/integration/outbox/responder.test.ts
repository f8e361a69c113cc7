import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import { BlockCommandHandler } from '../../../src/commands/block-commands.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { Responder } from '../../../src/detector/responder.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { parseRules } from '../../../src/rules/parse.js';
import { senderIdentity } from '../../../src/sending/subjects.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { settle, Tally } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Figures } from '../../support/metrics.js';
import { sent } from '../../support/sends.js';
import { eventually } from '../../support/smtp/eventually.js';
import { changed } from '../../support/store/changed.js';
import { collect, newEvent } from '../../support/store/events.js';
import { openScene } from './scene.js';

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 10, then: block, for: 1h }
`;
const ALICE = 'alice@example.com';
const SUBJECT = { type: 'account', value: ALICE } as const;
const SENDER = senderIdentity({ account: ALICE, direction: 'outbound' });

interface Detector {
  readonly models: ReadModels;
  readonly responder: Responder;
  readonly blockCommands: BlockCommandHandler;
  /** What it logged: each line's message, rule and outcome. */
  readonly said: () => readonly string[];
  readonly figures: () => Promise<Figures>;
  stop(): Promise<void>;
}

/** A detector as the application puts it together, over any store. */
async function detect(store: EventStore, clock: ManualClock, rules = RULES): Promise<Detector> {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(line) });
  const metrics = new Metrics();
  const blockCommands = new BlockCommandHandler(store, clock);
  await new RulesCommandHandler(store, clock).load({ rules: parseRules(rules), source: rules });
  const models: ReadModels = new ReadModels({
    onVerdict(verdict, live) {
      responder.remember(verdict);
      if (live) responder.take(verdict);
    },
    onBlockEvent({ stream, data }) {
      if ('evidence' in data && data.evidence !== undefined) responder.answered(stream, data.evidence);
    },
    onRulesChanged: () => undefined,
    onSkipped: () => undefined,
  });
  const responder = new Responder({ blockCommands, models, clock, metrics, log });
  metrics.blocks.useRules(parseRules(rules).rules);
  await models.follow(store);
  await responder.finish();
  const stop = async (): Promise<void> => {
    await responder.stop();
    await models.stop();
  };
  const said = (): string[] =>
    lines.map((line) => {
      const { msg, rule, outcome } = JSON.parse(line) as Record<'msg' | 'rule' | 'outcome', string>;
      return [msg, rule, outcome].filter((part) => part !== undefined).join(' / ');
    });
  const figures = async (): Promise<Figures> => new Figures(await metrics.registry.metrics());
  return { models, responder, blockCommands, said, figures, stop };
}

interface Stage {
  readonly clock: ManualClock;
  readonly store: EventStore;
  readonly send: (recipients: number, account?: string) => Promise<number>;
  readonly imposed: () => Promise<number>;
  /** How often an exemption kept a rule from acting. */
  readonly spared: () => Promise<number>;
}

async function stage(t: TestContext): Promise<Stage> {
  const clock = new ManualClock();
  const { distant: store } = await openScene(t, clock);
  const count = async (wanted: string): Promise<number> =>
    (await collect(store.readAll({ categories: ['block'] }))).filter(({ type }) => type === wanted).length;
  return {
    clock,
    store,
    async send(recipients, account = ALICE) {
      const { data } = sent(clock.now(), 0, { recipients, account });
      const event = newEvent(data, { type: 'MessageAccepted', at: clock.now() });
      return (await store.append(`send-${account}`, [event], 'any')).position;
    },
    imposed: () => count('BlockImposed'),
    spared: () => count('ExemptionApplied'),
  };
}

describe('a detector that was away', () => {
  test('acts on a flood of half an hour ago, though mail went on since, and says that it is made up for', async (t) => {
    const { clock, store, send, imposed } = await stage(t);
    await (await detect(store, clock)).stop();
    await send(11);
    clock.advance(30 * MINUTE);
    await send(1, 'bob@example.com');
    const detector = await detect(store, clock);
    await detector.responder.idle();
    assert.equal(await imposed(), 1);
    assert.deepEqual(detector.said(), [
      'a rule had tripped before this start: it is acted upon now / burst / BlockImposed',
    ]);
    await detector.stop();
  });

  test('blocks each account of an outbreak, though one message has told of them all', async (t) => {
    const { clock, store, send, imposed } = await stage(t);
    const outbreak = `version: 1
rules:
  - id: together
    per: domain
    count: accounts
    window: 30m
    limit: 2
    turned: { count: messages, window: 20m, limit: { baseline: 1x, floor: 1 }, alarm: 1h, after: 1m }
    then: block
    for: 1h
`;
    const before = await detect(store, clock, outbreak);
    await before.models.reached(await send(1, 'zoe@example.org'));
    await before.stop();
    clock.advance(2 * HOUR);
    for (let round = 0; round < 4; round++)
      for (const who of ['ann', 'bob', 'cem']) {
        clock.advance(SECOND);
        await send(1, `${who}@example.com`);
      }
    const after = await detect(store, clock, outbreak);
    await after.responder.idle();
    assert.equal(await imposed(), 3);
    assert.deepEqual(after.responder.unanswered(), []);
    await after.stop();
  });

  test('but not on one whose block would be over by now', async (t) => {
    const { clock, store, send, imposed } = await stage(t);
    await (await detect(store, clock)).stop();
    await send(11);
    clock.advance(HOUR + SECOND);
    await send(1, 'bob@example.com');
    const detector = await detect(store, clock);
    await detector.responder.idle();
    assert.equal(await imposed(), 0);
    await detector.stop();
  });

  test('nor again on what was acted upon, released or not', async (t) => {
    const { clock, store, send, imposed } = await stage(t);
    let detector = await detect(store, clock);
    const position = await send(11);
    await detector.models.reached(position);
    await detector.responder.idle();
    assert.equal(await imposed(), 1);
    const standing = await detector.blockCommands.standing(SUBJECT);
    const release = { kind: 'release', block: standing.block!.id, falsePositive: true } as const;
    await detector.blockCommands.execute(SUBJECT, release, { by: 'admin:test' });
    await detector.stop();
    detector = await detect(store, clock);
    const refused = detector.models.activeBlocks.on(SUBJECT);
    await detector.responder.idle();
    assert.deepEqual([await imposed(), refused], [1, undefined]);
    await detector.stop();
  });
});

describe('a detector that starts again', () => {
  // While the block of one rule is in force, nothing is left to do about the other.
  const BOTH = `${RULES}  - { id: also, per: account, count: recipients, window: 10m, limit: 10, then: block, for: 30m }\n`;

  test('says nothing of what nothing had come of, and counts it no second time', async (t) => {
    const { clock, store, send, imposed } = await stage(t);
    const before = await detect(store, clock, BOTH);
    await before.models.reached(await send(11));
    await before.responder.idle();
    assert.deepEqual(before.said(), [
      'a rule tripped / burst / BlockImposed',
      'a rule tripped / also / none',
    ]);
    await before.stop();
    clock.advance(5 * MINUTE);
    const after = await detect(store, clock, RULES);
    await after.responder.idle();
    assert.deepEqual(after.said(), []);
    assert.deepEqual((await after.figures()).nonzero('stopgap_verdicts_total'), {});
    assert.equal(await imposed(), 1);
    await after.stop();
  });

  test('blocks a sender that has gone on far beyond its limit meanwhile, although the circuit breaker is open', async (t) => {
    const { clock, store, send, imposed } = await stage(t);
    const breaker = RULES.replace('rules:', 'maxAutomaticBlocks: 1 in 1h\nrules:');
    const before = await detect(store, clock, breaker);
    await before.models.reached(await send(11, 'bob@example.com'));
    await before.responder.idle();
    await before.stop();
    assert.equal(await imposed(), 1);
    for (let n = 0; n < 49; n++) await send(1);
    const after = await detect(store, clock, breaker);
    await after.responder.idle();
    assert.equal(await imposed(), 1);
    await after.stop();
    await send(1);
    const last = await detect(store, clock, breaker);
    await last.responder.idle();
    assert.equal(await imposed(), 2);
    await last.stop();
  });

  test('does the same if it had neither proposed nor blocked before', async (t) => {
    const { clock, store, send, imposed } = await stage(t);
    const breaker = RULES.replace('rules:', 'maxAutomaticBlocks: 1 in 1h\nrules:');
    const before = await detect(store, clock, breaker);
    await before.models.reached(await send(11, 'bob@example.com'));
    await before.responder.idle();
    await before.stop();
    for (let n = 0; n < 50; n++) await send(1);
    const after = await detect(store, clock, breaker);
    await after.responder.idle();
    assert.equal(await imposed(), 2);
    assert.deepEqual(after.said().slice(1), [
      'a rule had tripped before this start: it is acted upon now / burst / BlockProposed',
      'a rule had tripped before this start: it is acted upon now / burst / BlockImposed',
    ]);
    await after.stop();
  });

  test('does not take the past for a storm of blocks: the circuit breaker stays closed', async (t) => {
    const { clock, store, send } = await stage(t);
    const breaker = BOTH.replace('rules:', 'maxAutomaticBlocks: 5 in 1m\nrules:');
    const before = await detect(store, clock, breaker);
    for (const who of [1, 2, 3, 4, 5, 6]) {
      await before.models.reached(await send(11, `a${who}@example.com`));
      await before.responder.idle();
      clock.advance(MINUTE);
    }
    await before.stop();
    await send(11, 'lost@example.com');
    const after = await detect(store, clock, breaker);
    await after.responder.idle();
    assert.deepEqual(after.said(), [
      'a rule had tripped before this start: it is acted upon now / burst / BlockImposed',
    ]);
    await after.stop();
  });

  test('never refuses a sender that a person has let go, not even for a moment', async (t) => {
    const { clock, store, send } = await stage(t);
    const before = await detect(store, clock, BOTH);
    await before.models.reached(await send(11));
    await before.responder.idle();
    const standing = await before.blockCommands.standing(SUBJECT);
    const release = { kind: 'release', block: standing.block!.id, falsePositive: true } as const;
    await before.blockCommands.execute(SUBJECT, release, { by: 'admin:test' });
    await before.stop();
    const after = await detect(store, clock, BOTH);
    const refused = after.models.activeBlocks.on(SUBJECT);
    await after.responder.idle();
    assert.deepEqual([refused, after.said()], [undefined, []]);
    await after.stop();
  });

  const person = { by: 'admin:test' };
  const exemption = { kind: 'grant', newId: 'e1', subject: SUBJECT, until: null, reason: 'ours' } as const;

  test('does not say that an exemption kept it from what a block had left it nothing to do about', async (t) => {
    const { clock, store, send, spared } = await stage(t);
    const before = await detect(store, clock);
    const [direction, until] = ['outbound', null] as const;
    const byHand = { kind: 'impose', newId: 'b1', subject: SUBJECT, direction, until } as const;
    await before.blockCommands.execute(SUBJECT, byHand, person);
    await before.models.reached(await send(11));
    await before.responder.idle();
    assert.deepEqual(before.said(), ['a rule tripped / burst / none']);
    await before.blockCommands.execute(SUBJECT, exemption, person);
    await before.stop();
    const after = await detect(store, clock);
    await after.responder.idle();
    assert.deepEqual([await spared(), after.said()], [0, []]);
    await after.stop();
  });

  test('does not say so either of what a waiting proposal had left it nothing to do about', async (t) => {
    const { clock, store, send, spared } = await stage(t);
    const propose = BOTH.replaceAll('then: block', 'then: propose');
    const before = await detect(store, clock, propose);
    await before.models.reached(await send(11));
    await before.responder.idle();
    assert.deepEqual(before.said(), [
      'a rule tripped / burst / BlockProposed',
      'a rule tripped / also / none',
    ]);
    await before.stop();
    const exempt = `${propose}exempt:\n  - { subject: { type: account, value: ${ALICE} }, reason: ours }\n`;
    const after = await detect(store, clock, exempt);
    await after.responder.idle();
    assert.deepEqual([await spared(), after.said()], [0, []]);
    await after.stop();
  });

  test('says what an exemption keeps it from that was granted while it was away', async (t) => {
    const { clock, store, send, spared, imposed } = await stage(t);
    const before = await detect(store, clock);
    await before.stop();
    await send(11);
    await before.blockCommands.execute(SUBJECT, exemption, person);
    const after = await detect(store, clock);
    await after.responder.idle();
    assert.deepEqual([await spared(), await imposed()], [1, 0]);
    await after.stop();
  });
});

test('of two detectors the slower one keeps refusing until it has folded the block of the other', async (t) => {
  const { clock, store, send, imposed } = await stage(t);
  const fast = await detect(store, clock);
  // Its feed stops short of the block, as that of a distant store may.
  let held: (() => void) | undefined;
  const lagging: EventStore = changed(store, {
    subscribe: ((options, handler) =>
      store.subscribe(options, async (event) => {
        if (event.type === 'BlockImposed') await new Promise<void>((resolve) => (held = resolve));
        await handler(event);
      })) satisfies EventStore['subscribe'],
  });
  const slow = await detect(lagging, clock);
  const position = await send(11);
  await eventually('the fast one has blocked', async () => (await imposed()) === 1 && held !== undefined);
  await slow.models.reached(position);
  let settled = false;
  void slow.responder.settled(position)?.then(() => (settled = true));
  const refused = (): boolean => slow.models.activeBlocks.find(SENDER, clock.now()) !== undefined;
  // The slow responder needs fewer turns than this for the rest of the verdict.
  for (let turn = 0; turn < 50; turn++) {
    await collect(store.readStream('block-account:alice@example.com'));
    assert.ok(refused());
  }
  assert.equal(settled, false);
  held!();
  await slow.responder.idle();
  assert.ok(refused());
  assert.equal(await imposed(), 1);
  await Promise.all([fast.stop(), slow.stop()]);
});

test('a verdict on a sender who is contained already is answered by that, live and at the next start', async (t) => {
  const { clock, store, send } = await stage(t);
  const detector = await detect(store, clock);
  await detector.models.reached(await send(11));
  await detector.responder.idle();
  clock.advance(10 * MINUTE);
  await detector.models.reached(await send(11));
  await detector.responder.idle();
  assert.deepEqual(detector.said(), [
    'a rule tripped / burst / BlockImposed',
    'a rule tripped / burst / none',
  ]);
  assert.deepEqual(detector.responder.unanswered(), []);
  await detector.stop();
  const next = await detect(store, clock);
  assert.deepEqual(next.responder.unanswered(), []);
  await next.stop();
});

describe('a detector that starts after the end of a block or proposal, which no timer has recorded', () => {
  const escalate = 'escalate: { factor: 4, max: 7d, forget: 30d }';
  const rules = RULES.replace('for: 1h', `for: 1d, ${escalate}`);

  /** A sender trips twice, the second time with nothing left to do; the process is away at the end. */
  async function begunAgain(t: TestContext, text: string, shorten: boolean): Promise<readonly string[]> {
    const { clock, store, send } = await stage(t);
    const before = await detect(store, clock, text);
    for (const pause of [2 * HOUR, 90 * MINUTE]) {
      await before.models.reached(await send(11));
      await before.responder.idle();
      clock.advance(pause);
    }
    if (shorten) {
      const { block } = await before.blockCommands.standing(SUBJECT);
      const sooner = { kind: 'change', block: block!.id, span: { duration: HOUR } } as const;
      await before.blockCommands.execute(SUBJECT, sooner, { by: 'admin:test' });
    } else clock.advance(20 * HOUR);
    await before.stop();
    clock.advance(HOUR);
    const after = await detect(store, clock, text);
    await after.responder.idle();
    assert.deepEqual(after.responder.unanswered(), []);
    await after.stop();
    assert.deepEqual(after.said(), []);
    return (await collect(store.readAll({ categories: ['block'] }))).map(({ type }) => type);
  }

  test('does not block its sender anew for what the block had contained', async (t) => {
    assert.deepEqual(await begunAgain(t, rules, false), ['BlockImposed']);
  });

  test('does not do so either where a person had set that end', async (t) => {
    assert.deepEqual(await begunAgain(t, rules, true), ['BlockImposed', 'BlockShortened']);
  });

  test('does not propose anew what had waited already', async (t) => {
    const propose = rules.replace('then: block', 'then: propose, lapse: 1d').replace(`, ${escalate}`, '');
    assert.deepEqual(await begunAgain(t, propose, false), ['BlockProposed']);
  });
});

test('a fault that is not the store’s does not hold up the verdicts after it', async (t) => {
  const { clock, store, send, imposed } = await stage(t);
  const broken = 'block-account:alice@example.com';
  const faulty: EventStore = changed(store, {
    readStream: ((stream, options) => {
      if (stream === broken) throw new TypeError('a bug');
      return store.readStream(stream, options);
    }) satisfies EventStore['readStream'],
  });
  const detector = await detect(faulty, clock);
  await send(11);
  await send(11, 'bob@example.com');
  await eventually('the second is blocked', async () => {
    clock.advance(SECOND);
    return (await imposed()) === 1;
  });
  await detector.stop();
});

test('while the store takes nothing a verdict is tried until it does', async (t) => {
  const { clock, store, send, imposed } = await stage(t);
  let failures = 10;
  const away: EventStore = changed(store, {
    append: ((stream, events, expected) =>
      failures-- > 0 && stream.startsWith('block-')
        ? Promise.reject(new StoreUnavailable('away'))
        : store.append(stream, events, expected)) satisfies EventStore['append'],
  });
  failures = 0;
  const detector = await detect(away, clock);
  failures = 10;
  await send(11);
  await eventually('it is recorded', async () => {
    clock.advance(30 * SECOND);
    return (await imposed()) === 1;
  });
  await detector.stop();
});

describe('what is refused before its block is recorded', () => {
  const rule = (id: string, limit: number, action: string): string =>
    `  - { id: ${id}, per: account, count: recipients, window: 10m, limit: ${limit}, ${action} }\n`;
  const LONGER = 'then: block, for: 1d';

  async function refusedMeanwhile(t: TestContext, rules: string, before: number): Promise<void> {
    const { clock, store, send } = await stage(t);
    const attempts = new Tally();
    let letGo = (): void => undefined;
    let held = Promise.resolve();
    const slow = changed(store, {
      append: async (stream, events, expected) => {
        if (stream.startsWith('block-')) {
          attempts.add();
          await held;
        }
        return store.append(stream, events, expected);
      },
    });
    const detector = await detect(slow, clock, rules);
    if (before > 0) await detector.models.reached(await send(before));
    await detector.responder.idle();
    clock.advance(MINUTE);
    held = new Promise((resolve) => (letGo = resolve));
    const done = attempts.count;
    await detector.models.reached(await send(13));
    await attempts.reached(done + 1);
    const refused = detector.models.activeBlocks.find(SENDER, clock.now());
    letGo();
    await detector.responder.idle();
    const standing = await detector.blockCommands.standing(SUBJECT);
    assert.equal(refused?.id, standing.block!.id);
    assert.equal(refused.until, standing.block!.until);
    await detector.stop();
  }

  test('bears the id of that block, where two rules trip at once', async (t) => {
    await refusedMeanwhile(t, `${RULES}${rule('longer', 10, LONGER)}`, 0);
  });

  test('bears it if the first of them only proposes', async (t) => {
    const [head] = RULES.split('  - ');
    await refusedMeanwhile(
      t,
      `${head}${rule('some', 5, 'then: propose, for: 1h')}${rule('burst', 10, LONGER)}`,
      0,
    );
  });

  test('bears it if a block is in force, and a rule makes it longer', async (t) => {
    await refusedMeanwhile(t, `${RULES}${rule('longer', 12, LONGER)}`, 11);
  });
});

test('a verdict that waits for the store is dropped if the store is back with another log', async (t) => {
  const { clock, store, send, imposed } = await stage(t);
  const attempts = new Tally();
  let isAway = false;
  let lag = 0;
  const away = changed(store, {
    append: (stream, events, expected) => {
      if (!isAway || !stream.startsWith('block-')) return store.append(stream, events, expected);
      attempts.add();
      return Promise.reject(new StoreUnavailable('away'));
    },
    subscribe(options, handler) {
      const subscription = store.subscribe(options, handler);
      return Object.defineProperty(subscription, 'lag', { get: () => lag });
    },
  });
  const detector = await detect(away, clock);
  isAway = true;
  await detector.models.reached(await send(11));
  await attempts.reached(1);
  // The store takes appends again. Whether its log is the same is not known before the feed has come to it.
  isAway = false;
  lag = HOUR;
  for (let minute = 0; minute < 10; minute++) {
    await settle();
    clock.advance(MINUTE);
  }
  assert.equal(await imposed(), 0);
  await detector.responder.startAnew();
  lag = 0;
  clock.advance(MINUTE);
  await detector.responder.idle();
  assert.equal(await imposed(), 0);
  assert.deepEqual(detector.responder.unanswered(), []);
  assert.ok(detector.models.activeBlocks.find(SENDER, clock.now()) !== undefined, 'it is refused still');

  await detector.models.reached(await send(11, 'bob@example.com'));
  await detector.responder.idle();
  assert.equal(await imposed(), 1, 'what trips from then on is acted upon');
  await detector.stop();
});
