/** One setting, as docs/reference/configuration.md lists it (a test compares the two). */
export interface Setting {
  /** Its place in stopgap.yaml: `smtp.relay.url`. Those under `smtp.submission` and `smtp.inbound` may stand in a list. */
  readonly path: string;
  /** `STOPGAP_SMTP_RELAY_URL`. */
  readonly env: string;
  readonly type: string;
  /** As one would write it; undefined where there is none. */
  readonly default: string | undefined;
  readonly description: string;
}

const TABLE: ReadonlyArray<
  readonly [path: string, type: string, fallback: string | undefined, text: string]
> = [
  ['data', 'path', './data', 'Directory for everything that Stopgap writes.'],
  [
    'store',
    'sqlite | URL',
    'sqlite',
    'The event store: sqlite keeps events.db in the data directory; kurrentdb://, kurrentdb+discover:// and esdb:// name a server.',
  ],
  [
    'roles',
    'list of smtp, detector, api, worker',
    'smtp,detector,api,worker',
    'What this process does; with sqlite it does all.',
  ],
  [
    'redis',
    'URL',
    undefined,
    'Where timed work waits (BullMQ): redis:// or rediss://; without it in the process.',
  ],
  [
    'onStoreLost',
    'accept | defer',
    'defer',
    'When the store is away and the outbox full: take mail without a record, or tell clients to try again later. With KurrentDB only.',
  ],
  ['outbox.maxEvents', 'number', '1000000', 'Sends that may wait on disk while the store is away.'],
  ['smtp.hostname', 'host name', "the machine's name", 'The name in the greeting and in Received headers.'],
  ['smtp.submission.listen', 'address', '127.0.0.1:2587', 'Where users hand in mail; needs a login.'],
  ['smtp.submission.tls.mode', 'none | starttls | implicit', 'starttls', 'TLS of submission.'],
  ['smtp.submission.tls.cert', 'path', 'self-signed', 'PEM certificate chain of submission.'],
  ['smtp.submission.tls.key', 'path', 'self-signed', 'PEM private key of submission.'],
  [
    'smtp.submission.allowInsecureAuth',
    'true | false',
    'true on loopback, else false',
    'Whether passwords may come without TLS.',
  ],
  ['smtp.inbound.listen', 'address', undefined, 'Where mail for local users arrives; off unless set.'],
  ['smtp.inbound.domains', 'list of domains', undefined, 'The local domains that inbound mail is taken for.'],
  [
    'smtp.inbound.relay.url',
    'URL',
    'smtp.relay.url',
    'Where mail that arrives goes, if not where submissions go.',
  ],
  ['smtp.inbound.tls.mode', 'none | starttls | implicit', 'starttls', 'TLS of inbound.'],
  ['smtp.inbound.tls.cert', 'path', 'self-signed', 'PEM certificate chain of inbound.'],
  ['smtp.inbound.tls.key', 'path', 'self-signed', 'PEM private key of inbound.'],
  ['smtp.auth.backend', 'file', 'file', 'Who knows the accounts.'],
  ['smtp.auth.users', 'path', 'users.yaml in data', 'The users file (stopgap user).'],
  [
    'smtp.auth.attemptsPerMinute',
    'number',
    '30',
    'Failed logins a minute that one client network (an IPv4 address, an IPv6 /64) may have.',
  ],
  [
    'smtp.relay.url',
    'URL',
    undefined,
    'Where accepted mail goes: smtp://, smtps://, lmtp://, lmtp:///socket or maildir:directory.',
  ],
  ['smtp.maxMessageSize', 'size', '50MB', 'The largest message that is taken.'],
  ['smtp.maxConnections', 'number', '1000', 'SMTP connections at a time, a listener.'],
  [
    'smtp.perNetwork.connections',
    'number',
    '50',
    'SMTP connections at a time that one client network (an IPv4 address, an IPv6 /64) may have, a listener; an IPv6 /56 twice, a /48 four times as many.',
  ],
  ['smtp.perNetwork.newPerMinute', 'number', '300', 'New SMTP connections a minute from one client network.'],
  [
    'smtp.perNetwork.except',
    'list of networks',
    'private',
    'Networks without limits of their own, such as 192.0.2.0/24; private stands for loopback, private and link-local ones, none for none.',
  ],
  [
    'smtp.timeouts.login',
    'duration',
    '1m',
    'From the connection to the login, or to the first MAIL FROM of mail that arrives.',
  ],
  ['smtp.timeouts.command', 'duration', '5m', 'From an answer to the next command.'],
  ['smtp.maxRecipients', 'number', '100', 'Recipients a message.'],
  ['smtp.senders', 'own | domain | any | map:FILE', 'own', 'Which return paths an account may use.'],
  ['smtp.softFail.contact', 'text', undefined, 'What an honest refusal names as contact.'],
  ['api.listen', 'address', '127.0.0.1:8025', 'Where the HTTP API and the metrics are served.'],
  [
    'api.metrics',
    'open | token',
    'by api.listen',
    'Whether /metrics asks for a token, of any role. By default it does where api.listen is not loopback.',
  ],
  ['api.tokens', 'path', 'tokens.yaml in data', 'The tokens file (stopgap token).'],
  [
    'api.publicUrl',
    'URL',
    undefined,
    'Under which URL the API is reached from outside: Location headers begin with it.',
  ],
  ['rules', 'path', 'built-in rules', 'The rules file.'],
  [
    'overrides',
    'path',
    undefined,
    'The overrides file: limits that single accounts and domains have instead.',
  ],
  [
    'geoip.country',
    'path',
    undefined,
    'A MaxMind database of countries (or cities): sends record the country of their client.',
  ],
  [
    'geoip.asn',
    'path',
    undefined,
    'A MaxMind database of autonomous systems: sends record the network operator of their client.',
  ],
  ['retention.sends', 'duration', '35d', 'How long single sends are kept.'],
  ['log.level', 'fatal | error | warn | info | debug | trace | silent', 'info', 'How much is logged.'],
  ['log.format', 'json | text', 'json', 'How lines on standard error look; files hold JSON always.'],
  [
    'log.addresses',
    'plain | hashed',
    'plain',
    'Whether the log names accounts, addresses, domains, EHLO names and IP addresses, or keyed hashes of them.',
  ],
  ['log.key', 'path', 'log-key in data', 'The secret that hashes are made with; made where there is none.'],
  ['log.file', 'path', undefined, 'A file that gets every line too.'],
  [
    'log.maxFileSize',
    'size',
    '10MB',
    'How large log.file may get: then it becomes log.file.1, in place of the one before.',
  ],
  [
    'tracing.endpoint',
    'URL',
    undefined,
    'Where traces go (OpenTelemetry, OTLP over HTTP), such as http://127.0.0.1:4318/v1/traces; without it nothing is traced.',
  ],
  [
    'tracing.sample',
    'share from 0 to 1',
    '0.01',
    'The share of SMTP transactions that are traced; what is decided is traced always.',
  ],
  ['tracing.service', 'text', 'stopgap', 'What the process is called in traces.'],
  ['tracing.headers', 'name=value list', undefined, 'Headers for the collector, such as a key.'],
];

/** Environment variables that are no settings: which file, the command-line client's own, stack traces. */
export const OTHER_VARIABLES: Readonly<Record<string, string>> = {
  STOPGAP_CONFIG: 'The configuration file, where --config names none.',
  STOPGAP_URL: 'The server that the command line talks to.',
  STOPGAP_TOKEN: 'The token that the command line shows to the server.',
  STOPGAP_DEBUG: 'Any value: unexpected errors are shown with their stack.',
};

const SETTINGS: readonly Setting[] = TABLE.map(([path, type, fallback, description]) => ({
  path,
  env: environmentName(path),
  type,
  default: fallback,
  description,
}));

/** Every setting, in the order of the file. */
export function listSettings(): readonly Setting[] {
  return SETTINGS;
}

/** `smtp.maxMessageSize` -> `STOPGAP_SMTP_MAX_MESSAGE_SIZE`. */
export function environmentName(path: string): string {
  const words = path.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('.', '_');
  return `STOPGAP_${words.toUpperCase()}`;
}

/** The groups whose settings may stand in a list, one entry a listener. */
export const LISTENER_GROUPS = ['smtp.submission', 'smtp.inbound'] as const;
export type ListenerGroup = (typeof LISTENER_GROUPS)[number];

/** The names that may stand under a path: `childrenOf('smtp.relay')` -> `['url']`. Empty for a setting. */
export function childrenOf(path: string): readonly string[] {
  const prefix = path === '' ? '' : `${path}.`;
  const names = SETTINGS.filter((setting) => setting.path.startsWith(prefix)).map(
    (setting) => setting.path.slice(prefix.length).split('.')[0]!,
  );
  return [...new Set(names)];
}

export function isSetting(path: string): boolean {
  return SETTINGS.some((setting) => setting.path === path);
}
