import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import type { ActivityEvent } from '../../../src/backtest/world.js';
import { VirtualClock } from '../../../src/backtest/world.js';
import { BlockCommandHandler } from '../../../src/commands/block-commands.js';
import { DaySummaryRecorder, planTimedWork } from '../../../src/detector/scheduled-jobs.js';
import { Timers } from '../../../src/expiry/timers.js';
import type { Instant } from '../../../src/kernel/time.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { Responder } from '../../../src/detector/responder.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { parseRules } from '../../../src/rules/parse.js';
import { newId } from '../../../src/runtime/ids.js';
import type { AuthEvent, MessageAccepted, SendEvent } from '../../../src/sending/events.js';
import { sendStreamKey, senderIdentity } from '../../../src/sending/subjects.js';
import { Recorder } from '../../../src/recording/recorder.js';
import type { EventStore } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { changed } from '../store/changed.js';

const SILENT = pino({ level: 'silent' });

/**
 * The parts of a running server that decide, wired as it wires them, on a real store: what a back-test must agree with.
 * Only time is driven, alarm by alarm, each with all that follows from it.
 */
export class Live {
  readonly clock: VirtualClock;
  readonly file: string;
  readonly store: EventStore;
  readonly models: ReadModels;
  readonly blockCommands: BlockCommandHandler;
  readonly #directory: string;
  readonly #responder: Responder;
  readonly #recorder: Recorder;
  readonly #timers: Timers;
  #summaries: DaySummaryRecorder | undefined;
  #underWay = 0;
  #messages = 0;

  static async start(rules: string, at: Instant): Promise<Live> {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'stopgap-live-'));
    const clock = new VirtualClock(at);
    const file = path.join(directory, 'events.db');
    const live = new Live(directory, file, clock, await openSqliteStore({ file, clock }));
    await live.#begin(rules);
    return live;
  }

  private constructor(directory: string, file: string, clock: VirtualClock, opened: EventStore) {
    this.#directory = directory;
    this.file = file;
    this.clock = clock;
    this.store = this.#counting(opened);
    this.blockCommands = new BlockCommandHandler(this.store, clock);
    this.#timers = new Timers({ clock });
    this.models = new ReadModels({
      onVerdict: (verdict, live) => live && this.#responder.take(verdict),
      onBlockEvent: (event) => planTimedWork(this.#timers, this.models.ledger, event),
      onRulesChanged: () => undefined,
      onSkipped: (event, reason) => {
        throw new Error(`${event.type}: ${reason}`);
      },
    });
    const { blockCommands, models, store } = this;
    this.#responder = new Responder({ blockCommands, models, clock, metrics: new Metrics(), log: SILENT });
    this.#recorder = new Recorder({ store, clock, log: SILENT, by: 'smtp:mx.example.com' });
  }

  /** A message arrives: refused, or accepted, recorded and acted upon. */
  async message({ at, data }: Pick<ActivityEvent, 'at' | 'data'>): Promise<void> {
    await this.advance(at);
    const message = { ...(data as MessageAccepted), transaction: `t${++this.#messages}` };
    const sender = senderIdentity(message);
    const block = this.models.activeBlocks.find(sender, this.clock.now());
    if (block === undefined) {
      await this.#recorder.accepted(sendStreamKey(sender), message);
    } else {
      const { account, returnPath, ehlo, ip, direction } = message;
      const attempt = {
        account,
        returnPath,
        ehlo,
        ip,
        direction,
        block: block.id,
        stage: 'rcpt',
        reply: '451',
      } as const;
      this.#recorder.refused(attempt, message.transaction, undefined);
    }
    await this.#quiet();
  }

  /** Something else is recorded now, and acted upon. */
  async record(stream: string, { type, data }: SendEvent | AuthEvent): Promise<void> {
    const event = { id: newId(), type, data, at: this.clock.now(), by: 'system:test' };
    await this.store.append(stream, [event], 'any');
    await this.#quiet();
  }

  /** Lets time pass. */
  async advance(to: Instant): Promise<void> {
    while (this.clock.next <= to) {
      this.clock.advance(this.clock.next);
      await this.#quiet();
    }
    this.clock.advance(to);
  }

  /** Resolves once nothing more follows from what has happened. */
  async #quiet(): Promise<void> {
    do {
      // The woken jobs must have reached their work.
      for (let turns = 0; turns < 3; turns++) await setImmediate();
      await this.models.reached(await this.store.head());
      await this.#responder.idle();
      await this.#summaries?.idle();
    } while (this.#underWay > 0);
  }

  async stop(): Promise<void> {
    await this.#summaries?.stop();
    await this.#timers.close();
    await this.#recorder.close();
    await this.#responder.stop();
    await this.models.stop();
    await this.store.close();
    await rm(this.#directory, { recursive: true });
  }

  async #begin(rules: string): Promise<void> {
    await new RulesCommandHandler(this.store, this.clock).load({ rules: parseRules(rules), source: rules });
    await this.models.follow(this.store);
    const { store, models, clock } = this;
    this.#summaries = await DaySummaryRecorder.start({ store, models, clock, log: SILENT });
    this.#timers.start(async ({ kind, block, subject }) => {
      this.#underWay++;
      await this.blockCommands.execute(subject, { kind, block }, { by: 'system:expiry' });
      this.#underWay--;
    });
  }

  #counting(opened: EventStore): EventStore {
    const append: EventStore['append'] = async (...args) => {
      this.#underWay++;
      try {
        return await opened.append(...args);
      } finally {
        this.#underWay--;
      }
    };
    return changed(opened, { append });
  }
}
