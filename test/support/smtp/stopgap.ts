import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { hashPassword } from '../../../src/accounts/passwords.js';
import type { RunningApp } from '../../../src/app.js';
import { startApp } from '../../../src/app.js';
import type { Refusal, Until } from '../../../src/blocks/events.js';
import { loadConfig } from '../../../src/config.js';
import { newId } from '../../../src/runtime/ids.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import type { AlarmClock } from '../../../src/kernel/time.js';
import { logsOf } from '../../../src/log/logs.js';
import { FOLDED_CATEGORIES } from '../../../src/detector/projector.js';
import type { Direction, Subject, SubjectType } from '../../../src/sending/subjects.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import type { EventStore } from '../../../src/store/port.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { FIXED_RULES } from '../fixed-rules.js';
import { FakeUpstream } from '../relay/fake-upstream.js';
import { withCertificate } from './certificate.js';
import type { DialogueOptions } from './dialogue.js';
import { Dialogue } from './dialogue.js';

/** The accounts that there are, with their passwords: no log and no event may ever hold one of these. */
export const PASSWORDS: Readonly<Record<string, string>> = {
  'alice@example.com': 'correct-horse-battery-staple',
  'bob@example.com': 'tr0ub4dor-and-three',
};
export const ALICE = 'alice@example.com';
export const BOB = 'bob@example.com';
export const WRONG = 'a-wrong-pass-word';

export interface StopgapOptions {
  readonly clock?: AlarmClock;
  /** Laid over the `smtp` part of the configuration. */
  readonly smtp?: Readonly<Record<string, unknown>>;
  /** Laid over the whole configuration. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** The rules file; {@link FIXED_RULES} unless given. */
  readonly rules?: string;
  /** Where mail goes; a scripted upstream that takes everything by default. */
  readonly upstream?: FakeUpstream;
  /** More files beside the configuration, by name. */
  readonly files?: Readonly<Record<string, string>>;
  readonly throughStore?: (store: EventStore) => EventStore;
}

export interface BlockWish {
  readonly direction?: Direction;
  readonly refusal?: Refusal;
  readonly until?: Until;
}

/** Stopgap as it is, in this process, with listeners on ports of the system's choice. */
export class Stopgap {
  readonly logs: string[] = [];
  readonly faults: unknown[] = [];
  app!: RunningApp;

  private constructor(
    readonly dir: string,
    readonly upstream: FakeUpstream,
    readonly clock: AlarmClock,
    readonly options: StopgapOptions,
  ) {}

  /** Starts it; after the test it is stopped, and what it logged and stored is searched for passwords. */
  static async start(t: Pick<TestContext, 'after'>, options: StopgapOptions = {}): Promise<Stopgap> {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-e2e-'));
    const upstream = options.upstream ?? (await FakeUpstream.start());
    const stopgap = new Stopgap(dir, upstream, options.clock ?? systemClock, options);
    t.after(async () => {
      await upstream.stop();
      await stopgap.stop();
      await rm(dir, { recursive: true, force: true });
    });
    await stopgap.#configure();
    await stopgap.open();
    return stopgap;
  }

  async #configure(): Promise<void> {
    const { smtp, settings, rules = FIXED_RULES, files = {} } = this.options;
    for (const [name, text] of Object.entries(files)) await writeFile(path.join(this.dir, name), text);
    const users = await Promise.all(
      Object.entries(PASSWORDS).map(async ([name, password]) => ({
        name,
        // As cheap as it gets: what is proved here does not depend on the price.
        password: await hashPassword(password, { ln: 4, r: 1, p: 1 }),
      })),
    );
    await writeFile(path.join(this.dir, 'users.yaml'), JSON.stringify({ users }));
    await writeFile(path.join(this.dir, 'rules.yaml'), rules);
    const config = {
      data: './data',
      api: { listen: '127.0.0.1:0' },
      rules: './rules.yaml',
      smtp: {
        hostname: 'mx.example.com',
        submission: { listen: '127.0.0.1:0' },
        inbound: { listen: '127.0.0.1:0', domains: ['example.com'] },
        auth: { users: './users.yaml' },
        relay: { url: this.upstream.url() },
        ...smtp,
      },
      ...settings,
    };
    // Settings may lie elsewhere, or take no mail: what is not looked for does no harm.
    await withCertificate(path.join(this.dir, 'data'), 'mx.example.com', this.clock);
    // JSON is YAML.
    await writeFile(path.join(this.dir, 'stopgap.yaml'), JSON.stringify(config, null, 2));
  }

  /** Starts on what an earlier start has left. */
  async open(): Promise<void> {
    const sink = { write: (line: string) => void this.logs.push(line) };
    this.app = await startApp({
      loaded: loadConfig({ env: {}, cwd: this.dir }),
      clock: this.clock,
      logs: logsOf(pino({ level: 'trace', base: undefined }, sink)),
      onFatal: (error) => this.faults.push(error),
      ...(this.options.throughStore === undefined ? {} : { throughStore: this.options.throughStore }),
    });
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.open();
  }

  /** Stops it, and looks for passwords in logs and events and for addresses in metrics. */
  async stop(): Promise<void> {
    if ((this.app as RunningApp | undefined) === undefined) return; // it did not start
    await this.#flush().catch(() => undefined); // it may be stopped already, or its store be out of order
    const metrics = await this.app.metrics.registry.metrics().catch(() => ''); // needs the store too
    assert.ok(!metrics.includes('@'), 'an address stands in the metrics');
    const events = JSON.stringify(await this.events().catch(() => []));
    await this.app.stop();
    for (const secret of [...Object.values(PASSWORDS), WRONG]) {
      for (const form of [secret, Buffer.from(secret).toString('base64').slice(0, 12)]) {
        assert.ok(!events.includes(form), 'a password was stored');
        assert.ok(!this.logs.some((line) => line.includes(form)), 'a password was logged');
      }
    }
  }

  /** The port of a listener. */
  port(what: 'submission' | 'inbound' | 'policy' | 'HTTP' = 'submission', index = 0): number {
    const found = this.app.listening.filter((listener) => listener.what === what)[index];
    return Number(found!.address.slice(found!.address.lastIndexOf(':') + 1));
  }

  /** A session at the submission port that has said EHLO. */
  hello(options: DialogueOptions & { readonly ehlo?: string } = {}): Promise<Dialogue> {
    return Dialogue.hello(this.port(), options);
  }

  /** A session that is logged in. */
  async loggedIn(
    user = ALICE,
    options: DialogueOptions & { readonly ehlo?: string } = {},
  ): Promise<Dialogue> {
    const dialogue = await this.hello(options);
    assert.match(await dialogue.login(user, PASSWORDS[user]!), /^235 /);
    return dialogue;
  }

  /** A session at the inbound port that has said EHLO. */
  stranger(options: DialogueOptions & { readonly ehlo?: string } = {}): Promise<Dialogue> {
    return Dialogue.hello(this.port('inbound'), options);
  }

  /** An administrator blocks; resolves when it is in force. */
  async block(type: SubjectType, value: string, wish: BlockWish = {}): Promise<string> {
    const { direction = 'all', refusal = 'soft', until = null } = wish;
    const subject = parseSubject(type, value);
    const id = newId();
    await this.#execute(subject, {
      kind: 'impose',
      subject,
      direction,
      description: 'by a test',
      refusal,
      until,
      newId: id,
    });
    return id;
  }

  /** An administrator lets go; resolves when it has taken effect. */
  async release(type: SubjectType, value: string): Promise<void> {
    const subject = parseSubject(type, value);
    const standing = await this.app.blockCommands.standing(subject);
    await this.#execute(subject, { kind: 'release', block: standing.block!.id, falsePositive: false });
  }

  async #execute(
    subject: Subject,
    command: Parameters<RunningApp['blockCommands']['execute']>[1],
  ): Promise<void> {
    const { position } = await this.app.blockCommands.execute(subject, command, { by: 'admin:test' });
    await this.app.models.reached(position);
  }

  /** Everything stored so far, once all that was on its way is written and folded. */
  async settled(): Promise<readonly RecordedEvent[]> {
    await this.#flush();
    const events = await this.events();
    const last = events.findLast(({ stream }) =>
      FOLDED_CATEGORIES.some((name) => stream.startsWith(`${name}-`)),
    );
    if (last !== undefined) await this.app.models.reached(last.position);
    return events;
  }

  /** Of one type, as {@link settled}. */
  async all<Data>(type: string): Promise<readonly (RecordedEvent & { readonly data: Data })[]> {
    const events = await this.settled();
    return events.filter((event) => event.type === type) as (RecordedEvent & { data: Data })[];
  }

  async events(): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    for await (const event of this.app.store.readAll()) events.push(event);
    return events.filter((event) => event.type !== 'Probe');
  }

  /** Resolves with the first event, old or new, that is wanted. */
  async event(wanted: (event: RecordedEvent) => boolean): Promise<RecordedEvent> {
    return new Promise((resolve, reject) => {
      const subscription = this.app.store.subscribe({ after: 0 }, (event) => {
        if (!wanted(event)) return;
        resolve(event);
        void subscription.stop();
      });
      subscription.ended.catch(reject);
    });
  }

  /** The store writes in order: when this is written, everything before it is. */
  async #flush(): Promise<void> {
    await this.app.store.append(
      'probe-test',
      [{ id: newId(), type: 'Probe', data: {}, at: this.clock.now(), by: 'system:test' }],
      'any',
    );
  }
}
