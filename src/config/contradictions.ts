import { accessSync, constants, statSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { fileFault } from '../accounts/private-file.js';
import { DAY } from '../kernel/time.js';
import { normalizeDomain, normalizeIp } from '../sending/identity.js';
import type { RawSettings } from './read.js';
import type { Config, InboundListener, SubmissionListener, TracingSettings } from './schema.js';
import { relaysOf, seesSends } from './schema.js';
import type { Reading } from './setting.js';
import type { RelaySettings, Role } from './values.js';
import type { ListenAddress } from './listening.js';
import { isInClear, NOT_IN_CLEAR, ROLES } from './values.js';
import { formatListen, isLocalHost, listensOnLoopback } from './listening.js';

/** A listener of any kind, and how the configuration names it. */
interface Listener {
  readonly key: string;
  readonly listen: ListenAddress;
}

/** Finds settings that are right one by one and wrong together. Adds to `raw.problems`; returns warnings. */
export function findContradictions(raw: RawSettings, config: Config): string[] {
  const { smtp, api } = config;
  const warnings: string[] = [];
  const listeners: Listener[] = [
    ...smtp.submission.map(({ listen }, index) => ({ key: `smtp.submission[${index}].listen`, listen })),
    ...smtp.inbound.map(({ listen }, index) => ({ key: `smtp.inbound[${index}].listen`, listen })),
  ];
  const takesMail = config.roles.includes('smtp');
  if (listeners.length === 0 && takesMail) {
    raw.problems.push(`${raw.place('smtp')}: smtp: listens nowhere; set smtp.submission or smtp.inbound`);
  }
  // Processes that share a store may share a file too.
  if (!takesMail && config.store.kind === 'sqlite')
    for (const group of ['smtp.submission', 'smtp.inbound'])
      if ((raw.listeners.get(group) ?? 0) > 0)
        warnings.push(
          `${raw.place(group, `${group}.listen`)}: ${group}: nobody listens there without the role smtp`,
        );
  const others: Listener[] = [{ key: 'api.listen', listen: api.listen }];
  const { listen: policy } = config.policy;
  if (policy !== undefined && !('path' in policy)) {
    others.push({ key: 'policy.listen', listen: policy });
    if (!listensOnLoopback(policy) && policy.passed === undefined)
      warnings.push(
        `${raw.where('policy.listen')}: ${formatListen(policy)} can be reached from other machines: all that can reach it ` +
          'can have an account blocked; let a firewall admit the mail servers alone',
      );
  }
  if (policy === undefined && config.roles.includes('policy') && !config.roles.includes('smtp'))
    raw.problems.push(
      `${raw.where('policy.listen')}: is missing, and the role policy needs it; for instance listen: 127.0.0.1:10040`,
    );
  if (policy !== undefined && !config.roles.includes('policy') && config.store.kind === 'sqlite')
    warnings.push(`${raw.where('policy.listen')}: nobody listens there without the role policy`);
  const { protocols } = config.dovecot;
  if (!protocols.includes('smtp') && !protocols.includes('submission'))
    warnings.push(
      `${raw.where('dovecot.protocols')}: ${protocols.join(', ') || 'an empty list'} has neither smtp nor submission: blocked accounts log in to send where Dovecot asks; ` +
        'for instance protocols: smtp,submission,imap',
    );
  findTwins(raw, [...listeners, ...others]);
  const toChannels = config.notices.channels.flatMap(({ smtp: relay }, index) =>
    relay === undefined ? [] : [{ key: `notices.channels[${index}].smtp`, relay }],
  );
  for (const { key, relay } of [...relaysOf(config), ...toChannels])
    findLoop(raw, key, relay, smtp.hostname, listeners);
  if (smtp.relay.xclient === true && !isMailServer(smtp.relay))
    raw.problems.push(
      `${raw.where('smtp.relay.xclient')}: works with smtp:// and smtps:// alone; leave it out, or name such a server in smtp.relay.url`,
    );
  smtp.submission.forEach((listener, index) => {
    checkTls(raw, `smtp.submission[${index}]`, listener, warnings);
    checkClearText(raw, `smtp.submission[${index}]`, listener);
  });
  smtp.inbound.forEach((listener, index) => {
    const key = `smtp.inbound[${index}]`;
    checkTls(raw, key, listener, warnings);
    if (!takesMail) return;
    if (listener.tls.mode === 'implicit') {
      warnings.push(
        `${raw.where(`${key}.tls.mode`)}: other mail servers do not speak implicit TLS; use starttls`,
      );
    }
    const { relay } = listener;
    if (smtp.submission.length > 0 && relay === smtp.relay && isMailServer(relay)) {
      warnings.push(
        `${raw.where(`${key}.relay.url`)}: mail that arrives goes to the upstream of submissions, which relays for ` +
          'Stopgap; name a listener of it that takes mail for its own domains alone (docs/run/install.md)',
      );
    }
  });
  if (config.store.kind === 'sqlite' && !doesAll(config)) {
    raw.problems.push(
      `${raw.where('roles')}: one process alone can hold the sqlite store, so it must have all roles, of smtp and policy at least one; ` +
        'name a KurrentDB in store to split them',
    );
  }
  if (config.store.kind === 'sqlite' && config.outbox.whenFull === 'accept') {
    raw.problems.push(
      `${raw.where('onStoreLost')}: the sqlite store has no outbox, so that mail is always put off while it takes no events; ` +
        'leave onStoreLost out, or name a KurrentDB in store',
    );
  }
  if (smtp.auth.users === api.tokens) {
    raw.problems.push(`${raw.where('api.tokens')}: is the users file too; use a file of its own`);
  }
  if ([smtp.auth.users, api.tokens].includes(api.admins)) {
    raw.problems.push(
      `${raw.where('api.admins')}: is the file of users or tokens too; use a file of its own`,
    );
  }
  const { from, roles: proxied } = api.proxyAuth;
  if (from.length > 0 && Object.keys(proxied).length === 0)
    raw.problems.push(
      `${raw.where('api.proxyAuth.roles')}: is missing, so nobody would get in; for instance roles: mail-admins=admin`,
    );
  if (from.length === 0 && Object.keys(proxied).length > 0)
    warnings.push(
      `${raw.where('api.proxyAuth.roles')}: counts for nobody without api.proxyAuth.from, the address of the proxy`,
    );
  if (api.openId !== undefined) {
    const problem = (key: string, text: string): void => void raw.problems.push(`${raw.where(key)}: ${text}`);
    if (api.publicUrl === undefined)
      problem(
        'api.publicUrl',
        'is missing, and api.openId needs it; for instance publicUrl: https://stopgap.example.com',
      );
    const roles = Object.values(api.openId.roles);
    if (roles.length === 0)
      problem(
        'api.openId.roles',
        'is missing, so nobody would get in; for instance roles: mail-admins=admin',
      );
    if (roles.includes('domain') && api.openId.domainsClaim === undefined)
      problem(
        'api.openId.domainsClaim',
        'is missing, and the role domain needs it; for instance domainsClaim: domains',
      );
  }
  warnings.push(...checkBackend(raw, smtp.auth));
  checkChannels(raw, config);
  const { run, authorization } = config.hooks;
  if (authorization !== undefined && run !== undefined && 'url' in run && isInClear(new URL(run.url)))
    raw.problems.push(
      `${raw.where('hooks.run')}: would give hooks.authorization in clear text; ${NOT_IN_CLEAR}`,
    );
  warnings.push(...tracingWarnings(raw, config.tracing));
  if (config.retention.sends < 2 * DAY) {
    warnings.push(
      `${raw.where('retention.sends')}: is shorter than two days: windows of a day lose their oldest sends`,
    );
  }
  if (smtp.senders.kind === 'any') {
    warnings.push(`${raw.where('smtp.senders')}: any lets each account send under every address`);
  }
  return warnings;
}

function doesAll({ roles }: Config): boolean {
  return seesSends({ roles }) && ROLES.every((role) => isDoor(role) || roles.includes(role));
}

function isDoor(role: Role): boolean {
  return role === 'smtp' || role === 'policy';
}

/** Adds a problem for what the back end of logins lacks; returns warnings of what another one would need. */
function checkBackend(raw: RawSettings, { backend, smtp, http }: Config['smtp']['auth']): readonly string[] {
  if (backend === 'http' && http === undefined)
    raw.problems.push(
      `${raw.where('smtp.auth.http')}: is missing, and backend http needs it; for instance http: http://127.0.0.1:9000/login`,
    );
  if (backend === 'smtp' && !isMailServer(smtp))
    raw.problems.push(
      `${raw.where('smtp.auth.smtp')}: is missing, and smtp.relay.url is no SMTP server that logins could be tried at; ` +
        'for instance smtp: smtp://127.0.0.1:587',
    );
  const others = { users: 'file', dovecot: 'dovecot', smtp: 'smtp', http: 'http', token: 'http' } as const;
  return Object.entries(others)
    .filter(([name, needed]) => needed !== backend && raw.values.has(`smtp.auth.${name}`))
    .map(([name]) => `${raw.where(`smtp.auth.${name}`)}: is not heeded: smtp.auth.backend is ${backend}`);
}

/** Adds a problem for each channel of notices that could send nothing. */
function checkChannels(raw: RawSettings, { notices, smtp }: Config): void {
  notices.channels.forEach((channel, index) => {
    const { name, type, url, secret, to, owners } = channel;
    const key = `notices.channels[${index}]`;
    const problem = (setting: string, text: string): void =>
      void raw.problems.push(`${raw.where(`${key}.${setting}`)}: ${text}`);
    if (notices.channels.findIndex((other) => other.name === name) < index)
      problem('name', `"${name}" is another channel's name; give each its own`);
    if (type === 'mail') {
      if (to === undefined && owners === undefined)
        problem('to', 'is missing; for instance to: postmaster@example.com');
      const { target } = channel.smtp ?? smtp.relay;
      if ('maildir' in target || 'path' in target.address)
        problem('smtp', 'is missing, and smtp.relay.url is no host; for instance smtp: smtp://127.0.0.1:25');
    } else if (url === undefined)
      problem(
        'url',
        `is missing, and a channel of type ${type} needs it; for instance url: file:/etc/stopgap/${name}-url`,
      );
    if (type === 'matrix' && secret === undefined)
      problem(
        'secret',
        'is missing: Matrix needs an access token; for instance secret: file:/etc/stopgap/matrix-token',
      );
    // What a file holds is empty where files are not looked at.
    if (type === 'matrix' && url !== undefined && url.secret !== '' && !isRoom(url.secret))
      problem(
        'url',
        'names no room; it ends in the id of one, as in https://matrix.example.org/_matrix/client/v3/rooms/!abc:example.org',
      );
    if (type === 'webhook' && secret === undefined)
      problem(
        'secret',
        'is missing: a webhook needs a key that signs; for instance secret: file:/etc/stopgap/webhook-key (docs/run/notices.md says how to make one)',
      );
    else if (type === 'webhook' && secret?.secret !== '' && !isSigningKey(secret?.secret))
      problem(
        'secret',
        'is no key that signs; use whsec_ and 24 to 64 random bytes in base64, of two with a comma',
      );
    if (type === 'webhook' && channel.texts !== undefined)
      problem('texts', 'is for channels that people read; the body of a webhook has fields');
    for (const other of ['to', 'from', 'smtp', 'owners'] as const)
      if (type !== 'mail' && channel[other] !== undefined) problem(other, `is for mail, and type is ${type}`);
  });
}

const isRoom = (url: string): boolean => /\/rooms\/(?:!|%21)[^/]+\/?$/i.test(new URL(url).pathname);

function isSigningKey(text: string | undefined): boolean {
  return (text ?? '').split(',').every((key) => {
    const bytes = Buffer.from(key.slice('whsec_'.length), 'base64').length;
    return /^whsec_[A-Za-z0-9+/]+={0,2}$/.test(key) && bytes >= 24 && bytes <= 64;
  });
}

/** Adds a problem for each file that is named and cannot be read. */
export function findUnreadable(raw: RawSettings, settings: Iterable<Reading>): void {
  for (const { given, about, value } of settings) {
    if (about.file === undefined || given.from === 'default') continue;
    for (const file of [value].flat()) {
      const fault = typeof file === 'string' ? faultOf(file, about.file) : undefined;
      if (fault !== undefined) raw.problems.push(`${given.where}: ${String(file)} ${fault}`);
    }
  }
}

function faultOf(file: string, remedy: string): string | undefined {
  try {
    if (!statSync(file).isFile()) return `is no file; ${remedy}`;
    accessSync(file, constants.R_OK);
    return undefined;
  } catch (thrown) {
    return fileFault(thrown, remedy);
  }
}

function findTwins(raw: RawSettings, listeners: readonly Listener[]): void {
  listeners.forEach((later, index) => {
    const earlier = listeners.slice(0, index).find(({ listen }) => overlap(listen, later.listen));
    if (earlier === undefined) return;
    raw.problems.push(
      `${raw.where(later.key)}: ${formatListen(later.listen)} is taken by ${earlier.key} ` +
        `(${formatListen(earlier.listen)}); use another ${later.listen.passed === undefined ? 'port' : 'socket'}`,
    );
  });
}

function overlap(a: ListenAddress, b: ListenAddress): boolean {
  if (a.passed !== undefined || b.passed !== undefined) return a.passed === b.passed;
  if (a.port !== b.port || a.port === 0) return false;
  return listensOnAll(a) || listensOnAll(b) || isSameHost(a.host!, b.host!);
}

function isSameHost(a: string, b: string): boolean {
  return a === b || (a === 'localhost' && isLocalHost(b)) || (b === 'localhost' && isLocalHost(a));
}

function listensOnAll({ host }: ListenAddress): boolean {
  return host === undefined || host === '::' || host === '0.0.0.0';
}

/** The addresses of this machine; none where a sandbox (`RestrictAddressFamilies=` without AF_NETLINK) tells nobody. */
function ownAddresses(): readonly string[] {
  try {
    return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SYSTEM_ERROR') return [];
    throw error;
  }
}

/** A relay that is one of our own listeners would get each message back for ever. */
function findLoop(
  raw: RawSettings,
  key: string,
  { target }: RelaySettings,
  hostname: string,
  listeners: readonly Listener[],
): void {
  if ('maildir' in target || 'path' in target.address) return;
  const port = target.address.port;
  const host = normalizeIp(target.address.host) ?? normalizeDomain(target.address.host);
  const own = new Set(['0.0.0.0', '::', hostname, ...ownAddresses()]);
  const isOwn = isLocalHost(host) || own.has(host);
  const looped = listeners.find(
    ({ listen }) => listen.port === port && (listensOnAll(listen) ? isOwn : isSameHost(listen.host!, host)),
  );
  if (looped === undefined) return;
  raw.problems.push(
    `${raw.where(key)}: is ${looped.key} itself, so mail would go round for ever; ` +
      'name the mail server behind Stopgap',
  );
}

/** A server that takes mail by SMTP may send it on; a mailbox cannot. */
function isMailServer({ target }: RelaySettings): boolean {
  return !('maildir' in target) && target.protocol === 'smtp';
}

/** Adds a problem for each login that would go in clear text if somebody on the way removed STARTTLS. */
export function findClearLogins(raw: RawSettings, settings: Iterable<Reading>): void {
  for (const { given, value } of settings) {
    if (!isRelay(value)) continue;
    const { target } = value;
    if ('maildir' in target || target.authPlain === undefined || target.loopback) continue;
    if (target.implicitTls || target.tls === 'require') continue;
    raw.problems.push(
      `${given.where}: would give its password without certain TLS; add ?tls=require, or use smtps://`,
    );
  }
}

function isRelay(value: unknown): value is RelaySettings {
  return typeof value === 'object' && value !== null && 'target' in value;
}

function checkTls(
  raw: RawSettings,
  key: string,
  listener: SubmissionListener | InboundListener,
  warnings: string[],
): void {
  const { mode, cert, key: privateKey } = listener.tls;
  if (cert !== undefined && privateKey === undefined) {
    raw.problems.push(
      `${raw.where(`${key}.tls.cert`)}: has no key beside it; name the private key in tls.key`,
    );
  }
  if (cert === undefined && privateKey !== undefined) {
    raw.problems.push(
      `${raw.where(`${key}.tls.key`)}: has no cert beside it; name the certificate in tls.cert`,
    );
  }
  if (cert !== undefined && privateKey !== undefined && cert.length !== privateKey.length) {
    raw.problems.push(
      `${raw.where(`${key}.tls.key`)}: names ${privateKey.length}, and tls.cert names ${cert.length}; name one key for each certificate, in the same order`,
    );
  }
  if (mode === 'none' && (cert !== undefined || privateKey !== undefined)) {
    raw.problems.push(
      `${raw.where(`${key}.tls.mode`)}: none contradicts a certificate; use starttls or implicit, or name no certificate`,
    );
  }
  const { port } = listener.listen;
  if (mode === 'implicit' && [25, 587].includes(port)) {
    warnings.push(
      `${raw.where(`${key}.tls.mode`)}: clients expect starttls on port ${port}, implicit on 465`,
    );
  }
  if (mode !== 'implicit' && port === 465) {
    warnings.push(`${raw.where(`${key}.tls.mode`)}: clients expect implicit TLS on port 465`);
  }
}

function checkClearText(raw: RawSettings, key: string, listener: SubmissionListener): void {
  if (listener.tls.mode !== 'none' || listener.allowInsecureAuth) return;
  const hasProxy = listener.proxy.length > 0;
  const remedy = hasProxy
    ? 'use starttls or implicit, or set allowInsecureAuth: true where the proxy ends TLS for all clients'
    : listensOnLoopback(listener.listen)
      ? 'use starttls or implicit, or leave allowInsecureAuth out'
      : 'use starttls or implicit, or set allowInsecureAuth: true where the network itself is safe';
  raw.problems.push(
    `${raw.where(`${key}.tls.mode`)}: none on ${formatListen(listener.listen)} would take passwords in clear; ${remedy}`,
  );
}

/** Warns of tracing settings that have no effect. */
function tracingWarnings(raw: RawSettings, tracing: TracingSettings | undefined): readonly string[] {
  const warnings: string[] = [];
  for (const key of ['tracing.sample', 'tracing.service', 'tracing.headers']) {
    const where = raw.values.get(key)?.where;
    if (tracing === undefined && where?.startsWith('OTEL_') === false)
      warnings.push(`${where}: nothing is traced without tracing.endpoint`);
  }
  if (tracing !== undefined && new URL(tracing.endpoint).port === '4317') {
    const where = raw.values.get('tracing.endpoint')!.where;
    warnings.push(`${where}: collectors expect gRPC on port 4317, which is not spoken here; HTTP is on 4318`);
  }
  return warnings;
}
