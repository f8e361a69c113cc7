import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigError } from '../accounts/problems.js';
import type { SenderPolicy } from '../accounts/senders.js';
import { parseSenderMap } from '../accounts/senders.js';
import { fileFault } from '../accounts/private-file.js';
import { DAY, MINUTE } from '../kernel/time.js';
import type { RawSettings } from './raw.js';
import { asRelay, isLocalHost, maildirRelay } from './relay.js';
import type { ListenerGroup } from './settings.js';
import { isSetting } from './settings.js';
import type {
  Config,
  InboundListener,
  ListenAddress,
  RelaySettings,
  SubmissionListener,
  TlsSettings,
} from './types.js';
import { LOG_ADDRESSES, LOG_FORMATS, LOG_LEVELS, ROLES, TLS_MODES } from './types.js';
import { asRedis, asRoles, asStore } from './engines.js';
import { buildTracing } from './tracing.js';
import type { Parser } from './values.js';
import {
  asChoice,
  asCount,
  asDomains,
  asDuration,
  asFlag,
  asHostName,
  asHttpUrl,
  asListen,
  asNetworks,
  asPath,
  asSize,
  asText,
  WrongValue,
} from './values.js';

/** What the settings are when nobody says anything. */
export interface ConfigSources {
  /** What `./data` is relative to. */
  readonly base: string;
  /** The machine's own name. */
  readonly hostname: string;
  readonly evaluation: boolean;
  /** Whether files that are named must be there: the command line makes some of them. */
  readonly checkFiles: boolean;
  /** How messages name a file. */
  readonly display: (file: string) => string;
}

/**
 * Turns what was written into a configuration. Problems go to `raw.problems`; the result is only good where
 * there are none.
 */
export function buildConfig(raw: RawSettings, around: ConfigSources): Config {
  const read = reader(raw);
  const data = read('data', asPath, path.resolve(around.base, 'data'));
  const roles = read('roles', asRoles, ROLES);
  const upstream = relay(raw, data, around.evaluation || !roles.includes('smtp'));
  const apiListen = read('api.listen', asListen, { host: '127.0.0.1', port: 8025 });
  return {
    data,
    roles,
    store: read('store', asStore(path.join(data, 'events.db')), {
      kind: 'sqlite',
      file: path.join(data, 'events.db'),
    }),
    outbox: {
      file: path.join(data, 'outbox.db'),
      maxEvents: read('outbox.maxEvents', asCount(1, 1_000_000_000), 1_000_000),
      whenFull: read('onStoreLost', asChoice(['accept', 'defer']), 'defer'),
    },
    redis: read('redis', asRedis, undefined),
    smtp: {
      hostname: read('smtp.hostname', asHostName, around.hostname),
      submission: submission(raw),
      inbound: inbound(raw, upstream),
      auth: {
        backend: read('smtp.auth.backend', asChoice(['file']), 'file'),
        users: read('smtp.auth.users', asPath, path.join(data, 'users.yaml')),
        attemptsPerMinute: read('smtp.auth.attemptsPerMinute', asCount(1, 100_000), 30),
      },
      relay: upstream,
      maxMessageSize: read('smtp.maxMessageSize', asSize, 50_000_000),
      maxConnections: read('smtp.maxConnections', asCount(1, 1_000_000), 1000),
      perNetwork: {
        connections: read('smtp.perNetwork.connections', asCount(1, 1_000_000), 50),
        newPerMinute: read('smtp.perNetwork.newPerMinute', asCount(1, 1_000_000), 300),
        except: read('smtp.perNetwork.except', asNetworks, ['private']),
      },
      timeouts: {
        login: read('smtp.timeouts.login', asDuration, MINUTE),
        command: read('smtp.timeouts.command', asDuration, 5 * MINUTE),
      },
      maxRecipients: read('smtp.maxRecipients', asCount(1, 100_000), 100),
      senders: read('smtp.senders', senderPolicy(around), { kind: around.evaluation ? 'domain' : 'own' }),
      softFail: { contact: read('smtp.softFail.contact', asText, undefined) },
    },
    api: {
      listen: apiListen,
      tokens: read('api.tokens', asPath, path.join(data, 'tokens.yaml')),
      metrics: read('api.metrics', asChoice(['open', 'token']), undefined) ?? metricsAsk(apiListen),
      publicUrl: read('api.publicUrl', asHttpUrl, undefined),
    },
    rules: read('rules', asPath, undefined),
    overrides: read('overrides', asPath, undefined),
    geoip: {
      country: read('geoip.country', asPath, undefined),
      asn: read('geoip.asn', asPath, undefined),
    },
    retention: { sends: read('retention.sends', asDuration, 35 * DAY) },
    log: {
      level: read('log.level', asChoice(LOG_LEVELS), 'info'),
      format: read('log.format', asChoice(LOG_FORMATS), 'json'),
      addresses: read('log.addresses', asChoice(LOG_ADDRESSES), 'plain'),
      key: read('log.key', asPath, path.join(data, 'log-key')),
      file: read('log.file', asPath, undefined),
      maxFileSize: read('log.maxFileSize', asSize, 10_000_000),
    },
    tracing: buildTracing(read),
  };
}

type Reader = <T, F extends T | undefined>(key: string, parse: Parser<T>, fallback: F) => T | F;

function reader(raw: RawSettings): Reader {
  return (key, parse, fallback) => {
    if (!isSetting(key.replace(/\[\d+\]/, ''))) throw new Error(`${key} is missing in the table of settings`);
    const written = raw.values.get(key);
    if (written === undefined) return fallback;
    try {
      return parse(written.value, written.base);
    } catch (thrown) {
      if (thrown instanceof ConfigError) raw.problems.push(...thrown.problems);
      else if (thrown instanceof WrongValue) raw.problems.push(`${written.where}: ${thrown.message}`);
      else throw thrown;
      return fallback;
    }
  };
}

/** Metrics tell a wrong password from a blocked account, which is for nobody but those who run it. */
function metricsAsk(listen: ListenAddress): 'open' | 'token' {
  return listensOnLoopback(listen) ? 'open' : 'token';
}

/** Whether a listener can be reached from this machine alone. */
export function listensOnLoopback(address: ListenAddress): boolean {
  return address.host !== undefined && isLocalHost(address.host);
}

function tls(read: Reader, key: string): TlsSettings {
  return {
    mode: read(`${key}.tls.mode`, asChoice(TLS_MODES), 'starttls'),
    cert: read(`${key}.tls.cert`, asPath, undefined),
    key: read(`${key}.tls.key`, asPath, undefined),
  };
}

function submission(raw: RawSettings): SubmissionListener[] {
  // Without a word about submission there is one listener, on loopback.
  const count = raw.listeners.get('smtp.submission') ?? 1;
  const read = reader(raw);
  return keys('smtp.submission', count).map((key) => {
    const fallback = { host: '127.0.0.1', port: 2587 };
    if (count > 1 && !raw.values.has(`${key}.listen`)) missing(raw, key, 'listen', '127.0.0.1:2587');
    const listen = read(`${key}.listen`, asListen, fallback);
    const settings = tls(read, key);
    const insecure = read(`${key}.allowInsecureAuth`, asFlag, listensOnLoopback(listen));
    return { listen, tls: settings, allowInsecureAuth: insecure };
  });
}

function inbound(raw: RawSettings, upstream: RelaySettings): InboundListener[] {
  const read = reader(raw);
  return keys('smtp.inbound', raw.listeners.get('smtp.inbound') ?? 0).map((key) => {
    for (const [name, example] of [
      ['listen', '127.0.0.1:2525'],
      ['domains', '[example.com]'],
    ] as const) {
      if (!raw.values.has(`${key}.${name}`)) missing(raw, key, name, example);
    }
    return {
      listen: read(`${key}.listen`, asListen, { host: '127.0.0.1', port: 0 }),
      tls: tls(read, key),
      domains: read(`${key}.domains`, asDomains, []),
      relay: read(`${key}.relay.url`, asRelay, upstream),
    };
  });
}

function keys(group: ListenerGroup, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${group}[${index}]`);
}

function missing(raw: RawSettings, key: string, name: string, example: string): void {
  raw.problems.push(
    `${raw.place(key, `${key}.${name}`)}: ${key}.${name}: is missing; for instance ${name}: ${example}`,
  );
}

function relay(raw: RawSettings, data: string, optional: boolean): RelaySettings {
  const fallback = maildirRelay(path.join(data, 'mail'));
  if (!optional && !raw.values.has('smtp.relay.url')) {
    raw.problems.push(
      `${raw.place('smtp.relay', 'smtp.relay.url')}: smtp.relay.url: is missing; name where accepted mail goes, ` +
        'such as smtp://127.0.0.1:25',
    );
  }
  return reader(raw)('smtp.relay.url', asRelay, fallback);
}

function senderPolicy(around: ConfigSources): Parser<SenderPolicy> {
  return (raw, base) => {
    if (raw === 'own' || raw === 'domain' || raw === 'any') return { kind: raw };
    const file = typeof raw === 'string' ? /^map:(.+)$/.exec(raw)?.[1]?.trim() : undefined;
    if (file === undefined) throw new WrongValue('is not known; use own, domain, any or map:FILE');
    const absolute = path.resolve(base, file);
    if (!around.checkFiles) return { kind: 'map', file: absolute, map: new Map() };
    let text: string;
    try {
      text = readFileSync(absolute, 'utf8');
    } catch (thrown) {
      throw new WrongValue(`${absolute} ${fileFault(thrown, 'name a YAML file of account to return paths')}`);
    }
    return { kind: 'map', file: absolute, map: parseSenderMap(text, around.display(absolute)) };
  };
}
