import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockExpired, BlockImposed } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { SECOND } from '../../../src/kernel/time.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { ROUNDS, SEED } from '../../support/chaos/extent.js';
import { Load } from '../../support/chaos/load.js';
import type { Fault, Target } from '../../support/chaos/scene.js';
import { Scene } from '../../support/chaos/scene.js';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import type { Node } from '../../support/distributed/node.js';
import { sendOne } from '../../support/distributed/sends.js';
import { seeded } from '../../support/smtp/random.js';

const STEADY = Array.from({ length: 4 }, (_, index) => account('steady', index));
const FLOODS = Array.from({ length: 8 }, (_, index) => account('flood', index));
/** The rule allows so many recipients of one account. */
const LIMIT = 100;
/** Seconds after which everything must have come to terms with what happened. */
const HEALED = 90;

/** Each kind of target in turn, so that a short run meets all of them. */
const TURNS: readonly Target[] = ['server', 'role', 'Redis', 'role'];

test(
  `whatever fails, what was acknowledged is there once, and every process knows it (seed ${SEED}, ${ROUNDS} rounds)`,
  { timeout: (4 * HEALED + 60 * ROUNDS) * SECOND },
  async (t) => {
    const scene = await Scene.start([...STEADY, ...FLOODS]);
    t.after(() => scene.stop());
    const { cluster, smtp, apis } = scene;
    for (const value of STEADY)
      await apis[0]!.json('POST', '/api/v1/exemptions', {
        subject: { type: 'account', value },
        duration: '24h',
        reason: 'a test',
      });
    const load = new Load({
      smtp,
      apis,
      token: cluster.token,
      steady: STEADY,
      floods: FLOODS,
      random: seeded(SEED + 1),
    });
    await misfortune(t, scene, load);
    await load.stop(HEALED);
    assert.deepEqual(load.failures, [], 'answers that no request should get');
    for (const { name, served } of scene.nodes)
      assert.equal(
        served.child.exitCode,
        null,
        `${name} has ended by itself:\n${served.stderr.slice(-2000)}`,
      );

    for (const node of smtp)
      await awaited(
        `the outbox of ${node.name} is empty`,
        async () => (await node.metric('stopgap_outbox_events')) === 0,
        HEALED,
      );
    await t.test('each acknowledged send is in the log, under one id', async () => {
      const ids = grouped(await cluster.events(['send']), ({ type, data }) =>
        type === 'MessageAccepted' ? (data as MessageAccepted).recipientDomains : [],
      );
      const { sends } = load.acknowledged;
      assert.ok(sends.length > 50 * ROUNDS, `only ${sends.length} sends were acknowledged`);
      assert.deepEqual(exceptOnce(ids, sends), [], `of ${sends.length}`);
    });

    await t.test('each acknowledged block and release is in the log once, and each end', async () => {
      const { blocks, releases } = load.acknowledged;
      let log: Log = new Log([]);
      await awaited(
        'the end of each timed block is recorded',
        async () => {
          log = new Log(await cluster.events(['block']));
          const open = [...blocks.timed].filter((id) => !log.expired.has(id));
          assert.deepEqual(open, []);
          return true;
        },
        HEALED,
      );
      const all = [...blocks.timed, ...blocks.lasting];
      assert.deepEqual(exceptOnce(log.imposed, all), [], `of ${all.length} blocks`);
      assert.deepEqual(exceptOnce(log.released, [...releases]), [], `of ${releases.size} releases`);
      assert.deepEqual(exceptOnce(log.expired, [...blocks.timed]), [], `of ${blocks.timed.size} ends`);
      assert.deepEqual(log.early, [], 'ended before their time');
      assert.deepEqual(log.twice, [], 'subjects with two blocks at once');
      for (const id of [...blocks.lasting].filter((one) => !releases.has(one)))
        assert.ok(!log.released.has(id) && !log.expired.has(id), `${id} has ended, and nobody asked for it`);
    });

    await t.test('each flood was blocked, once, and is refused everywhere', async () => {
      const recipients = new Map<string, number>();
      const seen = new Set<string>();
      for (const { id, type, data } of await cluster.events(['send'])) {
        if (type !== 'MessageAccepted' || seen.has(id)) continue;
        seen.add(id);
        const sent = data as MessageAccepted;
        if (sent.account !== undefined)
          recipients.set(sent.account, (recipients.get(sent.account) ?? 0) + sent.recipients);
      }
      const floods = FLOODS.filter((from) => (recipients.get(from) ?? 0) > LIMIT);
      for (const from of floods) {
        for (const node of smtp)
          await awaited(`${node.name} refuses ${from}`, () => node.refuses(from), HEALED);
        const blocks = (await cluster.events(['block'])).filter(
          ({ type, data }) => type === 'BlockImposed' && (data as BlockImposed).subject.value === from,
        );
        assert.equal(new Set(blocks.map(({ id }) => id)).size, 1, `blocks of ${from}`);
      }
      t.diagnostic(`${floods.length} floods`);
    });

    await t.test('mail and decisions go through again at every process', async () => {
      for (const node of smtp) {
        const session = await node.session(STEADY[0]!);
        assert.match(await sendOne(session, STEADY[0]!, []), /^250 /, node.name);
        session.vanish();
      }
      for (const [index, api] of apis.entries()) {
        const from = account('steady', index);
        const id = await api.block(from);
        for (const node of smtp) await awaited(`${node.name} refuses ${from}`, () => node.refuses(from));
        await api.release(id);
        for (const node of smtp)
          await awaited(`${node.name} takes ${from}`, async () => !(await node.refuses(from)));
      }
    });

    await t.test('the running processes agree with one that replays the log', async () => {
      const fresh = await cluster.node('fresh', 'api');
      for (const node of apis)
        await awaited(
          `${node.name} agrees`,
          async () => {
            assert.deepEqual(await reading(node), await reading(fresh));
            return true;
          },
          HEALED,
        );
    });
    const { sends, blocks, releases } = load.acknowledged;
    t.diagnostic(
      `${sends.length} sends, ${blocks.timed.size + blocks.lasting.size} blocks, ${releases.size} releases, ${blocks.timed.size} ends`,
    );
  },
);

/** One fault after the other, now and then a second one beside it; each lasts for so many steps of the load. */
async function misfortune(t: { diagnostic(text: string): void }, scene: Scene, load: Load): Promise<void> {
  const random = seeded(SEED);
  const between = (least: number, most: number): number => least + Math.floor(random() * (most - least + 1));
  const oneOf = (target: Target): readonly Fault[] => {
    const faults = scene.faults[target];
    return faults.length === 0 ? [] : [faults[between(0, faults.length - 1)]!];
  };
  const after = (steps: number): Promise<void> => load.steps.reached(load.steps.count + steps);
  for (let round = 0; round < ROUNDS; round++) {
    const target = TURNS[round % TURNS.length]!;
    const other = random() < 0.3 ? TURNS.find((one) => one !== target)! : undefined;
    const faults = [...oneOf(target), ...(other === undefined ? [] : oneOf(other))];
    const [during, apart, later] = [between(40, 500), between(10, 50), between(30, 80)];
    t.diagnostic(`round ${round + 1}: ${faults.map(({ name }) => name).join(', ')}, for ${during} steps`);
    for (const { begin } of faults) {
      await begin();
      await after(apart);
    }
    await after(during);
    // What a process needs to start heals before it.
    const order = faults.toSorted(
      (a, b) => Number(a.name.includes('server')) - Number(b.name.includes('server')),
    );
    for (const { end } of order.reverse()) await end();
    await after(later);
  }
}

/** Ids of the events that speak of each thing. */
function grouped(
  events: readonly RecordedEvent[],
  things: (event: RecordedEvent) => readonly string[],
): ReadonlyMap<string, ReadonlySet<string>> {
  const ids = new Map<string, Set<string>>();
  for (const event of events)
    for (const thing of things(event)) {
      const known = ids.get(thing);
      if (known === undefined) ids.set(thing, new Set([event.id]));
      else known.add(event.id);
    }
  return ids;
}

/** Those of which the log speaks not at all, or more than once, with how often. */
function exceptOnce(
  ids: ReadonlyMap<string, ReadonlySet<string>>,
  things: readonly string[],
): readonly string[] {
  return things
    .map((thing) => [thing, ids.get(thing)?.size ?? 0] as const)
    .filter(([, count]) => count !== 1)
    .map(([thing, count]) => `${thing}: ${count} times`);
}

/** What the log says of blocks. */
class Log {
  readonly imposed;
  readonly released;
  readonly expired;
  /** Blocks whose end was recorded before it was due. */
  readonly early: readonly string[];
  /** Subjects that were blocked anew while a block had not ended. */
  readonly twice: readonly string[];

  constructor(events: readonly RecordedEvent[]) {
    const of = (wanted: string) =>
      grouped(events, ({ type, data }) => (type === wanted ? [(data as { block: string }).block] : []));
    this.imposed = of('BlockImposed');
    this.released = of('BlockReleased');
    this.expired = of('BlockExpired');
    this.early = events
      .filter(({ type, data, at }) => type === 'BlockExpired' && at < (data as BlockExpired).dueAt)
      .map(({ stream }) => stream);
    const open = new Map<string, string>();
    const twice = new Set<string>();
    for (const { type, stream, data } of events) {
      const { block } = data as { block: string };
      if (type === 'BlockImposed' && (open.get(stream) ?? block) !== block) twice.add(stream);
      if (type === 'BlockImposed') open.set(stream, block);
      if (type === 'BlockReleased' || type === 'BlockExpired') open.delete(stream);
    }
    this.twice = [...twice];
  }
}

/** What an API tells of blocks and windows. */
async function reading(node: Node): Promise<unknown> {
  const senders = [...STEADY, ...FLOODS].map(async (name) => {
    const { windows } = await node.json<{ windows: unknown }>('GET', `/api/v1/senders/account/${name}`);
    return windows;
  });
  return { blocks: await node.blocks(), windows: await Promise.all(senders) };
}
