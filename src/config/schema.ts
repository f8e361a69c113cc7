import path from 'node:path';
import * as values from './values.js';
import { z } from 'zod';
import { parseRedis } from '../redis/address.js';
import type { GeoData } from '../rules/explain.js';
import type { Kind, Setting, Surroundings } from './setting.js';
import {
  choice,
  computed,
  groupsOf,
  inData,
  kind,
  listeners,
  missing,
  none,
  setting,
  settingsOf,
  valueOf,
} from './setting.js';
import { CHANNEL } from './notices.js';
import type { RelaySettings, Role } from './values.js';
import type { ListenAddress, PolicyAddress } from './listening.js';
import { ROLES, WrongValue, hidden, withXclient } from './values.js';
import { formatListen, formatPolicyListen, listensOnLoopback } from './listening.js';

/** Whether that listener is on loopback; false if its address is missing. */
function isOnLoopback(around: Surroundings, key: string): boolean {
  const listen = valueOf<ListenAddress | undefined>(around, key);
  return listen !== undefined && listensOnLoopback(listen);
}

const number = (least: number, most: number): Kind<number> => kind('number', values.asCount(least, most));
const address: Kind<ListenAddress> = { ...kind('address', values.asListen), show: formatListen };
const duration: Kind<number> = { ...kind('duration', values.asDuration), asWritten: true };
const flag = kind('true | false', values.asFlag);
const pathTo = kind('path', values.asPath);
const paths = kind('path or list of them', values.asPaths);
const size: Kind<number> = { ...kind('size', values.asSize), asWritten: true };
const text = kind('text', values.asText);
const relay: Kind<RelaySettings> = {
  ...kind('URL', values.asRelay),
  show: values.formatRelay,
  holdsSecret: values.holdsPassword,
};
const redis = {
  ...kind('URL', values.asRedis),
  show: ({ url }: { readonly url: string }) => parseRedis(url).toString(),
  holdsSecret: values.holdsPassword,
};
const store = {
  ...kind('sqlite | URL', values.asStore),
  show: ({ kind: which }: { readonly kind: string }) => which,
  holdsSecret: values.holdsPassword,
};
const senders: Kind<ReturnType<typeof values.asSenders>> = {
  type: 'own | domain | any | map:FILE',
  parse: values.asSenders,
  show: (policy) => (policy.kind === 'map' ? `map:${policy.file}` : policy.kind),
};
const headers: Kind<Readonly<Record<string, string>>> = {
  ...kind('name=value list', values.asHeaders),
  show: (all) => Object.keys(all).map((name) => `${name}=***`),
  holdsSecret: () => true,
};

const dovecotSocket: Kind<ReturnType<typeof values.asDovecot>> = {
  ...kind('unix:path | address', values.asDovecot),
  show: formatPolicyListen,
};
const loginServer: Kind<RelaySettings> = { ...kind('URL', values.asLoginServer), show: values.formatRelay };
const token = { ...kind('text', values.asToken), show: () => '***', holdsSecret: () => true };

const policyAddress: Kind<PolicyAddress> = {
  ...kind('address | unix:path', values.asPolicyListen),
  show: formatPolicyListen,
};

const hook: Kind<values.HookTarget> = { ...kind('command | URL', values.asHook), show: values.formatHook };

const tls = (
  what: string,
  remedy = 'name a PEM file, or leave cert and key out for a self-signed certificate',
) => {
  const selfSigned = computed('self-signed', () => undefined);
  return z.object({
    mode: setting(choice('none', 'starttls', 'implicit'), 'starttls', `TLS of ${what}.`),
    cert: setting(paths, selfSigned, `PEM certificate chain of ${what}.`, remedy),
    key: setting(paths, selfSigned, `PEM private key of ${what}, one for each certificate.`, remedy),
  });
};

const proxy = setting(
  kind('list of networks', values.asNetworks),
  'none',
  'Networks of proxies. Connections from there must begin with a PROXY header (version 1 or 2), which names the client.',
);

const submission = z.object({
  listen: setting(
    address,
    computed('127.0.0.1:2587', (around) =>
      // Each of several listeners must name its address.
      around.listeners('smtp.submission') > 1
        ? missing('listen: 127.0.0.1:2587')
        : { host: '127.0.0.1', port: 2587 },
    ),
    'Where users hand in mail, with a login.',
  ),
  tls: tls('submission'),
  proxy,
  allowInsecureAuth: setting(
    flag,
    // A proxy beside it passes on clients from anywhere.
    computed('true on loopback without proxy', (around, key) => {
      const proxies = valueOf<readonly unknown[]>(around, key.replace('allowInsecureAuth', 'proxy'));
      return proxies.length === 0 && isOnLoopback(around, key.replace('allowInsecureAuth', 'listen'));
    }),
    'Whether passwords may come without TLS.',
  ),
});

const inbound = z.object({
  listen: setting(
    address,
    computed(undefined, () => missing('listen: 127.0.0.1:2525')),
    'Where mail for local users arrives.',
  ),
  domains: setting(
    kind('list of domains', values.asDomains),
    computed(undefined, () => missing('domains: [example.com]')),
    'The local domains.',
  ),
  relay: z
    .object({
      url: setting(
        relay,
        computed('smtp.relay.url', () => undefined),
        'Where mail that arrives goes.',
      ),
    })
    .transform(({ url }) => url),
  tls: tls('inbound'),
  proxy,
});

const smtp = z
  .object({
    hostname: setting(
      kind('host name', values.asHostName),
      computed("the machine's name", ({ hostname }) => hostname),
      'The name in the greeting and in Received headers.',
    ),
    submission: listeners(1, submission),
    inbound: listeners(0, inbound),
    auth: z.object({
      backend: setting(
        choice('file', 'dovecot', 'smtp', 'http'),
        'file',
        'Who checks passwords: the users file, Dovecot, a mail server, or a web service.',
      ),
      users: setting(
        pathTo,
        inData('users.yaml'),
        'The users file (stopgap user).',
        'make it with stopgap user add NAME',
      ),
      dovecot: setting(
        dovecotSocket,
        'unix:/run/dovecot/auth-client',
        "Backend dovecot: where Dovecot's auth service listens for clients.",
      ),
      smtp: setting(
        loginServer,
        computed('smtp.relay.url', () => undefined),
        'Backend smtp: the mail server that logins are tried at.',
      ),
      http: setting(
        kind('URL', values.asPasswordUrl),
        none,
        'Backend http: the web service that gets account, password and address of the client by POST.',
      ),
      token: setting(token, none, 'Backend http: the bearer token for the service.'),
      attemptsPerMinute: setting(
        number(1, 100_000),
        '30',
        'Failed logins a minute for one client network (an IPv4 address, an IPv6 /64).',
      ),
    }),
    relay: z
      .object({
        url: setting(
          relay,
          computed(undefined, (around) => {
            if (!around.evaluation && valueOf<readonly Role[]>(around, 'roles').includes('smtp'))
              throw new WrongValue('is missing; name where accepted mail goes, such as smtp://127.0.0.1:25');
            return values.maildirRelay(path.join(valueOf(around, 'data'), 'mail'));
          }),
          'Where accepted mail goes: smtp://, smtps://, lmtp://, lmtp:///socket or maildir:directory.',
        ),
        xclient: setting(
          flag,
          'false',
          "Whether upstream sessions are opened in the name of the client and its login (XCLIENT). Without it, XFORWARD names the client for the upstream's log.",
        ),
      })
      .transform(({ url, xclient }) => withXclient(url, xclient)),
    maxMessageSize: setting(size, '50MB', 'The largest message.'),
    maxConnections: setting(number(1, 1_000_000), '1000', 'SMTP connections to one listener at a time.'),
    perNetwork: z.object({
      connections: setting(
        number(1, 1_000_000),
        '50',
        'SMTP connections of one client network (an IPv4 address, an IPv6 /64) to one listener at a time. An IPv6 /56 may have twice, a /48 four times as many.',
      ),
      newPerMinute: setting(
        number(1, 1_000_000),
        '300',
        'New SMTP connections a minute from one client network.',
      ),
      except: setting(
        kind('list of networks', values.asNetworks),
        'private',
        'Networks without these limits, such as 192.0.2.0/24. private: loopback, private and link-local ones; none: none.',
      ),
    }),
    timeouts: z.object({
      login: setting(duration, '1m', 'From the connection to the login (inbound: to the first MAIL FROM).'),
      command: setting(duration, '5m', 'From an answer to the next command.'),
    }),
    maxRecipients: setting(number(1, 100_000), '100', 'Recipients a message.'),
    senders: setting(
      senders,
      computed('own', ({ evaluation }) => ({ kind: evaluation ? ('domain' as const) : ('own' as const) })),
      'Which return paths an account may use.',
    ),
    softFail: z.object({ contact: setting(text, none, 'The contact that an honest refusal names.') }),
  })
  .transform((all) => ({
    ...all,
    auth: { ...all.auth, smtp: all.auth.smtp ?? all.relay },
    inbound: all.inbound.map((one) => ({ ...one, relay: one.relay ?? all.relay })),
  }));

const policy = z.object({
  listen: setting(
    policyAddress,
    none,
    'Where Postfix and Exim ask (policy delegation), such as 127.0.0.1:10040 or unix:/run/stopgap/policy.',
  ),
  refuse: setting(
    choice('451', '450', 'hold'),
    '451',
    'What they do with a blocked sender: refuse with this code, or take and hold the mail. An honest block always refuses.',
  ),
  ownNetworks: setting(
    kind('list of networks', values.asNetworks),
    'none',
    "Networks whose mail without a login is outbound, as in Postfix's mynetworks. Other mail without a login is inbound.",
  ),
});

const dovecot = z.object({
  protocols: setting(
    kind('list of protocols', values.asProtocols),
    'smtp,submission',
    "Where Dovecot asks (auth policy): the protocols in which a blocked account's login fails. Others, such as imap, go on.",
  ),
});

const tracing = z
  .object({
    endpoint: setting(
      kind('URL', values.asTracesEndpoint),
      none,
      'Where traces go (OpenTelemetry, OTLP over HTTP), such as http://127.0.0.1:4318/v1/traces.',
    ),
    sample: setting(
      kind('share from 0 to 1', values.asShare),
      '0.01',
      'The share of SMTP transactions that are traced. Decisions always are.',
    ),
    service: setting(text, 'stopgap', 'What the process is called in traces.'),
    headers: setting(
      headers,
      computed<Readonly<Record<string, string>>>(undefined, () => ({})),
      'Headers for the collector, such as a key.',
    ),
  })
  .transform(({ endpoint, headers: secret, ...rest }) =>
    endpoint === undefined ? undefined : hidden({ endpoint, ...rest }, { headers: secret }),
  );

/**
 * Every setting, in the order of the file: its type, default and description, how it is read and how it is shown. It
 * gives the reader, `stopgap config`, docs/reference/configuration.md and the type of the configuration.
 */
export const SCHEMA = z
  .object({
    data: setting(pathTo, './data', 'Directory for everything that Stopgap writes.'),
    store: setting(
      store,
      'sqlite',
      'The event store: sqlite (events.db in the data directory), kurrentdb://, kurrentdb+discover:// or esdb://.',
    ),
    roles: setting(
      kind(`list of ${ROLES.join(', ')}`, values.asRoles),
      ROLES.join(','),
      'What this process does. With sqlite: all; of smtp and policy at least one.',
    ),
    redis: setting(
      redis,
      none,
      'Where timed work waits (BullMQ): redis:// or rediss://. None: in the process.',
    ),
    onStoreLost: setting(
      choice('accept', 'defer'),
      'defer',
      'With KurrentDB away and the outbox full: take mail without a record, or tell clients to try again later.',
    ),
    outbox: z.object({
      maxEvents: setting(
        number(1, 1_000_000_000),
        '1000000',
        'Sends that may wait on disk while the store is away.',
      ),
    }),
    smtp,
    policy,
    dovecot,
    hooks: z.object({
      run: setting(
        hook,
        none,
        "What the role worker calls to hold, release or delete mail in a mail server's queue: an absolute path with arguments (no shell), or a URL.",
      ),
      authorization: setting(
        pathTo,
        none,
        'A file whose first line is the Authorization header for that URL.',
        'make it, or leave hooks.authorization out',
      ),
    }),
    notices: z.object({ channels: listeners(0, CHANNEL) }),
    api: z.object({
      listen: setting(address, '127.0.0.1:8025', 'Where API and metrics are served.'),
      metrics: setting(
        choice('open', 'token'),
        // Metrics tell a wrong password from a blocked account. Only those who run Stopgap may know.
        computed('by api.listen', (around) =>
          isOnLoopback(around, 'api.listen') ? ('open' as const) : ('token' as const),
        ),
        'Whether /metrics asks for a token that may read. Default: token unless api.listen is loopback.',
      ),
      tokens: setting(
        pathTo,
        inData('tokens.yaml'),
        'The tokens file (stopgap token).',
        'make it with stopgap token add --name NAME --role admin',
      ),
      admins: setting(
        pathTo,
        inData('admins.yaml'),
        'The people who may sign in (stopgap admin).',
        'make it with stopgap admin add NAME --role admin',
      ),
      proxyAuth: z.object({
        from: setting(
          kind('list of networks', values.asNetworks),
          'none',
          'Networks of a reverse proxy that has people sign in and names them in headers.',
        ),
        userHeader: setting(
          kind('name', values.asHeaderName),
          'Remote-User',
          'The header with the person. The proxy must remove both headers where clients send them.',
        ),
        groupsHeader: setting(
          kind('name', values.asHeaderName),
          'Remote-Groups',
          'The header with their groups, with commas.',
        ),
        roles: setting(
          { ...kind('group=role list', values.asGroupRoles), asWritten: true },
          'none',
          'The role of each group, such as mail-admins=admin,support=operator. The highest counts.',
        ),
      }),
      trustedProxies: setting(
        kind('list of networks', values.asNetworks),
        '127.0.0.1,::1',
        'Networks of reverse proxies, beside api.proxyAuth.from. They must set X-Forwarded-For: failed sign-ins are counted by it.',
      ),
      openId: z
        .object({
          issuer: setting(
            kind('URL', values.asIssuer),
            none,
            'The OpenID provider that people sign in at, as it names itself (issuer). Needs api.publicUrl.',
          ),
          clientId: setting(
            text,
            computed(undefined, (around) =>
              valueOf<string | undefined>(around, 'api.openId.issuer') === undefined
                ? undefined
                : missing('clientId: stopgap'),
            ),
            "The provider's name for Stopgap.",
          ),
          clientSecretFile: setting(
            pathTo,
            none,
            'A file whose first line is the secret of the provider. None: a public client.',
            'make it, or leave api.openId.clientSecretFile out',
          ),
          label: setting(text, 'OpenID', "The page's name for the provider."),
          scopes: setting(
            kind('scopes with spaces', values.asScopes),
            'openid profile email',
            'What is asked for. Some providers tell groups only with a scope groups.',
          ),
          groupsClaim: setting(text, 'groups', "The claim with a person's groups."),
          roles: setting(
            { ...kind('group=role list', values.asOpenIdRoles), asWritten: true },
            'none',
            'As api.proxyAuth.roles; domain is the lowest role.',
          ),
          domainsClaim: setting(text, none, 'The claim with the domains of people of the role domain.'),
        })
        .transform(({ issuer, clientId, ...rest }) =>
          issuer === undefined || clientId === undefined ? undefined : { issuer, clientId, ...rest },
        ),
      publicUrl: setting(
        kind('URL', values.asHttpUrl),
        none,
        'The URL of the API from outside. Location headers and links begin with it.',
      ),
    }),
    rules: setting(
      pathTo,
      computed('built-in rules', () => undefined),
      'The rules file. Taken out, its rules stay in force until others are set.',
      'leave rules out, or make it with stopgap rules defaults',
    ),
    overrides: setting(
      pathTo,
      none,
      'The overrides file: limits of single accounts and domains. Taken out, what it had set ends at the next start.',
      'name a YAML file, or leave overrides out',
    ),
    geoip: z.object({
      country: setting(
        pathTo,
        none,
        'A MaxMind database of countries or cities.',
        'name a file such as GeoLite2-Country.mmdb, or leave it out',
      ),
      asn: setting(
        pathTo,
        none,
        'A MaxMind database of autonomous systems.',
        'name a file such as GeoLite2-ASN.mmdb, or leave it out',
      ),
    }),
    retention: z.object({ sends: setting(duration, '35d', 'How long single sends are kept.') }),
    log: z.object({
      level: setting(choice(...values.LOG_LEVELS), 'info', 'How much is logged.'),
      format: setting(
        choice('json', 'text'),
        'json',
        'How lines on standard error look. Files always hold JSON.',
      ),
      addresses: setting(
        choice('plain', 'hashed'),
        'plain',
        'Whether the log has names and IP addresses, or keyed hashes of them.',
      ),
      key: setting(pathTo, inData('log-key'), 'The secret of the hashes; made where there is none.'),
      file: setting(pathTo, none, 'A file that gets every line too.'),
      maxFileSize: setting(
        size,
        '10MB',
        'How large log.file may get. Then it becomes log.file.1, in place of the one before.',
      ),
    }),
    tracing,
  })
  .transform(({ onStoreLost, outbox, store: place, ...rest }) => ({
    ...rest,
    store: place.kind === 'sqlite' ? { ...place, file: path.join(rest.data, 'events.db') } : place,
    outbox: { file: path.join(rest.data, 'outbox.db'), ...outbox, whenFull: onStoreLost },
  }));

/** The validated configuration. All paths are absolute. */
export type Config = Readonly<z.output<typeof SCHEMA>>;
export type SubmissionListener = Config['smtp']['submission'][number];
export type InboundListener = Config['smtp']['inbound'][number];
/** Absolute paths of PEM files: as many of both, or none; without them a self-signed certificate is made. */
export type TlsSettings = SubmissionListener['tls'];
export type TlsMode = TlsSettings['mode'];
/** How many may connect, and how long they may take. */
export type ConnectionLimits = Pick<Config['smtp'], 'maxConnections' | 'perNetwork' | 'timeouts'>;
export type LogSettings = Config['log'];
export type LogLevel = LogSettings['level'];
export type Channel = Config['notices']['channels'][number];
export type TracingSettings = NonNullable<Config['tracing']>;

/** Environment variables that are no settings: which file, the command-line client's own, stack traces. */
export const OTHER_VARIABLES: Readonly<Record<string, string>> = {
  STOPGAP_CONFIG: 'The configuration file, where --config names none.',
  STOPGAP_URL: 'The server that the command line talks to.',
  STOPGAP_TOKEN: 'The token that the command line shows to the server.',
  STOPGAP_DEBUG: 'Any value: unexpected errors are shown with their stack.',
};

/** How many listeners each group has by default. Their settings may come in a list. */
export const LISTENER_GROUPS: ReadonlyMap<string, number> = new Map(groupsOf(SCHEMA, ''));

const ALL: readonly Setting[] = settingsOf(SCHEMA, '');

/** Every setting, in the order of the file. */
export function listSettings(): readonly Setting[] {
  return ALL;
}

export function isSetting(key: string): boolean {
  return ALL.some((one) => one.path === key);
}

/** The names that a path may have under it: `childrenOf('smtp.relay')` -> `['url']`. Empty for a setting. */
export function childrenOf(key: string): readonly string[] {
  const prefix = key === '' ? '' : `${key}.`;
  const below = ALL.filter((one) => one.path.startsWith(prefix));
  return [...new Set(below.map((one) => one.path.slice(prefix.length).split('.')[0]!))];
}

/** Where a name has its place, with what it is under: `placesOf('users')` -> `['smtp.auth.users']`. Not at the top. */
export function placesOf(name: string): readonly string[] {
  const places = ALL.map(({ path }) => path.split('.')).flatMap((parts) => {
    const index = parts.indexOf(name, 1);
    return index < 1 ? [] : [parts.slice(0, index + 1).join('.')];
  });
  return [...new Set(places)];
}

/** Every upstream that is named, and how the configuration names it. */
export function relaysOf({ smtp }: Config): readonly { key: string; relay: RelaySettings }[] {
  const named = smtp.inbound.map(({ relay }, index) => ({ key: `smtp.inbound[${index}].relay.url`, relay }));
  return [{ key: 'smtp.relay.url', relay: smtp.relay }, ...named.filter(({ relay }) => relay !== smtp.relay)];
}

/** The certificates of a listener, each with its key; none if it has a self-signed one. */
export function certificateFilesOf({
  cert = [],
  key = [],
}: TlsSettings): readonly { cert: string; key: string }[] {
  return cert.map((file, index) => ({ cert: file, key: key[index]! }));
}

/** Whether a process sees sends, and so records them. */
export function seesSends({ roles }: Pick<Config, 'roles'>): boolean {
  return roles.includes('smtp') || roles.includes('policy');
}

/** Which places of clients are known. Only processes that see sends look them up; the others cannot tell. */
export function geoDataOf({ roles, geoip }: Pick<Config, 'roles' | 'geoip'>): GeoData {
  const elsewhere = !seesSends({ roles });
  return {
    country: elsewhere || geoip.country !== undefined,
    asn: elsewhere || geoip.asn !== undefined,
  };
}
