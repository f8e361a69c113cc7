import net from 'node:net';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import { parseCapabilities } from './commands.js';
import type { RelayTimeouts } from './port.js';
import type { RawReply } from './reply.js';
import { isPositive, textOf } from './reply.js';
import { Session } from './session.js';
import type { TlsPolicy, Upstream } from './url.js';

/** How long a connection is silent before keep-alive asks the other side whether it still knows it. */
const KEEP_ALIVE: Milliseconds = 30 * SECOND;

/** The upstream answers but gives no session: it refuses, or TLS or the login fails. */
export class SessionRefused extends Error {
  constructor(
    message: string,
    /** TLS failed after STARTTLS: a session in clear text may still work. */
    readonly tlsFailed = false,
  ) {
    super(message);
    this.name = 'SessionRefused';
  }
}

/** The upstream refuses our login. */
export class LoginRefused extends SessionRefused {
  constructor(
    name: string,
    readonly code: number,
  ) {
    super(`${name} refuses our login with ${code}`);
    this.name = 'LoginRefused';
  }
}

/** A session that is being opened; `abort` makes `ready` reject. */
export interface Opening {
  readonly ready: Promise<Session>;
  abort(why: string): void;
}

/**
 * Opens a session: connection, TLS, greeting, EHLO (LHLO), STARTTLS, AUTH. With the policy `opportunistic` a second
 * connection in clear text serves an upstream whose TLS is broken (RFC 7435).
 *
 * `ready` rejects with SessionLost or SessionRefused; neither ever contains the login.
 */
export function openSession(
  upstream: Upstream,
  hostname: string,
  timeouts: RelayTimeouts,
  xclient = false,
): Opening {
  let current: Session | undefined;
  let aborted = false;
  const attempt = async (policy: TlsPolicy): Promise<Session> => {
    const socket = connect(upstream);
    const session = new Session(socket, upstream.name, timeouts);
    current = session;
    if (aborted) throw session.fail('closed', false);
    try {
      await connected(session, upstream.implicitTls ? 'secureConnect' : 'connect', upstream.name, timeouts);
      await converse(session, upstream, policy, hostname, timeouts);
      if (xclient && session.capabilities.xclient.length === 0)
        throw new SessionRefused(
          `${upstream.name} does not offer XCLIENT, which smtp.relay.xclient asks for`,
        );
      return session;
    } catch (error) {
      session.fail('given up', false);
      throw error;
    }
  };
  const ready = attempt(upstream.tls).catch((error: unknown) => {
    const fallBack = error instanceof SessionRefused && error.tlsFailed && upstream.tls === 'opportunistic';
    if (!fallBack || aborted || upstream.implicitTls) throw error;
    return attempt('off');
  });
  return {
    ready,
    abort(why) {
      aborted = true;
      current?.fail(why, false);
    },
  };
}

function connect(upstream: Upstream): Socket {
  const { address } = upstream;
  const socket = upstream.implicitTls
    ? tls.connect({ ...address, ...tlsOptions(upstream) })
    : net.connect({ ...address });
  // Commands are written whole, so Nagle's algorithm could only delay them. Keep-alive finds a restarted machine, which
  // has lost the session.
  if ('port' in address) socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE);
  return socket;
}

function tlsOptions(upstream: Upstream): tls.ConnectionOptions {
  const host = 'host' in upstream.address ? upstream.address.host : 'localhost';
  return {
    rejectUnauthorized: upstream.verify,
    ...(upstream.ca === undefined ? {} : { ca: upstream.ca }),
    // RFC 6066 section 3: an address is no server name.
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
  };
}

/** Waits for a connection event that the session itself does not handle. */
function connected(
  session: Session,
  event: 'connect' | 'secureConnect',
  name: string,
  timeouts: RelayTimeouts,
): Promise<void> {
  if (session.lost !== undefined) return Promise.reject(session.lost);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      session.fail(`${name} did not take the connection within ${timeouts.connect} ms`, false);
    }, timeouts.connect);
    session.onLost = () => {
      clearTimeout(timer);
      reject(session.lost!);
    };
    session.socket.once(event, () => {
      clearTimeout(timer);
      session.onLost = undefined;
      resolve();
    });
  });
}

async function converse(
  session: Session,
  upstream: Upstream,
  policy: TlsPolicy,
  hostname: string,
  timeouts: RelayTimeouts,
): Promise<void> {
  const { name } = upstream;
  const greeting = await session.greeting();
  if (greeting.code !== 220) throw refused(name, 'greets with', greeting);
  await hello(session, upstream, hostname);

  let secure = upstream.implicitTls;
  if (!secure && policy !== 'off') {
    if (session.capabilities.starttls) {
      await startTls(session, upstream, timeouts);
      secure = true;
      await hello(session, upstream, hostname);
    } else if (policy === 'require') {
      throw new SessionRefused(`${name} does not offer STARTTLS, which tls=require asks for`);
    }
  }
  if (upstream.authPlain !== undefined) await login(session, upstream, upstream.authPlain, secure);
}

async function hello(session: Session, upstream: Upstream, hostname: string): Promise<void> {
  const verb = upstream.protocol === 'lmtp' ? 'LHLO' : 'EHLO';
  const reply = await session.command(`${verb} ${hostname}`);
  if (isPositive(reply)) {
    session.capabilities = parseCapabilities(reply.lines);
    return;
  }
  // RFC 5321 section 3.2: a server from before extensions; it offers nothing.
  const old = verb === 'EHLO' && reply.code >= 500 ? await session.command(`HELO ${hostname}`) : reply;
  if (!isPositive(old)) throw refused(upstream.name, `answers ${verb} with`, old);
  session.capabilities = parseCapabilities([]);
}

async function startTls(session: Session, upstream: Upstream, timeouts: RelayTimeouts): Promise<void> {
  const reply = await session.command('STARTTLS');
  if (!isPositive(reply)) {
    throw new SessionRefused(`${upstream.name} answers STARTTLS with ${reply.code} ${textOf(reply)}`, true);
  }
  session.secure((socket) => tls.connect({ socket, ...tlsOptions(upstream) }));
  try {
    await connected(session, 'secureConnect', upstream.name, timeouts);
  } catch (error) {
    throw new SessionRefused(`TLS with ${upstream.name} failed: ${(error as Error).message}`, true);
  }
}

async function login(
  session: Session,
  upstream: Upstream,
  token: () => string,
  secure: boolean,
): Promise<void> {
  if (!secure && !upstream.loopback) {
    throw new SessionRefused(`${upstream.name} offers no TLS, and a password is not sent in clear text`);
  }
  if (!session.capabilities.authPlain) throw new SessionRefused(`${upstream.name} does not offer AUTH PLAIN`);
  const reply = await session.command(`AUTH PLAIN ${token()}`);
  // The text is left out: servers like to repeat the user name in it.
  if (reply.code !== 235) throw new LoginRefused(upstream.name, reply.code);
}

function refused(name: string, how: string, reply: RawReply): SessionRefused {
  return new SessionRefused(`${name} ${how} ${reply.code} ${textOf(reply)}`);
}
