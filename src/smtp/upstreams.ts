import type { Logger } from 'pino';
import { relaysOf } from '../config/schema.js';
import type { Config } from '../config/schema.js';
import type { RelaySettings } from '../config/values.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { SmtpMetrics } from '../metrics/smtp.js';
import { openRelay } from './relay/open.js';
import type { MailDirection } from '../sending/subjects.js';
import type { Relay } from './relay/port.js';
import type { RelayWatch } from './relay/watch.js';
import { watchRelay } from './relay/watch.js';
import { within } from '../runtime/deadline.js';
import { systemClock } from '../runtime/system-clock.js';

/** The sessions have been waited for already when relays are closed. */
const CLOSE: Milliseconds = SECOND;
/** How long listeners wait for what the upstreams offer: until it is known, clients are offered nothing that needs it. */
const FIRST_ANSWER: Milliseconds = SECOND;

interface UpstreamsOptions {
  readonly config: Config;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: Pick<SmtpMetrics, 'unanswered'>;
}

interface Upstream {
  readonly relay: Relay;
  readonly watch: RelayWatch;
}

/** Where mail goes: one relay for each URL that the configuration names, asked every half minute whether it answers. */
export class Upstreams {
  readonly #byUrl = new Map<string, Upstream>();

  readonly #smtp: Config['smtp'];

  constructor({ config, clock, log, metrics }: UpstreamsOptions) {
    this.#smtp = config.smtp;
    for (const { relay: settings } of relaysOf(config)) {
      if (this.#byUrl.has(settings.url)) continue;
      const relay = openRelay(settings.url, {
        hostname: config.smtp.hostname,
        clock,
        closeTimeout: CLOSE,
        onNotice: (notice) => log.warn({ notice }, 'news of the upstream'),
        onUnanswered: () => metrics.unanswered(),
      });
      this.#byUrl.set(settings.url, { relay, watch: watchRelay(relay, clock) });
    }
  }

  relayOf({ url }: RelaySettings): Relay {
    return this.#byUrl.get(url)!.relay;
  }

  /** What the last probes said: `failing` where one of them does. */
  get state(): RelayWatch['state'] {
    return worst([...this.#byUrl.values()]);
  }

  /** The same of those alone that take mail of one direction. */
  stateFor(direction: MailDirection): RelayWatch['state'] {
    const { relay, inbound } = this.#smtp;
    const relays = direction === 'outbound' ? [relay] : inbound.map((listener) => listener.relay);
    return worst(relays.map(({ url }) => this.#byUrl.get(url)!));
  }

  get sessions(): Relay['sessions'] {
    let [open, busy, unanswered] = [0, 0, 0];
    for (const { relay } of this.#byUrl.values()) {
      open += relay.sessions.open;
      busy += relay.sessions.busy;
      unanswered += relay.sessions.unanswered;
    }
    return { open, busy, unanswered };
  }

  /** Resolves when each has been asked, or has not answered for a while. */
  async asked(): Promise<void> {
    const first = Promise.all([...this.#byUrl.values()].map(({ watch }) => watch.asked));
    await within(systemClock, FIRST_ANSWER, first, () => undefined);
  }

  async close(): Promise<void> {
    for (const { watch } of this.#byUrl.values()) watch.stop();
    await Promise.all([...this.#byUrl.values()].map(({ relay }) => relay.close()));
  }
}

function worst(upstreams: readonly Upstream[]): RelayWatch['state'] {
  const states = new Set(upstreams.map(({ watch }) => watch.state));
  return (['failing', 'unknown'] as const).find((state) => states.has(state)) ?? 'ok';
}
