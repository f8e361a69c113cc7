import type { SenderPolicy } from '../accounts/senders.js';
import type { Config } from '../config/schema.js';
import { formatPolicyListen, listenFault } from '../config/listening.js';
import type { ReadModels } from '../detector/read-models.js';
import type { GeoPlace } from '../geoip/database.js';
import type { AlarmClock } from '../kernel/time.js';
import type { LogLevels } from '../log/levels.js';
import { Trouble } from '../log/trouble.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Recorder } from '../recording/recorder.js';
import type { Appended, EventStore } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';
import { PolicyListener } from './listener.js';
import type { Asked } from './service.js';
import { PolicyService } from './service.js';

export interface PolicyRoleOptions {
  readonly config: Config;
  readonly clock: AlarmClock;
  readonly logs: LogLevels;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
  readonly models: ReadModels;
  readonly recorder: Recorder;
  readonly placeOf: (ip: string) => GeoPlace;
  readonly senders: () => SenderPolicy;
  readonly store: Pick<EventStore, 'healthy'>;
  /** See {@link PolicyContext}. */
  readonly accepted: (appended: Appended) => Promise<void> | undefined;
  /** Whether what is blocked is known. */
  readonly knows: () => boolean;
  /** Gets what closes what was opened. */
  readonly closers: (() => unknown)[];
}

export interface PolicyRole {
  /** What mail servers have asked since the start. */
  readonly asked: Asked;
  /** Whether connections are cut to make room for others. */
  readonly isCrowded: boolean;
  readonly listening: { readonly what: string; readonly address: string };
}

/**
 * Opens the policy service. It answers from the first moment, since a mail server that finds nobody waits: as long as it is
 * not known who is blocked, everything goes on.
 */
export async function openPolicyRole(
  options: PolicyRoleOptions & { readonly listen: NonNullable<Config['policy']['listen']> },
): Promise<PolicyRole> {
  const { config, clock, logs, metrics, closers, listen } = options;
  const log = logs.of('policy');
  const service = new PolicyService({
    ...options,
    settings: config.policy,
    contact: config.smtp.softFail.contact,
    onFull: (block, { messages, bytes }) =>
      log.warn(
        { block, messages, bytes },
        'a block holds as much mail as one may: more is told to come again, until somebody decides on what is held',
      ),
    lost: new Trouble(clock, {
      began: (error) => log.error({ error }, 'sends are lost: they cannot be recorded'),
      over: (count, spanMs) => log.warn({ count, spanMs }, 'sends are recorded again'),
    }),
    failed: new Trouble(clock, {
      began: (error) => log.error({ error }, 'a policy request could not be judged: mail goes on'),
      over: (count, spanMs) => log.warn({ count, spanMs }, 'policy requests are judged again'),
    }),
  });
  const accepting = new Trouble(clock, {
    began: (error) => log.error({ error }, 'a policy connection was not taken'),
    over: (count, spanMs) => log.warn({ count, spanMs }, 'policy connections are taken again'),
  });
  const room = new Trouble(clock, {
    began: (error) =>
      log.warn(
        { listener: formatPolicyListen(listen), error },
        'no room for policy connections: those that have asked nothing for longest are cut; see who connects',
      ),
    over: (count, spanMs) => log.warn({ count, spanMs }, 'there is room for policy connections again'),
  });
  const listener = new PolicyListener({
    listen,
    clock,
    log,
    meter: metrics.policy,
    answer: (request) => service.answer(request),
    isBehind: () => options.recorder.isBehind,
    onAcceptFailed: ({ message }) => accepting.failed(message),
    room,
  });
  const address = await listener.listen().catch((thrown: unknown) => {
    throw listenFault(thrown, 'policy.listen', listen);
  });
  closers.push(() => listener.close());
  return {
    asked: service.asked,
    get isCrowded() {
      return room.on;
    },
    listening: { what: 'policy', address: formatPolicyListen(address) },
  };
}
