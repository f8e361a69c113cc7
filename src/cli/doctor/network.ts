import net from 'node:net';
import tls from 'node:tls';
import { directoryId } from '../../accounts/private-file.js';
import type { ListenAddress } from '../../config.js';
import { formatListen } from '../../config.js';
import type { Findings } from './findings.js';
import type { ServerState, World } from './world.js';
import { PATIENCE, patiently } from './world.js';

/** Asks whatever listens there how it is; undefined where nothing does, or no Stopgap. */
export async function askServer(base: URL): Promise<ServerState | undefined> {
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
  }
}

export async function checkServer(findings: Findings, { server, loaded }: World): Promise<void> {
  if (server === undefined) {
    findings.notTried('what a running Stopgap says of itself: none answers');
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
  const parts = ['store', 'relay', 'readModels', 'listeners'].map(
    (part) => `${part} ${String(health[part])}`,
  );
  const text = `${origin} answers: ${parts.join(', ')}`;
  if (!ready) findings.warning(`${text}; not ready: ${reason}`, 'wait, or see to what it waits for');
  else if (health['status'] !== 'ok')
    findings.problem(text, 'see what is said of it below, and stopgap log show');
  else findings.ok(text);
}

interface Port {
  readonly name: string;
  readonly listen: ListenAddress;
  readonly kind: 'smtp' | 'smtps' | 'http';
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
    for (const [name, { listen, tls: settings }] of both)
      ports.push({ name, listen, kind: settings.mode === 'implicit' ? 'smtps' : 'smtp' });
  }
  ports.push({ name: 'HTTP', listen: config.api.listen, kind: 'http' });
  for (const port of ports) await checkPort(findings, world, port);
}

async function checkPort(findings: Findings, world: World, port: Port): Promise<void> {
  const { name, listen } = port;
  const text = `${name} ${formatListen(listen)}`;
  if (listen.port === 0) {
    findings.ok(`${text}: any free port is taken`);
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
    findings.problem(
      `${text} is not for this user`,
      'give the service CAP_NET_BIND_SERVICE (docs/run/install.md), or use a port from 1024 on',
    );
  } else if (fault === 'EADDRNOTAVAIL' || fault === 'ENOTFOUND') {
    findings.problem(`${text}: this machine has no such address`, 'name one that it has, or :port for all');
  } else {
    findings.problem(`${text} cannot be listened on (${fault})`);
  }
}

/** Who has the port: it must be us. */
async function checkHolder(
  findings: Findings,
  { loaded, server }: World,
  { listen, kind }: Port,
  text: string,
): Promise<void> {
  const remedy = 'stop that program, or use another port';
  if (kind === 'http') {
    if (server !== undefined) findings.ok(`${text} is held by the running Stopgap`);
    else findings.problem(`${text} is held by a program that does not answer as Stopgap does`, remedy);
    return;
  }
  const greeting = await greetingOf(listen, kind === 'smtps').catch(() => undefined);
  if (greeting?.startsWith(`220 ${loaded.config.smtp.hostname} `) === true && server !== undefined)
    findings.ok(`${text} is held by the running Stopgap`);
  else {
    const who =
      greeting === undefined ? 'a program that does not greet' : `a program that greets with "${greeting}"`;
    findings.problem(`${text} is held by ${who}`, remedy);
  }
}

/** The code of what keeps us from listening there; undefined where nothing does. Nothing is left listening. */
async function bindFault({ host, port }: ListenAddress): Promise<string | undefined> {
  const probe = net.createServer();
  return new Promise((resolve) => {
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ host: host ?? '::', port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}

/** The first line that an SMTP server says, in printable ASCII. */
async function greetingOf({ host, port }: ListenAddress, implicitTls: boolean): Promise<string> {
  const local = host === undefined || host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host;
  // Whose certificate it is makes no difference to who it is.
  const socket = implicitTls
    ? tls.connect({ host: local, port, rejectUnauthorized: false })
    : net.connect({ host: local, port });
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
