import type { MessageRefused } from '../../../src/sending/events.js';
import { heldStream, sendStream } from '../../../src/sending/events.js';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rm, mkdtemp } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { NO_ADMINS } from '../../../src/accounts/admins.js';
import { TokenTable } from '../../../src/accounts/tokens.js';
import type { Role } from '../../../src/accounts/roles.js';
import { createApi, HttpPort } from '../../../src/api/index.js';
import type { Api, ApiDependencies, HealthReport } from '../../../src/api/index.js';
import { BacktestJobs } from '../../../src/backtest/jobs.js';
import { BlockCommandHandler } from '../../../src/commands/block-commands.js';
import type { Act } from '../../../src/blocks/commands.js';
import type { Evidence } from '../../../src/blocks/events.js';
import { newId } from '../../../src/runtime/ids.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { logsOf } from '../../../src/log/logs.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { UnansweredVerdicts } from '../../../src/detector/responder.js';
import { undetected, unstopped } from '../../../projections/blocks/unstopped.js';
import { ForgettingHandler } from '../../../src/commands/forgetting.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { FIXED_RULES } from '../fixed-rules.js';
import { askedSubject } from '../../../src/sending/subjects.js';
import type { EventStore } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import type { MailServers } from '../../../src/recording/reports.js';
import { Recorder } from '../../../src/recording/recorder.js';
import { openMailServers } from '../../../src/recording/reports.js';
import { ManualClock } from '../manual-clock.js';
import type { Answered } from './answered.js';
import { DescribedApi } from './described.js';

export const TOKENS: Readonly<Record<Role, string>> = {
  viewer: 'sgp_viewer-token-for-tests',
  operator: 'sgp_operator-token-for-tests',
  admin: 'sgp_admin-token-for-tests',
  server: 'sgp_server-token-for-tests',
  domain: 'sgp_domain-token-for-tests',
};

/** The domains of the token of the role `domain`. */
export const OWN_DOMAINS = ['own.example'];

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Undefined at run time where the answer is no JSON. */
  readonly json: Answered;
}

export interface Call {
  readonly role?: Role | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The whole API over real HTTP, on a real SQLite store and a manual clock. */
export class ApiServer {
  readonly logged: string[];
  #node: Node;

  private constructor(
    readonly directory: string,
    readonly clock: ManualClock,
    node: Node,
    logged: string[],
  ) {
    this.#node = node;
    this.logged = logged;
  }

  static async start(
    change: (deps: ApiDependencies) => ApiDependencies = (deps) => deps,
  ): Promise<ApiServer> {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'stopgap-api-'));
    const clock = new ManualClock();
    const logged: string[] = [];
    return new ApiServer(directory, clock, await startNode(directory, clock, logged, change), logged);
  }

  /** Another one after a restart. */
  get url(): string {
    return this.#node.url;
  }
  get deps(): ApiDependencies {
    return this.#node.deps;
  }
  get api(): Api {
    return this.#node.api;
  }
  get health(): { -readonly [Key in keyof HealthReport]: HealthReport[Key] } {
    return this.#node.health;
  }

  call(method: string, target: string, options?: Call): Promise<Reply> {
    return call(this.#node.url, method, target, options);
  }

  get(target: string, call: Call = {}): Promise<Reply> {
    return this.call('GET', target, call);
  }

  post(target: string, body?: unknown, call: Call = {}): Promise<Reply> {
    return this.call('POST', target, { ...call, body });
  }

  /** A block by an administrator. */
  async block(value: string, more: Readonly<Record<string, unknown>> = {}): Promise<Answered> {
    const span = 'indefinite' in more || 'until' in more ? {} : { duration: '1h' };
    const reply = await this.post('/api/v1/blocks', {
      subject: { type: 'account', value },
      ...span,
      ...more,
    });
    return reply.json;
  }

  /** What the responder would do when a rule trips. @returns the id of the block or proposal */
  async trip(
    value: string,
    action: Act['action'] = 'propose',
    rule = 'burst',
    more: Partial<Evidence> = {},
  ): Promise<string> {
    const subject = askedSubject('account', value);
    const id = newId();
    const last = (await this.deps.store.head()) + 1;
    const evidence: Evidence = {
      rule,
      version: 1,
      count: 'recipients',
      window: 10 * MINUTE,
      limit: 100,
      observed: 101,
      firstPosition: last,
      lastPosition: last,
      lastAt: this.clock.now(),
      sentence: `Account ${value}: 101 recipients within 10m; rule "${rule}" allows 100.`,
      ...more,
    };
    const terms = {
      direction: 'outbound',
      description: 'too many',
      refusal: 'soft',
      duration: HOUR,
      escalate: undefined,
      lapse: DAY,
      renewWhileTrying: false,
    } as const;
    const command: Act = { kind: 'act', action, subject, terms, evidence, newId: id };
    const { position } = await this.deps.blockCommands.execute(subject, command, { by: `rule:${rule}@1` });
    if (position !== undefined) await this.deps.models.reached(position);
    return id;
  }

  /** Ends this process's part and begins again on the same store, as a restart does. */
  async restart(change: (deps: ApiDependencies) => ApiDependencies = (deps) => deps): Promise<void> {
    await this.#node.stop();
    this.#node = await startNode(this.directory, this.clock, this.logged, change);
  }

  async stop(): Promise<void> {
    await this.#node.stop();
    await rm(this.directory, { recursive: true });
  }

  /** What the store holds of a stream. */
  async eventsOf(stream: string): Promise<readonly RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    for await (const event of this.deps.store.readStream(stream)) events.push(event);
    return events;
  }

  /** The store writes in order: when this is written, everything before it is. */
  async written(): Promise<void> {
    const probe = { id: newId(), type: 'Probe', data: {}, at: this.clock.now(), by: 'system:test' };
    await this.deps.store.append('probe-test', [probe], 'any');
  }

  /** A refusal of this account by a block is recorded. */
  async refused(
    account: string,
    block: string,
    stage: string,
    reply: string,
    more: Partial<MessageRefused> = {},
  ): Promise<void> {
    const now = this.clock.now();
    const data = { account, direction: 'outbound', stage, block, reply, count: 1, since: now, ...more };
    const event = { id: newId(), type: 'MessageRefused', at: now, by: 'smtp:test', data };
    await this.deps.store.append(sendStream(account), [event], 'any');
  }

  /** So many messages of this account, each to two recipients, are recorded as held for a block. */
  async held(block: string, account: string, count: number): Promise<void> {
    const data = { block, account, direction: 'outbound', recipients: 2, size: 1 };
    const events = Array.from({ length: count }, (_, n) => ({
      id: newId(),
      type: 'MessageHeld',
      at: this.clock.now(),
      by: 'policy:test',
      data: { ...data, transaction: `q${n + 1}` },
    }));
    const { position } = await this.deps.store.append(heldStream(block), events, 'any');
    await this.deps.models.reached(position);
  }

  /** A message of this account is recorded and folded. */
  async sent(account: string, recipients: number, transaction: string = newId()): Promise<void> {
    const data = {
      account,
      returnPath: account,
      ehlo: 'laptop.example',
      ip: '192.0.2.7',
      direction: 'outbound',
      transaction,
      recipients,
      size: 1000,
      recipientDomains: [],
      entitled: true,
    };
    const event = { id: newId(), type: 'MessageAccepted', at: this.clock.now(), by: 'smtp:test', data };
    const { position } = await this.deps.store.append(sendStream(account), [event], 'any');
    await this.deps.models.reached(position);
  }
}

/** One request, with a token of that role. */
export async function call(
  url: string,
  method: string,
  target: string,
  { role = 'admin', body, headers = {} }: Call = {},
): Promise<Reply> {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
  const response = await fetch(new URL(target, url), {
    method,
    headers: {
      authorization: `Bearer ${TOKENS[role]}`,
      ...(text === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(text === undefined ? {} : { body: text }),
  });
  const answer = await response.text();
  const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '') && answer !== '';
  return {
    status: response.status,
    headers: response.headers,
    text: answer,
    json: (isJson ? JSON.parse(answer) : undefined) as Answered,
  };
}

/** The same parts on another store, for a test in which it misbehaves. */
export function onStore(deps: ApiDependencies, store: EventStore): ApiDependencies {
  const blockCommands = new BlockCommandHandler(store, deps.clock);
  return { ...deps, store, blockCommands, mailServers: mailServersOn({ ...deps, store }) };
}

/** What answers mail servers, as a process has it that sees sends. */
function mailServersOn(
  { store, clock, models, metrics, logs }: Omit<ApiDependencies, 'mailServers'>,
  closers: (() => unknown)[] = [],
): MailServers {
  const recorder = new Recorder({ store, clock, log: logs.levels.of('policy'), by: 'policy:mx.example.com' });
  closers.push(() => recorder.close());
  return openMailServers({
    config: {
      policy: { refuse: '451', ownNetworks: ['198.51.100.0/24'] },
      smtp: { softFail: { contact: 'postmaster@example.com' } },
    },
    store,
    clock,
    models,
    metrics,
    recorder,
    knows: () => true,
    placeOf: () => ({}),
    senders: () => ({ kind: 'own' }),
  });
}

/** The parts of one process, and the API that it serves. */
export interface Node {
  readonly url: string;
  readonly deps: ApiDependencies;
  readonly api: Api;
  readonly health: { -readonly [Key in keyof HealthReport]: HealthReport[Key] };
  stop(): Promise<void>;
}

async function startNode(
  directory: string,
  clock: ManualClock,
  logged: string[],
  change: (deps: ApiDependencies) => ApiDependencies,
): Promise<Node> {
  const file = path.join(directory, 'events.db');
  return startOn(await openSqliteStore({ file, clock }), file, clock, logged, change);
}

/** Everything but the store, which it closes at its end. @param file where back-tests look for a store */
export async function startOn(
  store: EventStore,
  file: string,
  clock: ManualClock,
  logged: string[] = [],
  change: (deps: ApiDependencies) => ApiDependencies = (deps) => deps,
): Promise<Node> {
  const unanswered = new UnansweredVerdicts();
  const models = new ReadModels({
    onVerdict: (verdict) => unanswered.add(verdict),
    onBlockEvent({ stream, data }) {
      if ('evidence' in data && data.evidence !== undefined) unanswered.answered(stream, data.evidence);
    },
    onRulesChanged: () => undefined,
    onSkipped: () => undefined,
  });
  const rulesCommands = new RulesCommandHandler(store, clock);
  await rulesCommands.load(undefined, FIXED_RULES);
  await models.follow(store);
  const table = new TokenTable(
    Object.entries(TOKENS).map(([role, token]) => ({
      name: `the-${role}`,
      role: role as Role,
      hash: `sha256:${createHash('sha256').update(token).digest('hex')}`,
      addedAt: undefined,
      domains: role === 'domain' ? OWN_DOMAINS : [],
    })),
  );
  const health: Node['health'] = {
    status: 'ok',
    store: 'ok',
    relay: 'ok',
    readModels: 'ready',
    listeners: 'up',
    position: 0,
  };
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
  const location = {
    store: { kind: 'sqlite', file },
    retention: { sends: 35 * DAY },
  } as const;
  const backtests = new BacktestJobs({ location, clock, log });
  const closers: (() => unknown)[] = [];
  const own: Omit<ApiDependencies, 'mailServers'> = {
    models,
    blockCommands: new BlockCommandHandler(store, clock),
    rulesCommands,
    retention: { sends: 35 * DAY },
    forgetting: new ForgettingHandler({ store, models, clock, data: path.dirname(file) }),
    backtests,
    store,
    clock,
    startedAt: clock.now(),
    unstopped: () => unstopped(models, unanswered.all(), clock.now()),
    metrics: new Metrics(),
    log,
    logs: logsOf(log),
    tokens: {
      authenticate: (token) => table.find(token, clock.now()),
      hasName: (name) => table.hasName(name),
    },
    health: () => ({ ...health, position: models.position }),
    unanswered: () => undetected(models, unanswered.all(), clock.now()).length,
    progress: () => undefined,
    contact: 'postmaster@example.com',
    admins: () => NO_ADMINS,
  };
  const deps = change({ ...own, mailServers: mailServersOn(own, closers) });
  const api = createApi(deps);
  const described = new DescribedApi(api);
  const port = await HttpPort.open(described.api, { host: '127.0.0.1', port: 0 }, deps);
  return {
    url: `http://127.0.0.1:${port.number}/`,
    deps,
    api,
    health,
    async stop() {
      await port.close();
      for (const close of closers) await close();
      await models.stop();
      await store.close();
      described.report();
      assert.deepEqual(
        [...described.deviations.values()],
        [],
        'every answer is as the OpenAPI document describes it',
      );
    },
  };
}
