import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import { ReadModels } from '../../../src/detector/read-models.js';
import { QueueHooks } from '../../../src/hooks/queue-hooks.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { heldStream, sendStream } from '../../../src/sending/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { ApiServer } from '../../support/api/server.js';
import { FakeHook } from '../../support/hook.js';
import { told } from '../../support/hook-scene.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE } from '../../support/smtp/stopgap.js';

type Command = Parameters<ApiServer['deps']['blockCommands']['execute']>[1];

/** A process of which the memory keeps one block that has ended. */
class Scene {
  private constructor(
    readonly server: ApiServer,
    readonly models: ReadModels,
    readonly hook: FakeHook,
    readonly lines: readonly string[],
    /** The process has a hook from now on. */
    readonly start: () => void,
  ) {}

  static async open(t: TestContext): Promise<Scene> {
    const running: { hooks: QueueHooks | undefined } = { hooks: undefined };
    const nothing = (): void => undefined;
    const models = new ReadModels(
      {
        onVerdict: nothing,
        onBlockEvent({ type, data }) {
          if ('block' in data) running.hooks?.look(data.block, type);
        },
        onFolded: (event) => running.hooks?.held(event),
        onRulesChanged: nothing,
        onSkipped: nothing,
      },
      { endedKept: 1 },
    );
    const server = await ApiServer.start((deps) => Object.assign({}, deps, { models }));
    await models.follow(server.deps.store);
    const hook = await FakeHook.make(t);
    const lines: string[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(line) });
    const { store, blockCommands, metrics } = server.deps;
    const parts = { store, models, blockCommands, clock: server.clock, log, metrics: metrics.hooks };
    const run = { command: [hook.file] } as const;
    const start = (): void => {
      running.hooks = new QueueHooks({ ...parts, run, authorization: undefined });
      running.hooks.adopt();
    };
    t.after(async () => {
      await running.hooks?.close();
      await server.stop();
    });
    return new Scene(server, models, hook, lines, start);
  }

  async decide(command: Command, account = ALICE): Promise<void> {
    const subject = parseSubject('account', account);
    const { position } = await this.server.deps.blockCommands.execute(subject, command, { by: 'admin:test' });
    await this.models.reached(position);
  }

  /** A block of Alice with a message on hold, which ends and says nothing of that. */
  async ended(transaction = '4HELD'): Promise<string> {
    const { id } = await this.server.block(ALICE, { refusal: 'hold' });
    await this.held(id, transaction);
    await this.decide({ kind: 'release', block: id, falsePositive: false });
    return id;
  }

  async held(block: string, transaction: string): Promise<void> {
    const { store, clock } = this.server.deps;
    const data = { block, account: ALICE, direction: 'outbound', transaction, recipients: 1, size: 1 };
    const event = { id: newId(), type: 'MessageHeld', at: clock.now(), by: 'policy:test', data };
    const { position } = await store.append(heldStream(block), [event], 'any');
    await this.models.reached(position);
  }

  /** Another block ends, which takes the place of the last one in memory. */
  async leavesMemory(block: string): Promise<void> {
    const { id } = await this.server.block('other@example.com');
    await this.decide({ kind: 'release', block: id, falsePositive: false }, 'other@example.com');
    assert.equal(this.models.ledger.get(block), undefined);
  }

  undecided(): readonly string[] {
    return this.models.heldMail.undecided(this.server.clock.now()).map(({ block }) => block);
  }

  /** Resolves once it is recorded that all held mail is done with. */
  async settled(): Promise<void> {
    await eventually('no mail is on hold', () => [...this.models.heldMail.unsettled()].length === 0);
  }
}

describe('the hook, for a block that ended long ago,', () => {
  test('does what is decided on its mail, and then nothing of it is on hold', async (t) => {
    const scene = await Scene.open(t);
    scene.start();
    const block = await scene.ended();
    await scene.leavesMemory(block);
    assert.deepEqual(scene.undecided(), [block]);
    await scene.decide({ kind: 'held', block, action: 'release' });
    assert.deepEqual((await scene.hook.called(1)).map(told), [['release', ALICE, ['4HELD']]]);
    await scene.settled();
    assert.deepEqual(scene.undecided(), []);
    const { text } = await scene.server.get(`/api/v1/blocks/${block}/held`);
    const { count, decided } = JSON.parse(text) as { count: number; decided: unknown };
    assert.deepEqual([count, decided], [0, null]);
  });

  test('does at a start what was decided before it, also where the block left memory later', async (t) => {
    for (const isBefore of [true, false]) {
      const scene = await Scene.open(t);
      const block = await scene.ended();
      if (!isBefore) await scene.leavesMemory(block);
      await scene.decide({ kind: 'held', block, action: 'delete' });
      if (isBefore) await scene.leavesMemory(block);
      scene.start();
      assert.deepEqual((await scene.hook.called(1)).map(told), [['delete', ALICE, ['4HELD']]]);
      await scene.settled();
    }
  });

  test('is called again after it has failed', async (t) => {
    const scene = await Scene.open(t);
    await scene.hook.becomes('broken');
    scene.start();
    const block = await scene.ended();
    await scene.decide({ kind: 'held', block, action: 'release' });
    const failures = (): boolean => scene.lines.some((line) => line.includes('it is called again'));
    await eventually('the hook has failed', failures);
    await scene.leavesMemory(block);
    await scene.hook.becomes('well');
    scene.server.clock.advance(MINUTE);
    await scene.settled();
    assert.deepEqual((await scene.hook.calls()).map(told).at(-1), ['release', ALICE, ['4HELD']]);
  });

  test('releases what is recorded late too, since the release holds for it', async (t) => {
    const scene = await Scene.open(t);
    scene.start();
    const block = await scene.ended();
    await scene.decide({ kind: 'held', block, action: 'release' });
    await scene.settled();
    await scene.leavesMemory(block);
    await scene.held(block, '4LATER');
    assert.deepEqual((await scene.hook.called(2)).map(told).at(-1), ['release', ALICE, ['4LATER']]);
  });

  test('leaves its mail to it when the next block of the account takes what is in the queue', async (t) => {
    const scene = await Scene.open(t);
    const { store, clock } = scene.server.deps;
    const sends = ['4HELD', '4SENT'].map((transaction) => {
      const sender = { account: ALICE, returnPath: ALICE, ip: '192.0.2.7', direction: 'outbound' };
      const of = { transaction, recipients: 1, size: 1, recipientDomains: [], entitled: true };
      const data = Object.assign({}, sender, of);
      return { id: newId(), type: 'MessageAccepted', at: clock.now(), by: 'policy:test', data };
    });
    const { position } = await store.append(sendStream(ALICE), sends, 'any');
    await scene.models.reached(position);
    await scene.leavesMemory(await scene.ended());
    scene.start();
    await scene.server.block(ALICE, { refusal: 'hold' });
    assert.deepEqual((await scene.hook.called(1)).map(told), [['hold-queue', ALICE, ['4SENT']]]);
  });
});
