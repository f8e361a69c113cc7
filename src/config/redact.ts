import { parseRedis } from '../redis/address.js';
import { formatRelay } from './relay.js';
import type { LoadedConfig } from './types.js';
import { formatListen } from './types.js';

/** The configuration in the shape of the file, without secrets: fit for a log, a page or a bug report. */
export function redactedConfig({ config, evaluation, file }: LoadedConfig): Record<string, unknown> {
  const { smtp, api } = config;
  return {
    file: file ?? null,
    evaluation,
    data: config.data,
    roles: config.roles,
    store: config.store.kind,
    outbox: config.outbox,
    redis: config.redis === undefined ? null : parseRedis(config.redis.url).toString(),
    smtp: {
      hostname: smtp.hostname,
      submission: smtp.submission.map((one) => ({ ...one, listen: formatListen(one.listen) })),
      inbound: smtp.inbound.map((one) => ({
        ...{ ...one, listen: formatListen(one.listen), relay: { url: formatRelay(one.relay) } },
      })),
      auth: smtp.auth,
      relay: { url: formatRelay(smtp.relay) },
      maxMessageSize: smtp.maxMessageSize,
      maxConnections: smtp.maxConnections,
      perNetwork: smtp.perNetwork,
      timeouts: smtp.timeouts,
      maxRecipients: smtp.maxRecipients,
      senders: smtp.senders.kind === 'map' ? `map:${smtp.senders.file}` : smtp.senders.kind,
      softFail: smtp.softFail,
    },
    api: { ...api, listen: formatListen(api.listen) },
    rules: config.rules ?? null,
    retention: config.retention,
    log: config.log,
    tracing: config.tracing ?? null,
  };
}
