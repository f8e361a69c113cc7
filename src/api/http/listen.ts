import http from 'node:http';
import type { RequestListener } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ListenAddress } from '../../config/listening.js';
import { MINUTE, SECOND } from '../../kernel/time.js';
import { listenOptions } from '../../runtime/listening.js';
import { Problem, problemBody } from './problem.js';

/** A request must arrive within this time, so that a slow sender cannot hold a connection. */
const REQUEST_TIMEOUT = 30 * SECOND;
const HEADERS_TIMEOUT = 10 * SECOND;
/** How often Node looks for requests that are late. */
const LOOK_INTERVAL = 2 * SECOND;
/** Above the idle time-out of common reverse proxies, so that the proxy closes first. */
const KEEP_ALIVE_TIMEOUT = 75 * SECOND;
/** A client that takes nothing of its answer for so long is gone. Feeds write more often. */
const UNREAD_TIMEOUT = 2 * MINUTE;
const MOST_CONNECTIONS = 1000;
/** How long requests under way may still take when the server closes. */
const GRACE = 3 * SECOND;

export interface Listener {
  readonly server: http.Server;
  /** Takes no connection any more; resolves when the requests under way are answered and all is closed. */
  close(): Promise<void>;
}

/** Binds; rejects if it cannot. @param onError told of each connection that could not be taken */
export async function listen(
  handler: RequestListener,
  address: ListenAddress,
  onError: (error: Error) => void,
): Promise<Listener> {
  const server = http.createServer(
    {
      requestTimeout: REQUEST_TIMEOUT,
      headersTimeout: HEADERS_TIMEOUT,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT,
      connectionsCheckingInterval: LOOK_INTERVAL,
    },
    oneAtATime(handler),
  );
  server.timeout = UNREAD_TIMEOUT;
  server.maxConnections = MOST_CONNECTIONS;
  server.on('clientError', answerUnreadable);
  let underWay = 0;
  // Node counts a connection without any request as busy, so requests are counted here.
  const closeWhenDone = (): void => {
    if (underWay === 0 && !server.listening) server.closeAllConnections();
  };
  server.on('request', (_, response: http.ServerResponse) => {
    underWay++;
    response.once('close', () => {
      underWay--;
      closeWhenDone();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...listenOptions(address), exclusive: true }, () => {
      server.off('error', reject).on('error', onError);
      resolve();
    });
  });
  return {
    server,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      closeWhenDone();
      const timer = setTimeout(() => server.closeAllConnections(), GRACE);
      await closed;
      clearTimeout(timer);
    },
  };
}

/**
 * Cuts a connection off on which a request comes before the last one is answered (RFC 9112, 9.3.2). Node takes in all that
 * come in one piece, however many they are, and keeps the answers until they are read: some thousand would take all the memory.
 */
function oneAtATime(handler: RequestListener): RequestListener {
  const busy = new WeakSet<Duplex>();
  return (request, response) => {
    const { socket } = request;
    if (busy.has(socket)) socket.destroy();
    if (socket.destroyed) return;
    busy.add(socket);
    response.once('close', () => busy.delete(socket));
    handler(request, response);
  };
}

const UNREADABLE: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'the headers are larger than 16 KiB'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request did not arrive in time'],
};

/** Express never sees what is not HTTP. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = UNREADABLE[error.code ?? ''] ?? [400, 'this is no HTTP request'];
  const body = JSON.stringify(problemBody(new Problem(status, message), 'about:blank'));
  const head = [
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`,
    'Content-Type: application/problem+json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  // Destroyed once the answer is sent: otherwise a client that does not close its side would keep the connection.
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
