import type { Socket } from 'node:net';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Instant } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { MailDirection } from '../sending/subjects.js';
import { ReplyError } from '../smtp/replies.js';
import type { ScrapedRegistry } from './registry.js';
import { counterFrom0, histogramFrom0 } from './registry.js';

const DIRECTIONS: readonly MailDirection[] = ['outbound', 'inbound'];
const LOGINS = ['succeeded', 'failed', 'feigned', 'limited', 'overloaded', 'unavailable'] as const;
export type LoginOutcome = (typeof LOGINS)[number];

/** What may refuse where. */
const REASONS = {
  auth: ['soft', 'defer', 'hold'],
  mail: ['sender'],
  rcpt: ['soft', 'defer', 'honest', 'hold', 'upstream', 'unreachable', 'relay', 'route'],
  data: ['soft', 'defer', 'honest', 'hold', 'upstream', 'unreachable', 'store'],
} as const;
export type RefusalReason = (typeof REASONS)[keyof typeof REASONS][number];

/** Seconds. Few, since a command costs a walk through them: memory, a disk, a network, a person's patience. */
const COMMAND_SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10];

/** What the SMTP side tells of itself. */
export interface SmtpMeter {
  door(direction: MailDirection): ListenerMeter;
  connectionFailed(kind: 'accept' | 'client'): void;
  login(outcome: LoginOutcome): void;
  refused(stage: Command, reason: RefusalReason): void;
  /** A message is handed to the upstream. @returns to be called when that is over, either way */
  handingOver(): () => void;
  /** @param messages none for further recipients of one that was measured before */
  accepted(direction: MailDirection, recipients: number, messages?: 0 | 1): void;
  /** The upstream has a message, and says nothing of it. */
  unanswered(): void;
  certificate(listener: string, expiresAt: Instant): void;
}

/** Measures the SMTP side. */
export class SmtpMetrics implements SmtpMeter {
  readonly #sends = new Counter({
    name: 'stopgap_sends_total',
    help: 'Messages accepted for relay.',
    labelNames: ['direction'] as const,
    registers: [],
  });
  readonly #recipients = new Counter({
    name: 'stopgap_recipients_total',
    help: 'Recipients of the messages accepted for relay.',
    labelNames: ['direction'] as const,
    registers: [],
  });
  readonly sessions = new Gauge({
    name: 'stopgap_smtp_sessions',
    help: 'SMTP sessions open now.',
    labelNames: ['direction'] as const,
    registers: [],
  });
  readonly #commands = new Counter({
    name: 'stopgap_smtp_commands_total',
    help: 'What was asked at each stage, by how it was answered.',
    labelNames: ['direction', 'stage', 'outcome'] as const,
    registers: [],
  });
  readonly #seconds = new Histogram({
    name: 'stopgap_smtp_command_seconds',
    help: 'From a command until its answer was decided.',
    labelNames: ['direction', 'stage'] as const,
    buckets: COMMAND_SECONDS,
    registers: [],
  });
  readonly #turnedAway = new Counter({
    name: 'stopgap_smtp_turned_away_total',
    help: 'Connections that were refused or cut, by what they exceeded.',
    labelNames: ['direction', 'reason'] as const,
    registers: [],
  });
  readonly #errors = new Counter({
    name: 'stopgap_smtp_errors_total',
    help: 'Connections that failed: not to be taken, or by their client.',
    labelNames: ['kind'] as const,
    registers: [],
  });
  readonly #refusals = new Counter({
    name: 'stopgap_refusals_total',
    help: 'Commands refused, by stage and reason.',
    labelNames: ['stage', 'reason'] as const,
    registers: [],
  });
  readonly #logins = new Counter({
    name: 'stopgap_auth_total',
    help: 'AUTH attempts, by outcome. A feigned failure is a block that looks like a wrong password.',
    labelNames: ['outcome'] as const,
    registers: [],
  });
  readonly passwordChecks = new Gauge({
    name: 'stopgap_password_checks',
    help: 'Password checks that run or wait.',
    registers: [],
  });
  readonly #certificates = new Gauge({
    name: 'stopgap_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of a listener ends, in seconds since the epoch.',
    labelNames: ['listener'] as const,
    registers: [],
  });
  readonly relayUp = new Gauge({
    name: 'stopgap_relay_up',
    help: 'Whether the upstream answered when last asked, and the last messages that it was sent.',
    registers: [],
  });
  readonly relaySessions = new Gauge({
    name: 'stopgap_relay_sessions',
    help: 'Upstream sessions.',
    labelNames: ['state'] as const,
    registers: [],
  });
  readonly #transmit = new Histogram({
    name: 'stopgap_relay_transmit_seconds',
    help: 'Handing a complete message to the upstream, until it took or refused it.',
    buckets: COMMAND_SECONDS,
    registers: [],
  });
  readonly #unanswered = new Counter({
    name: 'stopgap_relay_unanswered_total',
    help: 'Messages that the upstream has in full and did not answer within 30 s, or 5 s after their client had gone.',
    registers: [],
  });
  readonly #sent: Readonly<
    Record<MailDirection, { messages: Counter.Internal; recipients: Counter.Internal }>
  >;
  readonly #handedOver: Histogram.Internal<string>;

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#sends, this.#recipients, this.sessions, this.#commands, this.#seconds])
      registry.add(metric);
    registry.add(this.#turnedAway);
    for (const metric of [this.#errors, this.#refusals, this.#logins, this.passwordChecks])
      registry.add(metric);
    for (const metric of [this.#certificates, this.relayUp, this.relaySessions, this.#transmit])
      registry.add(metric);
    registry.add(this.#unanswered);
    const sent = (direction: MailDirection) => ({
      messages: counterFrom0(this.#sends, { direction }),
      recipients: counterFrom0(this.#recipients, { direction }),
    });
    this.#sent = { outbound: sent('outbound'), inbound: sent('inbound') };
    this.#handedOver = histogramFrom0(this.#transmit, {});
    // From 0 on, so that the first of each is an increase.
    for (const direction of DIRECTIONS) this.sessions.set({ direction }, 0);
    for (const kind of ['accept', 'client']) this.#errors.inc({ kind }, 0);
    for (const [stage, reasons] of Object.entries(REASONS))
      for (const reason of reasons) this.#refusals.inc({ stage, reason }, 0);
    for (const outcome of LOGINS) this.#logins.inc({ outcome }, 0);
    this.relayUp.remove();
  }

  door(direction: MailDirection): ListenerMeter {
    return new ListenerMetrics(direction, {
      commands: this.#commands,
      seconds: this.#seconds,
      sessions: this.sessions,
      turnedAway: this.#turnedAway,
    });
  }

  connectionFailed(kind: 'accept' | 'client'): void {
    this.#errors.inc({ kind });
  }

  login(outcome: LoginOutcome): void {
    this.#logins.inc({ outcome });
  }

  refused(stage: Command, reason: RefusalReason): void {
    this.#refusals.inc({ stage, reason });
  }

  handingOver(): () => void {
    const began = performance.now();
    return () => this.#handedOver.observe((performance.now() - began) / SECOND);
  }

  accepted(direction: MailDirection, recipients: number, messages = 1): void {
    const sent = this.#sent[direction];
    sent.messages.inc(messages);
    sent.recipients.inc(recipients);
  }

  unanswered(): void {
    this.#unanswered.inc();
  }

  certificate(listener: string, expiresAt: Instant): void {
    this.#certificates.set({ listener }, expiresAt / SECOND);
  }
}

const nothing = (): void => undefined;

/** Measures nothing: what the SMTP side costs without being measured. */
export const UNMEASURED_SMTP: SmtpMeter = {
  door: () => ({
    arrived: nothing,
    turnedAway: nothing,
    greeted: nothing,
    closed: nothing,
    measured: (_command, done) => done,
  }),
  connectionFailed: nothing,
  login: nothing,
  refused: nothing,
  handingOver: () => nothing,
  accepted: nothing,
  unanswered: nothing,
  certificate: nothing,
};

const COMMANDS = ['auth', 'mail', 'rcpt', 'data'] as const;
export type Command = (typeof COMMANDS)[number];

const OUTCOMES = ['accepted', 'deferred', 'refused', 'failed'] as const;
type CommandOutcome = (typeof OUTCOMES)[number];
/** Refused before a word was said, and cut for keeping us waiting. */
const REFUSED = ['full', 'network', 'rate'] as const;
const CUT = ['login', 'command', 'message', 'reader', 'session', 'proxy'] as const;
const TURNED_AWAY = [...REFUSED, ...CUT] as const;
export type TurnedAwayFor = (typeof TURNED_AWAY)[number];
const ARRIVALS = ['accepted', 'deferred', 'gone'] as const;
type Arrival = (typeof ARRIVALS)[number];

/** How a command's answer is handed to the library. */
type Done<Result> = (error?: Error | null, result?: Result) => void;

/** A client's address, as a socket or a session has it. */
interface Peer {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** What one listener tells of itself. */
export interface ListenerMeter {
  /** A connection is there, before TLS and greeting. */
  arrived(socket: Socket, client?: Peer): void;
  /** One was refused or cut. */
  turnedAway(reason: TurnedAwayFor): void;
  /** It is greeted: a session begins. */
  greeted(session: Peer): void;
  closed(): void;
  /** Gives a callback in place of `done` that measures the command until it is answered. */
  measured<Result>(command: Command, done: Done<Result>): Done<Result>;
}

/** The metrics that all doors share. */
interface ListenerSeries {
  readonly commands: Counter<'direction' | 'stage' | 'outcome'>;
  readonly seconds: Histogram<'direction' | 'stage'>;
  readonly sessions: Gauge<'direction'>;
  readonly turnedAway: Counter<'direction' | 'reason'>;
}

interface Measured {
  readonly seconds: Histogram.Internal<string>;
  readonly counts: Readonly<Record<CommandOutcome, Counter.Internal>>;
}

interface Cells {
  readonly sessions: Gauge.Internal<'direction'>;
  readonly arrivals: Readonly<Record<Arrival, Counter.Internal>>;
  readonly arrivalSeconds: Histogram.Internal<string>;
  readonly turnedAway: Readonly<Record<TurnedAwayFor, Counter.Internal>>;
  readonly commands: Readonly<Record<Command, Measured>>;
}

/** Counts in places that are looked up once: it is asked several times a message. */
export class ListenerMetrics implements ListenerMeter {
  readonly #cells: Cells;
  /** The arrival times of clients that are not greeted yet, by their address. */
  readonly #arriving = new Map<string, number>();

  constructor(direction: MailDirection, { commands, seconds, sessions, turnedAway }: ListenerSeries) {
    const connect = { direction, stage: 'connect' };
    this.#cells = {
      sessions: sessions.labels({ direction }),
      arrivals: byName(ARRIVALS, (outcome) => counterFrom0(commands, { ...connect, outcome })),
      arrivalSeconds: histogramFrom0(seconds, connect),
      turnedAway: byName(TURNED_AWAY, (reason) => counterFrom0(turnedAway, { direction, reason })),
      commands: byName(COMMANDS, (stage) => ({
        seconds: histogramFrom0(seconds, { direction, stage }),
        counts: byName(OUTCOMES, (outcome) => counterFrom0(commands, { direction, stage, outcome })),
      })),
    };
  }

  arrived(socket: Socket, client: Peer = socket): void {
    const peer = peerKey(client);
    this.#arriving.set(peer, performance.now());
    socket.once('close', () => {
      if (this.#arriving.delete(peer)) this.#cells.arrivals.gone.inc();
    });
  }

  turnedAway(reason: TurnedAwayFor): void {
    this.#cells.turnedAway[reason].inc();
    if (REFUSED.some((refused) => refused === reason)) this.#cells.arrivals.deferred.inc();
  }

  greeted(session: Peer): void {
    const peer = peerKey(session);
    const began = this.#arriving.get(peer);
    this.#arriving.delete(peer);
    this.#cells.sessions.inc();
    this.#cells.arrivals.accepted.inc();
    if (began !== undefined) this.#cells.arrivalSeconds.observe((performance.now() - began) / SECOND);
  }

  closed(): void {
    this.#cells.sessions.dec();
  }

  measured<Result>(command: Command, done: Done<Result>): Done<Result> {
    const { seconds, counts } = this.#cells.commands[command];
    const began = performance.now();
    return (error, result) => {
      seconds.observe((performance.now() - began) / SECOND);
      counts[outcomeOf(error)].inc();
      done(error, result);
    };
  }
}

function outcomeOf(error: Error | null | undefined): CommandOutcome {
  if (error === null || error === undefined) return 'accepted';
  if (!(error instanceof ReplyError) || error.isFault) return 'failed';
  return error.responseCode >= 500 ? 'refused' : 'deferred';
}

/** A dual-stack socket has IPv4 addresses in IPv6 form, the session as IPv4; only one of them may name a zone. */
function peerKey({ remoteAddress = '', remotePort = 0 }: Peer): string {
  return `${remotePort} ${
    remoteAddress
      .toLowerCase()
      .replace(/^::ffff:/, '')
      .split('%', 1)[0]
  }`;
}

function byName<Name extends string, Value>(
  names: readonly Name[],
  make: (name: Name) => Value,
): Readonly<Record<Name, Value>> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, Value>;
}
