import { Counter, Gauge } from 'prom-client';
import type { Instant } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { MailDirection } from '../sending/subjects.js';
import { ListenerMetrics } from './listener.js';
import type { Command, ListenerMeter } from './listener.js';
import type { CounterCell, HistogramCell } from './flat.js';
import { FlatCounter, FlatHistogram } from './flat.js';
import type { ScrapedRegistry } from './registry.js';

const DIRECTIONS: readonly MailDirection[] = ['outbound', 'inbound'];
const LOGINS = ['succeeded', 'failed', 'feigned', 'limited', 'overloaded'] as const;
export type LoginOutcome = (typeof LOGINS)[number];

/** What may refuse where. */
const REASONS = {
  auth: ['soft', 'defer'],
  mail: ['sender'],
  rcpt: ['soft', 'defer', 'honest', 'upstream', 'unreachable', 'relay', 'route'],
  data: ['soft', 'defer', 'honest', 'upstream', 'unreachable', 'store'],
} as const;
export type RefusalReason =
  'soft' | 'defer' | 'honest' | 'upstream' | 'unreachable' | 'store' | 'sender' | 'relay' | 'route';

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
  accepted(direction: MailDirection, recipients: number): void;
  /** The upstream has a message, and says nothing of it. */
  unanswered(): void;
  certificate(listener: string, expiresAt: Instant): void;
}

/** Measures the SMTP side. */
export class SmtpMetrics implements SmtpMeter {
  readonly #sends = new FlatCounter({
    name: 'stopgap_sends_total',
    help: 'Messages accepted for relay.',
    labelNames: ['direction'] as const,
  });
  readonly #recipients = new FlatCounter({
    name: 'stopgap_recipients_total',
    help: 'Recipients of the messages accepted for relay.',
    labelNames: ['direction'] as const,
  });
  readonly sessions = new Gauge({
    name: 'stopgap_smtp_sessions',
    help: 'SMTP sessions open now.',
    labelNames: ['direction'] as const,
    registers: [],
  });
  readonly #commands = new FlatCounter({
    name: 'stopgap_smtp_commands_total',
    help: 'What was asked at each stage, by how it was answered.',
    labelNames: ['direction', 'stage', 'outcome'] as const,
  });
  readonly #seconds = new FlatHistogram({
    name: 'stopgap_smtp_command_seconds',
    help: 'From a command until its answer was decided.',
    labelNames: ['direction', 'stage'] as const,
    buckets: COMMAND_SECONDS,
  });
  readonly #turnedAway = new FlatCounter({
    name: 'stopgap_smtp_turned_away_total',
    help: 'Connections that were refused or cut, by what they exceeded.',
    labelNames: ['direction', 'reason'] as const,
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
    help: 'Whether the upstream answered when last asked.',
    registers: [],
  });
  readonly relaySessions = new Gauge({
    name: 'stopgap_relay_sessions',
    help: 'Upstream sessions.',
    labelNames: ['state'] as const,
    registers: [],
  });
  readonly #transmit = new FlatHistogram({
    name: 'stopgap_relay_transmit_seconds',
    help: 'Handing a complete message to the upstream, until it took or refused it.',
    buckets: COMMAND_SECONDS,
  });
  readonly #unanswered = new Counter({
    name: 'stopgap_relay_unanswered_total',
    help: 'Messages that the upstream has in full and did not answer within 30 s, or 5 s after their client had gone.',
    registers: [],
  });
  readonly #sent: Readonly<Record<MailDirection, { messages: CounterCell; recipients: CounterCell }>>;
  readonly #handedOver: HistogramCell;

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
      messages: this.#sends.cell({ direction }),
      recipients: this.#recipients.cell({ direction }),
    });
    this.#sent = { outbound: sent('outbound'), inbound: sent('inbound') };
    this.#handedOver = this.#transmit.cell({});
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
      ...{ commands: this.#commands, seconds: this.#seconds, sessions: this.sessions },
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

  accepted(direction: MailDirection, recipients: number): void {
    const sent = this.#sent[direction];
    sent.messages.inc();
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
