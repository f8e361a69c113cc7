import { Counter, Gauge } from 'prom-client';
import type { ScrapedRegistry } from './registry.js';

const OUTCOMES = ['delivered', 'retried', 'dead'] as const;

/** Measures what becomes of notices, by the channel's name in the configuration. */
export class NoticeMetrics {
  readonly #attempts = new Counter({
    name: 'stopgap_notice_attempts_total',
    help: 'Attempts to send a notice, by channel and what came of them.',
    labelNames: ['channel', 'outcome'] as const,
    registers: [],
  });
  readonly #waiting = new Gauge({
    name: 'stopgap_notices_waiting',
    help: 'Notices that are still to be sent or sent again, by channel.',
    labelNames: ['channel'] as const,
    registers: [],
  });
  readonly #stuck = new Gauge({
    name: 'stopgap_notice_receivers_stuck',
    help: 'Receivers that do not take their notices, so that what happens only gathers for them, by channel.',
    labelNames: ['channel'] as const,
    registers: [],
  });
  readonly #dead = new Gauge({
    name: 'stopgap_notices_dead',
    help: 'Notices that were given up and may be resent, by channel.',
    labelNames: ['channel'] as const,
    registers: [],
  });
  readonly #disabled = new Gauge({
    name: 'stopgap_notice_channel_disabled',
    help: '1 while a channel sends nothing because its receiver answered 410.',
    labelNames: ['channel'] as const,
    registers: [],
  });

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#attempts, this.#waiting, this.#stuck, this.#dead, this.#disabled])
      registry.add(metric);
  }

  attempted(channel: string, outcome: (typeof OUTCOMES)[number]): void {
    this.#attempts.inc({ channel, outcome });
  }

  is(channel: string, state: { waiting: number; stuck: number; dead: number; disabled: boolean }): void {
    for (const outcome of OUTCOMES) this.#attempts.inc({ channel, outcome }, 0);
    this.#waiting.set({ channel }, state.waiting);
    this.#stuck.set({ channel }, state.stuck);
    this.#dead.set({ channel }, state.dead);
    this.#disabled.set({ channel }, Number(state.disabled));
  }
}
