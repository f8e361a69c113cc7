import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { directoryId, fileFault } from '../../accounts/private-file.js';
import type { TlsSettings } from '../../config.js';
import type { ListenAddress } from '../../config/listening.js';
import { formatListen, listensOnLoopback } from '../../config/listening.js';
import { certificateFilesOf } from '../../config/schema.js';
import { messageOf } from '../../kernel/errors.js';
import { printable } from '../../kernel/printable.js';
import { DAY, formatInstant } from '../../kernel/time.js';
import { isWithin } from '../../sending/identity.js';
import { ListenerCertificate } from '../../smtp/tls.js';
import { newestIn } from '../../snapshots/snapshot-file.js';
import { isEmpty } from './engines.js';
import type { Findings, ServerState, World } from './findings.js';
import type { AnswerOf } from '../client.js';
import { PATIENCE, patiently } from './findings.js';

type Overview = AnswerOf<'/api/v1/overview'>;

/** Asks the program that listens there for its health; undefined if nothing listens, or no Stopgap. */
export async function askServer(base: URL): Promise<ServerState | undefined> {
  // After a reset the fetch of Node 20 may never settle, and the signal's timer alone would not keep the process.
  const held = setTimeout(() => undefined, 2 * PATIENCE);
  try {
    const ask = (target: string): Promise<Response> =>
      fetch(new URL(target, base), { redirect: 'error', signal: AbortSignal.timeout(PATIENCE) });
    const answer = await ask('healthz');
    const health = (await answer.json()) as Record<string, unknown>;
    if (!answer.ok || typeof health['readModels'] !== 'string') return undefined;
    const readiness = await ask('readyz');
    const { reason } = (await readiness.json()) as { readonly reason?: unknown };
    return {
      origin: base.origin,
      health,
      ready: readiness.ok,
      reason: typeof reason === 'string' ? reason : 'it says no more',
    };
  } catch {
    // It is one of the things that are told: nobody is there.
    return undefined;
  } finally {
    clearTimeout(held);
  }
}

export async function checkServer(findings: Findings, world: World): Promise<void> {
  const { server, loaded } = world;
  if (server === undefined) {
    if (await hasRun(world))
      findings.warning(
        `no Stopgap answers at ${world.asked!.origin}, though one has run here: if it is stopped, nothing is refused and nothing counted`,
        'start it, or name where it is: --url, STOPGAP_URL',
      );
    else findings.notTried('what a running Stopgap says of itself: none answers');
    return;
  }
  const { origin, health, ready, reason } = server;
  const { data } = loaded.config;
  const used = health['dataDirectory'];
  // Then all that is looked at here is of another process, or of none.
  if (typeof used === 'string' && used !== (await directoryId(data)))
    findings.warning(
      `${origin} does not use ${data}: it runs with other settings than those that are looked at here`,
      'give the doctor the settings of that process: --config, and the variables of its unit (docs/run/incidents.md)',
    );
  const parts = ['store', 'relay', 'redis', 'readModels', 'listeners']
    .filter((part) => health[part] !== undefined)
    .map((part) => `${part} ${String(health[part])}`);
  const text = `${origin} answers: ${parts.join(', ')}`;
  if (!ready) findings.warning(`${text}; not ready: ${reason}`, 'wait, or see to what it waits for');
  else if (health['status'] !== 'ok')
    findings.problem(text, 'see what is said of it below, and stopgap log show');
  else findings.ok(text);
  const unanswered = Number(health['unanswered'] ?? 0);
  if (unanswered > 0)
    findings.problem(
      `rules have tripped, and no detector has acted: nothing stops ${unanswered === 1 ? '1 sender that is' : `${unanswered} senders that are`} over a limit`,
      'see that the process with the role detector runs, and that it reaches the store',
    );
  checkBlocks(findings, world);
}

/** What blocks leave for people to do. No stranger may ask that, who would learn whether he is blocked. */
function checkBlocks(findings: Findings, { loaded, overview, untold }: World): void {
  if (overview === undefined) {
    if (loaded.config.roles.includes('api'))
      findings.notTried(
        `whether mail goes past the blocks of its senders, or is on hold for blocks that have ended: ${untold}`,
      );
    return;
  }
  checkPastBlocks(findings, overview.unstopped);
  checkHeld(findings, overview.held);
}

function checkHeld(findings: Findings, { blocks, sentence, items }: Overview['held']): void {
  if (sentence === null) return;
  const named = items.map(({ block, subject: { type, value } }) => `${block} (${type} ${printable(value)})`);
  const more = blocks > named.length ? [`${blocks - named.length} more`] : [];
  findings.warning(
    `${sentence.replace(/\.$/, '')}: ${[...named, ...more].join(', ')}`,
    'stopgap block held ID shows it, and decides with --release or --delete',
  );
}

/** Whose mail goes past a block. */
function checkPastBlocks(findings: Findings, { blocked: past, items }: Overview['unstopped']): void {
  if (past === 0) return;
  const named = items.flatMap(({ subject: { type, value }, block }) =>
    block === null ? [] : [`${type} ${printable(value)} (block ${block})`],
  );
  const more = past > named.length && named.length > 0 ? [`${past - named.length} more`] : [];
  const names = [...named, ...more].join(', ');
  findings.problem(
    `mail of ${past === 1 ? '1 blocked sender has gone past its block' : `${past} blocked senders has gone past their blocks`} within a day: Stopgap was not running or not reachable then, was not asked about it, or was not heard${names === '' ? '' : `: ${names}`}`,
    'stopgap block report ID says when it came and from where; see that each way to send asks Stopgap: docs/run/mail-servers.md#mail-that-goes-past-a-block',
  );
}

/** Whether a Stopgap has run with these settings: it has left events, or a snapshot of them. */
async function hasRun({ store, loaded }: World): Promise<boolean> {
  if (store !== undefined && store.state !== 'barred' && !isEmpty(store)) return true;
  // Another user may not look into the folder.
  const newest = newestIn(path.join(loaded.config.data, 'snapshots')).catch(() => undefined);
  return (await newest) !== undefined;
}

interface Port {
  readonly name: string;
  readonly listen: ListenAddress;
  readonly kind: 'smtp' | 'smtps' | 'policy' | 'http';
  /** Networks whose connections must begin with a PROXY header. */
  readonly proxy?: readonly string[];
}

/** Whether each address to listen on is free, or held by the Stopgap that runs. */
export async function checkPorts(findings: Findings, world: World): Promise<void> {
  const { config } = world.loaded;
  const { submission, inbound } = config.smtp;
  const ports: Port[] = [];
  if (config.roles.includes('smtp')) {
    const both = [
      ...submission.map((one) => ['submission', one] as const),
      ...inbound.map((one) => ['inbound', one] as const),
    ];
    for (const [name, { listen, proxy, tls: settings }] of both)
      ports.push({ name, listen, proxy, kind: settings.mode === 'implicit' ? 'smtps' : 'smtp' });
  }
  const { listen: policy } = config.policy;
  if (config.roles.includes('policy') && policy !== undefined && 'port' in policy)
    ports.push({ name: 'policy', listen: policy, kind: 'policy' });
  checkPolicySocket(findings, world);
  ports.push({ name: 'HTTP', listen: config.api.listen, kind: 'http' });
  for (const port of ports) await checkPort(findings, world, port);
}

/** The unit in deploy/systemd makes it (`RuntimeDirectory=`). */
const RUNTIME_FOLDER = '/run/stopgap';

/** Whether the socket of the policy service can be made, if it has one. */
export function checkPolicySocket(findings: Findings, { loaded }: World): void {
  const { roles, policy } = loaded.config;
  if (!roles.includes('policy') || policy.listen === undefined || !('path' in policy.listen)) return;
  const socket = policy.listen.path;
  const folder = path.dirname(socket);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    // What the unit of a service forbids it is not seen from here.
    const unit =
      folder === RUNTIME_FOLDER
        ? ''
        : '; a unit with ProtectSystem=strict must name it in ReadWritePaths= (systemctl edit stopgap)';
    findings.ok(`policy unix:${socket}: this user can write to the folder${unit}`);
  } catch (error) {
    if (folder === RUNTIME_FOLDER && (error as NodeJS.ErrnoException).code === 'ENOENT') {
      findings.notTried(`policy unix:${socket}: the unit makes the folder when Stopgap starts`);
      return;
    }
    findings.problem(
      `policy.listen: ${folder} ${fileFault(error, 'make it, and give it to the service', 'used')}`,
    );
  }
}

async function checkPort(findings: Findings, world: World, port: Port): Promise<void> {
  const { name, listen } = port;
  const text = `${name} ${formatListen(listen)}`;
  if (listen.port === 0) {
    findings.ok(`${text}: ${listen.passed === undefined ? 'any free port is taken' : 'systemd opens it'}`);
    return;
  }
  const fault = await bindFault(listen);
  if (fault === undefined) {
    if (world.server === undefined) findings.ok(`${text} is free`);
    else
      findings.warning(
        `${text} is free, though Stopgap runs`,
        'restart it, if the configuration has changed since it started',
      );
  } else if (fault === 'EADDRINUSE') {
    await checkHolder(findings, world, port, text);
  } else if (fault === 'EACCES') {
    // The service may have a right that this user has not: its unit gives it.
    if (await isAnswered(port)) await checkHolder(findings, world, port, text);
    else
      findings.notTried(
        `${text}: this user may open no port below 1024; the service may, with CAP_NET_BIND_SERVICE (docs/run/install.md)`,
      );
  } else if (fault === 'EADDRNOTAVAIL' || fault === 'ENOTFOUND') {
    findings.problem(`${text}: this machine has no such address`, 'name one that it has, or :port for all');
  } else {
    findings.problem(`${text} cannot be listened on (${fault})`);
  }
}

/** Checks which program has the port: it must be Stopgap. */
async function checkHolder(
  findings: Findings,
  { loaded, server }: World,
  port: Port,
  text: string,
): Promise<void> {
  const { kind } = port;
  const remedy = 'stop that program, or use another port';
  if (kind === 'http') {
    if (server !== undefined) findings.ok(`${text} is held by the running Stopgap`);
    else findings.problem(`${text} is held by a program that does not answer as Stopgap does`, remedy);
    return;
  }
  const greeting = await greetingOf(port).catch(() => undefined);
  const ours = kind === 'policy' ? 'action=DUNNO' : `220 ${loaded.config.smtp.hostname} `;
  if (greeting?.startsWith(ours) === true && server !== undefined)
    findings.ok(`${text} is held by the running Stopgap`);
  else {
    const who =
      greeting === undefined ? 'a program that does not greet' : `a program that greets with "${greeting}"`;
    findings.problem(`${text} is held by ${who}`, remedy);
  }
}

/** The code of what keeps us from listening there; undefined if nothing does. Nothing is left listening. */
async function bindFault({ host, port }: ListenAddress): Promise<string | undefined> {
  const probe = net.createServer();
  return new Promise((resolve) => {
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ host: host ?? '::', port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}

/** The address under which this machine reaches a listener of its own. */
function hereOf({ host }: ListenAddress): string {
  return host === undefined || host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host;
}

/** Whether somebody takes connections there. */
async function isAnswered({ listen }: Port): Promise<boolean> {
  const socket = net.connect({ host: hereOf(listen), port: listen.port });
  try {
    await patiently(once(socket, 'connect'), 'nobody answered');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The first line that a server says, in printable ASCII; of a policy service, that it answers. */
async function greetingOf({ listen, kind, proxy = [] }: Port): Promise<string> {
  const local = hereOf(listen);
  const plain = net.connect({ host: local, port: listen.port });
  // We come from the address that we go to.
  if (proxy.some((network) => isWithin(local, network))) plain.write('PROXY UNKNOWN\r\n');
  // Whose certificate it is makes no difference to who it is.
  const socket = kind === 'smtps' ? tls.connect({ socket: plain, rejectUnauthorized: false }) : plain;
  plain.on('error', () => socket.destroy());
  if (kind === 'policy') socket.write('request=doctor\n\n');
  try {
    const line = new Promise<string>((resolve, reject) => {
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        if (text.includes('\n') || text.length > 1000) resolve(text.split(/\r?\n/, 1)[0]!);
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('it hung up')));
    });
    const greeting = await patiently(line, 'it did not greet');
    return greeting.replace(/[^\x20-\x7e]/g, '?').slice(0, 120);
  } finally {
    socket.destroy();
  }
}

/** Authorities renew thirty days before the end: what has half of that left was not renewed. */
const SOON = 14 * DAY;

interface Listener {
  readonly what: 'submission' | 'inbound';
  readonly listen: ListenAddress;
  readonly tls: TlsSettings;
  readonly proxy: readonly unknown[];
  readonly allowInsecureAuth?: boolean;
}

/** The certificate of each SMTP listener: readable, matching its key, in its time, for the name that clients ask for. */
export async function checkTls(findings: Findings, world: World): Promise<void> {
  const { submission, inbound } = world.loaded.config.smtp;
  const listeners: Listener[] = [
    ...submission.map((one) => ({ what: 'submission' as const, ...one })),
    ...inbound.map((one) => ({ what: 'inbound' as const, ...one })),
  ];
  for (const listener of listeners) await checkListener(findings, world, listener);
}

async function checkListener(findings: Findings, world: World, listener: Listener): Promise<void> {
  const { what, listen, tls, proxy, allowInsecureAuth } = listener;
  const name = `${what} ${formatListen(listen)}`;
  const isLocal = listensOnLoopback(listen);
  if (allowInsecureAuth === true && (!isLocal || proxy.length > 0))
    findings.warning(
      `${name}: passwords may come in clear`,
      proxy.length === 0
        ? 'set allowInsecureAuth: false'
        : 'set allowInsecureAuth: false; a proxy that ends TLS can say so of each client (HAProxy: send-proxy-v2-ssl)',
    );
  if (tls.mode === 'none') {
    findings.ok(`${name}: no TLS, as configured`);
  } else if (tls.cert === undefined) {
    const made = path.join(world.loaded.config.data, 'tls', 'self-signed.crt');
    const when = existsSync(made) ? '' : ', made at the first start';
    if (isLocal) findings.ok(`${name}: self-signed${when}`);
    else
      findings.warning(`${name}: self-signed${when}: clients will not trust it`, 'name tls.cert and tls.key');
  } else {
    for (const [index, files] of certificateFilesOf(tls).entries())
      await checkCertificate(findings, world, name, files, index === 0);
  }
}

async function checkCertificate(
  findings: Findings,
  { loaded, clock }: World,
  name: string,
  files: { readonly cert: string; readonly key: string },
  isFirst: boolean,
): Promise<void> {
  const { hostname } = loaded.config.smtp;
  try {
    await new ListenerCertificate({ files, clock }).load();
  } catch (error) {
    findings.problem(
      `${name}: ${messageOf(error)}`,
      'name a certificate and the key that belongs to it, both PEM',
    );
    return;
  }
  const pem = readFileSync(files.cert, 'utf8');
  const leaf = new X509Certificate(pem);
  const [from, to, now] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo), clock.now()];
  const text = `${name}: ${files.cert}`;
  let isGood = true;
  const bad = (outcome: 'problem' | 'warning', detail: string, remedy: string): void => {
    isGood = false;
    findings[outcome](`${text} ${detail}`, remedy);
  };
  if (now < from) bad('problem', `is not valid before ${formatInstant(from)}`, 'look at the clock, or wait');
  if (now >= to) bad('problem', `has ended at ${formatInstant(to)}`, 'renew it');
  else if (to - now < SOON)
    bad(
      'warning',
      `ends at ${formatInstant(to)}, in ${Math.floor((to - now) / DAY)} days`,
      'see why it was not renewed',
    );
  // The others are for other names.
  if (isFirst && leaf.checkHost(hostname) === undefined) {
    const names = leaf.subjectAltName ?? leaf.subject.replaceAll('\n', ', ');
    bad(
      'warning',
      `is for ${names}, not for smtp.hostname ${hostname}`,
      'get one for that name, or set smtp.hostname to the name that clients use',
    );
  }
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  if (certificates === 1 && leaf.issuer !== leaf.subject)
    bad(
      'warning',
      'holds no chain',
      'use the file that has the intermediate certificates too (fullchain.pem)',
    );
  if (isGood)
    findings.ok(`${text} is for ${isFirst ? hostname : leaf.subjectAltName}, until ${formatInstant(to)}`);
}
